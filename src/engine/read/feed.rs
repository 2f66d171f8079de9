//! Writes as they become durable, for those who follow them: each once, in the order of writing, from a position on.
//!
//! A position is the number of a write. Followers read the journal: the newest part of it from memory while anybody follows, older parts
//! from the store for as long as they are there. A follower that is slow holds nothing up; when what it has not read is gone from both, it is
//! told so.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use historian_format::journal::decode_record;
use parking_lot::Mutex;
use tokio::sync::watch;

use historian_model::{Samples, TagId};
use historian_store::{Store, StoreError};

/// Journal bytes kept in memory for followers.
const RECENT_BYTES_MAX: usize = 16 << 20;
/// Journal bytes read from the store at once.
const PAGE_BYTES: usize = 1 << 20;

/// A write as followers get it.
#[derive(Debug)]
pub struct Write {
    pub sequence: u64,
    /// Its runs; what it deleted is not told.
    pub runs: Vec<(TagId, Samples)>,
}

/// Why a follower gets no further.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    #[error(
        "what was written after position {position} is no longer in the journal, which goes back to {oldest}; read it with a range query and \
         resume behind {oldest}, or begin without a position"
    )]
    Gone { position: u64, oldest: u64 },
    #[error("position {position} lies ahead of the last write, {last}; positions are told by the historian")]
    Ahead { position: u64, last: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Default)]
struct Recent {
    records: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
}

/// The writes of a running ingest, for those who follow them.
pub struct ChangeFeed {
    store: Arc<dyn Store>,
    /// Every write up to this number is durable.
    durable: watch::Sender<u64>,
    /// Records up to this number are not in the store any more as they were written.
    retired: AtomicU64,
    followers: AtomicUsize,
    recent: Mutex<Recent>,
}

/// The end of the feed that the write path holds: it tells what is written, to whoever follows.
#[derive(Clone)]
pub struct FeedWriter(Arc<ChangeFeed>);

impl FeedWriter {
    /// A feed over the journal of a store; nothing is durable before [`FeedWriter::begin`].
    pub fn new(store: Arc<dyn Store>) -> FeedWriter {
        let (durable, retired) = (watch::Sender::new(0), AtomicU64::new(0));
        FeedWriter(Arc::new(ChangeFeed { store, durable, retired, followers: AtomicUsize::new(0), recent: Mutex::default() }))
    }

    /// The end that readers hold.
    pub fn feed(&self) -> Arc<ChangeFeed> {
        self.0.clone()
    }

    /// After recovery, which found the journal from `first` to `last`.
    pub fn begin(&self, first: u64, last: u64) {
        // The first record may be one that stands for all before it.
        self.0.retired.store(if first == 1 { 0 } else { first }, Ordering::SeqCst);
        self.0.durable.send_replace(last);
    }

    /// Records were appended.
    pub fn appended(&self, records: Vec<(u64, Vec<u8>)>) {
        if self.0.followers.load(Ordering::SeqCst) == 0 {
            let mut recent = self.0.recent.lock();
            if !recent.records.is_empty() {
                *recent = Recent::default();
            }
            return;
        }
        let mut recent = self.0.recent.lock();
        for (sequence, record) in records {
            recent.bytes += record.len();
            recent.records.push_back((sequence, record.into()));
        }
        while recent.bytes > RECENT_BYTES_MAX
            && let Some((_, record)) = recent.records.pop_front()
        {
            recent.bytes -= record.len();
        }
    }

    /// Everything up to this number is durable.
    pub fn is_durable(&self, sequence: u64) {
        self.0.durable.send_if_modified(|durable| std::mem::replace(durable, sequence) != sequence);
    }

    /// Called before the records up to this number go.
    pub fn retires(&self, sequence: u64) {
        self.0.retired.store(sequence, Ordering::SeqCst);
    }
}

impl ChangeFeed {
    /// Follows the writes behind a position; 0 stands for now.
    ///
    /// # Errors
    /// [`FeedError::Gone`] and [`FeedError::Ahead`].
    pub fn follow(self: &Arc<ChangeFeed>, position: u64) -> Result<Follower, FeedError> {
        self.followers.fetch_add(1, Ordering::SeqCst);
        let mut follower = Follower { feed: self.clone(), durable: self.durable.subscribe(), position };
        let last = *follower.durable.borrow_and_update();
        if position > last {
            return Err(FeedError::Ahead { position, last });
        }
        let oldest = self.retired.load(Ordering::SeqCst);
        match position {
            0 => follower.position = last,
            position if position < oldest => return Err(FeedError::Gone { position, oldest }),
            _ => {}
        }
        Ok(follower)
    }
}

/// One who follows.
pub struct Follower {
    feed: Arc<ChangeFeed>,
    durable: watch::Receiver<u64>,
    position: u64,
}

impl Follower {
    /// Behind everything that was read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Waits until there is more; false when ingest has ended.
    pub async fn wait(&mut self) -> bool {
        let position = self.position;
        self.durable.wait_for(|durable| *durable > position).await.is_ok()
    }

    /// The next writes, some at a time; none when there are none yet. Blocks on the store.
    ///
    /// # Errors
    /// [`FeedError::Gone`] when they were not read in time, or the journal cannot be read.
    pub fn read(&mut self) -> Result<Vec<Write>, FeedError> {
        let durable = *self.durable.borrow_and_update();
        if durable <= self.position {
            return Ok(Vec::new());
        }
        let next = self.position + 1;
        let recent: Option<Vec<(u64, Arc<[u8]>)>> = {
            let recent = self.feed.recent.lock();
            let held = recent.records.front().is_some_and(|(first, _)| *first <= next);
            held.then(|| {
                let from = recent.records.partition_point(|(sequence, _)| *sequence < next);
                let mut bytes = 0;
                let page = recent.records.range(from..).take_while(|(sequence, record)| {
                    let more = bytes < PAGE_BYTES && *sequence <= durable;
                    bytes += record.len();
                    more
                });
                page.cloned().collect()
            })
        };
        let records = if let Some(records) = recent {
            records
        } else {
            let records = self.feed.store.journal_from(next, durable, PAGE_BYTES)?;
            // Looked at after the reading: a record that stands for others may have come meanwhile.
            let oldest = self.feed.retired.load(Ordering::SeqCst);
            if self.position < oldest {
                return Err(FeedError::Gone { position: self.position, oldest });
            }
            records.into_iter().map(|(sequence, record)| (sequence, record.into())).collect()
        };
        let mut writes = Vec::with_capacity(records.len());
        for (sequence, record) in records {
            let decoded = decode_record(&record).map_err(|error| StoreError::Corrupt {
                family: historian_format::keys::FAMILY_JOURNAL,
                key: format!("write {sequence}"),
                message: error.to_string(),
            })?;
            let runs = decoded.runs.into_iter().map(|(tag, run)| (TagId(tag), run)).collect();
            writes.push(Write { sequence, runs });
            self.position = sequence;
        }
        Ok(writes)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.feed.followers.fetch_sub(1, Ordering::SeqCst);
    }
}
