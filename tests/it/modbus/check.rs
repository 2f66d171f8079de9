//! `historian check` on Modbus devices: a row per tag, whatever the device does.

use std::time::{Duration, Instant};

use historian::{
    collector::{CheckRow, Readings},
    model::{Quality, Value},
};
use serde_json::Value as Json;

use super::{
    build,
    device::{Answer, Device, Framing},
};
use crate::support::{
    historian::{command, text},
    peer::root,
};

async fn check(port: u16, timeout_ms: u64, limit: Duration) -> Vec<CheckRow> {
    let text = format!(
        "name = \"c\"\nendpoint = \"127.0.0.1:{port}\"\ntimeout_ms = {timeout_ms}\n\
         [[tag]]\nname = \"a\"\naddress = \"holding:10\"\n[[tag]]\nname = \"b\"\naddress = \"holding:11\"\n\
         [[tag]]\nname = \"c\"\naddress = \"2!holding:10\"\nscale = 0.5\n[[tag]]\nname = \"d\"\naddress = \"coil:3\"\n"
    );
    build(&text).check(limit).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tag_is_read_once_and_a_refused_one_says_why() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.touches(11) { Answer::Exception(2) } else { Answer::Good });
    let rows = check(device.port, 2000, Duration::from_secs(20)).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.tag.as_str(), row.address.as_str(), row.value.clone(), row.quality)).collect();
    assert_eq!(
        seen,
        [
            ("a", "holding:10", Some(Value::U64(10)), Quality::GOOD),
            ("b", "holding:11", None, Quality::BAD_CONFIGURATION_ERROR),
            ("c", "2!holding:10", Some(Value::F64(5005.0)), Quality::GOOD),
            ("d", "coil:3", Some(Value::Bool(true)), Quality::GOOD),
        ]
    );
    assert!(rows.iter().all(|row| row.latency.is_some()));
    assert!(rows[1].error.contains("exception 02, illegal data address"), "{}", rows[1].error);
    assert_eq!(device.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_unit_costs_only_its_own_tags() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.unit == 1 { Answer::Hang } else { Answer::Good });
    let rows = check(device.port, 300, Duration::from_secs(20)).await;
    let qualities: Vec<_> = rows.iter().map(|row| row.quality).collect();
    assert_eq!(qualities, [Quality::BAD_TIMEOUT, Quality::BAD_TIMEOUT, Quality::GOOD, Quality::BAD_TIMEOUT]);
    assert_eq!(rows[0].error, "no answer within 300ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_refuses_or_hangs_is_told_within_the_time() {
    let mut device = Device::start(Framing::Tcp).await;
    device.behave(|_| Answer::Hang);
    let begin = Instant::now();
    let rows = check(device.port, 60_000, Duration::from_millis(500)).await;
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.value.is_none() && row.error.contains("500ms that the check may take")), "{rows:?}");
    device.stop().await;
    let rows = check(device.port, 2000, Duration::from_secs(20)).await;
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.quality == Quality::BAD_NO_COMMUNICATION && row.error.contains("refused")), "{rows:?}");
}

/// Registers of a dryer whose floats have their low word first: two temperatures, a pressure, and a speed that is one register.
fn dryer() -> Vec<u16> {
    let low_first = |value: f32| {
        let bits = value.to_bits();
        [bits as u16, (bits >> 16) as u16]
    };
    [57.2, 61.8, 1.013].into_iter().flat_map(low_first).chain([1450]).collect()
}

fn dryer_toml(port: u16, more: &str) -> String {
    let tag =
        |name: &str, address: u16, rest: &str| format!("[[modbus.tag]]\nname = \"DRYE-{name}\"\naddress = \"holding:{address}\"\n{rest}\n");
    format!(
        "[[modbus]]\nname = \"dryer\"\nendpoint = \"127.0.0.1:{port}\"\n{more}\n{}{}{}{}",
        tag("TE101", 0, "format = \"f32\"\nunit = \"degC\"\nrange_low = 20\nrange_high = 95"),
        tag("TE102", 2, "format = \"f32\"\nunit = \"degC\"\nrange_low = 20\nrange_high = 95"),
        tag("PT201", 4, "format = \"f32\"\nunit = \"bar\"\nrange_low = 0\nrange_high = 6"),
        tag("SC301", 6, "unit = \"rpm\""),
    )
}

/// Runs `historian check` on a configuration; exit code and standard output.
async fn run(toml: String, arguments: &'static [&'static str]) -> (Option<i32>, String) {
    let asked = tokio::task::spawn_blocking(move || {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dryer.toml"), toml).unwrap();
        command(&["check", "--config", "dryer.toml"]).args(arguments).current_dir(directory.path()).output().unwrap()
    });
    let output = asked.await.unwrap();
    (output.status.code(), text(&output.stdout))
}

