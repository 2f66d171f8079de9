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

use crate::{DecodeAllowance, message, status};

/// Most rows of parameters bound to a statement at once.
pub const ROWS_MAX: usize = 1_000;
/// Most bytes of parameters bound to a statement.
pub const BYTES_MAX: usize = 512 << 10;
/// Most bytes of the headers of their messages, the schema among them: it takes some 150 bytes a column.
pub const HEADERS_BYTES_MAX: usize = 1 << 20;
/// Most bytes that the values of all rows take when they are read, each in each row.
pub const VALUES_BYTES_MAX: usize = 16 << 20;
/// Most bytes of all texts and parameters that are kept.
const KEPT_BYTES_MAX: usize = 64 << 20;

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

enum Handle {
    Kept(StatementHandle),
    Whole(BoundStatement),
}

struct PreparedEntry {
    text: String,
    parameters: Vec<FlightData>,
    used: Instant,
}

impl PreparedEntry {
    fn bytes(&self) -> usize {
        let values = |message: &FlightData| size_of::<FlightData>() + message.encoded_len();
        size_of::<PreparedEntry>() + self.text.len() + self.parameters.iter().map(values).sum::<usize>()
    }
}

pub struct PreparedStatements {
    entries: Mutex<HashMap<StatementHandle, PreparedEntry>>,
    entries_max: usize,
    bytes_max: usize,
    idle_max: Duration,
}

impl PreparedStatements {
    pub fn new(entries_max: usize, idle_max: Duration) -> PreparedStatements {
        PreparedStatements { entries: Mutex::default(), entries_max: entries_max.max(1), bytes_max: KEPT_BYTES_MAX, idle_max }
    }

    /// Keeps a statement; its handle.
    pub fn insert(&self, text: String) -> Bytes {
        let key: StatementHandle = rand::random();
        let mut entries = self.entries.lock();
        entries.insert(key, PreparedEntry { text, parameters: Vec::new(), used: Instant::now() });
        self.make_room(&mut entries, &key);
        key.to_vec().into()
    }

    /// The statement of a handle with the values bound to it.
    ///
    /// # Errors
    /// `NOT_FOUND` when it was closed or has gone.
    pub fn get(&self, handle: &Bytes) -> Result<BoundStatement, Status> {
        let key = match read(handle)? {
            Handle::Whole(bound) => return Ok(bound),
            Handle::Kept(key) => key,
        };
        let now = Instant::now();
        let mut entries = self.entries.lock();
        match entries.get_mut(&key) {
            Some(entry) if now.duration_since(entry.used) < self.idle_max => {
                entry.used = now;
                Ok(BoundStatement { key, text: entry.text.clone(), parameters: entry.parameters.clone() })
            }
            _ => {
                entries.remove(&key);
                Err(status::gone("PREPARED_STATEMENT_GONE", "the prepared statement was closed, or not used for long; prepare it again"))
            }
        }
    }

    /// Binds parameters in the place of those bound before; the handle of the statement with these.
    pub fn bind(&self, mut statement: BoundStatement, parameters: Vec<FlightData>) -> Bytes {
        statement.parameters = parameters;
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&statement.key) {
            entry.parameters.clone_from(&statement.parameters);
            entry.used = Instant::now();
        }
        self.make_room(&mut entries, &statement.key);
        let BoundStatement { key, text, parameters } = statement;
        BoundHandle { key: key.to_vec().into(), text, parameters }.encode_to_vec().into()
    }

    /// Lets a statement go; one that is not there has gone already.
    pub fn close(&self, handle: &Bytes) {
        if let Ok(Handle::Kept(key) | Handle::Whole(BoundStatement { key, .. })) = read(handle) {
            self.entries.lock().remove(&key);
        }
    }

    /// Lets the idle go, then the one not used for longest, until the bounds hold; the one in hand stays.
    fn make_room(&self, entries: &mut HashMap<StatementHandle, PreparedEntry>, in_hand: &StatementHandle) {
        let mut bytes: usize = entries.values().map(PreparedEntry::bytes).sum();
        let full = |entries: usize, bytes: usize| entries > self.entries_max || bytes > self.bytes_max;
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
    }
}

