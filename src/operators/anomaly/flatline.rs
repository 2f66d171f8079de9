//! `flatline`: the value does not change for too long, as when a sensor is frozen or a line is cut.
//!
//! A flat stretch holds samples whose values lie within `resolution` of each other; the sample that does not fit begins the next one. Once
//! a stretch has lasted for `duration`, its samples are anomalous, and the finding is set back to where the stretch began. A sample that is
//! not counted ends the stretch. Not for tags that are stored by exception or through a swinging door: their silence is the rule.

use super::{
    column::Column,
    detector::{Detector, DetectorScan, Subject},
    finding::{FindingDraft, Report, Verdict, score},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, ParameterKind, ParameterSpec},
    text::{duration, with_unit},
};

const RESOLUTION: &str = "resolution";
const DURATION: &str = "duration";

pub struct Flatline;

impl Detector for Flatline {
    fn name(&self) -> &'static str {
        "flatline"
    }

    fn description(&self) -> &'static str {
        "values that do not change for too long"
    }

    fn parameters(&self) -> &'static [ParameterSpec] {
        const {
            &[
                ParameterSpec {
                    name: RESOLUTION,
                    kind: ParameterKind::Number { minimum: 0.0, maximum: f64::MAX, default: Some(0.0) },
                    unit: "unit of the tag",
                    description: "values no further apart than this are the same",
                },
                ParameterSpec {
                    name: DURATION,
                    kind: ParameterKind::Duration {
                        minimum: 1_000_000,
                        maximum: 366 * 86_400 * 1_000_000_000,
                        default: Some(3_600 * 1_000_000_000),
                    },
                    unit: "",
                    description: "how long a value may stay the same",
                },
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError> {
        Ok(Box::new(FlatlineScan {
            resolution: arguments.number(RESOLUTION).unwrap_or_default(),
            allowed: arguments.duration(DURATION).unwrap_or(i64::MAX),
            stretch: None,
            unit: subject.unit.clone(),
        }))
    }
}

#[derive(Clone, Copy)]
struct FlatStretch {
    start: i64,
    last: i64,
    low: f64,
    high: f64,
}

struct FlatlineScan {
    resolution: f64,
    /// ns.
    allowed: i64,
    stretch: Option<FlatStretch>,
    unit: String,
}

impl DetectorScan for FlatlineScan {
    fn judge(&mut self, column: &Column<'_>, report: &mut Report) {
        for (rows, interrupted) in column.stretches() {
            for row in rows {
                self.step(column.timestamps[row], column.values[row], report);
            }
            // What comes after is not known to be the same; the finding ends with the last sample of which it is.
            if interrupted && let Some(stretch) = self.stretch.take() {
                report.close(0, stretch.last);
            }
        }
    }

    fn explain(&self, draft: &FindingDraft) -> String {
        let value = with_unit(draft.verdict.detail, &self.unit);
        let value = if self.resolution > 0.0 {
            format!("within {} of {value}", with_unit(self.resolution, &self.unit))
        } else {
            format!("at exactly {value}")
        };
        let lasted = duration(draft.last.saturating_sub(draft.start));
        let open = if draft.open_ended { " and had not changed when the range ended" } else { "" };
        format!("The value stayed {value} for {lasted}{open}, longer than the {} allowed.", duration(self.allowed))
    }

    fn unit(&self) -> String {
        "s".into()
    }
}

impl FlatlineScan {
    #[inline]
    fn step(&mut self, at: i64, value: f64, report: &mut Report) {
        let stretch = match self.stretch {
            Some(FlatStretch { start, low, high, .. }) if high.max(value) - low.min(value) <= self.resolution => {
                FlatStretch { start, last: at, low: low.min(value), high: high.max(value) }
            }
            _ => {
                report.close(0, at);
                FlatStretch { start: at, last: at, low: value, high: value }
            }
        };
        self.stretch = Some(stretch);
        let lasted = at.saturating_sub(stretch.start);
        let score = score(lasted as f64, self.allowed as f64);
        let anomalous = lasted >= self.allowed;
        report.score(at, value, score, anomalous);
        if anomalous {
            report.extend(
                0,
                stretch.start,
                at,
                Verdict {
                    anomalous,
                    score,
                    observed: lasted as f64 / 1e9,
                    expected: (f64::NEG_INFINITY, self.allowed as f64 / 1e9),
                    condition: "flat",
                    detail: stretch.low,
                },
            );
        }
    }
}
