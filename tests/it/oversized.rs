//! Messages that are small and become large: each is refused by the limit that it passes, before the memory is taken. The historian is a process
//! of its own, whose memory is measured. What is sent here took gigabytes of it once.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float64Array, Int32Array, NullArray, RecordBatch, StringArray, StringViewBuilder,
        TimestampNanosecondArray,
    },
    datatypes::{Field, Schema},
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::{
    Action, FlightData, FlightDescriptor, PutResult,
    encode::FlightDataEncoderBuilder,
    flight_service_client::FlightServiceClient,
    sql::{ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery, ProstMessageExt},
};
use bytes::Bytes;
use futures::TryStreamExt;
use historian_proto::v1::{TagSamples, WriteSamplesRequest, write_service_client::WriteServiceClient};
use prost::Message;
use tempfile::TempDir;
use tonic::{Code, Status, transport::Channel};

use crate::support::{
    historian::{Historian, serve},
    raw,
};

const WRITE: &[u8] = br#"{"write": {"create_tags": true}}"#;
const WRITE_SAMPLES: &str = "/historian.v1.WriteService/WriteSamples";
/// Beyond what the process had before: two messages of 64 MiB, what one of them is decoded to, and what the allocator keeps.
const GROWTH_MAX_KB: u64 = 320 << 10;

/// A historian, and a client that sends messages of any length.
struct Target {
    historian: Historian,
    channel: Channel,
    before_kb: u64,
    _directory: TempDir,
}

impl Target {
    async fn start() -> Target {
        let directory = TempDir::new().unwrap();
        let historian = serve(&directory.path().join("data"), &[]);
        let channel = historian.channel().await.unwrap();
        let before_kb = historian.rss_kb();
        Target { historian, channel, before_kb, _directory: directory }
    }

    fn flight(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone()).max_encoding_message_size(usize::MAX)
    }

    async fn put(&self, messages: Vec<FlightData>) -> Result<Vec<PutResult>, Status> {
        self.flight().do_put(futures::stream::iter(messages)).await?.into_inner().try_collect().await
    }

    /// The memory that the process has had at most is little more than at its start.
    fn assert_small(&self, after: &str) {
        let peak = self.historian.rss_peak_kb();
        assert!(peak < self.before_kb + GROWTH_MAX_KB, "after {after}: {} MiB before, {} MiB at most", self.before_kb >> 10, peak >> 10);
        let log = self.historian.log();
        assert!(!log.contains("panicked"), "after {after}: {log}");
    }

    /// The descriptor of a new prepared statement.
    async fn prepared(&self) -> FlightDescriptor {
        let request = ActionCreatePreparedStatementRequest { query: "SELECT 1".into(), transaction_id: None };
        let action = Action { r#type: "CreatePreparedStatement".into(), body: request.as_any().encode_to_vec().into() };
        let results: Vec<_> = self.flight().do_action(action).await.unwrap().into_inner().try_collect().await.unwrap();
        let made: ActionCreatePreparedStatementResult = Any::decode(results[0].body.clone()).unwrap().unpack().unwrap().unwrap();
        let command = CommandPreparedStatementQuery { prepared_statement_handle: made.prepared_statement_handle };
        FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, codes: &[Code], fragment: &str) {
    let error = answer.expect_err(fragment);
    assert!(codes.contains(&error.code()) && error.message().contains(fragment), "{error}");
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect()).unwrap()
}

/// Rows of one tag.
fn samples(value: ArrayRef) -> RecordBatch {
    let rows = value.len();
    let times = TimestampNanosecondArray::from_iter_values((0..rows as i64).map(|row| row + 1)).with_timezone("UTC");
    batch(vec![("tag", Arc::new(StringArray::from(vec!["a"; rows]))), ("timestamp", Arc::new(times)), ("value", value)])
}

