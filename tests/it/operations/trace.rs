//! Traces of calls, as a collector of another make gets them.

use std::time::{Duration, Instant};

use arrow_flight::{
    FlightDescriptor,
    sql::{CommandStatementQuery, ProstMessageExt as _},
};
use prost::Message as _;
use serde_json::Value as Json;
use tonic::Code;

use super::{PATIENCE, Site, get_tag, list_tags};
use crate::{
    support::{
        door::{Door, row},
        historian::client,
        peer::Peer,
    },
    tls::mini::{Mini, Wanted},
};

/// What the client says of its trace: trace, span, and whether it is sampled.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn traceparent(sampled: bool) -> String {
    format!("00-{TRACE}-{SPAN}-0{}", u8::from(sampled))
}

/// The next span of this name; others are passed over.
fn span(collector: &mut Peer, name: &str) -> Json {
    let until = Instant::now() + PATIENCE;
    loop {
        let line = collector.line_starting("span ", until.saturating_duration_since(Instant::now()));
        let span: Json = serde_json::from_str(line.trim_start_matches("span ")).unwrap();
        if span["name"] == name {
            return span;
        }
    }
}

#[test]
fn a_call_is_a_span_of_the_trace_of_its_client_with_its_stages_below_it() {
    let (mut collector, port) = Peer::python("otlp_collector.py", &[]);
    let site = Site::new();
    site.configure(&format!("[log]\nformat = \"json\"\n[trace]\nendpoint = \"http://127.0.0.1:{port}\"\nservice_name = \"plant 7\"\n"));
    let historian = site.start("");
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let refused = runtime.block_on(get_tag(&historian, "a/b", &[("traceparent", &traceparent(true)), ("x-request-id", "lost")]));
    assert_eq!(refused.code(), Code::NotFound);
    let told = span(&mut collector, "historian.v1.TagService/GetTag");
    assert_eq!((&told["trace"], &told["parent"], &told["kind"]), (&TRACE.into(), &SPAN.into(), &2.into()), "{told}");
    let said = &told["attributes"];
    for (name, expected) in [
        ("rpc.system", Json::from("grpc")),
        ("rpc.service", "historian.v1.TagService".into()),
        ("rpc.method", "GetTag".into()),
        ("rpc.grpc.status_code", 5.into()),
        ("request_id", "lost".into()),
        ("client", "127.0.0.1".into()),
        ("principal", "anonymous".into()),
    ] {
        assert_eq!(said[name], expected, "{name}: {told}");
    }
    // What the client did wrong is no error of the server; the line of the log is there.
    assert!(told["status"] == 0 && told["events"][0]["name"] == "call failed", "{told}");
    assert_eq!((&told["resource"]["service.name"], &told["scope"]), (&"plant 7".into(), &"historian".into()), "{told}");

    // A write, and a statement; neither client says of which trace it is.
    let door = Door::to(&historian);
    door.put("a/b", &[row(1, 2.0, 0)]);
    let committed = span(&mut collector, "commit");
    let written = span(&mut collector, "historian.v1.WriteService/WriteSamples");
    assert_eq!((&committed["trace"], &committed["parent"]), (&written["trace"], &written["span"]), "{committed} {written}");
    assert!(written["parent"] == "" && written["trace"] != TRACE, "{written}");
    assert_eq!(
        (&written["attributes"]["historian.kind"], &written["attributes"]["historian.rows"]),
        (&"write".into(), &1.into()),
        "{written}"
    );
    assert!(committed["nanoseconds"].as_u64() <= written["nanoseconds"].as_u64(), "{committed} {written}");
    let text = "SELECT tag, value FROM samples WHERE tag = 'canary-7f3a'";
    runtime.block_on(async {
        let mut asking = client(&historian).await;
        let command = CommandStatementQuery { query: text.to_owned(), transaction_id: None }.as_any().encode_to_vec();
        let info = asking.get_flight_info(FlightDescriptor::new_cmd(command)).await.unwrap().into_inner();
        let mut rows = asking.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap().into_inner();
        while rows.message().await.unwrap().is_some() {}
    });
    let computed = span(&mut collector, "compute");
    assert!(!computed["parent"].as_str().unwrap().is_empty(), "{computed}");
    let fetched = span(&mut collector, "arrow.flight.protocol.FlightService/DoGet");
    assert_eq!(fetched["attributes"]["historian.kind"], "sql", "{fetched}");
    assert!(!format!("{computed}{fetched}").contains("canary-7f3a"), "the text of a statement is nobody's business: {fetched}");

    // The log has calls, and no stages.
    let lines: Vec<Json> = historian.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["span"]["request_id"] == "lost"), "{lines:#?}");
    assert!(lines.iter().all(|line| ["call", ""].contains(&line["span"]["name"].as_str().unwrap_or_default())), "{lines:#?}");
    // What waits when it stops is sent.
    runtime.block_on(get_tag(&historian, "c/d", &[("x-request-id", "last")]));
    historian.stop().unwrap();
    let last = span(&mut collector, "historian.v1.TagService/GetTag");
    assert_eq!(last["attributes"]["request_id"], "last", "{last}");
}

