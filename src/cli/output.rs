//! Where answers go: standard output or a file, as a table for people or in one of the formats for machines, batch by batch.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    csv::WriterBuilder as CsvBuilder,
    datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType, UInt32Type},
    error::ArrowError,
    ipc::{
        CompressionType,
        writer::{FileWriter, IpcWriteOptions, StreamWriter},
    },
    json::{LineDelimitedWriter, WriterBuilder as JsonBuilder},
    util::display::{ArrayFormatter, FormatOptions},
};
use clap::{Args, ValueEnum};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use parquet::{arrow::ArrowWriter, basic::ZstdLevel, file::properties::WriterProperties};
use serde::Deserialize;

use super::Misuse;
use historian_model::{Quality, Timestamp};

/// Rows of a table that are held to find the widths of its columns.
const TABLE_ROWS: usize = 1000;

/// Memory that an unfinished row group of a Parquet file may take.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;

static READER_GONE: AtomicBool = AtomicBool::new(false);

/// True when a write failed because nobody reads our output any more.
pub fn reader_is_gone() -> bool {
    READER_GONE.load(Ordering::Relaxed)
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Json,
    /// Arrow IPC: the file format in a file, the stream format on standard output.
    Arrow,
    /// Parquet, compressed with zstd.
    Parquet,
}

/// How the columns of Arrow and Parquet files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    Zstd,
    /// Faster and larger.
    Lz4,
    None,
}

impl Compression {
    fn of_parquet(self) -> anyhow::Result<parquet::basic::Compression> {
        Ok(match self {
            Compression::Zstd => parquet::basic::Compression::ZSTD(ZstdLevel::try_new(3)?),
            Compression::Lz4 => parquet::basic::Compression::LZ4_RAW,
            Compression::None => parquet::basic::Compression::UNCOMPRESSED,
        })
    }

    fn of_arrow(self) -> anyhow::Result<IpcWriteOptions> {
        let codec = match self {
            Compression::Zstd => Some(CompressionType::ZSTD),
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::None => None,
        };
        Ok(IpcWriteOptions::default().try_with_compression(codec)?)
    }
}

/// How a short answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON object per line.
    Json,
}

/// How and where, as flags.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Output format [default: by the extension of the output file; otherwise table on a terminal, csv elsewhere].
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    /// File to write; it appears under its name when it is complete.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl OutputArgs {
    /// Format asked for, or the one that fits the destination.
    ///
    /// # Errors
    /// A binary format would go to a terminal.
    pub fn format(&self) -> anyhow::Result<OutputFormat> {
        let to_terminal = self.output.is_none() && io::stdout().is_terminal();
        let by_ending = || match self.output.as_ref()?.extension()?.to_str()? {
            "csv" => Some(OutputFormat::Csv),
            "json" | "jsonl" | "ndjson" => Some(OutputFormat::Json),
            "arrow" | "feather" | "ipc" => Some(OutputFormat::Arrow),
            "parquet" => Some(OutputFormat::Parquet),
            _ => None,
        };
        let format = self.format.or_else(by_ending).unwrap_or(if to_terminal { OutputFormat::Table } else { OutputFormat::Csv });
        if to_terminal && matches!(format, OutputFormat::Arrow | OutputFormat::Parquet) {
            let message = "this format is not for a terminal; add --output FILE, or send the output to another program";
            return Err(Misuse(message.to_owned()).into());
        }
        Ok(format)
    }

    /// True where the answer becomes a file, which somebody may want to take in again.
    pub fn is_file(&self) -> bool {
        self.output.is_some()
    }

    /// True when a person sees how far the work is only if we tell.
    pub fn wants_progress(&self) -> bool {
        self.output.is_some() && io::stderr().is_terminal()
    }

    fn open(&self) -> anyhow::Result<OutputFile> {
        match &self.output {
            Some(path) => OutputFile::file(path).with_context(|| format!("{} cannot be written", path.display())),
            None => Ok(OutputFile::stdout()),
        }
    }
}

/// A destination that remembers whether its reader went away, and that shows a file only when it is complete.
pub struct OutputFile {
    /// `None` only while it is being closed.
    inner: Option<Box<dyn Write + Send>>,
    /// Name under which the file is written, and the one it gets in the end.
    partial: Option<(PathBuf, PathBuf)>,
}

impl OutputFile {
    pub fn stdout() -> OutputFile {
        OutputFile { inner: Some(Box::new(BufWriter::with_capacity(64 << 10, io::stdout()))), partial: None }
    }

