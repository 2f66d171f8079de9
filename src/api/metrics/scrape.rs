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

use super::{Labels, Metrics};
use crate::Services;
use historian_collector::DeviceStatus;
use historian_oidc::IssuerState;
use historian_tls::TlsState;

impl Metrics {
    /// The metrics in Prometheus' text form, with the state of `services` at this moment.
    ///
    /// # Errors
    /// When the text cannot be written, which does not happen to a string.
    pub fn render(&self, services: &Services) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8192);
        encode(&mut text, &self.registry)?;
        // The end mark of the first part would hide the second.
        text.truncate(text.trim_end().trim_end_matches("# EOF").len());
        let mut state = Registry::default();
        state.register_collector(Box::new(ScrapeState::of(services)));
        encode(&mut text, &state)?;
        Ok(text)
    }
}

/// State at the moment of a scrape.
#[derive(Debug)]
struct ScrapeState {
    start_seconds: f64,
    counters: [(&'static str, &'static str, u64); 10],
    gauges: [(&'static str, &'static str, u64); 10],
    tls: Option<TlsState>,
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
            counters: [
                ("historian_samples_written", "Samples acknowledged since the start of the process", status.samples_written),
                (
                    "historian_samples_rejected",
                    "Samples not taken since the start of the process because they lie too far in the future",
                    status.samples_rejected,
                ),
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
            issuer: services.access.issuer().map(|issuer| issuer.state()),
            devices: (services.devices)(),
        }
    }
}

/// One value of a device: its name, help and how to read it.
type DeviceValue = (&'static str, &'static str, fn(&DeviceStatus) -> u64);

const DEVICE_COUNTERS: [DeviceValue; 8] = [
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
];

const DEVICE_GAUGES: [DeviceValue; 3] = [
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
        if let Some(issuer) = &self.issuer {
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
        }
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

fn device_label(device: &DeviceStatus) -> Labels {
    [("device", device.device.clone()), ("protocol", device.protocol.to_owned())]
}
