//! What a write or a rewrite replaced, on its way to the family of superseded versions.

use historian_format::{
    journal::encode_record,
    keys::{SupersededKey, week_run},
};

use historian_model::{Samples, TagId};
use historian_read::versions::Origin;
use historian_store::{Change, StoreError};

/// Tells apart values under the same tag, start and sequence number: the origin, and bits of the value's checksum. One and the same number
/// counted by everybody for himself would make a deletion overwrite what a seal under the same sequence number has put there.
pub fn part(origin: Origin, value: &[u8]) -> u32 {
    // A journal record ends with its own checksum, which makes the checksum of the whole the same for all records.
    let end = value.last_chunk::<4>().map_or(0, |end| u32::from_le_bytes(*end));
    (origin as u32) << 30 | (crc32c::crc32c(value) ^ end) >> 2
}

/// Adds replaced versions, in time order, to a change. `sequence` is that of the write that replaced them.
///
/// # Errors
/// When they cannot be encoded, which only a fault of this program could bring about.
pub fn put_superseded(change: &mut Change, tag: TagId, sequence: u64, origin: Origin, superseded: &Samples) -> Result<(), StoreError> {
    let mut start = 0;
    while start < superseded.len() {
        let end = start + week_run(&superseded.timestamps[start..]);
        let mut piece = Samples::with_capacity(superseded.value_type(), end - start);
        let mut record = Vec::new();
        let encoded = piece
            .extend_range(superseded, start..end)
            .map_err(|error| error.to_string())
            .and_then(|()| encode_record([(tag.0, &piece)].into_iter(), &mut record).map_err(|error| error.to_string()));
        encoded.map_err(|message| StoreError::Io(format!("replaced samples of tag id {} cannot be encoded: {message}", tag.0)))?;
        let key = SupersededKey { tag_id: tag.0, start: superseded.timestamps[start], sequence, part: part(origin, &record) };
        change.superseded.push((key, record));
        start = end;
    }
    Ok(())
}
