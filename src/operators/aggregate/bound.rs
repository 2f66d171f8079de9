//! Bounding values: what stands at the edge of an interval where no sample lies on it (OPC 10000-13, 3.1.7 to 3.1.9).

use super::configuration::AggregateConfiguration;
use super::sample::{AggregateSample, Class, Point};
use super::status::{BAD_NO_DATA, GOOD, SUB_NORMAL};

/// Nothing is known at this time.
pub(super) const fn no_data(timestamp: i64) -> Point {
    Point { timestamp, number: 0.0, class: Class::Bad, quality: BAD_NO_DATA, raw: false }
}

fn made(timestamp: i64, number: f64, certain: bool) -> Point {
    let (class, quality) = if certain { (Class::Good, GOOD) } else { (Class::Uncertain, SUB_NORMAL) };
    Point { timestamp, number, class, quality, raw: false }
}

/// The line through `a` and `b` at `timestamp`, also beyond them.
fn line(timestamp: i64, a: &AggregateSample, b: &AggregateSample) -> f64 {
    let span = (i128::from(b.timestamp) - i128::from(a.timestamp)) as f64;
    let offset = (i128::from(timestamp) - i128::from(a.timestamp)) as f64;
    a.number + (b.number - a.number) * (offset / span)
}

/// Simple bounding value at `timestamp`: from the samples next to it, whatever their quality.
///
/// `at` lies on `timestamp`, `before` is the last one earlier, `after` the first one later, each of any quality.
pub(super) fn simple(
    timestamp: i64,
    at: Option<&AggregateSample>,
    before: Option<&AggregateSample>,
    after: Option<&AggregateSample>,
    configuration: AggregateConfiguration,
) -> Point {
    if let Some(at) = at {
        return at.point();
    }
    // Beyond the last sample nothing is estimated.
    let (Some(before), Some(after)) = (before, after) else {
        return no_data(timestamp);
    };
    let class = before.class();
    if configuration.stepped {
        // The published vectors keep a held Uncertain sample Uncertain, also where Uncertain is treated as Bad.
        return if class == Class::Bad { no_data(timestamp) } else { made(timestamp, before.number, class == Class::Good) };
    }
    if !configuration.usable(class) {
        return no_data(timestamp);
    }
    if !configuration.usable(after.class()) {
        return made(timestamp, before.number, false);
    }
    made(timestamp, line(timestamp, before, after), class == Class::Good && after.class() == Class::Good)
}

/// The usable samples around a time, and whether others lie between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket<'a> {
    pub at: Option<&'a AggregateSample>,
    pub before: Option<&'a AggregateSample>,
    pub before_that: Option<&'a AggregateSample>,
    pub after: Option<&'a AggregateSample>,
    /// Samples that are not usable lie after `before` and not after the time.
    pub skipped_before: bool,
    /// Samples that are not usable lie at or after the time and before `after`.
    pub skipped_after: bool,
    /// No sample of any quality lies later than the time.
    pub beyond_data: bool,
}

/// Interpolated bounding value at `timestamp`: from the nearest usable samples.
pub(super) fn interpolated(timestamp: i64, around: &Bracket<'_>, stepped: bool, configuration: AggregateConfiguration) -> Point {
    if let Some(at) = around.at {
        return at.point();
    }
    let Some(before) = around.before else {
        return no_data(timestamp);
    };
    let good = |neighbour: &AggregateSample| neighbour.class() == Class::Good;
    if stepped {
        return made(timestamp, before.number, good(before) && !around.skipped_before && !around.beyond_data);
    }
    match (around.after, around.before_that) {
        (Some(after), _) => {
            let certain = good(before) && good(after) && !around.skipped_before && !around.skipped_after;
            made(timestamp, line(timestamp, before, after), certain)
        }
        (None, Some(before_that)) if configuration.use_sloped_extrapolation => made(timestamp, line(timestamp, before_that, before), false),
        (None, _) => made(timestamp, before.number, false),
    }
}
