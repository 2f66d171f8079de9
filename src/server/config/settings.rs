//! The settings of a historian that are not about devices: sections `[server]`, `[log]`, `[tls]`, `[storage]`, `[spool]`, `[backup]`, `[scrub]`,
//! `[audit]` and `[limits]`, their defaults and bounds.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tracing_subscriber::EnvFilter;

use historian_api::{ApiLimits, MEMORY_BYTES_MIN, NetworkZone};

use crate::memory::quarter_of_memory;
use historian_collector::spool::SPOOL_SAMPLES_MAX;
use historian_store::{BackupPolicy, catalog::TAGS_MAX, rocks::StoreOptions};
use historian_tls::ClientCertificates;

/// Where the service listens and keeps its data: `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerSettings {
    /// gRPC, Flight, health and reflection.
    pub listen: SocketAddr,
    /// `/metrics` and `/healthz`.
    pub http: SocketAddr,
    pub data_dir: PathBuf,
    /// A socket in the data directory, by which its owner and root administer.
    pub local_socket: bool,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            listen: (Ipv4Addr::LOCALHOST, 8815).into(),
            http: (Ipv4Addr::LOCALHOST, 8080).into(),
            data_dir: PathBuf::from("historian-data"),
            local_socket: true,
        }
    }
}

/// `[server]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerSection {
    pub(super) listen: Option<SocketAddr>,
    pub(super) http: Option<SocketAddr>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) local_socket: Option<bool>,
}

/// What is logged, and how: `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    pub format: LogFormat,
    /// Which lines are written: a level, or a filter by parts of the program. The variable `HISTORIAN_LOG` wins over it.
    #[serde(deserialize_with = "log_filter")]
    pub level: String,
    /// A call that takes so long is told although it went well.
    pub slow_query_ms: u64,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// By its name in the configuration.
    pub fn named(word: &str) -> Option<LogFormat> {
        match word {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { format: LogFormat::Text, level: "info".to_owned(), slow_query_ms: 1_000 }
    }
}

impl LogSettings {
    pub(super) fn bounds(&self) -> Vec<NumberLimits> {
        vec![("log.slow_query_ms", self.slow_query_ms, 1..=86_400_000)]
    }
}

fn log_filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match EnvFilter::try_new(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            Err(de::Error::custom(format!("{text:?} is no log filter: {error}; write \"info\" or \"info,historian_modbus=debug\"")))
        }
    }
}

/// Certificates of both ports: `[tls]`, as written or as flags give it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The server's certificate, and behind it those of its issuers.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Authorities of clients.
    pub client_ca: Option<PathBuf>,
    #[serde(deserialize_with = "client_certificates")]
    pub client_certificates: Option<ClientCertificates>,
    /// Lists of revoked certificates of clients.
    pub client_crls: Vec<PathBuf>,
}

fn client_certificates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ClientCertificates>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let known = "\"off\", \"optional\" or \"required\"";
    ClientCertificates::named(&text).map(Some).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &known))
}

/// How the store writes: `[storage]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSettings {
    /// How long the journal waits for more writes to share one fsync.
    pub group_commit_ms: u64,
    /// Longest time between a write acknowledged with durability INTERVAL and its fsync.
    pub interval_sync_ms: u64,
    /// Samples in the head of a tag at which it is sealed into a chunk.
    pub head_samples_max: usize,
    /// Memory for the heads of all tags, about; above it the largest are sealed early.
    pub heads_bytes_max: Bytes,
    /// How far the time of a sample may be ahead of the historian's clock; samples further ahead are rejected one by one. 0: any time.
    pub future_max_s: u64,
    /// Size of the journal at which heads are sealed to shorten it.
    pub journal_bytes_max: Bytes,
    /// Memory for blocks read from disk.
    pub cache_bytes: Bytes,
    /// Collected samples of one device that may wait for room in the store; of more the oldest go, which is told.
    pub spool_samples_max: usize,
    /// Free space of the file system below which writes are refused until there is more. Absent: a twentieth of it, at most 512 MiB.
    pub disk_reserve_bytes: Option<Bytes>,
    /// How often retention is applied.
    pub retention_interval_s: u64,
    /// Most tags of the catalog; further ones are refused.
    pub tags_max: usize,
}

