//! Operators over a store with chunks, late chunks, heads and rollups: what is stored where changes no answer, and the answers are those of a
//! plain reading of the samples.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int64Type, TimestampNanosecondType, UInt32Type},
    record_batch::RecordBatch,
};
use proptest::{prelude::*, test_runner::Config};

use super::{BAD, limits};
use crate::{AggregateQuery, AnomalyQuery, Boundary, DownsampleQuery, Fill, Layout, Operator as _, QualityFilter, QueryEngine, RangeQuery};
use historian_ingest::IngestOptions;
use historian_maintenance::KeeperOptions;
use historian_model::{Quality, Samples, Tag, TagDefinition, TimeRange, Timestamp, Value, ValueType};
use historian_operators::{
    aggregate::{AggregateConfiguration, AggregateFunction, Intervals},
    anomaly::{AnomalyOutput, DetectorPlan, ParameterValue, Parameters},
    downsample::Method,
};
use historian_test_support::engine::{TestHistorian, tag};

/// Value and quality of a cell.
type Cell = (Option<f64>, u32);

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// Samples by timestamp.
pub(super) type Model = BTreeMap<i64, (Option<f64>, u32)>;

pub(super) struct Plant {
    pub engine: QueryEngine,
    pub tags: Vec<Arc<Tag>>,
    pub model: Vec<Model>,
    pub historian: TestHistorian,
}

impl Plant {
    /// Two tags, the second one stepped.
    pub fn new() -> Plant {
        let keeper = KeeperOptions { chunk_samples: 64, rollup_samples_min: 1, background: false, ..KeeperOptions::default() };
        let options = IngestOptions { head_samples_max: 50, keeper, ..IngestOptions::default() };
        let historian = TestHistorian::in_memory().options(options).open();
        let definition = |stepped| TagDefinition { stepped, ..tag(&format!("stepped_{stepped}"), ValueType::F64) };
        let tags = historian.tags([false, true].map(definition));
        let engine = QueryEngine::new(historian.ingest.reader()).with_threads(2);
        Plant { engine, tags, model: vec![Model::new(), Model::new()], historian }
    }

    pub fn write(&mut self, tag: usize, rows: &[(i64, Option<f64>, u32)]) {
        let mut run = Samples::new(ValueType::F64);
        for (timestamp, value, quality) in rows {
            run.push(*timestamp, value.map(Value::F64).as_ref(), *quality).unwrap();
            self.model[tag].insert(*timestamp, (*value, *quality));
        }
        self.historian.write(vec![(self.tags[tag].id, run)]);
    }

    fn aggregate(&self, query: &AggregateQuery) -> Vec<(String, i64, String, Option<u64>, u32)> {
        let mut rows = Vec::new();
        let schema = query.schema();
        let take = &mut |batch: RecordBatch| {
            assert_eq!(batch.schema(), schema);
            let text = |column: usize, row: usize| {
                let dictionary = batch.column(column).as_dictionary::<arrow::datatypes::Int32Type>();
                dictionary.values().as_string::<i32>().value(dictionary.keys().value(row) as usize).to_owned()
            };
            let values = batch.column(3).as_primitive::<Float64Type>();
            for row in 0..batch.num_rows() {
                rows.push((
                    text(0, row),
                    batch.column(1).as_primitive::<TimestampNanosecondType>().value(row),
                    text(2, row),
                    values.is_valid(row).then(|| values.value(row).to_bits()),
                    batch.column(4).as_primitive::<UInt32Type>().value(row),
                ));
            }
            true
        };
        self.engine.operate(query, &limits(u64::MAX), take).unwrap();
        rows
    }

    /// Rows of the wide layout with both tags: value and quality of each.
    fn filled_rows(&self, query: &RangeQuery) -> Vec<(i64, [Cell; 2])> {
        let mut rows = Vec::new();
        let take = &mut |batch: RecordBatch| {
            for row in 0..batch.num_rows() {
                let at = batch.column(0).as_primitive::<TimestampNanosecondType>().value(row);
                let cells = [1, 3].map(|column| {
                    let values = batch.column(column).as_primitive::<Float64Type>();
                    let quality = batch.column(column + 1).as_primitive::<UInt32Type>().value(row);
                    (values.is_valid(row).then(|| values.value(row)), quality)
                });
                rows.push((at, cells));
            }
            true
        };
        self.engine.range(query, &limits(u64::MAX), take).unwrap();
        rows
    }

