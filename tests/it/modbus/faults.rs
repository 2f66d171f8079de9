//! Everything that goes wrong between a collector and one device: whatever it is, no value reaches the wrong tag, the failing tags turn Bad
//! without a value, they recover by themselves, and the devices polled beside lose no poll.

use std::{sync::atomic::Ordering, time::Duration};

use historian::{
    collector::status::DeviceState,
    model::{Quality, Value},
};

use super::{
    Running, assert_ascending,
    device::{Answer, Device, Framing, register},
    eventually, start,
};

const NEIGHBOURS: usize = 3;

/// Two runs of registers that are read with requests of the same shape, so that their answers can be mixed up.
const ADDRESSES: [u16; 6] = [0, 1, 2, 1000, 1001, 1002];

pub fn device(name: &str, framing: Framing, port: u16, scan_ms: u64, timeout_ms: u64, more: &str) -> String {
    let mut text = format!(
        "name = \"{name}\"\nendpoint = \"127.0.0.1:{port}\"\ntransport = \"{}\"\nscan_ms = {scan_ms}\ntimeout_ms = {timeout_ms}\n{more}\n",
        framing.as_str()
    );
    for address in ADDRESSES {
        text += &format!("[[tag]]\nname = \"{name}/r{address}\"\naddress = \"holding:{address}\"\n");
    }
    text
}

/// Asserts what holds for every sample of a device, whatever happened to it.
pub fn assert_nothing_is_mixed_up(running: &Running) {
    for tag in running.tags() {
        let samples = running.samples(tag);
        assert_ascending(tag, &samples);
        let address: u16 = tag.rsplit_once('r').unwrap().1.parse().unwrap();
        for (index, (_, value, quality)) in samples.iter().enumerate() {
            match value {
                Some(value) => assert_eq!(*value, Value::U64(register(1, address).into()), "{tag}: value of another register"),
                None => assert!(quality.is_bad(), "{tag}: {quality} without a value"),
            }
            if quality.is_bad() && index > 0 {
                assert!(!samples[index - 1].2.is_bad(), "{tag}: one Bad sample per outage, not one per poll: {samples:?}");
            }
        }
    }
}

/// The whole of one fault: well, faulty until every tag is Bad with one of `qualities`, well again.
async fn outage(name: &str, framing: Framing, fault: Answer, qualities: &[Quality]) {
    let faulty = Device::start(framing).await;
    let mut running = start(&device(name, framing, faulty.port, 100, 250, ""));
    let all =
        |running: &Running, good: bool| running.tags().iter().all(|tag| running.last(tag).is_some_and(|last| last.2.is_good() == good));

    eventually(&format!("{name}: delivers"), || all(&running, true) && running.count(&format!("{name}/r0")) >= 3).await;
    assert_eq!(running.status.view().state, DeviceState::Running, "{name}");
    faulty.behave(move |_| fault);
    eventually(&format!("{name}: every tag is Bad"), || all(&running, false)).await;
    for tag in running.tags() {
        let (_, value, quality) = running.last(tag).unwrap();
        assert_eq!(value, None, "{tag}");
        assert!(qualities.contains(&quality), "{tag}: {quality}");
    }
    tokio::time::sleep(Duration::from_millis(700)).await; // several vain attempts
    assert_eq!(running.status.items_delivering.load(Ordering::Relaxed), 0, "{name}");
    assert!(!running.status.view().last_error.is_empty(), "{name}");
    if matches!(fault, Answer::Exception(_)) {
        faulty.behave(|_| Answer::Good);
    } else {
        // As after a reboot: what was connected before stays dead for ever.
        let connections = faulty.connections();
        faulty.behave(move |request| if request.connection > connections { Answer::Good } else { Answer::Hang });
    }
    eventually(&format!("{name}: every tag is good again"), || all(&running, true)).await;
    let last = format!("{name}/r1002");
    eventually(&format!("{name}: and stays so"), || running.count(&last) >= 6).await;
    eventually(&format!("{name}: all items deliver"), || running.status.items_delivering.load(Ordering::Relaxed) == 6).await;
    running.stop().await;
    assert_nothing_is_mixed_up(&running);
    for tag in running.tags() {
        let bad = running.samples(tag).iter().filter(|sample| sample.2.is_bad()).count();
        assert_eq!(bad, 1, "{tag}: one outage, one Bad sample");
    }
    assert!(faulty.functions().iter().all(|function| (1..=4).contains(function)), "only reading functions are sent");
}

