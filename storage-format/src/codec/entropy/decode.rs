//! Two strings of bits become numbers, in turns, each from its first number to its last.

use super::frequency::{TABLE_BITS_MAX, get_frequencies};
use super::state::{STATES, mask_32, middle, spread};
use super::token::{DIRECT, TOKENS, raw_bits};
use crate::codec::bits::{get_varint, get_varint_64, load, load_padded, mask, unzigzag};
use crate::error::FieldFault;

/// What a state tells: its token's number but for the raw bits, and how the next state follows.
#[derive(Clone, Copy, Default)]
#[repr(align(8))]
struct DecodeEntry {
    next: u16,
    /// As many set bits as the next state takes from the string.
    mask: u16,
    /// The number itself; of a token with raw bits, the leading bits and the last one of the zigzag number.
    number: i16,
    width: u8,
    raw: u8,
}

/// Of a fixed size, so that no state needs a check; a smaller table leaves the rest unused.
type DecodeTable = [DecodeEntry; 1 << TABLE_BITS_MAX];

/// What every state tells.
fn decode_table(frequencies: &[u16; TOKENS], table_bits: u32) -> Box<DecodeTable> {
    let mut table = Box::new([DecodeEntry::default(); 1 << TABLE_BITS_MAX]);
    // The states of a token get their numbers in the order of the table, and not in the one in which `spread` comes by: so first who is
    // where, then from the first state to the last.
    spread(frequencies, table_bits, |place, token| table[place & LOW].next = token);
    let mut seen = [TableToken::default(); TOKENS];
    for ((token, frequency), seen) in (0_u16..).zip(frequencies).zip(&mut seen).filter(|((_, frequency), _)| **frequency > 0) {
        let raw = raw_bits(token);
        let number = if raw == 0 { unzigzag(u64::from(token)) as i16 } else { (8 | token & 0b111).cast_signed() };
        *seen = TableToken { state: *frequency, number, raw: raw as u8 };
    }
    for slot in &mut table[..1 << table_bits] {
        let Some(TableToken { state, number, raw }) = seen.get_mut(usize::from(slot.next)) else { continue };
        let width = table_bits - u32::from(*state).ilog2();
        *slot = DecodeEntry {
            next: ((u32::from(*state) << width) - (1 << table_bits)) as u16,
            mask: mask_32(width) as u16,
            number: *number,
            width: width as u8,
            raw: *raw,
        };
        *state += 1;
    }
    table
}

/// A token while the table is made.
#[derive(Clone, Copy, Default)]
#[repr(align(8))]
struct TableToken {
    /// Its next state.
    state: u16,
    number: i16,
    raw: u8,
}

/// How many of a column's tokens have raw bits.
#[derive(Clone, Copy)]
#[repr(u8)]
enum RawBits {
    None,
    /// So few that four in a row often have none.
    Some,
    Most,
}

impl RawBits {
    fn of(frequencies: &[u16; TOKENS], table_bits: u32) -> Self {
        let states: u32 = frequencies[DIRECT as usize..].iter().map(|frequency| u32::from(*frequency)).sum();
        match states {
            0 => Self::None,
            few if few < 1 << table_bits >> 3 => Self::Some,
            _ => Self::Most,
        }
    }
}

/// Reads states and raw bits of one string, from the first number to the last.
struct EntropyReader {
    /// The string and zeros behind it: frequent numbers take so few bits that a short string has many.
    stream: Vec<u8>,
    length: usize,
    bit: usize,
    states: [usize; STATES],
}

/// The bits of a state.
const LOW: usize = (1 << TABLE_BITS_MAX) - 1;

/// Bytes from the one at hand on that `four_raw` looks at.
const WINDOW: usize = 48;

impl EntropyReader {
    fn new(string: &[u8], table_bits: u32) -> Self {
        let at = |index: u32| index * table_bits;
        let states = [0, 1, 2, 3].map(|index| (wide(string, at(index) as usize) & mask(table_bits)) as usize);
        let mut stream = Vec::with_capacity(string.len() + WINDOW);
        stream.extend_from_slice(string);
        stream.resize(string.len() + WINDOW, 0);
        Self { stream, length: string.len(), bit: at(STATES as u32) as usize, states }
    }

    /// The next four numbers. At least `WINDOW` bytes must be left.
    #[inline(always)]
    fn four<const RAW: u8>(&mut self, table: &DecodeTable, base: i64, four: &mut [i64; STATES]) {
        let entries = self.states.map(|state| table[state & LOW]);
        let any_raw = || entries.iter().fold(0, |any, entry| any | entry.raw) > 0;
        let is_raw = RAW == RawBits::Most as u8 || (RAW == RawBits::Some as u8 && any_raw());
        if is_raw {
            self.four_raw(entries, base, four);
        } else {
            self.four_direct(entries, base, four);
        }
    }

    /// Without raw bits: one load has the bits of all four states.
    #[inline(always)]
    fn four_direct(&mut self, entries: [DecodeEntry; STATES], base: i64, four: &mut [i64; STATES]) {
        let word = load(&self.stream, self.bit / 8) >> (self.bit % 8);
        let mut used = 0_u32;
        for ((number, state), entry) in four.iter_mut().zip(&mut self.states).zip(entries) {
            *state = usize::from(entry.next) + usize::from((word >> used) as u16 & entry.mask);
            used += u32::from(entry.width);
            *number = base.wrapping_add(i64::from(entry.number));
        }
        self.bit += used as usize;
    }