    fn downsample(&self, query: &DownsampleQuery) -> Vec<(usize, i64, Option<u64>, u32)> {
        let mut rows = Vec::new();
        let take = &mut |batch: RecordBatch| {
            let tags = batch.column(0).as_dictionary::<arrow::datatypes::Int32Type>();
            let values = batch.column(2).as_primitive::<Float64Type>();
            for row in 0..batch.num_rows() {
                rows.push((
                    tags.keys().value(row) as usize,
                    batch.column(1).as_primitive::<TimestampNanosecondType>().value(row),
                    values.is_valid(row).then(|| values.value(row).to_bits()),
                    batch.column(3).as_primitive::<UInt32Type>().value(row),
                ));
            }
            true
        };
        self.engine.operate(query, &limits(u64::MAX), take).unwrap();
        rows
    }

    fn counts(&self, parameters: &Parameters, range: TimeRange) -> Vec<i64> {
        let plan = DetectorPlan::new("sigma", parameters).unwrap();
        let query = AnomalyQuery { tags: self.tags.clone(), range, plan, output: AnomalyOutput::Counts };
        let mut counts = Vec::new();
        let take = &mut |batch: RecordBatch| {
            counts.extend(batch.column(1).as_primitive::<Int64Type>().values().iter().copied());
            true
        };
        self.engine.operate(&query, &limits(u64::MAX), take).unwrap();
        counts
    }
}

pub(super) fn filled(seed: u64, count: i64) -> Plant {
    let mut plant = Plant::new();
    let mut state = seed | 1;
    let mut dice = move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    };
    for tag in 0..2 {
        let mut rows = Vec::new();
        let mut at = -2 * HOUR;
        for _ in 0..count {
            at += SECOND * (1 + dice(40) as i64) + if dice(60) == 0 { 20 * MINUTE } else { 0 };
            let sides = if dice(4) == 0 { 6 } else { 40 };
            let row = match dice(sides) {
                0 => (at, None, BAD),
                1 => (at, Some(dice(50) as f64), Quality::UNCERTAIN.0),
                2 => (at, Some(f64::NAN), 0),
                _ => (at, Some(dice(100) as f64 / 4.0), 0),
            };
            rows.push(row);
        }
        // A part comes late, some twice, after everything else has become chunks.
        let late: Vec<_> = (0..rows.len()).filter(|index| index % 17 == 3).collect();
        let first: Vec<_> =
            rows.iter().enumerate().filter(|(index, _)| !late.contains(index) || index % 2 == 0).map(|(_, row)| *row).collect();
        let (early, rest) = first.split_at(first.len() * 3 / 4);
        plant.write(tag, early);
        plant.historian.ingest.compact().unwrap();
        plant.write(tag, rest);
        let again: Vec<_> = late.iter().map(|index| (rows[*index].0, rows[*index].1.map(|value| value + 1.0), rows[*index].2)).collect();
        plant.write(tag, &again);
    }
    plant
}

