//! Text values of one run, laid out as Arrow lays out `Utf8`.

use std::ops::Range;

use crate::PushError;

/// Strings end to end in one buffer, with `len() + 1` offsets of which the first is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringColumn {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Default for StringColumn {
    fn default() -> Self {
        Self::new()
    }
}

impl StringColumn {
    /// An empty column.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty column with room for `strings` strings.
    #[must_use]
    pub fn with_capacity(strings: usize) -> Self {
        let mut offsets = Vec::with_capacity(strings + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::new() }
    }

    /// Number of strings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// True when there is no string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The string at `index`; empty beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        if index >= self.len() {
            return "";
        }
        // Every constructor keeps the text valid UTF-8, so the fallback is unreachable.
        std::str::from_utf8(&self.bytes[self.span(index..index + 1)]).unwrap_or_default()
    }

    /// Start of each string in `bytes()`, and after the last its end: `len() + 1` entries.
    #[must_use]
    pub fn offsets(&self) -> &[i32] {
        &self.offsets
    }

    /// The text of all strings.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Offsets and text, without a copy.
    #[must_use]
    pub fn into_parts(self) -> (Vec<i32>, Vec<u8>) {
        (self.offsets, self.bytes)
    }

    /// Appends one string.
    ///
    /// # Errors
    /// [`PushError::StringColumnFull`] when the text would pass `i32::MAX` bytes.
    pub fn push(&mut self, text: &str) -> Result<(), PushError> {
        self.check_room(text.len())?;
        self.bytes.extend_from_slice(text.as_bytes());
        self.push_end();
        Ok(())
    }

    /// Appends the strings of `other` in `range` (clamped to its length).
    ///
    /// # Errors
    /// [`PushError::StringColumnFull`] when the text would pass `i32::MAX` bytes.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) -> Result<(), PushError> {
        let range = range.start.min(other.len())..range.end.min(other.len());
        if range.is_empty() {
            return Ok(());
        }
        let span = other.span(range.clone());
        self.check_room(span.len())?;
        let base = self.offsets[self.len()] - other.offsets[range.start];
        self.bytes.extend_from_slice(&other.bytes[span]);
        self.offsets.extend(other.offsets[range.start + 1..=range.end].iter().map(|offset| offset + base));
        Ok(())
    }

    /// Keeps the first `len` strings; does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let end = self.span(0..len).end;
            self.offsets.truncate(len + 1);
            self.bytes.truncate(end);
        }
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.offsets.capacity() * size_of::<i32>() + self.bytes.capacity()
    }

    /// Bytes that the strings in `range` occupy. Offsets never decrease and are never negative.
    fn span(&self, range: Range<usize>) -> Range<usize> {
        let offset = |index: usize| usize::try_from(self.offsets[index]).unwrap_or(0);
        offset(range.start)..offset(range.end)
    }

    fn check_room(&self, more: usize) -> Result<(), PushError> {
        match self.bytes.len().checked_add(more).map(i32::try_from) {
            Some(Ok(_)) => Ok(()),
            _ => Err(PushError::StringColumnFull),
        }
    }

    /// `check_room` has shown that the length fits.
    fn push_end(&mut self) {
        self.offsets.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_extends_and_truncates() {
        let mut column = StringColumn::new();
        for text in ["", "open", "größer", ""] {
            column.push(text).unwrap();
        }
        let mut other = StringColumn::new();
        other.push("x").unwrap();
        other.extend_from(&column, 1..9).unwrap();
        assert_eq!((0..other.len()).map(|i| other.get(i)).collect::<Vec<_>>(), ["x", "open", "größer", ""]);
        assert_eq!(other.offsets(), [0, 1, 5, 13, 13]);
        other.truncate(2);
        assert_eq!(other.bytes(), b"xopen");
        assert_eq!(other.get(7), "");
        assert_eq!(other.into_parts(), (vec![0, 1, 5], b"xopen".to_vec()));
    }
}
