//! The log: one JSON object a line, calls with their ids, and never a secret.

use std::collections::BTreeMap;

use arrow_flight::{
    FlightDescriptor,
    sql::{CommandStatementQuery, ProstMessageExt as _},
};
use prost::Message as _;
use serde_json::Value as Json;
use tonic::Code;

use super::{Site, get_tag, list_tags};
use crate::support::historian::{Historian, client, run};

/// The lines of the log, each of which is an object with what every line has.
fn lines(historian: &Historian) -> Vec<Json> {
    let line = |text: &str| -> Json {
        let line: Json = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "no {field}: {text}");
        }
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{text}");
        line
    };
    historian.log().lines().map(line).collect()
}

/// The line that tells of the end of a call, once it is there.
fn ended(historian: &mut Historian, id: &str) -> Json {
    let find = |historian: &Historian| {
        lines(historian).into_iter().find(|line| line["span"]["request_id"] == id && line["duration_ms"].is_number())
    };
    historian.wait(id, |historian| find(historian).is_some());
    find(historian).unwrap()
}

/// What the details of an error say of the call: the `google.rpc.RequestInfo` among them has its id.
fn says(error: &tonic::Status, id: &str) -> bool {
    let details = String::from_utf8_lossy(error.details()).into_owned();
    details.contains("google.rpc.RequestInfo") && details.contains(id)
}

#[test]
fn a_call_has_an_id_that_is_in_its_answer_its_error_and_each_line_about_it() {
    let site = Site::new();
    site.configure("[log]\nformat = \"json\"\nlevel = \"info,historian_api=debug\"\n");
    let token = format!("Bearer {}", site.token());
    let mut historian = site.start("");
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let answer = runtime.block_on(list_tags(&historian, &[("authorization", &token), ("x-request-id", "shift-7.list_1")])).unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "shift-7.list_1");
    let line = ended(&mut historian, "shift-7.list_1");
    assert_eq!((&line["level"], &line["code"], &line["message"]), (&"DEBUG".into(), &"OK".into(), &"call".into()), "{line}");
    let span = &line["span"];
    assert_eq!(
        [&span["method"], &span["principal"], &span["client"]],
        ["historian.v1.TagService/ListTags", "token:watcher", "127.0.0.1"],
        "{line}"
    );
    assert!(line["bytes_sent"].is_number() && line["bytes_received"].is_number() && line["rows"] == 0, "{line}");

    // One that fails is told whatever the level.
    let refused = runtime.block_on(get_tag(&historian, "a/b", &[("authorization", &token), ("x-request-id", "lost")]));
    assert!(refused.code() == Code::NotFound && says(&refused, "lost"), "{refused:?}");
    let line = ended(&mut historian, "lost");
    assert_eq!((&line["level"], &line["code"], &line["message"]), (&"INFO".into(), &"NOT_FOUND".into(), &"call failed".into()), "{line}");

    // What is no sane id is not taken over; neither is what is refused before any service sees it without one.
    let long = "x".repeat(65);
    for odd in ["a b", "a\"b", long.as_str()] {
        let refused = runtime.block_on(get_tag(&historian, "a/b", &[("authorization", &token), ("x-request-id", odd)]));
        let id = refused.metadata().get("x-request-id").unwrap().to_str().unwrap();
        assert!(id.len() == 16 && says(&refused, id), "{odd:?}: {id}");
        assert_eq!(ended(&mut historian, id)["code"], "NOT_FOUND");
    }
    let stranger = runtime.block_on(list_tags(&historian, &[("x-request-id", "stranger")])).unwrap_err();
    assert!(stranger.code() == Code::Unauthenticated && says(&stranger, "stranger"), "{stranger:?}");
    // A query at the door of Flight, of which kind it was.
    let ticket = r#"{"current": {"tags": ["**"]}}"#;
    let mut request = tonic::Request::new(arrow_flight::Ticket { ticket: ticket.into() });
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request.metadata_mut().insert("x-request-id", "flown".parse().unwrap());
    runtime.block_on(async {
        let mut stream = client(&historian).await.do_get(request).await.unwrap().into_inner();
        while stream.message().await.unwrap().is_some() {}
    });
    let line = ended(&mut historian, "flown");
    assert_eq!(
        (&line["kind"], &line["span"]["method"]),
        (&"current".into(), &"arrow.flight.protocol.FlightService/DoGet".into()),
        "{line}"
    );
    historian.stop().unwrap();
}

