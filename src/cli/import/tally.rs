//! How far an import is: what was read, sent and acknowledged, and the sizes of its portions.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use historian_proto::v1::TagFailure;

/// Failures and rejected samples that are told one by one.
pub const TOLD_MAX: usize = 100;
/// Rows of one request.
pub const PORTION_ROWS: usize = 65_536;
/// Portions between the file and the wire.
pub const PORTIONS_WAITING: usize = 2;
pub const DRAWN_EVERY: Duration = Duration::from_millis(200);
/// Timestamps that are remembered, to know how many rows others take the place of: 128 MiB of them.
const REMEMBERED_MAX: usize = 1 << 24;

/// What the historian acknowledged so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub watermark: u64,
    pub samples: u64,
    pub rejected: u64,
    pub rejections: Vec<RejectedSample>,
    pub failures: Vec<TagFailure>,
    pub failed_tags: u64,
    pub seen: SentTimestamps,
}

/// A sample that was not taken.
#[derive(Debug)]
pub struct RejectedSample {
    pub tag: String,
    pub timestamp: i64,
    pub reason: String,
}

impl Tally {
    pub fn add(&mut self, watermark: u64, samples: u64, rejected: u64, rejections: impl IntoIterator<Item = RejectedSample>) {
        self.watermark = self.watermark.max(watermark);
        self.samples += samples;
        self.rejected += rejected;
        let room = TOLD_MAX.saturating_sub(self.rejections.len());
        self.rejections.extend(rejections.into_iter().take(room));
    }

    pub fn add_failures(&mut self, failures: Vec<TagFailure>) {
        self.failed_tags += failures.len() as u64;
        let room = TOLD_MAX.saturating_sub(self.failures.len());
        self.failures.extend(failures.into_iter().take(room));
    }

    pub fn is_clean(&self) -> bool {
        self.rejected == 0 && self.failed_tags == 0
    }
}

/// How far the reading of a file is; shown by whoever waits for acknowledgements.
#[derive(Debug, Default)]
pub struct Reached(AtomicU64);

impl Reached {
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The timestamps of all rows that were sent.
#[derive(Debug, Default)]
pub struct SentTimestamps {
    stamps: HashMap<String, Vec<i64>>,
    rows: u64,
    remembered: usize,
}

impl SentTimestamps {
    pub fn add(&mut self, tag: &str, stamps: &[i64]) {
        self.rows += stamps.len() as u64;
        let room = stamps.len().min(REMEMBERED_MAX - self.remembered);
        self.remembered += room;
        match self.stamps.get_mut(tag) {
            Some(known) => known.extend_from_slice(&stamps[..room]),
            None => _ = self.stamps.insert(tag.to_owned(), stamps[..room].to_vec()),
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.stamps.keys().map(String::as_str)
    }

    /// Rows of a tag before a time, each time once.
    pub fn count_before(&self, tag: &str, time: i64) -> u64 {
        let mut before: Vec<i64> = self.stamps.get(tag).into_iter().flatten().copied().filter(|stamp| *stamp < time).collect();
        before.sort_unstable();
        before.dedup();
        before.len() as u64
    }

    /// Rows that have tag and time of another row; false where there were too many rows to know of all.
    pub fn duplicates(self) -> (u64, bool) {
        let is_all = self.remembered as u64 == self.rows;
        let count = self.stamps.into_values().map(|mut stamps| {
            let all = stamps.len();
            stamps.sort_unstable();
            stamps.dedup();
            (all - stamps.len()) as u64
        });
        (count.sum(), is_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_tag_and_time_are_counted_once() {
        let mut seen = SentTimestamps::default();
        seen.add("a", &[1, 2, 3, 2]);
        seen.add("b", &[1, 2]);
        seen.add("a", &[3, 4]);
        assert_eq!(seen.rows(), 8);
        assert_eq!(seen.duplicates(), (2, true));
    }
}
