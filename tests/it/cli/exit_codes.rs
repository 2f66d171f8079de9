//! The exit codes that `docs/cli.md` promises, command by command.

use std::fs;

use super::{command, directory, path, server::Server, stderr};

/// Runs without a historian anywhere.
fn alone(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).env("HISTORIAN_SERVER", "grpc://127.0.0.1:1").output().expect("the program starts");
    (output.status.code(), stderr(&output))
}

#[test]
fn a_command_that_can_never_do_what_it_says_ends_with_two() {
    let files = directory(&[
        ("broken.toml", "[server]\nlisten = 7\n"),
        ("tags.csv", "name,type\na,f46\n"),
        ("far.toml", "[server]\nlisten = \"0.0.0.0:1\"\n"),
    ]);
    let file = |name: &str| path(&files, name);
    for arguments in [
        &["--no-such-flag"][..],
        &["nonsense"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--config", &file("missing.toml")],
        &["serve", "--config", &file("broken.toml")],
        &["serve", "--config", &file("far.toml")],
        &["demo", "--config", &file("broken.toml"), "--data-dir", &file("demo")],
        &["demo", "--modbus", "0.0.0.0:0", "--data-dir", &file("demo")],
        &["check"],
        &["check", "--config", &file("broken.toml")],
        &["check", "--config", &file("broken.toml"), "--offline"],
        &["tag", "import", &file("tags.csv")],
        &["tag", "import", &file("missing.csv")],
        &["tag", "list", "--format", "parquet"],
        &["query", "range"],
        &["query", "range", "a", "--layout", "tall"],
        &["query", "aggregate", "a"],
        &["query", "aggregate", "a", "--functions", "average", "--interval", "1h", "--calendar", "day"],
        &["query", "anomalies", "a", "--detector", "spike", "--parameter", "window=1h", "--parameter", "window=2h"],
        &["export", "a", "--start", "y", "--output", &file("out.csv"), "--compression", "lz4"],
        &["delete", "a", "--start", "y", "--end", "t"],
        &["backup", "--keep", "0"],
        &["backup", "verify", "--all", "1"],
        &["restore", "--from", &file("backups")],
        &["status", "--server", "ftp://127.0.0.1:1"],
        &["status", "--server", "grpc://127.0.0.1:1", "--tls-ca", &file("ca.crt")],
        &["tls", "init"],
        &["tls", "client", "--name", "a/b", "--dir", &file("tls")],
        &["tls", "show"],
    ] {
        let (code, told) = alone(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {told}");
        assert!(!told.is_empty(), "{arguments:?}");
    }
    let output = command(&["serve", "--data-dir", &file("data")]).env("HISTORIAN_LOG", "historian=loud=").output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("HISTORIAN_LOG=historian=loud= is no log filter"), "{}", stderr(&output));
    let mut left: Vec<_> = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["broken.toml", "far.toml", "tags.csv"], "nothing was begun");
}

#[test]
fn what_fails_or_is_not_good_ends_with_one() {
    let files = directory(&[
        ("mistake.csv", "tag,timestamp,value\na,yesterday,1\n"),
        ("dead.toml", "[[modbus]]\nname = \"d\"\nendpoint = \"127.0.0.1:1\"\n[[modbus.tag]]\nname = \"t\"\naddress = \"holding:1\"\n"),
    ]);
    let file = |name: &str| path(&files, name);
    // No historian there, nothing in the place that is named, a device that does not answer.
    for arguments in [
        &["status"][..],
        &["tag", "list"],
        &["query", "current"],
        &["export", "a", "--start", "y", "--output", &file("out.parquet")],
        &["compact"],
        &["backup"],
        &["audit"],
        &["gaps"],
        &["annotation", "list"],
        &["tag", "rename", "a", "b"],
        &["detectors"],
        &["check", "--config", &file("dead.toml"), "--timeout", "1"],
        &["scrub", "--data-dir", &file("nowhere")],
        &["inspect", "--data-dir", &file("nowhere")],
        &["backup", "list", "--from", &file("nowhere")],
        &["restore", "--from", &file("nowhere"), "--data-dir", &file("new")],
    ] {
        let (code, told) = alone(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {told}");
    }
    assert!(!files.path().join("nowhere").exists() && !files.path().join("new").exists() && !files.path().join("historian-data").exists());
    // A historian that refuses, and files of samples with a mistake.
    let server = Server::start();
    for arguments in [
        &["query", "range", "no/such"][..],
        &["query", "range", "**", "--start", "yesterday"],
        &["import", &file("mistake.csv")],
        &["import", &file("missing.csv")],
        &["replace", &file("mistake.csv"), "--start", "y", "--end", "t", "--reason", "test", "--yes"],
        &["delete", "**", "--start", "y", "--end", "t", "--reason", "nobody to ask"],
        &["backup"],
        &["inspect", "no/such"],
        &["tag", "rename", "no/such", "a"],
        &["annotation", "create", "no/such", "--text", "x"],
        &["annotation", "delete", "1"],
    ] {
        let output = server.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in
        [&["check", "--config", &file("dead.toml"), "--offline"][..], &["status"], &["scrub"], &["compact"], &["audit"], &["gaps"]]
    {
        let output = server.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn check_makes_nothing_but_the_certificate_that_serve_would_make() {
    let text = "[server]\ndata_dir = \"data\"\n[[opcua]]\nname = \"d\"\nendpoint = \"opc.tcp://127.0.0.1:1\"\npki_dir = \"pki\"\n\
                [[opcua.tag]]\nname = \"t\"\naddress = \"nsu=urn:plant;s=t\"\n";
    let files = directory(&[("historian.toml", text)]);
    let left = || {
        let mut left: Vec<_> = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        left
    };
    let config = path(&files, "historian.toml");
    assert_eq!(alone(&["check", "--config", &config, "--offline"]).0, Some(0));
    assert_eq!(left(), ["historian.toml"]);
    assert_eq!(alone(&["check", "--config", &config, "--timeout", "5"]).0, Some(1), "nobody answers");
    assert_eq!(left(), ["historian.toml", "pki"]);
    assert!(files.path().join("pki/own/cert.der").is_file());
}
