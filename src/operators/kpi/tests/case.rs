//! Single cases.

use std::ops::Range;

use super::*;

const HOUR: i64 = 3_600 * 1_000_000_000;

#[test]
fn a_rate_per_hour_becomes_an_amount() {
    // 60 t/h for an hour, Bad for half an hour, 30 t/h for half an hour.
    let all = [(0, Some(60.0), 0), (HOUR, None, BAD), (HOUR * 3 / 2, Some(30.0), 0)];
    let scope = scope(&all, window(0, 2 * HOUR));
    let tons = integrate(&scope, &samples(all), TimeUnit::Hour, true);
    assert_eq!(tons.amount, Some(75.0));
    assert_eq!((tons.covered_ns, tons.coverage.bad_ns), (HOUR.unsigned_abs() * 3 / 2, HOUR.unsigned_abs() / 2));
    assert!((tons.coverage.percent_good() - 75.0).abs() < 1e-9 && (tons.coverage.percent_bad() - 25.0).abs() < 1e-9);
    assert_eq!(tons.rescaled(), Some(100.0));
    assert_eq!(tons.time_average(), Some(50.0));
    let per_minute = integrate(&scope, &samples(all), TimeUnit::Minute, true);
    assert_eq!(per_minute.amount, Some(75.0 * 60.0));
    let nothing = integrate(&Scope::new(window(0, HOUR), ValueType::F64), &samples([]), TimeUnit::Day, false);
    assert_eq!((nothing.amount, nothing.rescaled(), nothing.coverage.unknown_ns), (None, None, HOUR.unsigned_abs()));
}

#[test]
fn lines_are_cut_at_the_edges_of_the_window() {
    let all = [(-10, Some(0.0), 0), (10, Some(20.0), 0), (30, Some(0.0), 0)];
    let area = |start, end| integrate(&scope(&all, window(start, end)), &samples(all), TimeUnit::Second, false).amount.unwrap() * 1e9;
    assert!((area(0, 20) - 300.0).abs() < 1e-6, "{}", area(0, 20));
    assert!((area(2, 4) - 26.0).abs() < 1e-6);
}

#[test]
fn counters_roll_over_and_are_reset() {
    let mut all = Samples::new(ValueType::U64);
    for (at, reading) in [(0, 65_000), (1, 65_500), (2, 20), (3, 20_000), (4, 100), (5, 150)] {
        all.push(at, Some(&Value::U64(reading)), 0).unwrap();
    }
    let scope = Scope::new(window(0, 10), ValueType::U64);
    let sum = counter_delta(&scope, &all, Some(65_536.0), ResetPolicy::FromZero);
    // 500; 56 across the rollover; 19980; a fall that is too far for a rollover, to 100; 50.
    assert_eq!((sum.delta, sum.exact), (Some(20_686.0), Some(20_686)));
    assert_eq!((sum.rollovers, sum.resets, sum.baseline, sum.reading), (1, 1, None, Some(150.0)));
    let sum = counter_delta(&scope, &all, Some(65_536.0), ResetPolicy::Skip);
    assert_eq!((sum.exact, sum.resets), (Some(20_586), 1));
    // Without a rollover both falls are resets.
    let sum = counter_delta(&scope, &all, None, ResetPolicy::FromZero);
    assert_eq!((sum.exact, sum.resets), (Some(500 + 20 + 19_980 + 100 + 50), 2));
    // The reading before the window, over Bad samples, is where counting begins.
    let neighbour = |timestamp, reading, quality| Some(Sample { timestamp, value: Some(Value::U64(reading)), quality });
    let scope = Scope { before: neighbour(-1, 7, BAD), usable_before: neighbour(-5, 64_000, 0), ..scope };
    let sum = counter_delta(&scope, &all, Some(65_536.0), ResetPolicy::FromZero);
    assert_eq!((sum.exact, sum.baseline), (Some(21_686), Some(64_000.0)));
    assert_eq!(counter_delta(&scope, &Samples::new(ValueType::U64), None, ResetPolicy::FromZero).delta, None);
}

