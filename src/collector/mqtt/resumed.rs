//! What is ours in a session that the broker kept: nothing. All that we publish is told anew with each link, and what the broker kept for
//! us comes again by itself. The library for MQTT 5 wants to know: without a state of its own it sends no subscription in such a session.

use std::{future::ready, pin::Pin};

use rumqttc_v5::{PersistedAckMode, PersistedSession, SessionStore, SessionStoreError, SessionStoreKey};

type StoreAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// Restores a session in which nothing of ours waits for an answer.
#[derive(Debug)]
pub(super) struct ResumedSession {
    pub(super) session_expiry_s: u32,
}

impl SessionStore for ResumedSession {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> StoreAnswer<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.session_expiry_s),
            outgoing_inflight_upper_limit: None,
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(ready(Ok(Some(session))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> StoreAnswer<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> StoreAnswer<'a, ()> {
        Box::pin(ready(Ok(())))
    }
}
