//! Runs the historian: puts store, ingest, collectors and API together from a configuration, and takes them down in order.
//!
//! Down goes what brings samples first: collectors stop and drain their spools, then the API ends its streams, then ingest makes durable
//! what it took.

mod access;
mod certificates;
mod collect;
pub mod config;
mod descriptors;
mod local_socket;
mod memory;
mod oidc;
mod silence;
mod upkeep;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{config::Configuration, descriptors::Descriptors, silence::Silence};
use historian_access::{AccessBook, AccessFile};
use historian_api as api;
use historian_api::{Admin, AdminStatus, ApiLimits, ClientMemory, Metrics, PortListener, Services, Starting, WorkThreads};
use historian_collector::{CollectorContext, DeviceStatus, Spool};
use historian_ingest::{Ingest, IngestOptions};
use historian_maintenance::KeeperOptions;
use historian_model::{
    Clock, RetentionGroup, Sample, SampleBatch, SystemClock, Tag, TagDefinition, TagId, TagName, Timestamp, ValueType,
    sink::{SampleSink, WriteError},
};
use historian_oidc::Issuer;
use historian_query::QueryEngine;
use historian_store as store;
use historian_store::{Catalog, Claim, LiveStore, Maintenance, RunMark, Store, rocks::StoreOptions};
use historian_tls::{ServerTls, TlsState};

/// Puts something around a part of the server.
pub type Wrapper<T> = Box<dyn FnOnce(Arc<T>) -> Arc<T> + Send>;

/// What a historian stands on. Tests put another clock, a failing disk or a faulty door in its place.
pub struct World {
    pub clock: Arc<dyn Clock>,
    /// Put around the store on disk.
    pub store: Wrapper<dyn Store>,
    /// Put around the door of ingest that the API writes through.
    pub sink: Wrapper<dyn SampleSink>,
    /// The data directory, where the caller has claimed it already.
    pub claim: Option<Claim>,
}

impl Default for World {
    /// The machine as it is.
    fn default() -> World {
        World { clock: Arc::new(SystemClock), store: Box::new(|store| store), sink: Box::new(|sink| sink), claim: None }
    }
}

/// Runs until `shutdown`, then stops cleanly.
///
/// # Errors
/// When a port is taken, the data directory cannot be used, or serving fails.
pub async fn run(configuration: Configuration, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_in(World::default(), configuration, shutdown).await
}

