//! Measures and as-of joins over chunks, late chunks and heads, against a plain reading of the samples; days of 23 and 25 hours.

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int32Type, TimestampNanosecondType},
    record_batch::RecordBatch,
};
use jiff::tz::TimeZone;
use proptest::{prelude::*, test_runner::Config};

use super::{
    BAD, limits,
    operator::{HOUR, MINUTE, Model, Plant, SECOND, filled},
};
use crate::{AsOfQuery, Measure, MeasureQuery, Operator as _, QueryError};
use historian_model::{Quality, Timestamp, Value};
use historian_operators::kpi::{
    CalendarInterval, CalendarUnit, CounterRules, Eligible, ResetPolicy, Shift, TimeUnit, Window, calendar, steps,
};

/// A row without its tag: label, item, value, numerator, denominator, percent good, bad seconds.
type Row = (String, String, Option<f64>, f64, f64, f64, f64);

impl Plant {
    /// Rows by tag.
    fn measure(&self, query: &MeasureQuery) -> Vec<Vec<Row>> {
        let mut rows = vec![Vec::new(); self.tags.len()];
        let schema = query.schema();
        let take = &mut |batch: RecordBatch| {
            assert_eq!(batch.schema(), schema);
            let tags = batch.column(0).as_dictionary::<Int32Type>();
            let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
            let number = |column: usize, row: usize| batch.column(column).as_primitive::<Float64Type>().value(row);
            for row in 0..batch.num_rows() {
                let known = batch.column(5).is_valid(row);
                let start = batch.column(1).as_primitive::<TimestampNanosecondType>().value(row);
                assert!(start < batch.column(2).as_primitive::<TimestampNanosecondType>().value(row));
                rows[tags.keys().value(row) as usize].push((
                    text(3, row),
                    text(4, row),
                    known.then(|| number(5, row)),
                    number(6, row),
                    number(7, row),
                    number(8, row),
                    number(9, row),
                ));
            }
            true
        };
        self.engine.operate(query, &limits(u64::MAX), take).unwrap();
        rows
    }

    fn asked(&self, intervals: &[CalendarInterval], measure: Measure) -> MeasureQuery {
        MeasureQuery {
            tags: self.tags.clone(),
            intervals: intervals.to_vec(),
            measure,
            uncertain_as_bad: false,
            known_until: Timestamp::MAX,
        }
    }
}

fn usable(row: (Option<f64>, u32)) -> Option<f64> {
    row.0.filter(|value| !value.is_nan() && !Quality(row.1).is_bad())
}

/// What holds in a window, piece by piece: length in seconds, usable value at its start, whether it is Good, and its start and end.
fn pieces(model: &Model, window: Window) -> Vec<(f64, Option<f64>, bool, i64, i64)> {
    let mut edges: Vec<i64> = model.range(window.start()..window.end()).map(|(at, _)| *at).collect();
    edges.extend([window.start(), window.end()]);
    edges.sort_unstable();
    edges.dedup();
    let piece = |pair: &[i64]| {
        let held = model.range(..=pair[0]).next_back().map(|(_, row)| *row);
        let value = held.and_then(usable);
        let good = value.is_some() && held.is_some_and(|row| Quality(row.1).is_good());
        ((pair[1] - pair[0]) as f64 / 1e9, value, good, pair[0], pair[1])
    };
    edges.windows(2).map(piece).collect()
}

/// The value of a sloped tag, where it is usable from the sample before on.
fn on_the_line(model: &Model, at: i64) -> f64 {
    let (first, row) = model.range(..=at).next_back().unwrap();
    let value = usable(*row).unwrap();
    match model.range(at + 1..).next().filter(|(_, row)| usable(**row).is_some()) {
        Some((second, next)) if *first < at => value + (usable(*next).unwrap() - value) * ((at - first) as f64 / (second - first) as f64),
        _ => value,
    }
}

