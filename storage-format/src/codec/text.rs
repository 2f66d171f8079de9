//! Texts end to end behind their lengths: what a raw column of texts is, and what the other codecs of texts are made of.

use super::bits::{get_varint, put_varint};
use crate::StringColumn;
use crate::error::FieldFault;

/// Most bytes of text that one column may decode to. Bounds what a constant column can expand to.
pub(crate) const BYTES_MAX: usize = 1 << 26;

/// Appends all lengths, then all text.
pub(crate) fn encode(strings: &StringColumn, out: &mut Vec<u8>) {
    for ends in strings.offsets().windows(2) {
        put_varint(u64::from(ends[1].abs_diff(ends[0])), out);
    }
    out.extend_from_slice(strings.bytes());
}

/// Appends `count` strings.
pub(crate) fn decode(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), FieldFault> {
    // Each length takes a byte or more: refuse before allocating for strings that cannot be there.
    if count > bytes.len() {
        return Err(FieldFault::new("lengths of a text column", 0, format!("{count} bytes or more"), bytes.len()));
    }
    let mut lengths = Vec::with_capacity(count);
    let mut at = 0;
    for _ in 0..count {
        lengths.push(get_varint(bytes, &mut at, "length of a text")?);
    }
    let text = utf8(&bytes[at..], at)?;
    let mut start = 0_usize;
    for length in lengths {
        let Some(one) = text.get(start..start.saturating_add(length)) else {
            return Err(FieldFault::new("text", at + start, format!("{length} bytes of whole characters"), "less or a part of one"));
        };
        push(out, one, at + start)?;
        start += length;
    }
    if start != text.len() {
        return Err(FieldFault::new("end of the text", at + start, bytes.len(), at + start));
    }
    Ok(())
}

/// The text in `bytes`, which begin at `at` in their column.
pub(crate) fn utf8(bytes: &[u8], at: usize) -> Result<&str, FieldFault> {
    std::str::from_utf8(bytes).map_err(|error| FieldFault::new("text", at + error.valid_up_to(), "UTF-8", "other bytes"))
}

/// Appends one text, which stands at `at` in its column.
pub(crate) fn push(out: &mut StringColumn, text: &str, at: usize) -> Result<(), FieldFault> {
    out.push(text).map_err(|_| FieldFault::new("room in the decode target", at, "less than 2 GiB of text", "more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_checked() {
        let read = |bytes: &[u8], count| decode(bytes, count, &mut StringColumn::new());
        assert!(read(b"\x01\x02abc", 2).is_ok());
        assert!(read(b"\x01\x02ab", 2).is_err(), "too short");
        assert!(read(b"\x01\x02abcd", 2).is_err(), "too long");
        assert!(read(b"\x01\xFF", 1).is_err(), "not UTF-8");
        assert!(read(b"\x01\x01\xC3\xA4", 2).is_err(), "a character torn in two");
    }
}
