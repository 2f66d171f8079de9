//! The unmodified JDBC driver of Flight SQL, as BI tools and Java programs use it: the programs of `tests/peers/jdbc`.

use crate::support::{
    historian::serve,
    java::java,
    peer::python,
    pytest::{Run, suite},
    sample,
};

#[test]
fn every_connection_string_and_both_pools_read() {
    let (historian, _directory) = sample::every_type();
    java("Connect.java", &[], &[&historian.grpc.to_string()]);
}

/// Names of tags and not the keys of a dictionary, qualities and u64 values as they are.
#[test]
fn values_of_every_type_are_shown_as_they_are() {
    let (historian, _directory) = sample::every_type();
    java("Types.java", &[], &[&historian.grpc.to_string()]);
}

#[test]
fn statements_with_parameters_of_every_type_are_answered() {
    let (historian, _directory) = sample::every_type();
    for zone in ["-Duser.timezone=UTC", "-Duser.timezone=Europe/Berlin"] {
        java("Parameters.java", &[zone], &[&historian.grpc.to_string()]);
    }
}

/// Arrow's Java client, which the driver has inside, and the driver itself.
#[test]
fn options_of_a_session_hold_for_its_calls_and_no_other() {
    let (historian, _directory) = sample::every_type();
    java("Sessions.java", &[], &[&historian.grpc.to_string()]);
}

#[test]
fn no_method_of_the_metadata_throws_but_those_that_the_driver_leaves_open() {
    let (historian, _directory) = sample::every_type();
    java("Metadata.java", &[], &[&historian.grpc.to_string()]);
}

#[test]
fn a_reader_that_ends_early_ends_the_work_of_the_server() {
    let (historian, _directory) = sample::every_type();
    let (flight, http) = (historian.grpc.to_string(), historian.http.to_string());
    java("Ends.java", &[], &[&flight, &http, "vanish"]);
    java("Ends.java", &[], &[&flight, &http]);
}

/// Ten million rows go through a small heap as they come.
#[test]
fn ten_million_rows_fit_into_a_small_heap() {
    let (historian, _directory) = sample::every_type();
    java("Rows.java", &["-Xmx256m"], &[&historian.grpc.to_string()]);
}

/// Over the end of summer time, in a machine that is set to the zone and in one that is not.
#[test]
fn times_are_right_by_the_calls_that_the_documentation_names() {
    let (historian, _directory) = sample::every_type();
    for zone in ["Europe/Berlin", "UTC"] {
        java("Times.java", &[&format!("-Duser.timezone={zone}")], &[&historian.grpc.to_string()]);
    }
}

suite!(
    SESSIONS,
    "sql_sessions",
    with_every_type,
    [
        options_of_the_session_go_by_the_cookie_of_gos_client,
        a_connection_has_a_zone_by_its_headers_and_credentials_of_any_kind,
        execution_by_increments_is_complete_at_once,
        both_forms_of_a_handshake_are_answered,
    ]
);

fn with_every_type(run: &mut Run) {
    let (historian, _directory) = sample::every_type();
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
}

suite!(
    TOOLS,
    "sql_tools_jdbc",
    through_the_driver,
    [a_statement_as_a_tool_writes_it_is_answered_through_the_driver_too, every_statement_was_asked,]
);

/// The statements that are tried over ADBC, with the same judge: what the driver does with escapes, types and labels makes no difference.
fn through_the_driver(run: &mut Run) {
    let directory = tempfile::tempdir().unwrap();
    let historian = serve(&directory.path().join("data"), &[]);
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (statements, answers, address) = (path("statements"), path("answers"), historian.grpc.to_string());
    python("tool_statements.py", &["list", &statements], &[("HISTORIAN_ADDRESS", &address)]);
    java("Statements.java", &[], &[&address, &statements, &answers]);
    run.cases(&[("HISTORIAN_ANSWERS", &answers)]);
}
