//! What a broker may bring that is no measurement: bytes without sense, more of them than anybody sends, more topics than anybody has. It
//! is bounded, it is told, and it costs the others nothing.

use std::time::Instant;

use serde_json::{Value as Json, json};

use super::{MS, PATIENCE, Plant, SECONDS, now_ms};
use crate::support::{
    mqtt::{Client, GROUP},
    peer::python,
};

/// An edge that breaks no rule, beside those that do.
fn good_value(client: &mut Client, value: f64) -> i64 {
    let at = now_ms();
    let metric = json!({ "name": "level", "type": "Double", "value": value, "timestamp": at });
    client.edge("NBIRTH/good", &json!({ "timestamp": at, "seq": 0, "metrics": [metric] }));
    at
}

fn is_taken(plant: &Plant, value: f64, at: i64) {
    let tag = format!("{GROUP}/good/level");
    plant.until("the value of an edge that breaks no rule", SECONDS, |plant| {
        plant.of(&tag).iter().any(|sample| sample.at == at * MS && sample.value == Some(json!(value)) && sample.is_good())
    });
}

#[test]
fn bytes_without_sense_are_told_with_their_topic_and_cost_nobody_else_anything() {
    let Some(plant) = Plant::sparkplug("") else { return };
    let mut client = Client::sparkplug(plant.port(), &[]);
    // Lengths that go beyond the end, groups that never end, a varint without one, text that is none, and nothing at all.
    let nonsense = ["ffffffffffffffffffffff", "12ff01", "0b0b0b0b", "12040a02fffe", "80", "", "7b22612226", "1a80808080ffffffff7f"];
    for (number, bytes) in nonsense.into_iter().enumerate() {
        for kind in ["NBIRTH", "NDATA", "DBIRTH", "DDATA", "NDEATH", "DDEATH"] {
            let device = if kind.starts_with('D') { "/d" } else { "" };
            client.command(&json!({ "publish": format!("spBv1.0/{GROUP}/{kind}/bad{number}{device}"), "hex": bytes }));
        }
        let at = good_value(&mut client, number as f64);
        is_taken(&plant, number as f64, at);
    }
    plant.until_told(&["bad7"]);
    // Topics that are none of Sparkplug's.
    for topic in ["spBv1.0/plant", "spBv1.0/plant/XDATA/n", "spBv1.0/plant/DDATA/n", "spBv1.0//NBIRTH/n", "spBv1.0/plant/NDATA/n/d/e"] {
        client.command(&json!({ "publish": topic, "hex": "0a00" }));
    }
    let at = good_value(&mut client, 99.0);
    is_taken(&plant, 99.0, at);
    let status = plant.status();
    assert_eq!((status.connects, status.samples_dropped), (1, 0), "{status:#?}");
    let unexpected: Vec<_> = plant
        .samples("**")
        .into_iter()
        .filter(|(tag, found)| !tag.ends_with("good/level") && found.iter().any(super::Sample::is_good))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn a_birth_of_a_thousand_times_the_same_name_and_of_odd_ones_is_bounded() {
    let Some(plant) = Plant::sparkplug("") else { return };
    let mut client = Client::sparkplug(plant.port(), &[]);
    let at = now_ms();
    let metric = |name: &str, value: f64| json!({ "name": name, "type": "Double", "value": value, "timestamp": at });
    let mut metrics: Vec<Json> = (0..1_000).map(|number| metric("same", f64::from(number))).collect();
    // Names that no tag can have, or that differ in what makes a level of a name.
    metrics.extend(["", "/", "a//b", "a/../b", " a ", "a\u{0}b", "#", "+/#", "{x}", "*"].map(|name| metric(name, 1.0)));
    metrics.push(metric(&"long".repeat(1_000), 1.0));
    metrics.push(metric("plain", 2.0));
    client.edge("NBIRTH/odd", &json!({ "timestamp": at, "seq": 0, "metrics": metrics }));
    let tag = format!("{GROUP}/odd/plain");
    plant.until("the metric with a name", SECONDS, |plant| plant.is_good(&tag));
    assert_eq!(plant.of(&format!("{GROUP}/odd/same")).len(), 1);
    plant.until_told(&["odd"]);
    let at = good_value(&mut client, 1.0);
    is_taken(&plant, 1.0, at);
}

#[test]
fn a_payload_beyond_the_limit_is_not_taken_and_the_next_one_is() {
    let topic = "message_bytes_max = 100000\n[[mqtt.topic]]\nfilter = \"plain/#\"\ntag_name = \"{topic}\"\npayload = \"text\"\n";
    let Some(mut plant) = Plant::new(topic) else { return };
    plant.start();
    plant.until("the connection", PATIENCE, |plant| plant.status().state == "running");
    let mut client = Client::plain(plant.port(), &[]);
    client.text("plain/a", "1.5");
    plant.until("a value", SECONDS, |plant| plant.is_good("plain/a"));
    client.command(&json!({ "publish": "plain/big", "size": 1 << 20, "qos": 1 }));
    client.text("plain/b", "2.5");
    plant.until("the value behind", SECONDS, |plant| plant.is_good("plain/b"));
    assert!(plant.of("plain/big").is_empty());
    plant.until_told(&["plain/big", "100000"]);
    let rss_mb = plant.historian().rss_peak_kb() / 1_024;
    assert!(rss_mb < 600, "{rss_mb} MB");
}

#[test]
fn a_flood_of_topics_makes_as_many_tags_as_are_allowed_and_the_others_go_on() {
    let more = "tags_max = 500\n[[mqtt.topic]]\nfilter = \"flood/#\"\ntag_name = \"{topic}\"\npayload = \"text\"\n\
                [[mqtt.tag]]\nname = \"lab/ph\"\naddress = \"lab/ph\"\n";
    let Some(mut plant) = Plant::new(more) else { return };
    plant.start();
    plant.until("the connection", PATIENCE, |plant| plant.status().state == "running");
    let mut client = Client::plain(plant.port(), &[]);
    client.text("lab/ph", "7.5");
    client.text("flood/first", "1.5");
    plant.until("the first values", SECONDS, |plant| plant.is_good("lab/ph") && plant.is_good("flood/first"));
    let before_kb = plant.historian().rss_kb();
    python("mqtt_load.py", &[&plant.port().to_string(), "--flood", "100000"], &[]);
    let begun = Instant::now();
    client.text("lab/ph", "7.75");
    client.text("flood/first", "2.5");
    plant.until("the values of tags that are there", PATIENCE, |plant| {
        plant.of("lab/ph").last().unwrap().value == Some(json!(7.75)) && plant.of("flood/first").last().unwrap().value == Some(json!(2.5))
    });
    println!("behind 100,000 topics: {:?}", begun.elapsed());
    assert!(plant.is_good("lab/ph") && plant.is_good("flood/first"));
    let tags = plant.tags().len();
    assert!((400..=501).contains(&tags), "{tags} tags");
    let said = plant.until_told(&["tags_max"]);
    assert!(said.contains("500"), "{said}");
    let grown_mb = plant.historian().rss_kb().saturating_sub(before_kb) / 1_024;
    assert!(grown_mb < 200, "{grown_mb} MB more");
    assert_eq!(plant.status().connects, 1);
}
