//! What a structure is made of: the attribute `DataTypeDefinition` of its data type (OPC 10000-3, 8.48 and 8.51), as it lies on the wire.

use opcua::types::{NodeId, ObjectId};

use super::{
    path::DIMENSIONS_MAX,
    scalar::{node_id, text},
};
use crate::wire::walk::{MalformedMessage, MessageWalk, WalkResult};

/// Fields of one structure.
const FIELDS_MAX: usize = 4_096;
/// Fields that have a bit in the mask of optional fields.
const OPTIONAL_MAX: usize = 32;
/// Names that a sentence has.
const NAMES_SHOWN: usize = 20;
/// Likeness of two names, from 0 to 1, below which none is proposed for the other.
const LIKENESS_MIN: f64 = 0.6;

/// How the fields lie in the encoding (OPC 10000-6, 5.2.6 to 5.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructureForm {
    /// One behind the other.
    Plain,
    /// Behind a mask that says which of the optional ones are there.
    Optional,
    /// One of them behind its number from 1; 0 for none.
    Union,
}

/// Type of a structure.
#[derive(Clone, Debug, PartialEq)]
pub struct StructureShape {
    /// Id of the binary encoding; null where the server does not say.
    pub encoding: NodeId,
    pub form: StructureForm,
    /// In the order of the definition, which has those of the supertypes too.
    pub fields: Vec<FieldShape>,
}

/// A field of a structure.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldShape {
    pub name: String,
    pub data_type: NodeId,
    /// Dimensions of the array; 0 for a single value.
    pub rank: usize,
    pub is_optional: bool,
    /// It may be of any subtype, and says in each value of which.
    pub takes_subtypes: bool,
}

impl StructureShape {
    /// Reads a definition with the id of its encoding in front. `None` where it is one of an enumeration.
    ///
    /// # Errors
    /// It is none.
    pub fn of(definition: &[u8]) -> WalkResult<Option<StructureShape>> {
        let mut walk = MessageWalk::reader(definition);
        let kind = node_id(&mut walk)?;
        if walk.byte()? != 1 {
            return Err(MalformedMessage("it has no binary content"));
        }
        walk.length()?;
        if kind == ObjectId::EnumDefinition_Encoding_DefaultBinary {
            return Ok(None);
        }
        if kind != ObjectId::StructureDefinition_Encoding_DefaultBinary {
            return Err(MalformedMessage("it is neither that of a structure nor that of an enumeration"));
        }
        let encoding = node_id(&mut walk)?;
        node_id(&mut walk)?;
        let (form, subtypes) = match walk.number()? {
            0 => (StructureForm::Plain, false),
            1 => (StructureForm::Optional, false),
            2 => (StructureForm::Union, false),
            3 => (StructureForm::Plain, true),
            4 => (StructureForm::Union, true),
            _ => return Err(MalformedMessage("its kind of structure is not known")),
        };
        let count = walk.length()?.unwrap_or(0);
        if count > FIELDS_MAX {
            return Err(MalformedMessage("it has too many fields"));
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push(field(&mut walk, form, subtypes)?);
        }
        if fields.iter().filter(|field| field.is_optional).count() > OPTIONAL_MAX {
            return Err(MalformedMessage("it has more than 32 optional fields"));
        }
        if walk.position() != walk.end() {
            return Err(MalformedMessage("bytes are left behind it"));
        }
        Ok(Some(StructureShape { encoding, form, fields }))
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// The names of its fields, as far as a sentence has room.
    pub fn names(&self) -> String {
        if self.fields.is_empty() {
            return "no fields".to_owned();
        }
        let names: Vec<&str> = self.fields.iter().take(NAMES_SHOWN).map(|field| field.name.as_str()).collect();
        let more = self.fields.len() - names.len();
        if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
    }

    /// Why there is no field of this name, with what there is.
    pub fn without(&self, name: &str) -> String {
        let likeness = |field: &FieldShape| strsim::normalized_damerau_levenshtein(&field.name.to_lowercase(), &name.to_lowercase());
        let nearest = self.fields.iter().map(|field| (likeness(field), &field.name)).max_by(|a, b| a.0.total_cmp(&b.0));
        let nearest = nearest.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, name)| format!(", nearest is {name}"));
        format!("the structure has no field {name:?}{}; it has {}", nearest.unwrap_or_default(), self.names())
    }
}

fn field(walk: &mut MessageWalk<'_>, form: StructureForm, subtypes: bool) -> WalkResult<FieldShape> {
    let name = text(walk)?.unwrap_or_default().to_owned();
    // What it is for people.
    walk.localized()?;
    let data_type = node_id(walk)?;
    let rank = match walk.number()?.cast_signed() {
        -1 => 0,
        rank => usize::try_from(rank)
            .ok()
            .filter(|rank| (1..=DIMENSIONS_MAX).contains(rank))
            .ok_or(MalformedMessage("a field has no fixed number of dimensions"))?,
    };
    let dimensions = walk.length()?.unwrap_or(0);
    walk.take(dimensions.checked_mul(4).ok_or(MalformedMessage("a length is beyond all bounds"))?)?;
    walk.number()?;
    // The one mark says two things, by the kind of the structure.
    let mark = walk.byte()? != 0;
    let (is_optional, takes_subtypes) = (mark && form == StructureForm::Optional, mark && subtypes);
    Ok(FieldShape { name, data_type, rank, is_optional, takes_subtypes })
}
