//! Scale factors that a device tells in registers of its own: read in the request of their value, and Bad where there is none.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use historian::model::{Quality, Value};

use super::{
    build,
    device::{Answer, Device},
    eventually, start,
};

const POWER: &str = "\nscale_from = \"holding:12\"";

/// Name, the rest of the table, and what is expected.
fn tags() -> Vec<(&'static str, String, Result<Value, Quality>)> {
    let tag = |name, table: &str, expected| (name, table.to_owned(), expected);
    vec![
        tag("tenth", &format!("address = \"holding:10\"\nformat = \"i16\"{POWER}"), Ok(Value::F64(-123.4))),
        tag("wide", &format!("address = \"holding:20\"\nformat = \"u32\"{POWER}"), Ok(Value::F64(6_553.7))),
        tag("float", &format!("address = \"holding:24\"\nformat = \"f32\"{POWER}"), Ok(Value::F64(0.15))),
        tag("scaled", &format!("address = \"holding:10\"\nformat = \"i16\"\nscale = 0.5\noffset = 1.0{POWER}"), Ok(Value::F64(-60.7))),
        tag("before", "address = \"holding:14\"\nformat = \"u16\"\nscale_from = \"holding:12\"", Ok(Value::F64(0.7))),
        tag("thousand", "address = \"holding:14\"\nformat = \"u16\"\nscale_from = \"holding:30\"", Ok(Value::F64(7_000.0))),
        tag(
            "times",
            "address = \"holding:14\"\nformat = \"u16\"\nscale_from = \"holding:32\"\nscale_from_kind = \"multiplier\"",
            Ok(Value::F64(1_750.0)),
        ),
        tag("no_factor", "address = \"holding:14\"\nformat = \"u16\"\nscale_from = \"holding:31\"", Err(Quality::BAD_NO_DATA)),
        tag("beyond", "address = \"holding:14\"\nformat = \"u16\"\nscale_from = \"holding:33\"", Err(Quality::BAD_OUT_OF_RANGE)),
        tag(
            "no_value",
            "address = \"holding:34\"\nformat = \"i16\"\nscale_from = \"holding:33\"\nnot_available = \"sunspec\"",
            Err(Quality::BAD_NO_DATA),
        ),
        tag(
            "swapped",
            "address = \"holding:36\"\nformat = \"i16\"\nword_order = \"BADC\"\nscale_from = \"holding:37\"",
            Ok(Value::F64(70.0)),
        ),
        tag("raw", "address = \"holding:12\"\nformat = \"i16\"", Ok(Value::I64(-1))),
    ]
}

fn contents() -> Vec<u16> {
    let mut contents = vec![0; 40];
    contents[10] = -1234_i16 as u16;
    contents[12] = -1_i16 as u16;
    contents[14] = 7;
    contents[20] = 1;
    contents[21] = 1;
    contents[24] = 0x3FC0; // 1.5
    contents[30] = 3;
    contents[31] = 0x8000;
    contents[32] = 250;
    contents[33] = 11;
    contents[34] = 0x8000;
    contents[36] = 0x0700;
    contents[37] = 0x0100;
    contents
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_and_its_scale_factor_come_in_one_request() {
    let device = Device::holding(contents()).await;
    let apart = Arc::new(AtomicU64::new(0));
    let seen = apart.clone();
    device.behave(move |request| {
        if request.touches(10) && !request.touches(12) {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Answer::Good
    });
    // Neither would be read along for the gaps between them.
    let mut text = format!("name = \"d\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\nmax_gap = 0\nmax_registers = 22\n", device.port);
    for (name, table, _) in tags() {
        text += &format!("[[tag]]\nname = \"{name}\"\n{table}\n");
    }
    let mut running = start(&text);
    eventually("polls", || running.count("raw") >= 4).await;
    let told = running.status.view().last_error;
    assert!(told.contains("scale factor") || told.contains("not_available"), "{told}");
    let rows = build(&text).check(std::time::Duration::from_secs(20)).await;
    running.stop().await;
    assert_eq!(apart.load(Ordering::SeqCst), 0, "a value was read without its factor");
    for ((name, table, expected), row) in tags().into_iter().zip(rows) {
        let samples = running.samples(name);
        match expected {
            Ok(value) => {
                assert!(
                    samples.len() >= 2 && samples.iter().all(|(_, found, quality)| found.as_ref() == Some(&value) && quality.is_good()),
                    "{table}: {samples:?}"
                );
                assert_eq!(row.value, Some(value), "{table}");
            }
            Err(quality) => {
                let seen: Vec<_> = samples.iter().map(|(_, value, quality)| (value.clone(), *quality)).collect();
                assert_eq!(seen, [(None, quality)], "{table}");
                assert_eq!((row.value, row.quality), (None, quality), "{table}: {}", row.error);
            }
        }
    }
}
