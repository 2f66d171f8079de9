//! What a tag has in a series of intervals, in pieces that cross no edge: states of aligned intervals where these lie within, samples at the
//! edges. The pieces depend on the question and on the samples, and not on which rollups are stored: so do answers made of them.

use historian_format::rollup::{Parts, RollupLevel, RollupState};

use crate::{QueryError, QueryLimits};
use historian_model::{Samples, Tag, TimeRange, Timestamp};
use historian_read::{merge::TagReader, rollup::Folder};

/// A part of an interval, in the order of time.
pub enum Piece<'a> {
    /// State of all samples of an aligned interval that begins here.
    State(&'a RollupState),
    /// Samples, and which rows of them.
    Samples(&'a Samples, std::ops::Range<usize>),
}

/// How pieces are made.
#[derive(Clone, Copy, Debug)]
pub struct PieceOptions {
    /// Stored states are taken where they hold. The answer is the same without.
    pub rollups: bool,
    /// What is needed of states that are made.
    pub parts: Parts,
    /// Samples at the edges come as states, of a minute at most.
    pub fold_edges: bool,
}

/// Receives pieces with the number of their interval.
pub type PieceSink<'a> = &'a mut dyn FnMut(usize, Piece<'_>) -> Result<(), QueryError>;

/// Samples that are read and left aside rather than to begin anew behind them: chunks are decoded whole.
pub const ASIDE_MAX: u64 = 16_384;
/// Aligned intervals whose states are read at once.
const STATES_MAX: i64 = 65_536;
/// An interval whose edges lie across the grid of a level has this many whole ones of it at the least.
const WHOLE_MIN: i64 = 32;

/// The coarsest level on whose grid all edges lie, or of which every interval has many; `None` where samples are as good.
pub fn level(edges: &[i64]) -> Option<RollupLevel> {
    let shortest = edges.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min()?;
    let fits = |level: &RollupLevel| {
        let step = level.interval_ns();
        let aligned = edges.iter().all(|edge| edge.rem_euclid(step) == 0);
        (aligned && shortest >= step) || shortest / step >= WHOLE_MIN
    };
    RollupLevel::ALL.into_iter().rev().find(fits)
}

/// A stretch of an interval: whole aligned intervals of the level, or what lies before and after them.
#[derive(Clone, Copy, Debug)]
struct IntervalSegment {
    interval: usize,
    from: i64,
    to: i64,
    whole: bool,
}

/// The segments of all intervals, in the order of time, without a gap between them.
fn segments(edges: &[i64], level: Option<RollupLevel>) -> Vec<IntervalSegment> {
    let mut found = Vec::with_capacity(edges.len());
    for (interval, pair) in edges.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let whole = level.map(RollupLevel::interval_ns).and_then(|step| {
            let below = from.checked_sub(from.rem_euclid(step))?;
            let first = if below == from { from } else { below.checked_add(step)? };
            let last = to.checked_sub(to.rem_euclid(step))?;
            (first < last).then_some((first, last))
        });
        let mut put = |from: i64, to: i64, whole: bool| {
            if from < to {
                found.push(IntervalSegment { interval, from, to, whole });
            }
        };
        match whole {
            None => put(from, to, false),
            Some((first, last)) => {
                put(from, first, false);
                put(first, last, true);
                put(last, to, false);
            }
        }
    }
    found
}

/// Reads the pieces of the intervals between neighbouring `edges` (ascending).
///
/// # Errors
/// When the tag cannot be read, a limit is reached, or the sink fails.
pub fn read(
    reader: &TagReader,
    tag: &Tag,
    edges: &[i64],
    source: PieceOptions,
    limits: &QueryLimits,
    sink: PieceSink<'_>,
) -> Result<(), QueryError> {
    let level = level(edges);
    let segments = segments(edges, level);
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(()) };
    let stored = match level {
        Some(level) if source.rollups => reader
            .has_states(tag, level, TimeRange::new(Timestamp(first.from), Timestamp(last.to)))
            .map_err(|error| QueryError::reading(tag, &error))?,
        _ => false,
    };
    let Some(level) = level.filter(|_| stored) else {
        // Everything is made of samples, in one go.
        return scan(reader, tag, &segments, level.unwrap_or(RollupLevel::Minute), source, limits, sink);
    };
    for run in segments.chunk_by(|a, b| a.whole == b.whole) {
        if run[0].whole {
            states(reader, tag, level, run, source, limits, sink)?;
        } else {
            scan(reader, tag, run, level, source, limits, sink)?;
        }
    }
    Ok(())
}

/// Pieces of segments that lie on the grid of the level, from stored states where these hold.
fn states(
    reader: &TagReader,
    tag: &Tag,
    level: RollupLevel,
    segments: &[IntervalSegment],
    source: PieceOptions,
    limits: &QueryLimits,
    sink: PieceSink<'_>,
) -> Result<(), QueryError> {
    let (mut at, end) = (segments[0].from, segments[segments.len() - 1].to);
    let mut segment = 0;
    while at < end {
        limits.check(0)?;
        let to = at.saturating_add(level.interval_ns().saturating_mul(STATES_MAX)).min(end);
        let range = TimeRange::new(Timestamp(at), Timestamp(to));
        let found = reader.states(tag, level, range, true, source.parts).map_err(|error| QueryError::reading(tag, &error))?;
        for (start, state) in &found.states {
            while segments[segment].to <= *start {
                segment += 1;
            }
            sink(segments[segment].interval, Piece::State(state))?;
        }
        at = to;
    }
    Ok(())
}

