//! `limits`: up to four limits with deadband and delays, as alarm systems have them (ISA-18.2).
//!
//! An alarm comes on when the value has been beyond its limit for the on-delay, and goes off when it has been back inside by at least the
//! deadband for the off-delay. Delays pass by the timestamps of samples, so that a replay gives the same alarms. A finding is one alarm
//! from the sample on which it came on to the one on which it went off; each limit has its own, so that a high and a high-high alarm
//! overlap. A sample is anomalous while any alarm is on. Samples that are not counted change no alarm, but a delay begins anew after them:
//! nobody has seen that the value stayed where it was.

use super::{
    column::Column,
    detector::{Detector, DetectorScan, Subject},
    finding::{FindingDraft, FindingSeverity, Report, Verdict},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, ParameterKind, ParameterSpec},
    text::{duration, with_unit},
};

const NAME: &str = "limits";
/// Names of the limits, from below upwards: parameter and condition.
const LIMITS: [&str; 4] = ["low_low", "low", "high", "high_high"];
const DEADBAND: &str = "deadband";
const ON_DELAY: &str = "on_delay";
const OFF_DELAY: &str = "off_delay";
const DELAY_MAX: i64 = 30 * 86_400 * 1_000_000_000;

const fn limit(name: &'static str, description: &'static str) -> ParameterSpec {
    ParameterSpec {
        name,
        kind: ParameterKind::Number { minimum: f64::MIN, maximum: f64::MAX, default: None },
        unit: "unit of the tag",
        description,
    }
}

const fn delay(name: &'static str, description: &'static str) -> ParameterSpec {
    ParameterSpec { name, kind: ParameterKind::Duration { minimum: 0, maximum: DELAY_MAX, default: Some(0) }, unit: "", description }
}

pub struct LimitsDetector;

impl Detector for LimitsDetector {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> &'static str {
        "values beyond alarm limits, with deadband and delays"
    }

    fn parameters(&self) -> &'static [ParameterSpec] {
        const {
            &[
                limit(LIMITS[0], "alarm below this value"),
                limit(LIMITS[1], "alarm below this value; without any limit the low end of the tag's range"),
                limit(LIMITS[2], "alarm above this value; without any limit the high end of the tag's range"),
                limit(LIMITS[3], "alarm above this value"),
                ParameterSpec {
                    name: DEADBAND,
                    kind: ParameterKind::Number { minimum: 0.0, maximum: f64::MAX, default: Some(0.0) },
                    unit: "unit of the tag",
                    description: "how far inside the limit the value must be for the alarm to go off",
                },
                delay(ON_DELAY, "how long the value must be beyond a limit for the alarm to come on"),
                delay(OFF_DELAY, "how long the value must be back inside for the alarm to go off"),
                INCLUDE_UNCERTAIN,
            ]
        }
    }

    fn check(&self, arguments: &DetectorParameters) -> Result<(), DetectorError> {
        let given: Vec<_> = LIMITS.iter().filter_map(|name| Some((name, arguments.number(name)?))).collect();
        for pair in given.windows(2) {
            if pair[0].1 >= pair[1].1 {
                let reason = format!("{} {} is not below {} {}", pair[0].0, pair[0].1, pair[1].0, pair[1].1);
                return Err(DetectorError::Conflict { detector: NAME, reason });
            }
        }
        if let (Some(low), Some(high), Some(deadband)) = (arguments.number("low"), arguments.number("high"), arguments.number(DEADBAND))
            && deadband >= high - low
        {
            let reason = format!("deadband {deadband} is not smaller than the distance from low {low} to high {high}");
            return Err(DetectorError::Conflict { detector: NAME, reason });
        }
        Ok(())
    }

    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError> {
        let mut limits = LIMITS.map(|name| arguments.number(name));
        if limits.iter().all(Option::is_none) {
            limits = [None, subject.range_low, subject.range_high, None];
        }
        // Where the scale of scores begins: the middle of the band, or else the limit's own size.
        let width = match (limits[1].or(limits[0]), limits[2].or(limits[3]), subject.range_low, subject.range_high) {
            (Some(low), Some(high), ..) | (_, _, Some(low), Some(high)) => (high - low) / 2.0,
            _ => limits.iter().flatten().fold(0.0, |largest: f64, limit| largest.max(limit.abs())),
        };
        let alarms: Vec<_> = (0..LIMITS.len())
            .filter_map(|at| {
                Some(Alarm { condition: LIMITS[at], limit: limits[at]?, side: if at < 2 { -1.0 } else { 1.0 }, active: false, since: None })
            })
            .collect();
        if alarms.is_empty() {
            let reason = "give at least one of low_low, low, high, high_high, because the tag has no range".into();
            return Err(DetectorError::MissingParameter { detector: NAME, reason });
        }
        Ok(Box::new(LimitsScan {
            alarms,
            deadband: arguments.number(DEADBAND).unwrap_or_default(),
            on_delay: arguments.duration(ON_DELAY).unwrap_or_default(),
            off_delay: arguments.duration(OFF_DELAY).unwrap_or_default(),
            width: if width.is_finite() && width > 0.0 { width } else { 1.0 },
            unit: subject.unit.clone(),
        }))
    }
}

