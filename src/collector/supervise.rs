//! Waiting between attempts: exponential backoff with jitter.

use std::time::Duration;

/// Delays that double from a first to a longest one, each shortened by up to a quarter at random so that many devices do not knock at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, next: first }
    }

    /// Delay before the next attempt; the one after is longer.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(self.longest);
        delay.mul_f64(1.0 - 0.25 * rand::random::<f64>())
    }

    /// Starts again from the first delay, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for expected in [100, 200, 350, 350] {
            let delay = backoff.next_delay().as_millis();
            assert!((expected * 3 / 4..=expected).contains(&delay), "{delay} against {expected}");
        }
        backoff.reset();
        assert!((75..=100).contains(&backoff.next_delay().as_millis()));
    }
}
