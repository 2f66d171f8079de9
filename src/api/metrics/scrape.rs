//! One scrape: what was counted, and the state of ingest and collectors at that moment.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tonic::codegen::http::{HeaderMap, header::ACCEPT};

use super::{Labels, Metrics, classic};
use crate::{DiskStatus, ProcessStatus, ReloadCounts, Services};
use historian_collector::DeviceStatus;
use historian_oidc::IssuerState;
use historian_tls::TlsState;

/// The form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// What every scraper reads, and what is answered where nobody asks for the other.
    Classic,
    OpenMetrics,
}

impl MetricsFormat {
    /// The form that a request asks for.
    pub fn asked(headers: &HeaderMap) -> MetricsFormat {
        let accepted = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let mut ranges = accepted.flat_map(|value| value.split(','));
        let is_open =
            |range: &str| range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/openmetrics-text"));
        if ranges.any(is_open) { MetricsFormat::OpenMetrics } else { MetricsFormat::Classic }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            MetricsFormat::Classic => "text/plain; version=0.0.4; charset=utf-8",
            MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metrics {
    /// The metrics as text, with the state of `services` at this moment. Blocks for a moment: disk and database are asked.
    ///
    /// # Errors
    /// When the text cannot be written, which does not happen to a string.
    pub fn render(&self, services: &Services, format: MetricsFormat) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16_384);
        encode(&mut text, &self.registry)?;
        // The end mark of the first part would hide the second.
        text.truncate(text.trim_end().trim_end_matches("# EOF").len());
        let mut state = Registry::default();
        state.register_collector(Box::new(ScrapeState::of(services)));
        encode(&mut text, &state)?;
        Ok(match format {
            MetricsFormat::OpenMetrics => text,
            MetricsFormat::Classic => classic::text(&text),
        })
    }
}

/// State at the moment of a scrape.
#[derive(Debug)]
struct ScrapeState {
    start_seconds: f64,
    journal_sync_seconds: f64,
    counters: [(&'static str, &'static str, u64); 11],
    gauges: [(&'static str, &'static str, u64); 11],
    tls: Option<TlsState>,
    disk: Option<DiskStatus>,
    process: Option<ProcessStatus>,
    reloads: ReloadCounts,
    issuer: Option<IssuerState>,
    devices: Vec<Arc<DeviceStatus>>,
}

