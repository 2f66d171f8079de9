//! The storage format: the targets of its own fuzz module, and rollups.

use historian_format::{
    CHUNK_HEADER_BYTES, Chunk, Samples, Value, ValueType, encode_chunk, fuzz, journal,
    rollup::{RollupBlock, RollupLevel, RollupState},
};

use super::Target;

macro_rules! target {
    ($constant:ident, $name:literal, $about:literal, $inputs:literal, $seeds:expr) => {
        pub const $constant: Target = Target {
            name: $name,
            about: $about,
            inputs: $inputs,
            run: |bytes| {
                fuzz::run($name, bytes);
                true
            },
            seeds: $seeds,
        };
    };
}

target!(CHUNK, "chunk", "a chunk, also with its checksums made right", 3_000, chunks);
target!(RECORD, "record", "a journal record, also with its checksum made right", 5_000, records);
target!(VALUES, "values", "a column of values of any codec", 10_000, || columns(Column::Values));
target!(TIMESTAMPS, "timestamps", "a column of timestamps", 10_000, || columns(Column::Timestamps));
target!(QUALITIES, "qualities", "a column of qualities", 10_000, || columns(Column::Qualities));
target!(INTEGERS, "integers", "packed integers", 10_000, || columns(Column::Timestamps));
target!(ROUND_TRIP, "round_trip", "samples made of bytes, encoded and decoded", 5_000, || columns(Column::Values));

pub const ROLLUP: Target = Target {
    name: "rollup",
    about: "a rollup block, also with its checksum made right",
    inputs: 20_000,
    run: |bytes| {
        let mut sealed = bytes.to_vec();
        if let Some((body, checksum)) = sealed.split_last_chunk_mut::<4>() {
            *checksum = crc32c::crc32c(body).to_le_bytes();
        }
        let _ = RollupBlock::decode(bytes);
        let Ok(block) = RollupBlock::decode(&sealed) else { return false };
        let written = block.encode();
        let again = RollupBlock::decode(&written).map(|block| block.encode());
        assert_eq!(again.ok(), Some(written), "a block is read as it was written");
        true
    },
    seeds: || {
        let block = |run: &Samples| {
            let states = vec![(0, RollupState::of(run, 0..60)?), (3, RollupState::of(run, 60..120)?)];
            Some(RollupBlock { tag_id: 7, value_type: run.value_type(), level: RollupLevel::Minute, start: 0, states }.encode())
        };
        runs().iter().filter_map(block).collect()
    },
};

/// Runs of every type, steady and not.
fn runs() -> Vec<Samples> {
    let mut runs = Vec::new();
    for value_type in ValueType::ALL {
        for uneven in [false, true] {
            let mut run = Samples::new(value_type);
            for row in 0..300_i64 {
                let at = 1_700_000_000_000_000_000 + row * 1_000_000_000 + if uneven { row * row % 977 * 1_003 } else { 0 };
                let number = if uneven { (row * 7_919) % 1_009 } else { row / 10 };
                let value = match value_type {
                    ValueType::F64 => Value::F64(number as f64 / 8.0),
                    ValueType::F32 => Value::F32(number as f32 / 3.0),
                    ValueType::I64 => Value::I64(number - 500),
                    ValueType::U64 => Value::U64(number.unsigned_abs() << 40),
                    ValueType::Bool => Value::Bool(number % 3 == 0),
                    ValueType::State => Value::State(number as u32 % 5),
                    ValueType::String => Value::String(format!("step {}", number % 11)),
                };
                let bad = uneven && row % 50 == 0;
                let _ = run.push(at, if bad { None } else { Some(&value) }, if bad { 0x8000_0000 } else { 0 });
            }
            runs.push(run);
        }
    }
    runs
}

fn chunks() -> Vec<Vec<u8>> {
    let chunk = |run: &Samples| {
        let mut bytes = Vec::new();
        encode_chunk(1, 1, run, &mut bytes).map(|()| bytes).ok()
    };
    runs().iter().filter_map(chunk).collect()
}

fn records() -> Vec<Vec<u8>> {
    let record = |run: &Samples| {
        let mut bytes = Vec::new();
        journal::encode_record([(1, run), (2, run)].into_iter(), &mut bytes).map(|()| bytes).ok()
    };
    runs().iter().filter_map(record).collect()
}

#[derive(Clone, Copy)]
enum Column {
    Timestamps,
    Values,
    Qualities,
}

/// Columns of chunks behind their count; of values, the place of a codec before that, each in its turn.
fn columns(column: Column) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (place, bytes) in chunks().iter().enumerate() {
        let Ok(chunk) = Chunk::parse(bytes) else { continue };
        let (header, count) = (chunk.header(), chunk.len() as u16);
        let timestamps = CHUNK_HEADER_BYTES + header.timestamps_bytes;
        let qualities = bytes.len() - header.qualities_bytes;
        let content = match column {
            Column::Timestamps => &bytes[CHUNK_HEADER_BYTES..timestamps],
            Column::Values => &bytes[timestamps..qualities],
            Column::Qualities => &bytes[qualities..],
        };
        let places = if matches!(column, Column::Values) { vec![vec![place as u8], vec![place as u8 + 14]] } else { vec![Vec::new()] };
        seeds.extend(places.into_iter().map(|place| [&place[..], &count.to_le_bytes(), content].concat()));
    }
    seeds
}
