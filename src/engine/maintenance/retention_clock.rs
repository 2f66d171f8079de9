//! The clock that retention goes by: it follows the clock on the wall, and cannot jump.

use std::time::Instant;

use historian_model::Timestamp;

/// A clock that jumps nowhere.
#[derive(Debug)]
pub(crate) struct RetentionClock {
    time: i64,
    read: Instant,
}

impl RetentionClock {
    /// Goes on from where it was kept; without that from now.
    pub(crate) fn new(kept: Option<i64>, now: Timestamp) -> RetentionClock {
        RetentionClock { time: kept.unwrap_or(now.0), read: Instant::now() }
    }

    /// Moves towards the clock on the wall, ahead at twice the pace of real time at most.
    pub(crate) fn advance(&mut self, now: Timestamp) -> i64 {
        let passed = i64::try_from(self.read.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.advance_by(now, passed);
        self.read = Instant::now();
        self.time
    }

    fn advance_by(&mut self, now: Timestamp, passed: i64) {
        let reach = self.time.saturating_add(passed.saturating_mul(2));
        // A clock that was set back takes this one along: then less is deleted, not more.
        self.time = now.0.min(reach);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retention_clock_does_not_jump() {
        const DAY: i64 = 86_400_000_000_000;
        let mut clock = RetentionClock::new(Some(100 * DAY), Timestamp(100 * DAY));
        clock.advance_by(Timestamp(101 * DAY), 1_000);
        assert_eq!(clock.time, 100 * DAY + 2_000, "a day ahead at once: it follows slowly");
        clock.advance_by(Timestamp(99 * DAY), 1_000);
        assert_eq!(clock.time, 99 * DAY, "set back: less is deleted");
        clock.advance_by(Timestamp(99 * DAY + 500), DAY);
        assert_eq!(clock.time, 99 * DAY + 500, "never ahead of the wall");
    }
}
