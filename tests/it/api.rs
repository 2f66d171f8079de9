//! The public interface from outside: pyarrow and grpcio against a historian that serves from memory.

use std::sync::Arc;

use historian::{api::ApiLimits, collector::DeviceStatus, ingest::IngestOptions, model::SystemClock};
use historian_test_support::{engine::TestHistorian, served::Served};

use crate::support::pytest::{Run, suite};

/// A historian of these limits with everything but disk and collectors, and one device that is told of.
pub fn served_with(limits: ApiLimits, options: IngestOptions) -> Served {
    let historian = TestHistorian::in_memory().clock(Arc::new(SystemClock)).options(options).open();
    Served::start(historian, limits, vec![Arc::new(DeviceStatus::new("boiler-plc", "modbus", "127.0.0.1:502"))])
}

/// The same with everything else by default.
pub fn served(limits: ApiLimits) -> Served {
    served_with(limits, IngestOptions::default())
}

/// The cases against a historian of their own with everything by default.
pub fn in_memory(run: &mut Run) {
    let historian = served(ApiLimits::default());
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string()), ("HISTORIAN_HTTP", &historian.http.to_string())]);
}

suite!(
    ROUNDTRIP,
    "flight_roundtrip",
    in_memory,
    [
        floats_come_back_bit_for_bit,
        the_schema_of_a_range_is_the_documented_one,
        every_other_type_comes_back_as_it_was,
        modes_write_what_they_say,
        a_range_backward_with_a_limit_and_current_values,
        commands_and_tickets_are_taken_as_protobuf_too,
        each_batch_of_a_stream_is_acknowledged,
        a_glob_that_matches_nothing_is_an_empty_answer,
        flights_paths_and_schemas_tell_the_catalog,
        compressed_batches_are_read,
    ]
);

suite!(
    EXPORT,
    "flight_export",
    in_memory,
    [
        a_plan_has_several_endpoints_and_tells_the_range_resolved,
        the_parts_joined_are_the_whole_and_of_like_size,
        the_dictionary_of_tag_names_comes_once,
    ]
);

suite!(
    SERVICES,
    "grpc_services",
    services,
    [
        health_and_reflection_answer_by_their_bytes,
        a_tag_is_there_once_and_a_missing_one_is_not_found,
        tags_are_listed_in_pages_with_a_filter,
        a_tag_is_changed_where_the_mask_says_and_its_type_never,
        a_tag_is_deleted_once,
        what_fits_is_taken_and_what_does_not_is_a_row,
        tags_are_made_of_what_fits,
        each_message_of_a_stream_is_acknowledged,
        a_range_tells_samples_failures_and_its_bounds,
        a_long_range_and_current_values,
        the_service_tells_its_devices_and_its_state,
    ]
);

fn services(run: &mut Run) {
    let historian = served(ApiLimits::default());
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
    run.also("the_http_port_tells_health_and_metrics_of_what_was_called", || {
        let (code, text) = historian.get("/healthz");
        assert_eq!((code, text.as_str()), (200, "ok\n"));
        let (code, text) = historian.get("/metrics");
        assert_eq!(code, 200);
        for line in [
            r#"historian_requests_total{method="historian.v1.TagService/CreateTag",code="OK"}"#,
            r#"historian_requests_total{method="historian.v1.TagService/GetTag",code="NOT_FOUND"}"#,
            r#"historian_requests_total{method="historian.v1.QueryService/Range",code="OK"}"#,
            r#"historian_request_duration_seconds_count{method="historian.v1.WriteService/WriteSamples"}"#,
            "historian_samples_written_total ",
            "historian_watermark ",
            "historian_accepting_writes 1",
            r#"historian_device_state{device="boiler-plc",protocol="modbus",state="connecting"} 1"#,
            "process_start_time_seconds ",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("# EOF"), "the classic form has no mark at its end");
    });
}

#[test]
fn the_http_port_tells_health_and_metrics_of_what_was_called() {
    SERVICES.judge("the_http_port_tells_health_and_metrics_of_what_was_called");
}

suite!(STALLED_READER, "flight_stall", short_of_patience, [a_stalled_reader_is_cut_and_its_permit_goes_to_others,]);

fn short_of_patience(run: &mut Run) {
    let limits = ApiLimits { stalled_reader_timeout: std::time::Duration::from_millis(2_500), queries_max: 2, ..ApiLimits::default() };
    let historian = served(limits);
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
}
