//! Blocks of up to 128 unsigned numbers, bit-packed at one width per block, with the few that are
//! wider kept beside them, so that a rare gap costs nine bytes instead of a wide block.
//!
//! Used by the codecs that turn a column into small numbers (`delta_of_delta`).

use super::bits::{BitWriter, load, load_padded, mask};
use crate::error::FieldFault;

/// Numbers per block; only the last block of a column may hold fewer.
pub(crate) const BLOCK: usize = 128;

/// Set in a block's first byte when exceptions follow; the rest of the byte is the width.
const HAS_EXCEPTIONS: u8 = 0x80;

/// Bits that one exception costs: its position and its full value.
const EXCEPTION_BITS: usize = 72;

/// Appends one block of 1 to 128 numbers.
pub(crate) fn put_block(numbers: &[u64], out: &mut Vec<u8>) {
    let all = numbers.iter().fold(0, |all, number| all | number);
    if all == 0 {
        out.push(0);
        return;
    }
    let widest = 64 - all.leading_zeros();
    let (width, exceptions) = if exceptions_may_pay(numbers, widest) { choose_width(numbers, widest) } else { (widest, 0) };
    let limit = mask(width);
    let [width_byte, ..] = width.to_le_bytes();
    if exceptions > 0 {
        out.extend_from_slice(&[width_byte | HAS_EXCEPTIONS, exceptions]);
    } else {
        out.push(width_byte);
    }
    let start = out.len();
    out.resize(start + packed_bytes(numbers.len(), width) + 16, 0);
    let mut writer = BitWriter::new(&mut out[start..]);
    if exceptions == 0 && width <= 56 {
        put_narrow(numbers, width, &mut writer);
    } else {
        for number in numbers {
            writer.put_wide(if *number > limit { 0 } else { *number }, width);
        }
    }
    let len = writer.finish();
    out.truncate(start + len);
    if exceptions > 0 {
        let wide = || numbers.iter().zip(0_u8..).filter(|(number, _)| **number > limit);
        out.extend(wide().map(|(_, position)| position));
        wide().for_each(|(number, _)| out.extend_from_slice(&number.to_le_bytes()));
    }
}

/// Writes numbers of at most 56 bits, several in one step where they fit.
fn put_narrow(numbers: &[u64], width: u32, writer: &mut BitWriter<'_>) {
    let (fours, rest) = if width <= 14 { numbers.as_chunks::<4>() } else { (&[][..], numbers) };
    for [a, b, c, d] in fours {
        writer.put(a | b << width | c << (2 * width) | d << (3 * width), 4 * width);
    }
    let (twos, rest) = if width <= 28 { rest.as_chunks::<2>() } else { (&[][..], rest) };
    for [a, b] in twos {
        writer.put(a | b << width, 2 * width);
    }
    for number in rest {
        writer.put(*number, width);
    }
}

/// A cheap look that spares most blocks the histogram of `choose_width`.
///
/// Narrowing by `d` bits saves `d` bits a number and costs `EXCEPTION_BITS` for each number it leaves
/// out. So narrowing by one bit pays for at most `len / EXCEPTION_BITS` numbers; narrowing by more
/// leaves out at least those that have one of the top two bits, and never saves more than all bits.
fn exceptions_may_pay(numbers: &[u64], widest: u32) -> bool {
    // Sums of shifted numbers instead of comparisons, which 64-bit SIMD lacks in a portable build.
    let second = widest.saturating_sub(2);
    let (mut top, mut top_two) = (0, 0);
    for number in numbers {
        let first_bit = number >> (widest - 1);
        top += first_bit;
        top_two += (first_bit | number >> second) & 1;
    }
    top as usize * EXCEPTION_BITS <= numbers.len() || top_two as usize * EXCEPTION_BITS <= numbers.len() * widest as usize
}

/// The width at which the block is smallest, and how many numbers are wider than it.
fn choose_width(numbers: &[u64], widest: u32) -> (u32, u8) {
    // Two histograms, so that equal neighbours do not wait for each other's increment.
    let mut widths = [[0_u8; 65]; 2];
    for pair in numbers.chunks(2) {
        widths[0][64 - pair[0].leading_zeros() as usize] += 1;
        if let Some(second) = pair.get(1) {
            widths[1][64 - second.leading_zeros() as usize] += 1;
        }
    }
    let mut best = (widest, 0_u8);
    let mut best_bits = numbers.len() * widest as usize;
    let mut exceptions = 0;
    for width in (0..widest).rev() {
        let wider = width as usize + 1;
        exceptions += widths[0][wider] + widths[1][wider];
        let exception_bits = usize::from(exceptions) * EXCEPTION_BITS + 8;
        if exception_bits >= best_bits {
            break;
        }
        let bits = numbers.len() * width as usize + exception_bits;
        if bits < best_bits {
            best_bits = bits;
            best = (width, exceptions);
        }
    }
    best
}

