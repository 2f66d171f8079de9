//! Starting on a damaged store all the same: keeps all that can be read, says what cannot, and destroys nothing.
//!
//! Without being asked a damaged store is refused ([`RocksStore::open`]). With `--accept-loss` the work goes like this:
//!
//! 1. A working copy of the database is made in `salvage.partial` (tables are linked, RocksDB never changes them) and opened by the least
//!    mending that makes it open ([`open`]).
//! 2. Every entry is read and checked ([`read`]). Where some cannot be read, or the order of files is no longer known, all sound entries
//!    are copied into a fresh database.
//! 3. Gaps and an entry of the audit log are written into the result, durably.
//! 4. The damaged originals move to `lost-<time>` and the result takes their place ([`swap`]). Until the last rename a start is refused.
//!
//! Sequence numbers go on behind every one that was seen or acknowledged, so that no mark of what is sealed can hide a later write.

mod open;
mod read;
mod swap;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use historian_format::journal::encode_record;

use self::{
    open::{Mending, WorkingCopy},
    read::{SalvageFindings, SalvageReader, UnreadableEntry},
    swap::SalvageDirectories,
};
use super::{
    AuditEntry, Claim, Gap, GapReason, RocksStore, Store, StoreError,
    disk::{
        lock::lock,
        watermark::{WatermarkFile, WatermarkRead},
    },
    rocks::StoreOptions,
};
use historian_model::Timestamp;

pub(super) use self::swap::unfinished;

/// Tags named in the entry of the audit log.
const TAGS_NAMED: usize = 1_000;

/// What accepting the loss came to.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Where the damaged files are now.
    pub set_aside: PathBuf,
    /// What was recorded as lost.
    pub gaps: Vec<Gap>,
    /// What was damaged, and what was done about it.
    pub notes: Vec<String>,
}

/// Makes a store that opens of a damaged one. `None` when nothing is damaged: then nothing is changed. Blocks, and reads the whole store.
///
/// # Errors
/// [`StoreError::Open`] when another historian runs on the directory or nothing can be made of the database; [`StoreError::Full`] when there
/// is no room for the work. The damaged files are then as they were.
pub fn accept_loss(directory: &Path, options: &StoreOptions, now: Timestamp) -> Result<Option<Accepted>, StoreError> {
    let Some(_only) = swap::only_one(directory)? else { return Ok(None) };
    accept_loss_alone(directory, options, now)
}

/// As [`accept_loss`], of a directory that is claimed already.
///
/// # Errors
/// As [`accept_loss`].
pub fn accept_loss_claimed(claim: &Claim, options: &StoreOptions, now: Timestamp) -> Result<Option<Accepted>, StoreError> {
    accept_loss_alone(claim.directory(), options, now)
}

fn accept_loss_alone(directory: &Path, options: &StoreOptions, now: Timestamp) -> Result<Option<Accepted>, StoreError> {
    if swap::finish(directory)? {
        tracing::warn!(data_dir = %directory.display(), "an --accept-loss that was interrupted is finished");
    }
    let database = directory.join(swap::DATABASE);
    if !database.exists() {
        return Ok(None);
    }
    tracing::warn!(data_dir = %directory.display(), "--accept-loss: reading the whole store");
    let lock_file = database.join("LOCK");
    if !lock_file.exists() {
        fs::write(&lock_file, "").map_err(|error| swap::failed(&lock_file, error))?;
    }
    let _lock = lock(&database)?;
    let work = SalvageDirectories::begin(directory)?;
    let accepted = salvage(&work, options, now);
    match accepted {
        Ok(Some(SalvageResult { result, gaps, notes })) => {
            let set_aside = work.put_in_place(&result, now)?;
            tracing::warn!(set_aside = %set_aside.display(), gaps = gaps.len(), "--accept-loss: done; the damaged files are set aside");
            Ok(Some(Accepted { set_aside, gaps, notes }))
        }
        Ok(None) => {
            work.discard();
            tracing::warn!("--accept-loss: nothing is damaged and nothing is lost; leave the option out");
            Ok(None)
        }
        Err(error) => {
            work.discard();
            Err(error)
        }
    }
}

/// A result that is ready to be put in place.
struct SalvageResult {
    result: PathBuf,
    gaps: Vec<Gap>,
    notes: Vec<String>,
}

