//! The watermark: the highest journal sequence known to be durable, kept beside the journal so that
//! a lost tail is noticed.

use crate::CorruptRecord;
use crate::error::FieldFault;

/// Name of the side file that holds the watermark.
pub const WATERMARK_FILE: &str = "WATERMARK";

/// Length of the watermark in bytes.
pub const WATERMARK_BYTES: usize = 16;

/// The watermark's bytes: sequence u64 LE, CRC32C of those 8 bytes u32 LE, four zero bytes.
#[must_use]
pub fn encode_watermark(sequence: u64) -> [u8; WATERMARK_BYTES] {
    let mut bytes = [0; WATERMARK_BYTES];
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..8]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The sequence in a watermark.
///
/// # Errors
/// [`CorruptRecord`] when length, checksum or padding are wrong.
pub fn decode_watermark(bytes: &[u8]) -> Result<u64, CorruptRecord> {
    let whole: [u8; WATERMARK_BYTES] =
        bytes.try_into().map_err(|_| FieldFault::new("length of the watermark", 0, WATERMARK_BYTES, bytes.len()).in_record(None))?;
    let sequence = whole.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if encode_watermark(sequence) != whole {
        let fault = FieldFault::new("checksum of the watermark", 8, format!("that of sequence {sequence}"), "another");
        return Err(fault.in_record(None));
    }
    Ok(sequence)
}

/// Name of the side file that holds the mark of the log.
pub const LOG_MARK_FILE: &str = "LOG_MARK";

/// Length of the mark of the log in bytes.
pub const LOG_MARK_BYTES: usize = 24;

/// The bytes of the mark of the log: number of the log file u64 LE, length in bytes that is known to be synced u64 LE, CRC32C of those 16
/// bytes u32 LE, four zero bytes.
#[must_use]
pub fn encode_log_mark(number: u64, synced_bytes: u64) -> [u8; LOG_MARK_BYTES] {
    let mut bytes = [0; LOG_MARK_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&synced_bytes.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..16]);
    bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Number and synced length in a mark of the log.
///
/// # Errors
/// [`CorruptRecord`] when length, checksum or padding are wrong.
pub fn decode_log_mark(bytes: &[u8]) -> Result<(u64, u64), CorruptRecord> {
    let whole: [u8; LOG_MARK_BYTES] =
        bytes.try_into().map_err(|_| FieldFault::new("length of the log's mark", 0, LOG_MARK_BYTES, bytes.len()).in_record(None))?;
    let at = |offset: usize| whole[offset..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (number, synced_bytes) = (at(0), at(8));
    if encode_log_mark(number, synced_bytes) != whole {
        let fault = FieldFault::new("checksum of the log's mark", 16, format!("that of log {number}, {synced_bytes} bytes"), "another");
        return Err(fault.in_record(None));
    }
    Ok((number, synced_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_in_the_mark_of_the_log_is_noticed() {
        let bytes = encode_log_mark(448, 436_000);
        assert_eq!(decode_log_mark(&bytes).unwrap(), (448, 436_000));
        for bit in 0..LOG_MARK_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_log_mark(&flipped).is_err(), "bit {bit}");
        }
        assert!(decode_log_mark(&bytes[..23]).is_err());
    }

    #[test]
    fn every_flip_is_noticed() {
        let bytes = encode_watermark(0x0102_0304_0506_0708);
        assert_eq!(decode_watermark(&bytes).unwrap(), 0x0102_0304_0506_0708);
        for bit in 0..WATERMARK_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_watermark(&flipped).is_err(), "bit {bit}");
        }
        assert!(decode_watermark(&bytes[..15]).is_err());
    }
}