/// Many faults at once, one device each, and healthy devices beside them.
async fn outages(faults: &'static [(&str, Framing, Answer, &[Quality])]) {
    let mut neighbours = Vec::new();
    for number in 0..NEIGHBOURS {
        let well = Device::start(Framing::Tcp).await;
        neighbours.push((start(&device(&format!("well{number}"), Framing::Tcp, well.port, 400, 5000, "")), well));
    }
    let mut running = tokio::task::JoinSet::new();
    for (name, framing, answer, qualities) in faults {
        running.spawn(outage(name, *framing, *answer, qualities));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    for (neighbour, _) in &mut neighbours {
        neighbour.stop().await;
        neighbour.assert_lost_no_poll();
        assert_nothing_is_mixed_up(neighbour);
    }
}

/// Later than anyone waits.
const LATE: Answer = Answer::Late(Duration::from_secs(3));
const GARBLED: &[Quality] = &[Quality::BAD_COMMUNICATION_ERROR];
const SILENT: &[Quality] = &[Quality::BAD_TIMEOUT];
const GONE: &[Quality] = &[Quality::BAD_NO_COMMUNICATION];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_over_tcp_ends_as_it_began_and_disturbs_nobody() {
    outages(&[
        ("late", Framing::Tcp, LATE, SILENT),
        ("hang", Framing::Tcp, Answer::Hang, SILENT),
        ("short", Framing::Tcp, Answer::Short, GARBLED),
        ("truncated", Framing::Tcp, Answer::Truncated, GONE),
        ("wrong_transaction", Framing::Tcp, Answer::WrongTransaction, GARBLED),
        ("wrong_unit", Framing::Tcp, Answer::WrongUnit, GARBLED),
        ("wrong_function", Framing::Tcp, Answer::WrongFunction, GARBLED),
        ("garbage", Framing::Tcp, Answer::Garbage, &[Quality::BAD_COMMUNICATION_ERROR, Quality::BAD_TIMEOUT]),
        ("close", Framing::Tcp, Answer::Close, GONE),
        ("reset", Framing::Tcp, Answer::Reset, GONE),
        ("device_failure", Framing::Tcp, Answer::Exception(4), &[Quality::BAD_DEVICE_FAILURE]),
        ("unreachable", Framing::Tcp, Answer::Exception(0x0B), GONE),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_over_rtu_ends_as_it_began_and_disturbs_nobody() {
    outages(&[
        ("late", Framing::Rtu, LATE, SILENT),
        ("short", Framing::Rtu, Answer::Short, GARBLED),
        ("truncated", Framing::Rtu, Answer::Truncated, GONE),
        ("wrong_unit", Framing::Rtu, Answer::WrongUnit, GARBLED),
        ("wrong_function", Framing::Rtu, Answer::WrongFunction, GARBLED),
        ("garbage", Framing::Rtu, Answer::Garbage, &[Quality::BAD_COMMUNICATION_ERROR, Quality::BAD_TIMEOUT]),
        ("reset", Framing::Rtu, Answer::Reset, GONE),
        ("undefined_exception", Framing::Rtu, Answer::Exception(0x42), &[Quality::BAD_UNEXPECTED_ERROR]),
    ])
    .await;
}

/// Only some replies are late, and so late that they arrive while the collector waits for the answer to its next request: the trap in which
/// a client that keeps its connection stores the values of one register under another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn now_and_then_a_late_reply_over_rtu_is_never_taken_for_the_next() {
    let faulty = Device::start(Framing::Rtu).await;
    let mut running = start(&device("faulty", Framing::Rtu, faulty.port, 50, 100, ""));
    let requests = std::sync::atomic::AtomicU64::new(0);
    // The next request, for the registers from 0 on, is sent 250 to 300 ms after the one that is answered late. Each answer takes the time
    // it takes on a serial line, so that the late one stands alone.
    faulty.behave(move |request| {
        let late = request.start == 1000 && requests.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        Answer::Late(Duration::from_millis(if late { 325 } else { 15 }))
    });
    eventually("some timeouts and values", || running.status.timeouts.load(Ordering::Relaxed) >= 6 && running.count("faulty/r1000") >= 6)
        .await;
    running.stop().await;
    assert_nothing_is_mixed_up(&running);
}

/// A device that closes the connection after each answer, or when it was idle, loses no poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_while_idle_is_replaced_without_a_bad_sample() {
    let closing = Device::start(Framing::Tcp).await;
    closing.behave(|_| Answer::GoodThenClose);
    let mut running = start(&device("closing", Framing::Tcp, closing.port, 200, 2000, "max_gap = 1999"));
    eventually("some polls", || running.count("closing/r0") >= 5).await;
    running.stop().await;
    running.assert_lost_no_poll();
    assert!(running.status.connects.load(Ordering::Relaxed) >= 5);
}

/// The server goes away and comes back on the same port: tags are Bad meanwhile, and good within 10 s of its return.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_found_again() {
    let mut server = Device::start(Framing::Tcp).await;
    let mut running = start(&device("restarted", Framing::Tcp, server.port, 200, 500, ""));
    eventually("the device delivers", || running.is_good("restarted/r0")).await;
    server.stop().await;
    eventually("it is Bad", || running.last("restarted/r1002").is_some_and(|last| last.2.is_bad())).await;
    assert_eq!(running.last("restarted/r0").unwrap().2, Quality::BAD_NO_COMMUNICATION);
    eventually("the collector waits", || running.status.view().state == DeviceState::Backoff).await;
    assert!(running.status.view().last_error.contains("no connection to 127.0.0.1:"), "{}", running.status.view().last_error);
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.listen().await;
    let back = std::time::Instant::now();
    eventually("it is good again", || running.tags().iter().all(|tag| running.is_good(tag))).await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    assert!(running.status.polls_missed.load(Ordering::Relaxed) >= 1, "polls that were due meanwhile are counted");
    running.stop().await;
    assert_nothing_is_mixed_up(&running);
}

/// A device that is not there at the start is Bad from the start, and delivers as soon as it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_may_be_switched_on_later() {
    let mut later = Device::start(Framing::Tcp).await;
    later.stop().await;
    let mut running = start(&device("later", Framing::Tcp, later.port, 60_000, 500, ""));
    eventually("it is Bad", || running.last("later/r0").is_some()).await;
    assert_eq!(running.last("later/r0").unwrap().2, Quality::BAD_NO_COMMUNICATION);
    later.listen().await;
    eventually("it delivers long before its next poll", || running.is_good("later/r0")).await;
    running.stop().await;
}

