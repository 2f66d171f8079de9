//! A provider while the historian runs: its keys of the moment, and when they are read again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};

use crate::{
    fetch, file,
    key::KeySet,
    settings::{KeySource, OidcSettings},
    verify::{IssuerRefusal, Shown, verify},
};
use historian_model::Timestamp;

/// How often keys are fetched that are as they should be, and a file is looked at.
const FETCHED_EVERY: Duration = Duration::from_mins(5);
const LOOKED_AT_EVERY: Duration = Duration::from_secs(2);
/// How soon it is tried again when it failed.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Least time between two readings because of a key that is not known: anybody can name one.
const WANTED_EVERY: Duration = Duration::from_secs(5);
/// How long a caller waits for keys that are being read.
const CALLERS_WAIT: Duration = Duration::from_secs(3);

/// One identity provider.
pub struct Issuer {
    settings: OidcSettings,
    keys: ArcSwap<KeySet>,
    state: Mutex<KeysState>,
    wanted: Notify,
    /// Counts the readings that have ended.
    readings: watch::Sender<u64>,
}

#[derive(Default)]
struct KeysState {
    /// Of the set that the keys are of.
    digest: Option<[u8; 32]>,
    /// When the last reading began, and whether it goes on.
    begun: Option<Instant>,
    is_reading: bool,
    read_at: Option<Timestamp>,
    failures: u64,
    /// What went wrong the last time, where it did.
    problem: Option<String>,
}

/// The keys of a provider, as status and metrics tell of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerState {
    /// That can verify tokens.
    pub keys: usize,
    /// When they were read the last time, as it should be; `None` where they never were.
    pub read_at: Option<Timestamp>,
    /// Readings that failed.
    pub failures: u64,
}

/// What came of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    Same,
    /// There are other keys now.
    Changed,
    /// They stay as they were. The reason is another one than the last time.
    Failed(String),
    /// As before, for the same reason.
    FailedAgain,
    /// They are as they were, and could be read again.
    Restored,
}

impl Issuer {
    /// A provider whose keys are not known yet.
    pub fn new(settings: OidcSettings) -> Arc<Issuer> {
        let readings = watch::Sender::new(0);
        Arc::new(Issuer { settings, keys: ArcSwap::default(), state: Mutex::default(), wanted: Notify::new(), readings })
    }

    pub fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// Whose a token is.
    ///
    /// # Errors
    /// It is none of the provider that holds now.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Shown, IssuerRefusal> {
        verify(token, &self.keys.load(), &self.settings, now)
    }

    /// Asks for the keys to be read. True where that is under way, so that waiting may help; false where they were read just now.
    pub fn want_keys(&self) -> bool {
        let state = self.state.lock();
        if state.is_reading {
            return true;
        }
        if state.begun.is_some_and(|begun| begun.elapsed() < WANTED_EVERY) {
            return false;
        }
        self.wanted.notify_one();
        true
    }

    /// Waits until keys were read, or some seconds are over.
    pub async fn keys_come(&self) {
        let mut readings = self.readings.subscribe();
        let _ = tokio::time::timeout(CALLERS_WAIT, readings.changed()).await;
    }

    /// Reads the keys. What cannot be read changes nothing.
    pub async fn read(&self, now: Timestamp) -> Reading {
        {
            let mut state = self.state.lock();
            (state.begun, state.is_reading) = (Some(Instant::now()), true);
        }
        let text: Result<Bytes, String> = match &self.settings.keys {
            KeySource::Discovery => fetch::keys(&self.settings).await.map_err(|error| error.to_string()),
            KeySource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || file::keys(&path)).await;
                read.map_err(|error| error.to_string()).and_then(|read| read)
            }
        };
        let reading = self.take(text, now);
        self.readings.send_modify(|readings| *readings += 1);
        reading
    }

    fn take(&self, text: Result<Bytes, String>, now: Timestamp) -> Reading {
        let mut state = self.state.lock();
        state.is_reading = false;
        let read = text.and_then(|text| {
            let digest: [u8; 32] = Sha256::digest(&text).into();
            if state.digest == Some(digest) {
                return Ok(None);
            }
            let keys = KeySet::parse(&text).map_err(|error| format!("{}: {error}", self.settings.place_of_keys()))?;
            Ok(Some((digest, keys)))
        });
        match read {
            Ok(changed) => {
                state.read_at = Some(now);
                let had_failed = state.problem.take().is_some();
                let Some((digest, keys)) = changed else { return if had_failed { Reading::Restored } else { Reading::Same } };
                state.digest = Some(digest);
                self.keys.store(Arc::new(keys));
                Reading::Changed
            }
            Err(problem) => {
                state.failures += 1;
                if state.problem.as_ref() == Some(&problem) {
                    return Reading::FailedAgain;
                }
                state.problem = Some(problem.clone());
                Reading::Failed(problem)
            }
        }
    }

    /// Waits until the keys are to be read again: after a time, or because somebody wants them.
    pub async fn rest(&self) {
        let time = match self.settings.keys {
            KeySource::File(_) => LOOKED_AT_EVERY,
            KeySource::Discovery if self.state.lock().problem.is_some() => TRIED_AGAIN_AFTER,
            KeySource::Discovery => FETCHED_EVERY,
        };
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.wanted.notified() => {}
        }
    }

    /// Its keys now.
    pub fn state(&self) -> IssuerState {
        let state = self.state.lock();
        IssuerState { keys: self.keys.load().len(), read_at: state.read_at, failures: state.failures }
    }
}
