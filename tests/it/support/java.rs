//! Java programs of `tests/peers/jdbc`, one file each, run by the JDK's source launcher with the unmodified JDBC driver beside them.

use std::{path::PathBuf, process::Command};

use super::peer;

/// The archives of `tests/peers/jdbc/pom.xml`, fetched by `make setup`.
fn archives() -> PathBuf {
    let cache = std::env::var_os("HISTORIAN_CACHE")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/historian"), PathBuf::from);
    let archives = cache.join("java");
    assert!(archives.join("pom.stamp").exists(), "{} has no Java archives: run `make setup` first", archives.display());
    archives
}

/// Runs a program to its end and shows what it says when it fails; its standard output. A start costs some seconds, so that one program
/// looks at one area. `options` are for the virtual machine: `-Xmx256m`, `-Duser.timezone=UTC`.
pub fn java(program: &str, options: &[&str], arguments: &[&str]) -> String {
    let output = Command::new("java")
        // The driver's own demand on Java 17 and newer; the rest makes starts short.
        .args(["--add-opens=java.base/java.nio=ALL-UNNAMED", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(options)
        .arg("-cp")
        .arg(archives().join("*"))
        .arg(peer::root().join("tests/peers/jdbc").join(program))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("java {program}: {error}; run `make setup` first"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "java {} {program} {}: {}\n{said}\n{}",
        options.join(" "),
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
