//! Faulty doors of ingest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use historian::model::{
    SampleBatch,
    sink::{Acknowledgement, Durability, RefusedWrite, SampleSink, WriteMode},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkFault {
    /// Acknowledges at once and writes a little later.
    Early,
    /// Acknowledges at once and keeps what it could not write yet in memory without bound.
    All,
    /// Panics at each twentieth write.
    Panics,
}

/// Of the process.
static WRITES: AtomicU64 = AtomicU64::new(0);

pub struct Faulty {
    pub sink: Arc<dyn SampleSink>,
    pub fault: SinkFault,
}

#[async_trait]
impl SampleSink for Faulty {
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        if self.fault == SinkFault::Panics {
            assert_ne!(WRITES.fetch_add(1, Ordering::Relaxed) % 20, 19, "a write that is one too many");
            return self.sink.write(batch, mode, durability).await;
        }
        let (sink, samples) = (self.sink.clone(), batch.len() as u64);
        let pause = match self.fault {
            SinkFault::Early => Duration::from_millis(20),
            SinkFault::All | SinkFault::Panics => Duration::ZERO,
        };
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            sink.write(batch, mode, durability).await
        });
        Ok(Acknowledgement { samples, ..Acknowledgement::default() })
    }
}
