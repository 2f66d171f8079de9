//! Text columns: each string's length and text, or one text for all.

use super::bits::{get_varint, put_varint};
use super::{ValueCodec, dictionary, verify};
use crate::StringColumn;
use crate::chunk::Effort;
use crate::error::Fault;

/// Most bytes of text that one column may decode to. Bounds what a constant column can expand to.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 26;

/// Distinct texts beyond which a dictionary is not tried.
const ENTRIES_MAX: usize = 4_096;

/// Zstandard's level: the default one.
const ZSTD_LEVEL: i32 = 3;

/// Columns of fewer bytes than this are not compressed: it would save little and cost a read of its own.
const ZSTD_BYTES_MIN: usize = 256;

/// Appends the column and tells which codec it took.
pub(crate) fn encode(strings: &StringColumn, effort: Effort, out: &mut Vec<u8>) -> ValueCodec {
    let count = strings.len();
    let first = strings.get(0);
    if count > 0 && (1..count).all(|index| strings.get(index) == first) {
        out.extend_from_slice(first.as_bytes());
        return ValueCodec::Constant;
    }
    let start = out.len();
    encode_raw(strings, out);
    let mut best = ValueCodec::Raw;
    let mut other = Vec::new();
    if encode_dictionary(strings, effort, &mut other) && other.len() < out.len() - start {
        best = ValueCodec::Dictionary;
    } else {
        other.clear();
    }
    // Texts that are nearly all different: messages, batch names. Left to compaction, as it takes its time.
    if effort == Effort::Cold && out.len() - start >= ZSTD_BYTES_MIN {
        let mut compressed = Vec::new();
        let least = if best == ValueCodec::Raw { out.len() - start } else { other.len() };
        if encode_zstd(&out[start..], &mut compressed) && compressed.len() < least {
            best = ValueCodec::Zstd;
            other = compressed;
        }
    }
    if best != ValueCodec::Raw {
        let mut read = StringColumn::new();
        let exact = effort == Effort::Hot || verify::exact(decode(best, &other, count, &mut read).is_ok() && read == *strings);
        if !exact {
            return ValueCodec::Raw;
        }
        out.truncate(start);
        out.append(&mut other);
    }
    best
}

/// Appends `count` strings.
pub(crate) fn decode(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), Fault> {
    match codec {
        ValueCodec::Raw => decode_raw(bytes, count, out),
        ValueCodec::Constant => decode_constant(bytes, count, out),
        ValueCodec::Dictionary => decode_dictionary(bytes, count, out),
        ValueCodec::Zstd => decode_zstd(bytes, count, out),
        other => Err(Fault::new("value codec", 0, "one for string", other.as_str())),
    }
}

/// Appends the distinct texts as a raw column behind its length, then the indexes.
fn encode_dictionary(strings: &StringColumn, effort: Effort, out: &mut Vec<u8>) -> bool {
    let Some((rows, indexes)) = dictionary::distinct_texts(strings, (strings.len() / 2).min(ENTRIES_MAX)) else {
        return false;
    };
    let mut texts = StringColumn::with_capacity(rows.len());
    if rows.iter().any(|row| texts.push(strings.get(*row)).is_err()) {
        return false;
    }
    let mut raw = Vec::new();
    encode_raw(&texts, &mut raw);
    put_varint(rows.len() as u64, out);
    put_varint(raw.len() as u64, out);
    out.append(&mut raw);
    dictionary::put_indexes(&indexes, effort, out);
    true
}

fn decode_dictionary(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), Fault> {
    let mut at = 0;
    let number = get_varint(bytes, &mut at, "entries of a dictionary")?;
    if number == 0 || number > count {
        return Err(Fault::new("entries of a dictionary", 0, format!("1 to {count}"), number));
    }
    let length = get_varint(bytes, &mut at, "length of the entries")?;
    let Some(raw) = bytes[at..].get(..length) else {
        return Err(Fault::new("entries of a dictionary", at, format!("{length} bytes"), bytes.len() - at));
    };
    let mut texts = StringColumn::new();
    decode_raw(raw, number, &mut texts).map_err(|fault| fault.shifted(at))?;
    at += length;
    let indexes = dictionary::get_indexes(bytes, at, count, number)?;
    let total = indexes.iter().map(|index| texts.get(*index as usize).len()).sum::<usize>();
    if total > TEXT_BYTES_MAX {
        return Err(Fault::new("text of a dictionary column", at, format!("at most {TEXT_BYTES_MAX} bytes"), total));
    }
    indexes.iter().try_for_each(|index| push(out, texts.get(*index as usize), at))
}