#[test]
fn a_slow_call_is_told_although_it_went_well_and_quick_ones_are_not() {
    let site = Site::new();
    site.configure("[log]\nformat = \"json\"\nslow_query_ms = 1\n");
    let mut historian = site.start("");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let series = "SELECT sum(value) FROM generate_series(1, 3000000)";
    runtime.block_on(async {
        let mut asking = client(&historian).await;
        let command = CommandStatementQuery { query: series.to_owned(), transaction_id: None }.as_any().encode_to_vec();
        let info = asking.get_flight_info(FlightDescriptor::new_cmd(command)).await.unwrap().into_inner();
        let mut request = tonic::Request::new(info.endpoint[0].ticket.clone().unwrap());
        request.metadata_mut().insert("x-request-id", "long".parse().unwrap());
        let mut rows = asking.do_get(request).await.unwrap().into_inner();
        while rows.message().await.unwrap().is_some() {}
    });
    let line = ended(&mut historian, "long");
    assert_eq!(
        (&line["level"], &line["message"], &line["kind"], &line["rows"]),
        (&"WARN".into(), &"slow call".into(), &"sql".into(), &1.into()),
        "{line}"
    );
    assert!(line["duration_ms"].as_f64().unwrap() >= 1.0, "{line}");
    historian.stop().unwrap();

    let site = Site::new();
    site.configure("[log]\nformat = \"json\"\nslow_query_ms = 60000\n");
    let historian = site.start("");
    runtime.block_on(list_tags(&historian, &[("x-request-id", "quick")])).unwrap();
    assert!(!historian.log().contains("quick"), "{}", historian.log());
    historian.stop().unwrap();
}

#[test]
fn no_token_and_no_text_of_a_statement_comes_into_the_log_whatever_the_level() {
    for (level, format) in [("trace", "text"), ("trace", "json"), ("debug", "json")] {
        let site = Site::new();
        site.configure(&format!("[log]\nformat = \"{format}\"\n"));
        let token = site.token();
        let historian = site.start(level);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let bearer = format!("Bearer {token}");
        runtime.block_on(list_tags(&historian, &[("authorization", &bearer)])).unwrap();
        // As BI tools send it, and one that is not valid.
        let basic = format!("Basic {}", base64(&format!("ana:{token}")));
        runtime.block_on(list_tags(&historian, &[("authorization", &basic)])).unwrap();
        runtime.block_on(list_tags(&historian, &[("authorization", "Bearer hst_notvalidCANARY")])).unwrap_err();
        runtime.block_on(async {
            let query = "SELECT 'SQLCANARY' AS secret".to_owned();
            let command = CommandStatementQuery { query, transaction_id: None }.as_any().encode_to_vec();
            let mut request = tonic::Request::new(FlightDescriptor::new_cmd(command));
            request.metadata_mut().insert("authorization", bearer.parse().unwrap());
            client(&historian).await.get_flight_info(request).await.unwrap();
        });
        let url = historian.url();
        assert_eq!(run(&["status", "--server", &url, "--token", &token]).0, 0);
        let log = historian.log();
        let mut found = BTreeMap::new();
        for canary in [&token[4..], "notvalidCANARY", "SQLCANARY", &basic[6..]] {
            found.insert(canary.to_owned(), log.lines().find(|line| line.contains(canary)).map(str::to_owned));
        }
        if level == "trace" {
            found.remove("SQLCANARY");
        }
        assert!(found.values().all(Option::is_none), "{found:?}");
        assert!(log.contains("ListTags"), "calls are told: {log}");
        historian.stop().unwrap();
    }
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for part in text.as_bytes().chunks(3) {
        let word = part.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - part.len()));
        for place in 0..=part.len() {
            encoded.push(char::from(LETTERS[(word >> (18 - 6 * place) & 63) as usize]));
        }
    }
    encoded + &"=".repeat((3 - text.len() % 3) % 3)
}
