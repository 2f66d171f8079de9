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
pub struct IncomingMemory {
    part: Arc<Mutex<PoolPart>>,
    /// What all messages of the client may take.
    bytes_max: u64,
}

impl IncomingMemory {
    pub fn of(pool: &MemoryPool) -> IncomingMemory {
        IncomingMemory { part: Arc::new(Mutex::new(pool.take(0).unwrap_or_default())), bytes_max: pool.bytes_max() }
    }

    /// Counts bytes of a message that have come.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`: where the messages of this call alone take more than those of a client may, with that limit; where those of others
    /// take what is there, with the time after which to try again.
    pub fn take(&self, bytes: usize) -> Result<(), Status> {
        let mut part = self.part.lock();
        let more = bytes as u64 * TAKEN_PER_BYTE;
        part.grow(more).map_err(|_| {
            if part.bytes().saturating_add(more) > self.bytes_max {
                let most = self.bytes_max / TAKEN_PER_BYTE;
                return status::too_much("memory_bytes_max", format!("the message is longer than the {most} bytes that the memory for the messages of one client has room for; send less at once"));
            }
            status::busy("the messages that are being received take as much memory as they may; try again shortly, or send less at once")
        })
    }

    /// What came has been read.
    pub fn give_back(&self) {
        let mut part = self.part.lock();
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
        assert!(refused.message().contains("try again"), "{}", refused.message());
        let never = second.take(501).unwrap_err();
        assert!(never.message().starts_with("the message is longer than the 500 bytes"), "{}", never.message());
        first.give_back();
        second.take(101).unwrap();
        let held = second.clone();
        drop(second);
        assert_eq!(pool.taken(), 202);
        drop(held);
        assert_eq!(pool.taken(), 0);
    }
}
