//! Conditions over functions of the time as the ranges of time that they are: `CAST(timestamp AS DATE) = DATE '2026-03-29'`,
//! `date_trunc('day', timestamp) >= …`, `time_bucket('1 day', timestamp, 'Europe/Berlin') = …`. A scan then reads that range and not everything.
//!
//! Where the function steps in UTC the range says the same as the condition and takes its place; where it goes by a zone, a wider range stands
//! beside it.

use std::sync::Arc;

use arrow::{
    array::types::IntervalMonthDayNanoType,
    datatypes::{DataType, TimeUnit},
};
use datafusion::{
    common::{
        DFSchema, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    error::Result,
    logical_expr::{
        Between, BinaryExpr, Cast, Expr, ExprSchemable, Filter, LogicalPlan, Operator,
        expr::{InList, ScalarFunction},
        lit,
        utils::{conjunction, split_conjunction_owned},
    },
    optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule},
};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};

use super::{expression::is_utc, function::time_bucket::length_max, open_end};

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;
/// No zone is further from UTC, and no clock is changed by more.
const MARGIN: i128 = 2 * DAY;
/// 1970-01-01 was a Thursday: the Monday before.
const MONDAY: i128 = -3 * DAY;

/// The rules of a session: those of `DataFusion`, and this one when constants are known.
pub fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let behind = rules.iter().position(|rule| rule.name() == "simplify_expressions").map_or(0, |place| place + 1);
    rules.insert(behind, Arc::new(TimeRanges));
    rules
}

#[derive(Debug)]
struct TimeRanges;

impl OptimizerRule for TimeRanges {
    fn name(&self) -> &'static str {
        "time_ranges"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else { return Ok(Transformed::no(plan)) };
        let opened = predicate.transform_up(|node| Ok(open_end::open_ended(node)))?;
        let mut changed = opened.transformed;
        let known = split_conjunction_owned(opened.data);
        let below: &[Expr] = if let LogicalPlan::TableScan(scan) = input.as_ref() { &scan.filters } else { &[] };
        let mut conditions = Vec::with_capacity(known.len());
        for condition in &known {
            match ranges(condition, input.schema()) {
                Some(Ranges::Instead(ranges)) => {
                    changed = true;
                    conditions.extend(ranges);
                }
                Some(Ranges::Beside(ranges)) => {
                    // What is there already was put in by an earlier pass.
                    let new = ranges.into_iter().filter(|range| !known.contains(range) && !below.contains(range));
                    let before = conditions.len();
                    conditions.extend(new);
                    changed |= conditions.len() > before;
                    conditions.push(condition.clone());
                }
                None => conditions.push(condition.clone()),
            }
        }
        let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
        let filter = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
        Ok(if changed { Transformed::yes(filter) } else { Transformed::no(filter) })
    }
}

/// Conditions over the timestamp itself.
enum Ranges {
    /// That say the same.
    Instead(Vec<Expr>),
    /// That hold where the condition does.
    Beside(Vec<Expr>),
}

fn ranges(condition: &Expr, schema: &DFSchema) -> Option<Ranges> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (function, op, constant) = match (left.as_ref(), right.as_ref()) {
                (function, Expr::Literal(constant, _)) => (function, *op, constant),
                (Expr::Literal(constant, _), function) => (function, op.swap()?, constant),
                _ => return None,
            };
            let stepped = of_function_of_time(function, schema)?;
            let at = constant_time(constant)?;
            Some(stepped.said(stepped.range(op, at)?))
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (low.as_ref(), high.as_ref()) else { return None };
            let stepped = of_function_of_time(expr, schema)?;
            let (from, _) = stepped.range(Operator::GtEq, constant_time(low)?)?;
            let (_, to) = stepped.range(Operator::LtEq, constant_time(high)?)?;
            Some(stepped.said((from, to)))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let stepped = of_function_of_time(expr, schema)?;
            let (mut first, mut last) = (i128::MAX, i128::MIN);
            for item in list {
                let Expr::Literal(item, _) = item else { return None };
                let at = constant_time(item)?;
                (first, last) = (first.min(at), last.max(at));
            }
            let (from, _) = stepped.range(Operator::GtEq, first)?;
            let (_, to) = stepped.range(Operator::LtEq, last)?;
            Some(Ranges::Beside(stepped.between((from, to))))
        }
        _ => None,
    }
}

