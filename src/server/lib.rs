//! Runs the historian: puts store, ingest, collectors and API together from a configuration, and takes them down in order.
//!
//! Down goes what brings samples first: collectors stop and drain their spools, then the API ends its streams, then ingest makes durable
//! what it took.

mod access;
mod administration;
mod audit;
mod certificates;
mod collect;
pub mod config;
mod configured;
mod descriptors;
mod devices;
mod disk;
mod found;
mod gap_record;
mod listeners;
mod local_socket;
mod memory;
mod name_user;
mod oidc;
mod process;
pub mod reload;
mod renamed_gap;
mod silence;
mod spooling;
mod supervisor;
mod unfilled;
mod upkeep;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    administration::ServerAdministration,
    audit::AuditWatch,
    config::Configuration,
    configured::ConfiguredTags,
    descriptors::Descriptors,
    devices::{ConfiguredTag, DeviceSet, Spools},
    disk::DiskTrend,
    found::TagMaking,
    name_user::NameUsers,
    reload::{ReloadParts, ReloadSource, Reloader},
    silence::Silence,
};
use historian_access::{AccessBook, AccessFile};
use historian_api as api;
use historian_api::{
    ApiLimits, ApiRoutes, AuditTrail, CallLog, ClientMemory, HttpEnd, Metrics, PortListener, Services, Starting, WorkThreads,
};
use historian_audit::HeadKey;
use historian_collector::SpoolDirectory;
use historian_ingest::{Ingest, IngestOptions};
use historian_maintenance::KeeperOptions;
use historian_model::{Clock, SampleBatch, SystemClock, TagDefinition, TagId, TagRename, Timestamp, sink::SampleSink};
use historian_oidc::Issuer;
use historian_query::QueryEngine;
use historian_store as store;
use historian_store::{
    Annotations, AuditLog, Catalog, Claim, ConfiguredCatalog, LiveStore, Maintenance, PendingGaps, RunMark, SavedViews, Store,
    rocks::StoreOptions,
};

pub use local_socket::LOCAL_SOCKET;

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
    /// How the configuration is read again, where it can be.
    pub reload: Option<ReloadSource>,
}

