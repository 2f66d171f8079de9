//! The other port: the API over HTTP, the page, the metrics, and whether the historian serves.

use bytes::Bytes;
use historian::api::kind::KINDS;
use historian_proto::v1::TagFailure;
use serde_json::{Value as Json, json};

use super::{About, Door, Need, Same, listed};
use crate::access::{
    call::{Client, Outcome},
    web::end_of_event,
};

const FROM: &str = "'2026-01-01T00:00:00Z', '2026-01-01T00:02:00Z'";

/// Routes of the page, an address of each, and the built file that it answers.
pub const PAGE: [(&str, &str, &str); 11] = [
    ("/", "/", "index.html"),
    ("/tags", "/tags", "index.html"),
    ("/tags/{*name}", "/tags/hidden/here", "index.html"),
    ("/collectors", "/collectors", "index.html"),
    ("/collectors/{*name}", "/collectors/hidden", "index.html"),
    ("/findings", "/findings", "index.html"),
    ("/system", "/system", "index.html"),
    ("/index.html", "/index.html", "index.html"),
    ("/app.js", "/app.js", "app.js"),
    ("/app.css", "/app.css", "app.css"),
    ("/icon.svg", "/icon.svg", "icon.svg"),
];

pub fn doors() -> Vec<Door> {
    let mut doors = plain();
    doors.extend(kinds());
    doors.extend(rows());
    doors.extend(tags());
    doors.extend(messages());
    doors
}

/// True of a door of the page, which is a file.
pub fn is_page(door: &Door) -> bool {
    PAGE.iter().any(|(route, _, _)| door.cells[0] == format!("http {route}"))
}

/// What is no call of the API.
fn plain() -> Vec<Door> {
    let get = |route: &str, path: &'static str, need: Need| {
        Door::new(format!("http {route}"), need, About::Nothing, move |client, _| async move { client.http(path) }).same(Same::Code)
    };
    let health = ["/livez", "/readyz", "/healthz"].map(|path| get(path, path, Need::Open));
    let page = PAGE.map(|(route, path, _)| get(route, path, Need::Open));
    health.into_iter().chain([get("/metrics", "/metrics", Need::Administer)]).chain(page).collect()
}

/// The answer of a path below `/api/v1/`, as a GET whose fields are parameters or as a POST whose body they are. A feed is read to the event
/// with the tag that comes last.
pub fn ask(client: &Client, method: &str, name: &str, fields: &Json) -> Outcome {
    let path = format!("/api/v1/{name}");
    let end = |body: &[u8]| if name == "subscribe" { end_of_event(body, listed::PULSE) } else { None };
    match method {
        "GET" => client.api(&format!("{path}?{}", parameters(fields)), None, end),
        "POST" => client.api(&path, Some(fields), end),
        other => panic!("a method {other}"),
    }
}

/// Fields as parameters; a list has one for each of its values.
fn parameters(fields: &Json) -> String {
    let mut parameters = Vec::new();
    for (name, value) in fields.as_object().expect("fields are of an object") {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parameters.push(format!("{name}={}", encoded(&text)));
        }
    }
    parameters.join("&")
}

fn encoded(text: &str) -> String {
    let letter = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}

/// A door of a path with one of its methods; what stands behind the path says how to answer.
fn door(
    method: &'static str,
    name: &'static str,
    how: &'static str,
    (need, about): (Need, About),
    fields: impl Fn(&str) -> Json + Send + Sync + 'static,
) -> Door {
    let door = Door::new(format!("http /api/v1/{name}"), need, about, move |client, tag| {
        let fields = fields(&tag);
        async move { ask(&client, method, &format!("{name}{how}"), &fields).lifted(failure) }
    });
    door.variant(format!("{method}{how}"))
}

/// The failure in an answer that is a message, where it is one of a tag.
fn failure(answer: &Bytes) -> Option<TagFailure> {
    let told: Json = serde_json::from_slice(answer).ok()?;
    serde_json::from_value(told.get("failures")?.get(0)?.clone()).ok()
}

/// Both methods of a path.
fn both(
    name: &'static str,
    needs: (Need, About),
    fields: impl Fn(&str) -> Json + Copy + Send + Sync + 'static,
) -> impl Iterator<Item = Door> {
    ["GET", "POST"].into_iter().map(move |method| door(method, name, "", needs, fields))
}

const OF_TAG: (Need, About) = (Need::Read, About::Tag);

fn kinds() -> Vec<Door> {
    let mut doors = Vec::new();
    for kind in KINDS {
        let name = kind.name;
        let doors_of_kind = both(name, OF_TAG, move |tag| listed::body(name, tag, true)).map(Door::globs);
        // Subscriptions wait for tags that are made later.
        doors.extend(doors_of_kind.map(|door| if name == "subscribe" { door.absent("Ok") } else { door }));
    }
    // Rows are written by one writer, whatever kind they are of.
    for how in ["?shape=rows", "?format=ndjson", "?format=csv", "?format=arrow"] {
        doors.push(door("POST", "range", how, OF_TAG, |tag| listed::body("range", tag, true)).globs());
    }
    doors
}