/// Fills `numbers`, at most 128, from the block at `at`, and moves `at` past it.
pub(crate) fn get_block(bytes: &[u8], at: &mut usize, numbers: &mut [u64]) -> Result<(), FieldFault> {
    let start = *at;
    let Some(&first) = bytes.get(start) else {
        return Err(FieldFault::new("block of packed numbers", start, "a width byte", "the end"));
    };
    let width = u32::from(first & !HAS_EXCEPTIONS);
    if width > 64 {
        return Err(FieldFault::new("width of packed numbers", start, "at most 64", width));
    }
    let mut next = start + 1;
    let mut exceptions = 0;
    if first & HAS_EXCEPTIONS != 0 {
        exceptions = usize::from(bytes.get(next).copied().unwrap_or(0));
        if exceptions == 0 || exceptions > numbers.len() {
            return Err(FieldFault::new("exceptions of packed numbers", next, format!("1 to {}", numbers.len()), exceptions));
        }
        next += 1;
    }
    let packed = packed_bytes(numbers.len(), width);
    let positions_at = next + packed;
    let end = positions_at + exceptions * 9;
    if end > bytes.len() {
        return Err(FieldFault::new("block of packed numbers", start, format!("{} bytes", end - start), bytes.len() - start));
    }
    unpack(&bytes[next..], width, numbers);
    if exceptions > 0 {
        let (positions, values) = bytes[positions_at..end].split_at(exceptions);
        let mut least = 0;
        for (index, position) in positions.iter().enumerate() {
            let position = usize::from(*position);
            if position < least || position >= numbers.len() {
                let expected = format!("a position from {least} to {}", numbers.len() - 1);
                return Err(FieldFault::new("exceptions of packed numbers", positions_at + index, expected, position));
            }
            numbers[position] = load(values, index * 8);
            least = position + 1;
        }
    }
    *at = end;
    Ok(())
}

/// Bytes that `count` numbers of `width` bits occupy.
const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Reads `numbers.len()` numbers of `width` bits; `bytes` may reach further, which only makes it faster.
pub(crate) fn unpack(bytes: &[u8], width: u32, numbers: &mut [u64]) {
    let step = width as usize;
    let low = mask(width);
    if width == 0 {
        numbers.fill(0);
        return;
    }
    if width > 56 {
        for (index, number) in numbers.iter_mut().enumerate() {
            let bit = index * step;
            let shift = bit % 8;
            let word = u128::from(load_padded(bytes, bit / 8)) | u128::from(load_padded(bytes, bit / 8 + 8)) << 64;
            let [low_half, ..] = split(word >> shift);
            *number = low_half & low;
        }
        return;
    }
    // A load takes 8 bytes; near the end of the column there may be fewer.
    let safe = if bytes.len() < 8 { 0 } else { ((bytes.len() - 8) * 8 / step + 1).min(numbers.len()) };
    let (whole, tail) = numbers.split_at_mut(safe);
    let mut bit = 0;
    let (fours, whole) = if width <= 14 { whole.as_chunks_mut::<4>() } else { (&mut [][..], whole) };
    for four in fours {
        let mut word = load(bytes, bit / 8) >> (bit % 8);
        for number in four {
            *number = word & low;
            word >>= width;
        }
        bit += 4 * step;
    }
    for number in whole {
        *number = load(bytes, bit / 8) >> (bit % 8) & low;
        bit += step;
    }
    for number in tail {
        *number = load_padded(bytes, bit / 8) >> (bit % 8) & low;
        bit += step;
    }
}

/// The low and the high half of a word.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is asked for")]
const fn split(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[u64]) -> usize {
        let mut bytes = vec![9];
        put_block(numbers, &mut bytes);
        let len = bytes.len();
        for trailing in [0, 1, 20] {
            bytes.resize(len + trailing, 0xA5);
            let mut read = vec![7; numbers.len()];
            let mut at = 1;
            get_block(&bytes, &mut at, &mut read).unwrap();
            assert_eq!(read, numbers);
            assert_eq!(at, len);
        }
        len - 1
    }

    #[test]
    fn one_wide_number_costs_eleven_bytes() {
        let mut numbers = [1_u64; BLOCK];
        assert_eq!(round_trip(&numbers), 1 + 16);
        numbers[77] = u64::MAX;
        assert_eq!(round_trip(&numbers), 2 + 16 + 9);
        assert_eq!(round_trip(&[0; BLOCK]), 1);
        assert_eq!(round_trip(&[u64::MAX; BLOCK]), 1 + 1024);
    }

    #[test]
    fn truncated_blocks_are_refused() {
        let mut numbers = [5_u64; 100];
        numbers[3] = 1 << 40;
        let mut bytes = Vec::new();
        put_block(&numbers, &mut bytes);
        for len in 0..bytes.len() {
            assert!(get_block(&bytes[..len], &mut 0, &mut [0; 100]).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_width_reads_back(
            mut numbers in proptest::collection::vec(any::<u64>(), 1..=BLOCK),
            shift in 0_u32..64,
            wide in proptest::option::of((any::<prop::sample::Index>(), any::<u64>())),
        ) {
            for number in &mut numbers {
                *number >>= shift;
            }
            if let Some((index, number)) = wide {
                let index = index.index(numbers.len());
                numbers[index] = number;
            }
            round_trip(&numbers);
        }

        #[test]
        fn garbage_is_an_error_or_numbers_that_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..400), count in 1_usize..=BLOCK) {
            let mut numbers = vec![0; count];
            if get_block(&bytes, &mut 0, &mut numbers).is_ok() {
                round_trip(&numbers);
            }
        }
    }
}
