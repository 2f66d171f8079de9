//! The watermark: the highest journal sequence known to be durable, kept beside the journal so that
//! a lost tail is noticed.

use crate::CorruptRecord;
use crate::error::Fault;

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
        bytes.try_into().map_err(|_| Fault::new("length of the watermark", 0, WATERMARK_BYTES, bytes.len()).in_record(None))?;
    let sequence = whole.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if encode_watermark(sequence) != whole {
        let fault = Fault::new("checksum of the watermark", 8, format!("that of sequence {sequence}"), "another");
        return Err(fault.in_record(None));
    }
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

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
