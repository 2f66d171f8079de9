//! Runs the historian: puts store, ingest, collectors and API together from a configuration, and takes them down in order.
//!
//! Down goes what brings samples first: collectors stop and drain their spools, then the API ends its streams, then ingest makes durable
//! what it took.

pub mod config;
mod upkeep;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::config::Configuration;
use crate::{
    api::{self, Admin, AdminStatus, ApiLimits, Metrics, Services},
    collector::{CollectorContext, DeviceStatus, LastSample, Spool, spool::SPOOL_SAMPLES_MAX},
    ingest::{
        Ingest, IngestOptions,
        keep::KeeperOptions,
        sink::{SampleSink, WriteError},
    },
    model::{Clock, Quality, SystemClock, TagDefinition, TagId, Timestamp},
    query::QueryEngine,
    store::{self, Catalog, LiveStore, Maintenance, Store, rocks::StoreOptions},
};

/// Puts something around a part of the server.
pub type Around<T> = Box<dyn FnOnce(Arc<T>) -> Arc<T> + Send>;

/// What a historian stands on. Tests put another clock, a failing disk or a faulty door in its place.
pub struct World {
    pub clock: Arc<dyn Clock>,
    /// Put around the store on disk.
    pub store: Around<dyn Store>,
    /// Put around the door of ingest that the API writes through.
    pub sink: Around<dyn SampleSink>,
}

impl Default for World {
    /// The machine as it is.
    fn default() -> World {
        World { clock: Arc::new(SystemClock), store: Box::new(|store| store), sink: Box::new(|sink| sink) }
    }
}

/// Runs until `shutdown`, then stops cleanly.
///
/// # Errors
/// When a port is taken, the data directory cannot be used, a configured tag contradicts the catalog, or serving fails.
pub async fn run(configuration: Configuration, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_in(World::default(), configuration, shutdown).await
}

/// [`run`] in a world of the caller's.
///
/// # Errors
/// As [`run`].
pub async fn run_in(world: World, configuration: Configuration, shutdown: CancellationToken) -> anyhow::Result<()> {
    let World { clock, store: around_store, sink: around_sink } = world;
    let start_time = clock.now();
    let settings = &configuration.server;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("gRPC cannot listen on {}; choose another address with --listen", settings.listen))?;
    let http = TcpListener::bind(settings.http)
        .await
        .with_context(|| format!("HTTP cannot listen on {}; choose another address with --http", settings.http))?;

    let (catalog, ingest, maintenance) = {
        let (configuration, clock) = (configuration.clone(), clock.clone());
        tokio::task::spawn_blocking(move || open(&configuration, clock, around_store)).await??
    };
    let recovered = ingest.recovered();
    tracing::info!(
        data_dir = %settings.data_dir.display(),
        tags = catalog.len(),
        watermark = recovered.watermark,
        samples = recovered.samples,
        "store open; samples of the journal are back in their heads"
    );

    let collectors_stop = shutdown.child_token();
    let mut collectors = Collectors::start(&configuration, &catalog, &ingest, &clock, &collectors_stop)?;
    let devices = collectors.devices.clone();
    let services = Services {
        catalog: catalog.clone(),
        sink: around_sink(ingest.clone()),
        corrections: ingest.clone(),
        query: QueryEngine::new(ingest.reader()).with_threads(configuration.limits.query_threads),
        clock: clock.clone(),
        devices: Arc::new(move || devices.clone()),
        admin: Arc::new(Administration { ingest: ingest.clone(), maintenance: maintenance.clone(), start_time }),
        limits: ApiLimits::from(&configuration.limits),
        metrics: Arc::new(Metrics::default()),
    };
    tracing::info!(listen = %listener.local_addr()?, http = %http.local_addr()?, devices = collectors.devices.len(), "serving");

    // A door that fails takes the process down in order rather than leaving it half open.
    let stop = shutdown.child_token();
    let served = tokio::join!(
        stopping(&stop, api::serve(listener, services.clone(), stop.clone())),
        stopping(&stop, api::serve_http(http, services, stop.clone())),
        async {
            stop.cancelled().await;
            collectors_stop.cancel();
            collectors.join().await;
        },
        upkeep::scrub_regularly(maintenance, &configuration.scrub, clock, stop.clone()),
    );
    tokio::task::spawn_blocking(move || ingest.close()).await?;
    tracing::info!("stopped");
    served.0?;
    served.1?;
    Ok(())
}

/// Cancels `stop` when the future ends, however it ends.
async fn stopping<T>(stop: &CancellationToken, future: impl Future<Output = T>) -> T {
    let _cancel_when_done = stop.clone().drop_guard();
    future.await
}

