//! How far RocksDB's log is known to be synced, and what a power loss left behind that, cut off.
//!
//! RocksDB takes a record that breaks off at the end of its log for one that was being written. Of a torn tail, in which pages are missing
//! before later ones, it finds a checksum that does not match and refuses; it cannot tell that from damage to what was acknowledged. The file
//! `LOG_MARK` beside the database tells (layout and meaning: `storage-format/journal.md`). The torture test R2 found it.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use historian_format::journal::{LOG_MARK_BYTES, LOG_MARK_FILE, decode_log_mark, encode_log_mark};
use parking_lot::Mutex;

use super::{lock, log};
use crate::StoreError;

/// A log file by its number, and a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogPosition {
    pub number: u64,
    pub bytes: u64,
}

/// Keeps the mark of an open database.
pub(crate) struct LogMark {
    /// `None`: of a database that is only read, no mark is kept.
    kept: Option<LogMarkState>,
}

struct LogMarkState {
    path: PathBuf,
    file: File,
    database: PathBuf,
    state: Mutex<MarkedPosition>,
}

#[derive(Default)]
struct MarkedPosition {
    marked: LogPosition,
    /// The log that was the newest when last looked, and what it held at the last call.
    newest: Option<(u64, File)>,
    last: LogPosition,
}

impl LogMark {
    /// Keeps no mark.
    pub(crate) fn none() -> LogMark {
        LogMark { kept: None }
    }

    /// Opens or makes the file; returns with it what it says, if it is not new.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(directory: &Path, database: &Path) -> Result<(LogMark, Option<LogPosition>), StoreError> {
        let path = directory.join(LOG_MARK_FILE);
        let fail = |message: String| StoreError::Open { path: path.display().to_string(), message };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| fail(error.to_string()))?;
        let length = file.metadata().map_err(|error| fail(error.to_string()))?.len();
        let mut bytes = [0; LOG_MARK_BYTES];
        // Without a mark nothing is cut, which is always safe; so a damaged one is none.
        let known = match file
            .read_exact_at(&mut bytes, 0)
            .map_err(|error| error.to_string())
            .and_then(|()| decode_log_mark(&bytes).map_err(|error| error.to_string()))
        {
            Ok((number, bytes)) => Some(LogPosition { number, bytes }),
            Err(error) => {
                if length > 0 {
                    tracing::warn!("{}: the file is damaged ({error}) and is made anew", path.display());
                }
                None
            }
        };
        let state = Mutex::new(MarkedPosition { marked: known.unwrap_or_default(), ..MarkedPosition::default() });
        Ok((LogMark { kept: Some(LogMarkState { path, file, database: database.to_owned(), state }) }, known))
    }

    /// Where the log ends now: what a durable write that begins after this call will have synced, at the least.
    pub(crate) fn position(&self) -> LogPosition {
        let Some(kept) = &self.kept else { return LogPosition::default() };
        let mut state = kept.state.lock();
        let held =
            state.newest.as_ref().and_then(|(number, file)| Some(LogPosition { number: *number, bytes: file.metadata().ok()?.len() }));
        let position = match held {
            Some(held) if held != state.last => held,
            // It does not grow any more: perhaps there is a newer one.
            _ => kept.look(&mut state),
        };
        state.last = position;
        position
    }

    /// Writes the mark, after a durable write that began at `position`; not yet fsynced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn synced(&self, position: LogPosition) -> Result<(), StoreError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let mut state = kept.state.lock();
        if position > state.marked {
            let bytes = encode_log_mark(position.number, position.bytes);
            kept.file.write_all_at(&bytes, 0).map_err(|error| kept.failed(&error))?;
            state.marked = position;
        }
        Ok(())
    }

    /// Makes everything durable that the log holds now, and marks it.
    ///
    /// # Errors
    /// When log or mark cannot be written.
    pub(crate) fn sync_log(&self) -> Result<(), StoreError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let position = {
            let mut state = kept.state.lock();
            let position = kept.look(&mut state);
            state.last = position;
            if let Some((number, file)) = &state.newest {
                file.sync_data().map_err(|error| StoreError::Io(format!("sync of log {number:06}: {error}")))?;
            }
            position
        };
        self.synced(position)
    }

    /// Makes the mark durable.
    ///
    /// # Errors
    /// When the file cannot be synced.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.kept.as_ref().map_or(Ok(()), |kept| kept.file.sync_data().map_err(|error| kept.failed(&error)))
    }
}

