//! Structures in values. Those that tell the range, the unit and the states of a variable pass as they are, and are read when an address space is
//! browsed. Any other is wrapped, so that the library keeps its bytes and decodes nothing of it: what is in it is taken out by the definition of its
//! type, outside of the transport.

use opcua::types::{ByteStringBody, ExtensionObject, NodeId, ObjectId, StatusCode};

use super::{Flaw, Sieve};
use crate::wire::walk::{MalformedMessage, WalkResult};

const RANGE: u32 = ObjectId::Range_Encoding_DefaultBinary as u32;
const UNIT: u32 = ObjectId::EUInformation_Encoding_DefaultBinary as u32;
const STATE: u32 = ObjectId::EnumValueType_Encoding_DefaultBinary as u32;
/// Type of the wrapping structure: 1 in a namespace that no server has, because its list of namespaces would be too long to be read.
const WRAPPED_NAMESPACE: u16 = u16::MAX;
const WRAPPED_NUMBER: u32 = 1;
/// Bytes of a structure that is taken.
const STRUCTURE_BYTES_MAX: usize = 1 << 20;

/// The bytes of a structure that was wrapped, with the id of its encoding in front; `None` for one that the library has decoded.
pub fn raw_structure(object: &ExtensionObject) -> Option<&[u8]> {
    let body = object.inner_as::<ByteStringBody>()?;
    (*body.encoding_id() == NodeId::new(WRAPPED_NAMESPACE, WRAPPED_NUMBER)).then(|| body.raw_body().as_ref())
}

impl Sieve<'_> {
    /// A value that is a structure.
    pub(super) fn structure(&mut self) -> WalkResult<Option<Flaw>> {
        self.walk.put(&[22]);
        self.known_or_wrapped_structure()
    }

    /// Copies a structure that is known and whole, and wraps any other.
    pub(super) fn known_or_wrapped_structure(&mut self) -> WalkResult<Option<Flaw>> {
        let (from, begin) = (self.walk.position(), self.walk.out.len());
        if self.known_structure()? {
            return Ok(None);
        }
        self.walk.out.truncate(begin);
        let length = self.walk.position() - from;
        if length > STRUCTURE_BYTES_MAX {
            let reason = format!("the structure has {length} bytes, more than {STRUCTURE_BYTES_MAX}");
            return Ok(Some(Flaw::new(StatusCode::BadEncodingLimitsExceeded, reason)));
        }
        self.walk.skip_to(from)?;
        // A NodeId with a number, and a body of bytes.
        self.walk.put(&[2]);
        self.walk.put(&WRAPPED_NAMESPACE.to_le_bytes());
        self.walk.put(&WRAPPED_NUMBER.to_le_bytes());
        self.walk.put(&[1]);
        self.walk.put_length(Some(length));
        self.walk.copy(length)?;
        Ok(None)
    }

    /// Copies a structure that is known and whole. Any other is passed over, false is the answer, and what was written of it is of no use.
    pub(super) fn known_structure(&mut self) -> WalkResult<bool> {
        let kind = self.walk.copy_node_id()?;
        let encoding = self.walk.byte()?;
        match encoding {
            0 => return Ok(false),
            1 | 2 => {}
            _ => return Err(MalformedMessage("a structure has an unknown encoding")),
        }
        let length = self.walk.length()?.unwrap_or(0);
        let end = self.walk.position().checked_add(length).ok_or(MalformedMessage("a length is beyond all bounds"))?;
        self.walk.put(&[encoding]);
        let place = self.walk.out.len();
        self.walk.put_length(Some(0));
        let copied = match (encoding, kind) {
            (1, Some(RANGE)) => self.walk.copy(16),
            (1, Some(UNIT)) => self.unit(),
            (1, Some(STATE)) => self.state(),
            _ => return self.walk.skip_to(end).map(|()| false),
        };
        let whole = copied.is_ok() && self.walk.position() == end;
        self.count(place, self.walk.out.len() - place - 4);
        self.walk.skip_to(end)?;
        Ok(whole)
    }

    /// URI, number, name and description of a unit.
    fn unit(&mut self) -> WalkResult<()> {
        self.walk.copy_text()?;
        self.walk.copy(4)?;
        self.walk.copy_localized()?;
        self.walk.copy_localized()
    }

    /// Number, name and description of a state.
    fn state(&mut self) -> WalkResult<()> {
        self.walk.copy(8)?;
        self.walk.copy_localized()?;
        self.walk.copy_localized()
    }
}