/// A constant that a function of the time is compared with: UTC, or as the clock shows it.
fn constant_time(constant: &ScalarValue) -> Option<i128> {
    match constant.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => open_end::wide_scalar(constant),
        _ => None,
    }
}

/// A column of times, and the steps in which a function of it goes.
struct Stepped {
    column: Expr,
    zone: Option<Arc<str>>,
    step: StepBound,
    /// The steps are those of a zone, which are told from those of UTC up to a margin.
    is_local: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum StepBound {
    None,
    Fixed {
        length: i128,
        origin: i128,
    },
    Months(i64),
    /// Of this length at most.
    About(i128),
    /// Cut towards 1970.
    Unit(i128),
}

const DAYS: StepBound = StepBound::Fixed { length: DAY, origin: 0 };

/// A comparison of the column itself is a range already.
fn of_function_of_time(expr: &Expr, schema: &DFSchema) -> Option<Stepped> {
    if matches!(expr, Expr::Column(_)) { None } else { stepped(expr, schema) }
}

/// Looks through casts and functions down to a column of timestamps in nanoseconds.
fn stepped(expr: &Expr, schema: &DFSchema) -> Option<Stepped> {
    match expr {
        Expr::Column(_) => match expr.get_type(schema).ok()? {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) if zone.as_deref().is_none_or(is_utc) => {
                Some(Stepped { column: expr.clone(), zone, step: StepBound::None, is_local: false })
            }
            _ => None,
        },
        Expr::Cast(Cast { expr, field }) => {
            let inner = stepped(expr, schema)?;
            match field.data_type() {
                DataType::Timestamp(unit, zone) => {
                    let is_local = inner.is_local || zone.as_deref().is_some_and(|zone| !is_utc(zone));
                    let step = match (unit, inner.step) {
                        (TimeUnit::Microsecond, StepBound::None) => StepBound::Unit(1_000),
                        (TimeUnit::Millisecond, StepBound::None) => StepBound::Unit(1_000_000),
                        (TimeUnit::Second, StepBound::None) => StepBound::Unit(SECOND),
                        // Steps of a second and more do not feel it.
                        (TimeUnit::Nanosecond, step)
                        | (_, step @ (StepBound::Fixed { .. } | StepBound::Months(_) | StepBound::About(_))) => step,
                        _ => return None,
                    };
                    Some(Stepped { step, is_local, ..inner })
                }
                DataType::Date32 => {
                    let step = match inner.step {
                        StepBound::None => DAYS,
                        StepBound::Fixed { length, origin } if length % DAY == 0 && origin % DAY == 0 => inner.step,
                        StepBound::Months(_) => inner.step,
                        StepBound::About(length) => StepBound::About(length + DAY),
                        _ => return None,
                    };
                    Some(Stepped { step, ..inner })
                }
                _ => None,
            }
        }
        Expr::Alias(alias) => stepped(&alias.expr, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) => of_function(func.name(), args, schema),
        _ => None,
    }
}

fn of_function(name: &str, arguments: &[Expr], schema: &DFSchema) -> Option<Stepped> {
    if let ("to_local_time", [time]) = (name, arguments) {
        let inner = stepped(time, schema)?;
        return Some(Stepped { is_local: true, ..inner });
    }
    let [Expr::Literal(interval, _), time, rest @ ..] = arguments else { return None };
    let inner = stepped(time, schema).filter(|inner| inner.step == StepBound::None)?;
    let step = match (name, rest) {
        ("date_trunc", []) => match interval.try_as_str().flatten()?.to_lowercase().as_str() {
            "second" => StepBound::Fixed { length: SECOND, origin: 0 },
            "minute" => StepBound::Fixed { length: 60 * SECOND, origin: 0 },
            "hour" => StepBound::Fixed { length: 3_600 * SECOND, origin: 0 },
            "day" => DAYS,
            "week" => StepBound::Fixed { length: 7 * DAY, origin: MONDAY },
            "month" => StepBound::Months(1),
            "quarter" => StepBound::Months(3),
            "year" => StepBound::Months(12),
            _ => return None,
        },
        ("date_bin", rest) if !inner.is_local => {
            let ScalarValue::IntervalMonthDayNano(Some(parts)) = interval else { return None };
            let (months, days, ns) = IntervalMonthDayNanoType::to_parts(*parts);
            let length = i128::from(days) * DAY + i128::from(ns);
            let origin = match rest {
                [] => 0,
                [Expr::Literal(ScalarValue::TimestampNanosecond(Some(origin), _), _)] => i128::from(*origin),
                _ => return None,
            };
            if months == 0 && length > 0 { StepBound::Fixed { length, origin } } else { StepBound::About(length_max(interval)?) }
        }
        ("time_bucket" | "date_bin", _) => StepBound::About(length_max(interval)?),
        _ => return None,
    };
    Some(Stepped { step, ..inner })
}

