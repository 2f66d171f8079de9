//! How much of something a client may do: much at once, and less of it for ever.

use std::time::Instant;

/// A bucket that refills with time.
pub struct Allowance {
    left: f64,
    at: Instant,
    at_once: f64,
    per_second: f64,
}

impl Allowance {
    pub fn new(at_once: u32, per_second: u32, now: Instant) -> Allowance {
        Allowance { left: at_once.into(), at: now, at_once: at_once.into(), per_second: per_second.into() }
    }

    /// Takes one; false when there are no more.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.at_once) - 1.0;
        self.at = now;
        self.left >= 0.0
    }

    /// Whether all that there is at once is there.
    pub fn is_full(&self, now: Instant) -> bool {
        self.left + now.saturating_duration_since(self.at).as_secs_f64() * self.per_second >= self.at_once
    }

    /// Gives some more, up to what is there at once.
    pub fn give(&mut self, count: u32) {
        self.left = (self.left + f64::from(count)).min(self.at_once);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn takes(allowance: &mut Allowance, count: usize, now: Instant) -> bool {
        (0..count).all(|_| allowance.take(now))
    }

    #[test]
    fn what_comes_at_once_is_let_pass_and_what_goes_on_is_not() {
        let start = Instant::now();
        let full = || Allowance::new(10_000, 1_000, start);
        let mut allowance = full();
        assert!(takes(&mut allowance, 2_000, start) && takes(&mut allowance, 8_000, start));
        assert!(!allowance.take(start));
        // A dashboard of 900 calls that is left and opened each second, for an hour.
        let mut allowance = full();
        assert!((0..3_600).all(|second| takes(&mut allowance, 900, start + Duration::from_secs(second))));
        // Twice of what is let pass ends within the time that the burst lasts.
        let mut allowance = full();
        assert_eq!((0..3_600).position(|second| !takes(&mut allowance, 2_000, start + Duration::from_secs(second))), Some(9));
    }

    #[test]
    fn what_is_given_is_not_kept_beyond_what_is_let_pass_at_once() {
        let start = Instant::now();
        let mut allowance = Allowance::new(10, 1, start);
        allowance.give(1_000);
        assert!(takes(&mut allowance, 10, start) && !allowance.take(start));
        allowance.give(3);
        assert!(takes(&mut allowance, 2, start) && !allowance.take(start), "one was owed");
    }
}
