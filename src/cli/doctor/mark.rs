//! Until when a historian ran on a data directory, by the mark that it leaves there every second. Its layout is in `storage-format/keys.md`; it is read
//! without opening anything that a running historian has open.

use std::{fs, path::Path};

use historian_model::Timestamp;

/// A running historian marks that it runs once a second.
const FRESH: i64 = 10_000_000_000;

/// The mark; `None` where there is none that can be read.
pub fn of(data_dir: &Path) -> Option<Timestamp> {
    let text = fs::read_to_string(data_dir.join("RUN_MARK")).ok()?;
    text.get(..20)?.trim_start().parse().ok().map(Timestamp)
}

/// Whether a historian runs on this directory, or has a moment ago.
pub fn is_fresh(data_dir: &Path, now: Timestamp) -> bool {
    of(data_dir).is_some_and(|mark| now.0.saturating_sub(mark.0).saturating_abs() < FRESH)
}