#[test]
fn a_client_says_whether_its_calls_are_traced_and_the_share_is_of_the_others() {
    let (mut collector, port) = Peer::python("otlp_collector.py", &[]);
    let site = Site::new();
    site.configure(&format!("[trace]\nendpoint = \"http://127.0.0.1:{port}\"\nshare = 0.0\n"));
    let token = format!("Bearer {}", site.token());
    let historian = site.start("");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (yes, no) = (traceparent(true), traceparent(false));
    let ask = |id: &str, parent: Option<&str>| {
        let headers = [("authorization", token.as_str()), ("x-request-id", id)];
        let headers: Vec<_> = headers.into_iter().chain(parent.map(|parent| ("traceparent", parent))).collect();
        runtime.block_on(list_tags(&historian, &headers)).unwrap();
    };
    ask("silent", None);
    ask("not", Some(&no));
    for wrong in ["", "00", "00-x-y-01", &"0".repeat(10_000)] {
        ask("wrong", Some(wrong));
    }
    ask("traced", Some(&yes));
    historian.stop().unwrap();
    let told = span(&mut collector, "historian.v1.TagService/ListTags");
    assert_eq!(
        (&told["attributes"]["request_id"], &told["attributes"]["principal"]),
        (&"traced".into(), &"token:watcher".into()),
        "{told}"
    );
    assert!(!told.to_string().contains("hst_"), "{told}");
    // It was the only one.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(collector.next_line(), None);
}

#[test]
fn a_collector_with_tls_is_known_by_its_authority() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Mini::new(directory.path(), "collectors");
    let (certificate, key) = authority.issue("collector", &Wanted::server(&["localhost"]));
    let words = [certificate.display().to_string(), key.display().to_string()];
    let (mut collector, port) = Peer::python("otlp_collector.py", &[&words[0], &words[1]]);
    let site = Site::new();
    let ca = directory.path().join("collectors.crt");
    site.configure(&format!("[trace]\nendpoint = \"https://localhost:{port}\"\nca = \"{}\"\n", ca.display()));
    let historian = site.start("");
    tokio::runtime::Runtime::new().unwrap().block_on(list_tags(&historian, &[("x-request-id", "secured")])).unwrap();
    historian.stop().unwrap();
    let told = span(&mut collector, "historian.v1.TagService/ListTags");
    assert_eq!(told["attributes"]["request_id"], "secured", "{told}");
}

#[test]
fn a_collector_that_is_not_there_holds_up_no_call_and_not_the_end() {
    let site = Site::new();
    // Nobody listens there, and nobody answers at the other.
    for endpoint in ["http://127.0.0.1:9", "http://192.0.2.1:4317"] {
        site.configure(&format!("[trace]\nendpoint = \"{endpoint}\"\n"));
        let historian = site.start("");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for _ in 0..3_000 {
            // More than the queue of spans holds.
            runtime.block_on(list_tags(&historian, &[])).unwrap();
            if historian.begun().elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        historian.stop().unwrap();
    }
}
