//! Numbers become two strings of bits, each from its last number to its first.

use super::frequency::{TABLE_BITS_MAX, TABLE_BITS_MIN, normalise, put_frequencies};
use super::state::{STATES, mask_32, middle, spread};
use super::token::{Histogram, TOKENS, raw_bits};
use crate::codec::bits::{BitWriter, mask, put_varint, zigzag};

/// Appends the column of at least one number.
pub(crate) fn encode(numbers: &[i64], base: i64, histogram: &Histogram, out: &mut Vec<u8>) {
    put_varint(zigzag(base), out);
    let present = histogram.counts.iter().filter(|count| **count > 0).count();
    // An eighth of the numbers: a larger table saves a thousandth of a byte a number, and takes as long to make as some thousand numbers.
    let wanted = histogram.total.max(1).ilog2().saturating_sub(3).clamp(TABLE_BITS_MIN, TABLE_BITS_MAX);
    // Every token needs a state, and room for the frequent ones to have more.
    let table_bits = wanted.max((present.max(1) as u32).ilog2() + 2).min(TABLE_BITS_MAX);
    let frequencies = normalise(&histogram.counts, histogram.total, table_bits);
    put_frequencies(&frequencies, table_bits, out);
    let table = EncodeTable::new(&frequencies, table_bits);

    let mut first = Vec::new();
    let middle = middle(numbers.len());
    put_string(&numbers[..middle], &histogram.tokens[..middle], base, &table, table_bits, &mut first);
    put_varint(first.len() as u64, out);
    out.append(&mut first);
    put_string(&numbers[middle..], &histogram.tokens[middle..], base, &table, table_bits, out);
}

fn put_string(numbers: &[i64], tokens: &[u16], base: i64, table: &EncodeTable, table_bits: u32, out: &mut Vec<u8>) {
    // The states run from the last number to the first, the reader from the first to the last.
    let mut states = [1_u32 << table_bits; STATES];
    let mut steps = vec![0_u32; tokens.len()];
    for (tokens, steps) in tokens.chunks(STATES).zip(steps.chunks_mut(STATES)).rev() {
        for ((token, step), state) in tokens.iter().zip(steps).zip(&mut states) {
            let (next, width) = table.step(usize::from(*token), *state);
            *step = (*state & mask_32(width)) << 8 | width;
            *state = next;
        }
    }
    let raw_total: usize = tokens.iter().map(|token| raw_bits(*token) as usize).sum();
    let start = out.len();
    out.resize(start + tokens.len() * 2 + raw_total / 8 + STATES * 2 + 24, 0);
    let mut writer = BitWriter::new(&mut out[start..]);
    for state in states {
        writer.put(u64::from(state) & mask(table_bits), table_bits);
    }
    if raw_total == 0 {
        for step in steps {
            writer.put(u64::from(step >> 8), step & 0xFF);
        }
    } else {
        for ((number, token), step) in numbers.iter().zip(tokens).zip(steps) {
            let raw = raw_bits(*token);
            if raw > 0 {
                writer.put_wide(zigzag(number.wrapping_sub(base)) >> 1 & mask(raw), raw);
            }
            writer.put(u64::from(step >> 8), step & 0xFF);
        }
    }
    let len = writer.finish();
    out.truncate(start + len);
}

struct EncodeTable {
    /// Per token: what added to a state gives, in its top half, the bits to write.
    widths: Box<[u32; TOKENS]>,
    /// Per token: where its next states begin, less its frequency.
    starts: Box<[i32; TOKENS]>,
    next: Vec<u16>,
}

impl EncodeTable {
    fn new(frequencies: &[u16; TOKENS], table_bits: u32) -> Self {
        let size = 1_u32 << table_bits;
        let (mut widths, mut starts) = (Box::new([0; TOKENS]), Box::new([0; TOKENS]));
        let mut positions = [0_usize; TOKENS];
        let mut total = 0_i32;
        for (token, frequency) in frequencies.iter().enumerate().filter(|(_, frequency)| **frequency > 0) {
            let frequency = u32::from(*frequency);
            // States from `frequency << most` on write `most` bits, smaller ones one bit less. Both
            // come out of one addition: the top half of state + width is the number of bits.
            let most = table_bits - (frequency - 1).checked_ilog2().unwrap_or(0);
            widths[token] = (most << 16).wrapping_sub(frequency << most);
            starts[token] = total - frequency as i32;
            positions[token] = total as usize;
            total += frequency as i32;
        }
        let mut tokens = vec![0; size as usize];
        spread(frequencies, table_bits, |place, token| tokens[place] = token);
        let mut next = vec![0; size as usize];
        for (state, token) in (0_u16..).zip(tokens) {
            let position = &mut positions[usize::from(token)];
            next[*position] = state;
            *position += 1;
        }
        Self { widths, starts, next }
    }

    /// The state after a token, and how many low bits of the state before are to be written.
    #[inline(always)]
    fn step(&self, token: usize, state: u32) -> (u32, u32) {
        let width = state.wrapping_add(self.widths[token]) >> 16;
        let place = (state >> width) as i32 + self.starts[token];
        (u32::from(self.next[place as usize]) + self.next.len() as u32, width)
    }
}