impl ScrapeState {
    fn of(services: &Services) -> ScrapeState {
        let status = services.admin.status();
        let scrub = services.admin.maintenance().map(|maintenance| maintenance.scrub_status()).unwrap_or_default();
        let last_scrub = scrub.last.as_ref();
        ScrapeState {
            start_seconds: status.start_time.0 as f64 / 1e9,
            journal_sync_seconds: status.journal_sync_time.as_secs_f64(),
            counters: [
                ("historian_samples_written", "Samples acknowledged since the start of the process", status.samples_written),
                (
                    "historian_samples_rejected",
                    "Samples not taken since the start of the process because they lie too far in the future",
                    status.samples_rejected,
                ),
                ("historian_journal_syncs", "Times that the journal was made durable since the start of the process", status.journal_syncs),
                ("historian_chunks_sealed", "Chunks made of heads since the start of the process", status.chunks_sealed),
                ("historian_chunks_merged", "Chunks that background work merged into larger ones", status.chunks_merged),
                ("historian_chunks_written", "Chunks that background work made of others", status.chunks_written),
                (
                    "historian_samples_superseded",
                    "Samples that lost against another one at the same timestamp, found by background work",
                    status.samples_superseded,
                ),
                ("historian_upkeep_failures", "Rounds of background work that ended with an error", status.upkeep_failures),
                (
                    "historian_inexact_columns",
                    "Columns that did not come back from their codec as they went in and were stored plainly: report it",
                    historian_format::inexact_columns(),
                ),
                ("historian_scrub_damage", "Damaged entries and blocks found by scrubs since the start of the process", scrub.damaged),
                ("historian_scrub_read_bytes", "Bytes read by scrubs that reached their end", scrub.bytes),
            ],
            gauges: [
                ("historian_watermark", "Every write up to this number is durable", status.watermark),
                ("historian_head_samples", "Samples in heads, not yet sealed into chunks", status.head_samples),
                ("historian_journal_bytes", "Bytes of the journal, about: what a start replays", status.journal_bytes),
                ("historian_tags", "Tags in the catalog", services.catalog.len() as u64),
                (
                    "historian_sql_statements_running",
                    "SQL statements that run now, until their last thread has ended",
                    services.metrics.sql.get().map_or(0, |engine| engine.running() as u64),
                ),
                (
                    "historian_memory_pool_max_bytes",
                    "Memory that queries, statements and messages of clients may take together",
                    services.memory.bytes_max(),
                ),
                ("historian_memory_pool_taken_bytes", "Of that memory, what is taken now", services.memory.taken()),
                (
                    "historian_accepting_writes",
                    "1 while writes are accepted, 0 after a failure of the disk",
                    status.accepting_writes.into(),
                ),
                (
                    "historian_no_room",
                    "1 while writes are refused for want of room on the disk or in memory, else 0",
                    u64::from(!status.full_reason.is_empty()),
                ),
                (
                    "historian_scrub_last_end_seconds",
                    "When the last scrub reached its end, seconds since 1970; 0 when none did",
                    last_scrub.map_or(0, |report| u64::try_from(report.ended.0 / 1_000_000_000).unwrap_or(0)),
                ),
                (
                    "historian_scrub_last_damage",
                    "Damaged entries and blocks that the last scrub found",
                    last_scrub.map_or(0, |report| report.damaged),
                ),
            ],
            tls: services.admin.tls(),
            disk: services.admin.disk(),
            process: services.admin.process(),
            reloads: services.admin.reloads(),
            issuer: services.access.issuer().map(|issuer| issuer.state()),
            devices: (services.devices)(),
        }
    }
}

/// One value of a device: its name, help and how to read it.
type DeviceValue = (&'static str, &'static str, fn(&DeviceStatus) -> u64);

const DEVICE_COUNTERS: [DeviceValue; 9] = [
    ("historian_device_connects", "Connections made", |device| device.connects.load(Ordering::Relaxed)),
    ("historian_device_requests", "Requests sent", |device| device.requests.load(Ordering::Relaxed)),
    ("historian_device_timeouts", "Requests without an answer in time", |device| device.timeouts.load(Ordering::Relaxed)),
    ("historian_device_exceptions", "Exception replies and service faults", |device| device.exceptions.load(Ordering::Relaxed)),
    ("historian_device_polls_missed", "Polls not made because the one before had not ended", |device| {
        device.polls_missed.load(Ordering::Relaxed)
    }),
    ("historian_device_samples", "Samples taken", |device| device.samples.load(Ordering::Relaxed)),
    ("historian_device_samples_dropped", "Samples dropped because the spool was full", |device| {
        device.samples_dropped.load(Ordering::Relaxed)
    }),
    ("historian_device_samples_rejected", "Samples that the historian did not take", |device| {
        device.samples_rejected.load(Ordering::Relaxed)
    }),
    ("historian_device_samples_backfilled", "Samples stored from the device's own history, for times of an outage", |device| {
        device.samples_backfilled.load(Ordering::Relaxed)
    }),
];

const DEVICE_GAUGES: [DeviceValue; 10] = [
    ("historian_device_spool_samples", "Samples that were collected and wait to be stored", |device| device.backlog().samples),
    ("historian_device_spool_disk_samples", "Of these samples, those that wait on disk", |device| device.backlog().disk_samples),
    ("historian_device_spool_disk_bytes", "Bytes of the samples that wait on disk", |device| device.backlog().disk_bytes),
    ("historian_device_spool_disk_segments", "Files of the samples that wait on disk", |device| device.backlog().disk_segments),
    ("historian_device_spool_failing", "1 while samples should wait on disk and cannot, else 0", |device| {
        device.backlog().disk_failing.into()
    }),
    (
        "historian_device_lag_seconds",
        "Age of the oldest sample that was collected and waits to be stored, in whole seconds; 0 when none waits",
        |device| device.backlog().since.map_or(0, |since| seconds(device.now().0.saturating_sub(since.0))),
    ),
    (
        "historian_device_last_good_timestamp_seconds",
        "When the device last gave a good answer, seconds since 1970; 0 when it never did",
        |device| seconds(device.view().last_good_at.0),
    ),
    ("historian_device_tags_wanted", "Tags configured", |device| device.items_wanted.load(Ordering::Relaxed)),
    ("historian_device_tags_created", "Tags the device accepted", |device| device.items_created.load(Ordering::Relaxed)),
    ("historian_device_tags_delivering", "Tags that deliver good samples now", DeviceStatus::delivering),
];

