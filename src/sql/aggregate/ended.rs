//! Accumulators that end with their statement. A window asks one for its result again at each row; some make each result of all rows so far,
//! and some hand all of these on, so that a few thousand rows are work for hours or more memory than there is.

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
};

use arrow::array::ArrayRef;
use datafusion::{common::ScalarValue, error::Result, logical_expr::Accumulator};

use super::{super::error::external, StatementLimits};

/// Results between two looks at the end of the statement.
const RESULTS_UNSEEN: u32 = 16;

thread_local! {
    /// The statement that this thread works for.
    static STATEMENT: RefCell<Weak<StatementLimits>> = const { RefCell::new(Weak::new()) };
}

/// Says for which statement this thread works from now on.
pub fn work_for(bounds: &Arc<StatementLimits>) {
    STATEMENT.with_borrow_mut(|statement| {
        if !std::ptr::eq(statement.as_ptr(), Arc::as_ptr(bounds)) {
            *statement = Arc::downgrade(bounds);
        }
    });
}

/// Whether the statement of this thread goes on.
///
/// # Errors
/// Its end.
pub fn go_on() -> Result<()> {
    match STATEMENT.with_borrow(Weak::upgrade) {
        Some(bounds) => bounds.limits().check(0).map_err(|error| external(error.into())),
        None => Ok(()),
    }
}

/// An accumulator that ends with the statement of this thread.
pub fn accumulator(inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
    match STATEMENT.with_borrow(Weak::upgrade) {
        Some(bounds) => Box::new(LimitedAccumulator { inner, bounds, results: 0 }),
        None => inner,
    }
}

#[derive(Debug)]
struct LimitedAccumulator {
    inner: Box<dyn Accumulator>,
    bounds: Arc<StatementLimits>,
    results: u32,
}

impl Accumulator for LimitedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.results.is_multiple_of(RESULTS_UNSEEN) {
            self.bounds.limits().check(0).map_err(|error| external(error.into()))?;
        }
        let result = self.inner.evaluate()?;
        // The first may be the only one; more are results of a window, which holds them all.
        if self.results > 0 && !result.data_type().is_primitive() {
            self.bounds.hold(result.size())?;
        }
        self.results = self.results.wrapping_add(1).max(1);
        Ok(result)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}
