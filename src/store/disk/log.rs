//! RocksDB's write-ahead log, looked at from outside: where it is damaged, and cut there.
//!
//! RocksDB has modes that go on behind a damaged record or stop at it, but it also turns for ever on some damage, and where it stopped it
//! does not say. A log is a series of blocks of 32 KiB with fragments of records: checksum (4 bytes, CRC32C of what follows the length,
//! masked), length (2), type (1), bytes. A record is one fragment of type 1, or 2, any number of 3, and 4. Its bytes begin with the sequence
//! number of its first entry (8) and the number of entries (4). `build.rs` names the version of RocksDB for which that was written.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;

/// What one log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Where its last sound record ends.
    pub end: u64,
    /// First sequence number, and the one that must follow the last.
    pub first: Option<u64>,
    pub next: u64,
    /// Offset of damage and what it is. What breaks off at the end of the file is not damage: it may never have been acknowledged.
    pub damage: Option<(u64, &'static str)>,
}

/// Logs of a database in the order of their numbers.
pub(crate) fn logs(database: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|extension| extension == "log")) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The first damage in the logs of a database: the file, and what it is.
pub(crate) fn first_damage(database: &Path) -> Option<String> {
    logs(database).ok()?.iter().find_map(|path| {
        let (at, what) = read(path).ok()?.damage?;
        Some(format!("{} is damaged at byte {at}: {what}", path.display()))
    })
}

/// Where the logs of a database, taken together, cease to be sound.
pub(crate) struct Unsound {
    pub log: PathBuf,
    /// Where its last sound record ends.
    pub sound_bytes: u64,
    /// Logs of higher number.
    pub later: Vec<PathBuf>,
    /// What it is, with the name of the log.
    pub what: String,
}

/// The first place at which the logs of a database are not sound: damage, or records missing before the next log.
pub(crate) fn first_unsound(database: &Path) -> io::Result<Option<Unsound>> {
    let mut expected = None;
    let paths = logs(database)?;
    for (index, path) in paths.iter().enumerate() {
        let log = read(path)?;
        let hole = expected.zip(log.first).is_some_and(|(expected, first)| first > expected);
        let what = if hole {
            format!("the log before {} is missing", name(path))
        } else if let Some((at, what)) = log.damage {
            format!("{} is damaged at byte {at} ({what})", name(path))
        } else {
            expected = if log.first.is_some() { Some(log.next) } else { expected };
            continue;
        };
        let sound_bytes = if hole { 0 } else { log.end };
        return Ok(Some(Unsound { log: path.clone(), sound_bytes, later: paths[index + 1..].to_vec(), what }));
    }
    Ok(None)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Cuts the logs of a database to the longest sound beginning of all of them together. What was left out, in words; `None` when nothing was.
pub(crate) fn cut(database: &Path) -> io::Result<Option<String>> {
    let Some(unsound) = first_unsound(database)? else { return Ok(None) };
    let left = fs::metadata(&unsound.log)?.len() - unsound.sound_bytes;
    File::options().write(true).open(&unsound.log)?.set_len(unsound.sound_bytes)?;
    for later in &unsound.later {
        fs::remove_file(later)?;
    }
    let later: Vec<String> = unsound.later.iter().map(|path| name(path)).collect();
    let also = if later.is_empty() { String::new() } else { format!(" and {}", later.join(", ")) };
    Ok(Some(format!("{}: its last {left} bytes{also} are left out", unsound.what)))
}

/// Reads one log as far as it is sound.
pub(crate) fn read(path: &Path) -> io::Result<Log> {
    let mut file = File::open(path)?;
    let mut log = Log::default();
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut base = 0;
    // The beginning of a record whose last fragment is still to come.
    let mut begun: Option<Vec<u8>> = None;
    loop {
        block.clear();
        (&mut file).take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        let mut at = 0;
        while at + HEADER_BYTES <= block.len() {
            let header = &block[at..at + HEADER_BYTES];
            let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
            let kind = header[6];
            let here = base + at as u64;
            if kind == 0 && length == 0 {
                // Space that was set aside and not written.
                if block[at..].iter().any(|byte| *byte != 0) {
                    log.damage = Some((here, "an empty record"));
                    return Ok(log);
                }
                break;
            }
            let end = at + HEADER_BYTES + length;
            if end > block.len() {
                if block.len() == BLOCK_BYTES {
                    log.damage = Some((here, "a record that is longer than its block"));
                }
                return Ok(log);
            }
            let stored = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            if unmasked(stored) != crc32c::crc32c(&block[at + HEADER_BYTES - 1..end]) {
                log.damage = Some((here, "the checksum does not match"));
                return Ok(log);
            }
            let bytes = &block[at + HEADER_BYTES..end];
            // The numbers at a record's beginning are all that is needed of it.
            let bytes = &bytes[..bytes.len().min(16)];
            let whole = match (kind, begun.take()) {
                (1, None) => Some(bytes.to_vec()),
                (2, None) => {
                    begun = Some(bytes.to_vec());
                    None
                }
                (3 | 4, Some(mut record)) => {
                    record.extend_from_slice(bytes);
                    if kind == 3 {
                        record.truncate(32);
                        begun = Some(record);
                        None
                    } else {
                        Some(record)
                    }
                }
                _ => {
                    log.damage = Some((here, "a record that does not belong here"));
                    return Ok(log);
                }
            };
            if let Some(record) = whole {
                if let (Some(sequence), Some(count)) = (record.first_chunk(), record.get(8..).and_then(<[u8]>::first_chunk)) {
                    let sequence = u64::from_le_bytes(*sequence);
                    log.first.get_or_insert(sequence);
                    log.next = sequence + u64::from(u32::from_le_bytes(*count));
                }
                log.end = base + end as u64;
            }
            at = end;
        }
        if block.len() < BLOCK_BYTES {
            return Ok(log);
        }
        base += BLOCK_BYTES as u64;
    }
}

/// RocksDB stores checksums of data that may hold checksums itself turned and shifted.
fn unmasked(stored: u32) -> u32 {
    let rotated = stored.wrapping_sub(0xA282_EAD8);
    rotated.rotate_left(15)
}
