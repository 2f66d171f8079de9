//! What a user or the plan meets besides the standard: wrong feeding, our extension, numbers that are none, long gaps.

use super::*;
use crate::aggregate::status::SUB_NORMAL;
use crate::aggregate::{AggregateError, BAD_AGGREGATE_INVALID_INPUTS, CALCULATED, Finished, Needs};
use historian_format::rollup::RollupState;

const UNCERTAIN: u32 = 0x4000_0000;
const BAD: u32 = 0x8000_0000;

fn numbers(rows: &[(i64, f64, u32)]) -> Samples {
    history(ValueType::F64, &rows.iter().map(|(t, v, q)| (*t, Some(Value::F64(*v)), *q)).collect::<Vec<_>>())
}

fn one(samples: &Samples, function: AggregateFunction, configuration: AggregateConfiguration) -> (Option<f64>, u32) {
    let answers = from_samples(samples, &[function], configuration, &Intervals::new(0, 100, 0).unwrap(), 100);
    (answers[0].value, answers[0].quality & 0xFFFF_0000)
}

#[test]
fn uncertain_samples_take_part_when_asked_and_the_status_tells() {
    let samples = numbers(&[(0, 1.0, 0), (10, 9.0, UNCERTAIN), (20, 2.0, 0), (30, 50.0, BAD), (100, 2.0, 0)]);
    let plain = AggregateConfiguration::default();
    let all = AggregateConfiguration { use_uncertain_values: true, ..plain };
    for (function, without, with) in [
        (AggregateFunction::Average, 1.5, 4.0),
        (AggregateFunction::Maximum, 2.0, 9.0),
        (AggregateFunction::Count, 2.0, 3.0),
        (AggregateFunction::Range, 1.0, 8.0),
        (AggregateFunction::NumberOfTransitions, 2.0, 3.0),
        (AggregateFunction::VariancePopulation, 0.25, 38.0 / 3.0),
    ] {
        let near = |found: (Option<f64>, u32), wanted: f64| found.1 == SUB_NORMAL && (found.0.unwrap() - wanted).abs() < 1e-12;
        assert!(near(one(&samples, function, plain), without), "{function}");
        assert!(near(one(&samples, function, all), with), "{function}");
    }
    // Quality itself is told as it is.
    assert_eq!(one(&samples, AggregateFunction::DurationGood, plain), one(&samples, AggregateFunction::DurationGood, all));
    assert_eq!(one(&samples, AggregateFunction::WorstQuality, all), (Some(f64::from(BAD)), 0));
}

#[test]
fn infinities_that_make_no_number_make_a_bad_answer() {
    let samples = numbers(&[(0, f64::INFINITY, 0), (10, f64::NEG_INFINITY, 0), (20, 1.0, 0), (100, 0.0, 0)]);
    for function in [AggregateFunction::Average, AggregateFunction::Total, AggregateFunction::StandardDeviationSample] {
        assert_eq!(one(&samples, function, AggregateConfiguration::default()), (None, BAD_AGGREGATE_INVALID_INPUTS), "{function}");
    }
    assert_eq!(one(&samples, AggregateFunction::Maximum, AggregateConfiguration::default()), (Some(f64::INFINITY), 0));
}

#[test]
fn a_gap_over_many_intervals_is_answered_whole_and_waits_for_the_next_usable_sample() {
    let samples = numbers(&[(0, 0.0, 0), (5, 1.0, BAD), (40_000, 7.0, BAD), (100_000, 100.0, 0)]);
    let intervals = Intervals::new(0, 100_000, 10).unwrap();
    let answers = from_samples(
        &samples,
        &[AggregateFunction::Interpolative, AggregateFunction::Count],
        AggregateConfiguration::default(),
        &intervals,
        1,
    );
    assert_eq!(answers.len(), 20_000);
    assert_eq!((answers[10_000].value, answers[10_000].quality & 0xFFFF_0000), (Some(50.0), SUB_NORMAL));
    // No sample at all is a count of zero; only Bad ones make it Bad.
    assert_eq!((answers[10_001].value, answers[10_001].quality), (Some(0.0), 0x0400 | CALCULATED));
    assert_eq!((answers[8_001].value, answers[8_001].quality), (None, BAD));
}

#[test]
fn integers_beyond_2_53_are_told_apart() {
    let big = (1_i64 << 53) + 1;
    let signed = |values: [i64; 4]| (ValueType::I64, values.map(Value::I64));
    let unsigned = |values: [u64; 4]| (ValueType::U64, values.map(Value::U64));
    // Where each lowest and highest value is one, though its neighbours have the same nearest f64; a negative number lies below.
    for ((value_type, values), minimum_at, maximum_at) in [
        (signed([big, big - 1, big, big + 1]), 10, 30),
        (signed([-big, -big - 1, -big, 0]), 10, 30),
        (unsigned([big as u64, big as u64 - 1, big as u64, big as u64 + 1]), 10, 30),
        (unsigned([u64::MAX - 1, u64::MAX - 2, u64::MAX, u64::MAX - 1]), 10, 20),
    ] {
        let rows: Vec<_> = values.into_iter().zip(0..).map(|(value, at)| (at * 10, Some(value), 0)).collect();
        let samples = history(value_type, &rows);
        let functions =
            [AggregateFunction::MinimumActualTime, AggregateFunction::MaximumActualTime, AggregateFunction::NumberOfTransitions];
        let answers = from_samples(&samples, &functions, AggregateConfiguration::default(), &Intervals::new(0, 40, 0).unwrap(), 2);
        let found = [0, 1].map(|place| (answers[place].timestamp, answers[place].quality & 0x10));
        assert_eq!(found, [(minimum_at, 0), (maximum_at, 0)], "{rows:?}");
        assert_eq!(answers[2].value, Some(4.0), "{rows:?}");
    }
}

