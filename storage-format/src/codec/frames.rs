//! Frames: signed numbers in blocks of 128, each packed as the distance from its block's own base.
//!
//! What `blocks` does for differences, for numbers of any level: a block costs the bits of its own
//! range. A full block of at most 32 bits lies in four columns, so that four numbers are packed and
//! unpacked by one vector instruction; the few numbers outside the range are kept beside the block.

use super::bits::{BitWriter, get_varint_64, mask, put_varint, unzigzag, varint_bytes, zigzag};
use super::blocks;
use crate::error::FieldFault;

/// Numbers per block; only the last one may hold fewer.
pub(crate) const BLOCK: usize = 128;

/// Set in a block's first byte when exceptions follow; the rest of the byte is the width.
const HAS_EXCEPTIONS: u8 = 0x80;

/// Columns of a full block.
const COLUMNS: usize = 4;

/// Widest numbers that are laid out in columns.
const COLUMN_WIDTH_MAX: u32 = 32;

/// Appends all blocks.
pub(crate) fn encode(numbers: &[i64], out: &mut Vec<u8>) {
    let mut base = 0;
    for block in numbers.chunks(BLOCK) {
        put_frame(block, &mut base, out);
    }
}

/// Bits that the block's range asks for: a quick look, for choosing between predictors.
pub(crate) fn range_bits(block: &[i64]) -> usize {
    let (least, most) = block.iter().fold((i64::MAX, i64::MIN), |(least, most), number| (least.min(*number), most.max(*number)));
    64 - most.wrapping_sub(least).cast_unsigned().leading_zeros() as usize
}

/// Bytes of all blocks without exceptions, about.
pub(crate) fn range_bytes(numbers: &[i64]) -> usize {
    numbers.chunks(BLOCK).map(|block| block.len() * range_bits(block) / 8 + 3).sum()
}

fn put_frame(numbers: &[i64], before: &mut i64, out: &mut Vec<u8>) {
    let shape = match quick_shape(numbers, *before) {
        Some((shape, offsets)) if shape.exceptions == 0 && numbers.len() == BLOCK => {
            put_head(shape, before, out);
            put_columns(&offsets, shape.width, out);
            return;
        }
        Some((shape, _)) => shape,
        None => best_shape(numbers),
    };
    put_head(shape, before, out);
    let BlockPacking { width, base, exceptions } = shape;
    let limit = mask(width);
    let offset = |number: &i64| number.wrapping_sub(base).cast_unsigned();
    let kept = |number: &i64| if offset(number) > limit { 0 } else { offset(number) };
    if numbers.len() == BLOCK && width <= COLUMN_WIDTH_MAX {
        let mut words = [0_u32; BLOCK];
        for (word, number) in words.iter_mut().zip(numbers) {
            *word = low_32(kept(number));
        }
        put_columns(&words, width, out);
    } else {
        let start = out.len();
        out.resize(start + packed_bytes(numbers.len(), width) + 16, 0);
        let mut writer = BitWriter::new(&mut out[start..]);
        for number in numbers {
            writer.put_wide(kept(number), width);
        }
        let len = writer.finish();
        out.truncate(start + len);
    }
    if exceptions > 0 {
        let wide = || numbers.iter().zip(0_u8..).filter(|(number, _)| offset(number) > limit);
        out.extend(wide().map(|(_, position)| position));
        wide().for_each(|(number, _)| put_varint(offset(number), out));
    }
}

/// How a block is packed.
#[derive(Clone, Copy)]
struct BlockPacking {
    width: u32,
    base: i64,
    exceptions: usize,
}