/// What a counter counted in a window, by going through its whole history: each fall is looked at with the reading behind it in hand.
fn counted(model: &Model, window: Window) -> Option<f64> {
    let readings: Vec<(i64, f64)> = model.iter().filter_map(|(at, row)| Some((*at, usable(*row)?))).collect();
    let (mut at, mut sum) = (1, 0.0);
    let mut before = readings.first()?.1;
    while let Some(&(time, value)) = readings.get(at) {
        let noise = before * 1e-4;
        let back = readings.get(at + 1).is_some_and(|next| next.1 >= before - noise);
        at += 1;
        if value < before - noise && back {
            continue;
        }
        let step = if value >= before - noise { value - before } else { value };
        if (window.start()..window.end()).contains(&time) {
            sum += step;
        }
        before = value;
    }
    let known_before = readings.iter().any(|reading| reading.0 < window.start());
    let read = readings.iter().any(|reading| (window.start()..window.end()).contains(&reading.0));
    (read || (known_before && pieces(model, window).iter().any(|piece| piece.1.is_some()))).then_some(sum)
}

fn changes(model: &Model, window: Window, to: Option<f64>) -> f64 {
    let mut previous = model.range(..window.start()).rev().find_map(|(_, row)| usable(*row));
    let mut count = 0.0;
    for value in model.range(window.start()..window.end()).filter_map(|(_, row)| usable(*row)) {
        if previous.is_some_and(|previous| previous != value) && to.is_none_or(|to| to == value) {
            count += 1.0;
        }
        previous = Some(value);
    }
    count
}

/// Transitions among values that stay for a while, as the whole history tells them.
fn settled_changes(model: &Model, window: Window, to: f64, dwell_ns: i64) -> f64 {
    let mut runs: Vec<(i64, f64)> = model.iter().filter_map(|(at, row)| Some((*at, usable(*row)?))).collect();
    runs.dedup_by_key(|run| run.1);
    let mut reached = runs.first().map(|run| run.1);
    let mut count = 0.0;
    for (index, (start, value)) in runs.iter().enumerate() {
        let stays = runs.get(index + 1).is_none_or(|next| next.0 - start >= dwell_ns);
        if stays && reached != Some(*value) {
            reached = Some(*value);
            if *value == to && (window.start()..window.end()).contains(start) {
                count += 1.0;
            }
        }
    }
    count
}

fn near(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-6 * expected.abs().max(1.0),
        (found, expected) => found == expected,
    }
}

