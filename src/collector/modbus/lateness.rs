//! How late the answers on one line can be: learned, so that a slow device is waited for and a lost answer is not waited for in vain.

use std::time::Duration;

/// Times the time-out that a first answer is waited for.
const FIRST_WAIT: u32 = 4;
/// Longest waiting beyond the time-out.
const BEYOND_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Lateness {
    timeout: Duration,
    /// Longest delay seen beyond the time-out.
    worst: Option<Duration>,
    /// How long after a request its answer may still come, as far as is known.
    horizon: Duration,
}

impl Lateness {
    pub fn new(timeout: Duration) -> Lateness {
        Lateness { timeout, worst: None, horizon: first_wait(timeout) }
    }

    /// An answer came this long after its request.
    pub fn came(&mut self, delay: Duration) {
        if delay > self.timeout {
            let delay = delay.min(self.timeout + BEYOND_MAX);
            self.worst = self.worst.max(Some(delay));
            self.horizon = self.horizon.max(delay + delay / 2);
        }
    }

    /// No answer came although one was waited for to the end: it seems that answers get lost here rather than come late.
    pub fn never_came(&mut self) {
        let least = self.known();
        self.horizon = least + self.horizon.saturating_sub(least) / 2;
        self.worst = self.worst.map(|worst| worst / 8 * 7).filter(|worst| *worst > self.timeout);
    }

    /// Longest delay seen beyond the time-out.
    pub fn worst(&self) -> Option<Duration> {
        self.worst
    }

    /// How long to wait where answers can be told apart.
    pub fn patience(&self) -> Duration {
        self.worst.map_or(self.timeout, |worst| worst + worst / 2)
    }

    /// How long to wait where a late answer would be taken for the next one: the line has to be silent for a full time-out at least.
    pub fn horizon(&self) -> Duration {
        self.horizon.max(self.known())
    }

    /// How long to wait for the first answer on a connection.
    pub fn first(&self) -> Duration {
        first_wait(self.timeout).max(self.patience())
    }

    fn known(&self) -> Duration {
        (self.timeout * 2).max(self.patience())
    }
}

fn first_wait(timeout: Duration) -> Duration {
    (timeout * FIRST_WAIT).min(timeout * 2 + BEYOND_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_lost_answer_is_waited_for_less_each_time_and_a_late_one_is_not_forgotten() {
        let mut lateness = Lateness::new(ms(1000));
        assert_eq!((lateness.patience(), lateness.horizon(), lateness.first()), (ms(1000), ms(4000), ms(4000)));
        for expected in [3000, 2500, 2250] {
            lateness.never_came();
            assert_eq!(lateness.horizon(), ms(expected));
        }
        lateness.came(ms(2500));
        assert_eq!((lateness.patience(), lateness.horizon(), lateness.first()), (ms(3750), ms(3750), ms(4000)));
        lateness.came(ms(900));
        assert_eq!(lateness.worst(), Some(ms(2500)), "in time is not late");
        for _ in 0..20 {
            lateness.never_came();
        }
        assert_eq!((lateness.worst(), lateness.patience()), (None, ms(1000)), "a device may become quick again");
        assert!((ms(2000)..ms(2001)).contains(&lateness.horizon()), "{:?}: twice the timeout, and no less", lateness.horizon());
        lateness.came(Duration::from_hours(1));
        assert_eq!(lateness.worst(), Some(ms(11_000)));
    }
}
