//! System calls that fail: `strace` puts an error in the place of the n-th fsync of each thread and of all that follow, without running them.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use historian::model::{Clock, SystemClock};

use super::has;

/// A failed call, as the trace has it.
#[derive(Clone, Debug)]
pub struct Failure {
    pub at: Instant,
    /// Name of the thread, where strace tells it.
    pub thread: String,
}

/// Why no call can be made to fail here.
pub fn unavailable() -> Option<String> {
    (!has("strace")).then(|| "strace is missing (.ci/setup test installs it where it can)".into())
}

fn options(trace: &Path, n: u64) -> Vec<OsString> {
    // -Y: the thread's name beside its number; -ttt: seconds since 1970.
    let inject = format!("inject=fsync,fdatasync:error=EIO:when={n}+");
    let mut words: Vec<OsString> = ["-f", "-Y", "-ttt", "-e", "trace=fsync,fdatasync", "-e", &inject, "-o"].map(OsString::from).to_vec();
    words.push(trace.into());
    words
}

/// What stands before a program so that its n-th fsync fails.
pub fn prefix(trace: &Path, n: u64) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["strace".into(), "--seccomp-bpf".into()];
    words.extend(options(trace, n));
    words
}

/// A tracer of a running process.
pub struct Tracer {
    child: Child,
}

impl Tracer {
    /// From now on the n-th fsync of each thread fails.
    ///
    /// # Errors
    /// The process may not be traced by us.
    pub async fn attach(pid: u32, trace: &Path, n: u64) -> anyhow::Result<Tracer> {
        let mut command = Command::new("strace");
        command.args(options(trace, n)).arg("-p").arg(pid.to_string());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("strace")?;
        let mut tracer = Tracer { child };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(status) = tracer.child.try_wait()? {
                bail!("strace may not attach to process {pid} ({status})");
            }
            if all_traced(pid) {
                return Ok(tracer);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("strace did not attach to process {pid} within 10 s")
    }

    /// Waits until the tracer has written everything; the traced process must have ended.
    pub fn end(mut self) {
        wait(&mut self.child, Duration::from_secs(5));
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child for a while.
pub fn wait(child: &mut Child, at_most: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < at_most && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn all_traced(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let paths: Vec<PathBuf> = tasks.flatten().map(|task| task.path().join("status")).collect();
    !paths.is_empty()
        && paths.iter().all(|path| {
            let status = std::fs::read_to_string(path).unwrap_or_default();
            status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
        })
}

/// Failed calls of a trace, in order.
pub fn failures(trace: &Path) -> Vec<Failure> {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    // The trace has the time of day, the driver monotonic time: one pair of both ties them together.
    let (now, wall) = (Instant::now(), SystemClock.now().0 as f64 / 1e9);
    let failure = |line: &str| {
        // 1234<committer> 1700000000.123456 fdatasync(31) = -1 EIO (Input/output error) (INJECTED)
        if !line.contains("(INJECTED)") {
            return None;
        }
        let thread = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(name, _)| name);
        let time: f64 = line.split_whitespace().find_map(|word| word.contains('.').then(|| word.parse().ok()).flatten())?;
        let at = now.checked_sub(Duration::try_from_secs_f64(wall - time).ok()?)?;
        Some(Failure { at, thread: thread.to_owned() })
    };
    text.lines().filter_map(failure).collect()
}