impl Default for World {
    /// The machine as it is.
    fn default() -> World {
        World { clock: Arc::new(SystemClock), store: Box::new(|store| store), sink: Box::new(|sink| sink), claim: None, reload: None }
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
    let World { clock, store: around_store, sink: around_sink, claim, reload } = world;
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
    let of_zones = config::zone::addresses(&configuration.zones).map(|(_, address)| address);
    let reached = [settings.listen, settings.http]
        .into_iter()
        .chain(of_zones)
        .find_map(|address| config::unreachable(address, tls.is_some(), is_closed));
    if let Some(problem) = reached {
        anyhow::bail!(problem);
    }
    let no_grpc = || format!("gRPC cannot listen on {}; choose another address with --listen", settings.listen);
    // Taken, so that nobody else has it, and not listened on before there is something to say: a client is refused until then, which every
    // client understands, rather than left waiting for a journal to be replayed.
    let reserved = listeners::reserve(settings.listen).with_context(no_grpc)?;
    let http = TcpListener::bind(settings.http)
        .await
        .with_context(|| format!("HTTP cannot listen on {}; choose another address with --http", settings.http))?;
    let http_address = http.local_addr()?;
    let zones_http = listeners::http_of_zones(&configuration.zones).await?;
    let zones_reserved = listeners::reserved(&configuration.zones)?;
    // A supervisor asks while the store is being opened, too. The task ends with this function, however that ends.
    let stop = shutdown.child_token();
    let starting = Arc::new(Starting::default());
    let (mut telling, told) = (JoinSet::new(), CancellationToken::new());
    let metrics = Arc::new(Metrics::default());
    {
        let (starting, limits, metrics) = (starting.clone(), limits.clone(), metrics.clone());
        let end = HttpEnd { stopping: stop.clone(), end: told.clone() };
        let http = PortListener { listener: http, tls: tls.clone(), local: None, zones: zones_http };
        telling.spawn(async move { api::serve_http_from_the_start(http, starting, &limits, &metrics, end).await });
    }
    let opening = supervisor::opening();
    tracing::info!(http = %http_address, data_dir = %settings.data_dir.display(), "opening the store");

    let OpenedServer { claim, catalog, store, ingest, annotations, views, maintenance, mark, devices, mut silence, spools } = {
        let (configuration, clock) = (configuration.clone(), clock.clone());
        tokio::task::spawn_blocking(move || open(claim, &configuration, descriptors, &clock, around_store)).await??
    };
    let unwritten = silence::end_values(&mut silence, &ingest).await;
    let (tags, renamed) = {
        let (catalog, store, now) = (catalog.clone(), store.clone(), clock.now());
        let (written, renames) = (configuration.written_tags.clone(), configuration.renames.clone());
        let unconfigured = std::mem::take(&mut silence.unconfigured);
        let configuring = move || {
            let (tags, renamed) = configured(&catalog, &written, devices, &unconfigured, &renames)?;
            renamed_gap::carry_gaps(&renamed, |name| configured::is_collected(&catalog, name), store.as_ref(), now);
            Ok::<_, anyhow::Error>((tags, renamed))
        };
        tokio::task::spawn_blocking(configuring).await??
    };
    let configured = Arc::new(ConfiguredTags::of(&configuration));
    let recovered = ingest.recovered();
    tracing::info!(
        data_dir = %settings.data_dir.display(),
        tags = catalog.len(),
        watermark = recovered.watermark,
        samples = recovered.samples,
        "store open; samples of the journal are back in their heads"
    );

    let collectors_stop = shutdown.child_token();
    let making = TagMaking::new(catalog.clone(), store.clone(), clock.clone());
    let spools = Spools { samples_max: configuration.storage.spool_samples_max, directory: spools };
    let devices = Arc::new(DeviceSet::new(ingest.clone(), making, clock.clone(), spools, collectors_stop.clone()));
    for (collector, tags) in configuration.collectors.iter().zip(&tags) {
        devices.start(collector, tags)?;
    }
    let (unsettled, mut settling) = settle(silence, unwritten, &devices, (&ingest, store.clone()), &collectors_stop);
    devices.drain_left();
    let collected = CancellationToken::new();
    let calls = CallLog::default();
    calls.set_slow(Duration::from_millis(configuration.log.slow_query_ms));
    let key = HeadKey::of_directory(&configuration.server.data_dir).context("heads of the audit log cannot be signed")?;
    let audit = Arc::new(AuditLog::new(store.clone(), key, clock.clone()));
    let watch = Arc::new(AuditWatch::open(audit.clone(), &configuration));
    audit::at_start(&watch).await;
    let users = Arc::new(NameUsers { book: book.clone(), views: configuration.tables.views.clone(), clock: clock.clone() });
    users.left_behind(&renamed, &configuration.retention);
    let (reloader, reloads_asked) = match reload {
        Some(ReloadSource { load, set_log_level, asked }) => {
            let (catalog, store, ingest) = (catalog.clone(), store.clone(), ingest.clone());
            let parts = ReloadParts {
                catalog,
                store,
                ingest,
                clock: clock.clone(),
                devices: devices.clone(),
                calls: calls.clone(),
                audit: watch.clone(),
                configured: configured.clone(),
                users: users.clone(),
            };
            (Some(Arc::new(Reloader::new(load, set_log_level, parts, configuration.clone()))), asked)
        }
        // Nobody asks.
        None => (None, tokio::sync::mpsc::channel(1).1),
    };
    let trend = DiskTrend::default();
    let work = WorkThreads::new(historian_allocator::give_back).context("no threads for queries")?;
    let issuer = configuration.oidc.clone().map(Issuer::new);
    tokio::spawn(access::refreshed(book.clone(), issuer.is_some(), shutdown.clone()));
    let services = Services {
        catalog: catalog.clone(),
        sink: around_sink(ingest.clone()),
        corrections: ingest.clone(),
        query: QueryEngine::new(ingest.reader()).with_threads(configuration.limits.query_threads).with_annotations(annotations.clone()),
        annotations,
        views,
        tables: configuration.tables.clone(),
        clock: clock.clone(),
        access: api::Access::new(book, issuer.clone()),
        audit: AuditTrail::new(audit.clone()),
        devices: {
            let devices = devices.clone();
            Arc::new(move || devices.statuses())
        },
        admin: Arc::new(ServerAdministration {
            ingest: ingest.clone(),
            store: store.clone(),
            clock: clock.clone(),
            devices: devices.clone(),
            configured,
            users,
            maintenance: maintenance.clone(),
            tls: tls.clone(),
            retention: configuration.retention.clone(),
            reloader: reloader.clone(),
            trend: trend.clone(),
            start_time,
        }),
        memory: ClientMemory::new(limits.memory_bytes_max),
        work: work.clone(),
        limits,
        metrics,
        calls,
    };
    let listener = reserved.listen(listeners::CONNECTIONS_WAITING_MAX).with_context(no_grpc)?;
    let zones = listeners::of_zones(zones_reserved)?;
    let routes = ApiRoutes::new(services, stop.clone()).await?;
    starting.done(routes.clone());
    drop(opening);
    supervisor::serving(&serving_status(&ingest));
    tracing::info!(listen = %listener.local_addr()?, http = %http_address, tls = tls.is_some(), devices = devices.len(), "serving");
    let (local, socket) = settings.local_socket.then(|| local_socket::listen(&settings.data_dir)).flatten().unzip();
    let listener = PortListener { listener, tls: tls.clone(), local, zones };

    let mut ending = None;
    // A door that fails takes the process down in order rather than leaving it half open.
    let served = tokio::join!(
        stopping(&stop, Box::pin(api::serve(listener, routes))),
        stopping(&stop, async {
            tokio::select! {
                ended = telling.join_next() => ended,
                // It tells of the stop until that is done.
                () = stop.cancelled() => None,
            }
        }),
        supervisor::follow(sign_of_life(&ingest, &store), || serving_status(&ingest), stop.clone()),
        async {
            stop.cancelled().await;
            ending = Some(supervisor::stopping());
            collectors_stop.cancel();
            // No device is started behind the back of the stop.
            let _ended = match &reloader {
                Some(reloader) => Some(reloader.end().await),
                None => None,
            };
            devices.join().await;
            while settling.join_next().await.is_some() {}
            collected.cancel();
        },
        reload::follow(reloader.clone(), reloads_asked, stop.clone()),
        disk::measure(trend, maintenance.clone(), stop.clone()),
        silence::keep_mark(mark, clock.clone(), unsettled, collected.clone()),
        upkeep::scrub_regularly(maintenance, &configuration.scrub, clock.clone(), stop.clone()),
        certificates::follow(tls, clock.clone(), stop.clone()),
        oidc::follow(issuer, clock, stop.clone()),
        audit::watch(watch, stop.clone()),
        audit::publish_heads(audit, configuration.audit.clone(), stop.clone()),
    );
    drop(socket);
    tokio::task::spawn_blocking(move || {
        work.end(WORK_ENDS_WITHIN);
        ingest.close();
    })
    .await?;
    drop((claim, ending));
    told.cancel();
    while telling.join_next().await.is_some() {}
    tracing::info!("stopped");
    served.0?;
    if let Some(served) = served.1 {
        served?;
    }
    Ok(())
}

/// Whether the store is alive: the write that is being applied comes to its end until then, a snapshot can be taken, and a read comes back.
/// What it says counts for nothing here: a disk that refuses is told by `/healthz`, and a restart does not mend it. Blocks.
fn sign_of_life(ingest: &Ingest, store: &Arc<dyn Store>) -> impl Fn(std::time::Instant) -> bool + Clone + Send + use<> {
    let (reader, store) = (ingest.reader(), store.clone());
    move |until| {
        let rested = reader.between_writes(until).is_ok();
        let _ = store.clone().view().and_then(|view| view.gaps(u64::MAX, 1));
        rested
    }
}

/// What the service manager shows of a historian that serves.
fn serving_status(ingest: &Ingest) -> String {
    let status = ingest.status();
    match (status.stopped.as_str(), status.full.as_str()) {
        ("", "") => "serving".to_owned(),
        ("", full) => format!("serving; refuses writes until there is room: {full}"),
        (stopped, _) => format!("serving; takes no writes until a restart: {stopped}"),
    }
}

/// How long is waited for what still computes for requests that were cut. It has been told so, and ends within milliseconds.
const WORK_ENDS_WITHIN: Duration = Duration::from_secs(5);

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
    annotations: Arc<Annotations>,
    views: Arc<SavedViews>,
    maintenance: Arc<Maintenance>,
    mark: RunMark,
    /// Tags of each device as they are configured, in its order.
    devices: Vec<Vec<TagDefinition>>,
    /// What is to be done about the time since the run before.
    silence: Silence,
    /// Where collected samples wait on disk.
    spools: Option<Arc<SpoolDirectory>>,
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
    let annotations = Arc::new(Annotations::open(store.clone(), clock.clone())?);
    let views = Arc::new(SavedViews::open(store.clone(), clock.clone())?);
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
    let found = found::kept(&catalog, &configuration.collectors);
    let found = found.iter().map(|tag| (tag.name(), &tag.definition));
    // Those that are renamed have the names still that the catalog knows.
    let due = catalog.due(&configuration.renames);
    let held = devices.iter().flatten();
    let held = held.map(|definition| (due.get(&definition.name).map_or(&definition.name, |tag| tag.name()), definition));
    // What is configured wins over what the catalog has.
    let collected: HashMap<_, _> = found.chain(held).collect();
    let spools = spooling::open(configuration);
    let waiting = spools.as_ref().map(|spools| spools.newest()).unwrap_or_default();
    let (file, kept) = PendingGaps::open(&configuration.server.data_dir);
    let pending = gap_record::unrecorded(kept, store.as_ref()).context("reading the gaps on record")?;
    let wanted = silence::WantedTags { collected, ended, waiting, pending, now: clock.now() };
    let mut silence = silence::look_back(&catalog, &ingest, store.as_ref(), &wanted)?;
    gap_record::record_gaps(&mut silence.gaps, store.as_ref()).context("recording gaps")?;
    silence.kept = gap_record::keep_gaps(&silence.gaps, file);
    let (ingest, maintenance) = (Arc::new(ingest), Arc::new(maintenance));
    Ok(OpenedServer { claim, catalog, store, ingest, annotations, views, maintenance, mark, devices, silence, spools })
}

