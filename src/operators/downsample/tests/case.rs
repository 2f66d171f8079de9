//! Single cases.

use historian_format::rollup::{RollupLevel, RollupState};

use super::*;

const HOUR: i64 = 3_600 * 1_000_000_000;

fn plan(start: i64, end: i64, points: usize, method: Method) -> DownsamplePlan {
    DownsamplePlan::new(DownsampleRange::new(start, end, points, method).unwrap())
}

#[test]
fn requests_that_make_no_sense_say_so() {
    for points in [0, 4, POINTS_MAX + 1] {
        let message = DownsampleRange::new(0, 1, points, Method::Plot).unwrap_err().to_string();
        assert_eq!(message, format!("points is {points}; allowed are 5 to 100000"));
    }
    assert!(DownsampleRange::new(5, 5, 10, Method::Plot).unwrap_err().to_string().contains("start (5 ns) is not before end (5 ns)"));
    assert_eq!("m4".parse(), Ok(Method::M4));
    assert!("LTBB".parse::<Method>().unwrap_err().to_string().contains("PLOT, M4, MINMAX, LTTB and MINMAXLTTB"));
    for method in Method::ALL {
        assert_eq!(method.to_string().parse(), Ok(method));
    }
}

#[test]
fn long_intervals_lie_on_levels_of_rollups() {
    // A year in 250 intervals: 35 hours each become 36.
    let year = plan(1_735_689_600 * 1_000_000_000 + 12_345, 1_767_225_600 * 1_000_000_000, 1_000, Method::Plot);
    assert_eq!(year.level(), Some(RollupLevel::Hour));
    assert!((230..=250).contains(&year.intervals().len()), "{}", year.intervals().len());
    assert!(year.edges()[1..year.edges().len() - 1].iter().all(|edge| edge % HOUR == 0));
    let widths: Vec<i64> = year.intervals().map(|(from, to)| to - from).collect();
    assert!(widths[1..widths.len() - 1].iter().all(|width| *width == 36 * HOUR));

    // M4 keeps equal parts, which here are whole hours.
    let m4 = plan(0, 1_000 * HOUR, 1_000, Method::M4);
    assert_eq!((m4.level(), m4.intervals().len()), (Some(RollupLevel::Hour), 250));
    assert_eq!(plan(HOUR / 7, 1_000 * HOUR, 1_000, Method::M4).level(), None);
    // Eight minutes each are long enough to lie on minutes, and as many as were asked for; a little less is not.
    let eight = 8 * 60 * 1_000_000_000;
    let plot = plan(0, 25 * eight, 100, Method::Plot);
    assert_eq!((plot.level(), plot.intervals().len()), (Some(RollupLevel::Minute), 25));
    assert_eq!(plan(7, 7 + 25 * eight, 100, Method::Plot).level(), Some(RollupLevel::Minute));
    assert_eq!(plan(7, 7 + 25 * (eight - 1), 100, Method::Plot).level(), None);

    // Short ones are equal, and never shorter than a nanosecond.
    assert_eq!(plan(0, 10, 1_000, Method::Plot).edges().len(), 11);
    for method in Method::ALL {
        let plan = plan(i64::MIN, i64::MAX, 1_000, method);
        assert!(plan.edges().is_sorted() && plan.edges().first() == Some(&i64::MIN) && plan.edges().last() == Some(&i64::MAX));
    }
}

#[test]
fn intervals_are_never_more_than_samples_allow() {
    for points in 5..200 {
        for (start, end) in [(0, 1_000 * HOUR), (17, 999 * HOUR + 1), (-HOUR - 1, 5 * HOUR), (3, 90 * 24 * HOUR)] {
            for method in [Method::Plot, Method::M4] {
                assert!(plan(start, end, points, method).intervals().len() <= (points / 4).max(1));
            }
            assert!(plan(start, end, points, Method::MinMax).intervals().len() <= ((points - 2) / 2).max(1));
        }
    }
}

