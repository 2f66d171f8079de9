//! The columns of table `samples`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use historian_query::{INTEGER_DIGITS, arrow_column};

/// Places of the columns.
pub const TAG: usize = 0;
pub const TIMESTAMP: usize = 1;
pub const VALUE: usize = 2;
pub const QUALITY: usize = 3;

/// `value` is the number of a sample: states are their number, booleans 0 and 1; null for strings. `text` is the value of a string, and the
/// name of a state. `integer` is the value of a tag of i64 or u64, which an f64 may not hold.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("timestamp", arrow_column::timestamp_type(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("quality", DataType::UInt32, false),
        Field::new("text", DataType::Utf8, true),
        Field::new("integer", DataType::Decimal128(INTEGER_DIGITS, 0), true),
    ]))
}
