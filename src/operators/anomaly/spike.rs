//! `spike`: a value far from the median of its neighbours (Hampel's identifier).
//!
//! The distance from the median of a window of samples is compared with a robust standard deviation of the same window: 1.4826 times the
//! median absolute deviation, but not less than `floor`. The window lies around the sample (`centred`: a step to another level is no spike)
//! or before it (what an alarm could have known at the time: a step is one until it fills half of the window).

use std::collections::VecDeque;

use super::{
    column::Column,
    detector::{Detector, DetectorScan, Subject},
    finding::{FindingDraft, Report, Verdict, score},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, ParameterKind, ParameterSpec},
    rolling::Rolling,
    text::{number, with_unit},
};

const WINDOW: &str = "window";
const THRESHOLD: &str = "threshold";
const FLOOR: &str = "floor";
const CENTRED: &str = "centred";
/// Part of the tag's range below which nothing is a spike unless a floor is given: noise of a converter.
const FLOOR_OF_RANGE: f64 = 1e-4;
/// Fewest samples that make a median worth comparing with.
const SAMPLES_MIN: usize = 3;

pub struct Spike;

impl Detector for Spike {
    fn name(&self) -> &'static str {
        "spike"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["hampel"]
    }

    fn description(&self) -> &'static str {
        "single values far from the median of their neighbours"
    }

    fn parameters(&self) -> &'static [ParameterSpec] {
        const {
            &[
                ParameterSpec {
                    name: WINDOW,
                    kind: ParameterKind::Whole { minimum: 3, maximum: 10_001, default: 31 },
                    unit: "samples",
                    description: "neighbours that are compared with; centred, an even number counts as the next odd one",
                },
                ParameterSpec {
                    name: THRESHOLD,
                    kind: ParameterKind::Number { minimum: 0.1, maximum: 1e6, default: Some(6.0) },
                    unit: "robust standard deviations",
                    description: "allowed distance from the median",
                },
                ParameterSpec {
                    name: FLOOR,
                    kind: ParameterKind::Number { minimum: 0.0, maximum: f64::MAX, default: None },
                    unit: "unit of the tag",
                    description: "smallest standard deviation that is believed; without it 0.01 % of the tag's range, if it has one",
                },
                ParameterSpec {
                    name: CENTRED,
                    kind: ParameterKind::Flag { default: true },
                    unit: "",
                    description: "the window lies around the sample; false: before it",
                },
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError> {
        let of_range = subject.range_high.zip(subject.range_low).map(|(high, low)| (high - low) * FLOOR_OF_RANGE);
        Ok(Box::new(SpikeScan {
            window: arguments.whole(WINDOW),
            threshold: arguments.number(THRESHOLD).unwrap_or_default(),
            floor: arguments.number(FLOOR).or(of_range).unwrap_or_default(),
            centred: arguments.flag(CENTRED),
            rolling: Rolling::default(),
            waiting: VecDeque::new(),
            unit: subject.unit.clone(),
        }))
    }
}

struct SpikeScan {
    /// Samples.
    window: usize,
    threshold: f64,
    floor: f64,
    centred: bool,
    rolling: Rolling,
    /// Centred: samples of the window's second half, which are not judged yet.
    waiting: VecDeque<(i64, f64)>,
    unit: String,
}

impl SpikeScan {
    fn verdict(&self, value: f64) -> Verdict {
        let Some(median) = self.rolling.median() else { return Verdict::UNKNOWN };
        if self.rolling.len() < SAMPLES_MIN.max(self.window / 2) {
            return Verdict::UNKNOWN;
        }
        let sigma = self.rolling.sigma(median).max(self.floor);
        let allowed = self.threshold * sigma;
        let distance = (value - median).abs();
        Verdict {
            anomalous: distance > allowed,
            score: score(distance, allowed),
            observed: value,
            expected: (median - allowed, median + allowed),
            condition: if value > median { "above" } else { "below" },
            detail: if sigma > 0.0 { distance / sigma } else { f64::INFINITY },
        }
    }

    fn half(&self) -> usize {
        self.window / 2
    }

    fn judge_next(&mut self, report: &mut Report) {
        if let Some((at, value)) = self.waiting.pop_front() {
            let verdict = self.verdict(value);
            report.judge(at, value, verdict);
        }
    }
}

impl DetectorScan for SpikeScan {
    fn judge(&mut self, column: &Column<'_>, report: &mut Report) {
        let width = if self.centred { 2 * self.half() + 1 } else { self.window };
        for (at, value) in column.timestamps.iter().zip(column.values) {
            if !self.centred {
                let verdict = self.verdict(*value);
                report.judge(*at, *value, verdict);
            }
            self.rolling.push(*value);
            if self.rolling.len() > width {
                self.rolling.pop();
            }
            if self.centred {
                self.waiting.push_back((*at, *value));
                if self.waiting.len() > self.half() {
                    self.judge_next(report);
                }
            }
        }
    }

    fn finish(&mut self, report: &mut Report) {
        // The window ends with the last sample and shrinks from its beginning.
        while !self.waiting.is_empty() {
            while self.rolling.len() > self.waiting.len() + self.half() {
                self.rolling.pop();
            }
            self.judge_next(report);
        }
    }

    fn explain(&self, draft: &FindingDraft) -> String {
        let Verdict { observed, expected, detail, .. } = draft.verdict;
        let distance = if detail.is_finite() {
            format!("{} robust standard deviations from", number(detail))
        } else {
            "away from the constant".into()
        };
        format!(
            "The value {} lies {distance} the median {} of the {} samples {} it; {} are allowed.",
            with_unit(observed, &self.unit),
            with_unit(f64::midpoint(expected.0, expected.1), &self.unit),
            self.window,
            if self.centred { "around" } else { "before" },
            number(self.threshold),
        )
    }

    fn unit(&self) -> String {
        self.unit.clone()
    }
}