#[test]
fn a_line_ends_where_a_long_bad_run_starts() {
    // Two runs in one interval: the one that is still open at its end is shown, and its further samples are not.
    let all = samples((0..1_000).map(|t| match t {
        20 | 90..=420 => (t, Some(7.0), BAD + t as u32),
        _ => (t, Some(f64::from(t as i32 % 50)), 0),
    }));
    let answer = run(DownsampleRange::new(0, 1_000, 40, Method::Plot).unwrap(), &Surroundings::default(), &all, 64).unwrap();
    let breaks: Vec<_> = rows(&answer).into_iter().filter(|row| row.1.is_none()).collect();
    assert_eq!(breaks, [(90, None, BAD + 90)]);
    // In an interval of its own the short one is shown as well.
    let answer = run(DownsampleRange::new(0, 1_000, 160, Method::Plot).unwrap(), &Surroundings::default(), &all, 64).unwrap();
    let breaks: Vec<_> = rows(&answer).into_iter().filter(|row| row.1.is_none()).collect();
    assert_eq!(breaks, [(20, None, BAD + 20), (90, None, BAD + 90)]);
}

#[test]
fn a_run_that_is_bad_from_before_is_not_told_again() {
    let all = samples((0..500).map(|t| (t, Some(1.0), if t < 100 { BAD } else { 0 })));
    let around =
        Surroundings { before: Some(Sample { timestamp: -5, value: Some(Value::F64(3.0)), quality: BAD }), ..Surroundings::default() };
    let out = rows(&run(DownsampleRange::new(0, 500, 20, Method::Plot).unwrap(), &around, &all, 64).unwrap());
    assert_eq!(out[0], (-5, None, BAD));
    assert_eq!(out[1], (100, Some(1.0), 0));
    assert!(out[1..].iter().all(|row| row.1.is_some()));
}

#[test]
fn few_rows_for_much_trouble() {
    // Every other sample is Bad: each interval has a break, and the ceiling holds by merging.
    let all = samples((0..10_000).map(|t| (t, Some((t as f64).sin()), if t % 2 == 0 { 0 } else { BAD })));
    let around = Surroundings { before: bound(0, 0.0), after: bound(10_000, 0.0), gaps: vec![] };
    for method in Method::ALL {
        for points in [5, 6, 7, 8, 100, 1_000] {
            let answer = run(DownsampleRange::new(0, 10_000, points, method).unwrap(), &around, &all, 1_000).unwrap();
            assert!(answer.len() <= points && answer.len() * 10 >= points * 6, "{method} {points}: {}", answer.len());
            assert!(answer.null_count() > 0);
        }
    }
}

#[test]
fn merging_takes_the_quiet_part() {
    // A Bad sample in each interval takes rows: the flat half pays for them, and not the other one.
    let all = samples((0..8_000).map(|t| {
        let noisy = t >= 4_000;
        (t, Some(if noisy { f64::from((t as i32 * 7_919) % 1_009) } else { f64::from(t as i32 % 3) }), if t % 80 == 9 { BAD } else { 0 })
    }));
    let request = DownsampleRange::new(0, 8_000, 400, Method::M4).unwrap();
    let answer = run(request, &Surroundings::default(), &all, 1_000).unwrap();
    let noisy = rows(&answer).into_iter().filter(|row| row.0 >= 4_000 && row.1.is_some()).count();
    assert_eq!(noisy, 200);
    assert!(answer.len() > 395, "{}", answer.len());
}

#[test]
fn gaps_end_lines_in_every_method() {
    let all = samples((0..2_000).filter(|t| !(500..900).contains(t)).map(|t| (t, Some(f64::from(t as i32 % 7)), 0)));
    let gaps = [499, 2_000, 5_000].map(|timestamp| LineBreak { timestamp, quality: BAD }).to_vec();
    let around = Surroundings { gaps, ..Surroundings::default() };
    for method in Method::ALL {
        for points in [60, 3_000] {
            let answer = run(DownsampleRange::new(0, 2_000, points, method).unwrap(), &around, &all, 300).unwrap();
            let breaks: Vec<i64> = rows(&answer).iter().filter(|row| row.1.is_none()).map(|row| row.0).collect();
            // After the last sample before it.
            assert!(breaks == [500] || breaks == [499], "{method} {points}: {breaks:?}");
        }
    }
}

#[test]
fn a_gap_that_goes_on_as_a_bad_run_starts_with_the_gap() {
    let mut all: Vec<_> = (0..100).map(|t| (t, Some(f64::from(t as i32 % 7)), if t == 50 { BAD } else { 0 })).collect();
    all.extend((110..120).map(|t| (t, None, BAD)));
    let around = Surroundings { gaps: vec![LineBreak { timestamp: 99, quality: BAD + 0x0001_0000 }], ..Surroundings::default() };
    let out = rows(&run(DownsampleRange::new(0, 120, 7, Method::Plot).unwrap(), &around, &samples(all), 64).unwrap());
    assert_eq!(out.last(), Some(&(100, None, BAD + 0x0001_0000)));
}

