//! Range in the wide layout with every cell filled: one row per timestamp that any tag has, or per step, and for each tag the value that held
//! there or lies on the line between its neighbours.

use arrow::{array::ArrayRef, buffer::NullBuffer, record_batch::RecordBatch};

use super::{
    BATCH_ROWS_MAX, Fill, QualityFilter, QueryError, QueryLimits, RangeQuery, arrow_column, boundary,
    plan::{before, from, look, nearest},
    wide,
};
use historian_model::{Quality, Sample, Samples, Tag, Timestamp, Value, ValueType, Values};
use historian_read::merge::{Cursor, TagReader};

/// Samples of a lane that are read ahead of its row, until one is looked up by itself.
const AHEAD_MAX: usize = 1 << 16;

#[expect(clippy::struct_excessive_bools, reason = "four facts about a lane that hold in any combination")]
struct FilledColumn<'a> {
    reader: &'a TagReader,
    tag: &'a Tag,
    cursor: Cursor<'a>,
    quality: QualityFilter,
    /// Whether what comes later matters, and whether a line is drawn to it.
    linear: bool,
    sloped: bool,
    range_end: Timestamp,
    /// Samples not yet passed, from `at` on; more come when one that can be used is looked for.
    ahead: Samples,
    at: usize,
    ended: bool,
    /// The last sample passed that a value can be taken from.
    held: Option<Sample>,
    /// A sample that ends what was held has been passed since.
    ended_since: bool,
    /// The first such sample behind the row, where the filter kept it back and it is no longer ahead.
    interrupted_from: Option<i64>,
    /// The last sample that is no longer ahead.
    seen_to: Option<i64>,
    /// The next one that a value can be taken from, when it lies beyond what is read ahead, with whether one that ends a line lies before
    /// it. It stays the next one until it has been passed.
    #[expect(clippy::option_option, reason = "not looked up yet, looked up in vain, found")]
    beyond: Option<Option<(Sample, bool)>>,
    /// Whether there is any sample behind the range, once that was asked.
    goes_on: Option<bool>,
    values: Values,
    qualities: Vec<u32>,
    present: Vec<bool>,
}