impl Default for StorageSettings {
    fn default() -> StorageSettings {
        StorageSettings {
            group_commit_ms: 0,
            interval_sync_ms: 100,
            head_samples_max: 1024,
            heads_bytes_max: Bytes::mebi(192),
            future_max_s: 86_400,
            journal_bytes_max: Bytes::mebi(256),
            cache_bytes: Bytes(StoreOptions::default().cache_bytes as u64),
            spool_samples_max: SPOOL_SAMPLES_MAX,
            disk_reserve_bytes: None,
            retention_interval_s: 3_600,
            tags_max: TAGS_MAX,
        }
    }
}

/// Collected samples that wait on disk: `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSettings {
    /// Absent: `spool` in the data directory.
    pub path: Option<PathBuf>,
    /// Of all devices together; 0 for none on disk.
    pub bytes_max: Bytes,
    /// What came earlier is given up; `off` for any age.
    pub age_max: Period,
    /// Free space of its file system below which nothing more goes there. Absent: a fortieth of it, at most 256 MiB, and at most half of
    /// `storage.disk_reserve_bytes`.
    pub disk_reserve_bytes: Option<Bytes>,
}

impl Default for SpoolSettings {
    fn default() -> SpoolSettings {
        SpoolSettings { path: None, bytes_max: Bytes::mebi(1024), age_max: Period(None), disk_reserve_bytes: None }
    }
}

impl SpoolSettings {
    pub(super) fn bounds(&self) -> Vec<NumberLimits> {
        const MIB: u64 = 1 << 20;
        // Less holds no more than what is written at once.
        let bytes_min = if self.bytes_max.0 == 0 { 0 } else { MIB };
        vec![
            ("spool.bytes_max", self.bytes_max.0, bytes_min..=1024 * 1024 * MIB),
            ("spool.age_max", self.age_max.0.map_or(60, |age| age.as_secs()), 60..=10 * 366 * 86_400),
            ("spool.disk_reserve_bytes", self.disk_reserve_bytes.map_or(0, |bytes| bytes.0), 0..=1 << 50),
        ]
    }
}

/// Where backups go and how many stay: `[backup]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupSettings {
    /// Made with the first backup. Without it the service refuses to make one.
    pub directory: Option<PathBuf>,
    /// Backups kept, a new one included; 0 keeps all.
    pub keep: usize,
}

impl BackupSettings {
    pub fn policy(&self) -> BackupPolicy {
        BackupPolicy { directory: self.directory.clone(), keep: self.keep }
    }

    pub(super) fn bounds(&self) -> Vec<NumberLimits> {
        vec![("backup.keep", self.keep as u64, 0..=1_000_000)]
    }
}

/// One `[[retention]]`: tags whose samples are kept alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    /// Names and globs; of several groups that match a tag the first counts.
    pub tags: Vec<String>,
    /// At least so long by source time, as a number and one of h, d, w, y (365 d).
    #[serde(default, deserialize_with = "age")]
    pub age: Option<Duration>,
    /// Size on disk, about.
    pub bytes_max: Option<Bytes>,
}

fn age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || de::Error::custom(format!("{text:?} is no age; write a whole number and one of h, d, w, y: \"730d\""));
    let (number, unit) = text.split_at(text.len().saturating_sub(text.chars().last().map_or(0, char::len_utf8)));
    let hours: u64 = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        "y" => 365 * 24,
        _ => return Err(wrong()),
    };
    let count: u64 = number.parse().map_err(|_| wrong())?;
    // 580 years are more than timestamps span.
    let seconds = count.checked_mul(hours * 3_600).filter(|seconds| (1..=580 * 365 * 86_400).contains(seconds)).ok_or_else(wrong)?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// Checking what is stored in the background: `[scrub]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubSettings {
    /// From the end of one scrub to the begin of the next; `off` for none.
    pub interval: Period,
    /// How fast it reads at most.
    pub bytes_per_s: Bytes,
}

