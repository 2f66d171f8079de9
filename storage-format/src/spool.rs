//! Segments of the spool: files of samples that were collected and wait to be stored. A header, and frames behind it.
//!
//! A frame is a journal record behind the time its first sample came. Frames are only ever appended; the mark in the header moves behind what
//! has been stored meanwhile. `spool.md` is the specification.

use crate::error::FieldFault;
use crate::journal::{decode_record, encode_record};
use crate::{CorruptRecord, EncodeError, Samples};

/// First bytes of a segment.
pub const SPOOL_MAGIC: [u8; 4] = *b"HSSP";

/// The version of segments this crate writes and reads.
pub const SPOOL_VERSION: u8 = 1;

/// Bytes before the first frame.
pub const SPOOL_HEADER_BYTES: usize = 40;

/// Offset of the mark in a segment.
pub const SPOOL_MARK_OFFSET: usize = 24;

/// Bytes of the mark.
pub const SPOOL_MARK_BYTES: usize = 16;

/// Bytes of a frame before its record.
pub const SPOOL_FRAME_HEADER_BYTES: usize = 16;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolHeader {
    /// Number of the segment: segments are read in the order of their numbers.
    pub number: u64,
    /// What stands before this offset is stored. Where the mark is damaged, the offset of the first frame.
    pub drained: u64,
}

/// The header of a segment of which nothing is stored yet.
#[must_use]
pub fn encode_spool_header(number: u64) -> [u8; SPOOL_HEADER_BYTES] {
    let mut bytes = [0; SPOOL_HEADER_BYTES];
    bytes[..4].copy_from_slice(&SPOOL_MAGIC);
    bytes[4] = SPOOL_VERSION;
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..16]);
    bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
    bytes[SPOOL_MARK_OFFSET..].copy_from_slice(&encode_spool_mark(SPOOL_HEADER_BYTES as u64));
    bytes
}

/// The mark: all before `drained` is stored. It is written at [`SPOOL_MARK_OFFSET`].
#[must_use]
pub fn encode_spool_mark(drained: u64) -> [u8; SPOOL_MARK_BYTES] {
    let mut bytes = [0; SPOOL_MARK_BYTES];
    bytes[..8].copy_from_slice(&drained.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..8]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The header at the beginning of a segment.
///
/// # Errors
/// [`CorruptRecord`] when it is cut short, of another version or damaged. A damaged mark is no error.
pub fn decode_spool_header(bytes: &[u8]) -> Result<SpoolHeader, CorruptRecord> {
    let fault = |what, offset, expected: String, found: String| FieldFault::new(what, offset, expected, found).in_record(None);
    let Some(header) = bytes.first_chunk::<SPOOL_HEADER_BYTES>() else {
        return Err(fault("length of a spool segment", 0, format!("at least {SPOOL_HEADER_BYTES}"), bytes.len().to_string()));
    };
    if header[..4] != SPOOL_MAGIC {
        return Err(fault("magic of a spool segment", 0, "HSSP".into(), String::from_utf8_lossy(&header[..4]).into_owned()));
    }
    if header[4] != SPOOL_VERSION {
        return Err(fault("version of a spool segment", 4, SPOOL_VERSION.to_string(), header[4].to_string()));
    }
    let checksum = crc32c::crc32c(&header[..16]).to_le_bytes();
    if header[16..20] != checksum || header[5..8] != [0; 3] || header[20..24] != [0; 4] {
        return Err(fault("checksum of a spool segment's header", 16, format!("{checksum:02x?}"), format!("{:02x?}", &header[16..20])));
    }
    let drained = u64_at(header, SPOOL_MARK_OFFSET);
    let is_sound = header[SPOOL_MARK_OFFSET..] == encode_spool_mark(drained) && drained >= SPOOL_HEADER_BYTES as u64;
    Ok(SpoolHeader { number: u64_at(header, 8), drained: if is_sound { drained } else { SPOOL_HEADER_BYTES as u64 } })
}

/// Whether these are the first bytes of a segment of a later version, which is to be left alone.
#[must_use]
pub fn spool_version(bytes: &[u8]) -> Option<u8> {
    let start = bytes.first_chunk::<5>()?;
    (start[..4] == SPOOL_MAGIC).then_some(start[4])
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolFrame {
    /// When its first sample came, ns since 1970, UTC.
    pub since: i64,
    /// Runs of samples, in the order they apply.
    pub runs: Vec<(u32, Samples)>,
    /// Bytes of the frame.
    pub bytes: usize,
}

/// Appends a frame.
///
/// # Errors
/// As [`encode_record`]; the output is left as it was.
pub fn encode_spool_frame<'a>(since: i64, runs: impl Iterator<Item = (u32, &'a Samples)>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; SPOOL_FRAME_HEADER_BYTES]);
    encode_record(runs, out).inspect_err(|_| out.truncate(start))?;
    let length = (out.len() - start - SPOOL_FRAME_HEADER_BYTES) as u32;
    let header = &mut out[start..start + SPOOL_FRAME_HEADER_BYTES];
    header[..8].copy_from_slice(&since.to_le_bytes());
    header[8..12].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..12]);
    header[12..].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// When the first sample of a frame came, and the bytes of the whole frame, by its first bytes; `None` where they are not those of a frame.
