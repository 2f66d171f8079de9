//! Prepared statements: texts and bound values behind random handles, bounded in number and bytes. One that is not used goes after a while;
//! when there are too many, the one not used for longest goes first, so that a client that closes none harms itself before others.
//!
//! Binding answers another handle, which holds statement and values itself: what is executed by it is what was bound, whatever is bound or closed
//! afterwards, and the server keeps nothing more for it. Clients that go on with the first handle execute what was bound to it last.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use arrow_flight::FlightData;
use parking_lot::Mutex;
use prost::{Message, bytes::Bytes};
use tonic::Status;

use crate::{DecodeAllowance, memory::ClientMemory, message, status};
use historian_access::Principal;
use historian_query::PoolPart;

/// Most rows of parameters bound to a statement at once.
pub const ROWS_MAX: usize = 1_000;
/// Most bytes of parameters bound to a statement.
pub const BYTES_MAX: usize = 512 << 10;
/// Most bytes of the headers of their messages, the schema among them: it takes some 150 bytes a column.
pub const HEADERS_BYTES_MAX: usize = 1 << 20;
/// Most bytes that the values of all rows take when they are read, each in each row.
pub const VALUES_BYTES_MAX: usize = 16 << 20;
/// Most bytes of all texts and parameters that are kept.
const KEPT_BYTES_MAX: u64 = 64 << 20;
/// And no more than this part of the memory of clients.
const KEPT_PART: u64 = 16;

const KEY_BYTES: usize = 16;
type StatementHandle = [u8; KEY_BYTES];

/// A statement, and the values bound to it.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundStatement {
    key: StatementHandle,
    pub text: String,
    /// Record batches of values for `$1`, `$2`, … as they came, a row for each execution; empty when nothing is bound.
    pub parameters: Vec<FlightData>,
}

/// The handle that binding answers.
#[derive(Clone, PartialEq, Message)]
struct BoundHandle {
    /// The handle of the statement that was prepared, so that closing this one closes that.
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(message, repeated, tag = "3")]
    parameters: Vec<FlightData>,
}

pub enum Handle {
    Kept(StatementHandle),
    Whole(BoundStatement),
}

struct PreparedEntry {
    /// Whose it is: it is not there for others.
    principal: String,
    text: String,
    parameters: Vec<FlightData>,
    used: Instant,
}

impl PreparedEntry {
    fn bytes(&self) -> u64 {
        let values = |message: &FlightData| size_of::<FlightData>() + message.encoded_len();
        (size_of::<PreparedEntry>() + self.principal.len() + self.text.len() + self.parameters.iter().map(values).sum::<usize>()) as u64
    }
}

pub struct PreparedStatements {
    kept: Mutex<KeptStatements>,
    entries_max: usize,
    bytes_max: u64,
    idle_max: Duration,
}

struct KeptStatements {
    entries: HashMap<StatementHandle, PreparedEntry>,
    /// Bytes of the entries, in the pool of clients.
    memory: PoolPart,
}

impl PreparedStatements {
    /// So many, each until it was idle for so long, in the memory of clients.
    pub fn new(entries_max: usize, idle_max: Duration, memory: &ClientMemory) -> PreparedStatements {
        let kept = KeptStatements { entries: HashMap::new(), memory: memory.for_kept() };
        let bytes_max = KEPT_BYTES_MAX.min(memory.bytes_max() / KEPT_PART);
        PreparedStatements { kept: Mutex::new(kept), entries_max: entries_max.max(1), bytes_max, idle_max }
    }

    /// Keeps a statement of a principal; its handle.
    pub fn insert(&self, text: String, principal: &Principal) -> Bytes {
        let key: StatementHandle = rand::random();
        let mut kept = self.kept.lock();
        let entry = PreparedEntry { principal: principal.name().to_owned(), text, parameters: Vec::new(), used: Instant::now() };
        kept.entries.insert(key, entry);
        self.make_room(&mut kept, &key);
        key.to_vec().into()
    }

    /// The statement of a handle with the values bound to it.
    ///
    /// # Errors
    /// `NOT_FOUND` when it was closed or has gone, or is of another principal.
    pub fn get(&self, handle: &Bytes, principal: &Principal) -> Result<BoundStatement, Status> {
        let key = match read(handle)? {
            Handle::Whole(bound) => return Ok(bound),
            Handle::Kept(key) => key,
        };
        let now = Instant::now();
        let mut kept = self.kept.lock();
        match kept.entries.get_mut(&key).filter(|entry| entry.principal == principal.name()) {
            Some(entry) if now.duration_since(entry.used) < self.idle_max => {
                entry.used = now;
                Ok(BoundStatement { key, text: entry.text.clone(), parameters: entry.parameters.clone() })
            }
            expired => {
                if expired.is_some() {
                    kept.remove(&key);
                }
                Err(status::gone("PREPARED_STATEMENT_GONE", "the prepared statement was closed, or not used for long; prepare it again"))
            }
        }
    }

