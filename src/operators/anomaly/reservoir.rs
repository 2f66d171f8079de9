//! A bounded random choice of values, from which medians are taken when a range has more than fit into memory.
//!
//! A value stays when the hash of its timestamp is small enough; when there are too many, the bar is halved. So what is kept is a
//! uniform choice that depends on the timestamps alone: not on order, runs or chance. Up to the capacity everything is kept, and the
//! median is exact.

#[derive(Clone, Debug)]
pub struct Reservoir {
    capacity: usize,
    ceiling: u64,
    kept: Vec<(u64, f64)>,
}

impl Reservoir {
    pub fn new(capacity: usize) -> Reservoir {
        Reservoir { capacity, ceiling: u64::MAX, kept: Vec::new() }
    }

    pub fn push(&mut self, at: i64, value: f64) {
        let hash = mix(at.cast_unsigned());
        if hash > self.ceiling {
            return;
        }
        self.kept.push((hash, value));
        while self.kept.len() > self.capacity {
            self.ceiling /= 2;
            let ceiling = self.ceiling;
            self.kept.retain(|(hash, _)| *hash <= ceiling);
        }
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Distances of what is kept from `centre`, with their signs.
    pub fn deviations(&self, centre: f64) -> impl Iterator<Item = f64> + '_ {
        self.kept.iter().map(move |(_, value)| value - centre)
    }

    /// Centre and spread of what is kept; `None` when there is nothing.
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(self.kept.iter().map(|(_, value)| *value).collect())
    }
}

/// Mixes all bits of a timestamp (the finaliser of `SplitMix64`), so that regular timestamps give irregular hashes.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// The median absolute deviation of a normal distribution times this is its standard deviation.
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
/// The same for the mean absolute deviation.
pub const MEAN_DEVIATION_TO_SIGMA: f64 = 1.253_314_137_315_500_3;

/// Robust centre and spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    /// Median absolute deviation from the median.
    pub mad: f64,
    /// Mean absolute deviation from the median.
    pub mean_deviation: f64,
}

impl Spread {
    /// Of `values`, in any order; `None` when there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        let median = median(&mut values)?;
        for value in &mut values {
            *value = (*value - median).abs();
        }
        // Sorted by the median below before they are summed, so that the sum does not depend on the order they came in.
        let mad = self::median(&mut values)?;
        let mean_deviation = values.iter().sum::<f64>() / values.len() as f64;
        Some(Spread { median, mad, mean_deviation })
    }

    /// Estimate of the standard deviation that outliers do not move. Where more than half of the values are equal, the median of the
    /// deviations is 0 and says nothing; the mean of the deviations stands in.
    pub fn sigma(&self) -> f64 {
        if self.mad > 0.0 { self.mad * MAD_TO_SIGMA } else { self.mean_deviation * MEAN_DEVIATION_TO_SIGMA }
    }
}

/// Sorts `values` and gives the middle one, or the mean of the two middle ones.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    middle(values.len(), |at| values[at])
}

/// The median of `len` ordered values.
pub fn middle(len: usize, at: impl Fn(usize) -> f64) -> Option<f64> {
    match len {
        0 => None,
        odd if odd % 2 == 1 => Some(at(odd / 2)),
        even => Some(f64::midpoint(at(even / 2 - 1), at(even / 2))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_small_sets() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0]).unwrap(), Spread { median: 3.0, mad: 0.0, mean_deviation: 0.0 });
        let spread = Spread::of(vec![9.0, 1.0, 2.0, 4.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, mad: 1.5, mean_deviation: 2.5 });
        let mostly_equal = Spread::of(vec![1.0, 1.0, 1.0, 5.0]).unwrap();
        assert_eq!(mostly_equal, Spread { median: 1.0, mad: 0.0, mean_deviation: 1.0 });
        assert!((mostly_equal.sigma() - MEAN_DEVIATION_TO_SIGMA).abs() < 1e-12);
    }

    #[test]
    fn a_full_reservoir_is_a_fair_choice_whatever_the_order() {
        let mut forward = Reservoir::new(1_000);
        let mut backward = Reservoir::new(1_000);
        for value in 0..100_000 {
            forward.push(value * 1_000_000_000, value as f64);
            let value = 99_999 - value;
            backward.push(value * 1_000_000_000, value as f64);
        }
        assert!((400..=1_000).contains(&forward.len()), "{}", forward.len());
        assert_eq!(forward.spread(), backward.spread());
        let spread = forward.spread().unwrap();
        assert!((spread.median - 50_000.0).abs() < 6_000.0, "{spread:?}");
        assert!((spread.mad - 25_000.0).abs() < 4_000.0, "{spread:?}");
    }
}
