//! The memory of messages on their way from the wire to who reads them: it is taken as their bytes come, so that what a client begins to send and
//! does not end counts as well.

use std::sync::Arc;

use parking_lot::Mutex;
use tonic::Status;

use crate::status;
use historian_query::{MemoryPool, PoolPart};

/// What a byte of a message takes while it is read: as it came, and as what it is decoded to.
const TAKEN_PER_BYTE: u64 = 2;

/// The memory of the messages of one call. Clones are the same; it is given back with the last one.
#[derive(Clone, Debug)]
pub struct IncomingMemory(Arc<Mutex<PoolPart>>);

impl IncomingMemory {
    pub fn of(pool: &MemoryPool) -> IncomingMemory {
        IncomingMemory(Arc::new(Mutex::new(pool.take(0).unwrap_or_default())))
    }

    /// Counts bytes of a message that have come.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, with the time after which to try again, when the messages of the client, or of all, take as much as they may.
    pub fn take(&self, bytes: usize) -> Result<(), Status> {
        self.0.lock().grow(bytes as u64 * TAKEN_PER_BYTE).map_err(|_| {
            status::busy("the messages that are being received take as much memory as they may; try again shortly, or send less at once")
        })
    }

    /// What came has been read.
    pub fn give_back(&self) {
        let mut part = self.0.lock();
        let bytes = part.bytes();
        part.shrink(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_counts_until_it_is_read_or_the_call_ends() {
        let pool = MemoryPool::new(1_000);
        let (first, second) = (IncomingMemory::of(&pool), IncomingMemory::of(&pool));
        first.take(400).unwrap();
        let refused = second.take(101).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        first.give_back();
        second.take(101).unwrap();
        let held = second.clone();
        drop(second);
        assert_eq!(pool.taken(), 202);
        drop(held);
        assert_eq!(pool.taken(), 0);
    }
}
