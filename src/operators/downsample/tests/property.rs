//! Promises that hold for every method and any data.

use historian_format::{
    Chunk, encode_chunk,
    rollup::{RollupLevel, RollupState},
};
use proptest::prelude::*;

use super::*;

/// Samples in `[0, 10 000)` by what follows one another: steps in time, kinds and values.
fn any_samples(len: usize) -> impl Strategy<Value = Samples> {
    let sample = (1_i64..200, 0_u8..24, -50_i32..50);
    proptest::collection::vec(sample, 0..len).prop_map(|steps| {
        let mut at = -100;
        let mut run = 0;
        samples(steps.into_iter().map_while(move |(step, kind, value)| {
            at += if kind == 23 { step * 8 } else { step.min(60) };
            let value = f64::from(value);
            // A Bad sample is often followed by further ones.
            run = if kind == 0 { step % 6 } else { run - 1 };
            let (value, quality) = match kind {
                _ if run > 0 => (None, BAD),
                1 => (Some(value), BAD),
                2 => (None, 0),
                3 => (Some(f64::NAN), 0),
                4 | 5 => (Some(value), UNCERTAIN),
                _ => (Some(value), 0),
            };
            (at < 10_200).then_some((at, value, quality))
        }))
    })
}

fn any_around() -> impl Strategy<Value = Surroundings> {
    let edge = |timestamp: i64| {
        prop_oneof![
            Just(None),
            (-50_i32..50).prop_map(move |value| bound(timestamp, f64::from(value))),
            Just(Some(Sample { timestamp, value: None, quality: BAD })),
        ]
    };
    let gaps = proptest::collection::btree_set(-100_i64..10_100, 0..4);
    (edge(0), edge(10_000), gaps).prop_map(|(before, after, gaps)| {
        let gaps = gaps.into_iter().map(|timestamp| LineBreak { timestamp, quality: BAD + 0x0001_0000 }).collect();
        Surroundings { before, after, gaps }
    })
}

fn any_method() -> impl Strategy<Value = Method> {
    proptest::sample::select(Method::ALL.to_vec())
}

fn in_range(samples: &Samples) -> Vec<(i64, Option<f64>, u32)> {
    rows(samples).into_iter().filter(|row| (0..10_000).contains(&row.0)).collect()
}

fn number(row: &(i64, Option<f64>, u32)) -> Option<f64> {
    row.1.filter(|value| !value.is_nan() && row.2 >> 31 == 0)
}

type Row = (i64, Option<f64>, u32);