/// Appends the length of the raw column and the raw column, compressed.
fn encode_zstd(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(compressed) = zstd::bulk::compress(raw, ZSTD_LEVEL) else {
        return false;
    };
    put_varint(raw.len() as u64, out);
    out.extend_from_slice(&compressed);
    true
}

fn decode_zstd(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), Fault> {
    let mut at = 0;
    let length = get_varint(bytes, &mut at, "length of compressed text")?;
    // A length takes at most five bytes. Nothing is allocated for more than a column may hold.
    let limit = TEXT_BYTES_MAX + count * 5;
    if length > limit {
        return Err(Fault::new("length of compressed text", 0, format!("at most {limit}"), length));
    }
    let raw =
        zstd::bulk::decompress(&bytes[at..], length).map_err(|error| Fault::new("compressed text", at, "a Zstandard frame", error))?;
    if raw.len() != length {
        return Err(Fault::new("length of compressed text", at, length, raw.len()));
    }
    // The place of a fault in what was decompressed is no place in the chunk.
    decode_raw(&raw, count, out).map_err(|fault| Fault { offset: at, ..fault })
}

/// Appends all lengths, then all text.
pub(crate) fn encode_raw(strings: &StringColumn, out: &mut Vec<u8>) {
    for ends in strings.offsets().windows(2) {
        put_varint(u64::from(ends[1].abs_diff(ends[0])), out);
    }
    out.extend_from_slice(strings.bytes());
}

/// Appends `count >= 1` strings that are all the text in `bytes`.
pub(crate) fn decode_constant(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), Fault> {
    let total = bytes.len().saturating_mul(count);
    if total > TEXT_BYTES_MAX {
        return Err(Fault::new("text of a constant column", 0, format!("at most {TEXT_BYTES_MAX} bytes"), total));
    }
    let text = utf8(bytes, 0)?;
    (0..count).try_for_each(|_| push(out, text, 0))
}

/// Appends `count` strings.
pub(crate) fn decode_raw(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), Fault> {
    // Each length takes a byte or more: refuse before allocating for strings that cannot be there.
    if count > bytes.len() {
        return Err(Fault::new("lengths of a text column", 0, format!("{count} bytes or more"), bytes.len()));
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
            return Err(Fault::new("text", at + start, format!("{length} bytes of whole characters"), "less or a part of one"));
        };
        push(out, one, at + start)?;
        start += length;
    }
    if start != text.len() {
        return Err(Fault::new("end of the text", at + start, bytes.len(), at + start));
    }
    Ok(())
}

fn utf8(bytes: &[u8], at: usize) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| Fault::new("text", at + error.valid_up_to(), "UTF-8", "other bytes"))
}

fn push(out: &mut StringColumn, text: &str, at: usize) -> Result<(), Fault> {
    out.push(text).map_err(|_| Fault::new("room in the decode target", at, "less than 2 GiB of text", "more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_checked() {
        let read = |bytes: &[u8], count| decode_raw(bytes, count, &mut StringColumn::new());
        assert!(read(b"\x01\x02abc", 2).is_ok());
        assert!(read(b"\x01\x02ab", 2).is_err(), "too short");
        assert!(read(b"\x01\x02abcd", 2).is_err(), "too long");
        assert!(read(b"\x01\xFF", 1).is_err(), "not UTF-8");
        assert!(read(b"\x01\x01\xC3\xA4", 2).is_err(), "a character torn in two");
        assert!(decode_constant(&[b'a'; 2_000], 1 << 16, &mut StringColumn::new()).is_err(), "expands too far");
    }
}
