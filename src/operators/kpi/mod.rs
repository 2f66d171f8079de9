//! Exact primitives for ERP, MES and KPIs: time in state, transitions, counter delta, integral, percent good, as-of join, calendar intervals.
//!
//! It stands between the plan of a query, which hands over one tag's decoded samples with their neighbours, and the doors. It is pure: no
//! store, no clock, no Arrow. Each primitive is fed in time order and keeps a bounded state:
//!
//! ```text
//! Window::new → Scope → TimeInState::new (Transitions, CounterDelta, Integrate, PercentGood) → push … → finish → result
//! ```
//!
//! KPIs are compositions of these: availability is the time in state `running` divided by the planned time of a calendar. So each result
//! carries what divides and what is divided and never a ratio alone, for ratios must not be averaged, and a [`Coverage`] that tells how much of
//! the window was known at all.
//!
//! # What holds between samples
//!
//! The value and the quality of a sample hold until the next sample, and at the start of the window those of the sample before it. A sample is
//! *usable* when it is not Bad and has a number (or text): an Uncertain one counts as usable, unless the scope says that it is as good as Bad.
//! Nulls and NaN are as good as Bad, and so are infinities where amounts are added up. Before the first sample of a tag, and after [`Scope::known_until`], nothing is known.
//!
//! A window that is divided gives parts that add up to the whole: exactly for durations and counts, and for integers; to rounding for sums of
//! floats. A recorded gap is for the caller to feed as a null with the gap's quality.

mod asof;
mod calendar;
mod counter;
mod counter_delta;
mod error;
mod feed;
mod integrate;
mod percent_good;
mod settled;
#[cfg(test)]
mod tests;
mod time_in_state;
mod transition;

pub use asof::{AsOf, AsOfSample, Eligible};
pub use calendar::{CalendarInterval, CalendarUnit, Shift, calendar, steps};
pub use counter::{CountedBefore, CounterRules, CounterState, ResetPolicy};
pub use counter_delta::{CounterDelta, CounterSum};
pub use error::{ASOF_TIMES_MAX, CALENDAR_INTERVALS_MAX, KpiError, SHIFTS_MAX, STATES_MAX};
pub use integrate::{Integral, Integrate, TimeUnit};
pub use percent_good::PercentGood;
pub use settled::{Settled, SettledBefore};
pub use time_in_state::{StateTime, StateTimes, TimeInState};
pub use transition::{StatePeriod, Transition, TransitionCount, Transitions};

use historian_format::{Sample, ValueType};
use historian_model::{TimeRange, Timestamp};

/// Half-open window `[start, end)` in ns since 1970, UTC, of at least one nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    start: i64,
    end: i64,
}

impl Window {
    /// A window.
    ///
    /// # Errors
    /// [`KpiError::Window`] when `start` is not before `end`.
    pub fn new(start: i64, end: i64) -> Result<Window, KpiError> {
        if start < end { Ok(Window { start, end }) } else { Err(KpiError::Window { start, end }) }
    }

    /// First nanosecond.
    pub fn start(self) -> i64 {
        self.start
    }

    /// First nanosecond after it.
    pub fn end(self) -> i64 {
        self.end
    }

    /// The same as a range.
    pub fn range(self) -> TimeRange {
        TimeRange { start: Timestamp(self.start), end: Timestamp(self.end), reverse: false }
    }

    /// Length in ns.
    pub fn duration_ns(self) -> u64 {
        self.end.abs_diff(self.start)
    }
}

/// Where a primitive looks, and what lies around it.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The window.
    pub window: Window,
    /// Type of the tag's values.
    pub value_type: ValueType,
    /// The last sample before the window, of any quality.
    pub before: Option<Sample>,
    /// The last usable sample before the window; needed only where `before` is not usable.
    pub usable_before: Option<Sample>,
    /// The first sample at or after the end of the window, of any quality. Only [`Integrate`] looks at it, for a line to its value.
    pub after: Option<Sample>,
    /// Time up to which samples can be known: now, for a window that reaches into the future.
    pub known_until: i64,
    /// Take Uncertain samples for Bad ones.
    pub uncertain_as_bad: bool,
}

impl Scope {
    /// A scope without neighbours, all of it known, Uncertain samples usable.
    pub fn new(window: Window, value_type: ValueType) -> Scope {
        Scope { window, value_type, before: None, usable_before: None, after: None, known_until: i64::MAX, uncertain_as_bad: false }
    }
}

/// Data quality of a result: how long the tag was what. The four add up to the window exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Length of the window.
    pub window_ns: u64,
    /// Usable and Good.
    pub good_ns: u64,
    /// Usable and Uncertain.
    pub uncertain_ns: u64,
    /// Bad, null or NaN; Uncertain as well when it counts as Bad.
    pub bad_ns: u64,
    /// No sample yet, or time that is not known yet.
    pub unknown_ns: u64,
}

impl Coverage {
    /// Time with a usable value, Good or Uncertain.
    pub fn usable_ns(&self) -> u64 {
        self.good_ns + self.uncertain_ns
    }

    /// Part of the window that was Good, 0 to 100.
    pub fn percent_good(&self) -> f64 {
        self.good_ns as f64 / self.window_ns as f64 * 100.0
    }

    /// Part of the window that was Bad, 0 to 100.
    pub fn percent_bad(&self) -> f64 {
        self.bad_ns as f64 / self.window_ns as f64 * 100.0
    }
}
