//! Faulty doors of ingest.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use historian::model::{
    SampleBatch,
    sink::{Acknowledgement, Durability, RefusedWrite, SampleSink, WriteMode},
};

#[derive(Clone, Copy, Debug)]
pub enum SinkFault {
    /// Acknowledges at once and writes a little later.
    Early,
    /// Acknowledges at once and keeps what it could not write yet in memory without bound.
    All,
}

pub struct Faulty {
    pub sink: Arc<dyn SampleSink>,
    pub fault: SinkFault,
}

#[async_trait]
impl SampleSink for Faulty {
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        let (sink, samples) = (self.sink.clone(), batch.len() as u64);
        let pause = match self.fault {
            SinkFault::Early => Duration::from_millis(20),
            SinkFault::All => Duration::ZERO,
        };
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            sink.write(batch, mode, durability).await
        });
        Ok(Acknowledgement { samples, ..Acknowledgement::default() })
    }
}