impl Collector for ScrapeState {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let start = ConstGauge::new(self.start_seconds);
        start.encode(encoder.encode_descriptor(
            "process_start_time_seconds",
            "Start of the process in seconds since 1970",
            None,
            start.metric_type(),
        )?)?;
        for (name, help, value) in self.counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in self.gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let build = ConstGauge::new(1_u64);
        let mut family =
            encoder.encode_descriptor("historian_build_info", "1, with the version of the program", None, build.metric_type())?;
        build.encode(family.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?)?;
        let syncing = ConstCounter::new(self.journal_sync_seconds);
        let help = "Seconds that making the journal durable took since the start of the process, all together";
        syncing.encode(encoder.encode_descriptor("historian_journal_sync_seconds", help, None, syncing.metric_type())?)?;
        self.encode_reloads(&mut encoder)?;
        self.encode_disk(&mut encoder)?;
        self.encode_process(&mut encoder)?;
        if let Some(tls) = &self.tls {
            let failures = ConstCounter::new(tls.failures);
            let help = "How often changed files of certificates could not be used since the start of the process";
            failures.encode(encoder.encode_descriptor("historian_tls_reload_failures", help, None, failures.metric_type())?)?;
            // A gauge in an alert says when: `… - time() < 30 * 86400`.
            let ends = ConstGauge::new(tls.first_to_end.as_ref().map_or(0, |certificate| certificate.not_after.0 / 1_000_000_000));
            let help = "When the server's certificate, or one of its chain, expires, seconds since 1970";
            ends.encode(encoder.encode_descriptor(
                "historian_tls_certificate_expiry_timestamp_seconds",
                help,
                None,
                ends.metric_type(),
            )?)?;
        }
        self.encode_issuer(&mut encoder)?;
        self.encode_devices(&mut encoder)
    }
}