/// Makes the catalog say what the configuration says, but for tags whose value type would change; answers the tags of each device, and those
/// that were renamed.
fn configured(
    catalog: &Catalog,
    written: &[TagDefinition],
    devices: Vec<Vec<TagDefinition>>,
    unconfigured: &[TagId],
    renames: &[TagRename],
) -> anyhow::Result<(Vec<Vec<ConfiguredTag>>, Vec<TagRename>)> {
    let wanted: Vec<TagDefinition> = written.iter().chain(devices.iter().flatten()).cloned().collect();
    configured::tell_blocked(catalog, renames);
    let ConfiguredCatalog { tags, renamed } = catalog.configure(wanted, unconfigured, renames).context("the configured tags")?;
    configured::tell_renamed(&renamed);
    let mut tags = tags.into_iter();
    for (definition, tag) in written.iter().zip(&mut tags) {
        if let Some(reason) = config::contradiction(tag.value_type(), definition) {
            tracing::error!(tag = %tag.name(), "the tag stays as it is: {reason}");
        }
    }
    let of_device = |definitions: Vec<TagDefinition>| {
        let tags = definitions.iter().zip(&mut tags);
        tags.map(|(definition, tag)| ConfiguredTag { refused: config::contradiction(tag.value_type(), definition), tag }).collect()
    };
    Ok((devices.into_iter().map(of_device).collect(), renamed))
}