async fn messages(descriptor: FlightDescriptor, batch: RecordBatch, compression: Option<CompressionType>) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .with_max_flight_data_size(usize::MAX)
        .with_options(IpcWriteOptions::default().try_with_compression(compression).unwrap())
        .with_dictionary_handling(arrow_flight::encode::DictionaryHandling::Resend)
        .build(futures::stream::iter([Ok(batch)]))
        .try_collect()
        .await
        .unwrap()
}

/// An LZ4 frame of so many blocks of 4 MiB of zeros, 16 KiB each.
fn zeros(blocks: usize) -> Vec<u8> {
    const PLAIN: usize = 4 << 20;
    // One zero, a match that repeats it, and the last five bytes as the format wants them.
    let mut matched = PLAIN - 1 - 5 - 19;
    let mut block = vec![0x1F, 0, 1, 0];
    while matched >= 255 {
        block.push(255);
        matched -= 255;
    }
    block.push(matched as u8);
    block.extend([0x50, 0, 0, 0, 0, 0]);
    // Independent blocks of at most 4 MiB, no checksums but that of the header.
    let mut frame = vec![0x04, 0x22, 0x4D, 0x18, 0x60, 0x70, 0x73];
    for _ in 0..blocks {
        frame.extend((block.len() as u32).to_le_bytes());
        frame.extend(&block);
    }
    frame.extend([0; 4]);
    frame
}