/// The shape of a block whose numbers are near the base of the one before, and the distances from its own
/// base; `None` when they are not near.
fn quick_shape(numbers: &[i64], before: i64) -> Option<(BlockPacking, [u32; BLOCK])> {
    let last = numbers.last()?.wrapping_sub(before);
    // A block that is not full is filled up with its last number.
    let mut words = [low_32(last.cast_unsigned()).cast_signed(); BLOCK];
    let mut beyond = 0;
    for (word, number) in words.iter_mut().zip(numbers) {
        let offset = number.wrapping_sub(before);
        beyond |= offset.wrapping_add(1 << 31).cast_unsigned() >> 32;
        *word = low_32(offset.cast_unsigned()).cast_signed();
    }
    if beyond != 0 {
        return None;
    }
    let (mut least, mut most) = (words[0], words[0]);
    for word in &words {
        least = if *word < least { *word } else { least };
        most = if *word > most { *word } else { most };
    }
    let range = most.wrapping_sub(least).cast_unsigned();
    let width = 32 - range.leading_zeros();
    let mut offsets = [0_u32; BLOCK];
    for (offset, word) in offsets.iter_mut().zip(&words) {
        *offset = word.wrapping_sub(least).cast_unsigned();
    }
    let top: u32 = offsets[..numbers.len()].iter().map(|offset| offset >> width.saturating_sub(1) & 1).sum();
    let base = before.wrapping_add(i64::from(least));
    let shape = BlockPacking { width, base, exceptions: 0 };
    // Where a few numbers lie far above or far below the others, leaving them out may pay.
    let shape = match top {
        _ if width <= 2 => shape,
        0..=8 => narrowed(shape, &offsets[..numbers.len()], 0, |offset| offset),
        _ if top + 8 >= numbers.len() as u32 => narrowed(shape, &offsets[..numbers.len()], range, |offset| range - offset),
        _ => shape,
    };
    Some((shape, offsets))
}

/// The narrower shape that pays most at three bytes an exception, or the same. `distance` is from the side
/// of the range at which the numbers gather, `end` the offset of that side when it is the upper one.
fn narrowed(shape: BlockPacking, offsets: &[u32], end: u32, distance: impl Fn(u32) -> u32) -> BlockPacking {
    let (mut best, mut best_gain) = (shape, 0);
    for narrower in 1..shape.width {
        let limit = mask_32(shape.width - narrower);
        let exceptions = offsets.iter().map(|offset| u32::from(distance(*offset) > limit)).sum::<u32>();
        let (gain, cost) = (narrower * offsets.len() as u32, exceptions * 24 + 8);
        if gain > cost + best_gain {
            best_gain = gain - cost;
            let base = shape.base.wrapping_add(i64::from(end.saturating_sub(limit)));
            best = BlockPacking { width: shape.width - narrower, base, exceptions: exceptions as usize };
        }
        if exceptions > 16 {
            break;
        }
    }
    best
}

const fn mask_32(width: u32) -> u32 {
    low_32(mask(width))
}

/// The shape at which the block is smallest.
fn best_shape(numbers: &[i64]) -> BlockPacking {
    let mut sorted = [0_i64; BLOCK];
    let sorted = &mut sorted[..numbers.len()];
    sorted.copy_from_slice(numbers);
    sorted.sort_unstable();
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        return BlockPacking { width: 0, base: 0, exceptions: 0 };
    };
    let bits = |range: i64| 64 - range.cast_unsigned().leading_zeros();
    let widest = bits(most.wrapping_sub(*least));
    let mut best = BlockPacking { width: widest, base: *least, exceptions: 0 };
    let mut best_bits = numbers.len() * widest as usize;
    for width in (0..widest).rev() {
        // The window of 2^width numbers that holds the most of them.
        let limit = mask(width);
        let (mut from, mut kept, mut base) = (0, 0, *least);
        for (to, number) in sorted.iter().enumerate() {
            while number.wrapping_sub(sorted[from]).cast_unsigned() > limit {
                from += 1;
            }
            if to + 1 - from > kept {
                (kept, base) = (to + 1 - from, sorted[from]);
            }
        }
        // Not all but `kept`: a number more than 2^63 below the base wraps around into the window.
        let outside = || sorted.iter().map(|number| number.wrapping_sub(base).cast_unsigned()).filter(|offset| *offset > limit);
        let own_bits = numbers.len() * width as usize;
        // Two bytes each at least: once that costs more than all, narrower ones do too.
        if own_bits + (numbers.len() - kept) * 16 >= best_bits + 8 * 16 {
            break;
        }
        let exceptions = outside().count();
        let bits = own_bits + 8 + (exceptions + outside().map(varint_bytes).sum::<usize>()) * 8;
        if bits < best_bits {
            best_bits = bits;
            best = BlockPacking { width, base, exceptions };
        }
    }
    best
}

fn put_head(shape: BlockPacking, before: &mut i64, out: &mut Vec<u8>) {
    let [width, ..] = shape.width.to_le_bytes();
    out.push(if shape.exceptions > 0 { width | HAS_EXCEPTIONS } else { width });
    put_varint(zigzag(shape.base.wrapping_sub(*before)), out);
    if shape.exceptions > 0 {
        let [exceptions, ..] = shape.exceptions.to_le_bytes();
        out.push(exceptions);
    }
    *before = shape.base;
}

