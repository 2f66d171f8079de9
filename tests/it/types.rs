//! Every value type through every door, bit for bit: gRPC and DoPut in; gRPC and Flight, range and current out; from heads, from compacted
//! chunks, and after a kill.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
        UInt32Array, UInt64Array,
    },
    compute::cast,
    datatypes::{DataType, Decimal128Type, Float64Type, TimestampNanosecondType, UInt32Type},
};
use historian_proto::v1::{
    BoolColumn, DoubleColumn, FloatColumn, SignedColumn, StateColumn, StringColumn, Tag, TagSamples, UnsignedColumn, ValueType, Values,
    WriteRequest, values::Column,
};

use crate::support::{
    door::{Bits, Door, Row, of_batch},
    historian::serve,
};

const START: i64 = 1_790_000_000_000_000_000;
/// More than one chunk of background compaction holds densely, all of it in the head at first.
const SAMPLES: usize = 5_000;
const STATES: [&str; 3] = ["angehalten", "läuft", "gestört ✗"];
const TYPES: [ValueType; 7] =
    [ValueType::F64, ValueType::F32, ValueType::I64, ValueType::U64, ValueType::Bool, ValueType::String, ValueType::State];

fn name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::F64 => "f64",
        ValueType::F32 => "f32",
        ValueType::I64 => "i64",
        ValueType::U64 => "u64",
        ValueType::Bool => "bool",
        ValueType::String => "string",
        ValueType::State => "state",
        ValueType::Unspecified => unreachable!(),
    }
}

fn arrow_type(value_type: ValueType) -> DataType {
    match value_type {
        ValueType::F64 => DataType::Float64,
        ValueType::F32 => DataType::Float32,
        ValueType::I64 => DataType::Int64,
        ValueType::U64 => DataType::UInt64,
        ValueType::Bool => DataType::Boolean,
        ValueType::String => DataType::Utf8,
        _ => DataType::UInt32,
    }
}

/// Value `n` of a type: every special one first, then something like a signal with the special ones strewn in. The last is a special one.
fn value(value_type: ValueType, n: usize) -> Bits {
    let n = if n == SAMPLES - 1 { 0 } else { n };
    let special = n < 16 || n % 37 < 5;
    let pick = |list: &[u64]| list[n % list.len()];
    let wave = (n as f64 * 0.01).sin() * 40.0;
    Bits::Word(match (value_type, special) {
        (ValueType::F64, true) => pick(&[
            0x7FF8_0000_0000_1234, // a NaN with a payload
            0xFFF0_0000_0000_0001, // a signalling one
            (-0.0_f64).to_bits(),
            0,
            f64::INFINITY.to_bits(),
            f64::NEG_INFINITY.to_bits(),
            1, // the smallest of all
            f64::MAX.to_bits(),
            f64::MIN.to_bits(),
            u64::MAX,
        ]),
        (ValueType::F64, false) => (wave * 100.0).round().to_bits() ^ u64::from(n % 3 == 0),
        (ValueType::F32, true) => {
            pick(&[0x7FC0_1234, 0xFF80_0001, 0x8000_0000, 0, 0x7F80_0000, 0xFF80_0000, 1, 0x7F7F_FFFF, 0xFF7F_FFFF, 0xFFFF_FFFF])
        }
        (ValueType::F32, false) => (wave as f32).to_bits().into(),
        (ValueType::I64, true) => pick(&[i64::MIN as u64, i64::MAX as u64, 0, u64::MAX, i64::MIN as u64 + 1]),
        (ValueType::I64, false) => (n as i64 * 1_000 - 7) as u64,
        (ValueType::U64, true) => pick(&[u64::MAX, 0, 1 << 63, (1 << 53) + 1, 1]),
        (ValueType::U64, false) => n as u64 * 3,
        (ValueType::Bool, _) => u64::from(n % 5 < 2),
        (ValueType::State, true) => pick(&[u64::from(u32::MAX), 0, 1, 2]),
        (ValueType::State, false) => (n / 50 % 3) as u64,
        (_, true) => return Bits::Text(["größer ✓ 日本語 👷", "", "a\u{0}b", " ", "\u{FEFF}x\n"][n % 5].to_owned() + &"ß".repeat(n % 300)),
        (_, false) => return Bits::Text(format!("Charge {}", n / 10)),
    })
}

