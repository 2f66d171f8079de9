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
    /// Acknowledges some writes and forgets them.
    Loses,
    /// Keeps some memory of each write for ever.
    Leaks,
}

/// What a leak leaves of a write.
const LEAK_BYTES: usize = 3 << 19;

/// Of the process.
static WRITES: AtomicU64 = AtomicU64::new(0);

pub struct Faulty {
    pub sink: Arc<dyn SampleSink>,
    pub fault: SinkFault,
}

#[async_trait]
impl SampleSink for Faulty {
    async fn write(&self, batch: SampleBatch, mode: WriteMode, durability: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        let number = WRITES.fetch_add(1, Ordering::Relaxed);
        let pause = match self.fault {
            SinkFault::Panics => {
                assert_ne!(number % 20, 19, "a write that is one too many");
                return self.sink.write(batch, mode, durability).await;
            }
            // No multiple of the number of writers, which take turns.
            SinkFault::Loses if number % 23 == 22 => {
                return Ok(Acknowledgement { samples: batch.len() as u64, ..Acknowledgement::default() });
            }
            SinkFault::Loses => return self.sink.write(batch, mode, durability).await,
            SinkFault::Leaks => {
                // Else the compiler sees that nobody needs it.
                std::hint::black_box(vec![1_u8; LEAK_BYTES].leak());
                return self.sink.write(batch, mode, durability).await;
            }
            SinkFault::Early => Duration::from_millis(20),
            SinkFault::All => Duration::ZERO,
        };
        let (sink, samples) = (self.sink.clone(), batch.len() as u64);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            sink.write(batch, mode, durability).await
        });
        Ok(Acknowledgement { samples, ..Acknowledgement::default() })
    }
}
