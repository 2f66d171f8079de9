//! Rows of Parquet and Arrow files.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
};

use anyhow::{Context, anyhow, bail};
use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array},
    compute::{CastOptions, cast_with_options},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
    },
    ipc::reader::{FileReader, StreamReader},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{
    csv,
    header::HeaderColumns,
    local::LocalTimes,
    mistake::{Mistakes, SampleFileFormat},
    portion::{FileRow, FileValue, RowsByTag},
    quality::Scale,
    settings::Settings,
    value,
};
use historian_collector::guard;
use historian_model::{Quality, Timestamp, ValueType};

/// Rows of one batch.
const BATCH_ROWS: usize = 65_536;

pub struct Columnar {
    batches: Box<dyn Iterator<Item = anyhow::Result<RecordBatch>> + Send>,
    rows_total: u64,
    columns: HeaderColumns,
    settings: Settings,
    scale: Scale,
    times: LocalTimes,
    batch: Option<Typed>,
    /// Rows of the batch that were read, and of all batches before it.
    next: usize,
    before: u64,
}

/// A batch whose columns have one of a few types.
struct Typed {
    rows: usize,
    tag: Option<StringArray>,
    timestamp: TimeColumn,
    value: ValueColumn,
    quality: Option<Codes>,
    kind: Option<StringArray>,
    text: Option<StringArray>,
    integer: Option<Decimal128Array>,
    others: Vec<Option<StringArray>>,
}

enum TimeColumn {
    /// Instants, in parts of a second.
    Instant(Int64Array, i64),
    /// Civil times, in parts of a second.
    Civil(Int64Array, i64),
    /// Numbers whose unit the file does not say.
    Number(Int64Array),
    Text(StringArray),
}

enum ValueColumn {
    None,
    F64(Float64Array),
    F32(Float32Array),
    I64(Int64Array),
    U64(UInt64Array),
    Decimal(Decimal128Array),
    Bool(arrow::array::BooleanArray),
    Text(StringArray),
}

enum Codes {
    Number(Int64Array),
    Text(StringArray),
}

impl Columnar {
    /// Opens the file and reads its schema.
    ///
    /// # Errors
    /// Names the column that is missing, one too many, or of a type that cannot be read.
    pub fn new(file: File, kind: SampleFileFormat, settings: &Settings, times: LocalTimes) -> anyhow::Result<Columnar> {
        let (schema, rows_total, mut batches) = sound(|| opened(file, kind))??;
        let batches = Box::new(std::iter::from_fn(move || sound(|| batches.next()).unwrap_or_else(|error| Some(Err(error)))));
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let columns = HeaderColumns::of(&names, settings)?;
        let scale = csv::own(settings.scale, &columns);
        // What no batch can be read by is told before any is.
        Typed::of(&RecordBatch::new_empty(schema), &columns, settings)?;
        let settings = settings.clone();
        Ok(Columnar { batches, rows_total, columns, settings, scale, times, batch: None, next: 0, before: 0 })
    }

    pub fn read(&mut self, portion: &mut RowsByTag, mistakes: &mut Mistakes, rows_max: usize) -> bool {
        while !portion.is_full(rows_max) {
            let Some(batch) = self.batch.take() else {
                let next = match self.batches.next() {
                    None => return false,
                    Some(batch) => batch.and_then(|batch| Typed::of(&batch, &self.columns, &self.settings)),
                };
                match next {
                    Ok(batch) => self.batch = Some(batch),
                    Err(error) => {
                        mistakes.add(self.before + 1, &format!("from here on: {error:#}"));
                        return false;
                    }
                }
                continue;
            };
            while self.next < batch.rows && !portion.is_full(rows_max) {
                self.row(&batch, self.next, portion, mistakes);
                self.next += 1;
            }
            if self.next < batch.rows {
                self.batch = Some(batch);
            } else {
                self.before += batch.rows as u64;
                self.next = 0;
            }
        }
        true
    }

