//! What somebody who sees some tags is shown of the others: nothing, at any door, down to the byte.

use std::{fs, time::Duration};

use arrow_flight::Ticket;
use bytes::Bytes;
use futures::StreamExt;
use historian_proto::v1::{
    CompactRequest, CurrentValuesRequest, CurrentValuesResponse, DeleteRangeRequest, ListTagsRequest, ListTagsResponse, RangeRequest,
    RangeResponse, SubscribeRequest, query_service_client::QueryServiceClient,
};
use prost::Message;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use super::{
    call::{Client, Outcome},
    door::{About, Door, Need, doors, flight, http, listed, sql},
    matrix::differs,
    plant::{Plant, Tags, Who, tag},
    web::end_of_event,
};
use crate::support::peer::root;

/// In the names, units and descriptions of all that is not seen, and nowhere else.
const HIDDEN: &str = "hidden";

/// The doors at which a reader asks for everything. Files of the page have that word for reasons of their own, and are compared with those that
/// were built instead.
fn of_readers() -> Vec<Door> {
    let asks = |door: &Door| door.need.is_met_by(Who::SeenReader) && door.about != About::NewTag && !http::is_page(door);
    doors().into_iter().filter(asks).collect()
}

async fn compact(plant: &Plant) {
    let done = plant.client(Who::Admin).ask("historian.v1.AdminService/Compact", &CompactRequest {}).await;
    assert!(done.is_ok(), "{}", done.message);
}

#[test]
fn a_reader_of_some_tags_is_shown_no_other_tag_anywhere() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let mut broken = Vec::new();
        for phase in ["in heads", "in chunks"] {
            for door in of_readers() {
                for who in [Who::SeenReader, Who::SeenEngineer] {
                    let outcome = door.ask(plant.client(who), "**").await;
                    if outcome.shows(HIDDEN) {
                        broken.push(format!("{} · {who:?} {phase}: {:?}", door.name(), outcome.around(HIDDEN)));
                    }
                    if door.globs && !(outcome.is_ok() && outcome.shows("seen")) {
                        broken.push(format!("{} · {who:?} {phase}: shows nothing: {} {}", door.name(), outcome.code, outcome.message));
                    }
                }
                // What is searched for is there, for who may see it.
                if door.globs && !door.ask(plant.client(Who::Admin), "**").await.shows(HIDDEN) {
                    broken.push(format!("{} {phase}: nothing is hidden, and this test could not fail", door.name()));
                }
            }
            compact(&plant).await;
        }
        assert!(broken.is_empty(), "{} leaks:\n{}", broken.len(), broken.join("\n"));
    });
}

#[test]
fn every_answer_is_that_of_a_historian_that_has_the_seen_tags_only() {
    Runtime::new().unwrap().block_on(async {
        let (both, seen) = futures::join!(Plant::start(Tags::SeenAndHidden), Plant::start(Tags::SeenOnly));
        let mut broken = Vec::new();
        for phase in ["in heads", "in chunks"] {
            for door in of_readers().into_iter().filter(|door| door.need == Need::Read) {
                let here = door.ask(both.client(Who::SeenReader), "**").await;
                let there = door.ask(seen.client(Who::SeenReader), "**").await;
                if let Some(difference) = differs(door.same, &here, &there) {
                    broken.push(format!("{} {phase}: {difference}", door.name()));
                }
            }
            let (answered, expected) = futures::join!(questions(&both), questions(&seen));
            for ((question, here), (_, there)) in answered.into_iter().zip(expected) {
                if let Some(difference) = here.difference(&there) {
                    broken.push(format!("{question} {phase}: {difference}"));
                }
            }
            compact(&both).await;
            compact(&seen).await;
        }
        assert!(broken.is_empty(), "{} answers tell of tags that are not seen:\n{}", broken.len(), broken.join("\n"));
    });
}

