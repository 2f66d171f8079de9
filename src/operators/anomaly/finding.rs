//! What comes out of a detector: findings, scores, counts; and the report in which a scan puts them together sample by sample.

use historian_model::Timestamp;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AnomalyOutput {
    /// Adjacent anomalous samples as one finding each, explained.
    #[default]
    Findings,
    /// A score for each counted sample.
    Scores,
    /// The number of anomalous samples.
    Counts,
}

/// How far out a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingSeverity {
    Warning,
    /// Beyond a `low_low` or `high_high` limit; in other detectors a score of 2 or more: twice what is allowed.
    Critical,
}

impl FindingSeverity {
    pub fn as_str(self) -> &'static str {
        match self {
            FindingSeverity::Warning => "warning",
            FindingSeverity::Critical => "critical",
        }
    }
}

/// One anomaly of one tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// First anomalous sample. Detectors that need time to be certain say in their own file whether it is set back.
    pub start: Timestamp,
    /// First scored sample that is normal again (exclusive end); the end of the range when there is none.
    pub end: Timestamp,
    /// True when the range ended before the anomaly did.
    pub open_ended: bool,
    /// Last anomalous sample.
    pub last: Timestamp,
    /// The sample furthest from normal; the first one of several.
    pub peak: Timestamp,
    /// Number of anomalous samples.
    pub samples: u64,
    /// Highest score of its samples; 1 is the limit of what is allowed.
    pub score: f64,
    pub severity: FindingSeverity,
    /// What it is in one word of the detector: `high_high`, `above`, `rising`, `flat`, `gap`.
    pub condition: &'static str,
    /// Smallest and largest allowed `observed` at the peak; infinite where there is no such bound.
    pub expected: (f64, f64),
    /// What was seen at the peak: the value, or what the detector makes of it (a rate, a duration in seconds).
    pub observed: f64,
    /// Unit of `expected` and `observed`.
    pub unit: String,
    /// One English sentence with numbers and units.
    pub explanation: String,
}

impl Finding {
    /// `expected` as text: `18 to 22 °C`, `at most 80 °C`.
    pub fn expected_text(&self) -> String {
        use super::text::{number, with_unit};
        match self.expected {
            (low, high) if low.is_finite() && high.is_finite() => format!("{} to {}", number(low), with_unit(high, &self.unit)),
            (low, _) if low.is_finite() => format!("at least {}", with_unit(low, &self.unit)),
            (_, high) if high.is_finite() => format!("at most {}", with_unit(high, &self.unit)),
            _ => String::new(),
        }
    }

    /// `observed` with its unit.
    pub fn observed_text(&self) -> String {
        super::text::with_unit(self.observed, &self.unit)
    }
}

/// Scores as columns of equal length, one row for each counted sample (`gap`: for each delivered one).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    pub timestamps: Vec<i64>,
    /// NaN where a detector looks at no values (`gap`).
    pub values: Vec<f64>,
    /// 0 or more. 1 or more exactly where the sample is anomalous. 0 where a detector has not seen enough to judge.
    pub scores: Vec<f64>,
}

/// A verdict on one sample.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    pub anomalous: bool,
    /// Distance from normal in units of what is allowed.
    pub score: f64,
    pub observed: f64,
    pub expected: (f64, f64),
    pub condition: &'static str,
    /// A number for the explanation that only the detector understands.
    pub detail: f64,
}

impl Verdict {
    /// Not enough seen to judge.
    pub const UNKNOWN: Verdict = Verdict { anomalous: false, score: 0.0, observed: 0.0, expected: (0.0, 0.0), condition: "", detail: 0.0 };
}

/// A finding before it is explained.
#[derive(Clone, Copy, Debug)]
pub struct FindingDraft {
    pub start: i64,
    pub end: i64,
    pub open_ended: bool,
    pub last: i64,
    pub peak: i64,
    pub samples: u64,
    /// Highest score.
    pub score: f64,
    /// Verdict on the peak.
    pub verdict: Verdict,
    /// By which the peak is chosen.
    weight: f64,
}

/// The highest score, also where nothing at all is allowed and any distance is infinitely too much.
pub const SCORE_MAX: f64 = 1e6;

