//! Record batches as they come, into a table for people or into one of the formats for machines.

use std::{collections::HashMap, io::Write, path::Path, sync::Arc};

use anyhow::Context;
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    csv::WriterBuilder as CsvBuilder,
    datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType, UInt32Type},
    error::ArrowError,
    ipc::writer::{FileWriter, StreamWriter},
    json::{LineDelimitedWriter, WriterBuilder as JsonBuilder},
    util::display::{ArrayFormatter, FormatOptions},
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use serde::Deserialize;

use super::{
    file::OutputFile,
    format::{Compression, OutputArgs, OutputFormat},
    table::{TABLE_ROWS, TableCell, TableColumn, TextTable},
};
use historian_model::{Quality, Timestamp};

/// Memory that an unfinished row group of a Parquet file may take.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;

/// What a table shows of a tag beside its samples. The keys are those of the metadata of answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TagNotes {
    pub unit: String,
    pub state_set: Vec<String>,
    pub value_type: String,
}

impl TagNotes {
    /// Notes of a column that holds the values of one tag, from the metadata of its field.
    fn of_field(field: &Field) -> TagNotes {
        let text = |key: &str| field.metadata().get(key).cloned().unwrap_or_default();
        TagNotes {
            unit: text("unit"),
            state_set: serde_json::from_str(&text("state_set")).unwrap_or_default(),
            value_type: text("value_type"),
        }
    }
}

/// Writes record batches as they come; holds no more than one row group.
pub enum BatchWriter {
    Table { output: OutputFile, notes: HashMap<String, TagNotes>, table: TextTable },
    Csv(arrow::csv::Writer<OutputFile>),
    Json(LineDelimitedWriter<OutputFile>),
    ArrowFile(FileWriter<OutputFile>),
    ArrowStream(StreamWriter<OutputFile>),
    Parquet(Box<ArrowWriter<OutputFile>>),
}

impl BatchWriter {
    /// Opens the destination. `notes` are for tables.
    ///
    /// # Errors
    /// The destination cannot be opened.
    pub fn open(args: &OutputArgs, schema: &SchemaRef, notes: HashMap<String, TagNotes>) -> anyhow::Result<BatchWriter> {
        let format = args.format()?;
        let output = args.open()?;
        // Arrow files are left as they are in memory, so that they can be mapped.
        let compression = if format == OutputFormat::Parquet { Compression::Zstd } else { Compression::None };
        match format {
            OutputFormat::Arrow if !args.is_file() => Ok(BatchWriter::ArrowStream(StreamWriter::try_new(output, schema)?)),
            _ => BatchWriter::of(output, format, compression, schema, notes),
        }
    }

