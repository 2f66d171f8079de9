//! `historian init --from`: configurations of other programs become ours, and what cannot be carried over is told.
//!
//! Each folder of `converted` is a program; a file in it is converted to the `.toml` of its name, with the lines of its `.told` on standard error.
//! `HISTORIAN_UPDATE=1` writes both anew.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use serde_json::Value as Json;

use super::{directory, historian, path, stderr, stdout};
use crate::support::peer::{Peer, root};

/// Every file that is converted, with its program.
fn cases() -> Vec<(String, PathBuf)> {
    let mut cases = Vec::new();
    for program in ["telegraf", "evcc", "homeassistant"] {
        for entry in fs::read_dir(root().join("tests/it/cli/converted").join(program)).expect("the folder of the program") {
            let file = entry.expect("its entry").path();
            if file.extension().is_some_and(|extension| extension == "conf" || extension == "yaml") {
                cases.push((program.to_owned(), file));
            }
        }
    }
    cases.sort();
    cases
}

#[test]
fn each_file_becomes_the_configuration_beside_it_and_the_program_takes_it() {
    let cases = cases();
    assert!(cases.len() >= 5, "{cases:?}");
    for (program, file) in cases {
        let source = file.display().to_string();
        let output = historian(&["init", "--from", &program, &source]);
        let (text, told) = (stdout(&output), stderr(&output));
        let (expected, remarks) = (file.with_extension("toml"), file.with_extension("told"));
        if std::env::var_os("HISTORIAN_UPDATE").is_some() {
            fs::write(&expected, &text).unwrap();
            fs::write(&remarks, &told).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&expected).unwrap_or_default(), "{source}");
        assert_eq!(told, fs::read_to_string(&remarks).unwrap_or_default(), "{source}");
        let has_lost = told.contains("not carried over: ") && !told.contains(", 0 values not carried over");
        assert_eq!(output.status.code(), Some(i32::from(has_lost)), "{source}: {told}");
        for secret in ["secret-token", "secret-password"] {
            assert!(!text.contains(secret) && !told.contains(secret), "{source} tells a secret");
        }

        // The same in a file, once, which a check takes.
        let files = directory(&[]);
        let made = path(&files, "made.toml");
        let output = historian(&["init", "--from", &program, &source, "--output", &made]);
        assert_eq!((stdout(&output), fs::read_to_string(&made).unwrap()), (String::new(), text), "{source}: {}", stderr(&output));
        let checked = historian(&["check", "--offline", "--config", &made]);
        assert_eq!(checked.status.code(), Some(0), "{source}: {}{}", stdout(&checked), stderr(&checked));
        let again = historian(&["init", "--from", &program, &source, "--output", &made]);
        assert_eq!(again.status.code(), Some(2), "{source}");
        assert!(stderr(&again).contains("is there already"), "{}", stderr(&again));
    }
}

