//! Arrow and Parquet files: batches through `DoPut`, whose conversions to the type of each tag are those of the historian.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use arrow::{
    array::{Array, ArrayRef, RecordBatch, StringArray, make_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    ipc::reader::{FileReader, StreamReader},
};
use arrow_flight::{FlightDescriptor, encode::FlightDataEncoderBuilder};
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{ImportArgs, Kind, Rejection, Tally};
use crate::cli::{client, progress::Bar};

/// Rows of one batch.
const BATCH_ROWS: usize = 65_536;
/// Batches between the file and the wire.
const BATCHES_WAITING: usize = 4;
/// Bytes that a message aims at.
const MESSAGE_BYTES: usize = 4 << 20;
const DRAWN_EVERY: Duration = Duration::from_millis(200);

/// A file as batches of its own schema, and the number of its rows where it says so.
struct Source {
    schema: SchemaRef,
    rows: u64,
    batches: Box<dyn Iterator<Item = anyhow::Result<RecordBatch>> + Send>,
}

impl Source {
    fn open(path: &Path, kind: Kind) -> anyhow::Result<Source> {
        let mut file = File::open(path).context("cannot be read")?;
        if kind == Kind::Parquet {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).context("is no Parquet file")?;
            let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
            let schema = builder.schema().clone();
            let reader = builder.with_batch_size(BATCH_ROWS).build().context("cannot be read")?;
            return Ok(Source { schema, rows, batches: Box::new(reader.map(|batch| batch.context("cannot be read"))) });
        }
        // The file format begins with its name; what does not is the stream format.
        let mut magic = [0; 6];
        let is_file = file.read_exact(&mut magic).is_ok() && &magic == b"ARROW1";
        file.rewind()?;
        let file = BufReader::new(file);
        if is_file {
            let reader = FileReader::try_new(file, None).context("is no Arrow file")?;
            Ok(Source { schema: reader.schema(), rows: 0, batches: Box::new(reader.map(|batch| batch.context("cannot be read"))) })
        } else {
            let reader = StreamReader::try_new(file, None).context("is neither an Arrow file nor an Arrow stream")?;
            Ok(Source { schema: reader.schema(), rows: 0, batches: Box::new(reader.map(|batch| batch.context("cannot be read"))) })
        }
    }
}

/// Imports one file.
///
/// # Errors
/// A file or column that cannot be read, or what the historian says. What `tally` counts is written.
pub async fn import(args: &ImportArgs, file: &Path, kind: Kind, tally: &mut Tally) -> anyhow::Result<()> {
    let source = Source::open(file, kind)?;
    let layout = Layout::of(&source.schema, args.tag.as_deref())?;
    let (schema, total) = (layout.schema.clone(), source.rows);
    let (batches, sent) = mpsc::channel(BATCHES_WAITING);
    let reading = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        for batch in source.batches {
            let batch = layout.applied(&batch?)?;
            for from in (0..batch.num_rows()).step_by(BATCH_ROWS) {
                let part = batch.slice(from, BATCH_ROWS.min(batch.num_rows() - from));
                if batches.blocking_send(Ok(part)).is_err() {
                    return Ok(()); // the answers say why
                }
            }
        }
        Ok(())
    });

    let options = args.options();
    let command = json!({"write": {
        "mode": options.mode().as_str_name(), "durability": options.durability().as_str_name(), "create_tags": options.create_tags,
    }});
    let stream = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command.to_string())))
        .with_max_flight_data_size(MESSAGE_BYTES)
        .build(ReceiverStream::new(sent));
    let mut flight = args.server.flight().await?;
    let mut answers = flight.do_put(stream).await.map_err(client::flight_refusal)?;
    let mut bar = Bar::of_samples();
    let mut tick = tokio::time::interval(DRAWN_EVERY);
    let before = tally.samples + tally.rejected;
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                Some(answer) => count(&answer.map_err(client::flight_refusal)?.app_metadata, tally)?,
                None => break,
            },
            _ = tick.tick() => bar.show("import", tally.samples + tally.rejected - before, total),
        }
    }
    drop(bar);
    reading.await.context("the thread that reads ended early")?
}

/// The acknowledgement of one batch.
#[derive(serde::Deserialize)]
struct Acknowledgement {
    watermark: u64,
    samples: u64,
    #[serde(default)]
    rejected: u64,
    #[serde(default)]
    rejections: Vec<Rejection>,
}

fn count(metadata: &[u8], tally: &mut Tally) -> anyhow::Result<()> {
    let said: Acknowledgement = serde_json::from_slice(metadata).context("the acknowledgement cannot be read")?;
    tally.add(said.watermark, said.samples, said.rejected, said.rejections);
    Ok(())
}

/// Which columns of a file are sent, and as what.
struct Layout {
    schema: SchemaRef,
    /// Index in the file; `None` for a tag that the file does not have.
    columns: Vec<Option<usize>>,
    tag: String,
}

