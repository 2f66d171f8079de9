//! Integers in two steps: a *predictor* turns them into small residuals, a *packing* turns those into
//! bytes. Every codec that arrives at integers ends here: timestamps on a grid, decimals, converter
//! steps, dictionary indexes, counters and states.

use super::{entropy, frames, linear};
use crate::effort::Effort;
use crate::error::FieldFault;

/// How residuals follow from the numbers. The first byte of a column holds it in its low half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Predictor {
    /// The numbers themselves.
    Level = 0,
    /// The difference to the number before.
    Difference = 1,
    /// The difference of differences.
    Second = 2,
    /// The difference less what a linear function of the differences before foretells.
    Linear = 3,
}

/// How residuals become bytes. The high half of the first byte.
const PACKING_FRAMES: u8 = 0;
const PACKING_ENTROPY: u8 = 1;

/// Fewer numbers than this do not repay the table of `entropy`.
const ENTROPY_COUNT_MIN: usize = 256;

/// Fewer numbers than this do not repay the weights of `linear`.
const LINEAR_COUNT_MIN: usize = 2_048;

/// Appends the column.
pub(crate) fn encode(numbers: &[i64], effort: Effort, out: &mut Vec<u8>) {
    match effort {
        Effort::Hot => encode_hot(numbers, out),
        Effort::Cold => encode_cold(numbers, out),
    }
}

fn encode_hot(numbers: &[i64], out: &mut Vec<u8>) {
    // A few numbers, far apart, stand for all.
    const SAMPLE: usize = 32;
    let places = [0, numbers.len() / 2, numbers.len().saturating_sub(SAMPLE)];
    let bits = |predictor: Predictor| {
        let own = places.iter().map(|from| {
            let sample = &numbers[*from..numbers.len().min(from + SAMPLE)];
            let mut residuals = [0; SAMPLE];
            let residuals = &mut residuals[..sample.len()];
            match predictor {
                Predictor::Level => residuals.copy_from_slice(sample),
                _ => difference(sample, sample.first().copied().unwrap_or(0), residuals),
            }
            frames::range_bits(residuals)
        });
        own.sum::<usize>()
    };
    let level_bits = bits(Predictor::Level);
    let start = out.len();
    if level_bits <= bits(Predictor::Difference) {
        out.push(Predictor::Level as u8 | PACKING_FRAMES << 4);
        frames::encode(numbers, out);
        // A gap that the samples did not show makes a block wide; a difference has it only once.
        if (out.len() - start) * 2 <= numbers.len() * level_bits / places.len() / 8 * 3 + 32 {
            return;
        }
    }
    let mut residuals = vec![0; numbers.len()];
    difference(numbers, 0, &mut residuals);
    let middle = out.len();
    out.push(Predictor::Difference as u8 | PACKING_FRAMES << 4);
    frames::encode(&residuals, out);
    if middle > start {
        if out.len() - middle < middle - start {
            out.drain(start..middle);
        } else {
            out.truncate(middle);
        }
    }
}

fn encode_cold(numbers: &[i64], out: &mut Vec<u8>) {
    let mut residuals = vec![0; numbers.len()];
    difference(numbers, 0, &mut residuals);
    let mut second = vec![0; numbers.len()];
    difference(&residuals, 0, &mut second);
    let weights = (numbers.len() >= LINEAR_COUNT_MIN).then(|| linear::Weights::fit(&residuals)).flatten();
    let mut best = Candidate::of(Predictor::Level, numbers);
    for (predictor, residuals) in [(Predictor::Difference, &residuals), (Predictor::Second, &second)] {
        best = best.smaller(Candidate::of(predictor, residuals));
    }
    let foretold;
    if let Some(weights) = &weights {
        foretold = weights.residuals(&residuals);
        best = best.smaller(Candidate::of(Predictor::Linear, &foretold));
    }
    let start = out.len();
    out.push(best.predictor as u8 | PACKING_FRAMES << 4);
    if let (Predictor::Linear, Some(weights)) = (best.predictor, &weights) {
        weights.put(out);
    }
    let body = out.len();
    if numbers.len() < ENTROPY_COUNT_MIN {
        frames::encode(best.residuals, out);
        return;
    }
    entropy::encode(best.residuals, best.base, &best.histogram, out);
    out[start] |= PACKING_ENTROPY << 4;
    // Frames follow a level that changes, and keep a few far numbers beside them.
    if frames::range_bytes(best.residuals) * 3 > (out.len() - body) * 4 {
        return;
    }
    let mut packed = Vec::new();
    frames::encode(best.residuals, &mut packed);
    if packed.len() <= out.len() - body {
        out[start] ^= PACKING_ENTROPY << 4;
        out.truncate(body);
        out.append(&mut packed);
    }
}

/// A predictor with the size its residuals will take when they are entropy-coded.
struct Candidate<'a> {
    predictor: Predictor,
    residuals: &'a [i64],
    base: i64,
    histogram: entropy::Histogram,
    bytes: usize,
}

impl<'a> Candidate<'a> {
    fn of(predictor: Predictor, residuals: &'a [i64]) -> Self {
        let base = middle(residuals);
        let histogram = entropy::Histogram::of(residuals, base);
        Self { predictor, residuals, base, bytes: histogram.bytes(), histogram }
    }

    fn smaller(self, other: Self) -> Self {
        if other.bytes < self.bytes { other } else { self }
    }
}

/// The median of at most 255 of the numbers, evenly chosen.
fn middle(numbers: &[i64]) -> i64 {
    let mut some: Vec<i64> = numbers.iter().step_by(numbers.len() / 255 + 1).copied().collect();
    let at = some.len() / 2;
    if some.is_empty() { 0 } else { *some.select_nth_unstable(at).1 }
}

