//! What a statement groups by, as times: between two edges of its grids nothing changes that it groups by, so that one state of an interval can
//! stand for the samples in it.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::types::{IntervalDayTimeType, IntervalMonthDayNanoType},
    datatypes::{DataType, TimeUnit},
};
use datafusion::{
    common::ScalarValue,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        expressions::{BinaryExpr, CaseExpr, CastExpr, Column, LikeExpr, Literal},
    },
};
use historian_format::rollup::RollupLevel;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    expression::is_utc,
    function::time_bucket::{named, part_of_day},
    table::samples,
};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = RollupLevel::Minute.interval_ns();
const HOUR: i64 = RollupLevel::Hour.interval_ns();
const DAY: i64 = RollupLevel::Day.interval_ns();

/// Times (1823 to 2116) in which no function below overflows. Beyond them every sample stands for itself.
pub const SAFE: Range<i64> = -(1 << 62)..1 << 62;

/// A level whose states lie across edges is used where an interval of the grid has so many of them: then few samples are read beside them.
const WHOLE_MIN: i64 = 32;

/// Edges at `origin` and every `length` ns before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeGrid {
    length: i64,
    origin: i64,
    /// Before it there is no grid, and every sample stands for itself.
    since: i64,
}

impl EdgeGrid {
    pub const DAYS: EdgeGrid = EdgeGrid { length: DAY, origin: 0, since: i64::MIN };

    fn new(length: i128, origin: i64) -> Option<EdgeGrid> {
        let length = i64::try_from(length).ok()?;
        (length > 0 && length <= SAFE.end && SAFE.contains(&origin)).then_some(EdgeGrid { length, origin, since: i64::MIN })
    }

    pub fn length(self) -> i64 {
        self.length
    }

    /// The last edge up to a time, which is a safe one.
    pub fn edge_up_to(self, at: i64) -> i64 {
        if at < self.since { at } else { at.saturating_sub((at - self.origin).rem_euclid(self.length)).max(self.since) }
    }

    /// Whether states of a level cross no edge, or few of many do.
    fn fits(self, level: RollupLevel) -> bool {
        let step = level.interval_ns();
        self.length / step >= WHOLE_MIN || (self.length % step == 0 && self.origin % step == 0)
    }
}

/// All grids of a statement; none means that all times are one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grids(pub Vec<EdgeGrid>);

impl Grids {
    /// The first edge behind a time.
    pub fn edge_after(&self, at: i64) -> i64 {
        if self.0.is_empty() {
            return i64::MAX;
        }
        if !SAFE.contains(&at) || self.0.iter().any(|grid| at < grid.since) {
            return at.saturating_add(1);
        }
        let edges = self.0.iter().map(|grid| at.saturating_sub((at - grid.origin).rem_euclid(grid.length)).saturating_add(grid.length));
        edges.min().unwrap_or(SAFE.end).min(SAFE.end)
    }

    /// The coarsest level whose states are of use.
    pub fn level(&self) -> Option<RollupLevel> {
        RollupLevel::ALL.into_iter().rev().find(|level| self.0.iter().all(|grid| grid.fits(*level)))
    }

    /// The grid with the longest intervals.
    pub fn coarsest(&self) -> Option<EdgeGrid> {
        self.0.iter().copied().max_by_key(|grid| grid.length)
    }
}

/// True when an expression over the columns of `samples` says the same for all samples of a tag between two edges; its grids are added.
pub fn holds_between_edges(expression: &Arc<dyn PhysicalExpr>, grids: &mut Vec<EdgeGrid>) -> bool {
    if let Some(grid) = grid_of(expression).or_else(|| grid_of_local(expression)) {
        if !grids.contains(&grid) {
            grids.push(grid);
        }
        return true;
    }
    if let Some(column) = expression.downcast_ref::<Column>() {
        return column.index() == samples::TAG;
    }
    let is_known = expression.is::<Literal>()
        || expression.is::<CastExpr>()
        || expression.is::<BinaryExpr>()
        || expression.is::<CaseExpr>()
        || expression.is::<LikeExpr>()
        || expression.is::<ScalarFunctionExpr>();
    is_known && !expression.is_volatile_node() && expression.children().into_iter().all(|child| holds_between_edges(child, grids))
}

