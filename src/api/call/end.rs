//! The end of a call: what the log says of it. A call that went well and was quick is told at the level `debug`, every other at `info` or
//! above; where the client is not known, the layer that refuses it tells some of many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tonic::Code;

/// From which time on a call is slow, unless the configuration says otherwise.
const SLOW_MS: u64 = 1_000;

/// What of calls is told in the log. Clones are the same one, so that it can be changed while the historian serves.
#[derive(Clone, Debug)]
pub struct CallLog {
    slow_ms: Arc<AtomicU64>,
}

impl Default for CallLog {
    fn default() -> CallLog {
        CallLog { slow_ms: Arc::new(AtomicU64::new(SLOW_MS)) }
    }
}

impl CallLog {
    /// Calls that take so long are slow, from now on.
    pub fn set_slow(&self, after: Duration) {
        self.slow_ms.store(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_slow(&self, took: Duration) -> bool {
        took.as_millis() >= u128::from(self.slow_ms.load(Ordering::Relaxed))
    }

    /// Tells of a call that has ended, in the span of the call.
    pub(super) fn tell(&self, ended: &EndedCall<'_>) {
        let EndedCall { code, kind, rows, bytes_received, bytes_sent, took, is_stream } = *ended;
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let name = crate::metrics::code_name(code);
        macro_rules! line {
            ($level:expr, $message:literal) => {
                tracing::event!($level, code = name, duration_ms, kind, rows, bytes_received, bytes_sent, $message)
            };
        }
        match code {
            Code::Internal | Code::DataLoss | Code::Unknown => line!(tracing::Level::ERROR, "call failed"),
            // Any client can cause as many of these as it likes.
            Code::Unauthenticated => line!(tracing::Level::DEBUG, "call refused"),
            Code::Ok if !is_stream && self.is_slow(took) => line!(tracing::Level::WARN, "slow call"),
            Code::Ok => line!(tracing::Level::DEBUG, "call"),
            // The client's way to end what has no end.
            Code::Cancelled if is_stream => line!(tracing::Level::DEBUG, "call"),
            _ => line!(tracing::Level::INFO, "call failed"),
        }
    }
}

/// What the log tells of a call that has ended.
#[derive(Clone, Copy)]
pub(super) struct EndedCall<'a> {
    pub code: Code,
    /// What was asked, where that is known.
    pub kind: Option<&'a str>,
    pub rows: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub took: Duration,
    /// It lasts as long as the client likes, so that its length says nothing.
    pub is_stream: bool,
}
