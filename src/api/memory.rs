//! The memory that the calls of clients may take, all together: a part for answers that are being made and sent, one for what queries gather, and
//! one for messages on their way to be written, so that none keeps the others out; and of each a share for every client, so that none takes it
//! whole.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::places::of_one_client;
use historian_query::{ClientKey, MemoryPool, PoolPart};

/// The least of memory that a pool is made of.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;
/// Clients whose shares are kept although they take nothing.
const IDLE_MAX: usize = 64;
/// What a query takes whatever it asks: chunks that it decodes, batches and messages of its answer.
const ANSWER_BYTES: u64 = 8 << 20;

/// The memory that the calls of clients may take. Clones are the same.
#[derive(Clone, Debug)]
pub struct ClientMemory(Arc<MemoryParts>);

#[derive(Debug)]
struct MemoryParts {
    answers: MemoryPool,
    queries: ClientShares,
    messages: ClientShares,
}

/// A pool of which each client has a share.
#[derive(Debug)]
struct ClientShares {
    all: MemoryPool,
    by_client: Mutex<HashMap<ClientKey, MemoryPool>>,
}

impl ClientMemory {
    /// So many bytes: a quarter for messages, and of the rest one half for answers and one for what queries gather. A client takes three quarters
    /// of each at most.
    pub fn new(bytes_max: u64) -> ClientMemory {
        let messages = bytes_max / 4;
        let answers = (bytes_max - messages) / 2;
        let queries = bytes_max - messages - answers;
        ClientMemory(Arc::new(MemoryParts {
            answers: MemoryPool::new(answers),
            queries: ClientShares::new(queries),
            messages: ClientShares::new(messages),
        }))
    }

    /// As many answers as there is memory for may be made at the same time.
    pub fn answers_max(&self) -> usize {
        usize::try_from(self.0.answers.bytes_max() / ANSWER_BYTES).unwrap_or(usize::MAX).max(1)
    }

    /// What an answer that is being made and sent takes.
    pub fn for_answer(&self) -> PoolPart {
        let mut part = self.0.answers.take(0).unwrap_or_default();
        part.grow_beyond(ANSWER_BYTES);
        part
    }

    /// What the queries of a client gather counts here.
    pub fn for_queries(&self, client: ClientKey) -> MemoryPool {
        self.0.queries.of(client)
    }

    /// What is kept for clients between their calls counts here, among what queries gather.
    pub fn for_kept(&self) -> PoolPart {
        self.0.queries.all.take(0).unwrap_or_default()
    }

    /// What the messages of a client take counts here, while they come and until they are written.
    pub fn for_messages(&self, client: ClientKey) -> MemoryPool {
        self.0.messages.of(client)
    }

    /// Bytes of all parts.
    pub fn bytes_max(&self) -> u64 {
        self.0.answers.bytes_max() + self.0.queries.all.bytes_max() + self.0.messages.all.bytes_max()
    }

    /// Bytes that are taken now.
    pub fn taken(&self) -> u64 {
        self.0.answers.taken() + self.0.queries.all.taken() + self.0.messages.all.taken()
    }
}

impl ClientShares {
    fn new(bytes_max: u64) -> ClientShares {
        ClientShares { all: MemoryPool::new(bytes_max), by_client: Mutex::default() }
    }

    fn of(&self, client: ClientKey) -> MemoryPool {
        let mut by_client = self.by_client.lock();
        if by_client.len() > IDLE_MAX {
            by_client.retain(|_, share| !share.is_unused());
        }
        by_client.entry(client).or_insert_with(|| self.all.share(of_one_client(self.all.bytes_max()))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> ClientKey {
        ClientKey::of(number)
    }

    #[test]
    fn a_client_leaves_a_quarter_of_each_part_to_others() {
        let memory = ClientMemory::new(1600);
        let gathered = memory.for_queries(client(1)).take(450).unwrap();
        assert!(memory.for_queries(client(1)).take(1).is_err());
        let of_other = memory.for_queries(client(2)).take(150).unwrap();
        assert!(memory.for_queries(client(3)).take(1).is_err());
        let message = memory.for_messages(client(1)).take(300).unwrap();
        let answer = memory.for_answer();
        assert_eq!((memory.taken(), memory.bytes_max()), (900 + ANSWER_BYTES, 1600));
        drop((gathered, of_other, message, answer));
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn shares_of_clients_that_have_gone_are_forgotten_and_those_in_use_are_not() {
        let memory = ClientMemory::new(1600);
        let taken = memory.for_queries(client(1)).take(450).unwrap();
        for number in 2..200 {
            let _ = memory.for_queries(client(number));
        }
        assert!(memory.0.queries.by_client.lock().len() <= IDLE_MAX + 1);
        assert!(memory.for_queries(client(1)).take(1).is_err(), "its share is the one that it has taken of");
        drop(taken);
    }
}