/// The grid of what steps by the local time of a zone, in steps of a length or of whole days: it has an edge wherever the zone's hours, half or
/// quarter hours begin, and wherever its clock is changed.
fn grid_of_zone(zone: &str, length: i64) -> Option<EdgeGrid> {
    let zone = named(zone).ok()?;
    let instant = |at: i64| Timestamp::from_nanosecond(at.into()).ok();
    let (mut step, mut since) = (gcd(HOUR, length), i64::MIN);
    let coarse = gcd(step, MINUTE);
    let mut offset = i64::from(zone.to_offset(instant(SAFE.start)?).seconds()) * SECOND;
    let mut changes = zone.following(instant(SAFE.start)?);
    loop {
        let change = changes.next().and_then(|change| Some((i64::try_from(change.timestamp().as_nanosecond()).ok()?, change.offset())));
        let until = change.map_or(i64::MAX, |(at, _)| at);
        let finer = gcd(gcd(step, offset), if until < SAFE.end { until } else { 0 });
        // Before there was an hour for all of a country, clocks went by the sun.
        if finer % coarse == 0 {
            step = finer;
        } else {
            since = until;
        }
        let Some((_, next)) = change.filter(|(at, _)| *at < SAFE.end) else { break };
        offset = i64::from(next.seconds()) * SECOND;
    }
    EdgeGrid::new(step.into(), 0).map(|grid| EdgeGrid { since, ..grid })
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

/// The zone that a time is shown in: `timestamp AT TIME ZONE 'Europe/Berlin'`, with or without the zone afterwards.
fn zone_of(expression: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        let DataType::Timestamp(TimeUnit::Nanosecond, zone) = cast.cast_type() else { return None };
        return match zone {
            Some(zone) if !is_utc(zone) => is_time(cast.expr()).then_some(zone),
            Some(_) => None,
            None => zone_of(cast.expr()),
        };
    }
    let function = expression.downcast_ref::<ScalarFunctionExpr>().filter(|function| function.fun().name() == "to_local_time")?;
    let [time] = function.args() else { return None };
    zone_of(time)
}

/// The grid of a function of the local time somewhere.
fn grid_of_local(expression: &Arc<dyn PhysicalExpr>) -> Option<EdgeGrid> {
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        return if cast.cast_type() == &DataType::Date32 { grid_of_zone(zone_of(cast.expr())?, DAY) } else { None };
    }
    let function = expression.downcast_ref::<ScalarFunctionExpr>()?;
    let [first, time, rest @ ..] = function.args() else { return None };
    let literal = first.downcast_ref::<Literal>()?.value();
    match (function.fun().name(), rest) {
        ("time_bucket", [zone]) if is_time(time) => {
            let zone = zone.downcast_ref::<Literal>()?.value().try_as_str().flatten().filter(|zone| TimeZone::get(zone).is_ok())?;
            grid_of_zone(zone, part_of_day(literal)?)
        }
        ("time_bucket" | "date_bin", []) => grid_of_zone(zone_of(time)?, part_of_day(literal)?),
        ("date_trunc" | "date_part", []) => {
            let length = match literal.try_as_str().flatten()?.to_lowercase().as_str() {
                "minute" => MINUTE,
                "hour" => HOUR,
                "day" | "week" | "month" | "quarter" | "year" | "dow" | "isodow" | "doy" | "isoyear" => DAY,
                _ => return None,
            };
            grid_of_zone(zone_of(time)?, length)
        }
        _ => None,
    }
}

/// The grid of a function of the time. Months, quarters and years begin with a day, so days are theirs.
fn grid_of(expression: &Arc<dyn PhysicalExpr>) -> Option<EdgeGrid> {
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        return (cast.cast_type() == &DataType::Date32 && is_time(cast.expr())).then_some(EdgeGrid::DAYS);
    }
    let function = expression.downcast_ref::<ScalarFunctionExpr>()?;
    let [first, time, rest @ ..] = function.args() else { return None };
    let literal = first.downcast_ref::<Literal>()?.value();
    if !is_time(time) {
        return None;
    }
    let word = literal.try_as_str().flatten().map(str::to_lowercase);
    match (function.fun().name(), word.as_deref(), rest) {
        ("date_bin", _, []) if is_months(literal) => Some(EdgeGrid::DAYS),
        ("date_bin", _, [origin]) if is_months(literal) => match origin.downcast_ref::<Literal>()?.value() {
            // Bins of months begin at the time of day of their origin.
            ScalarValue::TimestampNanosecond(Some(origin), _) => EdgeGrid::new(DAY.into(), *origin),
            _ => None,
        },
        ("date_bin", _, []) => EdgeGrid::new(fixed_length(literal)?, 0),
        ("date_bin", _, [origin]) => match origin.downcast_ref::<Literal>()?.value() {
            ScalarValue::TimestampNanosecond(Some(origin), _) => EdgeGrid::new(fixed_length(literal)?, *origin),
            _ => None,
        },
        ("date_trunc", Some("second"), []) => EdgeGrid::new(SECOND.into(), 0),
        ("date_trunc" | "date_part", Some("minute"), []) => EdgeGrid::new(MINUTE.into(), 0),
        ("date_trunc" | "date_part", Some("hour"), []) => EdgeGrid::new(HOUR.into(), 0),
        ("date_trunc" | "date_part", Some("day" | "week" | "month" | "quarter" | "year"), [])
        | ("date_part", Some("dow" | "isodow" | "doy" | "isoyear"), []) => Some(EdgeGrid::DAYS),
        _ => None,
    }
}

