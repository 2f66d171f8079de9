//! How often a tag went from one value to another.

use std::ops::Range;

use historian_format::{Samples, Value};
use historian_model::{TimeRange, Timestamp};

use super::{
    Coverage, KpiError, Scope, Settled,
    feed::{CheckedSample, CheckedSamples, Hold, Validity},
};

/// A change of value.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Timestamp of the first sample with the new value.
    pub timestamp: i64,
    /// Value before.
    pub from: Value,
    /// Value after.
    pub to: Value,
}

/// A stretch of time, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatePeriod {
    /// ns since 1970.
    pub start: i64,
    /// ns since 1970; the end of the window (or of what is known of it) for a period that goes on.
    pub end: i64,
}

/// The transitions of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct TransitionCount {
    /// Transitions that were asked. The numerator; the window is the denominator.
    pub count: u64,
    /// The last of them.
    pub last: Option<Transition>,
    /// The longest time that a value reached by one of them stayed, within the window: the longest stop, when stops are counted.
    pub longest: Option<StatePeriod>,
    /// The last change has not lasted long enough yet to count, and may still do so.
    pub pending: bool,
    /// Data quality.
    pub coverage: Coverage,
}

/// Counts transitions.
///
/// The values of usable samples are compared, whatever Bad samples lie between. With a least dwell a value counts as reached only when it
/// stays so long; the transition is then at the time it was reached. Shorter visits are as if they had not been. A transition belongs to the
/// window in which it is, so the counts of the parts of a window add up. To tell it near the edges, samples from
/// [`Transitions::read_from`] to [`Transitions::read_until`] are to be pushed; the value that holds before these is taken for reached, unless
/// [`Transitions::resume`] tells what the tag stands on.
#[derive(Debug)]
pub struct Transitions {
    feed: CheckedSamples,
    hold: Hold,
    count: Counter,
    read: TimeRange,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    start: i64,
    end: i64,
    known_until: i64,
    dwell_ns: u64,
    from: Option<u64>,
    to: Option<u64>,
    /// The value that counts.
    reached: Option<u64>,
    /// Another value, that has not stayed long enough yet, and since when.
    candidate: Option<(u64, i64)>,
    count: u64,
    last: Option<(i64, u64, u64)>,
    /// Start of the present period, when an asked transition led to it.
    period: Option<i64>,
    longest: Option<StatePeriod>,
}

impl Transitions {
    /// Nothing fed yet. `from` and `to` limit what is counted.
    ///
    /// # Errors
    /// When a neighbour, `from` or `to` is of another type than the tag.
    pub fn new(scope: &Scope, from: Option<&Value>, to: Option<&Value>, dwell_ns: u64) -> Result<Transitions, KpiError> {
        let window = scope.window;
        let start = Timestamp(window.start.saturating_sub_unsigned(dwell_ns));
        let end = Timestamp(window.end.saturating_add_unsigned(dwell_ns));
        let read = TimeRange { start, end, reverse: false };
        let mut feed = CheckedSamples::new(scope, read, true)?;
        let mut asked = |parameter, value: Option<&Value>| match value {
            Some(value) if value.value_type() != scope.value_type => {
                Err(KpiError::ValueType { parameter, expected: scope.value_type, found: value.value_type() })
            }
            Some(value) => feed.bits(value).map(Some),
            None => Ok(None),
        };
        let (from, to) = (asked("from", from)?, asked("to", to)?);
        let reached = feed.usable_before(scope)?.map(|before| before.bits);
        let before = scope.before.as_ref().map(|before| feed.neighbour(before)).transpose()?;
        let count = Counter {
            start: window.start,
            end: window.end,
            known_until: scope.known_until,
            dwell_ns,
            from,
            to,
            reached,
            candidate: None,
            count: 0,
            last: None,
            period: None,
            longest: None,
        };
        Ok(Transitions { feed, hold: Hold::new(scope, before.map_or(Validity::Unknown, |before| before.kind)), count, read })
    }

    /// Tells what the tag stands on at [`Transitions::read_from`]: with a dwell, a value that holds there may be chatter. To be told before any
    /// rows.
    ///
    /// # Errors
    /// When a text is one too many.
    pub fn resume(&mut self, settled: &Settled) -> Result<(), KpiError> {
        let bits = |feed: &mut CheckedSamples, value: &Value| feed.bits(value);
        self.count.reached = settled.reached().map(|value| bits(&mut self.feed, value)).transpose()?;
        let candidate = settled.candidate().map(|(value, since)| Ok((bits(&mut self.feed, value)?, since))).transpose()?;
        self.count.candidate = candidate;
        Ok(())
    }

    /// First time of which samples are wanted: `before` and `usable_before` are to lie before it.
    pub fn read_from(&self) -> i64 {
        self.read.start.0
    }

    /// Time up to which samples are wanted, exclusive.
    pub fn read_until(&self) -> i64 {
        self.read.end.0
    }

    /// Takes rows that follow all before; those that are not wanted are passed over.
    ///
    /// # Errors
    /// When type, order or rows are not as said.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), KpiError> {
        let Transitions { feed, hold, count, .. } = self;
        feed.each(samples, rows, |reading| {
            hold.change(reading.timestamp, reading.kind);
            count.take(reading);
        })
    }

    /// The count.
    pub fn finish(mut self) -> TransitionCount {
        let pending = self.count.finish();
        let Counter { count, last, longest, .. } = self.count;
        let last = last.map(|(timestamp, from, to)| Transition { timestamp, from: self.feed.value(from), to: self.feed.value(to) });
        TransitionCount { count, last, longest, pending, coverage: self.hold.finish().1 }
    }
}

impl Counter {
    fn take(&mut self, reading: CheckedSample) {
        if !reading.kind.is_usable() || reading.timestamp >= self.known_until {
            return;
        }
        self.confirm(reading.timestamp);
        if self.reached == Some(reading.bits) {
            self.candidate = None;
        } else if self.candidate.is_none_or(|(bits, _)| bits != reading.bits) {
            if self.reached.is_none() {
                // The first value of a tag is no transition.
                self.reached = Some(reading.bits);
            } else {
                self.candidate = Some((reading.bits, reading.timestamp));
                self.confirm(reading.timestamp);
            }
        }
    }

    /// The candidate is reached when it has stayed up to `at` for long enough.
    fn confirm(&mut self, at: i64) {
        let Some((bits, since)) = self.candidate.filter(|(_, since)| at.abs_diff(*since) >= self.dwell_ns) else { return };
        let from = self.reached.replace(bits);
        self.candidate = None;
        self.end_period(since);
        let asked = self.from.is_none_or(|wanted| from == Some(wanted)) && self.to.is_none_or(|wanted| bits == wanted);
        if asked && (self.start..self.end).contains(&since) {
            self.count += 1;
            self.last = from.map(|from| (since, from, bits));
            self.period = Some(since);
        }
    }

    fn end_period(&mut self, at: i64) {
        let end = at.min(self.end).min(self.known_until);
        if let Some(start) = self.period.take()
            && self.longest.is_none_or(|longest| longest.end.abs_diff(longest.start) < end.abs_diff(start))
        {
            self.longest = Some(StatePeriod { start, end });
        }
    }

    /// Ends the reading; true when a candidate inside the window could not be told.
    fn finish(&mut self) -> bool {
        self.confirm(self.known_until);
        let pending = self.candidate.is_some_and(|(_, since)| (self.start..self.end).contains(&since));
        self.end_period(self.end);
        pending
    }
}
