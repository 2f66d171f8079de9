//! `rate_of_change`: the value rises or falls faster than it may.
//!
//! The rate at a sample is the difference to the newest sample that is at least `window` older, over the time between the two; with a
//! window of 0 that is the sample before. Without a `limit` the range itself tells what is usual: the median of all rates, and `threshold`
//! robust standard deviations to both sides of it.

use std::collections::VecDeque;

use super::{
    column::Column,
    detector::{Detector, DetectorScan, Subject},
    finding::{FindingDraft, Report, Verdict, score},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, ParameterKind, ParameterSpec},
    reservoir::Reservoir,
    text::{duration, number, with_unit},
};

const LIMIT: &str = "limit";
const PER: &str = "per";
const WINDOW: &str = "window";
const DIRECTION: &str = "direction";
const THRESHOLD: &str = "threshold";
const RATES_KEPT_MAX: usize = 16_384;
/// Samples of a window that are kept at most; closer ones are left out, so that the window is at most this part of itself too long.
const WINDOW_SAMPLES_MAX: i64 = 65_536;

const PERS: &[&str] = &["second", "minute", "hour", "day"];

/// Length of the unit of time in seconds, and its sign.
fn unit_of_time(per: &str) -> (f64, &'static str) {
    match per {
        "second" => (1.0, "s"),
        "hour" => (3_600.0, "h"),
        "day" => (86_400.0, "d"),
        _ => (60.0, "min"),
    }
}

pub struct RateOfChange;

impl Detector for RateOfChange {
    fn name(&self) -> &'static str {
        "rate_of_change"
    }

    fn description(&self) -> &'static str {
        "values that rise or fall too fast"
    }

    fn parameters(&self) -> &'static [ParameterSpec] {
        const {
            &[
                ParameterSpec {
                    name: LIMIT,
                    kind: ParameterKind::Number { minimum: f64::MIN_POSITIVE, maximum: f64::MAX, default: None },
                    unit: "unit of the tag per unit of time",
                    description: "fastest allowed change; without it the usual rates of the range decide",
                },
                ParameterSpec {
                    name: PER,
                    kind: ParameterKind::Choice { allowed: PERS, default: "minute" },
                    unit: "",
                    description: "unit of time of the limit",
                },
                ParameterSpec {
                    name: WINDOW,
                    kind: ParameterKind::Duration { minimum: 0, maximum: 30 * 86_400 * 1_000_000_000, default: Some(0) },
                    unit: "",
                    description: "time over which the change is measured; 0 from each sample to the next",
                },
                ParameterSpec {
                    name: DIRECTION,
                    kind: ParameterKind::Choice { allowed: &["both", "rising", "falling"], default: "both" },
                    unit: "",
                    description: "which changes are looked at",
                },
                ParameterSpec {
                    name: THRESHOLD,
                    kind: ParameterKind::Number { minimum: 0.1, maximum: 1e6, default: Some(6.0) },
                    unit: "robust standard deviations",
                    description: "without a limit: allowed distance of a rate from the median rate",
                },
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError> {
        let window = arguments.duration(WINDOW).unwrap_or_default();
        let (seconds, sign) = unit_of_time(arguments.choice(PER));
        let limit = arguments.number(LIMIT);
        let direction = arguments.choice(DIRECTION);
        Ok(Box::new(RateScan {
            window,
            spacing: window / WINDOW_SAMPLES_MAX,
            nanoseconds: seconds * 1e9,
            rising: direction != "falling",
            falling: direction != "rising",
            threshold: arguments.number(THRESHOLD).unwrap_or_default(),
            usual: limit.map(|limit| (0.0, limit)),
            given: limit.is_some(),
            rates: Reservoir::new(RATES_KEPT_MAX),
            before: VecDeque::new(),
            unit: if subject.unit.is_empty() { format!("1/{sign}") } else { format!("{}/{sign}", subject.unit) },
        }))
    }
}

struct RateScan {
    /// ns.
    window: i64,
    /// Samples that are kept are at least this far apart, ns.
    spacing: i64,
    /// Unit of time of rates.
    nanoseconds: f64,
    rising: bool,
    falling: bool,
    threshold: f64,
    /// Centre and half width of the allowed rates; unknown until learned.
    usual: Option<(f64, f64)>,
    /// True when the limit was given.
    given: bool,
    rates: Reservoir,
    /// Samples of the window, and the newest one before it.
    before: VecDeque<(i64, f64)>,
    unit: String,
}

impl RateScan {
    #[inline]
    fn rate(&mut self, at: i64, value: f64) -> Option<f64> {
        let cut = at.saturating_sub(self.window);
        while self.before.get(1).is_some_and(|(second, _)| *second <= cut) {
            self.before.pop_front();
        }
        let base = self.before.front().copied().filter(|(first, _)| *first <= cut);
        if self.before.back().is_none_or(|(last, _)| at.saturating_sub(*last) >= self.spacing) {
            self.before.push_back((at, value));
        }
        let (first, then) = base?;
        Some((value - then) / (at.saturating_sub(first) as f64 / self.nanoseconds))
    }
}

impl DetectorScan for RateScan {
    fn learns(&self) -> bool {
        !self.given
    }

    fn learn(&mut self, column: &Column<'_>) {
        for (at, value) in column.timestamps.iter().zip(column.values) {
            if let Some(rate) = self.rate(*at, *value) {
                self.rates.push(*at, rate);
            }
        }
    }

    fn learned(&mut self) {
        self.usual = self.rates.spread().map(|spread| (spread.median, self.threshold * spread.sigma()));
        self.before.clear();
    }

    fn judge(&mut self, column: &Column<'_>, report: &mut Report) {
        let (centre, half) = self.usual.unwrap_or((0.0, f64::INFINITY));
        for (at, value) in column.timestamps.iter().zip(column.values) {
            let Some(rate) = self.rate(*at, *value) else {
                report.judge(*at, *value, Verdict::UNKNOWN);
                continue;
            };
            let away = rate - centre;
            let distance = if away > 0.0 && self.rising || away < 0.0 && self.falling { away.abs() } else { 0.0 };
            let expected =
                (if self.falling { centre - half } else { f64::NEG_INFINITY }, if self.rising { centre + half } else { f64::INFINITY });
            report.judge(
                *at,
                *value,
                Verdict {
                    anomalous: distance > half,
                    score: score(distance, half),
                    observed: rate,
                    expected,
                    condition: if away > 0.0 { "rising" } else { "falling" },
                    detail: 0.0,
                },
            );
        }
    }

    fn explain(&self, draft: &FindingDraft) -> String {
        let Verdict { observed, expected, .. } = draft.verdict;
        let span = if self.window > 0 { format!("over {}", duration(self.window)) } else { "from one sample to the next".into() };
        let word = if observed >= 0.0 { "rose" } else { "fell" };
        let rate = with_unit(observed.abs(), &self.unit);
        if self.given {
            let limit = if expected.1.is_finite() { expected.1 } else { -expected.0 };
            return format!("The value {word} by {rate} {span}, more than the limit of {}.", with_unit(limit, &self.unit));
        }
        let usual = match expected {
            (low, high) if low.is_finite() && high.is_finite() => format!("{} to {}", number(low), with_unit(high, &self.unit)),
            (low, _) if low.is_finite() => format!("at least {}", with_unit(low, &self.unit)),
            (_, high) => format!("at most {}", with_unit(high, &self.unit)),
        };
        format!("The value {word} by {rate} {span}; usual in the range is {usual}.")
    }

    fn unit(&self) -> String {
        self.unit.clone()
    }
}
