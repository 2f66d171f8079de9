//! The store of a running service, which gets over a full disk by itself, and over a time without file descriptors.
//!
//! Writes are refused while the disk has less room than the reserve ([`Store::room`]). Where other programs take the reserve as well, RocksDB
//! itself meets the full disk while it writes its log or a table, and refuses everything from then on; its own recovery may take minutes. So
//! when RocksDB refuses although there is room again, the database is closed and opened anew, and the write is done once more. The same holds
//! where it could not open a file because the process or the system had no descriptor left.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use historian_format::keys::NoteKey;
use parking_lot::{Mutex, RwLock};

use super::{AuditEntry, Change, Gap, ReadStore, RocksStore, RocksView, Store, StoreError, StoreLayer, disk::log, rocks::StoreOptions};
use historian_model::TagId;

pub struct LiveStore {
    directory: PathBuf,
    options: StoreOptions,
    /// Empty only while the lock is held to open it anew.
    store: RwLock<Option<Arc<RocksStore>>>,
    /// When opening anew was last tried.
    tried: Mutex<Option<Instant>>,
    /// Views that may still be held; they end when the database is opened anew.
    views: Mutex<Vec<Weak<RocksView>>>,
}

const TRY_AFTER: Duration = Duration::from_secs(1);
/// How long calls that are under way may hold up a closing.
const CALLS_END_WITHIN: Duration = Duration::from_millis(500);
/// Descriptors that must be there before the database is closed to be opened anew, beside those that the closing gives back.
const DESCRIPTORS_MIN: usize = 32;
/// How long a database that was closed may take to open, before the service gives up.
const OPEN_WITHIN: Duration = Duration::from_mins(1);

impl LiveStore {
    /// See [`RocksStore::open`].
    ///
    /// # Errors
    /// See [`RocksStore::open`].
    pub fn open(directory: &Path, options: &StoreOptions) -> Result<LiveStore, StoreError> {
        let store = RocksStore::open(directory, options)?;
        Ok(LiveStore {
            directory: directory.to_owned(),
            options: options.clone(),
            store: RwLock::new(Some(Arc::new(store))),
            tried: Mutex::default(),
            views: Mutex::default(),
        })
    }

    /// The database as it is open now. To be let go of soon: as long as it is held the database cannot be opened anew.
    pub fn current(&self) -> Arc<RocksStore> {
        loop {
            if let Some(store) = &*self.store.read() {
                return store.clone();
            }
        }
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Does a write; once more where RocksDB refused it for want of room that is there.
    fn write<T>(&self, write: impl Fn(&RocksStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let refused = match write(&self.current()) {
            Err(StoreError::Full(message)) => message,
            other => return other,
        };
        if self.open_anew(&refused) { write(&self.current()) } else { Err(StoreError::Full(refused)) }
    }

    fn open_anew(&self, refused: &str) -> bool {
        let mut tried = self.tried.lock();
        if tried.is_some_and(|tried| tried.elapsed() < TRY_AFTER) || !self.could_open() {
            return false;
        }
        *tried = Some(Instant::now());
        let mut place = self.store.write();
        let begun = Instant::now();
        self.revoke_views();
        while place.as_ref().is_some_and(|store| Arc::strong_count(store) > 1) {
            if begun.elapsed() > CALLS_END_WITHIN {
                tracing::info!("there is room again, and a long call holds the database open: it is opened anew later");
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
            self.revoke_views();
        }
        tracing::warn!("there is room again, and RocksDB still refuses ({refused}): the database is closed and opened anew");
        let Some(closing) = place.take() else { return false };
        let appended = closing.appended.load(Ordering::SeqCst);
        drop(closing);
        loop {
            let opened = RocksStore::open(&self.directory, &self.options).and_then(|store| {
                store.drop_journal_after(appended)?;
                Ok(store)
            });
            let error = match opened {
                Ok(store) => {
                    *place = Some(Arc::new(store));
                    tracing::info!(took = ?begun.elapsed(), "the database is open again");
                    return true;
                }
                Err(error) => error,
            };
            // The room may be gone again. Reading needs none.
            match RocksStore::open_to_read(&self.directory, &self.options, appended) {
                Ok(store) => {
                    *place = Some(Arc::new(store));
                    tracing::warn!("the database can only be read for now: {error}");
                    return false;
                }
                Err(unreadable) if begun.elapsed() < OPEN_WITHIN => {
                    tracing::warn!("the database does not open: {error}; and cannot be read: {unreadable}; trying again");
                    std::thread::sleep(Duration::from_millis(500));
                }
                Err(_) => {
                    // A start by hand or by the service manager tells more.
                    tracing::error!("the database does not open again, the service ends: {error}");
                    std::process::exit(1);
                }
            }
        }
    }

    fn revoke_views(&self) {
        for view in self.views.lock().drain(..).filter_map(|view| view.upgrade()) {
            view.revoke();
        }
    }

    /// Whether RocksDB is what refuses, and there is room for what an opening writes: all that the logs hold.
    fn could_open(&self) -> bool {
        let store = self.current();
        let logs = log::logs(&store.path).unwrap_or_default();
        let bytes: u64 = logs.iter().filter_map(|log| fs::metadata(log).ok()).map(|metadata| metadata.len()).sum();
        let room = || store.free_and_reserve().is_ok_and(|(free, reserve)| free >= reserve.saturating_add(bytes));
        store.refusing.load(Ordering::SeqCst) && room() && self.has_descriptors()
    }

    fn has_descriptors(&self) -> bool {
        let held: Result<Vec<File>, _> = (0..DESCRIPTORS_MIN).map(|_| File::open(&self.directory)).collect();
        held.is_ok()
    }
}

impl StoreLayer for LiveStore {
    fn inner(&self) -> Arc<dyn Store> {
        self.current()
    }

    fn view(self: Arc<Self>) -> Result<Arc<dyn ReadStore>, StoreError> {
        let view = Arc::new(RocksView::of(self.current()));
        let mut views = self.views.lock();
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(&view));
        Ok(view)
    }

    fn change_catalog(&self, entries: &[(TagId, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError> {
        self.write(|store| store.change_catalog(entries, audit))
    }

    fn append_journal(&self, records: &[(u64, Vec<u8>)], durable: bool) -> Result<(), StoreError> {
        self.write(|store| store.append_journal(records, durable))
    }

    fn apply(&self, change: &Change) -> Result<(), StoreError> {
        self.write(|store| store.apply(change))
    }

    fn drop_week(&self, week: i32, tags: Option<&Vec<std::ops::RangeInclusive<u32>>>) -> Result<(), StoreError> {
        self.write(|store| store.drop_week(week, tags))
    }

    fn delete_tag(&self, tag: TagId) -> Result<(), StoreError> {
        self.write(|store| store.delete_tag(tag))
    }

    fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        self.write(|store| store.append_audit(entries))
    }

    fn append_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError> {
        self.write(|store| store.append_gaps(gaps))
    }

    fn put_notes(&self, notes: &[(NoteKey, Vec<u8>)], audit: &[AuditEntry]) -> Result<(), StoreError> {
        self.write(|store| store.put_notes(notes, audit))
    }
}
