//! The metrics as those read them who did not write them: Prometheus' own linter, and its reader of OpenMetrics.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use historian_test_support::skip;

use super::{Site, get_tag, list_tags};
use crate::support::{
    door::{Door, row},
    historian::{client, get, text},
    pytest::{Run, suite},
};

suite!(
    /// Both forms, of a historian that has something to tell.
    FORMS,
    "metrics",
    |run: &mut Run| {
        let site = Site::new();
        site.configure(DEVICE);
        let historian = site.start("warn");
        Door::to(&historian).put("a/b", &[row(1_767_225_600_000_000_000, 1.0, 0)]);
        run.cases(&[("HISTORIAN_HTTP_ADDRESS", &historian.http.to_string())]);
        historian.stop().unwrap();
    },
    [open_metrics_are_read_by_the_client_library_of_prometheus, both_forms_have_the_same_values]
);

/// A device that does not answer.
const DEVICE: &str = "[[modbus]]\nname = \"d\"\nendpoint = \"127.0.0.1:1\"\n[[modbus.tag]]\nname = \"t\"\naddress = \"holding:1\"\n";

#[test]
fn promtool_finds_nothing_to_mend() {
    let site = Site::new();
    site.configure(DEVICE);
    let historian = site.start("warn");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        list_tags(&historian, &[]).await.unwrap();
        get_tag(&historian, "no/such", &[]).await;
    });
    let metrics = historian.get("/metrics").unwrap().1;
    let checked = |metrics: &str| {
        let started =
            Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut promtool) = started else { return None };
        promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        Some((output.status.success(), format!("{}{}", text(&output.stdout), text(&output.stderr))))
    };
    let Some((clean, told)) = checked(&metrics) else {
        return skip::without("promtool", "promtool of Debian's package prometheus is not installed");
    };
    assert!(clean && told.is_empty(), "{told}");
    // So that the test can fail.
    let (clean, told) = checked("# TYPE historian_x_total counter\nhistorian_x_total 1\n").unwrap();
    assert!(!clean && told.contains("no help text"), "{told}");
    historian.stop().unwrap();
}

/// Value of the first line that begins so.
fn value(metrics: &str, begins: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(begins)?.trim().parse().ok())
}

#[test]
fn what_is_used_is_told_by_principal_and_queries_by_kind() {
    let site = Site::new();
    site.configure(DEVICE);
    let historian = site.start("warn");
    let door = Door::to(&historian);
    let rows: Vec<_> = (0..2_000).map(|n| row(1_767_225_600_000_000_000 + n * 1_000_000_000, n as f64, 0)).collect();
    door.put("a/b", &rows);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ticket = r#"{"range": {"tags": ["a/b"], "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}}"#;
    let read: usize = runtime.block_on(async {
        let mut client = client(&historian).await;
        get(&mut client, ticket).await.unwrap().iter().map(arrow::record_batch::RecordBatch::num_rows).sum()
    });
    assert_eq!(read, 2_000);
    let told = || historian.get("/metrics").unwrap().1;
    let until = std::time::Instant::now() + super::PATIENCE;
    while value(&told(), "historian_query_duration_seconds_count{kind=\"range\"}") != Some(1.0) {
        assert!(std::time::Instant::now() < until, "{}", told());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let metrics = told();
    let of = |name: &str| value(&metrics, &format!("{name}{{principal=\"anonymous\"}}")).unwrap_or_else(|| panic!("{name}: {metrics}"));
    assert!((of("historian_principal_rows_total") - 4_000.0).abs() < 0.5, "written and read: {metrics}");
    assert!(of("historian_principal_requests_total") >= 2.0);
    assert!(of("historian_principal_sent_bytes_total") > 2_000.0 * 8.0 && of("historian_principal_received_bytes_total") > 2_000.0 * 8.0);
    assert!(of("historian_principal_compute_seconds_total") > 0.0);
    assert_eq!(value(&metrics, "historian_query_duration_seconds_count{kind=\"write\"}"), Some(1.0));
    for (name, least) in [
        ("historian_journal_syncs_total", 1.0),
        ("historian_journal_sync_seconds_total", 0.0),
        ("historian_journal_bytes", 2_000.0),
        ("historian_disk_free_bytes", 1.0),
        ("historian_disk_size_bytes", 1.0),
        ("historian_cache_max_bytes", 1.0),
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 3.0),
        ("process_max_fds", 3.0),
        ("historian_build_info{version=\"0.1.0\"}", 1.0),
        ("historian_config_last_reload_successful", 1.0),
        ("historian_device_spool_samples{device=\"d\",protocol=\"modbus\"}", 0.0),
        ("historian_device_lag_seconds{device=\"d\",protocol=\"modbus\"}", 0.0),
    ] {
        let found = value(&metrics, &format!("{name} "));
        assert!(found.is_some_and(|found| found >= least), "{name}: {found:?}\n{metrics}");
    }
    // What the last hours were is not known yet.
    assert_eq!(value(&metrics, "historian_disk_full_seconds "), None);
    historian.stop().unwrap();
}
