//! What is checked of a single entry, by family.

use historian_audit::{ChainCheck, ChainedEntry, FaultKind};
use historian_format::{
    CHUNK_MAGIC, Chunk,
    journal::decode_record,
    keys::{self, ChunkKey, NoteKey, RollupKey, SupersededKey},
    rollup::RollupBlock,
};

use crate::note;

/// Why an entry is damaged.
pub(crate) struct EntryDamage {
    pub tag: Option<u32>,
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub message: String,
}

/// Where a key lies: its week, its tag, and its time where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlace {
    pub week: i32,
    pub tag: u32,
    pub start: Option<i64>,
}

impl KeyPlace {
    /// The least place in the same week.
    pub(crate) fn first_of_week(self) -> KeyPlace {
        KeyPlace { tag: 0, start: None, ..self }
    }

    /// The greatest place of the same tag and week.
    pub(crate) fn last_of_week(self) -> KeyPlace {
        KeyPlace { start: Some(keys::week_bounds(self.week).1), ..self }
    }
}

/// Place of a key, for the families whose keys have one.
pub(crate) fn place(family: &str, key: &[u8]) -> Option<KeyPlace> {
    match family {
        keys::FAMILY_CHUNKS | keys::FAMILY_LATE => {
            ChunkKey::decode(key).map(|key| KeyPlace { week: keys::week_of(key.start), tag: key.tag_id, start: Some(key.start) })
        }
        keys::FAMILY_SUPERSEDED => {
            SupersededKey::decode(key).map(|key| KeyPlace { week: keys::week_of(key.start), tag: key.tag_id, start: Some(key.start) })
        }
        keys::FAMILY_ROLLUPS => RollupKey::decode(key).map(|key| KeyPlace { week: key.week, tag: key.tag_id, start: None }),
        _ => None,
    }
}

/// Checks the entries of one family in the order of their keys.
pub(crate) struct Checker {
    family: &'static str,
    /// Tag and last timestamp of the ordered chunk before.
    before: Option<(u32, i64)>,
    /// Of the audit log; `None` where its entries are taken one by one.
    chain: Option<ChainCheck>,
}

impl Checker {
    pub(crate) fn new(family: &'static str) -> Checker {
        Checker { family, before: None, chain: Some(ChainCheck::from_start()) }
    }

    /// Takes each entry for itself, whatever comes before it.
    pub(crate) fn of_single_entries(family: &'static str) -> Checker {
        Checker { family, before: None, chain: None }
    }

    /// What follows is not the neighbour of what came before.
    pub(crate) fn forget(&mut self) {
        self.before = None;
    }

    /// Samples in the entry, where it is sound.
    pub(crate) fn check(&mut self, key: &[u8], value: &[u8]) -> Result<u64, EntryDamage> {
        if self.chain.is_none() {
            self.forget();
        }
        let place = place(self.family, key);
        let fault = |message: String| {
            let week = place.map(|place| keys::week_bounds(place.week));
            EntryDamage {
                tag: place.map(|place| place.tag),
                start: place.and_then(|place| place.start).or(week.map(|week| week.0)),
                end: place.and_then(|place| place.start).is_none().then(|| week.map(|week| week.1)).flatten(),
                message,
            }
        };
        let no_key = || fault(format!("{key:02x?} is no key of this family"));
        match self.family {
            keys::FAMILY_CHUNKS | keys::FAMILY_LATE => {
                let key = ChunkKey::decode(key).ok_or_else(no_key)?;
                self.chunk(key, value).map_err(|(end, message)| EntryDamage { end, ..fault(message) })
            }
            keys::FAMILY_SUPERSEDED => {
                let key = SupersededKey::decode(key).ok_or_else(no_key)?;
                superseded(key, value).map_err(fault)
            }
            keys::FAMILY_ROLLUPS => {
                let key = RollupKey::decode(key).ok_or_else(no_key)?;
                let block = RollupBlock::decode(value).map_err(|error| fault(error.to_string()))?;
                if block.tag_id != key.tag_id || block.level as u8 != key.level {
                    return Err(fault(format!("the block under this key is of tag id {}, level {}", block.tag_id, block.level as u8)));
                }
                Ok(0)
            }
            keys::FAMILY_JOURNAL => {
                let sequence = keys::decode_journal_key(key).ok_or_else(no_key)?;
                let record = decode_record(value).map_err(|error| fault(format!("write {sequence}: {error}")))?;
                Ok(record.runs.iter().map(|(_, run)| run.len() as u64).sum())
            }
            keys::FAMILY_CATALOG => {
                let tag = keys::decode_catalog_key(key).ok_or_else(no_key)?;
                let of = |message: String| EntryDamage { tag: Some(tag), ..fault(message) };
                let entry: serde_json::Value = serde_json::from_slice(value).map_err(|error| of(error.to_string()))?;
                match entry.get("id").and_then(serde_json::Value::as_u64) {
                    Some(id) if id == u64::from(tag) => Ok(0),
                    _ => Err(of("the entry under this key is of another tag id".into())),
                }
            }
            keys::FAMILY_AUDIT => {
                let number = keys::decode_audit_key(key).ok_or_else(no_key)?;
                self.audit(number, value).map_err(fault)
            }
            keys::FAMILY_GAPS => serde_json::from_slice::<serde_json::Value>(value).map(|_| 0).map_err(|error| fault(error.to_string())),
            keys::FAMILY_NOTES => {
                let key = NoteKey::decode(key).ok_or_else(no_key)?;
                note::check(key, value).map(|()| 0).map_err(|error| fault(error.to_string()))
            }
            // Marks of a few bytes, checked by the checksum of their block and by those who read them.
            _ => Ok(0),
        }
    }

