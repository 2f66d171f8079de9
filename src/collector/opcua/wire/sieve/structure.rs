//! Structures in values. No tag can hold one; those that tell the range, the unit and the states of a variable are read when an address space
//! is browsed.

use opcua::types::ObjectId;

use super::{NO_STRUCTURE, Sieve};
use crate::wire::walk::{MalformedMessage, WalkResult};

const RANGE: u32 = ObjectId::Range_Encoding_DefaultBinary as u32;
const UNIT: u32 = ObjectId::EUInformation_Encoding_DefaultBinary as u32;
const STATE: u32 = ObjectId::EnumValueType_Encoding_DefaultBinary as u32;

impl Sieve<'_> {
    /// A value that is a structure, emptied where it is none of the known ones.
    pub(super) fn structure(&mut self) -> WalkResult<()> {
        self.unfit = Some("a structure");
        let begin = self.walk.out.len();
        self.walk.put(&[22]);
        if !self.known_structure()? {
            self.walk.out.truncate(begin + 1);
            self.walk.put(&NO_STRUCTURE);
        }
        Ok(())
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