    /// Binds parameters in the place of those bound before; the handle of the statement with these.
    pub fn bind(&self, mut statement: BoundStatement, parameters: Vec<FlightData>) -> Bytes {
        statement.parameters = parameters;
        let mut kept = self.kept.lock();
        if let Some(entry) = kept.entries.get_mut(&statement.key) {
            entry.parameters.clone_from(&statement.parameters);
            entry.used = Instant::now();
        }
        self.make_room(&mut kept, &statement.key);
        let BoundStatement { key, text, parameters } = statement;
        BoundHandle { key: key.to_vec().into(), text, parameters }.encode_to_vec().into()
    }

    /// Lets a statement of a principal go; one that is not there has gone already.
    pub fn close(&self, handle: &Bytes, principal: &Principal) {
        if let Ok(Handle::Kept(key) | Handle::Whole(BoundStatement { key, .. })) = read(handle) {
            let mut kept = self.kept.lock();
            if kept.entries.get(&key).is_some_and(|entry| entry.principal == principal.name()) {
                kept.remove(&key);
            }
        }
    }

    /// Lets the idle go, then the one not used for longest, until the bounds hold; the one in hand stays.
    fn make_room(&self, kept: &mut KeptStatements, in_hand: &StatementHandle) {
        let entries = &mut kept.entries;
        let mut bytes: u64 = entries.values().map(PreparedEntry::bytes).sum();
        let full = |entries: usize, bytes: u64| entries > self.entries_max || bytes > self.bytes_max;
        if full(entries.len(), bytes) {
            let now = Instant::now();
            entries.retain(|key, entry| key == in_hand || now.duration_since(entry.used) < self.idle_max);
            bytes = entries.values().map(PreparedEntry::bytes).sum();
        }
        while full(entries.len(), bytes) {
            let others = entries.iter().filter(|(key, _)| *key != in_hand);
            let Some(oldest) = others.min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key) else { break };
            bytes -= entries.remove(&oldest).map_or(0, |entry| entry.bytes());
        }
        let counted = kept.memory.bytes();
        kept.memory.grow_beyond(bytes.saturating_sub(counted));
        kept.memory.shrink(counted.saturating_sub(bytes));
    }
}

impl KeptStatements {
    fn remove(&mut self, key: &StatementHandle) {
        if let Some(entry) = self.entries.remove(key) {
            self.memory.shrink(entry.bytes());
        }
    }
}

/// What the values in a handle or a ticket may take when they are read: a message of two bytes takes a hundred times as many then.
pub fn values_allowance() -> DecodeAllowance {
    DecodeAllowance::new("parameters", VALUES_BYTES_MAX)
}

