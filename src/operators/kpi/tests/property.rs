//! Against references that look at every nanosecond, and over divided windows.

use proptest::prelude::*;

use super::*;

/// The end of time in these tests.
const END: i64 = 400;

pub fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec((1_i64..30, 0_u8..12, 0_i32..5), 0..40).prop_map(|steps| {
        let mut at = -40;
        let row = move |(step, kind, value): (i64, u8, i32)| {
            at += step;
            let value = Some(f64::from(value));
            match kind {
                0 => (at, None, BAD),
                1 => (at, value, BAD),
                2 => (at, None, 0),
                3 => (at, Some(f64::NAN), 0),
                4 => (at, value, UNCERTAIN),
                _ => (at, value, 0),
            }
        };
        steps.into_iter().map(row).collect()
    })
}

/// Two to four ascending edges within time.
fn any_edges() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::btree_set(0..END, 2..5).prop_map(|edges| edges.into_iter().collect())
}

fn held(all: &[Row], at: i64) -> Option<Row> {
    all.iter().rev().find(|row| row.0 <= at).copied()
}

/// The value that a line, or a step, has at the middle of `[at, at + 1)`, and whether there is one.
fn value_at(all: &[Row], at: i64, stepped: bool) -> Option<f64> {
    let from = held(all, at).filter(usable)?;
    let (height, next) = (from.1?, all.iter().find(|row| row.0 > at));
    match next.filter(|next| usable(next) && !stepped) {
        Some(next) => Some(height + (next.1? - height) * ((at - from.0) as f64 + 0.5) / (next.0 - from.0) as f64),
        None => Some(height),
    }
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn times_and_coverage_are_what_each_nanosecond_says(all in any_rows(), edges in any_edges(), known in 0_i64..600, strict: bool) {
        let columns = samples(all.iter().copied());
        let mut scope = scope(&all, window(edges[0], edges[1]));
        (scope.known_until, scope.uncertain_as_bad) = (known, strict);
        let result = time_in_state(&scope, &columns, None);
        let mut expected = Coverage { window_ns: scope.window.duration_ns(), good_ns: 0, uncertain_ns: 0, bad_ns: 0, unknown_ns: 0 };
        let mut states = [0_u64; 5];
        for at in edges[0]..edges[1] {
            match held(&all, at).filter(|_| at < known) {
                None => expected.unknown_ns += 1,
                Some(row) if !usable(&row) || (strict && row.2 == UNCERTAIN) => expected.bad_ns += 1,
                Some(row) => {
                    *if row.2 == UNCERTAIN { &mut expected.uncertain_ns } else { &mut expected.good_ns } += 1;
                    states[row.1.unwrap() as usize] += 1;
                }
            }
        }
        prop_assert_eq!(result.coverage, expected);
        prop_assert_eq!(percent_good(&scope, &columns), expected);
        let expected: Vec<_> = (0..5).filter(|state| states[*state] > 0).map(|state| (Value::F64(state as f64), states[state])).collect();
        let found: Vec<_> = result.states.iter().map(|time| (time.state.clone(), time.duration_ns)).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(result.states.iter().all(|time| time.periods > 0 && time.longest_ns <= time.duration_ns));

        // Asked for some states only, the rest is told as a sum.
        let some = time_in_state(&scope, &columns, Some(vec![Value::F64(3.0), Value::F64(77.0)]));
        prop_assert_eq!((some.states[0].duration_ns, some.states[1].duration_ns), (states[3], 0));
        let sum = some.states.iter().map(|time| time.duration_ns).sum::<u64>() + some.other_ns;
        prop_assert_eq!(sum + some.coverage.bad_ns + some.coverage.unknown_ns, scope.window.duration_ns());
    }

    #[test]
    fn integrals_are_what_each_nanosecond_says(all in any_rows(), edges in any_edges(), stepped: bool) {
        let columns = samples(all.iter().copied());
        let scope = scope(&all, window(edges[0], edges[1]));
        let result = integrate(&scope, &columns, TimeUnit::Second, stepped);
        let values: Vec<f64> = (edges[0]..edges[1]).filter_map(|at| value_at(&all, at, stepped)).collect();
        let expected = (!values.is_empty()).then(|| values.iter().sum::<f64>());
        prop_assert!(close(result.amount.map(|amount| amount * 1e9), expected), "{:?} {expected:?}", result.amount);
        prop_assert_eq!(result.covered_ns, values.len() as u64);
        let mean = expected.map(|sum| sum / values.len() as f64);
        prop_assert!(close(result.time_average(), mean), "{:?} {mean:?}", result.time_average());
    }

    #[test]
    fn parts_add_up_to_the_whole(all in any_rows(), edges in any_edges(), stepped: bool) {
        let columns = samples(all.iter().copied());
        let whole = scope(&all, window(edges[0], edges[edges.len() - 1]));
        let parts: Vec<Scope> = edges.windows(2).map(|pair| scope(&all, window(pair[0], pair[1]))).collect();

        let times = |scope: &Scope| time_in_state(scope, &columns, Some((0..5).map(|n| Value::F64(f64::from(n))).collect()));
        for state in 0..5 {
            let sum: u64 = parts.iter().map(|part| times(part).states[state].duration_ns).sum();
            prop_assert_eq!(sum, times(&whole).states[state].duration_ns);
        }

        let count = |scope: &Scope| transitions(scope, &columns, None, None, 0).count;
        prop_assert_eq!(parts.iter().map(count).sum::<u64>(), count(&whole));
        let starts = |scope: &Scope| transitions(scope, &columns, Some(0.0), Some(1.0), 0).count;
        prop_assert_eq!(parts.iter().map(starts).sum::<u64>(), starts(&whole));

        let delta = |scope: &Scope| counter_delta(scope, &columns, Some(5.0), ResetPolicy::FromZero);
        let sum: f64 = parts.iter().filter_map(|part| delta(part).delta).sum();
        prop_assert!(close(Some(sum), Some(delta(&whole).delta.unwrap_or(0.0))));
        prop_assert_eq!(parts.iter().map(|part| delta(part).resets).sum::<u64>(), delta(&whole).resets);

        let amount = |scope: &Scope| integrate(scope, &columns, TimeUnit::Second, stepped);
        let sum: f64 = parts.iter().filter_map(|part| amount(part).amount).sum();
        prop_assert!(close(Some(sum * 1e9), Some(amount(&whole).amount.unwrap_or(0.0) * 1e9)));
        prop_assert_eq!(parts.iter().map(|part| amount(part).covered_ns).sum::<u64>(), amount(&whole).covered_ns);
    }

    #[test]
    fn transitions_are_what_the_samples_say(all in any_rows(), edges in any_edges(), dwell in 0_u64..40) {
        let columns = samples(all.iter().copied());
        let scope = scope(&all, window(edges[0], edges[1]));
        let good: Vec<(i64, i64)> = all.iter().filter(|row| usable(row)).map(|row| (row.0, row.1.unwrap() as i64)).collect();
        let in_window = |at: i64| (edges[0]..edges[1]).contains(&at);
        let expected: Vec<_> = good.windows(2).filter(|pair| pair[0].1 != pair[1].1 && in_window(pair[1].0)).map(|pair| pair[1].0).collect();
        let result = transitions(&scope, &columns, None, None, 0);
        prop_assert_eq!(result.count, expected.len() as u64);
        prop_assert_eq!(result.last.map(|last| last.timestamp), expected.last().copied());
        let ends = expected.iter().skip(1).copied().chain([edges[1]]);
        let longest = expected.iter().zip(ends).map(|(start, end)| end - start).max();
        prop_assert_eq!(result.longest.map(|period| period.end - period.start), longest);

        // With a dwell, from the tag's first sample on: a visit counts when the tag was at the value, nanosecond by nanosecond, for so long.
        let scope = Scope { before: None, usable_before: None, ..super::scope(&all, window(-50, END)) };
        let result = transitions(&scope, &columns, None, None, dwell);
        let (mut reached, mut visit, mut count) = (None, (None, 0), 0);
        for at in -50..END + 1_000 {
            let Some(value) = good.iter().rev().find(|row| row.0 <= at).map(|row| row.1) else { continue };
            if reached.is_none() {
                reached = Some(value);
            }
            if visit.0 != Some(value) {
                visit = (Some(value), at);
            }
            if reached != Some(value) && (at + 1 - visit.1).unsigned_abs() >= dwell {
                reached = Some(value);
                count += u64::from(visit.1 < END);
            }
        }
        prop_assert_eq!(result.count, count);
    }

    #[test]
    fn counters_are_what_their_steps_say(
        steps in proptest::collection::vec((0_u64..400, 0_u8..10), 1..60),
        rollover in prop_oneof![Just(None), Just(Some(1_000_u64))],
        skip: bool,
        huge: bool,
    ) {
        // What was counted is known, and the readings are made of it.
        let base = if huge && rollover.is_none() { u64::MAX - 1_000_000 } else { 0 };
        let mut all = Samples::new(ValueType::U64);
        let (mut reading, mut counted, mut resets, mut rollovers) = (base, 0_i128, 0, 0);
        for (at, (step, kind)) in (0_i64..).zip(steps) {
            match kind {
                0 => all.push(at, Some(&Value::U64(reading / 2)), BAD).unwrap(),
                1 if at > 0 && reading > 600 => {
                    // Falls by a reset to a reading from which a rollover would have been too far.
                    let after = step.min(reading - 1).min(100);
                    let far = rollover.is_none_or(|rollover| (rollover - reading + after) * 2 > rollover);
                    if far && (0..all.len()).any(|row| all.qualities[row] == 0) {
                        (reading, resets) = (after, resets + 1);
                        counted += if skip { 0 } else { i128::from(after) };
                        all.push(at, Some(&Value::U64(reading)), 0).unwrap();
                    }
                }
                _ => {
                    let first = (0..all.len()).all(|row| all.qualities[row] == BAD);
                    reading += step;
                    if let Some(rollover) = rollover.filter(|rollover| reading >= *rollover) {
                        reading -= rollover;
                        rollovers += u64::from(!first);
                    }
                    counted += if first { 0 } else { i128::from(step) };
                    all.push(at, Some(&Value::U64(reading)), 0).unwrap();
                }
            }
        }
        let scope = Scope::new(window(0, 100), ValueType::U64);
        let policy = if skip { ResetPolicy::Skip } else { ResetPolicy::FromZero };
        let result = counter_delta(&scope, &all, rollover.map(|rollover| rollover as f64), policy);
        if result.samples > 0 {
            prop_assert_eq!((result.exact, result.resets, result.rollovers), (Some(counted), resets, rollovers));
        }
    }
}
