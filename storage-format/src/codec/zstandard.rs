//! Texts as they are, compressed by Zstandard: for those that are nearly all different, as messages and names of batches are.

use super::bits::{get_varint, put_varint};
use super::choice::{Choice, Codec, lanes, misfit};
use super::text;
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{StringColumn, ValueType, Values};

/// Zstandard's level: the default one.
const LEVEL: i32 = 3;

/// Columns of fewer bytes than this are not compressed: it would save little and cost a read of its own.
const BYTES_MIN: usize = 256;

/// The codec of values.
pub(crate) struct Zstd;

impl Codec for Zstd {
    fn fits(value_type: ValueType) -> bool {
        matches!(value_type, ValueType::String)
    }

    fn offer(choice: &mut Choice<'_>) {
        // Left to compaction, as it takes its time.
        if choice.effort == Effort::Cold {
            choice.offer(|values, out| lanes!(values, String, texts => encode(texts, out), _ => false));
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, String, out => decode(bytes, count, out), other => Err(misfit("zstd", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        let mut texts = StringColumn::new();
        (0..count).try_for_each(|index| texts.push(&format!("batch {} released by {}", index * index, (noise() * 9.0) as u32))).unwrap();
        (Effort::Cold, Values::String(texts))
    }
}

/// Appends the length of the raw column and the raw column, compressed; false when that is not worth it.
fn encode(texts: &StringColumn, out: &mut Vec<u8>) -> bool {
    let mut raw = Vec::new();
    text::encode(texts, &mut raw);
    if raw.len() < BYTES_MIN {
        return false;
    }
    let Ok(compressed) = zstd::bulk::compress(&raw, LEVEL) else {
        return false;
    };
    put_varint(raw.len() as u64, out);
    out.extend_from_slice(&compressed);
    true
}

fn decode(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), FieldFault> {
    let mut at = 0;
    let length = get_varint(bytes, &mut at, "length of compressed text")?;
    // A length takes at most five bytes. Nothing is allocated for more than a column may hold.
    let limit = text::BYTES_MAX + count * 5;
    if length > limit {
        return Err(FieldFault::new("length of compressed text", 0, format!("at most {limit}"), length));
    }
    // Room for a length is made when the frame says the same of itself.
    let (frame, not_one) = (&bytes[at..], || FieldFault::new("compressed text", at, "a Zstandard frame", "other bytes"));
    let told = zstd::zstd_safe::get_frame_content_size(frame).map_err(|_| not_one())?;
    if let Some(told) = told.filter(|told| *told != length as u64) {
        return Err(FieldFault::new("length of compressed text", at, length, told));
    }
    let raw = zstd::bulk::decompress(frame, length).map_err(|error| FieldFault::new("compressed text", at, "a Zstandard frame", error))?;
    if raw.len() != length {
        return Err(FieldFault::new("length of compressed text", at, length, raw.len()));
    }
    // The place of a fault in what was decompressed is no place in the chunk.
    text::decode(&raw, count, out).map_err(|fault| FieldFault { offset: at, ..fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_unpacked_than_a_column_may_hold() {
        let refused = |length: usize, count| {
            let mut bytes = Vec::new();
            put_varint(length as u64, &mut bytes);
            bytes.extend_from_slice(b"no frame");
            decode(&bytes, count, &mut StringColumn::new()).unwrap_err().what
        };
        assert_eq!(refused(text::BYTES_MAX + 7 * 5, 7), "compressed text");
        assert_eq!(refused(text::BYTES_MAX + 7 * 5 + 1, 7), "length of compressed text");
    }

    #[test]
    fn another_length_than_that_of_the_text_is_refused() {
        let mut texts = StringColumn::new();
        (0..90).try_for_each(|index| texts.push(&format!("batch {index}"))).unwrap();
        let (mut raw, mut bytes) = (Vec::new(), Vec::new());
        text::encode(&texts, &mut raw);
        assert!(encode(&texts, &mut bytes));
        let frame = &bytes[crate::codec::bits::varint_bytes(raw.len() as u64)..];
        for length in [raw.len() - 1, raw.len(), raw.len() + 1] {
            let mut bytes = Vec::new();
            put_varint(length as u64, &mut bytes);
            bytes.extend_from_slice(frame);
            let mut read = StringColumn::new();
            assert_eq!(decode(&bytes, 90, &mut read).is_ok(), length == raw.len(), "{length}");
            assert_eq!(read == texts, length == raw.len());
            // Found before room is made for it.
            if length != raw.len() {
                assert_eq!(decode(&bytes, 90, &mut read).unwrap_err().what, "length of compressed text");
            }
        }
    }
}
