//! Encodes a run of samples as a chunk.

use super::header::{CHUNK_HEADER_BYTES, ChunkHeader};
use super::statistics::Statistics;
use super::{CHUNK_SAMPLES_MAX, CHUNK_TEXT_BYTES_MAX};
use crate::codec::{presence, quality, timestamps, values};
use crate::effort::Effort;
use crate::{EncodeError, Samples, Values};

/// [`encode_chunk_with`] at [`Effort::Hot`].
///
/// # Errors
/// As [`encode_chunk_with`].
pub fn encode_chunk(tag_id: u32, sequence: u64, samples: &Samples, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_chunk_with(tag_id, sequence, samples, Effort::Hot, out)
}

/// Appends one chunk to `out`: `samples` of the tag, with strictly increasing timestamps, 1 to
/// [`CHUNK_SAMPLES_MAX`] of them.
///
/// `sequence` orders chunks by age: where chunks overlap, the sample of the higher sequence wins.
/// The same samples and effort always give the same bytes.
///
/// # Errors
/// [`EncodeError`] when the run is empty, too long, out of order or its columns differ in length;
/// `out` is then as it was.
pub fn encode_chunk_with(tag_id: u32, sequence: u64, samples: &Samples, effort: Effort, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check(tag_id, samples)?;
    let statistics = Statistics::of(samples);
    let start = out.len();
    out.resize(start + CHUNK_HEADER_BYTES, 0);
    let body = out.len();
    let timestamp_codec = timestamps::encode(&samples.timestamps, effort, out);
    let after_timestamps = out.len();
    let presence_codec = presence::encode(samples.validity.as_ref(), out);
    let after_presence = out.len();
    let value_codec = match &samples.validity {
        Some(validity) if statistics.null_count > 0 => values::encode(&presence::present(&samples.values, validity), effort, out),
        _ => values::encode(&samples.values, effort, out),
    };
    let after_values = out.len();
    let quality_codec = quality::encode(&samples.qualities, effort, out);
    let header = ChunkHeader {
        tag_id,
        sequence,
        value_type: samples.value_type(),
        timestamp_codec,
        presence_codec,
        value_codec,
        quality_codec,
        timestamps_bytes: after_timestamps - body,
        presence_bytes: after_presence - after_timestamps,
        values_bytes: after_values - after_presence,
        qualities_bytes: out.len() - after_values,
        body_checksum: crc32c::crc32c(&out[body..]),
        statistics,
    };
    out[start..body].copy_from_slice(&header.to_bytes());
    Ok(())
}

fn check(tag_id: u32, samples: &Samples) -> Result<(), EncodeError> {
    check_columns(tag_id, samples)?;
    let count = samples.len();
    if count == 0 {
        return Err(EncodeError::Empty { tag_id });
    }
    if count > CHUNK_SAMPLES_MAX {
        return Err(EncodeError::TooManySamples { tag_id, count, limit: CHUNK_SAMPLES_MAX });
    }
    if !samples.is_sorted_strictly() {
        let index = samples.timestamps.windows(2).position(|pair| pair[0] >= pair[1]).map_or(0, |index| index + 1);
        return Err(EncodeError::NotIncreasing { tag_id, index });
    }
    if let Values::String(strings) = &samples.values
        && strings.bytes().len() > CHUNK_TEXT_BYTES_MAX
    {
        let bytes = strings.bytes().len();
        return Err(EncodeError::TooMuchText { tag_id, bytes, limit: CHUNK_TEXT_BYTES_MAX });
    }
    Ok(())
}

/// The fields of `Samples` are public, so their lengths are checked rather than trusted.
pub(crate) fn check_columns(tag_id: u32, samples: &Samples) -> Result<(), EncodeError> {
    let expected = samples.timestamps.len();
    let validity = samples.validity.as_ref().map_or(expected, crate::Bitmap::len);
    for (column, found) in [("values", samples.values.len()), ("qualities", samples.qualities.len()), ("validity", validity)] {
        if found != expected {
            return Err(EncodeError::UnevenColumns { tag_id, column, expected, found });
        }
    }
    Ok(())
}
