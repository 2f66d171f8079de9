//! Reads a family page after page, and finds its way past blocks that cannot be read.
//!
//! An iterator of RocksDB ends at a block whose checksum does not hold. Where the next good block begins is known only to the damaged
//! file's index, so the walk asks: it seeks ever farther, doubling the distance, until a seek succeeds, and then halves its way back to the
//! first key that can be reached. A key's first 16 bytes are taken as one number for that.

use historian_format::keys;
use rocksdb::{DBRawIterator, ReadOptions};

use super::super::{RocksStore, StoreError};

/// Bytes of one page, about.
const PAGE_BYTES: u64 = 1 << 20;

/// Entries read under one iterator.
pub(crate) struct ScrubPage {
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub bytes: u64,
    /// What ended the page early.
    pub unreadable: Option<Unreadable>,
    /// Nothing follows.
    pub last: bool,
}

/// A part of a family that cannot be read.
pub(crate) struct Unreadable {
    pub message: String,
    /// The last key read before, on an earlier page.
    pub after: Option<Vec<u8>>,
    /// The first key behind it that can be read; `None` when nothing follows.
    pub next: Option<Vec<u8>>,
}

pub(crate) struct FamilyWalk<'a> {
    store: &'a RocksStore,
    family: &'static str,
    /// The next page begins at this key.
    at: Vec<u8>,
    /// Last key read.
    before: Option<Vec<u8>>,
}

impl<'a> FamilyWalk<'a> {
    pub(crate) fn new(store: &'a RocksStore, family: &'static str) -> Result<FamilyWalk<'a>, StoreError> {
        store.family(family)?;
        Ok(FamilyWalk { store, family, at: Vec::new(), before: None })
    }

    fn iterator(&self) -> Result<DBRawIterator<'a>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        // What a scrub reads once must not push out what queries read often.
        options.fill_cache(false);
        Ok(self.store.db.raw_iterator_cf_opt(self.store.family(self.family)?, options))
    }

    pub(crate) fn page(&mut self) -> Result<ScrubPage, StoreError> {
        let mut page = ScrubPage { entries: Vec::new(), bytes: 0, unreadable: None, last: false };
        let mut iterator = self.iterator()?;
        iterator.seek(&self.at);
        while page.bytes < PAGE_BYTES
            && let Some((key, value)) = iterator.item()
        {
            page.bytes += (key.len() + value.len()) as u64;
            page.entries.push((key.to_vec(), value.to_vec()));
            iterator.next();
        }
        let after = self.before.take();
        if let Some((key, _)) = page.entries.last() {
            self.before = Some(key.clone());
            self.at.clone_from(key);
            // The smallest key behind it.
            self.at.push(0);
        } else {
            self.before.clone_from(&after);
        }
        if let Err(error) = iterator.status() {
            let next = self.behind()?;
            page.last = next.is_none();
            if let Some(next) = &next {
                self.at.clone_from(next);
            }
            page.unreadable = Some(Unreadable { message: error.to_string(), after, next });
        } else {
            page.last = !iterator.valid();
        }
        Ok(page)
    }

    /// The first key behind `at` that can be reached, given that `at` cannot.
    fn behind(&self) -> Result<Option<Vec<u8>>, StoreError> {
        // A fresh iterator each time: one that has failed may take the damaged block for read when it is sent there again.
        let reach = |target: u128| -> Result<Option<Option<Vec<u8>>>, StoreError> {
            let mut iterator = self.iterator()?;
            iterator.seek(target.to_be_bytes());
            let key = iterator.key().map(<[u8]>::to_vec);
            // The end of the family is reached as well as a key.
            Ok(iterator.status().is_ok().then_some(key))
        };
        let mut failing = number(&self.at);
        let mut step: u128 = 1;
        let (mut reached, mut found) = loop {
            let probe = failing.saturating_add(step);
            if let Some(key) = reach(probe)? {
                break (probe, key);
            }
            if probe == u128::MAX {
                return Ok(None);
            }
            failing = probe;
            step = step.saturating_mul(2);
        };
        while reached - failing > 1 {
            let middle = failing + (reached - failing) / 2;
            match reach(middle)? {
                Some(key) => (reached, found) = (middle, key),
                None => failing = middle,
            }
        }
        Ok(found)
    }
}

/// The first 16 bytes of a key as a number; their order is that of the keys.
fn number(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = key.len().min(16);
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

impl RocksStore {
    /// Bytes of all families, about: what a scrub has before it.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let of = |family: &str, property: &str| {
            let handle = self.db.cf_handle(family);
            handle.and_then(|handle| self.db.property_int_value_cf(handle, property).ok().flatten()).unwrap_or(0)
        };
        keys::FAMILIES.iter().map(|family| of(family, "rocksdb.live-sst-files-size") + of(family, "rocksdb.cur-size-all-mem-tables")).sum()
    }

    /// Name of a tag in the catalog, where that can be read.
    pub(crate) fn tag_name(&self, tag: u32) -> Option<String> {
        let entry = self.db.get_cf(self.family(keys::FAMILY_CATALOG).ok()?, keys::catalog_key(tag)).ok()??;
        let entry: serde_json::Value = serde_json::from_slice(&entry).ok()?;
        // A definition is flattened into its entry or lies within it; a deleted tag has none.
        let name = entry.get("name").or_else(|| entry.get("definition")?.get("name"))?;
        Some(name.as_str()?.to_owned())
    }
}
