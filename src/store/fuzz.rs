//! What lies on disk beside chunks, for the fuzz targets (`tests/fuzz`): any bytes in, whether they were taken out.

use historian_format::keys;
use historian_model::TagId;

use super::{ChainedEntry, Gap, backup::Manifest, catalog::stored_tag, scrub::entry::Checker};

const FAMILIES: [&str; 9] = [
    keys::FAMILY_CHUNKS,
    keys::FAMILY_LATE,
    keys::FAMILY_SUPERSEDED,
    keys::FAMILY_ROLLUPS,
    keys::FAMILY_JOURNAL,
    keys::FAMILY_CATALOG,
    keys::FAMILY_AUDIT,
    keys::FAMILY_GAPS,
    keys::FAMILY_NOTES,
];

/// An entry of the store: the first byte says of which family, the next how long its key is.
pub fn entry(bytes: &[u8]) -> bool {
    let [family, key_bytes, rest @ ..] = bytes else { return false };
    let family = FAMILIES[usize::from(*family) % FAMILIES.len()];
    let (key, value) = rest.split_at(usize::from(*key_bytes).min(rest.len()));
    let _ = (stored_tag(TagId(1), value), ChainedEntry::from_stored(1, value).map(|entry| entry.entry().is_ok()), Gap::decode(1, value));
    Checker::new(family).check(key, value).is_ok()
}

/// The manifest of a backup.
pub fn manifest(bytes: &[u8]) -> bool {
    Manifest::parse(bytes, 1).is_ok()
}
