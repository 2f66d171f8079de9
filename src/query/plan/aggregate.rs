//! Aggregates: intervals of a tag are fed with states where these are enough, and with samples where not.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampNanosecondArray, UInt32Array},
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use historian_format::rollup::RollupState;

use super::{
    neighbour::{before, from, look},
    parallel::{Workers, in_order},
    piece::{self, ASIDE_MAX, Piece, Source},
};
use crate::{BATCH_ROWS_MAX, QueryError, QueryLimits, arrow_column, schema};
use historian_model::{Quality, Samples, Tag, TimeRange, Timestamp};
use historian_operators::aggregate::{
    After, AggregateError, Answer, Before, Configuration, Evaluator, Function, Intervals, Lookups, Needs, Neighbour, parts,
};
use historian_read::merge::TagReader;

/// An aggregate query whose tags, times and functions are resolved.
#[derive(Clone, Debug)]
pub struct AggregateQuery {
    pub tags: Vec<Arc<Tag>>,
    pub intervals: Intervals,
    pub functions: Vec<Function>,
    pub configuration: Configuration,
    /// Whether values hold until the next sample; `None`: as each tag says.
    pub stepped: Option<bool>,
    /// False: everything is made of samples. The answer is the same.
    pub use_rollups: bool,
}

impl AggregateQuery {
    fn configuration_for(&self, tag: &Tag) -> Configuration {
        Configuration { stepped: self.stepped.unwrap_or(tag.definition.stepped), ..self.configuration }
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
pub fn aggregate_schema(query: &AggregateQuery) -> SchemaRef {
    let fields = vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", arrow_column::timestamp_type(), false),
        Field::new_dictionary("function", DataType::Int32, DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", DataType::UInt32, false),
    ];
    let mut metadata: HashMap<String, String> = schema::metadata(&query.tags, Some(query.range()));
    let Configuration {
        treat_uncertain_as_bad, percent_data_bad, percent_data_good, use_sloped_extrapolation, use_uncertain_values, ..
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
    if names.is_empty() || !query.functions.contains(&Function::TimeAverage) {
        return None;
    }
    let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
    let names = names[..names.len().min(3)].join(", ");
    Some(format!(
        "time_average draws straight lines between samples, as the examples of OPC UA Part 13 do, also of stepped tags ({names}{more}), whose \
         values hold; time_average2 takes them as they hold"
    ))
}

/// One tag, some of the intervals.
struct Unit {
    tag: usize,
    part: std::ops::Range<usize>,
}

pub fn run(
    reader: &TagReader,
    threads: usize,
    query: &AggregateQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let count = query.intervals.len();
    let per_part = (PART_ANSWERS / query.functions.len().max(1)).clamp(1, count.max(1));
    let units: Vec<Unit> = (0..query.tags.len())
        .flat_map(|tag| (0..count).step_by(per_part).map(move |at| Unit { tag, part: at..(at + per_part).min(count) }))
        .collect();
    let mut rows = Rows::new(query);
    let (mut total, mut reading) = (0, true);
    in_order(
        Workers { threads, memory: &limits.memory },
        &units,
        |(_, answers): &(usize, Vec<Answer>)| size_of_val(&answers[..]),
        |unit, put| {
            limits.check(0)?;
            let tag = &query.tags[unit.tag];
            put((unit.tag, evaluate(reader, tag, query, query.intervals.part(unit.part.clone()), limits)?));
            Ok(())
        },
        |(tag, answers)| {
            total += answers.len() as u64;
            limits.check(total)?;
            rows.append(tag, &answers, query);
            if rows.len() >= BATCH_ROWS_MAX {
                reading = rows.emit(emit)?;
            }
            Ok(reading)
        },
    )?;
    if reading && rows.len() > 0 {
        rows.emit(emit)?;
    }
    Ok(())
}

/// The answers of one tag in some intervals.
pub(super) fn evaluate(
    reader: &TagReader,
    tag: &Tag,
    query: &AggregateQuery,
    intervals: Intervals,
    limits: &QueryLimits,
) -> Result<Vec<Answer>, QueryError> {
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
            let sample = Neighbour::at(samples, index);
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
    let edges: Vec<i64> = ranges.iter().map(|range| range.start).chain(ranges.last().map(|range| range.end)).collect();
    feed_states(reader, tag, query, &edges, &mut evaluator, limits)?;

    let after = from(Timestamp(range.end));
    let mut later = After::default();
    if lookups.neighbours || lookups.usable_after {
        look(reader, tag, after, |samples, index| {
            let sample = Neighbour::at(samples, index);
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
        Source { rollups: query.use_rollups, parts: needed, fold_edges: true },
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
        piece::samples(reader, tag, &edges[first..=last + 1], first, (edges[first], edges[last + 1]), limits, &mut |interval, piece| {
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

/// Rows of answers on their way to a batch.
struct Rows {
    schema: SchemaRef,
    names: ArrayRef,
    functions: ArrayRef,
    tags: Vec<i32>,
    timestamps: Vec<i64>,
    function: Vec<i32>,
    values: Vec<Option<f64>>,
    qualities: Vec<u32>,
}

impl Rows {
    fn new(query: &AggregateQuery) -> Rows {
        let names: StringArray = query.tags.iter().map(|tag| Some(tag.name().as_str())).collect();
        let functions: StringArray = query.functions.iter().map(|function| Some(function.name())).collect();
        Rows {
            schema: aggregate_schema(query),
            names: Arc::new(names),
            functions: Arc::new(functions),
            tags: Vec::new(),
            timestamps: Vec::new(),
            function: Vec::new(),
            values: Vec::new(),
            qualities: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.tags.len()
    }

    fn append(&mut self, tag: usize, answers: &[Answer], query: &AggregateQuery) {
        let count = query.functions.len();
        for (index, answer) in answers.iter().enumerate() {
            self.tags.push(tag as i32);
            self.timestamps.push(answer.timestamp);
            // The functions of each interval come in the order in which they were asked for.
            self.function.push((index % count) as i32);
            self.values.push(answer.value);
            self.qualities.push(answer.quality);
        }
    }

    fn emit(&mut self, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<bool, QueryError> {
        let failed = |error: arrow::error::ArrowError| QueryError::Store(format!("a batch could not be formed: {error}"));
        let dictionary = |keys: Vec<i32>, values: &ArrayRef| {
            DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values.clone()).map(|array| Arc::new(array) as ArrayRef)
        };
        let columns = vec![
            dictionary(std::mem::take(&mut self.tags), &self.names).map_err(failed)?,
            Arc::new(TimestampNanosecondArray::from(std::mem::take(&mut self.timestamps)).with_timezone("UTC")),
            dictionary(std::mem::take(&mut self.function), &self.functions).map_err(failed)?,
            Arc::new(Float64Array::from(std::mem::take(&mut self.values))),
            Arc::new(UInt32Array::from(std::mem::take(&mut self.qualities))),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(failed)?;
        Ok(crate::range::slices(&batch).all(emit))
    }
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
