//! The HTTP API from outside: against what Flight answers, and what clients of other makes read of it.

use std::time::Duration;

use historian::api::ApiLimits;

use crate::{
    api::{in_memory, served},
    support::pytest::{Run, suite},
};

/// The cases against a historian that waits for its readers no longer than a test does.
fn impatient(run: &mut Run) {
    let historian = served(ApiLimits { stalled_reader_timeout: Duration::from_secs(2), ..ApiLimits::default() });
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string()), ("HISTORIAN_HTTP", &historian.http.to_string())]);
}

suite!(
    ANNOTATIONS,
    "annotations",
    in_memory,
    [
        what_was_written_is_found_where_it_lies,
        each_version_is_kept_and_a_change_of_another_is_refused,
        pages_join_to_the_whole,
        the_aggregate_counts_annotations_and_not_samples,
        sql_has_a_row_for_each_tag_of_an_annotation,
        what_is_no_annotation_is_refused_at_its_field,
        views_are_kept_by_a_name,
    ]
);

suite!(
    HTTP_API,
    "http_api",
    impatient,
    [
        every_kind_answers_in_every_format_what_flight_answers,
        integers_and_times_are_exact_whatever_reads_them,
        floats_have_their_own_width_and_what_json_lacks_is_text,
        texts_are_what_they_are_in_json_and_csv,
        a_get_means_what_the_post_means,
        a_plot_has_edges_breaks_and_a_ceiling,
        pages_join_to_the_whole_while_somebody_writes,
        sql_is_answered_like_any_other,
        tags_are_found_by_what_a_person_types,
        messages_tell_of_the_historian,
        what_cannot_be_answered_is_a_problem_document,
        other_sites_are_told_nothing,
        bodies_are_compressed_where_that_is_taken,
        the_same_request_is_the_same_answer_until_something_changes,
        a_long_answer_is_streamed_and_too_long_a_one_in_columns_refused,
        a_slow_reader_is_cut_and_sees_that_its_answer_is_not_whole,
        events_tell_every_write_once_and_resume_behind_an_id,
        an_answer_whose_end_nobody_could_tell_is_refused,
        a_fuzzer_finds_no_answer_that_is_not_in_the_description,
        calls_of_many_threads_do_not_disturb_each_other,
    ]
);
