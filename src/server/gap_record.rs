//! The gaps on record: read from the first to the last, and written, now or as soon as there is room.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use historian_collector::supervise::Backoff;
use historian_store::{Gap, GapReason, PendingGaps, Store, StoreError};

/// Gaps of one look into the ledger.
const READ_GAPS: usize = 8_192;
/// Gaps of one write.
const WRITE_GAPS: usize = 8_192;
/// Wait before gaps that found no room are tried again, at first and at most.
const RECORD_WAIT_FIRST: Duration = Duration::from_secs(1);
const RECORD_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a collector says that a tag is absent.
pub const ABSENCES: [GapReason; 3] = [GapReason::DeviceDown, GapReason::Refused, GapReason::CollectorDown];

/// Hands all gaps to `take` in the order of recording. `gaps` answers those on record from a number on, at most so many. Blocks.
///
/// # Errors
/// When the ledger cannot be read.
pub fn each_gap(gaps: impl Fn(u64, usize) -> Result<Vec<(u64, Gap)>, StoreError>, mut take: impl FnMut(Gap)) -> Result<(), StoreError> {
    let mut from = 1;
    loop {
        let page = gaps(from, READ_GAPS)?;
        let Some(&(last, _)) = page.last() else { return Ok(()) };
        from = last + 1;
        for (_, gap) in page {
            take(gap);
        }
    }
}

/// Records gaps; those that find no room stay. Blocks.
///
/// # Errors
/// When the store fails.
pub fn record_gaps(gaps: &mut Vec<Gap>, store: &dyn Store) -> Result<(), StoreError> {
    while !gaps.is_empty() {
        let some = gaps.len().min(WRITE_GAPS);
        match store.append_gaps(&gaps[..some]) {
            // A full disk does not keep from reading.
            Err(StoreError::Full(reason)) => {
                tracing::error!(gaps = gaps.len(), reason, "gaps cannot be recorded yet");
                return Ok(());
            }
            recorded => recorded?,
        }
        gaps.drain(..some);
    }
    Ok(())
}

/// Of the gaps that an earlier start kept in a file those that are not on record yet: it may have ended after it recorded them, or some of them,
/// and before the file was changed. One on record is the same in every field, with the time at which it was to be recorded. Reads the ledger
/// once where there are any. Blocks.
///
/// # Errors
/// When the ledger cannot be read.
pub fn unrecorded(mut kept: Vec<Gap>, store: &dyn Store) -> Result<Vec<Gap>, StoreError> {
    if kept.is_empty() {
        return Ok(kept);
    }
    let mut left: HashSet<Gap> = kept.iter().cloned().collect();
    each_gap(|from, limit| store.gaps(from, limit), |gap| drop(left.take(&gap)))?;
    kept.retain(|gap| left.contains(gap));
    Ok(kept)
}

/// Keeps in a file what found no room at a start, so that it is not lost with this run; answers the file where it has them. Blocks.
pub fn keep_gaps(gaps: &[Gap], pending: PendingGaps) -> Option<PendingGaps> {
    if gaps.is_empty() {
        pending.clear();
        return None;
    }
    let kept = pending.keep(gaps);
    kept.inspect_err(
        |error| tracing::error!(%error, "gaps that cannot be recorded yet cannot be kept either: the next start finds them again"),
    )
    .is_ok()
    .then_some(pending)
}

/// Records, as soon as there is room, the gaps that found none at the start; `recorded` says when there are none left.
pub async fn record_later(
    mut gaps: Vec<Gap>,
    kept: Option<PendingGaps>,
    store: Arc<dyn Store>,
    recorded: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(RECORD_WAIT_FIRST, RECORD_WAIT_MAX);
    while !gaps.is_empty() {
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            // The next start finds them again: in the file, or because the mark still says when the run before ended.
            () = stop.cancelled() => return,
        }
        let (store, kept) = (store.clone(), kept.clone());
        let tried = tokio::task::spawn_blocking(move || {
            let before = gaps.len();
            let failed = record_gaps(&mut gaps, store.as_ref()).err();
            if let Some(kept) = kept.filter(|_| gaps.len() < before) {
                // Those that are left stay in it.
                if gaps.is_empty() { kept.clear() } else { drop(kept.keep(&gaps)) }
            }
            (gaps, failed)
        });
        let Ok((left, failed)) = tried.await else { return };
        gaps = left;
        if let Some(error) = failed {
            tracing::error!(%error, gaps = gaps.len(), "gaps cannot be recorded");
            return;
        }
    }
    recorded.store(true, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::Timestamp;
    use historian_store::{MemoryStore, ReadStore};

    #[test]
    fn what_a_start_kept_and_recorded_before_it_was_killed_is_not_recorded_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = MemoryStore::default();
        let gap = |tag: &str, end: Option<i64>| Gap {
            time: Timestamp(9),
            tag: Some(tag.into()),
            start: Some(1),
            end,
            reason: GapReason::CollectorDown,
            detail: "the historian was not running".into(),
        };
        let kept = [gap("a", Some(5)), gap("a", None), gap("b", Some(5)), gap("c", Some(5))];
        PendingGaps::open(directory.path()).0.keep(&kept).unwrap();
        // Killed after the first write of several, with one of another run between.
        store.append_gaps(&kept[..2]).unwrap();
        store.append_gaps(&[Gap { time: Timestamp(10), ..gap("b", Some(5)) }]).unwrap();
        let start = || {
            let (file, kept) = PendingGaps::open(directory.path());
            let mut gaps = unrecorded(kept, &store).unwrap();
            let new = gaps.len();
            record_gaps(&mut gaps, &store).unwrap();
            (file, new, gaps)
        };
        let (_, new, _) = start();
        assert_eq!((new, store.gaps(1, 100).unwrap().len()), (2, 5));
        // Killed before the file is removed.
        let (file, new, left) = start();
        assert_eq!((new, store.gaps(1, 100).unwrap().len()), (0, 5));
        assert!(keep_gaps(&left, file).is_none());
        assert_eq!(PendingGaps::open(directory.path()).1, []);
    }
}
