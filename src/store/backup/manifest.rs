//! The manifest of a backup: what it holds, up to which write, and every file with size and checksum.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    BackupError,
    copy::{self, Sum},
};
use historian_model::Timestamp;

/// Version of the layout of a repository.
pub(super) const REPOSITORY_VERSION: u32 = 1;

const MANIFEST: &str = "manifest.json";
const CHECKSUM: &str = "manifest.crc32c";

/// Largest manifest read: about a million files.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What a backup consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout.
    pub version: u32,
    pub number: u64,
    /// The backup holds every write up to and including this one, and none after it.
    pub sequence: u64,
    /// When it was begun, ns since 1970, UTC.
    pub time: Timestamp,
    /// Version of the historian that made it.
    pub historian: String,
    /// Version of the store's layout.
    pub format_version: u32,
    pub tags: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files that no backup before had, and their bytes.
    pub files_new: u64,
    pub bytes_new: u64,
    pub files: Vec<ManifestFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Name in the database's directory.
    pub name: String,
    /// Name in `files/` when it is shared between backups; else it lies beside the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    pub bytes: u64,
    /// CRC32C in eight hexadecimal digits.
    #[serde(with = "hexadecimal")]
    pub crc32c: u32,
}

impl ManifestFile {
    pub(super) fn sum(&self) -> Sum {
        Sum { bytes: self.bytes, crc32c: self.crc32c }
    }

    /// Where the file lies, given the repository and the directory of the backup.
    pub(super) fn path(&self, repository: &Path, backup: &Path) -> PathBuf {
        match &self.shared {
            Some(shared) => repository.join("files").join(shared),
            None => backup.join(&self.name),
        }
    }
}

impl Manifest {
    /// Writes the manifest and its checksum into the directory of a backup, durably.
    pub(super) fn write(&self, backup: &Path) -> Result<(), BackupError> {
        let path = backup.join(MANIFEST);
        let mut text = serde_json::to_string_pretty(self).map_err(|error| BackupError::io(&path, error))?;
        text.push('\n');
        copy::write(&path, text.as_bytes())?;
        copy::write(&backup.join(CHECKSUM), format!("{:08x}\n", crc32c::crc32c(text.as_bytes())).as_bytes())
    }

    /// Reads and checks the manifest in the directory of a backup.
    pub(super) fn read(backup: &Path, number: u64) -> Result<Manifest, BackupError> {
        let (path, checksum_path) = (backup.join(MANIFEST), backup.join(CHECKSUM));
        let text = read(&path)?;
        let checksum = read(&checksum_path)?;
        let expected = std::str::from_utf8(&checksum)
            .ok()
            .and_then(|text| text.strip_suffix('\n'))
            // Exactly what is written: any other spelling of the number is damage too.
            .filter(|text| text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or_else(|| BackupError::damaged(&checksum_path, "it holds no checksum"))?;
        let found = crc32c::crc32c(&text);
        if found != expected {
            return Err(BackupError::damaged(&path, format!("its checksum is {found:08x}, and manifest.crc32c says {expected:08x}")));
        }
        Manifest::parse(&text, number).map_err(|message| BackupError::damaged(&path, message))
    }

    /// The manifest of this backup in its text; else what is wrong with it.
    pub(crate) fn parse(text: &[u8], number: u64) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        manifest.acceptable(number)?;
        Ok(manifest)
    }

    fn acceptable(&self, number: u64) -> Result<(), String> {
        if self.version != REPOSITORY_VERSION {
            return Err(format!("it has layout version {}, this historian reads version {REPOSITORY_VERSION}", self.version));
        }
        if self.number != number {
            return Err(format!("it is of backup {}", self.number));
        }
        // Names become paths, so none may lead anywhere else.
        let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        match self.files.iter().find(|file| !plain(&file.name) || !file.shared.as_deref().is_none_or(plain)) {
            Some(file) => Err(format!("{:?} is no name of a file", file.name)),
            None => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BackupError> {
    let about = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BackupError::damaged(path, "it is missing"),
        _ => BackupError::io(path, error),
    })?;
    if about.len() > MANIFEST_BYTES_MAX {
        return Err(BackupError::damaged(path, format!("it has {} bytes", about.len())));
    }
    fs::read(path).map_err(|error| BackupError::io(path, error))
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "shape of serialize_with")]
    pub(super) fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:08x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
