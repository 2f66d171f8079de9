//! The as-of join against a reference that looks for each time by itself.

use proptest::prelude::*;

use super::{property::any_rows, *};

fn any_eligible() -> impl Strategy<Value = Eligible> {
    proptest::sample::select(vec![Eligible::NotBad, Eligible::Good, Eligible::Any])
}

fn takes(eligible: Eligible, row: &Row) -> bool {
    match eligible {
        Eligible::NotBad => usable(row),
        Eligible::Good => usable(row) && row.2 != UNCERTAIN,
        Eligible::Any => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn each_time_has_the_last_sample_that_counts_and_is_not_too_old(
        all in any_rows(),
        times in proptest::collection::vec(-60_i64..450, 1..20),
        tolerance in proptest::option::of(0_u64..60),
        eligible in any_eligible(),
        is_single: bool,
        portion in 1_usize..9,
    ) {
        let value_type = if is_single { ValueType::F32 } else { ValueType::F64 };
        let value = |number: f64| if is_single { Value::F32(number as f32) } else { Value::F64(number) };
        let mut columns = Samples::new(value_type);
        for row in &all {
            columns.push(row.0, row.1.map(value).as_ref(), row.2).unwrap();
        }
        let mut join = AsOf::new(value_type, &times, tolerance, eligible).unwrap();
        let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        let reach = tolerance.map_or(i64::MIN, |tolerance| first - tolerance as i64);
        prop_assert_eq!((join.read_from(), join.read_to()), (reach, last));
        prop_assert_eq!((join.next_time(), join.pushed_to()), (Some(first), None));
        for from in (0..all.len()).step_by(portion) {
            let to = (from + portion).min(all.len());
            join.push(&columns, from..to).unwrap();
            // A sample at a time is the last one up to it until a later sample has come.
            let pushed = all[to - 1].0;
            let waiting = times.iter().copied().filter(|time| *time >= pushed).min();
            prop_assert_eq!((join.next_time(), join.pushed_to()), (waiting, Some(pushed)));
        }
        let joined = join.finish();
        let expected: Vec<_> = times.iter().map(|time| {
            let row = all.iter().rev().find(|row| row.0 <= *time && takes(eligible, row))?;
            let age_ns = time.abs_diff(row.0);
            let sample = Sample { timestamp: row.0, value: row.1.map(value), quality: row.2 };
            (age_ns <= tolerance.unwrap_or(u64::MAX)).then_some(AsOfSample { sample, age_ns })
        }).collect();
        // As text, for NaN is not equal to itself.
        prop_assert_eq!(format!("{joined:?}"), format!("{expected:?}"));
    }
}

#[test]
fn a_join_has_a_bounded_number_of_times() {
    let times = |count: usize| AsOf::new(ValueType::F64, &vec![0; count], None, Eligible::Any).map(|join| join.finish().len());
    assert_eq!(times(ASOF_TIMES_MAX), Ok(ASOF_TIMES_MAX));
    assert_eq!(times(ASOF_TIMES_MAX + 1), Err(KpiError::Times(ASOF_TIMES_MAX + 1)));
}
