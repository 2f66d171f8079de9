//! Deletions before the runs of a journal record: frozen and damaged.

use std::fmt::Write as _;

use historian_format::{
    Samples, Value, ValueType,
    journal::{self, Deletion},
};

use crate::{corruption::reads_back, golden::frozen};

fn record() -> (Vec<Deletion>, Vec<(u32, Samples)>, Vec<u8>) {
    let deletions = vec![
        Deletion { tag_id: 7, from: i64::MIN, to: i64::MAX },
        Deletion { tag_id: 7, from: 1_767_225_600_000_000_000, to: 1_767_225_600_000_000_000 },
        Deletion { tag_id: u32::MAX, from: 5, to: -5 },
    ];
    let mut samples = Samples::new(ValueType::String);
    for (timestamp, value, quality) in [(2, Some("größer"), 0), (1, None, 0x8031_0000), (1, Some(""), 0x4094_0000)] {
        samples.push(timestamp, value.map(|text| Value::String(text.into())).as_ref(), quality).unwrap();
    }
    let runs = vec![(7, samples), (8, Samples::new(ValueType::I64))];
    let mut bytes = Vec::new();
    journal::encode_record_with(&deletions, runs.iter().map(|(tag_id, run)| (*tag_id, run)), &mut bytes).unwrap();
    (deletions, runs, bytes)
}

fn reseal(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn the_golden_record_with_deletions_is_read_and_written_as_ever() {
    let (deletions, runs, made) = record();
    let bytes = frozen("batch.deletions.record", &made);
    let record = journal::decode_record(&bytes).unwrap();
    let mut text = String::new();
    for Deletion { tag_id, from, to } in &record.deletions {
        writeln!(text, "deletion of tag {tag_id} from {from} to {to}").unwrap();
    }
    for (tag_id, run) in &record.runs {
        writeln!(text, "run of tag {tag_id} type {} count {}", run.value_type(), run.len()).unwrap();
        for index in 0..run.len() {
            writeln!(text, "{} {:?} {:08x}", run.timestamps[index], run.value(index), run.qualities[index]).unwrap();
        }
    }
    assert_eq!(text.as_bytes(), frozen("batch.deletions.record.txt", text.as_bytes()));
    assert_eq!((record.deletions, record.runs), (deletions, runs));
    assert_eq!(made, bytes, "encoded again");
}

#[test]
fn damage_to_a_record_with_deletions_is_an_error() {
    let (deletions, runs, mut bytes) = record();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(journal::decode_record(&bytes).is_err(), "bit {bit}");
        let mut resealed = bytes.clone();
        reseal(&mut resealed);
        // An error or a record: of other deletions and the same runs, or of the same deletions and other runs.
        if let Ok(record) = journal::decode_record(&resealed) {
            reads_back(&record);
            let in_deletions = (20..20 + 20 * deletions.len()).contains(&(bit / 8));
            assert_eq!(record.deletions == deletions, !in_deletions, "bit {bit}");
            assert!(record.runs == runs || !in_deletions, "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..bytes.len() {
        assert!(journal::decode_record(&bytes[..length]).is_err(), "to {length}");
    }
    // What only the count of the deletions says: none at all, more than there are bytes for, more than are allowed.
    for (count, told) in [(0_u32, "value type"), (10_000, "deletions"), (1 << 20, "deletions"), ((1 << 20) + 1, "number of deletions")] {
        bytes[12..16].copy_from_slice(&count.to_le_bytes());
        reseal(&mut bytes);
        assert_eq!(journal::decode_record(&bytes).unwrap_err().what, told, "{count} deletions");
    }
}