proptest! {
    #![proptest_config(Config { cases: 24, max_shrink_iters: 20, ..Config::default() })]

    #[test]
    fn measures_are_what_a_plain_reading_gives(seed in any::<u64>(), start in -200_i64..60, step in 0_usize..5, compacted in any::<bool>()) {
        let plant = filled(seed, 400);
        if compacted {
            plant.historian.ingest.compact().unwrap();
        }
        let window = Window::new(start * MINUTE + 7, start * MINUTE + 5 * HOUR + 30 * SECOND).unwrap();
        let step = [0, 10 * SECOND, MINUTE, 17 * MINUTE, HOUR][step].unsigned_abs();
        let intervals = steps(window, step, &TimeZone::UTC).unwrap();
        let states = Measure::TimeInState { states: vec!["3".into(), "4.5".into()] };
        let in_state = plant.measure(&plant.asked(&intervals, states));
        let each_state = plant.measure(&plant.asked(&intervals, Measure::TimeInState { states: vec![] }));
        let counter = plant.measure(&plant.asked(&intervals, Measure::CounterDelta(CounterRules::default())));
        let integral = plant.measure(&plant.asked(&intervals, Measure::Integral { unit: TimeUnit::Minute, rescale: false }));
        let rescaled = plant.measure(&plant.asked(&intervals, Measure::Integral { unit: TimeUnit::Minute, rescale: true }));
        let good = plant.measure(&plant.asked(&intervals, Measure::PercentGood));
        let moved = plant.measure(&plant.asked(&intervals, Measure::Transitions { from: None, to: None, dwell_ns: 0 }));
        let arrived = plant.measure(&plant.asked(&intervals, Measure::Transitions { from: None, to: Some("4.5".into()), dwell_ns: 0 }));
        for (tag, model) in plant.model.iter().enumerate() {
            let mut states = each_state[tag].iter().peekable();
            for (index, interval) in intervals.iter().enumerate() {
                let window = interval.window;
                let length = window.duration_ns() as f64 / 1e9;
                let pieces = pieces(model, window);
                let known: f64 = pieces.iter().filter(|piece| piece.1.is_some()).map(|piece| piece.0).sum();
                let good_seconds: f64 = pieces.iter().filter(|piece| piece.2).map(|piece| piece.0).sum();
                let is_known = pieces.iter().any(|piece| piece.1.is_some());

                let found = &good[tag][index];
                prop_assert_eq!(&found.0, &interval.label);
                prop_assert!(near(found.2, Some(good_seconds / length * 100.0)) && near(Some(found.3), Some(good_seconds)), "good: {:?}", found);
                prop_assert!(near(Some(found.4), Some(length)) && near(Some(found.6), Some(length - known)), "coverage: {:?}", found);

                let held: f64 = pieces.iter().filter(|piece| matches!(piece.1, Some(3.0 | 4.5))).map(|piece| piece.0).sum();
                let found = &in_state[tag][index];
                prop_assert_eq!(&found.1, "3 + 4.5");
                prop_assert!(near(found.2, is_known.then_some(held)) && near(Some(found.3), Some(held)), "state: {:?} instead of {}", found, held);

                let mut sum = 0.0;
                while let Some(row) = states.next_if(|row| row.0 == interval.label) {
                    let expected: f64 = pieces.iter().filter(|piece| piece.1.is_some_and(|value| value.to_string() == row.1)).map(|piece| piece.0).sum();
                    prop_assert!(near(row.2, is_known.then_some(expected)), "{:?} instead of {}", row, expected);
                    sum += row.3;
                }
                prop_assert!(near(Some(sum), Some(known)), "the states sum to what is known");

                let found = &counter[tag][index];
                prop_assert!(near(found.2, counted(model, window)), "counter: {:?} instead of {:?}", found, counted(model, window));

                let area = |piece: &(f64, Option<f64>, bool, i64, i64)| {
                    let value = piece.1?;
                    let next = model.get(&piece.4).copied().or_else(|| model.range(piece.4..).next().map(|(_, row)| *row)).and_then(usable);
                    let level = if tag == 1 || next.is_none() {
                        value
                    } else {
                        let left = on_the_line(model, piece.3);
                        let right = model.get(&piece.4).copied().and_then(usable).unwrap_or_else(|| on_the_line(model, piece.4));
                        f64::midpoint(left, right)
                    };
                    Some(level * piece.0 / 60.0)
                };
                let amount: f64 = pieces.iter().filter_map(area).sum();
                let found = &integral[tag][index];
                prop_assert!(near(found.2, is_known.then_some(amount)), "integral: {:?} instead of {}", found, amount);
                prop_assert!(near(Some(found.4), Some(known)), "the denominator is what is covered");
                prop_assert!(near(rescaled[tag][index].2, is_known.then(|| amount * length / known)));

                for (rows, to) in [(&moved, None), (&arrived, Some(4.5))] {
                    let expected = changes(model, window, to);
                    let found = &rows[tag][index];
                    prop_assert!(near(Some(found.3), Some(expected)), "transitions: {:?} instead of {}", found, expected);
                }
            }
            prop_assert!(states.next().is_none());
        }
    }

    #[test]
    fn parts_of_a_range_add_up_to_it(seed in any::<u64>(), start in -200_i64..60, dwell in 0_u64..50) {
        let plant = filled(seed, 300);
        let window = Window::new(start * MINUTE + 7, start * MINUTE + 3 * HOUR).unwrap();
        let dwell_ns = dwell * SECOND.unsigned_abs();
        for measure in [
            Measure::Transitions { from: None, to: Some("3".into()), dwell_ns },
            Measure::CounterDelta(CounterRules { rollover: Some(30.0), reset: ResetPolicy::Skip, ..CounterRules::default() }),
            Measure::CounterDelta(CounterRules { max_step: Some(7.0), max_rate_per_s: Some(0.8), ..CounterRules::default() }),
            Measure::Integral { unit: TimeUnit::Hour, rescale: false },
        ] {
            let sums = |step: i64| {
                let intervals = steps(window, step.unsigned_abs(), &TimeZone::UTC).unwrap();
                let rows = plant.measure(&plant.asked(&intervals, measure.clone()));
                rows.iter().map(|rows| rows.iter().map(|row| row.3).sum::<f64>()).collect::<Vec<f64>>()
            };
            let whole = sums(0);
            for step in [7 * SECOND, MINUTE, 13 * MINUTE] {
                let parts = sums(step);
                prop_assert!(whole.iter().zip(&parts).all(|(whole, part)| near(Some(*part), Some(*whole))), "{:?}: {:?} and {:?}", measure, parts, whole);
            }
        }
    }

    #[test]
    fn chatter_at_an_edge_counts_no_transition(
        steps_of_values in proptest::collection::vec((1_i64..14, 0_u8..4), 30..150),
        dwell in 1_i64..25,
        step in prop_oneof![Just(0), 11_i64..90],
        start in 0_i64..300,
    ) {
        let mut plant = Plant::new();
        let mut at = 0;
        let rows: Vec<_> = steps_of_values.iter().map(|(step, value)| {
            at += step * SECOND;
            if *value == 3 { (at, None, BAD) } else { (at, Some(f64::from(*value)), 0) }
        }).collect();
        for tag in 0..2 {
            plant.write(tag, &rows[..rows.len() / 2]);
            plant.historian.ingest.compact().unwrap();
            plant.write(tag, &rows[rows.len() / 2..]);
        }
        let window = Window::new(start * SECOND, (start + 900) * SECOND).unwrap();
        let intervals = steps(window, (step * SECOND).unsigned_abs(), &TimeZone::UTC).unwrap();
        for to in 0..3 {
            let dwell_ns = (dwell * SECOND).unsigned_abs();
            let rows = plant.measure(&plant.asked(&intervals, Measure::Transitions { from: None, to: Some(to.to_string()), dwell_ns }));
            for (row, interval) in rows[0].iter().zip(&intervals) {
                let expected = settled_changes(&plant.model[0], interval.window, f64::from(to), dwell * SECOND);
                prop_assert_eq!(row.3, expected, "to {} in {:?}", to, interval.window);
            }
        }
    }

    #[test]
    fn joins_are_what_a_search_finds(
        seed in any::<u64>(),
        dense in any::<bool>(),
        minutes in proptest::collection::vec(-200_i64..400, 1..60),
        tolerance in proptest::option::of(0_i64..40),
        eligible in 0_usize..3,
    ) {
        let plant = filled(seed, 400);
        plant.historian.ingest.compact().unwrap();
        let times: Vec<i64> = minutes.iter().map(|minute| minute * if dense { 3 * SECOND } else { MINUTE } + 5).collect();
        let eligible = [Eligible::Any, Eligible::NotBad, Eligible::Good][eligible];
        let tolerance_ns = tolerance.map(|tolerance| (tolerance * MINUTE).unsigned_abs());
        let query = AsOfQuery { tags: plant.tags.clone(), times: times.clone(), tolerance_ns, eligible };
        let answers = plant.engine.as_of(&query, &limits(u64::MAX)).unwrap();
        for (model, answer) in plant.model.iter().zip(answers) {
            let held = answer.unwrap();
            prop_assert_eq!(held.found.len(), times.len());
            for (place, time) in times.iter().enumerate() {
                let takes = |row: &(Option<f64>, u32)| match eligible {
                    Eligible::Any => true,
                    Eligible::NotBad => usable(*row).is_some(),
                    Eligible::Good => usable(*row).is_some() && Quality(row.1).is_good(),
                };
                let found = model.range(..=*time).rev().find(|(_, row)| takes(row));
                let found = found.filter(|(at, _)| tolerance_ns.is_none_or(|tolerance| time.abs_diff(**at) <= tolerance));
                let answered = (held.samples.timestamps[place], held.samples.value(place), held.samples.qualities[place]);
                let bits = |value: Option<Value>| value.and_then(|value| value.as_f64()).map(f64::to_bits);
                let expected = found.map_or((*time, None, Quality::BAD_NO_DATA.0), |(at, row)| (*at, row.0.map(f64::to_bits), row.1));
                prop_assert_eq!((answered.0, bits(answered.1), answered.2), expected);
                prop_assert_eq!(held.found[place], found.is_some());
            }
        }
    }
}

