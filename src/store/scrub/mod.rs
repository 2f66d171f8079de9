//! Scrub: reads every entry of every family and checks all that can be checked, before a query meets the damage.
//!
//! What is compared: RocksDB's block checksums, the checksums of chunks, rollup blocks and journal records, everything decoded, the
//! statistics in chunk headers with those of the decoded samples, keys with what lies under them, and the order of chunks. Nothing is
//! changed. Damage does not end a scrub: it is reported and the scrub goes on behind it.
//!
//! Entries are read in pages with a fresh iterator each, past the block cache, so that neither files nor read views are held for long. What
//! RocksDB's cache happens to hold already is checked there and not on the disk.

pub(super) mod entry;
#[cfg(test)]
mod tests;
pub(super) mod walk;

use std::ops::ControlFlow;

use historian_format::keys;
use serde::{Deserialize, Serialize};

use self::{
    entry::Checker,
    walk::{FamilyWalk, ScrubPage},
};
use super::{RocksStore, StoreError, pace::RateLimit};
use historian_model::Timestamp;

/// Findings that are kept in a report; all are counted and told.
const FINDINGS_KEPT: usize = 1000;

/// Tags named for one unreadable block.
const TAGS_NAMED: usize = 16;

/// Tag ids that are looked up for one unreadable block.
const CANDIDATES_MAX: u32 = 10_000;

/// Why a scrub did not reach its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScrubError {
    #[error("a scrub is running already; its findings are in the log and in its report")]
    Busy,
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Something that is damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// Family of the entries.
    pub family: String,
    /// Tags whose data it is; for an unreadable block those it can be of, where they are few.
    pub tags: Vec<String>,
    /// Timestamps of the damaged data, `start <= timestamp <= end`, as far as the keys tell.
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub message: String,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubReport {
    pub begun: Timestamp,
    pub ended: Timestamp,
    /// Bytes of keys and values read.
    pub bytes: u64,
    pub entries: u64,
    pub chunks: u64,
    pub samples: u64,
    /// Number of findings.
    pub damaged: u64,
    /// The first of them.
    pub findings: Vec<Damaged>,
}

