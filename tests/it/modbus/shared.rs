//! One register in several tags, several tags that must not share a request, and states with names.

use historian::model::{Value, ValueType};

use super::{
    build,
    device::{Answer, Device},
    eventually, start,
};

/// Two registers, read in many ways at once.
const SHARED: [(&str, &str, Value); 10] = [
    ("abcd", "address = \"holding:2\"\nformat = \"u32\"", Value::U64(0x4248_0001)),
    ("cdab", "address = \"holding:2\"\nformat = \"u32\"\nword_order = \"CDAB\"", Value::U64(0x0001_4248)),
    ("float", "address = \"holding:2\"\nformat = \"f32\"", Value::F32(f32::from_bits(0x4248_0001))),
    ("slow", "address = \"holding:2\"\nformat = \"u32\"\nscan_ms = 300", Value::U64(0x4248_0001)),
    ("again", "address = \"holding:2\"\nformat = \"u32\"", Value::U64(0x4248_0001)),
    ("exact", "address = \"holding:2\"\nformat = \"u32\"\nscale = 1000\noffset = 1\ntype = \"i64\"", Value::I64(1_112_014_849_001)),
    ("bit", "address = \"holding:3.0\"", Value::Bool(true)),
    ("high_bit", "address = \"holding:2.30\"\nformat = \"u32\"", Value::Bool(true)),
    ("field", "address = \"holding:2.24-31\"\nformat = \"u32\"", Value::U64(0x42)),
    ("byte", "address = \"holding:2\"\nformat = \"u8-low\"", Value::U64(0x48)),
];

fn text(port: u16, device: &str, tags: &[(&str, &str, Value)]) -> String {
    let mut text = format!("name = \"d\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\n{device}");
    for (name, table, _) in tags {
        text += &format!("[[tag]]\nname = \"{name}\"\n{table}\n");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_registers_are_read_in_several_ways_in_one_request() {
    // Bits of a float are not read; those of the integers beside it are.
    let without_float: Vec<_> = SHARED.into_iter().filter(|(name, ..)| *name != "float").collect();
    let parts = ["bit", "high_bit", "field", "byte"];
    let whole: Vec<_> = SHARED.into_iter().filter(|(name, ..)| !parts.contains(name)).collect();
    for tags in [without_float, whole] {
        let device = Device::holding(vec![0, 0, 0x4248, 0x0001]).await;
        let mut running = start(&text(device.port, "", &tags));
        eventually("polls", || tags.iter().all(|(name, ..)| running.count(name) >= 3)).await;
        running.stop().await;
        for (name, table, value) in &tags {
            let samples = running.samples(name);
            assert!(samples.iter().all(|(_, found, quality)| found.as_ref() == Some(value) && quality.is_good()), "{table}: {samples:?}");
        }
        // One request a poll for the fast tags, one for the slow one, and those of the last poll.
        let polls = running.polls();
        assert!(device.requests() <= polls + 2, "{} requests in {polls} polls", device.requests());
    }
}

const ALONE: [(&str, &str, Value); 3] = [
    ("one", "address = \"holding:1\"", Value::U64(11)),
    ("two", "address = \"holding:2\"", Value::U64(12)),
    ("three", "address = \"holding:3\"", Value::U64(13)),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_answers_only_the_first_register_right_is_asked_for_one_tag_at_a_time() {
    let of_tags = ALONE.map(|(name, table, value)| (name, format!("{table}\nread_single = true"), value));
    let of_tags = of_tags.each_ref().map(|(name, table, value)| (*name, table.as_str(), value.clone()));
    for (device_key, tags) in [("read_single = true\n", &ALONE), ("", &of_tags)] {
        let device = Device::holding(vec![10, 11, 12, 13]).await;
        device.behave(|_| Answer::FirstOnly);
        let mut running = start(&text(device.port, device_key, tags));
        eventually("polls", || tags.iter().all(|(name, ..)| running.count(name) >= 3)).await;
        running.stop().await;
        for (name, _, value) in tags {
            assert!(running.samples(name).iter().all(|(_, found, _)| found.as_ref() == Some(value)), "{name}");
        }
    }
    // Without it the second and third are zeros, which nothing tells from a value.
    let device = Device::holding(vec![10, 11, 12, 13]).await;
    device.behave(|_| Answer::FirstOnly);
    let running = start(&text(device.port, "", &ALONE));
    eventually("a poll", || running.count("three") >= 1).await;
    assert_eq!(running.last("three").and_then(|(_, value, _)| value), Some(Value::U64(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_have_names_and_what_has_none_keeps_its_number() {
    let tags = [
        ("list", "address = \"holding:0\"\nstate_set = [\"off\", \"on\"]", Value::State(1)),
        ("numbered", "address = \"holding:1\"\nstate_set = \"0=off|1=on|7=fault\"", Value::State(7)),
        ("unlisted", "address = \"holding:2\"\nstate_set = \"0=off|1=on|7=fault\"", Value::State(9)),
        ("within", "address = \"holding:3\"\nstate_set = \"0=off|1=on|7=fault\"", Value::State(3)),
        ("bits", "address = \"holding:4.4-6\"\nstate_set = \"0=idle|5=run\"", Value::State(5)),
        ("coil", "address = \"coil:1\"\nstate_set = \"closed|open\"", Value::State(1)),
    ];
    let device = Device::holding(vec![1, 7, 9, 3, 0x00D0]).await;
    let text = text(device.port, "", &tags);
    let collector = build(&text);
    let mut running = start(&text);
    eventually("polls", || tags.iter().all(|(name, ..)| running.count(name) >= 2)).await;
    running.stop().await;
    let numbered = ["off", "on", "2", "3", "4", "5", "6", "fault"].map(str::to_owned);
    for ((name, table, value), definition) in tags.iter().zip(collector.tags()) {
        assert_eq!(definition.value_type, ValueType::State, "{table}");
        assert!(running.samples(name).iter().all(|(_, found, quality)| found.as_ref() == Some(value) && quality.is_good()), "{table}");
        match *name {
            "list" => assert_eq!(definition.state_set, ["off", "on"]),
            "coil" => assert_eq!(definition.state_set, ["closed", "open"]),
            "bits" => assert_eq!(definition.state_set, ["idle", "1", "2", "3", "4", "run"]),
            _ => assert_eq!(definition.state_set, numbered),
        }
    }
}