/// The timestamp of a sample, in nanoseconds and UTC.
fn is_time(expression: &Arc<dyn PhysicalExpr>) -> bool {
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        let DataType::Timestamp(TimeUnit::Nanosecond, zone) = cast.cast_type() else { return false };
        return zone.as_deref().is_none_or(|zone| matches!(zone, "UTC" | "+00:00" | "Z")) && is_time(cast.expr());
    }
    expression.downcast_ref::<Column>().is_some_and(|column| column.index() == samples::TIMESTAMP)
}

/// True for an interval of nothing but months.
fn is_months(interval: &ScalarValue) -> bool {
    match interval {
        ScalarValue::IntervalMonthDayNano(Some(parts)) => {
            let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(*parts);
            months > 0 && days == 0 && nanos == 0
        }
        _ => false,
    }
}

/// Length of an interval without months, ns.
fn fixed_length(interval: &ScalarValue) -> Option<i128> {
    const MILLISECOND: i128 = 1_000_000;
    match interval {
        ScalarValue::IntervalMonthDayNano(Some(parts)) => {
            let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(*parts);
            (months == 0).then_some(i128::from(days) * i128::from(DAY) + i128::from(nanos))
        }
        ScalarValue::IntervalDayTime(Some(parts)) => {
            let (days, milliseconds) = IntervalDayTimeType::to_parts(*parts);
            Some(i128::from(days) * i128::from(DAY) + i128::from(milliseconds) * MILLISECOND)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grids(of: &[(i64, i64)]) -> Grids {
        Grids(of.iter().map(|(length, origin)| EdgeGrid::new((*length).into(), *origin).unwrap()).collect())
    }

    #[test]
    fn edges_lie_around_a_time_and_states_fit_between_them() {
        for (of, at) in [
            (vec![(HOUR, 0)], -1),
            (vec![(HOUR, 0)], 0),
            (vec![(7 * DAY, 3 * DAY), (90 * SECOND, 7)], 12_345_678_901_234),
            (vec![(1, 0)], -5),
            (vec![(SAFE.end, SAFE.end - 1)], SAFE.start),
        ] {
            let grids = grids(&of);
            let after = grids.edge_after(at);
            assert!(after > at, "{of:?}");
            for grid in &grids.0 {
                let before = grid.edge_up_to(at);
                assert!(before <= at && (i128::from(before) - i128::from(grid.origin)) % i128::from(grid.length) == 0, "{of:?}");
                assert!(i128::from(after) <= i128::from(before) + i128::from(grid.length), "{of:?}");
            }
        }
        assert_eq!(grids(&[]).edge_after(7), i64::MAX);
        assert_eq!(grids(&[(DAY, 0)]).edge_after(i64::MAX - 5), i64::MAX - 4);
        for (of, level) in [
            (vec![], Some(RollupLevel::Day)),
            (vec![(7 * DAY, 0)], Some(RollupLevel::Day)),
            (vec![(DAY, HOUR)], Some(RollupLevel::Hour)),
            (vec![(DAY, 7)], Some(RollupLevel::Minute)),
            (vec![(60 * DAY, 7)], Some(RollupLevel::Day)),
            (vec![(DAY, 0), (90 * SECOND, 0)], None),
            (vec![(DAY, 0), (HOUR, 0)], Some(RollupLevel::Hour)),
            (vec![(90 * SECOND, 0)], None),
        ] {
            assert_eq!(grids(&of).level(), level, "{of:?}");
        }
    }
}
