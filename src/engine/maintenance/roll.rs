//! Keeping rollups current: states of whole hours that lie before a tag's last ordered sample, and of days that were changed since.
//!
//! A block tells of the samples in the family of ordered chunks and of nothing else. Readers make up for late chunks and heads themselves
//! ([`historian_read::rollup`]); whoever changes ordered chunks marks the days as dirty in the same atomic change, and a dirty day counts as
//! not rolled up. So a state that a reader may use is never out of date.

use historian_format::{
    keys::{RollupKey, WEEK_NS, week_of},
    rollup::{RollupBlock, RollupLevel, RollupState},
};

use super::{keeper::Keeper, rewrite::SealError};
use historian_model::{Samples, Tag, TagId, TimeBounds, TimeRange, Timestamp};
use historian_read::rollup::{Folder, interval_start};
use historian_store::{Change, ChunkFamily, Direction, StoreError};

const PAGE_BYTES: usize = 4 << 20;
const DAY_NS: i64 = RollupLevel::Day.interval_ns();

impl Keeper {
    /// Brings the rollups of a tag up to its last ordered chunk.
    pub(crate) fn roll(&self, tag: &Tag) -> Result<(), SealError> {
        for (_, week, days) in self.store.dirty(Some(tag.id))? {
            if self.stopped() {
                return Ok(());
            }
            self.roll_dirty(tag, week, days)?;
        }
        let Some(last) = self.store.last_chunk(ChunkFamily::Chunks, tag.id)? else { return Ok(()) };
        // The hour of the last sample may go on; hours at the edge of time have no end.
        let until = interval_start(RollupLevel::Hour, last.header_in(ChunkFamily::Chunks)?.statistics.last_timestamp);
        let epoch = self.locks.epoch(tag.id);
        let mut mark = self.store.kept(tag.id)?;
        if mark.rolled_until >= until {
            return Ok(());
        }
        let mut at = mark.rolled_until;
        while !self.stopped() {
            // From the next sample on, so that empty years cost nothing.
            let next = self.store.chunks(ChunkFamily::Chunks, tag.id, TimeBounds::since(at), Direction::Forward, 1)?;
            let Some(first) = next.first() else { break };
            let first = first.header_in(ChunkFamily::Chunks)?.statistics.first_timestamp.max(at);
            if first >= until {
                break;
            }
            let day = interval_start(RollupLevel::Day, first);
            let end = day.saturating_add(DAY_NS).min(until);
            let mut change = Change::default();
            self.roll_day(tag, day, end, &mut change)?;
            mark.rolled_until = end;
            change.kept.push((tag.id, mark));
            if !self.commit(tag, epoch, &change)? {
                return Ok(());
            }
            if end == until {
                return Ok(());
            }
            at = end;
        }
        mark.rolled_until = until;
        self.commit(tag, epoch, &Change { kept: vec![(tag.id, mark)], ..Change::default() }).map(drop)
    }

    /// Makes the marked days of a week anew, as far as the tag is rolled up.
    fn roll_dirty(&self, tag: &Tag, week: i32, days: u8) -> Result<(), SealError> {
        let epoch = self.locks.epoch(tag.id);
        let mark = self.store.kept(tag.id)?;
        let start = i128::from(week) * i128::from(WEEK_NS);
        let mut change = Change::default();
        for day in (0..7).filter(|day| days & 1 << day != 0) {
            let day = start + i128::from(day) * i128::from(DAY_NS);
            let (Ok(day), true) = (i64::try_from(day), day < i128::from(mark.rolled_until)) else { continue };
            self.roll_day(tag, day, day.saturating_add(DAY_NS).min(mark.rolled_until), &mut change)?;
        }
        // What became dirty since it was read is not lost: whoever marks more takes the lock and moves the epoch, or is this thread.
        change.dirty.push((tag.id, week, 0));
        self.commit(tag, epoch, &change).map(drop)
    }

