//! Some rows of an answer, not more than a batch has: of a batch, or of rows in the form in which they were made.

use std::{iter, ops::Range, sync::Arc};

use arrow::record_batch::RecordBatch;

use super::BATCH_ROWS_MAX;
use historian_model::Samples;

/// Some rows of an answer.
pub trait Portion: Send {
    fn rows(&self) -> usize;

    /// Memory, about.
    fn bytes(&self) -> usize;

    /// Some of its rows.
    #[must_use]
    fn slice(&self, from: usize, rows: usize) -> Self;
}

impl Portion for RecordBatch {
    fn rows(&self) -> usize {
        self.num_rows()
    }

    fn bytes(&self) -> usize {
        self.get_array_memory_size()
    }

    fn slice(&self, from: usize, rows: usize) -> RecordBatch {
        RecordBatch::slice(self, from, rows)
    }
}

/// A batch in pieces of at most [`BATCH_ROWS_MAX`] rows; nothing for an empty one.
pub fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let starts = iter::successors(Some(0), |start| Some(start + BATCH_ROWS_MAX)).take_while(|&start| start < batch.num_rows());
    starts.map(|start| batch.slice(start, BATCH_ROWS_MAX.min(batch.num_rows() - start)))
}

/// Rows of an answer, in columns or as they are made.
pub trait Rows: Send + Sync + 'static {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of one row, about.
    fn row_bytes(&self) -> usize;
}

impl Rows for Samples {
    fn len(&self) -> usize {
        Samples::len(self)
    }

    fn row_bytes(&self) -> usize {
        self.heap_bytes() / Samples::len(self).max(1)
    }
}

/// Some rows of an answer, not more than a batch has.
pub struct Slice<R> {
    all: Arc<R>,
    range: Range<usize>,
}

impl<R: Rows> Slice<R> {
    /// Rows in slices of at most [`BATCH_ROWS_MAX`].
    pub(crate) fn of(rows: R) -> impl Iterator<Item = Slice<R>> {
        let (count, all) = (rows.len(), Arc::new(rows));
        (0..count).step_by(BATCH_ROWS_MAX).map(move |from| Slice { all: all.clone(), range: from..count.min(from + BATCH_ROWS_MAX) })
    }

    /// The rows that it is some of.
    pub fn all(&self) -> &R {
        &self.all
    }

    /// Which of the rows.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }
}

impl<R: Rows> Portion for Slice<R> {
    fn rows(&self) -> usize {
        self.range.len()
    }

    fn bytes(&self) -> usize {
        self.all.row_bytes() * self.range.len()
    }

    fn slice(&self, from: usize, rows: usize) -> Slice<R> {
        let start = self.range.start + from;
        Slice { all: self.all.clone(), range: start..start + rows }
    }
}
