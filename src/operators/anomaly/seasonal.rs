//! `seasonal`: a value that is unusual for its time of day, week or any other season.
//!
//! The season is cut into bins. Each bin has the median of its values over the whole range and a robust standard deviation about it; a
//! sample is anomalous when the values around it lie, on average, more than `threshold` of them from the medians of their bins. The average
//! over `smoothing` is there because what is unusual for the season lasts; single values are what `spike` looks for. A bin with few samples
//! borrows centre and spread from the whole range. No bin is believed to be much quieter than the range is about the medians of its bins: in a season that
//! repeats exactly, a bin's own deviation would be nothing.
//!
//! Medians come from a bounded choice of the values (see `reservoir.rs`): exact for short ranges, close to it for long ones.

use super::{
    column::Column,
    detector::{Detector, DetectorScan, Subject},
    finding::{FindingDraft, Report, Verdict, score},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, ParameterKind, ParameterSpec},
    reservoir::{Reservoir, Spread},
    smoothing::Smoothing,
    text::{duration, number, with_unit},
};

const SEASON: &str = "season";
const PHASE: &str = "phase";
const BINS: &str = "bins";
const THRESHOLD: &str = "threshold";
const SAMPLES_MIN: &str = "samples_min";
const FLOOR: &str = "floor";
const SMOOTHING: &str = "smoothing";
const DAY: i64 = 86_400 * 1_000_000_000;
const BINS_MAX: u32 = 2_016;
/// Values kept over all bins: about 4 MiB for a tag.
const KEPT_MAX: usize = 262_144;

pub struct Seasonal;

