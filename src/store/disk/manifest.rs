//! The manifest of RocksDB, guarded: how long it is known to be, and a look at it before RocksDB opens it.
//!
//! The manifest says which tables make up the database. RocksDB takes one whose tail is missing for one that was being written when the power
//! went, and drops the tail: the tables named there are then gone, and what was in the log before them, too, without an error. And it turns
//! for ever inside `DB::Open` (11.8) when a record of a manifest or a log claims a type that only recycled logs have. The torture test R3 found
//! both; one flipped bit is enough for either.
//!
//! So the file [`MANIFEST_MARK_FILE`] beside the database holds the manifest's name and the length that is known to be synced: a lower
//! bound of what must be found, as the watermark is for the journal. A manifest is a log of records, each with checksum (4 bytes), length (2)
//! and type (1), in blocks of 32 KiB whose last six bytes or fewer stay empty. Checksums are left to RocksDB. All of that is so in the version
//! that `build.rs` names, and the build of any other one fails.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use historian_format::keys::MANIFEST_MARK_FILE;
use parking_lot::Mutex;

use crate::error::{REMEDY, StoreError};

const BLOCK_BYTES: u64 = 32 << 10;
const HEADER_BYTES: u64 = 7;
/// Types of records that only recycled logs have, which this database does not use.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// A manifest and the end of its last whole record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mark {
    name: String,
    bytes: u64,
}

impl Mark {
    fn parse(text: &str) -> Option<Mark> {
        let (name, bytes) = text.strip_suffix('\n')?.split_once(' ')?;
        number(name)?;
        Some(Mark { name: name.to_owned(), bytes: bytes.parse().ok()? })
    }
}

/// Keeps the mark of an open database.
pub(crate) struct ManifestMark {
    directory: PathBuf,
    database: PathBuf,
    state: Mutex<ManifestState>,
}

#[derive(Default)]
struct ManifestState {
    mark: Mark,
    /// When the mark could not be written.
    failed: Option<Instant>,
}

const RETRY_AFTER: Duration = Duration::from_secs(1);

impl ManifestMark {
    /// Of a database that is only read, and read as far as it can be.
    pub(crate) fn unchecked(directory: &Path, database: &Path) -> ManifestMark {
        ManifestMark { directory: directory.to_owned(), database: database.to_owned(), state: Mutex::default() }
    }

    /// Looks at the manifest of a database that is not open. What cannot be read at all is left to RocksDB to report.
    ///
    /// # Errors
    /// [`StoreError::Open`] with the name of the file: the manifest is shorter than it was, an older one, or has records that none can have.
    pub(crate) fn check(directory: &Path, database: &Path) -> Result<ManifestMark, StoreError> {
        let manifest = ManifestMark::unchecked(directory, database);
        let Some(name) = manifest.current() else { return Ok(manifest) };
        let path = database.join(&name);
        let fail = |path: &Path, what: String| StoreError::Open {
            path: path.display().to_string(),
            message: format!("{what}; the database was not opened and nothing was changed; {REMEDY}"),
        };
        let Ok(file) = File::open(&path) else { return Ok(manifest) };
        let ends = ends_of_records(&file, 0).map_err(|(at, _)| fail(&path, format!("the manifest is damaged at byte {at}")))?;
        let mark_path = directory.join(MANIFEST_MARK_FILE);
        let mark = match std::fs::read_to_string(&mark_path) {
            Ok(text) => Mark::parse(&text).ok_or_else(|| fail(&mark_path, format!("the file is damaged: it holds {text:?}")))?,
            // A new database, or one from before there was a mark.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(manifest),
            Err(error) => return Err(fail(&mark_path, error.to_string())),
        };
        if number(&name) < number(&mark.name) {
            return Err(fail(&database.join("CURRENT"), format!("it names {name}, but {} was in use", mark.name)));
        }
        if name == mark.name && !ends.contains(&mark.bytes) {
            let what = format!("the manifest is damaged: {} of its bytes were synced, no record ends there any more", mark.bytes);
            return Err(fail(&path, what));
        }
        manifest.state.lock().mark = mark;
        Ok(manifest)
    }

