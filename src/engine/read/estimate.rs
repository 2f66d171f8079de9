//! How much a range holds, from the headers of chunks: for the sizes of endpoints, and where to cut them. And how much a tag holds.

use super::{
    ReadError,
    merge::{CursorPortion, TagReader},
};
use historian_model::{Tag, TimeBounds, TimeRange};
use historian_store::{ChunkFamily, Direction};

/// Chunk bytes fetched at once.
const PAGE_BYTES: usize = 4 << 20;

/// All that a tag holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub samples: u64,
    /// `None` without samples.
    pub bounds: Option<TimeBounds>,
}

/// How much a tag holds. Counts exactly; only what overlaps is decoded for it.
///
/// # Errors
/// When something of the tag cannot be read.
pub fn extent(reader: &TagReader, tag: &Tag) -> Result<Extent, ReadError> {
    let mut extent = Extent::default();
    let mut cursor = reader.cursor(tag, TimeRange::ALL)?;
    while let Some(portion) = cursor.next_portion()? {
        let (samples, held) = match &portion {
            CursorPortion::Chunk(_, statistics) => (u64::from(statistics.count), TimeBounds::of(statistics)),
            CursorPortion::Samples(samples) => {
                let (Some(&first), Some(&last)) = (samples.timestamps.first(), samples.timestamps.last()) else { continue };
                (samples.len() as u64, TimeBounds { first, last })
            }
        };
        extent.samples += samples;
        extent.bounds = Some(TimeBounds { first: extent.bounds.unwrap_or(held).first, ..held });
    }
    Ok(extent)
}

/// Shows the pieces in which a tag lies: samples, bytes, last timestamp.
fn pieces(reader: &TagReader, tag: &Tag, range: TimeRange, show: &mut dyn FnMut(u64, u64, i64)) -> Result<(), ReadError> {
    let Some(bounds) = range.bounds() else { return Ok(()) };
    for family in [ChunkFamily::Chunks, ChunkFamily::Late] {
        let mut rest = Some(bounds);
        while let Some(within) = rest {
            let chunks = reader.store.chunks(family, tag.id, within, Direction::Forward, PAGE_BYTES)?;
            rest = None;
            for chunk in &chunks {
                let statistics = chunk.header_in(family)?.statistics;
                show(u64::from(statistics.count), chunk.bytes.len() as u64, statistics.last_timestamp);
                // Late chunks come all at once.
                rest = within.after(statistics.last_timestamp).filter(|_| family == ChunkFamily::Chunks);
            }
        }
    }
    if let Some(head) = reader.unstored(tag.id, bounds)? {
        show(head.len() as u64, head.heap_bytes() as u64, head.timestamps.iter().copied().max().unwrap_or(bounds.last));
    }
    Ok(())
}

/// Upper estimate of samples and encoded bytes in the range, from chunk statistics. Chunks that the range cuts count whole.
///
/// # Errors
/// When a chunk header cannot be read.
pub fn sizes(reader: &TagReader, tag: &Tag, range: TimeRange) -> Result<(u64, u64), ReadError> {
    let (mut samples, mut bytes) = (0, 0);
    pieces(reader, tag, range, &mut |count, size, _| {
        samples += count;
        bytes += size;
    })?;
    Ok((samples, bytes))
}

/// Times that cut a range of a tag into parts of about equal numbers of samples: at most `parts - 1`, ascending, within the range.
///
/// # Errors
/// When a chunk header cannot be read.
pub fn cuts(reader: &TagReader, tag: &Tag, range: TimeRange, parts: u64) -> Result<Vec<i64>, ReadError> {
    let mut found: Vec<(i64, u64)> = Vec::new();
    pieces(reader, tag, range, &mut |count, _, last| found.push((last, count)))?;
    found.sort_unstable();
    let total: u64 = found.iter().map(|(_, count)| count).sum();
    let mut cuts = Vec::new();
    let mut held = 0;
    for (last, count) in found {
        held += count;
        let cut = last.saturating_add(1);
        let due = total.saturating_mul(cuts.len() as u64 + 1) / parts.max(1);
        let inside = range.start.0 < cut && cut < range.end.0 && cuts.last().is_none_or(|before| *before < cut);
        if held >= due.max(1) && held < total && inside && (cuts.len() as u64) + 1 < parts {
            cuts.push(cut);
        }
    }
    Ok(cuts)
}
