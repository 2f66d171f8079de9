//! Answers that come late, get lost, or come among noise: never another block's value, and still most of the right ones.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Running,
    device::{Answer, Device, Framing},
    eventually,
    faults::{assert_nothing_is_mixed_up, device},
    start,
};

const BLOCKS: [u16; 3] = [0, 100, 200];

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Three blocks of two registers: three requests of the same shape, whose answers only their order tells apart.
fn blocks(name: &str, framing: Framing, port: u16, scan_ms: u64, timeout_ms: u64) -> Running {
    let mut text = format!(
        "name = \"{name}\"\nendpoint = \"127.0.0.1:{port}\"\ntransport = \"{}\"\nscan_ms = {scan_ms}\ntimeout_ms = {timeout_ms}\n",
        framing.as_str()
    );
    for address in BLOCKS.into_iter().flat_map(|start| [start, start + 1]) {
        text += &format!("[[tag]]\nname = \"{name}/r{address}\"\naddress = \"holding:{address}\"\n");
    }
    start(&text)
}

fn bad(running: &Running) -> usize {
    running.tags().iter().flat_map(|tag| running.samples(tag)).filter(|sample| sample.2.is_bad()).count()
}

fn good(running: &Running) -> usize {
    running.tags().iter().flat_map(|tag| running.samples(tag)).filter(|sample| sample.2.is_good()).count()
}

