//! Samples of one tag in a range with its edges treated as the query asks: the source of both layouts.

use super::{
    Boundary, QualityFilter, QueryError, RangeQuery,
    plan::{self, before, from},
};
use crate::{
    ingest::merge::{Cursor, TagReader},
    model::{Quality, Samples, Tag, TimeRange, Timestamp, Value, ValueType},
};

/// One sample by itself.
#[derive(Clone, Debug)]
pub struct Sample {
    pub timestamp: i64,
    pub value: Option<Value>,
    pub quality: u32,
}

/// Samples of one tag, a portion at a time, in the direction of the query.
pub struct Source<'a> {
    tag: &'a Tag,
    cursor: Cursor<'a>,
    quality: QualityFilter,
    /// What the cursor gave, before the filter.
    unfiltered: Samples,
    /// Comes before the cursor's samples, and after them.
    lead: Option<Sample>,
    trail: Option<Sample>,
}

impl<'a> Source<'a> {
    pub fn open(reader: &'a TagReader, tag: &'a Tag, query: &RangeQuery) -> Result<Source<'a>, QueryError> {
        Source::resume(reader, tag, query, None)
    }

    /// As [`Source::open`], from behind the row with the timestamp `after` on.
    pub fn resume(reader: &'a TagReader, tag: &'a Tag, query: &RangeQuery, after: Option<i64>) -> Result<Source<'a>, QueryError> {
        let failed = |error| QueryError::reading(tag, &error);
        let range = query.range;
        let (at_start, at_end) = match query.boundary {
            Boundary::Inside => (None, None),
            Boundary::Outside => (nearest(reader, tag, before(range.start), Any)?, nearest(reader, tag, from(range.end), Any)?),
            Boundary::Interpolated => (edge(reader, tag, range.start)?, edge(reader, tag, range.end)?),
        };
        let (mut lead, mut trail) = if range.reverse { (at_end, at_start) } else { (at_start, at_end) };
        let mut rest = range;
        if let Some(after) = after {
            // The first row of a tag is the one at its edge, where there is one.
            lead = None;
            trail = trail.filter(|trail| if range.reverse { trail.timestamp < after } else { trail.timestamp > after });
            let next = Timestamp(if range.reverse { after } else { after.saturating_add(1) }).clamp(range.start, range.end);
            rest = if range.reverse { TimeRange { end: next, ..range } } else { TimeRange { start: next, ..range } };
        }
        let cursor = reader.cursor(tag, rest).map_err(failed)?;
        Ok(Source { tag, cursor, quality: query.quality, unfiltered: Samples::new(tag.value_type()), lead, trail })
    }

    pub fn value_type(&self) -> ValueType {
        self.tag.value_type()
    }

    /// Appends the next portion; false when nothing is left.
    pub fn next_into(&mut self, out: &mut Samples) -> Result<bool, QueryError> {
        if let Some(lead) = self.lead.take() {
            return self.push(&lead, out);
        }
        let before = out.len();
        while self.read(out)? {
            if out.len() > before {
                return Ok(true);
            }
        }
        match self.trail.take() {
            Some(trail) => self.push(&trail, out),
            None => Ok(false),
        }
    }

    /// Appends what the filter leaves of the cursor's next portion, which may be nothing; false when there is none.
    fn read(&mut self, out: &mut Samples) -> Result<bool, QueryError> {
        let failed = |error| QueryError::reading(self.tag, &error);
        if self.quality == QualityFilter::Any {
            return self.cursor.next_into(out).map_err(failed);
        }
        self.unfiltered.clear();
        if !self.cursor.next_into(&mut self.unfiltered).map_err(failed)? {
            return Ok(false);
        }
        let passes = |index: &u32| self.quality.passes(self.unfiltered.qualities[*index as usize]);
        let rows: Vec<u32> = (0..self.unfiltered.len() as u32).filter(passes).collect();
        out.append(&self.unfiltered.take(&rows)).map_err(|error| QueryError::Store(error.to_string()))?;
        Ok(true)
    }

    fn push(&self, sample: &Sample, out: &mut Samples) -> Result<bool, QueryError> {
        out.push(sample.timestamp, sample.value.as_ref(), sample.quality)
            .map_err(|error| QueryError::DataLoss { tag: self.tag.name().to_string(), reason: error.to_string() })?;
        Ok(true)
    }
}

