//! The count of columns that did not come back as they went in, and were therefore stored plainly.

use std::sync::atomic::{AtomicU64, Ordering};

static INEXACT_COLUMNS: AtomicU64 = AtomicU64::new(0);

/// Columns that this process encoded, decoded for verification, found to differ, and stored with a plain
/// codec instead. No sample is lost by it, but a codec or the processor is wrong: report it.
#[must_use]
pub fn inexact_columns() -> u64 {
    INEXACT_COLUMNS.load(Ordering::Relaxed)
}

/// Passes the outcome of a verification on, and counts a bad one.
pub(crate) fn exact(exact: bool) -> bool {
    if !exact {
        INEXACT_COLUMNS.fetch_add(1, Ordering::Relaxed);
    }
    exact
}