/// A transparent serial server forwards what comes from the line whenever it comes, to whoever is connected then. `closes` hangs up after
/// every so many requests.
async fn late_over_rtu(name: &'static str, late: fn(u64) -> Answer, closes: Option<u64>) {
    let server = Device::start(Framing::Rtu).await;
    let (requests, faults) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let counted = faults.clone();
    server.behave(move |_| {
        let number = requests.fetch_add(1, Ordering::SeqCst);
        if closes.is_some_and(|every| number % every == every - 1) {
            return Answer::Close;
        }
        // Not in step with the three blocks.
        if number % 7 == 3 || number % 11 == 5 {
            counted.fetch_add(1, Ordering::SeqCst);
            return late(number);
        }
        Answer::Late(ms(5))
    });
    let mut running = blocks(name, Framing::Rtu, server.port, 50, 100);
    eventually(&format!("{name}: values in spite of it"), || good(&running) >= 240).await;
    running.stop().await;
    assert_nothing_is_mixed_up(&running);
    assert!(faults.load(Ordering::SeqCst) >= 12, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_over_rtu_is_never_stored_as_another_blocks_value() {
    let mut running = tokio::task::JoinSet::new();
    running.spawn(late_over_rtu("a_little", |_| Answer::Aside(ms(130)), None));
    running.spawn(late_over_rtu("twice_the_timeout", |_| Answer::Aside(ms(210)), None));
    running.spawn(late_over_rtu("much", |_| Answer::Aside(ms(330)), None));
    running.spawn(late_over_rtu("in_order", |_| Answer::Late(ms(260)), None));
    running.spawn(late_over_rtu("mixed", |number| Answer::Aside(ms(90 + number % 5 * 30)), None));
    running.spawn(late_over_rtu("over_reconnects", |_| Answer::Aside(ms(150)), Some(9)));
    running.spawn(late_over_rtu("damaged", |_| Answer::Damaged, None));
    running.spawn(late_over_rtu("doubled", |_| Answer::Twice, None));
    running.spawn(late_over_rtu("garbage", |_| Answer::Garbage, None));
    while let Some(ended) = running.join_next().await {
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
}

/// Transaction ids tell late and doubled answers apart: the connection is kept, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_doubled_answers_over_tcp_cost_neither_connection_nor_value() {
    let server = Device::start(Framing::Tcp).await;
    let requests = AtomicU64::new(0);
    server.behave(move |_| match requests.fetch_add(1, Ordering::SeqCst) % 9 {
        4 => Answer::Aside(ms(130)),
        7 => Answer::Twice,
        _ => Answer::Good,
    });
    let mut running = blocks("late", Framing::Tcp, server.port, 50, 100);
    eventually("values in spite of it", || good(&running) >= 240).await;
    running.stop().await;
    assert_nothing_is_mixed_up(&running);
    assert_eq!((bad(&running), server.connections()), (0, 1));
    let told = running.status.view().last_error;
    assert!(told.contains("raise timeout_ms"), "{told}");
}

/// A device that has to wake up at the first request of each connection: reconnecting after the time-out would be the first request again.
async fn slow_first_answer(name: &'static str, framing: Framing) {
    let sleepy = Device::start(framing).await;
    let woken = AtomicU64::new(0);
    sleepy.behave(move |request| {
        if woken.swap(request.connection, Ordering::SeqCst) == request.connection { Answer::Good } else { Answer::Late(ms(500)) }
    });
    let mut running = start(&device(name, framing, sleepy.port, 100, 200, ""));
    eventually(&format!("{name}: values"), || running.tags().iter().all(|tag| running.count(tag) >= 3 && running.is_good(tag))).await;
    let told = running.status.view().last_error;
    assert!(told.contains("answered after 5"), "{told}");
    assert!(told.contains("timeout_ms = 200; raise timeout_ms"), "{told}");
    running.stop().await;
    assert_eq!((sleepy.connections(), bad(&running)), (1, 0), "{name}");
    assert_nothing_is_mixed_up(&running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_slow_at_the_first_request_of_a_connection_delivers() {
    tokio::join!(slow_first_answer("sleepy_tcp", Framing::Tcp), slow_first_answer("sleepy_rtu", Framing::Rtu));
}

/// One answer in so many gets lost or damaged: the request is made again within the poll.
async fn lossy(name: &'static str, framing: Framing, loss: Answer) {
    let server = Device::start(framing).await;
    let requests = AtomicU64::new(0);
    server.behave(move |_| if requests.fetch_add(1, Ordering::SeqCst) % 10 == 7 { loss } else { Answer::Good });
    let mut running = blocks(name, framing, server.port, 100, 100);
    eventually(&format!("{name}: values"), || good(&running) >= 150).await;
    running.stop().await;
    assert_eq!(bad(&running), 0, "{name}");
    assert!(server.requests() > 60);
    assert_nothing_is_mixed_up(&running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_answer_makes_no_tag_bad() {
    tokio::join!(
        lossy("lost_tcp", Framing::Tcp, Answer::Lost),
        lossy("lost_rtu", Framing::Rtu, Answer::Lost),
        lossy("damaged_rtu", Framing::Rtu, Answer::Damaged),
        lossy("noise_rtu", Framing::Rtu, Answer::Garbage),
        lossy("closed_tcp", Framing::Tcp, Answer::Close),
    );
}

/// A firewall forgets a connection on which nothing was sent for a while, and drops what comes on it afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_a_firewall_forgot_makes_no_tag_bad() {
    let server = Device::start(Framing::Tcp).await;
    let used: Mutex<HashMap<u64, Instant>> = Mutex::default();
    server.behave(move |request| {
        let mut used = used.lock().unwrap();
        let last = used.entry(request.connection).or_insert_with(Instant::now);
        if last.elapsed() > ms(1000) {
            return Answer::Lost;
        }
        *last = Instant::now();
        Answer::Good
    });
    let mut running = blocks("forgotten", Framing::Tcp, server.port, 1600, 300);
    eventually("values", || good(&running) >= 24).await;
    running.stop().await;
    assert_eq!(bad(&running), 0);
    assert!(server.connections() >= 3, "{}", server.connections());
}

/// Stray bytes around a frame, as a line makes them when its driver turns around, cost nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stray_bytes_around_an_rtu_frame_are_skipped() {
    let server = Device::start(Framing::Rtu).await;
    let requests = AtomicU64::new(0);
    server.behave(move |_| {
        let number = requests.fetch_add(1, Ordering::SeqCst) as u8;
        Answer::Noisy(number % 9, number % 5)
    });
    let mut running = blocks("noisy", Framing::Rtu, server.port, 100, 2000);
    eventually("values", || good(&running) >= 180).await;
    running.stop().await;
    assert_eq!(running.status.timeouts.load(Ordering::Relaxed), 0);
    assert_nothing_is_mixed_up(&running);
    running.assert_lost_no_poll();
}
