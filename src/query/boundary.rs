//! Samples of one tag in a range with its edges treated as the query asks: the source of both layouts.

use super::{
    Boundary, QualityFilter, QueryError, RangeQuery,
    plan::{self, before, from},
};
use historian_model::{Quality, Sample, Samples, Tag, TimeRange, Timestamp, Value, ValueType};
use historian_read::merge::{Cursor, TagReader};

/// Samples of one tag, a portion at a time, in the direction of the query.
pub struct BoundedCursor<'a> {
    tag: &'a Tag,
    cursor: Cursor<'a>,
    quality: QualityFilter,
    /// What the cursor gave, before the filter.
    unfiltered: Samples,
    /// Comes before the cursor's samples, and after them.
    lead: Option<Sample>,
    trail: Option<Sample>,
}

impl<'a> BoundedCursor<'a> {
    pub fn open(reader: &'a TagReader, tag: &'a Tag, query: &RangeQuery) -> Result<BoundedCursor<'a>, QueryError> {
        BoundedCursor::resume(reader, tag, query, None)
    }

    /// As [`BoundedCursor::open`], from behind the row with the timestamp `after` on.
    pub fn resume(reader: &'a TagReader, tag: &'a Tag, query: &RangeQuery, after: Option<i64>) -> Result<BoundedCursor<'a>, QueryError> {
        let failed = |error| QueryError::reading(tag, &error);
        let range = query.range;
        let (at_start, at_end) = match query.boundary {
            Boundary::Inside => (None, None),
            Boundary::Outside => {
                let outside = |range| nearest(reader, tag, range, |samples, index| query.quality.passes(samples.qualities[index]));
                (outside(before(range.start))?, outside(from(range.end))?)
            }
            Boundary::Interpolated => (edge(reader, tag, range.start, query.quality)?, edge(reader, tag, range.end, query.quality)?),
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
        Ok(BoundedCursor { tag, cursor, quality: query.quality, unfiltered: Samples::new(tag.value_type()), lead, trail })
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

    /// As [`BoundedCursor::next_into`], at most `limit` samples of the portion; answers how many they are.
    pub fn next_up_to(&mut self, limit: u64, out: &mut Samples) -> Result<u64, QueryError> {
        let before = out.len();
        self.next_into(out)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        out.truncate(before.saturating_add(limit).min(out.len()));
        Ok((out.len() - before) as u64)
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

fn nearest(
    reader: &TagReader,
    tag: &Tag,
    range: TimeRange,
    wanted: impl Fn(&Samples, usize) -> bool,
) -> Result<Option<Sample>, QueryError> {
    Ok(plan::nearest(reader, tag, range, wanted)?.map(|found| found.sample(0)))
}

/// Whether a value can be taken from a sample for a time at which there is none.
pub fn usable(filter: QualityFilter, samples: &Samples, index: usize) -> bool {
    let quality = samples.qualities[index];
    filter.passes(quality) && !Quality(quality).is_bad() && samples.is_valid(index)
}

/// Whether nothing is known for sure across a sample: it is Bad, or has no value. A filter does not undo that.
pub fn interrupts(samples: &Samples, index: usize) -> bool {
    Quality(samples.qualities[index]).is_bad() || !samples.is_valid(index)
}

/// The value at an edge that no sample falls on: OPC 10000-13 interpolated bounding value. The line between the nearest samples that are
/// not Bad on either side, or the earlier one's value for stepped tags and types that have no line. Good where nothing Bad was skipped and
/// both are Good, else `UncertainDataSubNormal`; after the last sample, and where a line has no end, its value is held and Uncertain; before
/// the first there is none. Samples that the filter keeps back are as if they were not there, but where they are Bad the value is Uncertain.
pub fn edge(reader: &TagReader, tag: &Tag, at: Timestamp, filter: QualityFilter) -> Result<Option<Sample>, QueryError> {
    let exact = TimeRange { start: at, end: Timestamp(at.0.saturating_add(1)), reverse: false };
    if nearest(reader, tag, exact, |samples, index| filter.passes(samples.qualities[index]))?.is_some() {
        return Ok(None);
    }
    let NearestSample { sample: Some(earlier), interrupted: before_it, .. } = neighbour(reader, tag, before(at), filter)? else {
        return Ok(None);
    };
    let NearestSample { sample: later, interrupted: after_it, any } = neighbour(reader, tag, from(at), filter)?;
    let sloped = !tag.definition.stepped && matches!(tag.value_type(), ValueType::F64 | ValueType::F32);
    let mut good = Quality(earlier.quality).is_good() && !before_it;
    let mut value = earlier.value.clone();
    if sloped {
        // A line needs an end; what is held needs to be known for as long.
        good &= later.as_ref().is_some_and(|later| Quality(later.quality).is_good()) && !after_it;
        if let (Some(first), Some(later)) = (&earlier.value, &later)
            && let Some(second) = &later.value
        {
            value = Some(line(first, second, &earlier, later, at));
        }
    } else {
        good &= any;
    }
    let severity = if good { Quality::GOOD } else { Quality::UNCERTAIN_DATA_SUB_NORMAL };
    Ok(Some(Sample { timestamp: at.0, value, quality: severity.0 | Quality::INTERPOLATED_BITS }))
}

/// The nearest sample that a value can be taken from.
#[derive(Default)]
struct NearestSample {
    sample: Option<Sample>,
    /// One that interrupts is nearer.
    interrupted: bool,
    /// There is a sample, whatever it is.
    any: bool,
}

fn neighbour(reader: &TagReader, tag: &Tag, range: TimeRange, filter: QualityFilter) -> Result<NearestSample, QueryError> {
    let mut found = NearestSample::default();
    plan::look(reader, tag, range, |samples, index| {
        found.any = true;
        if usable(filter, samples, index) {
            found.sample = Some(samples.sample(index));
        } else {
            found.interrupted |= interrupts(samples, index);
        }
        found.sample.is_none()
    })?;
    Ok(found)
}

pub fn line(first: &Value, second: &Value, earlier: &Sample, later: &Sample, at: Timestamp) -> Value {
    // Differences in i128: two extreme timestamps may lie further apart than i64 reaches.
    let span = (i128::from(later.timestamp) - i128::from(earlier.timestamp)) as f64;
    let part = (i128::from(at.0) - i128::from(earlier.timestamp)) as f64 / span;
    let between = |first: f64, second: f64| {
        let rise = second - first;
        // Two numbers may lie further apart than an f64 reaches; infinities have no line, and stand.
        if rise.is_finite() { first + rise * part } else { first * (1.0 - part) + second * part }
    };
    match (first, second) {
        (Value::F64(first), Value::F64(second)) => Value::F64(between(*first, *second)),
        (Value::F32(first), Value::F32(second)) => Value::F32(between(f64::from(*first), f64::from(*second)) as f32),
        (first, _) => first.clone(),
    }
}
