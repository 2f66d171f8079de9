//! What people see: commands on pseudo terminals of 80 and 120 columns against what was recorded, the shell of SQL, and pipes.

use std::process::{Command, Stdio};

use super::{command, server::Server, stderr, stdout};
use crate::support::peer::{interpreter, root};

/// Compares what the program shows with what a program of `tests/golden` recorded; with `record` in the place of `compare` it records anew.
fn shows_what_was_recorded(program: &str) {
    let output = Command::new(interpreter())
        .arg(root().join("tests/golden").join(program))
        .args(["compare", env!("CARGO_BIN_EXE_historian")])
        .stdin(Stdio::null())
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn the_main_commands_fit_their_terminal_and_show_what_was_recorded() {
    shows_what_was_recorded("terminal.py");
}

/// 200 points of a spreadsheet and 2,000 nodes of a browse, a wrong word order found and mended, 50 tags added and one renamed while it
/// collects: docs/commissioning.md, command by command.
#[test]
fn a_whole_commissioning_goes_as_its_document_shows() {
    shows_what_was_recorded("commissioning.py");
}

#[test]
fn a_pipe_gets_no_colours_no_progress_and_whole_cells() {
    let server = Server::start();
    server.write_samples();
    let table = server.succeed(&["query", "range", "plant/pressure", "--start", "2026-01-01", "--limit", "9", "--format", "table"]);
    assert!(table.contains("BadSensorFailure") && !table.contains('\u{1b}') && !table.contains('…'), "{table}");
    // A width is that of a terminal; here is none.
    let output = command(&["query", "range", "plant/pressure", "--start", "2026-01-01", "--limit", "9", "--format", "table"])
        .env("HISTORIAN_SERVER", server.url())
        .env("COLUMNS", "30")
        .output()
        .expect("the program starts");
    assert_eq!(stdout(&output), table);
}

#[test]
fn variables_that_are_empty_count_as_unset() {
    let server = Server::start();
    let output = command(&["health", "--server", &server.url()])
        .envs(
            ["HISTORIAN_SERVER", "HISTORIAN_TOKEN", "HISTORIAN_TLS_CA", "HISTORIAN_TLS_CLIENT_CERT", "HISTORIAN_TLS_CLIENT_KEY"]
                .map(|name| (name, "")),
        )
        .output()
        .expect("the program starts");
    assert_eq!(stdout(&output), "SERVING\n", "{}", stderr(&output));
    // Without an address it is the default one, not an empty one.
    let output = command(&["status"]).env("HISTORIAN_SERVER", "").output().expect("the program starts");
    assert!(output.status.success() || stderr(&output).contains("grpc://127.0.0.1:8815"), "{}", stderr(&output));
}

#[test]
fn what_is_not_there_is_told_in_words() {
    let server = Server::start();
    server.write_samples();
    for (arguments, told) in [
        (&["tag", "list", "x/**"][..], "no tag matches 'x/**'\n"),
        (&["tag", "list", "--filter", "unit=furlong"], "no tag has unit=furlong\n"),
        (&["query", "current", "x/**"], "no tag matches 'x/**'\n"),
        (&["query", "range", "plnt/**"], "no tag matches 'plnt/**'\ndid you mean 'plant/**'?\n"),
        (
            &["query", "range", "plant/**", "--start", "2027-01-01", "--end", "2027-01-02"],
            "nothing between 2027-01-01T00:00:00.000Z and 2027-01-02T00:00:00.000Z\n",
        ),
        (&["gaps"], "no gaps are recorded\n"),
        (&["annotation", "list"], "there are no annotations\n"),
        (&["annotation", "list", "x/**"], "there are no annotations on 'x/**'\n"),
        (&["sql", "SELECT 1 AS one WHERE false"], "no rows\n"),
    ] {
        let output = server.run(arguments);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), told), "{arguments:?}");
    }
}