pub fn read(handle: &Bytes) -> Result<Handle, Status> {
    if let Ok(key) = StatementHandle::try_from(handle.as_ref()) {
        return Ok(Handle::Kept(key));
    }
    let sound = message::check("BoundHandle", handle, &values_allowance()).is_ok();
    let whole = sound.then(|| BoundHandle::decode(handle.clone()).ok()).flatten().and_then(|whole| {
        let key = StatementHandle::try_from(whole.key.as_ref()).ok()?;
        Some(Handle::Whole(BoundStatement { key, text: whole.text, parameters: whole.parameters }))
    });
    whole.ok_or_else(|| status::invalid("prepared_statement_handle", "is none that this historian gave"))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn anybody() -> Principal {
        Principal::anonymous()
    }

    fn kept(entries_max: usize, idle_max: Duration) -> PreparedStatements {
        PreparedStatements::new(entries_max, idle_max, &ClientMemory::new(1 << 30))
    }

    fn values(of: &'static [u8]) -> Vec<FlightData> {
        vec![FlightData { data_body: Bytes::from_static(of), ..FlightData::default() }]
    }

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let prepared = kept(2, Duration::from_mins(1));
        let (first, second) = (prepared.insert("1".into(), &anybody()), prepared.insert("2".into(), &anybody()));
        prepared.get(&first, &anybody()).unwrap();
        let third = prepared.insert("3".into(), &anybody());
        assert_eq!(prepared.get(&first, &anybody()).unwrap().text, "1");
        assert_eq!(prepared.get(&second, &anybody()).unwrap_err().code(), Code::NotFound);
        prepared.close(&third, &anybody());
        assert_eq!(prepared.get(&third, &anybody()).unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn a_statement_is_its_principals() {
        let prepared = kept(5, Duration::from_mins(1));
        let handle = prepared.insert("1".into(), &anybody());
        assert_eq!(prepared.get(&handle, &Principal::nobody()).unwrap_err().code(), Code::NotFound);
        prepared.close(&handle, &Principal::nobody());
        assert_eq!(prepared.get(&handle, &anybody()).unwrap().text, "1");
    }

    #[test]
    fn bytes_are_bounded_and_the_one_in_hand_stays() {
        // Each entry and each message counts itself, too.
        let bytes_max = 100 + (2 * size_of::<PreparedEntry>() + size_of::<FlightData>()) as u64;
        let prepared = PreparedStatements { bytes_max, ..kept(50, Duration::from_mins(1)) };
        let (first, second) = (prepared.insert("x".repeat(60), &anybody()), prepared.insert("y".repeat(30), &anybody()));
        prepared.get(&first, &anybody()).unwrap();
        prepared.bind(prepared.get(&first, &anybody()).unwrap(), values(b"0123456789abcdef"));
        assert_eq!(prepared.get(&second, &anybody()).unwrap_err().code(), Code::NotFound);
        assert_eq!(prepared.get(&first, &anybody()).unwrap().parameters, values(b"0123456789abcdef"));
        let large = prepared.insert("z".repeat(200), &anybody());
        assert_eq!(prepared.get(&large, &anybody()).unwrap().text.len(), 200);
        assert_eq!(prepared.get(&first, &anybody()).unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn what_is_kept_counts_in_the_memory_of_clients_until_it_goes() {
        let memory = ClientMemory::new(1 << 20);
        let prepared = PreparedStatements::new(1_000, Duration::from_mins(1), &memory);
        let handle = prepared.insert("x".repeat(20_000), &anybody());
        prepared.bind(prepared.get(&handle, &anybody()).unwrap(), values(b"0123456789abcdef"));
        assert!(memory.taken() > 20_016);
        let before = memory.taken();
        prepared.bind(prepared.get(&handle, &anybody()).unwrap(), Vec::new());
        assert!(memory.taken() < before);
        prepared.close(&handle, &anybody());
        assert_eq!(memory.taken(), 0);
        // No more than a sixteenth of it.
        let handles: Vec<Bytes> = (0..10).map(|_| prepared.insert("x".repeat(20_000), &anybody())).collect();
        assert!((40_000..=65_536).contains(&memory.taken()), "{}", memory.taken());
        assert_eq!(handles.iter().filter(|handle| prepared.get(handle, &anybody()).is_ok()).count(), 3);
    }

    #[test]
    fn what_is_not_used_goes_and_what_is_no_handle_is_refused() {
        let prepared = kept(5, Duration::ZERO);
        assert_eq!(prepared.get(&prepared.insert("1".into(), &anybody()), &anybody()).unwrap_err().code(), Code::NotFound);
        for bad in [&b""[..], b"short", &[0; 17], &[0; 25]] {
            assert_eq!(prepared.get(&Bytes::from_static(bad), &anybody()).unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn a_handle_of_bound_values_keeps_them_whatever_is_bound_or_closed_later() {
        let prepared = kept(5, Duration::from_mins(1));
        let handle = prepared.insert("SELECT ?".into(), &anybody());
        let first = prepared.bind(prepared.get(&handle, &anybody()).unwrap(), values(b"a"));
        let second = prepared.bind(prepared.get(&handle, &anybody()).unwrap(), values(b"b"));
        assert_eq!(prepared.get(&handle, &anybody()).unwrap().parameters, values(b"b"));
        assert_eq!(prepared.get(&first, &anybody()).unwrap().parameters, values(b"a"));
        prepared.close(&second, &anybody());
        assert_eq!(prepared.get(&handle, &anybody()).unwrap_err().code(), Code::NotFound);
        let again = prepared.bind(prepared.get(&first, &anybody()).unwrap(), values(b"c"));
        assert_eq!(
            (prepared.get(&again, &anybody()).unwrap().text, prepared.get(&again, &anybody()).unwrap().parameters),
            ("SELECT ?".into(), values(b"c"))
        );
    }

    #[test]
    fn what_can_be_bound_can_be_executed() {
        let limits = crate::ApiLimits::default();
        let prepared = kept(4, Duration::from_mins(1));
        let statement = prepared.get(&prepared.insert("x".repeat(limits.sql_text_bytes_max), &anybody()), &anybody()).unwrap();
        let message = |header: usize, body: usize| FlightData {
            data_header: vec![1; header].into(),
            data_body: vec![1; body].into(),
            ..FlightData::default()
        };
        // A schema, and as many messages as there may be.
        let mut parameters = vec![message(HEADERS_BYTES_MAX - ROWS_MAX, 0)];
        parameters.extend((0..ROWS_MAX).map(|_| message(1, BYTES_MAX / ROWS_MAX)));
        let handle = prepared.bind(statement, parameters);
        let command = arrow_flight::sql::CommandPreparedStatementQuery { prepared_statement_handle: handle };
        let bytes = arrow_flight::sql::ProstMessageExt::as_any(&command).encode_to_vec();
        assert!(super::super::command(&bytes, &limits).unwrap().is_some(), "{} bytes", bytes.len());
        assert!(prepared.get(&command.prepared_statement_handle, &anybody()).is_ok());
    }
}
