//! What the operator asks of a running store beside reading and writing: backups and scrubs. One of a kind at a time.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    Catalog, Gap, LiveStore, OpenGapIndex, ReadStore, Store, StoreError, StoreFigures,
    backup::{self, BackupError, BackupSource, Created, Repository, Watch},
    scrub::{self, Listen, ScrubError, ScrubEvent, ScrubReport},
};
use historian_model::Clock;

/// A running store and what its upkeep needs to know.
pub struct Maintenance {
    store: Arc<LiveStore>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    backups: BackupPolicy,
    /// Held while a scrub runs.
    scrubbing: Mutex<()>,
    /// Somebody waits for a scrub: one in the background makes way.
    asked: AtomicBool,
    progress: Mutex<Option<ScrubProgress>>,
    last: Mutex<Option<ScrubReport>>,
    damaged: AtomicU64,
    bytes_scrubbed: AtomicU64,
    open_gaps: Mutex<OpenGapIndex>,
}

/// File in the data directory with the report of the last scrub that reached its end.
const REPORT: &str = "SCRUB.json";

/// Where backups go and how many stay. A client can change neither: what it could remove, somebody may need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupPolicy {
    /// `None` where none is configured: there are no backups then.
    pub directory: Option<PathBuf>,
    /// Backups kept, a new one included; 0 keeps all.
    pub keep: usize,
}

/// How far a running scrub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubProgress {
    pub family: &'static str,
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// Scrubs of this store, as status and metrics tell them.
#[derive(Clone, Debug, Default)]
pub struct ScrubStatus {
    /// `None` when none is running.
    pub progress: Option<ScrubProgress>,
    /// The last one that reached its end, also before this start.
    pub last: Option<ScrubReport>,
    /// Findings since start.
    pub damaged: u64,
    /// Bytes read since start by scrubs that ended.
    pub bytes: u64,
}

impl Maintenance {
    pub fn new(store: Arc<LiveStore>, catalog: Arc<Catalog>, clock: Arc<dyn Clock>, backups: BackupPolicy) -> Maintenance {
        let last = fs::read(store.directory().join(REPORT)).ok().and_then(|bytes| match serde_json::from_slice(&bytes) {
            Ok(report) => Some(report),
            Err(error) => {
                tracing::warn!("{REPORT} is not readable ({error}): the store counts as never scrubbed");
                None
            }
        });
        Maintenance {
            store,
            catalog,
            clock,
            backups,
            scrubbing: Mutex::default(),
            asked: AtomicBool::default(),
            progress: Mutex::default(),
            last: Mutex::new(last),
            damaged: AtomicU64::default(),
            bytes_scrubbed: AtomicU64::default(),
            open_gaps: Mutex::default(),
        }
    }

