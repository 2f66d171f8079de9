//! The worked examples in the specification are bytes that this crate reads and writes.

use historian_format::{
    Chunk, Samples, Value, ValueType, journal, keys,
    rollup::{RollupBlock, RollupLevel, RollupState},
    spool,
};

use crate::case::{encode, samples};

/// 2026-01-01T00:00:00Z, as in every example.
const START: i64 = 1_767_225_600_000_000_000;

/// The bytes of the fenced block that follows a line.
fn hex_after(document: &str, heading: &str) -> Vec<u8> {
    let block = document.split(heading).nth(1).unwrap_or_else(|| panic!("no `{heading}`"));
    let block = block.split("```hex\n").nth(1).expect("a hex block").split("```").next().unwrap();
    // Everything right of a semicolon is commentary.
    let digits: String = block.lines().map(|line| line.split(';').next().unwrap()).collect();
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The rows `| timestamp | value | 0xquality |` of the table that follows a line.
fn table_after(document: &str, heading: &str) -> Samples {
    let text = document.split(heading).nth(1).unwrap();
    let mut rows = Vec::new();
    for line in text.lines().skip_while(|line| !line.starts_with("| timestamp")).skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let value = (cells[2] != "null").then(|| Value::F64(cells[2].parse().unwrap()));
        rows.push((cells[1].parse().unwrap(), value, u32::from_str_radix(cells[3].trim_start_matches("0x"), 16).unwrap()));
    }
    assert!(!rows.is_empty());
    samples(ValueType::F64, rows)
}

#[test]
fn the_chunk_in_chunk_md_is_one() {
    let document = include_str!("../../chunk.md");
    let heading = "## Worked example";
    let bytes = hex_after(document, heading);
    let expected = table_after(document, heading);
    let chunk = Chunk::parse(&bytes).unwrap();
    assert_eq!(chunk.decode().unwrap(), expected);
    assert_eq!(encode(chunk.header().tag_id, chunk.header().sequence, &expected), bytes);
    assert_eq!((chunk.header().tag_id, chunk.header().sequence), (7, 42));
    assert!(document.contains(&format!("The chunk has {} bytes", bytes.len())));
}

#[test]
fn the_record_in_journal_md_is_one() {
    let document = include_str!("../../journal.md");
    let heading = "## Worked example";
    let bytes = hex_after(document, heading);
    let expected = table_after(document, heading);
    assert_eq!(journal::decode_record(&bytes).unwrap().runs, vec![(7, expected.clone())]);
    let mut again = Vec::new();
    journal::encode_record([(7, &expected)].into_iter(), &mut again).unwrap();
    assert_eq!(again, bytes);
    assert_eq!(hex_after(document, "## Watermark"), journal::encode_watermark(42));
}

#[test]
fn the_record_with_a_deletion_in_journal_md_is_one() {
    let document = include_str!("../../journal.md");
    let heading = "## Worked example with a deletion";
    let expected = table_after(document, heading);
    let deletion = journal::Deletion { tag_id: 7, from: START, to: START + 2_000_000_000 };
    let mut made = Vec::new();
    journal::encode_record_with(&[deletion], [(7, &expected)].into_iter(), &mut made).unwrap();
    assert_eq!(hex_after(document, heading), made, "{made:02x?}");
    let record = journal::decode_record(&made).unwrap();
    assert_eq!((record.deletions, record.runs), (vec![deletion], vec![(7, expected)]));
}

#[test]
fn the_segment_in_spool_md_is_one() {
    let bytes = hex_after(include_str!("../../spool.md"), "## Worked example");
    let run = table_after(include_str!("../../journal.md"), "## Worked example");
    let mut made = spool::encode_spool_header(1).to_vec();
    spool::encode_spool_frame(START, [(7, &run)].into_iter(), &mut made).unwrap();
    assert_eq!(bytes, made, "{made:02x?}");
    assert_eq!(spool::decode_spool_header(&bytes).unwrap(), spool::SpoolHeader { number: 1, drained: 40 });
    let frame = spool::decode_spool_frame(&bytes[spool::SPOOL_HEADER_BYTES..]).unwrap();
    assert_eq!((frame.since, frame.runs, frame.bytes), (START, vec![(7, run)], bytes.len() - spool::SPOOL_HEADER_BYTES));
}

#[test]
fn the_block_in_rollup_md_is_one() {
    let document = include_str!("../../rollup.md");
    let heading = "## Worked example";
    let state = RollupState::of(&table_after(document, heading), 0..3).unwrap();
    let start = i128::from(START);
    let block = RollupBlock { tag_id: 7, value_type: ValueType::F64, level: RollupLevel::Hour, start, states: vec![(0, state)] };
    let bytes = hex_after(document, heading);
    assert_eq!(bytes, block.encode(), "{:02x?}", block.encode());
    assert_eq!(RollupBlock::decode(&bytes).unwrap(), block);
    // Every level and its block is named as the code has it.
    for (level, row) in RollupLevel::ALL.into_iter().zip(["minute | one day | 1,440", "hour | one week | 168", "day | one week | 7"]) {
        assert!(document.contains(&format!("| {} | {row} |", level as u8)));
        let intervals = row.rsplit(' ').next().unwrap().replace(',', "");
        assert_eq!(intervals.parse(), Ok(level.block_intervals()));
    }
}

#[test]
fn the_keys_in_keys_md_are_keys() {
    let document = include_str!("../../keys.md");
    let key = keys::ChunkKey { tag_id: 7, start: START, generation: 1 };
    assert_eq!(hex_after(document, "## Chunk key"), key.encode());
    assert_eq!(keys::ChunkKey::decode(&key.encode()), Some(key));
    let part = 0x9C8B_7A68 >> 2;
    let key = keys::SupersededKey { tag_id: 7, start: START, sequence: 42, part };
    assert_eq!(hex_after(document, "## Superseded key"), key.encode());
    let key = keys::RollupKey { week: keys::week_of(START), tag_id: 7, level: 1, part: 0 };
    assert_eq!(hex_after(document, "## Rollup key"), key.encode());
    let key = keys::NoteKey { kind: keys::NoteKind::Annotation, id: 7, version: 2 };
    assert_eq!(hex_after(document, "## Note key"), key.encode());
    assert_eq!(keys::NoteKey::decode(&key.encode()), Some(key));
    for kind in keys::NoteKind::ALL {
        assert!(document.contains(&format!("`{:02x}` (\"{}\")", kind.letter(), char::from(kind.letter()))), "{kind:?}");
    }
    assert_eq!((keys::week_of(i64::MIN), keys::week_of(i64::MAX)), (-15_251, 15_250));
    assert!(
        document.contains("has the weeks −15,251 to 15,250")
            && document.contains(&format!("\"HSTR\", version u32 little-endian: {} |", keys::FORMAT_VERSION))
    );
    let records = keys::TagRecord::ALL.map(keys::TagRecord::letter);
    for letter in records.into_iter().chain([keys::catalog_key(1)[0], keys::dirty_key(1, 1)[0]]) {
        assert!(document.contains(&format!("| `{letter:02x}` (\"{}\"), ", char::from(letter))), "{letter:02x}");
    }
    for family in keys::FAMILIES {
        assert!(document.contains(&format!("\n| `{family}` |")), "{family}");
    }
}