#[test]
fn days_on_which_the_clock_changes_are_as_long_as_they_were() {
    let mut plant = Plant::new();
    plant.write(0, &[(0, Some(2.0), 0)]);
    plant.write(1, &[(0, Some(2.0), 0)]);
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let ns = |text: &str| i64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap();
    let window = Window::new(ns("2026-03-27T23:00:00Z"), ns("2026-03-30T10:00:00Z")).unwrap();
    let days = calendar(window, &CalendarUnit::Day, &zone).unwrap();
    let rows = &plant.measure(&plant.asked(&days, Measure::Integral { unit: TimeUnit::Hour, rescale: false }))[0];
    let told: Vec<_> = rows.iter().map(|row| (row.0.as_str(), row.2.unwrap(), row.4)).collect();
    assert_eq!(told, [("2026-03-28", 48.0, 86_400.0), ("2026-03-29", 46.0, 82_800.0), ("2026-03-30", 24.0, 43_200.0)]);

    let shift = |start: &str| Shift { name: start.into(), start: start.parse().unwrap() };
    let shifts = CalendarUnit::Shift(["06:00", "14:00", "22:00"].map(shift).to_vec());
    let window = Window::new(ns("2026-10-24T20:00:00Z"), ns("2026-10-25T13:00:00Z")).unwrap();
    let shifts = calendar(window, &shifts, &zone).unwrap();
    let query = MeasureQuery { known_until: Timestamp(ns("2026-10-25T06:00:00Z")), ..plant.asked(&shifts, Measure::PercentGood) };
    let told: Vec<_> = plant.measure(&query)[1].iter().map(|row| (row.0.clone(), row.2.unwrap(), row.4, row.6)).collect();
    let expected = [("2026-10-24 22:00", 100.0, 9.0 * 3_600.0, 0.0), ("2026-10-25 06:00", 12.5, 8.0 * 3_600.0, 7.0 * 3_600.0)];
    assert_eq!(told, expected.map(|(label, percent, length, bad)| (label.to_owned(), percent, length, bad)));
}