    /// Opens a file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn file(path: &Path, format: OutputFormat, compression: Compression, schema: &SchemaRef) -> anyhow::Result<BatchWriter> {
        let output = OutputFile::file(path).with_context(|| format!("{} cannot be written", path.display()))?;
        BatchWriter::of(output, format, compression, schema, HashMap::new())
    }

    fn of(
        output: OutputFile,
        format: OutputFormat,
        compression: Compression,
        schema: &SchemaRef,
        notes: HashMap<String, TagNotes>,
    ) -> anyhow::Result<BatchWriter> {
        Ok(match format {
            OutputFormat::Table => BatchWriter::Table { output, notes, table: TextTable::new(columns(schema)) },
            OutputFormat::Csv => {
                let mut writer = CsvBuilder::new().with_header(true).build(output);
                writer.write(&as_text(&RecordBatch::new_empty(schema.clone()))?)?;
                BatchWriter::Csv(writer)
            }
            OutputFormat::Json => BatchWriter::Json(JsonBuilder::new().with_explicit_nulls(true).build(output)),
            OutputFormat::Arrow => BatchWriter::ArrowFile(FileWriter::try_new_with_options(output, schema, compression.of_arrow()?)?),
            OutputFormat::Parquet => {
                let properties = WriterProperties::builder().set_compression(compression.of_parquet()?).build();
                BatchWriter::Parquet(Box::new(ArrowWriter::try_new(output, schema.clone(), Some(properties))?))
            }
        })
    }

    /// Writes one batch.
    ///
    /// # Errors
    /// The destination refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        match self {
            BatchWriter::Table { output, notes, table } => {
                add_rows(&as_text(batch)?, notes, table, |full| {
                    full.write(output)?;
                    full.clear();
                    Ok(())
                })?;
            }
            BatchWriter::Csv(writer) => writer.write(&as_text(batch)?)?,
            BatchWriter::Json(writer) => writer.write(&as_text(batch)?)?,
            BatchWriter::ArrowFile(writer) => writer.write(batch)?,
            BatchWriter::ArrowStream(writer) => writer.write(batch)?,
            BatchWriter::Parquet(writer) => {
                writer.write(batch)?;
                if writer.in_progress_size() > ROW_GROUP_BYTES_MAX {
                    writer.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Writes what a table holds, below what it wrote before, and lets go of all that is held.
    ///
    /// # Errors
    /// The destination refuses.
    pub fn write_now(&mut self) -> anyhow::Result<()> {
        match self {
            BatchWriter::Table { output, table, .. } => table.write_more(output)?,
            BatchWriter::Json(writer) => writer.get_mut().flush()?,
            // A batch is flushed when it is written.
            BatchWriter::Csv(_) | BatchWriter::ArrowFile(_) | BatchWriter::ArrowStream(_) | BatchWriter::Parquet(_) => {}
        }
        Ok(())
    }

    /// Ends the answer: footers, and the name of a file.
    ///
    /// # Errors
    /// The destination refuses.
    pub fn finish(self) -> anyhow::Result<()> {
        let output = match self {
            BatchWriter::Table { mut output, table, .. } => {
                if !table.is_empty() {
                    table.write(&mut output)?;
                }
                output
            }
            BatchWriter::Csv(writer) => writer.into_inner(),
            BatchWriter::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            BatchWriter::ArrowFile(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            BatchWriter::ArrowStream(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            BatchWriter::Parquet(writer) => writer.into_inner()?,
        };
        Ok(output.finish()?)
    }
}

/// The batch with its time zone as an offset, which Arrow can format without a zone database; the timestamps are the same.
fn as_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::with_capacity(batch.num_columns()), Vec::with_capacity(batch.num_columns()));
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)) if zone.as_ref() == "UTC") {
            let column = column.as_primitive::<TimestampNanosecondType>().clone().with_timezone("+00:00");
            fields.push(Arc::new(field.as_ref().clone().with_data_type(column.data_type().clone())));
            columns.push(Arc::new(column) as ArrayRef);
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, batch.schema().metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// Columns of the table of a schema, with what may be left out where there is no room.
fn columns(schema: &SchemaRef) -> Vec<TableColumn> {
    let long = schema.column_with_name("tag").is_some();
    let in_unit = in_unit_of_tag(schema);
    let mut columns = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let name = field.name().as_str();
        let unit = TagNotes::of_field(field).unit;
        let spare = spare(name, index);
        match long {
            true if in_unit && MORE_OF_VALUE.contains(&name) => {}
            true if in_unit && name == "value" => columns.extend([TableColumn::value("VALUE"), TableColumn::whole("UNIT").spare(1)]),
            true if name == "tag" => columns.push(TableColumn::name("TAG")),
            true if name == "function" || name == "item" => columns.push(TableColumn::whole(name.to_uppercase())),
            true if name == "quality" => columns.push(TableColumn::words("QUALITY")),
            true if name == "explanation" => columns.push(TableColumn::sentence("EXPLANATION")),
            true if is_text(field) => columns.push(TableColumn::text(name.to_uppercase()).spare(spare)),
            true => columns.push(TableColumn::whole(name.to_uppercase()).spare(spare)),
            // Names of tags are shown as they are.
            false if name == "timestamp" => columns.push(TableColumn::whole("TIMESTAMP")),
            false if is_text(field) => columns.push(TableColumn::text(name).spare(spare)),
            false if unit.is_empty() => columns.push(TableColumn::named(name).spare(spare)),
            false => columns.push(TableColumn::named(format!("{name} [{unit}]")).spare(spare)),
        }
    }
    columns
}

