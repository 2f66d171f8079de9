//! Gateways that do not repeat what they were asked: told in plain words with the key that accepts it, and read right once it is set.

use super::{
    device::{Answer, Device, Framing},
    eventually,
    faults::assert_nothing_is_mixed_up,
    start,
};

fn unit_5(framing: Framing, port: u16, more: &str) -> String {
    format!(
        "name = \"g\"\nendpoint = \"127.0.0.1:{port}\"\ntransport = \"{}\"\nunit = 5\nscan_ms = 100\ntimeout_ms = 300\n{more}\n\
         [[tag]]\nname = \"g/a\"\naddress = \"holding:7\"\n[[tag]]\nname = \"g/b\"\naddress = \"holding:100\"\n",
        framing.as_str()
    )
}

async fn echo(framing: Framing, answer: Answer, key: &str, sentence: &str) {
    let gateway = Device::start(framing).await;
    gateway.behave(move |_| answer);
    let mut running = start(&unit_5(framing, gateway.port, ""));
    eventually("it is told", || running.status.view().last_error.contains(sentence)).await;
    let told = running.status.view().last_error;
    assert!(told.contains(&format!("set {key} = true")), "{told}");
    running.stop().await;
    let samples = running.samples("g/a");
    assert!(!samples.is_empty() && samples.iter().all(|sample| sample.1.is_none() && sample.2.is_bad()), "{samples:?}");

    let mut running = start(&unit_5(framing, gateway.port, &format!("{key} = true")));
    eventually("it is accepted", || running.count("g/a") >= 5 && running.count("g/b") >= 5).await;
    running.stop().await;
    for (tag, value) in [("g/a", 40_007), ("g/b", 40_100)] {
        for sample in running.samples(tag) {
            assert_eq!((sample.1, sample.2.is_good()), (Some(historian::model::Value::U64(value)), true), "{key} {tag}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_always_answers_as_unit_1_is_told_and_can_be_accepted() {
    let sentence = "unit 5 was asked and unit 1 answered";
    tokio::join!(
        echo(Framing::Tcp, Answer::AsUnit(1), "accept_any_unit", sentence),
        echo(Framing::Rtu, Answer::AsUnit(1), "accept_any_unit", sentence),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_does_not_repeat_transaction_ids_is_told_and_can_be_accepted() {
    let sentence = "the answer carries transaction id 0 where";
    echo(Framing::Tcp, Answer::AsTransaction(0), "accept_any_transaction", sentence).await;
}

/// Without ids late answers are told apart by waiting, as over RTU.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_answers_without_transaction_ids_are_never_mixed_up() {
    let gateway = Device::start(Framing::Tcp).await;
    let requests = std::sync::atomic::AtomicU64::new(0);
    gateway.behave(move |_| {
        let number = requests.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if number % 5 == 3 { Answer::Aside(std::time::Duration::from_millis(140)) } else { Answer::AsTransaction(0) }
    });
    let text = super::faults::device("g", Framing::Tcp, gateway.port, 50, 100, "accept_any_transaction = true");
    let mut running = start(&text);
    eventually("values", || running.count("g/r1002") >= 20).await;
    running.stop().await;
    assert_nothing_is_mixed_up(&running);
}
