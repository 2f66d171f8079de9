//! Accumulators that end with their statement. A window asks one for its result again at each row; some make each result of all rows so far,
//! and some hand all of these on, so that a few thousand rows are work for hours or more memory than there is.

use std::{
    cell::RefCell,
    mem,
    sync::{Arc, Weak},
};

use arrow::array::ArrayRef;
use datafusion::{common::ScalarValue, error::Result, logical_expr::Accumulator};

use super::StatementLimits;

/// Results between two looks at the end of the statement.
const RESULTS_UNSEEN: u32 = 16;

/// Texts that are shorter are not counted: there are as many of them as a batch has columns.
const COUNTED_BYTES_MIN: usize = 64 << 10;

/// What a thread works for.
struct Work {
    statement: Weak<StatementLimits>,
    /// It plans the statement, and does not run it yet.
    is_planning: bool,
    /// Bytes that functions have made of the batch at hand.
    made: usize,
}

impl Work {
    fn let_go(&mut self) {
        let made = mem::take(&mut self.made);
        if made > 0
            && let Some(bounds) = self.statement.upgrade()
        {
            bounds.release(made);
        }
    }

    fn begin(&mut self, bounds: &Arc<StatementLimits>, is_planning: bool) {
        if !std::ptr::eq(self.statement.as_ptr(), Arc::as_ptr(bounds)) {
            self.let_go();
            self.statement = Arc::downgrade(bounds);
        }
        self.is_planning = is_planning;
    }
}

thread_local! {
    static WORK: RefCell<Work> = const { RefCell::new(Work { statement: Weak::new(), is_planning: false, made: 0 }) };
}

/// Says for which statement this thread works from now on.
pub fn work_for(bounds: &Arc<StatementLimits>) {
    WORK.with_borrow_mut(|work| work.begin(bounds, false));
}

/// The same for a statement that is being planned: what functions make of constants is counted to its end.
pub fn plan_for(bounds: &Arc<StatementLimits>) {
    WORK.with_borrow_mut(|work| work.begin(bounds, true));
}

/// Counts what a function has made, until the batch at hand is worked off.
///
/// # Errors
/// When the statement has no more memory.
pub fn made(bytes: usize) -> Result<()> {
    WORK.with_borrow_mut(|work| {
        let Some(bounds) = work.statement.upgrade() else { return Ok(()) };
        if work.is_planning {
            bounds.made_constant(bytes);
            return bounds.check_planning();
        }
        if bytes < COUNTED_BYTES_MIN {
            return Ok(());
        }
        bounds.hold(bytes)?;
        work.made += bytes;
        Ok(())
    })
}

/// Another batch is at hand: what was made of the one before is counted no more, or by those who keep it.
pub fn worked_off() {
    WORK.with_borrow_mut(Work::let_go);
}

fn statement() -> Option<Arc<StatementLimits>> {
    WORK.with_borrow(|work| work.statement.upgrade())
}

/// Whether the statement of this thread goes on.
///
/// # Errors
/// Its end.
pub fn go_on() -> Result<()> {
    let (statement, is_planning) = WORK.with_borrow(|work| (work.statement.upgrade(), work.is_planning));
    match statement {
        Some(bounds) if is_planning => bounds.check_planning(),
        Some(bounds) => bounds.go_on(),
        None => Ok(()),
    }
}

/// An accumulator that ends with the statement of this thread.
pub fn accumulator(inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
    match statement() {
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
            self.bounds.go_on()?;
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
