//! Whether a historian runs on a data directory, by the mark that it leaves there every second; read without opening anything that a running
//! historian has open.

use std::path::Path;

use historian_model::Timestamp;
use historian_store::RunMark;

/// A running historian marks that it runs once a second.
const FRESH: i64 = 10_000_000_000;

/// Whether a historian runs on this directory, or has a moment ago.
pub fn is_fresh(data_dir: &Path, now: Timestamp) -> bool {
    RunMark::read(data_dir).is_some_and(|mark| now.0.saturating_sub(mark.0).saturating_abs() < FRESH)
}
