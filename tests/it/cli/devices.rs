//! `historian check` against devices that answer, answer badly, or are not there.

use std::{future, net::SocketAddr, time::Instant};

use historian_test_support::program::free_port;
use tokio::net::TcpListener;
use tokio_modbus::{
    ExceptionCode, Request, Response, SlaveRequest,
    server::{
        Service,
        tcp::{Server, accept_tcp_connection},
    },
};

use super::{directory, historian, path, stderr, stdout};

/// A device whose input registers 0 to 9 hold ten times their address; it refuses everything else.
struct Device;

impl Service for Device {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = future::Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        future::ready(match request.request {
            Request::ReadInputRegisters(start, count) if start + count <= 10 => {
                Ok(Response::ReadInputRegisters((start..start + count).map(|register| register * 10).collect()))
            }
            _ => Err(ExceptionCode::IllegalDataAddress),
        })
    }
}

/// Runs the device beside the test; it ends with the runtime.
fn device() -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(async move {
        let accept = |stream, peer| async move { accept_tcp_connection(stream, peer, |_| Ok(Some(Device))) };
        Server::new(listener).serve(&accept, |_| ()).await
    });
    (runtime, address)
}

/// Line of the table that starts with the tag.
fn line<'text>(text: &'text str, tag: &str) -> &'text str {
    text.lines().find(|line| line.split_whitespace().next() == Some(tag)).unwrap_or_else(|| panic!("no line for {tag} in\n{text}"))
}

#[test]
fn devices_that_answer_are_good_with_value_unit_quality_and_latency() {
    let (_runtime, address) = device();
    let toml = format!(
        "tag_files = [\"tags.csv\"]\n[[modbus]]\nname = \"plc\"\nendpoint = \"{address}\"\n\
         [[modbus.tag]]\nname = \"a/level\"\naddress = \"input:4\"\nscale = 0.1\nunit = \"m\"\n"
    );
    let directory = directory(&[("f.toml", &toml), ("tags.csv", "name,device,address,unit\na/flow,plc,input:7,m3/h\n")]);
    let output = historian(&["check", "--config", &path(&directory, "f.toml")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    let level: Vec<&str> = line(&text, "a/level").split_whitespace().collect();
    assert_eq!(level[..5], ["a/level", "input:4", "4", "m", "Good"], "{text}");
    assert!(level[5].parse::<f64>().is_ok() && level[6] == "ms", "{text}");
    let flow: Vec<&str> = line(&text, "a/flow").split_whitespace().collect();
    assert_eq!(flow[..5], ["a/flow", "input:7", "70", "m3/h", "Good"], "{text}");
    assert!(text.contains("modbus plc: 2 of 2 tags good") && text.ends_with("2 tags good, 0 bad\n"), "{text}");
}

#[test]
fn a_bad_tag_and_a_device_that_is_down_are_told_and_hide_nobody() {
    let (_runtime, address) = device();
    let toml = format!(
        "[[modbus]]\nname = \"down\"\nendpoint = \"127.0.0.1:{}\"\n[[modbus.tag]]\nname = \"d/one\"\naddress = \"input:0\"\n\
         [[modbus]]\nname = \"plc\"\nendpoint = \"{address}\"\n[[modbus.tag]]\nname = \"a/good\"\naddress = \"input:9\"\n\
         [[modbus.tag]]\nname = \"a/hole\"\naddress = \"input:500\"\n",
        free_port()
    );
    let directory = directory(&[("f.toml", &toml)]);
    let started = Instant::now();
    let output = historian(&["check", "--timeout", "5", "--config", &path(&directory, "f.toml")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(started.elapsed().as_secs() < 60, "a device that is down does not hold the check");
    assert!(line(&text, "a/good").contains(" 90 ") && line(&text, "a/good").contains("Good"), "{text}");
    assert!(line(&text, "a/hole").contains("Bad"), "{text}");
    assert!(line(&text, "a/hole").to_lowercase().contains("address"), "{text}");
    assert!(line(&text, "d/one").contains("Bad") && line(&text, "d/one").to_lowercase().contains("refused"), "{text}");
    assert!(text.contains("modbus down: 0 of 1 tags good") && text.contains("modbus plc: 1 of 2 tags good"), "{text}");
    assert!(text.ends_with("1 tags good, 2 bad\n"), "{text}");

    let output = historian(&["check", "--bad", "--config", &path(&directory, "f.toml")]);
    assert!(!stdout(&output).contains("a/good") && stdout(&output).contains("a/hole"), "{}", stdout(&output));
}

#[test]
fn a_device_that_accepts_and_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let toml = format!(
        "[[modbus]]\nname = \"mute\"\nendpoint = \"{address}\"\ntimeout_ms = 300\n[[modbus.tag]]\nname = \"m/one\"\naddress = \"input:0\"\n\
         [[modbus.tag]]\nname = \"m/two\"\naddress = \"coil:0\"\n"
    );
    let directory = directory(&[("f.toml", &toml)]);
    let output = historian(&["check", "--timeout", "2", "--config", &path(&directory, "f.toml")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for tag in ["m/one", "m/two"] {
        assert!(line(&text, tag).contains("Bad"), "{text}");
    }
    drop(silent);
}
