//! The ceiling: which rows an interval gives, and how neighbours are merged until all of them are few enough.

use historian_format::ValueType;

use super::{
    output::DownsampleRow,
    summary::{Drawn, IntervalSummary},
};

/// Which samples of an interval become rows. Its break is always one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntervalShape {
    /// First, last, smallest, largest.
    FirstLast,
    /// Smallest and largest.
    Extremes,
    /// One that is chosen later.
    One,
    /// None.
    BreakOnly,
}

impl IntervalShape {
    /// What is left when a single interval has too many rows.
    const fn less(self) -> IntervalShape {
        match self {
            IntervalShape::FirstLast => IntervalShape::Extremes,
            IntervalShape::Extremes | IntervalShape::One | IntervalShape::BreakOnly => IntervalShape::BreakOnly,
        }
    }
}

/// Some neighbouring intervals that became one.
#[derive(Clone, Copy, Debug)]
pub(super) struct MergedInterval {
    pub summary: IntervalSummary,
    /// Intervals of the plan.
    pub intervals: usize,
}

/// Merges until there are not more than `limit` rows, and tells the shape with which that holds.
///
/// Pairs of neighbours whose samples spread least go first: there a line loses least. Merging never drops the largest or the smallest sample of
/// a pair. With a `limit` of 3, every shape but the last keeps the extremes.
pub(super) fn fit(
    summaries: &[IntervalSummary],
    limit: usize,
    mut shape: IntervalShape,
    value_type: ValueType,
) -> (Vec<MergedInterval>, IntervalShape) {
    let mut cells: Vec<MergedInterval> = summaries.iter().map(|summary| MergedInterval { summary: *summary, intervals: 1 }).collect();
    let mut rows: usize = cells.iter().map(|cell| count(&cell.summary, shape)).sum();
    while rows > limit && cells.len() > 1 {
        let merged = |pair: &[MergedInterval]| {
            let mut cell = pair[0];
            cell.summary.merge(&pair[1].summary, value_type);
            cell.intervals += pair[1].intervals;
            cell
        };
        let gain = |pair: &[MergedInterval], cell: &MergedInterval| {
            count(&pair[0].summary, shape) + count(&pair[1].summary, shape) - count(&cell.summary, shape)
        };
        let mut candidates: Vec<(f64, usize)> = Vec::with_capacity(cells.len() / 2);
        for (number, pair) in cells.chunks_exact(2).enumerate() {
            let cell = merged(pair);
            if gain(pair, &cell) > 0 {
                candidates.push((cell.summary.spread(value_type), number));
            }
        }
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut chosen = vec![candidates.is_empty(); cells.len() / 2];
        for (_, number) in candidates {
            if rows <= limit {
                break;
            }
            let pair = &cells[2 * number..2 * number + 2];
            rows -= gain(pair, &merged(pair));
            chosen[number] = true;
        }
        let mut next = Vec::with_capacity(cells.len());
        for (number, pair) in cells.chunks(2).enumerate() {
            if chosen.get(number) == Some(&true) {
                next.push(merged(pair));
            } else {
                next.extend_from_slice(pair);
            }
        }
        cells = next;
    }
    while rows > limit && shape != IntervalShape::BreakOnly {
        shape = shape.less();
        rows = cells.iter().map(|cell| count(&cell.summary, shape)).sum();
    }
    (cells, shape)
}

/// The drawn samples that the shape takes, in time order and each once.
fn drawn(summary: &IntervalSummary, shape: IntervalShape) -> impl Iterator<Item = Drawn> {
    let mut taken = match shape {
        IntervalShape::FirstLast => [summary.first, summary.minimum, summary.maximum, summary.last],
        IntervalShape::Extremes => [summary.minimum, summary.maximum, None, None],
        IntervalShape::One | IntervalShape::BreakOnly => [None; 4],
    };
    taken.sort_unstable_by_key(|drawn| drawn.map(|drawn| drawn.timestamp));
    let mut before = None;
    taken.into_iter().flatten().filter(move |drawn| before.replace(drawn.timestamp) != Some(drawn.timestamp))
}

/// Rows of a summary at most.
fn count(summary: &IntervalSummary, shape: IntervalShape) -> usize {
    let one = usize::from(shape == IntervalShape::One && summary.first.is_some());
    drawn(summary, shape).count() + one + usize::from(summary.shown_break().is_some())
}

/// Appends the rows of a summary, not in order.
pub(super) fn put_rows(summary: &IntervalSummary, shape: IntervalShape, out: &mut Vec<DownsampleRow>) {
    out.extend(drawn(summary, shape).map(DownsampleRow::from));
    out.extend(summary.shown_break().map(DownsampleRow::from));
}
