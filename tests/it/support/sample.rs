//! A small store whose every value is known: one tag of each type, over the end of summer time in Central Europe.

use historian_proto::v1::{
    BoolColumn, DoubleColumn, FloatColumn, SignedColumn, StateColumn, StringColumn, Tag, TagSamples, UnsignedColumn, ValueType, Values,
    WriteRequest, values::Column,
};
use tempfile::TempDir;

use super::{
    door::Door,
    historian::{Historian, serve},
};

/// 2025-10-26T00:00:00Z in nanoseconds: two in the morning in Berlin, an hour before the clocks are put back.
const START: i64 = 1_761_436_800_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// Moments of the six samples of each tag, the second with all digits of nanoseconds: 02:00, 02:30, 02:00 again, 02:30 again, 03:00 and
/// 03:30 in Berlin.
pub const TIMES: [i64; 6] =
    [START, START + 30 * MINUTE + 123_456_789, START + 60 * MINUTE, START + 90 * MINUTE, START + 120 * MINUTE, START + 150 * MINUTE];

/// Good twice, Uncertain, Bad without a value (`BadNoCommunication` of a device), Bad with one, Good.
pub const QUALITIES: [u32; 6] = [0, 0, 0x4000_0000, 0x808C_0000, 0x8000_0000, 0];

/// The fourth sample has no value.
const NULL: u32 = 3;

/// A historian on a store with the tags `types/f64`, `types/f32`, `types/i64`, `types/u64`, `types/bool`, `types/string` and `types/state`
/// (off, on, fault).
pub fn every_type() -> (Historian, TempDir) {
    let directory = TempDir::new().expect("a temporary directory");
    let historian = serve(&directory.path().join("data"), &[]);
    write_every_type(&Door::to(&historian));
    (historian, directory)
}

pub fn write_every_type(door: &Door) {
    let texts = ["on", "Grüße, 世界", "", "", "it's", "a \"quoted\" text"].map(str::to_owned).to_vec();
    let tags = [
        ("f64", ValueType::F64, Column::F64(DoubleColumn { values: vec![1.5, -2.25, 1e300, 0.0, 7.0, 5e-324] })),
        ("f32", ValueType::F32, Column::F32(FloatColumn { values: vec![1.5, 0.1, -3e38, 0.0, 7.0, f32::from_bits(1)] })),
        ("i64", ValueType::I64, Column::I64(SignedColumn { values: vec![1, -1, i64::MIN, 0, 7, i64::MAX] })),
        ("u64", ValueType::U64, Column::U64(UnsignedColumn { values: vec![1, 1 << 63, 42, 0, 7, u64::MAX] })),
        ("bool", ValueType::Bool, Column::Bool(BoolColumn { values: vec![true, false, true, false, false, true] })),
        ("string", ValueType::String, Column::String(StringColumn { values: texts })),
        ("state", ValueType::State, Column::State(StateColumn { values: vec![0, 1, 2, 0, 1, 2] })),
    ];
    for (name, value_type, column) in tags {
        let name = format!("types/{name}");
        let state_set = if value_type == ValueType::State { ["off", "on", "fault"].map(str::to_owned).to_vec() } else { Vec::new() };
        door.create(Tag { name: name.clone(), value_type: value_type.into(), state_set, unit: "bar".into(), ..Tag::default() });
        let samples = TagSamples {
            tag: name,
            timestamps: TIMES.to_vec(),
            values: Some(Values { column: Some(column) }),
            qualities: QUALITIES.to_vec(),
            nulls: vec![NULL],
        };
        let answer = door.write(WriteRequest::default(), vec![samples]);
        assert_eq!((answer.samples, answer.failures.len()), (6, 0), "{answer:?}");
    }
}
