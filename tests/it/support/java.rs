//! Java programs of `tests/peers/jdbc`, one file each, run by the JDK's source launcher with the unmodified JDBC driver beside them.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::peer;

/// The archives of `tests/peers/jdbc/pom.xml`, fetched by `make setup`.
fn archives() -> PathBuf {
    let cache = std::env::var_os("HISTORIAN_CACHE")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/historian"), PathBuf::from);
    let archives = cache.join("java");
    assert!(archives.join("pom.stamp").exists(), "{} has no Java archives: run `make setup` first", archives.display());
    archives
}

/// Longest run of a program.
const RUN_MAX: Duration = Duration::from_mins(8);

/// Runs a program to its end and shows what it says when it fails; its standard output. A start costs some seconds, so that one program
/// looks at one area. `options` are for the virtual machine: `-Xmx256m`, `-Duser.timezone=UTC`.
pub fn java(program: &str, options: &[&str], arguments: &[&str]) -> String {
    let mut child = Command::new("java")
        // The driver's own demand on Java 17 and newer; the rest makes starts short.
        .args(["--add-opens=java.base/java.nio=ALL-UNNAMED", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(options)
        .arg("-cp")
        .arg(archives().join("*"))
        .arg(peer::root().join("tests/peers/jdbc").join(program))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("java {program}: {error}; run `make setup` first"));
    let said = read(child.stdout.take());
    let complained = read(child.stderr.take());
    let begun = Instant::now();
    let mut failed = None;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child can be asked") {
            break status;
        }
        // The threads of a connection that is not closed would keep the machine running after its program has failed.
        if failed.is_none() && complained.lock().expect("readers do not panic").contains("Exception in thread \"main\"") {
            failed = Some(Instant::now());
        }
        if begun.elapsed() > RUN_MAX || failed.is_some_and(|at: Instant| at.elapsed() > Duration::from_secs(1)) {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = said.lock().expect("readers do not panic").clone();
    assert!(
        status.success() && failed.is_none(),
        "java {} {program} {}: {status}\n{said}\n{}",
        options.join(" "),
        arguments.join(" "),
        complained.lock().expect("readers do not panic")
    );
    said
}

/// What comes through a pipe, line by line.
fn read(pipe: Option<impl Read + Send + 'static>) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let (mut pipe, shared) = (BufReader::new(pipe.expect("it is piped")), text.clone());
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            shared.lock().expect("readers do not panic").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}
