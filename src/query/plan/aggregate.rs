//! Aggregates: intervals of a tag are fed with states where these are enough, and with samples where not.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, StringArray, UInt32Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use historian_format::rollup::RollupState;

use super::{
    neighbour::{before, from, look},
    operator::{Batcher, Operator, WorkUnit, batch, named, names, times},
    parallel::Put,
    piece::{self, ASIDE_MAX, Piece, PieceOptions},
};
use crate::{QueryError, QueryLimits, arrow_column, portion::Rows, schema::metadata};
use historian_model::{Quality, Samples, Tag, TimeRange, Timestamp};
use historian_operators::aggregate::{
    After, AggregateConfiguration, AggregateError, AggregateFunction, AggregateSample, AggregateValue, Before, Evaluator, Intervals,
    Lookups, Needs, parts,
};
use historian_read::merge::TagReader;

/// An aggregate query whose tags, times and functions are resolved.
#[derive(Clone, Debug)]
pub struct AggregateQuery {
    pub tags: Vec<Arc<Tag>>,
    pub intervals: Intervals,
    pub functions: Vec<AggregateFunction>,
    pub configuration: AggregateConfiguration,
    /// Whether values hold until the next sample; `None`: as each tag says.
    pub stepped: Option<bool>,
    /// False: everything is made of samples. The answer is the same.
    pub use_rollups: bool,
}

impl AggregateQuery {
    fn configuration_for(&self, tag: &Tag) -> AggregateConfiguration {
        AggregateConfiguration { stepped: self.stepped.unwrap_or(tag.definition.stepped), ..self.configuration }
    }

    /// The bounds, and their order.
    pub fn range(&self) -> TimeRange {
        let (first, last) = (self.intervals.get(0), self.intervals.get(self.intervals.len() - 1));
        TimeRange {
            start: Timestamp(first.early.min(last.early)),
            end: Timestamp(first.late.max(last.late)),
            reverse: self.intervals.is_reverse(),
        }
    }
}

/// Answers of one unit of work at most.
const PART_ANSWERS: usize = 32_768;

/// Columns tag, timestamp, function, value, quality. The configuration is in the schema's metadata.
fn schema(query: &AggregateQuery) -> SchemaRef {
    let fields = vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", arrow_column::timestamp_type(), false),
        Field::new_dictionary("function", DataType::Int32, DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", DataType::UInt32, false),
    ];
    let mut metadata: HashMap<String, String> = metadata(&query.tags, Some(query.range()));
    let AggregateConfiguration {
        treat_uncertain_as_bad,
        percent_data_bad,
        percent_data_good,
        use_sloped_extrapolation,
        use_uncertain_values,
        ..
    } = query.configuration;
    let configuration = serde_json::json!({
        "treat_uncertain_as_bad": treat_uncertain_as_bad,
        "percent_data_bad": percent_data_bad,
        "percent_data_good": percent_data_good,
        "use_sloped_extrapolation": use_sloped_extrapolation,
        "use_uncertain_values": use_uncertain_values,
        "stepped": query.stepped,
    });
    metadata.insert("configuration".to_owned(), configuration.to_string());
    let bounding: serde_json::Map<_, _> =
        query.functions.iter().map(|function| (function.name().to_owned(), function.bounds().name().into())).collect();
    metadata.insert("bounding".to_owned(), serde_json::Value::Object(bounding).to_string());
    metadata.extend(note(query).map(|note| ("note".to_owned(), note)));
    Arc::new(Schema::new(fields).with_metadata(metadata))
}

/// What the asker may not expect.
fn note(query: &AggregateQuery) -> Option<String> {
    let stepped = query.tags.iter().filter(|tag| query.configuration_for(tag).stepped);
    let names: Vec<&str> = stepped.map(|tag| tag.name().as_str()).collect();
    if names.is_empty() || !query.functions.contains(&AggregateFunction::TimeAverage) {
        return None;
    }
    let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
    let names = names[..names.len().min(3)].join(", ");
    Some(format!(
        "time_average draws straight lines between samples, as the examples of OPC UA Part 13 do, also of stepped tags ({names}{more}), whose \
         values hold; time_average2 takes them as they hold"
    ))
}

/// Answers in columns.
#[derive(Debug, Default)]
pub struct AggregateRows {
    tags: Vec<i32>,
    pub timestamps: Vec<i64>,
    /// Places among the functions of the query.
    pub functions: Vec<i32>,
    pub values: Vec<Option<f64>>,
    pub qualities: Vec<u32>,
}

impl Rows for AggregateRows {
    fn len(&self) -> usize {
        self.timestamps.len()
    }

