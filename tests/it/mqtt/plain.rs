//! Plain topics: JSON and text, names of tags from topics, times and qualities of messages, and what is kept while the historian or the
//! broker is away.

use std::time::{Duration, Instant};

use historian::model::Quality;
use serde_json::{Value as Json, json};

use super::{MS, PATIENCE, Plant, SECONDS, Sample, now_ms};
use crate::support::mqtt::Client;

/// A meter that tells its time in ms.
const METERS: &str =
    "[[mqtt.topic]]\nfilter = \"meters/+\"\ntag_name = \"meters/{1}/{field}\"\nvalue = \"/v\"\ntime = \"/ts\"\ntime_format = \"unix_ms\"\n";

fn plant(more: &str) -> Option<Plant> {
    let mut plant = Plant::new(more)?;
    plant.start();
    plant.until("the connection to the broker", PATIENCE, |plant| plant.status().state == "running");
    Some(plant)
}

/// What is stored of a tag, without its times.
fn values(plant: &Plant, tag: &str) -> Vec<(Option<Json>, Quality)> {
    plant.of(tag).into_iter().map(|sample| (sample.value, sample.quality)).collect()
}

fn meter(value: u64, at: i64) -> Json {
    json!({ "publish": "meters/m1", "text": json!({ "v": value, "ts": at }).to_string(), "qos": 1 })
}

