//! The journal's record: one acknowledged micro-batch of runs of many tags (normative text: `journal.md`).
//!
//! Written on the way to the acknowledgement and read only at recovery, so it is made for speed:
//! columns are constant or nearly raw, and nothing is sorted. Runs may hold duplicate and decreasing
//! timestamps and come back exactly as they were given.

mod record;
mod run;
mod watermark;

pub use record::{
    Deletion, JOURNAL_MAGIC, JOURNAL_RECORD_BYTES_MAX, JOURNAL_RECORD_DELETIONS_MAX, JOURNAL_RECORD_SAMPLES_MAX, JOURNAL_VERSION,
    JournalRecord, decode_record, encode_record, encode_record_with,
};
pub use watermark::{
    LOG_MARK_BYTES, LOG_MARK_FILE, WATERMARK_BYTES, WATERMARK_FILE, decode_log_mark, decode_watermark, encode_log_mark, encode_watermark,
};