/// [`run`] in a world of the caller's.
///
/// # Errors
/// As [`run`].
pub async fn run_in(world: World, configuration: Configuration, shutdown: CancellationToken) -> anyhow::Result<()> {
    let World { clock, store: around_store, sink: around_sink, claim } = world;
    memory::without_huge_pages();
    let start_time = clock.now();
    let settings = &configuration.server;
    let descriptors = Descriptors::raised();
    let mut limits = ApiLimits::from(&configuration.limits);
    limits.connections_max = descriptors.connections(limits.connections_max);
    let tls = configuration.tls.clone().map(|files| certificates::open(files, clock.now())).transpose()?;
    let book = AccessBook::open(&AccessFile::in_directory(&settings.data_dir)).context("the tokens cannot be read")?;
    // A configuration is checked when it is read, and may have been changed since, as may the tokens.
    let is_closed = configuration.oidc.is_some() || !book.is_empty();
    let reached = [settings.listen, settings.http].into_iter().find_map(|address| config::unreachable(address, tls.is_some(), is_closed));
    if let Some(problem) = reached {
        anyhow::bail!(problem);
    }
    let no_grpc = || format!("gRPC cannot listen on {}; choose another address with --listen", settings.listen);
    // Taken, so that nobody else has it, and not listened on before there is something to say: a client is refused until then, which every
    // client understands, rather than left waiting for a journal to be replayed.
    let reserved = reserve(settings.listen).with_context(no_grpc)?;
    let http = TcpListener::bind(settings.http)
        .await
        .with_context(|| format!("HTTP cannot listen on {}; choose another address with --http", settings.http))?;
    let http_address = http.local_addr()?;
    // A supervisor asks while the store is being opened, too. The task ends with this function, however that ends.
    let stop = shutdown.child_token();
    let starting = Arc::new(Starting::default());
    let mut telling = JoinSet::new();
    let metrics = Arc::new(Metrics::default());
    {
        let (starting, limits, metrics, stop) = (starting.clone(), limits.clone(), metrics.clone(), stop.clone());
        let http = PortListener { listener: http, tls: tls.clone(), local: None };
        telling.spawn(async move { api::serve_http_from_the_start(http, starting, &limits, &metrics, stop).await });
    }
    tracing::info!(http = %http_address, data_dir = %settings.data_dir.display(), "opening the store");

    let OpenedServer { claim, catalog, store, ingest, maintenance, mark, devices, mut silence } = {
        let (configuration, clock) = (configuration.clone(), clock.clone());
        tokio::task::spawn_blocking(move || open(claim, &configuration, descriptors, &clock, around_store)).await??
    };
    let unwritten = silence::end_values(&mut silence, &ingest).await;
    let tags = {
        let (catalog, written) = (catalog.clone(), configuration.written_tags.clone());
        let unconfigured = std::mem::take(&mut silence.unconfigured);
        tokio::task::spawn_blocking(move || configured(&catalog, &written, devices, &unconfigured)).await??
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
    let mut collectors = RunningCollectors::start(&configuration, tags, &ingest, &clock, &collectors_stop)?;
    let unsettled = collectors.settle(silence, unwritten, &ingest, store.clone(), &collectors_stop);
    let collected = CancellationToken::new();
    let devices = collectors.devices.clone();
    let work = WorkThreads::new(historian_allocator::give_back).context("no threads for queries")?;
    let issuer = configuration.oidc.clone().map(Issuer::new);
    tokio::spawn(access::refreshed(book.clone(), issuer.is_some(), shutdown.clone()));
    let services = Services {
        catalog: catalog.clone(),
        sink: around_sink(ingest.clone()),
        corrections: ingest.clone(),
        query: QueryEngine::new(ingest.reader()).with_threads(configuration.limits.query_threads),
        tables: configuration.tables.clone(),
        clock: clock.clone(),
        access: api::Access::new(book, issuer.clone()),
        devices: Arc::new(move || devices.clone()),
        admin: Arc::new(ServerAdministration {
            ingest: ingest.clone(),
            store,
            clock: clock.clone(),
            collected: std::mem::take(&mut collectors.collected),
            maintenance: maintenance.clone(),
            tls: tls.clone(),
            retention: configuration.retention.clone(),
            start_time,
        }),
        memory: ClientMemory::new(limits.memory_bytes_max),
        work: work.clone(),
        limits,
        metrics,
    };
    let listener = reserved.listen(CONNECTIONS_WAITING_MAX).with_context(no_grpc)?;
    starting.done(services.clone());
    tracing::info!(listen = %listener.local_addr()?, http = %http_address, tls = tls.is_some(), devices = collectors.devices.len(), "serving");
    let (local, socket) = settings.local_socket.then(|| local_socket::listen(&settings.data_dir)).flatten().unzip();
    let listener = PortListener { listener, tls: tls.clone(), local };

    // A door that fails takes the process down in order rather than leaving it half open.
    let served = tokio::join!(
        stopping(&stop, Box::pin(api::serve(listener, services, stop.clone()))),
        stopping(&stop, async { telling.join_next().await }),
        async {
            stop.cancelled().await;
            collectors_stop.cancel();
            collectors.join().await;
            collected.cancel();
        },
        silence::keep_mark(mark, clock.clone(), unsettled, collected.clone()),
        upkeep::scrub_regularly(maintenance, &configuration.scrub, clock.clone(), stop.clone()),
        certificates::follow(tls, clock.clone(), stop.clone()),
        oidc::follow(issuer, clock, stop.clone()),
    );
    drop(socket);
    tokio::task::spawn_blocking(move || {
        work.end(WORK_ENDS_WITHIN);
        ingest.close();
    })
    .await?;
    drop(claim);
    tracing::info!("stopped");
    served.0?;
    if let Some(served) = served.1 {
        served?;
    }
    Ok(())
}

/// How long is waited for what still computes for requests that were cut. It has been told so, and ends within milliseconds.
const WORK_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Connections that the system takes before we do.
const CONNECTIONS_WAITING_MAX: u32 = 1024;

/// Takes an address without listening on it.
fn reserve(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As every listener does: connections of the process before may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Cancels `stop` when the future ends, however it ends.
async fn stopping<T>(stop: &CancellationToken, future: impl Future<Output = T>) -> T {
    let _cancel_when_done = stop.clone().drop_guard();
    future.await
}

/// What a start stands on.
struct OpenedServer {
    claim: Claim,
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    ingest: Arc<Ingest>,
    maintenance: Arc<Maintenance>,
    mark: RunMark,
    /// Tags of each device as they are configured, in its order.
    devices: Vec<Vec<TagDefinition>>,
    /// What is to be done about the time since the run before.
    silence: Silence,
}

/// A tag of the catalog and why it cannot be collected, where it cannot.
struct ConfiguredTag {
    tag: Arc<Tag>,
    refused: Option<String>,
}

/// Opens store, catalog and ingest in a directory that nobody else uses, and looks back at the run before. What may refuse the start has its
/// say here, before the catalog is changed. Blocks.
fn open(
    claim: Option<Claim>,
    configuration: &Configuration,
    descriptors: Descriptors,
    clock: &Arc<dyn Clock>,
    around_store: Wrapper<dyn Store>,
) -> anyhow::Result<OpenedServer> {
    let claim = claim.map_or_else(|| Claim::alone(&configuration.server.data_dir), Ok)?;
    let storage = &configuration.storage;
    let options = StoreOptions {
        cache_bytes: storage.cache_bytes.0 as usize,
        reserve_bytes: storage.disk_reserve_bytes.map(|bytes| bytes.0),
        open_tables_max: descriptors.tables(),
        ..StoreOptions::default()
    };
    if configuration.accept_loss {
        store::salvage::accept_loss_claimed(&claim, &options, clock.now())?;
    }
    let files = Arc::new(LiveStore::open(&configuration.server.data_dir, &options)?);
    let (mark, ended) = RunMark::open(&configuration.server.data_dir)?;
    let store = around_store(files.clone());
    let catalog = Arc::new(Catalog::open(store.clone(), clock.clone(), storage.tags_max)?);
    let maintenance = Maintenance::new(files, catalog.clone(), clock.clone(), configuration.backup.policy());
    let ingest = Ingest::open(
        store.clone(),
        catalog.clone(),
        clock.clone(),
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
    let devices: Vec<Vec<TagDefinition>> = configuration.collectors.iter().map(|collector| collector.tags()).collect();
    let collected: HashMap<_, _> = devices.iter().flatten().map(|definition| (&definition.name, definition)).collect();
    let wanted = silence::WantedTags { collected, ended, now: clock.now() };
    let mut silence = silence::look_back(&catalog, &ingest, store.as_ref(), &wanted)?;
    silence::record_gaps(&mut silence.gaps, store.as_ref()).context("recording gaps")?;
    Ok(OpenedServer { claim, catalog, store, ingest: Arc::new(ingest), maintenance: Arc::new(maintenance), mark, devices, silence })
}

/// Makes the catalog say what the configuration says, but for tags whose value type would change; answers the tags of each device.
fn configured(
    catalog: &Catalog,
    written: &[TagDefinition],
    devices: Vec<Vec<TagDefinition>>,
    unconfigured: &[TagId],
) -> anyhow::Result<Vec<Vec<ConfiguredTag>>> {
    let wanted: Vec<TagDefinition> = written.iter().chain(devices.iter().flatten()).cloned().collect();
    let mut tags = catalog.configure(wanted, unconfigured).context("the configured tags")?.into_iter();
    for (definition, tag) in written.iter().zip(&mut tags) {
        if let Some(reason) = config::contradiction(tag.value_type(), definition) {
            tracing::error!(tag = %tag.name(), "the tag stays as it is: {reason}");
        }
    }
    let of_device = |definitions: Vec<TagDefinition>| {
        let tags = definitions.iter().zip(&mut tags);
        tags.map(|(definition, tag)| ConfiguredTag { refused: config::contradiction(tag.value_type(), definition), tag }).collect()
    };
    Ok(devices.into_iter().map(of_device).collect())
}

/// What the store holds of these tags.
fn last_samples(ingest: &Ingest, tags: &[ConfiguredTag]) -> anyhow::Result<Vec<Option<Sample>>> {
    let reader = ingest.reader();
    let last =
        |ConfiguredTag { tag, .. }: &ConfiguredTag| reader.current(tag).with_context(|| format!("the last sample of tag {}", tag.name()));
    tags.iter().map(last).collect()
}

/// The running collectors, one per device.
struct RunningCollectors {
    devices: Vec<Arc<DeviceStatus>>,
    spools: Vec<Spool>,
    collected: HashMap<TagName, Collected>,
    tasks: JoinSet<()>,
}

/// A tag as its collector knows it.
struct Collected {
    id: TagId,
    /// As it is configured.
    value_type: ValueType,
    spool: Spool,
}

impl RunningCollectors {
    fn start(
        configuration: &Configuration,
        tags: Vec<Vec<ConfiguredTag>>,
        ingest: &Arc<Ingest>,
        clock: &Arc<dyn Clock>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<RunningCollectors> {
        let mut collectors =
            RunningCollectors { devices: Vec::new(), spools: Vec::new(), collected: HashMap::new(), tasks: JoinSet::new() };
        for (collector, tags) in configuration.collectors.iter().zip(tags) {
            let status = Arc::new(DeviceStatus::new(collector.device(), collector.protocol(), collector.endpoint()));
            status.set_scene(clock.clone(), tags.iter().map(|one| (one.tag.id, one.tag.name().clone())).collect());
            let spool = Spool::new(configuration.storage.spool_samples_max, status.clone());
            for ConfiguredTag { tag, refused } in &tags {
                if let Some(reason) = refused {
                    spool.refuse(tag.id, reason);
                }
            }
            let ids = tags.iter().map(|one| one.tag.id).collect();
            let types: Vec<ValueType> = collector.tags().iter().map(|definition| definition.value_type).collect();
            for (ConfiguredTag { tag, .. }, &value_type) in tags.iter().zip(&types) {
                collectors.collected.insert(tag.name().clone(), Collected { id: tag.id, value_type, spool: spool.clone() });
            }
            let context = CollectorContext {
                spool: spool.clone(),
                clock: clock.clone(),
                status: status.clone(),
                last: last_samples(ingest, &tags)?,
                shutdown: shutdown.clone(),
            };
            collectors.devices.push(status);
            collectors.spools.push(spool.clone());

            // The spool drains until its collector has ended, so that the last samples are written.
            let collected = CancellationToken::new();
            let sink: Arc<dyn SampleSink> = ingest.clone();
            collectors.tasks.spawn(spool.drain(sink, collected.clone()));
            let collector = collector.clone();
            collectors.tasks.spawn(async move {
                let _ended = collected.drop_guard();
                collect::collect(collector, ids, types, context).await;
            });
        }
        Ok(collectors)
    }

    /// Writes and records what found no room at the start when there is some. Answers who knows since when something is not in the store: of
    /// the run before, or of what is collected now.
    fn settle(
        &mut self,
        silence: Silence,
        unwritten: SampleBatch,
        ingest: &Arc<Ingest>,
        store: Arc<dyn Store>,
        shutdown: &CancellationToken,
    ) -> impl Fn() -> Option<Timestamp> + use<> {
        let status = Arc::new(DeviceStatus::new("historian", "", ""));
        let before = Spool::new(2 * unwritten.len().max(1024), status);
        for (tag, run) in unwritten.runs {
            before.push(tag, run);
        }
        let sink: Arc<dyn SampleSink> = ingest.clone();
        self.tasks.spawn(before.clone().drain(sink, shutdown.clone()));
        let recorded = Arc::new(AtomicBool::new(silence.gaps.is_empty()));
        self.tasks.spawn(silence::record_later(silence.gaps, store, recorded.clone(), shutdown.clone()));
        let (ended, spools) = (silence.ended, self.spools.clone());
        move || {
            let settled = before.unwritten_since().is_none() && recorded.load(Ordering::Relaxed);
            let of_before = if settled { None } else { ended };
            spools.iter().map(Spool::unwritten_since).chain([of_before]).flatten().min()
        }
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
struct ServerAdministration {
    ingest: Arc<Ingest>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    collected: HashMap<TagName, Collected>,
    maintenance: Arc<Maintenance>,
    tls: Option<Arc<ServerTls>>,
    retention: Vec<RetentionGroup>,
    start_time: Timestamp,
}

impl Admin for ServerAdministration {
    fn status(&self) -> AdminStatus {
        let ingest = self.ingest.status();
        AdminStatus {
            start_time: self.start_time,
            watermark: ingest.watermark,
            samples_written: ingest.samples_written,
            head_samples: ingest.head_samples,
            chunks_sealed: ingest.chunks_sealed,
            chunks_merged: ingest.kept.chunks_read,
            chunks_written: ingest.kept.chunks_written,
            samples_superseded: ingest.kept.samples_superseded,
            upkeep_failures: ingest.kept.failures,
            accepting_writes: ingest.accepting_writes,
            stopped_reason: ingest.stopped,
            full_reason: ingest.full,
            samples_rejected: ingest.samples_rejected,
        }
    }

    fn compact(&self) -> Result<u64, WriteError> {
        self.ingest.compact()
    }

    fn collect_into(&self, tag: &Tag) -> bool {
        let Some(collected) = self.collected.get(tag.name()).filter(|collected| collected.value_type == tag.value_type()) else {
            return false;
        };
        tracing::info!(tag = %tag.name(), value_type = %tag.value_type(), "is collected into the new tag of its name from now on");
        collected.spool.redirect(collected.id, tag.id);
        silence::collected_again(tag.name(), self.store.as_ref(), self.clock.now());
        true
    }

    fn maintenance(&self) -> Option<Arc<Maintenance>> {
        Some(self.maintenance.clone())
    }

    fn tls(&self) -> Option<TlsState> {
        self.tls.as_ref().map(|tls| tls.state())
    }

    fn retention(&self) -> Vec<RetentionGroup> {
        self.retention.clone()
    }
}
