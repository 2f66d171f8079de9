//! The page in a browser: the tests of `tests/web`, which Node runs with Debian's Chromium against the real program. What each of them promises says
//! its name; all that fail are told.

use std::{path::Path, process::Command};

use historian_test_support::skip;

use crate::support::{
    historian::serve,
    peer::{interpreter, root},
};

/// Runs a file of the tests. `None` where the machine lacks what they need.
fn run(file: &str, environment: &[(&str, &str)]) -> Option<String> {
    let has_node = Command::new("node").arg("--version").output().is_ok();
    let has_modules = ["web", "tests/web"].iter().all(|folder| root().join(folder).join("node_modules").is_dir());
    if !has_node || !has_modules || !Path::new("/usr/bin/chromium").exists() {
        skip::without("chromium", "Node, the npm packages of web and tests/web, or /usr/bin/chromium is not there");
        return None;
    }
    let output = Command::new("node")
        .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .arg(root().join("tests/web").join(file))
        .envs(environment.iter().copied())
        .current_dir(root())
        .output()
        .expect("node runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    Some(said)
}

#[test]
fn the_page_does_in_a_browser_what_it_promises() {
    let directory = tempfile::tempdir().unwrap();
    let historian = serve(&directory.path().join("data"), &[]);
    let environment = [
        ("HISTORIAN_HTTP", &*format!("http://{}", historian.http)),
        ("HISTORIAN_ADDRESS", &*historian.grpc.to_string()),
        ("HISTORIAN_BINARY", env!("CARGO_BIN_EXE_historian")),
        ("HISTORIAN_PYTHON", &*interpreter().display().to_string()),
    ];
    // The file with the 100,000 tags comes last.
    for (file, promises) in [("annotations.test.mjs", 7), ("views.test.mjs", 5), ("collectors.test.mjs", 6), ("page.test.mjs", 20)] {
        if let Some(said) = run(file, &environment) {
            assert!(said.matches("✔ W").count() > promises, "{file}: {said}");
        }
    }
}

#[test]
fn the_committed_page_is_what_its_sources_build() {
    run("bundle.test.mjs", &[]);
}
