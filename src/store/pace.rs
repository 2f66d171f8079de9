//! Keeps background reading at a bounded rate, so that it takes little of the disk from ingest and queries.

use std::time::{Duration, Instant};

/// Longest wait at once: so soon does a pace notice that it is to stop.
const NAP_MAX: Duration = Duration::from_millis(100);

/// Longest time that a pace may be behind and catch up for: a pause is not made good by a burst.
const CREDIT_MAX: Duration = Duration::from_secs(1);

/// A rate in bytes per second.
pub struct RateLimit {
    bytes_per_s: Option<u64>,
    /// When the bytes spent so far are paid for.
    due: Instant,
}

impl RateLimit {
    /// `None`: as fast as it goes.
    pub fn new(bytes_per_s: Option<u64>) -> RateLimit {
        RateLimit { bytes_per_s: bytes_per_s.filter(|rate| *rate > 0), due: Instant::now() }
    }

    /// Waits until these bytes are within the rate, or `stop` says true. Blocks.
    pub fn spend(&mut self, bytes: u64, mut stop: impl FnMut() -> bool) {
        let Some(rate) = self.bytes_per_s else { return };
        let now = Instant::now();
        self.due = self.due.max(now.checked_sub(CREDIT_MAX).unwrap_or(now)) + Duration::from_secs_f64(bytes as f64 / rate as f64);
        loop {
            let left = self.due.saturating_duration_since(Instant::now());
            if left.is_zero() || stop() {
                return;
            }
            std::thread::sleep(left.min(NAP_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_waits_unless_told_to_stop() {
        let mut pace = RateLimit::new(Some(1000));
        let begun = Instant::now();
        pace.spend(1200, || false);
        assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
        let begun = Instant::now();
        pace.spend(1_000_000, || true);
        RateLimit::new(None).spend(u64::MAX, || false);
        assert!(begun.elapsed() < Duration::from_mins(1));
    }
}
