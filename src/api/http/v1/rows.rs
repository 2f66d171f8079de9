//! Record batches as JSON and CSV.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};
use serde_json::Value;
use tonic::Status;

use super::{
    cell::{self, Cell, CellForm, Cells},
    options::RowFormat,
    parquet::ParquetRows,
    problem::Problem,
};
use crate::status;

/// Longest answer in columns, which is held until it is whole.
const COLUMNS_BYTES_MAX: usize = 16 << 20;

/// Writes the rows of one answer.
pub struct RowWriter {
    format: RowFormat,
    form: CellForm,
    schema: SchemaRef,
    rows: u64,
    /// Of the answer in columns: what each has so far.
    columns: Vec<Vec<u8>>,
    /// The file, where the answer is one.
    parquet: Option<ParquetRows>,
}

impl RowWriter {
    /// A writer, and what comes before the rows.
    ///
    /// # Errors
    /// When two columns have one name, and the format has objects.
    pub fn begin(format: RowFormat, form: CellForm, schema: SchemaRef) -> Result<(RowWriter, Vec<u8>), Problem> {
        let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        names.sort_unstable();
        if format != RowFormat::Csv
            && let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1])
        {
            return Err(Problem::invalid(
                "",
                format!("two columns are named {:?}; give one another name, or ask for CSV or Arrow", pair[0]),
            ));
        }
        let mut before = Vec::new();
        match format {
            RowFormat::JsonColumns | RowFormat::JsonRows => {
                before.extend_from_slice(head(&schema, form).as_bytes());
                before.extend_from_slice(if format == RowFormat::JsonRows { b",\"rows\":[" } else { b",\"data\":{" });
            }
            RowFormat::Csv => record(&mut before, schema.fields().iter().map(|field| field.name().as_str())),
            RowFormat::NdJson | RowFormat::Arrow | RowFormat::Parquet => {}
        }
        let columns = vec![Vec::new(); schema.fields().len()];
        let parquet = (format == RowFormat::Parquet).then(|| ParquetRows::begin(schema.clone())).transpose()?;
        Ok((RowWriter { format, form, schema, rows: 0, columns, parquet }, before))
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// When an answer in columns becomes too long, or a value cannot be shown.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, Problem> {
        if let Some(parquet) = &mut self.parquet {
            return parquet.batch(batch);
        }
        let shown = |error: ArrowError| Problem::from(status::internal(error.to_string()));
        let mut columns =
            batch.columns().iter().map(|column| Cells::of(column, self.form)).collect::<Result<Vec<_>, _>>().map_err(shown)?;
        let mut out = Vec::new();
        match self.format {
            RowFormat::JsonColumns => {
                for (cells, out) in columns.iter_mut().zip(&mut self.columns) {
                    column(cells, batch.num_rows(), out);
                }
                if self.held() > COLUMNS_BYTES_MAX {
                    return Err(Problem::too_long(format!(
                        "in columns the answer has more than {COLUMNS_BYTES_MAX} bytes; ask for shape=rows, or for format=ndjson, csv or arrow"
                    )));
                }
            }
            RowFormat::JsonRows | RowFormat::NdJson => {
                let names: Vec<String> = self.schema.fields().iter().map(|field| Value::from(field.name().as_str()).to_string()).collect();
                for row in 0..batch.num_rows() {
                    if self.format == RowFormat::JsonRows && self.rows + row as u64 > 0 {
                        out.push(b',');
                    }
                    object(&names, &mut columns, row, &mut out);
                    if self.format == RowFormat::NdJson {
                        out.push(b'\n');
                    }
                }
            }
            RowFormat::Csv => {
                for row in 0..batch.num_rows() {
                    let cells: Vec<Cell<'_>> = columns.iter_mut().map(|cells| cells.cell(row)).collect();
                    record(&mut out, cells.iter().map(Cell::field));
                }
            }
            RowFormat::Arrow | RowFormat::Parquet => {}
        }
        self.rows += batch.num_rows() as u64;
        Ok(out)
    }

    /// Bytes that are held until the end.
    pub fn held(&self) -> usize {
        self.columns.iter().map(Vec::len).sum::<usize>() + self.parquet.as_ref().map_or(0, ParquetRows::held)
    }

    /// What comes behind the rows.
    ///
    /// # Errors
    /// When the end of a file cannot be written.
    pub fn end(mut self) -> Result<Vec<u8>, Problem> {
        if let Some(parquet) = self.parquet.take() {
            return parquet.end();
        }
        Ok(match self.format {
            RowFormat::JsonColumns => {
                let mut out = Vec::with_capacity(self.held() + 64 * self.columns.len());
                for (index, (field, column)) in self.schema.fields().iter().zip(&self.columns).enumerate() {
                    out.extend_from_slice(if index > 0 { b"," } else { b"" });
                    out.extend_from_slice(Value::from(field.name().as_str()).to_string().as_bytes());
                    out.extend_from_slice(b":[");
                    out.extend_from_slice(column);
                    out.push(b']');
                }
                out.extend_from_slice(format!("}},\"rows\":{}}}\n", self.rows).as_bytes());
                out
            }
            RowFormat::JsonRows => b"]}\n".to_vec(),
            RowFormat::NdJson | RowFormat::Csv | RowFormat::Arrow | RowFormat::Parquet => Vec::new(),
        })
    }
}

