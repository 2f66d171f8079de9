//! Messages that programs have damaged: sound ones of each door with some bytes changed, the same ones in each run. Whatever is in them, what
//! cannot be read is the client's mistake and is told so; nothing panics, and the historian serves on.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, StringViewArray, TimestampNanosecondArray},
    datatypes::{Field, Schema},
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::{
    Action, Criteria, FlightData, FlightDescriptor, HandshakeRequest, Ticket,
    encode::{DictionaryHandling, FlightDataEncoderBuilder},
    flight_service_client::FlightServiceClient,
    sql::{
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetTables, CommandPreparedStatementQuery,
        CommandStatementQuery, ProstMessageExt,
    },
};
use bytes::Bytes;
use futures::TryStreamExt;
use historian_proto::v1::{self, TagSamples, values::Column};
use prost::Message;
use tempfile::TempDir;
use tonic::{Code, Status, transport::Channel};

use crate::support::{historian::serve, raw};

const WRITE: &str = r#"{"write": {"create_tags": true}}"#;
const TIMES: &str = r#""start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z""#;

/// Numbers that look random and are the same in each run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    /// The bytes with some of them changed.
    fn changed(&mut self, sound: &[u8]) -> Bytes {
        let mut bytes = sound.to_vec();
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 1, 2, 0x7F, 0x80, 0xFF][self.below(6)],
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, self.below(256) as u8),
                4 => bytes.truncate(at),
                _ => bytes[at] = bytes[at].wrapping_add(1),
            }
        }
        bytes.into()
    }
}

/// A door with the messages that a sound client sends there.
struct Door {
    path: &'static str,
    sound: Vec<Bytes>,
}

fn flight(method: &'static str, message: &impl Message) -> Door {
    Door { path: method, sound: vec![message.encode_to_vec().into()] }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect()).unwrap()
}

async fn encoded(descriptor: FlightDescriptor, batch: RecordBatch, compression: Option<CompressionType>) -> Vec<Bytes> {
    let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_options(IpcWriteOptions::default().try_with_compression(compression).unwrap())
        .build(futures::stream::iter([Ok(batch)]))
        .try_collect()
        .await
        .unwrap();
    messages.iter().map(|message| message.encode_to_vec().into()).collect()
}

fn rows(tag: ArrayRef, value: ArrayRef) -> RecordBatch {
    let times = TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("UTC");
    batch(vec![("tag", tag), ("timestamp", Arc::new(times)), ("value", value)])
}

