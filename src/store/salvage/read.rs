//! Reads and checks every entry of a database, and where asked copies the sound ones into another.
//!
//! What is derived is not mourned: a damaged rollup block goes and its days are marked, so that background work makes it anew. A tag whose
//! definition is lost gets another one, so that its samples can be read. Ordered chunks come out disjoint, whatever order they went in.

use std::collections::{BTreeMap, BTreeSet};

use historian_format::{
    CHUNK_MAGIC, ChunkHeader, ValueType,
    journal::decode_record,
    keys::{self, ChunkKey, KeptMark, RollupKey, SupersededKey, TagRecord, days_of_week, week_of},
};
use rocksdb::{WriteBatch, WriteOptions};

use super::open::Mending;
use crate::{
    Change, ReadStore, RocksStore, Store, StoreError,
    catalog::{deleted_entry, stored_tag, tag_entry},
    rocks::io,
    scrub::{
        entry::{Checker, EntryDamage, KeyPlace, place},
        walk::{FamilyWalk, ScrubPage, Unreadable},
    },
};
use historian_model::{Tag, TagDefinition, TagId, TagName, TimeBounds, Timestamp};

/// Families in the order in which they are read: what a later one needs to know of an earlier one is known then.
const ORDER: [&str; 10] = [
    keys::FAMILY_CATALOG,
    keys::FAMILY_JOURNAL,
    keys::FAMILY_LATE,
    keys::FAMILY_CHUNKS,
    keys::FAMILY_SUPERSEDED,
    keys::FAMILY_STATE,
    keys::FAMILY_ROLLUPS,
    keys::FAMILY_GAPS,
    keys::FAMILY_NOTES,
    keys::FAMILY_AUDIT,
];
/// Losses told one by one.
const LOSSES_MAX: usize = 10_000;
/// Tags told one by one for one unreadable block.
const CANDIDATES_MAX: usize = 64;
/// Ids of tags between two that can be read, of which it is looked after.
const IDS_MAX: u32 = 1 << 20;
/// Bytes of one batch of copies.
const BATCH_BYTES: usize = 8 << 20;
const EVERY_DAY: u8 = 0x7F;

/// Something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnreadableEntry {
    pub tag: Option<u32>,
    /// The range `[start, end)` of source time, as far as it is known.
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub detail: String,
}

/// What reading found.
#[derive(Debug, Default)]
pub(super) struct SalvageFindings {
    /// Not everything is as it should be: a copy is needed.
    pub damaged: bool,
    /// The first losses, and how many came after them.
    pub losses: Vec<UnreadableEntry>,
    pub more: u64,
    /// Names of the tags of losses.
    pub names: BTreeMap<u32, String>,
    /// Last record of the journal.
    pub last_sequence: u64,
    /// The highest sequence number anywhere.
    pub sequence_max: u64,
}

pub(super) struct SalvageReader<'a> {
    source: &'a RocksStore,
    target: Option<&'a RocksStore>,
    mending: Mending,
    now: Timestamp,
    batch: WriteBatch,
    findings: SalvageFindings,
    /// Ids that have an entry in the catalog, be it of a deleted tag.
    known: BTreeSet<u32>,
    /// Ids whose entry is lost.
    missing: BTreeSet<u32>,
    /// Names that a tag has which was recovered before.
    recovered_names: BTreeSet<String>,
    /// Tags that have data and no entry.
    orphans: BTreeMap<u32, ValueType>,
    /// The last ordered chunk, not yet copied, because the next one may overlap it.
    pending: Option<PendingChunk>,
    /// Days whose rollups are to be made anew.
    dirty: BTreeMap<(u32, i32), u8>,
    /// All rollups are to be made anew.
    renew: bool,
}

struct PendingChunk {
    key: ChunkKey,
    bytes: Vec<u8>,
    last: i64,
    sequence: u64,
}