/// Rows that are of no kind.
fn rows() -> Vec<Door> {
    let with_interval = |tag: &str| {
        let mut fields = listed::body("downsample", tag, true);
        fields["interval_ms"] = json!(5_000);
        fields
    };
    let samples = |tag: &str| match tag {
        "**" => json!({"query": "SELECT * FROM samples ORDER BY tag, 2"}),
        tag => json!({"query": format!("SELECT * FROM samples WHERE tag = '{tag}' ORDER BY 2")}),
    };
    let function = |tag: &str| json!({"query": format!("SELECT * FROM range('{tag}', {FROM}) ORDER BY tag, 2")});
    let mut doors: Vec<Door> = both("plot", OF_TAG, |tag| listed::body("downsample", tag, true)).map(Door::globs).collect();
    doors.push(door("GET", "plot", "", OF_TAG, with_interval).variant("GET, by the time between two points").globs());
    doors.extend(both("sql", OF_TAG, samples).map(|door| door.absent("Ok").globs()));
    doors.push(door("POST", "sql", "", OF_TAG, function).variant("POST of a function").absent("InvalidArgument").globs());
    doors
}

fn tags() -> Vec<Door> {
    // All names have an e.
    let typed = |tag: &str| json!({"match": if tag == "**" { "e" } else { tag }});
    // Tags have the times at which they were made.
    let list = |door: Door| door.absent("Ok").globs().same(Same::Lengths);
    let mut doors: Vec<Door> = both("tags", OF_TAG, |tag| json!({"tags": [tag]})).map(list).collect();
    doors.push(list(door("GET", "tags", "", OF_TAG, typed)).variant("GET, by what a person types"));
    doors.push(Door::new("http /api/v1/tags/{*name}", Need::Read, About::Tag, |client, tag| async move {
        client.api(&format!("/api/v1/tags/{tag}"), None, |_| None)
    }));
    doors
}

fn messages() -> Vec<Door> {
    let nothing = |_: &str| json!({});
    let mut doors = Vec::new();
    for (name, need) in [("status", Need::Administer), ("backups", Need::Administer), ("audit", Need::Audit)] {
        doors.extend(both(name, (need, About::Nothing), nothing).map(|door| door.same(Same::Code)));
    }
    for name in ["detectors", "whoami"] {
        doors.extend(both(name, (Need::Known, About::Nothing), nothing));
    }
    doors.extend(both("collectors", (Need::Read, About::Nothing), nothing));
    doors.extend(both("collectors/tags", (Need::Read, About::Nothing), nothing).map(|door| door.same(Same::Lengths)));
    doors.extend(both("gaps", (Need::Read, About::Nothing), nothing).map(|door| door.globs().same(Same::Lengths)));
    let annotated = |tag: &str| json!({"tags": [tag], "start": "2026-01-01T00:00:00Z", "text": "a test"});
    let none = |_: &str| json!({"id": "18446744073709551615", "tags": ["a"], "start": "*", "text": "a test"});
    doors.push(door("POST", "annotations/create", "", (Need::Write, About::Tag), annotated).same(Same::Code));
    doors.push(door("POST", "annotations/update", "", (Need::Write, About::Nothing), none).ok("NotFound"));
    let gone = |_: &str| json!({"id": "18446744073709551615"});
    doors.push(door("POST", "annotations/delete", "", (Need::Write, About::Nothing), gone).ok("NotFound"));
    let listed = |tag: &str| json!({"tags": [tag]});
    doors.extend(both("annotations", OF_TAG, listed).map(|door| door.globs().same(Same::Lengths)));
    let nobodys = |_: &str| json!({"id": "18446744073709551615", "name": "a test", "content": "tag=a"});
    doors.push(door("POST", "views/save", "", (Need::Read, About::Nothing), nobodys).ok("NotFound"));
    doors.push(door("POST", "views/delete", "", (Need::Read, About::Nothing), gone).ok("NotFound"));
    doors.extend(both("views", (Need::Read, About::Nothing), nothing).map(|door| door.same(Same::Lengths)));
    // What there is to call is in the documentation, and what there is not tells nothing.
    let open = |route: &str, path: &'static str| {
        Door::new(format!("http {route}"), Need::Open, About::Nothing, move |client, _| async move { client.api(path, None, |_| None) })
    };
    doors.push(open("/api/v1/openapi.json", "/api/v1/openapi.json"));
    doors.push(open("/api/", "/api/").ok("Unimplemented"));
    doors.push(open("/api/{*path}", "/api/v1/hidden").ok("Unimplemented"));
    doors
}
