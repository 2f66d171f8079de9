//! Rows of an answer in order, with the boundary samples, as columns.

use historian_format::{Samples, Scalar, ValueType};

use super::{
    DownsampleError, Sample, Surroundings, answer, breaks,
    summary::{Drawn, LineBreak},
};

/// A row on its way to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DownsampleRow {
    pub timestamp: i64,
    /// `None` ends the line.
    pub bits: Option<u64>,
    pub quality: u32,
}

impl From<Drawn> for DownsampleRow {
    fn from(drawn: Drawn) -> DownsampleRow {
        DownsampleRow { timestamp: drawn.timestamp, bits: Some(drawn.bits), quality: drawn.quality }
    }
}

impl From<LineBreak> for DownsampleRow {
    fn from(at: LineBreak) -> DownsampleRow {
        DownsampleRow { timestamp: at.timestamp, bits: None, quality: at.quality }
    }
}

/// True when a line can be drawn from or to a boundary sample.
pub(super) fn is_drawn(sample: &Sample) -> bool {
    !breaks(sample.quality) && sample.value.as_ref().is_some_and(|value| !value.as_f64().is_some_and(f64::is_nan))
}

/// Sorts rows and makes their timestamps differ. Only a gap may have the timestamp of a sample, namely that of the last one before it: it
/// moves a nanosecond, or goes when the next row is as near.
pub(super) fn order(rows: &mut Vec<DownsampleRow>) {
    rows.sort_by_key(|row| (row.timestamp, row.bits.is_none()));
    for index in 1..rows.len() {
        if rows[index].timestamp == rows[index - 1].timestamp && rows[index].bits.is_none() {
            rows[index].timestamp = rows[index].timestamp.saturating_add(1);
        }
    }
    // After moving, a break may stand where a drawn sample follows: the sample stays.
    rows.sort_by_key(|row| (row.timestamp, row.bits.is_none()));
    rows.dedup_by_key(|row| row.timestamp);
}

/// The answer of ordered rows between the boundary samples.
pub(super) fn finish(rows: &[DownsampleRow], around: &Surroundings, value_type: ValueType) -> Result<Samples, DownsampleError> {
    let mut columns = answer(value_type, rows.len());
    for row in rows {
        let value = row.bits.map(|bits| Scalar { value_type, bits }.value());
        columns.push(row.timestamp, value.as_ref(), row.quality).map_err(|_| DownsampleError::TextBytes)?;
    }
    between(around.before.as_ref(), around.after.as_ref(), &columns)
}

/// Rows between the boundary samples. A row at the timestamp of the first boundary sample stands in its place.
pub(super) fn between(before: Option<&Sample>, after: Option<&Sample>, rows: &Samples) -> Result<Samples, DownsampleError> {
    let mut out = answer(rows.value_type(), rows.len() + 2);
    let first = rows.timestamps.first();
    if let Some(before) = before.filter(|before| first != Some(&before.timestamp)) {
        put(before, &mut out)?;
    }
    out.append(rows).map_err(|_| DownsampleError::TextBytes)?;
    if let Some(after) = after {
        put(after, &mut out)?;
    }
    Ok(out)
}

fn put(sample: &Sample, out: &mut Samples) -> Result<(), DownsampleError> {
    let value = sample.value.as_ref().filter(|_| is_drawn(sample));
    // Types were compared when the boundary samples came, so only room for text may be missing.
    out.push(sample.timestamp, value, sample.quality).map_err(|_| DownsampleError::TextBytes)
}

/// Rows that the boundary samples take.
pub(super) fn edges(around: &Surroundings) -> usize {
    usize::from(around.before.is_some()) + usize::from(around.after.is_some())
}