#[test]
fn what_is_no_such_file_is_told_and_leaves_nothing_behind() {
    let files = directory(&[
        ("not.toml", "[[inputs.modbus]\n"),
        ("other.toml", "[server]\nlisten = \"x\"\n"),
        ("not.yaml", "modbus: [\n"),
        ("other.yaml", "light: []\n"),
        ("twice.yaml", "a: 1\na: 2\n"),
        ("none.yaml", "modbus:\n  - name: a\n    type: tcp\n    host: 192.0.2.1\n    switches:\n      - name: b\n        address: 1\n"),
        ("latin.yaml", ""),
    ]);
    fs::write(files.path().join("latin.yaml"), b"name: K\xFCche\n").unwrap();
    for (program, name, part) in [
        ("telegraf", "not.toml", "is no TOML"),
        ("telegraf", "other.toml", "has no inputs"),
        ("homeassistant", "not.yaml", "is no YAML"),
        ("homeassistant", "other.yaml", "neither hubs of modbus nor entities of mqtt"),
        ("homeassistant", "twice.yaml", "duplicate entry"),
        ("homeassistant", "none.yaml", "nothing of it became a tag"),
        ("evcc", "other.yaml", "neither meters nor chargers"),
        ("evcc", "latin.yaml", "no UTF-8"),
        ("evcc", "gone.yaml", "cannot be read"),
    ] {
        let output = historian(&["init", "--from", program, &path(&files, name), "--output", &path(&files, "made.toml")]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{name}: {}", stderr(&output));
        assert!(!files.path().join("made.toml").exists(), "{name}");
    }
    for arguments in [&["init"][..], &["init", "--from", "telegraf"], &["init", "x.conf"], &["init", "--from", "nodered", "x"]] {
        assert_eq!(historian(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// Formats of the plant of `tests/peers/modbus_server.py` in its order: what the three programs call them, and the value.
const FORMATS: [(&str, &str, &str, &str); 8] = [
    ("UINT16", "uint16", "uint16", "65432"),
    ("INT16", "int16", "int16", "-12345"),
    ("UINT32", "uint32", "uint32", "4000000001"),
    ("INT32", "int32", "int32", "-2000000003"),
    ("UINT64", "uint64", "uint64", "18000000000000000007"),
    ("INT64", "int64", "int64", "-9000000000000000011"),
    ("FLOAT32", "float32", "float32", "-1234.5677"),
    ("FLOAT64", "float64", "float64", "2.718281828459045e-100"),
];

/// Converts a text, reads its tags once from the peer, and compares the values.
fn reads(program: &str, name: &str, text: &str, expected: &BTreeMap<String, String>) {
    let files = directory(&[(name, text)]);
    let made = path(&files, "made.toml");
    let output = historian(&["init", "--from", program, &path(&files, name), "--output", &made]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let checked = historian(&["check", "--config", &made, "--data-dir", &path(&files, "data"), "--format", "json"]);
    let rows = stdout(&checked);
    let rows = rows.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()).filter(|row| row["tag"].is_string());
    let found: BTreeMap<String, String> = rows
        .map(|row| {
            assert_eq!(row["quality"], 0, "{row}");
            (row["tag"].as_str().unwrap_or_default().to_owned(), row["value"].to_string().trim_matches('"').to_owned())
        })
        .collect();
    assert_eq!(&found, expected, "{}\n{}", fs::read_to_string(&made).unwrap(), stderr(&checked));
}

#[test]
fn what_was_configured_for_telegraf_reads_the_same_values_of_a_peer() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let mut text = format!(
        "[[inputs.modbus]]\nname = \"plant\"\ncontroller = \"tcp://127.0.0.1:{port}\"\nconfiguration_type = \"request\"\ntimeout = \"5s\"\n"
    );
    let mut expected = BTreeMap::new();
    for (number, order) in ["ABCD", "CDAB", "BADC", "DCBA"].into_iter().enumerate() {
        let _ = write!(
            text,
            "[[inputs.modbus.request]]\nslave_id = 1\nbyte_order = \"{order}\"\nregister = \"holding\"\nmeasurement = \"{order}\"\nfields = [\n"
        );
        for (place, (kind, _, _, value)) in FORMATS.into_iter().enumerate() {
            let _ = writeln!(text, "  {{ address = {}, name = \"{kind}\", type = \"{kind}\" }},", place * 16 + number * 4);
            expected.insert(format!("plant/{order}/{kind}"), value.to_owned());
        }
        text += "]\n";
    }
    text += "[[inputs.modbus.request]]\nslave_id = 1\nregister = \"holding\"\nfields = [\n\
        { address = 200, name = \"text\", type = \"STRING\", length = 5 },\n\
        { address = 211, name = \"bit15\", type = \"BIT\", bit = 15 },\n\
        { address = 211, name = \"low\", type = \"UINT8L\" },\n\
        { address = 211, name = \"high\", type = \"INT8H\" },\n\
        { address = 16, name = \"scaled\", type = \"INT16\", scale = 0.1 },\n]\n\
        [[inputs.modbus.request]]\nslave_id = 2\nregister = \"holding\"\nfields = [ { address = 199, name = \"second\", type = \"UINT16\" } ]\n\
        [[inputs.modbus.request]]\nslave_id = 1\nregister = \"coil\"\nfields = [ { address = 9, name = \"coil\" } ]\n\
        [[inputs.modbus.request]]\nslave_id = 1\nregister = \"discrete\"\nfields = [ { address = 16, name = \"discrete\" } ]\n\
        [[inputs.modbus.request]]\nslave_id = 1\nregister = \"input\"\nfields = [ { address = 125, name = \"input\", type = \"UINT16\" } ]\n";
    for (name, value) in [
        ("text", "BOILER-7"),
        ("bit15", "true"),
        ("low", "5"),
        ("high", "-96"),
        ("scaled", "-1234.5"),
        ("second", "20199"),
        ("coil", "true"),
        ("discrete", "true"),
        ("input", "878"),
    ] {
        expected.insert(format!("plant/{name}"), value.to_owned());
    }
    reads("telegraf", "telegraf.conf", &text, &expected);
}

#[test]
fn what_was_configured_for_home_assistant_reads_the_same_values_of_a_peer() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let mut text = format!("modbus:\n  - name: plant\n    type: tcp\n    host: 127.0.0.1\n    port: {port}\n    sensors:\n");
    let mut expected = BTreeMap::new();
    for (number, swap) in ["none", "word", "byte", "word_byte"].into_iter().enumerate() {
        for (place, (_, kind, _, value)) in FORMATS.into_iter().enumerate() {
            // Of one register Home Assistant swaps bytes only.
            if kind.ends_with("16") && swap.starts_with("word") {
                continue;
            }
            let address = place * 16 + number * 4;
            let _ = writeln!(text, "      - {{name: {kind} {swap}, slave: 1, address: {address}, data_type: {kind}, swap: {swap}}}");
            expected.insert(format!("plant/{kind} {swap}"), value.to_owned());
        }
    }
    text += "      - {name: text, slave: 1, address: 200, data_type: string, count: 5}\n";
    text += "      - {name: two, slave: 1, address: 40, data_type: custom, structure: '<i', count: 2}\n";
    text += "      - {name: further, slave: 2, address: 10, data_type: uint16, virtual_count: 1}\n";
    text += "    binary_sensors:\n      - {name: coil, slave: 1, address: 9}\n      - {name: low, slave: 1, address: 211, input_type: holding}\n";
    for (name, value) in [("text", "BOILER-7"), ("further", "20010"), ("further 1", "20011"), ("coil", "true"), ("low", "true")] {
        expected.insert(format!("plant/{name}"), value.to_owned());
    }
    // The third order of the place of u32 has its bytes swapped; as it lies there, from the least byte on, it is this.
    let words = [(4_000_000_001_u32 >> 16) as u16, 4_000_000_001_u32 as u16].map(u16::swap_bytes);
    let bytes = [words[0].to_be_bytes(), words[1].to_be_bytes()].concat();
    expected.insert("plant/two".to_owned(), i32::from_le_bytes(bytes.try_into().unwrap()).to_string());
    reads("homeassistant", "modbus.yaml", &text, &expected);
}

#[test]
fn what_was_configured_for_evcc_reads_the_same_values_of_a_peer() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let mut text = "interval: 10s\nmeters:\n  - name: plant\n    type: custom\n".to_owned();
    let mut expected = BTreeMap::new();
    for (number, ending) in ["", "s"].into_iter().enumerate() {
        for (place, (_, _, kind, value)) in FORMATS.into_iter().enumerate() {
            // 16 bits have no words to swap.
            if kind.ends_with("16") && ending == "s" {
                continue;
            }
            let register = format!("{{address: {}, type: holding, decode: {kind}{ending}}}", place * 16 + number * 4);
            let _ = writeln!(text, "    {kind}{ending}: {{source: modbus, uri: '127.0.0.1:{port}', id: 1, register: {register}}}");
            expected.insert(format!("plant/{kind}{ending}"), value.to_owned());
        }
    }
    for (name, register, value) in [
        ("bits", "{address: 211, type: holding, decode: bool16, bitmask: 0x6}", "true"),
        ("coil", "{address: 9, type: coil, decode: bool8}", "true"),
        ("input", "{address: 125, type: input, decode: uint16nan}", "878"),
    ] {
        let _ = writeln!(text, "    {name}: {{source: modbus, uri: '127.0.0.1:{port}', id: 1, register: {register}}}");
        expected.insert(format!("plant/{name}"), value.to_owned());
    }
    reads("evcc", "evcc.yaml", &text, &expected);
}
