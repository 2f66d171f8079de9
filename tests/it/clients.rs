//! Clients as their users have them: the Python package, the recipes of the documentation, the Rust example.

use std::process::Command;

use historian_test_support::skip;
use tempfile::TempDir;

use crate::support::{
    historian::{self, Historian},
    pytest::{Run, suite},
};

/// The built program with an empty store.
fn serve() -> (Historian, TempDir, String) {
    let data = TempDir::new().expect("a temporary directory");
    let historian = historian::serve(&data.path().join("data"), &[]);
    let address = historian.grpc.to_string();
    (historian, data, address)
}

fn with_an_empty_store(run: &mut Run) {
    let (_historian, _data, address) = serve();
    run.cases(&[("HISTORIAN_ADDRESS", &address)]);
}

suite!(
    PACKAGE,
    "client_package",
    with_an_empty_store,
    [
        every_kind_of_the_same_moment_is_the_same_text_or_nanoseconds,
        every_kind_of_table_is_written_and_comes_back,
        a_write_that_is_refused_says_why_and_how_far_it_came,
        a_source_that_fails_halfway_ends_the_write_and_says_how_far_it_came,
        the_catalog_current_values_and_a_range_in_all_its_forms,
        samples_are_told_apart_by_their_severity,
        aggregates_are_plain_arithmetic,
        a_plot_has_no_more_points_than_asked_and_both_ends,
        a_spike_is_found_counted_and_scored,
        detectors_tell_their_parameters,
        measures_are_those_of_an_hour_by_hand,
        a_measure_that_makes_no_sense_is_refused,
        rows_of_any_kind_come_back_as_they_were_with_what_the_tags_were_then,
        a_join_has_a_tolerance_to_the_nanosecond,
        a_join_takes_millions_of_rows_and_none,
        a_join_that_makes_no_sense_is_refused,
        a_join_that_cannot_be_made_in_time_says_so,
        sql_is_asked_by_the_statement_alone,
        refusals_are_exceptions_that_a_program_can_tell_apart,
        a_token_goes_with_every_call_and_is_shown_nowhere,
        a_token_is_not_sent_where_it_could_be_read_on_the_way,
        the_bar_is_a_line,
    ]
);

suite!(
    FRAME,
    "client_frame",
    with_an_empty_store,
    [
        raw_samples_are_joined_and_nothing_bad_is_a_value,
        qualities_stand_beside_where_they_are_asked_for,
        sampled_values_are_those_of_numpy_and_pandas,
        no_row_is_a_number_where_the_last_sample_is_bad,
        what_is_yet_to_come_is_no_value,
        days_of_23_and_25_hours_are_those_of_the_zone,
        the_starts_of_calendar_intervals_are_those_of_pandas,
        an_aggregate_of_a_stepped_tag_draws_no_line,
        polars_and_arrow_have_the_same_types_and_values,
        answers_without_rows_and_without_tags_have_their_columns,
        a_frame_that_makes_no_sense_is_refused,
        what_a_frame_has_is_written_back_as_it_was,
        with_their_qualities_bad_samples_are_written_back_without_values,
        a_missing_value_is_dropped_bad_or_a_mistake,
        states_are_written_by_their_names,
        times_without_a_zone_are_written_only_where_it_is_said,
        a_frame_with_a_mistake_is_refused_and_nothing_is_written,
        a_write_that_fails_halfway_says_how_far_it_came,
        a_million_rows_take_memory_in_proportion,
    ]
);

suite!(
    MANAGE,
    "client_manage",
    with_an_empty_store,
    [
        a_tag_is_made_found_changed_and_gone,
        all_pages_of_tags_are_found,
        a_text_is_put_on_tags_changed_and_removed,
        samples_are_deleted_for_a_reason,
        samples_are_replaced_as_one_write,
        one_sample_is_edited,
        the_server_tells_of_itself,
        values_are_bound_and_never_part_of_the_text,
        a_statement_takes_as_many_values_as_it_has_places,
        an_export_into_csv_is_csv,
        what_csv_has_is_imported_as_it_was,
        a_directory_of_csv_has_the_whole,
    ]
);

suite!(
    CONNECT,
    "client_connect",
    with_an_empty_store,
    [
        addresses_may_be_short,
        localhost_is_enough,
        variables_count_where_nothing_is_said_and_empty_ones_are_none,
        nobody_listens_or_answers,
        the_port_is_of_something_else,
        a_port_with_tls_is_told_without_a_storm,
        a_certificate_that_is_not_trusted_is_told_as_what_it_is,
        a_certificate_of_the_client_that_is_missing_is_told,
        tokens_that_are_missing_wrong_and_narrow_are_told_apart,
        a_local_socket_that_is_not_there_is_told,
        another_server_and_an_old_version_are_told,
        a_historian_that_comes_up_later_is_found_at_once,
    ]
);