    fn row_bytes(&self) -> usize {
        36
    }
}

impl Operator for AggregateQuery {
    type Shared = ();
    type Part = Vec<AggregateValue>;
    type Rows = AggregateRows;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.tags
    }

    fn of_tag(&self, tag: &Arc<Tag>) -> AggregateQuery {
        AggregateQuery { tags: vec![tag.clone()], ..self.clone() }
    }

    fn schema(&self) -> SchemaRef {
        schema(self)
    }

    fn prepare(&self, _reader: &TagReader) -> Result<(), QueryError> {
        Ok(())
    }

    fn units(&self) -> Vec<WorkUnit> {
        let count = self.intervals.len();
        WorkUnit::intervals(self.tags.len(), count, (PART_ANSWERS / self.functions.len().max(1)).clamp(1, count.max(1)))
    }

    fn work(
        &self,
        (): &(),
        reader: &TagReader,
        unit: &WorkUnit,
        limits: &QueryLimits,
        put: Put<'_, Vec<AggregateValue>>,
    ) -> Result<(), QueryError> {
        put(evaluate(reader, &self.tags[unit.tag], self, self.intervals.part(unit.part.clone()), limits)?);
        Ok(())
    }

    fn weight(answers: &Vec<AggregateValue>) -> usize {
        size_of_val(&answers[..])
    }

    fn append(&self, rows: &mut AggregateRows, tag: usize, answers: Vec<AggregateValue>) {
        let count = self.functions.len();
        for (index, answer) in answers.iter().enumerate() {
            rows.tags.push(tag as i32);
            rows.timestamps.push(answer.timestamp);
            // The functions of each interval come in the order in which they were asked for.
            rows.functions.push((index % count) as i32);
            rows.values.push(answer.value);
            rows.qualities.push(answer.quality);
        }
    }

    fn batcher(&self) -> Batcher<'_, AggregateRows> {
        let (schema, tags) = (schema(self), names(&self.tags));
        let functions: ArrayRef = Arc::new(StringArray::from_iter_values(self.functions.iter().map(|function| function.name())));
        Box::new(move |rows| {
            let columns = vec![
                named(rows.tags, &tags)?,
                times(rows.timestamps),
                named(rows.functions, &functions)?,
                Arc::new(Float64Array::from(rows.values)) as ArrayRef,
                Arc::new(UInt32Array::from(rows.qualities)),
            ];
            batch(&schema, columns)
        })
    }
}

/// The answers of one tag in some intervals.
pub(super) fn evaluate(
    reader: &TagReader,
    tag: &Tag,
    query: &AggregateQuery,
    intervals: Intervals,
    limits: &QueryLimits,
) -> Result<Vec<AggregateValue>, QueryError> {
    let configuration = query.configuration_for(tag);
    let failed = |error: AggregateError| QueryError::Store(format!("tag {}: {error}", tag.name()));
    let range = intervals.sample_range();
    let usable = |samples: &Samples, index: usize| {
        let is_nan = samples.value(index).and_then(|value| value.as_f64()).is_some_and(f64::is_nan);
        configuration.is_usable(Quality(samples.qualities[index]), samples.is_valid(index) && !is_nan)
    };

    let lookups = Lookups::of(&query.functions, configuration);
    let mut earlier = Before::default();
    let mut known = 0;
    if lookups.neighbours || lookups.usable_before > 0 {
        look(reader, tag, before(Timestamp(range.start)), |samples, index| {
            let sample = AggregateSample::at(samples, index);
            earlier.last = earlier.last.or(Some(sample));
            if known < lookups.usable_before && usable(samples, index) {
                earlier.usable[known] = Some(sample);
                known += 1;
            }
            known < lookups.usable_before
        })?;
    }

    // In the order of time: samples come so, whatever the direction of the intervals.
    let count = intervals.len();
    let ranges: Vec<std::ops::Range<i64>> =
        (0..count).map(|place| intervals.get(if intervals.is_reverse() { count - 1 - place } else { place }).sample_range()).collect();
    let mut evaluator =
        Evaluator::new(&query.functions, configuration, intervals, tag.value_type(), earlier).map_err(|error| match error {
            AggregateError::NoFunctions | AggregateError::Configuration(_) => QueryError::Invalid(error.to_string()),
            error => failed(error),
        })?;
    if query.functions.contains(&AggregateFunction::AnnotationCount) {
        evaluator = evaluator.with_annotations(reader.annotation_starts(tag.id, range.start, range.end));
    }
    let edges: Vec<i64> = ranges.iter().map(|range| range.start).chain(ranges.last().map(|range| range.end)).collect();
    feed_states(reader, tag, query, &edges, &mut evaluator, limits)?;

    let after = from(Timestamp(range.end));
    let mut later = After::default();
    if lookups.neighbours || lookups.usable_after {
        look(reader, tag, after, |samples, index| {
            let sample = AggregateSample::at(samples, index);
            later.first = later.first.or(Some(sample));
            if usable(samples, index) {
                later.usable = Some(sample);
            }
            lookups.usable_after && later.usable.is_none()
        })?;
    }
    Ok(evaluator.finish(later).map_err(failed)?.answers)
}

