//! Operators from outside: aggregates by the published examples, key figures and joins, through the Flight interface and gRPC.

use crate::{api::in_memory, support::pytest::suite};

suite!(
    AGGREGATES,
    "aggregate_conformance",
    in_memory,
    [a_published_table_is_met_in_value_time_status_and_bits, all_published_tables_are_here,]
);

suite!(
    OPERATORS,
    "query_operators",
    in_memory,
    [
        a_range_is_filtered_by_quality_and_filled_by_steps,
        a_line_goes_to_the_true_neighbours_wherever_the_range_ends,
        nothing_is_sure_across_a_bad_sample_nor_after_the_last,
        the_value_before_is_held_over_what_a_filter_takes_away,
        as_many_points_as_there_are_samples_are_all_samples,
        no_two_columns_have_one_name,
        what_time_average_makes_of_a_stepped_tag_is_told,
        aggregates_of_an_hour_of_minutes_and_backward,
        aggregates_that_make_no_sense_are_refused,
        plots_keep_extremes_breaks_and_edges_in_no_more_rows_than_asked,
        a_plot_that_begins_or_ends_in_a_bad_run_draws_no_line_through_it,
        a_plot_of_few_samples_is_all_of_them_and_its_bounds_are_checked,
        a_spike_is_found_and_explained_counted_and_scored,
        anomalies_that_make_no_sense_are_refused,
        compression_changes_nothing_but_the_bytes,
        parts_in_order_are_the_whole,
        a_subscription_has_current_values_then_every_write_once_and_resumes_behind_a_position,
    ]
);

suite!(
    KPI,
    "kpi",
    in_memory,
    [
        time_in_state_goes_by_the_shifts_of_a_night_in_which_the_clock_skips_an_hour,
        states_are_added_up_and_transitions_counted,
        a_counter_rolls_over_and_is_told_by_intervals_of_the_zone,
        an_integral_leaves_bad_time_out_or_rescales,
        percent_good_is_told_of_every_tag,
        a_counter_is_the_sum_of_its_steps_whatever_comes_between,
        a_counter_that_is_idle_counts_nothing_and_one_that_is_unknown_is_none,
        a_measure_is_planned_and_told_by_grpc_alike,
        aggregates_go_by_the_day_of_the_zone_forward_and_backward,
        each_row_gets_what_its_tags_were_then,
        a_join_has_a_tolerance_and_takes_no_rows_and_very_many,
        as_of_through_grpc_tells_bad_samples_where_they_are_asked_for,
        a_measure_that_makes_no_sense_is_refused,
        a_join_that_makes_no_sense_is_refused,
    ]
);

suite!(
    PAGES,
    "pages",
    in_memory,
    [
        pages_of_any_size_join_to_the_whole,
        relative_times_stay_those_of_the_first_page,
        a_plan_has_one_endpoint_whose_ticket_is_the_page,
        pages_of_grpc_join_too_and_a_missing_tag_is_told_once,
        pages_that_make_no_sense_are_refused,
    ]
);
