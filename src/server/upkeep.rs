//! What the server does to the store by itself: a scrub from time to time, at a low rate.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::config::ScrubSettings;
use historian_model::{Clock, Timestamp};
use historian_store::{Maintenance, scrub::ScrubError};

/// The first scrub of a store that never had one waits so long, so that a start is not slower for it.
const FIRST_AFTER: Duration = Duration::from_mins(10);

/// How often the clock is asked whether a scrub is due. A clock that jumps is noticed within this.
const LOOKED_EVERY: Duration = Duration::from_secs(30);

/// Scrubs whenever the interval since the last scrub has passed, until `stop`.
pub async fn scrub_regularly(maintenance: Arc<Maintenance>, settings: &ScrubSettings, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let Some(interval) = settings.interval.0 else { return };
    let bytes_per_s = settings.bytes_per_s.0;
    let started = clock.now();
    loop {
        let last = maintenance.scrub_status().last.map(|report| report.ended);
        let wait = until_due(clock.now(), started, last, interval).min(LOOKED_EVERY);
        if !wait.is_zero() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => continue,
            }
        }
        let (maintenance, stopping) = (maintenance.clone(), stop.clone());
        let scrubbed = tokio::task::spawn_blocking(move || maintenance.scrub_in_background(bytes_per_s, &|| stopping.is_cancelled())).await;
        match scrubbed {
            Ok(Ok(_)) => continue,
            // Somebody asked for one: that one counts. Or the historian stops.
            Ok(Err(ScrubError::Busy | ScrubError::Cancelled)) => {}
            Ok(Err(error)) => tracing::error!("the scrub in the background failed: {error}"),
            Err(error) => tracing::error!("the scrub in the background ended by a panic: {error}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOKED_EVERY) => {}
        }
    }
}

/// How long until the next scrub is due. A last one in the future, by a clock that was wrong, does not keep scrubs away.
fn until_due(now: Timestamp, started: Timestamp, last: Option<Timestamp>, interval: Duration) -> Duration {
    let after = |from: Timestamp, wait: Duration| {
        let wait = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
        Duration::from_nanos(u64::try_from(from.0.saturating_add(wait).saturating_sub(now.0)).unwrap_or(0))
    };
    match last {
        Some(last) if last <= now => after(last, interval),
        _ => after(started, FIRST_AFTER.min(interval)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrub_is_due_an_interval_after_the_last_one() {
        let (second, day) = (Duration::from_secs(1), Duration::from_hours(24));
        let at = |seconds: i64| Timestamp(seconds * 1_000_000_000);
        assert_eq!(until_due(at(100), at(90), Some(at(50)), day), Duration::from_secs(86_350));
        assert_eq!(until_due(at(90_000), at(90), Some(at(50)), day), Duration::ZERO);
        assert_eq!(until_due(at(100), at(90), None, day), Duration::from_secs(590));
        assert_eq!(until_due(at(100), at(90), None, second), Duration::ZERO);
        // Written by a clock a year ahead.
        assert_eq!(until_due(at(100), at(90), Some(at(31_000_000)), day), Duration::from_secs(590));
        assert_eq!(until_due(Timestamp::MAX, at(90), Some(Timestamp::MIN), day), Duration::ZERO);
    }
}
