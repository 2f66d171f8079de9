//! Tests of the detectors: what holds for all of them, each against a naive reference, and hand-made cases.

mod cases;
mod reference;
mod rules;

use proptest::prelude::*;

use super::{Finding, Output, Parameter, Parameters, Plan, Scores, Subject};
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
    given.iter().map(|(name, text)| ((*name).to_owned(), Parameter::from_text(text))).collect()
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
pub fn detect_cut(plan: &Plan, rows: &[Row], cuts: &[usize], output: Output) -> Answer {
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

pub fn detect(detector: &str, given: &[(&str, &str)], rows: &[Row], output: Output) -> Answer {
    detect_cut(&Plan::new(detector, &parameters(given)).unwrap(), rows, &[], output)
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

/// Every detector, with parameters that make it find something in [`rows`].
pub const CASES: &[Case] = &[
    ("limits", &[("high", "3"), ("low", "-3"), ("deadband", "1"), ("on_delay", "2s"), ("off_delay", "3s")]),
    ("limits", &[("low_low", "-6"), ("low", "-2"), ("high", "2"), ("high_high", "6")]),
    ("limits", &[]),
    ("rate_of_change", &[("limit", "120"), ("window", "3s")]),
    ("rate_of_change", &[("threshold", "2"), ("direction", "falling"), ("per", "second")]),
    ("flatline", &[("duration", "2s"), ("resolution", "2.5")]),
    ("flatline", &[("duration", "1s")]),
    ("gap", &[("period", "1s"), ("factor", "2")]),
    ("stale", &[("usable_only", "true")]),
    ("spike", &[("window", "7"), ("threshold", "3")]),
    ("spike", &[("window", "6"), ("threshold", "3"), ("centred", "false"), ("floor", "0")]),
    ("sigma", &[("threshold", "1.5")]),
    ("sigma", &[("threshold", "1"), ("include_uncertain", "true")]),
    ("seasonal", &[("season", "20s"), ("bins", "3"), ("threshold", "2"), ("samples_min", "5"), ("smoothing", "0.7")]),
];

pub fn case() -> impl Strategy<Value = Case> {
    (0..CASES.len()).prop_map(|at| CASES[at])
}