    /// An entry of the audit log is what was written behind the one before. That one is missing is not told: what was lost with consent would be
    /// told for ever; `historian audit verify` tells it.
    fn audit(&mut self, number: u64, value: &[u8]) -> Result<u64, String> {
        let entry = ChainedEntry::from_stored(number, value).map_err(|error| error.to_string())?;
        entry.entry().map_err(|error| error.to_string())?;
        match self.chain.as_mut().map_or(Ok(()), |chain| chain.next(&entry)) {
            Err(FaultKind::Changed) => Err(format!("entry {number} of the audit log was changed, or the hash of the entry before it was")),
            _ => Ok(0),
        }
    }

    /// Samples of a chunk; else its last timestamp, where its header can be trusted, and what is wrong.
    fn chunk(&mut self, key: ChunkKey, value: &[u8]) -> Result<u64, (Option<i64>, String)> {
        let before = self.before.take();
        let chunk = Chunk::parse(value).map_err(|error| {
            let end = historian_format::ChunkHeader::parse(value).ok().map(|header| header.statistics.last_timestamp);
            (end, error.to_string())
        })?;
        let header = *chunk.header();
        let end = header.statistics.last_timestamp;
        let fail = |message: String| (Some(end), message);
        let samples = chunk.decode_and_compare().map_err(|error| fail(error.to_string()))?;
        if (header.tag_id, header.statistics.first_timestamp) != (key.tag_id, key.start) {
            return Err(fail(format!(
                "the chunk under this key is of tag id {} and starts at {}",
                header.tag_id, header.statistics.first_timestamp
            )));
        }
        if self.family == keys::FAMILY_CHUNKS {
            self.before = Some((key.tag_id, end));
            if before.is_some_and(|(tag, last)| tag == key.tag_id && last >= key.start) {
                return Err(fail("it overlaps the chunk before it, which ordered chunks never do".into()));
            }
        }
        Ok(samples.len() as u64)
    }
}

fn superseded(key: SupersededKey, value: &[u8]) -> Result<u64, String> {
    let of_tag = |tag: u32| if tag == key.tag_id { Ok(()) } else { Err(format!("what lies under this key is of tag id {tag}")) };
    if value.starts_with(&CHUNK_MAGIC) {
        let chunk = Chunk::parse(value).map_err(|error| error.to_string())?;
        of_tag(chunk.header().tag_id)?;
        return chunk.decode_and_compare().map(|samples| samples.len() as u64).map_err(|error| error.to_string());
    }
    let record = decode_record(value).map_err(|error| error.to_string())?;
    record.runs.iter().try_for_each(|(tag, _)| of_tag(*tag))?;
    Ok(record.runs.iter().map(|(_, run)| run.len() as u64).sum())
}