/// Exception 02 inside a block: only the tag on the refused address is Bad, the hole is shown, and it closes by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_address_costs_one_tag() {
    for code in [1, 2, 3] {
        let holed = Device::start(Framing::Tcp).await;
        holed.behave(move |request| if request.touches(1001) { Answer::Exception(code) } else { Answer::Good });
        let mut running = start(&device("holed", Framing::Tcp, holed.port, 200, 2000, "reprobe_ms = 300"));
        eventually("some polls", || running.count("holed/r1000") >= 5).await;
        let view = running.status.view();
        assert_eq!(view.state, DeviceState::Degraded);
        assert_eq!(view.holes.len(), 1);
        assert!(view.holes[0].starts_with(&format!("holding:1001 (exception 0{code}")), "{:?}", view.holes);
        assert!(view.last_error.contains("holed/r1001"), "{}", view.last_error);
        assert_eq!(running.last("holed/r1001").unwrap().2, Quality::BAD_CONFIGURATION_ERROR);
        assert_eq!(running.count("holed/r1001"), 1);
        let counters = (&running.status.items_wanted, &running.status.items_created, &running.status.items_delivering);
        assert_eq!([counters.0, counters.1, counters.2].map(|counter| counter.load(Ordering::Relaxed)), [6, 5, 5]);
        holed.behave(|_| Answer::Good);
        eventually("the hole closes", || running.is_good("holed/r1001") && running.status.view().holes.is_empty()).await;
        running.stop().await;
        assert_nothing_is_mixed_up(&running);
        for address in ADDRESSES.into_iter().filter(|address| *address != 1001) {
            let samples = running.samples(&format!("holed/r{address}"));
            assert!(samples.iter().all(|sample| sample.2.is_good()), "the neighbours never noticed");
            // As of a device that is well: one for each poll, of which the last may have been cut off, and one for the first reading.
            assert!((running.polls()..=running.polls() + 1).contains(&(samples.len() as u64)), "{} of {}", samples.len(), running.polls());
        }
    }
}

/// A gap that must not be read costs no tag at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_gap_splits_the_block() {
    let gapped = Device::start(Framing::Tcp).await;
    gapped.behave(|request| if request.touches(5) { Answer::Exception(2) } else { Answer::Good });
    let text = format!(
        "name = \"g\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 200\n[[tag]]\nname = \"g/r1\"\naddress = \"holding:1\"\n\
         [[tag]]\nname = \"g/r9\"\naddress = \"holding:9\"\n",
        gapped.port
    );
    let mut running = start(&text);
    eventually("some polls", || running.count("g/r9") >= 4).await;
    assert_eq!(running.status.exceptions.load(Ordering::Relaxed), 1, "learned once");
    assert_eq!(running.status.view().holes, Vec::<String>::new());
    running.stop().await;
    running.assert_lost_no_poll();
}

/// Busy (06): the last value stands as Uncertain, then Bad, then good again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_device_keeps_its_last_value_for_a_while() {
    let busy = Device::start(Framing::Tcp).await;
    let mut running = start(&device("busy", Framing::Tcp, busy.port, 100, 2000, ""));
    eventually("it delivers", || running.is_good("busy/r1002")).await;
    busy.behave(|_| Answer::Exception(6));
    eventually("it is Bad", || running.last("busy/r1002").is_some_and(|last| last.2.is_bad())).await;
    busy.behave(|_| Answer::Good);
    eventually("it is good again", || running.is_good("busy/r1002")).await;
    running.stop().await;
    assert_nothing_is_mixed_up(&running);
    let mut steps: Vec<(bool, Quality)> = running.samples("busy/r1002").iter().map(|sample| (sample.1.is_some(), sample.2)).collect();
    steps.dedup();
    let expected =
        [(true, Quality::GOOD), (true, Quality::UNCERTAIN_LAST_USABLE_VALUE), (false, Quality::BAD_OUT_OF_SERVICE), (true, Quality::GOOD)];
    assert_eq!(steps, expected);
}
