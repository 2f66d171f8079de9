//! Ranges over an in-memory store: edges, directions, limits, layouts and bounds.

#[expect(clippy::float_cmp, reason = "the values are exact")]
mod measure;
mod moment;
#[expect(clippy::maybe_infinite_iter, reason = "the iteration ends with the range")]
mod operator;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, TimestampNanosecondType, UInt32Type},
    record_batch::RecordBatch,
};
use tokio_util::sync::CancellationToken;

use super::{BATCH_ROWS_MAX, Boundary, Layout, QualityFilter, QueryEngine, QueryError, QueryLimits, RangeQuery, Slice};
use historian_model::{Quality, Samples, Tag, TagDefinition, TimeRange, Timestamp, Value, ValueType};
use historian_test_support::engine::{TestHistorian, tag};

type Row = (i64, Option<f64>, u32);

struct Plant {
    engine: QueryEngine,
    tags: Vec<Arc<Tag>>,
    _historian: TestHistorian,
}

const BAD: u32 = Quality::BAD_SENSOR_FAILURE.0;
const INTERPOLATED: u32 = Quality::INTERPOLATED_BITS;
const UNCERTAIN: u32 = Quality::UNCERTAIN_DATA_SUB_NORMAL.0 | INTERPOLATED;

/// Tags of these samples, each sealed half-way; `stepped` by index.
fn plant(tags: &[(&[Row], bool)]) -> Plant {
    let historian = TestHistorian::in_memory().open();
    let definition = |(index, stepped)| TagDefinition { stepped, ..tag(&format!("t{index}"), ValueType::F64) };
    let made = historian.tags(tags.iter().map(|(_, stepped)| *stepped).enumerate().map(definition));
    for half in 0..2 {
        for (tag, (rows, _)) in made.iter().zip(tags) {
            let mut run = Samples::new(ValueType::F64);
            for (timestamp, value, quality) in
                rows.iter().skip(half * rows.len() / 2).take(if half == 0 { rows.len() / 2 } else { rows.len() })
            {
                run.push(*timestamp, value.map(Value::F64).as_ref(), *quality).unwrap();
            }
            historian.write(vec![(tag.id, run)]);
        }
        if half == 0 {
            historian.ingest.compact().unwrap();
        }
    }
    Plant { engine: QueryEngine::new(historian.ingest.reader()), tags: made, _historian: historian }
}

fn limits(rows_max: u64) -> QueryLimits {
    QueryLimits::new(Instant::now() + Duration::from_mins(1), rows_max, CancellationToken::new())
}

fn run(plant: &Plant, query: &RangeQuery) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let schema = plant.engine.range_schema(query).unwrap();
    plant
        .engine
        .range(query, &limits(u64::MAX), &mut |batch| {
            assert_eq!(batch.schema(), schema);
            batches.push(batch);
            true
        })
        .unwrap();
    batches
}

fn query(plant: &Plant, start: i64, end: i64, boundary: Boundary) -> RangeQuery {
    RangeQuery { boundary, ..RangeQuery::new(plant.tags.clone(), TimeRange::new(Timestamp(start), Timestamp(end))) }
}

fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    let row = |batch: &RecordBatch, row: usize| {
        let values = batch.column(2).as_primitive::<Float64Type>();
        let value = values.is_valid(row).then(|| values.value(row));
        (
            batch.column(1).as_primitive::<TimestampNanosecondType>().value(row),
            value,
            batch.column(3).as_primitive::<UInt32Type>().value(row),
        )
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|index| row(batch, index)).collect::<Vec<_>>()).collect()
}

const SAMPLES: &[Row] = &[(10, Some(1.0), 0), (20, Some(3.0), 0), (30, None, BAD), (40, Some(5.0), 0)];

