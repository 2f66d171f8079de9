//! Rollup blocks: frozen, and damaged in every way.

use std::fmt::Write as _;

use historian_format::{
    Samples, Value, ValueType,
    rollup::{RollupBlock, RollupLevel, RollupState},
};

use crate::{
    case::{cases, samples},
    golden::frozen,
};

const MINUTE: i64 = 60 * 1_000_000_000;
const START: i64 = 1_767_225_600_000_000_000;

/// Blocks of every value type and level, with what is special in states: nulls, NaN, nothing counted, the first week of time.
fn blocks() -> Vec<RollupBlock> {
    let mut blocks: Vec<RollupBlock> = Vec::new();
    for (number, case) in (0..).zip(cases()) {
        let samples = &case.samples;
        let value_type = samples.value_type();
        let level = RollupLevel::ALL[number % 3];
        // The same samples stand for several intervals: a block does not ask whether they lie in them.
        let half = samples.len() / 2;
        let states = [0..samples.len(), 0..half, half..samples.len()].into_iter().filter_map(|rows| RollupState::of(samples, rows));
        let mut states: Vec<(u32, RollupState)> = (0..).map(|n| n * 2 + 1).zip(states).collect();
        if let [(_, first), (_, second), ..] = states.as_mut_slice() {
            let second = *second;
            first.merge(&second, value_type);
        }
        let start = if number == 1 { -15_251 * 7 * 1_440 * i128::from(MINUTE) } else { i128::from(START) };
        blocks.push(RollupBlock { tag_id: case.tag_id, value_type, level, start, states });
    }
    let nothing = samples(ValueType::F64, [(START, None, 0x8031_0000), (START + 1, Some(Value::F64(f64::NAN)), 0)]);
    let states = vec![(1_439, RollupState::of(&nothing, 0..2).unwrap())];
    blocks.push(RollupBlock { tag_id: 99, value_type: ValueType::F64, level: RollupLevel::Minute, start: i128::from(START), states });
    blocks.push(RollupBlock { states: Vec::new(), ..blocks[0].clone() });
    blocks
}

/// Hours of a week: a plain one, one with gaps and Bad samples, one that another is merged into.
fn frozen_block() -> RollupBlock {
    let row = |n: i64| match n % 7 {
        3 => (START + n * MINUTE, None, 0x8031_0000),
        5 => (START + n * MINUTE, Some(Value::F64(f64::from(n as i32) * 0.1)), 0x4094_0000),
        _ => (START + n * MINUTE, Some(Value::F64(f64::from((n * n % 31) as i32) * 0.37 - 4.0)), 0),
    };
    let samples: Samples = samples(ValueType::F64, (0..180).map(row));
    let mut merged = RollupState::of(&samples, 60..100).unwrap();
    merged.merge(&RollupState::of(&samples, 100..120).unwrap(), ValueType::F64);
    let states = vec![(0, RollupState::of(&samples, 0..60).unwrap()), (1, merged), (167, RollupState::of(&samples, 123..124).unwrap())];
    RollupBlock { tag_id: 7, value_type: ValueType::F64, level: RollupLevel::Hour, start: i128::from(START), states }
}

#[test]
fn the_golden_block_is_read_and_written_as_ever() {
    let block = frozen_block();
    let told: Vec<_> = block.states.iter().map(|(_, state)| (state.minimum_repeated, state.maximum_repeated)).collect();
    assert_eq!(told, [(Some(false), Some(true)), (Some(true), Some(true)), (Some(false), Some(false))]);
    let bytes = frozen("batch.rollup", &block.encode());
    let decoded = RollupBlock::decode(&bytes).unwrap();
    let mut text = format!("tag {} type {} level {:?} start {}\n", decoded.tag_id, decoded.value_type, decoded.level, decoded.start);
    for (number, state) in &decoded.states {
        writeln!(text, "interval {number}: {state:?}").unwrap();
    }
    assert_eq!(text.as_bytes(), frozen("batch.rollup.txt", text.as_bytes()));
    assert_eq!(decoded, block, "made from the same samples");
    assert_eq!(decoded.encode(), bytes, "encoded again");
}

fn reseal(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_block_is_an_error() {
    for block in blocks() {
        let mut bytes = block.encode();
        assert_eq!(RollupBlock::decode(&bytes).unwrap().encode(), bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(RollupBlock::decode(&bytes).is_err(), "tag {} bit {bit}", block.tag_id);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(RollupBlock::decode(&bytes[..length]).is_err(), "tag {} to {length}", block.tag_id);
        }
        bytes.push(0);
        assert!(RollupBlock::decode(&bytes).is_err());
    }
}

/// Where the checksum is right, what is not refused reads back from what is written of it.
#[test]
fn every_flipped_bit_under_a_right_checksum_is_an_error_or_a_block() {
    for block in blocks() {
        let whole = block.encode();
        for bit in 0..(whole.len() - 4) * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            reseal(&mut bytes);
            if let Ok(decoded) = RollupBlock::decode(&bytes) {
                assert!(decoded.states.len() <= decoded.level.block_intervals() as usize);
                assert!(decoded.states.is_sorted_by(|a, b| a.0 < b.0));
                let again = decoded.encode();
                assert_eq!(RollupBlock::decode(&again).unwrap().encode(), again, "tag {} bit {bit}", block.tag_id);
            }
        }
    }
}

#[test]
fn each_field_of_a_block_is_checked() {
    let whole = frozen_block().encode();
    for (at, value, told) in [
        (0, b'X', "magic"),
        (4, 2, "version"),
        (5, 0, "level"),
        (5, 4, "level"),
        (6, 8, "value type"),
        (7, 1, "reserved byte"),
        (20, 2, "number of states"),
        (20, 4, "number of states"),
        (24, 1, "number of an interval"), // not below the next one
        (24 + 188 * 2, 168, "number of an interval"),
        (28, 0x2F, "flags of a state"), // an extreme occurs again, and it is not known
        (28, 0x9F, "flags of a state"),
        (6, 6, "flags of a state"), // text has none
    ] {
        let mut bytes = whole.clone();
        bytes[at] = value;
        reseal(&mut bytes);
        let error = RollupBlock::decode(&bytes).expect_err(told);
        assert_eq!(error.what, told, "{error}");
    }
}
