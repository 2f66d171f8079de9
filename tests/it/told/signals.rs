//! What does not ask a historian to stop does not stop it: signals that mean something else, a terminal or a log reader that goes away.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use arrow_flight::{
    FlightDescriptor,
    sql::{CommandStatementQuery, ProstMessageExt},
};
use historian_test_support::process::Signal;
use prost::Message;

use super::{begin_piped, healthy, run, start, wait_ready};
use crate::support::historian::client;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_takes_its_grace_and_no_longer_whatever_clients_have_computed() {
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("historian.toml");
    std::fs::write(&configuration, "[limits]\nshutdown_grace_s = 1\n").unwrap();
    let mut serve = start(&directory.path().join("data"), &["--config", &configuration.display().to_string()]);
    let asking = client(&serve).await;
    // One that is planned for seconds, and one that runs for hours.
    let sum = vec!["value"; 600].join(" + ");
    let pairs = "SELECT count(*) FROM generate_series(1, 9000000) a, generate_series(1, 9000000) b WHERE a.value * b.value = 7";
    for query in [format!("SELECT {sum} FROM samples"), pairs.to_owned()].into_iter().cycle().take(8) {
        let mut asking = asking.clone();
        tokio::spawn(async move {
            let command = CommandStatementQuery { query, transaction_id: None }.as_any().encode_to_vec();
            let info = asking.get_flight_info(FlightDescriptor::new_cmd(command)).await?.into_inner();
            let mut rows = asking.do_get(info.endpoint[0].ticket.clone().unwrap_or_default()).await?.into_inner();
            while rows.message().await?.is_some() {}
            Ok::<(), tonic::Status>(())
        });
    }
    let running = |serve: &super::Historian| {
        let metrics = serve.get("/metrics").unwrap().1;
        metrics.lines().find_map(|line| line.strip_prefix("historian_sql_statements_running ")).map_or(0, |count| count.parse().unwrap())
    };
    serve.wait("four statements run", |serve| running(serve) >= 4);
    let begun = Instant::now();
    serve.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn signals_that_do_not_mean_stop_are_told_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut serve = start(directory.path(), &[]);
    for (signal, name) in [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        serve.signal(signal).unwrap();
        serve.wait(name, |serve| serve.log().contains(name));
    }
    // One of them has the configuration read again, which is as it was.
    serve.wait("read again", |serve| serve.log().contains("the configuration was read again and applied"));
    // Also one that comes twice, and the one of a client that goes away in the middle.
    serve.signal(Signal::HUP).unwrap();
    serve.signal(Signal::PIPE).unwrap();
    let _ = TcpStream::connect(serve.grpc).unwrap().write_all(b"half a");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(healthy(&serve), (200, "ok\n".to_owned()));
    assert_eq!(run(&["status", "--server", &serve.url()]).0, 0);
    serve.stop().unwrap();
}

#[test]
fn a_historian_whose_log_nobody_reads_any_more_runs_on_and_stops_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut serve = begin_piped(directory.path());
    // As of `historian serve 2>&1 | head`, and of a terminal that is closed.
    drop(serve.stderr.take());
    wait_ready(&mut serve);
    for _ in 0..20 {
        serve.signal(Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    // What logs is every thread: the one that seals and the one that answers among them.
    assert_eq!(run(&["compact", "--server", &serve.url()]).0, 0);
    let csv = directory.path().join("lab.csv");
    std::fs::write(&csv, "tag,timestamp,value\nlab/ph,2026-01-01T00:00:00Z,7.01\n").unwrap();
    let (code, out, err) = run(&["import", &csv.display().to_string(), "--create-tags", "--server", &serve.url()]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(healthy(&serve), (200, "ok\n".to_owned()));
    serve.stop().unwrap();
}

#[test]
fn a_historian_whose_log_reader_stalls_runs_on_tells_what_it_dropped_and_stops_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut serve = begin_piped(directory.path());
    wait_ready(&mut serve);
    // More than a pipe holds, and all of it in a log that nobody empties: a terminal on hold, a supervisor that hangs.
    for _ in 0..700 {
        serve.signal(Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    let csv = directory.path().join("lab.csv");
    std::fs::write(&csv, "tag,timestamp,value\nlab/ph,2026-01-01T00:00:00Z,7.01\n").unwrap();
    let (code, out, err) = run(&["import", &csv.display().to_string(), "--create-tags", "--server", &serve.url()]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(run(&["compact", "--server", &serve.url()]).0, 0);
    assert_eq!(healthy(&serve), (200, "ok\n".to_owned()));
    let mut pipe = serve.stderr.take().unwrap();
    serve.stop().unwrap();
    // It was more than the pipe holds: the rest went with the process.
    let mut log = String::new();
    std::io::Read::read_to_string(&mut pipe, &mut log).unwrap();
    assert!(log.len() > 60_000 && log.contains("SIGHUP") && !log.contains("signal=\"SIGTERM\""), "{} bytes", log.len());
}
