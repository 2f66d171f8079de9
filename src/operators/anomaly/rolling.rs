//! The median and the median absolute deviation of a window that moves over values one by one.

use std::collections::VecDeque;

use super::reservoir::{MAD_TO_SIGMA, MEAN_DEVIATION_TO_SIGMA, middle};

/// The values of the window, twice: in the order they came, and sorted. A step costs a search and a move of memory; both medians are
/// then found by searching.
#[derive(Clone, Debug, Default)]
pub struct Rolling {
    arrived: VecDeque<f64>,
    sorted: Vec<f64>,
}

impl Rolling {
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Adds a finite value.
    pub fn push(&mut self, value: f64) {
        self.arrived.push_back(value);
        let at = self.sorted.partition_point(|other| *other < value);
        self.sorted.insert(at, value);
    }

    /// Removes the oldest value.
    pub fn pop(&mut self) {
        if let Some(value) = self.arrived.pop_front() {
            let at = self.sorted.partition_point(|other| *other < value);
            self.sorted.remove(at);
        }
    }

    /// `None` when the window is empty.
    pub fn median(&self) -> Option<f64> {
        middle(self.sorted.len(), |at| self.sorted[at])
    }

    /// Median of the absolute deviations from `median`.
    pub fn mad(&self, median: f64) -> f64 {
        let split = self.sorted.partition_point(|value| *value < median);
        let (below, above) = self.sorted.split_at(split);
        middle(self.sorted.len(), |at| nth_deviation(below, above, median, at)).unwrap_or_default()
    }

    /// Estimate of the standard deviation that outliers do not move; where more than half of the values are equal, from the mean of the
    /// deviations.
    pub fn sigma(&self, median: f64) -> f64 {
        let mad = self.mad(median);
        if mad > 0.0 {
            return mad * MAD_TO_SIGMA;
        }
        let total: f64 = self.sorted.iter().map(|value| (value - median).abs()).sum();
        total / self.sorted.len().max(1) as f64 * MEAN_DEVIATION_TO_SIGMA
    }
}

/// The `nth` smallest (from 0) deviation. `below` holds the values under the median, ascending, `above` the others: seen from the median
/// outwards, each is a sorted list of deviations. Searches how many of the smallest `nth + 1` lie below.
fn nth_deviation(below: &[f64], above: &[f64], median: f64, nth: usize) -> f64 {
    let left = |at: usize| median - below[below.len() - 1 - at];
    let right = |at: usize| above[at] - median;
    let taken = nth + 1;
    let (mut low, mut high) = (taken.saturating_sub(above.len()), taken.min(below.len()));
    while low < high {
        let half = usize::midpoint(low, high);
        if left(half) < right(taken - half - 1) {
            low = half + 1;
        } else {
            high = half;
        }
    }
    let last_left = if low > 0 { left(low - 1) } else { 0.0 };
    let last_right = if taken > low { right(taken - low - 1) } else { 0.0 };
    last_left.max(last_right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::anomaly::reservoir::Spread;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 500, ..ProptestConfig::default() })]
        #[test]
        fn every_window_agrees_with_sorting_it(
            values in proptest::collection::vec(prop_oneof![(-5_i8..5).prop_map(f64::from), -1e3..1e3, Just(-0.0)], 1..120),
            width in 1_usize..20,
        ) {
            let mut rolling = Rolling::default();
            for (at, value) in values.iter().enumerate() {
                rolling.push(*value);
                if rolling.len() > width {
                    rolling.pop();
                }
                let window = values[(at + 1).saturating_sub(width)..=at].to_vec();
                let expected = Spread::of(window).unwrap();
                let median = rolling.median().unwrap();
                prop_assert_eq!((median, rolling.mad(median)), (expected.median, expected.mad));
                prop_assert!((rolling.sigma(median) - expected.sigma()).abs() <= 1e-9);
            }
        }
    }
}
