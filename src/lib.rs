//! A plant historian: collectors, ingest, store, query and API in one process.
//!
//! This library is the whole program; the binary `historian` calls [`cli::main`]. It is made of rooms. Samples go through them from top to
//! bottom, and a room imports only those below it:
//!
//! ```text
//! device → collector → ingest → chunk (historian-format) → store → read → query → api → wire
//! ```
//!
//! | Room | Does |
//! |---|---|
//! | [`model`] | tags, samples, qualities, times, ranges, selections; the one clock |
//! | [`tls`] | certificates and keys: read, checked, followed, made |
//! | [`trace`] | traces of calls, sent to a collector of OpenTelemetry |
//! | [`collector`] | takes samples from devices over Modbus, OPC UA and MQTT; reads only |
//! | [`ingest`] | the write path: journal (the write-ahead log), heads, sealing, deletions |
//! | [`maintenance`] | compaction, rollups, retention |
//! | [`read`] | snapshots of heads and store, merging, states of intervals, the change feed |
//! | [`access`] | who may do what: rights, roles, principals, API tokens |
//! | [`store`] | chunks, catalog and logs in RocksDB or in memory; backup, scrub, salvage |
//! | [`query`] | decodes ranges into Arrow; aggregates, plots, anomalies, key figures, SQL |
//! | [`api`] | gRPC, Arrow Flight, Flight SQL and HTTP over the rooms below |
//! | [`server`] | reads the configuration, puts everything together, takes it down in order |
//! | [`cli`] | what a person or a script types |
//! | [`simulator`] | a plant with real Modbus and OPC UA devices, for the demo |
//!
//! Two crates stand beside them: `historian_format`, the bytes on disk, and `historian_proto`, the messages on the wire. `ARCHITECTURE.md`
//! has the map, the glossary, the invariants and the bounds, `docs/threads.md` the threads and queues, `docs/decisions/` the reasons. This
//! page has an example for each room.
//!
//! # `model`: names, times and qualities
//!
//! ```
//! use historian::model::{Quality, TagSelection, Timestamp};
//! use jiff::tz::TimeZone;
//!
//! let now = Timestamp::parse("2026-03-29T12:00:00+02:00", Timestamp(0), &TimeZone::UTC)?;
//! assert_eq!(Timestamp::parse("*-1h", now, &TimeZone::UTC)?.0, now.0 - 3_600_000_000_000);
//!
//! assert!(TagSelection::parse(&["area1/**"])?.matches("area1/boiler/pressure"));
//! assert!(Quality::BAD_SENSOR_FAILURE.is_bad());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # `collector`: a protocol loop never waits for the disk
//!
//! A [`Collector`](collector::Collector) pushes what it reads into a bounded [`Spool`](collector::Spool), whose own task writes it. A
//! measurement that failed is a sample too, with a Bad quality.
//!
//! ```
//! use std::sync::Arc;
//!
//! use historian::{
//!     collector::{DeviceStatus, Spool, spool::SPOOL_SAMPLES_MAX},
//!     model::{Quality, TagId, Timestamp, Value, ValueType},
//! };
//!
//! let status = Arc::new(DeviceStatus::new("boiler-plc", "modbus", "192.0.2.10:502"));
//! let spool = Spool::new(SPOOL_SAMPLES_MAX, status);
//! spool.push_sample(TagId(1), ValueType::F64, Timestamp(1_000), Some(&Value::F64(21.5)), Quality::GOOD)?;
//! spool.push_sample(TagId(1), ValueType::F64, Timestamp(2_000), None, Quality::BAD_SENSOR_FAILURE)?;
//! assert_eq!(spool.depth(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # `store`, `ingest`, `query`: a historian in memory
//!
//! [`RocksStore`](store::RocksStore) in the place of [`MemoryStore`](store::MemoryStore) makes it durable; nothing else changes. Each query
//! reads one consistent snapshot. Reading blocks, so servers call it from blocking threads.
//!
//! ```
//! use std::{sync::Arc, time::{Duration, Instant}};
//!
//! use historian::{
//!     ingest::{Ingest, IngestOptions},
//!     model::{
//!         Quality, SampleBatch, Samples, SystemClock, TagDefinition, TagName, TimeRange, Timestamp, Value, ValueType,
//!         sink::{Durability, SampleSink, WriteMode},
//!     },
//!     query::{QueryEngine, QueryLimits, RangeQuery},
//!     sql::{SqlEngine, SqlOptions, Statement, StatementReply},
//!     store::{Catalog, MemoryStore, catalog::TAGS_MAX},
//! };
//! use tokio_util::sync::CancellationToken;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // store: the catalog gives the tag its id.
//! let store = Arc::new(MemoryStore::default());
//! let catalog = Arc::new(Catalog::open(store.clone(), Arc::new(SystemClock), TAGS_MAX)?);
//! let tag = catalog.create(TagDefinition::new(TagName::new("area1/boiler/pressure")?, ValueType::F64))?;
//!
//! // ingest: the write is answered when it is durable and visible.
//! let ingest = Ingest::open(store, catalog.clone(), Arc::new(SystemClock), IngestOptions::default())?;
//! let mut run = Samples::new(ValueType::F64);
//! run.push(1_000, Some(&Value::F64(21.5)), Quality::GOOD.0)?;
//! run.push(2_000, None, Quality::BAD_SENSOR_FAILURE.0)?;
//! let batch = SampleBatch { runs: vec![(tag.id, run)] };
//! let runtime = tokio::runtime::Runtime::new()?;
//! let acknowledgement = runtime.block_on(ingest.write(batch, WriteMode::Upsert, Durability::Sync))?;
//! assert_eq!(acknowledgement.samples, 2);
//!
//! // query: Arrow batches, handed on one by one, within limits.
//! let limits = || QueryLimits::new(Instant::now() + Duration::from_secs(60), 1_000_000, CancellationToken::new());
//! let engine = QueryEngine::new(ingest.reader());
//! let range = RangeQuery::new(vec![tag], TimeRange::new(Timestamp(0), Timestamp(2_000)));
//! let mut rows = 0;
//! engine.range(&range, &limits(), &mut |batch| {
//!     rows += batch.num_rows();
//!     true
//! })?;
//! assert_eq!(rows, 1); // the end is not included
//!
//! // sql: the same engine behind tables.
//! let sql = SqlEngine::new(engine, catalog, SqlOptions::default());
//! let text = "SELECT tag, value FROM samples WHERE is_good(quality)".to_owned();
//! let mut rows = 0;
//! sql.run(&Statement { text, now: Timestamp(3_000), parameters: Vec::new(), zone: "".into() }, &limits(), &mut |reply| {
//!     if let StatementReply::Batch(batch) = reply {
//!         rows += batch.num_rows();
//!     }
//!     true
//! })?;
//! assert_eq!(rows, 1);
//! ingest.close();
//! # Ok(())
//! # }
//! ```
//!
//! # `access`: who may do what
//!
//! ```
//! use historian::{access::{AccessBook, AccessFile, Grant, NewToken, Right, Role}, model::Timestamp};
//!
//! let directory = tempfile::tempdir()?;
//! let file = AccessFile::in_directory(directory.path());
//! let grants = vec![Grant { role: Role::Reader, tags: vec!["area1/**".into()] }];
//! let now = Timestamp(0);
//! let made = AccessFile::create_token(&file, NewToken { name: "ana".into(), grants, expires: None }, now)?;
//!
//! let book = AccessBook::open(&file)?;
//! let ana = book.authenticate(&made.secret, now).expect("the token is valid");
//! assert_eq!(ana.name(), "token:ana");
//! assert!(ana.may_on(Right::Read, "area1/boiler/pressure") && !ana.may(Right::Write));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # `api`: what a client sees
//!
//! ```no_run
//! use historian_proto::v1::{CurrentValuesRequest, query_service_client::QueryServiceClient};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = QueryServiceClient::connect("http://127.0.0.1:8815").await?;
//! let answer = client.current_values(CurrentValuesRequest { tags: vec!["**".into()], ..Default::default() }).await?.into_inner();
//! println!("{} tags", answer.samples.len());
//! # Ok(())
//! # }
//! ```
//!
//! # `server` and `simulator`: a plant, and the historian that collects from it
//!
//! ```no_run
//! use std::path::Path;
//!
//! use historian::{server::{self, config}, simulator::{Plant, PlantOptions}};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let plant = Plant::start(PlantOptions::new("plant-pki")).await?;
//! let device = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"{}\"\n", plant.modbus_address);
//! let text = device + "[[modbus.tag]]\nname = \"a\"\naddress = \"holding:1\"\n";
//! let read = config::parse("historian.toml", &text, Path::new("."), &config::Overrides::default());
//! let configuration = read.map_err(|problems| problems[0].to_string())?;
//!
//! // Until the token is cancelled: then collectors, API, ingest and store stop in this order.
//! server::run(configuration, CancellationToken::new()).await?;
//! plant.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # `cli`: the program
//!
//! ```no_run
//! // All that `main` of the binary does: read the arguments, run the command, return its exit code.
//! let code: std::process::ExitCode = historian::cli::main();
//! ```

/// Memory of Rust and of RocksDB alike: the system's allocator keeps what its arenas once needed, hundreds of megabytes after an ingest. Set here and in
/// no room, so that what is built of the rooms alone may count its memory.
#[global_allocator]
static ALLOCATOR: historian_allocator::Allocator = historian_allocator::Allocator;

pub use historian_access as access;
pub use historian_allocator as allocator;
pub use historian_api as api;
pub use historian_audit as audit;
pub use historian_cli as cli;
pub use historian_collector as collector;
pub use historian_ingest as ingest;
pub use historian_maintenance as maintenance;
pub use historian_modbus as modbus;
pub use historian_model as model;
pub use historian_mqtt as mqtt;
pub use historian_oidc as oidc;
pub use historian_opcua as opcua;
pub use historian_operators as operators;
pub use historian_query as query;
pub use historian_read as read;
pub use historian_server as server;
pub use historian_simulator as simulator;
pub use historian_sql as sql;
pub use historian_store as store;
pub use historian_tls as tls;
pub use historian_trace as trace;