#[test]
fn the_page_is_for_everybody_what_was_built() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        for (route, path, file) in http::PAGE {
            let built = fs::read(root().join("web/dist").join(file)).expect("the page is built");
            for who in [Who::Nobody, Who::Expired, Who::SeenReader, Who::Admin] {
                let outcome = plant.client(who).http(path);
                assert_eq!(outcome.code, "200", "{route} · {who:?}");
                assert!(outcome.parts[0] == built, "{route} · {who:?}: other than web/dist/{file}");
            }
        }
    });
}

/// Questions that go around the names: globs, patterns, conditions, joins, pages, and plans.
async fn questions(plant: &Plant) -> Vec<(String, Outcome)> {
    let reader = plant.client(Who::SeenReader);
    let mut answers = Vec::new();
    for text in [
        "SELECT count(*) FROM samples WHERE tag LIKE 'hidden/%'",
        "SELECT count(*) FROM samples WHERE tag LIKE '%here'",
        "SELECT tag, count(*) FROM samples WHERE tag IN ('hidden/here', 'seen/here') GROUP BY tag",
        "SELECT count(*), sum(value), max(timestamp) FROM samples",
        "SELECT count(*) FROM tags",
        "SELECT count(*) FROM tags WHERE unit = 'hiddens'",
        "SELECT count(*) FROM current",
        "SELECT count(*) FROM hourly",
        "SELECT count(*) FROM gaps",
        "SELECT count(*) FROM annotations WHERE text LIKE '%hidden%'",
        "SELECT a.tag, count(*) FROM annotations a LEFT JOIN samples s ON s.tag = a.tag GROUP BY a.tag ORDER BY 1",
        "SELECT DISTINCT tag FROM samples ORDER BY tag",
        "SELECT t.name, count(*) FROM tags t LEFT JOIN samples s ON s.tag = t.name GROUP BY t.name ORDER BY t.name",
        "SELECT time_bucket('1 minute', timestamp) AS at, count(*), avg(value) FROM samples GROUP BY at ORDER BY at",
        "SELECT tag, value FROM samples ORDER BY timestamp, tag LIMIT 5",
        "EXPLAIN SELECT count(*) FROM samples WHERE tag LIKE 'hidden/%'",
        "EXPLAIN SELECT t.name, s.value FROM tags t JOIN samples s ON s.tag = t.name",
        "EXPLAIN SELECT time_bucket('1 minute', timestamp) AS at, avg(value) FROM samples GROUP BY at",
        "SELECT * FROM range('hidden/*', '2026-01-01', '2026-01-02')",
        "SELECT tag, count(*) FROM range('{hidden,seen}/here', '2026-01-01', '2026-01-02') GROUP BY tag",
        "SELECT count(*) FROM current('hidden/**')",
        "SELECT hidden_here FROM all_hourly",
        "SELECT * FROM all_hourly WHERE hidden_here > 1",
        "SELECT table_name, count(*) FROM information_schema.columns GROUP BY table_name ORDER BY table_name",
        "SELECT remarks FROM information_schema.tables ORDER BY 1",
    ] {
        answers.push((text.to_owned(), sql::statement(&reader, text).await));
        answers.push((format!("{text}, over HTTP"), http::ask(&reader, "POST", "sql", &json!({"query": text}))));
    }
    for globs in ["hidden/*", "*/here", "{hidden,seen}/here", "h*/**", "seen/../hidden/*"] {
        for kind in ["range", "current", "aggregate", "superseded"] {
            let body = listed::body(kind, globs, false);
            answers.push((format!("{kind} {globs}, over HTTP"), http::ask(&reader, "GET", kind, &body)));
            let command = listed::command(kind, body);
            answers.push((format!("{kind} {globs}"), reader.ask(flight::DO_GET, &Ticket::new(command)).await));
        }
        let delete = DeleteRangeRequest {
            tags: vec![globs.into()],
            start: "1700000000000000000".into(),
            end: "1700000000000000001".into(),
            reason: "a test".into(),
            ..DeleteRangeRequest::default()
        };
        let engineer = plant.client(Who::SeenEngineer);
        let outcome = engineer.ask("historian.v1.WriteService/DeleteRange", &delete).await;
        // Its watermark counts all writes.
        answers.push((format!("DeleteRange {globs}"), if outcome.is_ok() { Outcome::nothing("Ok") } else { outcome }));
    }
    // None of these is in anything that is seen.
    for typed in ["hidden", "hidden here", "hiddens", "what is hidden"] {
        answers.push((format!("what is typed: {typed}"), http::ask(&reader, "GET", "tags", &json!({"match": typed}))));
    }
    for name in ["hidden/here", "hidden/gone", "hidden/**"] {
        answers.push((format!("the tag {name}, over HTTP"), reader.api(&format!("/api/v1/tags/{name}"), None, |_| None)));
    }
    pages(&reader, &mut answers).await;
    pages_over_http(&reader, &mut answers);
    answers
}

