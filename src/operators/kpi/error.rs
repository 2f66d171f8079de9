//! Why a primitive has no result, and the bounds that it names.

use historian_format::ValueType;

/// Different values of a tag at most, where each is a state.
pub const STATES_MAX: usize = 1_000;
/// Times of one join at most.
pub const ASOF_TIMES_MAX: usize = 1 << 20;
/// Intervals of one calendar at most: a decade of hours and more.
pub const CALENDAR_INTERVALS_MAX: usize = 100_000;
/// Shifts of a day at most.
pub const SHIFTS_MAX: usize = 48;

/// Why a primitive has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KpiError {
    #[error("start ({start} ns) is not before end ({end} ns); a window holds at least one nanosecond")]
    Window { start: i64, end: i64 },
    #[error("{parameter} of type {found} does not fit a tag of type {expected}")]
    ValueType { parameter: &'static str, expected: ValueType, found: ValueType },
    #[error("{primitive} needs a tag of type {allowed}; this one is of type {found}")]
    NotNumeric { primitive: &'static str, allowed: &'static str, found: ValueType },
    #[error("the sample {neighbour} lies at {timestamp} ns, inside the window or on its wrong side")]
    Neighbour { neighbour: &'static str, timestamp: i64 },
    #[error("samples came out of order: {timestamp} ns after {last} ns")]
    Order { timestamp: i64, last: i64 },
    #[error("rows {start} to {end} were asked of a run of {len} samples")]
    Rows { start: usize, end: usize, len: usize },
    #[error("the tag has more than {0} different values in the window; states are for tags with few of them")]
    States(usize),
    #[error("states names {0} values; allowed are 1 to {STATES_MAX}, each once")]
    StateList(usize),
    #[error("rollover is {0}; allowed are finite numbers above 0")]
    Rollover(f64),
    #[error("{parameter} is {found}; allowed are {allowed}")]
    CounterRule { parameter: &'static str, found: f64, allowed: &'static str },
    #[error("time unit is {0:?}; allowed are second, minute, hour and day")]
    TimeUnit(String),
    #[error("reset policy is {0:?}; allowed are from_zero, skip and always")]
    ResetPolicy(String),
    #[error("calendar unit is {0:?}; allowed are hour, day, week, month, year, and shift with a list of shifts")]
    CalendarUnit(String),
    #[error("times holds {0}; allowed are 1 to {ASOF_TIMES_MAX}")]
    Times(usize),
    #[error("shifts holds {0}; allowed are 1 to {SHIFTS_MAX}, each with a name and a start of its own")]
    Shifts(usize),
    #[error("the calendar has more than {CALENDAR_INTERVALS_MAX} intervals in the window; ask for a shorter window or a longer unit")]
    Intervals,
    #[error("the calendar cannot be told: {0}")]
    Calendar(String),
}