impl Default for ScrubSettings {
    fn default() -> ScrubSettings {
        ScrubSettings { interval: Period(Some(Duration::from_hours(168))), bytes_per_s: Bytes::mebi(8) }
    }
}

impl ScrubSettings {
    pub(super) fn bounds(&self) -> Vec<NumberLimits> {
        // Faster than once a minute there is nothing to find; slower than this it would not come round.
        let seconds = self.interval.0.map_or(86_400, |interval| interval.as_secs());
        vec![("scrub.interval", seconds, 60..=366 * 86_400), ("scrub.bytes_per_s", self.bytes_per_s.0, 64 << 10..=1 << 40)]
    }
}

/// One `[[zone]]` as written: listeners that let only some rights through.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ZoneSection {
    pub(super) name: String,
    pub(super) listen: Option<SocketAddr>,
    pub(super) http: Option<SocketAddr>,
    pub(super) rights: Vec<String>,
}

/// Listeners that let only some rights through: `[[zone]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSettings {
    pub zone: Arc<NetworkZone>,
    /// gRPC and Flight.
    pub listen: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
}

/// Heads of the audit log: `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// How often the head is signed and told, where the log has moved.
    pub heads_interval_s: u64,
    /// File to which signed heads are appended. Best on another machine.
    pub heads_file: Option<PathBuf>,
}

impl Default for AuditSettings {
    fn default() -> AuditSettings {
        AuditSettings { heads_interval_s: 3_600, heads_file: None }
    }
}

impl AuditSettings {
    pub(super) fn bounds(&self) -> Vec<NumberLimits> {
        vec![("audit.heads_interval_s", self.heads_interval_s, 10..=31 * 86_400)]
    }
}

/// Bounds on what clients may ask: `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Time a query may take, its transfer included, when the client sets no deadline.
    pub query_deadline_s: u64,
    /// Longest deadline a client may set.
    pub query_deadline_max_s: u64,
    /// Most rows one query may answer.
    pub query_rows_max: u64,
    /// Most tags one query may select.
    pub query_tags_max: usize,
    /// Most bytes one query may answer.
    pub query_bytes_max: Bytes,
    /// Threads that work on one query; 0 for one per core.
    pub query_threads: usize,
    /// Memory of one query for late samples that it merges and for answers that wait for their turn.
    pub query_memory_bytes_max: Bytes,
    /// Queries at the same time.
    pub queries_max: usize,
    /// Of these, queries of one client, which is a principal, or an address where none is known; 0 for three quarters.
    pub queries_per_client_max: usize,
    /// Requests of one client each second; 0 for any number.
    pub requests_per_client_s_max: u32,
    /// Memory of all queries, statements and messages of clients together. Left out: a quarter of the machine's.
    pub memory_bytes_max: Option<Bytes>,
    /// How long a query waits for a client that does not read.
    pub stalled_reader_s: u64,
    /// Bytes per second that a client reads at least of an answer; 0 for any.
    pub reader_bytes_per_s_min: u64,
    /// Largest message taken from a client.
    pub message_bytes_max: Bytes,
    /// Samples of one write stream that wait for the journal.
    pub write_bytes_in_flight: Bytes,
    /// Requests at the same time on one connection.
    pub connection_streams_max: u32,
    /// Connections of the gRPC port at the same time.
    pub connections_max: usize,
    /// Connections of one address at the same time.
    pub connections_per_address_max: usize,
    /// How long a connection may be open before its first request, and a request before it is whole.
    pub first_request_s: u64,
    /// How long a connection may be open without a request.
    pub connection_idle_s: u64,
    /// How long an answer may wait for a client that takes next to nothing of it.
    pub unread_answer_s: u64,
    /// How long a write stream may be open without a message.
    pub write_stream_idle_s: u64,
    /// Threads that work on SQL statements; 0 for one per core.
    pub sql_threads: usize,
    /// Memory of one SQL statement for sorting, grouping and joining.
    pub sql_memory_bytes_max: Bytes,
    /// Memory of all SQL statements together.
    pub sql_memory_total_bytes_max: Bytes,
    /// SQL statements at the same time.
    pub sql_statements_max: usize,
    /// Prepared SQL statements that are kept.
    pub prepared_statements_max: usize,
    /// How long open requests may run on after the historian was told to stop.
    pub shutdown_grace_s: u64,
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings::from(&ApiLimits::default())
    }
}

