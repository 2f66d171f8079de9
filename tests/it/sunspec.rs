//! A SunSpec device that pymodbus serves: `historian browse` finds its points, and what is collected of them is what pysunspec2 says.

use std::{collections::BTreeMap, fs};

use historian::model::Quality;
use serde_json::Value as Json;

use super::support::{
    historian::run,
    peer::{Peer, root},
};

const DEVICE: &str = include_str!("../conformance/sunspec/device.json");

fn served(unit: &str) -> (Peer, String) {
    Peer::python("modbus_map.py", &[&root().join("tests/conformance/sunspec/device.json").display().to_string(), unit])
}

/// A point, as a number where it is one.
fn number(told: &Json) -> Option<f64> {
    told.as_f64().or_else(|| told.as_str()?.split(' ').next()?.parse().ok())
}

#[test]
fn points_of_a_sunspec_device_become_tags_with_the_values_that_pysunspec2_has() {
    let device: Json = serde_json::from_str(DEVICE).unwrap();
    let points = device["points"].as_object().unwrap();
    let (_peer, port) = served("126");
    let folder = tempfile::tempdir().unwrap();
    let (file, config) = (folder.path().join("tags.csv"), folder.path().join("historian.toml"));
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    let endpoint = format!("modbus://127.0.0.1:{port}?unit=126");
    let (code, _, told) = run(&["browse", &endpoint, "--device", "plant", "--prefix", "pv/", "--output", file]);
    assert_eq!(code, 0, "{told}");

    // The file is taken as it is, and every tag of it has the value of its point.
    let table = format!("[[modbus]]\nname = \"plant\"\nendpoint = \"127.0.0.1:{port}\"\n");
    fs::write(config, format!("tag_files = [\"tags.csv\"]\n{table}unit = 126\n")).unwrap();
    let (_, checked, errors) = run(&["check", "--config", config, "--format", "json"]);
    let rows: BTreeMap<String, Json> = checked
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok())
        .filter_map(|row| Some((row["tag"].as_str()?.to_owned(), row)))
        .collect();
    assert!(rows.len() > 600, "{} rows: {errors}", rows.len());
    let mut compared = 0;
    for (name, row) in &rows {
        let path = name.strip_prefix("pv/").unwrap();
        let Some(point) = points.get(path) else {
            // A bit of a point with a name.
            let (whole, _) = path.rsplit_once('/').unwrap();
            let bits = points[whole]["value"].as_u64();
            let bit: u32 = row["address"].as_str().unwrap().rsplit_once('.').unwrap().1.parse().unwrap();
            let expected = bits.map(|bits| (bits >> bit & 1 == 1).to_string());
            assert_eq!(row["value"].as_str(), expected.as_deref(), "{path}: {row}");
            compared += 1;
            continue;
        };
        match &point["value"] {
            Json::Null => {
                let is_counter = point["type"].as_str().unwrap().starts_with("acc");
                assert!(row["value"].is_null() && (point["mandatory"] == true || is_counter), "{path}: {row}");
                assert_eq!(row["quality"], Quality::BAD_NO_DATA.0, "{path}: {row}");
            }
            Json::String(text) => assert_eq!(row["value"].as_str(), Some(text.as_str()), "{path}"),
            Json::Number(_) if point["type"].as_str().unwrap().starts_with("acc") && number(&point["value"]) == Some(0.0) => {
                assert_eq!(row["quality"], Quality::BAD_NO_DATA.0, "a counter at 0 is none: {path}: {row}");
            }
            value => {
                let (found, expected) = (number(&row["value"]), number(value));
                assert!(found.zip(expected).is_some_and(|(a, b)| (a - b).abs() <= 1e-7 * b.abs()), "{path}: {row} is not {value}");
            }
        }
        compared += 1;
    }
    assert_eq!(compared, rows.len());

    // Every point is there, or left out with a reason.
    let (code, listed, _) = run(&["browse", &endpoint, "--format", "json"]);
    assert_eq!(code, 0);
    let listed: BTreeMap<String, Json> = listed
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap())
        .map(|variable| (variable["path"].as_str().unwrap().to_owned(), variable))
        .collect();
    for (path, point) in points {
        let variable = &listed[path.as_str()];
        let left_out = variable["left_out"].as_str().unwrap();
        assert_eq!(rows.contains_key(&format!("pv/{path}")), left_out.is_empty(), "{variable}");
        if !point["value"].is_null() {
            assert!(left_out.is_empty() || left_out.contains("0x8000 as scale factor"), "{variable}");
        }
    }
    let unknown = &listed["model_64999"];
    assert!(unknown["left_out"].as_str().unwrap().contains("model 64999, 5 registers from holding:"), "{unknown}");
    let of = |path: &str, key: &str| listed[path][key].clone();
    assert_eq!((of("inverter_three_phase/A", "unit"), of("inverter_three_phase/W", "type")), ("A".into(), "f64".into()));
    assert_eq!(of("inverter_three_phase/St", "state_set")[4], "MPPT");
    assert_eq!((of("common/SN", "scan_ms"), of("common/SN", "format")), ("3600000".into(), "string:16".into()));
    assert!(listed.contains_key("inverter_three_phase_2/A") && listed.contains_key("mppt/module_3/DCA"));
    assert!(!listed.contains_key("mppt/module_4/DCA"), "three modules");

    // A part of it, of a device of a configuration that counts addresses from 1.
    fs::write(config, format!("{table}unit = 126\nzero_based = false\n")).unwrap();
    let (code, part, told) = run(&["browse", "plant", "--config", config, "--glob", "mppt/module_2/*", "--format", "csv"]);
    assert_eq!(code, 0, "{told}");
    assert!(part.lines().skip(1).all(|line| line.starts_with("mppt/module_2/")) && part.lines().count() > 5, "{part}");
    let zero_based: u32 = of("mppt/module_2/DCA", "address").as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(part.contains(&format!("holding:{},", zero_based + 1)), "{part}");
}

#[test]
fn what_is_no_sunspec_device_says_so() {
    let (_peer, port) = served("1");
    let (code, _, told) = run(&["browse", &format!("modbus://127.0.0.1:{port}?unit=7"), "--timeout", "60"]);
    assert!(code == 1 && told.contains("no SunSpec device") && told.contains("holding:50000"), "{code} {told}");
    for (target, words) in [
        (format!("modbus://127.0.0.1:{port}?unit=300"), "as in ?unit=126"),
        (format!("modbus://127.0.0.1:{port}?id=3"), "as in ?unit=126"),
        ("modbus://nowhere".to_owned(), "endpoint"),
    ] {
        let (code, _, told) = run(&["browse", &target]);
        assert!(code == 2 && told.contains(words), "{target}: {code} {told}");
    }
}
