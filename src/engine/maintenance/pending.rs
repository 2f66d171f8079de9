//! What sealing leaves to maintenance: the write path reports, the keeper takes what is due.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::options::KeeperOptions;
use historian_model::TagId;
use historian_store::{ChunkFamily, StoredChunk};

/// A tag that sealed anything is looked at after this time at the latest, for its rollups.
const UNTOUCHED_MAX: Duration = Duration::from_mins(15);

/// What sealing has left to do, per tag.
#[derive(Default)]
pub struct PendingMaintenance {
    tags: Mutex<HashMap<TagId, TagBacklog>>,
    arrived: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct TagBacklog {
    chunks: usize,
    samples: usize,
    late: usize,
    /// When the oldest of it arrived.
    since: Instant,
}

impl PendingMaintenance {
    /// Chunks were sealed.
    pub fn sealed(&self, chunks: &[(ChunkFamily, StoredChunk)]) {
        if chunks.is_empty() {
            return;
        }
        let mut tags = self.tags.lock();
        for (family, chunk) in chunks {
            let work =
                tags.entry(TagId(chunk.key.tag_id)).or_insert_with(|| TagBacklog { chunks: 0, samples: 0, late: 0, since: Instant::now() });
            match family {
                ChunkFamily::Late => work.late += 1,
                ChunkFamily::Chunks => {
                    work.chunks += 1;
                    work.samples += chunk.header().map_or(0, |header| header.statistics.count as usize);
                }
            }
        }
        drop(tags);
        self.arrived.notify_one();
    }

    /// Takes some tags with enough work. Empty when there are none.
    pub(crate) fn due(&self, options: &KeeperOptions, at_most: usize) -> Vec<TagId> {
        let mut tags = self.tags.lock();
        let due = |work: &TagBacklog| {
            work.samples >= options.chunk_samples
                || work.chunks >= options.chunks_max
                || work.late >= options.late_max
                || (work.late > 0 && work.since.elapsed() >= options.late_wait)
                || work.since.elapsed() >= UNTOUCHED_MAX
        };
        let mut found: Vec<TagId> = tags.iter().filter(|(_, work)| due(work)).map(|(tag, _)| *tag).take(at_most).collect();
        // Tags near each other share files.
        found.sort_unstable();
        for tag in &found {
            tags.remove(tag);
        }
        found
    }

    pub(crate) fn wait(&self, at_most: Duration) {
        let mut tags = self.tags.lock();
        self.arrived.wait_for(&mut tags, at_most);
    }

    /// Forgets what is due: all is worked off now.
    pub(crate) fn clear(&self) {
        self.tags.lock().clear();
    }

    /// Whoever waits looks again.
    pub(crate) fn wake(&self) {
        self.arrived.notify_all();
    }
}