    fn row(&mut self, batch: &Typed, row: usize, portion: &mut RowsByTag, mistakes: &mut Mistakes) {
        let place = self.before + row as u64 + 1;
        let Columnar { columns, settings, times, scale, .. } = self;
        for (other, texts) in columns.others.iter_mut().zip(&batch.others) {
            if let Some(texts) = texts.as_ref().filter(|texts| other.is_watched() && texts.is_valid(row)) {
                other.watch(place, texts.value(row), mistakes);
            }
        }
        let tag = match &batch.tag {
            Some(tags) if tags.is_null(row) => "",
            Some(tags) => tags.value(row).trim(),
            None => settings.tag.as_deref().unwrap_or_default(),
        };
        if tag.is_empty() {
            mistakes.at(place, "tag", "is empty");
        }
        let timestamp =
            batch.timestamp.instant(row, tag, place, settings, times).map_err(|reason| mistakes.at(place, "timestamp", &reason));
        let quality = match &batch.quality {
            None => Ok(Quality::GOOD),
            Some(codes) => codes.read(row, *scale).map_err(|reason| mistakes.at(place, "quality", &reason)),
        };
        let text_of =
            |texts: &Option<StringArray>| texts.as_ref().filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row).to_owned());
        let declared = match text_of(&batch.kind).as_deref().map(str::trim) {
            None | Some("") => None,
            Some(text) => text.parse::<ValueType>().map_err(|error| mistakes.at(place, "type", &error.to_string())).ok(),
        };
        let integer = || match &batch.integer {
            Some(integers) if integers.is_valid(row) => FileValue::Integer(integers.value(row)),
            _ => FileValue::Empty,
        };
        let text = || text_of(&batch.text).map_or(FileValue::Empty, FileValue::String);
        let chosen = value::chosen(declared, || batch.value.cell(row), integer, text);
        let (value, quality) = value::meant(chosen, declared, quality, settings);
        let value = value.map_err(|reason| mistakes.at(place, "value", &reason));
        // What else is wrong with the row is told as well; nothing of a file with a mistake is written.
        let (timestamp, quality) = (timestamp.unwrap_or_default(), quality.unwrap_or(Quality::BAD));
        if let Ok(value) = value
            && !tag.is_empty()
        {
            portion.push(tag, declared.or(batch.value.declared(&value)), FileRow { place, timestamp, value, quality }, mistakes);
        }
    }

    pub fn done(&self) -> u64 {
        self.before + self.next as u64
    }

    /// Rows of the file where it says so, else 0.
    pub fn rows(&self) -> u64 {
        self.rows_total
    }

    pub fn passed_over(&self) -> Vec<&str> {
        self.columns.passed_over()
    }

    pub fn into_times(self) -> LocalTimes {
        self.times
    }
}

type Batches = Box<dyn Iterator<Item = anyhow::Result<RecordBatch>> + Send>;

/// What the libraries of the formats make of a file. On some that are damaged they panic, which is the file's fault and not ours.
fn sound<T>(read: impl FnOnce() -> T) -> anyhow::Result<T> {
    guard::call(read).map_err(|panicked| {
        tracing::debug!(%panicked, "a file of samples");
        anyhow!("is damaged: what it says of itself is not so")
    })
}

fn opened(mut file: File, kind: SampleFileFormat) -> anyhow::Result<(arrow::datatypes::SchemaRef, u64, Batches)> {
    if kind == SampleFileFormat::Parquet {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).context("is no Parquet file")?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let schema = builder.schema().clone();
        let reader = builder.with_batch_size(BATCH_ROWS).build().context("cannot be read")?;
        return Ok((schema, rows, Box::new(reader.map(|batch| batch.context("cannot be read")))));
    }
    // The file format begins with its name; what does not is the stream format.
    let mut magic = [0; 6];
    let is_file = file.read_exact(&mut magic).is_ok() && &magic == b"ARROW1";
    file.rewind()?;
    let file = BufReader::new(file);
    if is_file {
        let reader = FileReader::try_new(file, None).context("is no Arrow file")?;
        Ok((reader.schema(), 0, Box::new(reader.map(|batch| batch.context("cannot be read")))))
    } else {
        let reader = StreamReader::try_new(file, None).context("is neither an Arrow file nor an Arrow stream")?;
        Ok((reader.schema(), 0, Box::new(reader.map(|batch| batch.context("cannot be read")))))
    }
}