impl<'a> FilledColumn<'a> {
    fn open(reader: &'a TagReader, tag: &'a Tag, query: &RangeQuery, limits: &QueryLimits) -> Result<FilledColumn<'a>, QueryError> {
        let (mut held, mut ended_since) = (None, false);
        look(reader, tag, before(query.range.start), |samples, index| {
            if boundary::usable(query.quality, samples, index) {
                held = Some(samples.sample(index));
            }
            ended_since |= boundary::interrupts(samples, index);
            held.is_none() && limits.check(0).is_ok()
        })?;
        limits.check(0)?;
        let is_float = matches!(tag.value_type(), ValueType::F64 | ValueType::F32);
        Ok(FilledColumn {
            reader,
            tag,
            cursor: reader.cursor(tag, query.range).map_err(|error| QueryError::reading(tag, &error))?,
            quality: query.quality,
            linear: query.fill == Fill::Linear,
            sloped: query.fill == Fill::Linear && !tag.definition.stepped && is_float,
            range_end: query.range.end,
            ahead: Samples::new(tag.value_type()),
            at: 0,
            ended: false,
            held,
            ended_since,
            interrupted_from: None,
            seen_to: None,
            beyond: None,
            goes_on: None,
            values: Values::new(tag.value_type()),
            qualities: Vec::new(),
            present: Vec::new(),
        })
    }

    /// Reads on; false when nothing is left of the range.
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

    /// Timestamp of the next sample that passes the filter.
    fn peek(&mut self) -> Result<Option<i64>, QueryError> {
        loop {
            while self.at < self.ahead.len() {
                if self.quality.passes(self.ahead.qualities[self.at]) {
                    return Ok(Some(self.ahead.timestamps[self.at]));
                }
                // It is let go before its time; what it means for the rows until the next one is kept.
                if boundary::interrupts(&self.ahead, self.at) {
                    self.interrupted_from.get_or_insert(self.ahead.timestamps[self.at]);
                }
                self.seen_to = Some(self.ahead.timestamps[self.at]);
                self.at += 1;
            }
            if !self.fetch()? {
                return Ok(None);
            }
        }
    }

    /// Passes the next sample of those read.
    fn pass_one(&mut self) {
        if boundary::usable(self.quality, &self.ahead, self.at) {
            self.held = Some(self.ahead.sample(self.at));
            (self.ended_since, self.interrupted_from) = (false, None);
            self.beyond = None;
        } else {
            self.ended_since |= boundary::interrupts(&self.ahead, self.at);
        }
        self.seen_to = Some(self.ahead.timestamps[self.at]);
        self.at += 1;
    }

    /// Passes everything up to a timestamp, inclusive; answers the sample that lies on it, where the filter lets it through.
    fn pass(&mut self, timestamp: i64) -> Result<Option<Sample>, QueryError> {
        let mut on_it = None;
        while self.peek()?.is_some_and(|next| next <= timestamp) {
            if self.ahead.timestamps[self.at] == timestamp {
                on_it = Some(self.ahead.sample(self.at));
            }
            self.pass_one();
        }
        self.ended_since |= self.interrupted_from.is_some_and(|from| from <= timestamp);
        Ok(on_it)
    }

    /// The next sample that a value can be taken from, also behind the range, and whether one that interrupts lies before it: the
    /// range ends the answer, and not what is known.
    fn next_usable(&mut self, limits: &QueryLimits) -> Result<Option<(Sample, bool)>, QueryError> {
        if let Some(beyond) = &self.beyond {
            return Ok(beyond.clone());
        }
        let (mut seen, mut interrupted) = (0, self.interrupted_from.is_some());
        loop {
            for index in self.at + seen..self.ahead.len() {
                if boundary::usable(self.quality, &self.ahead, index) {
                    return Ok(Some((self.ahead.sample(index), interrupted)));
                }
                interrupted |= boundary::interrupts(&self.ahead, index);
            }
            seen = self.ahead.len() - self.at;
            if seen > AHEAD_MAX || !self.fetch()? {
                break;
            }
        }
        let last = self.ahead.timestamps.last().filter(|_| self.at < self.ahead.len());
        let rest = last.filter(|_| !self.ended).map_or(self.range_end, |last| Timestamp(last.saturating_add(1)));
        let mut found = None;
        look(self.reader, self.tag, from(rest), |samples, index| {
            if boundary::usable(self.quality, samples, index) {
                found = Some(samples.sample(index));
            } else {
                interrupted |= boundary::interrupts(samples, index);
            }
            found.is_none() && limits.check(0).is_ok()
        })?;
        limits.check(0)?;
        let found = found.map(|found| (found, interrupted));
        self.beyond = Some(found.clone());
        Ok(found)
    }

    /// Whether any sample follows a row, also behind the range.
    fn goes_on(&mut self, timestamp: i64) -> Result<bool, QueryError> {
        if self.peek()?.is_some() || self.seen_to.is_some_and(|seen| seen > timestamp) {
            return Ok(true);
        }
        if let Some(goes_on) = self.goes_on {
            return Ok(goes_on);
        }
        let found = nearest(self.reader, self.tag, from(self.range_end), |_, _| true)?.is_some();
        self.goes_on = Some(found);
        Ok(found)
    }

    /// Appends the cell of a row: the sample that lies there, whatever its quality, else what is known of the time between samples, in the
    /// manner of [`boundary::edge`].
    fn fill(&mut self, timestamp: i64, limits: &QueryLimits) -> Result<(), QueryError> {
        if let Some(there) = self.pass(timestamp)? {
            return self.put(there.value.as_ref(), there.quality);
        }
        let Some(held) = self.held.clone() else { return self.put(None, Quality::BAD_NO_DATA.0) };
        let mut good = Quality(held.quality).is_good() && !self.ended_since;
        let mut value = held.value.clone();
        if self.sloped {
            let next = self.next_usable(limits)?;
            // After the last sample its value is held, and that is not known to be so.
            good &= next.as_ref().is_some_and(|(next, interrupted)| Quality(next.quality).is_good() && !interrupted);
            if let (Some(first), Some((next, _))) = (&held.value, next)
                && let Some(second) = &next.value
            {
                value = Some(boundary::line(first, second, &held, &next, Timestamp(timestamp)));
            }
        } else if self.linear {
            good &= self.goes_on(timestamp)?;
        }
        let severity = if good { Quality::GOOD } else { Quality::UNCERTAIN_DATA_SUB_NORMAL };
        self.put(value.as_ref(), severity.0 | Quality::INTERPOLATED_BITS)
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
    let mut lanes = query.tags.iter().map(|tag| FilledColumn::open(reader, tag, query, limits)).collect::<Result<Vec<_>, _>>()?;
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
            lane.fill(at, limits)?;
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

fn batch(
    schema: &arrow::datatypes::SchemaRef,
    timestamps: &mut Vec<i64>,
    lanes: &mut [FilledColumn<'_>],
) -> Result<RecordBatch, QueryError> {
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
