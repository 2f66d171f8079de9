//! Timestamps of one tag that are all different: two samples of a tag with one timestamp would be one sample to the store.
//!
//! Clocks stand still, step back a little, or tick more slowly than a device changes. A sample whose time is taken already gets the next
//! nanosecond, so that every one of them is kept, in the order in which they came.

/// Times that are told apart: of a device with two sources, or one that puts its clock back and forth.
const CLOCKS: usize = 4;

/// The last timestamp given under a time, and the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastGiven {
    asked: i64,
    given: i64,
}

impl LastGiven {
    /// Whether a time counts as taken.
    fn has(self, at: i64, back: i64) -> bool {
        (self.asked.saturating_sub(back)..=self.given).contains(&at)
    }
}

/// The timestamps given to a tag.
#[derive(Clone, Copy, Debug)]
pub struct Distinct {
    now: LastGiven,
    /// Those before, the latest first.
    before: [Option<LastGiven>; CLOCKS - 1],
}

impl Distinct {
    /// No timestamp was given yet.
    pub fn new() -> Distinct {
        Distinct::after(i64::MIN, i64::MIN)
    }

    /// Continues after `given`; times from `asked` up to it count as taken.
    pub fn after(asked: i64, given: i64) -> Distinct {
        Distinct { now: LastGiven { asked, given }, before: [None; CLOCKS - 1] }
    }

    /// Timestamp of a sample at `at`. A time from `back` before the last one asked for up to the last one given is followed by the next
    /// nanosecond; any other, later or much earlier, is taken as it is. The last few times before count as taken as well, so that times that
    /// come in turn do not take each other's place.
    pub fn next(&mut self, at: i64, back: i64) -> i64 {
        if !self.now.has(at, back) {
            let known = self.before.iter().position(|clock| clock.is_some_and(|clock| clock.has(at, back)));
            if let Some(known) = known {
                let other = self.before[known].replace(self.now);
                self.now = other.unwrap_or(self.now);
            } else {
                self.before.rotate_right(1);
                self.before[0] = Some(self.now);
                self.now = LastGiven { asked: at, given: at };
                return at;
            }
        }
        self.now.asked = self.now.asked.max(at);
        self.now.given = self.now.given.saturating_add(1);
        // Under a time that stands still they run into those of another.
        for _ in 0..self.before.len() {
            for other in self.before.iter().flatten() {
                if (other.asked..=other.given).contains(&self.now.given) {
                    self.now.given = other.given.saturating_add(1);
                }
            }
        }
        self.now.given
    }
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_stands_still_gives_ascending_ones_and_any_other_is_taken_as_it_is() {
        let mut distinct = Distinct::new();
        let given: Vec<i64> = [100, 100, 100, 102, 200, 150, 150, 200].into_iter().map(|at| distinct.next(at, 0)).collect();
        assert_eq!(given, [100, 101, 102, 103, 200, 150, 151, 201]);
        let mut slack = Distinct::new();
        let given: Vec<i64> = [100, 95, 90, 89, 300].into_iter().map(|at| slack.next(at, 10)).collect();
        assert_eq!(given, [100, 101, 102, 89, 300]);
        let mut resumed = Distinct::after(90, 100);
        assert_eq!((resumed.next(95, 0), resumed.next(89, 0)), (101, 89));
    }

    #[test]
    fn two_times_that_come_in_turn_keep_all_of_their_samples() {
        let mut distinct = Distinct::new();
        let given: Vec<i64> = [1_000, 10, 1_000, 10, 1_000, 10].into_iter().map(|at| distinct.next(at, 0)).collect();
        assert_eq!(given, [1_000, 10, 1_001, 11, 1_002, 12]);
        // One clock runs on past the other, and stands still before what that was given.
        let given: Vec<i64> = [999, 999, 999, 1_001, 2_000, 1_500].into_iter().map(|at| distinct.next(at, 0)).collect();
        assert_eq!(given, [999, 1_003, 1_004, 1_005, 2_000, 1_500]);
        // Never one twice, whatever comes of a few clocks.
        for clocks in 1..=CLOCKS as i64 {
            let (mut distinct, mut seen) = (Distinct::new(), std::collections::BTreeSet::new());
            for step in 0..2_000_i64 {
                let at = (step * 7 % clocks) * 1_000_000 + step / 50;
                let given = distinct.next(at, 5);
                assert!(seen.insert(given), "{clocks} clocks, step {step}: {at} gives {given}");
            }
        }
    }
}
