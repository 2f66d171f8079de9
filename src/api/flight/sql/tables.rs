//! `GetTables`: the tables with their columns, and what they are in the words of people.

use std::collections::HashMap;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use arrow_flight::{error::FlightError, sql::CommandGetTables};

use super::{answer::AnswerOptions, wire};
use historian_model::TagScope;
use historian_sql::{CATALOG, SqlEngine, TableDescription};

/// What JDBC calls a table of data, and what information schemas do: Grafana's plugin asks for `BASE TABLE` and shows nothing else.
const TABLE: &str = "TABLE";
const BASE_TABLE: &str = "BASE TABLE";
/// A table that tells of tables.
const SYSTEM_TABLE: &str = "SYSTEM TABLE";
/// The types that `GetTableTypes` tells.
pub const TYPES: [&str; 2] = [SYSTEM_TABLE, TABLE];
/// The key of Flight SQL for the remark of a column. In the schema of an answer clients take it for the label of the column, so it is nowhere but
/// here.
const REMARKS: &str = "ARROW:FLIGHT:SQL:REMARKS";

/// What drivers tell of a column beside its type: how many digits or letters a value has at most, how many of them after the point, and that
/// every column can be searched and none written.
fn facts(data_type: &DataType) -> impl Iterator<Item = (String, String)> {
    // JDBC counts a time in the letters of its longest text, and a float in decimal digits.
    let (precision, scale) = match data_type {
        DataType::Boolean => (Some(1), None),
        DataType::Int8 => (Some(3), Some(0)),
        DataType::Int16 => (Some(5), Some(0)),
        DataType::Int32 => (Some(10), Some(0)),
        DataType::Int64 => (Some(19), Some(0)),
        DataType::Float32 => (Some(7), None),
        DataType::Float64 => (Some(15), None),
        DataType::Decimal128(precision, scale) => (Some(i32::from(*precision)), Some(i32::from(*scale))),
        DataType::Utf8 | DataType::Binary => (Some(i32::MAX), None),
        DataType::Date32 => (Some(10), None),
        DataType::Timestamp(..) => (Some(29), Some(9)),
        _ => (None, None),
    };
    let truth = |holds: bool| Some(i32::from(holds));
    let facts = [
        ("PRECISION", precision),
        ("SCALE", scale),
        ("IS_AUTO_INCREMENT", truth(false)),
        ("IS_CASE_SENSITIVE", truth(*data_type == DataType::Utf8)),
        ("IS_READ_ONLY", truth(true)),
        ("IS_SEARCHABLE", truth(true)),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((format!("ARROW:FLIGHT:SQL:{name}"), value?.to_string())))
}

/// The answer to who sees the tags of a scope. A type of tables is called as it was asked for.
///
/// # Errors
/// When a schema cannot be encoded.
pub fn batch(query: CommandGetTables, engine: &SqlEngine, scope: &TagScope) -> Result<RecordBatch, FlightError> {
    let asked = |kind: &str| query.table_types.iter().any(|asked| asked == kind);
    let of_data = if asked(BASE_TABLE) && !asked(TABLE) { BASE_TABLE } else { TABLE };
    let mut builder = query.into_builder();
    for table in engine.tables(scope) {
        let kind = if table.is_system { SYSTEM_TABLE } else { of_data };
        builder.append(CATALOG, table.schema_name, &table.name, kind, &remarked(&table))?;
    }
    builder.build()
}

/// The schema of a table as its answers have it, with the remarks of its columns and its own, and what drivers tell of columns.
fn remarked(table: &TableDescription) -> Schema {
    let schema = wire::schema(&table.schema, &AnswerOptions::default());
    let mut remarks = table.column_remarks.iter();
    let with = |mut metadata: HashMap<String, String>, remark: Option<&String>| {
        metadata.extend(remark.filter(|remark| !remark.is_empty()).map(|remark| (REMARKS.to_owned(), remark.clone())));
        metadata
    };
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut metadata = with(field.metadata().clone(), remarks.next());
            metadata.extend(facts(field.data_type()));
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    Schema::new(fields).with_metadata(with(schema.metadata().clone(), Some(&table.remark)))
}
