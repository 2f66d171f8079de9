//! Clients in Go, as their users have them: grpc-go with code made of the `.proto` files, arrow-go's Flight SQL client and its driver for
//! `database/sql`, and grpcurl. The programs are in `tests/peers/go`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

use historian_test_support::skip;

use crate::support::{
    historian::{self, Historian},
    peer,
};

/// The folder with the built programs; `None` where this machine has no Go, cannot get it, and tests may be passed over for that.
pub fn programs() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let output = Command::new(peer::root().join("tests/peers/go/build")).stderr(Stdio::inherit()).output().expect("the script starts");
        match output.status.code() {
            Some(0) => Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())),
            Some(3) => None,
            _ => panic!("the Go programs cannot be built: {}", output.status),
        }
    });
    if built.is_none() {
        skip::without("go", "there is no Go that is new enough");
    }
    built.as_deref()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The built program with an empty store and a directory for backups.
fn serve() -> (Historian, TempDir, String) {
    let folder = TempDir::new().expect("a temporary directory");
    let configuration = folder.path().join("historian.toml");
    std::fs::write(&configuration, "[backup]\ndirectory = \"backups\"\n").expect("the configuration is written");
    let historian = historian::serve(&folder.path().join("data"), &["--config", &configuration.display().to_string()]);
    let address = historian.grpc.to_string();
    (historian, folder, address)
}

fn run(program: &str) {
    let Some(programs) = programs() else { return };
    let (_historian, _folder, address) = serve();
    let output = Command::new(programs.join(program)).arg(&address).output().expect("the program starts");
    assert!(output.status.success() && told(&output).ends_with("ok\n"), "{program}: {}", told(&output));
}

#[test]
fn grpc_go_calls_each_method_of_each_service() {
    run("services");
}

#[test]
fn the_flight_sql_client_of_arrow_go_reads_every_type_and_binds_what_it_is_told() {
    run("flightsql");
}

#[test]
fn the_database_sql_driver_of_arrow_go_works_with_the_ways_round_its_limits() {
    run("database");
}

#[test]
fn grpcurl_lists_describes_and_calls() {
    let Some(programs) = programs() else { return };
    let (_historian, _folder, address) = serve();
    let ask = |arguments: &[&str]| {
        let output = Command::new(programs.join("grpcurl")).arg("-plaintext").args(arguments).output().expect("grpcurl starts");
        (output.status.success(), told(&output))
    };
    let done = |arguments: &[&str]| {
        let (success, told) = ask(arguments);
        assert!(success, "{arguments:?}: {told}");
        told
    };
    let listed = done(&[&address, "list"]);
    for service in ["TagService", "WriteService", "QueryService", "CollectorService", "AdminService"] {
        assert!(listed.contains(&format!("historian.v1.{service}")), "{listed}");
        done(&[&address, "describe", &format!("historian.v1.{service}")]);
    }
    assert!(listed.contains("grpc.health.v1.Health"), "{listed}");
    let described = done(&[&address, "describe", "historian.v1.RangeRequest.Boundary"]);
    assert!(described.contains("BOUNDARY_INSIDE = 1"), "{described}");

    let call = |body: &str, method: &str| done(&["-d", body, &address, method]);
    call(r#"{"tag": {"name": "a/b", "value_type": "VALUE_TYPE_I64", "range_low": 0}}"#, "historian.v1.TagService/CreateTag");
    // 2^53 + 1, as text and back as text: no digit is lost on the way.
    let samples =
        r#"{"samples": [{"tag": "a/b", "timestamps": ["1767225600000000001"], "values": {"i64": {"values": ["9007199254740993"]}}}]}"#;
    assert!(call(samples, "historian.v1.WriteService/WriteSamples").contains(r#""samples": "1""#));
    let current = call(r#"{"tags": ["a/*"]}"#, "historian.v1.QueryService/CurrentValues");
    assert!(current.contains(r#""1767225600000000001""#) && current.contains(r#""9007199254740993""#), "{current}");
    let range = call(r#"{"tags": ["a/b"], "start": "0", "boundary": "BOUNDARY_OUTSIDE"}"#, "historian.v1.QueryService/Range");
    assert!(range.contains(r#""9007199254740993""#), "{range}");
    assert!(call("{}", "historian.v1.AdminService/GetServerStatus").contains(r#""acceptingWrites": true"#));
    assert!(call("{}", "grpc.health.v1.Health/Check").contains("SERVING"));
    let (success, refused) = ask(&["-d", r#"{"name": "none"}"#, &address, "historian.v1.TagService/GetTag"]);
    assert!(!success && refused.contains("NotFound") && refused.contains(r#""reason": "TAG_NOT_FOUND""#), "{refused}");
}
