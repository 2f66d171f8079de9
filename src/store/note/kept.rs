//! What all notes have in common: why one is refused, how its versions follow each other, and how they are written and read.

use historian_format::keys::{FAMILY_NOTES, NoteKey, NoteKind};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Store, StoreError};

/// Versions of one note at most.
pub const VERSIONS_MAX: u32 = 10_000;

/// Why a note was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoteError {
    #[error("there is no {what} {id}")]
    NotFound { what: &'static str, id: u64 },
    #[error("{what} {id} has version {is}, not {seen}: somebody has changed it meanwhile; read it again")]
    OtherVersion { what: &'static str, id: u64, is: u32, seen: u32 },
    #[error("you have a view called {0:?} already")]
    NameTaken(String),
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error("{0}")]
    Full(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn invalid(field: &'static str, reason: impl Into<String>) -> NoteError {
    NoteError::Invalid { field, reason: reason.into() }
}

/// What is said in words of a kind.
pub(super) fn word(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Annotation => "annotation",
        NoteKind::View => "view",
    }
}

/// The version that follows one that is there, where that is the one that was seen.
pub(super) fn next_version(kind: NoteKind, id: u64, is: u32, seen: Option<u32>) -> Result<u32, NoteError> {
    let what = word(kind);
    if let Some(seen) = seen.filter(|seen| *seen != is) {
        return Err(NoteError::OtherVersion { what, id, is, seen });
    }
    let next = is.checked_add(1).filter(|next| *next <= VERSIONS_MAX);
    next.ok_or_else(|| NoteError::Full(format!("{what} {id} has {VERSIONS_MAX} versions, and takes no more; make another one")))
}

pub(super) fn corrupt(key: NoteKey, message: impl Into<String>) -> StoreError {
    let NoteKey { kind, id, version } = key;
    StoreError::Corrupt { family: FAMILY_NOTES, key: format!("{} {id}, version {version}", word(kind)), message: message.into() }
}

pub(super) fn encode(note: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(note).map_err(|error| StoreError::Io(format!("a note cannot be written as JSON: {error}")))
}

pub(super) fn decode<T: DeserializeOwned>(key: NoteKey, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| corrupt(key, error.to_string()))
}

/// Reads a version that is known to be there.
pub(super) fn read<T: DeserializeOwned>(store: &dyn Store, key: NoteKey) -> Result<T, StoreError> {
    let bytes = store.note(key)?.ok_or_else(|| corrupt(key, "it is missing"))?;
    decode(key, &bytes)
}

/// A text of a person: something must be there, and nothing that a terminal would take for a command.
pub(super) fn check_text(field: &'static str, text: &str, bytes_max: usize, lines: bool) -> Result<(), NoteError> {
    if text.trim().is_empty() {
        return Err(invalid(field, "is empty"));
    }
    if text.len() > bytes_max {
        return Err(invalid(field, format!("has {} bytes, at most {bytes_max} are taken", text.len())));
    }
    let is_foreign = |character: char| character.is_control() && !(lines && matches!(character, '\n' | '\t'));
    match text.chars().find(|character| is_foreign(*character)) {
        Some(character) => Err(invalid(field, format!("holds the control character {}", character.escape_default()))),
        None => Ok(()),
    }
}