/// The delta of readings a second apart, from the second one on counted.
fn delta_of(readings: &[f64], rules: CounterRules) -> f64 {
    let all = samples((0_i64..).zip(readings).map(|(at, reading)| (at * 1_000_000_000, Some(*reading), 0)));
    let whole = window(0, readings.len() as i64 * 1_000_000_000);
    let sum = counted(&Scope::new(whole, ValueType::F64), &all, rules).delta.unwrap();
    // However it is divided, it is the same.
    for step in 1..readings.len() as i64 {
        let mut parts = 0.0;
        let mut from = 0;
        while from < readings.len() as i64 {
            let part = window(from * 1_000_000_000, (from + step).min(readings.len() as i64) * 1_000_000_000);
            let rows: Vec<Row> =
                (0..all.len()).map(|row| (all.timestamps[row], all.value(row).and_then(|value| value.as_f64()), 0)).collect();
            parts += counted(&scope(&rows, part), &all, rules).delta.unwrap_or(0.0);
            from += step;
        }
        assert!((parts - sum).abs() <= 1e-9 * sum.abs().max(1.0), "{readings:?} in steps of {step}: {parts} instead of {sum}");
    }
    sum
}

#[test]
fn a_reading_that_drops_once_and_returns_is_no_reset() {
    let plain = CounterRules::default();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    near(delta_of(&[40_482.83, 0.0, 40_482.83, 40_484.52], plain), 1.69);
    near(delta_of(&[40_480.0, 40_482.83, 0.0, 40_484.52], plain), 4.52);
    // To any value, at the beginning, twice apart, one after the other.
    near(delta_of(&[100.0, 37.0, 101.0], plain), 1.0);
    near(delta_of(&[0.0, 100.0, 3.0, 101.0, 102.0, 0.0, 103.0], plain), 103.0);
    // A real reset stays one: also to 0, and when the next reading is far, but not back.
    near(delta_of(&[100.0, 0.0, 5.0, 9.0], plain), 9.0);
    near(delta_of(&[100.0, 2.0, 99.0, 120.0], plain), 120.0);
    near(delta_of(&[100.0, 110.0, 0.0], plain), 10.0);
    near(delta_of(&[100.0, 90.0, 80.0], plain), 90.0 + 80.0);
    // Who reads a counter of batches at their ends says so.
    near(delta_of(&[50.0, 0.0, 60.0, 0.0, 55.0], CounterRules { reset: ResetPolicy::Always, ..plain }), 115.0);
    // A rollover is one, and a drop that looks like one is not.
    let six_digits = CounterRules { rollover: Some(1e6), ..plain };
    near(delta_of(&[999_990.0, 5.0, 20.0], six_digits), 30.0);
    near(delta_of(&[999_990.0, 5.0, 999_993.0, 4.0], six_digits), 14.0);
}

#[test]
fn noise_of_a_counter_counts_nothing() {
    let plain = CounterRules::default();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    near(delta_of(&[40_482.83, 40_482.829_999_999_994, 40_482.83, 40_482.82, 40_482.84], plain), 0.01);
    near(delta_of(&[f64::from(0.1_f32) * 1e4, 1e3, 1_000.5], plain), 1_000.5 - f64::from(0.1_f32) * 1e4);
    // A band of one's own, for a meter that plays.
    let play = CounterRules { dead_band: 0.5, ..plain };
    near(delta_of(&[12.5, 12.1, 12.4, 12.0, 13.0, 0.0, 1.0], play), 0.5 + 0.0 + 1.0);
    near(delta_of(&[12.5, 12.1, 12.6], CounterRules { reset: ResetPolicy::Always, ..plain }), 12.1 + 0.5);
}

#[test]
fn steps_that_no_counter_makes_are_not_counted() {
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    let step = CounterRules { max_step: Some(10.0), ..CounterRules::default() };
    // A spike, a drop of several readings, another counter in its place.
    near(delta_of(&[100.0, 1e9, 101.0, 103.0], step), 3.0);
    near(delta_of(&[100.0, 0.0, 0.0, 0.0, 101.0, 103.0], step), 2.0);
    near(delta_of(&[100.0, 105.0, 7_000.0, 7_004.0], step), 9.0);
    near(delta_of(&[100.0, 50.0, 52.0], step), 2.0);
    // In time: one a second, two after two.
    let rate = CounterRules { max_rate_per_s: Some(1.0), ..CounterRules::default() };
    near(delta_of(&[100.0, 101.0, 103.0, 102.0, 104.0, 105.0], rate), 1.0 + 1.0 + 1.0);
    near(delta_of(&[100.0, 101.0, f64::INFINITY, 103.0], rate), 3.0);
    near(delta_of(&[1.0, f64::INFINITY, 3.0, f64::NEG_INFINITY, 4.0], CounterRules::default()), 3.0);
}

