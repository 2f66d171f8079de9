//! Range in the wide layout with every cell filled: one row per timestamp that any tag has, or per step, and for each tag the value that held
//! there or lies on the line between its neighbours.

use arrow::{array::ArrayRef, buffer::NullBuffer, record_batch::RecordBatch};

use super::{
    BATCH_ROWS_MAX, Fill, QueryError, QueryLimits, RangeQuery, arrow_column, boundary,
    plan::{before, nearest},
    wide,
};
use crate::{
    ingest::merge::{Cursor, TagReader},
    model::{Quality, Samples, Tag, Timestamp, Value, ValueType, Values},
};

/// Samples of a lane that wait because only Bad ones have come.
const AHEAD_MAX: usize = 1 << 20;

struct Lane<'a> {
    tag: &'a Tag,
    cursor: Cursor<'a>,
    /// Samples not yet passed, from `at` on; more come when a sample that is not Bad is looked for.
    ahead: Samples,
    at: usize,
    ended: bool,
    /// The last sample passed that is not Bad.
    held: Option<boundary::Sample>,
    values: Values,
    qualities: Vec<u32>,
    present: Vec<bool>,
}

fn usable(samples: &Samples, index: usize) -> bool {
    !Quality(samples.qualities[index]).is_bad() && samples.is_valid(index)
}

fn sample(samples: &Samples, index: usize) -> boundary::Sample {
    boundary::Sample { timestamp: samples.timestamps[index], value: samples.value(index), quality: samples.qualities[index] }
}

