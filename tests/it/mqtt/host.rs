//! The historian as Sparkplug host: what it says of itself, and what it makes of edges that break the rules. The edge is a client of ours
//! that publishes every byte as the test wants it.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{MS, PATIENCE, Plant, SECONDS, now_ms};
use crate::support::mqtt::{Client, Edge, GROUP, Make};

/// How long a message may wait for those before it, and some more.
const REORDERED: Duration = Duration::from_secs(9);

/// The birth of a node with two metrics.
fn birth() -> Json {
    let at = now_ms();
    json!({ "timestamp": at, "seq": 0, "metrics": [
        { "name": "bdSeq", "type": "UInt64", "value": 0, "timestamp": at },
        { "name": "level", "alias": 1, "type": "Double", "value": 1.0, "timestamp": at },
        { "name": "count", "alias": 2, "type": "Int64", "value": 1, "timestamp": at },
    ]})
}

/// One value of `level`.
fn level(seq: u64, value: f64, at: i64) -> Json {
    json!({ "timestamp": at, "seq": seq, "metrics": [{ "name": "level", "type": "Double", "value": value, "timestamp": at }] })
}

/// Whether a tag has a Good sample of this value at this time in ms.
fn has(plant: &Plant, tag: &str, value: &Json, at: i64) -> bool {
    plant.of(tag).iter().any(|sample| sample.at == at * MS && sample.value.as_ref() == Some(value) && sample.is_good())
}

fn is_state(heard: &Json, online: bool) -> bool {
    let said: Json = serde_json::from_str(heard["text"].as_str().unwrap_or_default()).unwrap_or_default();
    heard["topic"] == "spBv1.0/STATE/scada" && said["online"] == online && said["timestamp"].is_i64()
}

#[test]
fn the_historian_says_that_it_is_online_and_the_broker_says_when_it_is_not() {
    let Some(mut plant) = Plant::sparkplug("") else { return };
    let mut early = Client::plain(plant.port(), &["--subscribe", "spBv1.0/STATE/#"]);
    early.until("online, kept", PATIENCE, |heard| heard.iter().any(|heard| is_state(heard, true) && heard["retain"] == true));

    plant.stop();
    early.until("offline after a stop", SECONDS, |heard| heard.last().is_some_and(|last| is_state(last, false)));
    let mut late = Client::plain(plant.port(), &["--subscribe", "spBv1.0/STATE/#"]);
    late.until("offline, kept", PATIENCE, |heard| heard.iter().any(|heard| is_state(heard, false) && heard["retain"] == true));

    plant.start();
    early.until("online again", PATIENCE, |heard| heard.last().is_some_and(|last| is_state(last, true)));
    plant.kill();
    early.until("offline by the will", SECONDS, |heard| heard.last().is_some_and(|last| is_state(last, false)));
}

#[test]
fn messages_out_of_order_are_put_in_order_and_a_lost_one_costs_one_request_for_a_rebirth() {
    let Some(plant) = Plant::sparkplug("") else { return };
    let mut edge = Client::sparkplug(plant.port(), &["--subscribe", "spBv1.0/plant/NCMD/#"]);
    let tag = format!("{GROUP}/raw/level");
    edge.edge("NBIRTH/raw", &birth());
    let at: Vec<i64> = (0..8).map(|_| now_ms()).collect();
    // 3 overtakes 1 and 2.
    for (seq, value) in [(3, 3.0), (1, 1.5), (2, 2.0)] {
        edge.edge("NDATA/raw", &level(seq, value, at[seq as usize]));
    }
    for (seq, value) in [(1, 1.5), (2, 2.0), (3, 3.0)] {
        plant.until("values out of order", SECONDS, |plant| has(plant, &tag, &json!(value), at[seq]));
    }
    assert_eq!(edge.rebirths("raw"), 0, "nothing was lost");

    // 4 never comes. What is behind it does, and a rebirth is asked for.
    edge.edge("NDATA/raw", &level(5, 5.0, at[5]));
    edge.until("a request for a rebirth", REORDERED, |heard| !heard.is_empty());
    plant.until("the value behind the lost one", SECONDS, |plant| has(plant, &tag, &json!(5.0), at[5]));
    // Whoever does not answer, and goes on to lose, is not asked without end.
    for seq in [9_u64, 13, 17, 21, 25] {
        edge.edge("NDATA/raw", &level(seq, seq as f64, now_ms()));
        std::thread::sleep(Duration::from_millis(1_200));
    }
    assert!(edge.rebirths("raw") <= 3, "{} requests in some 12 s", edge.rebirths("raw"));
    let last = now_ms();
    let mut again = birth();
    again["metrics"][1]["value"] = json!(7.25);
    again["metrics"][1]["timestamp"] = json!(last);
    edge.edge("NBIRTH/raw", &again);
    plant.until("the birth that was asked for", SECONDS, |plant| has(plant, &tag, &json!(7.25), last));
    assert!(plant.is_good(&tag));
    plant.until("the five before", SECONDS, |plant| {
        let found = plant.of(&tag);
        [9.0, 13.0, 17.0, 21.0, 25.0].iter().all(|value| found.iter().any(|sample| sample.value == Some(json!(value)) && sample.is_good()))
    });
}

