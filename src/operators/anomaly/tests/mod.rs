//! Tests of the detectors: what holds for all of them, each against a naive reference, hand-made cases, and what findings say.

mod cases;
mod reference;
mod rules;
mod words;

use cases::CASES;
use proptest::prelude::*;

use super::{AnomalyOutput, DetectorPlan, Finding, KnownSamples, ParameterValue, Parameters, Scores, Subject};
use historian_model::{Samples, TimeRange, Timestamp, Value, ValueType};

pub const SECOND: i64 = 1_000_000_000;
pub const BAD: u32 = 0x8000_0000;
pub const UNCERTAIN: u32 = 0x4000_0000;

/// Timestamp in seconds, value, quality.
pub type Row = (i64, Option<f64>, u32);

pub fn run(rows: &[Row]) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    for (at, value, quality) in rows {
        samples.push(at * SECOND, value.map(Value::F64).as_ref(), *quality).unwrap();
    }
    samples
}

/// Good samples at whole seconds.
pub fn steady(values: &[f64]) -> Vec<Row> {
    values.iter().enumerate().map(|(at, value)| (at as i64, Some(*value), 0)).collect()
}

pub fn parameters(given: &[(&str, &str)]) -> Parameters {
    given.iter().map(|(name, text)| ((*name).to_owned(), ParameterValue::from_text(text))).collect()
}

pub fn subject(rows: &[Row]) -> Subject {
    let edge = |row: Option<&Row>| row.map_or(0, |row| row.0);
    Subject {
        value_type: ValueType::F64,
        unit: "°C".into(),
        range_low: Some(-50.0),
        range_high: Some(50.0),
        range: TimeRange::new(Timestamp(edge(rows.first()) * SECOND), Timestamp((edge(rows.last()) + 1) * SECOND)),
    }
}

#[derive(Debug, PartialEq)]
pub struct Answer {
    pub findings: Vec<Finding>,
    pub scores: Scores,
    pub count: u64,
}

/// Runs a detector over `rows`, cut into runs before each of the row numbers `cuts`.
pub fn detect_cut(plan: &DetectorPlan, rows: &[Row], cuts: &[usize], output: AnomalyOutput) -> Answer {
    let mut borders: Vec<usize> = cuts.iter().map(|cut| cut % (rows.len() + 1)).chain([0, rows.len()]).collect();
    borders.sort_unstable();
    let mut detection = plan.begin(&subject(rows), output).unwrap();
    let mut answer = Answer { findings: Vec::new(), scores: Scores::default(), count: 0 };
    let mut passes = 0;
    loop {
        passes += 1;
        for border in borders.windows(2) {
            detection.push(&run(&rows[border[0]..border[1]]));
            answer.findings.extend(detection.take_findings());
            let scores = detection.take_scores();
            answer.scores.timestamps.extend(scores.timestamps);
            answer.scores.values.extend(scores.values);
            answer.scores.scores.extend(scores.scores);
        }
        if !detection.end_pass() {
            break;
        }
        assert!(answer.findings.is_empty() && detection.count() == 0, "learning finds nothing");
    }
    assert_eq!(passes, plan.begin(&subject(rows), output).unwrap().passes());
    answer.findings.extend(detection.take_findings());
    let scores = detection.take_scores();
    answer.scores.timestamps.extend(scores.timestamps);
    answer.scores.values.extend(scores.values);
    answer.scores.scores.extend(scores.scores);
    answer.count = detection.count();
    answer
}

pub fn detect(detector: &str, given: &[(&str, &str)], rows: &[Row], output: AnomalyOutput) -> Answer {
    detect_cut(&DetectorPlan::new(detector, &parameters(given)).unwrap(), rows, &[], output)
}

/// Anomalous values by the statistics of chunks of `len`, and how many chunks had to be looked at. Every other chunk is learned by its values.
pub fn count_by_statistics(plan: &DetectorPlan, values: &[f64], len: usize) -> Option<(u64, usize)> {
    let mut counting = plan.count_by_statistics()?;
    let known = |values: &[f64]| {
        let (count, sum) = (values.len() as f64, values.iter().sum::<f64>());
        KnownSamples {
            count: values.len() as u64,
            sum,
            m2: values.iter().map(|value| (value - sum / count).powi(2)).sum(),
            extremes: values.iter().copied().reduce(f64::min).zip(values.iter().copied().reduce(f64::max)),
        }
    };
    for (number, chunk) in values.chunks(len).enumerate() {
        if number % 2 == 0 { counting.learn(&known(chunk)) } else { counting.learn_values(chunk) }
    }
    if !counting.learned() {
        return Some((0, 0));
    }
    let (mut count, mut looks) = (0, 0);
    for chunk in values.chunks(len) {
        count += counting.count(&known(chunk)).unwrap_or_else(|| {
            looks += 1;
            counting.count_values(chunk)
        });
    }
    Some((count, looks))
}

/// Random samples: ties, steps of time, outliers, nulls, numbers that are none, every severity.
pub fn rows() -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![
        12 => (-4_i8..4).prop_map(|value| Some(f64::from(value))),
        6 => (-5.0..5.0).prop_map(Some),
        2 => (-200.0..200.0).prop_map(Some),
        1 => Just(None),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)].prop_map(Some),
    ];
    let quality = prop_oneof![14 => Just(0_u32), 1 => Just(UNCERTAIN), 2 => Just(BAD)];
    let step = prop_oneof![8 => Just(1_i64), 3 => 1..4_i64, 1 => 5..40_i64];
    proptest::collection::vec((step, value, quality), 0..90).prop_map(|rows| {
        let mut at = 1_000;
        rows.into_iter()
            .map(|(step, value, quality)| {
                at += step;
                (at, value, quality)
            })
            .collect()
    })
}

pub type Case = (&'static str, &'static [(&'static str, &'static str)]);

pub fn case() -> impl Strategy<Value = Case> {
    (0..CASES.len()).prop_map(|at| CASES[at])
}
