//! Prepared statements: texts and bound values behind random handles, bounded in number and bytes. One that is not used goes after a while;
//! when there are too many, the one not used for longest goes first, so that a client that closes none harms itself before others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prost::bytes::Bytes;
use tonic::Status;

use crate::{api::status, model::Timestamp, query::sql::ScalarValue};

/// Most rows of parameters bound to a statement at once.
pub const ROWS_MAX: usize = 1_000;
/// Most bytes of parameters bound to a statement.
pub const BYTES_MAX: usize = 256 << 10;

const HANDLE_BYTES: usize = 16;

/// A statement, and the values bound to it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub text: String,
    /// Values of `$1`, `$2`, … for each execution.
    pub rows: Vec<Vec<ScalarValue>>,
    used: Instant,
}

pub struct Prepared {
    entries: Mutex<HashMap<[u8; HANDLE_BYTES], Entry>>,
    entries_max: usize,
    idle_max: Duration,
}

impl Prepared {
    pub fn new(entries_max: usize, idle_max: Duration) -> Prepared {
        Prepared { entries: Mutex::default(), entries_max: entries_max.max(1), idle_max }
    }

    /// Keeps a statement; its handle.
    pub fn insert(&self, text: String) -> Bytes {
        let handle: [u8; HANDLE_BYTES] = rand::random();
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() >= self.entries_max {
            entries.retain(|_, entry| now.duration_since(entry.used) < self.idle_max);
        }
        while entries.len() >= self.entries_max {
            let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(handle, _)| *handle) else { break };
            entries.remove(&oldest);
        }
        entries.insert(handle, Entry { text, rows: Vec::new(), used: now });
        handle.to_vec().into()
    }

    /// The statement of a handle and the moment it is executed at.
    ///
    /// # Errors
    /// `NOT_FOUND` when it was closed or has gone.
    pub fn get(&self, handle: &[u8]) -> Result<(Timestamp, Entry), Status> {
        let (key, at) = split(handle)?;
        let entry = self.with(&key, |entry| entry.clone())?;
        Ok((at.unwrap_or_default(), entry))
    }

    /// Binds rows of parameters in the place of those bound before.
    ///
    /// # Errors
    /// As [`Prepared::get`].
    pub fn bind(&self, handle: &[u8], rows: Vec<Vec<ScalarValue>>) -> Result<(), Status> {
        let (key, _) = split(handle)?;
        self.with(&key, |entry| entry.rows = rows)
    }

    /// Lets a statement go; one that is not there has gone already.
    pub fn close(&self, handle: &[u8]) {
        if let Ok((key, _)) = split(handle) {
            self.entries.lock().remove(&key);
        }
    }

    fn with<T>(&self, key: &[u8; HANDLE_BYTES], work: impl FnOnce(&mut Entry) -> T) -> Result<T, Status> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        match entries.get_mut(key) {
            Some(entry) if now.duration_since(entry.used) < self.idle_max => {
                entry.used = now;
                Ok(work(entry))
            }
            _ => {
                entries.remove(key);
                Err(status::gone("PREPARED_STATEMENT_GONE", "the prepared statement was closed, or not used for long; prepare it again"))
            }
        }
    }
}

/// A handle with the moment of its execution, so that `GetFlightInfo` and `DoGet` mean the same present time. One that has a moment keeps it.
///
/// # Errors
/// When it is no handle.
pub fn at(handle: &[u8], now: Timestamp) -> Result<Bytes, Status> {
    let (key, at) = split(handle)?;
    Ok([key.as_slice(), &at.unwrap_or(now).0.to_be_bytes()].concat().into())
}

fn split(handle: &[u8]) -> Result<([u8; HANDLE_BYTES], Option<Timestamp>), Status> {
    let parts = handle.split_first_chunk::<HANDLE_BYTES>().and_then(|(key, rest)| match rest {
        [] => Some((*key, None)),
        rest => Some((*key, Some(Timestamp(i64::from_be_bytes(rest.try_into().ok()?))))),
    });
    parts.ok_or_else(|| status::invalid("prepared_statement_handle", "is none that this historian gave"))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let prepared = Prepared::new(2, Duration::from_mins(1));
        let (first, second) = (prepared.insert("1".into()), prepared.insert("2".into()));
        prepared.get(&first).unwrap();
        let third = prepared.insert("3".into());
        assert_eq!(prepared.get(&first).unwrap().1.text, "1");
        assert_eq!(prepared.get(&second).unwrap_err().code(), Code::NotFound);
        prepared.close(&third);
        assert_eq!(prepared.get(&third).unwrap_err().code(), Code::NotFound);
    }

    #[test]
    fn what_is_not_used_goes_and_the_moment_stays() {
        let prepared = Prepared::new(5, Duration::ZERO);
        assert_eq!(prepared.get(&prepared.insert("1".into())).unwrap_err().code(), Code::NotFound);
        let prepared = Prepared::new(5, Duration::from_mins(1));
        let handle = at(&prepared.insert("1".into()), Timestamp(7)).unwrap();
        let again = at(&handle, Timestamp(9)).unwrap();
        assert_eq!(prepared.get(&again).unwrap().0, Timestamp(7));
        for bad in [&b""[..], b"short", &[0; 17], &[0; 25]] {
            assert_eq!(prepared.get(bad).unwrap_err().code(), Code::InvalidArgument);
        }
    }
}