impl ScrapeState {
    fn encode_reloads(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let ReloadCounts { applied, refused, last_refused } = self.reloads;
        let help = "Times that the configuration was read again since the start of the process, by outcome: applied, refused";
        let mut family = encoder.encode_descriptor("historian_config_reloads", help, None, ConstCounter::new(0_u64).metric_type())?;
        for (outcome, count) in [("applied", applied), ("refused", refused)] {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let good = ConstGauge::new(u64::from(!last_refused));
        let help = "0 when the configuration could not be applied the last time it was read again, else 1";
        good.encode(encoder.encode_descriptor("historian_config_last_reload_successful", help, None, good.metric_type())?)
    }

    fn encode_disk(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let Some(disk) = self.disk else { return Ok(()) };
        let gauges = [
            ("historian_disk_free_bytes", "Free bytes of the file system of the data directory", disk.free),
            ("historian_disk_size_bytes", "Bytes of the file system of the data directory", disk.size),
            ("historian_disk_reserve_bytes", "Free bytes below which writes are refused", disk.reserve),
            ("historian_store_tables_bytes", "Bytes of all tables of the database", disk.tables),
            ("historian_cache_used_bytes", "Bytes of blocks in the cache", disk.cache_used),
            ("historian_cache_max_bytes", "Bytes that the cache may hold", disk.cache_max),
            (
                "historian_compaction_pending_bytes",
                "Bytes that the database has yet to merge, by its own estimate",
                disk.compaction_pending,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        if let Some(full_in) = disk.full_in {
            let gauge = ConstGauge::new(full_in.as_secs_f64());
            let help = "Seconds until writes are refused for want of room, as the last hours went; absent while that is not known";
            gauge.encode(encoder.encode_descriptor("historian_disk_full_seconds", help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }

    fn encode_process(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let Some(process) = self.process else { return Ok(()) };
        let cpu = ConstCounter::new(process.cpu.as_secs_f64());
        let help = "Seconds of user and system time that the process has had";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)?;
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory of the process in bytes", process.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory of the process in bytes", process.virtual_bytes),
            ("process_open_fds", "Open file descriptors of the process", process.open_files),
            ("process_max_fds", "File descriptors that the process may have open", process.open_files_max),
            ("process_threads", "Threads of the process", process.threads),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }

    fn encode_issuer(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let Some(issuer) = &self.issuer else { return Ok(()) };
        let failures = ConstCounter::new(issuer.failures);
        let help = "How often the keys of the identity provider could not be read since the start of the process";
        failures.encode(encoder.encode_descriptor("historian_oidc_key_read_failures", help, None, failures.metric_type())?)?;
        let read_at = issuer.read_at.map_or(0, |at| at.0 / 1_000_000_000);
        for (name, help, value) in [
            ("historian_oidc_keys", "Keys of the identity provider that can verify tokens", issuer.keys as i64),
            (
                "historian_oidc_keys_read_timestamp_seconds",
                "When the keys of the identity provider were last read, seconds since 1970; 0 when they never were",
                read_at,
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }

    fn encode_devices(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        if self.devices.is_empty() {
            return Ok(());
        }
        for (name, help, read) in DEVICE_COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, ConstCounter::new(0_u64).metric_type())?;
            for device in &self.devices {
                ConstCounter::new(read(device)).encode(family.encode_family(&device_label(device))?)?;
            }
        }
        for (name, help, read) in DEVICE_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, ConstGauge::new(0_u64).metric_type())?;
            for device in &self.devices {
                ConstGauge::new(read(device)).encode(family.encode_family(&device_label(device))?)?;
            }
        }
        let help = "How long requests took of late (OPC UA: values, from source time to reception), by quantile";
        let mut family =
            encoder.encode_descriptor("historian_device_latency_seconds", help, None, ConstGauge::new(0.0_f64).metric_type())?;
        for device in &self.devices {
            let pace = device.pace();
            for (quantile, latency) in [("0.5", pace.latency_p50), ("0.99", pace.latency_p99)] {
                let Some(latency) = latency else { continue };
                let labels =
                    [("device", device.device.clone()), ("protocol", device.protocol.to_owned()), ("quantile", quantile.to_owned())];
                ConstGauge::new(latency.as_secs_f64()).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "The device's clock less the historian's, median of late; absent where the device tells no time";
        let mut family =
            encoder.encode_descriptor("historian_device_clock_offset_seconds", help, None, ConstGauge::new(0.0_f64).metric_type())?;
        for device in &self.devices {
            if let Some(offset) = device.pace().clock_offset {
                ConstGauge::new(offset as f64 / 1e9).encode(family.encode_family(&device_label(device))?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "historian_device_state",
            "1 for the state the device is in: connecting, running, degraded, backoff, stopped",
            None,
            ConstGauge::new(0_u64).metric_type(),
        )?;
        for device in &self.devices {
            let labels = [
                ("device", device.device.clone()),
                ("protocol", device.protocol.to_owned()),
                ("state", device.state().as_str().to_owned()),
            ];
            ConstGauge::new(1_u64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Whole seconds of nanoseconds; 0 for a time before 1970.
fn seconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0)
}

fn device_label(device: &DeviceStatus) -> Labels {
    [("device", device.device.clone()), ("protocol", device.protocol.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_form_is_answered_unless_the_other_is_asked_for() {
        let asked = |accept: &str| MetricsFormat::asked(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]));
        assert_eq!(MetricsFormat::asked(&HeaderMap::new()), MetricsFormat::Classic);
        for classic in ["*/*", "text/plain;version=0.0.4", "text/html,application/xml;q=0.9"] {
            assert_eq!(asked(classic), MetricsFormat::Classic, "{classic}");
        }
        // As Prometheus asks.
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(asked(prometheus), MetricsFormat::OpenMetrics);
    }
}
