//! Memory that nodes of a plan take and do not count: rows that windows gather, and long values that are put beside many rows. It is counted in that
//! of the statement before they take it.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{cast, kernels::length::length, max, partition},
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    error::Result,
    logical_expr::{WindowFrameBound, WindowFrameUnits},
    physical_expr::{PhysicalExpr, window::WindowExpr},
};
use parking_lot::Mutex;

use super::scan::StatementLimits;

/// A window that knows all rows first has a value for each row, before it makes a column of them: so many bytes.
const VALUE_BYTES: usize = 80;
/// What it has for each partition, and in this for each of its functions.
const PARTITION_BYTES: usize = 200;
const PARTITION_RESULT_BYTES: usize = 300;

/// What windows take for the rows that they gather.
#[derive(Default)]
pub struct Gathered {
    windows: usize,
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    /// A text of one row may become that of every row.
    spreads_texts: bool,
}

impl Gathered {
    pub fn of(windows: &[Arc<dyn WindowExpr>]) -> Gathered {
        let partition_by = windows.first().map(|window| window.partition_by().to_vec()).unwrap_or_default();
        Gathered { windows: windows.len(), partition_by, spreads_texts: windows.iter().any(spreads_texts) }
    }

    /// What is taken for a batch of rows: these, all of them together again, and what is found of them.
    pub fn bytes(&self, batch: &RecordBatch) -> Result<usize> {
        let rows = batch.num_rows();
        let keys = self.partition_by.iter().map(|key| key.evaluate(batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let partitions = if keys.is_empty() || rows == 0 { 0 } else { partition(&keys)?.len() };
        let texts = if self.spreads_texts { longest_row(batch)?.saturating_mul(rows) } else { 0 };
        let found = rows.saturating_mul(VALUE_BYTES + self.windows * 16);
        let parts = partitions.saturating_mul(PARTITION_BYTES + self.windows * PARTITION_RESULT_BYTES);
        Ok((2 * batch.get_array_memory_size()).saturating_add(found).saturating_add(parts).saturating_add(texts.saturating_mul(2)))
    }
}

/// Whether a window hands on values of any length of other rows: `lag` and `lead` hand on each once.
fn spreads_texts(window: &Arc<dyn WindowExpr>) -> bool {
    let moves = ["lag(", "lead("].iter().any(|name| window.name().starts_with(name));
    !moves && window.field().is_ok_and(|field| is_long(field.data_type()))
}

/// The rows that a window keeps: those that went in and did not come out yet, and those before that its frames still reach.
pub struct Gauge {
    bounds: Arc<StatementLimits>,
    /// Rows before the current one that a frame reaches.
    reach: u64,
    spreads_texts: bool,
    kept: Mutex<OperatorCounts>,
}

#[derive(Default)]
struct OperatorCounts {
    rows_in: u64,
    bytes_in: u64,
    rows_out: u64,
    /// What is counted of the memory of the statement.
    counted: usize,
    /// Texts of a batch, where one of them becomes that of all rows.
    spread: usize,
}

impl Gauge {
    pub fn new(bounds: &Arc<StatementLimits>, windows: &[Arc<dyn WindowExpr>]) -> Gauge {
        let reach = windows.iter().map(|window| match &window.get_window_frame().start_bound {
            WindowFrameBound::Preceding(rows) if rows.is_null() => 0,
            // Of a frame by value or by groups nobody knows how many rows it reaches.
            WindowFrameBound::Preceding(rows) if window.get_window_frame().units == WindowFrameUnits::Rows => {
                rows.cast_to(&DataType::UInt64).ok().and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0)
            }
            _ => 0,
        });
        let spreads_texts = windows.iter().any(spreads_texts);
        Gauge { bounds: bounds.clone(), reach: reach.max().unwrap_or(0), spreads_texts, kept: Mutex::default() }
    }

    /// Counts a batch that goes into the window.
    pub fn take(&self, batch: &RecordBatch) -> Result<()> {
        let mut kept = self.kept.lock();
        if self.spreads_texts {
            let spread = longest_row(batch)?.saturating_mul(batch.num_rows());
            self.bounds.hold(spread.saturating_sub(kept.spread))?;
            kept.spread = kept.spread.max(spread);
        }
        kept.rows_in += batch.num_rows() as u64;
        kept.bytes_in += batch.get_array_memory_size() as u64;
        self.count(&mut kept)
    }

    /// Counts one that comes out of it.
    pub fn give(&self, batch: &RecordBatch) -> Result<()> {
        let mut kept = self.kept.lock();
        kept.rows_out += batch.num_rows() as u64;
        self.count(&mut kept)
    }

    fn count(&self, kept: &mut OperatorCounts) -> Result<()> {
        let rows = kept.rows_in.saturating_sub(kept.rows_out.saturating_sub(self.reach));
        // It has them twice: in their order, and by their partition.
        let bytes = 2 * u128::from(rows) * u128::from(kept.bytes_in) / u128::from(kept.rows_in.max(1));
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > kept.counted {
            self.bounds.hold(bytes - kept.counted)?;
        } else {
            self.bounds.release(kept.counted - bytes);
        }
        kept.counted = bytes;
        Ok(())
    }
}

/// Rows that are put beside others: each value of theirs may come in every row of a batch.
#[derive(Default)]
pub struct SpreadRow {
    longest: usize,
}

impl SpreadRow {
    /// Counts the longest row that was seen as often as a batch has rows.
    pub fn count(&mut self, batch: &RecordBatch, rows_max: usize, bounds: &StatementLimits) -> Result<()> {
        let longest = longest_row(batch)?;
        if longest > self.longest {
            bounds.hold((longest - self.longest).saturating_mul(rows_max))?;
            self.longest = longest;
        }
        Ok(())
    }
}

/// Bytes of the values of any length in one row, at most.
fn longest_row(batch: &RecordBatch) -> Result<usize> {
    batch.columns().iter().try_fold(0, |sum: usize, column| Ok(sum.saturating_add(longest(column)?)))
}

fn is_long(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, values) => is_long(values),
        _ => of.is_string() || of.is_binary() || of.is_list(),
    }
}

fn longest(column: &ArrayRef) -> Result<usize> {
    let bytes_each = match column.data_type() {
        DataType::Dictionary(..) => return column.as_any_dictionary_opt().map_or(Ok(0), |column| longest(column.values())),
        DataType::List(_) => {
            let values = column.as_list::<i32>().values();
            values.get_array_memory_size().div_ceil(values.len().max(1))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Binary | DataType::LargeBinary => 1,
        _ => return Ok(0),
    };
    let lengths = cast(&length(column)?, &DataType::Int64)?;
    let most = max(lengths.as_primitive::<Int64Type>()).and_then(|most| usize::try_from(most).ok()).unwrap_or(0);
    Ok(most.saturating_mul(bytes_each))
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int64Array, ListArray, StringArray};

    use super::*;

    #[test]
    fn the_longest_row_is_that_of_the_longest_values() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("äää")]));
        let tags: ArrayRef = Arc::new(["long name", "b", "b"].into_iter().collect::<DictionaryArray<arrow::datatypes::Int32Type>>());
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("text", texts), ("tag", tags), ("number", numbers)]).unwrap();
        assert_eq!(longest_row(&batch).unwrap(), 6 + 9);
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1); 1000]), None]);
        let lists: ArrayRef = Arc::new(lists);
        assert!((8_000..10_000).contains(&longest(&lists).unwrap()));
    }
}
