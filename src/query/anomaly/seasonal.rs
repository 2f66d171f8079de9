//! `seasonal`: a value that is unusual for its time of day, week or any other season.
//!
//! The season is cut into bins. Each bin has the median of its values over the whole range and a robust standard deviation about it; a
//! value is anomalous when it lies more than `threshold` of them from the median of its bin. A bin with few samples borrows centre and
//! spread from the whole range. No bin is believed to be much quieter than the range is about the medians of its bins: in a season that
//! repeats exactly, a bin's own deviation would be nothing.
//!
//! Medians come from a bounded choice of the values (see `reservoir.rs`): exact for short ranges, close to it for long ones.

use super::{
    column::Column,
    detector::{Detector, Scan, Subject},
    finding::{Draft, Report, Verdict, score},
    parameter::{Arguments, DetectorError, INCLUDE_UNCERTAIN, Kind, ParameterSpec},
    reservoir::{Reservoir, Spread},
    text::{duration, number, with_unit},
};

const SEASON: &str = "season";
const PHASE: &str = "phase";
const BINS: &str = "bins";
const THRESHOLD: &str = "threshold";
const SAMPLES_MIN: &str = "samples_min";
const FLOOR: &str = "floor";
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
                    kind: Kind::Duration { minimum: 1_000_000_000, maximum: 366 * DAY, default: Some(DAY) },
                    unit: "",
                    description: "length of the season",
                },
                ParameterSpec {
                    name: PHASE,
                    kind: Kind::Duration { minimum: 0, maximum: 366 * DAY, default: Some(0) },
                    unit: "",
                    description: "where the season begins, after 1970-01-01T00:00Z (a Thursday; 4d for weeks from Monday)",
                },
                ParameterSpec {
                    name: BINS,
                    kind: Kind::Whole { minimum: 1, maximum: BINS_MAX, default: 24 },
                    unit: "",
                    description: "parts of the season that are compared with themselves",
                },
                ParameterSpec {
                    name: THRESHOLD,
                    kind: Kind::Number { minimum: 0.1, maximum: 1e6, default: Some(6.0) },
                    unit: "robust standard deviations",
                    description: "allowed distance from the median of the bin",
                },
                ParameterSpec {
                    name: SAMPLES_MIN,
                    kind: Kind::Whole { minimum: 1, maximum: 1_000_000, default: 12 },
                    unit: "samples",
                    description: "a bin with fewer is judged by the whole range",
                },
                ParameterSpec {
                    name: FLOOR,
                    kind: Kind::Number { minimum: 0.0, maximum: 10.0, default: Some(0.5) },
                    unit: "",
                    description: "smallest standard deviation of a bin that is believed, as part of that of the range without its season",
                },
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), DetectorError> {
        let (season, bins) = (arguments.duration(SEASON).unwrap_or(DAY), arguments.whole(BINS) as i64);
        if season / bins < 1_000_000 {
            let reason = format!("a season of {} in {bins} bins gives bins under 1 ms", duration(season));
            return Err(DetectorError::Conflict { detector: self.name(), reason });
        }
        Ok(())
    }

    fn begin(&self, arguments: &Arguments, subject: &Subject) -> Result<Box<dyn Scan>, DetectorError> {
        let bins = arguments.whole(BINS).max(1);
        let season = arguments.duration(SEASON).unwrap_or(DAY);
        Ok(Box::new(SeasonalScan {
            season,
            phase: arguments.duration(PHASE).unwrap_or_default() % season,
            bin_length: (season - 1) / bins as i64 + 1,
            threshold: arguments.number(THRESHOLD).unwrap_or_default(),
            samples_min: arguments.whole(SAMPLES_MIN),
            floor: arguments.number(FLOOR).unwrap_or_default(),
            learning: vec![Reservoir::new(KEPT_MAX / (bins + 1)); bins],
            whole: Reservoir::new(KEPT_MAX / (bins + 1)),
            usual: Vec::new(),
            unit: subject.unit.clone(),
        }))
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
    /// ns.
    season: i64,
    /// Rest of it by the season.
    phase: i64,
    /// The last bin may be shorter.
    bin_length: i64,
    threshold: f64,
    samples_min: usize,
    floor: f64,
    learning: Vec<Reservoir>,
    whole: Reservoir,
    /// By bin, once learned.
    usual: Vec<Usual>,
    unit: String,
}

impl SeasonalScan {
    #[inline]
    fn bin(&self, at: i64) -> usize {
        let into = at.rem_euclid(self.season) - self.phase;
        ((if into < 0 { into + self.season } else { into }) / self.bin_length) as usize
    }
}

impl Scan for SeasonalScan {
    fn learns(&self) -> bool {
        true
    }

    fn learn(&mut self, column: &Column<'_>) {
        for (at, value) in column.timestamps.iter().zip(column.values) {
            let bin = self.bin(*at);
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
            let Some(usual) = self.usual.get(self.bin(*at)) else {
                report.judge(*at, *value, Verdict::UNKNOWN);
                continue;
            };
            let allowed = self.threshold * usual.sigma;
            let distance = (value - usual.median).abs();
            report.judge(
                *at,
                *value,
                Verdict {
                    anomalous: distance > allowed,
                    score: score(distance, allowed),
                    observed: *value,
                    expected: (usual.median - allowed, usual.median + allowed),
                    condition: if *value > usual.median { "above" } else { "below" },
                    detail: distance / usual.sigma,
                },
            );
        }
    }

    fn explain(&self, draft: &Draft) -> String {
        let Verdict { observed, expected, condition, detail, .. } = draft.verdict;
        let bin = self.bin(draft.peak);
        let place = if self.usual.get(bin).is_some_and(|usual| usual.own) {
            let from = bin as i64 * self.bin_length;
            let to = (from + self.bin_length).min(self.season);
            format!("usual between {} and {} of each {}", duration(from), duration(to), duration(self.season))
        } else {
            "median of the range".into()
        };
        let distance = if detail.is_finite() { format!("{} robust standard deviations ", number(detail)) } else { String::new() };
        format!(
            "The value {} lies {distance}{condition} {}, the {place}; {} are allowed.",
            with_unit(observed, &self.unit),
            with_unit(f64::midpoint(expected.0, expected.1), &self.unit),
            number(self.threshold),
        )
    }

    fn unit(&self) -> String {
        self.unit.clone()
    }
}