    /// A file that gets its name when it is complete.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn file(path: &Path) -> io::Result<OutputFile> {
        // Devices and pipes (/dev/stdout) cannot be renamed to.
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            let file = File::options().write(true).open(path)?;
            return Ok(OutputFile { inner: Some(Box::new(BufWriter::new(file))), partial: None });
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let file = File::create(&partial)?;
        Ok(OutputFile { inner: Some(Box::new(BufWriter::with_capacity(1 << 20, file))), partial: Some((partial.into(), path.to_owned())) })
    }

    /// Writes what is buffered and gives a file its name.
    ///
    /// # Errors
    /// The disk is full, the directory went away, …
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.inner = None;
        match self.partial.take() {
            Some((partial, path)) => fs::rename(partial, path),
            None => Ok(()),
        }
    }

    fn watched<T>(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
        let Some(inner) = &mut self.inner else { return Err(io::Error::other("the output is closed")) };
        write(inner).inspect_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                READER_GONE.store(true, Ordering::Relaxed);
            }
        })
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watched(|inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.watched(|inner| inner.flush())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // Unfinished text on standard output is still shown; an unfinished file is not left behind.
        let _ = self.inner.as_mut().map(Write::flush);
        if let Some((partial, _)) = self.partial.take() {
            let _ = fs::remove_file(partial);
        }
    }
}

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
    Table { output: OutputFile, notes: HashMap<String, TagNotes>, schema: SchemaRef, table: Table },
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
            OutputFormat::Arrow if args.output.is_none() => Ok(BatchWriter::ArrowStream(StreamWriter::try_new(output, schema)?)),
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
            OutputFormat::Table => BatchWriter::Table { output, notes, schema: schema.clone(), table: table(&headings(schema)) },
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
            BatchWriter::Table { output, notes, schema, table } => {
                add_rows(&as_text(batch)?, notes, table, |full| {
                    write_table(output, full)?;
                    *full = self::table(&headings(schema));
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

    /// Ends the answer: footers, and the name of a file.
    ///
    /// # Errors
    /// The destination refuses.
    pub fn finish(self) -> anyhow::Result<()> {
        let output = match self {
            BatchWriter::Table { mut output, table, .. } => {
                write_table(&mut output, &table)?;
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

/// An empty table with its headings. Cells are never wrapped, so that they can be copied.
pub fn table<T: std::fmt::Display>(headings: &[T]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(Cell::new).collect::<Vec<_>>());
    table
}

/// A cell with a number, aligned to the right.
pub fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Writes a table without blanks at line ends.
///
/// # Errors
/// The destination refuses.
pub fn write_table(output: &mut OutputFile, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        let line = line.strip_prefix(' ').unwrap_or(&line);
        writeln!(output, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A text without control characters: what a device or a file says must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
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

fn headings(schema: &SchemaRef) -> Vec<String> {
    let long = schema.column_with_name("tag").is_some();
    let in_unit = in_unit_of_tag(schema);
    let mut headings = Vec::new();
    for field in schema.fields() {
        let name = printable(field.name());
        let unit = printable(&TagNotes::of_field(field).unit);
        match long {
            true if in_unit && MORE_OF_VALUE.contains(&name.as_str()) => {}
            true if in_unit && name == "value" => headings.extend([name.to_uppercase(), "UNIT".to_owned()]),
            true => headings.push(name.to_uppercase()),
            // Names of tags are shown as they are.
            false if name == "timestamp" => headings.push("TIMESTAMP".to_owned()),
            false if unit.is_empty() => headings.push(name),
            false => headings.push(format!("{name} [{unit}]")),
        }
    }
    headings
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
    schema.column_with_name("function").is_none()
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
    table: &mut Table,
    mut full: impl FnMut(&mut Table) -> anyhow::Result<()>,
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
    let nothing = TagNotes::default();
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
                ColumnRole::Value if exact.is_some() => exact.unwrap_or_else(|| Cell::new("-")),
                _ if null => Cell::new("-"),
                ColumnRole::Timestamp => Cell::new(Timestamp(column.as_primitive::<TimestampNanosecondType>().value(row))),
                ColumnRole::Quality => Cell::new(Quality(column.as_primitive::<UInt32Type>().value(row))),
                ColumnRole::Value => value_cell(*column, &of_type(*column, row, &notes.value_type, formatter), notes),
                ColumnRole::ValueOf(notes) => value_cell(*column, &formatter.value(row).to_string(), notes),
                ColumnRole::MoreOfValue | ColumnRole::Other => Cell::new(printable(&formatter.value(row).to_string())),
            });
            if matches!(role, ColumnRole::Value) {
                cells.push(Cell::new(printable(&notes.unit)));
            }
        }
        table.add_row(cells);
        if table.row_count() >= TABLE_ROWS {
            full(table)?;
        }
    }
    Ok(())
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

fn value_cell(column: &dyn Array, text: &str, notes: &TagNotes) -> Cell {
    match text.parse::<usize>().ok().and_then(|state| notes.state_set.get(state)) {
        Some(state) => number(format!("{text} ({})", printable(state))),
        None if column.data_type().is_numeric() && text != "true" && text != "false" => number(text),
        None => Cell::new(printable(text)),
    }
}
