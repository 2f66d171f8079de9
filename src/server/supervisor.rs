//! What the service manager of the machine is told, where there is one that listens (`NOTIFY_SOCKET`, systemd's `Type=notify`): that the start
//! takes its time, that requests are answered, that the store is alive, and that the end has begun. Without one all of this does nothing.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A start or an end that is under way asks for so much more time, again and again.
const MORE_TIME: Duration = Duration::from_mins(1);
/// How often it asks.
const ASKED_EVERY: Duration = Duration::from_secs(15);
/// How often is looked whether what is told has changed, where no watchdog asks for more.
const LOOKED_EVERY: Duration = Duration::from_secs(10);

/// While this is held the service manager is asked for more time: replaying a journal, and sealing it at the end, take as long as they take,
/// and who ends it halfway lets the next start begin anew.
pub struct UnderWay {
    _ended: DropGuard,
}

/// The store is being opened.
pub fn opening() -> UnderWay {
    under_way("opening the store, replaying its journal")
}

/// The end has begun.
pub fn stopping() -> UnderWay {
    tell(&[NotifyState::Stopping]);
    under_way("stopping: writing what was taken")
}

/// Requests are answered.
pub fn serving(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

fn under_way(status: &'static str) -> UnderWay {
    tell(&[NotifyState::Status(status)]);
    let ended = CancellationToken::new();
    let until = ended.clone();
    tokio::spawn(async move {
        loop {
            tell(&[NotifyState::ExtendTimeoutUsec(MORE_TIME.as_micros() as u32)]);
            tokio::select! {
                () = until.cancelled() => return,
                () = tokio::time::sleep(ASKED_EVERY) => {}
            }
        }
    });
    UnderWay { _ended: ended.drop_guard() }
}

/// Tells until `stop` what changes of `status`, and feeds the watchdog, where there is one, as long as the store is alive. `alive` blocks at
/// most until the given moment; where it says no, or does not come back, the watchdog gets nothing, and the service manager ends the process.
/// A disk that answers with errors is alive: a restart does not mend it, and `/healthz` tells of it.
pub async fn follow(alive: impl Fn(Instant) -> bool + Clone + Send + 'static, status: impl Fn() -> String, stop: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(LOOKED_EVERY, |timeout| (timeout / 3).min(LOOKED_EVERY));
    let mut told = String::new();
    loop {
        let now = status();
        if now != told {
            tell(&[NotifyState::Status(&now)]);
            told = now;
        }
        if let Some(timeout) = watchdog {
            let (alive, until) = (alive.clone(), Instant::now() + timeout / 2);
            match tokio::task::spawn_blocking(move || alive(until)).await {
                Ok(true) => tell(&[NotifyState::Watchdog]),
                Ok(false) => tracing::error!(
                    timeout_s = timeout.as_secs(),
                    "the store has not come to a rest between two writes for half the time of the watchdog: it gets no sign of life"
                ),
                Err(error) => tracing::error!(%error, "asking the store for a sign of life ended by a panic"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// A service manager that does not take a message does not keep the historian from its work.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