/// Feeds an evaluator with the states of the intervals, and with the samples of those for which the state is not enough.
fn feed_states(
    reader: &TagReader,
    tag: &Tag,
    query: &AggregateQuery,
    edges: &[i64],
    evaluator: &mut Evaluator,
    limits: &QueryLimits,
) -> Result<(), QueryError> {
    let failed = |error: AggregateError| QueryError::Store(format!("tag {}: {error}", tag.name()));
    let mut states: Vec<(usize, RollupState)> = Vec::new();
    let needed = parts(&query.functions, tag.value_type());
    piece::read(
        reader,
        tag,
        edges,
        PieceOptions { rollups: query.use_rollups, parts: needed, fold_edges: true },
        limits,
        &mut |interval, piece| {
            // Edges come as states, too.
            let Piece::State(next) = piece else { return Ok(()) };
            match states.last_mut() {
                Some((at, state)) if *at == interval => state.merge(next, tag.value_type()),
                _ => states.push((interval, *next)),
            }
            Ok(())
        },
    )?;
    let mut at = 0;
    while let Some((_, state)) = states.get(at) {
        let needs = |state: &RollupState| evaluator.needs(state) == Needs::Samples;
        if !needs(state) {
            let _nothing = evaluator.push_state(state).map_err(failed)?;
            at += 1;
            continue;
        }
        let run = &states[at..at + together(&states[at..], needs)];
        let (first, last) = (run[0].0, run[run.len() - 1].0);
        let (mut next, mut open, mut wanted) = (0, None, true);
        let range = TimeRange { start: Timestamp(edges[first]), end: Timestamp(edges[last + 1]), reverse: false };
        piece::samples(reader, tag, &edges[first..=last + 1], first, range, limits, &mut |interval, piece| {
            let Piece::Samples(samples, rows) = piece else { return Ok(()) };
            if open != Some(interval) {
                (open, wanted) = (Some(interval), true);
                while let Some((at, state)) = run.get(next).filter(|(at, _)| *at <= interval) {
                    next += 1;
                    if *at == interval {
                        wanted = evaluator.push_state(state).map_err(failed)? == Needs::Samples;
                    } else if evaluator.needs(state) == Needs::Nothing {
                        let _nothing = evaluator.push_state(state).map_err(failed)?;
                    }
                }
            }
            if wanted { evaluator.push(samples, rows).map_err(failed) } else { Ok(()) }
        })?;
        at += run.len();
    }
    Ok(())
}

/// How many of these states, from the first to the last that needs its samples, are best read in one go.
fn together(states: &[(usize, RollupState)], needs: impl Fn(&RollupState) -> bool) -> usize {
    let (mut end, mut aside) = (0, 0);
    for (index, (_, state)) in states.iter().enumerate() {
        if needs(state) {
            (end, aside) = (index + 1, 0);
        } else {
            aside += state.count;
        }
        if aside > ASIDE_MAX {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use historian_format::{Samples, Value, ValueType};

    use super::*;

    #[test]
    fn intervals_that_need_their_samples_are_read_in_one_go_unless_far_apart() {
        let mut one = Samples::new(ValueType::F64);
        one.push(0, Some(&Value::F64(1.0)), 0).unwrap();
        let one = RollupState::of(&one, 0..1).unwrap();
        // By count of samples; those that need them are negative.
        let together = |counts: &[i64]| {
            let state = |count: i64| {
                let mut state = one;
                (state.count, state.good_count) = (count.unsigned_abs(), u64::from(count > 0));
                state
            };
            let states: Vec<_> = counts.iter().map(|count| state(*count)).enumerate().collect();
            together(&states, |state| state.good_count == 0)
        };
        assert_eq!(together(&[-60]), 1);
        assert_eq!(together(&[-60, 60, 60]), 1);
        assert_eq!(together(&[-60, 60, -60, -60, 60]), 4);
        assert_eq!(together(&[-60, 16_384, -60, 16_384, -60, 60]), 5);
        assert_eq!(together(&[-60, 16_385, -60]), 1);
        assert_eq!(together(&[-60, -60, 8_000, 8_385, -60]), 2);
    }
}
