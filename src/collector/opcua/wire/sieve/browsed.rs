//! Answers to `Browse` and `BrowseNext`: names in them may be in any encoding, and are made readable.

use super::{NO_ARRAY, Sieve};
use crate::wire::walk::WalkResult;

impl Sieve<'_> {
    pub(super) fn browsed(&mut self) -> WalkResult<()> {
        let results = self.walk.length()?;
        self.walk.put_length(results);
        for _ in 0..results.unwrap_or(0) {
            self.walk.copy(4)?;
            self.walk.copy_bytes()?;
            let references = self.walk.length()?;
            self.walk.put_length(references);
            for _ in 0..references.unwrap_or(0) {
                self.reference()?;
            }
        }
        self.walk.put(&NO_ARRAY);
        Ok(())
    }

    fn reference(&mut self) -> WalkResult<()> {
        self.copy_identifier(false)?;
        let forward = self.walk.byte()?;
        self.walk.put(&[u8::from(forward != 0)]);
        self.copy_identifier(true)?;
        self.walk.copy(2)?;
        self.walk.copy_text()?;
        self.walk.copy_localized()?;
        // One of eight classes, each a bit; the client library knows no others.
        let class = self.walk.number()?;
        let known = class.is_power_of_two() && class <= 128;
        self.walk.put(&if known { class } else { 0 }.to_le_bytes());
        self.copy_identifier(true)?;
        Ok(())
    }
}
