//! The tokens of numbers, and how often each occurs in a column.

use crate::codec::bits::zigzag;

/// Numbers below this are tokens themselves.
pub(super) const DIRECT: u64 = 128;
/// Logarithm of `DIRECT`.
const DIRECT_BITS: u32 = DIRECT.trailing_zeros();
/// Tokens that exist: the direct ones, and eight for each further length of a number in bits.
pub(super) const TOKENS: usize = DIRECT as usize + (64 - DIRECT_BITS as usize) * 8;

/// The token of a number, and how many raw bits it leaves open: all between its leading three bits and
/// its last one. The last one is the sign (zigzag), so that both sides of the base have their own tokens.
#[inline(always)]
pub(super) fn token(number: u64) -> (usize, u32) {
    if number < DIRECT {
        return (number as usize, 0);
    }
    let bits = 64 - number.leading_zeros();
    let leading = number >> (bits - 3) & 0b11;
    let token = DIRECT + u64::from(bits - DIRECT_BITS - 1) * 8 + leading * 2 + (number & 1);
    (token as usize, bits - 4)
}

/// Raw bits that a token leaves open.
#[inline(always)]
pub(super) fn raw_bits(token: u16) -> u32 {
    u32::from(token).checked_sub(DIRECT as u32).map_or(0, |large| large / 8 + DIRECT_BITS + 1 - 4)
}

/// The tokens of a column, and how often each occurs.
pub(crate) struct Histogram {
    pub(super) tokens: Vec<u16>,
    pub(super) counts: Box<[u32; TOKENS]>,
    raw_bits: u64,
    pub(super) total: u32,
}

impl Histogram {
    /// Counts the tokens of the distances from `base`.
    pub fn of(numbers: &[i64], base: i64) -> Self {
        let mut tokens = vec![0; numbers.len()];
        let mut raw_bits = 0;
        // Without a branch as long as all are small, which a block is looked at for.
        for (tokens, numbers) in tokens.chunks_mut(64).zip(numbers.chunks(64)) {
            let mut all = 0;
            for (slot, number) in tokens.iter_mut().zip(numbers) {
                let number = zigzag(number.wrapping_sub(base));
                all |= number;
                *slot = number as u16;
            }
            if all >= DIRECT {
                for (slot, number) in tokens.iter_mut().zip(numbers) {
                    let (token, raw) = token(zigzag(number.wrapping_sub(base)));
                    *slot = token as u16;
                    raw_bits += u64::from(raw);
                }
            }
        }
        // Four tables, so that equal neighbours do not wait for each other's increment.
        let mut counts = Box::new([0_u32; TOKENS]);
        let mut more = [[0_u32; TOKENS]; 3];
        let (fours, rest) = tokens.as_chunks::<4>();
        for [a, b, c, d] in fours {
            counts[usize::from(*a)] += 1;
            more[0][usize::from(*b)] += 1;
            more[1][usize::from(*c)] += 1;
            more[2][usize::from(*d)] += 1;
        }
        for token in rest {
            counts[usize::from(*token)] += 1;
        }
        for more in more {
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
        let total = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        Self { tokens, counts, raw_bits, total }
    }

    /// Bytes that the column will take, about.
    pub fn bytes(&self) -> usize {
        let total = f64::from(self.total);
        let present = self.counts.iter().filter(|count| **count > 0);
        let bits: f64 = present.map(|count| f64::from(*count) * (total / f64::from(*count)).log2() + 7.0).sum();
        (bits as u64 + self.raw_bits) as usize / 8 + 16
    }
}
