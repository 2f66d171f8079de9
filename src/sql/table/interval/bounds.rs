//! What a `WHERE` says about the start of intervals.

use arrow::datatypes::DataType;
use datafusion::{common::ScalarValue, logical_expr::Expr};

use super::super::predicate;
use crate::function::calendar::CalendarStep;

const DAY_NS: i128 = 86_400_000_000_000;
/// Local time and UTC are nowhere further apart.
const OFFSET_MAX_NS: i128 = 26 * 3_600_000_000_000;

/// When intervals start that are asked for: half-open, ns, in i128, so that one past the last nanosecond is a number too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalStarts {
    pub from: i128,
    pub to: i128,
}

impl IntervalStarts {
    pub const ALL: IntervalStarts = IntervalStarts { from: i64::MIN as i128, to: i64::MAX as i128 + 1 };

    /// Bounds of all these filters. Every interval that fulfils them starts within; only those of [`is_exact`] are fulfilled by that.
    pub fn of(filters: &[Expr], step: CalendarStep) -> IntervalStarts {
        filters
            .iter()
            .filter_map(|filter| one(filter, step))
            .fold(IntervalStarts::ALL, |all, (from, to)| IntervalStarts { from: all.from.max(from), to: all.to.min(to) })
    }
}

/// True for a filter that the bounds fulfil.
pub fn is_exact(filter: &Expr) -> bool {
    predicate::times(filter, "start").is_some()
}

/// True for a filter that narrows the bounds.
pub fn narrows(filter: &Expr) -> bool {
    one(filter, CalendarStep::HOUR).is_some()
}

fn one(filter: &Expr, step: CalendarStep) -> Option<(i128, i128)> {
    let column = |name: &'static str| move |expr: &Expr| predicate::is_column(expr, name);
    let date_of = |name: &'static str| move |expr: &Expr| matches!(expr, Expr::Cast(cast) if *cast.field.data_type() == DataType::Date32 && predicate::is_column(&cast.expr, name));
    let local = |(from, to): (i128, i128)| (from - OFFSET_MAX_NS, to + OFFSET_MAX_NS);
    let days = |(from, to): (i128, i128)| (from.saturating_mul(DAY_NS), to.saturating_mul(DAY_NS));
    predicate::times(filter, "start")
        .or_else(|| predicate::times(filter, "end").map(|(from, to)| (from - i128::from(step.longest_ns()), to)))
        .or_else(|| predicate::compared(filter, &column("local_start"), local_time).map(local))
        .or_else(|| predicate::compared(filter, &date_of("local_start"), date).map(days).map(local))
        .or_else(|| predicate::compared(filter, &date_of("start"), date).map(days))
}

fn local_time(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(at), None), _) => Some(i128::from(*at)),
        _ => None,
    }
}

fn date(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Literal(ScalarValue::Date32(Some(day)), _) => Some(i128::from(*day)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;

    fn utc(at: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(at), Some("UTC".into())))
    }

    #[test]
    fn every_interval_that_fulfils_a_filter_starts_within_its_bounds() {
        let hour = 3_600_000_000_000;
        let of = |filter: Expr| IntervalStarts::of(&[filter], CalendarStep::HOUR);
        assert_eq!(of(col("start").gt_eq(utc(5)).and(col("value").eq(lit(1)))), IntervalStarts::ALL);
        assert_eq!(of(col("start").gt_eq(utc(5))), IntervalStarts { from: 5, ..IntervalStarts::ALL });
        assert_eq!(of(utc(5).gt(col("start"))), IntervalStarts { to: 5, ..IntervalStarts::ALL });
        assert_eq!(
            IntervalStarts::of(&[col("start").gt(utc(5)), col("start").lt_eq(utc(9))], CalendarStep::HOUR),
            IntervalStarts { from: 6, to: 10 }
        );
        let end = of(col("end").gt_eq(utc(5 * hour)));
        assert!(end.from <= i128::from(4 * hour) && end.to == IntervalStarts::ALL.to);
        let at = |at: i64| lit(ScalarValue::TimestampNanosecond(Some(at), None));
        let local = of(col("local_start").between(at(100 * hour), at(200 * hour)));
        assert!(local.from <= i128::from(86 * hour) && local.to >= i128::from(212 * hour));
        let date = lit(ScalarValue::Date32(Some(20_000)));
        let day = of(cast(col("local_start"), DataType::Date32).eq(date));
        assert!(day.from <= 20_000 * DAY_NS - 14 * 3_600_000_000_000 && day.to >= 20_001 * DAY_NS + 12 * 3_600_000_000_000);
        assert!(day.to < 20_003 * DAY_NS);
        assert!(!narrows(&cast(col("start"), DataType::Timestamp(TimeUnit::Second, None)).gt(at(1))));
        assert!(is_exact(&col("start").lt(utc(1))) && !is_exact(&col("end").lt(utc(1))));
    }
}
