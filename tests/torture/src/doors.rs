//! The doors of a historian, each with messages that a sound client sends there: what damage is done to in [`crate::test`].

use std::sync::Arc;

use anyhow::Context as _;
use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, StringViewArray, TimestampNanosecondArray},
    datatypes::{Field, Schema},
    ipc::{CompressionType, writer::IpcWriteOptions},
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, Ticket,
    encode::{DictionaryHandling, FlightDataEncoderBuilder},
    flight_service_client::FlightServiceClient,
    sql::{
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetSqlInfo, CommandGetTables,
        CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt,
    },
};
use bytes::Bytes;
use futures::TryStreamExt;
use historian_proto::json;
use prost::Message;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;

use crate::{
    driver::{COMMAND, record_batch},
    lane::Lane,
};

/// A method, and what a sound client sends it.
#[derive(Clone, Debug)]
pub struct Door {
    /// As a path of HTTP.
    pub path: String,
    pub messages: Vec<Bytes>,
    /// Its answer may go on for ever.
    pub is_endless: bool,
}

const ENDLESS: [&str; 3] = ["/historian.v1.QueryService/Subscribe", "/historian.v1.AdminService/Scrub", "/grpc.health.v1.Health/Watch"];

/// Methods of our own services, their messages, and these as JSON; `TIMES`, `SAMPLES` and `OPTIONS` stand for those below.
const SERVICES: &[(&str, &str, &str)] = &[
    ("WriteService/WriteSamples", "WriteSamplesRequest", r"{OPTIONS, SAMPLES}"),
    ("WriteService/WriteSamplesStream", "WriteSamplesStreamRequest", r"{OPTIONS, SAMPLES}"),
    ("WriteService/DeleteRange", "DeleteRangeRequest", r#"{"tags": ["plant/d*"], TIMES, "reason": "a test"}"#),
    ("WriteService/ReplaceRange", "ReplaceRangeRequest", r#"{TIMES, "reason": "a test", SAMPLES}"#),
    ("QueryService/CurrentValues", "CurrentValuesRequest", r#"{"tags": ["plant/*", "plant/f"], "page_size": 10}"#),
    (
        "QueryService/Range",
        "RangeRequest",
        r#"{"tags": ["plant/f", "plant/{i,s}"], TIMES, "boundary": "INTERPOLATED", "zone": "Europe/Berlin", "page_size": 10}"#,
    ),
    ("QueryService/Superseded", "SupersededRequest", r#"{"tags": ["plant/*"], TIMES, "limit": 3}"#),
    (
        "QueryService/Aggregate",
        "AggregateRequest",
        r#"{"tags": ["plant/f"], TIMES, "interval": "10s", "functions": ["average", "time_average2"], "configuration": {"percent_data_bad": 50}}"#,
    ),
    (
        "QueryService/Aggregate",
        "AggregateRequest",
        r#"{"tags": ["plant/*"], TIMES, "calendar": "CALENDAR_SHIFT", "shift_starts": ["06:00", "14:00"], "functions": ["count"]}"#,
    ),
    ("QueryService/Downsample", "DownsampleRequest", r#"{"tags": ["plant/f"], TIMES, "points": 10, "method": "LTTB"}"#),
    (
        "QueryService/Anomalies",
        "AnomaliesRequest",
        r#"{"tags": ["plant/f"], TIMES, "detector": "spike", "parameters": {"window": "10m", "list": [1, {"deep": null}]}}"#,
    ),
    ("QueryService/ListDetectors", "ListDetectorsRequest", "{}"),
    (
        "QueryService/Measure",
        "MeasureRequest",
        r#"{"tags": ["plant/t"], TIMES, "measure": "TIME_IN_STATE", "states": ["on"], "interval": "5s"}"#,
    ),
    ("QueryService/AsOf", "AsOfRequest", r#"{"tags": ["plant/*"], "timestamps": ["1767225600000000000", "5"], "tolerance": "1h"}"#),
    ("QueryService/Subscribe", "SubscribeRequest", r#"{"tags": ["plant/*"], "current": true}"#),
    (
        "TagService/CreateTag",
        "CreateTagRequest",
        r#"{"tag": {"name": "plant/new", "value_type": "STATE", "state_set": ["off", "on"], "range_low": 0.5, "unit": "bar"}}"#,
    ),
    ("TagService/GetTag", "GetTagRequest", r#"{"name": "plant/f"}"#),
    ("TagService/ListTags", "ListTagsRequest", r#"{"tags": ["plant/*"], "filter": "type = f64", "page_size": 5}"#),
    (
        "TagService/UpdateTag",
        "UpdateTagRequest",
        r#"{"tag": {"name": "plant/f", "unit": "kPa", "range_high": 9}, "update_mask": "unit,rangeHigh"}"#,
    ),
    ("TagService/RenameTag", "RenameTagRequest", r#"{"name": "plant/n", "new_name": "plant/m", "reason": "as drawn"}"#),
    ("TagService/RetypeTag", "RetypeTagRequest", r#"{"name": "plant/r", "value_type": "F32", "suffix": "/old"}"#),
    ("TagService/DeleteTag", "DeleteTagRequest", r#"{"name": "plant/gone"}"#),
    ("AdminService/GetServerStatus", "GetServerStatusRequest", "{}"),
    ("AdminService/Compact", "CompactRequest", "{}"),
    ("AdminService/CreateBackup", "CreateBackupRequest", r#"{"verify_new_only": true}"#),
    ("AdminService/ListBackups", "ListBackupsRequest", "{}"),
    ("AdminService/VerifyBackup", "VerifyBackupRequest", r#"{"number": "1"}"#),
    ("AdminService/Scrub", "ScrubRequest", r#"{"bytes_per_s": "1000000"}"#),
    ("AdminService/InspectTags", "InspectTagsRequest", r#"{"tags": ["plant/*"], "chunks": true}"#),
    ("AdminService/ListAuditEntries", "ListAuditEntriesRequest", r#"{"from": "1", "page_size": 5}"#),
    ("AdminService/ListGaps", "ListGapsRequest", r#"{"from": "1", "page_size": 5}"#),
    ("CollectorService/GetStatus", "GetStatusRequest", "{}"),
    ("CollectorService/ListTagStatus", "ListTagStatusRequest", r#"{"tags": ["plant/*"], "page_size": 5}"#),
];

const TIMES: &str = r#""start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z""#;
const OPTIONS: &str = r#""options": {"mode": "UPSERT", "durability": "SYNC", "create_tags": true}"#;
const SAMPLES: &str = r#""samples": [
    {"tag": "plant/f", "timestamps": ["1767225600000000000", "1767225601000000000"], "values": {"f64": {"values": [1.5, -2]}}, "qualities": [0, 1073741824]},
    {"tag": "plant/i", "timestamps": ["1767225600000000000", "1767225601000000000"], "values": {"i64": {"values": ["1", "-1099511627776"]}}, "qualities": [0, 2147483648], "nulls": [1]},
    {"tag": "plant/s", "timestamps": ["1767225602000000000"], "values": {"string": {"values": ["a text of some length"]}}},
    {"tag": "plant/t", "timestamps": ["1767225602000000000"], "values": {"state": {"values": [1]}}},
    {"tag": "plant/b", "timestamps": ["1767225602000000000"], "values": {"bool": {"values": [true]}}}]"#;

/// Every door of our own services, and of the health service. One of them writes what the others ask for.
///
/// # Errors
/// A message cannot be made.
pub fn services() -> anyhow::Result<Vec<Door>> {
    let mut doors = Vec::new();
    for (method, message, text) in SERVICES {
        let text = text.replace("TIMES", TIMES).replace("SAMPLES", SAMPLES).replace("OPTIONS", OPTIONS);
        let encoded = json::parse(text.as_bytes()).and_then(|value| json::encoded(&format!("historian.v1.{message}"), &value));
        let encoded = Bytes::from(encoded.map_err(|mistake| anyhow::anyhow!("{method}: {mistake}"))?);
        // A stream goes on.
        let messages = if method.ends_with("Stream") { vec![encoded.clone(), encoded] } else { vec![encoded] };
        doors.push(door(&format!("historian.v1.{method}"), messages));
    }
    for method in ["Check", "Watch"] {
        doors.push(one(&format!("grpc.health.v1.Health/{method}"), &HealthCheckRequest { service: "historian.v1.TagService".into() }));
    }
    Ok(doors)
}

/// Every door of Flight, whose messages ask for what those of [`services`] wrote.
///
/// # Errors
/// The server does not serve what some of the messages are made of, or a message cannot be made.
pub async fn flights(channel: &Channel, lane: &Lane) -> anyhow::Result<Vec<Door>> {
    let mut doors = Vec::new();
    questions(channel, &mut doors).await?;
    batches(channel, lane, &mut doors).await?;
    Ok(doors)
}

fn door(method: &str, messages: Vec<Bytes>) -> Door {
    let path = format!("/{method}");
    Door { is_endless: ENDLESS.contains(&path.as_str()), path, messages }
}

fn one(method: &str, message: &impl Message) -> Door {
    door(method, vec![message.encode_to_vec().into()])
}

fn flight(method: &str, message: &impl Message) -> Door {
    one(&format!("arrow.flight.protocol.FlightService/{method}"), message)
}

/// Doors of Flight to which one message is sent.
async fn questions(channel: &Channel, doors: &mut Vec<Door>) -> anyhow::Result<()> {
    let mut client = FlightServiceClient::new(channel.clone());
    let statement = CommandStatementQuery {
        query: "SELECT tag, count(*) FROM samples WHERE tag = 'plant/f' GROUP BY tag".into(),
        transaction_id: None,
    };
    let commands = [
        format!(r#"{{"range": {{"tags": ["plant/f", "plant/i*"], {TIMES}, "boundary": "INTERPOLATED", "layout": "WIDE"}}}}"#).into_bytes(),
        statement.as_any().encode_to_vec(),
    ];
    for command in commands {
        let descriptor = FlightDescriptor::new_cmd(command);
        let info: FlightInfo = client.get_flight_info(descriptor.clone()).await?.into_inner();
        let ticket = info.endpoint.first().and_then(|endpoint| endpoint.ticket.clone()).context("there is no ticket")?;
        doors.push(flight("DoGet", &ticket));
        for method in ["GetFlightInfo", "GetSchema", "PollFlightInfo"] {
            doors.push(flight(method, &descriptor));
        }
        let body = CancelFlightInfoRequest::new(info).encode_to_vec().into();
        doors.push(flight("DoAction", &Action { r#type: "CancelFlightInfo".into(), body }));
    }
    for ticket in [
        format!(r#"{{"aggregate": {{"tags": ["plant/f"], {TIMES}, "interval": "1s", "functions": ["average"]}}}}"#),
        format!(r#"{{"anomalies": {{"tags": ["plant/f"], {TIMES}, "detector": "spike", "parameters": {{"window": "10m"}}}}}}"#),
        r#"{"current": {"tags": ["plant/**"]}}"#.to_owned(),
    ] {
        doors.push(flight("DoGet", &Ticket::new(ticket)));
    }
    doors.push(flight("DoGet", &Ticket::new(CommandGetTables::default().as_any().encode_to_vec())));
    doors.push(flight("DoGet", &Ticket::new(CommandGetSqlInfo { info: vec![0, 1] }.as_any().encode_to_vec())));
    doors.push(flight("GetFlightInfo", &FlightDescriptor::new_path(vec!["tags".into(), "plant".into()])));
    doors.push(flight("ListFlights", &Criteria { expression: r#"{"tags": ["plant/*"]}"#.into() }));
    doors.push(flight("Handshake", &HandshakeRequest { protocol_version: 1, payload: "user".into() }));
    doors.push(flight("ListActions", &Empty {}));
    Ok(())
}

/// Doors of Flight to which rows are sent, plain and compressed.
async fn batches(channel: &Channel, lane: &Lane, doors: &mut Vec<Door>) -> anyhow::Result<()> {
    let views = || Arc::new(StringViewArray::from(vec!["a text that is longer than its view", "b"])) as ArrayRef;
    let names = || Arc::new(StringArray::from(vec!["plant/f", "plant/i"])) as ArrayRef;
    let floats = || Arc::new(Float64Array::from(vec![Some(1.0), None])) as ArrayRef;
    let times = || Arc::new(TimestampNanosecondArray::from(vec![1, 2]).with_timezone("UTC")) as ArrayRef;
    for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        let write = FlightDescriptor::new_cmd(COMMAND);
        let plain = rows(vec![("tag", names()), ("timestamp", times()), ("value", floats())])?;
        let parameters = rows(vec![("$1", floats()), ("$2", views())])?;
        let asof = FlightDescriptor::new_cmd(r#"{"asof": {"tags": ["plant/f"], "tolerance": "1h"}}"#);
        for (method, descriptor, batch) in [
            ("DoPut", write.clone(), record_batch(lane, lane.next())),
            ("DoPut", write, plain),
            ("DoPut", prepared(channel).await?, parameters),
            ("DoExchange", asof, rows(vec![("timestamp", times()), ("text", views())])?),
        ] {
            let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
                .with_flight_descriptor(Some(descriptor))
                .with_dictionary_handling(DictionaryHandling::Resend)
                .with_options(IpcWriteOptions::default().try_with_compression(compression)?)
                .build(futures::stream::iter([Ok(batch)]))
                .try_collect()
                .await?;
            let messages = messages.iter().map(|message| message.encode_to_vec().into()).collect();
            doors.push(door(&format!("arrow.flight.protocol.FlightService/{method}"), messages));
        }
    }
    Ok(())
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> anyhow::Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())?)
}

/// The descriptor of a new prepared statement.
async fn prepared(channel: &Channel) -> anyhow::Result<FlightDescriptor> {
    let request = ActionCreatePreparedStatementRequest { query: "SELECT $1 + 1".into(), transaction_id: None };
    let action = Action { r#type: "CreatePreparedStatement".into(), body: request.as_any().encode_to_vec().into() };
    let results: Vec<_> = FlightServiceClient::new(channel.clone()).do_action(action).await?.into_inner().try_collect().await?;
    let result = results.into_iter().next().context("no statement was prepared")?;
    let made: Option<ActionCreatePreparedStatementResult> = Any::decode(result.body)?.unpack()?;
    let made = made.context("no statement was prepared")?;
    let command = CommandPreparedStatementQuery { prepared_statement_handle: made.prepared_statement_handle };
    Ok(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()))
}
