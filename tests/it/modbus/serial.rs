//! Serial lines: pseudo terminals of socat stand for the ports, pymodbus' serial server and the misbehaving device of ours for what is
//! wired to them.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use historian::{
    collector::status::DeviceState,
    model::{Quality, Value},
    server::config::{Overrides, parse},
};
use historian_test_support::{process::Process, skip};
use tempfile::TempDir;

use super::{
    build,
    device::{Answer, Device, Framing, register},
    eventually, start, try_build, values,
};

/// No terminal of ours becomes the controlling one (`O_NOCTTY` of Linux).
const NO_CONTROL: i32 = 0o400;

/// A line between two ends, of which one at least is a port.
struct Wire {
    directory: TempDir,
    far: String,
    socat: Process,
    /// Keeps the port in being while nobody else has it open, as one in hardware is.
    held: Option<File>,
}

impl Wire {
    /// A line to another port; `None` where there is no socat.
    fn to_port() -> Option<Wire> {
        let directory = tempfile::tempdir().unwrap();
        let far = format!("pty,raw,echo=0,link={}", directory.path().join("far").display());
        let wire = Wire::laid(directory, far)?;
        Wire::wait_for(&wire.path("far"));
        Some(wire)
    }

    /// A line to a device of ours.
    fn to(device: &Device) -> Option<Wire> {
        Wire::laid(tempfile::tempdir().unwrap(), format!("tcp:127.0.0.1:{}", device.port))
    }

    fn laid(directory: TempDir, far: String) -> Option<Wire> {
        if Command::new("socat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            skip::without("socat", "socat is not installed");
            return None;
        }
        let socat = Wire::socat(&directory.path().join("port"), &far);
        let mut wire = Wire { directory, far, socat, held: None };
        wire.hold();
        Some(wire)
    }

    fn socat(port: &Path, far: &str) -> Process {
        Process::start(Command::new("socat").arg(format!("pty,raw,echo=0,link={}", port.display())).arg(far).stderr(Stdio::null())).unwrap()
    }

    fn hold(&mut self) {
        Wire::wait_for(&self.port());
        self.held = Some(OpenOptions::new().read(true).write(true).custom_flags(NO_CONTROL).open(self.port()).unwrap());
    }

    fn wait_for(path: &Path) {
        let begin = Instant::now();
        while !path.exists() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{}: not within 20 s", path.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn port(&self) -> PathBuf {
        self.path("port")
    }

    /// Keys of the end here. A pseudo terminal knows no parity.
    fn keys(&self, baud_rate: u32) -> String {
        format!("endpoint = \"{}\"\ntransport = \"rtu\"\nbaud_rate = {baud_rate}\nparity = \"none\"\n", self.port().display())
    }

    fn unplug(&mut self) {
        drop(self.held.take());
        self.socat.kill();
        // A port of hardware takes its name with it.
        let _ = std::fs::remove_file(self.port());
    }

