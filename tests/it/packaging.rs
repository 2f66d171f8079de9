//! What is packaged, and the runbook: packages of the built program, its unit and what a service manager hears, advisories, the bill of
//! materials, alert rules, dashboards; and every command that the runbook tells people to type. All of it in Python, which is what packs, too.

use crate::support::pytest::{Run, suite};

/// The cases start what they need by themselves.
fn by_themselves(run: &mut Run) {
    run.cases(&[]);
}

suite!(
    /// Packing takes the processor for a minute.
    PACKAGES,
    "packaging",
    by_themselves,
    [
        the_debian_package_has_what_belongs_to_a_service,
        the_archive_has_the_program_and_its_licences,
        the_wheel_is_installed_without_a_compiler_and_its_tag_is_true,
    ]
);
suite!(
    SUPPLY,
    "packaging",
    by_themselves,
    [
        the_service_manager_hears_that_it_serves_and_that_it_stops,
        the_watchdog_is_fed_while_it_lives_and_not_by_another_process,
        a_start_that_is_refused_is_never_called_ready,
        the_unit_is_hardened,
        the_configuration_of_the_packages_works_as_it_is_and_with_all_that_it_shows,
        every_command_has_a_manual_page_and_completions_are_sound,
        the_container_is_as_it_should_be,
        the_bill_of_materials_names_what_the_lock_file_links_for_this_target_and_nothing_else,
        every_crate_whose_source_a_built_program_names_is_in_the_bill,
        the_dependencies_of_the_bill_lead_from_the_program_to_every_crate,
        an_advisory_fails_the_check_until_it_is_accepted_with_a_date_and_after_that_date,
        a_waiver_that_is_not_needed_fails_and_an_unmaintained_crate_is_told_of,
        alert_rules_are_sound_and_each_is_raised_when_it_should_and_not_otherwise,
        every_panel_of_the_dashboards_asks_for_metrics_that_there_are,
    ]
);
suite!(
    RUNBOOK,
    "runbook",
    by_themselves,
    [
        every_section_of_the_runbook_is_tried,
        one_looks_first,
        a_taken_port_is_found_and_the_start_repeated,
        a_full_disk_is_seen_and_is_over,
        a_damaged_file_is_kept_and_the_rest_recovered,
        a_lost_certificate_is_renewed_while_the_historian_runs,
        a_backup_is_restored,
        a_lost_token_is_replaced,
        it_moves_to_another_machine,
        samples_of_the_future_are_removed,
        a_silent_device_is_told_of,
        an_upgrade_and_its_way_back,
    ]
);
