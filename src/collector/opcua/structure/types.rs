//! What is known of the structures of one device in the present session, for all that take values out of them.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use opcua::types::{BinaryEncodable, ContextOwned, NodeId, Variant};
use parking_lot::Mutex;

use super::{
    known::KnownShapes,
    path::FieldPath,
    reader::{self, TakenForm},
    untaken::UntakenField,
};
use crate::wire;
use historian_model::ValueType;

/// Encodings that wait to be asked for.
const ASKED_MAX: usize = 1_000;

/// The data types that the present session has told. Shared by the callback of notifications and the loop around the session.
#[derive(Debug, Default)]
pub struct StructureTypes {
    known: Mutex<Arc<KnownShapes>>,
    /// Encodings that came and are not known.
    asked: Mutex<HashSet<NodeId>>,
    text_bytes_max: AtomicUsize,
}

impl StructureTypes {
    /// What is known, to be added to.
    pub fn known(&self) -> KnownShapes {
        KnownShapes::clone(&self.known.lock())
    }

    /// From now on these types are known. `text_bytes_max` bounds a text that is taken.
    pub fn set(&self, known: KnownShapes, text_bytes_max: usize) {
        self.text_bytes_max.store(text_bytes_max, Ordering::Relaxed);
        *self.known.lock() = Arc::new(known);
    }

    /// Encodings that came since this was asked last, and that nothing is known of.
    pub fn asked(&self) -> Vec<NodeId> {
        let asked = std::mem::take(&mut *self.asked.lock());
        let known = self.known.lock();
        asked.into_iter().filter(|encoding| !known.has_encoding(encoding)).collect()
    }

    /// Takes a field of a structure, or all of it as a text, out of its bytes. Structures and arrays are for tags that are texts.
    ///
    /// # Errors
    /// Why there is no value.
    pub fn take(&self, object: &[u8], field: Option<&FieldPath>, value_type: ValueType) -> Result<Variant, UntakenField> {
        let form = TakenForm { as_text: value_type == ValueType::String, text_bytes_max: self.text_bytes_max.load(Ordering::Relaxed) };
        let known = Arc::clone(&self.known.lock());
        let taken = reader::take(object, &known, field.map(FieldPath::steps).unwrap_or_default(), form);
        if let Err(UntakenField { encoding: Some(encoding), .. }) = &taken {
            let mut asked = self.asked.lock();
            if asked.len() < ASKED_MAX {
                asked.insert(encoding.clone());
            }
        }
        taken
    }
}

/// The bytes of a value that is a structure, with the id of its encoding in front. `None` for any other value.
pub fn structure_bytes(value: &Variant) -> Option<Cow<'_, [u8]>> {
    let Variant::ExtensionObject(object) = value else { return None };
    if let Some(bytes) = wire::raw_structure(object) {
        return Some(Cow::Borrowed(bytes));
    }
    // One that the library knows is small.
    let context = ContextOwned::default();
    Some(Cow::Owned(object.encode_to_vec(&context.context())))
}
