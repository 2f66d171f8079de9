//! What a tag has in a range, for grouping: states of aligned intervals where these tell what is asked, and samples elsewhere.

use std::{ops::Range, sync::Arc};

use historian_format::rollup::{Parts, RollupLevel, RollupState};

use super::grid::{EdgeGrid, Grids, SAFE};
use historian_model::{Samples, Tag, TimeRange, Timestamp};
use historian_query::{QueryEngine, QueryError, QueryLimits};
use historian_read::merge::TagReader;

/// Aligned intervals whose states are read at once.
const STATES_AT_ONCE: i64 = 16_384;
/// A range of more reads than this is first cut to where the tag has samples.
const READS_MAX: i64 = 2;
/// A day that is not told by its state is asked of its hours, if it has more samples than these.
const SAMPLES_MAX: u64 = 32_768;

/// Why reading ends before its end.
pub enum Stop {
    /// Nobody wants more.
    Enough,
    Failed(QueryError),
}

impl From<QueryError> for Stop {
    fn from(error: QueryError) -> Stop {
        Stop::Failed(error)
    }
}

/// Receives a tag's states and samples in the order of time.
pub trait StateSink {
    /// Whether a state stands for its samples.
    fn tells(&self, state: &RollupState) -> bool;
    /// Takes such a state.
    fn state(&mut self, state: &RollupState) -> Result<(), Stop>;
    fn samples(&mut self, samples: &Samples) -> Result<(), Stop>;
}

/// One tag as it is read for a statement.
pub struct GroupSource<'a> {
    pub reader: &'a TagReader,
    pub tag: &'a Tag,
    pub limits: &'a QueryLimits,
    pub grids: &'a Grids,
    /// What is needed of states.
    pub parts: Parts,
}

/// The one place where a statement that groups gets at the store.
pub fn reader(engine: &QueryEngine, tags: &[Arc<Tag>], limits: &QueryLimits) -> Result<TagReader, QueryError> {
    engine.view(tags, limits)
}

impl GroupSource<'_> {
    /// Gives everything in a range to a sink.
    pub fn read(&self, range: TimeRange, sink: &mut dyn StateSink) -> Result<(), Stop> {
        let level = self.grids.level();
        let (mut start, mut end) = (range.start.0, range.end.0);
        let reads = level.map_or(0, |level| (i128::from(end) - i128::from(start)) / i128::from(level.interval_ns() * STATES_AT_ONCE));
        if reads > i128::from(READS_MAX) {
            let Some(ends) = self.ends(range)? else { return Ok(()) };
            (start, end) = (start.max(ends.start), end.min(ends.end));
        }
        self.read_from(level, start..end, sink)
    }

    /// Whole intervals of a level as states; what lies before and after them in the same way from finer ones.
    fn read_from(&self, level: Option<RollupLevel>, range: Range<i64>, sink: &mut dyn StateSink) -> Result<(), Stop> {
        let Some(level) = level else { return self.samples(range, sink) };
        let step = level.interval_ns();
        let (start, end) = (range.start.max(SAFE.start), range.end.min(SAFE.end));
        let (first, last) = (start + (-start).rem_euclid(step), end - end.rem_euclid(step));
        if first >= last {
            return self.read_from(finer(level), range, sink);
        }
        self.read_from(finer(level), range.start..first, sink)?;
        self.states(level, first..last, sink)?;
        self.read_from(finer(level), last..range.end, sink)
    }

    /// Whole intervals of a level; those whose states do not tell enough, or lie across an edge, in another way.
    fn states(&self, level: RollupLevel, range: Range<i64>, sink: &mut dyn StateSink) -> Result<(), Stop> {
        let step = level.interval_ns();
        let failed = |error| QueryError::reading(self.tag, &error);
        let mut at = range.start;
        while at < range.end {
            self.limits.check(0)?;
            let to = at.saturating_add(step * STATES_AT_ONCE).min(range.end);
            let within = TimeRange::new(Timestamp(at), Timestamp(to));
            if !self.reader.has_states(self.tag, level, within).map_err(failed)? {
                // Making states would only cost.
                self.samples(at..to, sink)?;
                at = to;
                continue;
            }
            let found = self.reader.states(self.tag, level, within, true, self.parts).map_err(failed)?;
            // Intervals one after another that are read as samples.
            let mut untold: Option<Range<i64>> = None;
            for (start, state) in &found.states {
                let end = start + step;
                let is_told = self.grids.edge_after(*start) >= end && sink.tells(state);
                let has_many = level == RollupLevel::Day && state.count > SAMPLES_MAX;
                if !is_told && !has_many {
                    untold = Some(untold.map_or(*start, |before| before.start)..end);
                    continue;
                }
                self.samples(untold.take().unwrap_or(0..0), sink)?;
                if is_told {
                    sink.state(state)?;
                } else {
                    self.states(RollupLevel::Hour, *start..end, sink)?;
                }
            }
            self.samples(untold.unwrap_or(0..0), sink)?;
            at = to;
        }
        Ok(())
    }

    fn samples(&self, range: Range<i64>, sink: &mut dyn StateSink) -> Result<(), Stop> {
        if range.is_empty() {
            return Ok(());
        }
        let failed = |error| QueryError::reading(self.tag, &error);
        let mut cursor = self.reader.cursor(self.tag, TimeRange::new(Timestamp(range.start), Timestamp(range.end))).map_err(failed)?;
        let mut portion = Samples::new(self.tag.value_type());
        while cursor.next_into(&mut portion).map_err(failed)? {
            self.limits.check(0)?;
            sink.samples(&portion)?;
            portion.clear();
        }
        Ok(())
    }

    /// From the day of the first sample to behind that of the last one, so that neither is cut.
    fn ends(&self, range: TimeRange) -> Result<Option<Range<i64>>, QueryError> {
        let one = |reverse: bool| -> Result<Option<i64>, QueryError> {
            let failed = |error| QueryError::reading(self.tag, &error);
            let mut portion = Samples::new(self.tag.value_type());
            let mut cursor = self.reader.look(self.tag, TimeRange { reverse, ..range }).map_err(failed)?;
            let _any = cursor.next_into(&mut portion).map_err(failed)?;
            Ok(portion.timestamps.first().copied())
        };
        let (Some(first), Some(last)) = (one(false)?, one(true)?) else { return Ok(None) };
        let start = if SAFE.contains(&first) { EdgeGrid::DAYS.edge_up_to(first) } else { first };
        let end = if SAFE.contains(&last) {
            EdgeGrid::DAYS.edge_up_to(last).saturating_add(EdgeGrid::DAYS.length())
        } else {
            last.saturating_add(1)
        };
        Ok(Some(start..end))
    }
}

/// What the edges of a range are read from. Of minutes there would be few, at the price of a day's block.
fn finer(level: RollupLevel) -> Option<RollupLevel> {
    (level == RollupLevel::Day).then_some(RollupLevel::Hour)
}
