//! `historian demo` from outside, as a newcomer meets it: it starts, both devices deliver, what it prints can be pasted and runs, Ctrl-C
//! stops it, and starting again continues the history.

mod history;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use historian::{
    model::Quality,
    simulator::{SIGNALS, Signal, SignalAddress},
};

use historian_test_support::process::{self, Process};

use crate::{
    go,
    support::{
        historian::command,
        peer::{interpreter, root},
        pytest::{Run, suite},
    },
};

const PATIENCE: Duration = Duration::from_secs(90);

/// A running demo whose output goes to a file.
struct Demo {
    process: Process,
    output: std::path::PathBuf,
}

impl Demo {
    fn start(directory: &Path, run: u32) -> Demo {
        Demo::start_with(directory, run, &[])
    }

    fn start_with(directory: &Path, run: u32, arguments: &[&str]) -> Demo {
        let output = directory.join(format!("output-{run}"));
        let mut command = command(&["demo", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"]);
        command.arg(directory.join("data")).args(arguments).stdout(File::create(&output).expect("output file"));
        command.stderr(File::create(directory.join(format!("errors-{run}"))).expect("error file"));
        Demo { process: Process::start(&mut command).expect("the program starts"), output }
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.output).expect("output is readable")
    }

    /// Waits until the output has the text, and returns the output.
    fn wait_for(&mut self, text: &str) -> String {
        let output = self.output.clone();
        let printed = || fs::read_to_string(&output).ok().filter(|printed| printed.contains(text));
        match self.process.until(PATIENCE, printed) {
            Ok(Some(printed)) => printed,
            other => panic!("no {text:?}: {other:?}; printed:\n{}\n{}", self.printed(), self.told()),
        }
    }

    /// What went to standard error and the log.
    fn told(&self) -> String {
        let errors =
            fs::read_to_string(self.output.with_file_name(self.output.file_name().unwrap().to_str().unwrap().replace("output", "errors")));
        let log = fs::read_to_string(self.output.with_file_name("data").join("demo.log"));
        format!("{}\n{}", errors.unwrap_or_default(), log.unwrap_or_default())
    }

    /// Sends a signal and returns the exit code.
    fn stop(&mut self, signal: process::Signal) -> Option<i32> {
        self.process.signal(signal).unwrap();
        match self.process.end(Duration::from_secs(30)) {
            Ok(status) => status.code(),
            Err(error) => panic!("{signal:?}: {error}:\n{}\n{}", self.printed(), self.told()),
        }
    }
}

/// The indented lines below a headline, without the indentation.
fn recipe(printed: &str, headline: &str) -> String {
    let below = printed.lines().skip_while(|line| !line.starts_with(headline)).skip(1);
    let lines: Vec<&str> = below.map_while(|line| line.strip_prefix("    ")).collect();
    assert!(!lines.is_empty(), "no recipe {headline:?} in:\n{printed}");
    lines.join("\n")
}

/// The word that starts with a prefix.
fn word<'text>(printed: &'text str, prefix: &str) -> &'text str {
    printed.split_whitespace().find(|word| word.starts_with(prefix)).unwrap_or_else(|| panic!("no {prefix} in:\n{printed}"))
}