/// Writes and records what found no room at the start when there is some. Answers who knows since when something is not in the store: of the run
/// before, or of what is collected now.
fn settle(
    silence: Silence,
    unwritten: SampleBatch,
    devices: &Arc<DeviceSet>,
    (ingest, store): (&Arc<Ingest>, Arc<dyn Store>),
    shutdown: &CancellationToken,
) -> (impl Fn() -> Option<Timestamp> + use<>, JoinSet<()>) {
    let before = devices.spool_of_start(2 * unwritten.len().max(1024));
    for (tag, run) in unwritten.runs {
        before.push(tag, run);
    }
    let (sink, mut tasks): (Arc<dyn SampleSink>, _) = (ingest.clone(), JoinSet::new());
    tasks.spawn(before.clone().drain(sink, shutdown.clone()));
    let recorded = Arc::new(AtomicBool::new(silence.gaps.is_empty() || silence.kept.is_some()));
    tasks.spawn(gap_record::record_later(silence.gaps, silence.kept, store, recorded.clone(), shutdown.clone()));
    let (ended, devices) = (silence.ended, devices.clone());
    let unsettled = move || {
        let settled = before.unwritten_since().is_none() && recorded.load(Ordering::Relaxed);
        let of_before = if settled { None } else { ended };
        [devices.unwritten_since(), of_before].into_iter().flatten().min()
    };
    (unsettled, tasks)
}