impl Detector for Seasonal {
    fn name(&self) -> &'static str {
        "seasonal"
    }

    fn description(&self) -> &'static str {
        "values unusual for their time of day or week"
    }

    fn parameters(&self) -> &'static [ParameterSpec] {
        const {
            &[
                ParameterSpec {
                    name: SEASON,
                    kind: ParameterKind::Duration { minimum: 1_000_000_000, maximum: 366 * DAY, default: Some(DAY) },
                    unit: "",
                    description: "length of the season",
                },
                ParameterSpec {
                    name: PHASE,
                    kind: ParameterKind::Duration { minimum: 0, maximum: 366 * DAY, default: Some(0) },
                    unit: "",
                    description: "where the season begins, after 1970-01-01T00:00Z (a Thursday; 4d for weeks from Monday)",
                },
                ParameterSpec {
                    name: BINS,
                    kind: ParameterKind::Whole { minimum: 1, maximum: BINS_MAX, default: 24 },
                    unit: "",
                    description: "parts of the season that are compared with themselves",
                },
                ParameterSpec {
                    name: THRESHOLD,
                    kind: ParameterKind::Number { minimum: 0.1, maximum: 1e6, default: Some(6.0) },
                    unit: "robust standard deviations",
                    description: "allowed distance from the median of the bin",
                },
                ParameterSpec {
                    name: SAMPLES_MIN,
                    kind: ParameterKind::Whole { minimum: 1, maximum: 1_000_000, default: 12 },
                    unit: "samples",
                    description: "a bin with fewer is judged by the whole range",
                },
                ParameterSpec {
                    name: FLOOR,
                    kind: ParameterKind::Number { minimum: 0.0, maximum: 10.0, default: Some(1.0) },
                    unit: "",
                    description: "smallest standard deviation of a bin that is believed, as part of that of the range without its season",
                },
                ParameterSpec {
                    name: SMOOTHING,
                    kind: ParameterKind::Number { minimum: 0.0, maximum: 100.0, default: Some(0.5) },
                    unit: "bins",
                    description: "time around a sample over which distances are averaged; 0 judges each sample alone",
                },
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn check(&self, arguments: &DetectorParameters) -> Result<(), DetectorError> {
        let (season, bins) = (arguments.duration(SEASON).unwrap_or(DAY), arguments.whole(BINS) as i64);
        if season / bins < 1_000_000 {
            let reason = format!("a season of {} in {bins} bins gives bins under 1 ms", duration(season));
            return Err(DetectorError::Conflict { detector: self.name(), reason });
        }
        Ok(())
    }

    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError> {
        let bins = arguments.whole(BINS).max(1);
        let length = arguments.duration(SEASON).unwrap_or(DAY);
        let season =
            Season { length, phase: arguments.duration(PHASE).unwrap_or_default() % length, bin_length: (length - 1) / bins as i64 + 1 };
        let smoothing = (arguments.number(SMOOTHING).unwrap_or_default() * season.bin_length as f64) as i64;
        Ok(Box::new(SeasonalScan {
            season,
            threshold: arguments.number(THRESHOLD).unwrap_or_default(),
            samples_min: arguments.whole(SAMPLES_MIN),
            floor: arguments.number(FLOOR).unwrap_or_default(),
            learning: vec![Reservoir::new(KEPT_MAX / (bins + 1)); bins],
            whole: Reservoir::new(KEPT_MAX / (bins + 1)),
            usual: Vec::new(),
            window: smoothing,
            smoothing: Smoothing::new(smoothing / 2),
            unit: subject.unit.clone(),
        }))
    }
}

/// How time falls into bins; ns.
#[derive(Clone, Copy, Debug)]
struct Season {
    length: i64,
    /// Below `length`.
    phase: i64,
    /// The last bin may be shorter.
    bin_length: i64,
}

impl Season {
    #[inline]
    fn bin(&self, at: i64) -> usize {
        let into = at.rem_euclid(self.length) - self.phase;
        ((if into < 0 { into + self.length } else { into }) / self.bin_length) as usize
    }
}

/// Centre and standard deviation.
#[derive(Clone, Copy, Debug)]
struct Usual {
    median: f64,
    sigma: f64,
    /// False where the whole range stands in.
    own: bool,
}

struct SeasonalScan {
    season: Season,
    threshold: f64,
    samples_min: usize,
    floor: f64,
    learning: Vec<Reservoir>,
    whole: Reservoir,
    /// By bin, once learned.
    usual: Vec<Usual>,
    /// Width of the smoothing, ns.
    window: i64,
    /// Averages the distances of values from the medians of their bins, in standard deviations.
    smoothing: Smoothing<Judged>,
    unit: String,
}

/// A sample that waits for the average around it.
#[derive(Clone, Copy, Debug)]
struct Judged {
    value: f64,
    /// Of this value alone.
    distance: f64,
    usual: Usual,
}

impl Judged {
    fn report(&self, at: i64, mean: f64, threshold: f64, report: &mut Report) {
        let Judged { value, distance, usual } = *self;
        let allowed = threshold * usual.sigma;
        let verdict = Verdict {
            anomalous: mean > threshold,
            score: score(mean, threshold),
            observed: value,
            expected: (usual.median - allowed, usual.median + allowed),
            condition: if value > usual.median { "above" } else { "below" },
            detail: distance,
        };
        report.judge_weighted(at, value, verdict, distance);
    }
}

impl DetectorScan for SeasonalScan {
    fn learns(&self) -> bool {
        true
    }

    fn learn(&mut self, column: &Column<'_>) {
        for (at, value) in column.timestamps.iter().zip(column.values) {
            let bin = self.season.bin(*at);
            self.learning[bin].push(*at, *value);
            self.whole.push(*at, *value);
        }
    }

    fn learned(&mut self) {
        let Some(whole) = self.whole.spread() else { return };
        let bins = std::mem::take(&mut self.learning);
        let spreads: Vec<_> = bins.iter().map(|bin| bin.spread().filter(|_| bin.len() >= self.samples_min)).collect();
        // Deviations of all values from the medians of their bins: the range without its season.
        let left = bins.iter().zip(&spreads).flat_map(|(bin, spread)| bin.deviations(spread.unwrap_or(whole).median)).collect();
        let floor = Spread::of(left).map_or(0.0, |left| left.sigma()) * self.floor;
        self.usual = spreads
            .iter()
            .map(|own| {
                let spread = own.unwrap_or(whole);
                Usual { median: spread.median, sigma: spread.sigma().max(floor), own: own.is_some() }
            })
            .collect();
    }

    fn judge(&mut self, column: &Column<'_>, report: &mut Report) {
        for (at, value) in column.timestamps.iter().zip(column.values) {
            let Some(usual) = self.usual.get(self.season.bin(*at)) else {
                report.judge(*at, *value, Verdict::UNKNOWN);
                continue;
            };
            let distance = score((value - usual.median).abs(), usual.sigma);
            let judged = Judged { value: *value, distance, usual: *usual };
            self.smoothing.push(*at, distance, judged, |at, mean, judged| judged.report(at, mean, self.threshold, report));
        }
    }

    fn finish(&mut self, report: &mut Report) {
        self.smoothing.finish(|at, mean, judged| judged.report(at, mean, self.threshold, report));
    }

    fn explain(&self, draft: &FindingDraft) -> String {
        let Verdict { observed, expected, condition, detail, .. } = draft.verdict;
        let bin = self.season.bin(draft.peak);
        let place = if self.usual.get(bin).is_some_and(|usual| usual.own) {
            let from = bin as i64 * self.season.bin_length;
            let to = (from + self.season.bin_length).min(self.season.length);
            format!("usual between {} and {} of each {}", duration(from), duration(to), duration(self.season.length))
        } else {
            "median of the range".into()
        };
        let average = if self.window > 0 { format!(" on average over {}", duration(self.window)) } else { String::new() };
        format!(
            "The value {} lies {} robust standard deviations {condition} {}, the {place}; {} are allowed{average}.",
            with_unit(observed, &self.unit),
            number(detail),
            with_unit(f64::midpoint(expected.0, expected.1), &self.unit),
            number(self.threshold),
        )
    }

    fn unit(&self) -> String {
        self.unit.clone()
    }
}
