//! Gaps that a start found and the full disk has no room for: a file in the data directory keeps them until they are on record.
//!
//! Without it the next start would have to take all the time since the run before for one gap, and what is collected meanwhile with it.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use super::{Gap, StoreError};

/// Name of the file in the data directory.
pub const PENDING_GAPS_FILE: &str = "PENDING_GAPS";

/// The file of one data directory.
#[derive(Clone, Debug)]
pub struct PendingGaps {
    directory: PathBuf,
}

impl PendingGaps {
    /// The file in a data directory, and what an earlier run left in it. A damaged one is as good as none, and told.
    pub fn open(directory: &Path) -> (PendingGaps, Vec<Gap>) {
        let pending = PendingGaps { directory: directory.to_owned() };
        let gaps = match fs::read(pending.path()) {
            Ok(bytes) => decode(&bytes).unwrap_or_else(|| {
                tracing::error!(file = %pending.path().display(), "is damaged: gaps of earlier runs are not on record");
                Vec::new()
            }),
            Err(_) => Vec::new(),
        };
        (pending, gaps)
    }

    /// Keeps these in the place of what is there, durably.
    ///
    /// # Errors
    /// When the file cannot be written; what was there stays.
    pub fn keep(&self, gaps: &[Gap]) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| StoreError::Io(format!("{}: {error}", self.path().display()));
        let text = serde_json::to_string(gaps).map_err(|error| StoreError::Io(format!("gaps cannot be written as JSON: {error}")))?;
        let new = self.directory.join(format!("{PENDING_GAPS_FILE}.new"));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(encode(&text).as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, self.path())?;
            File::open(&self.directory)?.sync_all()
        });
        written.map_err(failed)
    }

    /// All of them are on record.
    pub fn clear(&self) {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::error!(file = %self.path().display(), %error, "cannot be removed: each start will look for its gaps again");
            }
            _ => {}
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(PENDING_GAPS_FILE)
    }
}

/// The CRC-32C of a JSON list in eight hexadecimal digits, and the list.
fn encode(text: &str) -> String {
    format!("{:08x} {text}\n", crc32c::crc32c(text.as_bytes()))
}

fn decode(bytes: &[u8]) -> Option<Vec<Gap>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let list = text.get(9..)?.strip_suffix('\n')?;
    (encode(list) == text).then(|| serde_json::from_str(list).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GapReason;
    use historian_model::Timestamp;

    #[test]
    fn gaps_come_back_until_they_are_cleared_and_damage_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let (pending, found) = PendingGaps::open(directory.path());
        assert_eq!(found, []);
        pending.clear();
        let gap = |start| Gap { start: Some(start), end: Some(9), reason: GapReason::CollectorDown, time: Timestamp(9), ..Gap::default() };
        pending.keep(&[gap(1)]).unwrap();
        pending.keep(&[gap(1), gap(2)]).unwrap();
        assert_eq!(PendingGaps::open(directory.path()).1, [gap(1), gap(2)]);
        let whole = fs::read(pending.path()).unwrap();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "{bit}");
        }
        (0..whole.len()).for_each(|length| assert_eq!(decode(&whole[..length]), None, "{length}"));
        pending.clear();
        assert_eq!(PendingGaps::open(directory.path()).1, []);
    }
}
