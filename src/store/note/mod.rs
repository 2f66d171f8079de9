//! What people keep beside the samples: texts on tags, and views of trends by a name. Each has an id of its own and versions; no version is ever
//! changed, and the audit log tells of each in the same write.
//!
//! What is in memory is an index; texts are read from the store.

mod annotation;
mod kept;
mod saved_view;
#[cfg(test)]
mod tests;

use historian_format::keys::{NoteKey, NoteKind};

pub use self::{
    annotation::{Annotation, AnnotationDraft, AnnotationPlace, Annotations, ENTRIES_MAX, SoughtAnnotations, TAGS_MAX, TEXT_BYTES_MAX},
    kept::{NoteError, VERSIONS_MAX},
    saved_view::{CONTENT_BYTES_MAX, NAME_BYTES_MAX, SavedView, SavedViews, VIEWS_MAX, VIEWS_OF_OWNER_MAX, ViewDraft},
};
use super::StoreError;

/// Whether a stored version is one of its kind.
///
/// # Errors
/// [`StoreError::Corrupt`] where it is not.
pub(crate) fn check(key: NoteKey, bytes: &[u8]) -> Result<(), StoreError> {
    match key.kind {
        NoteKind::Annotation => annotation::check(key, bytes),
        NoteKind::View => saved_view::check(key, bytes),
    }
}