impl Layout {
    fn of(schema: &Schema, tag: Option<&str>) -> anyhow::Result<Layout> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for name in ["tag", "timestamp", "value", "quality"] {
            let found = schema.column_with_name(name);
            let kind = match (name, found, tag) {
                ("tag", Some(_), Some(_)) => bail!("the file has a column tag; leave --tag away"),
                ("tag", None, None) => bail!("the file has no column tag; say with --tag whose samples these are"),
                ("tag", _, _) => DataType::Utf8,
                ("quality", None, _) => continue,
                (_, None, _) => bail!("the file has no column {name}; it needs timestamp and value"),
                (_, Some((_, field)), _) => wire_type(name, field.data_type())?,
            };
            fields.push(Field::new(name, kind, true));
            columns.push(found.map(|(index, _)| index));
        }
        Ok(Layout { schema: Arc::new(Schema::new(fields)), columns, tag: tag.unwrap_or_default().to_owned() })
    }

    fn applied(&self, batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (field, index) in self.schema.fields().iter().zip(&self.columns) {
            columns.push(match index {
                Some(index) => converted(batch.column(*index), field.data_type()).with_context(|| format!("column {}", field.name()))?,
                None => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.tag.as_str(), batch.num_rows()))) as ArrayRef,
            });
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// The type a column is sent in.
fn wire_type(name: &str, kind: &DataType) -> anyhow::Result<DataType> {
    Ok(match (name, kind) {
        ("timestamp", DataType::Timestamp(unit, _)) => DataType::Timestamp(*unit, Some("UTC".into())),
        // Nanoseconds since 1970.
        ("timestamp", DataType::Int64) => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        ("timestamp", other) => bail!("column timestamp: is {other}; it must be a timestamp, or integer nanoseconds"),
        ("quality", kind) if kind.is_integer() => DataType::UInt32,
        ("quality", other) => bail!("column quality: is {other}; it must be an integer, the OPC UA status code"),
        (_, DataType::Dictionary(_, values)) => values.as_ref().clone(),
        (_, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Float16) => DataType::Float64,
        (_, kind) => kind.clone(),
    })
}

fn converted(column: &ArrayRef, kind: &DataType) -> anyhow::Result<ArrayRef> {
    Ok(match kind {
        _ if column.data_type() == kind => column.clone(),
        // The same numbers: an instant does not depend on the zone it is shown in.
        DataType::Timestamp(..) => make_array(column.to_data().into_builder().data_type(kind.clone()).build()?),
        // What does not fit is an error, not a null.
        _ => cast_with_options(column, kind, &CastOptions { safe: false, ..CastOptions::default() })?,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, DictionaryArray, Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{Int32Type, TimestampMicrosecondType, UInt32Type};

    use super::*;

    #[test]
    fn columns_are_found_by_name_and_sent_as_the_historian_takes_them() {
        let tags: DictionaryArray<Int32Type> = ["a", "b"].into_iter().collect();
        let times = TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("Europe/Berlin");
        let batch = RecordBatch::try_from_iter([
            ("quality", Arc::new(Int64Array::from(vec![0, 0x8000_0000])) as ArrayRef),
            ("more", Arc::new(Int64Array::from(vec![7, 8]))),
            ("value", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("timestamp", Arc::new(times)),
            ("tag", Arc::new(tags)),
        ])
        .unwrap();
        let layout = Layout::of(&batch.schema(), None).unwrap();
        let sent = layout.applied(&batch).unwrap();
        assert_eq!(
            sent.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(),
            ["tag", "timestamp", "value", "quality"]
        );
        assert_eq!(sent.column(0).as_string::<i32>().value(1), "b");
        assert_eq!(sent.column(1).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        assert_eq!(sent.column(1).as_primitive::<TimestampMicrosecondType>().values(), &[1, 2]);
        assert_eq!(sent.column(3).as_primitive::<UInt32Type>().values(), &[0, 0x8000_0000]);
        assert!(sent.column(2).is_null(1));

        let plain = batch.project(&[3, 2]).unwrap();
        assert_eq!(Layout::of(&plain.schema(), Some("x")).unwrap().applied(&plain).unwrap().column(0).as_string::<i32>().value(0), "x");
        for (columns, tag, told) in
            [(&[3, 2][..], None, "no column tag"), (&[4, 3, 2], Some("x"), "leave --tag away"), (&[4, 2], None, "no column timestamp")]
        {
            let error = Layout::of(&batch.project(columns).unwrap().schema(), tag).err().unwrap();
            assert!(error.to_string().contains(told), "{error}");
        }
        let negative = RecordBatch::try_from_iter([
            ("timestamp", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
            ("value", Arc::new(Int64Array::from(vec![1]))),
            ("quality", Arc::new(Int64Array::from(vec![-1]))),
        ])
        .unwrap();
        let layout = Layout::of(&negative.schema(), Some("x")).unwrap();
        assert!(format!("{:#}", layout.applied(&negative).unwrap_err()).contains("column quality"));
    }
}