struct Alarm {
    condition: &'static str,
    limit: f64,
    /// 1 for a high limit, -1 for a low one.
    side: f64,
    active: bool,
    /// Since when the value has been where it would change `active`.
    since: Option<i64>,
}

struct LimitsScan {
    alarms: Vec<Alarm>,
    deadband: f64,
    on_delay: i64,
    off_delay: i64,
    /// Distance beyond a limit that adds 1 to the score.
    width: f64,
    unit: String,
}

impl DetectorScan for LimitsScan {
    fn tracks(&self) -> usize {
        self.alarms.len()
    }

    fn judge(&mut self, column: &Column<'_>, report: &mut Report) {
        for (rows, interrupted) in column.stretches() {
            for row in rows {
                self.step(column.timestamps[row], column.values[row], report);
            }
            if interrupted {
                self.alarms.iter_mut().for_each(|alarm| alarm.since = None);
            }
        }
    }

    fn explain(&self, draft: &FindingDraft) -> String {
        let (low, high) = draft.verdict.expected;
        let (word, limit) = if low.is_finite() { ("below", low) } else { ("above", high) };
        format!(
            "The value was {word} the {} limit of {} and reached {}; the alarm {}.",
            draft.verdict.condition,
            with_unit(limit, &self.unit),
            with_unit(draft.verdict.observed, &self.unit),
            if draft.open_ended { "was still on when the range ended".to_owned() } else { format!("was on for {}", lasting(draft)) },
        )
    }

    fn unit(&self) -> String {
        self.unit.clone()
    }

    fn severity(&self, draft: &FindingDraft) -> FindingSeverity {
        if [LIMITS[0], LIMITS[3]].contains(&draft.verdict.condition) { FindingSeverity::Critical } else { FindingSeverity::Warning }
    }
}

fn lasting(draft: &FindingDraft) -> String {
    duration(draft.end.saturating_sub(draft.start))
}

impl LimitsScan {
    #[inline]
    fn step(&mut self, at: i64, value: f64, report: &mut Report) {
        let (mut any, mut worst) = (false, 0.0_f64);
        for (track, alarm) in self.alarms.iter_mut().enumerate() {
            let beyond = alarm.side * (value - alarm.limit);
            let (leaving, delay) = if alarm.active { (beyond <= -self.deadband, self.off_delay) } else { (beyond > 0.0, self.on_delay) };
            if leaving {
                let since = *alarm.since.get_or_insert(at);
                if at.saturating_sub(since) >= delay {
                    alarm.active = !alarm.active;
                    alarm.since = None;
                }
            } else {
                alarm.since = None;
            }
            let score = 1.0 + beyond / self.width;
            worst = worst.max(score);
            if alarm.active {
                any = true;
                let expected = if alarm.side > 0.0 { (f64::NEG_INFINITY, alarm.limit) } else { (alarm.limit, f64::INFINITY) };
                let verdict = Verdict { anomalous: true, score, observed: value, expected, condition: alarm.condition, detail: 0.0 };
                report.extend(track, at, at, verdict);
            } else {
                report.close(track, at);
            }
        }
        report.score(at, value, worst, any);
    }
}
