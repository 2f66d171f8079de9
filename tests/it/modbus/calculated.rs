//! Tags that are calculated from others at the same poll: their values, and what becomes of them when an input has none.

use std::time::Duration;

use historian::model::{Quality, Value, sink::LossReason};

use super::{
    Running, build,
    device::{Answer, Device, Framing},
    eventually, start,
};

/// Name, the rest of the table, and what is expected.
const CALCULATED: &[(&str, &str, Result<Value, Quality>)] = &[
    ("power", "address = \"formula:{u} * {i}\"", Ok(Value::F64(115.05))),
    ("energy", "address = \"formula:{l1} + {l2} + {l3}\"\ntype = \"u64\"", Ok(Value::U64(4_295_032_836))),
    ("balance", "address = \"formula:({l1} - {l3}) * 1000\"\ntype = \"i64\"", Ok(Value::I64(65_531_000))),
    ("mean", "address = \"formula:{energy} / 3\"", Ok(Value::F64(1_431_677_612.0))),
    ("feed", "address = \"formula:max(0, -{signed}) / 1e3\"", Ok(Value::F64(0.042))),
    ("signed_power", "address = \"formula:{power} * (1 - 2 * {export})\"", Ok(Value::F64(-115.05))),
    ("per_zero", "address = \"formula:{u} / {zero}\"", Err(Quality::BAD_OUT_OF_RANGE)),
    ("below", "address = \"formula:{zero} - {i1}\"\ntype = \"u64\"", Err(Quality::BAD_OUT_OF_RANGE)),
    ("of_none", "address = \"formula:{none} + {u}\"", Err(Quality::BAD_NO_DATA)),
    ("of_none_again", "address = \"formula:min({of_none}, {u})\"", Err(Quality::BAD_NO_DATA)),
];

const REGISTERS: &str = "
[[tag]]
name = \"u\"
address = \"holding:0\"
format = \"u16\"
scale = 0.1
[[tag]]
name = \"i\"
address = \"holding:1\"
format = \"u16\"
scale = 0.1
[[tag]]
name = \"l1\"
address = \"holding:2\"
format = \"u32\"
[[tag]]
name = \"l2\"
address = \"holding:4\"
format = \"u32\"
[[tag]]
name = \"l3\"
address = \"holding:6\"
format = \"u32\"
[[tag]]
name = \"signed\"
address = \"holding:8\"
format = \"i16\"
[[tag]]
name = \"zero\"
address = \"holding:9\"
[[tag]]
name = \"i1\"
address = \"holding:1\"
[[tag]]
name = \"export\"
address = \"coil:0\"
[[tag]]
name = \"none\"
address = \"holding:10\"
not_available = 0xFFFF
";

fn contents() -> Vec<u16> {
    // The sum of the three is beyond a u32, which each of them is.
    vec![2301, 5, 1, 0, 0xFFFF, 0xFFFF, 0, 5, -42_i16 as u16, 0, 0xFFFF]
}

fn configuration(port: u16) -> String {
    let mut text = format!("name = \"meter\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\n{REGISTERS}");
    // Behind the registers or before them, a formula finds its tags.
    for (name, table, _) in CALCULATED.iter().rev() {
        text += &format!("[[tag]]\nname = \"{name}\"\n{table}\n");
    }
    text
}

