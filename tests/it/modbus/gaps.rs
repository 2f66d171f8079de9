//! What goes on record of tags that have no samples: a dead unit, a refused address, a device that comes and goes.

use historian::model::{Clock, SystemClock, sink::LossReason};

use super::{
    Running,
    device::{Answer, Device, Framing},
    eventually, start,
};

/// Start, end and reason of what is on record of a tag.
fn told(running: &Running, tag: &str) -> Vec<(i64, Option<i64>, LossReason)> {
    running.recorder.losses(running.ids[tag]).into_iter().map(|loss| (loss.start.0, loss.end.map(|end| end.0), loss.reason)).collect()
}

/// Times of the first Good sample behind a time.
fn first_good(running: &Running, tag: &str, behind: i64) -> i64 {
    running.samples(tag).into_iter().find(|(at, _, quality)| *at > behind && quality.is_good()).unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_unit_has_a_gap_and_its_neighbour_has_none() {
    let begun = SystemClock.now().0;
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.unit == 2 { Answer::Hang } else { Answer::Good });
    let mut running = start(&format!(
        "name = \"gw\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\ntimeout_ms = 200\n\
         [[tag]]\nname = \"u1\"\naddress = \"1!input:7\"\n[[tag]]\nname = \"u2\"\naddress = \"2!input:7\"\n",
        device.port
    ));
    eventually("the outage is on record", || !told(&running, "u2").is_empty()).await;
    let [(start, None, LossReason::DeviceDown)] = told(&running, "u2")[..] else { panic!("{:?}", told(&running, "u2")) };
    let bad = running.samples("u2")[0].0;
    assert!(begun <= start && start <= bad, "it was never reached: {begun} {start} {bad}");
    device.behave(|_| Answer::Good);
    eventually("the unit comes back", || running.is_good("u2")).await;
    running.stop().await;
    assert_eq!(told(&running, "u2")[1..], [(start, Some(first_good(&running, "u2", start)), LossReason::DeviceDown)]);
    assert_eq!(told(&running, "u1"), []);
    let detail = running.recorder.losses(running.ids["u2"])[0].detail.clone();
    assert!(detail.contains("unit 2: no answer within"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_address_has_a_gap_until_the_device_has_it() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.touches(8) { Answer::Exception(2) } else { Answer::Good });
    let mut running = start(&format!(
        "name = \"plc\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\nreprobe_ms = 1000\n\
         [[tag]]\nname = \"a\"\naddress = \"input:7\"\n[[tag]]\nname = \"b\"\naddress = \"input:8\"\n",
        device.port
    ));
    eventually("the refusal is on record", || !told(&running, "b").is_empty()).await;
    let [(start, None, LossReason::Refused)] = told(&running, "b")[..] else { panic!("{:?}", told(&running, "b")) };
    // The device goes away meanwhile: the tag would have had no samples in any case.
    device.behave(|_| Answer::Reset);
    eventually("the outage is on record", || !told(&running, "a").is_empty()).await;
    device.behave(|_| Answer::Good);
    eventually("the address answers", || running.is_good("b") && running.is_good("a")).await;
    running.stop().await;
    assert_eq!(told(&running, "b")[1..], [(start, Some(first_good(&running, "b", start)), LossReason::Refused)]);
    let [(down, None, LossReason::DeviceDown), (again, Some(up), LossReason::DeviceDown)] = told(&running, "a")[..] else {
        panic!("{:?}", told(&running, "a"))
    };
    let before = running.samples("a").into_iter().rfind(|(at, _, quality)| *at < down && quality.is_good()).unwrap().0;
    assert!(down == again && down <= before + 100_000_000 && up == first_good(&running, "a", down), "{before} {down} {up}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_and_goes_has_one_gap() {
    let device = Device::start(Framing::Tcp).await;
    let mut running = start(&format!(
        "name = \"plc\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\n[[tag]]\nname = \"a\"\naddress = \"input:7\"\n",
        device.port
    ));
    eventually("it delivers", || running.count("a") > 3).await;
    for _ in 0..6 {
        device.behave(|_| Answer::Reset);
        eventually("it goes", || !running.is_good("a")).await;
        device.behave(|_| Answer::Good);
        eventually("it comes", || running.is_good("a")).await;
    }
    let samples = running.samples("a");
    let gone: Vec<i64> = samples.iter().filter(|sample| sample.2.is_bad()).map(|sample| sample.0).collect();
    assert_eq!(gone.len(), 6, "each time is told in the data: {samples:?}");
    eventually("it is on record", || !told(&running, "a").is_empty()).await;
    running.stop().await;
    let told = told(&running, "a");
    let [(start, None, _), (again, Some(end), LossReason::DeviceDown)] = told[..] else { panic!("{told:?}") };
    assert!(start == again && start <= gone[0] && end == first_good(&running, "a", gone[5]), "{told:?} {samples:?}");
}