impl LogMarkState {
    /// Finds the newest log.
    fn look(&self, state: &mut MarkedPosition) -> LogPosition {
        let newest = log::logs(&self.database).ok().and_then(|mut logs| logs.pop());
        let Some((path, number)) = newest.and_then(|path| number(&path).map(|number| (path, number))) else { return state.last };
        if state.newest.as_ref().is_none_or(|(known, _)| *known != number) {
            // Gone again since: the next call finds its successor.
            let Ok(file) = File::open(&path) else { return state.last };
            state.newest = Some((number, file));
        }
        let bytes = state.newest.as_ref().and_then(|(_, file)| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        LogPosition { number, bytes }
    }

    fn failed(&self, error: &std::io::Error) -> StoreError {
        StoreError::Io(format!("{}: {error}", self.path.display()))
    }
}

fn number(log: &Path) -> Option<u64> {
    log.file_stem()?.to_str()?.parse().ok()
}

/// Cuts off what a power loss left of writes that were not synced: everything from the first unsound record on, where that lies at or behind
/// the mark. Unsound records before it stay for RocksDB to refuse.
///
/// # Errors
/// [`StoreError::Open`] when another historian runs on the database, or the log cannot be cut.
pub(crate) fn cut_unsynced(database: &Path, known: LogPosition) -> Result<(), StoreError> {
    let fail = |error: &dyn std::fmt::Display| StoreError::Open { path: database.display().to_string(), message: error.to_string() };
    let Some(unsound) = log::first_unsound(database).map_err(|error| fail(&error))? else { return Ok(()) };
    let Some(number) = number(&unsound.log) else { return Ok(()) };
    if (LogPosition { number, bytes: unsound.sound_bytes }) < known {
        return Ok(());
    }
    // A log that is being written may look unsound.
    let _alone = lock::lock(database)?;
    let left = fs::metadata(&unsound.log).map_err(|error| fail(&error))?.len().saturating_sub(unsound.sound_bytes);
    let log = File::options().write(true).open(&unsound.log).map_err(|error| fail(&error))?;
    log.set_len(unsound.sound_bytes).and_then(|()| log.sync_all()).map_err(|error| fail(&error))?;
    for later in &unsound.later {
        fs::remove_file(later).map_err(|error| fail(&error))?;
    }
    tracing::warn!(
        log = %unsound.log.display(),
        bytes = left,
        later_logs = unsound.later.len(),
        "the end of the log was being written when the power went ({}): cut off, none of it was acknowledged",
        unsound.what
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of records of 100 bytes each.
    fn log(records: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in 0..records {
            let mut body = [record * 2 + 1, 1].map(u64::to_le_bytes).concat();
            body.resize(93, record as u8);
            let mut summed = vec![1];
            summed.extend_from_slice(&body);
            let sum = crc32c::crc32c(&summed).rotate_right(15).wrapping_add(0xA282_EAD8);
            bytes.extend_from_slice(&sum.to_le_bytes());
            bytes.extend_from_slice(&93_u16.to_le_bytes());
            bytes.extend_from_slice(&summed);
        }
        bytes
    }

    #[test]
    fn what_is_torn_behind_the_mark_is_cut_and_before_it_kept() {
        for (torn, marked, kept) in [(350, 300, 300), (350, 200, 300), (350, 301, 500), (150, 300, 500), (450, 0, 400)] {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("LOCK"), "").unwrap();
            let path = directory.path().join("000007.log");
            let mut bytes = log(5);
            bytes[torn] ^= 0x40;
            fs::write(&path, &bytes).unwrap();
            cut_unsynced(directory.path(), LogPosition { number: 7, bytes: marked }).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), kept, "torn at {torn}, marked {marked}");
        }
    }

    #[test]
    fn logs_behind_a_torn_one_go_with_it_and_synced_ones_stay() {
        for (mark, kept) in [(LogPosition { number: 7, bytes: 300 }, (300, false)), (LogPosition { number: 8, bytes: 0 }, (500, true))] {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("LOCK"), "").unwrap();
            let mut bytes = log(5);
            bytes[350] ^= 1;
            fs::write(directory.path().join("000007.log"), &bytes).unwrap();
            fs::write(directory.path().join("000008.log"), log(9)).unwrap();
            cut_unsynced(directory.path(), mark).unwrap();
            let left = (fs::metadata(directory.path().join("000007.log")).unwrap().len(), directory.path().join("000008.log").exists());
            assert_eq!(left, kept, "{mark:?}");
        }
    }

    #[test]
    fn the_mark_follows_the_newest_log_and_is_never_ahead() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("rocksdb");
        fs::create_dir(&database).unwrap();
        fs::write(database.join("000004.log"), log(3)).unwrap();
        let (mark, known) = LogMark::open(directory.path(), &database).unwrap();
        assert_eq!(known, None);
        let position = mark.position();
        assert_eq!(position, LogPosition { number: 4, bytes: 300 });
        fs::write(database.join("000009.log"), log(1)).unwrap();
        assert_eq!(mark.position(), LogPosition { number: 9, bytes: 100 }, "the old log does not grow any more");
        mark.synced(position).unwrap();
        assert_eq!(LogMark::open(directory.path(), &database).unwrap().1, Some(position));
        mark.sync_log().unwrap();
        mark.synced(position).unwrap();
        assert_eq!(
            LogMark::open(directory.path(), &database).unwrap().1,
            Some(LogPosition { number: 9, bytes: 100 }),
            "it never goes back"
        );
        fs::write(directory.path().join(LOG_MARK_FILE), [7; LOG_MARK_BYTES]).unwrap();
        assert_eq!(LogMark::open(directory.path(), &database).unwrap().1, None, "a damaged mark is none");
    }
}
