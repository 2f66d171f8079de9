//! Flight: each kind of query at each call that answers it, paths, the catalog, writing, actions, and the handshake.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray},
    datatypes::{DataType, Field, Schema},
};
use arrow_flight::{
    Action, ActionType, BasicAuth, CancelFlightInfoRequest, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    Ticket, decode::FlightRecordBatchStream, encode::FlightDataEncoderBuilder,
};
use bytes::Bytes;
use futures::TryStreamExt;
use historian::api::kind::KINDS;
use prost::Message;
use tonic::metadata::MetadataMap;

use super::{About, Door, Need, bytes, listed};
use crate::access::{call::Client, call::Outcome};

pub const DO_GET: &str = "arrow.flight.protocol.FlightService/DoGet";
pub const GET_FLIGHT_INFO: &str = "arrow.flight.protocol.FlightService/GetFlightInfo";
const GET_SCHEMA: &str = "arrow.flight.protocol.FlightService/GetSchema";
const POLL_FLIGHT_INFO: &str = "arrow.flight.protocol.FlightService/PollFlightInfo";
const LIST_FLIGHTS: &str = "arrow.flight.protocol.FlightService/ListFlights";
pub const DO_PUT: &str = "arrow.flight.protocol.FlightService/DoPut";
const DO_EXCHANGE: &str = "arrow.flight.protocol.FlightService/DoExchange";
const DO_ACTION: &str = "arrow.flight.protocol.FlightService/DoAction";
const LIST_ACTIONS: &str = "arrow.flight.protocol.FlightService/ListActions";
const HANDSHAKE: &str = "arrow.flight.protocol.FlightService/Handshake";

const WRITE: &str = r#"{"write": {}}"#;
const WRITE_AND_MAKE: &str = r#"{"write": {"create_tags": true}}"#;

pub fn doors() -> Vec<Door> {
    let mut doors: Vec<Door> = KINDS.iter().flat_map(|kind| of_kind(kind.name, &format!("{:?}", kind.door))).collect();
    doors.extend(paths());
    doors.extend(writes());
    doors.extend(actions_and_handshakes());
    doors
}

fn of_kind(name: &'static str, door: &str) -> Vec<Door> {
    let get = |form: &str, ticket: fn(&'static str, &str) -> Bytes| {
        let door = Door::new(format!("grpc {DO_GET}"), Need::Read, About::Tag, move |client, tag| async move {
            let ticket = bytes(&Ticket::new(ticket(name, &tag)));
            client.raw(DO_GET, vec![ticket], |answer| name == "subscribe" && has_pulse(answer)).await
        });
        let door = door.also(format!("kind {name} DoGet {form}")).globs();
        // Subscriptions wait for tags that are made later.
        if name == "subscribe" { door.absent("Ok") } else { door }
    };
    let described = |call: &str, method: &'static str| {
        let door = Door::new(format!("grpc {method}"), Need::Read, About::Tag, move |client, tag| async move {
            client.ask(method, &FlightDescriptor::new_cmd(listed::command(name, listed::body(name, &tag, false)))).await
        });
        let door = door.also(format!("kind {name} {call}"));
        if call == "GetSchema" { door } else { door.globs() }
    };
    let tickets = || {
        let json = get("JSON", |name, tag| listed::command(name, listed::body(name, tag, false)).into());
        [json, get("protobuf", |name, tag| listed::any(name, listed::body(name, tag, false)))]
    };
    match door {
        "Get" => {
            let described = [("GetFlightInfo", GET_FLIGHT_INFO), ("GetSchema", GET_SCHEMA), ("PollFlightInfo", POLL_FLIGHT_INFO)]
                .map(|(call, method)| described(call, method));
            tickets().into_iter().chain(described).collect()
        }
        "Follow" => tickets().into(),
        "Exchange" => {
            let door = Door::new(format!("grpc {DO_EXCHANGE}"), Need::Read, About::Tag, move |client, tag| async move {
                let command = listed::command(name, listed::body(name, &tag, false));
                let times = TimestampNanosecondArray::from(vec![1_767_225_660_000_000_000]).with_timezone("UTC");
                let rows = messages(FlightDescriptor::new_cmd(command), batch(vec![("timestamp", Arc::new(times))])).await;
                client.raw(DO_EXCHANGE, rows, |_| false).await
            });
            vec![door.also(format!("kind {name} DoExchange")).globs()]
        }
        other => panic!("a door {other} of kinds"),
    }
}

