//! Compressed buffers of Flight, for the fuzz targets.

use std::io::{self, Read};

use lz4_flex::frame::FrameDecoder;

use super::lz4;

/// An LZ4 frame, which is found to be too long where it is.
pub fn lz4_frame(bytes: &[u8]) -> bool {
    const BYTES_MAX: usize = 1 << 20;
    const BLOCK_BYTES_MAX: u64 = 4 << 20;
    let exceeds = lz4::exceeds(bytes, BYTES_MAX);
    if let Ok(false) = exceeds {
        let read = io::copy(&mut FrameDecoder::new(bytes).take(2 * BLOCK_BYTES_MAX), &mut io::sink());
        assert!(read.is_err() || read.is_ok_and(|read| read <= BYTES_MAX as u64 + BLOCK_BYTES_MAX), "no more is read than was said");
    }
    exceeds.is_ok()
}
