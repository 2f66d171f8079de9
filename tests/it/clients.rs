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
    let (_historian, _data, address) = serve();
    run.cases(&[("HISTORIAN_ADDRESS", &address)]);
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
