//! Grafana with the data source, the dashboards and the alert rules of `docs/grafana`: what its Infinity plugin sends, and what it makes of the
//! answers.

use std::fs;

use crate::{
    go,
    support::{
        historian,
        pytest::{Run, suite},
    },
};

/// A device that nothing answers for, so that there is something Bad to see.
const CONFIGURATION: &str = r#"
[[modbus]]
name = "boiler-plc"
endpoint = "127.0.0.1:1"

[[modbus.tag]]
name = "grafana/collected"
address = "holding:0"
"#;

/// A historian that was started twice: in between is a gap.
fn started_twice(run: &mut Run) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("historian.toml");
    fs::write(&file, CONFIGURATION).unwrap();
    let serve = || historian::serve(&directory.path().join("data"), &["--config", &file.display().to_string()]);
    serve().stop().unwrap();
    let historian = serve();
    let (grpc, http) = (historian.grpc.to_string(), historian.http.to_string());
    let programs = go::programs().map(|folder| folder.display().to_string());
    let mut environment = vec![("HISTORIAN_ADDRESS", grpc.as_str()), ("HISTORIAN_HTTP", http.as_str())];
    environment.extend(programs.as_deref().map(|folder| ("HISTORIAN_GO", folder)));
    run.cases(&environment);
}

suite!(
    DASHBOARDS,
    "grafana_dashboards",
    started_twice,
    [
        a_dashboard_is_whole_and_names_only_what_there_is,
        what_is_provisioned_fits_together,
        every_query_is_answered_with_the_columns_that_are_shown,
        a_list_that_is_empty_is_no_error,
        a_line_has_both_edges_breaks_where_it_is_bad_and_no_more_points_than_the_panel,
        lines_of_several_tags_do_not_cut_each_other,
        a_wildcard_draws_numbers_as_lines_and_all_else_as_steps,
        states_are_shown_by_name_and_end_where_they_are_bad,
        a_state_beyond_its_names_is_its_number,
        a_bad_value_is_shown_as_none,
        variables_list_the_tags_that_a_panel_can_show,
        gaps_are_regions_with_their_reason,
        a_spike_is_found_in_the_table_and_on_the_line,
        what_does_not_deliver_is_listed,
        a_tag_that_there_is_not_is_told_in_the_line_that_the_plugin_shows,
        a_token_of_a_reader_is_enough_for_all_but_the_state_of_the_server,
        a_bad_run_raises_both_alerts_and_its_end_clears_them,
    ]
);