/// Each number less the one before, modulo 2^64.
fn difference(numbers: &[i64], before: i64, out: &mut [i64]) {
    let Some(first) = numbers.first() else {
        return;
    };
    out[0] = first.wrapping_sub(before);
    for (out, (a, b)) in out[1..].iter_mut().zip(numbers.iter().zip(&numbers[1..])) {
        *out = b.wrapping_sub(*a);
    }
}

/// The inverse of `difference` from 0, in place.
fn add_up(numbers: &mut [i64]) {
    let mut sum = 0_i64;
    for number in numbers {
        sum = sum.wrapping_add(*number);
        *number = sum;
    }
}

/// Fills `numbers` from the column that begins at `at` and is the rest of `bytes`.
pub(crate) fn decode(bytes: &[u8], mut at: usize, numbers: &mut [i64]) -> Result<(), FieldFault> {
    let layout_at = at;
    let Some(&layout) = bytes.get(at) else {
        return Err(FieldFault::new("layout of integers", at, "a byte", "the end"));
    };
    at += 1;
    let predictor = match layout & 0x0F {
        0 => Predictor::Level,
        1 => Predictor::Difference,
        2 => Predictor::Second,
        3 => Predictor::Linear,
        other => return Err(FieldFault::new("predictor of integers", layout_at, "0 to 3", other)),
    };
    let weights = (predictor == Predictor::Linear).then(|| linear::Weights::get(bytes, &mut at)).transpose()?;
    match layout >> 4 {
        PACKING_FRAMES => frames::decode(bytes, &mut at, numbers)?,
        PACKING_ENTROPY if !numbers.is_empty() => entropy::decode(bytes, &mut at, numbers)?,
        other => return Err(FieldFault::new("packing of integers", layout_at, "0, or 1 if there are any", other)),
    }
    if at != bytes.len() {
        return Err(FieldFault::new("end of integers", at, bytes.len(), at));
    }
    match predictor {
        Predictor::Level => {}
        Predictor::Difference => add_up(numbers),
        Predictor::Second => {
            add_up(numbers);
            add_up(numbers);
        }
        Predictor::Linear => {
            if let Some(weights) = weights {
                weights.undo(numbers);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(numbers: &[i64], effort: Effort) -> usize {
        let mut bytes = vec![5];
        encode(numbers, effort, &mut bytes);
        let mut read = vec![1; numbers.len()];
        decode(&bytes, 1, &mut read).unwrap();
        assert_eq!(read, numbers);
        for cut in bytes.len().saturating_sub(60).max(1)..bytes.len() {
            assert!(decode(&bytes[..cut], 1, &mut read).is_err());
        }
        bytes.push(0);
        assert!(decode(&bytes, 1, &mut read).is_err());
        bytes.len() - 2
    }

    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed | 1;
        move || {
            (0..12)
                .map(|_| {
                    state ^= state >> 12;
                    state ^= state << 25;
                    state ^= state >> 27;
                    state.wrapping_mul(0x2545_F491_4F6C_DD1D) as f64 / u64::MAX as f64
                })
                .sum::<f64>()
                - 6.0
        }
    }

    #[test]
    fn predictors_meet_their_shapes() {
        let count = 8_192;
        let mut normal = noise(7);
        let white: Vec<i64> = (0..count).map(|_| (normal() * 8.0).round() as i64).collect();
        // 5.05 bits of entropy.
        let bytes = round_trip(&white, Effort::Cold);
        assert!((5_160..5_260).contains(&bytes), "{bytes}");
        assert!(round_trip(&white, Effort::Hot) < 6_400);
        let mut level = 0.0;
        let walk: Vec<i64> = (0..count)
            .map(|_| {
                level += normal() * 0.2;
                (level + normal() * 1.5).round() as i64
            })
            .collect();
        let mut differences = vec![0; walk.len()];
        difference(&walk, 0, &mut differences);
        let plain = entropy::Histogram::of(&differences, 0).bytes();
        let bytes = round_trip(&walk, Effort::Cold);
        assert!(bytes + 250 < plain, "a linear predictor takes {bytes}, differences {plain}");
        let counter: Vec<i64> = (0..count).map(|i| 5_000_000 + i * 3 + i % 2).collect();
        assert!(round_trip(&counter, Effort::Hot) < 3_600);
        assert!(round_trip(&counter, Effort::Cold) < 1_200);
        let parabola: Vec<i64> = (0..count).map(|i| i * i * 5).collect();
        assert!(round_trip(&parabola, Effort::Cold) < 200);
    }

    proptest! {
        #[test]
        fn any_numbers_read_back(mut numbers in proptest::collection::vec(any::<i64>(), 0..500), shift in 0_u32..64) {
            for number in &mut numbers {
                *number >>= shift;
            }
            round_trip(&numbers, Effort::Hot);
            round_trip(&numbers, Effort::Cold);
        }

        #[test]
        fn long_runs_of_anything_read_back(seed in any::<u64>(), shift in 0_u32..64) {
            let mut normal = noise(seed);
            let numbers: Vec<i64> = (0..3_000).map(|_| ((normal() * 1e18) as i64).wrapping_mul(9) >> shift).collect();
            round_trip(&numbers, Effort::Cold);
        }

        #[test]
        fn garbage_is_an_error_or_numbers_that_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), layout in 0_u8..40, count in 0_usize..3_000) {
            let mut bytes = bytes;
            bytes.insert(0, layout);
            let mut numbers = vec![0; count];
            if decode(&bytes, 0, &mut numbers).is_ok() {
                round_trip(&numbers, Effort::Hot);
                round_trip(&numbers, Effort::Cold);
            }
        }
    }
}