#[test]
fn edges_are_left_out_added_or_interpolated() {
    let plant = plant(&[(SAMPLES, false)]);
    let asked = |start, end, boundary| rows(&run(&plant, &query(&plant, start, end, boundary)));
    assert_eq!(asked(10, 20, Boundary::Inside), [SAMPLES[0]]);
    assert_eq!(asked(15, 25, Boundary::Outside), SAMPLES[..3]);
    assert_eq!(asked(15, 18, Boundary::Outside), SAMPLES[..2]);
    assert_eq!(asked(50, 60, Boundary::Outside), [SAMPLES[3]]);
    // Half-way between two Good samples, and across a Bad one, which makes the edge Uncertain.
    assert_eq!(asked(15, 35, Boundary::Interpolated), [(15, Some(2.0), INTERPOLATED), SAMPLES[1], SAMPLES[2], (35, Some(4.5), UNCERTAIN)]);
    // A sample on the edge stands for itself; before the first sample there is nothing; after the last its value is held.
    assert_eq!(asked(10, 15, Boundary::Interpolated), [SAMPLES[0], (15, Some(2.0), INTERPOLATED)]);
    assert_eq!(asked(0, 5, Boundary::Interpolated), []);
    assert_eq!(asked(45, 50, Boundary::Interpolated), [(45, Some(5.0), UNCERTAIN), (50, Some(5.0), UNCERTAIN)]);
}

#[test]
fn a_stepped_tag_is_held_at_its_edges() {
    let plant = plant(&[(SAMPLES, true)]);
    let asked = rows(&run(&plant, &query(&plant, 15, 35, Boundary::Interpolated)));
    assert_eq!(asked, [(15, Some(1.0), INTERPOLATED), SAMPLES[1], SAMPLES[2], (35, Some(3.0), UNCERTAIN)]);
}

#[test]
fn backwards_is_the_same_the_other_way_round() {
    let plant = plant(&[(SAMPLES, false)]);
    for boundary in [Boundary::Inside, Boundary::Outside, Boundary::Interpolated] {
        let mut forward = rows(&run(&plant, &query(&plant, 15, 35, boundary)));
        forward.reverse();
        assert_eq!(rows(&run(&plant, &query(&plant, 35, 15, boundary))), forward, "{boundary:?}");
    }
    let last = RangeQuery { limit: Some(2), ..query(&plant, 100, 0, Boundary::Inside) };
    assert_eq!(rows(&run(&plant, &last)), [SAMPLES[3], SAMPLES[2]]);
}

#[test]
fn the_limit_is_per_tag_and_the_bounds_are_per_query() {
    let plant = plant(&[(SAMPLES, false), (SAMPLES, false)]);
    let two = RangeQuery { limit: Some(2), ..query(&plant, 0, 100, Boundary::Inside) };
    assert_eq!(rows(&run(&plant, &two)), [&SAMPLES[..2], &SAMPLES[..2]].concat());

    let all = query(&plant, 0, 100, Boundary::Inside);
    let refused = |limits: &QueryLimits| plant.engine.range(&all, limits, &mut |_| true).unwrap_err();
    assert!(matches!(refused(&limits(7)), QueryError::TooManyRows(7)));
    assert!(matches!(refused(&QueryLimits { deadline: Instant::now(), ..limits(100) }), QueryError::Deadline));
    let cancelled = limits(100);
    cancelled.cancel.cancel();
    assert!(matches!(refused(&cancelled), QueryError::Cancelled));
}

