//! What a tag has in a series of intervals, in pieces that cross no edge: states of aligned intervals where these lie within, samples at the
//! edges. The pieces depend on the question and on the samples, and not on which rollups are stored: so do answers made of them.

use historian_format::rollup::{Parts, RollupLevel, RollupState};

use crate::{
    ingest::merge::TagReader,
    model::{Samples, Tag, TimeRange, Timestamp},
    query::{QueryError, QueryLimits},
};

/// A part of an interval, in the order of time.
pub enum Piece<'a> {
    /// State of all samples of an aligned interval that begins here.
    State(&'a RollupState),
    /// Samples, and which rows of them.
    Samples(&'a Samples, std::ops::Range<usize>),
}

/// Where states come from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Stored ones are taken where they hold. The answer is the same without.
    pub rollups: bool,
    /// What is needed of those that are made.
    pub parts: Parts,
}

/// Receives pieces with the number of their interval.
pub type Sink<'a> = &'a mut dyn FnMut(usize, Piece<'_>) -> Result<(), QueryError>;

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

/// Reads the pieces of the intervals between neighbouring `edges` (ascending).
///
/// # Errors
/// When the tag cannot be read, a limit is reached, or the sink fails.
pub fn read(reader: &TagReader, tag: &Tag, edges: &[i64], source: Source, limits: &QueryLimits, sink: Sink<'_>) -> Result<(), QueryError> {
    let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else { return Ok(()) };
    let Some(level) = level(edges) else { return samples(reader, tag, edges, 0, (first, last), limits, sink) };
    let step = level.interval_ns();
    let floor = |at: i64| at.saturating_sub(at.rem_euclid(step));
    let ceil = |at: i64| at.checked_sub(at.rem_euclid(step)).and_then(|below| if below == at { Some(at) } else { below.checked_add(step) });
    let mut at = 0;
    while at + 1 < edges.len() {
        let (from, to) = (edges[at], edges[at + 1]);
        let (whole_from, whole_to) = (ceil(from).unwrap_or(to), floor(to));
        if whole_from >= whole_to {
            samples(reader, tag, &edges[at..at + 2], at, (from, to), limits, sink)?;
            at += 1;
            continue;
        }
        if whole_from == from && whole_to == to {
            // Neighbours that lie on the grid as well are read together.
            let mut until = at + 1;
            while until + 1 < edges.len() && edges[until + 1].rem_euclid(step) == 0 && (edges[until + 1] - from) / step <= STATES_MAX {
                until += 1;
            }
            states(reader, tag, level, &edges[at..=until], at, source, limits, sink)?;
            at = until;
            continue;
        }
        samples(reader, tag, &[from, whole_from], at, (from, whole_from), limits, sink)?;
        let mut part = whole_from;
        while part < whole_to {
            let end = part.saturating_add(step.saturating_mul(STATES_MAX)).min(whole_to);
            states(reader, tag, level, &[part, end], at, source, limits, sink)?;
            part = end;
        }
        samples(reader, tag, &[whole_to, to], at, (whole_to, to), limits, sink)?;
        at += 1;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one call, three places")]
fn states(
    reader: &TagReader,
    tag: &Tag,
    level: RollupLevel,
    edges: &[i64],
    offset: usize,
    source: Source,
    limits: &QueryLimits,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    limits.check(0)?;
    let (from, to) = (edges[0], edges[edges.len() - 1]);
    let found = reader.states(tag, level, from, to, source.rollups, source.parts).map_err(|error| QueryError::reading(tag, &error))?;
    let mut interval = 0;
    for (start, state) in &found.states {
        while edges[interval + 1] <= *start {
            interval += 1;
        }
        sink(offset + interval, Piece::State(state))?;
    }
    Ok(())
}

/// The samples of `range`, which lies within the edges.
pub fn samples(
    reader: &TagReader,
    tag: &Tag,
    edges: &[i64],
    offset: usize,
    (from, to): (i64, i64),
    limits: &QueryLimits,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    if from >= to {
        return Ok(());
    }
    let failed = |error| QueryError::reading(tag, &error);
    let mut cursor = reader.cursor(tag, TimeRange::new(Timestamp(from), Timestamp(to))).map_err(failed)?;
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
