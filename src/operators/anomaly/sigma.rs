//! `sigma`: a value further than a number of standard deviations from the mean of the range.
//!
//! Mean and (population) standard deviation are those of the counted samples of the whole range. They can be had from chunk statistics and
//! rollups without looking at samples, and most chunks can then be passed over by their extremes: [`Sigma`] is for that.

use super::{
    column::Column,
    detector::{Detector, DetectorScan, Subject},
    finding::{FindingDraft, Report, Verdict, score},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, ParameterKind, ParameterSpec},
    statistics::{CountByStatistics, KnownSamples},
    text::{number, with_unit},
};

const THRESHOLD: &str = "threshold";

/// The test itself: `|value - mean| > threshold × deviation`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sigma {
    pub mean: f64,
    /// Population standard deviation.
    pub deviation: f64,
    /// In standard deviations.
    pub threshold: f64,
    /// `threshold × deviation`.
    pub limit: f64,
}

impl Sigma {
    /// Of `count` counted samples with this sum and this sum of squared deviations from their mean. `None` when there are none, when all
    /// are equal (nothing lies outside then), or when a sum is not finite: then an infinite value is among them, and only the samples
    /// can tell.
    pub fn from_statistics(count: u64, sum: f64, m2: f64, threshold: f64) -> Option<Sigma> {
        let (mean, variance) = (sum / count as f64, m2 / count as f64);
        let deviation = variance.sqrt();
        let known = count > 0 && mean.is_finite() && deviation.is_finite() && deviation > 0.0;
        known.then_some(Sigma { mean, deviation, threshold, limit: threshold * deviation })
    }

    /// True when the value is anomalous; NaN is not.
    #[inline]
    pub fn is_beyond(&self, value: f64) -> bool {
        (value - self.mean).abs() > self.limit
    }

    /// True when no value from `minimum` to `maximum` is anomalous: a chunk with these extremes need not be decoded. Exact, because
    /// rounding keeps the order of differences.
    pub fn can_skip(&self, minimum: f64, maximum: f64) -> bool {
        !self.is_beyond(minimum) && !self.is_beyond(maximum)
    }

    /// True when every value from `minimum` to `maximum` is anomalous: all counted samples of the chunk count.
    pub fn whole_chunk_beyond(&self, minimum: f64, maximum: f64) -> bool {
        minimum <= maximum && (minimum - self.mean > self.limit || self.mean - maximum > self.limit)
    }

    /// Number of anomalous values. NaN is none.
    pub fn count(&self, values: &[f64]) -> u64 {
        let Sigma { mean, limit, .. } = *self;
        // Whole blocks without a branch, with counts as wide as the values, so that it runs over several values at a time.
        let beyond = |values: &[f64]| values.iter().fold(0_u64, |count, value| count + u64::from((value - mean).abs() > limit));
        values.chunks(4_096).map(beyond).sum()
    }
}

/// Count, mean and sum of squared deviations, taken up in blocks whose borders depend on the number of samples only: the result does not
/// depend on how samples come in runs.
#[derive(Clone, Debug, Default)]
struct Moments {
    count: u64,
    mean: f64,
    m2: f64,
    block: Vec<f64>,
}

const BLOCK: usize = 1_024;

