//! The data types that one session has told, by their nodes and by the ids of their encodings.

use std::{collections::HashMap, sync::Arc};

use opcua::types::{DataTypeId, NodeId};

use super::{shape::StructureShape, untaken::UntakenField};
use historian_model::Quality;

/// Number of the built-in type of structures with the id of their type in front.
pub const EXTENSION_OBJECT: u8 = 22;
/// Number of the built-in type of values of any type.
pub const VARIANT: u8 = 24;
/// Data types, and as many encodings, that are known of one server.
const TYPES_MAX: usize = 4_096;
/// Bytes of definitions of one server that are kept: what they take in memory is a few times that.
const DEFINITION_BYTES_MAX: usize = 16 << 20;

/// What the values of a data type are.
#[derive(Clone, Debug)]
pub enum KnownShape {
    /// A built-in type by its number; enumerations are Int32.
    BuiltIn(u8),
    Structure(Arc<StructureShape>),
    /// Nobody can tell, and why.
    Untold(Arc<str>),
}

/// What the element of a field is.
#[derive(Clone, Copy, Debug)]
pub enum ElementShape<'a> {
    BuiltIn(u8),
    Structure(&'a StructureShape),
}

/// Data types and encodings of a server.
#[derive(Clone, Debug, Default)]
pub struct KnownShapes {
    types: HashMap<NodeId, KnownShape>,
    /// The data type of an encoding, or why nobody can tell it.
    encodings: HashMap<NodeId, Result<NodeId, Arc<str>>>,
    /// Of the definitions that are kept.
    definition_bytes: usize,
}

/// Number of a data type that is built in, or stands for one that is.
pub fn built_in(data_type: &NodeId) -> Option<u8> {
    const ENUMERATION: u32 = DataTypeId::Enumeration as u32;
    match data_type.as_u32().filter(|_| data_type.namespace == 0)? {
        number @ 1..=25 => u8::try_from(number).ok(),
        // Number, Integer, UInteger.
        26..=28 => Some(VARIANT),
        ENUMERATION => Some(6),
        _ => None,
    }
}

impl KnownShapes {
    /// Whether there is nothing more to ask about a data type.
    pub fn has_type(&self, data_type: &NodeId) -> bool {
        built_in(data_type).is_some() || self.types.contains_key(data_type)
    }

    pub fn has_encoding(&self, encoding: &NodeId) -> bool {
        self.encodings.contains_key(encoding)
    }

    /// How many types more it takes.
    pub fn room(&self) -> usize {
        TYPES_MAX.saturating_sub(self.types.len())
    }

    /// Makes room for a definition of so many bytes.
    ///
    /// # Errors
    /// Those of the server have more than is kept, in words.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), String> {
        let all = self.definition_bytes.saturating_add(bytes);
        if all > DEFINITION_BYTES_MAX {
            return Err(format!("the definitions of data types of one server may have {DEFINITION_BYTES_MAX} bytes together"));
        }
        self.definition_bytes = all;
        Ok(())
    }

    /// Takes a type, and the encoding that its definition names. One beyond the bound is left out, and told where it is met.
    pub fn add_type(&mut self, data_type: NodeId, shape: KnownShape) {
        if self.types.len() >= TYPES_MAX {
            return;
        }
        if let KnownShape::Structure(structure) = &shape
            && !structure.encoding.is_null()
        {
            self.add_encoding(structure.encoding.clone(), Ok(data_type.clone()));
        }
        self.types.insert(data_type, shape);
    }

    pub fn add_encoding(&mut self, encoding: NodeId, data_type: Result<NodeId, Arc<str>>) {
        if self.encodings.len() < TYPES_MAX {
            self.encodings.insert(encoding, data_type);
        }
    }

    /// # Errors
    /// Nobody can tell what values of this type are.
    pub fn element(&self, data_type: &NodeId) -> Result<ElementShape<'_>, UntakenField> {
        if let Some(number) = built_in(data_type) {
            return Ok(ElementShape::BuiltIn(number));
        }
        match self.types.get(data_type) {
            Some(KnownShape::BuiltIn(number)) => Ok(ElementShape::BuiltIn(*number)),
            Some(KnownShape::Structure(shape)) => Ok(ElementShape::Structure(shape)),
            Some(KnownShape::Untold(why)) => Err(UntakenField::new(Quality::BAD_NOT_SUPPORTED, &**why)),
            None => Err(UntakenField::new(
                Quality::BAD_NOT_SUPPORTED,
                format!("the data type {data_type} is not known; of one server {TYPES_MAX} are"),
            )),
        }
    }

    /// The structure that an encoding is of.
    ///
    /// # Errors
    /// It was not asked for yet, or nobody can tell.
    pub fn of_encoding(&self, encoding: &NodeId) -> Result<&StructureShape, UntakenField> {
        match self.encodings.get(encoding) {
            Some(Ok(data_type)) => match self.element(data_type)? {
                ElementShape::Structure(shape) => Ok(shape),
                ElementShape::BuiltIn(_) => Err(UntakenField::malformed("its type is no structure")),
            },
            Some(Err(why)) => Err(UntakenField::new(Quality::BAD_NOT_SUPPORTED, &**why)),
            None if self.encodings.len() >= TYPES_MAX => Err(UntakenField::new(
                Quality::BAD_NOT_SUPPORTED,
                format!("the encoding {encoding} is not known; of one server {TYPES_MAX} are"),
            )),
            None => Err(UntakenField {
                encoding: Some(encoding.clone()),
                ..UntakenField::new(
                    Quality::BAD_WAITING_FOR_INITIAL_DATA,
                    format!("the type of the structure, encoding {encoding}, was not known yet; the server is asked for it"),
                )
            }),
        }
    }
}
