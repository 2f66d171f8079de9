//! Child processes of a test: Python peers of `tests/peers`, ended by their own pid when dropped.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use historian_test_support::process::Process;

/// A running peer. Its standard output is read line by line; its standard input takes commands. It is killed when dropped, and ends by
/// itself when its standard input closes.
pub struct Peer {
    process: Process,
    lines: mpsc::Receiver<String>,
    pub stdin: ChildStdin,
}

/// The Python interpreter with the test peers, made by `make setup` (`HISTORIAN_VENV`, by default `~/.cache/historian/venv`).
pub fn interpreter() -> PathBuf {
    let venv = std::env::var_os("HISTORIAN_VENV")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/historian/venv"), PathBuf::from);
    let python = venv.join("bin/python");
    assert!(python.exists(), "{} is missing: run `make setup` first", python.display());
    python
}

/// Runs a program of `tests/peers` to its end; its standard output.
pub fn python(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(interpreter())
        .arg(root().join("tests/peers").join(script))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script} failed:\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Peer {
    /// Starts `tests/peers/<script>` and waits for its line `ready …`; returns the peer and the rest of that line.
    pub fn python(script: &str, arguments: &[&str]) -> (Peer, String) {
        let mut command = Command::new(interpreter());
        command.arg("-u").arg(root().join("tests/peers").join(script)).args(arguments);
        let mut peer = Peer::start(&mut command);
        let ready = peer.line_starting("ready", Duration::from_mins(1));
        (peer, ready.trim_start_matches("ready").trim().to_owned())
    }

    /// Starts any command with piped input and output.
    pub fn start(command: &mut Command) -> Peer {
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap_or_else(|error| panic!("{error}"));
        let stdout = process.child().stdout.take().expect("stdout is piped");
        let stdin = process.child().stdin.take().expect("stdin is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Peer { process, lines, stdin }
    }

    /// Next output line that starts with `prefix`; others are passed over.
    pub fn line_starting(&mut self, prefix: &str, within: Duration) -> String {
        self.line_within(prefix, within).unwrap_or_else(|error| {
            panic!("no line {prefix:?} from the peer within {within:?}: {error}; exit {:?}", self.process.ended());
        })
    }

    /// The same, for a peer that may be started again.
    pub fn line_within(&mut self, prefix: &str, within: Duration) -> Result<String, mpsc::RecvTimeoutError> {
        let deadline = std::time::Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.lines.recv_timeout(left)? {
                line if line.starts_with(prefix) => return Ok(line),
                _ => {}
            }
        }
    }

    /// A line that it has printed already, if there is one.
    pub fn next_line(&mut self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