    /// Figures of disk and database now. Blocks for microseconds.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn figures(&self) -> Result<StoreFigures, StoreError> {
        self.store.figures()
    }

    /// The directory of backups, where one is configured.
    pub fn backup_directory(&self) -> Option<&Path> {
        self.backups.directory.as_deref()
    }

    /// Makes a backup, and removes older ones as the policy says. Blocks; ingest and queries go on.
    ///
    /// # Errors
    /// See [`backup::create`].
    pub fn create_backup(&self, directory: &Path, verify_new_only: bool, watch: Watch<'_>) -> Result<Created, BackupError> {
        let repository = Repository::open_to_write(directory)?;
        // Counted before the checkpoint: it can only have these tags and later ones.
        let store = self.store.current();
        let (tags, time, keep) = (self.catalog.len() as u64, self.clock.now(), self.backups.keep);
        let source = BackupSource { store: &store, tags, time, keep, verify_new_only };
        let created = backup::create(&repository, &source, watch)?;
        tracing::info!(
            number = created.manifest.number,
            sequence = created.manifest.sequence,
            bytes = created.manifest.bytes,
            bytes_new = created.manifest.bytes_new,
            older_removed = created.pruned,
            directory = %directory.display(),
            "backup made"
        );
        Ok(created)
    }

    /// The store itself.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Recorded gaps from the number `from` on, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn gaps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Gap)>, StoreError> {
        self.store.gaps(from, limit)
    }

    /// Whether each of these gaps is on record once more, with its end.
    ///
    /// # Errors
    /// When the gaps behind them cannot be read.
    pub fn are_superseded(&self, gaps: &[(u64, Gap)]) -> Result<Vec<bool>, StoreError> {
        let mut open = self.open_gaps.lock();
        open.catch_up(|from, limit| self.store.gaps(from, limit))?;
        Ok(gaps.iter().map(|(number, gap)| open.is_superseded(*number, gap)).collect())
    }

    /// Scrubs that ran and the one that runs.
    pub fn scrub_status(&self) -> ScrubStatus {
        ScrubStatus {
            progress: *self.progress.lock(),
            last: self.last.lock().clone(),
            damaged: self.damaged.load(Ordering::Relaxed),
            bytes: self.bytes_scrubbed.load(Ordering::Relaxed),
        }
    }

    /// Reads and checks the whole store; `None` as rate is as fast as it goes. Blocks. A scrub in the background makes way.
    ///
    /// # Errors
    /// [`ScrubError::Busy`] when somebody else has asked for one that is still running.
    pub fn scrub(&self, bytes_per_s: Option<u64>, listen: Listen<'_>) -> Result<ScrubReport, ScrubError> {
        if self.asked.swap(true, Ordering::SeqCst) {
            return Err(ScrubError::Busy);
        }
        let _done = RunningFlag(&self.asked);
        let _running = self.scrubbing.lock();
        self.run_scrub(bytes_per_s, listen)
    }

    /// As [`Maintenance::scrub`], for the background: ends as cancelled when `stop` says true or somebody asks for a scrub.
    ///
    /// # Errors
    /// [`ScrubError::Busy`] when one is running.
    pub fn scrub_in_background(&self, bytes_per_s: u64, stop: &dyn Fn() -> bool) -> Result<ScrubReport, ScrubError> {
        let _running = self.scrubbing.try_lock().ok_or(ScrubError::Busy)?;
        self.run_scrub(Some(bytes_per_s), &mut |_| {
            if stop() || self.asked.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn run_scrub(&self, bytes_per_s: Option<u64>, listen: Listen<'_>) -> Result<ScrubReport, ScrubError> {
        let begun = self.clock.now();
        let mut told = |event: ScrubEvent<'_>| {
            match &event {
                ScrubEvent::Progress { family, bytes_done, bytes_total } => {
                    *self.progress.lock() = Some(ScrubProgress { family, bytes_done: *bytes_done, bytes_total: *bytes_total });
                }
                ScrubEvent::Found(damaged) => {
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        family = damaged.family,
                        tags = damaged.tags.join(", "),
                        start = damaged.start,
                        end = damaged.end,
                        "scrub found damage: {}",
                        damaged.message
                    );
                }
            }
            listen(event)
        };
        let outcome = scrub::scrub(&self.store.current(), bytes_per_s, &mut told);
        *self.progress.lock() = None;
        let report = ScrubReport { begun, ended: self.clock.now(), ..outcome? };
        self.bytes_scrubbed.fetch_add(report.bytes, Ordering::Relaxed);
        tracing::info!(bytes = report.bytes, chunks = report.chunks, damaged = report.damaged, "scrub done");
        if let Err(error) = self.keep(&report) {
            tracing::warn!(
                "the report of the scrub could not be kept ({error}); after a restart the store counts as not scrubbed since the one before"
            );
        }
        *self.last.lock() = Some(report.clone());
        Ok(report)
    }

    fn keep(&self, report: &ScrubReport) -> std::io::Result<()> {
        let path = self.store.directory().join(REPORT);
        let fresh = path.with_extension("json.fresh");
        fs::write(&fresh, serde_json::to_vec_pretty(report)?)?;
        fs::rename(fresh, path)
    }
}

/// Takes a flag back when dropped, also by a panic: a scrub must not be refused for ever.
struct RunningFlag<'a>(&'a AtomicBool);

impl Drop for RunningFlag<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