/// Waits until `meters/m1/v` has each of these once, Good and at its time.
fn has_all(plant: &Plant, sent: &[(u64, i64)]) {
    let is_there = |found: &[Sample], (value, at): &(u64, i64)| {
        found.iter().any(|sample| sample.at == at * MS && sample.is_good() && sample.value == Some(json!(*value as f64)))
    };
    let begun = Instant::now();
    loop {
        let found = plant.of("meters/m1/v");
        let missing: Vec<_> = sent.iter().filter(|sent| !is_there(&found, sent)).collect();
        if missing.is_empty() {
            // Beside them is at most what is written once more behind an outage, because the value of now is older than that.
            let repeats = |sample: &Sample| {
                let before = sent.iter().filter(|(_, at)| at * MS < sample.at).max_by_key(|(_, at)| *at);
                before.is_some_and(|(value, _)| sample.value == Some(json!(*value as f64)))
            };
            let sent_at = |sample: &Sample| sent.iter().any(|(_, at)| at * MS == sample.at);
            let more: Vec<&Sample> = found.iter().filter(|sample| sample.is_good() && !sent_at(sample) && !repeats(sample)).collect();
            assert!(more.is_empty(), "never published: {more:?}");
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE / 2,
            "{} of {} are missing, first {:?}; {:#?}",
            missing.len(),
            sent.len(),
            missing[0],
            plant.status()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn json_has_its_time_its_quality_and_its_name() {
    let Some(plant) = plant(
        "[[mqtt.topic]]\nfilter = \"site/+/+/telemetry\"\ntag_name = \"{1}/{2}/{field}\"\nfields = [\"/temp\", \"/pump/on\"]\n\
         time = \"/ts\"\ntime_format = \"rfc3339\"\nquality = \"/q\"\n\
         [[mqtt.topic]]\nfilter = \"gateway/#\"\ntag_name = \"gw/{/id}\"\nitems = \"/data\"\nvalue = \"/v\"\n\
         time = \"/t\"\ntime_format = \"unix_s\"\n\
         [[mqtt.tag]]\nname = \"boiler/level\"\naddress = \"boiler/state#/level/value\"\ntype = \"i64\"\n",
    ) else {
        return;
    };
    let mut client = Client::plain(plant.port(), &[]);
    let message =
        |temp: Json, on: bool, ts: &str, q: Json| json!({ "temp": temp, "pump": { "on": on, "rpm": 7 }, "ts": ts, "q": q }).to_string();
    for (temp, on, ts, q) in [
        (json!(21.5), true, "2026-01-31T08:00:00.123456789Z", json!(192)),
        (json!(-0.1), false, "2026-01-31T10:00:01+02:00", json!(true)),
        (json!(1e300), false, "2026-01-31T08:00:02Z", json!(64)),
        (json!(7), true, "2026-01-31T08:00:03Z", json!("BadSensorFailure")),
    ] {
        client.text("site/hall/dryer/telemetry", &message(temp, on, ts, q));
    }
    let item = |id: &str, v: f64, t: f64| json!({ "id": id, "v": v, "t": t });
    let items =
        json!({ "data": [item("TE101", 5.5, 1_769_846_400.25), item("TE102", 6.5, 1_769_846_400.5), item("TE101", 7.5, 1_769_846_401.0)] });
    client.text("gateway/west/1", &items.to_string());
    client.text("boiler/state", "{\"level\": {\"value\": -9007199254740993}}");

    plant.until("all of it", SECONDS, |plant| plant.of("hall/dryer/temp").len() == 4 && !plant.of("boiler/level").is_empty());
    let first = 1_769_846_400_000_000_000;
    let good = |at: i64, value: Json| Sample { at, value: Some(value), quality: Quality::GOOD };
    let found = plant.of("hall/dryer/temp");
    assert_eq!(found[..2], [good(first + 123_456_789, json!(21.5)), good(first + 1_000 * MS, json!(-0.1))]);
    assert_eq!(found[2], Sample { at: first + 2_000 * MS, value: Some(json!(1e300)), quality: Quality::UNCERTAIN });
    assert_eq!((found[3].at, found[3].quality), (first + 3_000 * MS, Quality::BAD_SENSOR_FAILURE));
    let on: Vec<_> = plant.of("hall/dryer/pump/on").into_iter().map(|sample| sample.value).collect();
    assert_eq!(on[..3], [Some(json!(true)), Some(json!(false)), Some(json!(false))]);
    assert_eq!(plant.of("gw/TE101"), [good(first + 250 * MS, json!(5.5)), good(first + 1_000 * MS, json!(7.5))]);
    assert_eq!(plant.of("gw/TE102"), [good(first + 500 * MS, json!(6.5))]);
    assert_eq!(values(&plant, "boiler/level"), [(Some(json!(-9_007_199_254_740_993_i64)), Quality::GOOD)]);
    // Only what was asked for.
    assert!(!plant.tags().keys().any(|name| name.contains("rpm")), "{:?}", plant.tags().keys());
}

#[test]
fn tags_that_topics_make_have_the_filter_of_the_topic_where_they_can() {
    let Some(mut plant) = plant(&format!("{METERS}exception_deadband = 5\n")) else { return };
    let mut client = Client::plain(plant.port(), &[]);
    let began = now_ms();
    for (step, value) in [10, 12, 14, 20].into_iter().enumerate() {
        client.command(&meter(value, began + step as i64));
    }
    let good = |value: f64| (Some(json!(value)), Quality::GOOD);
    plant.until("the exception", SECONDS, |plant| values(plant, "meters/m1/v").last() == Some(&good(20.0)));
    assert_eq!(values(&plant, "meters/m1/v"), [good(10.0), good(14.0), good(20.0)], "the exception, and what came before it");
    let filter = |plant: &Plant, name: &str| plant.tags().remove(name).unwrap().filter;
    let of_meter = filter(&plant, "meters/m1/v").unwrap();
    assert_eq!((of_meter.exception_deadband, of_meter.error_bound), (Some(5.0), Some(10.0)));
    let text = json!({ "publish": "meters/m2", "text": json!({ "v": "on", "ts": began }).to_string(), "qos": 1 });
    client.command(&text);
    plant.until_told(&["no such filter of 1 tags", "meters/m2/v", "exception_deadband is 5"]);
    assert_eq!(filter(&plant, "meters/m2/v"), None);

    // What is configured while it is away holds for tags of before.
    let written = std::fs::read_to_string(&plant.file).unwrap();
    plant.stop();
    std::fs::write(&plant.file, written.replace("exception_deadband = 5", "exception_deadband = 50")).unwrap();
    plant.start();
    assert_eq!(filter(&plant, "meters/m1/v").unwrap().exception_deadband, Some(50.0));
}

#[test]
fn text_is_a_number_a_state_or_a_text_and_an_empty_one_is_none() {
    let Some(plant) = plant("[[mqtt.topic]]\nfilter = \"plain/#\"\ntag_name = \"{topic}\"\npayload = \"text\"\n") else { return };
    let mut client = Client::plain(plant.port(), &[]);
    let before = now_ms();
    for (topic, text) in
        [("plain/number", "21.5"), ("plain/number", " -3 \n"), ("plain/flag", "true"), ("plain/word", "Größe ✓"), ("plain/deep/er", "1e3")]
    {
        client.text(topic, text);
        std::thread::sleep(Duration::from_millis(3));
    }
    plant.until("all of it", SECONDS, |plant| plant.of("plain/deep/er").len() == 1);
    let good = |value: Json| (Some(value), Quality::GOOD);
    assert_eq!(values(&plant, "plain/number"), [good(json!(21.5)), good(json!(-3.0))]);
    assert_eq!(values(&plant, "plain/flag"), [good(json!(true))]);
    assert_eq!(values(&plant, "plain/word"), [good(json!("Größe ✓"))]);
    assert_eq!(values(&plant, "plain/deep/er"), [good(json!(1000.0))]);
    // The time is that of the receipt.
    let (first, after) = (plant.of("plain/number")[0].at, now_ms());
    assert!((before * MS..after * MS).contains(&first), "{before} {first} {after}");
}

#[test]
fn a_payload_that_is_no_value_gives_no_good_sample_and_is_told() {
    let Some(plant) = plant(METERS) else { return };
    let mut client = Client::plain(plant.port(), &[]);
    let at = now_ms();
    client.command(&meter(1, at));
    plant.until("the first value", SECONDS, |plant| plant.is_good("meters/m1/v"));
    let bad: [(&str, &str); 6] = [
        ("{\"v\": 2, \"ts\": ", "JSON"),
        ("{\"v\": \"two\", \"ts\": 1769846400000}", "two"),
        ("{\"w\": 2, \"ts\": 1769846400000}", "/v"),
        ("{\"v\": 2}", "/ts"),
        ("{\"v\": 2, \"ts\": \"soon\"}", "soon"),
        ("", "EOF"),
    ];
    for (text, word) in bad {
        client.text("meters/m1", text);
        let said = plant.until_told(&[word, "meters/m1"]);
        assert!(said.len() < 1_000, "{said}");
    }
    client.command(&json!({ "publish": "meters/m1", "hex": "ff00fe80" }));
    plant.until_told(&["UTF-8", "meters/m1"]);
    let good: Vec<_> = plant.of("meters/m1/v").into_iter().filter(Sample::is_good).collect();
    assert_eq!(good.len(), 1, "{good:?}");
    // The next good message is the end of it.
    client.command(&meter(3, now_ms()));
    plant.until("the next value", SECONDS, |plant| plant.is_good("meters/m1/v"));
    assert_eq!(plant.status().connects, 1);
}

#[test]
fn a_retained_message_is_taken_once_however_often_it_is_sent() {
    let Some(mut plant) = Plant::new(METERS) else { return };
    let mut client = Client::plain(plant.port(), &[]);
    let at = now_ms() - 60_000;
    client.command(&json!({ "publish": "meters/m1", "text": json!({ "v": 4, "ts": at }).to_string(), "retain": true, "qos": 1 }));
    for run in 0..2 {
        plant.start();
        plant.until("the retained value", SECONDS, |plant| !plant.of("meters/m1/v").is_empty() && plant.status().state == "running");
        std::thread::sleep(Duration::from_millis(300));
        let found: Vec<_> = plant.of("meters/m1/v").into_iter().filter(|sample| !sample.quality.is_bad()).collect();
        // It is a value of a minute ago, and says nothing of now.
        assert_eq!(found.iter().filter(|sample| sample.at == at * MS).count(), 1, "run {run}: {found:?}");
        plant.stop();
    }
}

#[test]
fn what_the_broker_keeps_while_the_historian_is_away_comes_later() {
    for version in ["5", "3.1.1"] {
        let Some(mut plant) = plant(&format!("version = \"{version}\"\nqos = 1\n{METERS}")) else { return };
        let mut client = Client::plain(plant.port(), &["--version", version]);
        let mut sent = Vec::new();
        let mut publish = |client: &mut Client, count: u64| {
            for _ in 0..count {
                let (value, at) = (sent.len() as u64 + 1, now_ms());
                client.command(&meter(value, at));
                sent.push((value, at));
            }
            sent.clone()
        };
        let so_far = publish(&mut client, 5);
        has_all(&plant, &so_far);
        plant.stop();
        publish(&mut client, 50);
        plant.start();
        let so_far = publish(&mut client, 5);
        has_all(&plant, &so_far);
        plant.kill();
        publish(&mut client, 50);
        // The broker too: it has written down what it keeps.
        drop(client);
        plant.broker.down();
        plant.broker.up();
        plant.start();
        let mut client = Client::plain(plant.port(), &["--version", version]);
        let so_far = publish(&mut client, 5);
        has_all(&plant, &so_far);
    }
}

#[test]
fn a_historian_that_is_killed_among_messages_loses_none_that_the_broker_took() {
    let Some(mut plant) = plant(&format!("qos = 1\n{METERS}")) else { return };
    let port = plant.port();
    let publishing = std::thread::spawn(move || {
        let mut client = Client::plain(port, &[]);
        let mut sent = Vec::new();
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            let (value, at) = (sent.len() as u64 + 1, now_ms());
            client.command(&meter(value, at));
            sent.push((value, at));
        }
        sent
    });
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1_200));
        plant.kill();
        plant.start();
    }
    let sent = publishing.join().unwrap();
    assert!(sent.len() > 300, "{}", sent.len());
    has_all(&plant, &sent);
}

