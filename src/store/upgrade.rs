//! Bringing a store of an older layout to the present one when it is opened.
//!
//! Layout 1 had no week in its chunk keys and let chunks reach across a week's edge. Such a chunk becomes several.

use historian_format::{
    Chunk, Samples, encode_chunk,
    keys::{ChunkKey, week_of},
};

use super::{StoreError, StoredChunk, corrupt};

/// The chunk under a key of layout 1 as chunks of layout 2.
pub(super) fn pieces(key: ChunkKey, bytes: &[u8], family: &'static str) -> Result<Vec<StoredChunk>, StoreError> {
    let chunk = Chunk::parse(bytes).map_err(|error| corrupt(family, key, &error))?;
    let header = *chunk.header();
    if week_of(header.statistics.first_timestamp) == week_of(header.statistics.last_timestamp) {
        return Ok(vec![StoredChunk { key, bytes: bytes.to_vec() }]);
    }
    let samples = chunk.decode().map_err(|error| corrupt(family, key, &error))?;
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < samples.len() {
        let end = start + week_run(&samples.timestamps[start..]);
        let mut piece = Samples::with_capacity(samples.value_type(), end - start);
        let mut bytes = Vec::new();
        let encoded = piece
            .extend_range(&samples, start..end)
            .map_err(|error| error.to_string())
            .and_then(|()| encode_chunk(key.tag_id, header.sequence, &piece, &mut bytes).map_err(|error| error.to_string()));
        encoded.map_err(|message| StoreError::Corrupt { family, key: format!("{key:?}"), message })?;
        pieces.push(StoredChunk {
            key: ChunkKey { tag_id: key.tag_id, start: samples.timestamps[start], generation: key.generation },
            bytes,
        });
        start = end;
    }
    Ok(pieces)
}

/// How many of the first timestamps, sorted, lie in the week of the first one.
pub fn week_run(timestamps: &[i64]) -> usize {
    timestamps.first().map_or(0, |first| timestamps.partition_point(|timestamp| week_of(*timestamp) <= week_of(*first)))
}