/// What a scrub tells while it runs.
pub enum ScrubEvent<'a> {
    Progress { family: &'static str, bytes_done: u64, bytes_total: u64 },
    Found(&'a Damaged),
}

/// Hears of progress about once per mebibyte and of every finding; says whether to go on.
pub type Listen<'a> = &'a mut dyn FnMut(ScrubEvent<'_>) -> ControlFlow<()>;

/// Reads the whole store. The times of the report are the caller's. Blocks.
///
/// # Errors
/// Only when told to stop; damage is in the report.
pub fn scrub(store: &RocksStore, bytes_per_s: Option<u64>, listen: Listen<'_>) -> Result<ScrubReport, ScrubError> {
    let mut run =
        Run { store, listen, report: ScrubReport::default(), bytes_total: store.stored_bytes(), pace: RateLimit::new(bytes_per_s) };
    let is_empty = |family: &str| keys::FAMILIES_ADDED.contains(&family) && store.family(family).is_err();
    for family in keys::FAMILIES.into_iter().filter(|family| !is_empty(family)) {
        run.family(family)?;
    }
    Ok(run.report)
}

/// A finding beside the entries: of a store that is not running.
pub fn lost_tail(store: &RocksStore, acknowledged: u64) -> Option<Damaged> {
    let message = match store.last_journal_sequence() {
        Ok(found) if found >= acknowledged => return None,
        Ok(found) => format!("it ends at write {found}, but write {acknowledged} was acknowledged: the tail of the log is lost"),
        Err(error) => error.to_string(),
    };
    Some(Damaged { family: keys::FAMILY_JOURNAL.to_owned(), message, ..Damaged::default() })
}

struct Run<'a, 'b> {
    store: &'a RocksStore,
    listen: Listen<'b>,
    report: ScrubReport,
    bytes_total: u64,
    pace: RateLimit,
}

impl Run<'_, '_> {
    fn family(&mut self, family: &'static str) -> Result<(), ScrubError> {
        let mut walk = FamilyWalk::new(self.store, family)?;
        let mut checker = Checker::new(family);
        loop {
            let page = walk.page()?;
            // Between two pages chunks may be merged into others, so only those of one page are neighbours.
            checker.forget();
            for (key, value) in &page.entries {
                self.report.bytes += (key.len() + value.len()) as u64;
                self.report.entries += 1;
                match checker.check(key, value) {
                    Ok(samples) if family == keys::FAMILY_CHUNKS || family == keys::FAMILY_LATE => {
                        self.report.chunks += 1;
                        self.report.samples += samples;
                    }
                    Ok(_) => {}
                    Err(fault) => {
                        let tags = fault.tag.map(|tag| self.name(tag)).into_iter().collect();
                        let found = Damaged { family: family.to_owned(), tags, start: fault.start, end: fault.end, message: fault.message };
                        self.found(found)?;
                    }
                }
            }
            if let Some(unreadable) = &page.unreadable {
                let found = self.unreadable(family, &page, unreadable);
                self.found(found)?;
            }
            let bytes = page.bytes;
            self.tell(family)?;
            let (listen, done, total) = (&mut self.listen, self.report.bytes, self.bytes_total);
            let mut stop = || listen(ScrubEvent::Progress { family, bytes_done: done, bytes_total: total }).is_break();
            self.pace.spend(bytes, &mut stop);
            if page.last {
                return self.tell(family);
            }
        }
    }

    fn tell(&mut self, family: &'static str) -> Result<(), ScrubError> {
        let progress = ScrubEvent::Progress { family, bytes_done: self.report.bytes, bytes_total: self.bytes_total.max(self.report.bytes) };
        go_on((self.listen)(progress))
    }

    fn found(&mut self, damaged: Damaged) -> Result<(), ScrubError> {
        self.report.damaged += 1;
        let told = (self.listen)(ScrubEvent::Found(&damaged));
        if self.report.findings.len() < FINDINGS_KEPT {
            self.report.findings.push(damaged);
        }
        go_on(told)
    }

    /// What lies between the last entry that could be read and the next one.
    fn unreadable(&self, family: &'static str, page: &ScrubPage, unreadable: &walk::Unreadable) -> Damaged {
        let before = page.entries.last().map(|(key, _)| key.as_slice()).or(unreadable.after.as_deref());
        let place = |key: Option<&[u8]>| key.and_then(|key| entry::place(family, key));
        let (first, next) = (place(before), place(unreadable.next.as_deref()));
        let mut damaged = Damaged { family: family.to_owned(), message: unreadable.message.clone(), ..Damaged::default() };
        let (Some(from), Some(to)) =
            (first.or(next.map(entry::KeyPlace::first_of_week)), next.or(first.map(entry::KeyPlace::last_of_week)))
        else {
            return damaged;
        };
        // Within one week tags follow each other by id, and within one tag its entries by time.
        if from.week == to.week && to.tag.saturating_sub(from.tag) <= CANDIDATES_MAX {
            let candidates = (from.tag..=to.tag).filter(|tag| self.store.tag_name(*tag).is_some());
            damaged.tags = candidates.take(TAGS_NAMED).map(|tag| self.name(tag)).collect();
        }
        if (from.week, from.tag) == (to.week, to.tag) {
            (damaged.start, damaged.end) = (from.start, to.start);
        } else {
            (damaged.start, damaged.end) = (Some(keys::week_bounds(from.week).0), Some(keys::week_bounds(to.week).1));
        }
        damaged
    }

    fn name(&self, tag: u32) -> String {
        self.store.tag_name(tag).unwrap_or_else(|| format!("tag id {tag}"))
    }
}

fn go_on(told: ControlFlow<()>) -> Result<(), ScrubError> {
    match told {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ScrubError::Cancelled),
    }
}