/// Pieces of neighbouring segments, from their samples.
fn scan(
    reader: &TagReader,
    tag: &Tag,
    segments: &[IntervalSegment],
    level: RollupLevel,
    source: PieceOptions,
    limits: &QueryLimits,
    sink: PieceSink<'_>,
) -> Result<(), QueryError> {
    let failed = |error| QueryError::reading(tag, &error);
    let range = TimeRange::new(Timestamp(segments[0].from), Timestamp(segments[segments.len() - 1].to));
    let mut cursor = reader.cursor(tag, range).map_err(failed)?;
    let mut portion = Samples::new(tag.value_type());
    let new_folder = |segment: IntervalSegment| Folder::up_to(segment.emitted(level), tag.value_type(), source.parts);
    let mut folder = new_folder(segments[0]);
    let mut number = 0;
    while cursor.next_into(&mut portion).map_err(failed)? {
        limits.check(0)?;
        let mut at = 0;
        while at < portion.len() {
            let timestamp = portion.timestamps[at];
            if timestamp >= segments[number].to {
                let closed = segments[number];
                number += 1 + segments[number + 1..].partition_point(|segment| segment.to <= timestamp);
                let folder = std::mem::replace(&mut folder, new_folder(segments[number]));
                close(folder, closed, level, sink)?;
            }
            let segment = segments[number];
            let until = at + portion.timestamps[at..].partition_point(|timestamp| *timestamp < segment.to);
            if segment.whole || source.fold_edges {
                let mut taken = Ok(());
                folder.push(&portion, at..until, &mut segment.give(level, &mut taken, sink));
                taken?;
            } else {
                sink(segment.interval, Piece::Samples(&portion, at..until))?;
            }
            at = until;
        }
        portion.clear();
    }
    close(folder, segments[number], level, sink)
}

fn close(folder: Folder, segment: IntervalSegment, level: RollupLevel, sink: PieceSink<'_>) -> Result<(), QueryError> {
    let mut taken = Ok(());
    folder.finish(&mut segment.give(level, &mut taken, sink));
    taken
}

impl IntervalSegment {
    /// Of which level the states of this segment are.
    fn emitted(self, level: RollupLevel) -> RollupLevel {
        if self.whole { level } else { RollupLevel::Minute }
    }

    /// Gives the states of this segment to the sink, until that fails.
    fn give<'a>(
        self,
        level: RollupLevel,
        taken: &'a mut Result<(), QueryError>,
        sink: PieceSink<'a>,
    ) -> impl FnMut(RollupLevel, i64, &RollupState) + 'a {
        move |found, _, state| {
            if found == self.emitted(level) && taken.is_ok() {
                *taken = sink(self.interval, Piece::State(state));
            }
        }
    }
}

/// The samples of `range`, which lies within the edges.
pub fn samples(
    reader: &TagReader,
    tag: &Tag,
    edges: &[i64],
    offset: usize,
    range: TimeRange,
    limits: &QueryLimits,
    sink: PieceSink<'_>,
) -> Result<(), QueryError> {
    if range.is_empty() {
        return Ok(());
    }
    let failed = |error| QueryError::reading(tag, &error);
    let mut cursor = reader.cursor(tag, range).map_err(failed)?;
    let mut portion = Samples::new(tag.value_type());
    let mut interval = 0;
    while cursor.next_into(&mut portion).map_err(failed)? {
        limits.check(0)?;
        let mut at = 0;
        while at < portion.len() {
            let timestamp = portion.timestamps[at];
            interval += edges[interval + 1..].partition_point(|edge| *edge <= timestamp);
            let end = edges[interval + 1];
            let until = at + portion.timestamps[at..].partition_point(|timestamp| *timestamp < end);
            sink(offset + interval, Piece::Samples(&portion, at..until))?;
            at = until;
        }
        portion.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_a_matter_of_the_edges() {
        let (minute, hour, day) = (60_000_000_000, 3_600_000_000_000, 86_400_000_000_000);
        assert_eq!(level(&[0, minute, 2 * minute]), Some(RollupLevel::Minute));
        assert_eq!(level(&[0, hour, 2 * hour]), Some(RollupLevel::Hour));
        assert_eq!(level(&[0, 7 * day]), Some(RollupLevel::Day));
        assert_eq!(level(&[1, 40 * minute]), Some(RollupLevel::Minute));
        assert_eq!(level(&[1, 40 * day]), Some(RollupLevel::Day));
        assert_eq!(level(&[0, minute / 2, minute]), None);
        assert_eq!(level(&[1, 20 * minute]), None);
        // Days of 23 and 25 hours lie on the grid of hours.
        assert_eq!(level(&[-hour, 22 * hour, 47 * hour]), Some(RollupLevel::Hour));
    }
}