#[test]
fn samples_of_one_tag_come_in_the_portions_of_its_batches() {
    let cell = |at: i64| if at % 997 == 0 { (at, None, BAD) } else { (at, Some(at as f64), u32::from(at % 5 == 0)) };
    let many: Vec<Row> = (0..400_000).map(cell).collect();
    let plant = plant(&[(&many, false), (SAMPLES, false)]);
    for threads in [1, 3] {
        let engine = plant.engine.clone().with_threads(threads);
        for (start, end, boundary, limit, quality) in [
            (1, 399_999, Boundary::Inside, None, QualityFilter::Any),
            (1, 399_999, Boundary::Inside, None, QualityFilter::NotBad),
            (399_000, 5, Boundary::Interpolated, Some(70_000), QualityFilter::Any),
            (15, 35, Boundary::Outside, None, QualityFilter::Good),
            (500_000, 600_000, Boundary::Inside, None, QualityFilter::Any),
        ] {
            let asked = RangeQuery { limit, quality, ..query(&plant, start, end, boundary) };
            for (tag, after) in plant.tags.iter().flat_map(|tag| [(tag, None), (tag, Some((20, 11)))]) {
                let one = asked.of_tag(tag, after);
                let (mut batches, mut samples) = (Vec::new(), Vec::new());
                let batch = &mut |batch| {
                    batches.push(rows(&[batch]));
                    true
                };
                engine.range(&one, &limits(u64::MAX), batch).unwrap();
                let portion = &mut |portion: Slice<Samples>| {
                    let run = portion.all();
                    let value = |row| run.value(row).map(|value| if let Value::F64(value) = value { value } else { f64::NAN });
                    samples.push(portion.range().map(|row| (run.timestamps[row], value(row), run.qualities[row])).collect::<Vec<Row>>());
                    true
                };
                engine.samples(&one, &limits(u64::MAX), portion).unwrap();
                assert!(samples == batches, "{asked:?} of {} after {after:?}: {} and {}", tag.name(), samples.len(), batches.len());
                assert!(samples.iter().all(|rows| (1..=BATCH_ROWS_MAX).contains(&rows.len())));
            }
        }
    }
    let several = plant.engine.samples(&query(&plant, 0, 1, Boundary::Inside), &limits(1), &mut |_| true);
    assert!(matches!(several, Err(QueryError::Bug)), "{several:?}");
}

#[test]
fn wide_has_a_row_per_timestamp_and_nulls_where_a_tag_has_none() {
    let other: &[Row] = &[(20, Some(-1.0), 0), (25, Some(-2.0), Quality::UNCERTAIN.0)];
    let plant = plant(&[(SAMPLES, false), (other, false)]);
    for reverse in [false, true] {
        let (start, end) = if reverse { (41, 15) } else { (15, 41) };
        let wide = RangeQuery { layout: Layout::Wide, ..query(&plant, start, end, Boundary::Inside) };
        let batches = run(&plant, &wide);
        let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["timestamp", "t0", "t0#quality", "t1", "t1#quality"]);
        let values = |column: usize| batch.column(column).as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
        let qualities = |column: usize| batch.column(column).as_primitive::<UInt32Type>().iter().collect::<Vec<_>>();
        let mut expected = [
            (20, (Some(3.0), Some(0)), (Some(-1.0), Some(0))),
            (25, (None, None), (Some(-2.0), Some(Quality::UNCERTAIN.0))),
            (30, (None, Some(BAD)), (None, None)),
            (40, (Some(5.0), Some(0)), (None, None)),
        ];
        if reverse {
            expected.reverse();
        }
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values().to_vec();
        assert_eq!(times, expected.map(|row| row.0));
        assert_eq!(values(1), expected.map(|row| row.1.0));
        assert_eq!(qualities(2), expected.map(|row| row.1.1));
        assert_eq!(values(3), expected.map(|row| row.2.0));
        assert_eq!(qualities(4), expected.map(|row| row.2.1));
    }
}

#[test]
fn estimates_are_never_below_what_is_answered() {
    let plant = plant(&[(SAMPLES, false)]);
    for (start, end) in [(0, 100), (15, 35), (30, 30)] {
        let range = TimeRange::new(Timestamp(start), Timestamp(end));
        let (samples, bytes) = plant.engine.estimate(&plant.tags, range, &limits(u64::MAX)).unwrap();
        let answered = rows(&run(&plant, &query(&plant, start, end, Boundary::Inside))).len() as u64;
        assert!(samples >= answered && (bytes > 0 || answered == 0), "{samples} and {bytes} for {answered}");
    }
}
