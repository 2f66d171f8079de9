//! Arrays in values. An array of one element is what a server answers where an element was asked for by its index.

use super::{ARRAY, Flaw, Sieve, TEXT};
use crate::wire::walk::{WalkResult, size_of};

/// Elements of an array of texts that are kept: the namespaces of a server.
const TEXTS_MAX: usize = 65_536;
/// Elements that are kept of an array of localized texts or structures: names of states.
const NAMES_MAX: usize = 4_096;
/// Elements that are kept of an array of numbers: the lengths of another one.
const NUMBERS_MAX: usize = 64;

impl Sieve<'_> {
    /// Copies one element, texts, and a few of what describes an address space. No tag takes any other array: its type is all that is said
    /// of it.
    pub(super) fn array(&mut self, mask: u8) -> WalkResult<Option<Flaw>> {
        let kind = mask & 0x3f;
        let (begin, from) = (self.walk.out.len(), self.walk.position());
        let count = self.walk.length()?.unwrap_or(0);
        if count != 1 {
            self.unfit = Some("an array");
        }
        let is_plain = mask & 0x40 == 0 || count == 1;
        let kept = match kind {
            TEXT => count <= TEXTS_MAX,
            21 | 22 => count <= NAMES_MAX,
            1..=11 | 13 | 14 | 19 => count <= NUMBERS_MAX && is_plain,
            _ => false,
        };
        if !kept {
            self.walk.skip_to(from)?;
            self.walk.skip_elements(mask)?;
            // The client library knows no array of nulls or of reserved types.
            self.put_no_elements(if matches!(kind, 1..=25) { kind } else { 15 });
            return Ok(None);
        }
        self.walk.put(&[ARRAY | kind]);
        self.walk.put_length(Some(count));
        let (mut flaw, mut whole) = (None, true);
        for _ in 0..count {
            match kind {
                1 => {
                    let value = self.walk.byte()?;
                    self.walk.put(&[u8::from(value != 0)]);
                }
                TEXT | 21 => {
                    let text = if kind == TEXT { self.walk.text()? } else { self.walk.localized()?.1 };
                    if count == 1 {
                        flaw = text.as_ref().and_then(|text| self.flaw(text));
                    }
                    let text = text.as_ref().map(|text| &*text.text).filter(|text| text.len() <= self.limits.text_bytes_max);
                    if kind == TEXT { self.walk.put_bytes(text.map(str::as_bytes)) } else { self.walk.put_localized(None, text) }
                }
                22 if count == 1 => flaw = self.known_or_wrapped_structure()?,
                22 => whole &= self.known_structure()?,
                _ => self.walk.copy(size_of(kind).unwrap_or(0))?,
            }
        }
        if !whole {
            self.walk.out.truncate(begin);
            self.put_no_elements(kind);
        }
        self.walk.skip_dimensions(mask)?;
        Ok(flaw)
    }

    fn put_no_elements(&mut self, kind: u8) {
        self.walk.put(&[ARRAY | kind]);
        self.walk.put_length(Some(0));
    }
}