#[test]
fn tags_are_bad_while_the_broker_is_away_and_good_with_the_next_value() {
    let Some(mut plant) = plant(&format!("{METERS}[[mqtt.tag]]\nname = \"lab/ph\"\naddress = \"lab/ph\"\n")) else { return };
    let mut client = Client::plain(plant.port(), &[]);
    let tags = ["meters/m1/v", "lab/ph"];
    client.command(&meter(1, now_ms()));
    client.text("lab/ph", "7.5");
    for tag in tags {
        plant.until("it is Good", SECONDS, |plant| plant.is_good(tag));
    }
    drop(client);
    plant.broker.down();
    for tag in tags {
        plant.until("it is Bad", SECONDS, |plant| plant.of(tag).last().is_some_and(|last| last.quality.is_bad()));
    }
    plant.until_told(&[&plant.port().to_string()]);
    assert_ne!(plant.status().state, "running");
    plant.broker.up();
    plant.until("the connection", PATIENCE, |plant| plant.status().state != "backoff" && plant.status().connects == 2);
    let mut client = Client::plain(plant.port(), &[]);
    client.command(&meter(2, now_ms()));
    client.text("lab/ph", "7.75");
    for tag in tags {
        plant.until("it is Good again", SECONDS, |plant| plant.is_good(tag));
    }
    assert_eq!(plant.of("lab/ph").last().unwrap().value, Some(json!(7.75)));
}