/// The messages of a batch whose column of values says that it has 8,000 bytes and decompresses to 5 GiB.
async fn lz4_bomb() -> Vec<FlightData> {
    let frame = zeros(1_280);
    let rows = frame.len() / 8 + 1;
    // What cannot be compressed has the length of what comes in its place.
    let noise = (0..rows as u64).map(|row| f64::from_bits(row.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let value: ArrayRef = Arc::new(Float64Array::from_iter_values(noise));
    let mut sent = messages(FlightDescriptor::new_cmd(WRITE), samples(value), Some(CompressionType::LZ4_FRAME)).await;
    let last = sent.last_mut().unwrap();
    let mut body = last.data_body.to_vec();
    let prefix =
        (0..body.len() - rows * 8).rev().find(|at| body[*at..*at + 8] == (-1_i64).to_le_bytes()).expect("values that are not compressed");
    body[prefix..prefix + 8].copy_from_slice(&8_000_i64.to_le_bytes());
    body[prefix + 8..prefix + 8 + frame.len()].copy_from_slice(&frame);
    last.data_body = body.into();
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_batches_become_no_more_than_they_say() {
    let target = Target::start().await;
    refused(target.put(lz4_bomb().await).await, &[Code::InvalidArgument], "holds more bytes than it says");
    target.assert_small("LZ4 of 5 GiB");

    // What says of itself how much it is, is refused by the limit.
    for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let value: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 4 << 20]));
        let sent = messages(FlightDescriptor::new_cmd(WRITE), samples(value), Some(compression)).await;
        refused(target.put(sent).await, &[Code::ResourceExhausted], "67108864 bytes");
        target.assert_small(compression.variant_name().unwrap());
    }
    // And so are messages that the transport decompresses.
    let padded = [&[0x7A, 0x80, 0x80, 0x80, 0x64][..], &vec![0; 200 << 20]].concat();
    refused(raw::call(&target.channel, WRITE_SAMPLES, vec![padded.into()], true).await, &[Code::ResourceExhausted], "67108864 bytes");
    target.assert_small("gzip");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_many_parts_are_counted_before_they_are_decoded() {
    let target = Target::start().await;
    // Empty TagSamples; names of a descriptor; numbers of one byte; strings of none.
    let samples = [0x12, 0].repeat((32 << 20) - 1);
    refused(raw::call(&target.channel, WRITE_SAMPLES, vec![samples.into()], false).await, &[Code::ResourceExhausted], "67108864 bytes");
    target.assert_small("empty TagSamples");

    let path = [0x1A, 0].repeat((32 << 20) - 1);
    let flight_info = "/arrow.flight.protocol.FlightService/GetFlightInfo";
    refused(raw::call(&target.channel, flight_info, vec![path.into()], false).await, &[Code::ResourceExhausted], "67108864 bytes");
    target.assert_small("empty names of a path");

    let delimited = |key: u8, inner: &[u8]| {
        let mut bytes = vec![key];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        bytes.extend(inner);
        bytes
    };
    for (column, inner) in [(0x1A, delimited(0x0A, &vec![0; 60 << 20])), (0x32, [0x0A, 0].repeat(30 << 20))] {
        let message = delimited(0x12, &delimited(0x1A, &delimited(column, &inner)));
        refused(raw::call(&target.channel, WRITE_SAMPLES, vec![message.into()], false).await, &[Code::ResourceExhausted], "67108864 bytes");
        target.assert_small("a column of values of one byte");
    }

    // Within actions: endpoints of a FlightInfo.
    let body = delimited(0x0A, &[0x1A, 0].repeat(20 << 20));
    let action = Action { r#type: "CancelFlightInfo".into(), body: body.into() };
    refused(target.flight().do_action(action).await.map(drop), &[Code::ResourceExhausted], "67108864 bytes");
    let body = [0x0A, 0].repeat(20 << 20);
    let action = Action { r#type: "SetSessionOptions".into(), body: body.into() };
    refused(target.flight().do_action(action).await.map(drop), &[Code::ResourceExhausted], "65536 bytes");
    target.assert_small("actions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_many_views_name_is_counted_as_often() {
    let target = Target::start().await;
    for compression in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
        let mut views = StringViewBuilder::new();
        let text = views.append_block(Bytes::from(vec![b'x'; 16 << 20]).into());
        for _ in 0..4_000 {
            views.try_append_view(text, 0, 16 << 20).unwrap();
        }
        let sent = messages(FlightDescriptor::new_cmd(WRITE), samples(Arc::new(views.finish())), compression).await;
        refused(target.put(sent).await, &[Code::ResourceExhausted], "67108864 bytes");
        target.assert_small("views");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bounded_by_rows_and_columns_and_keep_nothing_else() {
    let target = Target::start().await;
    let descriptor = target.prepared().await;
    let nulls: Vec<String> = (0..20_000).map(|number| format!("${number}")).collect();
    let nulls = batch(nulls.iter().map(|name| (name.as_str(), Arc::new(NullArray::new(1_000)) as ArrayRef)).collect());
    let sent = messages(descriptor.clone(), nulls, None).await;
    refused(target.put(sent).await, &[Code::ResourceExhausted, Code::InvalidArgument], "parameters");
    target.assert_small("Null parameters");

    let text = "x".repeat(400 << 10);
    let values: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
    let texts = DictionaryArray::new(Int32Array::from(vec![0; 1_000]), values);
    let sent = messages(descriptor, batch(vec![("$1", Arc::new(texts))]), None).await;
    refused(target.put(sent).await, &[Code::ResourceExhausted], "the values of all rows of parameters");
    target.assert_small("a dictionary");

    // What comes beside parameters is not kept with them.
    for _ in 0..20 {
        let one = batch(vec![("$1", Arc::new(Float64Array::from(vec![1.0])))]);
        let mut sent = messages(target.prepared().await, one, None).await;
        for message in &mut sent {
            message.app_metadata = vec![0; 32 << 20].into();
        }
        target.put(sent).await.unwrap();
    }
    target.assert_small("metadata of parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_tags_that_are_refused_a_hundred_are_named() {
    let target = Target::start().await;
    let samples = (0..10_000).map(|number| TagSamples { tag: format!("nowhere/{number}"), ..TagSamples::default() }).collect();
    let request = WriteSamplesRequest { samples, ..WriteSamplesRequest::default() };
    let answer = WriteServiceClient::new(target.channel.clone()).write_samples(request).await.unwrap().into_inner();
    assert_eq!(answer.failures.len(), 101);
    assert_eq!((answer.failures[99].tag.as_str(), answer.failures[100].message.as_str()), ("nowhere/99", "and 9900 tags more"));
}
