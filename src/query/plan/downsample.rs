//! Downsampling: each tag's range is read as states of rollups where these tell enough, as samples where not, and reduced for a plot.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;

use historian_format::rollup::Parts;

use super::{
    neighbour::{before, nearest},
    operator::{Batcher, Operator, WorkUnit},
    parallel::Put,
    piece::{self, ASIDE_MAX, Piece, PieceOptions},
};
use crate::{
    QualityFilter, QueryError, QueryLimits, boundary,
    long_batch::LongBatch,
    portion::Rows,
    schema::{self, LongColumns},
};
use historian_model::{Quality, Sample, Samples, Tag, TimeBounds, TimeRange, Timestamp};
use historian_operators::downsample::{
    CollectStep, DownsampleError, DownsamplePlan, DownsampleRange, Downsampler, IntervalSummary, LineBreak, Method, Surroundings,
};
use historian_read::merge::TagReader;
use historian_store::{Gap, GapReason, StoreError};

/// A downsample query whose tags and times are resolved. The range goes forward.
#[derive(Clone, Debug)]
pub struct DownsampleQuery {
    pub tags: Vec<Arc<Tag>>,
    pub range: TimeRange,
    /// Rows of each tag at most.
    pub points: usize,
    pub method: Method,
    /// A last column `type`: the value type of the row's tag.
    pub types: bool,
    /// False: everything is made of samples. The answer is the same.
    pub use_rollups: bool,
}

/// Recorded gaps at which lines are broken, at most, and those that are looked at in one go.
const GAPS_MAX: usize = 100_000;
const GAPS_PAGE: usize = 4_096;

fn columns(query: &DownsampleQuery) -> LongColumns {
    LongColumns { types: query.types, ..LongColumns::of(&query.tags) }
}

fn refused(tag: &Tag, error: &DownsampleError) -> QueryError {
    match error {
        DownsampleError::Points(_) | DownsampleError::Method(_) | DownsampleError::Range { .. } => QueryError::Invalid(error.to_string()),
        DownsampleError::TextChanges(_) | DownsampleError::TextBytes => QueryError::Invalid(format!("tag {}: {error}", tag.name())),
        error => QueryError::Store(format!("tag {}: {error}", tag.name())),
    }
}

/// Rows of one tag after another, each in its own type.
#[derive(Debug, Default)]
pub struct DownsampleRows {
    /// Of the tag at this place, with all its samples.
    pub tags: Vec<(usize, Samples)>,
}

impl Rows for DownsampleRows {
    fn len(&self) -> usize {
        self.tags.iter().map(|(_, samples)| samples.len()).sum()
    }

    fn row_bytes(&self) -> usize {
        self.tags.iter().map(|(_, samples)| samples.heap_bytes()).sum::<usize>() / self.len().max(1)
    }
}

/// What units share.
pub struct Shared {
    plan: DownsamplePlan,
    gaps: Vec<RecordedBreak>,
}

/// Where a recorded gap begins.
struct RecordedBreak {
    /// `None`: of any tag.
    tag: Option<String>,
    start: i64,
}

impl DownsampleQuery {
    /// The gaps on record that begin in the range, of the tags of this query.
    fn recorded_breaks(&self, reader: &TagReader) -> Result<Vec<RecordedBreak>, StoreError> {
        let names: HashSet<&str> = self.tags.iter().map(|tag| tag.name().as_str()).collect();
        let is_asked_for = |gap: &Gap| gap.tag.as_deref().is_none_or(|name| names.contains(name));
        // One that was recorded without an end is there once more with it; where that is its start, nothing is missing.
        let mut ends: HashMap<(Option<String>, GapReason, i64), Option<i64>> = HashMap::new();
        // What was absent of a tag and has come since breaks no line.
        let mut filled: HashSet<(Option<String>, i64)> = HashSet::new();
        let mut from = 0;
        loop {
            let page = reader.gaps(from, GAPS_PAGE)?;
            let Some(&(last, _)) = page.last() else { break };
            from = last + 1;
            for (_, gap) in page {
                let Some(start) = gap.start.filter(|&start| self.range.start.0 <= start && start < self.range.end.0) else { continue };
                if !is_asked_for(&gap) || ends.len() + filled.len() >= GAPS_MAX {
                    continue;
                }
                if gap.reason == GapReason::Backfilled {
                    filled.insert((gap.tag, start));
                } else {
                    ends.insert((gap.tag, gap.reason, start), gap.end);
                }
            }
        }
        let breaks = ends.into_iter().filter(|((_, _, start), end)| *end != Some(*start)).map(|((tag, _, start), _)| (tag, start));
        Ok(breaks.filter(|one| !filled.contains(one)).map(|(tag, start)| RecordedBreak { tag, start }).collect())
    }
}