/// Page by page, with the tokens of the pages.
async fn pages(reader: &Client, answers: &mut Vec<(String, Outcome)>) {
    let mut page_token = String::new();
    for number in 0..10 {
        let request = ListTagsRequest { tags: vec!["**".into()], page_size: 1, page_token, ..ListTagsRequest::default() };
        let page: ListTagsResponse = reader.get("historian.v1.TagService/ListTags", &request).await;
        // Tags have the times at which they were made, and numbers.
        let names: Vec<&str> = page.tags.iter().map(|tag| tag.name.as_str()).collect();
        answers.push((format!("ListTags, page {number}"), told(&format!("{names:?} {}", page.next_page_token))));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut page_token = String::new();
    for number in 0..10 {
        let request = CurrentValuesRequest { tags: vec!["**".into()], page_size: 1, page_token, types: false };
        let page: CurrentValuesResponse = reader.get("historian.v1.QueryService/CurrentValues", &request).await;
        answers.push((format!("CurrentValues, page {number}"), told(&format!("{page:?}"))));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut page_token = String::new();
    for number in 0..10 {
        let (start, end) = ("2026-01-01T00:00:00Z".to_owned(), "2026-01-02T00:00:00Z".to_owned());
        let request = RangeRequest { tags: vec!["**".into()], start, end, page_size: 100, page_token, ..RangeRequest::default() };
        let outcome = reader.ask("historian.v1.QueryService/Range", &request).await;
        page_token = String::new();
        for message in outcome.messages() {
            let next = RangeResponse::decode(message.clone()).unwrap().next_page_token;
            page_token = if next.is_empty() { page_token } else { next };
        }
        answers.push((format!("Range, page {number}"), outcome));
        if page_token.is_empty() {
            break;
        }
    }
}

fn pages_over_http(reader: &Client, answers: &mut Vec<(String, Outcome)>) {
    // Of current values only gRPC has pages.
    for (kind, page_size) in [("range", 100)] {
        let mut fields = listed::body(kind, "**", false);
        fields["page_size"] = json!(page_size);
        for number in 0..10 {
            let outcome = http::ask(reader, "POST", kind, &fields);
            assert!(outcome.is_ok(), "{kind}, page {number}: {} {}", outcome.code, outcome.message);
            let page: Json = serde_json::from_slice(&outcome.messages()[0]).expect("rows are JSON");
            fields["page_token"] = page["metadata"].get("next_page_token").cloned().unwrap_or_default();
            answers.push((format!("{kind} over HTTP, page {number}"), outcome));
            if fields["page_token"].as_str().is_none_or(str::is_empty) {
                break;
            }
        }
    }
}

fn told(text: &str) -> Outcome {
    Outcome { message: text.to_owned(), ..Outcome::nothing("Ok") }
}

/// Of tags that are made after it began, too.
#[test]
fn a_subscription_brings_no_tag_that_is_not_seen_whenever_it_is_made() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let reader = plant.client(Who::SeenReader);
        let request = SubscribeRequest { tags: vec!["**".into()], current: true, position: 0 };
        let mut over_grpc = {
            let mut request = tonic::Request::new(request.clone());
            *request.metadata_mut() = reader.headers();
            QueryServiceClient::new(reader.channel()).subscribe(request).await.unwrap().into_inner()
        };
        let has_later = |answer: &Bytes| answer.windows(10).any(|window| window == b"seen/later");
        // Over Flight, HTTP and gRPC at once; what is written meanwhile comes by the feed.
        let ticket: Bytes = Ticket::new(r#"{"subscribe": {"tags": ["**"], "current": true}}"#).encode_to_vec().into();
        let over_flight = reader.raw(flight::DO_GET, vec![ticket], has_later);
        let end = |body: &[u8]| end_of_event(body, "seen/later");
        let web = reader.clone();
        let over_http = tokio::task::spawn_blocking(move || web.api("/api/v1/subscribe?tag=**&current=true", None, end));
        let writing = async {
            for name in ["hidden/later", "seen/later"] {
                plant.create(name).await;
            }
            for name in ["hidden/here", "hidden/later", "seen/here"] {
                plant.write(name, 1_770_000_000_000_000_000, 3, 5.0).await;
            }
            // Again and again, so that it comes after the subscription has begun.
            for at in 0.. {
                plant.write("hidden/later", 1_770_000_001_000_000_000 + at, 1, 5.0).await;
                plant.write("seen/later", 1_770_000_001_000_000_000 + at, 1, 5.0).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let mut shown = Vec::new();
        tokio::select! {
            (flight, http) = futures::future::join(over_flight, over_http) => {
                shown.extend([("Flight", flight), ("HTTP", http.expect("it was asked"))]);
            }
            () = writing => {}
        }
        // The writing ended when the name was seen, which may be before there was a sample of it.
        for name in ["hidden/later", "seen/later"] {
            plant.write(name, 1_780_000_000_000_000_000, 1, 5.0).await;
        }
        let mut messages = Vec::new();
        loop {
            let message = tokio::time::timeout(Duration::from_secs(30), over_grpc.next()).await.expect("it goes on").unwrap().unwrap();
            let message: Bytes = message.encode_to_vec().into();
            let is_last = has_later(&message);
            messages.push(message);
            if is_last {
                break;
            }
        }
        shown.push(("gRPC", Outcome { parts: messages, ..Outcome::nothing("Ok") }));
        for (door, outcome) in shown {
            assert!(outcome.shows("seen/here") && outcome.shows("seen/later"), "{door}");
            assert!(!outcome.shows(HIDDEN), "{door}: {:?}", outcome.around(HIDDEN));
        }
        // So that it could be shown.
        let admin = plant.client(Who::Admin);
        let ticket: Bytes = Ticket::new(r#"{"subscribe": {"tags": ["**"], "current": true}}"#).encode_to_vec().into();
        let shown = admin.raw(flight::DO_GET, vec![ticket], has_later).await;
        assert!(shown.shows("hidden/later"), "{} {}: {:?}", shown.code, shown.message, shown.around("later"));
    });
}

/// Whoever may write everywhere and read some tags learns nothing of the others but that they were written.
#[test]
fn a_tag_of_a_name_is_refused_alike_whether_it_is_there_or_not() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        for who in [Who::SeenReader, Who::SeenEngineer] {
            for door in
                doors().into_iter().filter(|door| door.need.is_met_by(who) && matches!(door.about, About::NewTag | About::TagThatGoes))
            {
                let (there, not) = ("hidden/here", "hidden/gone");
                let [there, not] = [door.ask(plant.client(who), there).await, door.ask(plant.client(who), not).await.renamed(not, there)];
                assert_eq!(there.difference(&not), None, "{} · {who:?}", door.name());
                assert!(!there.is_ok(), "{} · {who:?}", door.name());
            }
        }
        // Nothing was made, changed or deleted.
        let request = ListTagsRequest { tags: vec!["hidden/**".into()], ..ListTagsRequest::default() };
        let listed: ListTagsResponse = plant.client(Who::Admin).get("historian.v1.TagService/ListTags", &request).await;
        let names: Vec<&str> = listed.tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["hidden/device", "hidden/here", "hidden/more", "hidden/zz"]);
        assert_eq!(listed.tags[1].description, tag("hidden/here").description);
    });
}
