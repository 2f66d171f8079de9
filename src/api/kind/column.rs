//! Columns of an answer by their names.

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Float64Type, TimestampNanosecondType},
};

pub const WRONG: &str = "the answer has not the documented columns";

pub fn times(batch: &RecordBatch, name: &str) -> Result<Vec<i64>, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    Ok(column.ok_or(WRONG)?.values().to_vec())
}

pub fn numbers(batch: &RecordBatch, name: &str) -> Result<Vec<f64>, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>());
    Ok(column.ok_or(WRONG)?.values().to_vec())
}

pub fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<String>, String> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    Ok(column.ok_or(WRONG)?.iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}