    #[inline(always)]
    fn four_raw(&mut self, entries: [DecodeEntry; STATES], base: i64, four: &mut [i64; STATES]) {
        // A number takes at most 60 raw bits and 11 of its state.
        let window = &self.stream[self.bit / 8..self.bit / 8 + WINDOW];
        let begin = self.bit % 8;
        let mut bit = begin;
        for ((number, state), entry) in four.iter_mut().zip(&mut self.states).zip(entries) {
            let low = load(window, bit / 8) >> (bit % 8) & 0xFFFF_FFFF;
            let high = load(window, bit / 8 + 4) >> (bit % 8);
            let raw = (low | high << 32) & ((1 << entry.raw) - 1);
            bit += usize::from(entry.raw);
            let word = load(window, bit / 8) >> (bit % 8);
            *state = usize::from(entry.next) + usize::from(word as u16 & entry.mask);
            bit += usize::from(entry.width);
            *number = number_of(entry, raw, base);
        }
        self.bit += bit - begin;
    }

    /// The last numbers; bits beyond the end of the string are zero. True when they end where it does.
    fn rest(&mut self, table: &DecodeTable, base: i64, numbers: &mut [i64]) -> bool {
        for (index, number) in numbers.iter_mut().enumerate() {
            let state = &mut self.states[index % STATES];
            let entry = table[*state & LOW];
            let raw = wide(&self.stream, self.bit) & mask(u32::from(entry.raw));
            self.bit += usize::from(entry.raw);
            *state = usize::from(entry.next) + (wide(&self.stream, self.bit) & mask(u32::from(entry.width))) as usize;
            self.bit += usize::from(entry.width);
            *number = number_of(entry, raw, base);
        }
        self.bit.div_ceil(8) == self.length && self.states == [0; STATES]
    }
}

/// Reads both strings in turns, as far as both have a window left, and tells how many numbers of each that was.
fn decode_pairs<const RAW: u8>(
    table: &DecodeTable,
    base: i64,
    [a, b]: [&mut EntropyReader; 2],
    [numbers_a, numbers_b]: [&mut [i64]; 2],
) -> usize {
    let mut done = 0;
    // Both or neither: what is left of each is then the same number of numbers from its end.
    let room = |reader: &EntropyReader| reader.bit / 8 + WINDOW <= reader.stream.len();
    for (four_a, four_b) in numbers_a.as_chunks_mut::<STATES>().0.iter_mut().zip(numbers_b.as_chunks_mut::<STATES>().0) {
        if !room(a) || !room(b) {
            break;
        }
        a.four::<RAW>(table, base, four_a);
        b.four::<RAW>(table, base, four_b);
        done += STATES;
    }
    done
}

/// Fills `numbers`, at least one, from the column at `at`, and moves `at` past it, to the end of `bytes`.
pub(crate) fn decode(bytes: &[u8], at: &mut usize, numbers: &mut [i64]) -> Result<(), FieldFault> {
    let base = unzigzag(get_varint_64(bytes, at, "base of the numbers")?);
    let (frequencies, table_bits) = get_frequencies(bytes, at)?;
    let table = decode_table(&frequencies, table_bits);
    let raw = RawBits::of(&frequencies, table_bits);
    let length = get_varint(bytes, at, "length of the first string")?;
    let Some((first, second)) = bytes.get(*at..).and_then(|rest| rest.split_at_checked(length)) else {
        return Err(FieldFault::new("length of the first string", *at, "one within the column", length));
    };
    let (mut a, mut b) = (EntropyReader::new(first, table_bits), EntropyReader::new(second, table_bits));
    let (numbers_a, numbers_b) = numbers.split_at_mut(middle(numbers.len()));
    // Loops of their own, so that a column without raw bits pays nothing for the others.
    let done = match raw {
        RawBits::None => decode_pairs::<{ RawBits::None as u8 }>(&table, base, [&mut a, &mut b], [numbers_a, numbers_b]),
        RawBits::Some => decode_pairs::<{ RawBits::Some as u8 }>(&table, base, [&mut a, &mut b], [numbers_a, numbers_b]),
        RawBits::Most => decode_pairs::<{ RawBits::Most as u8 }>(&table, base, [&mut a, &mut b], [numbers_a, numbers_b]),
    };
    let ended = a.rest(&table, base, &mut numbers_a[done..]) & b.rest(&table, base, &mut numbers_b[done..]);
    if !ended {
        return Err(FieldFault::new("end of the coded numbers", *at, "the end of both strings", "another place"));
    }
    *at = bytes.len();
    Ok(())
}

#[inline(always)]
fn number_of(entry: DecodeEntry, raw: u64, base: i64) -> i64 {
    if entry.raw == 0 {
        return base.wrapping_add(i64::from(entry.number));
    }
    let bits = u64::from(entry.number.cast_unsigned());
    base.wrapping_add(unzigzag(((bits >> 1) << entry.raw | raw) << 1 | bits & 1))
}

/// 64 bits at `bit`; those beyond the end are zero.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn wide(stream: &[u8], bit: usize) -> u64 {
    let word = u128::from(load_padded(stream, bit / 8)) | u128::from(load_padded(stream, bit / 8 + 8)) << 64;
    (word >> (bit % 8)) as u64
}

#[cfg(test)]
mod tests {
    use super::super::token::token;
    use super::*;
    use crate::codec::bits::zigzag;

    #[test]
    fn tokens_and_raw_bits_tell_the_number() {
        for number in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, 3 << bit, u64::MAX >> bit]) {
            let (token, raw) = token(number);
            assert!(token < TOKENS && raw <= 60);
            let mut frequencies = [0; TOKENS];
            frequencies[token] = 32;
            let entry = decode_table(&frequencies, 5)[0];
            assert_eq!(u32::from(entry.raw), raw);
            assert_eq!(zigzag(number_of(entry, number >> 1 & mask(raw), 0)), number);
        }
    }
}
