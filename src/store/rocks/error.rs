//! Errors of RocksDB, in the store's words.

use rocksdb::ErrorKind;

use crate::StoreError;

/// What passes by itself or with an operator's help, as the system words it, and what it is. The call that meets it did nothing: a file
/// could not be opened or made longer. What is already written is as it was.
const PASSING: [(&str, &str); 5] = [
    ("No space left", "the disk is full"),
    ("Disk quota exceeded", "the disk is full"),
    ("Space limit reached", "the disk is full"),
    // EMFILE, and with "in system" behind it ENFILE.
    ("Too many open files", "no more files can be opened; raise the limit of open files (LimitNOFILE), or close what holds them"),
    ("Cannot allocate memory", "the system has no memory left"),
];

#[expect(clippy::needless_pass_by_value, reason = "shape of map_err")]
pub(crate) fn io(error: rocksdb::Error) -> StoreError {
    in_words(error.to_string())
}

pub(crate) fn classified(error: &rocksdb::Error, family: &'static str) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt { family, key: "unknown key".into(), message: error.to_string() },
        _ => in_words(error.to_string()),
    }
}

fn in_words(message: String) -> StoreError {
    // A sync that failed is another thing: what became of the bytes is unknown then.
    let passing = PASSING.iter().find(|(words, _)| message.contains(words)).filter(|_| !message.contains("sync"));
    match passing {
        Some((_, what)) => StoreError::Full(format!("{what}: {message}")),
        None => StoreError::Io(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_apart_from_what_is_lost() {
        for (message, passes) in [
            ("IO error: No space left on device: While appending to file: /d/000004.log: No space left on device", true),
            ("IO error: While open a file for appending: /d/000012.log: Too many open files", true),
            ("IO error: While open a file for random read: /d/000012.sst: Too many open files in system", true),
            ("IO error: While mmap: /d/000012.sst: Cannot allocate memory", true),
            ("IO error: While fsync: /d/000004.log: No space left on device", false),
            ("IO error: While fdatasync: /d/000004.log: Cannot allocate memory", false),
            ("IO error: While pread offset 0 len 7: /d/000012.sst: Input/output error", false),
        ] {
            let told = in_words(message.to_owned());
            assert_eq!(matches!(told, StoreError::Full(_)), passes, "{message}");
            assert_eq!(matches!(told, StoreError::Io(_)), !passes, "{message}");
            assert!(told.to_string().contains(message));
        }
    }
}
