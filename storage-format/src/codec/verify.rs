//! Whether a column comes back as it went in, and the count of those that did not and were therefore stored plainly.

use std::sync::atomic::{AtomicU64, Ordering};

use super::lane::Lane;
use crate::Values;

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

/// Whether two columns are of the same values, to the bit.
pub(crate) fn same(a: &Values, b: &Values) -> bool {
    // No early exit, so that several are compared at a time.
    fn lanes<T: Lane>(a: &[T], b: &[T]) -> bool {
        a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | a.to_lane() ^ b.to_lane()) == 0
    }
    match (a, b) {
        (Values::F64(a), Values::F64(b)) => lanes(a, b),
        (Values::F32(a), Values::F32(b)) => lanes(a, b),
        (Values::I64(a), Values::I64(b)) => lanes(a, b),
        (Values::U64(a), Values::U64(b)) => lanes(a, b),
        (Values::State(a), Values::State(b)) => lanes(a, b),
        (Values::Bool(a), Values::Bool(b)) => lanes(a, b),
        (a, b) => a == b,
    }
}
