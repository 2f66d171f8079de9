//! Values that are structures of a server's own data types: fields of them and their texts. The peer is asyncua with
//! `tests/peers/opcua_structures.py`, which defines the types, encodes the values, and says what their texts are.

use std::{io::Write, sync::atomic::Ordering, time::Duration};

use historian::model::{Quality, Value};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{
    opcua::{FIRST, PATIENCE, Running, Sample, build, open_device, server, write},
    opcua_history::await_that,
    opcua_times::now,
    silence::rows,
    support::{historian::serve, peer::Peer},
};

const SECOND: i64 = 1_000_000_000;

/// Value and quality.
type Expected = (Option<Value>, u32);
/// Name, node, type and further keys of a tag; its first sample, and its second where there is one.
type Taken = (&'static str, &'static str, &'static str, &'static str, Expected, Option<Expected>);

/// A tag of a node by another name; `more` are further keys.
fn tag(name: &str, node: &str, value_type: &str, more: &str) -> String {
    format!("[[opcua.tag]]\nname = \"{name}\"\naddress = \"nsu=urn:plant;s={node}\"\ntype = \"{value_type}\"\n{more}\n")
}

/// Sets a structure, and answers its text as the peer has it.
fn set(peer: &mut Peer, node: &str, value: &Json, source: i64) -> String {
    writeln!(peer.stdin, "{}", json!({ "structure": [node, value, source] })).unwrap();
    let answer = peer.line_starting("done", PATIENCE);
    serde_json::from_str(answer.trim_start_matches("done").trim()).unwrap()
}

fn motor(speed: f64, running: bool) -> Json {
    json!({ "type": "Motor", "Speed": speed, "Running": running })
}