fn succeeded(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Extent of one tag's history as pyarrow reads it.
#[derive(Debug, serde::Deserialize)]
struct Extent {
    samples: u64,
    good: u64,
    qualities: Vec<u32>,
    first: i64,
    last: i64,
    /// Timestamps strictly ascend.
    ascending: bool,
}

fn history(server: &str) -> BTreeMap<String, Extent> {
    let script = root().join("tests/peers/demo_history.py");
    let text = succeeded(Command::new(interpreter()).arg(script).arg(server));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

suite!(
    DEVICES,
    "demo_devices",
    a_newcomer,
    [the_modbus_device_holds_what_was_collected_and_takes_no_write, the_opcua_device_holds_what_was_collected,]
);

#[test]
fn a_newcomer_starts_it_pastes_what_it_prints_stops_it_and_goes_on() {
    DEVICES.judge("a_newcomer_starts_it_pastes_what_it_prints_stops_it_and_goes_on");
}

fn a_newcomer(run: &mut Run) {
    let directory = tempfile::tempdir().expect("a directory");
    // Every sample is counted below.
    let mut demo = Demo::start_with(directory.path(), 1, &["--history", "0"]);
    let printed = demo.wait_for("tags Good");
    assert!(printed.contains("this is the first run"), "{printed}");
    let server = word(&printed, "grpc://").to_owned();

    // Both devices deliver, and the devices are what other clients take them for.
    let deadline = Instant::now() + PATIENCE;
    let first = loop {
        let extents = history(&server);
        let good = |signal: &&Signal| extents.get(signal.tag).is_some_and(|extent| extent.good > 0);
        let (modbus, opcua): (Vec<&Signal>, _) =
            SIGNALS.iter().filter(good).partition(|signal| matches!(signal.wire, SignalAddress::Modbus { .. }));
        // An instrument of each may be broken just now.
        if modbus.len() >= 28 && opcua.len() >= 26 {
            break extents;
        }
        assert!(Instant::now() < deadline, "{extents:#?}\n{}", demo.told());
        std::thread::sleep(Duration::from_millis(300));
    };
    assert!(first.values().all(|extent| extent.ascending), "{first:#?}");
    run.cases(&[
        ("HISTORIAN_MODBUS", word(&printed, "tcp://")),
        ("HISTORIAN_OPCUA", word(&printed, "opc.tcp://")),
        ("HISTORIAN_ADDRESS", server.trim_start_matches("grpc://")),
    ]);

    recipes_run(&printed);
    documented_requests_run(word(&printed, "http://"));

    // The instruments that break do so early, and the history says how.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let extents = history(&server);
        let shows = |tag: &str, quality: Quality| extents[tag].qualities.contains(&quality.0);
        if shows("demo/intake/conductivity", Quality::BAD_DEVICE_FAILURE)
            && shows("demo/product/ph", Quality::BAD_SENSOR_FAILURE)
            && shows("demo/utility/boiler/oxygen", Quality::UNCERTAIN_SENSOR_NOT_ACCURATE)
            && shows("demo/heating/tank201/temperature", Quality::BAD_NO_DATA)
        {
            break;
        }
        assert!(Instant::now() < deadline, "{extents:#?}\n{}", demo.told());
        std::thread::sleep(Duration::from_secs(1));
    }

    assert_eq!(demo.stop(process::Signal::INT), Some(0), "{}\n{}", demo.printed(), demo.told());
    assert!(demo.printed().contains("Stopped."), "{}", demo.printed());

    let mut demo = Demo::start(directory.path(), 2);
    let printed = demo.wait_for("tags Good");
    assert!(printed.contains("History: continued"), "{printed}");
    let server = word(&printed, "grpc://").to_owned();
    let second = history(&server);
    for (tag, before) in &first {
        let after = &second[tag];
        assert_eq!(after.first, before.first, "{tag}: the first sample of the first run is gone");
        assert!(after.samples >= before.samples && after.last >= before.last && after.ascending, "{tag}: {before:?} then {after:?}");
    }
    let total = |extents: &BTreeMap<String, Extent>| extents.values().map(|extent| extent.samples).sum::<u64>();
    assert!(total(&second) > total(&first));
    assert_eq!(demo.stop(process::Signal::TERM), Some(0), "{}\n{}", demo.printed(), demo.told());
    // A panic on the way here is told by every test of this story.
    run.also("a_newcomer_starts_it_pastes_what_it_prints_stops_it_and_goes_on", || ());
}

/// What the documents ask over HTTP is answered by the demo, for which it is written.
fn documented_requests_run(page: &str) {
    let mut found = 0;
    for document in ["README.md", "docs/http.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect("the document is there");
        for block in text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).filter(|block| block.contains("/api/v1/")) {
            let code =
                block.replace("http://127.0.0.1:8080/", page).replace("curl ", "curl --fail-with-body --silent --show-error --globoff ");
            let answers = succeeded(Command::new("bash").args(["-euo", "pipefail", "-c", &code]));
            assert!(answers.contains("demo/"), "{document}: {answers}");
            found += 1;
        }
    }
    assert_eq!(found, 2, "blocks of requests in the documents");
    let address = page.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
    let (code, index) = historian_test_support::http::get(address, "/").expect("the page");
    assert!(code == 200 && index.contains("/app.js"), "{index}");
}

