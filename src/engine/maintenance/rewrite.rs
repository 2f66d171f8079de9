//! Making chunks of samples, for whoever puts new chunks in the place of stored ones: maintenance, and deletions.

use std::ops::Range;

use historian_format::{
    Effort, EncodeError, encode_chunk_with,
    keys::{days_of_week, week_of, week_run},
};
use historian_model::{Samples, TagId, TimeBounds};
use historian_store::{Change, Store, StoreError};

/// A chunk of so many samples is worth a long search for the smallest encoding.
pub(crate) const COLD_SAMPLES_MIN: usize = 256;

/// Why samples could not be sealed, or chunks not be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("samples of tag id {tag} cannot be encoded: {error}")]
    Encode { tag: u32, error: EncodeError },
    #[error("samples could not be copied: {0}")]
    Copy(String),
    #[error("tag id {tag} has {} late chunks that start at {start}", u16::MAX)]
    Generations { tag: u32, start: i64 },
}

/// Notes the days of what changed, which lies in one week, as dirty in a change, beside what is noted already.
pub fn mark_dirty(store: &dyn Store, change: &mut Change, tag: TagId, changed: TimeBounds) -> Result<(), SealError> {
    let week = week_of(changed.first);
    let bits = days_of_week(changed.first, changed.last);
    if let Some((_, _, days)) = change.dirty.iter_mut().find(|(id, at, _)| *id == tag && *at == week) {
        *days |= bits;
    } else {
        change.dirty.push((tag, week, store.dirty_days(tag, week)? | bits));
    }
    Ok(())
}

/// A copy of some rows.
pub fn piece(samples: &Samples, range: Range<usize>) -> Result<Samples, SealError> {
    let mut piece = Samples::with_capacity(samples.value_type(), range.len());
    piece.extend_range(samples, range).map_err(|error| SealError::Copy(error.to_string()))?;
    Ok(piece)
}

/// A chunk of these samples, encoded as hard as is worth it.
pub fn encode(tag: TagId, sequence: u64, samples: &Samples) -> Result<Vec<u8>, SealError> {
    let effort = if samples.len() >= COLD_SAMPLES_MIN { Effort::Cold } else { Effort::Hot };
    let mut bytes = Vec::new();
    encode_chunk_with(tag.0, sequence, samples, effort, &mut bytes).map_err(|error| SealError::Encode { tag: tag.0, error })?;
    Ok(bytes)
}

/// Cuts sorted samples into chunks of about `samples_max`, none across a week's edge.
pub(crate) fn cut(samples: &Samples, samples_max: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < samples.len() {
        let week = week_run(&samples.timestamps[start..]);
        // Equal parts: a last one of three samples would cost a header for nothing.
        let parts = week.div_ceil(samples_max);
        for part in 0..parts {
            pieces.push(start + week * part / parts..start + week * (part + 1) / parts);
        }
        start += week;
    }
    pieces
}