impl From<&ApiLimits> for LimitSettings {
    fn from(limits: &ApiLimits) -> LimitSettings {
        LimitSettings {
            query_deadline_s: limits.query_deadline_default.as_secs(),
            query_deadline_max_s: limits.query_deadline_max.as_secs(),
            query_rows_max: limits.query_rows_max,
            query_tags_max: limits.query_tags_max,
            query_bytes_max: Bytes(limits.query_bytes_max),
            query_threads: limits.query_threads,
            query_memory_bytes_max: Bytes(limits.query_memory_bytes_max as u64),
            queries_max: limits.queries_max,
            queries_per_client_max: limits.queries_per_client_max,
            requests_per_client_s_max: limits.requests_per_client_s_max,
            memory_bytes_max: None,
            reader_bytes_per_s_min: limits.reader_bytes_per_s_min,
            stalled_reader_s: limits.stalled_reader_timeout.as_secs(),
            message_bytes_max: Bytes(limits.message_bytes_max as u64),
            write_bytes_in_flight: Bytes(limits.write_bytes_in_flight as u64),
            connection_streams_max: limits.connection_streams_max,
            connections_max: limits.connections_max,
            connections_per_address_max: limits.connections_per_address_max,
            first_request_s: limits.first_request_timeout.as_secs(),
            connection_idle_s: limits.connection_idle_timeout.as_secs(),
            unread_answer_s: limits.unread_answer_timeout.as_secs(),
            write_stream_idle_s: limits.write_stream_idle_timeout.as_secs(),
            sql_threads: limits.sql_threads,
            sql_memory_bytes_max: Bytes(limits.sql_memory_bytes_max as u64),
            sql_memory_total_bytes_max: Bytes(limits.sql_memory_total_bytes_max as u64),
            sql_statements_max: limits.sql_statements_max,
            prepared_statements_max: limits.prepared_statements_max,
            shutdown_grace_s: limits.shutdown_grace.as_secs(),
        }
    }
}

impl From<&LimitSettings> for ApiLimits {
    fn from(settings: &LimitSettings) -> ApiLimits {
        ApiLimits {
            query_deadline_default: Duration::from_secs(settings.query_deadline_s),
            query_deadline_max: Duration::from_secs(settings.query_deadline_max_s),
            query_rows_max: settings.query_rows_max,
            query_tags_max: settings.query_tags_max,
            query_bytes_max: settings.query_bytes_max.0,
            query_threads: settings.query_threads,
            query_memory_bytes_max: settings.query_memory_bytes_max.0 as usize,
            queries_max: settings.queries_max,
            queries_per_client_max: settings.queries_per_client_max,
            requests_per_client_s_max: settings.requests_per_client_s_max,
            memory_bytes_max: settings.memory_bytes_max.map_or_else(quarter_of_memory, |bytes| bytes.0),
            reader_bytes_per_s_min: settings.reader_bytes_per_s_min,
            stalled_reader_timeout: Duration::from_secs(settings.stalled_reader_s),
            message_bytes_max: settings.message_bytes_max.0 as usize,
            write_bytes_in_flight: settings.write_bytes_in_flight.0 as usize,
            connection_streams_max: settings.connection_streams_max,
            connections_max: settings.connections_max,
            connections_per_address_max: settings.connections_per_address_max,
            first_request_timeout: Duration::from_secs(settings.first_request_s),
            connection_idle_timeout: Duration::from_secs(settings.connection_idle_s),
            unread_answer_timeout: Duration::from_secs(settings.unread_answer_s),
            write_stream_idle_timeout: Duration::from_secs(settings.write_stream_idle_s),
            sql_threads: settings.sql_threads,
            sql_memory_bytes_max: settings.sql_memory_bytes_max.0 as usize,
            sql_memory_total_bytes_max: settings.sql_memory_total_bytes_max.0 as usize,
            sql_statements_max: settings.sql_statements_max,
            prepared_statements_max: settings.prepared_statements_max,
            shutdown_grace: Duration::from_secs(settings.shutdown_grace_s),
            ..ApiLimits::default()
        }
    }
}