fn is_text(field: &Field) -> bool {
    match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => matches!(**values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        _ => false,
    }
}

/// How soon a column is left out: what answers are about stays, of the others the last go first.
fn spare(name: &str, index: usize) -> u8 {
    let index = u8::try_from(index).unwrap_or(u8::MAX).min(100);
    match name {
        "tag" | "timestamp" | "value" | "quality" | "function" | "start" | "item" | "explanation" | "count" => 0,
        "end" | "peak" | "detector" | "expected" | "observed" | "samples" | "numerator" | "denominator" | "bad_seconds" => 101 + index,
        _ => 1 + index,
    }
}

/// What the values of a column are to a reader.
enum ColumnRole {
    Timestamp,
    Quality,
    /// Value column of the long layout; its notes depend on the row's tag.
    Value,
    /// Tells of a value what its column does not: shown in its place.
    MoreOfValue,
    /// Value column of one tag.
    ValueOf(TagNotes),
    Other,
}

/// Columns of the long layout with the values that `value` does not hold, or not exactly.
const MORE_OF_VALUE: [&str; 2] = ["integer", "text"];

/// True where `value` is in the unit of the row's tag. What an aggregate function makes of a tag may be a count or a percentage.
fn in_unit_of_tag(schema: &Schema) -> bool {
    schema.column_with_name("function").is_none() && schema.column_with_name("numerator").is_none()
}

fn role(field: &Field, long: bool, in_unit: bool) -> ColumnRole {
    match field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => ColumnRole::Timestamp,
        DataType::UInt32 if field.name() == "quality" || field.name().ends_with("#quality") => ColumnRole::Quality,
        _ if !long => ColumnRole::ValueOf(TagNotes::of_field(field)),
        _ if in_unit && MORE_OF_VALUE.contains(&field.name().as_str()) => ColumnRole::MoreOfValue,
        _ if field.name() == "value" && in_unit => ColumnRole::Value,
        _ if field.data_type().is_numeric() => ColumnRole::ValueOf(TagNotes::default()),
        _ => ColumnRole::Other,
    }
}

