//! Frozen files: what an earlier build wrote must be read for ever, and written again to the byte.
//!
//! `HISTORIAN_FORMAT_WRITE_GOLDEN=1 cargo test -p historian-format golden` writes files that do not
//! exist yet. It never replaces one: a byte with another meaning needs a new format version and a new folder; an encoder that chooses
//! otherwise within the version, a further file of the case, which it writes beside those of the encoders before.

use std::fmt::Write as _;
use std::path::PathBuf;

use historian_format::{Chunk, Extreme, Samples, Value, journal};

use crate::case::{cases, first_cases};

pub fn folder(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

/// Rows of a longer run that are written out; a checksum stands for the others.
const ROWS_MAX: usize = 64;

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

/// Row by row; beyond `limit` rows a checksum of the others.
fn rows(samples: &Samples, limit: usize, text: &mut String) {
    let mut others = String::new();
    for index in 0..samples.len() {
        let value = token(samples.value(index).as_ref());
        let target = if index < limit { &mut *text } else { &mut others };
        writeln!(target, "{} {value} {:08x}", samples.timestamps[index], samples.qualities[index]).unwrap();
    }
    if !others.is_empty() {
        writeln!(text, "{} more, crc32c {:08x}", samples.len() - limit, crc32c::crc32c(others.as_bytes())).unwrap();
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
    if let Some(m2) = found.m2 {
        writeln!(text, "squares bits:{:016x}", m2.to_bits()).unwrap();
    }
    writeln!(text, "worst quality {:08x}", found.worst_quality).unwrap();
    writeln!(text, "samples: timestamp value quality").unwrap();
    rows(&samples, if header.version == 1 { usize::MAX } else { ROWS_MAX }, &mut text);
    (text, samples)
}

fn describe_record(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (tag_id, samples) in journal::decode_record(bytes).unwrap().runs {
        writeln!(text, "run of tag {tag_id} type {} count {}", samples.value_type(), samples.len()).unwrap();
        rows(&samples, usize::MAX, &mut text);
    }
    text
}

pub fn frozen(version: &str, name: &str, made: &[u8]) -> Vec<u8> {
    let path = folder(version).join(name);
    if !path.exists() && std::env::var_os("HISTORIAN_FORMAT_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn golden_chunks_of_version_1_are_read_as_ever() {
    for case in first_cases() {
        let bytes = frozen("v1", &format!("{}.chunk", case.name), &[]);
        let (text, decoded) = describe(&bytes);
        assert_eq!(text.as_bytes(), frozen("v1", &format!("{}.txt", case.name), &[]), "{}: decoded samples", case.name);
        assert_eq!(decoded, case.samples, "{}: samples of the list", case.name);
        let header = *Chunk::parse(&bytes).unwrap().header();
        assert_eq!((header.version, header.header_bytes(), header.statistics.m2), (1, 144, None));
    }
}

/// The files of a case, `name.chunk`, `name.2.chunk` and so on: each but the last was written by an encoder that chose otherwise, among
/// what readers of this version take. `made` becomes the next one where files are to be written.
fn chunk_files(name: &str, made: &[u8]) -> Vec<Vec<u8>> {
    let file = |number: usize| if number == 1 { format!("{name}.chunk") } else { format!("{name}.{number}.chunk") };
    let mut files = vec![frozen("v2", &file(1), made)];
    while folder("v2").join(file(files.len() + 1)).exists()
        || (files.last().is_none_or(|last| last != made) && std::env::var_os("HISTORIAN_FORMAT_WRITE_GOLDEN").is_some())
    {
        files.push(frozen("v2", &file(files.len() + 1), made));
    }
    files
}

#[test]
fn golden_chunks_are_read_as_ever_and_written_as_the_last_ones() {
    for case in cases() {
        let name = case.name;
        let made = case.encode();
        let files = chunk_files(name, &made);
        for bytes in &files {
            let (text, decoded) = describe(bytes);
            let expected = frozen("v2", &format!("{name}.txt"), text.as_bytes());
            assert_eq!(text.as_bytes(), expected, "{name}: decoded samples");
            assert_eq!(decoded, case.samples, "{name}: samples of the list");
            assert_eq!(Chunk::parse(bytes).unwrap().header().version, 2);
        }
        assert_eq!(files.last(), Some(&made), "{name}: encoded again");
    }
}

#[test]
fn the_golden_record_is_read_and_written_as_ever() {
    let mut runs: Vec<(u32, Samples)> = first_cases().into_iter().map(|case| (case.tag_id, case.samples)).collect();
    // What only a journal may hold: a repeated tag, falling and equal timestamps, an empty run.
    let mut falling = Samples::new(historian_format::ValueType::I64);
    for (timestamp, value) in [(50, 1), (40, 2), (40, 3), (i64::MIN, 4)] {
        falling.push(timestamp, Some(&Value::I64(value)), 0).unwrap();
    }
    runs.push((1, falling));
    runs.push((99, Samples::new(historian_format::ValueType::String)));
    let mut made = Vec::new();
    journal::encode_record(runs.iter().map(|(tag_id, samples)| (*tag_id, samples)), &mut made).unwrap();
    let bytes = frozen("v1", "batch.record", &made);
    let text = describe_record(&bytes);
    assert_eq!(text.as_bytes(), frozen("v1", "batch.record.txt", text.as_bytes()));
    let decoded = journal::decode_record(&bytes).unwrap().runs;
    assert_eq!(decoded, runs);
    assert_eq!(made, bytes, "encoded again");
}

#[test]
fn no_golden_file_lies_unused() {
    for (version, cases) in [("v1", first_cases()), ("v2", cases())] {
        let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
        for entry in std::fs::read_dir(folder(version)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let stem = name.split('.').next().unwrap();
            assert!(stem == "batch" || names.contains(&stem), "{name}");
        }
    }
}
