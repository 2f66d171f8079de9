//! What other projects expect of registers (`tests/conformance/modbus`), read by the collector from a device that has their words.

use std::collections::BTreeMap;

use historian::model::Value;
use serde_json::Value as Json;

use super::{device::Device, eventually, start};

const VECTORS: &str = include_str!("../../conformance/modbus/vectors.json");

/// How a case is asked for, or why the configuration cannot.
enum Asked {
    /// Keys of its tag, beside name and address.
    Keys(String),
    /// These bits of its registers one by one, counted on from register to register, and keys.
    Bits(Vec<u64>, String),
    /// Several bits as one value, and keys.
    Field(&'static str, &'static str),
    Apart(&'static str),
}

fn asked(case: &Json) -> Asked {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    let (kind, order, note, words) = (text("type"), text("order"), text("note"), case["words"].as_array().unwrap());
    let mut keys = String::new();
    match kind {
        "bool" => return Asked::Keys(keys),
        // The bits of a register whose bytes are swapped are numbered after the swap.
        "bit" => return Asked::Bits(vec![case["bit"].as_u64().unwrap()], format!("word_order = \"{order}\"\n")),
        // The byte on the right comes first, and of several registers the one that the order has first.
        "bits" => {
            let registers = words.len() as u64;
            let last = (registers - 1) * u64::from(order == "CDAB");
            let bits = (0..registers).flat_map(|register| (0..16).map(move |place| register.abs_diff(last) * 16 + (place ^ 8)));
            return Asked::Bits(bits.collect(), String::new());
        }
        // Whether any of the bits 1 and 2 is set.
        "mask" => return Asked::Field("1-2", "type = \"bool\"\n"),
        "ipv4" | "ipv6" | "eui48" => return Asked::Keys(format!("format = \"{kind}\"\nnot_available = \"sunspec\"\n")),
        "string" if note.contains("cp437") => return Asked::Apart("a text in a code page"),
        "string" if is_none(case) => keys += &format!("format = \"string:{}\"\nnot_available = \"sunspec\"\n", words.len()),
        "string" => keys += &format!("format = \"string:{}\"\n", words.len()),
        _ => keys += &format!("format = \"{kind}\"\n"),
    }
    // Registers of a text are in order; what others call DCBA there swaps the bytes.
    let order = if kind == "string" && order == "DCBA" { "BADC" } else { order };
    keys += &format!("word_order = \"{order}\"\n");
    if let Some(scale) = case["scale"].as_f64() {
        keys += &format!("scale = {scale:?}\n");
    } else if text("output") == "FLOAT64" {
        keys += "type = \"f64\"\n";
    } else if text("output") == "UINT64" && kind.starts_with('i') && case["expected"].as_f64() > Some(i64::MAX as f64) {
        return Asked::Apart("a negative number as u64");
    }
    if is_none(case) && kind != "string" && !note.starts_with("NaN") {
        let raw = words.iter().fold(0_u64, |raw, word| raw << 16 | u64::from(hex(word)));
        keys += &match kind {
            "f32" if note.starts_with("sentinel") => format!("not_available = {:?}\n", f64::from(f32::MIN)),
            "f32" => String::new(), // NaN, which is never a value
            // All of SunSpec's but those of accumulators, whose 0 is a good value of other points.
            _ if text("source").contains("pysunspec2") && !text("name").starts_with("acc") => "not_available = \"sunspec\"\n".to_owned(),
            _ => format!("not_available = \"{raw:#x}\"\n"),
        };
    }
    Asked::Keys(keys)
}

fn hex(word: &Json) -> u16 {
    u16::from_str_radix(word.as_str().unwrap(), 16).unwrap()
}

/// True when the registers mean "no value", also where the source makes that a number.
fn is_none(case: &Json) -> bool {
    let note = case["note"].as_str().unwrap_or_default();
    case["expected"].is_null() || note.contains("no value") || note.starts_with("NaN") || note.starts_with("sentinel")
}

fn agrees(case: &Json, expected: &Json, found: Option<&Value>) -> bool {
    let Some(found) = found else { return is_none(case) };
    let number = match found {
        // Others write all the digits of an IPv6 address, four bytes together.
        Value::String(text) if case["type"] == "ipv6" => {
            let bits = expected.as_str().and_then(|digits| u128::from_str_radix(&digits.replace(':', ""), 16).ok());
            return bits.is_some() && text.parse::<std::net::Ipv6Addr>().ok().map(u128::from) == bits;
        }
        Value::String(text) => return expected.as_str() == Some(text),
        Value::Bool(value) => return expected.as_bool().or(expected.as_f64().map(|number| number != 0.0)) == Some(*value),
        // Digit by digit, as far as the source has an integer too.
        Value::I64(value) if expected.is_i64() => return expected.as_i64() == Some(*value),
        Value::U64(value) if expected.is_u64() => return expected.as_u64() == Some(*value),
        Value::I64(value) => *value as f64,
        Value::U64(value) => *value as f64,
        Value::F32(value) => f64::from(*value),
        Value::F64(value) => *value,
        Value::State(_) => panic!("no case asks for a state"),
    };
    let Some(wanted) = expected.as_f64() else { return false };
    // Others scale in doubles, and what a float of 32 bits is to them has 53. Some round what they tell.
    let rounded = case["note"].as_str().is_some_and(|note| note.contains("rounded"));
    let is_short = matches!(case["type"].as_str(), Some("f16" | "f32"));
    let tolerance = if rounded { 5.1e-7 } else { wanted.abs() * if is_short { 6e-8 } else { 4e-16 } };
    !is_none(case) && (number - wanted).abs() <= tolerance
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registers_are_read_as_other_projects_read_them() {
    let cases: Vec<Json> = serde_json::from_str(VECTORS).unwrap();
    let (mut contents, mut tags, mut text, mut apart) = (Vec::new(), Vec::new(), String::new(), BTreeMap::<_, usize>::new());
    for (number, case) in cases.iter().enumerate() {
        let (area, address) = (case["area"].as_str().unwrap(), contents.len());
        contents.extend(case["words"].as_array().unwrap().iter().map(hex));
        let mut tag = |place: usize, at: String, keys: &str, expected: &Json| {
            let name = format!("v{number}/{place}");
            text += &format!("[[tag]]\nname = \"{name}\"\naddress = \"{area}:{at}\"\n{keys}");
            tags.push((name, case.clone(), expected.clone()));
        };
        match asked(case) {
            Asked::Apart(reason) => *apart.entry(reason).or_default() += 1,
            Asked::Keys(keys) => tag(0, address.to_string(), &keys, &case["expected"]),
            Asked::Field(bits, keys) => tag(0, format!("{address}.{bits}"), keys, &case["expected"]),
            Asked::Bits(bits, keys) => {
                let expected = case["expected"].as_array().cloned().unwrap_or_else(|| vec![case["expected"].clone()]);
                assert_eq!(bits.len(), expected.len(), "{case}");
                for (place, (bit, expected)) in bits.iter().zip(&expected).enumerate() {
                    let register = address + *bit as usize / 16;
                    tag(place, format!("{register}.{}", bit % 16), &keys, expected);
                }
            }
        }
    }
    let device = Device::holding(contents).await;
    let head = format!("name = \"vectors\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 500\n", device.port);
    let mut running = start(&(head + &text));
    eventually("a sample of every tag", || tags.iter().all(|(name, ..)| running.count(name) > 0)).await;
    running.stop().await;

    let (mut differ, mut cut, mut doubled) = (Vec::new(), 0, 0);
    for (name, case, expected) in &tags {
        let (_, value, quality) = running.samples(name).swap_remove(0);
        assert_eq!(quality.is_good(), value.is_some(), "{case}: {value:?} {quality:?}");
        if !agrees(case, expected, value.as_ref()) {
            // In two ways the source is wrong: it keeps a scaled value in the type of the registers, and lets a u64 through a double.
            match value {
                Some(Value::F64(value)) if case["note"] == "scaled result kept in the input type (truncated)" => {
                    assert_eq!(Some(value.trunc()), expected.as_f64(), "{case}");
                    cut += 1;
                }
                Some(Value::U64(value)) if expected.as_u64() == Some(value as f64 as u64) => doubled += 1,
                _ => differ.push(format!("{case}: {value:?}")),
            }
        }
    }
    assert!(differ.is_empty(), "{} of {} differ:\n{}", differ.len(), tags.len(), differ.join("\n"));
    let apart_expected = [("a negative number as u64", 6), ("a text in a code page", 2)];
    assert_eq!(apart, BTreeMap::from(apart_expected));
    assert_eq!((cases.len(), tags.len(), cut, doubled), (790, 1084, 5, 3));
}
