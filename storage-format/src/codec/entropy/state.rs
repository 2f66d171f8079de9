//! What the two sides agree on: where the states of a token lie, and how states and strings take turns.

use super::token::TOKENS;

/// States that take turns: number *i* is coded with state `i % 4`.
pub(super) const STATES: usize = 4;

/// Where the second string begins: a reader takes turns with both, which do not wait for each other.
pub(super) fn middle(count: usize) -> usize {
    count.min(count.div_ceil(2 * STATES) * STATES)
}

/// Tells the token of every state: tokens in turn, each as often as its frequency, at places a fixed odd step apart.
#[inline(always)]
pub(super) fn spread(frequencies: &[u16; TOKENS], table_bits: u32, mut put: impl FnMut(usize, u16)) {
    let size = 1_usize << table_bits;
    let step = (size >> 1) + (size >> 3) + 3;
    let mut place = 0;
    for (token, frequency) in (0_u16..).zip(frequencies) {
        for _ in 0..*frequency {
            put(place, token);
            place = (place + step) & (size - 1);
        }
    }
}

pub(super) const fn mask_32(width: u32) -> u32 {
    (1 << width) - 1
}