/// The recipes run as they are printed.
fn recipes_run(printed: &str) {
    let frame = succeeded(Command::new(interpreter()).args(["-c", &recipe(printed, "Python (")]));
    assert!(frame.contains("timestamp") && frame.contains("demo/heating/tank201/temperature"), "{frame}");
    let answers = succeeded(Command::new(interpreter()).args(["-c", &recipe(printed, "Python, asking")]));
    assert!(answers.contains("time_average") && answers.contains("percent_good") && answers.contains("quality"), "{answers}");
    let answers = succeeded(Command::new(interpreter()).args(["-c", &recipe(printed, "SQL (")]));
    assert!(answers.contains("demo/heating/tank201/temperature") && answers.contains("time_average"), "{answers}");
    let answer = succeeded(Command::new(interpreter()).args(["-c", &recipe(printed, "Python gRPC")]).current_dir(root()));
    assert!(answer.contains("demo/product/ph"), "{answer}");
    for line in recipe(printed, "Command line").lines() {
        let table = succeeded(Command::new("sh").args(["-c", line]));
        assert!(table.contains("demo/utility/boiler/pressure"), "{line}:\n{table}");
    }
}

#[test]
fn a_secured_demo_is_reached_by_the_lines_that_it_prints_and_by_no_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut demo = Demo::start_with(directory.path(), 1, &["--secure"]);
    let printed = demo.wait_for("tags Good");
    std::thread::sleep(Duration::from_secs(5)); // a few samples of slow signals
    recipes_run(&printed);
    if let Some(programs) = go::programs() {
        let grpcurl = recipe(&printed, "gRPC (").replacen("grpcurl", &programs.join("grpcurl").display().to_string(), 1);
        let answer = succeeded(Command::new("sh").args(["-c", &grpcurl]));
        assert!(answer.contains("demo/product/ph"), "{answer}");
    }

    let line = recipe(&printed, "Command line").lines().next().unwrap().to_owned();
    let refused = |without: &str, expected: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let at = words.iter().position(|word| *word == without).unwrap();
        let left = [&words[..at], &words[at + 2..]].concat().join(" ");
        let Output { status, stderr, .. } = Command::new("sh").args(["-c", &left]).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&stderr).into_owned();
        assert!(!status.success() && told.contains(expected), "{left}: {told}");
    };
    refused("--token-file", "token");
    refused("--tls-ca", "authority");
    // A reader reads.
    let compacts = line.replace("query current 'demo/**'", "compact");
    let Output { status, stderr, .. } = Command::new("sh").args(["-c", &compacts]).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && told.contains("permission denied"), "{told}");
    let token = fs::read_to_string(directory.path().join("data/demo.token")).unwrap();
    assert!(token.starts_with("hst_") && !printed.contains(token.trim()), "the token is in its file alone");
    assert_eq!(demo.stop(process::Signal::INT), Some(0), "{}\n{}", demo.printed(), demo.told());

    // What was pasted once works with the next demo, but for its port.
    let mut demo = Demo::start_with(directory.path(), 2, &["--secure"]);
    let again = demo.wait_for("tags Good");
    let (before, now) = (word(&printed, "grpc+tls://").to_owned(), word(&again, "grpc+tls://").to_owned());
    let table = succeeded(Command::new("sh").args(["-c", &line.replace(&before, &now)]));
    assert!(table.contains("demo/utility/boiler/pressure"), "{table}");
    assert_eq!(demo.stop(process::Signal::TERM), Some(0), "{}\n{}", demo.printed(), demo.told());
}

#[test]
fn a_taken_port_is_named_and_nothing_is_left_running() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = command(&["demo", "--listen", &address, "--http", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path())
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&address) && errors.contains("--listen"), "{errors}");
}

#[test]
fn it_ends_by_itself_after_its_duration() {
    let directory = tempfile::tempdir().expect("a directory");
    let printed = succeeded(
        command(&["demo", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--duration-s", "1", "--data-dir"]).arg(directory.path()),
    );
    assert!(printed.contains("Stopped."), "{printed}");
}