    fn current(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.database.join("CURRENT")).ok()?;
        let name = text.trim_end();
        number(name).map(|_| name.to_owned())
    }

    /// Makes the mark follow the manifest. Cheap where that has not changed; where it cannot be written, it stays behind and the log says so.
    ///
    /// # Errors
    /// [`StoreError::Io`] when an fsync failed: what became of the bytes is unknown then, and nothing may be acknowledged any more.
    pub(crate) fn follow(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let length = std::fs::metadata(self.database.join(&state.mark.name)).map(|metadata| metadata.len());
        let unchanged = length.is_ok_and(|length| length == state.mark.bytes && !state.mark.name.is_empty());
        if unchanged || state.failed.is_some_and(|failed| failed.elapsed() < RETRY_AFTER) {
            return Ok(());
        }
        state.failed = None;
        match self.next(&state.mark) {
            Ok(Some(mark)) => state.mark = mark,
            Ok(None) => {}
            Err(MarkFailure::Sync(error)) => return Err(StoreError::Io(format!("sync of the manifest: {error}"))),
            Err(MarkFailure::Write(error)) => {
                tracing::warn!(%error, "the mark of the manifest cannot be written; a lost tail of the manifest would go unnoticed");
                state.failed = Some(Instant::now());
            }
        }
        Ok(())
    }

    /// Writes the mark that follows another, where there is one.
    fn next(&self, mark: &Mark) -> Result<Option<Mark>, MarkFailure> {
        let Some(name) = self.current() else { return Ok(None) };
        let path = self.database.join(&name);
        // Rolled over since: the next call sees the new one.
        let Ok(file) = File::open(&path) else { return Ok(None) };
        let from = if name == mark.name { mark.bytes } else { 0 };
        // A record that is being written now is not whole yet.
        let Some(&end) = ends_of_records(&file, from).ok().as_ref().and_then(|ends| ends.last()) else { return Ok(None) };
        if name == mark.name && end == mark.bytes {
            return Ok(None);
        }
        // RocksDB syncs it, too, at a time that we do not know.
        file.sync_data().map_err(MarkFailure::syncing)?;
        let (new, target) = (self.directory.join(format!("{MANIFEST_MARK_FILE}.new")), self.directory.join(MANIFEST_MARK_FILE));
        let mut written = File::create(&new)?;
        written.write_all(format!("{name} {end}\n").as_bytes())?;
        written.sync_data().map_err(MarkFailure::syncing)?;
        std::fs::rename(&new, &target)?;
        Ok(Some(Mark { name, bytes: end }))
    }
}

/// Why the mark was not written.
enum MarkFailure {
    Write(std::io::Error),
    /// An fsync failed, and not for want of room.
    Sync(std::io::Error),
}

impl MarkFailure {
    fn syncing(error: std::io::Error) -> MarkFailure {
        if error.kind() == std::io::ErrorKind::StorageFull { MarkFailure::Write(error) } else { MarkFailure::Sync(error) }
    }
}

impl From<std::io::Error> for MarkFailure {
    fn from(error: std::io::Error) -> MarkFailure {
        MarkFailure::Write(error)
    }
}

/// The number in the name of a manifest.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix("MANIFEST-")?.parse().ok()
}

/// Refuses a database whose `CURRENT` names none of its manifests. RocksDB would make a new database where that file is missing.
///
/// # Errors
/// [`StoreError::Open`] with the name of the file.
pub(crate) fn refuse_pointer(database: &Path) -> Result<(), StoreError> {
    let entries = std::fs::read_dir(database).into_iter().flatten().flatten();
    if !entries.map(|entry| entry.file_name()).any(|name| number(&name.to_string_lossy()).is_some()) {
        return Ok(());
    }
    let path = database.join("CURRENT");
    let text = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let name = text.strip_suffix('\n').filter(|name| number(name).is_some());
    if name.is_some_and(|name| database.join(name).exists()) {
        return Ok(());
    }
    let message = format!("the file names no manifest of this database; the database was not opened and nothing was changed; {REMEDY}");
    Err(StoreError::Open { path: path.display().to_string(), message })
}

/// Refuses a database with records that RocksDB turns on for ever: those of recycled logs, in a manifest or a log.
///
/// # Errors
/// [`StoreError::Open`] with the name of the file.
pub(crate) fn refuse_recycled(database: &Path) -> Result<(), StoreError> {
    let Ok(entries) = std::fs::read_dir(database) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if number(&name).is_none() && path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        if let Ok(file) = File::open(&path)
            && let Err((at, kind)) = ends_of_records(&file, 0)
        {
            return Err(StoreError::Open {
                path: path.display().to_string(),
                message: format!(
                    "the file is damaged at byte {at} (a record of type {kind}); the database was not opened and nothing was changed; {REMEDY}"
                ),
            });
        }
    }
    Ok(())
}