#[test]
fn other_types_keep_their_values_exactly() {
    let near = [i64::MAX, i64::MAX - 1, i64::MAX - 2];
    let mut all = Samples::new(ValueType::I64);
    for t in 0..100_i64 {
        all.push(t, Some(&Value::I64(near[(t % 3) as usize])), 0).unwrap();
    }
    let answer = run(DownsampleRange::new(0, 100, 8, Method::MinMax).unwrap(), &Surroundings::default(), &all, 7).unwrap();
    assert_eq!(answer.value(0), Some(Value::I64(i64::MAX)));
    assert_eq!(answer.value(1), Some(Value::I64(i64::MAX - 2)));

    let mut switch = Samples::new(ValueType::Bool);
    (0..100_i64).for_each(|t| switch.push(t, Some(&Value::Bool(t == 40)), 0).unwrap());
    for method in Method::ALL {
        let answer = run(DownsampleRange::new(0, 100, 20, method).unwrap(), &Surroundings::default(), &switch, 7).unwrap();
        assert!((0..answer.len()).any(|row| answer.value(row) == Some(Value::Bool(true)) && answer.timestamps[row] == 40), "{method}");
    }
    let mut state = Samples::new(ValueType::State);
    (0..100_i64).for_each(|t| state.push(t, Some(&Value::State(u32::MAX - t as u32 % 2)), 0).unwrap());
    let answer = run(DownsampleRange::new(0, 100, 8, Method::Plot).unwrap(), &Surroundings::default(), &state, 7).unwrap();
    assert_eq!(answer.value(0), Some(Value::State(u32::MAX)));
}

#[test]
fn text_is_reduced_to_its_changes() {
    let text = |t: i64| Value::String(format!("batch {}", t / 100));
    let mut all = Samples::new(ValueType::String);
    // One without a text, and one that has a text and is Bad.
    let row = |t: i64| ((t != 555).then(|| text(t)), if t == 555 || t == 777 { BAD } else { 0 });
    (0..1_000_i64).for_each(|t| all.push(t, row(t).0.as_ref(), row(t).1).unwrap());
    let around = Surroundings { before: Some(Sample { timestamp: 0, value: Some(text(0)), quality: 0 }), ..Surroundings::default() };
    let answer = run(DownsampleRange::new(0, 1_000, 20, Method::Plot).unwrap(), &around, &all, 64).unwrap();
    let expected: Vec<i64> = vec![0, 100, 200, 300, 400, 500, 555, 556, 600, 700, 777, 778, 800, 900];
    assert_eq!(answer.timestamps, expected);
    assert_eq!((answer.value(6), answer.value(7)), (None, Some(text(556))));
    assert_eq!((answer.value(10), answer.value(11)), (None, Some(text(778))));
    let refused = run(DownsampleRange::new(0, 1_000, 9, Method::Plot).unwrap(), &around, &all, 64).unwrap_err();
    assert!(refused.to_string().contains("ask for more points or a shorter range"));
    // Few samples come as they are.
    let answer = run(DownsampleRange::new(0, 1_000, 1_000, Method::Plot).unwrap(), &around, &all, 64).unwrap();
    assert_eq!(answer.len(), 1_000);
    for t in 0..1_000 {
        assert_eq!(answer.value(t as usize), row(t).0.filter(|_| row(t).1 == 0), "{t}");
    }
}

#[test]
fn a_nan_breaks_a_line_as_a_null_does() {
    // Without a null a run has no mask of those that are valid.
    let all = |missing: Option<f64>| samples((0..1_000).map(|t| (t, if t % 50 < 3 { missing } else { Some(f64::from(t as i32 % 7)) }, 0)));
    let (nan, null) = (all(Some(f64::NAN)), all(None));
    assert!(nan.validity.is_none() && null.validity.is_some());
    for method in Method::ALL {
        for points in [100, 2_000] {
            let answer =
                |all| rows(&run(DownsampleRange::new(0, 1_000, points, method).unwrap(), &Surroundings::default(), all, 64).unwrap());
            let found = answer(&nan);
            assert!(found.iter().any(|row| row.1.is_none()) && found.iter().all(|row| row.1.is_none_or(|value| !value.is_nan())));
            assert_eq!(found, answer(&null), "{method} {points}");
        }
    }
}