impl Operator for DownsampleQuery {
    type Shared = Shared;
    type Part = Samples;
    type Rows = DownsampleRows;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.tags
    }

    fn of_tag(&self, tag: &Arc<Tag>) -> DownsampleQuery {
        DownsampleQuery { tags: vec![tag.clone()], types: false, ..self.clone() }
    }

    /// As the long layout of a range.
    fn schema(&self) -> SchemaRef {
        schema::long(&self.tags, columns(self), Some(self.range))
    }

    fn prepare(&self, reader: &TagReader) -> Result<Shared, QueryError> {
        let request = DownsampleRange::new(self.range.start.0, self.range.end.0, self.points, self.method)
            .map_err(|error| QueryError::Invalid(error.to_string()))?;
        let gaps = self.recorded_breaks(reader).map_err(|error| QueryError::Store(error.to_string()))?;
        Ok(Shared { plan: DownsamplePlan::new(request), gaps })
    }

    fn units(&self) -> Vec<WorkUnit> {
        WorkUnit::tags(self.tags.len())
    }

    fn work(
        &self,
        shared: &Shared,
        reader: &TagReader,
        unit: &WorkUnit,
        limits: &QueryLimits,
        put: Put<'_, Samples>,
    ) -> Result<(), QueryError> {
        let tag = &self.tags[unit.tag];
        let mut breaks: Vec<LineBreak> = shared
            .gaps
            .iter()
            .filter(|gap| gap.tag.as_deref().is_none_or(|name| name == tag.name().as_str()))
            .map(|gap| LineBreak { timestamp: gap.start, quality: Quality::BAD_NO_DATA.0 })
            .collect();
        breaks.sort_unstable_by_key(|gap| gap.timestamp);
        breaks.dedup_by_key(|gap| gap.timestamp);
        put(reduce(reader, tag, &shared.plan, self, breaks, limits)?);
        Ok(())
    }

    fn weight(samples: &Samples) -> usize {
        samples.heap_bytes()
    }

    fn append(&self, rows: &mut DownsampleRows, tag: usize, samples: Samples) {
        rows.tags.push((tag, samples));
    }

    fn batcher(&self) -> Batcher<'_, DownsampleRows> {
        let mut batch = LongBatch::new(self.schema(), &self.tags, columns(self));
        Box::new(move |rows| {
            for (tag, samples) in &rows.tags {
                batch.append(*tag, samples);
            }
            batch.take()
        })
    }
}