#[test]
fn what_cannot_be_measured_is_told_before_anything_is_read() {
    let mut plant = Plant::new();
    plant.write(0, &[(0, Some(2.0), 0), (5, None, BAD)]);
    let window = Window::new(0, 1_000).unwrap();
    let one = steps(window, 0, &TimeZone::UTC).unwrap();
    let thousand = steps(window, 1, &TimeZone::UTC).unwrap();
    let in_states = |states: &[&str]| Measure::TimeInState { states: states.iter().map(|state| (*state).to_owned()).collect() };
    for (intervals, measure, fragment) in [
        (&one, in_states(&["running"]), "no state of the tag stepped_false"),
        (&one, in_states(&["1", "1.0"]), "each once"),
        (&one, Measure::CounterDelta(CounterRules { rollover: Some(-1.0), ..CounterRules::default() }), "above 0"),
        (&thousand, Measure::Transitions { from: None, to: None, dwell_ns: 1_000 }, "dwell_min"),
    ] {
        let query = plant.asked(intervals, measure);
        let error = plant.engine.operate(&query, &limits(u64::MAX), &mut |_| panic!("nothing is answered")).unwrap_err();
        assert!(matches!(&error, QueryError::Invalid(message) if message.contains(fragment)), "{error}");
    }
    assert!(steps(window, 0, &TimeZone::UTC).is_ok() && steps(Window::new(0, i64::MAX).unwrap(), 1, &TimeZone::UTC).is_err());
    // Limits hold.
    let query = plant.asked(&thousand, Measure::PercentGood);
    let error = plant.engine.operate(&query, &limits(1_500), &mut |_| true).unwrap_err();
    assert!(matches!(error, QueryError::TooManyRows(1_500)), "{error}");
    let ended = limits(u64::MAX);
    ended.cancel.cancel();
    let join = AsOfQuery { tags: plant.tags.clone(), times: vec![1], tolerance_ns: None, eligible: Eligible::Any };
    assert!(matches!(plant.engine.as_of(&join, &ended), Err(QueryError::Cancelled)));
}
