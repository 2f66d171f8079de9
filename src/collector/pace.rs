//! How long a device takes, and how far its clock is from ours: of the last while, in a few kilobytes.

use std::time::Duration;

/// Buckets of a doubling, and all of them: from 1 µs to some 20 minutes.
const PER_DOUBLING: u32 = 8;
const BUCKETS: usize = 30 * PER_DOUBLING as usize;
/// When so many have been counted, what was before counts half.
const COUNTED_MAX: u32 = 4_096;
/// Clock differences of which the median is taken.
const OFFSETS: usize = 101;

/// What status and metrics tell of a device's pace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DevicePace {
    /// Half of the latencies were no longer; `None` while there are none. To a tenth.
    pub latency_p50: Option<Duration>,
    /// 99 in 100 were no longer.
    pub latency_p99: Option<Duration>,
    /// Median of the device's clock − ours in ns; `None` where the device tells no time.
    pub clock_offset: Option<i64>,
}

/// Latencies and clock differences as they come.
#[derive(Debug)]
pub(crate) struct PaceRecord {
    /// Latencies by their logarithm; old ones fade.
    counts: [u32; BUCKETS],
    counted: u32,
    /// The latest differences, in a ring.
    offsets: Vec<i64>,
    next: usize,
}

impl Default for PaceRecord {
    fn default() -> PaceRecord {
        PaceRecord { counts: [0; BUCKETS], counted: 0, offsets: Vec::new(), next: 0 }
    }
}

impl PaceRecord {
    pub(crate) fn latency(&mut self, latency: Duration) {
        if self.counted >= COUNTED_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.counted = self.counts.iter().sum();
        }
        self.counts[bucket(latency)] += 1;
        self.counted += 1;
    }

    pub(crate) fn clock_offset(&mut self, offset: i64) {
        if self.offsets.len() < OFFSETS {
            self.offsets.push(offset);
        } else {
            self.offsets[self.next] = offset;
            self.next = (self.next + 1) % OFFSETS;
        }
    }

    pub(crate) fn view(&self) -> DevicePace {
        let mut offsets = self.offsets.clone();
        let middle = offsets.len() / 2;
        let clock_offset = (!offsets.is_empty()).then(|| *offsets.select_nth_unstable(middle).1);
        DevicePace { latency_p50: self.quantile(0.5), latency_p99: self.quantile(0.99), clock_offset }
    }

    /// Upper end of the bucket in which this part of the latencies is reached.
    fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = (f64::from(self.counted) * part).ceil().max(1.0);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            f64::from(seen) >= wanted
        })?;
        Some(Duration::from_secs_f64(1e-6 * 2_f64.powf((place as f64 + 1.0) / f64::from(PER_DOUBLING))))
    }
}

fn bucket(latency: Duration) -> usize {
    let doublings = (latency.as_secs_f64() * 1e6).max(1.0).log2();
    ((doublings * f64::from(PER_DOUBLING)) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_tenth_and_follow_what_is_new() {
        let mut record = PaceRecord::default();
        assert_eq!(record.view(), DevicePace::default());
        let near = |found: Option<Duration>, wanted: f64| {
            let found = found.unwrap().as_secs_f64();
            assert!((0.999..1.1).contains(&(found / wanted)), "{found} is not about {wanted}");
        };
        for millisecond in 1..=1_000 {
            record.latency(Duration::from_millis(millisecond));
        }
        near(record.view().latency_p50, 0.5);
        near(record.view().latency_p99, 0.99);
        for _ in 0..20_000 {
            record.latency(Duration::from_micros(200));
        }
        near(record.view().latency_p99, 0.0002);
        record.latency(Duration::ZERO);
        record.latency(Duration::MAX);
    }

    #[test]
    fn the_clock_offset_is_the_median_of_the_latest() {
        let mut record = PaceRecord::default();
        for offset in [-5, 1_000_000, -7] {
            record.clock_offset(offset);
        }
        assert_eq!(record.view().clock_offset, Some(-5));
        for _ in 0..OFFSETS {
            record.clock_offset(40);
        }
        assert_eq!(record.view().clock_offset, Some(40));
    }
}
