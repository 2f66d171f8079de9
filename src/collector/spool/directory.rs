//! The directory of the spools: a folder for each device, and those that devices of earlier runs left.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    disk::SpoolDisk,
    share::{RoomProbe, SpoolLimits, SpoolShare},
};
use crate::fingerprint;
use historian_model::{Sample, TagId};

/// Longest name of a folder that tells the device's name.
const FOLDER_NAME_MAX: usize = 200;

/// Where spools are on disk.
pub struct SpoolDirectory {
    share: Arc<SpoolShare>,
    /// What earlier runs left, by its folder, until somebody takes it.
    left: Mutex<HashMap<PathBuf, SpoolDisk>>,
}

impl SpoolDirectory {
    /// Opens the directory, which nobody else may use, makes it where it is not there, and looks through what is left in it. Blocks: reads all
    /// of that.
    ///
    /// # Errors
    /// When it cannot be made or listed.
    pub fn open(root: PathBuf, limits: SpoolLimits, room: RoomProbe) -> io::Result<SpoolDirectory> {
        fs::create_dir_all(&root)?;
        let directory = SpoolDirectory { share: Arc::new(SpoolShare::new(root, limits, room)), left: Mutex::default() };
        directory.look()?;
        Ok(directory)
    }

    /// Takes in what nobody has.
    fn look(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.share.root())?.flatten() {
            let folder = entry.path();
            if folder.is_dir() && self.share.enter(&folder) {
                let disk = SpoolDisk::open(folder.clone(), self.share.clone());
                match disk {
                    Ok(disk) => drop(self.left.lock().insert(folder, disk)),
                    Err(error) => {
                        tracing::error!(folder = %folder.display(), %error, "a folder of the spool cannot be read");
                        self.share.leave(&folder);
                    }
                }
            }
        }
        Ok(())
    }

    /// The newest sample of each tag that waits here.
    pub fn newest(&self) -> HashMap<TagId, Sample> {
        let mut all: HashMap<TagId, Sample> = HashMap::new();
        for disk in self.left.lock().values() {
            for (tag, sample) in disk.newest() {
                if all.get(tag).is_none_or(|known| known.timestamp <= sample.timestamp) {
                    all.insert(*tag, sample.clone());
                }
            }
        }
        all
    }

    /// What a device has here, for it alone until it is dropped.
    ///
    /// # Errors
    /// When its folder cannot be listed.
    pub fn of_device(&self, device: &str) -> io::Result<SpoolDisk> {
        for turn in 0_u32.. {
            // Somebody may still drain what a device of this name left.
            let folder = self.share.root().join(folder_name(device, turn));
            if let Some(left) = self.left.lock().remove(&folder) {
                return Ok(left);
            }
            if self.share.enter(&folder) {
                return SpoolDisk::open(folder.clone(), self.share.clone()).inspect_err(|_| self.share.leave(&folder));
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// What no device has taken, with the names of the folders. Blocks: reads it.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn left(&self) -> io::Result<Vec<(String, SpoolDisk)>> {
        self.look()?;
        let left = std::mem::take(&mut *self.left.lock()).into_iter();
        let name = |folder: &Path| folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(left.filter(|(_, disk)| disk.samples() > 0).map(|(folder, disk)| (name(&folder), disk)).collect())
    }
}

/// Letters, digits, `-` and `_` are themselves, every other byte is `%` and two digits.
fn folder_name(device: &str, turn: u32) -> String {
    let mut name = String::new();
    for byte in device.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
    }
    if name.len() > FOLDER_NAME_MAX || name.is_empty() {
        name.truncate(FOLDER_NAME_MAX);
        let _ = write!(name, "~{:016x}", fingerprint::of(&device));
    }
    if turn > 0 {
        let _ = write!(name, "~{turn}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_names_that_any_file_system_takes_and_no_two_devices_share() {
        assert_eq!(folder_name("plc-1_a", 0), "plc-1_a");
        assert_eq!(folder_name("../a b", 0), "%2e%2e%2fa%20b");
        assert_eq!(folder_name("plc", 2), "plc~2");
        let (long, other) = (folder_name(&"é".repeat(300), 0), folder_name(&"é".repeat(301), 0));
        assert!(long.len() < 255 && long != other, "{long}");
    }
}
