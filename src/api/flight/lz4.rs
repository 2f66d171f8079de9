//! How much an LZ4 frame may become, before it is decompressed. A buffer of Arrow says how long it is when decompressed, but a reader of LZ4 frames
//! reads on to the end of the frame, whatever was said.

use std::io::{self, Read};

use lz4_flex::frame::FrameDecoder;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Lengths of blocks by the number in the header, from 4 on.
const BLOCKS_MAX: [usize; 4] = [64 << 10, 256 << 10, 1 << 20, 4 << 20];

/// Whether a frame becomes more than `bytes_max` bytes and one of its blocks (4 MiB at most), which is where a reader notices.
///
/// Writers fill all blocks but the last, and then counting them tells. Of a frame with short blocks it is found out by decompressing it to
/// nowhere, up to `bytes_max`.
///
/// # Errors
/// When it is no LZ4 frame.
pub fn exceeds(frame: &[u8], bytes_max: usize) -> io::Result<bool> {
    match bound(frame) {
        Some((bytes, block)) if bytes <= bytes_max.saturating_add(block) => Ok(false),
        _ => {
            let mut plain = FrameDecoder::new(frame).take((bytes_max as u64).saturating_add(1));
            Ok(io::copy(&mut plain, &mut io::sink())? > bytes_max as u64)
        }
    }
}

/// Most bytes that the blocks of a frame may hold, and the greatest length of one; `None` where the frame is of another form.
fn bound(frame: &[u8]) -> Option<(usize, usize)> {
    let rest = frame.strip_prefix(&MAGIC)?;
    let (&[flags, descriptor], _) = rest.split_first_chunk::<2>()?;
    if flags >> 6 != 1 {
        return None;
    }
    let block_max = *BLOCKS_MAX.get(usize::from(descriptor >> 4 & 7).checked_sub(4)?)?;
    // Flags and descriptor, what the flags tell, and the checksum of the header.
    let header = 3 + if flags & 0x08 != 0 { 8 } else { 0 } + if flags & 0x01 != 0 { 4 } else { 0 };
    let checksum = if flags & 0x10 != 0 { 4 } else { 0 };
    let mut rest = rest.get(header..)?;
    let mut bytes = 0_usize;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            return Some((bytes, block_max));
        }
        let stored = (length & 0x7FFF_FFFF) as usize;
        bytes = bytes.checked_add(if length >> 31 == 1 { stored } else { block_max })?;
        // A block that is cut short is the reader's to refuse.
        rest = after.get(stored + checksum..).unwrap_or_default();
    }
    Some((bytes, block_max))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::*;

    fn frame(info: FrameInfo, parts: &[&[u8]]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        for part in parts {
            encoder.write_all(part).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn a_frame_of_any_form_is_held_to_what_it_says_it_becomes() {
        let plain: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 1000) as u8).collect();
        let noise: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for mode in [BlockMode::Independent, BlockMode::Linked] {
                for checksums in [false, true] {
                    let info = || FrameInfo::new().block_size(size).block_mode(mode).block_checksums(checksums).content_checksum(checksums);
                    for text in [&plain, &noise] {
                        let whole = frame(info().content_size(Some(text.len() as u64)), &[text]);
                        assert!(bound(&whole).unwrap().0 >= text.len());
                        assert!(!exceeds(&whole, text.len()).unwrap());
                        let short = frame(info(), &text.chunks(1_000).collect::<Vec<_>>());
                        assert!(!exceeds(&short, text.len()).unwrap());
                        assert!(exceeds(&short, text.len() - 1).unwrap());
                    }
                    // What passes all the same is no more than one block.
                    let (bytes, block) = bound(&frame(info(), &[&plain])).unwrap();
                    assert!(bytes < plain.len() + block);
                    assert_eq!(exceeds(&frame(info(), &[&plain]), 8).unwrap(), bytes > 8 + block);
                }
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error_and_no_promise() {
        let whole = frame(FrameInfo::new(), &[&vec![7; 100_000]]);
        for cut in 0..whole.len() - 8 {
            // Refused, or no longer than was said.
            if let Ok(exceeded) = exceeds(&whole[..cut], 100_000) {
                assert!(!exceeded, "{cut}");
            }
        }
        assert!(exceeds(b"not a frame at all", 100).is_err());
    }
}