impl Moments {
    fn push(&mut self, mut values: &[f64]) {
        while !values.is_empty() {
            if self.block.is_empty() && values.len() >= BLOCK {
                let (block, rest) = values.split_at(BLOCK);
                self.merge(block);
                values = rest;
                continue;
            }
            let (part, rest) = values.split_at(values.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(part);
            values = rest;
            if self.block.len() == BLOCK {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.merge(&block);
        self.block = block;
        self.block.clear();
    }

    /// Pairwise combination of means and squared deviations (Chan and others, 1979).
    fn merge(&mut self, block: &[f64]) {
        if block.is_empty() {
            return;
        }
        let count = block.len() as f64;
        let mean = sum(block, |value| value) / count;
        let m2 = sum(block, |value| (value - mean) * (value - mean));
        let (before, total) = (self.count as f64, self.count as f64 + count);
        let apart = mean - self.mean;
        self.m2 += m2 + apart * apart * (before * count / total);
        self.mean += apart * (count / total);
        self.count += block.len() as u64;
    }

    fn finish(&mut self, threshold: f64) -> Option<Sigma> {
        self.flush();
        Sigma::from_statistics(self.count, self.mean * self.count as f64, self.m2, threshold)
            .map(|sigma| Sigma { mean: self.mean, ..sigma })
    }
}

/// Sum in eight lanes, so that additions do not wait for each other.
fn sum(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let blocks = values.chunks_exact(8);
    let rest: f64 = blocks.remainder().iter().map(|value| of(*value)).sum();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += of(*value);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

pub struct SigmaDetector;

impl Detector for SigmaDetector {
    fn name(&self) -> &'static str {
        "sigma"
    }

    fn description(&self) -> &'static str {
        "values many standard deviations from the mean of the range"
    }

    fn parameters(&self) -> &'static [ParameterSpec] {
        const {
            &[
                ParameterSpec {
                    name: THRESHOLD,
                    kind: ParameterKind::Number { minimum: 0.1, maximum: 1e6, default: Some(3.0) },
                    unit: "standard deviations",
                    description: "allowed distance from the mean",
                },
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError> {
        Ok(Box::new(SigmaScan {
            threshold: arguments.number(THRESHOLD).unwrap_or_default(),
            moments: Moments::default(),
            sigma: None,
            unit: subject.unit.clone(),
        }))
    }

    fn count_by_statistics(&self, arguments: &DetectorParameters) -> Option<Box<dyn CountByStatistics>> {
        let threshold = arguments.number(THRESHOLD).unwrap_or_default();
        Some(Box::new(SigmaCount { threshold, totals: Totals::default(), sigma: None }))
    }
}

/// Count, sum and sum of squared deviations, of parts put together.
#[derive(Clone, Copy, Default)]
struct Totals {
    count: f64,
    sum: f64,
    m2: f64,
}

impl Totals {
    fn of(values: &[f64]) -> Totals {
        let count = values.len() as f64;
        if values.is_empty() {
            return Totals::default();
        }
        let sum: f64 = values.iter().sum();
        let mean = sum / count;
        Totals { count, sum, m2: values.iter().map(|value| (value - mean) * (value - mean)).sum() }
    }

    fn merge(&mut self, other: Totals) {
        if other.count > 0.0 && self.count > 0.0 {
            let apart = other.sum / other.count - self.sum / self.count;
            self.m2 += apart * apart * (self.count * other.count / (self.count + other.count));
        }
        self.m2 += other.m2;
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// Mean and deviation from totals; afterwards, chunks whose extremes do not reach beyond count nothing.
struct SigmaCount {
    threshold: f64,
    totals: Totals,
    sigma: Option<Sigma>,
}

impl CountByStatistics for SigmaCount {
    fn learn(&mut self, chunk: &KnownSamples) {
        self.totals.merge(Totals { count: chunk.count as f64, sum: chunk.sum, m2: chunk.m2 });
    }

    fn learn_values(&mut self, values: &[f64]) {
        self.totals.merge(Totals::of(values));
    }

    fn learned(&mut self) -> bool {
        let Totals { count, sum, m2 } = self.totals;
        self.sigma = Sigma::from_statistics(count as u64, sum, m2, self.threshold);
        self.sigma.is_some()
    }

    fn count(&self, chunk: &KnownSamples) -> Option<u64> {
        let (Some(sigma), Some((low, high))) = (self.sigma, chunk.extremes) else { return Some(0) };
        if sigma.can_skip(low, high) {
            return Some(0);
        }
        sigma.whole_chunk_beyond(low, high).then_some(chunk.count)
    }

    fn count_values(&self, values: &[f64]) -> u64 {
        self.sigma.map_or(0, |sigma| sigma.count(values))
    }
}

struct SigmaScan {
    threshold: f64,
    moments: Moments,
    /// Known after learning; `None` when nothing can be anomalous.
    sigma: Option<Sigma>,
    unit: String,
}

impl DetectorScan for SigmaScan {
    fn learns(&self) -> bool {
        true
    }

    fn learn(&mut self, column: &Column<'_>) {
        self.moments.push(column.values);
    }

    fn learned(&mut self) {
        self.sigma = self.moments.finish(self.threshold);
    }

    fn judge(&mut self, column: &Column<'_>, report: &mut Report) {
        if report.counts_only() {
            report.add_count(self.sigma.map_or(0, |sigma| sigma.count(column.values)));
            return;
        }
        for (at, value) in column.timestamps.iter().zip(column.values) {
            let verdict = self.sigma.map_or(Verdict::UNKNOWN, |sigma| Verdict {
                anomalous: sigma.is_beyond(*value),
                score: score((value - sigma.mean).abs(), sigma.limit),
                observed: *value,
                expected: (sigma.mean - sigma.limit, sigma.mean + sigma.limit),
                condition: if *value > sigma.mean { "above" } else { "below" },
                detail: 0.0,
            });
            report.judge(*at, *value, verdict);
        }
    }

    fn explain(&self, draft: &FindingDraft) -> String {
        let observed = draft.verdict.observed;
        let (mean, deviation) = self.sigma.map_or((0.0, 1.0), |sigma| (sigma.mean, sigma.deviation));
        format!(
            "The value {} lies {} standard deviations {} the mean {} of the range; {} are allowed.",
            with_unit(observed, &self.unit),
            number((observed - mean).abs() / deviation),
            draft.verdict.condition,
            with_unit(mean, &self.unit),
            number(self.threshold),
        )
    }

    fn unit(&self) -> String {
        self.unit.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]
        #[test]
        fn moments_of_many_blocks_are_those_of_all_values(
            len in 0_usize..6_000,
            steps in proptest::collection::vec(1_usize..3_000, 1..10),
            offset in -1e6..1e6_f64,
        ) {
            // A slope, so that blocks have different means.
            let values: Vec<f64> = (0..len).map(|at| offset + at as f64 * 0.5 + ((at * 7_919) % 101) as f64).collect();
            let whole = { let mut moments = Moments::default(); moments.push(&values); moments.finish(3.0) };
            let mut moments = Moments::default();
            let (mut rest, mut steps) = (&values[..], steps.iter().cycle());
            while !rest.is_empty() {
                let (run, after) = rest.split_at(rest.len().min(*steps.next().unwrap()));
                moments.push(run);
                rest = after;
            }
            prop_assert_eq!(moments.finish(3.0), whole);
            if let Some(sigma) = whole {
                let mean = values.iter().sum::<f64>() / len as f64;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / len as f64;
                prop_assert!((sigma.mean - mean).abs() <= 1e-9 * mean.abs().max(1.0));
                prop_assert!((sigma.deviation - variance.sqrt()).abs() <= 1e-9 * variance.sqrt());
            } else {
                prop_assert!(len <= 1);
            }
        }
    }
}