/// Start, end and reason of what is on record of a tag.
fn told(running: &Running, tag: &str) -> Vec<(i64, Option<i64>, LossReason)> {
    running.recorder.losses(running.ids[tag]).into_iter().map(|loss| (loss.start.0, loss.end.map(|end| end.0), loss.reason)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_poll_brings_the_result_of_its_own_values() {
    let device = Device::holding(contents()).await;
    let text = configuration(device.port);
    let mut running = start(&text);
    eventually("polls", || running.count("power") >= 5).await;
    let error = running.status.view().last_error;
    let rows = build(&text).check(Duration::from_secs(20)).await;
    running.stop().await;
    assert!(error.contains("not_available"), "the tag that has no value, not those that follow from it: {error}");
    for (name, table, expected) in CALCULATED {
        let row = rows.iter().find(|row| row.tag == *name).unwrap();
        assert!(row.address.starts_with("formula:"), "{}", row.address);
        let samples = running.samples(name);
        match expected {
            Ok(value) => {
                assert!(
                    samples.iter().all(|(_, found, quality)| found.as_ref() == Some(value) && quality.is_good()),
                    "{table}: {samples:?}"
                );
                // One for each value of an input, at its time.
                let times = |tag: &str| running.samples(tag).iter().map(|sample| sample.0).collect::<Vec<_>>();
                let inputs: Vec<i64> = ["u", "export", "signed"].into_iter().flat_map(times).collect();
                assert!(samples.len() >= 5 && samples.iter().all(|(at, ..)| inputs.contains(at)), "{table}: {samples:?}");
                assert!(running.count("u").abs_diff(samples.len()) <= 1, "{table}: {} of {}", samples.len(), running.count("u"));
                assert_eq!((row.value.as_ref(), row.quality), (Some(value), Quality::GOOD), "{table}");
            }
            Err(quality) => {
                let seen: Vec<_> = samples.iter().map(|(_, value, quality)| (value.clone(), *quality)).collect();
                assert_eq!(seen, [(None, *quality)], "{table}");
                assert_eq!((row.value.as_ref(), row.quality), (None, *quality), "{table}: {}", row.error);
            }
        }
    }
    let error = |name: &str| rows.iter().find(|row| row.tag == name).unwrap().error.clone();
    assert_eq!(error("per_zero"), "it divides by 0");
    assert_eq!(error("below"), "the result, -5, is beyond the u64");
    assert_eq!(error("of_none"), "{none} has no value (BadNoData)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_device_is_one_of_what_is_calculated() {
    let mut device = Device::holding(contents()).await;
    let mut running = start(&format!(
        "name = \"meter\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\ntimeout_ms = 200\n{REGISTERS}\
         [[tag]]\nname = \"power\"\naddress = \"formula:{{u}} * {{i}}\"\n",
        device.port
    ));
    eventually("power", || running.is_good("power")).await;
    device.stop().await;
    eventually("the outage is on record", || !told(&running, "power").is_empty() && !told(&running, "u").is_empty()).await;
    let (_, value, quality) = running.last("power").unwrap();
    assert!(value.is_none() && quality.is_outage(), "{quality}");
    device.listen().await;
    eventually("power is back", || running.is_good("power")).await;
    running.stop().await;
    let bad = |tag: &str| {
        running.samples(tag).into_iter().filter(|(.., quality)| quality.is_bad()).map(|(.., quality)| quality).collect::<Vec<_>>()
    };
    assert_eq!(bad("power"), bad("u"));
    assert_eq!(bad("power").len(), 1);
    let (power, input) = (told(&running, "power"), told(&running, "u"));
    let reasons =
        |told: &[(i64, Option<i64>, LossReason)]| told.iter().map(|(_, end, reason)| (end.is_some(), *reason)).collect::<Vec<_>>();
    assert_eq!(reasons(&power), reasons(&input));
    assert_eq!(power.last().map(|(_, end, reason)| (end.is_some(), *reason)), Some((true, LossReason::DeviceDown)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_input_costs_what_is_calculated_from_it_and_nothing_else() {
    let device = Device::holding(contents()).await;
    device.behave(|request| if request.touches(1) { Answer::Exception(2) } else { Answer::Good });
    let mut running = start(&format!(
        "name = \"meter\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\nreprobe_ms = 300\n{REGISTERS}\
         [[tag]]\nname = \"power\"\naddress = \"formula:{{u}} * {{i}}\"\n[[tag]]\nname = \"energy\"\naddress = \"formula:{{l1}} + {{l3}}\"\n",
        device.port
    ));
    eventually("the refusal is on record", || !told(&running, "power").is_empty() && running.is_good("energy")).await;
    let [(_, None, LossReason::Refused)] = told(&running, "power")[..] else { panic!("{:?}", told(&running, "power")) };
    assert_eq!(running.last("power").map(|(_, value, quality)| (value, quality)), Some((None, Quality::BAD_CONFIGURATION_ERROR)));
    device.behave(|_| Answer::Good);
    eventually("the address answers", || running.is_good("power")).await;
    // A device that is busy: what it said before is the last usable value, and so is what follows from it.
    device.behave(|request| if request.function == 3 { Answer::Exception(6) } else { Answer::Good });
    eventually("busy is told", || running.last("power").is_some_and(|(.., quality)| quality == Quality::BAD_OUT_OF_SERVICE)).await;
    running.stop().await;
    let samples = running.samples("power");
    let ending: Vec<_> = samples[samples.len() - 2..].iter().map(|(_, value, quality)| (value.clone(), *quality)).collect();
    assert_eq!(ending, [(Some(Value::F64(115.05)), Quality::UNCERTAIN_LAST_USABLE_VALUE), (None, Quality::BAD_OUT_OF_SERVICE)]);
    assert!(told(&running, "power").iter().all(|(.., reason)| *reason == LossReason::Refused), "a device that answers is no gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slower_inputs_count_with_their_last_poll() {
    let device = Device::holding(contents()).await;
    let text = format!("name = \"meter\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\n{REGISTERS}", device.port)
        .replace("address = \"holding:0\"", "address = \"holding:0\"\nscan_ms = 3000")
        + "[[tag]]\nname = \"power\"\naddress = \"formula:{u} * {i}\"\n";
    let mut running = start(&text);
    eventually("polls", || running.count("power") >= 20).await;
    running.stop().await;
    assert!(running.count("u") <= 2, "{} polls of the slow one", running.count("u"));
    assert!(running.samples("power").iter().all(|(_, value, quality)| *value == Some(Value::F64(115.05)) && quality.is_good()));
    assert!(running.count("power").abs_diff(running.count("i")) <= 1, "at each poll of the fast one");
}

/// Of a value of the poll before, the differences would be others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_values_of_a_result_are_of_one_poll() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|_| Answer::Counted);
    let mut text = format!("name = \"meter\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 50\n", device.port);
    for (name, address) in [("later", "holding:500"), ("a", "holding:0"), ("b", "holding:1"), ("last", "holding:900")] {
        text += &format!("[[tag]]\nname = \"{name}\"\naddress = \"{address}\"\n");
    }
    for (name, formula) in [("apart", "{last} - {a}"), ("beside", "{a} - {b}"), ("all", "{a} + {b} - {later} - {last}")] {
        text += &format!("[[tag]]\nname = \"{name}\"\naddress = \"formula:{formula}\"\ntype = \"i64\"\n");
    }
    let mut running = start(&text);
    eventually("polls", || running.count("all") >= 30).await;
    running.stop().await;
    for (name, expected) in [("apart", 2), ("beside", 0), ("all", -3)] {
        let samples = running.samples(name);
        assert!(samples.iter().all(|(_, value, quality)| *value == Some(Value::I64(expected)) && quality.is_good()), "{name}: {samples:?}");
    }
}