impl Typed {
    fn of(batch: &RecordBatch, columns: &HeaderColumns, settings: &Settings) -> anyhow::Result<Typed> {
        let schema = batch.schema();
        let plain = |index: usize| -> anyhow::Result<ArrayRef> { undone(batch.column(index)).with_context(|| column_name(&schema, index)) };
        let texts = |index: Option<usize>| -> anyhow::Result<Option<StringArray>> {
            let Some(index) = index else { return Ok(None) };
            let array = plain(index)?;
            if !is_text(array.data_type()) && array.data_type() != &DataType::Null {
                bail!("{}: is {}, it must be text", column_name(&schema, index), array.data_type());
            }
            Ok(Some(cast(&array, &DataType::Utf8)?.as_string::<i32>().clone()))
        };
        let others = columns.others.iter().map(|other| {
            let is_read = other.is_watched() && is_text(undone(batch.column(other.index))?.data_type());
            if is_read { texts(Some(other.index)) } else { Ok(None) }
        });
        let integer = match columns.integer {
            None => None,
            Some(index) => {
                let whole = cast(&plain(index)?, &DataType::Decimal128(38, 0)).with_context(|| column_name(&schema, index))?;
                Some(whole.as_primitive::<Decimal128Type>().clone())
            }
        };
        Ok(Typed {
            rows: batch.num_rows(),
            tag: texts(columns.tag)?,
            timestamp: TimeColumn::of(&plain(columns.timestamp)?, settings).with_context(|| column_name(&schema, columns.timestamp))?,
            value: columns.value.map_or(Ok(ValueColumn::None), |index| {
                plain(index).and_then(|array| ValueColumn::of(&array)).with_context(|| column_name(&schema, index))
            })?,
            quality: columns
                .quality
                .map(|index| plain(index).and_then(|array| Codes::of(&array)).with_context(|| column_name(&schema, index)))
                .transpose()?,
            kind: texts(columns.kind)?,
            text: texts(columns.text)?,
            integer,
            others: others.collect::<anyhow::Result<_>>()?,
        })
    }
}

fn column_name(schema: &Schema, index: usize) -> String {
    format!("column {}", schema.field(index).name())
}

/// Without a dictionary.
fn undone(array: &ArrayRef) -> anyhow::Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values),
        _ => Ok(array.clone()),
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// What does not fit is an error, not a null.
fn cast(array: &ArrayRef, kind: &DataType) -> anyhow::Result<ArrayRef> {
    Ok(cast_with_options(array, kind, &CastOptions { safe: false, ..CastOptions::default() })?)
}

impl TimeColumn {
    fn of(array: &ArrayRef, settings: &Settings) -> anyhow::Result<TimeColumn> {
        let integers =
            |array: &ArrayRef| -> anyhow::Result<Int64Array> { Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()) };
        Ok(match array.data_type() {
            DataType::Timestamp(unit, zone) => {
                let (parts, per_second): (Int64Array, i64) = match unit {
                    TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().reinterpret_cast(), 1),
                    TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().reinterpret_cast(), 1_000),
                    TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast(), 1_000_000),
                    TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().reinterpret_cast(), 1_000_000_000),
                };
                let is_instant = zone.is_some() || settings.zone == jiff::tz::TimeZone::UTC;
                if is_instant { TimeColumn::Instant(parts, per_second) } else { TimeColumn::Civil(parts, per_second) }
            }
            DataType::Date32 => {
                let days: Int64Array = array.as_primitive::<Date32Type>().unary(|day| i64::from(day) * 86_400);
                TimeColumn::Civil(days, 1)
            }
            kind if kind.is_integer() => TimeColumn::Number(integers(array)?),
            kind if is_text(kind) => TimeColumn::Text(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
            other => bail!("is {other}; it must be a timestamp, or an integer whose unit --time-unit says"),
        })
    }

    fn instant(&self, row: usize, tag: &str, place: u64, settings: &Settings, times: &mut LocalTimes) -> Result<i64, String> {
        const OUTSIDE: &str = "is outside the years 1678 to 2262";
        let (TimeColumn::Instant(numbers, _) | TimeColumn::Civil(numbers, _) | TimeColumn::Number(numbers)) = self else {
            let TimeColumn::Text(texts) = self else { return Err("is missing".into()) };
            return if texts.is_null(row) { Err("is missing".into()) } else { csv::instant(texts.value(row), tag, place, settings, times) };
        };
        if numbers.is_null(row) {
            return Err("is missing".into());
        }
        let number = numbers.value(row);
        match self {
            TimeColumn::Number(_) => match settings.unit {
                Some(unit) => number.checked_mul(unit.nanoseconds()).ok_or_else(|| format!("{number} {OUTSIDE}")),
                None => Timestamp::from_nanoseconds(number)
                    .map(|time| time.0)
                    .map_err(|error| format!("{error}; --time-unit says what the numbers of the file are")),
            },
            TimeColumn::Civil(_, per_second) => {
                let below = number.rem_euclid(*per_second) * (1_000_000_000 / per_second);
                let time = jiff::Timestamp::new(number.div_euclid(*per_second), i32::try_from(below).unwrap_or(0));
                let civil = time.map_err(|_| OUTSIDE.to_owned())?.to_zoned(jiff::tz::TimeZone::UTC).datetime();
                times.instant(tag, place, civil)
            }
            TimeColumn::Instant(_, per_second) => number.checked_mul(1_000_000_000 / per_second).ok_or_else(|| OUTSIDE.to_owned()),
            TimeColumn::Text(_) => Err("is missing".into()),
        }
    }
}

