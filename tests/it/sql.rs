//! SQL from outside: the ADBC driver for Flight SQL, and what stands on it.

use historian::api::ApiLimits;
use historian_proto::v1::{Tag, ValueType};

use crate::{
    api,
    support::{
        door::Door,
        historian::{Historian, serve},
        pytest::{Run, suite},
    },
};

suite!(
    ADBC,
    "sql_adbc",
    of_little_memory,
    [
        samples_have_their_columns_and_types_and_every_row,
        rows_are_selected_by_tag_time_quality_and_value,
        samples_are_joined_grouped_and_read_by_functions,
        groups_are_the_same_from_states_and_from_samples,
        parameters_are_bound_by_number_and_by_question_mark,
        the_catalog_is_as_tools_ask_for_it,
        what_is_wrong_or_writes_is_refused_in_clear_words,
        a_statement_beyond_its_memory_is_refused_by_the_name_of_the_bound,
        a_deadline_of_the_client_ends_its_statement,
        a_statement_is_cancelled_while_it_runs,
        answers_go_into_the_hands_of_polars_duckdb_and_pandas,
    ]
);

fn of_little_memory(run: &mut Run) {
    let limits = ApiLimits { sql_memory_bytes_max: 16 << 20, ..ApiLimits::default() };
    let historian = api::served(limits);
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
}

suite!(
    BOUND,
    "sql_bound",
    api::in_memory,
    [
        an_answer_is_of_the_values_that_were_bound_when_it_was_asked_for,
        the_type_of_what_is_sent_counts_and_not_the_declared_one,
        one_nanosecond_is_not_rounded_away,
        what_is_told_of_an_answer_is_what_is_sent,
        types_are_those_that_every_client_reads,
        values_are_the_same_in_the_hands_of_another_engine,
        several_rows_of_parameters_are_several_executions_with_one_answer,
        a_long_statement_is_taken_and_a_list_without_end_is_not,
        buffers_are_compressed_where_that_is_asked_for,
    ]
);

suite!(RUNAWAY, "sql_runaway", as_a_process, [a_statement_that_would_run_for_hours_stops_no_other_client_and_ends_when_told,]);

fn as_a_process(run: &mut Run) {
    let directory = tempfile::tempdir().unwrap();
    let historian = serve(&directory.path().join("data"), &[]);
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string()), ("HISTORIAN_PID", &historian.pid().to_string())]);
}

suite!(
    DIFFERENTIAL,
    "sql_differential",
    from_heads_to_a_restart,
    [a_statement_is_answered_as_duckdb_answers_it, a_sum_of_integers_is_exact_or_refused, all_statements_for_the_judge_are_there,]
);

/// The same answers as `DuckDB`'s from heads, from chunks and rollups, after corrections, and after a restart.
fn from_heads_to_a_restart(run: &mut Run) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut historian = serve(&data, &[]);
    let door = Door::to(&historian);
    let states = ["off", "on", "fault"].map(str::to_owned).to_vec();
    door.create(Tag { name: "t/state".into(), value_type: ValueType::State.into(), state_set: states, ..Tag::default() });
    let mut phase = |historian: &Historian, phase| {
        run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string()), ("HISTORIAN_PHASE", phase)]);
    };
    phase(&historian, "heads");
    door.compact();
    phase(&historian, "chunks");
    phase(&historian, "corrected");
    historian.kill();
    let historian = serve(&data, &[]);
    Door::to(&historian).compact();
    phase(&historian, "restarted");
}

suite!(
    TOOLS,
    "sql_tools",
    as_a_process,
    [a_statement_as_a_tool_writes_it_is_answered_as_by_the_judge, the_file_has_the_rows_of_the_judge, all_statements_of_tools_are_there,]
);