suite!(
    SHOW,
    "client_show",
    with_an_empty_store,
    [
        a_notebook_shows_words_and_nothing_of_samples_as_markup,
        an_answer_is_shortened_in_the_middle_and_says_how_much_there_is,
        names_of_qualities_are_those_of_the_historian,
        a_line_ends_where_it_is_bad_and_bad_is_hatched,
        what_was_not_recorded_is_blank,
        stepped_tags_are_steps_and_states_are_rows_with_their_names,
        no_line_runs_across_a_bad_run_at_the_edges,
        aggregates_are_drawn_and_what_cannot_be_is_refused,
        a_million_samples_are_drawn_within_seconds,
        answers_in_a_notebook_are_tables_of_html,
        a_notebook_has_a_bar_of_widgets_or_a_line,
        the_example_runs_cell_by_cell,
    ]
);

suite!(
    BUILD,
    "client_build",
    with_an_empty_store,
    [
        mypy_finds_nothing_in_the_package_and_every_mistake_of_its_user,
        a_wheel_is_built_by_one_command_without_a_network,
        versions_and_licences_are_the_same_everywhere,
        the_descriptors_are_those_of_the_protos,
        options_are_those_of_the_historian,
        what_is_not_installed_is_named_where_it_is_needed,
        what_the_async_client_has_are_the_calls_that_read,
        modules_stay_small_and_say_what_they_are_for,
    ]
);

suite!(
    ASYNC,
    "client_async",
    with_an_empty_store,
    [
        answers_are_those_of_the_other_client,
        refusals_are_the_same_and_the_loop_goes_on_meanwhile,
        a_task_that_is_cancelled_leaves_no_query_behind,
        samples_come_as_they_are_written,
    ]
);

suite!(
    EXPORT,
    "client_export",
    with_an_empty_store,
    [
        a_directory_has_the_whole_in_parts_and_the_same_again_fetches_nothing,
        an_export_that_was_interrupted_is_taken_up_by_another_client,
        relative_times_mean_other_samples_each_time,
        one_file_of_each_kind_has_the_whole,
        an_export_of_nothing_has_its_columns,
        tags_of_several_types_are_exported_with_all_that_an_import_needs,
        arrow_files_in_parts_are_the_whole,
        a_connection_that_fails_leaves_no_file,
        one_client_serves_several_threads,
    ]
);

suite!(
    SUBSCRIBE,
    "client_subscribe",
    with_an_empty_store,
    [
        rows_are_new_once_however_a_stream_is_cut_and_lost,
        a_subscription_follows_resumes_and_ends_when_it_is_closed,
        subscriptions_that_nobody_holds_are_ended,
        a_subscription_that_waits_is_interrupted,
        every_sample_comes_once_in_order_over_a_wire_that_breaks,
        current_values_come_once_over_a_wire_that_breaks,
        a_subscription_that_makes_no_sense_is_refused,
        a_historian_that_is_killed_stopped_and_stalled_loses_no_subscriber,
    ]
);

suite!(RECIPES, "recipes", recipes_and_example, [a_block_runs_and_prints_what_the_document_says, the_document_has_its_blocks,]);

/// Every block of the page in its order, and after that the Rust example on what they wrote.
fn recipes_and_example(run: &mut Run) {
    let (historian, _data, address) = serve();
    run.cases(&[("HISTORIAN_ADDRESS", &address), ("HISTORIAN_HTTP", &historian.http.to_string())]);
    run.also("the_rust_example_reads_what_the_recipes_wrote", || {
        // Built with the workspace; not there when only this package is tested.
        let built = std::env::current_exe().expect("this test has a path");
        let example = built.ancestors().nth(2).expect("the directory of the profile").join("examples/query");
        if !example.exists() {
            skip::without("rust-example", &format!("{} is not built: only the tests of the whole workspace build it", example.display()));
            return;
        }
        let arguments = [&format!("http://{address}"), "plant/boiler/pressure", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"];
        let output = Command::new(example).args(arguments).output().expect("the example starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(
            text.starts_with("plant/boiler/pressure now: ") && text.contains("plant/boiler/pressure time_average 1767225600000000000: 5.4"),
            "{text}"
        );
    });
}

#[test]
fn the_rust_example_reads_what_the_recipes_wrote() {
    RECIPES.judge("the_rust_example_reads_what_the_recipes_wrote");
}