/// How a path is written.
type PathForm = fn(Vec<String>) -> Vec<String>;

/// Tags by their paths, and the catalog.
fn paths() -> Vec<Door> {
    let split = |tag: &str| tag.split('/').map(str::to_owned).collect::<Vec<_>>();
    let forms: [(&str, PathForm); 3] = [
        ("a path", |path| path),
        ("a path below tags", |path| [vec!["tags".to_owned()], path].concat()),
        ("a path in one piece", |path| vec![path.join("/")]),
    ];
    let mut doors = Vec::new();
    for (variant, form) in forms {
        for method in [GET_FLIGHT_INFO, GET_SCHEMA, POLL_FLIGHT_INFO] {
            let door = Door::new(format!("grpc {method}"), Need::Read, About::Tag, move |client, tag| {
                let descriptor = FlightDescriptor::new_path(form(split(&tag)));
                async move { client.ask(method, &descriptor).await }
            });
            doors.push(door.variant(variant));
        }
    }
    for method in [GET_FLIGHT_INFO, GET_SCHEMA, POLL_FLIGHT_INFO] {
        let door = Door::new(format!("grpc {method}"), Need::Read, About::Nothing, move |client, _| async move {
            client.ask(method, &FlightDescriptor::new_path(vec!["tags".into()])).await
        });
        let door = door.variant("the path of all tags");
        doors.push(if method == GET_SCHEMA { door } else { door.globs() });
    }
    let list = |expression: fn(String) -> String| {
        move |client: Client, tag: String| async move { client.ask(LIST_FLIGHTS, &Criteria { expression: expression(tag).into() }).await }
    };
    let list = |expression: fn(String) -> String| {
        Door::new(format!("grpc {LIST_FLIGHTS}"), Need::Read, About::Tag, list(expression)).absent("Ok").globs()
    };
    doors.push(list(|tag| tag));
    doors.push(list(|tag| serde_json::json!({"tags": [tag]}).to_string()).variant("as JSON"));
    doors
}

fn writes() -> Vec<Door> {
    let numbers: fn() -> ArrayRef = || Arc::new(Float64Array::from(vec![7.0]));
    let texts: fn() -> ArrayRef = || Arc::new(StringArray::from(vec!["a text"]));
    let put = |variant: &str, about: About, command: &'static str, values: fn() -> ArrayRef, ok: &'static str| {
        let door = Door::new(format!("grpc {DO_PUT}"), Need::Write, about, move |client, tag| async move {
            let times = TimestampNanosecondArray::from(vec![1_700_000_000_000_000_000]).with_timezone("UTC");
            let rows = batch(vec![("tag", Arc::new(StringArray::from(vec![tag]))), ("timestamp", Arc::new(times)), ("value", values())]);
            client.raw(DO_PUT, messages(FlightDescriptor::new_cmd(command), rows).await, |_| false).await
        });
        door.variant(variant).ok(ok).absent("PermissionDenied")
    };
    vec![
        put("", About::Tag, WRITE, numbers, "Ok"),
        put("of another type", About::Tag, WRITE, texts, "InvalidArgument"),
        put("making tags", About::NewTag, WRITE_AND_MAKE, numbers, "Ok"),
        put("making tags, of another type", About::Tag, WRITE_AND_MAKE, texts, "InvalidArgument"),
    ]
}