fn nearest(reader: &TagReader, tag: &Tag, range: TimeRange, which: Neighbour) -> Result<Option<Sample>, QueryError> {
    let wanted = |samples: &Samples, index: usize| which == Any || (!Quality(samples.qualities[index]).is_bad() && samples.is_valid(index));
    let found = plan::nearest(reader, tag, range, wanted)?;
    Ok(found.map(|found| Sample { timestamp: found.timestamps[0], value: found.value(0), quality: found.qualities[0] }))
}

/// Which samples count as neighbours.
#[derive(Clone, Copy, PartialEq)]
enum Neighbour {
    Any,
    NotBad,
}
use Neighbour::{Any, NotBad};

/// The value at an edge that no sample falls on: OPC 10000-13 interpolated bounding value. The line between the nearest samples that are
/// not Bad on either side, or the earlier one's value for stepped tags and types that have no line. Good where nothing Bad was skipped and
/// both are Good, else `UncertainDataSubNormal`; after the last sample its value is held and Uncertain; before the first there is none.
pub fn edge(reader: &TagReader, tag: &Tag, at: Timestamp) -> Result<Option<Sample>, QueryError> {
    let exact = TimeRange { start: at, end: Timestamp(at.0.saturating_add(1)), reverse: false };
    if nearest(reader, tag, exact, Any)?.is_some() {
        return Ok(None);
    }
    let Some(earlier) = nearest(reader, tag, before(at), NotBad)? else { return Ok(None) };
    let skipped_before = nearest(reader, tag, before(at), Any)?.is_some_and(|sample| sample.timestamp != earlier.timestamp);
    let later_any = nearest(reader, tag, from(at), Any)?;
    let later = nearest(reader, tag, from(at), NotBad)?;
    let sloped = !tag.definition.stepped && matches!(tag.value_type(), ValueType::F64 | ValueType::F32);
    let good = Quality(earlier.quality).is_good() && !skipped_before;
    let (value, good) = match (&earlier.value, later) {
        (Some(first), Some(later)) if sloped => {
            let skipped_after = later_any.is_some_and(|sample| sample.timestamp != later.timestamp);
            let good = good && Quality(later.quality).is_good() && !skipped_after;
            (later.value.as_ref().map_or_else(|| first.clone(), |second| line(first, second, &earlier, &later, at)), good)
        }
        (Some(first), _) => (first.clone(), good && later_any.is_some()),
        (None, _) => return Ok(None),
    };
    let severity = if good { Quality::GOOD } else { Quality::UNCERTAIN_DATA_SUB_NORMAL };
    Ok(Some(Sample { timestamp: at.0, value: Some(value), quality: severity.0 | Quality::INTERPOLATED_BITS }))
}

pub fn line(first: &Value, second: &Value, earlier: &Sample, later: &Sample, at: Timestamp) -> Value {
    // Differences in i128: two extreme timestamps may lie further apart than i64 reaches.
    let span = (i128::from(later.timestamp) - i128::from(earlier.timestamp)) as f64;
    let part = (i128::from(at.0) - i128::from(earlier.timestamp)) as f64 / span;
    let between = |first: f64, second: f64| first + (second - first) * part;
    match (first, second) {
        (Value::F64(first), Value::F64(second)) => Value::F64(between(*first, *second)),
        (Value::F32(first), Value::F32(second)) => Value::F32(between(f64::from(*first), f64::from(*second)) as f32),
        (first, _) => first.clone(),
    }
}