fn add_rows(
    batch: &RecordBatch,
    notes: &HashMap<String, TagNotes>,
    table: &mut TextTable,
    mut full: impl FnMut(&mut TextTable) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let options = FormatOptions::default().with_display_error(true);
    let schema = batch.schema();
    let long = schema.column_with_name("tag").is_some();
    let in_unit = in_unit_of_tag(&schema);
    let columns: Vec<(ColumnRole, &dyn Array, ArrayFormatter<'_>)> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| Ok((role(field, long, in_unit), column.as_ref(), ArrayFormatter::try_new(column, &options)?)))
        .collect::<anyhow::Result<_>>()?;
    let tags = batch.column_by_name("tag").map(|tags| ArrayFormatter::try_new(tags, &options)).transpose()?;
    let function = batch.column_by_name("function").map(|names| ArrayFormatter::try_new(names, &options)).transpose()?;
    let nothing = TagNotes::default();
    let is_quality = |row: usize| function.as_ref().is_some_and(|function| function.value(row).to_string().starts_with("worst_quality"));
    let exact = |row: usize| {
        let more = columns.iter().filter(|(role, column, _)| matches!(role, ColumnRole::MoreOfValue) && column.is_valid(row));
        more.map(|(_, column, formatter)| value_cell(*column, &formatter.value(row).to_string(), &nothing)).next()
    };
    for row in 0..batch.num_rows() {
        let notes = tags.as_ref().and_then(|tags| notes.get(&tags.value(row).to_string())).unwrap_or(&nothing);
        let mut cells = Vec::with_capacity(columns.len() + 1);
        for (role, column, formatter) in &columns {
            let null = column.is_null(row);
            if matches!(role, ColumnRole::MoreOfValue) {
                continue;
            }
            let exact = if matches!(role, ColumnRole::Value) { exact(row) } else { None };
            cells.push(match role {
                ColumnRole::Value if exact.is_some() => exact.unwrap_or_else(|| TableCell::new("-")),
                _ if null => TableCell::new("-"),
                ColumnRole::Timestamp => TableCell::time(Timestamp(column.as_primitive::<TimestampNanosecondType>().value(row))),
                ColumnRole::Quality => TableCell::quality(Quality(column.as_primitive::<UInt32Type>().value(row))),
                ColumnRole::ValueOf(_) if is_quality(row) && column.data_type() == &DataType::Float64 => {
                    TableCell::quality(Quality(column.as_primitive::<Float64Type>().value(row) as u32))
                }
                ColumnRole::Value => value_cell(*column, &of_type(*column, row, &notes.value_type, formatter), notes),
                // What is computed from samples of a tag: as many digits as tell something.
                ColumnRole::ValueOf(_) if long && column.data_type() == &DataType::Float64 => {
                    TableCell::number(ten_digits(column.as_primitive::<Float64Type>().value(row)))
                }
                ColumnRole::ValueOf(notes) => value_cell(*column, &formatter.value(row).to_string(), notes),
                ColumnRole::MoreOfValue | ColumnRole::Other => TableCell::new(formatter.value(row)),
            });
            if matches!(role, ColumnRole::Value) {
                cells.push(TableCell::new(&notes.unit));
            }
        }
        table.add_row(cells);
        if table.row_count() >= TABLE_ROWS {
            full(table)?;
        }
    }
    Ok(())
}

/// A number to ten significant digits, and whole numbers whole.
fn ten_digits(number: f64) -> String {
    if number.fract().abs() == 0.0 && number.abs() < 1e15 {
        return format!("{number}");
    }
    match format!("{number:.9e}").parse::<f64>() {
        Ok(rounded) if rounded.abs() >= 1e-4 && rounded.abs() < 1e15 => format!("{rounded}"),
        Ok(rounded) => format!("{rounded:e}"),
        Err(_) => number.to_string(),
    }
}

/// A value among those of other types, as its own type has it: `value` is f64 for all of them.
fn of_type(column: &dyn Array, row: usize, value_type: &str, formatter: &ArrayFormatter<'_>) -> String {
    let number = column.as_primitive_opt::<Float64Type>().map(|numbers| numbers.value(row));
    match (value_type, number) {
        ("bool", Some(number)) => (number != 0.0).to_string(),
        ("state", Some(number)) => number.to_string(),
        ("f32", Some(number)) => format!("{:?}", number as f32),
        _ => formatter.value(row).to_string(),
    }
}

fn value_cell(column: &dyn Array, text: &str, notes: &TagNotes) -> TableCell {
    match text.parse::<usize>().ok().and_then(|state| notes.state_set.get(state)) {
        Some(state) => TableCell::number(format!("{text} ({state})")),
        None if column.data_type().is_numeric() && text != "true" && text != "false" => TableCell::number(text),
        None => TableCell::new(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_computed_has_the_digits_that_tell_something() {
        for (number, text) in [
            (5.418_600_478_582_873, "5.418600479"),
            (480.0, "480"),
            (-0.125, "-0.125"),
            (0.1 + 0.2, "0.3"),
            (9_007_199_254_741_002.0, "9.007199255e15"),
            (1e300, "1e300"),
            (1.5e-7, "1.5e-7"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(ten_digits(number), text);
        }
    }
}