/// Lines with one blank where there are several, and without latencies.
fn even(text: &str) -> Vec<String> {
    let even = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(at) = words.iter().position(|word| *word == "ms") {
            words.drain(at - 1..=at);
        }
        words.join(" ")
    };
    text.trim().lines().map(even).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_word_order_is_shown_as_the_document_has_it_and_is_right_when_mended() {
    let device = Device::holding(dryer()).await;
    let (code, shown) = run(dryer_toml(device.port, ""), &[]).await;
    let document = std::fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let (_, capture) = document.split_once("$ historian check --config dryer.toml\n").unwrap();
    assert_eq!(even(&shown), even(capture.split("```").next().unwrap()), "{shown}");
    assert_eq!(code, Some(1), "what is in doubt is not in order");
    assert_eq!(device.functions(), [3].into());

    let (code, mended) = run(dryer_toml(device.port, "word_order = \"CDAB\""), &[]).await;
    assert_eq!(code, Some(0), "{mended}");
    assert!(mended.contains("4 of 4 tags good\n") && mended.contains(" 57.2 ") && !mended.contains("IN DOUBT"), "{mended}");
    assert!(!mended.contains("set word_order"), "{mended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_every_reading_and_an_object_for_the_device() {
    let device = Device::holding(dryer()).await;
    device.behave(|request| if request.touches(40) { Answer::Exception(2) } else { Answer::Good });
    let toml = dryer_toml(device.port, "") + "[[modbus.tag]]\nname = \"DRYE-XX\"\naddress = \"holding:40\"\nscan_ms = 5000\n";
    let (code, shown) = run(toml, &["--format", "json"]).await;
    assert_eq!(code, Some(1));
    let objects: Vec<Json> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tag = objects.iter().find(|object| object["tag"] == "DRYE-TE101").unwrap();
    assert_eq!((&tag["good"], &tag["doubt"]), (&true.into(), &"outside 20..95; CDAB gives 57.2".into()), "{tag}");
    let readings: Vec<(&str, bool)> =
        tag["readings"].as_array().unwrap().iter().map(|one| (one["setting"].as_str().unwrap(), one["plausible"] == true)).collect();
    assert_eq!(readings, [("ABCD", false), ("CDAB", true), ("BADC", false), ("DCBA", false)]);
    let speed = objects.iter().find(|object| object["tag"] == "DRYE-SC301").unwrap();
    assert_eq!((&speed["doubt"], &speed["readings"]), (&"".into(), &Json::Array(Vec::new())), "{speed}");
    let device = objects.last().unwrap();
    let planned: Vec<_> =
        device["planned"].as_array().unwrap().iter().map(|one| (one["addresses"].as_str().unwrap(), &one["tags"])).collect();
    assert_eq!(planned, [("holding:0-6", &4.into()), ("holding:40", &1.into())], "{device}");
    let advice: Vec<&str> = device["advice"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(advice[0], "3 tags, all of device dryer: set word_order = \"CDAB\"");
    assert!(advice[1].starts_with("refused by the device: holding:40 (exception 02, illegal data address"), "{advice:?}");

    let (code, offline) = run(dryer_toml(1, ""), &["--offline"]).await;
    assert_eq!(code, Some(0), "{offline}");
    assert!(offline.ends_with("modbus dryer planned: 1 request for 7 registers every 1s: holding:0-6 (4 tags)\n"), "{offline}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nan_in_the_configured_order_is_in_doubt_and_not_a_mere_lack_of_a_value() {
    // 0x7FC0 is the beginning of a NaN, and here the low word of 25.06.
    let device = Device::holding(vec![0x0000, 0x4120, 0x7FC0, 0x41C8]).await;
    let toml = format!(
        "name = \"c\"\nendpoint = \"127.0.0.1:{}\"\n[[tag]]\nname = \"a\"\naddress = \"holding:0\"\nformat = \"f32\"\n\
         [[tag]]\nname = \"b\"\naddress = \"holding:2\"\nformat = \"f32\"\n",
        device.port
    );
    let rows = build(&toml).check(Duration::from_secs(20)).await;
    assert_eq!(rows[0].readings.told(), "hardly a measured value; CDAB gives 10");
    assert_eq!(rows[1].quality, Quality::BAD_NO_DATA, "{rows:?}");
    assert_eq!(rows[1].readings.told(), "not a number; CDAB gives 25.062378, BADC gives -3.9965975, DCBA gives -198401.98");
    assert_ne!(rows[1].readings, Readings::default());
}
