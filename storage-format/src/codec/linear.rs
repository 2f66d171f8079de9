//! Linear prediction of differences: what is left of a slow signal under the noise of its converter.
//!
//! Of a reading that is level plus noise, the difference to the reading before holds the noise twice.
//! A weighted sum of the differences before takes part of it out again: some 0.3 to 0.4 bits a sample
//! at the noise of one or two steps that plants have. The weights are fitted to each column.

use super::bits::load_padded;
use crate::error::FieldFault;

/// Most weights.
const ORDER_MAX: usize = 16;

/// Weights that the encoder fits: twice as many save a five-hundredth of a byte a sample, and take a reader half as long again.
const ORDER: usize = 4;

/// Weights are fixed-point numbers with this many bits behind the point.
const FRACTION_BITS: u32 = 12;

/// One weight per difference before, the nearest first.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    weights: [i64; ORDER_MAX],
    order: usize,
}

impl Weights {
    /// The weights that leave the smallest squares, or none when they would not help: Levinson's and
    /// Durbin's recursion on the autocorrelation of the differences.
    pub fn fit(differences: &[i64]) -> Option<Self> {
        // The first one is the level. Products of larger ones would drown all others.
        let limit = |number: i64| number.clamp(-(1 << 20), 1 << 20) as f64;
        let series: Vec<f64> = differences.iter().skip(1).map(|number| limit(*number)).collect();
        let mut correlation = [0.0; ORDER + 1];
        for (lag, slot) in correlation.iter_mut().enumerate() {
            let later = series.get(lag..)?;
            *slot = product(later, &series);
        }
        if correlation[0] <= 0.0 {
            return None;
        }
        let mut error = correlation[0] * (1.0 + 1e-9);
        let mut filter = [0.0; ORDER];
        for order in 0..ORDER {
            let foretold: f64 = (0..order).map(|index| filter[index] * correlation[order - index]).sum();
            let reflection = (correlation[order + 1] - foretold) / error;
            let before = filter;
            filter[order] = reflection;
            for index in 0..order {
                filter[index] = before[index] - reflection * before[order - 1 - index];
            }
            error *= 1.0 - reflection * reflection;
            if error <= 0.0 {
                return None;
            }
        }
        // Half the logarithm of the gain in variance is the gain in bits: less than a fiftieth is not worth the reader's time.
        if error > correlation[0] * 0.972 {
            return None;
        }
        let mut weights = [0; ORDER_MAX];
        for (weight, value) in weights.iter_mut().zip(filter) {
            let scaled = (value * f64::from(1 << FRACTION_BITS)).round();
            if !(-32_768.0..=32_767.0).contains(&scaled) {
                return None;
            }
            *weight = scaled as i64;
        }
        Some(Self { weights, order: ORDER })
    }

    /// Appends order and weights.
    pub fn put(&self, out: &mut Vec<u8>) {
        let [order, ..] = self.order.to_le_bytes();
        out.push(order);
        for weight in &self.weights[..self.order] {
            out.extend_from_slice(&weight.to_le_bytes()[..2]);
        }
    }

    /// Reads order and weights at `at`, and moves `at` past them.
    pub fn get(bytes: &[u8], at: &mut usize) -> Result<Self, FieldFault> {
        let order = usize::from(bytes.get(*at).copied().unwrap_or(0));
        if order == 0 || order > ORDER_MAX {
            return Err(FieldFault::new("order of a linear predictor", *at, format!("1 to {ORDER_MAX}"), order));
        }
        *at += 1;
        let end = *at + order * 2;
        if end > bytes.len() {
            return Err(FieldFault::new("weights of a linear predictor", *at, format!("{} bytes", order * 2), bytes.len() - *at));
        }
        let mut weights = [0; ORDER_MAX];
        for (index, weight) in weights[..order].iter_mut().enumerate() {
            *weight = (load_padded(bytes, *at + index * 2) << 48).cast_signed() >> 48;
        }
        *at = end;
        Ok(Self { weights, order })
    }

    /// What is left of the differences. The first ones have nothing before them: zeros.
    pub fn residuals(&self, differences: &[i64]) -> Vec<i64> {
        let mut residuals = differences.to_vec();
        for (index, residual) in residuals.iter_mut().enumerate().skip(1) {
            *residual = residual.wrapping_sub(self.foretell(&differences[1..index]));
        }
        residuals
    }

    /// The next difference, from those before, the last one nearest.
    fn foretell(&self, before: &[i64]) -> i64 {
        let products = self.weights[..self.order].iter().zip(before.iter().rev());
        let sum = products.fold(1_i64 << (FRACTION_BITS - 1), |sum, (weight, number)| sum.wrapping_add(weight.wrapping_mul(*number)));
        sum >> FRACTION_BITS
    }

    /// Turns residuals into the numbers whose differences they are of, in place.
    pub fn undo(&self, numbers: &mut [i64]) {
        if self.order <= ORDER {
            self.undo_with::<ORDER>(numbers);
        } else if self.order <= 8 {
            self.undo_with::<8>(numbers);
        } else {
            self.undo_with::<ORDER_MAX>(numbers);
        }
    }

    /// With the differences before in an array that stays in registers; weights beyond the order are zero.
    fn undo_with<const N: usize>(&self, numbers: &mut [i64]) {
        let mut before = [0_i64; N];
        let mut weights = [0_i64; N];
        for (slot, weight) in weights.iter_mut().zip(self.weights) {
            *slot = weight;
        }
        let Some((first, rest)) = numbers.split_first_mut() else { return };
        let mut level = *first;
        for number in rest {
            // All but the nearest first: only that one waits for the number before.
            let mut sum = 1_i64 << (FRACTION_BITS - 1);
            for index in 1..N {
                sum = sum.wrapping_add(weights[index].wrapping_mul(before[index]));
            }
            sum = sum.wrapping_add(weights[0].wrapping_mul(before[0]));
            let difference = number.wrapping_add(sum >> FRACTION_BITS);
            level = level.wrapping_add(difference);
            *number = level;
            for index in (1..N).rev() {
                before[index] = before[index - 1];
            }
            before[0] = difference;
        }
    }
}

/// The sum of products, in lanes for vector registers.
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn residuals_lead_back(
            numbers in proptest::collection::vec(any::<i64>(), 0..100),
            weights in proptest::collection::vec(any::<i16>(), 1..=ORDER_MAX),
            shift in 0_u32..64,
        ) {
            let numbers: Vec<i64> = numbers.into_iter().map(|number| number >> shift).collect();
            let mut bytes = vec![0, u8::try_from(weights.len()).unwrap()];
            bytes.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
            let mut at = 1;
            let read = Weights::get(&bytes, &mut at).unwrap();
            prop_assert_eq!(at, bytes.len());
            let mut again = vec![0];
            read.put(&mut again);
            prop_assert_eq!(&again, &bytes);
            let mut residuals = read.residuals(&numbers);
            read.undo(&mut residuals);
            let mut level = 0_i64;
            let levels: Vec<i64> = numbers.iter().map(|difference| { level = level.wrapping_add(*difference); level }).collect();
            prop_assert_eq!(residuals, levels);
            prop_assert!(Weights::get(&bytes[..bytes.len() - 1], &mut 1).is_err());
        }
    }
}
