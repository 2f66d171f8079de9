//! A lane: tags that one writer fills through one door, and the ledger of what it sent and what was acknowledged.
//!
//! Samples go out in batches; batch `k` holds numbers `k * S .. (k + 1) * S` of every tag of the lane. Batches do not go out in the order of
//! their time: within eight they are shuffled, so that late data, late chunks and merges are part of every run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write,
    ops::Range,
    path::Path,
};

use anyhow::Context;
use historian_format::ValueType;
use historian_proto::v1::{TagSamples, WriteRequest, WriteSamplesRequest, write_request};

use crate::oracle::{TagPlan, start_of};

/// How a lane writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `WriteSamples`, several calls at once.
    Grpc,
    /// One `DoPut` stream.
    Flight,
}

pub struct Lane {
    pub index: usize,
    /// Names of its tags begin with this.
    pub prefix: String,
    pub door: Door,
    pub tags: Vec<TagPlan>,
    pub samples_per_batch: u64,
    ledger: std::sync::Mutex<Ledger>,
}

/// What went out and what came back. Lives in the driver's process, which no fault touches, and in a file for whoever looks afterwards.
#[derive(Default)]
struct Ledger {
    /// Batches handed out in all.
    handed: u64,
    /// Sent and not acknowledged, in no run under way: to be sent again.
    open: BTreeSet<u64>,
    sent: BTreeSet<u64>,
    /// Watermark of each acknowledged batch.
    acked: BTreeMap<u64, u64>,
    log: Option<File>,
}

/// Order of the batches within eight.
const SHUFFLED: [u64; 8] = [0, 2, 1, 3, 7, 4, 6, 5];

/// The batch that goes out at a position.
fn in_order(position: u64) -> u64 {
    (position & !7) | SHUFFLED[(position & 7) as usize]
}

const TYPES: [ValueType; 10] = [
    ValueType::F64,
    ValueType::F64,
    ValueType::F64,
    ValueType::F64,
    ValueType::I64,
    ValueType::U64,
    ValueType::F32,
    ValueType::Bool,
    ValueType::State,
    ValueType::String,
];

impl Lane {
    pub fn new(seed: u64, index: usize, door: Door, tags: usize, samples_per_batch: u64, log: &Path) -> anyhow::Result<Lane> {
        let prefix = format!("torture/lane{index}");
        // Flight brings one value column, so its tags are all f64.
        let value_type = |tag: usize| if door == Door::Flight { ValueType::F64 } else { TYPES[tag % TYPES.len()] };
        let plan = |tag: usize| TagPlan::new(format!("{prefix}/t{tag}"), value_type(tag), seed, (index * 1_000 + tag) as u64);
        let path = log.join(format!("acks-{index}.log"));
        let log = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
        Ok(Lane {
            index,
            door,
            tags: (0..tags).map(plan).collect(),
            samples_per_batch,
            ledger: std::sync::Mutex::new(Ledger { log: Some(log), ..Ledger::default() }),
            prefix,
        })
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next batch to send, never handed out before.
    pub fn next(&self) -> u64 {
        let mut ledger = self.ledger();
        let position = ledger.handed;
        ledger.handed += 1;
        let batch = in_order(position);
        ledger.sent.insert(batch);
        batch
    }

    /// A batch that was sent and never acknowledged, to be sent once more.
    pub fn next_open(&self) -> Option<u64> {
        self.ledger().open.pop_first()
    }

    /// A batch was acknowledged with this watermark.
    pub fn acknowledged(&self, batch: u64, watermark: u64) {
        let mut ledger = self.ledger();
        ledger.acked.insert(batch, watermark);
        ledger.open.remove(&batch);
        if let Some(log) = &mut ledger.log {
            // A log that cannot be written costs the evidence of a failure, not its detection.
            let _ = writeln!(log, "batch {batch} watermark {watermark}");
        }
    }

    /// The fate of a batch is unknown: it may be stored or not.
    pub fn unanswered(&self, batch: u64) {
        let mut ledger = self.ledger();
        if !ledger.acked.contains_key(&batch) {
            ledger.open.insert(batch);
        }
    }

    /// Highest batch number sent and one; all batches lie in `0..end()`.
    pub fn end(&self) -> u64 {
        self.ledger().sent.last().map_or(0, |last| last + 1)
    }

    /// The acknowledged batch of the newest samples.
    pub fn newest_acked(&self) -> Option<u64> {
        self.ledger().acked.last_key_value().map(|(&batch, _)| batch)
    }

    pub fn acked(&self) -> BTreeSet<u64> {
        self.ledger().acked.keys().copied().collect()
    }

    /// Acknowledged batches in a range, with their watermarks.
    pub fn acked_in(&self, range: Range<u64>) -> Vec<(u64, u64)> {
        self.ledger().acked.range(range).map(|(&batch, &watermark)| (batch, watermark)).collect()
    }

    pub fn was_sent(&self, batch: u64) -> bool {
        self.ledger().sent.contains(&batch)
    }

    /// Samples in a batch.
    pub fn batch_samples(&self) -> u64 {
        self.samples_per_batch * self.tags.len() as u64
    }

    /// Samples acknowledged so far.
    pub fn acked_samples(&self) -> u64 {
        self.ledger().acked.len() as u64 * self.batch_samples()
    }

    /// How many samples of a tag go out before the one of a number, where each goes out once.
    pub fn place_of(&self, number: u64) -> u64 {
        let batch = number / self.samples_per_batch;
        let place = (0..8).map(|place| (batch & !7) | place).find(|place| in_order(*place) == batch).unwrap_or(batch);
        place * self.samples_per_batch + number % self.samples_per_batch
    }

    /// Numbers of a batch.
    pub fn numbers(&self, batch: u64) -> Range<u64> {
        batch * self.samples_per_batch..(batch + 1) * self.samples_per_batch
    }

    /// Time of a range of batches, half open.
    pub fn times(&self, batches: &Range<u64>) -> Range<i64> {
        start_of(self.numbers(batches.start).start)..start_of(self.numbers(batches.end).start)
    }

    pub fn samples(&self, batch: u64) -> Vec<TagSamples> {
        self.tags.iter().map(|tag| tag.samples(self.numbers(batch))).collect()
    }

    /// A batch as gRPC takes it: durable, and tags are made as they come.
    pub fn request(&self, batch: u64) -> WriteSamplesRequest {
        let options = WriteRequest {
            mode: write_request::Mode::Upsert.into(),
            durability: write_request::Durability::Sync.into(),
            create_tags: true,
        };
        WriteSamplesRequest { options: Some(options), samples: self.samples(batch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_out_at_their_places() {
        let directory = tempfile::tempdir().unwrap();
        let lane = Lane::new(7, 0, Door::Flight, 1, 3, directory.path()).unwrap();
        let mut numbers = Vec::new();
        for _ in 0..20 {
            numbers.extend(lane.numbers(lane.next()));
        }
        for (place, number) in (0..).zip(numbers) {
            assert_eq!(lane.place_of(number), place, "{number}");
        }
    }
}
