//! Timestamps as differences of differences, bit-packed (Gorilla's idea, in blocks instead of buckets).
//!
//! Plant timestamps are nanoseconds but tick in milliseconds or in OPC UA's 100 ns; the power of ten
//! that divides every difference is taken out once per column, which saves up to 30 bits a sample.
//! All arithmetic wraps, so any series of i64 survives: irregular, decreasing, extreme.

use super::bits::{mask, unzigzag, zigzag};
use super::blocks::{BLOCK, get_block, put_block};
use crate::error::FieldFault;

/// Bytes before the first block: first difference and exponent.
const PREFIX: usize = 9;

/// Exponents the encoder tries, largest first: seconds, milliseconds, microseconds, 100 ns, and 0,
/// which divides everything.
pub(crate) const EXPONENTS: [u8; 5] = [9, 6, 3, 2, 0];

/// Largest exponent: 10^18 is the last power of ten in an i64.
pub(crate) const EXPONENT_MAX: u8 = 18;

/// Appends the column of at least three timestamps; the first itself is not part of it.
pub(crate) fn encode(timestamps: &[i64], out: &mut Vec<u8>) {
    let start = out.len();
    for exponent in EXPONENTS {
        out.extend_from_slice(&timestamps[1].wrapping_sub(timestamps[0]).to_le_bytes());
        out.push(exponent);
        if put_blocks(timestamps, &Quotient::by(exponent), out) {
            return;
        }
        // Most series show in their first block that the exponent is too large, so little is lost.
        out.truncate(start);
    }
}

/// Appends every block; false as soon as a difference turns out not to be divisible.
fn put_blocks(timestamps: &[i64], quotient: &Quotient, out: &mut Vec<u8>) -> bool {
    let mut numbers = [0; BLOCK];
    let mut start = 0;
    while start + 2 < timestamps.len() {
        let end = (start + BLOCK + 2).min(timestamps.len());
        let block = &timestamps[start..end];
        let numbers = &mut numbers[..block.len() - 2];
        let triples = block.iter().zip(&block[1..]).zip(&block[2..]);
        let (mut differences, mut quotients) = (0, 0);
        for (number, ((a, b), c)) in numbers.iter_mut().zip(triples) {
            let difference = c.wrapping_sub(*b).wrapping_sub(b.wrapping_sub(*a));
            *number = zigzag(quotient.of(difference));
            differences |= difference;
            quotients |= *number;
        }
        if !quotient.all_exact(differences, quotients) {
            return false;
        }
        put_block(numbers, out);
        start += BLOCK;
    }
    true
}

/// Appends `count >= 3` timestamps, the first of which is `first`.
pub(crate) fn decode(bytes: &[u8], first: i64, count: usize, out: &mut Vec<i64>) -> Result<(), FieldFault> {
    let (Some(prefix), 3..) = (bytes.first_chunk::<PREFIX>(), count) else {
        return Err(FieldFault::new("timestamps", 0, "3 samples and 9 bytes or more", format!("{count} and {}", bytes.len())));
    };
    let [d0, d1, d2, d3, d4, d5, d6, d7, exponent] = *prefix;
    if exponent > EXPONENT_MAX {
        return Err(FieldFault::new("exponent of the timestamps", 8, "at most 18", exponent));
    }
    let scale = 10_i64.pow(u32::from(exponent));
    let mut step = i64::from_le_bytes([d0, d1, d2, d3, d4, d5, d6, d7]);
    let mut timestamp = first.wrapping_add(step);
    let start = out.len();
    out.resize(start + count, 0);
    out[start] = first;
    out[start + 1] = timestamp;
    let mut numbers = [0; BLOCK];
    let mut at = PREFIX;
    for block in out[start + 2..].chunks_mut(BLOCK) {
        let numbers = &mut numbers[..block.len()];
        get_block(bytes, &mut at, numbers)?;
        for (slot, number) in block.iter_mut().zip(numbers) {
            step = step.wrapping_add(unzigzag(*number).wrapping_mul(scale));
            timestamp = timestamp.wrapping_add(step);
            *slot = timestamp;
        }
    }
    if at != bytes.len() {
        return Err(FieldFault::new("end of the timestamps", at, bytes.len(), at));
    }
    Ok(())
}

