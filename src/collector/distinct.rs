//! Timestamps of one tag that are all different: two samples of a tag with one timestamp would be one sample to the store.
//!
//! Clocks stand still, step back a little, or tick more slowly than a device changes. A sample whose time is taken already gets the next
//! nanosecond, so that every one of them is kept, in the order in which they came.

/// The last timestamp given, and the one that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Distinct {
    asked: i64,
    given: i64,
}

impl Distinct {
    /// No timestamp was given yet.
    pub fn new() -> Distinct {
        Distinct { asked: i64::MIN, given: i64::MIN }
    }

    /// Continues after `given`; times from `asked` up to it count as taken.
    pub fn after(asked: i64, given: i64) -> Distinct {
        Distinct { asked, given }
    }

    /// Timestamp of a sample at `at`. A time from `back` before the last one asked for up to the last one given is followed by the next
    /// nanosecond; any other, later or much earlier, is taken as it is.
    pub fn next(&mut self, at: i64, back: i64) -> i64 {
        if (self.asked.saturating_sub(back)..=self.given).contains(&at) {
            self.asked = self.asked.max(at);
            self.given = self.given.saturating_add(1);
        } else {
            (self.asked, self.given) = (at, at);
        }
        self.given
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
        assert_eq!(given, [100, 101, 102, 103, 200, 150, 151, 200]);
        let mut slack = Distinct::new();
        let given: Vec<i64> = [100, 95, 90, 89, 300].into_iter().map(|at| slack.next(at, 10)).collect();
        assert_eq!(given, [100, 101, 102, 89, 300]);
        let mut resumed = Distinct::after(90, 100);
        assert_eq!((resumed.next(95, 0), resumed.next(89, 0)), (101, 89));
    }
}