#[must_use]
pub fn spool_frame_length(bytes: &[u8]) -> Option<(i64, usize)> {
    let header = bytes.first_chunk::<SPOOL_FRAME_HEADER_BYTES>()?;
    let (told, checksum) = header.split_at(12);
    if checksum != crc32c::crc32c(told).to_le_bytes() {
        return None;
    }
    let length = u32::from_le_bytes(*told.last_chunk()?);
    let since = i64::from_le_bytes(*told.first_chunk()?);
    Some((since, SPOOL_FRAME_HEADER_BYTES + usize::try_from(length).ok()?))
}

/// The frame at the beginning of these bytes; others may follow.
///
/// # Errors
/// [`CorruptRecord`] when it is cut short or damaged.
pub fn decode_spool_frame(bytes: &[u8]) -> Result<SpoolFrame, CorruptRecord> {
    let cut = |expected: usize| FieldFault::new("length of a spool frame", 8, expected, bytes.len()).in_record(None);
    let Some((since, length)) = spool_frame_length(bytes) else {
        return Err(FieldFault::new("header of a spool frame", 0, "a frame", "other bytes").in_record(None));
    };
    let record = bytes.get(SPOOL_FRAME_HEADER_BYTES..length).ok_or_else(|| cut(length))?;
    let record = decode_record(record)?;
    if !record.deletions.is_empty() {
        return Err(FieldFault::new("deletions of a spool frame", SPOOL_FRAME_HEADER_BYTES + 12, 0, record.deletions.len()).in_record(None));
    }
    Ok(SpoolFrame { since, runs: record.runs, bytes: length })
}

/// The next offset at or behind `from` where a frame begins that is sound as a whole.
#[must_use]
pub fn find_spool_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let last = bytes.len().checked_sub(SPOOL_FRAME_HEADER_BYTES)?;
    (from..=last).find(|&at| spool_frame_length(&bytes[at..]).is_some() && decode_spool_frame(&bytes[at..]).is_ok())
}

fn u64_at(bytes: &[u8; SPOOL_HEADER_BYTES], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, ValueType};

    fn run(times: &[i64]) -> Samples {
        let mut samples = Samples::new(ValueType::F64);
        for &time in times {
            samples.push(time, Some(&Value::F64(time as f64)), 0).unwrap();
        }
        samples
    }

    fn frame(since: i64, times: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_spool_frame(since, [(7, &run(times))].into_iter(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_found_or_only_moves_the_mark_to_the_first_frame() {
        let mut header = encode_spool_header(42);
        header[SPOOL_MARK_OFFSET..].copy_from_slice(&encode_spool_mark(1_000));
        assert_eq!(decode_spool_header(&header).unwrap(), SpoolHeader { number: 42, drained: 1_000 });
        for bit in 0..8 * SPOOL_HEADER_BYTES {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode_spool_header(&flipped) {
                Ok(read) => assert_eq!((bit >= 8 * SPOOL_MARK_OFFSET, read), (true, SpoolHeader { number: 42, drained: 40 }), "{bit}"),
                Err(_) => assert!(bit < 8 * SPOOL_MARK_OFFSET, "{bit}"),
            }
        }
        for length in 0..SPOOL_HEADER_BYTES {
            decode_spool_header(&header[..length]).unwrap_err();
        }
        header[4] = 2;
        let told = decode_spool_header(&header).unwrap_err().to_string();
        assert!(told.contains("version of a spool segment at byte 4: expected 1, found 2"), "{told}");
        assert_eq!((spool_version(&header), spool_version(b"HSJN1")), (Some(2), None));
    }

    #[test]
    fn a_frame_that_is_cut_or_damaged_anywhere_is_none() {
        let whole = frame(5, &[1, 2, 3]);
        let read = decode_spool_frame(&[&whole[..], &[9; 50]].concat()).unwrap();
        assert_eq!(read, SpoolFrame { since: 5, runs: vec![(7, run(&[1, 2, 3]))], bytes: whole.len() });
        for length in 0..whole.len() {
            decode_spool_frame(&whole[..length]).unwrap_err();
        }
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            decode_spool_frame(&flipped).unwrap_err();
        }
    }

    #[test]
    fn the_frame_behind_damage_is_found() {
        let (first, second) = (frame(5, &[1, 2, 3]), frame(6, &[4]));
        let mut both = [&first[..], &second[..]].concat();
        assert_eq!(find_spool_frame(&both, 0), Some(0));
        both[9] ^= 1;
        assert_eq!(find_spool_frame(&both, 0), Some(first.len()));
        assert_eq!(find_spool_frame(&both[..both.len() - 1], 0), None);
        assert_eq!(find_spool_frame(&[0; 100], 0), None);
        assert_eq!(find_spool_frame(&[], 0), None);
    }
}
