//! Several units behind one gateway share a connection; a dead one must not take it from the others.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use historian::{collector::status::DeviceState, model::Value};

use super::{
    Running,
    device::{Answer, Device, Framing, register},
    eventually, start,
};

fn gateway(framing: Framing, port: u16, units: &[u8], scan_ms: u64, timeout_ms: u64) -> Running {
    let mut text = format!(
        "name = \"gw\"\nendpoint = \"127.0.0.1:{port}\"\ntransport = \"{}\"\nscan_ms = {scan_ms}\ntimeout_ms = {timeout_ms}\n",
        framing.as_str()
    );
    for unit in units {
        text += &format!("[[tag]]\nname = \"u{unit}\"\naddress = \"{unit}!input:7\"\n");
    }
    start(&text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_units_do_not_starve_their_neighbours() {
    let one = |framing| async move {
        let device = Device::start(framing).await;
        let dead = BTreeSet::from([2_u8, 4, 5]);
        device.behave(move |request| if dead.contains(&request.unit) { Answer::Hang } else { Answer::Good });
        let mut running = gateway(framing, device.port, &[1, 2, 3, 4, 5], 100, 200);
        for unit in [2, 4, 5] {
            eventually("the dead are Bad", || running.count(&format!("u{unit}")) > 0).await;
        }
        let (begin, before) = (std::time::Instant::now(), running.count("u3"));
        eventually("the living deliver", || running.count("u1") >= before + 30 && running.count("u3") >= before + 30).await;
        // Three of five units are dead, each attempt on them costs two polls, and yet the living get most of theirs.
        let expected = begin.elapsed().as_millis() / 100;
        let polls = (running.count("u3") - before) as u128;
        assert!((expected / 2..=expected + 2).contains(&polls), "{polls} of {expected} polls");
        assert_eq!(running.status.view().state, DeviceState::Degraded);
        assert_eq!(running.status.items_delivering.load(Ordering::Relaxed), 2);
        for unit in [2, 4, 5] {
            assert!(running.samples(&format!("u{unit}")).iter().all(|sample| sample.1.is_none() && sample.2.is_bad()));
        }
        device.behave(|_| Answer::Good);
        eventually("the dead come back", || [2, 4, 5].iter().all(|unit| running.is_good(&format!("u{unit}")))).await;
        running.stop().await;
        for unit in 1..=5 {
            for (_, value, _) in running.samples(&format!("u{unit}")) {
                assert!(value.is_none_or(|value| value == Value::U64(register(unit, 7).into())), "unit {unit}");
            }
        }
    };
    tokio::join!(one(Framing::Tcp), one(Framing::Rtu));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_the_gateway_does_not_reach_keeps_the_connection() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.unit == 2 { Answer::Exception(0x0B) } else { Answer::Good });
    let mut running = gateway(Framing::Tcp, device.port, &[1, 2], 100, 2000);
    eventually("the living delivers", || running.count("u1") >= 15).await;
    assert_eq!(running.status.connects.load(Ordering::Relaxed), 1);
    assert!(running.status.view().last_error.contains("unit 2: exception 0B"), "{}", running.status.view().last_error);
    device.behave(|_| Answer::Good);
    eventually("the other comes back", || running.is_good("u2")).await;
    running.stop().await;
    assert!(running.samples("u1").iter().all(|sample| sample.2.is_good()));
}