#[test]
fn states_that_do_not_tell_enough_ask_for_the_samples() {
    let of = |rows: &[(i64, Option<f64>, u32)]| {
        let samples = samples(rows.iter().copied());
        IntervalSummary::of_state(&RollupState::of(&samples, 0..samples.len()).unwrap(), ValueType::F64)
    };
    assert_eq!(of(&[(1, Some(2.0), 0), (2, Some(1.0), 0)]).unwrap().count(), 2);
    assert_eq!(of(&[(1, Some(2.0), 0), (2, Some(1.0), BAD)]), None);
    assert_eq!(of(&[(1, Some(2.0), 0), (2, None, 0)]), None);
    assert_eq!(of(&[(1, Some(2.0), 0), (2, Some(f64::NAN), 0)]), None);
    // Good, with info bits that the state does not keep for each extreme.
    assert_eq!(of(&[(1, Some(2.0), 0), (2, Some(1.0), 0x0480)]), None);
}

#[test]
fn summaries_of_few_samples_send_the_caller_back() {
    let all = samples((0..10).map(|t| (t, Some(t as f64), 0)));
    let summary = IntervalSummary::of_state(&RollupState::of(&all, 0..10).unwrap(), ValueType::F64).unwrap();
    let new = |method| Downsampler::new(plan(0, 100, 5, method), ValueType::F64, Surroundings::default()).unwrap();
    let mut one = Downsampler::new(plan(0, 1_000, 12, Method::MinMax), ValueType::F64, Surroundings::default()).unwrap();
    one.push_summary(&summary).unwrap();
    assert!(matches!(one.finish().unwrap(), CollectStep::SamplesOnly));
    // As many as the answer may have are few, one more is not.
    for (points, few) in [(10, true), (9, false)] {
        let mut one = Downsampler::new(plan(0, 1_000, points, Method::MinMax), ValueType::F64, Surroundings::default()).unwrap();
        one.push_summary(&summary).unwrap();
        assert_eq!(matches!(one.finish().unwrap(), CollectStep::SamplesOnly), few);
    }
    assert_eq!(new(Method::Lttb).push_summary(&summary), Err(DownsampleError::NoSummaries(Method::Lttb)));
    let mut other = Downsampler::new(plan(0, 100, 80, Method::MinMax), ValueType::F64, Surroundings::default()).unwrap();
    assert_eq!(other.push_summary(&summary), Err(DownsampleError::Summary { first: 0, last: 9 }));
}

#[test]
fn what_is_out_of_order_is_refused() {
    let mut downsampler = Downsampler::new(plan(0, 100, 10, Method::Plot), ValueType::F64, Surroundings::default()).unwrap();
    let all = samples([(5, Some(1.0), 0), (6, Some(1.0), 0)]);
    downsampler.push(&all, 0..2).unwrap();
    assert_eq!(downsampler.push(&all, 1..2), Err(DownsampleError::Order { timestamp: 6, last: 6 }));
    assert_eq!(downsampler.push(&all, 1..3), Err(DownsampleError::Rows { start: 1, end: 3, len: 2 }));
    assert_eq!(downsampler.push(&samples([(9, None, 0), (8, None, 0)]), 0..2), Err(DownsampleError::Order { timestamp: 8, last: 9 }));
    let other = Samples::new(ValueType::Bool);
    assert!(downsampler.push(&other, 0..0).unwrap_err().to_string().contains("type f64, and samples of type bool"));
}

#[test]
fn an_empty_range_has_its_edges() {
    let around = Surroundings { before: bound(0, 1.0), after: bound(50, 2.0), gaps: vec![] };
    for method in Method::ALL {
        let none = samples([]);
        let answer = run(DownsampleRange::new(0, 50, 10, method).unwrap(), &around, &none, 1).unwrap();
        assert_eq!(rows(&answer), [(0, Some(1.0), 0x0402), (50, Some(2.0), 0x0402)]);
    }
}

#[test]
fn infinite_values_and_extreme_times_are_no_trouble() {
    let step = i64::MAX / 600;
    let all = samples((0..1_000_i64).map(|n| {
        let value = if n % 9 == 0 { f64::INFINITY } else { f64::from(n as i32) };
        (i64::MIN.wrapping_add(n.wrapping_mul(step)), Some(value), 0)
    }));
    for method in Method::ALL {
        let answer = run(DownsampleRange::new(i64::MIN, i64::MAX, 60, method).unwrap(), &Surroundings::default(), &all, 77).unwrap();
        assert!(answer.is_sorted_strictly() && answer.len() <= 60 && answer.len() > 30, "{method}: {}", answer.len());
    }
}