/// Where the whole records from offset `from` on end, `from` itself included; or offset and type of one of a recycled log.
fn ends_of_records(file: &File, from: u64) -> Result<Vec<u64>, (u64, u8)> {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let (mut at, mut ends) = (from, vec![from]);
    while at + HEADER_BYTES <= length {
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        if left < HEADER_BYTES {
            at += left;
            continue;
        }
        let mut header = [0; HEADER_BYTES as usize];
        if file.read_exact_at(&mut header, at).is_err() {
            break;
        }
        let (bytes, kind) = (u64::from(u16::from_le_bytes([header[4], header[5]])), header[6]);
        if bytes == 0 && kind == 0 {
            // Space that was set aside and not written.
            break;
        }
        if RECYCLED.contains(&kind) {
            return Err((at, kind));
        }
        at += HEADER_BYTES + bytes;
        if at <= length {
            ends.push(at);
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![1, 2, 3, 4];
        bytes.extend_from_slice(&u16::try_from(length).unwrap().to_le_bytes());
        bytes.push(kind);
        bytes.resize(HEADER_BYTES as usize + length, 9);
        bytes
    }

    fn ends(bytes: &[u8], from: u64) -> Result<Vec<u64>, (u64, u8)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        ends_of_records(&file, from)
    }

    #[test]
    fn records_are_followed_across_blocks() {
        let block = BLOCK_BYTES as usize;
        let mut bytes = [record(1, 100), record(2, block - 107 - 7 - 5)].concat();
        bytes.resize(block, 0);
        bytes.extend(record(4, 50));
        let end = bytes.len() as u64;
        let all = vec![0, 107, BLOCK_BYTES - 5, end];
        assert_eq!(ends(&bytes, 0), Ok(all.clone()));
        assert_eq!(ends(&bytes, 107), Ok(all[1..].to_vec()));
        assert_eq!(ends(&[bytes.clone(), vec![0; 40]].concat(), 0), Ok(all.clone()), "space set aside");
        assert_eq!(ends(&bytes[..bytes.len() - 3], 0), Ok(all[..3].to_vec()), "a torn tail");
        assert_eq!(ends(&[&bytes[..], &record(5, 3)].concat(), 0), Err((end, 5)));
    }

    /// A directory with a manifest of three records of 20 bytes, marked.
    fn marked() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("rocksdb");
        std::fs::create_dir(&database).unwrap();
        std::fs::write(database.join("CURRENT"), "MANIFEST-000005\n").unwrap();
        let path = database.join("MANIFEST-000005");
        std::fs::write(&path, [record(1, 13), record(1, 13)].concat()).unwrap();
        let manifest = ManifestMark::check(directory.path(), &database).unwrap();
        manifest.follow().unwrap();
        std::fs::write(&path, [record(1, 13), record(1, 13), record(1, 13), vec![1, 2, 3]].concat()).unwrap();
        manifest.follow().unwrap();
        assert_eq!(std::fs::read_to_string(directory.path().join(MANIFEST_MARK_FILE)).unwrap(), "MANIFEST-000005 60\n");
        (directory, database)
    }

    fn refused(directory: &Path, database: &Path) -> String {
        ManifestMark::check(directory, database).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_manifest_may_grow_and_not_shrink() {
        let (directory, database) = marked();
        let path = database.join("MANIFEST-000005");
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(refused(directory.path(), &database), "");
        std::fs::write(&path, [&bytes[..60], &record(1, 90)].concat()).unwrap();
        assert_eq!(refused(directory.path(), &database), "");
        for keep in 0..60 {
            std::fs::write(&path, &bytes[..keep]).unwrap();
            assert!(refused(directory.path(), &database).contains("MANIFEST-000005: "), "{keep} bytes");
        }
    }

    #[test]
    fn flipped_lengths_and_types_are_refused_by_name() {
        let (directory, database) = marked();
        let path = database.join("MANIFEST-000005");
        let bytes = std::fs::read(&path).unwrap();
        for record in 0..3 {
            for bit in 32..56 {
                let mut flipped = bytes.clone();
                flipped[record * 20 + bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, &flipped).unwrap();
                // Whether another type is in its place is said by the checksum.
                let left_to_checksum = bit >= 48 && !RECYCLED.contains(&flipped[record * 20 + 6]);
                assert!(
                    left_to_checksum || refused(directory.path(), &database).contains("MANIFEST-000005: "),
                    "record {record} bit {bit}"
                );
            }
        }
    }

    #[test]
    fn recycled_records_are_refused_in_logs_too() {
        let (directory, database) = marked();
        assert!(refuse_recycled(&database).is_ok() && refuse_recycled(&directory.path().join("nowhere")).is_ok());
        std::fs::write(database.join("000007.log"), [record(2, 300), record(6, 20)].concat()).unwrap();
        let error = refuse_recycled(&database).unwrap_err().to_string();
        assert!(error.contains("000007.log: ") && error.contains("byte 307"), "{error}");
    }

    #[test]
    fn an_older_manifest_is_refused_and_a_newer_one_taken() {
        let (directory, database) = marked();
        for (name, expected) in [("MANIFEST-000004", "CURRENT: "), ("MANIFEST-000006", "")] {
            std::fs::write(database.join("CURRENT"), format!("{name}\n")).unwrap();
            std::fs::write(database.join(name), record(1, 13)).unwrap();
            let said = refused(directory.path(), &database);
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{name}: {said}");
        }
        std::fs::write(directory.path().join(MANIFEST_MARK_FILE), "MANIFEST-000005").unwrap();
        assert!(refused(directory.path(), &database).contains(MANIFEST_MARK_FILE));
    }
}
