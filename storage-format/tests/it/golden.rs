//! Frozen files: what an earlier build wrote must be read for ever, and written again to the byte.
//!
//! `HISTORIAN_FORMAT_WRITE_GOLDEN=1 cargo test -p historian-format golden` writes files that do not
//! exist yet. It never replaces one: a changed byte needs a new format version and a new folder.

use std::fmt::Write as _;
use std::path::PathBuf;

use historian_format::{Chunk, Extreme, Samples, Value, journal};

use crate::case::{Case, cases, encode};

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1")
}

fn token(value: Option<&Value>) -> String {
    match value {
        None => "null".to_owned(),
        Some(Value::F64(value)) => format!("bits:{:016x}", value.to_bits()),
        Some(Value::F32(value)) => format!("bits:{:08x}", value.to_bits()),
        Some(Value::I64(value)) => value.to_string(),
        Some(Value::U64(value)) => value.to_string(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::State(value)) => value.to_string(),
        Some(Value::String(value)) => format!("\"{}\"", value.escape_default()),
    }
}

fn rows(samples: &Samples, text: &mut String) {
    for index in 0..samples.len() {
        let value = token(samples.value(index).as_ref());
        writeln!(text, "{} {value} {:08x}", samples.timestamps[index], samples.qualities[index]).unwrap();
    }
}

/// All that a chunk says, as text.
fn describe(bytes: &[u8]) -> (String, Samples) {
    let chunk = Chunk::parse(bytes).unwrap();
    let samples = chunk.decode().unwrap();
    let header = chunk.header();
    let found = &header.statistics;
    let extreme =
        |extreme: Option<Extreme>| extreme.map_or("none".to_owned(), |e| format!("{} at {}", token(Some(&e.value.value())), e.timestamp));
    let mut text = String::new();
    writeln!(text, "tag {} sequence {} type {}", header.tag_id, header.sequence, header.value_type).unwrap();
    writeln!(
        text,
        "codecs: timestamps {}, presence {}, values {}, qualities {}",
        header.timestamp_codec.as_str(),
        header.presence_codec.as_str(),
        header.value_codec.as_str(),
        header.quality_codec.as_str()
    )
    .unwrap();
    writeln!(text, "count {} good {} null {} nan {}", found.count, found.good_count, found.null_count, found.has_nan).unwrap();
    writeln!(text, "minimum {}", extreme(found.minimum)).unwrap();
    writeln!(text, "maximum {}", extreme(found.maximum)).unwrap();
    writeln!(text, "sum bits:{:016x}", found.sum.to_bits()).unwrap();
    writeln!(text, "worst quality {:08x}", found.worst_quality).unwrap();
    writeln!(text, "samples: timestamp value quality").unwrap();
    rows(&samples, &mut text);
    (text, samples)
}

fn describe_record(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (tag_id, samples) in journal::decode_record(bytes).unwrap().runs {
        writeln!(text, "run of tag {tag_id} type {} count {}", samples.value_type(), samples.len()).unwrap();
        rows(&samples, &mut text);
    }
    text
}

fn frozen(name: &str, made: &[u8]) -> Vec<u8> {
    let path = folder().join(name);
    if !path.exists() && std::env::var_os("HISTORIAN_FORMAT_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A frozen file of another kind than chunks.
pub fn frozen_in(version: &str, name: &str, made: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(version).join(name);
    if !path.exists() && std::env::var_os("HISTORIAN_FORMAT_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn golden_chunks_are_read_and_written_as_ever() {
    for Case { name, tag_id, sequence, samples } in cases() {
        let made = encode(tag_id, sequence, &samples);
        let bytes = frozen(&format!("{name}.chunk"), &made);
        let (text, decoded) = describe(&bytes);
        let expected = frozen(&format!("{name}.txt"), text.as_bytes());
        assert_eq!(text.as_bytes(), expected, "{name}: decoded samples");
        assert_eq!(decoded, samples, "{name}: samples of the list");
        assert_eq!(encode(tag_id, sequence, &decoded), bytes, "{name}: encoded again");
    }
}

#[test]
fn the_golden_record_is_read_and_written_as_ever() {
    let cases = cases();
    let mut runs: Vec<(u32, Samples)> = cases.into_iter().map(|case| (case.tag_id, case.samples)).collect();
    // What only a journal may hold: a repeated tag, falling and equal timestamps, an empty run.
    let mut falling = Samples::new(historian_format::ValueType::I64);
    for (timestamp, value) in [(50, 1), (40, 2), (40, 3), (i64::MIN, 4)] {
        falling.push(timestamp, Some(&Value::I64(value)), 0).unwrap();
    }
    runs.push((1, falling));
    runs.push((99, Samples::new(historian_format::ValueType::String)));
    let mut made = Vec::new();
    journal::encode_record(runs.iter().map(|(tag_id, samples)| (*tag_id, samples)), &mut made).unwrap();
    let bytes = frozen("batch.record", &made);
    let text = describe_record(&bytes);
    assert_eq!(text.as_bytes(), frozen("batch.record.txt", text.as_bytes()));
    let decoded = journal::decode_record(&bytes).unwrap().runs;
    assert_eq!(decoded, runs);
    assert_eq!(made, bytes, "encoded again");
}

#[test]
fn no_golden_file_lies_unused() {
    let names: Vec<&str> = cases().iter().map(|case| case.name).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.split('.').next().unwrap();
        assert!(stem == "batch" || names.contains(&stem), "{name}");
    }
}
