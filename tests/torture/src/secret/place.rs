//! Where canaries are looked for: texts of programs, and all files of a directory.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::canary::Kind;

/// One place and what is in it.
pub struct Place {
    pub name: String,
    pub bytes: Vec<u8>,
    /// What may be in it.
    pub free: Vec<Kind>,
}

impl Place {
    /// A place where nothing may be.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Place {
        Place { name: name.into(), bytes: bytes.into(), free: Vec::new() }
    }

    pub fn but(mut self, free: &[Kind]) -> Place {
        self.free = free.to_vec();
        self
    }
}

/// Files that are there to hold a secret, by the ends of their paths.
const KEYS: [&str; 2] = ["audit.key", "private/private.pem"];

/// All files below a directory, in the order of their names.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<fs::DirEntry> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            // Sockets hold nothing.
            _ => {}
        }
    }
    found
}

/// The files below a directory as places: those that are declared to hold a key are to be their owner's alone, and are no places then.
///
/// # Errors
/// One cannot be read.
pub fn places(what: &str, directory: &Path, free: &[Kind]) -> anyhow::Result<(Vec<Place>, Vec<PathBuf>, Vec<String>)> {
    let (mut places, mut keys, mut exposed) = (Vec::new(), Vec::new(), Vec::new());
    for path in files(directory) {
        if KEYS.iter().any(|end| path.ends_with(end)) {
            let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                exposed.push(format!("{} has the mode {mode:o}", path.display()));
            }
            keys.push(path);
            continue;
        }
        let name = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
        places.push(Place::new(format!("{what}: {name}"), fs::read(&path)?).but(free));
    }
    Ok((places, keys, exposed))
}