/// Opens store, catalog and ingest, and makes the configured tags. Blocks.
fn open(
    configuration: &Configuration,
    clock: Arc<dyn Clock>,
    around_store: Around<dyn Store>,
) -> anyhow::Result<(Arc<Catalog>, Arc<Ingest>, Arc<Maintenance>)> {
    let storage = &configuration.storage;
    let options = StoreOptions {
        cache_bytes: storage.cache_bytes.0 as usize,
        reserve_bytes: storage.disk_reserve_bytes.map(|bytes| bytes.0),
        ..StoreOptions::default()
    };
    if configuration.accept_loss {
        store::salvage::accept_loss(&configuration.server.data_dir, &options, clock.now())?;
    }
    let files = Arc::new(LiveStore::open(&configuration.server.data_dir, &options)?);
    let store = around_store(files.clone());
    let catalog = Arc::new(Catalog::open(store.clone(), clock.clone(), storage.tags_max)?);
    let maintenance = Maintenance::new(files, catalog.clone(), clock.clone(), configuration.backup.directory.clone());
    let ingest = Ingest::open(
        store,
        catalog.clone(),
        clock,
        IngestOptions {
            head_samples_max: storage.head_samples_max,
            journal_bytes_max: storage.journal_bytes_max.0,
            group_commit: Duration::from_millis(storage.group_commit_ms),
            interval: Duration::from_millis(storage.interval_sync_ms),
            heads_bytes_max: storage.heads_bytes_max.0 as usize,
            keeper: KeeperOptions {
                retention: configuration.retention.clone(),
                retention_interval: Duration::from_secs(storage.retention_interval_s),
                ..KeeperOptions::default()
            },
            future_max: (storage.future_max_s > 0).then(|| Duration::from_secs(storage.future_max_s)),
            ..IngestOptions::default()
        },
    )?;
    configured(&catalog, configuration.written_tags.clone()).context("tag files")?;
    Ok((catalog, Arc::new(ingest), Arc::new(maintenance)))
}

/// Makes or updates tags so that the catalog says what the configuration says; answers their ids in order.
fn configured(catalog: &Catalog, definitions: Vec<TagDefinition>) -> anyhow::Result<Vec<TagId>> {
    let tags = catalog.get_or_create(definitions.clone())?;
    for (tag, mut definition) in tags.iter().zip(definitions) {
        if tag.value_type() != definition.value_type {
            anyhow::bail!(
                "tag {} is configured with value type {}, but the catalog has it as {}; give the configured tag another name, or `type = \"{}\"`",
                tag.name(),
                definition.value_type,
                tag.value_type(),
                tag.value_type()
            );
        }
        if definition.state_set.is_empty() {
            definition.state_set.clone_from(&tag.definition.state_set);
        }
        if tag.definition != definition {
            catalog.update(definition)?;
        }
    }
    Ok(tags.iter().map(|tag| tag.id).collect())
}

/// What the store holds of these tags.
fn last_samples(catalog: &Catalog, ingest: &Ingest, ids: &[TagId]) -> anyhow::Result<Vec<Option<LastSample>>> {
    let reader = ingest.reader();
    let last = |id: &TagId| {
        let Some(tag) = catalog.by_id(*id) else { return Ok(None) };
        let current = reader.current(&tag).with_context(|| format!("the last sample of tag {}", tag.name()))?;
        Ok(current.map(|current| LastSample { timestamp: Timestamp(current.timestamp), quality: Quality(current.quality) }))
    };
    ids.iter().map(last).collect()
}

/// The running collectors, one per device.
struct Collectors {
    devices: Vec<Arc<DeviceStatus>>,
    tasks: JoinSet<()>,
}

impl Collectors {
    fn start(
        configuration: &Configuration,
        catalog: &Catalog,
        ingest: &Arc<Ingest>,
        clock: &Arc<dyn Clock>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Collectors> {
        let mut collectors = Collectors { devices: Vec::new(), tasks: JoinSet::new() };
        for collector in &configuration.collectors {
            let ids = configured(catalog, collector.tags()).with_context(|| format!("device {}", collector.device()))?;
            let status = Arc::new(DeviceStatus::new(collector.device(), collector.protocol(), collector.endpoint()));
            let names = ids.iter().copied().zip(collector.tags().into_iter().map(|definition| definition.name));
            status.set_scene(clock.clone(), names.collect());
            let spool = Spool::new(SPOOL_SAMPLES_MAX, status.clone());
            let context = CollectorContext {
                spool: spool.clone(),
                clock: clock.clone(),
                status: status.clone(),
                last: last_samples(catalog, ingest, &ids)?,
                shutdown: shutdown.clone(),
            };
            collectors.devices.push(status);

            // The spool drains until its collector has ended, so that the last samples are written.
            let collected = CancellationToken::new();
            let sink: Arc<dyn SampleSink> = ingest.clone();
            collectors.tasks.spawn(spool.drain(sink, collected.clone()));
            let collector = collector.clone();
            collectors.tasks.spawn(async move {
                let _ended = collected.drop_guard();
                collector.run(ids, context).await;
            });
        }
        Ok(collectors)
    }

    async fn join(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a collector ended by a panic");
            }
        }
    }
}

/// Status, compaction and upkeep for the API.
struct Administration {
    ingest: Arc<Ingest>,
    maintenance: Arc<Maintenance>,
    start_time: Timestamp,
}

impl Admin for Administration {
    fn status(&self) -> AdminStatus {
        let ingest = self.ingest.status();
        AdminStatus {
            start_time: self.start_time,
            watermark: ingest.watermark,
            samples_written: ingest.samples_written,
            head_samples: ingest.head_samples,
            chunks_sealed: ingest.chunks_sealed,
            kept: ingest.kept,
            accepting_writes: ingest.accepting_writes,
            stopped_reason: ingest.stopped,
            full_reason: ingest.full,
            samples_rejected: ingest.samples_rejected,
        }
    }

    fn compact(&self) -> Result<u64, WriteError> {
        self.ingest.compact()
    }

    fn maintenance(&self) -> Option<Arc<Maintenance>> {
        Some(self.maintenance.clone())
    }
}
