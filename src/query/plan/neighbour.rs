//! Single samples around a range.

use crate::QueryError;
use historian_model::{Samples, Tag, TimeRange, Timestamp};
use historian_read::merge::TagReader;

/// What lies before `at`, from there backwards.
pub fn before(at: Timestamp) -> TimeRange {
    TimeRange { start: Timestamp::MIN, end: at, reverse: true }
}

/// What lies at `at` and after it.
pub fn from(at: Timestamp) -> TimeRange {
    TimeRange { start: at, end: Timestamp::MAX, reverse: false }
}

/// Shows the samples of a range to `visit`, in the direction of the range, until it answers false. For a look at few: chunks are read one by
/// one.
///
/// # Errors
/// When the tag cannot be read.
pub fn look(reader: &TagReader, tag: &Tag, range: TimeRange, mut visit: impl FnMut(&Samples, usize) -> bool) -> Result<(), QueryError> {
    let failed = |error| QueryError::reading(tag, &error);
    let mut cursor = reader.look(tag, range).map_err(failed)?;
    let mut portion = Samples::new(tag.value_type());
    while cursor.next_into(&mut portion).map_err(failed)? {
        if !(0..portion.len()).all(|index| visit(&portion, index)) {
            return Ok(());
        }
        portion.clear();
    }
    Ok(())
}

/// The first sample in the direction of the range that is wanted, as a run of one.
///
/// # Errors
/// When the tag cannot be read.
pub fn nearest(
    reader: &TagReader,
    tag: &Tag,
    range: TimeRange,
    wanted: impl Fn(&Samples, usize) -> bool,
) -> Result<Option<Samples>, QueryError> {
    let mut found = None;
    look(reader, tag, range, |samples, index| {
        if wanted(samples, index) {
            found = Some(samples.take(&[index as u32]));
        }
        found.is_none()
    })?;
    Ok(found)
}
