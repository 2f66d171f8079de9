//! Aggregate states of aligned intervals: made from samples, and read from rollups wherever those tell the same.
//!
//! There is one way to make a state ([`Folder`]): minutes from samples, hours from minutes, days from hours. Stored and computed states are
//! therefore equal to the bit, and an answer does not depend on which of them were there.

use std::collections::BTreeMap;

use historian_format::{
    keys::week_of,
    rollup::{Parts, RollupBlock, RollupLevel, RollupState},
};

use super::{ReadError, merge::TagReader};
use historian_model::{Samples, Tag, TimeBounds, TimeRange, Timestamp, ValueType};
use historian_store::{ChunkFamily, Direction, StoreError};

/// Receives a finished state: level, start of its interval, state.
pub type RollupSink<'a> = &'a mut dyn FnMut(RollupLevel, i64, &RollupState);

/// Start of the aligned interval that holds a timestamp; where that lies before the first timestamp of all, that one.
pub fn interval_start(level: RollupLevel, at: i64) -> i64 {
    at.saturating_sub(at.rem_euclid(level.interval_ns()))
}

/// Makes states of samples that come in time order.
pub struct Folder {
    value_type: ValueType,
    parts: Parts,
    /// Coarser ones are not made.
    coarsest: RollupLevel,
    /// Samples of the minute that may go on: it may come in parts, and its state must not depend on where chunks end.
    minute: Samples,
    hour: Option<(i64, RollupState)>,
    day: Option<(i64, RollupState)>,
}

impl Folder {
    pub fn new(value_type: ValueType) -> Folder {
        Folder::up_to(RollupLevel::Day, value_type, Parts::ALL)
    }

    /// One that makes no coarser states, and no more of them than these parts.
    pub fn up_to(coarsest: RollupLevel, value_type: ValueType, parts: Parts) -> Folder {
        Folder { value_type, parts, coarsest, minute: Samples::new(value_type), hour: None, day: None }
    }

    /// Takes the samples in `range` (row numbers).
    pub fn push(&mut self, samples: &Samples, range: std::ops::Range<usize>, emit: RollupSink<'_>) {
        let mut at = range.start;
        while at < range.end {
            let start = interval_start(RollupLevel::Minute, samples.timestamps[at]);
            let last = start.saturating_add(RollupLevel::Minute.interval_ns() - 1);
            let end = at + samples.timestamps[at..range.end].partition_point(|&timestamp| timestamp <= last);
            let goes_on = self.minute.timestamps.first().is_some_and(|first| *first >= start);
            if !goes_on {
                self.close_minute(emit);
            }
            if goes_on || end == range.end {
                let kept = self.minute.extend_range(samples, at..end);
                debug_assert!(kept.is_ok(), "samples of one tag are of one type");
            } else if let Some(state) = RollupState::of_parts(samples, at..end, self.parts) {
                self.minute_closed(start, &state, emit);
            }
            at = end;
        }
    }

    /// Closes what is open.
    pub fn finish(mut self, emit: RollupSink<'_>) {
        self.close_minute(emit);
        self.close_hour(emit);
        self.close_day(emit);
    }

    fn close_minute(&mut self, emit: RollupSink<'_>) {
        let Some(first) = self.minute.timestamps.first() else { return };
        let start = interval_start(RollupLevel::Minute, *first);
        if let Some(state) = RollupState::of_parts(&self.minute, 0..self.minute.len(), self.parts) {
            self.minute_closed(start, &state, emit);
        }
        self.minute.clear();
    }

    fn minute_closed(&mut self, start: i64, state: &RollupState, emit: RollupSink<'_>) {
        if self.coarsest > RollupLevel::Minute {
            let hour = interval_start(RollupLevel::Hour, start);
            if self.hour.as_ref().is_some_and(|(open, _)| *open != hour) {
                self.close_hour(emit);
            }
            match &mut self.hour {
                Some((_, open)) => open.merge(state, self.value_type),
                None => self.hour = Some((hour, *state)),
            }
        }
        emit(RollupLevel::Minute, start, state);
    }

    fn close_hour(&mut self, emit: RollupSink<'_>) {
        let Some((start, state)) = self.hour.take() else { return };
        if self.coarsest > RollupLevel::Hour {
            let day = interval_start(RollupLevel::Day, start);
            if self.day.as_ref().is_some_and(|(open, _)| *open != day) {
                self.close_day(emit);
            }
            match &mut self.day {
                Some((_, open)) => open.merge(&state, self.value_type),
                None => self.day = Some((day, state)),
            }
        }
        emit(RollupLevel::Hour, start, &state);
    }

    fn close_day(&mut self, emit: RollupSink<'_>) {
        if let Some((start, state)) = self.day.take() {
            emit(RollupLevel::Day, start, &state);
        }
    }
}

/// States of one level over a range, and how they came about.
#[derive(Clone, Debug, Default)]
pub struct States {
    /// Start of each non-empty interval, ascending, and its state.
    pub states: Vec<(i64, RollupState)>,
    /// How many of them were read from rollups.
    pub stored: usize,
}

