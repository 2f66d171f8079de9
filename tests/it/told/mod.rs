//! What is done is told where the person looks, or does not happen: the audit log, the log, exit codes, health.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use crate::support::historian::{Historian, Launcher, Log, command as historian, launcher, run, text};

mod audit;
mod demo;
mod directory;
mod signals;
mod start;

const PATIENCE: Duration = Duration::from_mins(1);

/// `historian serve` that logs as it does by default.
fn talkative(data_dir: &Path, arguments: &[&str]) -> Launcher {
    Launcher { level: "info", ..launcher(data_dir, arguments) }
}

/// Starts it and waits until it is ready.
fn start(data_dir: &Path, arguments: &[&str]) -> Historian {
    talkative(data_dir, arguments).start().unwrap()
}

/// Starts it with its log in a pipe of the test, and does not wait for anything.
fn begin_piped(data_dir: &Path) -> Historian {
    Launcher { log: Log::Pipe, ..talkative(data_dir, &[]) }.spawn().unwrap()
}

fn wait_ready(serve: &mut Historian) {
    assert_eq!(serve.wait_ready().unwrap(), None, "it serves");
}

/// A health page.
fn healthy(serve: &Historian) -> (u16, String) {
    serve.get("/healthz").unwrap()
}

/// What the audit log says of changes of what is stored, as JSON; without new tags, settings and upkeep.
fn audit_log(serve: &Historian) -> Vec<serde_json::Value> {
    let (code, out, err) = run(&["audit", "--format", "json", "--server", &serve.url()]);
    assert_eq!(code, 0, "{err}");
    let entries = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries.filter(|entry| !["configuration", "create_tag", "compact"].map(Some).contains(&entry["action"].as_str())).collect()
}

/// Every file and directory below a directory, with its size and the time of its last change.
fn snapshot(directory: &Path) -> Vec<(String, u64, i64, i64)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let (path, about) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            found.push((path.display().to_string(), about.len(), about.mtime(), about.mtime_nsec()));
            if about.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort();
    found
}
