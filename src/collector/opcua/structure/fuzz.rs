//! What a server says of its types and sends of them, for the fuzz targets.

use std::sync::Arc;

use opcua::types::{NodeId, Variant};

use super::{
    known::{KnownShape, KnownShapes},
    path::FieldStep,
    reader::{self, TakenForm},
    shape::StructureShape,
};

/// Longest text that is taken.
const TEXT_BYTES_MAX: usize = 4_096;

/// A definition behind its length in two bytes, and a structure behind it, which is taken apart by that definition whatever type it says.
/// The type is that of its own fields, too, where they are of the type `i=1000`.
pub fn structure(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let Some((definition, object)) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length))) else { return false };
    let Ok(Some(shape)) = StructureShape::of(definition) else { return false };
    let mut steps = vec![Vec::new()];
    for field in shape.fields.iter().take(8) {
        let name = FieldStep::Name(field.name.clone());
        steps.push(vec![name.clone(), FieldStep::Element(vec![0; field.rank.max(1)])]);
        steps.push(vec![name]);
    }
    let mut known = KnownShapes::default();
    known.add_type(NodeId::new(0, 1_000_u32), KnownShape::Structure(Arc::new(shape)));
    let mut took = false;
    for steps in steps {
        for as_text in [true, false] {
            let taken = reader::take(object, &known, &steps, TakenForm { as_text, text_bytes_max: TEXT_BYTES_MAX });
            if let Ok(Variant::String(text)) = &taken {
                assert!(text.as_ref().len() <= TEXT_BYTES_MAX, "{} bytes", text.as_ref().len());
            }
            took |= taken.is_ok();
        }
    }
    took
}
