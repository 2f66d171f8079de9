//! Raw values that mean "no value": Bad without a value, never a number.

use std::time::Duration;

use historian::model::{Quality, Value};

use super::{
    build,
    device::{Device, Framing},
    eventually, start,
};

/// Registers of the device hold their own address, so the addresses are the raw values.
const TAGS: [(&str, &str, Option<Value>); 19] = [
    ("i16_own", "address = \"holding:32768\"\nformat = \"i16\"\nnot_available = 0x8000", None),
    ("i16_scaled", "address = \"holding:32768\"\nformat = \"i16\"\nscale = 0.1\nnot_available = [-32768, -32767]", None),
    ("i16_device", "address = \"holding:32767\"\nformat = \"i16\"", None),
    ("i16_off", "address = \"holding:32767\"\nformat = \"i16\"\nnot_available = []", Some(Value::I64(32_767))),
    ("u16_device", "address = \"holding:65535\"", None),
    ("u16_other", "address = \"holding:32769\"", Some(Value::U64(32_769))),
    ("u32", "address = \"holding:100\"\nformat = \"u32\"\nnot_available = \"0x00640065\"", None),
    ("f32_nan", "address = \"holding:32704\"\nformat = \"f32\"", None),
    ("f64_nan", "address = \"holding:32760\"\nformat = \"f64\"\nscale = 2.0", None),
    ("f16_nan", "address = \"holding:32258\"\nformat = \"f16\"", None),
    (
        "f32_number",
        "address = \"holding:16256\"\nformat = \"f32\"\nnot_available = \"0x3F803F81\"",
        Some(Value::F32(f32::from_bits(0x3F80_3F81))),
    ),
    // All bits of a register are 1 for many a reason: of bits only SunSpec's lists and their own count.
    ("bit_device", "address = \"holding:65535.3\"", Some(Value::Bool(true))),
    ("bit_sunspec", "address = \"holding:65535.3\"\nnot_available = \"sunspec\"", None),
    ("field_own", "address = \"holding:65535.0-3\"\nnot_available = \"u16 0xFFFF\"", None),
    ("field_other", "address = \"holding:65519.0-3\"\nnot_available = \"u16 0xFFFF\"", Some(Value::U64(15))),
    ("bcd_number", "address = \"holding:39321\"\nformat = \"bcd16\"\nnot_available = 9999", None),
    ("bcd_bits", "address = \"holding:39320\"\nformat = \"bcd16\"\nnot_available = \"0x9998\"", None),
    ("text_empty", "address = \"holding:0\"\nformat = \"string:1\"\nnot_available = \"empty\"", None),
    ("f32_listed", "address = \"holding:16260\"\nformat = \"f32\"\nnot_available = [\"f32 0x3F843F85\", -9999.0]", None),
];

fn text(port: u16) -> String {
    let mut text = format!(
        "name = \"d\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\nnot_available = [\"i16 0x7FFF\", \"u16 0xFFFF\", \"f32 nan\"]\n"
    );
    for (name, table, _) in &TAGS {
        text += &format!("[[tag]]\nname = \"{name}\"\n{table}\n");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_sends_for_no_value_is_bad_and_null() {
    let device = Device::start(Framing::Tcp).await;
    let mut running = start(&text(device.port));
    eventually("polls", || running.count("u16_other") >= 4).await;
    let told = running.status.view().last_error;
    assert!(told.contains("not_available") || told.contains("NaN"), "{told}");
    let rows = build(&text(device.port)).check(Duration::from_secs(20)).await;
    running.stop().await;
    assert_eq!(rows.len(), TAGS.len());
    for ((name, table, expected), row) in TAGS.into_iter().zip(rows) {
        assert_eq!((row.value.as_ref(), row.quality.is_bad()), (expected.as_ref(), expected.is_none()), "{table}: {row:?}");
        let samples = running.samples(name);
        if let Some(value) = expected {
            let is_right = |sample: &(_, Option<Value>, Quality)| sample.1.as_ref() == Some(&value) && sample.2.is_good();
            assert!(!samples.is_empty() && samples.iter().all(is_right), "{name}: {samples:?}");
        } else {
            let seen: Vec<_> = samples.iter().map(|sample| (sample.1.clone(), sample.2)).collect();
            assert_eq!(seen, [(None, Quality::BAD_NO_DATA)], "{name}: one Bad sample stands until there is a value");
            assert!(row.error.contains("no value"), "{}", row.error);
        }
    }
}