/// Division by 10^e of numbers that it divides: a shift by e and a product with the inverse of 5^e
/// modulo 2^64, which is many times cheaper than a division.
pub(crate) struct Quotient {
    exponent: u32,
    inverse: i64,
    /// A number that 10^e divides has a small quotient, any other one a quotient that times 10^e
    /// would overflow. The zigzag forms of quotients that are surely small lie within this mask.
    small: u64,
}

impl Quotient {
    pub fn by(exponent: u8) -> Self {
        let exponent = u32::from(exponent);
        let five = 5_i64.pow(exponent);
        // Newton's iteration: an odd number is its own inverse modulo 8, each round doubles the bits.
        let mut inverse = five;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2_i64.wrapping_sub(five.wrapping_mul(inverse)));
        }
        let limit = i64::MAX.unsigned_abs() / 10_u64.pow(exponent);
        let small = if exponent == 0 { u64::MAX } else { mask((2 * limit + 1).ilog2()) };
        Self { exponent, inverse, small }
    }

    /// The quotient of a number that 10^e divides.
    #[inline(always)]
    pub fn of(&self, number: i64) -> i64 {
        (number >> self.exponent).wrapping_mul(self.inverse)
    }

    /// Whether 10^e divides every number, from the OR of the numbers and the OR of their quotients'
    /// zigzag forms. A true answer is sure; a false one may be wrong for quotients near the limit
    /// (for seconds: differences of more than 270 years), which costs space only.
    pub fn all_exact(&self, numbers: i64, quotients: u64) -> bool {
        numbers & ((1_i64 << self.exponent) - 1) == 0 && quotients <= self.small
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(timestamps: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode(timestamps, &mut bytes);
        let mut read = vec![5];
        decode(&bytes, timestamps[0], timestamps.len(), &mut read).unwrap();
        assert_eq!(read[1..], *timestamps);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], timestamps[0], timestamps.len(), &mut Vec::new()).is_err());
        }
        bytes.len()
    }

    #[test]
    fn extremes_survive() {
        round_trip(&[i64::MIN, i64::MAX, i64::MIN, 0, i64::MAX, i64::MAX, -1]);
        round_trip(&[0, 0, 0]);
        round_trip(&[3, 2, 1, 0, -1, -100]);
    }

    #[test]
    fn milliseconds_cost_no_more_than_their_ticks() {
        let jitter = |i: i64| (i * 7919 % 7) - 3;
        let in_ms: Vec<i64> = (0..1_024).map(|i| i * 1_000 + jitter(i)).collect();
        let in_ns: Vec<i64> = in_ms.iter().map(|ms| ms * 1_000_000).collect();
        assert_eq!(round_trip(&in_ns), round_trip(&in_ms));
        assert!(round_trip(&in_ns) < 1_024);
    }

    proptest! {
        #[test]
        fn exact_division_is_recognised(number in any::<i64>(), exponent in 0_u8..=18, shift in 0_u32..64) {
            let quotient = Quotient::by(exponent);
            let scale = 10_i64.pow(u32::from(exponent));
            let number = number >> shift;
            let exact = |number: i64| quotient.all_exact(number, zigzag(quotient.of(number)));
            prop_assert!(!exact(number) || number % scale == 0);
            let product = number / scale / 4 * scale;
            prop_assert!(exact(product));
            prop_assert_eq!(quotient.of(product), product / scale);
        }

        #[test]
        fn any_series_survives(timestamps in proptest::collection::vec(any::<i64>(), 3..300)) {
            round_trip(&timestamps);
        }
    }
}