/// A score: `distance` from normal in units of what is `allowed`.
#[inline]
pub fn score(distance: f64, allowed: f64) -> f64 {
    if distance > 0.0 { (distance / allowed).min(SCORE_MAX) } else { 0.0 }
}

/// The largest score of a sample that is not anomalous.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON;

/// The report that a scan writes while it goes over the samples of a tag.
#[derive(Debug)]
pub struct Report {
    output: AnomalyOutput,
    pub(super) count: u64,
    pub(super) scores: Scores,
    /// Finished, in the order of their ends.
    pub(super) closed: Vec<FindingDraft>,
    /// At most one open finding per track. Most detectors have one track; `limits` has one for each limit.
    open: Vec<Option<FindingDraft>>,
}

impl Report {
    pub fn new(output: AnomalyOutput, tracks: usize) -> Report {
        Report { output, count: 0, scores: Scores::default(), closed: Vec::new(), open: vec![None; tracks] }
    }

    /// True when only the number of anomalous samples is asked for.
    pub fn counts_only(&self) -> bool {
        self.output == AnomalyOutput::Counts
    }

    /// Adds anomalous samples of which nothing else is asked.
    pub fn add_count(&mut self, anomalous: u64) {
        self.count += anomalous;
    }

    /// Takes the verdict on a sample into score, count and the finding of track 0.
    #[inline]
    pub fn judge(&mut self, at: i64, value: f64, verdict: Verdict) {
        self.judge_weighted(at, value, verdict, verdict.score);
    }

    /// The same where something else than the score tells which sample is the peak.
    #[inline]
    pub fn judge_weighted(&mut self, at: i64, value: f64, verdict: Verdict, weight: f64) {
        self.score(at, value, verdict.score, verdict.anomalous);
        if verdict.anomalous {
            self.extend_weighted(0, at, at, verdict, weight);
        } else {
            self.close(0, at);
        }
    }

    /// Takes the score and the count of a sample; the finding is left to [`Report::extend`] and [`Report::close`].
    #[inline]
    pub fn score(&mut self, at: i64, value: f64, score: f64, anomalous: bool) {
        self.count += u64::from(anomalous);
        if self.output == AnomalyOutput::Scores {
            self.scores.timestamps.push(at);
            self.scores.values.push(value);
            // Delays, hysteresis and rounding may put the two at odds: the verdict wins.
            self.scores.scores.push(if anomalous { score.max(1.0) } else { score.clamp(0.0, BELOW_ONE) });
        }
    }

    /// Begins a finding at `start`, or adds the sample at `at` to the one that is open on `track`.
    pub fn extend(&mut self, track: usize, start: i64, at: i64, verdict: Verdict) {
        self.extend_weighted(track, start, at, verdict, verdict.score);
    }

    fn extend_weighted(&mut self, track: usize, start: i64, at: i64, verdict: Verdict, weight: f64) {
        if self.output != AnomalyOutput::Findings {
            return;
        }
        let Some(draft) = &mut self.open[track] else {
            self.open[track] = Some(FindingDraft {
                start,
                end: at,
                open_ended: false,
                last: at,
                peak: at,
                samples: 1,
                score: verdict.score,
                verdict,
                weight,
            });
            return;
        };
        draft.last = at;
        draft.samples += 1;
        draft.score = draft.score.max(verdict.score);
        if weight > draft.weight {
            (draft.peak, draft.verdict, draft.weight) = (at, verdict, weight);
        }
    }

    /// Ends the finding that is open on `track`, if there is one.
    #[inline]
    pub fn close(&mut self, track: usize, end: i64) {
        if let Some(draft) = &mut self.open[track] {
            draft.end = end;
            self.closed.push(*draft);
            self.open[track] = None;
        }
    }

    /// Ends all open findings at the end of the range.
    pub(super) fn close_all(&mut self, end: i64) {
        for open in &mut self.open {
            if let Some(mut draft) = open.take() {
                draft.end = end.max(draft.last);
                draft.open_ended = true;
                self.closed.push(draft);
            }
        }
    }
}