fn rows(value_type: ValueType) -> Vec<Row> {
    let row = |n: usize| {
        // Irregular and regular stretches, equal and different qualities.
        let at = START + n as i64 * 1_000_000_000 + if (n / 500).is_multiple_of(2) { 0 } else { (n * n % 977) as i64 };
        let null = n % 53 == 20;
        let quality = match n {
            _ if null => 0x8031_0000,
            _ if n % 29 < 3 => 0x4094_0000,
            _ if n.is_multiple_of(701) => 0x8089_0000, // Bad, and still with a value
            _ => 0,
        };
        (at, (!null).then(|| value(value_type, n)), quality)
    };
    (0..SAMPLES).map(row).collect()
}

fn words(rows: &[Row]) -> impl Iterator<Item = u64> {
    rows.iter().map(|row| match &row.1 {
        Some(Bits::Word(word)) => *word,
        _ => 0,
    })
}

fn texts(rows: &[Row]) -> impl Iterator<Item = Option<&str>> {
    rows.iter().map(|row| match &row.1 {
        Some(Bits::Text(text)) => Some(text.as_str()),
        _ => None,
    })
}

fn by_grpc(tag: &str, value_type: ValueType, rows: &[Row]) -> TagSamples {
    let column = match value_type {
        ValueType::F64 => Column::F64(DoubleColumn { values: words(rows).map(f64::from_bits).collect() }),
        ValueType::F32 => Column::F32(FloatColumn { values: words(rows).map(|word| f32::from_bits(word as u32)).collect() }),
        ValueType::I64 => Column::I64(SignedColumn { values: words(rows).map(|word| word as i64).collect() }),
        ValueType::U64 => Column::U64(UnsignedColumn { values: words(rows).collect() }),
        ValueType::Bool => Column::Bool(BoolColumn { values: words(rows).map(|word| word == 1).collect() }),
        ValueType::State => Column::State(StateColumn { values: words(rows).map(|word| word as u32).collect() }),
        _ => Column::String(StringColumn { values: texts(rows).map(|text| text.unwrap_or("no value").to_owned()).collect() }),
    };
    TagSamples {
        tag: tag.to_owned(),
        timestamps: rows.iter().map(|row| row.0).collect(),
        values: Some(Values { column: Some(column) }),
        qualities: rows.iter().map(|row| row.2).collect(),
        nulls: (0..).zip(rows).filter(|(_, row)| row.1.is_none()).map(|(index, _)| index).collect(),
    }
}