/// What the values in a handle or a ticket may take when they are read: a message of two bytes takes a hundred times as many then.
pub fn values_allowance() -> DecodeAllowance {
    DecodeAllowance::new("parameters", VALUES_BYTES_MAX)
}

fn read(handle: &Bytes) -> Result<Handle, Status> {
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

    fn values(of: &'static [u8]) -> Vec<FlightData> {
        vec![FlightData { data_body: Bytes::from_static(of), ..FlightData::default() }]
    }

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let prepared = PreparedStatements::new(2, Duration::from_mins(1));
        let (first, second) = (prepared.insert("1".into()), prepared.insert("2".into()));
        prepared.get(&first).unwrap();
        let third = prepared.insert("3".into());
        assert_eq!(prepared.get(&first).unwrap().text, "1");
        assert_eq!(prepared.get(&second).unwrap_err().code(), Code::NotFound);
        prepared.close(&third);
        assert_eq!(prepared.get(&third).unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn bytes_are_bounded_and_the_one_in_hand_stays() {
        // Each entry and each message counts itself, too.
        let bytes_max = 100 + 2 * size_of::<PreparedEntry>() + size_of::<FlightData>();
        let prepared = PreparedStatements { bytes_max, ..PreparedStatements::new(50, Duration::from_mins(1)) };
        let (first, second) = (prepared.insert("x".repeat(60)), prepared.insert("y".repeat(30)));
        prepared.get(&first).unwrap();
        prepared.bind(prepared.get(&first).unwrap(), values(b"0123456789abcdef"));
        assert_eq!(prepared.get(&second).unwrap_err().code(), Code::NotFound);
        assert_eq!(prepared.get(&first).unwrap().parameters, values(b"0123456789abcdef"));
        let large = prepared.insert("z".repeat(200));
        assert_eq!(prepared.get(&large).unwrap().text.len(), 200);
        assert_eq!(prepared.get(&first).unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn what_is_not_used_goes_and_what_is_no_handle_is_refused() {
        let prepared = PreparedStatements::new(5, Duration::ZERO);
        assert_eq!(prepared.get(&prepared.insert("1".into())).unwrap_err().code(), Code::NotFound);
        for bad in [&b""[..], b"short", &[0; 17], &[0; 25]] {
            assert_eq!(prepared.get(&Bytes::from_static(bad)).unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn a_handle_of_bound_values_keeps_them_whatever_is_bound_or_closed_later() {
        let prepared = PreparedStatements::new(5, Duration::from_mins(1));
        let handle = prepared.insert("SELECT ?".into());
        let first = prepared.bind(prepared.get(&handle).unwrap(), values(b"a"));
        let second = prepared.bind(prepared.get(&handle).unwrap(), values(b"b"));
        assert_eq!(prepared.get(&handle).unwrap().parameters, values(b"b"));
        assert_eq!(prepared.get(&first).unwrap().parameters, values(b"a"));
        prepared.close(&second);
        assert_eq!(prepared.get(&handle).unwrap_err().code(), Code::NotFound);
        let again = prepared.bind(prepared.get(&first).unwrap(), values(b"c"));
        assert_eq!((prepared.get(&again).unwrap().text, prepared.get(&again).unwrap().parameters), ("SELECT ?".into(), values(b"c")));
    }

    #[test]
    fn what_can_be_bound_can_be_executed() {
        let limits = crate::ApiLimits::default();
        let prepared = PreparedStatements::new(4, Duration::from_mins(1));
        let statement = prepared.get(&prepared.insert("x".repeat(limits.sql_text_bytes_max))).unwrap();
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
        assert!(prepared.get(&command.prepared_statement_handle).is_ok());
    }
}