#[test]
fn every_command_that_prints_has_json_of_one_object_a_line() {
    let server = Server::start();
    server.write_samples();
    for (arguments, key) in [
        (&["status"][..], "devices"),
        (&["health"], "status"),
        (&["compact"], "chunks_sealed"),
        (&["reload"], "devices_unchanged"),
        (&["whoami"], "rights"),
        (&["detectors"], "parameters"),
        (&["tag", "list"], "value_type"),
        (&["tag", "set", "plant/pressure", "--unit", "mbar", "--range", "0..16"], "range_high"),
        (&["query", "current"], "quality"),
        (&["inspect"], "bytes"),
        (&["audit"], "action"),
        (&["measure", "plant/pressure", "--start", "2026-01-01", "--end", "2026-01-02", "--measure", "percent_good"], "numerator"),
        (&["sql", "SELECT count(*) AS n FROM samples"], "n"),
        (&["annotation", "create", "plant/pressure", "--text", "valve stuck"], "version"),
        (&["annotation", "list"], "author"),
        (&["annotation", "update", "1", "--end", "*+1h"], "end"),
        (&["annotation", "delete", "1"], "removed"),
        (&["tag", "rename", "plant/pressure", "plant/header"], "renamed_from"),
        (&["tag", "delete", "plant/header", "--yes"], "samples_at_most"),
    ] {
        let told = server.succeed(&[arguments, &["--format", "json"]].concat());
        let key = if key == "value_type" { "type" } else { key };
        assert!(told.lines().count() >= 1, "{arguments:?}");
        for line in told.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {line}"));
            assert!(object.get(key).is_some(), "{arguments:?}: no {key} in {line}");
        }
    }
}

