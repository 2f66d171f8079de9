//! Every error of the crate. Bad bytes are values of these types, never panics.

use crate::ValueType;

/// A value or a run of values could not be appended to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The column holds another value type.
    #[error("value type does not fit the column: expected {expected}, found {found}")]
    TypeMismatch {
        /// Type of the column.
        expected: ValueType,
        /// Type of the value that was offered.
        found: ValueType,
    },
    /// A string column would pass 2 GiB of text, the most its 32-bit offsets can address.
    #[error("string column is full: its text would pass 2 GiB")]
    StringColumnFull,
}

/// Samples that cannot become a chunk or a journal record. The output buffer is left as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A chunk holds at least one sample.
    #[error("tag {tag_id}: a chunk needs at least one sample")]
    Empty {
        /// Tag whose run was offered.
        tag_id: u32,
    },
    /// More samples than one chunk, journal run or journal record may hold.
    #[error("tag {tag_id}: {count} samples are more than the limit of {limit}; split the run")]
    TooManySamples {
        /// Tag whose run was offered.
        tag_id: u32,
        /// Samples offered.
        count: usize,
        /// Most samples allowed.
        limit: usize,
    },
    /// Timestamps of a chunk must increase strictly; sort and deduplicate first.
    #[error("tag {tag_id}: timestamps must increase strictly, but sample {index} does not follow its predecessor")]
    NotIncreasing {
        /// Tag whose run was offered.
        tag_id: u32,
        /// Index of the first offending sample.
        index: usize,
    },
    /// The columns of the run differ in length.
    #[error("tag {tag_id}: column `{column}` holds {found} entries, expected {expected}")]
    UnevenColumns {
        /// Tag whose run was offered.
        tag_id: u32,
        /// The offending column.
        column: &'static str,
        /// Number of timestamps.
        expected: usize,
        /// Entries in the offending column.
        found: usize,
    },
    /// The text of a string run exceeds what one chunk or record may hold.
    #[error("tag {tag_id}: {bytes} bytes of text are more than the limit of {limit}; split the run")]
    TooMuchText {
        /// Tag whose run was offered.
        tag_id: u32,
        /// Bytes of text offered.
        bytes: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// The journal record would pass its length limit.
    #[error("journal record of {bytes} bytes is longer than the limit of {limit}; split the batch")]
    RecordTooLong {
        /// Bytes encoded when the limit was passed.
        bytes: usize,
        /// Most bytes allowed.
        limit: usize,
    },
}

/// Bytes that are not a valid chunk, or a decode target that cannot take the chunk's values.
///
/// The chunk must be treated as lost (restore from a backup or a replica); reading it again
/// gives the same answer unless the medium itself is flaky.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("corrupt chunk{}: {what} at byte {offset}: expected {expected}, found {found}", of_tag(*tag_id))]
pub struct CorruptChunk {
    /// Tag the chunk claims to belong to; absent while the header is not trustworthy.
    pub tag_id: Option<u32>,
    /// The field or column at fault.
    pub what: &'static str,
    /// Byte offset from the start of the chunk.
    pub offset: usize,
    /// What the specification asks for.
    pub expected: String,
    /// What the bytes hold.
    pub found: String,
}

/// Bytes that are not a valid journal record or watermark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("corrupt journal record{}: {what} at byte {offset}: expected {expected}, found {found}", of_tag(*tag_id))]
pub struct CorruptRecord {
    /// Tag of the run at fault, when it is known.
    pub tag_id: Option<u32>,
    /// The field or column at fault.
    pub what: &'static str,
    /// Byte offset from the start of the record.
    pub offset: usize,
    /// What the specification asks for.
    pub expected: String,
    /// What the bytes hold.
    pub found: String,
}

fn of_tag(tag_id: Option<u32>) -> String {
    tag_id.map_or_else(String::new, |tag_id| format!(" of tag {tag_id}"))
}

/// A fault inside one column or header, before it is known whose it is.
#[derive(Clone, Debug)]
pub(crate) struct FieldFault {
    pub what: &'static str,
    pub offset: usize,
    pub expected: String,
    pub found: String,
}

impl FieldFault {
    #[cold]
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over numbers and fresh strings")]
    pub fn new(what: &'static str, offset: usize, expected: impl ToString, found: impl ToString) -> Self {
        Self { what, offset, expected: expected.to_string(), found: found.to_string() }
    }

    /// Moves the offset from column-relative to relative to the enclosing chunk or record.
    pub fn shifted(mut self, by: usize) -> Self {
        self.offset += by;
        self
    }

    pub fn in_chunk(self, tag_id: Option<u32>) -> CorruptChunk {
        let Self { what, offset, expected, found } = self;
        CorruptChunk { tag_id, what, offset, expected, found }
    }

    pub fn in_record(self, tag_id: Option<u32>) -> CorruptRecord {
        let Self { what, offset, expected, found } = self;
        CorruptRecord { tag_id, what, offset, expected, found }
    }
}