async fn prepared(channel: &Channel) -> FlightDescriptor {
    let request = ActionCreatePreparedStatementRequest { query: "SELECT $1 + 1".into(), transaction_id: None };
    let action = Action { r#type: "CreatePreparedStatement".into(), body: request.as_any().encode_to_vec().into() };
    let mut client = FlightServiceClient::new(channel.clone());
    let results: Vec<_> = client.do_action(action).await.unwrap().into_inner().try_collect().await.unwrap();
    let made: ActionCreatePreparedStatementResult = Any::decode(results[0].body.clone()).unwrap().unpack().unwrap().unwrap();
    let command = CommandPreparedStatementQuery { prepared_statement_handle: made.prepared_statement_handle };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

/// The doors of Flight.
async fn flight_doors(channel: &Channel) -> Vec<Door> {
    const DO_PUT: &str = "/arrow.flight.protocol.FlightService/DoPut";
    const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";
    const GET_FLIGHT_INFO: &str = "/arrow.flight.protocol.FlightService/GetFlightInfo";
    let names = || Arc::new(StringArray::from(vec!["a", "b", "a"])) as ArrayRef;
    let floats = || Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), Some(3.0)])) as ArrayRef;
    let views = || Arc::new(StringViewArray::from(vec!["a text that is longer than its view", "b", "a"])) as ArrayRef;
    let keyed = || Arc::new(DictionaryArray::new(Int32Array::from(vec![0, 1, 0]), Arc::new(StringArray::from(vec!["a", "b"])))) as ArrayRef;
    let mut doors = Vec::new();
    for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        for batch in [rows(names(), floats()), rows(keyed(), floats()), rows(keyed(), views())] {
            let sound = encoded(FlightDescriptor::new_cmd(WRITE), batch, compression).await;
            doors.push(Door { path: DO_PUT, sound });
        }
        let parameters = batch(vec![("$1", floats()), ("$2", keyed()), ("$3", views())]);
        let sound = encoded(prepared(channel).await, parameters, compression).await;
        doors.push(Door { path: DO_PUT, sound });
        let asof = FlightDescriptor::new_cmd(r#"{"asof": {"tags": ["a"], "tolerance": "1h"}}"#);
        let sound = encoded(asof, rows(names(), views()), compression).await;
        doors.push(Door { path: "/arrow.flight.protocol.FlightService/DoExchange", sound });
    }
    let mut client = FlightServiceClient::new(channel.clone());
    let range = format!(r#"{{"range": {{"tags": ["a", "b*"], {TIMES}, "boundary": "INTERPOLATED"}}}}"#);
    let statement = CommandStatementQuery { query: "SELECT count(*) FROM samples WHERE tag = 'a'".into(), transaction_id: None };
    let commands = [range.clone().into_bytes(), statement.as_any().encode_to_vec()];
    for command in commands {
        let descriptor = FlightDescriptor::new_cmd(command);
        let info = client.get_flight_info(descriptor.clone()).await.unwrap().into_inner();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        doors.push(flight(DO_GET, &ticket));
        doors.push(flight(GET_FLIGHT_INFO, &descriptor));
        doors.push(flight("/arrow.flight.protocol.FlightService/GetSchema", &descriptor));
        let action =
            Action { r#type: "CancelFlightInfo".into(), body: arrow_flight::CancelFlightInfoRequest::new(info).encode_to_vec().into() };
        doors.push(flight("/arrow.flight.protocol.FlightService/DoAction", &action));
    }
    let anomalies = format!(
        r#"{{"anomalies": {{"tags": ["a"], {TIMES}, "detector": "spike", "parameters": {{"window": "10m", "list": [1, {{"deep": null}}]}}}}}}"#
    );
    doors.push(flight(DO_GET, &Ticket::new(anomalies)));
    doors.push(flight(DO_GET, &Ticket::new(range)));
    doors.push(flight(DO_GET, &Ticket::new(CommandGetTables::default().as_any().encode_to_vec())));
    doors.push(flight(GET_FLIGHT_INFO, &FlightDescriptor::new_path(vec!["tags".into(), "a".into()])));
    doors.push(flight("/arrow.flight.protocol.FlightService/ListFlights", &Criteria { expression: r#"{"tags": ["a*"]}"#.into() }));
    let handshake = HandshakeRequest { protocol_version: 1, payload: "user".into() };
    doors.push(flight("/arrow.flight.protocol.FlightService/Handshake", &handshake));
    doors
}

/// The doors of gRPC.
fn grpc_doors() -> Vec<Door> {
    let column = |column| TagSamples {
        tag: "a".into(),
        timestamps: vec![1, 2, 3],
        values: Some(v1::Values { column: Some(column) }),
        qualities: vec![0, 0x8000_0000, 0],
        nulls: vec![1],
    };
    let samples = vec![
        column(Column::F64(v1::DoubleColumn { values: vec![1.0, 2.0, 3.0] })),
        column(Column::I64(v1::SignedColumn { values: vec![1, -2, 1 << 40] })),
        column(Column::String(v1::StringColumn { values: ["on", "", "off"].map(str::to_owned).to_vec() })),
    ];
    let (start, end) = ("2026-01-01T00:00:00Z".to_owned(), "2026-01-01T00:01:00Z".to_owned());
    let tags = vec!["a".to_owned(), "b*".to_owned()];
    let tag = v1::Tag { name: "c".into(), value_type: 7, state_set: vec!["off".into(), "on".into()], ..v1::Tag::default() };
    let write = v1::WriteSamplesRequest { options: Some(v1::WriteRequest { create_tags: true, ..v1::WriteRequest::default() }), samples };
    let range = v1::RangeRequest { tags: tags.clone(), start: start.clone(), end: end.clone(), among: vec![1, 2], ..Default::default() };
    let aggregate = v1::AggregateRequest {
        tags: tags.clone(),
        start: start.clone(),
        end: end.clone(),
        interval: "10s".into(),
        functions: vec!["average".into()],
        configuration: Some(v1::AggregateConfiguration { percent_data_bad: Some(50), ..Default::default() }),
        ..Default::default()
    };
    let replace = v1::ReplaceRangeRequest { start, end, reason: "a test".into(), samples: write.samples.clone(), ..Default::default() };
    let asof = v1::AsOfRequest { tags: tags.clone(), timestamps: vec![1, 2, 3], ..Default::default() };
    vec![
        flight("/historian.v1.WriteService/WriteSamples", &write),
        flight("/historian.v1.WriteService/WriteSamplesStream", &write),
        flight("/historian.v1.WriteService/ReplaceRange", &replace),
        flight("/historian.v1.QueryService/Range", &range),
        flight("/historian.v1.QueryService/Aggregate", &aggregate),
        flight("/historian.v1.QueryService/AsOf", &asof),
        flight("/historian.v1.QueryService/CurrentValues", &v1::CurrentValuesRequest { tags: tags.clone(), ..Default::default() }),
        flight("/historian.v1.TagService/CreateTag", &v1::CreateTagRequest { tag: Some(tag) }),
        flight("/historian.v1.TagService/ListTags", &v1::ListTagsRequest { tags, filter: "type = f64".into(), ..Default::default() }),
        flight("/grpc.health.v1.Health/Check", &tonic_health::pb::HealthCheckRequest { service: "historian.v1.TagService".into() }),
    ]
}

/// A status that blames the client, or an answer.
fn told(answer: Result<Vec<Bytes>, Status>, counts: &mut BTreeMap<String, usize>, what: &str) {
    let code = match &answer {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    };
    *counts.entry(format!("{code:?}")).or_default() += 1;
    if let Err(status) = answer {
        assert!(!matches!(code, Code::Internal | Code::Unknown | Code::Cancelled | Code::Unavailable), "{what}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_messages_are_the_clients_mistake_at_every_door() {
    let directory = TempDir::new().unwrap();
    let historian = serve(&directory.path().join("data"), &[]);
    let channel = historian.channel().await.unwrap();
    // What is asked for below is there.
    let write = grpc_doors().swap_remove(0);
    raw::call(&channel, write.path, write.sound, false).await.unwrap();

    let mut seeded = Seeded(0x2026_1129);
    let mut counts = BTreeMap::new();
    let doors: Vec<Door> = flight_doors(&channel).await.into_iter().chain(grpc_doors()).collect();
    for door in &doors {
        let answer = raw::call(&channel, door.path, door.sound.clone(), false).await;
        told(answer, &mut counts, door.path);
        for round in 0..80 {
            let mut sent = door.sound.clone();
            let at = seeded.below(sent.len());
            sent[at] = seeded.changed(&sent[at]);
            let shown = format!("{} in round {round}, message {at}: {:02x?}", door.path, &sent[at][..sent[at].len().min(400)]);
            told(raw::call(&channel, door.path, sent, round % 5 == 0).await, &mut counts, &shown);
        }
    }
    let log = historian.log();
    assert!(!log.contains("panicked") && !log.contains("a bug"), "{log}");
    assert!(counts["InvalidArgument"] > 1_000 && counts["Ok"] > 200, "{counts:?}");
    // And it serves.
    let write = grpc_doors().swap_remove(0);
    raw::call(&channel, write.path, write.sound, false).await.unwrap();
}
