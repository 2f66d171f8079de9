//! Exception filter and swinging door from outside: a Modbus device whose register is a noisy ramp with steps and spikes, read by one tag that stores
//! all of it and by others that store less. What these store is held against every sample of the first.

use std::fs;

use serde_json::Value as Json;

use crate::{
    silence::{Row, await_good, await_rows, gaps, is_good, rows, told},
    support::{historian::serve, peer::Peer},
};

/// Times and values of the Good ones.
fn good(rows: &[Row]) -> Vec<(i64, f64)> {
    rows.iter().filter(|row| is_good(row)).map(|(at, value, _)| (*at, f64::from(value.parse::<f32>().unwrap()))).collect()
}

/// What is read at a time: the last value, or the line between two.
fn read(kept: &[(i64, f64)], at: i64, stepped: bool) -> f64 {
    let next = kept.partition_point(|sample| sample.0 <= at);
    let earlier = kept[next - 1];
    match kept.get(next) {
        Some(later) if !stepped && earlier.0 < at => {
            earlier.1 + (later.1 - earlier.1) * ((at - earlier.0) as f64 / (later.0 - earlier.0) as f64)
        }
        _ => earlier.1,
    }
}

#[test]
fn what_is_left_out_lies_within_the_bound_that_every_door_tells() {
    let (_peer, port) = Peer::python("modbus_ramp.py", &[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("historian.toml");
    let tags = [
        ("plc/all", ""),
        ("plc/line", "compression_deviation = 1.0"),
        ("plc/held", "stepped = true, exception_deadband_percent = 2.0, range_low = 0, range_high = 50"),
        ("plc/sloped", "exception_deadband = 0.75"),
        ("plc/both", "exception_deadband = 0.25, compression_deviation = 0.5"),
        ("plc/changes", "exception_deadband = 0"),
        ("plc/slow", "exception_deadband = 0, exception_min_ms = 500"),
    ];
    let tags = tags.map(|(name, more)| {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        format!("  {{ name = \"{name}\", address = \"input:0\", format = \"f32\"{more} }},\n")
    });
    let device = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 20\ntag = [\n{}]\n", tags.concat());
    fs::write(&file, device).unwrap();
    let historian = serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    await_good(&historian, "plc/all", 0, 500);
    assert!(gaps(&historian).is_empty(), "stillness is no gap: {:?}", gaps(&historian));
    let status = told(&historian, &["status", "plc/line", "--format", "json"]);
    let status: Json = serde_json::from_str(status.trim()).unwrap();
    assert!(status["samples_left_out"].as_u64().unwrap() > 100 && status["delivery"] == "delivering", "{status}");

    // The device is taken out, which stops its collector; what the filters hold is stored, and one Bad sample behind it.
    fs::write(&file, "").unwrap();
    told(&historian, &["reload"]);
    let is_ended = |found: &[Row]| found.last().is_some_and(|last| !is_good(last));
    let all = good(&await_rows(&historian, "plc/all", is_ended));
    assert!(all.len() >= 500);

    let listed = told(&historian, &["tag", "list", "plc/*", "--format", "json"]);
    let listed: Vec<Json> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let table = told(&historian, &["tag", "list", "plc/*", "--format", "table"]);
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().trim_end().to_owned();
    assert!(table.lines().next().unwrap().trim_end().ends_with("FILTER"), "{table}");
    assert!(row("plc/both").ends_with("deadband 0.25, door 0.5") && row("plc/changes").ends_with("deadband 0"), "{table}");
    assert!(row("plc/held").ends_with("deadband 1") && !row("plc/all").contains("deadband"), "{table}");
    let unfiltered = told(&historian, &["tag", "list", "plc/all", "--format", "table"]);
    assert!(!unfiltered.contains("FILTER"), "{unfiltered}");
    let told_of = |name: &str| listed.iter().find(|tag| tag["name"] == name).unwrap()["filter"].clone();
    assert_eq!(told_of("plc/all"), Json::Null);
    assert_eq!(told_of("plc/slow")["error_bound"], Json::Null, "with a minimum interval nothing is promised");
    for (name, stepped, bound) in [
        ("plc/line", false, 1.0),
        ("plc/held", true, 1.0),
        ("plc/sloped", false, 1.5),
        ("plc/both", false, 1.0),
        ("plc/changes", false, 0.0),
    ] {
        assert_eq!(told_of(name)["error_bound"].as_f64(), Some(bound), "{name}");
        let kept = good(&await_rows(&historian, name, is_ended));
        assert!(kept.iter().all(|sample| all.contains(sample)), "{name}: a sample that the device did not deliver");
        assert_eq!((kept.first(), kept.last()), (all.first(), all.last()), "{name}: the first and the last one are stored");
        assert!(bound == 0.0 || kept.len() < all.len(), "{name}: {} of {}", kept.len(), all.len());
        for (at, value) in &all {
            let error = (read(&kept, *at, stepped) - value).abs();
            assert!(error <= bound, "{name} at {at}: {error}");
        }
    }
    let slow = good(&rows(&historian, "plc/slow"));
    assert!(slow.len() * 5 < all.len() && slow.last() == all.last(), "{} of {}", slow.len(), all.len());

    let (code, range) = historian.get("/api/v1/range?tag=plc/line&start=*-1h").unwrap();
    assert!(code == 200 && range.contains("\"error_bound\":1.0") && range.contains("\"compression_deviation\":1.0"), "{range:.500}");
    let sql =
        "SELECT name, exception_deadband, compression_deviation, error_bound FROM tags WHERE name IN ('plc/both', 'plc/all') ORDER BY name";
    let table = told(&historian, &["sql", sql, "--format", "csv"]);
    assert_eq!(table.lines().skip(1).collect::<Vec<_>>(), ["plc/all,,,", "plc/both,0.25,0.5,1.0"], "{table}");

    // The samples of the tag that stored all, replayed.
    let tuned = told(&historian, &["tag", "tune", "plc/all", "--format", "json"]);
    let tuned: Vec<Json> = tuned.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(tuned.len(), 16);
    for one in &tuned {
        let number = |name: &str| one[name].as_f64().unwrap();
        assert_eq!(one["samples"].as_u64(), Some(all.len() as u64 + 1), "with the Bad one at the end");
        assert!(number("error_rms") <= number("error_max"), "{one}");
        assert!(one["error_bound"].as_f64().is_none_or(|bound| number("error_max") <= bound), "{one}");
    }
    assert_eq!((&tuned[0]["stored"], &tuned[0]["error_max"]), (&tuned[0]["samples"], &Json::from(0.0)));
    let (first, last) = (&tuned[0], &tuned[15]);
    assert!(last["stored"].as_u64() < first["stored"].as_u64() && last["bytes"].as_u64() < first["bytes"].as_u64(), "{last}");
}

#[test]
fn a_filter_that_cannot_be_is_refused_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("historian.toml");
    for (more, key, part) in [
        ("compression_deviation_percent = 1.0", "compression_deviation_percent", "set range_low and range_high"),
        ("type = \"u64\", format = \"u16\", compression_deviation = 1.0", "compression_deviation", "use exception_deadband"),
        ("exception_max_ms = 5000", "exception_max_ms", "has no effect without exception_deadband"),
    ] {
        let tag = format!("tag = [{{ name = \"a\", address = \"input:0\", {more} }}]");
        fs::write(&file, format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:502\"\n{tag}\n")).unwrap();
        let (_, stdout, stderr) = crate::support::historian::run(&["check", "--offline", "--config", file.to_str().unwrap()]);
        assert!((stdout.clone() + &stderr).contains(&format!("modbus.plc.tag.a.{key}")), "{stdout}{stderr}");
        assert!((stdout.clone() + &stderr).contains(part), "{stdout}{stderr}");
    }
}