/// What LTTB takes of drawn samples: the outermost where no value stands at the edge, and of the others in each interval the one that makes the
/// largest triangle with what was taken before it and with the average of the next interval that has any, or what stands at the end.
fn largest_triangles(plan: &DownsamplePlan, around: &Surroundings, drawn: &[Row]) -> Vec<Row> {
    let corner = |row: &Row| (row.0 as f64, row.1.unwrap());
    let edge =
        |sample: &Option<Sample>| sample.as_ref().and_then(|sample| Some((sample.timestamp as f64, sample.value.as_ref()?.as_f64()?)));
    let mut left = drawn.to_vec();
    let first = if edge(&around.before).is_none() && !left.is_empty() { Some(left.remove(0)) } else { None };
    let last = if edge(&around.after).is_none() { left.pop() } else { None };
    let mut taken: Vec<Row> = first.into_iter().chain(last).collect();
    let inside = |(from, to)| left.iter().filter(|row| (from..to).contains(&row.0)).copied().collect();
    let parts: Vec<Vec<Row>> = plan.intervals().map(inside).filter(|part: &Vec<Row>| !part.is_empty()).collect();
    let average = |part: &Vec<Row>| {
        let sum = part.iter().map(corner).fold((0.0, 0.0), |sum, corner| (sum.0 + corner.0, sum.1 + corner.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    let mut before = edge(&around.before).or(first.as_ref().map(corner));
    for (index, part) in parts.iter().enumerate() {
        let (a, c) = (before.unwrap(), parts.get(index + 1).map(average).or(edge(&around.after)).or(last.as_ref().map(corner)).unwrap());
        let area = |row: &Row| ((a.0 - c.0) * (row.1.unwrap() - a.1) - (a.0 - row.0 as f64) * (c.1 - a.1)).abs();
        // The earlier of equal ones.
        let best = part.iter().rev().max_by(|one, other| area(one).total_cmp(&area(other))).unwrap();
        before = Some(corner(best));
        taken.push(*best);
    }
    taken
}

/// The rows of PLOT, M4, MINMAX or LTTB by definition, without a ceiling and without the boundary samples.
fn reference(plan: &DownsamplePlan, around: &Surroundings, all: &[Row]) -> Vec<Row> {
    // Where the line breaks: starts of runs, a gap after the last sample that is not later.
    let mut stream: Vec<(i64, Option<f64>, u32)> = all.iter().map(|row| (row.0, number(row), row.2)).collect();
    stream.extend(around.gaps.iter().filter(|gap| (0..10_000).contains(&gap.timestamp)).map(|gap| (gap.timestamp, None, gap.quality)));
    stream.sort_by_key(|row| row.0);
    let mut out: Vec<Row> = vec![];
    if plan.method() == Method::Lttb {
        let drawn: Vec<Row> = stream.iter().filter(|row| row.1.is_some()).copied().collect();
        out = largest_triangles(plan, around, &drawn);
    }
    for (from, to) in plan.intervals() {
        let inside = |row: &&Row| (from..to).contains(&row.0);
        let drawn: Vec<_> = stream.iter().filter(inside).filter(|row| row.1.is_some()).copied().collect();
        let mut picks: Vec<Row> = vec![];
        let by_value = |a: &&Row, b: &&Row| a.1.partial_cmp(&b.1).unwrap();
        if matches!(plan.method(), Method::Plot | Method::M4) {
            picks.extend(drawn.first());
            picks.extend(drawn.last());
        }
        if plan.method() != Method::Lttb {
            picks.extend(drawn.iter().min_by(by_value));
            // `max_by` gives the last of equals, and the first is wanted.
            picks.extend(drawn.iter().rev().max_by(by_value));
        }
        let mut starts: Vec<Row> = vec![];
        let mut open = around.before.as_ref().is_some_and(|before| before.value.is_none());
        for row in &stream {
            if row.1.is_none() && !open && (from..to).contains(&row.0) {
                starts.push(*row);
            }
            open = row.1.is_none();
        }
        let open_start = starts.last().filter(|start| drawn.last().is_none_or(|last| last.0 <= start.0));
        picks.extend(open_start.or(starts.first()));
        out.extend(picks);
    }
    out.sort_by_key(|row| (row.0, row.1.is_none()));
    out.dedup_by_key(|row| (row.0, row.1.is_none()));
    // A gap with the timestamp of a sample.
    for index in 1..out.len() {
        if out[index].0 == out[index - 1].0 {
            out[index].0 += 1;
        }
    }
    out.sort_by_key(|row| (row.0, row.1.is_none()));
    out.dedup_by_key(|row| row.0);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_keeps_its_promises(
        samples in any_samples(400),
        around in any_around(),
        method in any_method(),
        points in prop_oneof![POINTS_MIN..12, 12_usize..300],
        portion in 1_usize..90,
    ) {
        let request = DownsampleRange::new(0, 10_000, points, method).unwrap();
        let answer = run(request, &around, &samples, portion).unwrap();
        let out = rows(&answer);
        let all = in_range(&samples);
        prop_assert!(out.len() <= points, "{} rows of {points}", out.len());
        prop_assert!(out.windows(2).all(|pair| pair[0].0 < pair[1].0), "order");
        // How it came in portions changes nothing.
        prop_assert_eq!(&answer, &run(request, &around, &samples, usize::MAX).unwrap());

        // The edges, unless they would take the place of samples.
        let edged = all.len() > points || all.len() + around.gaps.len() + 2 <= points;
        if let Some(before) = around.before.as_ref().filter(|_| edged) {
            prop_assert_eq!(out.first().map(|row| row.0), Some(0));
            if all.first().is_none_or(|row| row.0 > 0) && around.gaps.iter().all(|gap| gap.timestamp != 0) {
                prop_assert_eq!(out[0].1, before.value.as_ref().and_then(Value::as_f64));
                prop_assert_eq!(out[0].2, before.quality);
            }
        }
        if let Some(after) = around.after.as_ref().filter(|_| edged) {
            prop_assert_eq!(*out.last().unwrap(), (10_000, after.value.as_ref().and_then(Value::as_f64), after.quality));
        }

        // Rows are samples, breaks have no value, and nothing drawn is Bad.
        let inner: Vec<_> = out.iter().filter(|row| row.0 != 0 && row.0 != 10_000).copied().collect();
        for row in &inner {
            match row.1 {
                Some(value) => prop_assert!(all.iter().any(|sample| sample.0 == row.0 && number(sample) == Some(value) && sample.2 == row.2)),
                None => prop_assert!(
                    all.iter().any(|sample| sample.0 == row.0 && number(sample).is_none() && sample.2 == row.2)
                        || around.gaps.iter().any(|gap| (0..=1).contains(&(row.0 - gap.timestamp)) && gap.quality == row.2)
                ),
            }
        }

        // Extremes.
        let drawn: Vec<f64> = all.iter().filter_map(number).collect();
        if !matches!(method, Method::Lttb | Method::MinMaxLttb) && !drawn.is_empty() {
            let kept: Vec<f64> = out.iter().filter_map(|row| row.1).collect();
            for wanted in [drawn.iter().copied().fold(f64::MAX, f64::min), drawn.iter().copied().fold(f64::MIN, f64::max)] {
                prop_assert!(kept.contains(&wanted), "{wanted} was lost");
            }
        }

        // A run that is open at the end has its row.
        if all.last().is_some_and(|row| number(row).is_none()) && !drawn.is_empty() {
            let last = inner.iter().rposition(|row| row.1.is_some());
            prop_assert!(inner.last().is_some_and(|row| row.1.is_none()), "last drawn {last:?} of {}", inner.len());
        }
    }

    #[test]
    fn few_samples_all_come(samples in any_samples(40), mut around in any_around(), method in any_method(), portion in 1_usize..50) {
        around.gaps.clear();
        let answer = run(DownsampleRange::new(0, 10_000, 60, method).unwrap(), &around, &samples, portion).unwrap();
        let all = in_range(&samples);
        let mut expected: Vec<_> = all.iter().map(|row| (row.0, number(row), row.2)).collect();
        if let Some(before) = around.before.filter(|_| all.first().is_none_or(|row| row.0 > 0)) {
            expected.insert(0, (0, before.value.and_then(|value| value.as_f64()), before.quality));
        }
        expected.extend(around.after.map(|after| (10_000, after.value.and_then(|value| value.as_f64()), after.quality)));
        prop_assert_eq!(rows(&answer), expected);
    }

    #[test]
    fn as_many_samples_as_asked_all_come(samples in any_samples(40), mut around in any_around(), method in any_method(), more in 0_usize..3) {
        around.gaps.clear();
        let all = in_range(&samples);
        if all.len() + more < POINTS_MIN {
            return Ok(());
        }
        let answer = run(DownsampleRange::new(0, 10_000, all.len() + more, method).unwrap(), &around, &samples, 7).unwrap();
        prop_assert!(answer.len() <= all.len() + more);
        let found = rows(&answer);
        for row in &all {
            prop_assert!(found.contains(&(row.0, number(row), row.2)), "{row:?} is missing");
        }
    }

    #[test]
    fn intervals_are_reduced_as_defined(
        samples in any_samples(600),
        around in any_around(),
        method in proptest::sample::select(vec![Method::Plot, Method::M4, Method::MinMax]),
        points in 20_usize..160,
    ) {
        let request = DownsampleRange::new(0, 10_000, points, method).unwrap();
        let all = in_range(&samples);
        let mut expected = reference(&DownsamplePlan::new(request), &around, &all);
        let fixed = usize::from(around.before.is_some()) + usize::from(around.after.is_some());
        // What has few samples or needs merging is tested above.
        if all.len() <= points || expected.len() + fixed > points {
            return Ok(());
        }
        let before = around.before.as_ref().filter(|_| expected.first().is_none_or(|row| row.0 > 0));
        if let Some(before) = before {
            expected.insert(0, (0, before.value.as_ref().and_then(Value::as_f64), before.quality));
        }
        expected.extend(around.after.as_ref().map(|after| (10_000, after.value.as_ref().and_then(Value::as_f64), after.quality)));
        prop_assert_eq!(rows(&run(request, &around, &samples, 37).unwrap()), expected);
    }

    #[test]
    fn lttb_takes_the_largest_triangle_of_each_interval(
        samples in any_samples(600),
        mut around in any_around(),
        (early, late) in (prop_oneof![Just(0_i64), 1_i64..500], prop_oneof![Just(0_i64), 1_i64..500]),
        points in 20_usize..160,
    ) {
        let at = |sample: Option<Sample>, by: i64| sample.map(|sample| Sample { timestamp: sample.timestamp + by, ..sample });
        (around.before, around.after) = (at(around.before, -early), at(around.after, late));
        let request = DownsampleRange::new(0, 10_000, points, Method::Lttb).unwrap();
        let all = in_range(&samples);
        let mut expected = reference(&DownsamplePlan::new(request), &around, &all);
        // What has few samples or needs merging is tested above. An interval counts as a row also where its only sample is an outermost one.
        if all.len() <= points || expected.len() + 4 > points {
            return Ok(());
        }
        let told = |sample: &Sample| (sample.timestamp, sample.value.as_ref().and_then(Value::as_f64), sample.quality);
        if let Some(before) = around.before.as_ref().filter(|before| expected.first().is_none_or(|row| row.0 > before.timestamp)) {
            expected.insert(0, told(before));
        }
        expected.extend(around.after.as_ref().map(told));
        prop_assert_eq!(rows(&run(request, &around, &samples, 37).unwrap()), expected);
    }
}

const SECOND: i64 = 1_000_000_000;

/// The engine's part: states for whole minutes or hours that tell enough, samples for the rest.
fn with_states(request: DownsampleRange, around: &Surroundings, samples: &Samples, level: RollupLevel) -> CollectStep {
    let mut downsampler = Downsampler::new(DownsamplePlan::new(request), samples.value_type(), around.clone()).unwrap();
    let mut used = 0;
    for (from, to) in downsampler.plan().clone().intervals() {
        let mut at = from;
        while at < to {
            let end = (at.div_euclid(level.interval_ns()) + 1) * level.interval_ns();
            let rows = samples.slice_time_range(at, end.min(to));
            let whole = at.rem_euclid(level.interval_ns()) == 0 && end <= to;
            let state = RollupState::of(samples, rows.clone()).filter(|_| whole);
            match state.and_then(|state| IntervalSummary::of_state(&state, samples.value_type())) {
                Some(summary) => {
                    used += 1;
                    downsampler.push_summary(&summary).unwrap();
                }
                None => downsampler.push(samples, rows).unwrap(),
            }
            at = end.min(to);
        }
    }
    assert!(used > 0, "no state was used");
    downsampler.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn states_and_samples_give_the_same_answer(
        bad in proptest::collection::btree_set(0_i64..3_000, 0..6),
        gaps in proptest::collection::btree_set(0_i64..30_000 * SECOND, 0..4),
        method in proptest::sample::select(vec![Method::Plot, Method::M4, Method::MinMax, Method::MinMaxLttb]),
        start in 0_i64..70,
        points in 20_usize..200,
        factor in 1_i64..1_000,
    ) {
        let samples = samples((0..3_000_i64).map(|number| {
            let value = Some(((number * 7_919 * factor) % 1_009) as f64);
            (number * 10 * SECOND, value, if bad.contains(&number) { BAD } else { 0 })
        }));
        let around = Surroundings {
            gaps: gaps.into_iter().map(|timestamp| LineBreak { timestamp, quality: BAD }).collect(),
            ..Surroundings::default()
        };
        let request = DownsampleRange::new(start * SECOND, 29_000 * SECOND, points, method).unwrap();
        let expected = run(request, &around, &samples, 500).unwrap();
        match with_states(request, &around, &samples, RollupLevel::Minute) {
            CollectStep::Done(answer) => prop_assert_eq!(rows(&answer), rows(&expected)),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn a_chunk_tells_what_its_samples_tell() {
    let samples = samples((0..1_000).map(|number| (number, Some(f64::from((number as i32 * 37) % 101)), 0)));
    let mut bytes = Vec::new();
    encode_chunk(1, 1, &samples, &mut bytes).unwrap();
    let statistics = Chunk::parse(&bytes).unwrap().header().statistics;
    let by_statistics = IntervalSummary::of_statistics(&statistics).unwrap();
    let by_state = IntervalSummary::of_state(&RollupState::of(&samples, 0..1_000).unwrap(), ValueType::F64).unwrap();
    assert_eq!(by_statistics, by_state);
    let mut downsampler = Downsampler::new(
        DownsamplePlan::new(DownsampleRange::new(0, 5_000, 20, Method::Plot).unwrap()),
        ValueType::F64,
        Surroundings::default(),
    );
    let downsampler = downsampler.as_mut().unwrap();
    downsampler.push_summary(&by_statistics).unwrap();
    assert_eq!(downsampler.push_summary(&by_statistics), Err(DownsampleError::Order { timestamp: 0, last: 999 }));
}
