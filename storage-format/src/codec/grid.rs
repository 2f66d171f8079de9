//! Timestamps as their distances from a grid of equal steps. A poll that comes some milliseconds early
//! or late does so independently of the one before: the distance from the grid holds that noise once, a
//! difference of neighbours twice, and a difference of differences six times in the variance.

use super::delta_of_delta::{EXPONENT_MAX, EXPONENTS, Quotient};
use super::whole::{self, Whole};
use super::{bits, integers};
use crate::effort::Effort;
use crate::error::FieldFault;

/// Bytes before the integers: exponent, fraction bits, step.
const PREFIX: usize = 10;

/// Most bits of the step behind the point.
const FRACTION_BITS_MAX: u32 = 32;

/// The grid: sample *i* lies at `i × step`, in units of a power of ten.
struct TimestampGrid {
    step: i64,
    fraction_bits: u32,
}

impl TimestampGrid {
    /// The grid that the numbers, which begin with sample 1, lie about.
    fn fit(numbers: &[i64]) -> Self {
        let slope = if numbers.len() == 1 { numbers[0] as f64 } else { slope(numbers) };
        // As many bits behind the point as the product with the highest index leaves room for.
        let most = (slope.abs() * (numbers.len() + 1) as f64).max(1.0);
        let room = 61 - (most.log2().ceil() as u32).min(61);
        let fraction_bits = room.min(FRACTION_BITS_MAX);
        Self { step: (slope * (1_u64 << fraction_bits) as f64).round() as i64, fraction_bits }
    }

    /// Where the samples from the first index on should be, each handed to `use_place` with its number.
    #[inline(always)]
    fn places(&self, first: usize, numbers: &mut [i64], use_place: impl Fn(i64, i64) -> i64) {
        const LANES: usize = 8;
        // Sums in lanes instead of products, and a shift of unsigned numbers: what vector registers have.
        let bias = 1_u64 << 63 >> self.fraction_bits;
        let place = |product: i64| ((product.cast_unsigned() ^ 1 << 63) >> self.fraction_bits).wrapping_sub(bias).cast_signed();
        let mut products = [0; LANES];
        for (index, product) in (first as i64..).zip(&mut products) {
            *product = self.step.wrapping_mul(index);
        }
        let stride = self.step.wrapping_mul(LANES as i64);
        let (blocks, rest) = numbers.as_chunks_mut::<LANES>();
        for block in blocks {
            for (number, product) in block.iter_mut().zip(&mut products) {
                *number = use_place(*number, place(*product));
                *product = product.wrapping_add(stride);
            }
        }
        for (number, product) in rest.iter_mut().zip(products) {
            *number = use_place(*number, place(product));
        }
    }
}

/// The mean step of at least two numbers: of all of them, or, where a gap spoils that, the usual one of their parts.
fn slope(numbers: &[i64]) -> f64 {
    const PARTS: usize = 8;
    let whole = mean_step(numbers);
    if numbers.len() < PARTS * 8 {
        return whole;
    }
    let mut parts = [0.0; PARTS];
    for (slope, part) in parts.iter_mut().zip(numbers.chunks(numbers.len().div_ceil(PARTS))) {
        *slope = mean_step(part);
    }
    parts.sort_by(f64::total_cmp);
    let middle = parts[PARTS / 2];
    // Under noise the parts scatter about the whole; beside a gap most agree with each other and not with it.
    let agreeing = parts.iter().filter(|part| (*part - middle).abs() * 4.0 < (whole - middle).abs()).count();
    if agreeing * 2 > PARTS { middle } else { whole }
}

/// The step between the means of the first and the last few numbers. Sums wrap: of numbers so far apart
/// that they do, there is no grid, and any slope will do.
fn mean_step(numbers: &[i64]) -> f64 {
    let count = numbers.len();
    let few = (count / 4).clamp(1, 32);
    let sum = |numbers: &[i64]| numbers.iter().fold(0_i64, |sum, number| sum.wrapping_add(*number));
    let difference = sum(&numbers[count - few..]).wrapping_sub(sum(&numbers[..few]));
    if count == few { 0.0 } else { difference as f64 / few as f64 / (count - few) as f64 }
}

/// Appends the column of at least two timestamps; the first itself is not part of it.
pub(crate) fn encode(timestamps: &[i64], effort: Effort, out: &mut Vec<u8>) {
    let mut numbers = vec![0; timestamps.len() - 1];
    let exponent = EXPONENTS.into_iter().find(|exponent| divide(timestamps, *exponent, &mut numbers)).unwrap_or(0);
    let grid = TimestampGrid::fit(&numbers);
    grid.places(1, &mut numbers, i64::wrapping_sub);
    out.push(exponent);
    out.push(grid.fraction_bits as u8);
    out.extend_from_slice(&grid.step.to_le_bytes());
    integers::encode(&numbers, effort, out);
}

/// Distances from the first timestamp in units of 10^exponent; false as soon as one is not a multiple.
fn divide(timestamps: &[i64], exponent: u8, numbers: &mut [i64]) -> bool {
    match divide_near(timestamps, exponent, numbers) {
        Some(exact) => exact,
        None => divide_any(timestamps, exponent, numbers),
    }
}