/// A number and the bounds it must keep, by its key.
pub(super) type NumberLimits = (&'static str, u64, std::ops::RangeInclusive<u64>);

impl StorageSettings {
    pub(super) fn bounds(&self) -> Vec<NumberLimits> {
        const MIB: u64 = 1 << 20;
        vec![
            ("storage.group_commit_ms", self.group_commit_ms, 0..=1000),
            ("storage.interval_sync_ms", self.interval_sync_ms, 1..=10_000),
            ("storage.head_samples_max", self.head_samples_max as u64, 16..=65_536),
            ("storage.heads_bytes_max", self.heads_bytes_max.0, MIB..=1024 * 1024 * MIB),
            ("storage.future_max_s", self.future_max_s, 0..=200 * 366 * 86_400),
            ("storage.journal_bytes_max", self.journal_bytes_max.0, MIB..=64 * 1024 * MIB),
            ("storage.cache_bytes", self.cache_bytes.0, MIB..=1024 * 1024 * MIB),
            ("storage.spool_samples_max", self.spool_samples_max as u64, 16..=100_000_000),
            ("storage.disk_reserve_bytes", self.disk_reserve_bytes.map_or(MIB, |bytes| bytes.0), 0..=1 << 50),
            ("storage.retention_interval_s", self.retention_interval_s, 1..=7 * 86_400),
            ("storage.tags_max", self.tags_max as u64, 1..=u64::from(u32::MAX)),
        ]
    }
}

impl LimitSettings {
    pub(super) fn bounds(&self) -> Vec<NumberLimits> {
        vec![
            ("limits.query_deadline_s", self.query_deadline_s, 1..=self.query_deadline_max_s.min(7 * 86_400)),
            ("limits.query_deadline_max_s", self.query_deadline_max_s, 1..=7 * 86_400),
            ("limits.query_rows_max", self.query_rows_max, 1..=u64::MAX),
            ("limits.query_tags_max", self.query_tags_max as u64, 1..=10_000_000),
            ("limits.query_bytes_max", self.query_bytes_max.0, 1 << 20..=u64::MAX),
            ("limits.query_threads", self.query_threads as u64, 0..=1024),
            ("limits.query_memory_bytes_max", self.query_memory_bytes_max.0, 1 << 20..=1 << 40),
            ("limits.queries_max", self.queries_max as u64, 1..=10_000),
            ("limits.queries_per_client_max", self.queries_per_client_max as u64, 0..=10_000),
            ("limits.requests_per_client_s_max", self.requests_per_client_s_max.into(), 0..=10_000_000),
            ("limits.memory_bytes_max", self.memory_bytes_max.map_or(MEMORY_BYTES_MIN, |bytes| bytes.0), MEMORY_BYTES_MIN..=1 << 50),
            ("limits.reader_bytes_per_s_min", self.reader_bytes_per_s_min, 0..=1 << 40),
            ("limits.stalled_reader_s", self.stalled_reader_s, 1..=3600),
            ("limits.message_bytes_max", self.message_bytes_max.0, 64 << 10..=1 << 30),
            ("limits.write_bytes_in_flight", self.write_bytes_in_flight.0, 1 << 20..=4 << 30),
            ("limits.connection_streams_max", self.connection_streams_max.into(), 1..=65_536),
            ("limits.connections_max", self.connections_max as u64, 1..=1_000_000),
            ("limits.connections_per_address_max", self.connections_per_address_max as u64, 1..=1_000_000),
            ("limits.first_request_s", self.first_request_s, 1..=3600),
            ("limits.connection_idle_s", self.connection_idle_s, 1..=7 * 86_400),
            ("limits.unread_answer_s", self.unread_answer_s, 1..=86_400),
            ("limits.write_stream_idle_s", self.write_stream_idle_s, 1..=7 * 86_400),
            ("limits.sql_threads", self.sql_threads as u64, 0..=1024),
            ("limits.sql_memory_bytes_max", self.sql_memory_bytes_max.0, 1 << 20..=self.sql_memory_total_bytes_max.0.min(1 << 40)),
            ("limits.sql_memory_total_bytes_max", self.sql_memory_total_bytes_max.0, 1 << 20..=1 << 40),
            ("limits.sql_statements_max", self.sql_statements_max as u64, 1..=1000),
            ("limits.prepared_statements_max", self.prepared_statements_max as u64, 1..=100_000),
            ("limits.shutdown_grace_s", self.shutdown_grace_s, 0..=600),
        ]
    }
}

/// A number of bytes; written as a number, or as a text with `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    pub const fn mebi(count: u64) -> Bytes {
        Bytes(count << 20)
    }

    fn parse(text: &str) -> Option<Bytes> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift).map(Bytes)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or a text such as \"256 MiB\" (units KiB, MiB, GiB)")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Bytes, E> {
                u64::try_from(bytes).map(Bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Bytes::parse(text.trim()).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A length of time such as `7d`, `12h`, `30m` or `45s`; `None` is written `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Option<Duration>);

impl Period {
    fn parse(text: &str) -> Option<Period> {
        if text == "off" {
            return Some(Period(None));
        }
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let seconds = match text[digits.len()..].trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(seconds).map(|seconds| Period(Some(Duration::from_secs(seconds))))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(time) => serializer.collect_str(&format_args!("{}s", time.as_secs())),
            None => serializer.serialize_str("off"),
        }
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        let text = String::deserialize(deserializer)?;
        Period::parse(text.trim()).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"a length of time such as \"7d\" (units s, m, h, d), or \"off\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("256 MiB", Some(256 << 20)),
            ("1GiB", Some(1 << 30)),
            ("4 KB", None),
            ("-1", None),
            ("MiB", None),
            ("99999999999 GiB", None),
        ] {
            assert_eq!(Bytes::parse(text), bytes.map(Bytes), "{text}");
        }
        assert_eq!(Bytes::mebi(256).to_string(), "256 MiB");
        assert_eq!(Bytes(1000).to_string(), "1000 bytes");
    }

    #[test]
    fn lengths_of_time_are_read_with_their_unit() {
        for (text, seconds) in [("7d", Some(604_800)), ("90 m", Some(5400)), ("1h", Some(3600)), ("45s", Some(45))] {
            assert_eq!(Period::parse(text), seconds.map(|seconds| Period(Some(Duration::from_secs(seconds)))), "{text}");
        }
        assert_eq!(Period::parse("off"), Some(Period(None)));
        for text in ["", "7", "d", "-1d", "1w", "99999999999999999999d", "300000000000000d"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }

    #[test]
    fn limits_reach_the_api_as_they_are_set() {
        let settings = LimitSettings { query_rows_max: 7, shutdown_grace_s: 3, ..LimitSettings::default() };
        assert_eq!(LimitSettings::from(&ApiLimits::from(&settings)), settings);
    }

    #[test]
    fn defaults_lie_within_their_bounds() {
        let bounds = [
            StorageSettings::default().bounds(),
            BackupSettings::default().bounds(),
            LimitSettings::default().bounds(),
            ScrubSettings::default().bounds(),
            SpoolSettings::default().bounds(),
            LogSettings::default().bounds(),
        ];
        for (key, value, bounds) in bounds.concat() {
            assert!(bounds.contains(&value), "{key}");
        }
    }
}
