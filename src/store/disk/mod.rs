//! The files of a data directory as we read, mark and cut them ourselves, without RocksDB: its lock, its log and its manifest, and the marks
//! that we keep beside it. Opening, salvaging, scrub and backup stand on this; nothing here knows of an open database.

pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod log_mark;
pub(crate) mod manifest;
pub(crate) mod watermark;
