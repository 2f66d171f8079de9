//! Time ranges: half-open `[start, end)`.

use super::Timestamp;

/// Half-open range of source time, `start` inclusive, `end` exclusive.
///
/// A range given backwards (`end < start`) asks for the same samples in reverse order; [`TimeRange::new`] keeps the bounds in ascending order
/// and remembers the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub start: Timestamp,
    pub end: Timestamp,
    pub reverse: bool,
}

impl TimeRange {
    /// Everything a store can hold but the last nanosecond of the i64 range.
    pub const ALL: TimeRange = TimeRange { start: Timestamp::MIN, end: Timestamp::MAX, reverse: false };

    /// Range between two times in the order they were asked.
    pub fn new(start: Timestamp, end: Timestamp) -> TimeRange {
        if end < start { TimeRange { start: end, end: start, reverse: true } } else { TimeRange { start, end, reverse: false } }
    }

    /// True when no timestamp lies in the range.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// True when `at` lies in the range.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}