proptest! {
    #![proptest_config(Config { cases: 24, max_shrink_iters: 20, ..Config::default() })]

    #[test]
    fn rollups_and_compaction_change_no_aggregate(seed in any::<u64>(), start in -180_i64..60, width in 0_usize..4, reverse in any::<bool>(), uncertain in any::<bool>()) {
        let mut plant = filled(seed, 400);
        let interval = [0, MINUTE, HOUR, 90 * SECOND][width];
        let (start, end) = (start * MINUTE, start * MINUTE + 5 * HOUR + 30 * SECOND);
        let (start, end) = if reverse { (end, start) } else { (start, end) };
        let query = AggregateQuery {
            tags: plant.tags.clone(),
            intervals: Intervals::new(start, end, interval).unwrap(),
            functions: AggregateFunction::ALL.to_vec(),
            configuration: AggregateConfiguration { treat_uncertain_as_bad: uncertain, use_uncertain_values: !uncertain, ..AggregateConfiguration::default() },
            stepped: None,
            use_rollups: true,
        };
        let with = plant.aggregate(&query);
        prop_assert_eq!(with.len(), 2 * query.intervals.len() * AggregateFunction::COUNT);
        let same = with == plant.aggregate(&AggregateQuery { use_rollups: false, ..query.clone() });
        prop_assert!(same, "with rollups and without");
        plant.historian.ingest.compact().unwrap();
        let compacted = plant.aggregate(&query);
        let differs = with.iter().zip(&compacted).find(|(before, after)| before != after);
        prop_assert!(differs.is_none(), "after compaction: {:?}", differs);
        // Counts and averages by a plain reading.
        for (tag, model) in plant.model.iter().enumerate() {
            for index in 0..query.intervals.len() {
                let range = query.intervals.get(index).sample_range();
                let good: Vec<f64> = model
                    .range(range)
                    .filter(|(_, (_, quality))| Quality(*quality).is_good() || (!uncertain && !Quality(*quality).is_bad()))
                    .filter_map(|(_, (value, _))| value.filter(|value| !value.is_nan()))
                    .collect();
                let row = |function: AggregateFunction| {
                    let at = (tag * query.intervals.len() + index) * AggregateFunction::COUNT;
                    let found = &with[at..at + AggregateFunction::COUNT];
                    found.iter().find(|row| row.2 == function.name()).and_then(|row| row.3).map(f64::from_bits)
                };
                if !good.is_empty() {
                    prop_assert_eq!(row(AggregateFunction::Count), Some(good.len() as f64));
                    let mean = good.iter().sum::<f64>() / good.len() as f64;
                    prop_assert!((row(AggregateFunction::Average).unwrap() - mean).abs() < 1e-9);
                    prop_assert_eq!(row(AggregateFunction::Maximum), good.iter().copied().reduce(f64::max));
                }
            }
        }
        plant.write(0, &[(0, Some(1e6), 0)]);
        prop_assert!(plant.aggregate(&query) == plant.aggregate(&AggregateQuery { use_rollups: false, ..query.clone() }), "after late data");
    }

    #[test]
    fn rollups_and_compaction_change_no_plot(seed in any::<u64>(), start in -180_i64..60, points in 5_usize..300, method in 0_usize..5) {
        let plant = filled(seed, 500);
        let range = TimeRange::new(Timestamp(start * MINUTE), Timestamp(start * MINUTE + 6 * HOUR + 17 * SECOND));
        let query = DownsampleQuery { tags: plant.tags.clone(), range, points, method: Method::ALL[method], types: false, use_rollups: true };
        let with = plant.downsample(&query);
        let same = with == plant.downsample(&DownsampleQuery { use_rollups: false, ..query.clone() });
        prop_assert!(same, "with rollups and without");
        plant.historian.ingest.compact().unwrap();
        prop_assert!(with == plant.downsample(&query), "after compaction");
        for (tag, model) in plant.model.iter().enumerate() {
            let rows: Vec<_> = with.iter().filter(|row| row.0 == tag).collect();
            prop_assert!(rows.len() <= points, "{} rows of {points}", rows.len());
            prop_assert!(rows.windows(2).all(|pair| pair[0].1 < pair[1].1), "timestamps rise");
            if method < 3 {
                let drawn = model.range(range.start.0..range.end.0).filter(|(_, (_, quality))| !Quality(*quality).is_bad());
                let values = drawn.filter_map(|(_, (value, _))| value.filter(|value| !value.is_nan()));
                let answered: Vec<f64> = rows.iter().filter_map(|row| row.2.map(f64::from_bits)).collect();
                if let Some(most) = values.reduce(f64::max) {
                    prop_assert!(answered.iter().any(|value| *value >= most), "the largest is kept");
                }
            }
        }
    }

    #[test]
    fn sigma_counts_by_statistics_as_by_samples(seed in any::<u64>(), threshold in 1_u32..4, uncertain in any::<bool>()) {
        let plant = filled(seed, 600);
        let range = TimeRange::new(Timestamp(-HOUR), Timestamp(4 * HOUR));
        let parameters = Parameters::from([
            ("threshold".to_owned(), ParameterValue::Number(f64::from(threshold) + 0.001)),
            ("include_uncertain".to_owned(), ParameterValue::Bool(uncertain)),
        ]);
        let expected: Vec<i64> = plant.model.iter().map(|model| {
            let values: Vec<f64> = model
                .range(range.start.0..range.end.0)
                .filter(|(_, (_, quality))| Quality(*quality).is_good() || (uncertain && !Quality(*quality).is_bad()))
                .filter_map(|(_, (value, _))| value.filter(|value| !value.is_nan()))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
            values.iter().filter(|value| (**value - mean).abs() > (f64::from(threshold) + 0.001) * deviation).count() as i64
        }).collect();
        prop_assert_eq!(plant.counts(&parameters, range), expected.clone());
        plant.historian.ingest.compact().unwrap();
        prop_assert_eq!(plant.counts(&parameters, range), expected);
    }

    #[test]
    fn filled_rows_are_what_the_whole_history_tells(seed in any::<u64>(), step in 0_i64..90, end in 1_i64..70, filter in 0_usize..3) {
        let plant = filled(seed, 120);
        let filter = [QualityFilter::Any, QualityFilter::NotBad, QualityFilter::Good][filter];
        // The end is anywhere, and the answer must not show it.
        let range = TimeRange::new(Timestamp(-HOUR), Timestamp(-HOUR + end * 2 * MINUTE));
        for fill in [Fill::AsOf, Fill::Linear] {
            let query = RangeQuery {
                layout: Layout::Wide,
                fill,
                quality: filter,
                step: (step > 0).then_some(step * SECOND),
                ..RangeQuery::new(plant.tags.clone(), range)
            };
            let rows = plant.filled_rows(&query);
            let expected: Vec<i64> = if step > 0 {
                (0..).map(|number| range.start.0 + number * step * SECOND).take_while(|at| *at < range.end.0).collect()
            } else {
                let passing = |model: &'_ Model| -> Vec<i64> {
                    model.range(range.start.0..range.end.0).filter(|(_, row)| filter.passes(row.1)).map(|(at, _)| *at).collect()
                };
                let mut all: Vec<i64> = plant.model.iter().flat_map(passing).collect();
                all.sort_unstable();
                all.dedup();
                all
            };
            prop_assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), expected);
            for (at, cells) in &rows {
                for (tag, model) in plant.model.iter().enumerate() {
                    let wanted = filled_cell(model, *at, fill, filter, tag == 1);
                    let (value, quality) = cells[tag];
                    let same = match (value, wanted.0) {
                        (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-9 || (found.is_nan() && wanted.is_nan()),
                        (found, wanted) => found.is_none() && wanted.is_none(),
                    };
                    prop_assert!(same && quality == wanted.1, "tag {tag} at {at}: {:?} {quality:#x} instead of {wanted:?}", value);
                }
            }
        }
    }
}