/// A pump with other values than the peer begins with, and an optional field more.
fn another_pump() -> Json {
    json!({
        "type": "Pump", "Name": "P2\n", "Motor": motor(0.1, false), "Comment": "neu", "Mode": 2, "Zones": [7],
        "Motors": [motor(1e300, true), motor(-2.5, false), motor(3.0, true)], "Choice": { "type": "Choice", "Number": -5 },
        "Counter": 9_007_199_254_740_993_u64, "Code": ""
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_structures_and_their_texts_are_values_of_tags() {
    let (mut peer, port) = server(&["--structures"]);
    // A structure of a type that the server does not describe: two bytes, with the name of their encoding.
    let old = "1603020009000000".to_owned() + "4f6c6442696e617279" + "01020000000102";
    write(&mut peer, "Old", "Raw", &json!(old), 0, FIRST);
    let whole = |text: &str| Some(Value::String(text.to_owned()));
    let first = concat!(
        r#"{"Name":"P \"1\"","Motor":{"Speed":1480.5,"Running":true},"Limit":2.5,"Mode":1,"Zones":[1,-2,3],"#,
        r#""Motors":[{"Speed":1.0,"Running":false},{"Speed":2.0,"Running":true}],"Choice":{"Text":"Größe"},"#,
        r#""Counter":"18446744073709551615","Code":"AQID"}"#
    );
    let (none, misled) = (Quality::BAD_NO_DATA.0, Quality::BAD_CONFIGURATION_ERROR.0);
    let (misfit, unsupported) = (Quality::BAD_TYPE_MISMATCH.0, Quality::BAD_NOT_SUPPORTED.0);
    let text = |value: &str| (whole(value), 0);
    let tags: Vec<Taken> = vec![
        ("speed", "Pump1", "f64", "field = \"Motor.Speed\"", (Some(Value::F64(1480.5)), 0), Some((Some(Value::F64(0.1)), 0))),
        ("running", "Pump1", "bool", "field = \"Motor.Running\"", (Some(Value::Bool(true)), 0), Some((Some(Value::Bool(false)), 0))),
        ("name", "Pump1", "string", "field = \"Name\"", text("P \"1\""), Some(text("P2\n"))),
        (
            "mode",
            "Pump1",
            "state",
            "field = \"Mode\"\nstate_set = \"off|auto|manual\"",
            (Some(Value::State(1)), 0),
            Some((Some(Value::State(2)), 0)),
        ),
        ("zone", "Pump1", "i64", "field = \"Zones[1]\"", (Some(Value::I64(-2)), 0), Some((None, none))),
        (
            "second",
            "Pump1",
            "f64",
            "field = \"Motors[1].Speed\"\nscale = 0.1",
            (Some(Value::F64(0.2)), 0),
            Some((Some(Value::F64(-0.25)), 0)),
        ),
        ("comment", "Pump1", "string", "field = \"Comment\"", (None, none), Some(text("neu"))),
        ("limit", "Pump1", "f32", "field = \"Limit\"", (Some(Value::F32(2.5)), 0), Some((None, none))),
        ("choice", "Pump1", "i64", "field = \"Choice.Number\"", (None, none), Some((Some(Value::I64(-5)), 0))),
        (
            "counter",
            "Pump1",
            "u64",
            "field = \"Counter\"",
            (Some(Value::U64(u64::MAX)), 0),
            Some((Some(Value::U64(9_007_199_254_740_993)), 0)),
        ),
        ("listed", "Pump1", "i64", "field = \"Zones[0]\"\nnot_available = \"7\"", (Some(Value::I64(1)), 0), Some((None, none))),
        (
            "motor",
            "Pump1",
            "string",
            "field = \"Motor\"",
            text(r#"{"Speed":1480.5,"Running":true}"#),
            Some(text(r#"{"Speed":0.1,"Running":false}"#)),
        ),
        ("missing", "Pump1", "f64", "field = \"Motor.Sped\"", (None, misled), Some((None, misled))),
        ("part", "Pump1", "f64", "field = \"Motor\"", (None, misfit), Some((None, misfit))),
        ("number", "Pump1", "f64", "", (None, misfit), Some((None, misfit))),
        ("plain", "Motor1", "f64", "field = \"Speed\"", (Some(Value::F64(1480.5)), 0), None),
        ("old", "Old", "string", "", (None, unsupported), None),
    ];
    let config = open_device(&port)
        + &tags.iter().map(|(name, node, value_type, more, ..)| tag(name, node, value_type, more)).collect::<String>()
        + &tag("whole", "Pump1", "string", "")
        + &tag("any", "Any", "string", "");
    let running = Running::start(&config);
    running.until("the first samples", |r| tags.iter().map(|tag| tag.0).chain(["whole", "any"]).all(|name| !r.of(name).is_empty())).await;
    for (name, .., (value, quality), _) in &tags {
        assert_eq!(running.of(name), [(FIRST, value.clone(), *quality)], "{name}");
    }
    assert_eq!(running.of("whole"), [(FIRST, whole(first), 0)]);
    assert_eq!(running.of("any"), [(FIRST, whole(r#"{"Speed":1480.5,"Running":true}"#), 0)]);
    let (_, undelivered) = running.status.undelivered(100);
    for (name, words) in [
        ("missing", "field Motor.Sped: the structure has no field \"Sped\", nearest is Speed; it has Speed, Running"),
        ("part", "it has Speed, Running"),
        ("number", "take one of its fields with field"),
        ("comment", "has no Comment now"),
        ("old", "DataTypeDefinition"),
    ] {
        let told = undelivered.iter().find(|told| told.tag == name).unwrap_or_else(|| panic!("{name}: {undelivered:?}"));
        assert!(told.reason.contains(words), "{told:?}");
    }

    // The peer says what the text is of what it sends.
    let second = set(&mut peer, "Pump1", &another_pump(), FIRST + SECOND);
    running.until("the second samples", |r| tags.iter().all(|tag| r.of(tag.0).len() == 1 + usize::from(tag.5.is_some()))).await;
    running.until("the second text", |r| r.of("whole").len() == 2).await;
    for (name, .., expected) in tags.iter().filter(|tag| tag.5.is_some()) {
        let (value, quality) = expected.clone().unwrap();
        assert_eq!(running.of(name)[1], (FIRST + SECOND, value, quality), "{name}");
    }
    let same = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    let Some(Value::String(text)) = running.of("whole")[1].1.clone() else { panic!("{:?}", running.of("whole")) };
    // Another writer of numbers: 1e+300 and 1e300 are one.
    assert_eq!(same(&text), same(&second));

    // A type that no node has comes with a value: it is asked for, and the value comes once more in the same session.
    for (opening, source) in [(0.5, FIRST + SECOND), (0.25, FIRST + 2 * SECOND)] {
        let valve = set(&mut peer, "Any", &json!({ "type": "Valve", "Opening": opening, "Motor": motor(2.5, true) }), source);
        let is_it = |sample: &Sample| sample.0 >= source && sample.1 == whole(&valve) && sample.2 == 0;
        running.until("the value of another type", |r| r.of("any").last().is_some_and(is_it)).await;
    }
    let valve = running.of("any").last().unwrap().1.clone();
    assert_eq!(running.status.connects.load(Ordering::Relaxed), 1, "{:?}", running.status.view());
    running.stop().await;

    // `check` says the same, tag by tag, and bounds the texts as the collector does.
    let rows = build(&config).check(Duration::from_secs(30)).await;
    let row = |name: &str| rows.iter().find(|row| row.tag == name).unwrap();
    assert_eq!((row("speed").value.clone(), row("speed").error.as_str()), (Some(Value::F64(0.1)), ""));
    assert_eq!(row("speed").address, "nsu=urn:plant;s=Pump1 field Motor.Speed");
    assert!(row("missing").error.contains("nearest is Speed") && row("old").error.contains("DataTypeDefinition"), "{rows:?}");
    let short = build(&config.replace("queue_size", "text_bytes_max = 100\nqueue_size")).check(Duration::from_secs(30)).await;
    let row = |name: &str| short.iter().find(|row| row.tag == name).unwrap();
    assert_eq!((row("whole").quality, row("speed").quality), (Quality::BAD_ENCODING_LIMITS_EXCEEDED, Quality::GOOD));
    assert!(row("whole").error.contains("text_bytes_max"), "{:?}", row("whole"));
    assert_eq!(row("any").value, valve);
}

/// What the present value does not show: in the history of an outage are structures of a type that nothing was known of when the session began. Their times
/// count as read only with their values.
#[test]
fn a_history_of_structures_is_read_with_types_that_no_present_value_has() {
    let (mut peer, port) = server(&["--structures", "--history", "Any"]);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("historian.toml");
    std::fs::write(&file, open_device(&port) + "history = true\n" + &tag("plant/any", "Any", "string", "")).unwrap();
    let start = || serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    let historian = start();
    await_that("the first value", || (!rows(&historian, "plant/any").is_empty()).then_some(()));
    historian.stop().unwrap();
    let mut missed = Vec::new();
    for opening in [0.5, 0.25] {
        std::thread::sleep(Duration::from_secs(1));
        let at = now();
        let valve = json!({ "type": "Valve", "Opening": opening, "Motor": motor(2.5, true) });
        missed.push((at, set(&mut peer, "Any", &valve, at), "Good".to_owned()));
    }
    std::thread::sleep(Duration::from_secs(1));
    set(&mut peer, "Any", &motor(3.0, false), now());
    let historian = start();
    await_that("what the history has", || {
        let stored = rows(&historian, "plant/any");
        missed.iter().all(|row| stored.contains(row)).then_some(())
    });
    let stored = rows(&historian, "plant/any");
    assert!(stored.iter().all(|row| !row.2.contains("WaitingForInitialData")), "{stored:?}");
    historian.stop().unwrap();
}
