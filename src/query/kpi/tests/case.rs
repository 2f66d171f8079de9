//! Single cases.

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
    let neighbour = |timestamp, reading, quality| Some(Neighbour { timestamp, value: Some(Value::U64(reading)), quality });
    let scope = Scope { before: neighbour(-1, 7, BAD), usable_before: neighbour(-5, 64_000, 0), ..scope };
    let sum = counter_delta(&scope, &all, Some(65_536.0), ResetPolicy::FromZero);
    assert_eq!((sum.exact, sum.baseline), (Some(21_686), Some(64_000.0)));
    assert_eq!(counter_delta(&scope, &Samples::new(ValueType::U64), None, ResetPolicy::FromZero).delta, None);
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
    scope.before = Some(Neighbour { timestamp: -1, value: Some(Value::String("A".into())), quality: 0 });
    assert_eq!(time_in_state(&scope, &recipe, Some(vec![Value::String("A".into())])).states[0].duration_ns, 50);
    let mut count = Transitions::new(&scope, None, Some(&Value::String("B".into())), 0).unwrap();
    count.push(&recipe, 0..4).unwrap();
    let count = count.finish();
    assert_eq!((count.count, count.longest), (2, Some(Period { start: 60, end: 100 })));
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
    assert_eq!(count(100, 10).longest, Some(Period { start: 40, end: 100 }));
    let mut scope = Scope::new(window(0, 100), ValueType::F64);
    scope.known_until = 99;
    let undecided = transitions(&scope, &samples(all), None, None, 10);
    assert_eq!((undecided.count, undecided.pending), (1, true));
}

#[test]
fn what_makes_no_sense_says_so() {
    let scope = Scope::new(window(0, 10), ValueType::F64);
    assert!(Window::new(3, 3).unwrap_err().to_string().contains("start (3 ns) is not before end (3 ns)"));
    assert_eq!(CounterDelta::new(&scope, Some(0.0), ResetPolicy::FromZero).unwrap_err(), KpiError::Rollover(0.0));
    assert!(CounterDelta::new(&scope, Some(f64::NAN), ResetPolicy::FromZero).is_err());
    let text = Scope::new(window(0, 10), ValueType::String);
    assert!(CounterDelta::new(&text, None, ResetPolicy::Skip).unwrap_err().to_string().contains("f64, f32, i64 or u64"));
    assert!(Integrate::new(&text, TimeUnit::Hour, true).unwrap_err().to_string().contains("string"));
    assert!("week".parse::<TimeUnit>().unwrap_err().to_string().contains("second, minute, hour and day"));
    assert!("zero".parse::<ResetPolicy>().unwrap_err().to_string().contains("from_zero and skip"));
    assert_eq!(AsOf::new(ValueType::F64, &[], None, Eligible::Any).unwrap_err(), KpiError::Times(0));
    assert_eq!(TimeInState::new(&scope, Some(vec![])).unwrap_err(), KpiError::StateList(0));
    assert_eq!(TimeInState::new(&scope, Some(vec![Value::F64(0.0), Value::F64(-0.0)])).unwrap_err(), KpiError::StateList(2));
    assert!(TimeInState::new(&scope, Some(vec![Value::Bool(true)])).unwrap_err().to_string().starts_with("states of type bool"));
    let inside = Scope { before: Some(Neighbour { timestamp: 0, value: None, quality: 0 }), ..scope.clone() };
    assert!(PercentGood::new(&inside).unwrap_err().to_string().contains("before lies at 0 ns"));
    let many = samples((0..2_000).map(|at| (at, Some(at as f64), 0)));
    let mut states = TimeInState::new(&Scope::new(window(0, 5_000), ValueType::F64), None).unwrap();
    assert_eq!(states.push(&many, 0..2_000), Err(KpiError::States(STATES_MAX)));
    let mut good = PercentGood::new(&scope).unwrap();
    good.push(&many, 0..5).unwrap();
    assert_eq!(good.push(&many, 4..6), Err(KpiError::Order { timestamp: 4, last: 4 }));
    assert!(good.push(&Samples::new(ValueType::Bool), 0..0).is_err());
}

#[test]
fn extreme_windows_are_no_trouble() {
    let whole = window(i64::MIN, i64::MAX);
    let all = samples([(i64::MIN, Some(1.0), 0), (0, Some(2.0), BAD), (i64::MAX - 1, Some(3.0), 0)]);
    let scope = Scope::new(whole, ValueType::F64);
    let coverage = percent_good(&scope, &all);
    assert_eq!(coverage.good_ns + coverage.bad_ns, u64::MAX);
    assert_eq!(time_in_state(&scope, &all, None).states.len(), 2);
    assert_eq!(transitions(&scope, &all, None, None, u64::MAX).count, 0);
    assert!(integrate(&scope, &all, TimeUnit::Day, false).amount.unwrap().is_finite());
}