fn by_flight(tag: &str, value_type: ValueType, rows: &[Row]) -> RecordBatch {
    let present = |index: usize, word: u64| rows[index].1.is_some().then_some(word);
    let words = || words(rows).enumerate().map(|(index, word)| present(index, word));
    let values: ArrayRef = match value_type {
        ValueType::F64 => Arc::new(words().map(|word| word.map(f64::from_bits)).collect::<Float64Array>()),
        ValueType::F32 => Arc::new(words().map(|word| word.map(|word| f32::from_bits(word as u32))).collect::<Float32Array>()),
        ValueType::I64 => Arc::new(words().map(|word| word.map(|word| word as i64)).collect::<Int64Array>()),
        ValueType::U64 => Arc::new(words().collect::<UInt64Array>()),
        ValueType::Bool => Arc::new(words().map(|word| word.map(|word| word == 1)).collect::<BooleanArray>()),
        ValueType::State => Arc::new(words().map(|word| word.map(|word| word as u32)).collect::<UInt32Array>()),
        _ => Arc::new(texts(rows).collect::<StringArray>()),
    };
    let columns: [(&str, ArrayRef); 4] = [
        ("tag", Arc::new(StringArray::from(vec![tag; rows.len()]))),
        ("timestamp", Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC"))),
        ("value", values),
        ("quality", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.2)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn equal(what: &str, found: &[Row], expected: &[Row]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    if let Some(index) = (0..found.len()).find(|index| found[*index] != expected[*index]) {
        panic!("{what}, sample {index}: {:?} instead of {:?}", found[index], expected[index]);
    }
}

fn check(door: &Door, when: &str, expected: &BTreeMap<(String, ValueType), Vec<Row>>) {
    for ((tag, value_type), expected) in expected {
        equal(&format!("{when}, {tag} over gRPC"), &door.range(tag), expected);
        let ticket = format!(r#"{{"range": {{"tags": ["{tag}"], "start": {START}, "end": {}}}}}"#, i64::MAX);
        let batches = door.fetch(&ticket).unwrap();
        let found: Vec<Row> = batches.iter().flat_map(of_batch).map(|(_, row)| row).collect();
        equal(&format!("{when}, {tag} over Flight"), &found, expected);
        let last = &expected[expected.len() - 1..];
        equal(&format!("{when}, current {tag} over gRPC"), &door.current(tag).into_iter().collect::<Vec<_>>(), last);
        let batches = door.fetch(&format!(r#"{{"current": {{"tags": ["{tag}"]}}}}"#)).unwrap();
        let found: Vec<Row> = batches.iter().flat_map(of_batch).map(|(_, row)| row).collect();
        equal(&format!("{when}, current {tag} over Flight"), &found, last);
        for schema in [Arc::new(door.schema(&ticket)), batches[0].schema()] {
            let field = schema.field_with_name("value").unwrap();
            assert_eq!(*field.data_type(), arrow_type(*value_type), "{when}, {tag}");
            assert_eq!(field.metadata()["value_type"], name(*value_type));
            let described: serde_json::Value = serde_json::from_str(&schema.metadata()["tags"]).unwrap();
            if *value_type == ValueType::State {
                let names = serde_json::json!(STATES);
                assert_eq!(serde_json::from_str::<serde_json::Value>(&field.metadata()["state_set"]).unwrap(), names);
                assert_eq!(described[tag]["state_set"], names);
            } else {
                assert!(!field.metadata().contains_key("state_set") && described[tag].get("state_set").is_none());
            }
        }
    }
}

/// The rows of an answer over tags of all types, each value taken from the columns that hold it.
fn restored(batches: &[RecordBatch], typed: &BTreeMap<String, ValueType>) -> BTreeMap<String, Vec<Row>> {
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("a column {name}"));
        let tags = cast(column("tag"), &DataType::Utf8).unwrap();
        let (tags, times) = (tags.as_string::<i32>(), column("timestamp").as_primitive::<TimestampNanosecondType>());
        let (values, qualities) = (column("value").as_primitive::<Float64Type>(), column("quality").as_primitive::<UInt32Type>());
        let (texts, integers) = (column("text").as_string::<i32>(), column("integer").as_primitive::<Decimal128Type>());
        assert_eq!(column("integer").data_type(), &DataType::Decimal128(20, 0));
        for row in 0..batch.num_rows() {
            let value_type = typed[tags.value(row)];
            let number = values.is_valid(row).then(|| values.value(row));
            let (text, integer) = (texts.is_valid(row).then(|| texts.value(row)), integers.is_valid(row).then(|| integers.value(row)));
            assert_eq!(integer.is_some(), number.is_some() && matches!(value_type, ValueType::I64 | ValueType::U64));
            assert!(value_type == ValueType::String || text.is_none(), "a text for a number");
            assert!(value_type != ValueType::String || number.is_none(), "a number for a text");
            if let (Some(integer), Some(number)) = (integer, number) {
                assert_eq!((integer as f64).to_bits(), f64::to_bits(number), "the nearest number");
            }
            let narrowed = |number: f64| {
                // By the bits, so that a signalling NaN stays one.
                let bits = number.to_bits();
                let nan = (bits >> 63 << 31 | 0xFF << 23 | bits >> 29 & 0x007F_FFFF) as u32;
                u64::from(if number.is_nan() { nan } else { (number as f32).to_bits() })
            };
            let value = match value_type {
                ValueType::String => text.map(|text| Bits::Text(text.to_owned())),
                ValueType::F64 => number.map(|number| Bits::Word(number.to_bits())),
                ValueType::F32 => number.map(|number| Bits::Word(narrowed(number))),
                ValueType::I64 => integer.map(|integer| Bits::Word(i64::try_from(integer).unwrap() as u64)),
                ValueType::U64 => integer.map(|integer| Bits::Word(u64::try_from(integer).unwrap())),
                _ => number.map(|number| Bits::Word(number as u64)),
            };
            rows.entry(tags.value(row).to_owned()).or_default().push((times.value(row), value, qualities.value(row)));
        }
    }
    rows
}

/// Tags of all types at once: numbers are numbers, texts and integers have columns of their own, and nothing is lost.
fn check_mixed(door: &Door, when: &str, expected: &BTreeMap<(String, ValueType), Vec<Row>>) {
    let typed: BTreeMap<String, ValueType> = expected.keys().cloned().collect();
    let ticket = format!(r#"{{"range": {{"tags": ["**"], "start": {START}, "end": {}, "types": true}}}}"#, i64::MAX);
    let batches = door.fetch(&ticket).unwrap();
    let names: Vec<String> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["tag", "timestamp", "value", "quality", "text", "integer", "type"]);
    for batch in &batches {
        let text = |name: &str| cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        let (tags, types) = (text("tag"), text("type"));
        let rows = 0..batch.num_rows();
        assert!(rows.into_iter().all(|row| types.as_string::<i32>().value(row) == name(typed[tags.as_string::<i32>().value(row)])));
    }
    let found = restored(&batches, &typed);
    for ((tag, _), expected) in expected {
        equal(&format!("{when}, {tag} among all types"), &found[tag], expected);
    }
    let current = restored(&door.fetch(r#"{"current": {"tags": ["**"]}}"#).unwrap(), &typed);
    for ((tag, _), expected) in expected {
        equal(&format!("{when}, current {tag} among all types"), &current[tag], &expected[expected.len() - 1..]);
    }
    // The selection alone decides, also where there is no sample.
    let none = door.schema(r#"{"range": {"tags": ["null/f64", "null/string"], "start": 0, "end": "1ns"}}"#);
    let names: Vec<&str> = none.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["tag", "timestamp", "value", "quality", "text"]);
    let alone = door.schema(r#"{"range": {"tags": ["null/u64"], "start": 0, "end": "1ns", "among": ["STRING", "U64"]}}"#);
    assert_eq!(alone.fields().len(), 6);
    // In the wide layout every tag keeps its type.
    let wide = door.schema(&format!(r#"{{"range": {{"tags": ["flight/*"], "start": {START}, "layout": "WIDE"}}}}"#));
    for value_type in TYPES {
        assert_eq!(*wide.field_with_name(&format!("flight/{}", name(value_type))).unwrap().data_type(), arrow_type(value_type));
    }
}

#[test]
fn every_value_type_survives_every_door_and_every_place_bit_for_bit() {
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("historian.toml");
    std::fs::write(&configuration, "[storage]\nhead_samples_max = 65536\nfuture_max_s = 0\n").unwrap();
    let data = directory.path().join("data");
    let arguments = ["--config", configuration.to_str().unwrap()];
    let mut historian = serve(&data, &arguments);
    let door = Door::to(&historian);
    let mut expected = BTreeMap::new();
    for value_type in TYPES {
        let rows = rows(value_type);
        let options = WriteRequest { create_tags: true, ..WriteRequest::default() };
        // A tag whose last and only sample has no value: its current value is that.
        let tags = [("grpc", rows.clone()), ("flight", rows.clone()), ("null", vec![(START, None, 0x8031_0000)])];
        for (door_name, rows) in tags {
            let tag = format!("{door_name}/{}", name(value_type));
            if value_type == ValueType::State {
                let state_set = STATES.map(str::to_owned).to_vec();
                door.create(Tag { name: tag.clone(), value_type: value_type.into(), state_set, ..Tag::default() });
            }
            if door_name == "flight" {
                let acknowledged = door.do_put(br#"{"write": {"create_tags": true}}"#, by_flight(&tag, value_type, &rows)).unwrap();
                let acknowledged: serde_json::Value = serde_json::from_slice(&acknowledged).unwrap();
                assert_eq!(acknowledged["samples"], rows.len().to_string(), "{tag}: {acknowledged}");
            } else {
                let answer = door.write(options, vec![by_grpc(&tag, value_type, &rows)]);
                assert_eq!((answer.samples, answer.failures.len()), (rows.len() as u64, 0), "{tag}: {:?}", answer.failures);
            }
            expected.insert((tag, value_type), rows);
        }
    }
    check(&door, "from heads", &expected);
    check_mixed(&door, "from heads", &expected);
    historian.kill();
    let mut historian = serve(&data, &arguments);
    let door = Door::to(&historian);
    check(&door, "from the journal after a kill", &expected);
    door.compact();
    check(&door, "compacted", &expected);
    check_mixed(&door, "compacted", &expected);
    historian.kill();
    let historian = serve(&data, &arguments);
    check(&Door::to(&historian), "compacted, after a kill", &expected);
}