/// The cell of a row by a plain reading of all samples of a tag.
fn filled_cell(model: &Model, at: i64, fill: Fill, filter: QualityFilter, stepped: bool) -> (Option<f64>, u32) {
    let usable = |row: &(Option<f64>, u32)| filter.passes(row.1) && !Quality(row.1).is_bad() && row.0.is_some();
    let interrupts = |row: &(Option<f64>, u32)| Quality(row.1).is_bad() || row.0.is_none();
    if let Some(there) = model.get(&at).filter(|row| filter.passes(row.1)) {
        return *there;
    }
    let Some((first, held)) = model.range(..at).rev().find(|(_, row)| usable(row)) else { return (None, Quality::BAD_NO_DATA.0) };
    let value = held.0.unwrap();
    let mut good = Quality(held.1).is_good() && !model.range(first..&at).chain(model.range(&at..=&at)).any(|(_, row)| interrupts(row));
    let mut filled = value;
    if fill == Fill::Linear && stepped {
        good &= model.range(at + 1..).next().is_some();
    } else if fill == Fill::Linear {
        match model.range(at + 1..).find(|(_, row)| usable(row)) {
            None => good = false,
            Some((second, next)) => {
                good &= Quality(next.1).is_good() && !model.range(at..*second).any(|(_, row)| interrupts(row));
                filled = value + (next.0.unwrap() - value) * ((at - first) as f64 / (second - first) as f64);
            }
        }
    }
    let severity = if good { 0 } else { Quality::UNCERTAIN_DATA_SUB_NORMAL.0 };
    (Some(filled), severity | Quality::INTERPOLATED_BITS)
}

