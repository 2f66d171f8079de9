//! Tables of intervals: hours, days and whatever a view is configured to have, as a calendar of a zone has them, with aggregates of OPC UA
//! Part 13 made by the engine. What a `WHERE` says about tag and start decides what is evaluated, what a `SELECT` names decides which aggregates.

mod bounds;
mod long;
mod wide;

pub use long::{LongTable, remarks as long_remarks};
pub use wide::WideView;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, TimestampNanosecondArray},
    datatypes::{DataType, Field, TimeUnit},
};
use datafusion::catalog::Session;
use jiff::tz::TimeZone;

use self::bounds::IntervalStarts;
use crate::{
    error::invalid,
    expression::is_utc,
    function::calendar::{CalendarIntervals, CalendarStep},
};
use historian_model::{Tag, Timestamp};
use historian_operators::aggregate::Intervals;
use historian_query::{QueryEngine, QueryError, QueryLimits, arrow_column};
use historian_read::memory::Reservation;

/// Intervals of one scan at most.
const INTERVALS_MAX: usize = 10_000_000;
/// A lower bound so many intervals back is taken for none.
const INTERVALS_BACK_MAX: i128 = 100_000;

/// The columns of every table of intervals that tell which one a row is of.
fn time_fields() -> [Field; 3] {
    [
        Field::new("local_start", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
        Field::new("start", arrow_column::timestamp_type(), false),
        Field::new("end", arrow_column::timestamp_type(), false),
    ]
}

/// What these columns are.
fn time_remarks(zone: &str) -> [String; 3] {
    [
        format!(
            "start of the interval by the clock on the wall in {zone}, without a zone; the hour that occurs twice in autumn has two rows"
        ),
        "start of the interval as a moment (UTC); filter by it to say what is read".to_owned(),
        "end of the interval as a moment (UTC), exclusive; of the one that is still running, the present".to_owned(),
    ]
}

/// The zone of a session: its own, or the one of the configuration.
fn zone_of(state: &dyn Session, default: &TimeZone) -> datafusion::error::Result<TimeZone> {
    let Some(name) = state.config_options().execution.time_zone.as_deref() else { return Ok(default.clone()) };
    let zone = if is_utc(name) { Ok(TimeZone::UTC) } else { TimeZone::get(name) };
    zone.map_err(|_| invalid(format!("the zone of the session, {name:?}, is no time zone such as Europe/Berlin")))
}

/// What `now()` means in a statement.
fn now_of(state: &dyn Session) -> Timestamp {
    let time = state.execution_props().query_execution_start_time;
    time.and_then(|time| time.timestamp_nanos_opt()).map_or(Timestamp(0), Timestamp)
}

/// Which intervals are asked for.
#[derive(Clone)]
struct RequestedIntervals {
    zone: TimeZone,
    step: CalendarStep,
    bounds: IntervalStarts,
    now: Timestamp,
}

/// The intervals of one scan.
struct ScanIntervals {
    /// Ascending, one more than there are intervals.
    edges: Vec<i64>,
    /// Local time of each start.
    local: Vec<i64>,
    /// Whether the present cuts the last interval.
    running: bool,
    _memory: Reservation,
}

impl ScanIntervals {
    /// The intervals that start within the bounds, from the one with the first sample of the tags to the one that is running, or to their
    /// latest sample where that is later. `None` where there are none.
    fn new(
        engine: &QueryEngine,
        tags: &[Arc<Tag>],
        asked: &RequestedIntervals,
        limits: &QueryLimits,
    ) -> Result<Option<ScanIntervals>, QueryError> {
        let present = i128::from(asked.now.0.max(engine.latest(tags, limits)?.map_or(i64::MIN, |latest| latest.saturating_add(1))));
        let to = asked.bounds.to.min(present);
        let back = INTERVALS_BACK_MAX * i128::from(asked.step.about_ns());
        let from = if asked.bounds.from < to - back {
            let Some(first) = engine.first(tags, limits)? else { return Ok(None) };
            asked.bounds.from.max(i128::from(first))
        } else {
            asked.bounds.from
        };
        let mut calendar = CalendarIntervals::counted(asked.zone.clone(), asked.step);
        let Ok(from_ns) = i64::try_from(from) else { return Ok(None) };
        let Some(mut start) = calendar.start(from_ns) else { return Ok(None) };
        // What a bound of the statement says holds for starts; the first sample lies within its interval.
        while i128::from(start) < asked.bounds.from {
            let Some(next) = calendar.next_start(start) else { return Ok(None) };
            start = next;
        }
        let about = (to - i128::from(start)) / i128::from(asked.step.about_ns()) + 2;
        if about > INTERVALS_MAX as i128 {
            return Err(QueryError::Invalid(format!(
                "the statement asks for about {about} intervals, {INTERVALS_MAX} are allowed; say from when on, for example start >= now() - interval '30 days'"
            )));
        }
        let memory = limits.memory.take(u64::try_from(about.max(0)).unwrap_or(0) * 24)?; // edges twice, local times
        let (mut edges, mut local) = (Vec::new(), Vec::new());
        while i128::from(start) < to {
            edges.push(start);
            local.push(local_time(&asked.zone, start));
            let Some(next) = calendar.next_start(start) else { break };
            start = next;
        }
        if edges.is_empty() {
            return Ok(None);
        }
        let running = i128::from(start) > present;
        edges.push(if running { present as i64 } else { start });
        Ok(Some(ScanIntervals { edges, local, running, _memory: memory }))
    }

    fn len(&self) -> usize {
        self.local.len()
    }

    fn intervals(&self) -> Result<Intervals, QueryError> {
        let intervals = Intervals::between(self.edges.clone(), false).map_err(|error| QueryError::Invalid(error.to_string()))?;
        Ok(intervals.cut_at(false, self.running))
    }

    /// The intervals in parts of so many at most. The one that is running is a part of its own: its end lies on no grid, and what is read with it
    /// could be read less well.
    fn parts(&self, length: usize) -> Vec<std::ops::Range<usize>> {
        let whole = self.len() - usize::from(self.running);
        let mut parts: Vec<_> = (0..whole).step_by(length.max(1)).map(|at| at..(at + length.max(1)).min(whole)).collect();
        parts.extend(self.running.then(|| whole..whole + 1));
        parts
    }

    /// One of the columns of [`time_fields`] for some intervals.
    fn times(&self, column: usize, intervals: impl Iterator<Item = usize>) -> ArrayRef {
        let zoned = |times: TimestampNanosecondArray| Arc::new(times.with_timezone("UTC")) as ArrayRef;
        match column {
            0 => Arc::new(intervals.map(|at| Some(self.local[at])).collect::<TimestampNanosecondArray>()),
            1 => zoned(intervals.map(|at| Some(self.edges[at])).collect()),
            _ => zoned(intervals.map(|at| Some(self.edges[at + 1])).collect()),
        }
    }
}

/// The local time of a moment as if it were one of UTC, ns.
fn local_time(zone: &TimeZone, at: i64) -> i64 {
    let offset = jiff::Timestamp::from_nanosecond(at.into()).map_or(0, |time| zone.to_offset(time).seconds());
    at.saturating_add(i64::from(offset) * 1_000_000_000)
}
