//! Devices that do not answer one block, each in its own way: only what really is not there costs a tag.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use historian::{
    collector::status::DeviceState,
    model::{Quality, Value},
};

use super::{
    Running, build,
    device::{Answer, Device, Framing, Request},
    eventually, start,
};

fn tags(framing: Framing, port: u16, timeout_ms: u64, addresses: impl IntoIterator<Item = u16>) -> String {
    let mut text = format!(
        "name = \"d\"\nendpoint = \"127.0.0.1:{port}\"\ntransport = \"{}\"\nscan_ms = 200\ntimeout_ms = {timeout_ms}\nreprobe_ms = 60000\n",
        framing.as_str()
    );
    for address in addresses {
        text += &format!("[[tag]]\nname = \"r{address}\"\naddress = \"holding:{address}\"\n");
    }
    text
}

fn assert_values(running: &Running, except: &[u16]) {
    for tag in running.tags() {
        let address: u16 = tag.trim_start_matches('r').parse().unwrap();
        for (_, value, quality) in running.samples(tag) {
            match value {
                Some(value) => assert_eq!((value, quality), (Value::U64(address.into()), Quality::GOOD), "{tag}"),
                None => assert!(except.contains(&address), "{tag}: {quality}"),
            }
        }
    }
}

/// Ways of not answering a request.
const WAYS: [(&str, Answer); 6] = [
    ("silence", Answer::Lost),
    ("close", Answer::Close),
    ("gateway", Answer::Exception(0x0B)),
    ("undefined", Answer::Exception(0x42)),
    ("failure", Answer::Exception(4)),
    ("short", Answer::Registers(1)),
];

async fn read_in_parts(name: String, framing: Framing, way: Answer, addresses: Vec<u16>, refused: fn(&Request) -> bool) {
    let device = Device::start(framing).await;
    device.behave(move |request| if refused(request) { way } else { Answer::Good });
    let mut running = start(&tags(framing, device.port, 100, addresses));
    let all = |running: &Running, count: usize| running.tags().iter().all(|tag| running.count(tag) >= count && running.is_good(tag));
    eventually(&format!("{name}: every tag delivers"), || all(&running, 4)).await;
    let told = running.status.view().last_error;
    assert!(told.contains("max_gap") && told.contains("max_registers") && told.contains("in parts"), "{name}: {told}");
    assert_eq!(running.status.view().holes, Vec::<String>::new(), "{name}");
    // What was learned is kept: nothing fails any more.
    let before = running.status.exceptions.load(Ordering::Relaxed);
    let timeouts = running.status.timeouts.load(Ordering::Relaxed);
    eventually(&format!("{name}: and goes on"), || all(&running, 8)).await;
    assert_eq!(running.status.exceptions.load(Ordering::Relaxed), before, "{name}");
    assert_eq!(running.status.timeouts.load(Ordering::Relaxed), timeouts, "{name}");
    assert_eq!(running.status.view().state, DeviceState::Running, "{name}");
    running.stop().await;
    assert_values(&running, &[]);
    for tag in running.tags() {
        assert!(running.samples(tag).iter().all(|sample| sample.2.is_good()), "{name}: {tag} was never Bad");
    }
}

