//! `gap`, also `stale`: no sample for longer than a number of expected periods.
//!
//! Each gap is one finding, from the sample before it to the one after it (half-open); the edges of the range stand for missing neighbours,
//! so that a tag that has gone silent is found. A gap counts as one anomalous sample, and its score is that of the sample that ends it;
//! SCORES carry no values.
//! Samples of every type and quality count as delivered: a device that reports Bad is not silent. With `usable_only` Bad ones do not.

use super::{
    column::Column,
    detector::{ANY, Detector, DetectorScan, Subject},
    finding::{FindingDraft, Report, Verdict, score},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, ParameterKind, ParameterSpec},
    reservoir::Reservoir,
    text::duration,
};
use historian_model::{TimeRange, Timestamp, ValueType};

const PERIOD: &str = "period";
const FACTOR: &str = "factor";
const USABLE_ONLY: &str = "usable_only";
const INTERVALS_KEPT_MAX: usize = 16_384;

pub struct GapDetector;

impl Detector for GapDetector {
    fn name(&self) -> &'static str {
        "gap"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["stale"]
    }

    fn description(&self) -> &'static str {
        "times without a sample where some were expected"
    }

    fn parameters(&self) -> &'static [ParameterSpec] {
        const {
            &[
                ParameterSpec {
                    name: PERIOD,
                    kind: ParameterKind::Duration { minimum: 1_000, maximum: 366 * 86_400 * 1_000_000_000, default: None },
                    unit: "",
                    description: "expected time from sample to sample; without it the median of the range",
                },
                ParameterSpec {
                    name: FACTOR,
                    kind: ParameterKind::Number { minimum: 1.0, maximum: 1e6, default: Some(3.0) },
                    unit: "periods",
                    description: "longest allowed time without a sample",
                },
                ParameterSpec {
                    name: USABLE_ONLY,
                    kind: ParameterKind::Flag { default: false },
                    unit: "",
                    description: "Bad samples do not count as delivered, nor Uncertain ones unless they are included",
                },
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn value_types(&self) -> &'static [ValueType] {
        ANY
    }

    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError> {
        let period = arguments.duration(PERIOD);
        Ok(Box::new(GapScan {
            given: period.is_some(),
            period: period.map(|period| period as f64),
            factor: arguments.number(FACTOR).unwrap_or(1.0),
            usable_only: arguments.flag(USABLE_ONLY),
            intervals: Reservoir::new(INTERVALS_KEPT_MAX),
            range: subject.range,
            last: None,
        }))
    }
}

struct GapScan {
    given: bool,
    /// ns; `None` when it is neither given nor to be learned from fewer than two samples.
    period: Option<f64>,
    factor: f64,
    usable_only: bool,
    intervals: Reservoir,
    range: TimeRange,
    last: Option<i64>,
}

impl GapScan {
    /// Calls `each` with the timestamp of each delivered sample.
    fn delivered(&self, column: &Column<'_>, mut each: impl FnMut(i64)) {
        if self.usable_only {
            column.usable_timestamps().for_each(each);
        } else {
            column.samples.timestamps.iter().for_each(|at| each(*at));
        }
    }

    fn verdict(&self, from: i64, to: i64) -> Verdict {
        let Some(allowed) = self.period.map(|period| period * self.factor) else { return Verdict::UNKNOWN };
        let silent = to.saturating_sub(from) as f64;
        Verdict {
            anomalous: silent > allowed,
            score: score(silent, allowed),
            observed: silent / 1e9,
            expected: (f64::NEG_INFINITY, allowed / 1e9),
            condition: "gap",
            detail: 0.0,
        }
    }

    /// Edge of the range, unless it is open.
    fn start(&self) -> Option<i64> {
        (self.range.start != Timestamp::MIN).then_some(self.range.start.0)
    }
}

impl DetectorScan for GapScan {
    fn learns(&self) -> bool {
        !self.given
    }

    fn learn(&mut self, column: &Column<'_>) {
        let (mut last, mut intervals) = (self.last, std::mem::replace(&mut self.intervals, Reservoir::new(0)));
        self.delivered(column, |at| {
            if let Some(before) = last.replace(at) {
                intervals.push(at, at.saturating_sub(before) as f64);
            }
        });
        self.last = last;
        self.intervals = intervals;
    }

    fn learned(&mut self) {
        self.period = self.intervals.spread().map(|spread| spread.median.max(1.0));
        self.last = None;
    }

    fn judge(&mut self, column: &Column<'_>, report: &mut Report) {
        let mut last = self.last;
        self.delivered(column, |at| {
            let verdict = match last.or_else(|| self.start()) {
                Some(from) => {
                    let verdict = self.verdict(from, at);
                    if verdict.anomalous {
                        report.extend(0, from, at, verdict);
                        report.close(0, at);
                    }
                    verdict
                }
                None => Verdict::UNKNOWN,
            };
            report.score(at, f64::NAN, verdict.score, verdict.anomalous);
            last = Some(at);
        });
        self.last = last;
    }

    fn finish(&mut self, report: &mut Report) {
        let Some(from) = self.last.or_else(|| self.start()) else { return };
        if self.range.end == Timestamp::MAX || self.range.end.0 <= from {
            return;
        }
        let mut verdict = self.verdict(from, self.range.end.0);
        if self.period.is_none() && self.last.is_none() {
            // Nothing tells how often a sample was expected, but there is none at all.
            let observed = self.range.end.0.saturating_sub(from) as f64 / 1e9;
            let expected = (f64::NEG_INFINITY, f64::INFINITY);
            verdict = Verdict { anomalous: true, score: 1.0, observed, expected, condition: "gap", detail: 0.0 };
        }
        if verdict.anomalous {
            report.add_count(1);
            report.extend(0, from, from, verdict);
        }
    }

    fn explain(&self, draft: &FindingDraft) -> String {
        let silent = duration(draft.end.saturating_sub(draft.start));
        let Some(period) = self.period else {
            return format!("There is no sample in the whole range of {silent}.");
        };
        let open = if draft.open_ended { " up to the end of the range" } else { "" };
        format!(
            "There is no sample for {silent}{open}, where one is expected every {} and {} are allowed.",
            duration(period as i64),
            duration((period * self.factor) as i64),
        )
    }

    fn unit(&self) -> String {
        "s".into()
    }
}
