//! How many of the table's states a token gets, and how a column tells it.

use super::token::TOKENS;
use crate::codec::bits::{BitWriter, get_varint, load_padded, mask, put_varint, unzigzag, zigzag};
use crate::error::FieldFault;

/// Logarithm of the number of table states.
pub(super) const TABLE_BITS_MIN: u32 = 5;
pub(super) const TABLE_BITS_MAX: u32 = 11;

/// Frequencies that add up to the table's size, with at least one state for every token that occurs.
pub(super) fn normalise(counts: &[u32; TOKENS], total: u32, table_bits: u32) -> [u16; TOKENS] {
    let size = 1_i64 << table_bits;
    let mut frequencies = [0_u16; TOKENS];
    let mut left = size;
    for (frequency, count) in frequencies.iter_mut().zip(counts) {
        if *count > 0 {
            let share = (i64::from(*count) * size + i64::from(total) / 2) / i64::from(total);
            *frequency = u16::try_from(share.max(1)).unwrap_or(u16::MAX);
            left -= i64::from(*frequency);
        }
    }
    // What rounding left over, or took too much, where it changes least: bits lost by a token are its
    // count times the logarithm of the change. In a few large steps, as a thousandth of a bit will do.
    let present: Vec<usize> = (0..TOKENS).filter(|token| counts[*token] > 0).collect();
    while left != 0 {
        let mut best = (f64::NEG_INFINITY, 0);
        for token in &present {
            let (frequency, count) = (f64::from(frequencies[*token]), f64::from(counts[*token]));
            let gain = if left > 0 { count / frequency } else { -count / (frequency - 1.0) };
            if gain > best.0 {
                best = (gain, *token);
            }
        }
        let frequency = i64::from(frequencies[best.1]);
        let step = if left > 0 { (left / 4).max(1) } else { (left / 4).min(-1).max(-(frequency / 4).max(1)) };
        frequencies[best.1] = u16::try_from(frequency + step).unwrap_or(1);
        left -= step;
    }
    frequencies
}

/// Table size, then runs of tokens that occur, then the frequencies: the class (number of bits) as the
/// change from the class before, in unary, and the bits below the leading one.
pub(super) fn put_frequencies(frequencies: &[u16; TOKENS], table_bits: u32, out: &mut Vec<u8>) {
    let [bits, ..] = table_bits.to_le_bytes();
    out.push(bits);
    let runs = || frequencies.chunk_by(|a, b| (*a == 0) == (*b == 0));
    put_varint(runs().filter(|run| run[0] != 0).count() as u64, out);
    let mut gap = 0;
    for run in runs() {
        if run[0] == 0 {
            gap = run.len();
        } else {
            put_varint(gap as u64, out);
            put_varint(run.len() as u64, out);
        }
    }
    let start = out.len();
    out.resize(start + TOKENS * 5 + 16, 0);
    let mut writer = BitWriter::new(&mut out[start..]);
    let mut class_before = 0;
    for frequency in frequencies.iter().filter(|frequency| **frequency > 0) {
        let class = frequency.ilog2();
        let change = zigzag(i64::from(class) - i64::from(class_before)) as u32;
        writer.put(1 << change, change + 1);
        writer.put(u64::from(*frequency) & mask(class), class);
        class_before = class;
    }
    let len = writer.finish();
    out.truncate(start + len);
}

pub(super) fn get_frequencies(bytes: &[u8], at: &mut usize) -> Result<([u16; TOKENS], u32), FieldFault> {
    let start = *at;
    let table_bits = u32::from(bytes.get(start).copied().unwrap_or(0));
    if !(TABLE_BITS_MIN..=TABLE_BITS_MAX).contains(&table_bits) {
        return Err(FieldFault::new("size of the token table", start, "5 to 11 bits", table_bits));
    }
    *at += 1;
    let mut frequencies = [0_u16; TOKENS];
    let runs = get_varint(bytes, at, "runs of tokens")?;
    let mut token = 0;
    for _ in 0..runs {
        let gap = get_varint(bytes, at, "gap between tokens")?;
        let length = get_varint(bytes, at, "run of tokens")?;
        let (from, to) = (token + gap, token + gap + length);
        if length == 0 || to > TOKENS || (gap == 0 && token > 0) {
            return Err(FieldFault::new("run of tokens", *at, format!("one within {TOKENS}"), format!("{from} to {to}")));
        }
        frequencies[from..to].fill(1);
        token = to;
    }
    let mut bit = *at * 8;
    let mut class = 0_i64;
    let mut left = 1_u32 << table_bits;
    for frequency in frequencies.iter_mut().filter(|frequency| **frequency > 0) {
        // At most 24 bits of unary number are of use, and at most 10 bits follow.
        let word = load_padded(bytes, bit / 8) >> (bit % 8);
        let change = word.trailing_zeros();
        class += if change < 24 { unzigzag(u64::from(change)) } else { 64 };
        if !(0..=i64::from(table_bits)).contains(&class) {
            return Err(FieldFault::new("frequency of a token", bit / 8, "one within the table", "another"));
        }
        let value = 1 << class | (word >> (change + 1) & mask(class as u32)) as u32;
        bit += change as usize + 1 + class as usize;
        if value > left {
            return Err(FieldFault::new("frequencies of the tokens", bit / 8, format!("a sum of {}", 1 << table_bits), "more"));
        }
        left -= value;
        *frequency = value as u16;
    }
    if left > 0 || bit > bytes.len() * 8 {
        return Err(FieldFault::new("frequencies of the tokens", *at, format!("a sum of {}", 1 << table_bits), "less"));
    }
    *at = bit.div_ceil(8);
    Ok((frequencies, table_bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of two tokens, each with half of 32 states, with the runs that name them.
    fn table(runs: &[u8]) -> Result<[u16; TOKENS], FieldFault> {
        let mut bytes = vec![5];
        bytes.extend_from_slice(runs);
        // Class 4 after class 0: zigzag 8 in unary, four bits of the frequency; then twice the same class, and four bits.
        let bits = 1_u64 << 8 | 1 << 13 | 1 << 18;
        bytes.extend_from_slice(&bits.to_le_bytes()[..3]);
        let mut at = 0;
        let (frequencies, table_bits) = get_frequencies(&bytes, &mut at)?;
        assert_eq!((table_bits, at), (5, bytes.len()));
        Ok(frequencies)
    }

    #[test]
    fn runs_name_the_tokens_and_do_not_touch() {
        let of = |first: usize, second: usize| {
            let mut frequencies = [0; TOKENS];
            (frequencies[first], frequencies[second]) = (16, 16);
            frequencies
        };
        assert_eq!(table(&[1, 0, 2]).unwrap(), of(0, 1));
        assert_eq!(table(&[2, 0, 1, 3, 1]).unwrap(), of(0, 4));
        assert_eq!(table(&[2, 7, 1, 1, 1]).unwrap(), of(7, 9));
        assert_eq!(table(&[2, 0xC6, 4, 1, 1, 1]).unwrap_err().what, "run of tokens", "token 584");
        for touching in [&[2, 0, 1, 0, 1][..], &[2, 3, 1, 0, 1], &[1, 0, 0]] {
            assert_eq!(table(touching).unwrap_err().what, "run of tokens", "{touching:?}");
        }
    }

    #[test]
    fn frequencies_that_do_not_fill_the_table_are_refused() {
        for (runs, told) in [(&[1, 0, 1][..], "less"), (&[1, 0, 3], "more")] {
            let fault = table(runs).unwrap_err();
            assert_eq!((fault.what, fault.found.as_str()), ("frequencies of the tokens", told));
        }
    }
}
