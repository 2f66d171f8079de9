//! `historian check` on Modbus devices: a row per tag, whatever the device does.

use std::time::{Duration, Instant};

use historian::{
    collector::CheckRow,
    model::{Quality, Value},
};

use super::{
    build,
    device::{Answer, Device, Framing},
};

async fn check(port: u16, timeout_ms: u64, limit: Duration) -> Vec<CheckRow> {
    let text = format!(
        "name = \"c\"\nendpoint = \"127.0.0.1:{port}\"\ntimeout_ms = {timeout_ms}\n\
         [[tag]]\nname = \"a\"\naddress = \"holding:10\"\n[[tag]]\nname = \"b\"\naddress = \"holding:11\"\n\
         [[tag]]\nname = \"c\"\naddress = \"2!holding:10\"\nscale = 0.5\n[[tag]]\nname = \"d\"\naddress = \"coil:3\"\n"
    );
    build(&text).check(limit).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tag_is_read_once_and_a_refused_one_says_why() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.touches(11) { Answer::Exception(2) } else { Answer::Good });
    let rows = check(device.port, 2000, Duration::from_secs(20)).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.tag.as_str(), row.address.as_str(), row.value.clone(), row.quality)).collect();
    assert_eq!(
        seen,
        [
            ("a", "holding:10", Some(Value::U64(10)), Quality::GOOD),
            ("b", "holding:11", None, Quality::BAD_CONFIGURATION_ERROR),
            ("c", "2!holding:10", Some(Value::F64(5005.0)), Quality::GOOD),
            ("d", "coil:3", Some(Value::Bool(true)), Quality::GOOD),
        ]
    );
    assert!(rows.iter().all(|row| row.latency.is_some()));
    assert!(rows[1].error.contains("exception 02, illegal data address"), "{}", rows[1].error);
    assert_eq!(device.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_unit_costs_only_its_own_tags() {
    let device = Device::start(Framing::Tcp).await;
    device.behave(|request| if request.unit == 1 { Answer::Hang } else { Answer::Good });
    let rows = check(device.port, 300, Duration::from_secs(20)).await;
    let qualities: Vec<_> = rows.iter().map(|row| row.quality).collect();
    assert_eq!(qualities, [Quality::BAD_TIMEOUT, Quality::BAD_TIMEOUT, Quality::GOOD, Quality::BAD_TIMEOUT]);
    assert_eq!(rows[0].error, "no answer within 300ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_refuses_or_hangs_is_told_within_the_time() {
    let mut device = Device::start(Framing::Tcp).await;
    device.behave(|_| Answer::Hang);
    let begin = Instant::now();
    let rows = check(device.port, 60_000, Duration::from_millis(500)).await;
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.value.is_none() && row.error.contains("500ms that the check may take")), "{rows:?}");
    device.stop().await;
    let rows = check(device.port, 2000, Duration::from_secs(20)).await;
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.quality == Quality::BAD_NO_COMMUNICATION && row.error.contains("refused")), "{rows:?}");
}