#[test]
fn a_value_by_an_alias_that_no_birth_told_is_told_and_a_rebirth_is_asked_for() {
    let Some(plant) = Plant::sparkplug("") else { return };
    let mut edge = Client::sparkplug(plant.port(), &["--subscribe", "spBv1.0/plant/NCMD/#"]);
    edge.edge("NBIRTH/raw", &birth());
    let at = now_ms();
    let unknown = json!({ "alias": 99, "of": "Double", "value": 4.5, "timestamp": at });
    let known = json!({ "alias": 2, "of": "Int64", "value": -5, "timestamp": at });
    edge.edge("NDATA/raw", &json!({ "timestamp": at, "seq": 1, "metrics": [unknown, known] }));
    edge.until("a request for a rebirth", SECONDS, |heard| !heard.is_empty());
    let said = plant.until_told(&["99", "raw"]);
    assert!(said.contains("alias"), "{said}");
    plant.until("the other value of the message", SECONDS, |plant| has(plant, &format!("{GROUP}/raw/count"), &json!(-5), at));
    assert!(plant.samples("**").values().flatten().all(|sample| sample.value != Some(json!(4.5))), "it has no name");
}

#[test]
fn data_before_any_birth_ask_for_one_and_what_names_itself_is_kept() {
    let Some(plant) = Plant::sparkplug("") else { return };
    let mut edge = Client::sparkplug(plant.port(), &["--subscribe", "spBv1.0/plant/NCMD/#"]);
    let at = now_ms();
    edge.edge("NDATA/raw", &level(17, 17.5, at));
    edge.until("a request for a rebirth", SECONDS, |heard| !heard.is_empty());
    plant.until("the value with a name", SECONDS, |plant| {
        plant.of(&format!("{GROUP}/raw/level")).iter().any(|sample| sample.at == at * MS && sample.value == Some(json!(17.5)))
    });
}

#[test]
fn a_value_that_is_null_is_bad_and_a_historical_one_is_history_and_not_current() {
    let Some(plant) = Plant::sparkplug("") else { return };
    let mut edge = Client::sparkplug(plant.port(), &[]);
    let (tag, count) = (format!("{GROUP}/raw/level"), format!("{GROUP}/raw/count"));
    edge.edge("NBIRTH/raw", &birth());
    std::thread::sleep(Duration::from_millis(20));
    let at = now_ms();
    let nothing = json!({ "name": "level", "type": "Double", "null": true, "timestamp": at });
    // Of before the birth, and of between it and the current value.
    let past =
        [at - 3_600_000, at - 5].map(|at| json!({ "name": "count", "type": "Int64", "value": at, "timestamp": at, "historical": true }));
    let current = json!({ "name": "count", "type": "Int64", "value": 7, "timestamp": at });
    edge.edge("NDATA/raw", &json!({ "timestamp": at, "seq": 1, "metrics": [nothing, current, past[1], past[0]] }));
    plant.until("all of it", SECONDS, |plant| plant.of(&count).len() >= 4 && plant.of(&tag).len() >= 2);
    let last = plant.of(&tag).pop().unwrap();
    assert!(last.at == at * MS && last.value.is_none() && last.quality.is_bad(), "{last:?}");
    let found = plant.of(&count);
    let expected = [json!(at - 3_600_000), json!(1), json!(at - 5), json!(7)];
    assert_eq!(found.iter().map(|sample| sample.value.clone().unwrap_or_default()).collect::<Vec<_>>(), expected, "{found:?}");
    assert!(found.iter().all(super::Sample::is_good), "{found:?}");
    let said = crate::silence::told(plant.historian(), &["query", "current", &count, "--format", "csv"]);
    assert!(said.contains(",7,"), "{said}");
}

#[test]
fn a_birth_of_a_thousand_metrics_makes_a_thousand_tags_that_a_restart_keeps() {
    let Some(mut plant) = Plant::sparkplug("") else { return };
    let Some(mut edge) = Edge::start(Make::Tahu, plant.port(), "line3", 1_000) else { return };
    edge.tell("birth");
    let all = format!("{GROUP}/line3/**");
    plant.until("a tag for each metric", PATIENCE, |plant| plant.tags().len() == edge.published.len());
    plant.holds(&edge, &edge.published);
    edge.tell("data Extra/999 0.125");
    edge.tell("data Extra/0 0.125");
    plant.holds(&edge, &edge.published);
    let status = plant.status();
    assert_eq!((status.items_wanted, status.items_delivering), (1_015, 1_015), "{status:#?}");
    let ids = |plant: &Plant| plant.tags().into_iter().map(|(name, tag)| (name, tag.id)).collect::<Vec<_>>();
    let before = ids(&plant);
    let history = plant.of(&edge.tag(true, "Extra/999"));

    plant.stop();
    plant.start();
    assert_eq!(ids(&plant), before, "before any birth");
    plant.until_all(&all, true, "the edge was asked for its births");
    assert_eq!(ids(&plant), before);
    let now = plant.of(&edge.tag(true, "Extra/999"));
    assert_eq!(now[..history.len()], history, "what was there is there");
    edge.listen();
    plant.holds(&edge, &edge.published);
}
