//! Faulty doors of ingest.

use std::{sync::Arc, time::Duration};

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
    /// Panics at samples from before 1970.
    Panics,
}

pub struct Faulty {
    pub sink: Arc<dyn SampleSink>,
    pub fault: SinkFault,
}

#[async_trait]
impl SampleSink for Faulty {
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        if self.fault == SinkFault::Panics {
            assert!(batch.runs.iter().flat_map(|(_, run)| &run.timestamps).all(|time| *time >= 0), "a time that is negative");
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