    /// Puts the states of one day, up to `end`, in place of those that are stored.
    fn roll_day(&self, tag: &Tag, day: i64, end: i64, change: &mut Change) -> Result<(), SealError> {
        let mut states: [Vec<(i64, RollupState)>; 3] = Default::default();
        let mut folder = Folder::new(tag.value_type());
        let mut rest = TimeRange { start: Timestamp(day), end: Timestamp(end), reverse: false }.bounds();
        let mut samples = Samples::new(tag.value_type());
        while let Some(bounds) = rest {
            let page = self.store.chunks(ChunkFamily::Chunks, tag.id, bounds, Direction::Forward, PAGE_BYTES)?;
            let Some(last) = page.last() else { break };
            rest = bounds.after(last.header_in(ChunkFamily::Chunks)?.statistics.last_timestamp);
            for chunk in &page {
                samples.clear();
                chunk.decode_into(ChunkFamily::Chunks, &mut samples)?;
                let inside = samples.slice_time_range(day, end);
                folder.push(&samples, inside, &mut |level, start, state| states[level as usize - 1].push((start, *state)));
            }
        }
        folder.finish(&mut |level, start, state| states[level as usize - 1].push((start, *state)));
        if end != day.saturating_add(DAY_NS) {
            // The day goes on.
            states[RollupLevel::Day as usize - 1].clear();
        }
        for (level, states) in RollupLevel::ALL.into_iter().zip(states) {
            self.put_day(tag, level, day, states, change)?;
        }
        Ok(())
    }

    /// Replaces one day's states in the block that holds them.
    fn put_day(
        &self,
        tag: &Tag,
        level: RollupLevel,
        day: i64,
        states: Vec<(i64, RollupState)>,
        change: &mut Change,
    ) -> Result<(), SealError> {
        let samples: u64 = states.iter().map(|(_, state)| state.count).sum();
        let worth = samples >= self.options.rollup_samples_min * states.len() as u64;
        let states = if worth { states } else { Vec::new() };
        let key = block_key(tag.id, level, day);
        let start = block_start(key);
        let number = |at: i64| ((i128::from(at) - start) / i128::from(level.interval_ns())) as u32;
        let before = change.rollups.iter().position(|(other, _)| *other == key);
        let mut block = if let Some(index) = before {
            // A day before has been here in the same change.
            change.rollups[index].1.take()
        } else {
            let week = key.week..=key.week;
            self.store.rollups(tag.id, level, week, usize::MAX)?.into_iter().find(|(other, _)| *other == key).map(|(_, block)| block)
        }
        .map(|bytes| RollupBlock::decode(&bytes))
        .transpose()
        .map_err(|error| damaged(key, &error.to_string()))?
        .unwrap_or_else(|| RollupBlock { tag_id: tag.id.0, value_type: tag.value_type(), level, start, states: Vec::new() });
        let (from, to) = (number(day), number(day.saturating_add(DAY_NS - 1)));
        let had = block.states.len();
        block.states.retain(|(number, _)| !(from..=to).contains(number));
        let at = block.states.partition_point(|(number, _)| *number < from);
        block.states.splice(at..at, states.into_iter().map(|(start, state)| (number(start), state)));
        let bytes = (!block.states.is_empty()).then(|| block.encode());
        match before {
            Some(index) => change.rollups[index].1 = bytes,
            None if had > 0 || bytes.is_some() => change.rollups.push((key, bytes)),
            None => {}
        }
        Ok(())
    }
}

fn damaged(key: RollupKey, message: &str) -> SealError {
    SealError::Store(StoreError::Corrupt {
        family: historian_format::keys::FAMILY_ROLLUPS,
        key: format!("{key:?}"),
        message: message.to_owned(),
    })
}

/// Key of the block that holds an interval.
fn block_key(tag: TagId, level: RollupLevel, at: i64) -> RollupKey {
    let week = week_of(at);
    let day = (i128::from(at) - i128::from(week) * i128::from(WEEK_NS)) / i128::from(DAY_NS);
    RollupKey { week, tag_id: tag.0, level: level as u8, part: if level == RollupLevel::Minute { day as u8 } else { 0 } }
}

/// Start of a block's first interval; for the first week of time that lies before the first timestamp.
fn block_start(key: RollupKey) -> i128 {
    i128::from(key.week) * i128::from(WEEK_NS) + i128::from(key.part) * i128::from(DAY_NS)
}
