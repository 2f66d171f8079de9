//! Random histories: the evaluator against the reference, states against samples, parts against the whole, value types against each other.

use proptest::prelude::*;

use historian_format::rollup::{Parts, RollupState};

use super::reference::{Point, Reference};
use super::*;
use crate::aggregate::{Needs, parts};

/// A case: steps between samples, values, qualities, configuration, intervals, portion.
#[derive(Clone, Debug)]
struct Case {
    rows: Vec<(i64, Option<f64>, u32)>,
    configuration: AggregateConfiguration,
    start: i64,
    end: i64,
    step: i64,
    portion: usize,
}

fn quality(kind: u8) -> u32 {
    match kind {
        0..=13 => 0,
        14 => 0x0000_0400,
        15 | 16 => 0x4000_0000,
        17 => 0x4093_0000,
        18 => 0x8000_0000,
        _ => 0x808A_0000,
    }
}

/// `kinds` of qualities: 15 makes only Good ones. `odd` values are null or NaN.
fn cases(kinds: u8, odd: bool) -> impl Strategy<Value = Case> {
    let value = prop_oneof![
        8 => (-3_i8..4).prop_map(|value| Some(f64::from(value))),
        6 => (-100.0..100.0_f64).prop_map(Some),
        u32::from(odd) => Just(None),
        u32::from(odd) => Just(Some(f64::NAN)),
        u32::from(odd) => Just(Some(-0.0)),
    ];
    let rows = proptest::collection::vec((1_i64..6, value, 0..kinds), 0..30);
    // A second; less than the moment at an edge; a nanosecond.
    let unit = prop_oneof![4 => Just(1_000_000_000_i64), 1 => Just(400_000), 1 => Just(1)];
    let percent = prop_oneof![
        Just((100_u8, 100_u8)),
        Just((50, 50)),
        Just((100, 0)),
        Just((0, 100)),
        (30_u8..=100).prop_map(|bad| (bad, 100 - bad / 3))
    ];
    let flags = any::<[bool; 4]>();
    ((rows, unit, 0_i64..4), (percent, flags, prop::bool::weighted(0.2)), (0_i64..40, 1_i64..70, 0_i64..25, any::<bool>(), 1_usize..9))
        .prop_map(
            |((rows, unit, fraction), ((bad, good), [treat, sloped, stepped, _], uncertain), (start, span, step, reverse, portion))| {
                let mut t = 10 * unit;
                let rows = rows.into_iter().map(|(gap, value, kind)| {
                    t += gap * unit;
                    (t, value, quality(kind))
                });
                // Edges often lie on samples, and sometimes between.
                let shift = if fraction == 3 { unit / 3 } else { 0 };
                let (low, high) = (start * unit + shift, (start + span) * unit + shift);
                let configuration = AggregateConfiguration {
                    treat_uncertain_as_bad: treat,
                    percent_data_bad: bad,
                    percent_data_good: good,
                    use_sloped_extrapolation: sloped,
                    stepped,
                    use_uncertain_values: uncertain,
                };
                let (start, end) = if reverse { (high, low) } else { (low, high) };
                Case { rows: rows.collect(), configuration, start, end, step: step * unit, portion }
            },
        )
}

impl Case {
    fn history(&self, value_type: ValueType, value: impl Fn(f64) -> Value) -> Samples {
        let rows: Vec<_> = self.rows.iter().map(|(t, v, q)| (*t, v.map(&value), *q)).collect();
        history(value_type, &rows)
    }

    fn intervals(&self) -> Intervals {
        Intervals::new(self.start, self.end, self.step).unwrap()
    }
}

/// The answers as the plan makes them: states first, samples where they are needed.
fn from_states(history: &Samples, functions: &[AggregateFunction], case: &Case, forget: bool, made: Parts) -> (Vec<AggregateValue>, usize) {
    let intervals = case.intervals();
    let (before, after, rows) = surroundings(history, &intervals, functions, case.configuration);
    let evaluator = Evaluator::new(functions, case.configuration, intervals.clone(), history.value_type(), before).unwrap();
    let mut evaluator = evaluator.with_annotations(history.timestamps.clone());
    let mut fetched = 0;
    let mut at = rows.start;
    while at < rows.end {
        let inside = |interval: &Interval| interval.sample_range().contains(&history.timestamps[at]);
        let interval = (0..intervals.len()).map(|index| intervals.get(index)).find(inside).unwrap();
        let to = history.slice_time_range(i64::MIN, interval.sample_range().end).end;
        // In two parts, as an hour is of minutes.
        let middle = at + (to - at) / 2;
        let mut state = RollupState::of_parts(history, middle..to, made).unwrap();
        if let Some(mut first) = RollupState::of_parts(history, at..middle, made) {
            first.merge(&state, history.value_type());
            state = first;
        }
        if forget {
            (state.minimum_repeated, state.maximum_repeated) = (None, None);
        }
        if evaluator.push_state(&state).unwrap() == Needs::Samples {
            fetched += 1;
            evaluator.push(history, at..to).unwrap();
        }
        at = to;
    }
    (evaluator.finish(after).unwrap().answers, fetched)
}