impl<'a> Lane<'a> {
    fn open(reader: &'a TagReader, tag: &'a Tag, query: &RangeQuery) -> Result<Lane<'a>, QueryError> {
        let held = nearest(reader, tag, before(query.range.start), usable)?.map(|found| sample(&found, 0));
        Ok(Lane {
            tag,
            cursor: reader.cursor(tag, query.range).map_err(|error| QueryError::reading(tag, &error))?,
            ahead: Samples::new(tag.value_type()),
            at: 0,
            ended: false,
            held,
            values: Values::new(tag.value_type()),
            qualities: Vec::new(),
            present: Vec::new(),
        })
    }

    /// Reads on; false when nothing is left.
    fn fetch(&mut self) -> Result<bool, QueryError> {
        if self.ended {
            return Ok(false);
        }
        if self.at == self.ahead.len() {
            self.ahead.clear();
            self.at = 0;
        }
        self.ended = !self.cursor.next_into(&mut self.ahead).map_err(|error| QueryError::reading(self.tag, &error))?;
        Ok(!self.ended)
    }

    /// Timestamp of the next sample, of any quality.
    fn peek(&mut self) -> Result<Option<i64>, QueryError> {
        while self.at == self.ahead.len() {
            if !self.fetch()? {
                return Ok(None);
            }
        }
        Ok(Some(self.ahead.timestamps[self.at]))
    }

    /// Passes everything up to a timestamp, inclusive.
    fn pass(&mut self, timestamp: i64) -> Result<(), QueryError> {
        while self.peek()?.is_some_and(|next| next <= timestamp) {
            if usable(&self.ahead, self.at) {
                self.held = Some(sample(&self.ahead, self.at));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The next sample that is not Bad.
    fn next_usable(&mut self) -> Result<Option<boundary::Sample>, QueryError> {
        let mut index = self.at;
        loop {
            if let Some(found) = (index..self.ahead.len()).find(|index| usable(&self.ahead, *index)) {
                return Ok(Some(sample(&self.ahead, found)));
            }
            index = self.ahead.len();
            if index - self.at > AHEAD_MAX {
                return Ok(None);
            }
            let restarted = self.at == self.ahead.len();
            if !self.fetch()? {
                return Ok(None);
            }
            if restarted {
                index = 0;
            }
        }
    }

    /// Appends the cell of a row.
    fn fill(&mut self, timestamp: i64, fill: Fill) -> Result<(), QueryError> {
        self.pass(timestamp)?;
        let sloped =
            fill == Fill::Linear && !self.tag.definition.stepped && matches!(self.tag.value_type(), ValueType::F64 | ValueType::F32);
        let cell = match &self.held {
            None => None,
            Some(held) if held.timestamp == timestamp => Some(held.clone()),
            Some(held) => {
                let held = held.clone();
                let next = if sloped { self.next_usable()? } else { None };
                let good = Quality(held.quality).is_good() && next.as_ref().is_none_or(|next| Quality(next.quality).is_good());
                let value = match (&held.value, next) {
                    (Some(first), Some(next)) => next
                        .value
                        .as_ref()
                        .map(|second| boundary::line(first, second, &held, &next, Timestamp(timestamp)))
                        .or_else(|| held.value.clone()),
                    (value, _) => value.clone(),
                };
                let severity = if good { Quality::GOOD } else { Quality::UNCERTAIN_DATA_SUB_NORMAL };
                Some(boundary::Sample { timestamp, value, quality: severity.0 | Quality::INTERPOLATED_BITS })
            }
        };
        let cell = cell.unwrap_or(boundary::Sample { timestamp, value: None, quality: Quality::BAD_NO_DATA.0 });
        self.put(cell.value.as_ref(), cell.quality)
    }

    fn put(&mut self, value: Option<&Value>, quality: u32) -> Result<(), QueryError> {
        match value {
            Some(value) => self.values.push_value(value).map_err(|error| QueryError::Store(error.to_string()))?,
            None => self.values.push_default(),
        }
        self.qualities.push(quality);
        self.present.push(value.is_some());
        Ok(())
    }
}

pub fn run(
    reader: &TagReader,
    query: &RangeQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let schema = wide::schema(query)?;
    let rows_max = (wide::BATCH_CELLS_MAX / query.tags.len().max(1)).clamp(1, BATCH_ROWS_MAX);
    let mut lanes = query.tags.iter().map(|tag| Lane::open(reader, tag, query)).collect::<Result<Vec<_>, _>>()?;
    let (mut timestamps, mut rows) = (Vec::new(), 0);
    let mut left = query.limit.unwrap_or(u64::MAX);
    let mut stepped = query.step.map(|_| query.range.start.0);
    while left > 0 {
        let at = match (query.step, stepped) {
            (Some(step), Some(at)) => {
                stepped = at.checked_add(step);
                (at < query.range.end.0).then_some(at)
            }
            (Some(_), None) => None,
            (None, _) => {
                let mut first = None;
                for lane in &mut lanes {
                    first = match (first, lane.peek()?) {
                        (Some(first), Some(next)) => Some(next.min(first)),
                        (first, next) => first.or(next),
                    };
                }
                first
            }
        };
        let Some(at) = at else { break };
        for lane in &mut lanes {
            lane.fill(at, query.fill)?;
        }
        timestamps.push(at);
        (rows, left) = (rows + 1, left - 1);
        if timestamps.len() >= rows_max {
            limits.check(rows)?;
            if !emit(batch(&schema, &mut timestamps, &mut lanes)?) {
                return Ok(());
            }
        }
    }
    limits.check(rows)?;
    if !timestamps.is_empty() {
        emit(batch(&schema, &mut timestamps, &mut lanes)?);
    }
    Ok(())
}

fn batch(schema: &arrow::datatypes::SchemaRef, timestamps: &mut Vec<i64>, lanes: &mut [Lane<'_>]) -> Result<RecordBatch, QueryError> {
    let failed = |error| QueryError::Store(format!("a batch could not be formed: {error}"));
    let mut columns: Vec<ArrayRef> = vec![arrow_column::timestamps(std::mem::take(timestamps))];
    for lane in lanes {
        let value_type = lane.values.value_type();
        let values = std::mem::replace(&mut lane.values, Values::new(value_type));
        columns.push(arrow_column::values(values, Some(NullBuffer::from(std::mem::take(&mut lane.present)))).map_err(failed)?);
        columns.push(arrow_column::qualities(std::mem::take(&mut lane.qualities), None));
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(failed)
}
