//! What clients send over Flight and Flight SQL: record batches, compressed buffers, commands, tickets and handles of statements, parameters.

use std::{collections::HashMap, io::Write, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array, ListArray, NullArray, RecordBatch, StringArray,
        StringViewArray, StructArray, TimestampNanosecondArray, UInt32Array,
    },
    datatypes::{DataType, Field, Int32Type, Schema},
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::{
    FlightData,
    encode::{DictionaryHandling, FlightDataEncoderBuilder},
};
use futures::{TryStreamExt, executor::block_on};
use historian_api::{
    flight::{decode::FlightDecoder, group, sql},
    fuzz, kind, status,
};
use historian_model::{Tag, TagDefinition, TagId, TagName, Timestamp};
use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};

use super::{Target, api::limits};
use crate::message::{any, field, messages, stream};

pub const SAMPLES: Target = Target {
    name: "flight_samples",
    about: "a stream of DoPut: its record batches, and the samples in them",
    inputs: 5_000,
    run: |bytes| {
        let mut decoder = FlightDecoder::new(fuzz::allowance());
        messages(bytes).iter().all(|message| match decoder.message(message) {
            Ok(None) => true,
            Ok(Some(batch)) => grouped(&batch),
            Err(_) => false,
        })
    },
    seeds: || {
        COMPRESSIONS
            .iter()
            .flat_map(|compression| [streamed(samples(false), *compression), streamed(samples(true), *compression)])
            .collect()
    },
};

pub const ROWS: Target = Target {
    name: "flight_rows",
    about: "a stream of DoExchange: record batches with columns of all types",
    inputs: 5_000,
    run: |bytes| {
        let mut decoder = FlightDecoder::checked(fuzz::allowance(), kind::check_schema);
        messages(bytes).iter().all(|message| decoder.message(message).is_ok())
    },
    seeds: || COMPRESSIONS.iter().map(|compression| streamed(all_forms(), *compression)).collect(),
};

pub const LZ4: Target = Target {
    name: "lz4",
    about: "LZ4 frames, held to what they say they become",
    inputs: 3_000,
    run: fuzz::lz4_frame,
    seeds: || {
        let mut seeds = Vec::new();
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for checksums in [false, true] {
                for parts in [1, 40] {
                    let info = FrameInfo::new().block_mode(mode).block_checksums(checksums).content_checksum(checksums);
                    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                    for part in 0..parts {
                        let text: Vec<u8> = (0..5_000_u32).map(|at| (at / 100 + part) as u8).collect();
                        let _ = encoder.write_all(&text).and_then(|()| encoder.flush());
                    }
                    seeds.extend(encoder.finish().ok());
                }
            }
        }
        seeds
    },
};

pub const SQL_COMMAND: Target = Target {
    name: "sql_command",
    about: "commands of Flight SQL",
    inputs: 30_000,
    run: |bytes| matches!(sql::command(bytes, limits()), Ok(Some(_))),
    seeds: || {
        let of = |name: &str, content: &[u8]| any(&format!("type.googleapis.com/arrow.flight.protocol.sql.{name}"), content);
        let names = [field(1, b"historian"), field(2, b"%"), field(3, b"sam%"), field(4, b"TABLE")].concat();
        vec![
            of("CommandStatementQuery", &field(1, b"SELECT * FROM samples")),
            of("TicketStatementQuery", &field(1, &ticket())),
            of("CommandPreparedStatementQuery", &field(1, &[7; 16])),
            of("CommandGetTables", &names),
            of("CommandGetDbSchemas", &names),
            of("CommandGetCatalogs", &[]),
            of("CommandGetSqlInfo", &field(1, &[1, 2, 3])),
            of("CommandGetPrimaryKeys", &names),
            of("CommandGetTableTypes", &[]),
        ]
    },
};

pub const STATEMENT_TICKET: Target = Target {
    name: "statement_ticket",
    about: "tickets of statements, with the values bound in them",
    inputs: 10_000,
    run: fuzz::statement_ticket,
    seeds: || vec![ticket()],
};

pub const STATEMENT_HANDLE: Target = Target {
    name: "statement_handle",
    about: "handles of prepared statements, with the values bound in them",
    inputs: 10_000,
    run: fuzz::statement_handle,
    seeds: || vec![[field(1, &[7; 16]), field(2, b"SELECT $1"), bound(3)].concat()],
};

pub const PARAMETERS: Target = Target {
    name: "parameters",
    about: "values of all types for the parameters of a statement",
    inputs: 8_000,
    run: |bytes| fuzz::parameters(&messages(bytes)),
    seeds: || COMPRESSIONS.iter().map(|compression| streamed(values(), *compression)).collect(),
};