#[test]
fn a_tag_is_set_and_deleted_by_name() {
    let server = Server::start();
    server.write_samples();
    let told = server.succeed(&[
        "tag",
        "set",
        "plant/pressure",
        "--unit",
        "kPa",
        "--description",
        "Header",
        "--range",
        "-1..",
        "--stepped",
        "true",
    ]);
    assert_eq!(
        told,
        "name         plant/pressure\ntype         f64\nunit         kPa\ndescription  Header\nrange        -1..\nstepped      yes\n"
    );
    let told = server.succeed(&["tag", "set", "plant/pressure", "--range", "none", "--description", ""]);
    assert!(!told.contains("range") && !told.contains("description") && told.contains("kPa"), "{told}");
    assert_eq!(server.run(&["tag", "set", "plant/pressure"]).status.code(), Some(2));
    let refused = server.run(&["tag", "delete", "plant/pressure"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("there is no terminal to ask on; add --yes"), "{}", stderr(&refused));
    assert_eq!(server.succeed(&["tag", "delete", "plant/pressure", "--yes"]), "plant/pressure and its samples are deleted\n");
    assert!(stderr(&server.run(&["query", "current", "plant/pressure"])).contains("there is no tag"));
}

#[test]
fn is_distinct_from_binds_closer_than_and_and_a_tag_that_there_is_not_is_named() {
    let server = Server::start();
    let asked = "SELECT 1 IS NOT DISTINCT FROM 1.0 AND 2 <> 3 AS x, NOT 1 IS DISTINCT FROM 2 OR 2 < 3 AS y, 2 IS DISTINCT FROM 2 z";
    assert_eq!(server.succeed(&["sql", asked, "--format", "csv"]), "x,y,z\ntrue,true,false\n");
    let labelled = server.succeed(&["sql", "SELECT 1 IS DISTINCT FROM 2 OR 2 = 3", "--format", "csv"]);
    assert_eq!(labelled, "Int64(1) IS DISTINCT FROM Int64(2) OR Int64(2) = Int64(3)\ntrue\n");
    let refused = server.run(&["sql", "SELECT * FROM downsample('[\"nothing\"]', '2026-01-01', '2026-01-02')"]);
    let told = "downsample: there is no tag \"nothing\"";
    assert!(stderr(&refused).contains(told), "{}", stderr(&refused));
}

#[test]
fn statements_come_as_argument_from_a_file_and_from_standard_input() {
    let server = Server::start();
    server.write_samples();
    let files = super::directory(&[("two.sql", "SELECT 1 AS one; -- and\nSELECT ';' AS \"two;\";\n")]);
    let file = super::path(&files, "two.sql");
    assert_eq!(server.succeed(&["sql", "-f", &file, "--format", "csv"]), "one\n1\ntwo;\n;\n");
    let mut child = command(&["sql", "--format", "csv"])
        .env("HISTORIAN_SERVER", server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin is piped"), b"SELECT 2 AS two").expect("it is read");
    assert_eq!(stdout(&child.wait_with_output().expect("it ends")), "two\n2\n");
    let asked = "SELECT count(*) AS n FROM samples WHERE tag = $tag AND value >= $low AND timestamp < $end";
    let bound = ["--parameter", "tag=plant/pressure", "--parameter", "low=10", "--parameter", "end=2026-01-01T00:00:00.1Z"];
    let n = (0..100).filter(|sample| super::server::value(*sample).is_some_and(|value| value >= 10.0)).count();
    assert_eq!(server.succeed(&[&["sql", asked, "--format", "csv"], &bound[..]].concat()), format!("n\n{n}\n"));
    assert_eq!(server.run(&["sql", asked]).status.code(), Some(2), "parameters without values");
    assert_eq!(server.run(&["sql", "SELECT 1", "-p", "x=1"]).status.code(), Some(2), "a value without its parameter");
    assert_eq!(server.run(&["sql", "SELECT nonsense"]).status.code(), Some(1));
}

#[test]
fn rows_of_a_file_get_what_tags_were_at_their_times() {
    let server = Server::start();
    server.write_samples();
    let files = super::directory(&[("orders.csv", "order,began\nA,2026-01-01T00:00:00.0035Z\nB,2025-12-31T00:00:00Z\nC,\n")]);
    let joined =
        server.succeed(&["as-of", &super::path(&files, "orders.csv"), "plant/pressure", "--time-column", "began", "--format", "json"]);
    let rows: Vec<serde_json::Value> = joined.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(rows.len(), 3, "{joined}");
    assert_eq!((&rows[0]["order"], &rows[0]["began"]), (&"A".into(), &"2026-01-01T00:00:00.0035Z".into()));
    assert_eq!(rows[0]["plant/pressure"].as_f64(), super::server::value(3));
    assert!(rows[1]["plant/pressure"].is_null() && rows[2]["plant/pressure"].is_null(), "{joined}");
    let refused = server.run(&["as-of", &super::path(&files, "orders.csv"), "plant/pressure"]);
    assert!(stderr(&refused).contains("has no column \"timestamp\"; it has order, began; --time-column"), "{}", stderr(&refused));
    // A column of theirs that would go without a word.
    let files = super::directory(&[("orders.csv", "timestamp,began\nB,2025-12-31T00:00:00Z\n")]);
    let refused = server.run(&["as-of", &super::path(&files, "orders.csv"), "plant/pressure", "--time-column", "began"]);
    assert!(stderr(&refused).contains("has a column \"timestamp\" beside \"began\""), "{}", stderr(&refused));
}

#[test]
fn a_feed_goes_on_behind_its_position_and_ends_with_ctrl_c() {
    use std::io::{BufRead, BufReader};

    let server = Server::start();
    server.write_samples();
    let mut child = command(&["subscribe", "plant/**", "--current"])
        .env("HISTORIAN_SERVER", server.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let first: serde_json::Value = serde_json::from_str(&lines.next().expect("a line").expect("a line")).expect("an object");
    assert_eq!((&first["tag"], &first["position"]), (&"plant/pressure".into(), &0.into()));
    let files = super::directory(&[("new.csv", "tag,timestamp,value\nplant/pressure,2026-02-01T00:00:00Z,4.5\n")]);
    server.succeed(&["import", &super::path(&files, "new.csv")]);
    let next: serde_json::Value = serde_json::from_str(&lines.next().expect("a line").expect("a line")).expect("an object");
    assert_eq!(next["value"].as_f64(), Some(4.5));
    let position = next["position"].as_u64().expect("a position");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    assert!(stderr(&ended).contains(&format!("--position {position} goes on behind it")), "{}", stderr(&ended));
}