/// From a time on, and up to but without one.
type Range = (Option<i128>, Option<i128>);

impl Stepped {
    /// For which times the function compares like that with a constant.
    fn range(&self, op: Operator, at: i128) -> Option<Range> {
        let (floor, next) = self.around(at)?;
        // Where the next step begins, or this one if one begins here.
        let ceiling = if floor == at { at } else { next };
        let range = match op {
            Operator::Lt => (None, Some(ceiling)),
            Operator::LtEq => (None, Some(next)),
            Operator::Gt => (Some(next), None),
            Operator::GtEq => (Some(ceiling), None),
            Operator::Eq | Operator::IsNotDistinctFrom if floor == at => (Some(at), Some(next)),
            Operator::Eq | Operator::IsNotDistinctFrom if self.is_exact() => (Some(at), Some(at)),
            Operator::Eq | Operator::IsNotDistinctFrom => (Some(floor), Some(next)),
            _ => return None,
        };
        Some(if self.is_exact() {
            range
        } else {
            let wider = |from: i128| from.min(floor) - MARGIN;
            (range.0.map(wider), range.1.map(|to| to.max(next) + MARGIN))
        })
    }

    fn is_exact(&self) -> bool {
        !self.is_local && !matches!(self.step, StepBound::About(_))
    }

    /// Where the step begins that a time lies in, and where the next does.
    fn around(&self, at: i128) -> Option<(i128, i128)> {
        let step = match (self.is_local, self.step) {
            // Where it begins is a matter of the zone.
            (true, StepBound::Fixed { length, .. } | StepBound::About(length)) => StepBound::About(length),
            (true, StepBound::Months(months)) => StepBound::About(i128::from(months) * 31 * DAY),
            (_, step) => step,
        };
        match step {
            StepBound::None => Some((at, at + 1)),
            StepBound::Fixed { length, origin } => {
                let floor = at - (at - origin).rem_euclid(length);
                Some((floor, floor + length))
            }
            StepBound::Unit(length) => (at > 0).then(|| (at - at % length, at - at % length + length)),
            StepBound::About(length) => Some((at, at + length)),
            StepBound::Months(months) => {
                let time = TimeZone::UTC.to_datetime(Timestamp::from_nanosecond(at).ok()?);
                let month = (i64::from(time.year()) * 12 + i64::from(time.month()) - 1).div_euclid(months) * months;
                let first = Date::new(i16::try_from(month.div_euclid(12)).ok()?, i8::try_from(month.rem_euclid(12) + 1).ok()?, 1).ok()?;
                let next = first.checked_add(Span::new().try_months(months).ok()?).ok()?;
                let ns = |day: Date| Some(TimeZone::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).ok()?.as_nanosecond());
                Some((ns(first)?, ns(next)?))
            }
        }
    }

    fn said(&self, range: Range) -> Ranges {
        let between = self.between(range);
        if self.is_exact() { Ranges::Instead(between) } else { Ranges::Beside(between) }
    }

    /// Conditions over the column.
    fn between(&self, (from, to): Range) -> Vec<Expr> {
        let time = |at: i128| {
            let at = i64::try_from(at).unwrap_or(if at < 0 { i64::MIN } else { i64::MAX });
            lit(ScalarValue::TimestampNanosecond(Some(at), self.zone.clone()))
        };
        // One past the last time there is, is past every time.
        let from =
            from.map(|at| if at > i128::from(i64::MAX) { self.column.clone().gt(time(at)) } else { self.column.clone().gt_eq(time(at)) });
        let to =
            to.map(|at| if at > i128::from(i64::MAX) { self.column.clone().lt_eq(time(at)) } else { self.column.clone().lt(time(at)) });
        from.into_iter().chain(to).collect()
    }
}