#[test]
fn a_small_value_between_large_ones_is_not_lost_from_a_sum() {
    let samples = numbers(&[(0, 1e16, 0), (10, 1.0, 0), (20, 1e16, 0), (30, 1.0, 0), (40, -2e16, 0), (100, 0.0, 0)]);
    // 2 over 5 samples; each 1 is less than what an f64 tells of 1e16.
    assert_eq!(one(&samples, AggregateFunction::Average, AggregateConfiguration::default()), (Some(0.4), 0));
}

/// Bad before the first sample, then Uncertain twice: the worst quality is there once.
#[test]
fn a_quality_that_occurs_again_and_is_not_the_worst_makes_no_multiple_values() {
    let samples = numbers(&[(10, 1.0, UNCERTAIN), (20, 2.0, UNCERTAIN), (30, 3.0, 0), (100, 4.0, 0)]);
    let worst = |function| {
        let answers = from_samples(&samples, &[function], AggregateConfiguration::default(), &Intervals::new(0, 100, 0).unwrap(), 9);
        (answers[0].value, answers[0].quality & 0x10)
    };
    assert_eq!(worst(AggregateFunction::WorstQuality), (Some(f64::from(UNCERTAIN)), 0x10));
    assert_eq!(worst(AggregateFunction::WorstQuality2), (Some(f64::from(0x809B_0000_u32)), 0));
}

fn evaluator(functions: &[AggregateFunction]) -> Result<Evaluator, AggregateError> {
    Evaluator::new(functions, AggregateConfiguration::default(), Intervals::new(0, 100, 10).unwrap(), ValueType::F64, Before::default())
}

#[test]
fn wrong_feeding_is_told() {
    assert_eq!(evaluator(&[]).unwrap_err().to_string(), "functions is empty; name at least one aggregate function");
    let samples = numbers(&[(5, 1.0, 0), (15, 2.0, BAD), (25, 3.0, 0), (100, 3.0, 0)]);
    let mut backwards = evaluator(&[AggregateFunction::Average]).unwrap();
    backwards.push(&samples, 1..2).unwrap();
    assert_eq!(backwards.push(&samples, 0..1), Err(AggregateError::Order { timestamp: 5 }));
    assert_eq!(backwards.push(&samples, 1..2), Err(AggregateError::Order { timestamp: 15 }));
    assert_eq!(backwards.push(&samples, 3..4), Err(AggregateError::Order { timestamp: 100 }), "beyond the intervals");
    let text = history(ValueType::Bool, &[(30, Some(Value::Bool(true)), 0)]);
    assert!(matches!(backwards.push(&text, 0..1), Err(AggregateError::ValueType { .. })));

    let mut stated = evaluator(&[AggregateFunction::TimeAverage]).unwrap();
    let state = RollupState::of(&samples, 1..2).unwrap();
    assert_eq!(stated.push_state(&state), Ok(Needs::Samples));
    assert_eq!(stated.finish(After::default()), Err(AggregateError::SamplesMissing { early: 10 }));
    let mut wide = evaluator(&[AggregateFunction::Average]).unwrap();
    let state = RollupState::of(&samples, 0..2).unwrap();
    assert_eq!(wide.push_state(&state), Err(AggregateError::Order { timestamp: 5 }), "of two intervals");
}

#[test]
fn the_next_part_goes_on_with_what_the_last_one_ended_with() {
    let samples = numbers(&[(3, 1.0, 0), (7, 2.0, 0), (12, 9.0, BAD), (31, 4.0, 0)]);
    let intervals = Intervals::new(0, 40, 10).unwrap();
    let functions = AggregateFunction::ALL;
    let configuration = AggregateConfiguration { use_sloped_extrapolation: true, ..AggregateConfiguration::default() };
    let whole = from_samples(&samples, &functions, configuration, &intervals, 9);
    let mut answers = Vec::new();
    let mut before = Before::default();
    for place in 0..4 {
        let part = intervals.part(place..place + 1);
        let (looked_up, after, rows) = surroundings(&samples, &part, &functions, configuration);
        assert_eq!(before, looked_up);
        let evaluator = Evaluator::new(&functions, configuration, part, ValueType::F64, before).unwrap();
        let mut evaluator = evaluator.with_annotations(samples.timestamps.clone());
        evaluator.push(&samples, rows).unwrap();
        let Finished { answers: some, before: next } = evaluator.finish(after).unwrap();
        answers.extend(some);
        before = next;
    }
    assert_eq!(answers, whole);
}
