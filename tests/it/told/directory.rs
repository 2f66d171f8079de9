//! A data directory in use is left as it is by everybody else, and one at rest by those who only read it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use super::{healthy, historian, run, snapshot, start, text};
use crate::support::{
    door::{Door, row},
    historian::serve,
};

/// Names of the files in a directory and in its database, without what a running historian may make or remove at any time.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = [directory.to_owned(), directory.join("rocksdb")]
        .iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            !path.extension().is_some_and(|ending| (ending == "log" && path.starts_with(directory.join("rocksdb"))) || ending == "sst")
        })
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn who_starts_beside_a_running_historian_changes_nothing_in_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let running = start(&data, &[]);
    // As a demo that runs there would have them.
    for name in ["demo.log", "demo.toml"] {
        fs::write(data.join(name), "of the one that runs\n").unwrap();
    }
    // The local socket comes when the ports have answered already.
    let patience = Instant::now();
    while !data.join("historian.sock").exists() {
        assert!(patience.elapsed() < Duration::from_secs(30), "no local socket");
        std::thread::sleep(Duration::from_millis(10));
    }
    let before = names(&data);
    let data_dir = data.display().to_string();
    let ports = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", &data_dir];
    for command in [&["demo"][..], &["demo", "--accept-loss"], &["serve"], &["serve", "--accept-loss"]] {
        let (code, _, told) = run(&[command, &ports[..]].concat());
        assert_eq!(code, 1, "{command:?}: {told}");
        assert!(told.contains("a historian is running on it") && told.contains(&data_dir), "{command:?}: {told}");
        assert_eq!(names(&data), before, "{command:?}: RocksDB turned its own log over, or something was made");
        for name in ["demo.log", "demo.toml"] {
            assert_eq!(fs::read_to_string(data.join(name)).unwrap(), "of the one that runs\n", "{command:?}: {name}");
        }
    }
    for command in ["scrub", "inspect"] {
        let (code, _, told) = run(&[command, "--data-dir", &data_dir]);
        assert!(code == 1 && told.contains("a historian is running on it"), "{command}: {code} {told}");
    }
    let (code, _, told) = run(&["restore", "--from", &data_dir, "--data-dir", &data_dir]);
    assert_eq!(code, 1, "{told}");
    assert_eq!(names(&data), before);
    assert_eq!(healthy(&running), (200, "ok\n".to_owned()));
}

/// The program without the rights of root to write where nobody may: from a directory that it can read and not change.
fn unprivileged(arguments: &[&str]) -> Output {
    let plain = historian(arguments);
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(plain.get_program()).args(plain.get_args());
        command
    } else {
        plain
    };
    command.output().expect("the program starts")
}

fn all_below(directory: &Path) -> Vec<PathBuf> {
    snapshot(directory).into_iter().map(|(path, ..)| PathBuf::from(path)).chain([directory.to_owned()]).collect()
}

fn set_writable(directory: &Path, writable: bool) {
    for path in all_below(directory) {
        let mode = match (path.is_dir(), writable) {
            (true, true) => 0o755,
            (true, false) => 0o555,
            (false, true) => 0o644,
            (false, false) => 0o444,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_scrubbed_and_inspected_and_nothing_is_made_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut historian = serve(&data, &[]);
    let door = Door::to(&historian);
    let rows: Vec<_> = (0..3_000).map(|n| row(1_790_000_000_000_000_000 + n * 1_000_000, n as f64, 0)).collect();
    door.put("a/b", &rows[..2_000]);
    door.compact();
    door.put("a/b", &rows[2_000..]);
    historian.kill();
    let data_dir = data.display().to_string();
    // As it was left; and as a copy of its files without the lock, on a medium of its own.
    for lock in [true, false] {
        if !lock {
            fs::remove_file(data.join("rocksdb/LOCK")).unwrap();
        }
        set_writable(&data, false);
        let before = snapshot(&data);
        for (command, expected) in [("scrub", "2000 samples checked: all is sound"), ("inspect", "a/b")] {
            let output = unprivileged(&[command, "--data-dir", &data_dir]);
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            assert!(output.status.success() && out.contains(expected), "{command}, lock {lock}: {out}{err}");
            assert_eq!(snapshot(&data), before, "{command}, lock {lock}");
        }
        set_writable(&data, true);
    }
    // Where writing is permitted nothing is written either, and those who read do not hinder each other.
    let before = snapshot(&data);
    let _reading = historian::store::StoppedStore::open(&data).unwrap();
    assert_eq!(run(&["scrub", "--data-dir", &data_dir]).0, 0);
    assert_eq!(run(&["inspect", "--data-dir", &data_dir]).0, 0);
    let (code, _, told) = run(&["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", &data_dir]);
    assert!(code == 1 && told.contains("or `historian scrub`, `inspect` or `check` reads it"), "{code} {told}");
    assert_eq!(snapshot(&data), before);
}