/// Calls a function that is compiled for each width, with the one that is asked for.
macro_rules! for_width {
    ($width:expr, $function:ident($($argument:expr),*)) => {
        for_width!(@ $width, $function($($argument),*), 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    };
    (@ $width:expr, $function:ident $arguments:tt, $($number:literal)+) => {
        match $width {
            $($number => for_width!(! $function $arguments, $number),)+
            _ => {}
        }
    };
    (! $function:ident($($argument:expr),*), $number:literal) => { $function::<$number>($($argument),*) };
}

/// Calls a function for every row of a block, written out, so that all shifts are constants.
macro_rules! for_rows {
    ($function:ident $arguments:tt) => {
        for_rows!($function $arguments, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
    ($function:ident $arguments:tt, $($number:literal)+) => {{ $(for_rows!(! $function $arguments, $number);)+ }};
    (! $function:ident($($argument:expr),*), $number:literal) => { $function::<WIDTH>($($argument),*, $number) };
}

/// Number *i* goes to column `i % 4`; each column is a string of bits in words of 32, and the words of
/// the columns take turns.
fn put_columns(numbers: &[u32; BLOCK], width: u32, out: &mut Vec<u8>) {
    let mut words = [[0_u32; COLUMNS]; BLOCK / COLUMNS];
    for_width!(width, pack(numbers, &mut words));
    let mut bytes = [[0_u8; 4]; BLOCK];
    for (bytes, word) in bytes.iter_mut().zip(words.as_flattened()) {
        *bytes = word.to_le_bytes();
    }
    out.extend_from_slice(&bytes.as_flattened()[..BLOCK / 8 * width as usize]);
}

type PackedWords = [[u32; COLUMNS]; BLOCK / COLUMNS];

fn pack<const WIDTH: usize>(numbers: &[u32; BLOCK], words: &mut PackedWords) {
    let (rows, _) = numbers.as_chunks::<COLUMNS>();
    for_rows!(put_row(rows, words));
}

#[inline(always)]
fn put_row<const WIDTH: usize>(rows: &[[u32; COLUMNS]], words: &mut PackedWords, row: usize) {
    let (word, shift) = (row * WIDTH / 32, row * WIDTH % 32);
    for column in 0..COLUMNS {
        words[word][column] |= rows[row][column] << shift;
    }
    if shift + WIDTH > 32 {
        for column in 0..COLUMNS {
            words[word + 1][column] = rows[row][column] >> (32 - shift);
        }
    }
}

fn get_columns(bytes: &[u8], width: u32, numbers: &mut [u32; BLOCK]) {
    let mut words = [[0_u32; COLUMNS]; BLOCK / COLUMNS];
    for (word, bytes) in words.as_flattened_mut().iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    for_width!(width, unpack(&words, numbers));
}

fn unpack<const WIDTH: usize>(words: &PackedWords, numbers: &mut [u32; BLOCK]) {
    let (rows, _) = numbers.as_chunks_mut::<COLUMNS>();
    for_rows!(get_row(words, rows));
}

#[inline(always)]
fn get_row<const WIDTH: usize>(words: &PackedWords, rows: &mut [[u32; COLUMNS]], row: usize) {
    let (word, shift) = (row * WIDTH / 32, row * WIDTH % 32);
    for column in 0..COLUMNS {
        let mut number = words[word][column] >> shift;
        if shift + WIDTH > 32 {
            number |= words[word + 1][column] << (32 - shift);
        }
        rows[row][column] = number & mask_32(WIDTH as u32);
    }
}

/// Fills `numbers` from the blocks at `at`, and moves `at` past them.
pub(crate) fn decode(bytes: &[u8], at: &mut usize, numbers: &mut [i64]) -> Result<(), FieldFault> {
    let mut base = 0;
    numbers.chunks_mut(BLOCK).try_for_each(|block| get_frame(bytes, at, &mut base, block))
}

fn get_frame(bytes: &[u8], at: &mut usize, before: &mut i64, numbers: &mut [i64]) -> Result<(), FieldFault> {
    let start = *at;
    let Some(&first) = bytes.get(start) else {
        return Err(FieldFault::new("frame", start, "a width byte", "the end"));
    };
    let width = u32::from(first & !HAS_EXCEPTIONS);
    if width > 64 {
        return Err(FieldFault::new("width of a frame", start, "at most 64", width));
    }
    *at += 1;
    let base = before.wrapping_add(unzigzag(get_varint_64(bytes, at, "base of a frame")?));
    *before = base;
    let mut exceptions = 0;
    if first & HAS_EXCEPTIONS != 0 {
        exceptions = usize::from(bytes.get(*at).copied().unwrap_or(0));
        if exceptions == 0 || exceptions > numbers.len() {
            return Err(FieldFault::new("exceptions of a frame", *at, format!("1 to {}", numbers.len()), exceptions));
        }
        *at += 1;
    }
    let packed = packed_bytes(numbers.len(), width);
    let Some(body) = bytes[*at..].get(..packed) else {
        return Err(FieldFault::new("frame", *at, format!("{packed} bytes"), bytes.len() - *at));
    };
    *at += packed;
    if numbers.len() == BLOCK && width <= COLUMN_WIDTH_MAX {
        let mut words = [0; BLOCK];
        get_columns(body, width, &mut words);
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = base.wrapping_add(i64::from(word));
        }
    } else {
        let mut offsets = [0; BLOCK];
        let offsets = &mut offsets[..numbers.len()];
        blocks::unpack(body, width, offsets);
        for (number, offset) in numbers.iter_mut().zip(offsets) {
            *number = base.wrapping_add(offset.cast_signed());
        }
    }
    if exceptions > 0 {
        let positions_at = *at;
        let Some(positions) = bytes[*at..].get(..exceptions) else {
            return Err(FieldFault::new("exceptions of a frame", *at, format!("{exceptions} positions"), bytes.len() - *at));
        };
        *at += exceptions;
        let mut least = 0;
        for (index, position) in positions.iter().enumerate() {
            let position = usize::from(*position);
            if position < least || position >= numbers.len() {
                let expected = format!("a position from {least} to {}", numbers.len() - 1);
                return Err(FieldFault::new("exceptions of a frame", positions_at + index, expected, position));
            }
            numbers[position] = base.wrapping_add(get_varint_64(bytes, at, "exception of a frame")?.cast_signed());
            least = position + 1;
        }
    }
    Ok(())
}

/// Bytes that `count` numbers of `width` bits occupy.
const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
const fn low_32(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[i64]) -> usize {
        let mut bytes = vec![9];
        encode(numbers, &mut bytes);
        let len = bytes.len();
        for trailing in [0, 20] {
            bytes.resize(len + trailing, 0xA5);
            let mut read = vec![7; numbers.len()];
            let mut at = 1;
            decode(&bytes, &mut at, &mut read).unwrap();
            assert_eq!(read, numbers);
            assert_eq!(at, len);
        }
        for cut in 1..len {
            assert!(decode(&bytes[..cut], &mut 1, &mut vec![0; numbers.len()]).is_err());
        }
        len - 1
    }

    #[test]
    fn a_block_costs_its_own_range() {
        let numbers: Vec<i64> = (0..256).map(|i| if i < 128 { 1_000_000 + i % 8 } else { -5 + i % 4 }).collect();
        assert_eq!(round_trip(&numbers), 1 + 3 + 48 + 1 + 3 + 32);
        assert_eq!(round_trip(&[7; 128]), 2);
    }

    #[test]
    fn one_far_number_costs_little_above_and_below() {
        for far in [i64::MIN, -70_000, 70_000, i64::MAX] {
            let mut numbers: Vec<i64> = (0..128).map(|i| i * 37 % 8).collect();
            numbers[77] = far;
            assert!(round_trip(&numbers) < 2 + 48 + 13, "{far}");
        }
    }

    proptest! {
        #[test]
        fn every_width_reads_back(
            mut numbers in proptest::collection::vec(any::<i64>(), 0..400),
            shift in 0_u32..64,
            wide in proptest::collection::vec((any::<prop::sample::Index>(), any::<i64>()), 0..3),
        ) {
            for number in &mut numbers {
                *number >>= shift;
            }
            for (index, number) in wide {
                if !numbers.is_empty() {
                    let index = index.index(numbers.len());
                    numbers[index] = number;
                }
            }
            round_trip(&numbers);
        }

        #[test]
        fn garbage_is_an_error_or_numbers_that_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..600), count in 0_usize..400) {
            let mut numbers = vec![0; count];
            if decode(&bytes, &mut 0, &mut numbers).is_ok() {
                round_trip(&numbers);
            }
        }
    }
}