const COMPRESSIONS: [Option<CompressionType>; 3] = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];

/// The samples of a batch by tag, each tag with the type of the batch.
fn grouped(batch: &RecordBatch) -> bool {
    let mut known: HashMap<String, u32> = HashMap::new();
    let grouped = group::group(batch, &mut |names, value_type| {
        let tag = |name: &&str| {
            let name = TagName::new(name).map_err(|_| status::invalid("tag", "is no name"))?;
            let next = known.len() as u32;
            let id = TagId(*known.entry(name.to_string()).or_insert(next));
            let definition = TagDefinition::new(name, value_type);
            Ok(Arc::new(Tag { id, definition, created: Timestamp(0), updated: Timestamp(0) }))
        };
        names.iter().map(tag).collect()
    });
    let Ok(grouped) = grouped else { return false };
    let rows: usize = grouped.runs.iter().map(|(_, run)| run.len()).sum();
    assert_eq!(rows, batch.num_rows(), "each row is a sample");
    true
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Option<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect()).ok()
}

const LONG: &str = "a text that is too long to lie within its view";

fn samples(texts: bool) -> Option<RecordBatch> {
    let value: ArrayRef = if texts {
        Arc::new(StringViewArray::from((0..60).map(|row| if row % 2 == 0 { LONG } else { "short" }).collect::<Vec<_>>()))
    } else {
        Arc::new(Float64Array::from((0..60).map(|row| (row % 7 > 0).then_some(f64::from(row) / 3.0)).collect::<Vec<_>>()))
    };
    let names = Arc::new(StringArray::from(vec!["area1/a", "area1/b"]));
    batch(vec![
        ("tag", Arc::new(DictionaryArray::new(Int32Array::from((0..60).map(|row| row % 2).collect::<Vec<_>>()), names))),
        (
            "timestamp",
            Arc::new(TimestampNanosecondArray::from((0..60).map(|row| row * 1_000_000_000).collect::<Vec<_>>()).with_timezone("UTC")),
        ),
        ("value", value),
        ("quality", Arc::new(UInt32Array::from((0..60).map(|row| if row % 7 > 0 { 0 } else { 0x8000_0000 }).collect::<Vec<_>>()))),
    ])
}

fn values() -> Option<RecordBatch> {
    batch(vec![
        ("1", Arc::new(StringArray::from(vec![Some("a"), None, Some(LONG)]))),
        ("2", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(-0.0)]))),
        ("3", Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"))),
        ("4", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("5", Arc::new(NullArray::new(3))),
    ])
}

fn all_forms() -> Option<RecordBatch> {
    let inner = StructArray::try_new(
        vec![Field::new("inner", DataType::UInt32, true)].into(),
        vec![Arc::new(UInt32Array::from(vec![1, 2, 3]))],
        Some(vec![true, false, true].into()),
    );
    batch(vec![
        ("timestamp", Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"))),
        ("number", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(-0.0)]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("view", Arc::new(StringViewArray::from(vec![Some(LONG), None, Some("b")]))),
        (
            "tag",
            Arc::new(DictionaryArray::new(Int32Array::from(vec![Some(1), None, Some(0)]), Arc::new(StringArray::from(vec!["x", "y"])))),
        ),
        ("digits", Arc::new(Decimal128Array::from(vec![1, 2, 3]).with_precision_and_scale(20, 2).ok()?)),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]))),
        ("group", Arc::new(inner.ok()?)),
        ("nothing", Arc::new(NullArray::new(3))),
    ])
}

fn sent(batch: Option<RecordBatch>, compression: Option<CompressionType>) -> Vec<FlightData> {
    let Ok(options) = IpcWriteOptions::default().try_with_compression(compression) else { return Vec::new() };
    let encoder = FlightDataEncoderBuilder::new()
        .with_max_flight_data_size(usize::MAX)
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_options(options)
        .build(futures::stream::iter(batch.map(Ok)));
    block_on(encoder.try_collect()).unwrap_or_default()
}

fn streamed(batch: Option<RecordBatch>, compression: Option<CompressionType>) -> Vec<u8> {
    stream(&sent(batch, compression))
}

/// Values bound to a statement, as messages in a field of this number.
fn bound(number: u64) -> Vec<u8> {
    let message = |message: &FlightData| field(number, &[field(2, &message.data_header), field(1_000, &message.data_body)].concat());
    sent(values(), None).iter().flat_map(message).collect()
}

fn ticket() -> Vec<u8> {
    let now = [&[0x11][..], &1_774_785_600_000_000_000_i64.to_le_bytes(), &[0x19], &7_u64.to_le_bytes()].concat();
    [field(1, b"SELECT $1, $2"), now, field(4, &field(2, b"Europe/Berlin")), bound(5)].concat()
}