    fn plug(&mut self) {
        self.socat = Wire::socat(&self.port(), &self.far);
        self.hold();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymodbus_values_are_exact_over_a_serial_line() {
    let Some(wire) = Wire::to_port() else { return };
    let (_peer, _) = values::server(&["serial", &wire.path("far").display().to_string()]).await;
    values::reads_exactly(&format!("{}scan_ms = 1000\n", wire.keys(115_200))).await;
}

/// mbpoll, a master that no one here wrote, reads the same from the same server as we do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mbpoll_and_we_read_the_same() {
    let Some(wire) = Wire::to_port() else { return };
    let (_peer, _) = values::server(&["serial", &wire.path("far").display().to_string()]).await;
    let text = format!("name = \"line\"\n{}[[tag]]\nname = \"t\"\naddress = \"2!holding:5\"\n", wire.keys(19_200));
    let rows = build(&text).check(Duration::from_secs(20)).await;
    assert_eq!((rows[0].value.clone(), rows[0].error.as_str()), (Some(Value::U64(20_005)), ""));
    let port = wire.port();
    let judged = tokio::task::spawn_blocking(move || {
        Command::new("mbpoll").args(["-m", "rtu", "-a", "2", "-b", "19200", "-P", "none", "-t", "4", "-r", "6", "-1"]).arg(port).output()
    });
    let Ok(judged) = judged.await.unwrap() else {
        skip::without("mbpoll", "mbpoll is not installed");
        return;
    };
    let told = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(told.contains("20005"), "{told}{}", String::from_utf8_lossy(&judged.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_unit_on_the_line_does_not_starve_its_neighbours_and_noise_costs_nothing() {
    let device = Device::start(Framing::Rtu).await;
    device.behave(|request| match request.unit {
        2 => Answer::Lost,
        3 => Answer::Noisy(3, 2),
        _ => Answer::Good,
    });
    let Some(wire) = Wire::to(&device) else { return };
    let mut text = format!("name = \"line\"\n{}scan_ms = 100\ntimeout_ms = 200\n", wire.keys(115_200));
    for unit in 1..=3 {
        text += &format!("[[tag]]\nname = \"u{unit}\"\naddress = \"{unit}!input:7\"\n");
    }
    let mut running = start(&text);
    eventually("the dead one is Bad", || running.count("u2") > 0).await;
    let (begin, before) = (Instant::now(), running.count("u1"));
    eventually("the living deliver", || running.count("u1") >= before + 30 && running.count("u3") >= before + 20).await;
    let expected = begin.elapsed().as_millis() / 100;
    let polls = (running.count("u1") - before) as u128;
    assert!(polls >= expected / 3, "{polls} of {expected} polls");
    assert_eq!(running.status.view().state, DeviceState::Degraded);
    device.behave(|_| Answer::Good);
    eventually("the dead one comes back", || running.is_good("u2")).await;
    running.stop().await;
    for unit in 1..=3 {
        for (_, value, _) in running.samples(&format!("u{unit}")) {
            assert!(value.is_none_or(|value| value == Value::U64(register(unit, 7).into())), "unit {unit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_that_is_unplugged_is_an_outage_with_its_reason_and_ends_when_it_is_back() {
    let device = Device::start(Framing::Rtu).await;
    let Some(mut wire) = Wire::to(&device) else { return };
    let text =
        format!("name = \"line\"\n{}scan_ms = 50\ntimeout_ms = 500\n[[tag]]\nname = \"t\"\naddress = \"input:7\"\n", wire.keys(115_200));
    let mut running = start(&text);
    eventually("it delivers", || running.is_good("t")).await;
    wire.unplug();
    eventually("it is Bad", || running.last("t").is_some_and(|sample| sample.2 == Quality::BAD_NO_COMMUNICATION)).await;
    eventually("the reason", || running.status.view().last_error.contains("is the adapter plugged in?")).await;
    assert_eq!(running.status.view().state, DeviceState::Backoff);
    wire.plug();
    eventually("it delivers again", || running.is_good("t")).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_has_one_user() {
    let device = Device::start(Framing::Rtu).await;
    let Some(wire) = Wire::to(&device) else { return };
    let text = format!("name = \"line\"\n{}[[tag]]\nname = \"t\"\naddress = \"input:7\"\n", wire.keys(9600));
    let other = OpenOptions::new().read(true).custom_flags(NO_CONTROL).open(wire.port()).unwrap();
    other.lock().unwrap();
    let rows = build(&text).check(Duration::from_secs(20)).await;
    assert!(rows[0].error.contains("another program holds the port"), "{}", rows[0].error);
    assert_eq!(rows[0].quality, Quality::BAD_NO_COMMUNICATION);
    drop(other);
    // Our own collector lets go of it, too.
    for _ in 0..3 {
        let rows = build(&text).check(Duration::from_secs(20)).await;
        assert_eq!((rows[0].error.as_str(), rows[0].value.clone()), ("", Some(Value::U64(7))));
    }
    let missing = text.replace(&wire.port().display().to_string(), "/dev/ttyNOBODY");
    let rows = build(&missing).check(Duration::from_secs(20)).await;
    assert!(rows[0].error.contains("there is no such port"), "{}", rows[0].error);
}

/// At 300 baud 3.5 characters of 10 bits are 117 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_parted_by_silence() {
    let device = Device::start(Framing::Rtu).await;
    let Some(wire) = Wire::to(&device) else { return };
    let mut text = format!("name = \"line\"\n{}max_gap = 0\n", wire.keys(300));
    for address in 0..4 {
        text += &format!("[[tag]]\nname = \"t{address}\"\naddress = \"input:{}\"\n", address * 10);
    }
    let begin = Instant::now();
    let rows = build(&text).check(Duration::from_secs(20)).await;
    assert!(rows.iter().all(|row| row.error.is_empty()), "{rows:?}");
    assert!(begin.elapsed() >= Duration::from_millis(4 * 116), "{:?}", begin.elapsed());
}

#[test]
fn what_no_serial_line_can_have_is_refused() {
    let tag = "[[tag]]\nname = \"t\"\naddress = \"holding:1\"\n";
    for (keys, key, part) in [
        ("endpoint = \"/dev/ttyUSB0\"", "endpoint", "write transport = \"rtu\" beside it"),
        ("endpoint = \"COM1\"\ntransport = \"rtu-over-tcp\"", "endpoint", "write transport = \"rtu\" beside it"),
        ("endpoint = \"10.0.0.7:502\"\ntransport = \"rtu\"", "endpoint", "transport = \"rtu-over-tcp\""),
        ("endpoint = \"ttyUSB0\"\ntransport = \"rtu\"", "endpoint", "such as /dev/ttyUSB0"),
        ("endpoint = \"/dev/ttyUSB0\"\ntransport = \"rtu\"\nbaud_rate = 200", "baud_rate", "300 to 4000000"),
        ("endpoint = \"/dev/ttyUSB0\"\ntransport = \"rtu\"\nstop_bits = 3", "stop_bits", "1 or 2"),
        ("endpoint = \"/dev/ttyUSB0\"\ntransport = \"rtu\"\ndata_bits = 7", "data_bits", "Modbus ASCII"),
        ("endpoint = \"/dev/ttyUSB0\"\ntransport = \"rtu\"\nunit = 0", "unit", "1 to 247"),
        ("endpoint = \"/dev/ttyUSB0\"\ntransport = \"rtu\"\ntls = true", "tls", "no TLS"),
        ("endpoint = \"/dev/ttyUSB0\"\ntransport = \"rtu\"\naccept_any_transaction = true", "accept_any_transaction", "no transaction ids"),
        ("endpoint = \"10.0.0.7:502\"\nparity = \"even\"", "transport", "parity is set"),
        ("endpoint = \"10.0.0.7:802\"\nca_file = \"Cargo.toml\"", "tls", "only tls = true uses it"),
        ("endpoint = \"10.0.0.7:802\"\ntls = true\nkey_file = \"Cargo.toml\"", "certificate_file", "beside it"),
        ("endpoint = \"10.0.0.7:802\"\ntls = true\nca_file = \"none.pem\"", "ca_file", "there is no file"),
        ("endpoint = \"10.0.0.7:802\"\ntls = true\ntransport = \"rtu-over-tcp\"", "tls", "for transport = \"tcp\""),
    ] {
        let problems = try_build(&format!("name = \"d\"\n{keys}\n{tag}")).err().unwrap_or_default();
        assert_eq!(problems.len(), 1, "{keys}: {problems:#?}");
        assert_eq!(problems[0].key, format!("modbus.d.{key}"), "{keys}: {}", problems[0]);
        assert!(problems[0].message.contains(part), "{keys}: {}", problems[0]);
    }
    let long = "[[tag]]\nname = \"t\"\naddress = \"holding:1\"\nformat = \"string:125\"\n";
    let slow = try_build(&format!("name = \"d\"\nendpoint = \"/dev/ttyS0\"\ntransport = \"rtu\"\nbaud_rate = 1200\n{long}"));
    let slow = slow.err().unwrap_or_default();
    assert!(slow[0].message.contains("125 registers") && slow[0].message.contains("2.4s at 1200 8E1"), "{slow:?}");
}

#[test]
fn two_devices_do_not_share_a_port() {
    let table = |name: &str, port: &str| {
        format!(
            "[[modbus]]\nname = \"{name}\"\nendpoint = \"{port}\"\ntransport = \"rtu\"\n\
             [[modbus.tag]]\nname = \"{name}/t\"\naddress = \"holding:1\"\n"
        )
    };
    let read = |ports: [&str; 2]| {
        let text = table("one", ports[0]) + &table("two", ports[1]);
        parse("historian.toml", &text, Path::new("."), &Overrides::default()).map(|read| read.collectors.len())
    };
    assert_eq!(read(["/dev/ttyUSB0", "/dev/ttyUSB1"]), Ok(2));
    let problems = read(["/dev/ttyUSB0", "/dev/ttyUSB0"]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let shown = problems[0].to_string();
    assert!(shown.starts_with("historian.toml:10: modbus.two.endpoint: /dev/ttyUSB0 is the port of device one as well"), "{shown}");
}
