//! Downsampling for plots: many samples of one tag in, at most the asked number out, and the drawing still right.
//!
//! It stands between the plan of a query, which hands over decoded chunks (or the states of rollups, or the statistics in chunk headers), and
//! the doors, which send the resulting [`Samples`]. It is pure: no store, no clock, no Arrow. A [`DownsamplePlan`] divides the range into intervals of
//! *time*, never of rows, so that irregular tags are drawn where their samples are. A [`Downsampler`] takes what the tag has in time order:
//!
//! ```text
//! DownsampleRange::new → DownsamplePlan::new → Downsampler::new → push / push_summary … → finish
//! finish ─→ CollectStep::Done(samples)
//!        ├─→ CollectStep::SecondPass(pass) → push … → finish
//!        └─→ CollectStep::SamplesOnly: begin again without summaries
//! ```
//!
//! # What every answer holds
//!
//! - The boundary samples that the caller gave, one at each edge. They count towards the number asked, which is never exceeded; where all samples
//!   fit and they do not, they are left out.
//! - A row without a value where a Bad run or a gap starts; where a line has to end. Samples that are Bad, null or NaN *break* the line; of a
//!   run of them only the first makes a row. A run that is still open at the end of its interval is never left out, for without its row a
//!   line would be drawn across all of the run. Of several runs within one interval one is shown.
//! - Strictly increasing timestamps, and no sample twice.
//! - All samples, when they are few enough. Then every breaking sample is a row, and none has a value.
//!
//! *Drawn* samples are the others: Good and Uncertain ones with a number.
//!
//! # When it does not fit
//!
//! PLOT, M4 and MINMAX keep the largest and the smallest drawn sample of the range whatever happens. Where bad runs need more rows than are
//! left, neighbouring intervals are merged, the quietest first, until the answer fits; where a single interval does not fit, its first and
//! last samples go (M4 becomes min/max).

mod collect;
pub(crate) mod column;
mod fit;
mod lttb;
mod output;
mod plan;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub use collect::{CollectStep, Downsampler};
pub use lttb::SecondPass;
pub use plan::DownsamplePlan;
pub use summary::{Drawn, IntervalSummary, LineBreak};

use std::{fmt, str::FromStr};

use historian_format::{Sample, Samples, ValueType};

/// Fewest samples that can be asked: two edges, two extremes and one break.
pub const POINTS_MIN: usize = 5;
/// Most samples that can be asked of one tag. The memory of a downsampler is some 200 bytes for each.
pub const POINTS_MAX: usize = 100_000;

/// How samples are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// First, last, smallest and largest drawn sample of each interval, and its break if it has one. Intervals of some length have their
    /// edges on whole minutes, hours or days, so that rollups answer.
    #[default]
    Plot,
    /// As [`Method::Plot`], in intervals of exactly equal length: one for each pixel column when 4 samples per column are asked (Jugel et
    /// al., VLDB 2014). Then the drawing has the same pixels as one of all samples.
    M4,
    /// Smallest and largest drawn sample of each interval. Twice as many intervals as M4, without the joins between them.
    MinMax,
    /// Largest triangle in three buckets (Steinarsson 2013): what the eye would pick. It may lose a spike. Reads everything twice.
    Lttb,
    /// LTTB among the extremes of four times as many samples (Van der Donckt et al. 2023): nearly the picture of LTTB, from summaries.
    MinMaxLttb,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 5] = [Method::Plot, Method::M4, Method::MinMax, Method::Lttb, Method::MinMaxLttb];

    /// The name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Plot => "PLOT",
            Method::M4 => "M4",
            Method::MinMax => "MINMAX",
            Method::Lttb => "LTTB",
            Method::MinMaxLttb => "MINMAXLTTB",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Method {
    type Err = DownsampleError;

    /// Reads a name in either case.
    fn from_str(text: &str) -> Result<Method, DownsampleError> {
        let known = Method::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| DownsampleError::Method(text.chars().take(40).collect()))
    }
}

/// What is asked of one tag: a range `[start, end)` in ns since 1970, the number of samples at most, the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownsampleRange {
    start: i64,
    end: i64,
    points: usize,
    method: Method,
}

impl DownsampleRange {
    /// Checks what was asked.
    ///
    /// # Errors
    /// [`DownsampleError::Points`], or [`DownsampleError::Range`] when `start` is not before `end`.
    pub fn new(start: i64, end: i64, points: usize, method: Method) -> Result<DownsampleRange, DownsampleError> {
        if !(POINTS_MIN..=POINTS_MAX).contains(&points) {
            return Err(DownsampleError::Points(points));
        }
        if start >= end {
            return Err(DownsampleError::Range { start, end });
        }
        Ok(DownsampleRange { start, end, points, method })
    }
}

/// What lies around the samples of the range.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The boundary sample at the start of the range or before it: the value held, or interpolated (with the info bits that mark it so), or none
    /// with a Bad quality. Left out of the answer when the tag has a sample at its timestamp.
    pub before: Option<Sample>,
    /// The same at the end of the range or after it.
    pub after: Option<Sample>,
    /// Known gaps as the timestamp of their start, each with the quality of its row. Those outside the range are passed over.
    pub gaps: Vec<LineBreak>,
}

/// Why nothing can be downsampled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownsampleError {
    #[error("points is {0}; allowed are {POINTS_MIN} to {POINTS_MAX}")]
    Points(usize),
    #[error("method is {0:?}; allowed are PLOT, M4, MINMAX, LTTB and MINMAXLTTB")]
    Method(String),
    #[error("start ({start} ns) is not before end ({end} ns); a range to downsample holds at least one nanosecond")]
    Range { start: i64, end: i64 },
    #[error("the tag is of type {expected}, and samples of type {found} came")]
    ValueType { expected: ValueType, found: ValueType },
    #[error("samples came out of order: {timestamp} ns after {last} ns")]
    Order { timestamp: i64, last: i64 },
    #[error("rows {start} to {end} were asked of a run of {len} samples")]
    Rows { start: usize, end: usize, len: usize },
    #[error("a summary from {first} ns to {last} ns crosses an edge of the plan's intervals or has no samples")]
    Summary { first: i64, last: i64 },
    #[error("method {0} chooses among samples; summaries cannot be used")]
    NoSummaries(Method),
    #[error("the text changes more than {0} times in the range; ask for more points or a shorter range")]
    TextChanges(usize),
    #[error("the answer holds more text than one column can: 2 GiB")]
    TextBytes,
}

/// Why a sample that is Bad, or has no number, breaks the line.
const fn breaks(quality: u32) -> bool {
    quality >> 31 == 1
}

/// An empty answer with room for `rows`.
fn answer(value_type: ValueType, rows: usize) -> Samples {
    Samples::with_capacity(value_type, rows)
}