impl ValueColumn {
    fn of(array: &ArrayRef) -> anyhow::Result<ValueColumn> {
        Ok(match array.data_type() {
            DataType::Float64 => ValueColumn::F64(array.as_primitive::<Float64Type>().clone()),
            DataType::Float32 => ValueColumn::F32(array.as_primitive::<Float32Type>().clone()),
            DataType::Float16 => ValueColumn::F64(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone()),
            DataType::Boolean => ValueColumn::Bool(array.as_boolean().clone()),
            DataType::Null => ValueColumn::None,
            // Integers of 64 bits and more, where they are whole; other decimals have no binary form that is exact.
            DataType::Decimal32(_, 0) | DataType::Decimal64(_, 0) | DataType::Decimal128(_, 0) => {
                ValueColumn::Decimal(cast(array, &DataType::Decimal128(38, 0))?.as_primitive::<Decimal128Type>().clone())
            }
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
                // By way of its digits: the nearest number, as from a text.
                ValueColumn::F64(cast(&cast(array, &DataType::Utf8)?, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            kind if kind.is_unsigned_integer() => ValueColumn::U64(cast(array, &DataType::UInt64)?.as_primitive::<UInt64Type>().clone()),
            kind if kind.is_integer() => ValueColumn::I64(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            kind if is_text(kind) => ValueColumn::Text(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
            other => bail!("is {other}; it must be a number, a boolean or text"),
        })
    }

    fn cell(&self, row: usize) -> FileValue {
        match self {
            ValueColumn::F64(values) if values.is_valid(row) => FileValue::F64(values.value(row)),
            ValueColumn::F32(values) if values.is_valid(row) => FileValue::F32(values.value(row)),
            ValueColumn::I64(values) if values.is_valid(row) => FileValue::Integer(values.value(row).into()),
            ValueColumn::U64(values) if values.is_valid(row) => FileValue::Integer(values.value(row).into()),
            ValueColumn::Decimal(values) if values.is_valid(row) => FileValue::Integer(values.value(row)),
            ValueColumn::Bool(values) if values.is_valid(row) => FileValue::Bool(values.value(row)),
            ValueColumn::Text(values) if values.is_valid(row) => FileValue::Text(values.value(row).to_owned()),
            _ => FileValue::Empty,
        }
    }

    /// The type that a column says by its own, for tags that are made.
    fn declared(&self, value: &FileValue) -> Option<ValueType> {
        match (self, value) {
            (ValueColumn::F64(_), FileValue::F64(_) | FileValue::Empty) => Some(ValueType::F64),
            (ValueColumn::F32(_), FileValue::F32(_) | FileValue::Empty) => Some(ValueType::F32),
            (ValueColumn::I64(_), FileValue::Integer(_) | FileValue::Empty) => Some(ValueType::I64),
            (ValueColumn::U64(_), FileValue::Integer(_) | FileValue::Empty) => Some(ValueType::U64),
            (ValueColumn::Bool(_), FileValue::Bool(_) | FileValue::Empty) => Some(ValueType::Bool),
            _ => None,
        }
    }
}

impl Codes {
    fn of(array: &ArrayRef) -> anyhow::Result<Codes> {
        Ok(match array.data_type() {
            kind if kind.is_integer() => Codes::Number(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            kind if is_text(kind) => Codes::Text(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
            other => bail!("is {other}; it must be an integer or text"),
        })
    }

    fn read(&self, row: usize, scale: Scale) -> Result<Quality, String> {
        match self {
            Codes::Number(codes) if codes.is_valid(row) => scale.number(codes.value(row)),
            Codes::Text(codes) if codes.is_valid(row) => scale.read(codes.value(row)),
            _ => Err("is missing".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_panics_on_a_file_is_told_as_a_damaged_file() {
        assert_eq!(sound(|| 7).unwrap(), 7);
        let damaged = sound(|| -> u8 { panic!("an index that is not there") }).unwrap_err();
        assert!(damaged.to_string().contains("is damaged"), "{damaged}");
    }
}
