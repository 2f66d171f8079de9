//! Frozen files: what an earlier build wrote must be read for ever, and written again to the byte.
//!
//! `HISTORIAN_FORMAT_WRITE_GOLDEN=1 cargo test -p historian-format golden` writes files that do not
//! exist yet. It never replaces one: a byte with another meaning needs a new format version and a new folder; an encoder that chooses
//! otherwise within the version, a further file of the case, which it writes beside those of the encoders before.

use std::fmt::Write as _;
use std::path::PathBuf;

use historian_format::{CHUNK_HEADER_BYTES, Chunk, Extreme, Samples, TimestampCodec, Value, journal, spool};

use crate::case::{cases, small_cases};

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1")
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
    writeln!(text, "squares bits:{:016x}", found.m2.to_bits()).unwrap();
    writeln!(text, "worst quality {:08x}", found.worst_quality).unwrap();
    writeln!(text, "samples: timestamp value quality").unwrap();
    rows(&samples, ROWS_MAX, &mut text);
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

pub fn frozen(name: &str, made: &[u8]) -> Vec<u8> {
    let path = folder().join(name);
    if !path.exists() && std::env::var_os("HISTORIAN_FORMAT_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a case, `name.chunk`, `name.2.chunk` and so on: each but the last was written by an encoder that chose otherwise, among
/// what readers of this version take. `made` becomes the next one where files are to be written.
fn chunk_files(name: &str, made: &[u8]) -> Vec<Vec<u8>> {
    let file = |number: usize| if number == 1 { format!("{name}.chunk") } else { format!("{name}.{number}.chunk") };
    let mut files = vec![frozen(&file(1), made)];
    while folder().join(file(files.len() + 1)).exists()
        || (files.last().is_none_or(|last| last != made) && std::env::var_os("HISTORIAN_FORMAT_WRITE_GOLDEN").is_some())
    {
        files.push(frozen(&file(files.len() + 1), made));
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
            let expected = frozen(&format!("{name}.txt"), text.as_bytes());
            assert_eq!(text.as_bytes(), expected, "{name}: decoded samples");
            assert_eq!(decoded, case.samples, "{name}: samples of the list");
            assert_eq!(bytes[..5], *b"HSCK\x01", "{name}");
        }
        assert_eq!(files.last(), Some(&made), "{name}: encoded again");
    }
}

/// What the golden record and segment hold.
fn batch() -> Vec<(u32, Samples)> {
    let mut runs: Vec<(u32, Samples)> = small_cases().into_iter().map(|case| (case.tag_id, case.samples)).collect();
    // What only a journal may hold: a repeated tag, falling and equal timestamps, an empty run.
    let mut falling = Samples::new(historian_format::ValueType::I64);
    for (timestamp, value) in [(50, 1), (40, 2), (40, 3), (i64::MIN, 4)] {
        falling.push(timestamp, Some(&Value::I64(value)), 0).unwrap();
    }
    runs.push((1, falling));
    runs.push((99, Samples::new(historian_format::ValueType::String)));
    runs
}

#[test]
fn the_golden_record_is_read_and_written_as_ever() {
    let runs = batch();
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
fn the_golden_segment_is_read_and_written_as_ever() {
    let runs = batch();
    let (first, second) = runs.split_at(runs.len() / 2);
    let mut made = spool::encode_spool_header(7).to_vec();
    for (since, runs) in [(1_767_225_600_000_000_000, first), (1_767_225_601_000_000_000, second)] {
        spool::encode_spool_frame(since, runs.iter().map(|(tag_id, run)| (*tag_id, run)), &mut made).unwrap();
    }
    let bytes = frozen("batch.spool", &made);
    assert_eq!(spool::decode_spool_header(&bytes).unwrap(), spool::SpoolHeader { number: 7, drained: 40 });
    let frame = spool::decode_spool_frame(&bytes[40..]).unwrap();
    assert_eq!((frame.since, frame.runs.as_slice()), (1_767_225_600_000_000_000, first));
    let frame = spool::decode_spool_frame(&bytes[40 + frame.bytes..]).unwrap();
    assert_eq!((frame.since, frame.runs.as_slice()), (1_767_225_601_000_000_000, second));
    assert_eq!(made, bytes, "encoded again");
}

#[test]
fn no_golden_file_lies_unused() {
    let names: Vec<&str> = cases().iter().map(|case| case.name).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.split('.').next().unwrap();
        assert!(["batch", "plain_timestamps"].contains(&stem) || names.contains(&stem), "{name}");
    }
}

/// Timestamps as the encoder keeps them when it does not trust its grid, which no run of samples brings it to: the column is that of a
/// journal record of the same samples.
#[test]
fn the_golden_chunk_of_plain_timestamps_is_read_as_ever() {
    let case = cases().into_iter().find(|case| case.name == "f64_gorilla_jitter").unwrap();
    let mut record = Vec::new();
    journal::encode_record([(case.tag_id, &case.samples)].into_iter(), &mut record).unwrap();
    // Header of the record, tag, type, layout, count, first timestamp; then the length of the column, and the column.
    let at = 20 + 4 + 1 + 1 + 1 + 8;
    let length = u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
    let column = &record[at + 4..at + 4 + length as usize];
    let whole = case.encode();
    let mut made = whole[..CHUNK_HEADER_BYTES].to_vec();
    made.extend_from_slice(column);
    made.extend_from_slice(&whole[CHUNK_HEADER_BYTES + Chunk::parse(&whole).unwrap().header().timestamps_bytes..]);
    made[6] = TimestampCodec::DeltaOfDelta as u8;
    made[128..132].copy_from_slice(&length.to_le_bytes());
    let body = crc32c::crc32c(&made[CHUNK_HEADER_BYTES..]);
    made[144..148].copy_from_slice(&body.to_le_bytes());
    let header = crc32c::crc32c(&made[..148]);
    made[148..152].copy_from_slice(&header.to_le_bytes());
    let bytes = frozen("plain_timestamps.chunk", &made);
    assert_eq!(bytes, made);
    let (text, decoded) = describe(&bytes);
    assert_eq!(text.as_bytes(), frozen("plain_timestamps.txt", text.as_bytes()));
    assert_eq!(decoded, case.samples);
}

/// Chunks, records and stores that were made before the first release: none may pass for what this version reads.
#[test]
fn what_was_made_before_the_first_release_is_refused_by_its_magic() {
    let mut chunk = cases()[0].encode();
    let mut record = Vec::new();
    journal::encode_record([(1, &cases()[0].samples)].into_iter(), &mut record).unwrap();
    for version in [1, 2] {
        chunk[..5].copy_from_slice(&[b'H', b'C', b'H', b'K', version]);
        assert_eq!(Chunk::parse(&chunk).unwrap_err().to_string(), "corrupt chunk: magic at byte 0: expected HSCK, found HCHK");
        record[..5].copy_from_slice(&[b'H', b'J', b'N', b'L', version]);
        let told = journal::decode_record(&record).unwrap_err().to_string();
        assert_eq!(told, "corrupt journal record: magic at byte 0: expected HSJN, found HJNL");
    }
}