async fn in_every_way(addresses: Vec<u16>, refused: fn(&Request) -> bool) {
    let mut running = tokio::task::JoinSet::new();
    for framing in [Framing::Tcp, Framing::Rtu] {
        for (name, way) in WAYS {
            running.spawn(read_in_parts(format!("{name} {}", framing.as_str()), framing, way, addresses.clone(), refused));
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_across_addresses_that_do_not_exist_is_read_without_them_however_the_device_refuses() {
    in_every_way(vec![0, 1, 2, 5, 6, 7], |request| request.touches(3) || request.touches(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_longer_than_the_device_answers_is_read_in_shorter_ones_however_it_refuses() {
    in_every_way((0..120).collect(), |request| request.count > 50).await;
}

/// Nothing of what is asked for first is answered, as by a device that is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_answers_none_of_its_long_blocks_is_read_in_short_ones_however_it_refuses() {
    in_every_way((0..375).collect(), |request| request.count > 50).await;
}

/// A device that is off is asked for one register once, and not at each attempt to reach it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_answers_nothing_is_not_searched_for_parts_that_answer() {
    let device = Device::start(Framing::Tcp).await;
    let short = Arc::new(AtomicU64::new(0));
    let counted = short.clone();
    device.behave(move |request| {
        counted.fetch_add(u64::from(request.count == 1), Ordering::SeqCst);
        Answer::Lost
    });
    let mut running = start(&tags(Framing::Tcp, device.port, 50, 0..375));
    eventually("some attempts", || device.requests() >= 12).await;
    running.stop().await;
    assert_eq!(short.load(Ordering::SeqCst), 1);
    assert!(running.tags().iter().all(|tag| running.last(tag).is_some_and(|(.., quality)| quality.is_bad())));
}

/// Looking for the parts of many blocks that answer does not hold the line for all of them in one reading: the rest waits for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_search_in_many_blocks_is_spread_over_readings() {
    let device = Device::start(Framing::Tcp).await;
    let (in_a_row, longest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (row, most) = (in_a_row.clone(), longest.clone());
    device.behave(move |request| match request.function {
        // The coil is read once in each reading.
        1 => {
            row.store(0, Ordering::SeqCst);
            Answer::Good
        }
        _ if request.count > 8 => {
            most.fetch_max(row.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Answer::Lost
        }
        _ => Answer::Good,
    });
    let text = tags(Framing::Tcp, device.port, 50, 0..750) + "[[tag]]\nname = \"c1\"\naddress = \"coil:1\"\n";
    let mut running = start(&text);
    eventually("every tag delivers", || running.tags().iter().all(|tag| running.is_good(tag))).await;
    running.stop().await;
    // 14 in the search of a block, the rest of the 16 in the next one, and the blocks themselves.
    let longest = longest.load(Ordering::SeqCst);
    assert!((16..=32).contains(&longest), "{longest}");
}

/// One register that is not there, and says so by silence or failure, costs its own tag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_register_without_an_answer_costs_one_tag() {
    let one = |name: &'static str, way: Answer| async move {
        let device = Device::start(Framing::Tcp).await;
        device.behave(move |request| if request.touches(11) { way } else { Answer::Good });
        let mut running = start(&tags(Framing::Tcp, device.port, 100, [10, 11, 12, 13, 200]));
        let well = ["r10", "r12", "r13", "r200"];
        eventually(&format!("{name}: the others deliver"), || well.iter().all(|tag| running.is_good(tag) && running.count(tag) >= 8)).await;
        assert!(running.last("r11").unwrap().2.is_bad(), "{name}");
        assert_eq!(running.status.view().state, DeviceState::Degraded, "{name}");
        running.stop().await;
        assert_values(&running, &[11]);
        for tag in well {
            assert!(running.samples(tag).iter().all(|sample| sample.2.is_good()), "{name}: {tag}");
        }
    };
    tokio::join!(
        one("silence", Answer::Lost),
        one("failure", Answer::Exception(4)),
        one("gateway", Answer::Exception(0x0B)),
        one("close", Answer::Close)
    );
}

/// A function that the device does not know and passes over in silence does not cost the tags of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_area_without_an_answer_costs_its_own_tags() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.function == 1 { Answer::Lost } else { Answer::Good });
    let mut text = tags(Framing::Tcp, device.port, 100, [10, 11]);
    text += "[[tag]]\nname = \"c1\"\naddress = \"coil:1\"\n";
    let mut running = start(&text);
    eventually("the registers deliver", || running.is_good("r10") && running.count("r10") >= 8).await;
    assert!(running.last("c1").unwrap().2.is_bad());
    running.stop().await;
    assert!(running.samples("r10").iter().all(|sample| sample.2.is_good()));
}

/// `historian check` finds the same parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_reads_every_tag_that_the_collector_would_deliver() {
    for (name, way) in WAYS {
        let device = Device::start(Framing::Tcp).await;
        device.behave(move |request| if request.touches(3) || request.touches(4) { way } else { Answer::Good });
        let text = tags(Framing::Tcp, device.port, 100, [0, 1, 2, 5, 6, 7]);
        let rows = build(&text).check(Duration::from_secs(20)).await;
        for row in rows {
            assert_eq!((row.quality, row.error.as_str()), (Quality::GOOD, ""), "{name}: {}", row.tag);
        }
    }
}