/// In floats, which a portable build calculates with several at a time; `None` when a distance is too far for them.
fn divide_near(timestamps: &[i64], exponent: u8, numbers: &mut [i64]) -> Option<bool> {
    let scale = 10_f64.powi(i32::from(exponent));
    let inverse = 1.0 / scale;
    let first = timestamps[0];
    for (numbers, timestamps) in numbers.chunks_mut(128).zip(timestamps[1..].chunks(128)) {
        let (mut differs, mut far) = (0, false);
        for (number, timestamp) in numbers.iter_mut().zip(timestamps) {
            let distance = timestamp.wrapping_sub(first);
            far |= !whole::is_small(distance);
            let distance = whole::to_f64(distance);
            // Off by one where the inverse is inexact and the quotient large: then the product shows it.
            let quotient = Whole::round(distance * inverse);
            *number = quotient.number;
            differs |= (quotient.value * scale).to_bits() ^ distance.to_bits();
        }
        if far {
            return None;
        }
        if differs != 0 {
            return Some(false);
        }
    }
    Some(true)
}

fn divide_any(timestamps: &[i64], exponent: u8, numbers: &mut [i64]) -> bool {
    let quotient = Quotient::by(exponent);
    let first = timestamps[0];
    numbers.chunks_mut(128).zip(timestamps[1..].chunks(128)).all(|(numbers, timestamps)| {
        let (mut distances, mut quotients) = (0, 0);
        for (number, timestamp) in numbers.iter_mut().zip(timestamps) {
            let distance = timestamp.wrapping_sub(first);
            *number = quotient.of(distance);
            distances |= distance;
            quotients |= bits::zigzag(*number);
        }
        quotient.all_exact(distances, quotients)
    })
}

/// Appends `count >= 2` timestamps, the first of which is `first`.
pub(crate) fn decode(bytes: &[u8], first: i64, count: usize, out: &mut Vec<i64>) -> Result<(), FieldFault> {
    let (Some(&[exponent, fraction_bits, ref step @ ..]), 2..) = (bytes.first_chunk::<PREFIX>(), count) else {
        return Err(FieldFault::new("timestamps", 0, "2 samples and 10 bytes or more", format!("{count} and {}", bytes.len())));
    };
    if exponent > EXPONENT_MAX {
        return Err(FieldFault::new("exponent of the timestamps", 0, "at most 18", exponent));
    }
    let fraction_bits = u32::from(fraction_bits);
    if fraction_bits > FRACTION_BITS_MAX {
        return Err(FieldFault::new("fraction bits of the step", 1, "at most 32", fraction_bits));
    }
    let grid = TimestampGrid { step: i64::from_le_bytes(*step), fraction_bits };
    let scale = 10_i64.pow(u32::from(exponent));
    let start = out.len();
    out.resize(start + count, first);
    let numbers = &mut out[start + 1..];
    integers::decode(bytes, PREFIX, numbers)?;
    grid.places(1, numbers, |number, place| first.wrapping_add(number.wrapping_add(place).wrapping_mul(scale)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(timestamps: &[i64], effort: Effort) -> usize {
        let mut bytes = Vec::new();
        encode(timestamps, effort, &mut bytes);
        let mut read = vec![5];
        decode(&bytes, timestamps[0], timestamps.len(), &mut read).unwrap();
        assert_eq!(read[1..], *timestamps);
        for len in bytes.len().saturating_sub(50)..bytes.len() {
            assert!(decode(&bytes[..len], timestamps[0], timestamps.len(), &mut Vec::new()).is_err());
        }
        bytes.len()
    }

    #[test]
    fn extremes_survive() {
        for effort in [Effort::Hot, Effort::Cold] {
            round_trip(&[i64::MIN, i64::MAX, i64::MIN, 0, i64::MAX, i64::MAX, -1], effort);
            round_trip(&[i64::MIN, i64::MAX], effort);
            round_trip(&[0, 0, 0], effort);
            round_trip(&[3, 2, 1, 0, -1, -100], effort);
        }
    }

    /// A period that is no whole number of milliseconds, jitter, and a gap: none may cost more than its bits.
    #[test]
    fn noise_costs_its_range_and_a_gap_little() {
        let noise = |i: i64| (i.wrapping_mul(7919) >> 3) % 7;
        let time = |i: i64| 1_760_000_000_000 + i * 1_000_373 / 1_000 + noise(i) + if i > 700 { 86_400_000 } else { 0 };
        let timestamps: Vec<i64> = (0..1_024).map(|i| time(i) * 1_000_000).collect();
        assert!(round_trip(&timestamps, Effort::Hot) < 1_024 * 4 / 8 + 60);
        assert!(round_trip(&timestamps[..700], Effort::Hot) < 700 * 4 / 8 + 40);
    }

    proptest! {
        #[test]
        fn any_series_survives(timestamps in proptest::collection::vec(any::<i64>(), 2..300)) {
            round_trip(&timestamps, Effort::Hot);
            round_trip(&timestamps, Effort::Cold);
        }
    }
}