#[test]
fn a_known_counter_that_does_not_move_counts_0() {
    let all = samples([(0, Some(5.0), 0), (10, Some(7.0), 0), (50, None, BAD), (70, Some(8.0), 0)]);
    let rows: Vec<Row> = vec![(0, Some(5.0), 0), (10, Some(7.0), 0), (50, None, BAD), (70, Some(8.0), 0)];
    let delta = |start, end| counted(&scope(&rows, window(start, end)), &all, CounterRules::default()).delta;
    assert_eq!((delta(20, 40), delta(40, 60)), (Some(0.0), Some(0.0)));
    // Nothing is known before the first reading, and while it is Bad.
    assert_eq!((delta(-20, 0), delta(55, 65), delta(55, 80)), (None, None, Some(1.0)));
    let ahead = Scope { known_until: 100, ..scope(&rows, window(200, 300)) };
    assert_eq!(counted(&ahead, &all, CounterRules::default()).delta, None);
}

#[test]
fn text_and_digital_states_have_times() {
    let mut recipe = Samples::new(ValueType::String);
    for (at, text) in [(10, "B"), (20, "A"), (30, "A"), (60, "B")] {
        recipe.push(at, Some(&Value::String(text.into())), 0).unwrap();
    }
    let mut scope = Scope::new(window(0, 100), ValueType::String);
    let result = time_in_state(&scope, &recipe, None);
    let told: Vec<_> = result.states.iter().map(|time| (time.state.clone(), time.duration_ns, time.periods, time.longest_ns)).collect();
    assert_eq!(told, [(Value::String("A".into()), 40, 1, 40), (Value::String("B".into()), 50, 2, 40)]);
    assert_eq!(result.coverage.unknown_ns, 10);
    scope.before = Some(Sample { timestamp: -1, value: Some(Value::String("A".into())), quality: 0 });
    assert_eq!(time_in_state(&scope, &recipe, Some(vec![Value::String("A".into())])).states[0].duration_ns, 50);
    let mut count = Transitions::new(&scope, None, Some(&Value::String("B".into())), 0).unwrap();
    count.push(&recipe, 0..4).unwrap();
    let count = count.finish();
    assert_eq!((count.count, count.longest), (2, Some(StatePeriod { start: 60, end: 100 })));
    assert_eq!(count.last.unwrap().from, Value::String("A".into()));

    let mut running = Samples::new(ValueType::Bool);
    for (at, on) in [(0, true), (70, false)] {
        running.push(at, Some(&Value::Bool(on)), 0).unwrap();
    }
    let result = time_in_state(&Scope::new(window(0, 100), ValueType::Bool), &running, Some(vec![Value::Bool(true)]));
    assert_eq!((result.states[0].duration_ns, result.other_ns), (70, 30));
}

#[test]
fn visits_shorter_than_the_dwell_do_not_count() {
    let all = [(0, Some(0.0), 0), (10, Some(1.0), 0), (12, Some(0.0), 0), (40, Some(1.0), 0), (97, Some(0.0), 0), (103, Some(1.0), 0)];
    let count = |end, dwell| transitions(&Scope::new(window(0, end), ValueType::F64), &samples(all), None, None, dwell);
    assert_eq!(count(100, 0).count, 4);
    // The visit from 10 to 12 is short, and so is the one from 97, which only samples after the window tell.
    assert_eq!((count(100, 5).count, count(100, 5).pending), (2, false));
    assert_eq!(count(100, 10).count, 1);
    assert_eq!(count(100, 10).longest, Some(StatePeriod { start: 40, end: 100 }));
    let mut scope = Scope::new(window(0, 100), ValueType::F64);
    scope.known_until = 99;
    let undecided = transitions(&scope, &samples(all), None, None, 10);
    assert_eq!((undecided.count, undecided.pending), (1, true));
}