fn actions_and_handshakes() -> Vec<Door> {
    let action = |name: &'static str, need: Need, body: Bytes| {
        let door = Door::new(format!("grpc {DO_ACTION}"), need, About::Nothing, move |client, _| {
            let action = Action { r#type: name.into(), body: body.clone() };
            async move { client.ask(DO_ACTION, &action).await }
        });
        door.also(format!("action {name}"))
    };
    let nothing = Bytes::new();
    let info = bytes(&CancelFlightInfoRequest { info: Some(FlightInfo::new()) });
    let sessions = ["SetSessionOptions", "GetSessionOptions", "CloseSession"].map(|name| action(name, Need::Known, Bytes::new()));
    let handshake = |variant: &str, headers: fn(&str) -> MetadataMap, payload: fn(&str) -> Bytes| {
        let door = Door::new(format!("grpc {HANDSHAKE}"), Need::Known, About::Nothing, move |client, _| async move {
            let token = client.token().unwrap_or_default().to_owned();
            let request = HandshakeRequest { protocol_version: 0, payload: payload(&token) };
            client.raw_with(HANDSHAKE, headers(&token), vec![bytes(&request)], |_| false).await
        });
        door.variant(variant)
    };
    let basic = |token: &str| {
        let mut headers = MetadataMap::new();
        headers
            .insert("authorization", format!("Basic {}", base64(format!("somebody:{token}").as_bytes())).parse().expect("base64 is ASCII"));
        headers
    };
    let auth = |token: &str| bytes(&BasicAuth { username: "somebody".into(), password: token.into() });
    let mut doors = vec![
        Door::method(LIST_ACTIONS, Need::Known, About::Nothing, |_| Empty {}),
        action("CancelFlightInfo", Need::Read, info),
        action("no action", Need::Read, nothing).ok("Unimplemented"),
        handshake("user and password in a header", basic, |_| Bytes::new()),
        handshake("user and password in a message", |_| MetadataMap::new(), auth),
        handshake(
            "a token in a message",
            |_| MetadataMap::new(),
            |token| if token.is_empty() { "none".into() } else { token.to_owned().into() },
        ),
    ];
    // There is no such action, and nothing that must have a cell.
    doors[2].cells.pop();
    doors.extend(sessions);
    doors
}

/// True where an answer has the tag that comes last.
pub fn has_pulse(answer: &Bytes) -> bool {
    answer.windows(listed::PULSE.len()).any(|window| window == listed::PULSE.as_bytes())
}

pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
        .expect("columns are of one length")
}

/// The messages of a batch.
pub async fn messages(descriptor: FlightDescriptor, batch: RecordBatch) -> Vec<Bytes> {
    let data = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor)).build(futures::stream::iter([Ok(batch)]));
    let data: Vec<FlightData> = data.try_collect().await.expect("a batch is encoded");
    data.iter().map(bytes).collect()
}

/// The batches of an answer.
pub async fn batches(outcome: &Outcome) -> Vec<RecordBatch> {
    let data: Vec<_> =
        outcome.messages().iter().map(|message| Ok(FlightData::decode(message.clone()).expect("a message of Flight"))).collect();
    FlightRecordBatchStream::new_from_flight_data(futures::stream::iter(data)).try_collect().await.expect("an answer of batches")
}

/// The texts in the first column of an answer.
pub async fn texts(outcome: &Outcome) -> Vec<String> {
    let mut texts = Vec::new();
    for batch in batches(outcome).await {
        let column = arrow::compute::cast(batch.column(0), &DataType::Utf8).expect("a text");
        texts.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    texts
}

/// The actions that there are.
pub async fn actions(admin: &Client) -> Vec<String> {
    let outcome = admin.ask(LIST_ACTIONS, &Empty {}).await;
    outcome.messages().iter().map(|message| ActionType::decode(message.clone()).expect("an action").r#type).collect()
}

pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().chain([0, 0].iter()).take(3).fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let letter = |place: usize| char::from(LETTERS[number >> (18 - 6 * place) & 63]);
        text.extend((0..4).map(|place| if place <= three.len() { letter(place) } else { '=' }));
    }
    text
}
