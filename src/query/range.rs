//! Range in the long layout: tag after tag, each in time order, decoded straight into the columns of the answer.

use std::ops::Range;

use arrow::record_batch::RecordBatch;

use super::{
    BATCH_ROWS_MAX, Boundary, QueryError, QueryLimits, RangeQuery, Resume, boundary,
    gather::{Gather, OneTag},
    long_batch::LongBatch,
    plan::{Workers, in_order},
    portion::{Portion, Slice},
    schema,
};
use historian_model::{Samples, TimeRange, Timestamp};
use historian_read::merge::TagReader;

/// Rows of an answer from which on several threads work on it.
const ALONE_ROWS: u64 = 16 * BATCH_ROWS_MAX as u64;
/// Rows of one part of an answer, about.
const PART_ROWS: u64 = 8 * BATCH_ROWS_MAX as u64;
const PARTS_MAX: usize = 65_536;

/// The answer in batches.
pub fn long(
    reader: &TagReader,
    threads: usize,
    query: &RangeQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), QueryError> {
    let columns = query.columns();
    let batch = LongBatch::new(schema::long(&query.tags, columns, Some(query.range)), &query.tags, columns);
    run(reader, threads, query, limits, batch, emit)
}

/// The answer of a query of one tag as samples in its own type.
pub fn samples(
    reader: &TagReader,
    threads: usize,
    query: &RangeQuery,
    limits: &QueryLimits,
    emit: &mut dyn FnMut(Slice<Samples>) -> bool,
) -> Result<(), QueryError> {
    let [tag] = query.tags.as_slice() else { return Err(QueryError::Bug) };
    run(reader, threads, query, limits, OneTag::new(tag.value_type()), emit)
}

fn run<G: Gather>(
    reader: &TagReader,
    threads: usize,
    query: &RangeQuery,
    limits: &QueryLimits,
    mut gathered: G,
    emit: &mut dyn FnMut(G::Portion) -> bool,
) -> Result<(), QueryError> {
    let mut rows = 0;
    let resume = query.resume.unwrap_or(Resume { tag: 0, after: None });
    for (index, tag) in query.tags.iter().enumerate().skip(resume.tag) {
        let after = resume.after.filter(|_| index == resume.tag);
        let mut source = boundary::BoundedCursor::resume(reader, tag, query, after.map(|(after, _)| after))?;
        let mut left = query.limit.map_or(u64::MAX, |limit| limit.saturating_sub(after.map_or(0, |(_, given)| given)));
        while left > 0 {
            let appended = gathered.append_from(index, &mut source, left)?;
            if appended == 0 {
                break;
            }
            left -= appended;
            rows += appended;
            limits.check(rows)?;
            if gathered.rows() >= BATCH_ROWS_MAX && !hand_on_full(&mut gathered, emit)? {
                return Ok(());
            }
            if rows >= ALONE_ROWS
                && threads > 1
                && let Some(parts) = rest(query, index, rows, gathered.last_timestamp())
            {
                drop(source);
                if !gathered.hand_on(emit)? {
                    return Ok(());
                }
                return in_parts(reader, threads, query, &parts, rows, limits, &gathered, emit);
            }
        }
    }
    gathered.hand_on(emit).map(drop)
}

/// Hands on what is complete, and makes room for as much; false when the receiver wants no more.
fn hand_on_full<G: Gather>(gathered: &mut G, emit: &mut dyn FnMut(G::Portion) -> bool) -> Result<bool, QueryError> {
    let reading = gathered.hand_on(emit)?;
    if reading {
        gathered.reserve(BATCH_ROWS_MAX + historian_read::CHUNK_SAMPLES_MAX);
    }
    Ok(reading)
}

/// What of a query is still to be answered: neighbouring tags, or a piece of the time of one.
struct RemainingRange {
    tags: Range<usize>,
    range: TimeRange,
}

/// The rest of a query behind so many rows, up to `reached` in the tag at `index`, in parts of about [`PART_ROWS`]. `None` where it is better
/// read in one go.
fn rest(query: &RangeQuery, index: usize, rows: u64, reached: Option<i64>) -> Option<Vec<RemainingRange>> {
    let reached = reached?;
    let in_time = query.boundary == Boundary::Inside && !query.range.reverse;
    let (start, end) = (i128::from(query.range.start.0), i128::from(query.range.end.0));
    let open = query.range.start == Timestamp::MIN || query.range.end == Timestamp::MAX;
    if query.limit.is_some() || query.resume.is_some() || !in_time || open {
        return None;
    }
    let mut parts = Vec::new();
    let mut cut = |tag: usize, from: i128, length: i128| {
        let mut from = from;
        while from < end {
            let to = (from + length.max(1)).min(end);
            // The rest in one part, should there be too many.
            let to = if parts.len() + 1 >= PARTS_MAX { end } else { to };
            let range = TimeRange { start: Timestamp(from as i64), end: Timestamp(to as i64), reverse: false };
            parts.push(RemainingRange { tags: tag..tag + 1, range });
            from = to;
        }
    };
    // What has been read tells how dense the samples of a tag are.
    let done = index as i128 * (end - start) + i128::from(reached) + 1 - start;
    let length = (done * i128::from(PART_ROWS) / i128::from(rows)).max(1);
    cut(index, i128::from(reached) + 1, length);
    let per_part = usize::try_from((length / (end - start)).clamp(1, i128::from(u16::MAX))).ok()?;
    if length < end - start {
        (index + 1..query.tags.len()).for_each(|tag| cut(tag, start, length));
    } else {
        let mut tag = index + 1;
        while tag < query.tags.len() {
            let next = (tag + per_part).min(query.tags.len());
            parts.push(RemainingRange { tags: tag..next, range: query.range });
            tag = next;
        }
    }
    (parts.len() > 1).then_some(parts)
}

/// Answers parts of a query on several threads, each of which gathers portions of its own.
#[expect(clippy::too_many_arguments, reason = "it is the second half of `run`")]
fn in_parts<G: Gather>(
    reader: &TagReader,
    threads: usize,
    query: &RangeQuery,
    parts: &[RemainingRange],
    rows_before: u64,
    limits: &QueryLimits,
    like: &G,
    emit: &mut dyn FnMut(G::Portion) -> bool,
) -> Result<(), QueryError> {
    let mut rows = rows_before;
    in_order(
        Workers { threads, limits },
        parts,
        G::weight,
        |part, put| {
            let of_part = RangeQuery { range: part.range, ..RangeQuery::new(Vec::new(), part.range) };
            let of_part = RangeQuery { quality: query.quality, ..of_part };
            let mut gathered = like.another();
            for index in part.tags.clone() {
                let mut source = boundary::BoundedCursor::open(reader, &query.tags[index], &of_part)?;
                while gathered.append_from(index, &mut source, u64::MAX)? > 0 {
                    limits.check(0)?;
                    if gathered.rows() >= BATCH_ROWS_MAX && !hand_on_full(&mut gathered, &mut *put)? {
                        return Ok(());
                    }
                }
            }
            gathered.hand_on(put).map(drop)
        },
        |portion: G::Portion| {
            rows += portion.rows() as u64;
            limits.check(rows)?;
            Ok(emit(portion))
        },
    )
}
