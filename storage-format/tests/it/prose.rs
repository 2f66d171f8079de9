//! The worked examples in the specification are bytes that this crate reads and writes.

use historian_format::{Chunk, Samples, Value, ValueType, journal, keys};

use crate::case::{encode, samples};

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
fn the_chunk_of_version_1_in_chunk_md_is_one() {
    let document = include_str!("../../chunk.md");
    let bytes = hex_after(document, "## Version 1");
    let chunk = Chunk::parse(&bytes).unwrap();
    assert_eq!((chunk.header().version, bytes.len()), (1, 184));
    assert_eq!(chunk.decode().unwrap(), table_after(document, "## Worked example"));
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
fn the_keys_in_keys_md_are_keys() {
    let document = include_str!("../../keys.md");
    let key = keys::ChunkKey { tag_id: 7, start: 1_767_225_600_000_000_000, generation: 1 };
    assert_eq!(hex_after(document, "## Chunk key"), key.encode());
    for family in keys::FAMILIES {
        assert!(document.contains(&format!("\n| `{family}` |")), "{family}");
    }
}
