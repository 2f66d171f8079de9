//! What there is to have a door: everything is asked of the descriptors, of the list of the kinds, of a running historian or of the source, so
//! that something new is found by its name.

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use historian::api::kind::{KINDS, Kind};
use prost::Message;
use serde_json::{Value as Json, json};

use super::sql::statement;
use crate::{
    access::{call::Client, door::flight},
    support::peer::root,
};

/// What a `FileDescriptorSet` has of services.
#[derive(Clone, PartialEq, Message)]
struct Descriptors {
    #[prost(message, repeated, tag = "1")]
    files: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Method>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
}

fn methods(descriptors: &[u8]) -> Vec<String> {
    let set = Descriptors::decode(descriptors).expect("descriptors are descriptors");
    let mut methods = Vec::new();
    for file in &set.files {
        for service in &file.services {
            methods.extend(service.methods.iter().map(|method| format!("{}.{}/{}", file.package, service.name, method.name)));
        }
    }
    methods
}

fn source(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Words behind each place where a text is.
fn behind(text: &str, mark: &str) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(|letter| letter.is_alphanumeric() || "_/".contains(*letter)).collect();
    text.split(mark).skip(1).map(word).collect()
}

/// The methods of Flight, which has no descriptor in its crate: those that the service implements, as it must.
fn methods_of_flight() -> Vec<String> {
    let text = source("src/api/flight/mod.rs");
    let (_, service) = text.split_once("impl FlightService for Flight {").expect("the service");
    let camel = |name: String| -> String { name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect() };
    behind(service, "\n    async fn ").into_iter().map(|name| format!("arrow.flight.protocol.FlightService/{}", camel(name))).collect()
}

/// Calls of Flight that answer a kind.
fn calls(kind: &Kind) -> Vec<String> {
    let calls: &[&str] = match format!("{:?}", kind.door).as_str() {
        "Get" => &["DoGet JSON", "DoGet protobuf", "GetFlightInfo", "GetSchema", "PollFlightInfo"],
        "Follow" => &["DoGet JSON", "DoGet protobuf"],
        "Exchange" => &["DoExchange"],
        other => panic!("kinds have a door {other}, and this test has none for it"),
    };
    calls.iter().map(|call| format!("kind {} {call}", kind.name)).collect()
}

/// Every file of a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder is readable").path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else {
            texts.push(fs::read_to_string(&path).expect("source is readable"));
        }
    }
    texts
}

/// The routes of the other port: those that are written where they are made, and those that stand in lists, which tell them themselves.
fn routes_of_http() -> BTreeSet<String> {
    const WRITTEN: &str = ".route(\"";
    let text = sources(&root().join("src/api/http")).concat();
    let written: Vec<&str> = text.split(WRITTEN).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let of_lists = text.matches(".route(").count() - written.len();
    // The paths of the API, the screens of the page and its files.
    assert_eq!(of_lists, 3, "routes are made of a list that is not asked here");
    written.into_iter().map(str::to_owned).chain(historian::api::http::listed_paths()).collect()
}

/// Rows of text of an answer to SQL.
async fn column(admin: &Client, text: &str) -> Vec<String> {
    let outcome = statement(admin, text).await;
    assert_eq!(outcome.code, "Ok", "{text}: {}", outcome.message);
    flight::texts(&outcome).await
}

/// Names of everything that must have a door.
pub async fn cells(admin: &Client) -> BTreeSet<String> {
    let mut cells = BTreeSet::new();
    let reflection = ["v1", "v1alpha"].map(|version| format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"));
    let ours = methods(historian_proto::DESCRIPTORS).into_iter().chain(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
    let methods: Vec<String> = ours.chain(reflection).chain(methods_of_flight()).collect();
    let services: BTreeSet<&str> = methods.iter().filter_map(|method| method.split_once('/')).map(|(service, _)| service).collect();
    let served = source("src/api/routes.rs").matches(".add_service(").count();
    assert_eq!(services.len(), served, "a service is served that is in no descriptor here: {services:?}");
    cells.extend(methods.iter().map(|method| format!("grpc {method}")));
    for kind in KINDS {
        assert!(methods.contains(&format!("historian.v1.QueryService/{}", kind.method)), "{}", kind.method);
        cells.extend(calls(kind));
    }
    let tables = "SELECT table_schema || '.' || table_name FROM information_schema.tables ORDER BY 1";
    cells.extend(column(admin, tables).await.into_iter().map(|table| format!("sql table {table}")));
    let functions = historian::sql::SqlEngine::table_functions();
    cells.extend(functions.iter().map(|function| format!("sql function {}", function.name)));
    for file in ["metadata.rs", "mod.rs", "put.rs"] {
        let text = source(&format!("src/api/flight/sql/{file}"));
        cells.extend(
            behind(&text, "Command::")
                .into_iter()
                .filter(|name| name.starts_with("Command") || name.starts_with("Ticket"))
                .map(|name| format!("flight sql {name}")),
        );
    }
    for action in flight::actions(admin).await {
        cells.insert(format!("action {action}"));
    }
    cells.extend(routes_of_http().into_iter().map(|path| format!("http {path}")));
    cells
}

/// A name in the place of which there are several in a request.
pub const PULSE: &str = "seen/zz";

const START: &str = "2026-01-01T00:00:00Z";
const END: &str = "2026-01-01T00:02:00Z";

/// The request of a kind about a tag, as JSON. Times are given, so that it is the same whenever it is asked.
///
/// # Panics
/// For a kind of which this test does not know what to ask.
pub fn body(kind: &str, tag: &str, with_times: bool) -> Json {
    let tags = json!([tag]);
    match kind {
        "range" | "superseded" => json!({"tags": tags, "start": START, "end": END}),
        "aggregate" => json!({"tags": tags, "start": START, "end": END, "interval": "30s", "functions": ["time_average", "maximum"]}),
        "downsample" => json!({"tags": tags, "start": START, "end": END, "points": 10}),
        "anomalies" => json!({"tags": tags, "start": START, "end": END, "detector": "spike", "output": "COUNTS"}),
        "measure" => json!({"tags": tags, "start": START, "end": END, "measure": "PERCENT_GOOD"}),
        "asof" if with_times => json!({"tags": tags, "timestamps": ["1767225660000000000"]}),
        "asof" | "current" => json!({"tags": tags}),
        // What comes last says that the rest has come.
        "subscribe" => json!({"tags": [tag, PULSE], "current": true}),
        other => panic!("there is a kind {other:?}, and this test has no request for it: write one, and see what it shows"),
    }
}

/// The command of a request.
pub fn command(kind: &str, body: Json) -> String {
    Json::Object([(kind.to_owned(), body)].into_iter().collect()).to_string()
}

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("no kind {name}"))
}

/// A request as an `Any`, which is a ticket.
pub fn any(name: &str, body: Json) -> Bytes {
    let asked = (kind(name).from_json)(body).unwrap_or_else(|refused| panic!("{name}: {refused}"));
    asked.to_ticket().into()
}

/// A request as the message of its method.
pub fn request(name: &str, body: Json) -> Bytes {
    #[derive(Clone, PartialEq, Message)]
    struct Any {
        #[prost(bytes = "bytes", tag = "2")]
        value: Bytes,
    }
    Any::decode(any(name, body)).expect("an Any").value
}
