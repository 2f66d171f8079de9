//! As-of joins: what each tag's sample was at given times. Where times are dense the samples between them are read through; where they are
//! far apart each is looked up by itself.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, TimestampNanosecondArray},
    buffer::{NullBuffer, ScalarBuffer},
    datatypes::{DataType, Field},
};

use super::{
    meter::kpi_error,
    neighbour::look,
    parallel::{Workers, in_order},
};
use crate::{QueryError, QueryLimits, arrow_column, schema};
use historian_model::{Quality, Samples, Tag, TimeRange, Timestamp};
use historian_operators::kpi::{AsOf, AsOfSample, Eligible};
use historian_read::merge::TagReader;

/// Tags of one join at most.
pub const AS_OF_TAGS_MAX: usize = 1_000;

/// An as-of join whose tags are resolved.
#[derive(Clone, Debug)]
pub struct AsOfQuery {
    pub tags: Vec<Arc<Tag>>,
    /// In any order, also repeated.
    pub times: Vec<i64>,
    /// Samples older than this are not joined; `None` takes any age.
    pub tolerance_ns: Option<u64>,
    pub eligible: Eligible,
}

/// The samples of one tag, one for each time.
#[derive(Clone, Debug)]
pub struct AsOfSamples {
    /// With a null of quality `BadNoData` at the time asked where there is none.
    pub samples: Samples,
    /// Which there are.
    pub found: Vec<bool>,
}

impl AsOfSamples {
    /// The columns that [`as_of_fields`] names.
    ///
    /// # Errors
    /// When texts are not UTF-8, which the format rules out.
    pub fn into_arrays(self) -> Result<[ArrayRef; 3], QueryError> {
        let nulls = NullBuffer::from(self.found);
        let values = arrow_column::values(self.samples.values, arrow_column::nulls(self.samples.validity));
        let values = values.map_err(|error| QueryError::Store(format!("a column could not be formed: {error}")))?;
        let times = TimestampNanosecondArray::new(ScalarBuffer::from(self.samples.timestamps), Some(nulls.clone())).with_timezone("UTC");
        Ok([values, Arc::new(times), arrow_column::qualities(self.samples.qualities, Some(nulls))])
    }
}

/// Columns `<tag>`, `<tag>#timestamp`, `<tag>#quality`; all null where no sample is joined.
pub fn as_of_fields(tag: &Tag, states: bool) -> [Field; 3] {
    let name = tag.name();
    [
        Field::new(name.as_str(), arrow_column::data_type(tag.value_type()), true).with_metadata(schema::tag_metadata(tag, states)),
        Field::new(format!("{name}#timestamp"), arrow_column::timestamp_type(), true),
        Field::new(format!("{name}#quality"), DataType::UInt32, true),
    ]
}

/// The answers tag by tag; one of a tag that is damaged is its error.
pub fn run(
    reader: &TagReader,
    threads: usize,
    query: &AsOfQuery,
    limits: &QueryLimits,
) -> Result<Vec<Result<AsOfSamples, QueryError>>, QueryError> {
    if query.tags.len() > AS_OF_TAGS_MAX {
        return Err(QueryError::Invalid(format!("{} tags are too many for one join, at most {AS_OF_TAGS_MAX}", query.tags.len())));
    }
    let mut answers = Vec::with_capacity(query.tags.len());
    let mut taken = Vec::with_capacity(query.tags.len());
    let bytes = |answer: &Result<AsOfSamples, QueryError>| answer.as_ref().map_or(0, |held| held.samples.heap_bytes() + held.found.len());
    in_order(
        Workers { threads, limits },
        &query.tags,
        bytes,
        |tag, put| {
            let answer = match join(reader, tag, query, limits) {
                Err(error @ QueryError::DataLoss { .. }) => Err(error),
                Err(error) => return Err(error),
                Ok(held) => Ok(held),
            };
            put(answer);
            Ok(())
        },
        |answer| {
            taken.push(limits.memory.take(bytes(&answer) as u64)?);
            answers.push(answer);
            Ok(true)
        },
    )?;
    Ok(answers)
}

fn join(reader: &TagReader, tag: &Tag, query: &AsOfQuery, limits: &QueryLimits) -> Result<AsOfSamples, QueryError> {
    let failed = |error| QueryError::reading(tag, &error);
    let refused = |error: historian_operators::kpi::KpiError| kpi_error(tag, &error);
    let mut held = AsOfSamples { samples: Samples::new(tag.value_type()), found: Vec::with_capacity(query.times.len()) };
    if query.times.is_empty() {
        return Ok(held);
    }
    let mut join = AsOf::new(tag.value_type(), &query.times, query.tolerance_ns, query.eligible).map_err(refused)?;
    let last = join.read_to().saturating_add(1);
    let mut portion = Samples::new(tag.value_type());
    'times: while let Some(time) = join.next_time() {
        limits.check(0)?;
        // The sample that holds at this time, unless it has been seen.
        let oldest = query.tolerance_ns.map_or(i64::MIN, |tolerance| time.saturating_sub_unsigned(tolerance));
        let seen = join.pushed_to();
        let oldest = seen.map_or(oldest, |seen| oldest.max(seen.saturating_add(1)));
        let mut found = None;
        look(
            reader,
            tag,
            TimeRange { start: Timestamp(oldest), end: Timestamp(time.saturating_add(1)), reverse: true },
            |samples, row| {
                if query.eligible.takes(samples, row) {
                    found = Some(samples.take(&[row as u32]));
                }
                found.is_none() && limits.check(0).is_ok()
            },
        )?;
        limits.check(0)?;
        if let Some(found) = found {
            join.push(&found, 0..1).map_err(refused)?;
        }
        // Onwards, for as long as times are met.
        let ahead = TimeRange::new(Timestamp(time.saturating_add(1)), Timestamp(last.max(time.saturating_add(1))));
        let mut cursor = reader.look(tag, ahead).map_err(failed)?;
        portion.clear();
        while cursor.next_into(&mut portion).map_err(failed)? {
            limits.check(0)?;
            let waiting = join.next_time();
            join.push(&portion, 0..portion.len()).map_err(refused)?;
            portion.clear();
            if waiting == join.next_time() {
                continue 'times;
            }
        }
        break;
    }
    for (time, joined) in query.times.iter().zip(join.finish()) {
        held.found.push(joined.is_some());
        let pushed = match joined {
            Some(AsOfSample { sample, .. }) => held.samples.push(sample.timestamp, sample.value.as_ref(), sample.quality),
            None => held.samples.push(*time, None, Quality::BAD_NO_DATA.0),
        };
        pushed.map_err(|error| QueryError::Store(error.to_string()))?;
    }
    Ok(held)
}