/// One batch in columns, as an object of its own.
///
/// # Errors
/// When a value cannot be shown.
pub fn in_columns(batch: &RecordBatch, form: CellForm) -> Result<Vec<u8>, Status> {
    let mut out = b"{\"data\":{".to_vec();
    for (index, (field, array)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        out.extend_from_slice(Value::from(field.name().as_str()).to_string().as_bytes());
        out.extend_from_slice(b":[");
        let mut values = Vec::new();
        column(&mut Cells::of(array, form).map_err(|error| status::internal(error.to_string()))?, batch.num_rows(), &mut values);
        out.append(&mut values);
        out.push(b']');
    }
    out.extend_from_slice(format!("}},\"rows\":{}}}", batch.num_rows()).as_bytes());
    Ok(out)
}

fn column(cells: &mut Cells<'_>, rows: usize, out: &mut Vec<u8>) {
    for row in 0..rows {
        if !out.is_empty() {
            out.push(b',');
        }
        cells.cell(row).json(out);
    }
}

fn object(names: &[String], columns: &mut [Cells<'_>], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, cells)) in names.iter().zip(columns).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        cells.cell(row).json(out);
    }
    out.push(b'}');
}

/// A line of CSV.
fn record<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = &'a str>) {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    // To memory nothing fails.
    let _ = writer.write_record(fields);
}

/// The beginning of an answer as a JSON object: metadata and columns.
fn head(schema: &Arc<Schema>, form: CellForm) -> String {
    let columns: Vec<Value> = schema
        .fields()
        .iter()
        .map(|field| serde_json::json!({ "name": field.name(), "type": cell::type_name(field.data_type()) }))
        .collect();
    format!("{{\"metadata\":{},\"columns\":{}", metadata(schema, form), Value::from(columns))
}

/// Metadata of a schema as a JSON object, in the order of the names: bounds as times, JSON in it as JSON.
fn metadata(schema: &Schema, form: CellForm) -> String {
    let one = |(name, text): (&String, &String)| {
        let value = match (name.as_str(), text.parse::<i64>()) {
            ("start" | "end", Ok(nanoseconds)) => {
                let (mut scratch, mut out) = (Vec::new(), Vec::new());
                cell::time(nanoseconds.into(), form, &mut scratch).json(&mut out);
                String::from_utf8(out).unwrap_or_default()
            }
            // As it stands: a number that is read and written may be another.
            _ => match serde_json::from_str(text) {
                Ok(Value::Object(_) | Value::Array(_)) => text.clone(),
                _ => Value::from(text.as_str()).to_string(),
            },
        };
        (name.clone(), value)
    };
    let sorted: BTreeMap<String, String> = schema.metadata().iter().map(one).collect();
    let fields: Vec<String> = sorted.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::{
        array::{ArrayRef, Float64Array, StringArray},
        datatypes::{DataType, Field},
    };

    use super::*;

    fn batch() -> RecordBatch {
        let fields = vec![Field::new("tag", DataType::Utf8, false), Field::new("a,\"b", DataType::Float64, true)];
        let metadata =
            HashMap::from([("end".into(), "1000000000".into()), ("tags".into(), "{\"x\":1}".into()), ("note".into(), "7".into())]);
        let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
        let tags: ArrayRef = Arc::new(StringArray::from(vec!["x\ny", "z"]));
        RecordBatch::try_new(schema, vec![tags, Arc::new(Float64Array::from(vec![Some(1.5), None]))]).unwrap()
    }

    fn written(format: RowFormat, batches: &[RecordBatch]) -> String {
        let (mut writer, mut out) = RowWriter::begin(format, CellForm::default(), batch().schema()).unwrap();
        for batch in batches {
            out.extend(writer.batch(batch).unwrap());
        }
        out.extend(writer.end().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_format_holds_the_rows_of_all_batches() {
        let two = [batch(), batch().slice(1, 1)];
        let head = r#"{"metadata":{"end":"1970-01-01T00:00:01Z","note":"7","tags":{"x":1}},"columns":[{"name":"tag","type":"string"},{"name":"a,\"b","type":"f64"}]"#;
        assert_eq!(
            written(RowFormat::JsonColumns, &two),
            format!("{head},{}\n", r#""data":{"tag":["x\ny","z","z"],"a,\"b":[1.5,null,null]},"rows":3}"#)
        );
        let rows = [r#"{"tag":"x\ny","a,\"b":1.5}"#, r#"{"tag":"z","a,\"b":null}"#, r#"{"tag":"z","a,\"b":null}"#];
        assert_eq!(written(RowFormat::JsonRows, &two), format!("{head},\"rows\":[{}]}}\n", rows.join(",")));
        assert_eq!(written(RowFormat::NdJson, &two), rows.map(|row| format!("{row}\n")).concat());
        assert_eq!(written(RowFormat::Csv, &two), "tag,\"a,\"\"b\"\r\n\"x\ny\",1.5\r\nz,\r\nz,\r\n");
        assert_eq!(written(RowFormat::JsonRows, &[]), format!("{head},\"rows\":[]}}\n"));
        assert_eq!(written(RowFormat::JsonColumns, &[]), format!("{head},\"data\":{{\"tag\":[],\"a,\\\"b\":[]}},\"rows\":0}}\n"));
    }
}
