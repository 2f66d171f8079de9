//! SQL from outside: the ADBC driver for Flight SQL, and what stands on it.

use historian::api::ApiLimits;
use historian_proto::v1::{DeleteRangeRequest, Tag, ValueType};

use crate::{
    api::{self, python},
    support::{door::Door, historian::Historian},
};

#[test]
fn adbc_reads_and_nothing_is_written() {
    let limits = ApiLimits { sql_memory_bytes_max: 16 << 20, ..ApiLimits::default() };
    let historian = api::Historian::start(limits);
    python("sql_adbc.py", &[&historian.grpc.to_string()]);
}

#[test]
fn answers_are_of_the_values_bound_and_in_types_that_every_client_reads() {
    let historian = api::Historian::start(ApiLimits::default());
    python("sql_bound.py", &[&historian.grpc.to_string()]);
}

#[test]
fn statements_that_would_run_for_hours_stop_no_other_client_and_end_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let historian = Historian::serve(&directory.path().join("data"), &[]);
    python("sql_runaway.py", &[&historian.flight.to_string(), &historian.pid().to_string()]);
}

/// The same answers as `DuckDB`'s from heads, from chunks and rollups, after corrections, and after a restart.
#[test]
fn statements_are_answered_as_duckdb_answers_them() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut historian = Historian::serve(&data, &[]);
    let door = Door::to(&historian);
    let states = ["off", "on", "fault"].map(str::to_owned).to_vec();
    door.create(Tag { name: "t/state".into(), value_type: ValueType::State.into(), state_set: states, ..Tag::default() });
    let run = |historian: &Historian, phase: &str| python("sql_differential.py", &[&historian.flight.to_string(), phase]);

    run(&historian, "write");
    run(&historian, "check");
    door.compact();
    run(&historian, "check");
    for line in run(&historian, "correct").lines() {
        let ["delete", tag, start, end] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let request = DeleteRangeRequest {
            tags: vec![tag.to_owned()],
            start: start.to_owned(),
            end: end.to_owned(),
            reason: "a trial".into(),
            ..DeleteRangeRequest::default()
        };
        door.delete(request).unwrap();
    }
    run(&historian, "check-corrected");
    historian.kill();
    let historian = Historian::serve(&data, &[]);
    Door::to(&historian).compact();
    run(&historian, "check-corrected");
}

/// Statements of Power BI, Tableau, Excel, SAP MII and others, letter for letter, and what `DuckDB` answers to the same in its own words.
#[test]
fn statements_as_tools_write_them_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let historian = Historian::serve(&directory.path().join("data"), &[]);
    python("sql_tools.py", &[&historian.flight.to_string()]);
}