impl TagReader {
    /// Whether states of a level are stored for a tag in a range, whatever they hold.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_states(&self, tag: &Tag, level: RollupLevel, range: TimeRange) -> Result<bool, ReadError> {
        let Some(bounds) = range.bounds() else { return Ok(false) };
        Ok(!self.store.rollups(tag.id, level, week_of(bounds.first)..=week_of(bounds.last), 1)?.is_empty())
    }

    /// States of the non-empty aligned intervals of a level that lie in a range; its edges are multiples of the interval.
    ///
    /// With `use_rollups` stored states are taken where they hold; the answer is the same without, to the bit. Of states that are made of
    /// samples only `parts` are sure to be told.
    ///
    /// # Errors
    /// When chunks or rollups cannot be read.
    pub fn states(&self, tag: &Tag, level: RollupLevel, range: TimeRange, use_rollups: bool, parts: Parts) -> Result<States, ReadError> {
        let mut answer = States::default();
        let Some(bounds) = range.bounds() else { return Ok(answer) };
        let mut stored = BTreeMap::new();
        if use_rollups {
            // What is late or in the head is not in rollups: its intervals are made from samples. Looked for before the rollups are read,
            // since merging goes the other way: it marks the day in the same step in which the late chunk goes.
            let unrolled = self.unrolled(tag, bounds)?;
            stored = self.stored_states(tag, level, bounds)?;
            for timestamp in unrolled {
                stored.remove(&interval_start(level, timestamp));
            }
        }
        answer.stored = stored.len();
        let mut from = range.start;
        for (at, state) in stored {
            self.fold_range(tag, level, TimeRange { start: from, end: Timestamp(at), reverse: false }, parts, &mut answer.states)?;
            answer.states.push((at, state));
            from = Timestamp(at.saturating_add(level.interval_ns()));
        }
        self.fold_range(tag, level, TimeRange { start: from, end: range.end, reverse: false }, parts, &mut answer.states)?;
        Ok(answer)
    }

    /// Makes the states of a range from its samples.
    fn fold_range(
        &self,
        tag: &Tag,
        level: RollupLevel,
        range: TimeRange,
        parts: Parts,
        out: &mut Vec<(i64, RollupState)>,
    ) -> Result<(), ReadError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut cursor = self.cursor(tag, range)?;
        let mut folder = Folder::up_to(level, tag.value_type(), parts);
        let mut samples = Samples::new(tag.value_type());
        let mut emit = |found: RollupLevel, start: i64, state: &RollupState| {
            if found == level {
                out.push((start, *state));
            }
        };
        while cursor.next_into(&mut samples)? {
            folder.push(&samples, 0..samples.len(), &mut emit);
            samples.clear();
        }
        folder.finish(&mut emit);
        Ok(())
    }

    /// Stored states of whole intervals before the tag's mark, but those of days that are to be made anew.
    fn stored_states(&self, tag: &Tag, level: RollupLevel, bounds: TimeBounds) -> Result<BTreeMap<i64, RollupState>, ReadError> {
        let mut found = BTreeMap::new();
        let (first, last) = (week_of(bounds.first), week_of(bounds.last));
        // Asked before the blocks are read: a day that was marked and made anew in between is new in its block.
        let marked = self.store.dirty(Some(tag.id))?;
        let dirty = |week: i32| marked.iter().find(|(_, at, _)| *at == week).map_or(0, |(_, _, days)| *days);
        let mut week = first;
        while week <= last {
            let blocks = self.store.rollups(tag.id, level, week..=last, 1 << 20)?;
            let Some((last_key, _)) = blocks.last() else { break };
            // The last week may be cut short by the bound on bytes: it is read again, from its beginning, unless it was the only one.
            let next = if blocks.iter().any(|(key, _)| key.week != last_key.week) { last_key.week } else { last_key.week + 1 };
            let whole = |key: i32| key < next;
            let blocks = if next > last_key.week && level == RollupLevel::Minute {
                self.store.rollups(tag.id, level, last_key.week..=last_key.week, usize::MAX)?
            } else {
                blocks
            };
            for (key, bytes) in blocks.into_iter().filter(|(key, _)| whole(key.week)) {
                let damaged = |message: String| StoreError::Corrupt {
                    family: historian_format::keys::FAMILY_ROLLUPS,
                    key: format!("{key:?}"),
                    message,
                };
                let block = RollupBlock::decode(&bytes).map_err(|error| damaged(error.to_string()))?;
                if block.tag_id != tag.id.0 || block.value_type != tag.value_type() || block.level != level {
                    return Err(damaged("the block is another tag's, type's or level's".into()).into());
                }
                let dirty = dirty(key.week);
                let week_start = TimeBounds::of_week(key.week).first;
                for (number, state) in block.states {
                    let at = block.start + i128::from(number) * i128::from(level.interval_ns());
                    let Ok(at) = i64::try_from(at) else { continue };
                    let day = (at - week_start) / RollupLevel::Day.interval_ns();
                    if bounds.contains(at) && dirty & 1 << day == 0 {
                        found.insert(at, state);
                    }
                }
            }
            week = next;
        }
        Ok(found)
    }

    /// Timestamps within the bounds of samples that are not in ordered chunks.
    fn unrolled(&self, tag: &Tag, bounds: TimeBounds) -> Result<Vec<i64>, ReadError> {
        let mut timestamps = self.unstored(tag.id, bounds)?.map_or(Vec::new(), |head| head.timestamps);
        for chunk in self.store.chunks(ChunkFamily::Late, tag.id, bounds, Direction::Forward, usize::MAX)? {
            let before = timestamps.len();
            historian_format::Chunk::parse(&chunk.bytes)
                .and_then(|parsed| parsed.decode_timestamps_into(&mut timestamps))
                .map_err(|error| historian_store::corrupt(ChunkFamily::Late.name(), chunk.key, &error))?;
            let mut at = before;
            timestamps.retain(|timestamp| {
                at += 1;
                at <= before || bounds.contains(*timestamp)
            });
        }
        Ok(timestamps)
    }
}