#[test]
fn what_makes_no_sense_says_so() {
    let scope = Scope::new(window(0, 10), ValueType::F64);
    assert!(Window::new(3, 3).unwrap_err().to_string().contains("start (3 ns) is not before end (3 ns)"));
    let rolls = |rollover: f64| CounterRules { rollover: Some(rollover), ..CounterRules::default() };
    assert_eq!(CounterDelta::new(&scope, rolls(0.0)).unwrap_err(), KpiError::Rollover(0.0));
    assert!(CounterDelta::new(&scope, rolls(f64::NAN)).is_err());
    for (rules, told) in [
        (CounterRules { max_step: Some(0.0), ..CounterRules::default() }, "max_step is 0; allowed are finite numbers above 0"),
        (CounterRules { max_rate_per_s: Some(f64::INFINITY), ..CounterRules::default() }, "max_rate is inf; allowed"),
        (CounterRules { dead_band: -1.0, ..CounterRules::default() }, "dead_band is -1; allowed are finite numbers from 0 on"),
    ] {
        let error = CounterDelta::new(&scope, rules).unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
    let text = Scope::new(window(0, 10), ValueType::String);
    assert!(CounterDelta::new(&text, CounterRules::default()).unwrap_err().to_string().contains("f64, f32, i64 or u64"));
    assert!(Integrate::new(&text, TimeUnit::Hour, true).unwrap_err().to_string().contains("string"));
    assert!("week".parse::<TimeUnit>().unwrap_err().to_string().contains("second, minute, hour and day"));
    assert!("zero".parse::<ResetPolicy>().unwrap_err().to_string().contains("from_zero, skip and always"));
    assert_eq!(AsOf::new(ValueType::F64, &[], None, Eligible::Any).unwrap_err(), KpiError::Times(0));
    assert_eq!(TimeInState::new(&scope, Some(vec![])).unwrap_err(), KpiError::StateList(0));
    assert_eq!(TimeInState::new(&scope, Some(vec![Value::F64(0.0), Value::F64(-0.0)])).unwrap_err(), KpiError::StateList(2));
    assert!(TimeInState::new(&scope, Some(vec![Value::Bool(true)])).unwrap_err().to_string().starts_with("states of type bool"));
    let inside = Scope { before: Some(Sample { timestamp: 0, value: None, quality: 0 }), ..scope.clone() };
    assert!(PercentGood::new(&inside).unwrap_err().to_string().contains("before lies at 0 ns"));
    let many = samples((0..2_000).map(|at| (at, Some(at as f64), 0)));
    let mut texts = Samples::new(ValueType::String);
    (0..2_000).for_each(|at| texts.push(at, Some(&Value::String(format!("batch {at}"))), 0).unwrap());
    for states in [&many, &texts] {
        // Whoever tells of it first: texts are known when they come, numbers when they have held.
        let counted = |rows| {
            let window = Scope::new(window(0, 5_000), states.value_type());
            let mut times = TimeInState::new(&window, None).unwrap();
            times.push(states, rows).and_then(|()| times.finish()).map(|times| times.states.len())
        };
        assert_eq!(counted(0..STATES_MAX), Ok(STATES_MAX));
        assert_eq!(counted(0..STATES_MAX + 1), Err(KpiError::States(STATES_MAX)));
        assert_eq!(counted(0..STATES_MAX + 2), Err(KpiError::States(STATES_MAX)));
    }
    let mut good = PercentGood::new(&scope).unwrap();
    good.push(&many, 0..5).unwrap();
    assert_eq!(good.push(&many, 4..6), Err(KpiError::Order { timestamp: 4, last: 4 }));
    assert!(good.push(&Samples::new(ValueType::Bool), 0..0).is_err());
}

type Push = Box<dyn FnMut(&Samples, Range<usize>) -> Result<(), KpiError>>;

/// A primitive over a scope.
type MakePrimitive = fn(&Scope) -> Push;

/// Each primitive, with how it takes samples.
const PRIMITIVES: [(&str, MakePrimitive); 6] = [
    ("percent good", |scope| {
        let mut primitive = PercentGood::new(scope).unwrap();
        Box::new(move |samples, rows| primitive.push(samples, rows))
    }),
    ("time in state", |scope| {
        let mut primitive = TimeInState::new(scope, None).unwrap();
        Box::new(move |samples, rows| primitive.push(samples, rows))
    }),
    ("transitions", |scope| {
        let mut primitive = Transitions::new(scope, None, None, 0).unwrap();
        Box::new(move |samples, rows| primitive.push(samples, rows))
    }),
    ("counter delta", |scope| {
        let mut primitive = CounterDelta::new(scope, CounterRules::default()).unwrap();
        Box::new(move |samples, rows| primitive.push(samples, rows))
    }),
    ("integral", |scope| {
        let mut primitive = Integrate::new(scope, TimeUnit::Second, true).unwrap();
        Box::new(move |samples, rows| primitive.push(samples, rows))
    }),
    ("as of", |scope| {
        let mut primitive = AsOf::new(scope.value_type, &[50], None, Eligible::NotBad).unwrap();
        Box::new(move |samples, rows| primitive.push(samples, rows))
    }),
];

#[test]
fn samples_of_a_time_that_has_been_are_refused_by_every_primitive() {
    let scope = Scope::new(window(0, 100), ValueType::F64);
    let at = |times: [i64; 4]| samples(times.map(|at| (at, Some(at as f64), 0)));
    let (twice, back, rising) = (at([3, 7, 7, 9]), at([3, 7, 5, 9]), at([3, 7, 8, 9]));
    for (name, primitive) in PRIMITIVES {
        // Within a run.
        assert_eq!(primitive(&scope)(&twice, 0..4), Err(KpiError::Order { timestamp: 7, last: 7 }), "{name}");
        assert_eq!(primitive(&scope)(&back, 0..4), Err(KpiError::Order { timestamp: 5, last: 7 }), "{name}");
        // From one run to the next.
        let mut push = primitive(&scope);
        push(&twice, 0..2).unwrap();
        assert_eq!(push(&twice, 2..4), Err(KpiError::Order { timestamp: 7, last: 7 }), "{name}");
        assert_eq!(push(&back, 2..4), Err(KpiError::Order { timestamp: 5, last: 7 }), "{name}");
        assert_eq!(push(&rising, 2..4), Ok(()), "{name}");
        // Rows that a run does not have.
        for (start, end) in [(3, 5), (5, 5), (3, 2)] {
            assert_eq!(primitive(&scope)(&rising, Range { start, end }), Err(KpiError::Rows { start, end, len: 4 }), "{name}");
        }
        assert_eq!(primitive(&scope)(&rising, 4..4), Ok(()), "{name}");
    }
}

#[test]
fn an_infinite_value_before_the_window_is_a_state_and_no_amount() {
    let all = [(-5, Some(f64::INFINITY), 0), (40, Some(2.0), 0)];
    let scope = scope(&all, window(0, 100));
    let states = time_in_state(&scope, &samples(all), None).states;
    let held: Vec<_> = states.iter().map(|state| (&state.state, state.duration_ns)).collect();
    assert_eq!(held, [(&Value::F64(2.0), 60), (&Value::F64(f64::INFINITY), 40)]);
    let amount = integrate(&scope, &samples(all), TimeUnit::Second, true);
    assert_eq!((amount.covered_ns, amount.coverage.bad_ns, amount.coverage.good_ns), (60, 40, 60));
}

#[test]
fn extreme_windows_are_no_trouble() {
    let whole = window(i64::MIN, i64::MAX);
    let all = samples([(i64::MIN, Some(1.0), 0), (0, Some(2.0), BAD), (i64::MAX - 1, Some(3.0), 0)]);
    let scope = Scope::new(whole, ValueType::F64);
    // 1 holds from the first nanosecond to 0, Bad to the last but one, and 3 for one.
    let first: u64 = 1 << 63;
    let coverage = percent_good(&scope, &all);
    assert_eq!((coverage.good_ns, coverage.bad_ns), (first + 1, first - 2));
    let states = time_in_state(&scope, &all, None).states;
    let held: Vec<_> = states.iter().map(|state| (&state.state, state.duration_ns, state.periods, state.longest_ns)).collect();
    assert_eq!(held, [(&Value::F64(1.0), first, 1, first), (&Value::F64(3.0), 1, 1, 1)]);
    assert_eq!(transitions(&scope, &all, None, None, u64::MAX).count, 0);
    // 2^63 ns and three of one more, in days: by Python's fractions.
    let amount = integrate(&scope, &all, TimeUnit::Day, false).amount.unwrap();
    assert!((amount - 106_751.991_167_300_64).abs() < 1e-10, "{amount}");
}
