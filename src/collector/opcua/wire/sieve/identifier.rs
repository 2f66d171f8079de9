//! Identifiers in values and in answers to Browse: node ids and qualified names.

use super::{Flaw, Sieve};
use crate::wire::walk::{MalformedMessage, Text, WalkResult};

impl<'a> Sieve<'a> {
    /// A value that is a node id, of this or of any server.
    pub(super) fn node_id(&mut self, kind: u8) -> WalkResult<Option<Flaw>> {
        self.walk.put(&[kind]);
        let text = self.copy_identifier(kind == 18)?;
        Ok(text.as_ref().and_then(|text| self.flaw(text)))
    }

    /// A value that is a name with the index of its namespace.
    pub(super) fn qualified_name(&mut self) -> WalkResult<Option<Flaw>> {
        self.walk.put(&[20]);
        self.walk.copy(2)?;
        let text = self.walk.text()?;
        let flaw = text.as_ref().and_then(|text| self.flaw(text));
        self.walk.put_bytes(text.as_ref().map(|text| text.text.as_bytes()));
        Ok(flaw)
    }

    /// Copies a node id; the text of one that is a text is returned, and readable in the copy.
    pub(super) fn copy_identifier(&mut self, expanded: bool) -> WalkResult<Option<Text<'a>>> {
        let form = self.walk.byte()?;
        let more = if expanded { form & 0xc0 } else { 0 };
        self.walk.put(&[form & 0x3f | more]);
        let mut identifier = None;
        match form & 0x3f {
            0 => self.walk.copy(1)?,
            1 => self.walk.copy(3)?,
            2 => self.walk.copy(6)?,
            3 => {
                self.walk.copy(2)?;
                let text = self.walk.text()?;
                self.walk.put_bytes(text.as_ref().map(|text| text.text.as_bytes()));
                identifier = text;
            }
            4 => self.walk.copy(18)?,
            5 => {
                self.walk.copy(2)?;
                self.walk.copy_bytes()?;
            }
            _ => return Err(MalformedMessage("a NodeId has an unknown form")),
        }
        if more & 0x80 != 0 {
            self.walk.copy_text()?;
        }
        if more & 0x40 != 0 {
            self.walk.copy(4)?;
        }
        Ok(identifier)
    }
}