fn salvage(work: &SalvageDirectories, options: &StoreOptions, now: Timestamp) -> Result<Option<SalvageResult>, StoreError> {
    let acknowledged = WatermarkFile::look(work.directory());
    let WorkingCopy { store: source, mending, mut notes, losses } = open::open(work, options)?;
    let mut findings = SalvageReader::new(&source, None, mending, now).run()?;
    let tail = lost_tail(&acknowledged, findings.last_sequence);
    if mending == Mending::Nothing && notes.is_empty() && !findings.damaged && tail.is_none() {
        return Ok(None);
    }
    notes.extend(match &acknowledged {
        WatermarkRead::Damaged(message) => Some(message.clone()),
        _ => None,
    });
    for note in &notes {
        tracing::error!("--accept-loss: {note}");
    }

    let mut result = work.source();
    if findings.damaged || mending >= Mending::Files {
        work.require_room_for_all()?;
        result = work.rebuilt();
        let target = RocksStore::open(&result, options)?;
        findings = SalvageReader::new(&source, Some(&target), mending, now).run()?;
    }
    drop(source);

    let names = |findings: &SalvageFindings, loss: UnreadableEntry| gap(loss, findings, now);
    let mut gaps: Vec<Gap> = losses.into_iter().chain(tail).map(|detail| Gap { time: now, detail, ..Gap::default() }).collect();
    let lost = std::mem::take(&mut findings.losses);
    gaps.extend(lost.into_iter().map(|loss| names(&findings, loss)));
    if findings.more > 0 {
        let detail = format!("{} further losses, not listed one by one", findings.more);
        gaps.push(Gap { time: now, detail, ..Gap::default() });
    }
    for gap in &mut gaps {
        gap.detail = work.original_names(&gap.detail);
        tracing::error!(tag = gap.tag, start = gap.start, end = gap.end, "lost: {}", gap.detail);
    }
    let last = findings.sequence_max.max(acknowledged.held());
    record(&result, options, (findings.last_sequence, last), &gaps, &notes, now)?;
    Ok(Some(SalvageResult { result, gaps, notes }))
}

/// Writes into the result what was lost, and brings journal and watermark to the last sequence number ever given.
fn record(
    result: &Path,
    options: &StoreOptions,
    (found, last): (u64, u64),
    gaps: &[Gap],
    notes: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    let (watermark, _) = WatermarkFile::open(result)?;
    watermark.write(found)?;
    watermark.sync()?;
    drop(watermark);
    let store = RocksStore::open(result, options)?;
    if found < last {
        let mut record = Vec::new();
        encode_record(std::iter::empty(), &mut record).map_err(|error| StoreError::Io(error.to_string()))?;
        store.append_journal(&[(last, record)], true)?;
    }
    store.append_gaps(gaps)?;
    let mut tags: Vec<String> = gaps.iter().filter_map(|gap| gap.tag.clone()).collect();
    tags.sort_unstable();
    tags.dedup();
    tags.truncate(TAGS_NAMED);
    store.append_audit(&[AuditEntry {
        time: now,
        action: "accept_loss".into(),
        principal: "historian".into(),
        tags,
        detail: format!(
            "{}; {} gaps recorded",
            if notes.is_empty() { "damage inside the database".into() } else { notes.join("; ") },
            gaps.len()
        ),
        ..AuditEntry::default()
    }])?;
    store.sync()?;
    drop(store);
    // That it opens and says so is seen once before it takes the place of the damaged one.
    let store = RocksStore::open(result, options)?;
    store.load_catalog(&mut |_, _| Ok(()))?;
    drop(store);
    swap::sync_all(result)
}

/// What is missing at the end of the journal.
fn lost_tail(acknowledged: &WatermarkRead, found: u64) -> Option<String> {
    match acknowledged {
        WatermarkRead::Held(acknowledged) if *acknowledged > found => {
            Some(format!("writes {} to {acknowledged}: they were acknowledged, and the journal ends at write {found}", found + 1))
        }
        WatermarkRead::Held(_) => None,
        WatermarkRead::Missing if found == 0 => None,
        WatermarkRead::Missing | WatermarkRead::Damaged(_) => Some(format!(
            "the WATERMARK is missing or damaged: whether writes after {found}, where the journal ends, were acknowledged cannot be told"
        )),
    }
}

fn gap(loss: UnreadableEntry, findings: &SalvageFindings, now: Timestamp) -> Gap {
    let tag = loss.tag.map(|tag| findings.names.get(&tag).cloned().unwrap_or_else(|| format!("tag id {tag}")));
    Gap { time: now, tag, start: loss.start, end: loss.end, reason: GapReason::DataLoss, detail: loss.detail }
}