/// Bits of the quality of a filled cell, and of one that nothing is sure of.
const FILLED: u32 = Quality::INTERPOLATED_BITS;
const UNSURE: u32 = Quality::UNCERTAIN_DATA_SUB_NORMAL.0 | FILLED;

#[test]
fn a_fill_does_not_depend_on_the_end_that_is_asked_for() {
    let mut plant = Plant::new();
    let rows: &[(i64, Option<f64>, u32)] = &[(-60 * SECOND, Some(-60.0), 0), (60 * SECOND, Some(60.0), 0), (90 * SECOND, None, BAD)];
    (0..2).for_each(|tag| plant.write(tag, rows));
    let asked = |start: i64, end: i64, step: i64, fill: Fill, quality: QualityFilter| {
        let range = TimeRange::new(Timestamp(start * SECOND), Timestamp(end * SECOND));
        let query =
            RangeQuery { layout: Layout::Wide, fill, quality, step: Some(step * SECOND), ..RangeQuery::new(plant.tags.clone(), range) };
        plant.filled_rows(&query).into_iter().map(|(_, cells)| cells).collect::<Vec<_>>()
    };
    let cells = asked(0, 50, 10, Fill::Linear, QualityFilter::Any);
    assert_eq!(cells.iter().map(|row| row[0]).collect::<Vec<_>>(), [0.0, 10.0, 20.0, 30.0, 40.0].map(|value| (Some(value), FILLED)));
    // A Bad sample stands in its row, and what was held goes on behind it without being sure.
    let told = [(Some(60.0), 0), (Some(60.0), UNSURE), (None, BAD), (Some(60.0), UNSURE)];
    assert_eq!(asked(60, 120, 15, Fill::Linear, QualityFilter::Any).iter().map(|row| row[0]).collect::<Vec<_>>(), told);
    let held = [(Some(60.0), 0), (Some(60.0), FILLED), (None, BAD), (Some(60.0), UNSURE)];
    assert_eq!(asked(60, 120, 15, Fill::AsOf, QualityFilter::Any).iter().map(|row| row[0]).collect::<Vec<_>>(), held);
    // A filter takes the Bad sample away, and does not make a Good one of its row.
    let filtered = [(Some(60.0), 0), (Some(60.0), FILLED), (Some(60.0), UNSURE), (Some(60.0), UNSURE)];
    assert_eq!(asked(60, 120, 15, Fill::AsOf, QualityFilter::Good).iter().map(|row| row[0]).collect::<Vec<_>>(), filtered);
}

#[test]
fn a_line_that_fills_is_the_value_at_an_edge() {
    let plant = filled(4_711, 150);
    for filter in [QualityFilter::Any, QualityFilter::NotBad, QualityFilter::Good] {
        let range = TimeRange::new(Timestamp(-HOUR), Timestamp(2 * HOUR));
        let query = RangeQuery {
            layout: Layout::Wide,
            fill: Fill::Linear,
            quality: filter,
            step: Some(37 * SECOND),
            ..RangeQuery::new(plant.tags.clone(), range)
        };
        for (at, cells) in plant.filled_rows(&query) {
            for (tag, cell) in cells.iter().enumerate() {
                let edge = RangeQuery {
                    boundary: Boundary::Interpolated,
                    quality: filter,
                    ..RangeQuery::new(vec![plant.tags[tag].clone()], TimeRange::new(Timestamp(at), Timestamp(at + 1)))
                };
                let mut found = (None, Quality::BAD_NO_DATA.0);
                plant
                    .engine
                    .range(&edge, &limits(u64::MAX), &mut |batch| {
                        let values = batch.column(2).as_primitive::<Float64Type>();
                        let first = batch.column(1).as_primitive::<TimestampNanosecondType>().value(0) == at;
                        if first {
                            found = (values.is_valid(0).then(|| values.value(0)), batch.column(3).as_primitive::<UInt32Type>().value(0));
                        }
                        true
                    })
                    .unwrap();
                let bits = |cell: (Option<f64>, u32)| (cell.0.map(f64::to_bits), cell.1);
                assert_eq!(bits(*cell), bits(found), "tag {tag} at {at} with {filter:?}");
            }
        }
    }
}
