//! What a chattering tag stands on: the last value that stayed for the dwell. Windows that begin amid chatter begin with it, so that the
//! transitions of the parts of a window add up.

use historian_format::Value;

/// The value that counts, and one that has not stayed long enough yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    dwell_ns: u64,
    reached: Option<Value>,
    candidate: Option<(Value, i64)>,
}

impl Settled {
    /// The last value that stayed; of a tag none of whose values ever did, the first.
    pub fn reached(&self) -> Option<&Value> {
        self.reached.as_ref()
    }

    /// Another value that holds since this time and may come to stay.
    pub fn candidate(&self) -> Option<(&Value, i64)> {
        self.candidate.as_ref().map(|(value, since)| (value, *since))
    }

    /// Takes the next usable sample.
    pub fn take(&mut self, timestamp: i64, value: Value) {
        if let Some((settled, _)) = self.candidate.take_if(|(_, since)| timestamp.abs_diff(*since) >= self.dwell_ns) {
            self.reached = Some(settled);
        }
        match (&self.reached, &self.candidate) {
            (None, _) => self.reached = Some(value),
            (Some(reached), _) if same(reached, &value) => self.candidate = None,
            (_, Some((candidate, _))) if same(candidate, &value) => {}
            _ => self.candidate = Some((value, timestamp)),
        }
    }
}

/// Finds what a tag stands on at a time, from its usable samples before, the latest first.
#[derive(Debug)]
pub struct SettledBefore {
    dwell_ns: u64,
    /// The run of equal values that is looked at: its value, and from when to when it holds.
    run: Option<(Value, i64, i64)>,
    at: i64,
    /// The latest run, when it has not stayed long enough.
    candidate: Option<(Value, i64)>,
    is_latest: bool,
}

impl SettledBefore {
    /// Nothing seen yet.
    pub fn new(dwell_ns: u64, at: i64) -> SettledBefore {
        SettledBefore { dwell_ns, run: None, at, candidate: None, is_latest: true }
    }

    /// Takes the usable sample before those taken; false when no more are wanted.
    pub fn take(&mut self, timestamp: i64, value: Value) -> bool {
        self.run = Some(match self.run.take() {
            Some((held, _, end)) if same(&held, &value) => (held, timestamp, end),
            None => (value, timestamp, self.at),
            Some((held, start, _)) => {
                if std::mem::take(&mut self.is_latest) {
                    self.candidate = Some((held, start));
                }
                (value, timestamp, start)
            }
        });
        self.run.as_ref().is_some_and(|(_, start, end)| end.abs_diff(*start) < self.dwell_ns)
    }

    /// What the tag stands on.
    pub fn finish(self) -> Settled {
        let reached = self.run.map(|(value, ..)| value);
        let candidate = self.candidate.filter(|(value, _)| reached.as_ref().is_none_or(|reached| !same(reached, value)));
        Settled { dwell_ns: self.dwell_ns, reached, candidate }
    }
}

/// Whether two usable values are one state: -0 is 0.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.as_f64() == Some(0.0) && b.as_f64() == Some(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chatter_does_not_count_and_what_stays_does() {
        let before = |rows: &[(i64, f64)], at| {
            let mut found = SettledBefore::new(10, at);
            let _ = rows.iter().rev().filter(|row| row.0 < at).all(|row| found.take(row.0, Value::F64(row.1)));
            found.finish()
        };
        let rows = [(0, 1.0), (20, 2.0), (23, 1.0), (24, 3.0), (29, 2.0), (33, -0.0), (40, 0.0), (60, 5.0)];
        for at in 1..=70 {
            // The same forwards.
            let mut forwards = SettledBefore::new(10, 0).finish();
            rows.iter().filter(|row| row.0 < at).for_each(|row| forwards.take(row.0, Value::F64(row.1)));
            let found = before(&rows, at);
            let stands = |settled: &Settled| {
                let stays = settled.candidate().filter(|(_, since)| at.abs_diff(*since) >= 10);
                stays.map_or(settled.reached().and_then(Value::as_f64), |(value, _)| value.as_f64())
            };
            assert_eq!(stands(&found), stands(&forwards), "at {at}");
            let expected = if at < 43 {
                1.0
            } else if at < 70 {
                0.0
            } else {
                5.0
            };
            assert_eq!(stands(&found), Some(expected), "at {at}");
        }
        assert_eq!(before(&rows, 26).candidate(), Some((&Value::F64(3.0), 24)));
        assert_eq!(before(&rows, 0).reached(), None);
    }
}