/// The rows of one tag.
fn reduce(
    reader: &TagReader,
    tag: &Tag,
    plan: &DownsamplePlan,
    query: &DownsampleQuery,
    gaps: Vec<LineBreak>,
    limits: &QueryLimits,
) -> Result<Samples, QueryError> {
    let failed = |error: DownsampleError| refused(tag, &error);
    let bound = |at| edge(reader, tag, at);
    let around = Surroundings { before: bound(query.range.start)?, after: bound(query.range.end)?, gaps };
    let mut summaries = plan.takes_summaries();
    let source = PieceOptions { rollups: query.use_rollups, parts: Parts { extremes: true, ..Parts::NONE }, fold_edges: false };
    loop {
        let mut downsampler = Downsampler::new(plan.clone(), tag.value_type(), around.clone()).map_err(failed)?;
        let range = TimeRange { start: Timestamp(plan.start()), end: Timestamp(plan.end()), reverse: false };
        if summaries {
            let mut unsummed = Unsummed::default();
            piece::read(reader, tag, plan.edges(), source, limits, &mut |_, piece| {
                let state = match piece {
                    Piece::Samples(samples, rows) => {
                        unsummed.give(reader, tag, limits, &mut downsampler)?;
                        return downsampler.push(samples, rows).map_err(failed);
                    }
                    Piece::State(state) => state,
                };
                let summary = IntervalSummary::of_state(state, tag.value_type());
                match summary {
                    Some(summary) if unsummed.bounds.is_none() => return downsampler.push_summary(&summary).map_err(failed),
                    Some(summary) => unsummed.hold(summary, state.count),
                    // Not all of it is plainly Good: the samples tell where lines break.
                    None => unsummed.extend(TimeBounds { first: state.first.timestamp, last: state.last.timestamp }),
                }
                if unsummed.aside > ASIDE_MAX { unsummed.give(reader, tag, limits, &mut downsampler) } else { Ok(()) }
            })?;
            unsummed.give(reader, tag, limits, &mut downsampler)?;
        } else {
            read_samples(reader, tag, range, limits, &mut |samples, rows| downsampler.push(samples, rows).map_err(failed))?;
        }
        match downsampler.finish().map_err(failed)? {
            CollectStep::Done(samples) => return Ok(samples),
            CollectStep::SecondPass(mut pass) => {
                read_samples(reader, tag, range, limits, &mut |samples, rows| pass.push(samples, rows).map_err(failed))?;
                return pass.finish().map_err(failed);
            }
            CollectStep::SamplesOnly if summaries => summaries = false,
            CollectStep::SamplesOnly => return Err(QueryError::Bug),
        }
    }
}

/// The value at an edge that no sample falls on. Where a Bad run reaches over the edge there is none, with the quality of the run, though a value
/// could be interpolated across it: a line would be drawn through what is not known.
fn edge(reader: &TagReader, tag: &Tag, at: Timestamp) -> Result<Option<Sample>, QueryError> {
    let exact = TimeRange { start: at, end: Timestamp(at.0.saturating_add(1)), reverse: false };
    if nearest(reader, tag, exact, |_, _| true)?.is_some() {
        return Ok(None);
    }
    match nearest(reader, tag, before(at), |_, _| true)? {
        Some(last) if boundary::interrupts(&last, 0) => Ok(Some(Sample { timestamp: at.0, value: None, quality: last.qualities[0] })),
        _ => boundary::edge(reader, tag, at, QualityFilter::Any),
    }
}

/// Intervals whose samples are to be read, since their states do not tell enough, with what lies between them: in one go, where that is little.
#[derive(Default)]
struct Unsummed {
    bounds: Option<TimeBounds>,
    /// What came behind them and can do with its states, and how many samples those have.
    behind: Vec<IntervalSummary>,
    aside: u64,
}

impl Unsummed {
    fn extend(&mut self, interval: TimeBounds) {
        self.bounds = Some(TimeBounds { first: self.bounds.unwrap_or(interval).first, ..interval });
        self.behind.clear();
        self.aside = 0;
    }

    fn hold(&mut self, summary: IntervalSummary, count: u64) {
        self.behind.push(summary);
        self.aside += count;
    }

    /// Hands on what is held.
    fn give(&mut self, reader: &TagReader, tag: &Tag, limits: &QueryLimits, downsampler: &mut Downsampler) -> Result<(), QueryError> {
        let failed = |error: DownsampleError| refused(tag, &error);
        let held = std::mem::take(self);
        let Some(bounds) = held.bounds else { return Ok(()) };
        read_samples(reader, tag, bounds.to_range(), limits, &mut |samples, rows| downsampler.push(samples, rows).map_err(failed))?;
        held.behind.iter().try_for_each(|summary| downsampler.push_summary(summary).map_err(failed))
    }
}

/// Receives rows of a run of samples.
type RunReceiver<'a> = &'a mut dyn FnMut(&Samples, std::ops::Range<usize>) -> Result<(), QueryError>;

/// All samples of a range.
fn read_samples(reader: &TagReader, tag: &Tag, range: TimeRange, limits: &QueryLimits, take: RunReceiver<'_>) -> Result<(), QueryError> {
    piece::samples(reader, tag, &[range.start.0, range.end.0], 0, range, limits, &mut |_, piece| match piece {
        Piece::Samples(samples, rows) => take(samples, rows),
        Piece::State(_) => Ok(()),
    })
}
