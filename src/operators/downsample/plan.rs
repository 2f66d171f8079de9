//! Where the intervals of a downsample lie.

use std::ops::Range;

use historian_format::{Samples, ValueType, rollup::RollupLevel};

use super::{DownsampleError, DownsampleRange, Method};

/// Samples that MINMAXLTTB preselects for each one asked. The usual choice; more costs time and changes little.
const PRESELECTION: usize = 4;

/// The intervals of a request.
///
/// M4 and LTTB divide the range into parts of equal length, to the nanosecond. PLOT, MINMAX and the preselection of MINMAXLTTB need not be
/// so exact: where an interval is several times as long as a level of the rollups (a day, an hour, a minute), its length is rounded up to
/// whole multiples of that level and the inner edges are put on them, so that states answer for all of each interval. That makes the number
/// of intervals smaller by an eighth at most. A range whose equal parts lie on such edges anyway keeps them.
#[derive(Clone, Debug)]
pub struct DownsamplePlan {
    request: DownsampleRange,
    edges: Vec<i64>,
    level: Option<RollupLevel>,
}

impl DownsamplePlan {
    /// Divides the range of a request.
    pub fn new(request: DownsampleRange) -> DownsamplePlan {
        let DownsampleRange { start, end, points, method } = request;
        let (intervals, least) = match method {
            Method::Plot => (points / 4, Some(8)),
            Method::M4 => (points / 4, None),
            Method::MinMax => ((points - 2) / 2, Some(8)),
            Method::Lttb => (points - 2, None),
            // Only a preselection: the level may be coarser against the interval.
            Method::MinMaxLttb => (points * PRESELECTION / 2, Some(4)),
        };
        let length = end.abs_diff(start);
        let intervals = (intervals as u64).clamp(1, length);
        let width = length.div_ceil(intervals);
        // A single interval has no inner edge.
        let aligned = least
            .filter(|_| intervals > 1)
            .and_then(|least| RollupLevel::ALL.into_iter().rev().find(|level| width >= least * level.interval_ns().unsigned_abs()));
        let edges = match aligned {
            Some(level) => aligned_edges(start, end, intervals, level.interval_ns()),
            None => equal_edges(start, length, intervals),
        };
        let level = aligned.or_else(|| common_level(&edges));
        DownsamplePlan { request, edges, level }
    }

    /// The request.
    pub fn request(&self) -> DownsampleRange {
        self.request
    }

    /// Start of the range, ns since 1970.
    pub fn start(&self) -> i64 {
        self.request.start
    }

    /// End of the range, exclusive.
    pub fn end(&self) -> i64 {
        self.request.end
    }

    /// Samples of the answer at most.
    pub fn points(&self) -> usize {
        self.request.points
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.request.method
    }

    /// Edges of the intervals, ascending: the range's start, the inner ones, the range's end.
    pub fn edges(&self) -> &[i64] {
        &self.edges
    }

    /// The intervals as `[start, end)`.
    pub fn intervals(&self) -> impl ExactSizeIterator<Item = (i64, i64)> {
        self.edges.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The coarsest level whose intervals are never cut by an inner edge; `None` when even minutes are.
    pub fn level(&self) -> Option<RollupLevel> {
        self.level
    }

    /// Whether [`super::Downsampler::push_summary`] may be used. LTTB weighs each sample.
    pub fn takes_summaries(&self) -> bool {
        self.request.method != Method::Lttb
    }
}

/// Edges of `intervals` parts whose lengths differ by a nanosecond at most.
pub(super) fn equal_edges(start: i64, length: u64, intervals: u64) -> Vec<i64> {
    let at = |number: u64| {
        let offset = u128::from(length) * u128::from(number) / u128::from(intervals);
        // Not above `length`, which came of two i64.
        start.wrapping_add_unsigned(u64::try_from(offset).unwrap_or(length))
    };
    (0..=intervals).map(at).collect()
}

/// Edges on whole multiples of a level: the least width with which there are not more than `intervals`.
fn aligned_edges(start: i64, end: i64, intervals: u64, level: i64) -> Vec<i64> {
    let (from, to, level) = (i128::from(start), i128::from(end), i128::from(level));
    let mut width = ((to - from) / i128::from(intervals) / level).max(1) * level;
    let spanned = |width: i128| (to + width - 1).div_euclid(width) - from.div_euclid(width);
    // The first and the last interval may be cut, so the quotient alone may give two too many.
    while spanned(width) > i128::from(intervals) {
        // In steps that keep the number of rounds small where the range is centuries.
        width += (width / 64 / level).max(1) * level;
    }
    let first = (from.div_euclid(width) + 1) * width;
    let inner = (0..).map(|number| first + number * width).take_while(|edge| *edge < to).filter_map(|edge| i64::try_from(edge).ok());
    std::iter::once(start).chain(inner).chain(std::iter::once(end)).collect()
}

/// The coarsest level on whose multiples all inner edges lie.
fn common_level(edges: &[i64]) -> Option<RollupLevel> {
    let inner = edges.get(1..edges.len().saturating_sub(1)).unwrap_or_default();
    RollupLevel::ALL.into_iter().rev().find(|level| inner.iter().all(|edge| edge.rem_euclid(level.interval_ns()) == 0))
}

/// The rows that lie in the range, of a run that may follow `last`.
pub(super) fn check_run(
    samples: &Samples,
    rows: Range<usize>,
    value_type: ValueType,
    plan: &DownsamplePlan,
    last: Option<i64>,
) -> Result<Range<usize>, DownsampleError> {
    if samples.value_type() != value_type {
        return Err(DownsampleError::ValueType { expected: value_type, found: samples.value_type() });
    }
    if rows.start > rows.end || rows.end > samples.len() {
        return Err(DownsampleError::Rows { start: rows.start, end: rows.end, len: samples.len() });
    }
    let timestamps = &samples.timestamps[rows.clone()];
    // Counted rather than searched: the compiler makes vectors of a loop without an exit.
    if timestamps.windows(2).filter(|pair| pair[0] >= pair[1]).count() > 0 {
        let pair = timestamps.windows(2).find(|pair| pair[0] >= pair[1]).unwrap_or(&[0, 0]);
        return Err(DownsampleError::Order { timestamp: pair[1], last: pair[0] });
    }
    let from = rows.start + timestamps.partition_point(|timestamp| *timestamp < plan.start());
    let to = rows.start + timestamps.partition_point(|timestamp| *timestamp < plan.end());
    match (last, samples.timestamps.get(from)) {
        (Some(last), Some(next)) if from < to && *next <= last => Err(DownsampleError::Order { timestamp: *next, last }),
        _ => Ok(from..to),
    }
}