fn near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        // Infinities and NaN of sums of huge values are not made here.
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()) + 100.0),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn same(a: &AggregateValue, b: &AggregateValue) -> bool {
    near(a.value, b.value) && a.timestamp == b.timestamp && a.quality == b.quality && a.function == b.function
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 3_000, max_shrink_iters: 4_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_function_agrees_with_the_reference(case in cases(20, true)) {
        let samples = case.history(ValueType::F64, Value::F64);
        let points: Vec<_> = case.rows.iter().map(|(t, v, q)| Point { t: *t, v: v.filter(|v| !v.is_nan()), q: *q }).collect();
        let intervals = case.intervals();
        let answers = from_samples(&samples, &AggregateFunction::ALL, case.configuration, &intervals, case.portion);
        prop_assert_eq!(answers.len(), intervals.len() * AggregateFunction::COUNT);
        for (index, answer) in answers.iter().enumerate() {
            let interval = intervals.get(index / AggregateFunction::COUNT);
            let function = AggregateFunction::ALL[index % AggregateFunction::COUNT];
            let (timestamp, value, quality) = Reference { all: &points, interval, c: case.configuration }.answer(function);
            let wanted = AggregateValue { function, timestamp, value, quality };
            prop_assert!(same(answer, &wanted), "{:?}\n{:x?}\nnot {:x?}", interval, answer, wanted);
        }
    }

    #[test]
    fn states_give_what_samples_give(case in prop_oneof![cases(20, true), cases(15, false), cases(18, false)], one in any::<prop::sample::Index>()) {
        let samples = case.history(ValueType::F64, Value::F64);
        let answers = from_samples(&samples, &AggregateFunction::ALL, case.configuration, &case.intervals(), case.portion);
        for forget in [false, true] {
            let (stated, _) = from_states(&samples, &AggregateFunction::ALL, &case, forget, Parts::ALL);
            for (answer, stated) in answers.iter().zip(&stated) {
                prop_assert!(same(answer, stated), "{:x?}\nby the state {:x?}", answer, stated);
            }
            // Alone, and from what it looks at only, a function is answered to the bit as in company.
            let function = AggregateFunction::ALL[one.index(AggregateFunction::COUNT)];
            let (alone, _) = from_states(&samples, &[function], &case, forget, parts(&[function], ValueType::F64));
            let bits = |answer: &AggregateValue| (answer.timestamp, answer.value.map(f64::to_bits), answer.quality);
            let company: Vec<_> = stated.iter().filter(|answer| answer.function == function).map(bits).collect();
            prop_assert_eq!(alone.iter().map(bits).collect::<Vec<_>>(), company, "{}", function);
        }
    }

    #[test]
    fn parts_and_portions_give_what_the_whole_gives_to_the_bit(case in cases(20, true), cut in any::<prop::sample::Index>()) {
        let samples = case.history(ValueType::F64, Value::F64);
        let intervals = case.intervals();
        let whole = from_samples(&samples, &AggregateFunction::ALL, case.configuration, &intervals, 1_000);
        let cut = cut.index(intervals.len() + 1);
        let mut parts = Vec::new();
        for range in [0..cut, cut..intervals.len()] {
            if !range.is_empty() {
                parts.extend(from_samples(&samples, &AggregateFunction::ALL, case.configuration, &intervals.part(range), case.portion));
            }
        }
        prop_assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
    }

    #[test]
    fn value_types_agree(case in cases(20, false)) {
        let mut case = case;
        for row in &mut case.rows {
            row.1 = row.1.map(|value| value.round().abs().min(1.0));
        }
        let whole = |value_type, value: fn(f64) -> Value| {
            let history = case.history(value_type, value);
            (from_samples(&history, &AggregateFunction::ALL, case.configuration, &case.intervals(), case.portion), from_states(&history, &AggregateFunction::ALL, &case, false, Parts::ALL).0)
        };
        let wanted = whole(ValueType::F64, Value::F64);
        for (value_type, value) in [
            (ValueType::F32, (|v| Value::F32(v as f32)) as fn(f64) -> Value),
            (ValueType::I64, |v| Value::I64(v as i64)),
            (ValueType::U64, |v| Value::U64(v as u64)),
            (ValueType::State, |v| Value::State(v as u32)),
            (ValueType::Bool, |v| Value::Bool(v != 0.0)),
        ] {
            let found = whole(value_type, value);
            for (answer, wanted) in found.0.iter().chain(&found.1).zip(wanted.0.iter().chain(&wanted.1)) {
                prop_assert!(same(answer, wanted), "{}: {:x?}\nnot {:x?}", value_type, answer, wanted);
            }
        }
        let text = whole(ValueType::String, |v| Value::String(v.to_string()));
        for (answer, wanted) in text.0.iter().chain(&text.1).zip(wanted.0.iter().chain(&wanted.1)) {
            if answer.function.takes_text() {
                prop_assert!(same(answer, wanted), "text: {:x?}\nnot {:x?}", answer, wanted);
            } else {
                prop_assert_eq!((answer.value, answer.quality), (None, crate::aggregate::BAD_AGGREGATE_NOT_SUPPORTED));
            }
        }
    }
}

#[test]
fn good_samples_are_answered_from_states_alone() {
    let rows = (0..100).map(|i| (i * 1_000_000_000, Some(((i * 7) % 13) as f64 + 1.0), 0)).collect();
    let configuration = AggregateConfiguration::default();
    let case = Case { rows, configuration, start: 0, end: 100_000_000_000, step: 10_000_000_000, portion: 9 };
    let history = case.history(ValueType::F64, Value::F64);
    assert_eq!(from_states(&history, &AggregateFunction::ALL, &case, false, Parts::ALL).1, 0);
    assert_eq!(from_states(&history, &AggregateFunction::ALL, &case, true, Parts::ALL).1, 10, "unknown repeats ask for samples");
    assert_eq!(from_states(&history, &[AggregateFunction::Average, AggregateFunction::Range], &case, true, Parts::ALL).1, 0);
}
