//! While a store is being opened a supervisor is told so, and a client is refused rather than left waiting.

use std::{fs, io::Write, net::TcpStream, process::Command};

use super::{run, talkative, wait_ready};

#[test]
fn while_the_store_opens_the_process_is_alive_not_ready_and_takes_no_client() {
    let directory = tempfile::tempdir().unwrap();
    // The first file that is opened is one that does not open until somebody writes into it: a store that takes long.
    let (watermark, slow) = (directory.path().join("WATERMARK"), directory.path().join("slow"));
    assert!(Command::new("mkfifo").arg(&watermark).status().unwrap().success());
    let mut serve = talkative(directory.path(), &[]).spawn().unwrap();
    serve.wait("alive", |serve| serve.get("/livez").is_ok());
    let starting = "starting: the store is being opened and its journal replayed\n";
    for _ in 0..2 {
        assert_eq!(serve.get("/livez").unwrap(), (200, "ok\n".to_owned()));
        assert_eq!(serve.get("/readyz").unwrap(), (503, starting.to_owned()));
        assert_eq!(serve.get("/healthz").unwrap(), (503, format!("not accepting writes: {starting}")));
        assert_eq!(serve.get("/metrics").unwrap(), (503, starting.to_owned()));
        assert_eq!(TcpStream::connect(serve.grpc).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let (code, _, told) = run(&["status", "--server", &serve.url()]);
    assert!(code == 1 && told.contains("cannot connect to"), "{told}");
    assert!(serve.log().contains("opening the store"), "{}", serve.log());

    // It opens now, and finds that there is no such file.
    fs::rename(&watermark, &slow).unwrap();
    let _ = fs::OpenOptions::new().write(true).open(&slow).unwrap().flush();
    wait_ready(&mut serve);
    assert_eq!(serve.get("/readyz").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(serve.get("/livez").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(run(&["status", "--server", &serve.url()]).0, 0, "what is ready answers");
    serve.stop().unwrap();
}

#[test]
fn a_port_that_somebody_listens_on_is_refused_before_the_store_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flags in [["--listen", &address, "--http", "127.0.0.1:0"], ["--http", &address, "--listen", "127.0.0.1:0"]] {
        let (code, _, told) = run(&[&["serve", "--data-dir", &data.display().to_string()], &flags[..]].concat());
        assert!(code == 1 && told.contains(&address) && told.contains("choose another address with"), "{code} {told}");
        assert!(!data.exists());
    }
}
