//! The key that signs heads: made at the first start, in the data directory, for the user of the historian alone.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use historian_model::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::{AuditError, AuditHead, SignedHead};

/// Bytes of the seed of an Ed25519 key, which is what the file has, as hexadecimal digits.
const SEED_BYTES: usize = 32;

/// Signs heads.
pub struct HeadKey(Ed25519KeyPair);

impl HeadKey {
    /// Name of the file in a data directory.
    pub const FILE: &str = "audit.key";

    /// Reads the key of a data directory, and makes one where there is none. A restored or copied directory has none: a log that went another
    /// way is not signed by the same key.
    ///
    /// # Errors
    /// The file cannot be read or made, may be read by others than its owner, or is no key.
    pub fn of_directory(directory: &Path) -> Result<HeadKey, AuditError> {
        let path = directory.join(HeadKey::FILE);
        match File::open(&path) {
            Ok(file) => HeadKey::read(&path, file),
            Err(error) if error.kind() == ErrorKind::NotFound => HeadKey::make(directory, &path),
            Err(error) => Err(fault(&path, "read")(error.to_string())),
        }
    }

    /// A key that is in no file.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<HeadKey, AuditError> {
        let path = Path::new(HeadKey::FILE);
        HeadKey::from_seed(path, &random_seed(path)?)
    }

    fn read(path: &Path, file: File) -> Result<HeadKey, AuditError> {
        let unreadable = |error: std::io::Error| fault(path, "read")(error.to_string());
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(AuditError::ExposedKey { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(4 * SEED_BYTES as u64).read_to_string(&mut text).map_err(unreadable)?;
        let seed = hex::decode(text.trim()).map_err(|error| fault(path, "read")(error.to_string()))?;
        HeadKey::from_seed(path, &seed)
    }

    fn make(directory: &Path, path: &Path) -> Result<HeadKey, AuditError> {
        let seed = random_seed(path)?;
        let unwritten = |error: std::io::Error| fault(path, "written")(error.to_string());
        // Whole or not at all: a start that is killed meanwhile must not leave half a key.
        let new = path.with_extension("key.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unwritten(error)),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(unwritten)?;
        writeln!(file, "{}", hex::encode(seed)).and_then(|()| file.sync_all()).map_err(unwritten)?;
        fs::rename(&new, path).map_err(unwritten)?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(unwritten)?;
        HeadKey::from_seed(path, &seed)
    }

    fn from_seed(path: &Path, seed: &[u8]) -> Result<HeadKey, AuditError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(HeadKey).map_err(|error| fault(path, "used")(error.to_string()))
    }

    /// As 64 hexadecimal digits.
    pub fn public_key(&self) -> String {
        hex::encode(self.0.public_key())
    }

    pub fn sign(&self, head: AuditHead, time: Timestamp) -> SignedHead {
        let AuditHead { number, hash } = head;
        let signature = self.0.sign(SignedHead::message(number, &hash, time.0).as_bytes());
        SignedHead { number, hash, time: time.0, public_key: self.public_key(), signature: hex::encode(signature) }
    }
}

/// The public half.
impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeadKey").field(&self.public_key()).finish()
    }
}

fn random_seed(path: &Path) -> Result<[u8; SEED_BYTES], AuditError> {
    let mut seed = [0; SEED_BYTES];
    getrandom::fill(&mut seed).map_err(|error| fault(path, "made")(error.to_string()))?;
    Ok(seed)
}

fn fault(path: &Path, action: &'static str) -> impl FnOnce(String) -> AuditError {
    let path: PathBuf = path.to_owned();
    move |reason| AuditError::Key { path, action, reason }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::AuditHash;

    #[test]
    fn the_key_of_a_directory_is_made_once_and_read_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let made = HeadKey::of_directory(directory.path()).unwrap();
        let path = directory.path().join(HeadKey::FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(HeadKey::of_directory(directory.path()).unwrap().public_key(), made.public_key());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(HeadKey::of_directory(directory.path()), Err(AuditError::ExposedKey { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "00", "no digits"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(HeadKey::of_directory(directory.path()), Err(AuditError::Key { .. })), "{text}");
        }
    }

    #[test]
    fn a_head_that_says_something_else_than_was_signed_is_not_signed() {
        let directory = tempfile::tempdir().unwrap();
        let key = HeadKey::of_directory(directory.path()).unwrap();
        let signed = key.sign(AuditHead { number: 7, hash: AuditHash::of(&AuditHash::START, 7, "{}") }, Timestamp(8));
        assert!(signed.is_signed());
        let changes: [fn(&mut SignedHead); 5] = [
            |head| head.number += 1,
            |head| head.time -= 1,
            |head| head.hash = AuditHash::START,
            |head| head.public_key.replace_range(..1, "x"),
            |head| head.signature.truncate(126),
        ];
        for (which, change) in changes.into_iter().enumerate() {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(!changed.is_signed(), "change {which}");
        }
        let other = tempfile::tempdir().unwrap();
        let other = SignedHead { public_key: HeadKey::of_directory(other.path()).unwrap().public_key(), ..signed };
        assert!(!other.is_signed());
    }

    /// The first test vector of RFC 8032, section 7.1.
    #[test]
    fn the_key_is_that_of_the_published_vector() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = HeadKey::from_seed(Path::new("vector"), &seed).unwrap();
        assert_eq!(key.public_key(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    }
}