impl<'a> SalvageReader<'a> {
    pub(super) fn new(source: &'a RocksStore, target: Option<&'a RocksStore>, mending: Mending, now: Timestamp) -> SalvageReader<'a> {
        SalvageReader {
            source,
            target,
            mending,
            now,
            batch: WriteBatch::default(),
            findings: SalvageFindings::default(),
            known: BTreeSet::new(),
            missing: BTreeSet::new(),
            recovered_names: BTreeSet::new(),
            orphans: BTreeMap::new(),
            pending: None,
            dirty: BTreeMap::new(),
            // Rollups and the chunks they tell of are of different moments then.
            renew: mending >= Mending::Files,
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When the target cannot be written; damage of the source is in the findings.
    pub(super) fn run(mut self) -> Result<SalvageFindings, StoreError> {
        for family in ORDER {
            let mut walk = FamilyWalk::new(self.source, family)?;
            let mut checker = Checker::of_single_entries(family);
            loop {
                let page = walk.page()?;
                for (key, value) in &page.entries {
                    match checker.check(key, value) {
                        Ok(_) => self.sound(family, key, value)?,
                        Err(fault) => self.damaged(family, key, fault),
                    }
                }
                if let Some(unreadable) = &page.unreadable {
                    self.settle()?;
                    self.unreadable(family, &page, unreadable);
                }
                if page.last {
                    break;
                }
            }
            self.settle()?;
        }
        self.finish()?;
        Ok(self.findings)
    }

    fn put(&mut self, family: &str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Some(target) = self.target else { return Ok(()) };
        self.batch.put_cf(target.family(family)?, key, value);
        if self.batch.size_in_bytes() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let Some(target) = self.target else { return Ok(()) };
        let mut options = WriteOptions::default();
        // Nothing refers to the target before it is written out and synced as a whole.
        options.disable_wal(true);
        target.db.write_opt(std::mem::take(&mut self.batch), &options).map_err(io)
    }

    fn sound(&mut self, family: &'static str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        match family {
            keys::FAMILY_CATALOG => {
                let Some(id) = keys::decode_catalog_key(key) else { return Ok(()) };
                let Ok(tag) = stored_tag(TagId(id), value) else {
                    self.findings.damaged = true;
                    self.missing.insert(id);
                    return Ok(());
                };
                self.known.insert(id);
                self.recovered_names.extend(tag.map(|tag| tag.name().to_string()).filter(|name| name.starts_with(RECOVERED)));
            }
            keys::FAMILY_JOURNAL => {
                let sequence = keys::decode_journal_key(key).unwrap_or(0);
                self.findings.last_sequence = sequence;
                self.seen(sequence);
                if let Ok(record) = decode_record(value) {
                    record.runs.iter().for_each(|(tag, run)| self.note(*tag, run.value_type()));
                }
            }
            keys::FAMILY_CHUNKS | keys::FAMILY_LATE => {
                let (Some(key), Ok(header)) = (ChunkKey::decode(key), ChunkHeader::parse(value)) else { return Ok(()) };
                self.seen(header.sequence);
                self.note(key.tag_id, header.value_type);
                if family == keys::FAMILY_CHUNKS {
                    let (last, sequence) = (header.statistics.last_timestamp, header.sequence);
                    return self.ordered(PendingChunk { key, bytes: value.to_vec(), last, sequence });
                }
            }
            keys::FAMILY_SUPERSEDED => {
                let Some(key) = SupersededKey::decode(key) else { return Ok(()) };
                self.seen(key.sequence);
                if !value.starts_with(&CHUNK_MAGIC) {
                    let first = decode_record(value).ok().and_then(|record| record.runs.first().map(|(_, run)| run.value_type()));
                    if let Some(value_type) = first {
                        self.note(key.tag_id, value_type);
                    }
                } else if let Ok(header) = ChunkHeader::parse(value) {
                    self.note(key.tag_id, header.value_type);
                }
            }
            keys::FAMILY_STATE => return self.state(key, value),
            keys::FAMILY_ROLLUPS => {
                let tag = RollupKey::decode(key).map_or(0, |key| key.tag_id);
                if self.renew || !self.has_tag(tag) {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.put(family, key, value)
    }

    fn seen(&mut self, sequence: u64) {
        self.findings.sequence_max = self.findings.sequence_max.max(sequence);
    }

    fn note(&mut self, tag: u32, value_type: ValueType) {
        if !self.known.contains(&tag) && self.orphans.insert(tag, value_type).is_none() {
            self.findings.damaged = true;
        }
    }

    fn has_tag(&self, tag: u32) -> bool {
        self.known.contains(&tag) || self.orphans.contains_key(&tag)
    }

    /// Takes the next ordered chunk. Of two that overlap the one that was written later goes to the late ones, which win over the others.
    fn ordered(&mut self, mut chunk: PendingChunk) -> Result<(), StoreError> {
        if let Some(before) = self.pending.take() {
            let overlap = before.key.tag_id == chunk.key.tag_id && before.last >= chunk.key.start;
            if overlap {
                self.findings.damaged = true;
                let (mut moved, kept) = if before.sequence > chunk.sequence { (before, chunk) } else { (chunk, before) };
                self.mark(moved.key.tag_id, TimeBounds { first: moved.key.start, last: moved.last });
                self.write()?;
                if let Some(target) = self.target {
                    let (tag, start) = (moved.key.tag_id, moved.key.start);
                    let last = target.last_generation(TagId(tag), start)?;
                    moved.key.generation = last
                        .map_or(Some(0), |last| last.checked_add(1))
                        .ok_or_else(|| StoreError::Io(format!("tag id {tag} has no free generation of late chunks at {start}")))?;
                }
                self.put(keys::FAMILY_LATE, &moved.key.encode(), &moved.bytes)?;
                chunk = kept;
            } else {
                self.put(keys::FAMILY_CHUNKS, &before.key.encode(), &before.bytes)?;
            }
        }
        self.pending = Some(chunk);
        Ok(())
    }

    /// Copies the ordered chunk that waits for its neighbour.
    fn settle(&mut self) -> Result<(), StoreError> {
        match self.pending.take() {
            Some(chunk) => self.put(keys::FAMILY_CHUNKS, &chunk.key.encode(), &chunk.bytes),
            None => Ok(()),
        }
    }

    /// An entry of the store's own state. A mark that is missing only costs work.
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if let Some((record, tag)) = TagRecord::decode(key) {
            match record {
                TagRecord::Sealed => {
                    let Ok(sealed) = <[u8; 8]>::try_from(value).map(u64::from_le_bytes) else {
                        self.findings.damaged = true;
                        return Ok(());
                    };
                    self.seen(sealed);
                    // Chunks of a log that was cut may be gone while the mark, in a family written out before, still says that they are
                    // there: the journal is applied again as far as it goes.
                    if self.mending == Mending::Files {
                        return Ok(());
                    }
                }
                TagRecord::Kept if KeptMark::decode(value).is_none() => {
                    self.findings.damaged = true;
                    return Ok(());
                }
                TagRecord::Kept => {}
                // What it tells of may be lost. It is told again with the tag's next chunk.
                TagRecord::Current => return Ok(()),
            }
            if !self.has_tag(tag) {
                return Ok(());
            }
        } else if let Some((week, tag)) = keys::decode_dirty_key(key) {
            let Some(&days) = value.first() else {
                self.dirty_week(tag, week, EVERY_DAY);
                self.findings.damaged = true;
                return Ok(());
            };
            if !self.has_tag(tag) {
                return Ok(());
            }
            self.dirty_week(tag, week, days);
        } else if key == keys::format_version_key() {
            // The target has its own.
            return Ok(());
        }
        self.put(keys::FAMILY_STATE, key, value)
    }

    fn dirty_week(&mut self, tag: u32, week: i32, days: u8) {
        *self.dirty.entry((tag, week)).or_insert(0) |= days;
    }

    /// Marks the days of a range within one week.
    fn mark(&mut self, tag: u32, TimeBounds { first, last }: TimeBounds) {
        let week = week_of(first);
        let last = last.min(TimeBounds::of_week(week).last).max(first);
        self.dirty_week(tag, week, days_of_week(first, last));
    }

    fn lose(&mut self, loss: UnreadableEntry) {
        if self.findings.losses.len() < LOSSES_MAX { self.findings.losses.push(loss) } else { self.findings.more += 1 }
    }

    /// An entry that was read and is not sound.
    fn damaged(&mut self, family: &'static str, key: &[u8], fault: EntryDamage) {
        self.findings.damaged = true;
        let EntryDamage { tag, start, end, message } = fault;
        let detail = format!("a damaged entry of the family {family}: {message}");
        match family {
            keys::FAMILY_CATALOG => {
                let id = keys::decode_catalog_key(key);
                self.missing.extend(id);
                if id.is_none() {
                    self.lose(UnreadableEntry { tag: None, start: None, end: None, detail });
                }
            }
            keys::FAMILY_ROLLUPS => match RollupKey::decode(key) {
                Some(key) => self.dirty_week(key.tag_id, key.week, if key.level == 1 { 1 << key.part.min(6) } else { EVERY_DAY }),
                None => self.renew = true,
            },
            keys::FAMILY_STATE => {}
            _ => {
                let last = end.or(start.map(|start| TimeBounds::of_week(week_of(start)).last));
                if let (keys::FAMILY_CHUNKS, Some(tag), Some(start), Some(last)) = (family, tag, start, last) {
                    self.mark(tag, TimeBounds { first: start, last });
                }
                self.lose(UnreadableEntry { tag, start, end: last.map(|last| last.saturating_add(1)), detail });
            }
        }
    }

    /// What lies between two entries that can be read.
    fn unreadable(&mut self, family: &'static str, page: &ScrubPage, unreadable: &Unreadable) {
        self.findings.damaged = true;
        let before = page.entries.last().map(|(key, _)| key.as_slice()).or(unreadable.after.as_deref());
        let next = unreadable.next.as_deref();
        let message = &unreadable.message;
        let detail = format!("a part of the family {family} that cannot be read: {message}");
        match family {
            keys::FAMILY_CHUNKS | keys::FAMILY_LATE | keys::FAMILY_SUPERSEDED | keys::FAMILY_ROLLUPS => {
                let place = |key: Option<&[u8]>| key.and_then(|key| place(family, key));
                self.unreadable_places(family, place(before), place(next), &detail);
            }
            keys::FAMILY_CATALOG => {
                let first = before.and_then(keys::decode_catalog_key).map_or(1, |id| id + 1);
                match next.and_then(keys::decode_catalog_key) {
                    Some(next) => self.missing.extend(first..next.min(first.saturating_add(IDS_MAX))),
                    None => self.lose(UnreadableEntry {
                        tag: None,
                        start: None,
                        end: None,
                        detail: format!("{detail}: the definitions of tags from id {first} on"),
                    }),
                }
            }
            keys::FAMILY_NOTES => {
                let detail = format!("{detail}: annotations and views");
                self.lose(UnreadableEntry { tag: None, start: None, end: None, detail });
            }
            // Marks of days may be among it, and without them a rollup cannot be trusted.
            keys::FAMILY_STATE => self.renew = true,
            _ => {
                let number = |key: Option<&[u8]>| key.and_then(keys::decode_journal_key);
                let first = number(before).map_or(1, |number| number + 1);
                let what = if family == keys::FAMILY_JOURNAL { "writes" } else { "entries" };
                let range =
                    number(next).map_or_else(|| format!("{what} from {first} on"), |next| format!("{what} {first} to {}", next - 1));
                self.lose(UnreadableEntry { tag: None, start: None, end: None, detail: format!("{detail}: {range}") });
            }
        }
    }

    fn unreadable_places(&mut self, family: &'static str, from: Option<KeyPlace>, to: Option<KeyPlace>, detail: &str) {
        let is_rollup = family == keys::FAMILY_ROLLUPS;
        let (Some(from), Some(to)) = (from, to) else {
            self.renew = true;
            let start = from.map(|from| TimeBounds::of_week(from.week).first);
            let end = to.map(|to| TimeBounds::of_week(to.week).to_range().end.0);
            if !is_rollup {
                self.lose(UnreadableEntry { tag: None, start, end, detail: detail.to_owned() });
            }
            return;
        };
        if from.week != to.week {
            self.renew = true;
            if !is_rollup {
                let start = Some(TimeBounds::of_week(from.week).first);
                let end = Some(TimeBounds::of_week(to.week).to_range().end.0);
                self.lose(UnreadableEntry { tag: None, start, end, detail: detail.to_owned() });
            }
            return;
        }
        // Within one week tags follow each other by id, and within one tag its entries by time.
        let week = TimeBounds::of_week(from.week);
        let mut candidates: Vec<u32> = self.known.range(from.tag..=to.tag).copied().collect();
        candidates.extend(self.orphans.range(from.tag..=to.tag).map(|(tag, _)| *tag));
        let one_by_one = candidates.len() <= CANDIDATES_MAX && !is_rollup;
        for tag in candidates {
            let first = if tag == from.tag { from.start.unwrap_or(week.first) } else { week.first };
            let last = if tag == to.tag { to.start.map_or(week.last, |start| start.saturating_sub(1)) } else { week.last };
            match family {
                keys::FAMILY_ROLLUPS => self.dirty_week(tag, from.week, EVERY_DAY),
                keys::FAMILY_CHUNKS => self.mark(tag, TimeBounds { first, last }),
                _ => {}
            }
            if one_by_one {
                let end = last.saturating_add(1);
                self.lose(UnreadableEntry { tag: Some(tag), start: Some(first), end: Some(end), detail: detail.to_owned() });
            }
        }
        if !one_by_one && !is_rollup {
            let week = week.to_range();
            self.lose(UnreadableEntry { tag: None, start: Some(week.start.0), end: Some(week.end.0), detail: detail.to_owned() });
        }
    }

    /// Definitions in place of lost ones, marks of what is to be made anew, and everything on the disk.
    fn finish(&mut self) -> Result<(), StoreError> {
        self.definitions()?;
        self.write()?;
        let Some(target) = self.target else { return Ok(()) };
        let mut change = Change::default();
        if self.renew {
            change = renewed(target, self.known.iter().chain(self.orphans.keys()))?;
        } else {
            change.dirty.extend(self.dirty.iter().map(|(&(tag, week), &days)| (TagId(tag), week, days)));
        }
        target.apply(&change)?;
        for name in keys::FAMILIES {
            target.db.flush_cf(target.family(name)?).map_err(io)?;
        }
        target.sync()?;
        for tag in self.findings.losses.iter().filter_map(|loss| loss.tag) {
            if let Some(name) = target.tag_name(tag) {
                self.findings.names.insert(tag, name);
            }
        }
        Ok(())
    }

    fn definitions(&mut self) -> Result<(), StoreError> {
        let failed = |id: u32, error: String| StoreError::Io(format!("no entry can be made for tag id {id}: {error}"));
        for (id, value_type) in std::mem::take(&mut self.orphans) {
            let plain = format!("{RECOVERED}{id}");
            let names = std::iter::once(plain.clone()).chain((2..).map(|again: u32| format!("{plain}_{again}")));
            let free = names.into_iter().find(|name| !self.recovered_names.contains(name)).unwrap_or(plain);
            let name = TagName::new(&free).map_err(|error| failed(id, error.to_string()))?;
            let definition = TagDefinition::new(name, value_type);
            let tag = Tag { id: TagId(id), definition, created: self.now, updated: self.now };
            let entry = tag_entry(&tag).map_err(|error| failed(id, error))?;
            self.put(keys::FAMILY_CATALOG, &keys::catalog_key(id), &entry)?;
            let detail = format!("the definition of tag id {id}, its name with it: its samples are kept under the name {free}");
            self.lose(UnreadableEntry { tag: Some(id), start: None, end: None, detail });
            self.missing.remove(&id);
            self.known.insert(id);
        }
        for id in std::mem::take(&mut self.missing) {
            let entry = deleted_entry(TagId(id)).map_err(|error| failed(id, error))?;
            self.put(keys::FAMILY_CATALOG, &keys::catalog_key(id), &entry)?;
            self.lose(UnreadableEntry {
                tag: None,
                start: None,
                end: None,
                detail: format!("the definition of tag id {id}, which had no samples"),
            });
        }
        Ok(())
    }
}

const RECOVERED: &str = "recovered/tag_";

/// Removes all rollups, and lets the background begin anew with them.
fn renewed<'t>(target: &RocksStore, tags: impl Iterator<Item = &'t u32>) -> Result<Change, StoreError> {
    let rollups = target.family(keys::FAMILY_ROLLUPS)?;
    let mut batch = WriteBatch::default();
    batch.delete_range_cf(rollups, &[0][..], &[0xFF; RollupKey::BYTES + 1][..]);
    batch.delete_range_cf(target.family(keys::FAMILY_STATE)?, &TagRecord::Current.key(0)[..], &[TagRecord::Current.letter() + 1][..]);
    target.db.write(batch).map_err(io)?;
    let mut change = Change::default();
    for &tag in tags {
        let mark = target.kept(TagId(tag))?;
        if mark != KeptMark::default() {
            change.kept.push((TagId(tag), KeptMark { rolled_until: i64::MIN, ..mark }));
        }
    }
    change.dirty.extend(target.dirty(None)?.into_iter().map(|(tag, week, _)| (tag, week, 0)));
    Ok(change)
}
