//! `historian demo`: a simulated plant, the historian that collects from it, and a live view, in one process.
//!
//! Nothing is wired past the doors: the configuration is a TOML file that goes the way of every configuration, samples come over real
//! Modbus TCP and OPC UA, and what is shown is asked through the public API. The history of a first start enters through the door of ingest,
//! before the devices are collected from; then the server reads its configuration again, which names them.

mod configuration;
mod history;
mod plant;
mod recipe;
mod secure;
mod view;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::{signal::unix::SignalKind, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{
    history::{HistoryDoors, HistoryMark},
    plant::DemoPlant,
    secure::DemoDoor,
    view::DemoView,
};
use super::{
    Misuse, RefusedConfiguration,
    client::{ServerArgs, ServerChannel, TokenArgs},
    log, serve,
};
use historian_access::{AccessBook, AccessFile};
use historian_collector::{ConfigProblem, SettingPosition};
use historian_model::{Clock, SystemClock, TagDefinition, Timestamp};
use historian_server as server;
use historian_server::{
    World,
    config::{self, Configuration, LogFormat, Overrides},
    reload::ReloadSource,
};
use historian_simulator::SIGNALS;
use historian_store::Claim;
use historian_tls::ClientCertificates;

/// Longest wait for the server to answer; recovery of a large data directory takes its time.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Longest wait for the server to stop.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The flags of `serve`, and those of the plant.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Configuration file with settings, devices and tags in addition to those of the plant; its `data_dir` is ignored.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    config: Option<PathBuf>,
    /// Directory for the demo's data, configuration and log; an existing history is continued [default: ~/.local/share/historian-demo, with --secure historian-demo-secure].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of gRPC and Arrow Flight; port 0 takes a free one [default: 127.0.0.1:8815].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address of the web page, the HTTP API, /metrics, /livez, /readyz and /healthz; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_HTTP")]
    http: Option<SocketAddr>,
    /// Directory for the backups of `historian backup`; without it there are no backups.
    #[arg(long, value_name = "DIR", env = "HISTORIAN_BACKUP_DIR")]
    backup_dir: Option<PathBuf>,
    /// TLS of an authority of its own, and a token that reads; both are made in the data directory, and what is printed uses them.
    #[arg(long, conflicts_with_all = ["certificate", "key"])]
    secure: bool,
    #[command(flatten)]
    tls: serve::ServerTlsArgs,
    /// Form of the log: text, or json for one object a line [default: text].
    #[arg(long, value_name = "WORD", env = "HISTORIAN_LOG_FORMAT", value_parser = serve::log_format)]
    log_format: Option<LogFormat>,
    /// If the store is damaged: set the damaged files aside, keep all that can be read, record what is lost as gaps, and start. For one
    /// start; reads the whole store first.
    #[arg(long)]
    accept_loss: bool,
    /// Address of the simulated Modbus device; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    modbus: SocketAddr,
    /// Address of the simulated OPC UA device; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    opcua: SocketAddr,
    /// Stops after this time; otherwise on Ctrl-C.
    #[arg(long, value_name = "SECONDS")]
    duration_s: Option<u64>,
    /// Days of simulated history that a first start writes before it collects; 0 for none.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(..=i64::from(history::DAYS_MAX)))]
    history: u32,
    /// Seed of the simulation: another number gives another course of the plant.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the demo until Ctrl-C, SIGTERM or the end of its duration.
///
/// # Errors
/// The plant or the server could not be started, or the server failed.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    serve::ignore_signals(&[SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()])?;
    let directory = args.data_dir.clone().unwrap_or_else(|| default_data_dir(args.secure));
    let taken = |directory: &Path| Claim::alone(directory).context("the demo needs a directory of its own; choose another with --data-dir");
    let mut overrides = config::Overrides {
        listen: args.listen,
        http: args.http,
        data_dir: Some(directory.clone()),
        backup_dir: args.backup_dir.clone(),
        tls: args.tls.settings(),
        log_format: args.log_format,
    };
    // Log, configuration and certificates of a demo that runs there are its own.
    let mut claim = None;
    let mut door = None;
    if args.secure {
        claim = Some(taken(&directory)?);
        let directory = directory.canonicalize().with_context(|| directory.display().to_string())?;
        let made = DemoDoor::prepare(&directory, &[args.listen, args.http], SystemClock.now())?;
        (overrides.tls.certificate, overrides.tls.key) = (Some(made.tls.certificate.clone()), Some(made.tls.key.clone()));
        door = Some(made);
    }
    // Refuses addresses beyond this machine before anything else is made or bound.
    let mut configuration = config::load(args.config.as_deref(), &overrides).map_err(RefusedConfiguration)?;
    configuration.accept_loss = args.accept_loss;
    if let Some(open) = [args.modbus, args.opcua].iter().find(|address| !address.ip().is_loopback()) {
        return Err(Misuse(format!("the simulated devices accept any client, so they listen on loopback only, not on {open}")).into());
    }
    let claim = match claim {
        Some(claim) => claim,
        None => taken(&directory)?,
    };
    let directory = directory.canonicalize().with_context(|| directory.display().to_string())?;
    configuration.server.data_dir.clone_from(&directory);
    let log_file = directory.join("demo.log");
    let traces = log_to(&log_file, &configuration)?;
    let shutdown = serve::stop_on_signal()?;

    let begun = SystemClock.now();
    let mark = HistoryMark::begin(&directory, args.history, args.seed, begun)?;
    let mut plant = DemoPlant::open(&directory, args.seed, [args.modbus, args.opcua]).await?;
    let outcome = collect(&args, (configuration, overrides, claim), door.as_ref(), (&mut plant, mark, begun), &shutdown).await;
    plant.stop().await;
    traces.end().await;
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Tells its problems itself, line by line.
        Err(error) if error.is::<RefusedConfiguration>() => Err(error),
        Err(error) => Err(error.context(format!("the demo ended; its log is {}", log_file.display()))),
    }
}

/// Everything beside the plant: the configuration, the server, the view. The server is stopped before this returns, so that it does not
/// see its devices go.
async fn collect(
    args: &DemoArgs,
    (configuration, mut overrides, claim): (Configuration, Overrides, Claim),
    door: Option<&DemoDoor>,
    (plant, mark, begun): (&mut DemoPlant, Option<HistoryMark>, Timestamp),
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    if configuration.tls.as_ref().is_some_and(|tls| tls.client_certificates == ClientCertificates::Required) {
        return Err(Misuse("the demo shows no certificate to its own historian; say \"optional\" in client_certificates".to_owned()).into());
    }
    let [listen, http] = free_ports([configuration.server.listen, configuration.server.http])?;
    (overrides.listen, overrides.http) = (Some(listen), Some(http));
    let directory = &configuration.server.data_dir.clone();
    overrides.data_dir = Some(directory.clone());
    let plant_file = directory.join("demo.toml");
    let text = configuration::text([plant.modbus_address, plant.opcua_address], listen, http);
    fs::write(&plant_file, text).with_context(|| format!("{} cannot be written", plant_file.display()))?;

    // Where tokens are asked for, the view comes in over the local socket, as the administrator that the user of the demo is there.
    let has_tokens = !AccessBook::open(&AccessFile::in_directory(directory)).context("the tokens cannot be read")?.is_empty();
    let asked = if door.is_some() || has_tokens {
        ServerArgs::local(directory.join(server::LOCAL_SOCKET))
    } else {
        ServerArgs::at(listen, configuration.tls.as_ref(), TokenArgs::default())?
    };
    let (stop, has_tls) = (CancellationToken::new(), configuration.tls.is_some());
    let is_collecting = Arc::new(AtomicBool::new(mark.is_none()));
    let source = DemoConfiguration {
        file: args.config.clone(),
        overrides,
        plant_file,
        has_local_socket: door.is_some() || has_tokens,
        is_collecting: is_collecting.clone(),
    };
    let mut configuration = source.read().map_err(RefusedConfiguration)?;
    configuration.accept_loss = args.accept_loss;
    if mark.is_none() {
        plant.serve(plant.of_last_run())?;
    }
    let doors = HistoryDoors::default();
    // Nobody asks for a reload but over the interface.
    let load = move || source.read();
    let reload = ReloadSource { load: Arc::new(load), set_log_level: Arc::new(serve::set_log_level), asked: mpsc::channel(1).1 };
    let world = doors.of(World { claim: Some(claim), reload: Some(reload), ..World::default() });
    let mut server = tokio::spawn(server::run_in(world, configuration, stop.clone()));
    let first = mark.map(|mark| FirstStart { mark, doors: doors.clone(), is_collecting });
    let shown = tokio::select! {
        ended = &mut server => {
            return Err(ended.map_or_else(|error| anyhow!(error), |ended| ended.err().unwrap_or_else(|| anyhow!("the server stopped by itself"))));
        }
        shown = show(args, directory, (plant, first, begun), (&asked, &doors, listen, http), (has_tls, has_tokens, door), shutdown) => shown,
    };
    stop.cancel();
    let stopped = end_of(server).await;
    // A view whose reader has gone (`historian demo | head`) has been seen enough of.
    match shown {
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) => {}
        shown => {
            let samples = shown?;
            stopped?;
            let mut out = io::stdout().lock();
            let _ = writeln!(
                out,
                "\nStopped. {} samples were stored in this run; start again to continue the history in {}.",
                view::thousands(samples),
                directory.display()
            );
        }
    }
    Ok(())
}

/// What the server is configured with: settings, devices and tags of the user, and the plant.
struct DemoConfiguration {
    file: Option<PathBuf>,
    overrides: Overrides,
    /// `demo.toml`.
    plant_file: PathBuf,
    has_local_socket: bool,
    /// Whether the devices of the plant are collected from yet, or its tags are there only.
    is_collecting: Arc<AtomicBool>,
}

impl DemoConfiguration {
    fn read(&self) -> Result<Configuration, Vec<ConfigProblem>> {
        let mut configuration = config::load(self.file.as_deref(), &self.overrides)?;
        configuration.server.local_socket |= self.has_local_socket;
        self.add_plant(&mut configuration)?;
        Ok(configuration)
    }

    /// Puts the plant beside the devices and tags of the user.
    fn add_plant(&self, configuration: &mut Configuration) -> Result<(), Vec<ConfigProblem>> {
        let plant = config::load(Some(&self.plant_file), &Overrides::default())?;
        let mut taken = Vec::new();
        let mut refuse = |what: String| {
            let position = SettingPosition { file: "--config".to_owned(), line: 0 };
            let message = "belongs to the simulated plant; give yours another name".to_owned();
            taken.push(ConfigProblem { position, key: what, message });
        };
        let signals: HashSet<&str> = SIGNALS.iter().map(|signal| signal.tag).collect();
        for collector in &configuration.collectors {
            if plant.collectors.iter().any(|device| device.device() == collector.device()) {
                refuse(format!("device {:?}", collector.device()));
            }
            for tag in collector.tags().iter().filter(|tag| signals.contains(tag.name.as_str())) {
                refuse(format!("tag {:?}", tag.name.as_str()));
            }
        }
        for tag in configuration.written_tags.iter().filter(|tag| signals.contains(tag.name.as_str())) {
            refuse(format!("tag {:?}", tag.name.as_str()));
        }
        if !taken.is_empty() {
            return Err(taken);
        }
        if self.is_collecting.load(Ordering::SeqCst) {
            configuration.collectors.extend(plant.collectors);
        } else {
            let tags = plant.collectors.iter().flat_map(|collector| collector.tags());
            configuration.written_tags.extend(tags.map(|definition| TagDefinition { source: None, ..definition }));
        }
        Ok(())
    }
}

/// What a first start does before it collects.
struct FirstStart {
    mark: HistoryMark,
    doors: HistoryDoors,
    is_collecting: Arc<AtomicBool>,
}

impl FirstStart {
    /// Writes the history, lets the plant go on from its end, and has the server collect from it. Answers the line that tells of it.
    async fn run(self, plant: &mut DemoPlant, directory: &Path, channel: &ServerChannel) -> anyhow::Result<String> {
        let (written, past) = history::write(self.mark, &self.doors, channel).await?;
        let course = past.into_course(SystemClock.now());
        plant.keep(&course)?;
        self.mark.finish(directory)?;
        plant.serve(course)?;
        self.is_collecting.store(true, Ordering::SeqCst);
        history::collect_from_now_on(channel).await?;
        Ok(format!(
            "History: simulated since {}, {} samples written in {:.1} s; docs/demo.md says what is wrong in it\n",
            view::to_second(written.from),
            view::thousands(written.samples),
            written.took.as_secs_f64()
        ))
    }
}

/// Waits for the server, greets, and shows what it collects until told to stop; returns the samples of this run.
async fn show(
    args: &DemoArgs,
    directory: &Path,
    (plant, first, begun): (&mut DemoPlant, Option<FirstStart>, Timestamp),
    (asked, doors, listen, http): (&ServerArgs, &HistoryDoors, SocketAddr, SocketAddr),
    (has_tls, has_tokens, door): (bool, bool, Option<&DemoDoor>),
    shutdown: &CancellationToken,
) -> anyhow::Result<u64> {
    let ends = async {
        match args.duration_s {
            Some(seconds) => {
                tokio::select! { () = shutdown.cancelled() => {}, () = tokio::time::sleep(Duration::from_secs(seconds)) => {} }
            }
            None => shutdown.cancelled().await,
        }
    };
    tokio::pin!(ends);
    let channel = tokio::select! { channel = ready(asked, doors) => channel?, () = &mut ends => return Ok(0) };
    let (grpc, web) = if has_tls { ("grpc+tls", "https") } else { ("grpc", "http") };
    // Before the history is there: the page shows how it comes.
    print(&format!(
        "Page: {web}://{}/\n\n\
         Simulated plant: {} signals, modbus tcp://{} (unit 1) and opc.tcp://{}/\n\
         Historian: {grpc}://{listen} (gRPC, Arrow Flight), {web}://{http}/api/v1/ and /metrics\n\
         Data directory: {} (configuration demo.toml, log demo.log)\n",
        reached(http),
        SIGNALS.len(),
        plant.modbus_address,
        plant.opcua_address,
        directory.display()
    ))?;
    let started = async {
        let told = match first {
            Some(first) => Some(first.run(plant, directory, &channel).await?),
            None => None,
        };
        let view = DemoView::open(channel, begun).await?;
        let told = match (told, view.history().await?) {
            (Some(told), _) => told,
            (None, None) => "History: none yet, this is the first run\n".to_owned(),
            (None, Some((samples, since))) => format!("History: continued, some {} samples since {since}\n", view::thousands(samples)),
        };
        anyhow::Ok((told, view))
    };
    let (mut text, mut view) = tokio::select! { started = started => started?, () = &mut ends => return Ok(0) };
    text += "\n";
    if let Some(door) = door {
        text +=
            &format!("Secured: trust {} and show the token of {}, which reads every tag\n\n", door.ca.display(), door.token_file.display());
    }
    if has_tokens && door.is_none() {
        text += "This directory has tokens, so the lines below need one: see docs/security.md, or start with --secure\n\n";
    }
    text += &match (has_tls, door) {
        (false, _) | (_, Some(_)) => recipe::text(reached(listen), door),
        (true, None) => "First queries: docs/recipes.md, with the lines of TLS from docs/security.md\n".to_owned(),
    };
    text += if args.duration_s.is_some() { "\n" } else { "\nCtrl-C stops.\n\n" };
    print(&text)?;
    view.name_states().await?;
    let shown = async { if io::stdout().is_terminal() { view.redraw_until(ends).await } else { view.report_until(ends).await } };
    tokio::select! { shown = shown => shown, never = plant.keep_on() => never }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A connection to the server as soon as it answers. Before its doors are open it is another that listens there.
async fn ready(server: &ServerArgs, doors: &HistoryDoors) -> anyhow::Result<ServerChannel> {
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    while !doors.are_open() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    loop {
        match server.connect_with(|endpoint| endpoint.timeout(Duration::from_secs(30))).await {
            Ok(channel) => return Ok(channel),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error.context("the server did not answer")),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn end_of(server: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    match tokio::time::timeout(STOP_WITHIN, server).await {
        Ok(ended) => ended?,
        Err(_) => bail!("the server did not stop within {STOP_WITHIN:?}; everything acknowledged is in its journal"),
    }
}

/// The address by which clients on this machine reach what listens there.
fn reached(listen: SocketAddr) -> SocketAddr {
    let own: IpAddr = if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    if listen.ip().is_unspecified() { SocketAddr::new(own, listen.port()) } else { listen }
}

/// The addresses, with a free port in place of each port 0: the configuration file and the recipes name real ports.
fn free_ports(addresses: [SocketAddr; 2]) -> anyhow::Result<[SocketAddr; 2]> {
    // Each is held until all are found, or two could get the same one.
    let mut held = Vec::new();
    let mut found = addresses;
    for address in found.iter_mut().filter(|address| address.port() == 0) {
        let listener = TcpListener::bind(*address).with_context(|| format!("there is no free port on {}", address.ip()))?;
        address.set_port(listener.local_addr()?.port());
        held.push(listener);
    }
    Ok(found)
}

/// A secured demo has a directory of its own: what has a token once asks everybody for one.
fn default_data_dir(is_secure: bool) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let name = if is_secure { "historian-demo-secure" } else { "historian-demo" };
    set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share"))).unwrap_or_default().join(name)
}

/// The terminal belongs to the view, so log lines go to a file, one run at a time. `HISTORIAN_LOG` filters them as in `serve`.
fn log_to(file: &Path, configuration: &Configuration) -> anyhow::Result<log::Traces> {
    let writer = Mutex::new(File::create(file).with_context(|| format!("{} cannot be written", file.display()))?);
    // The libraries mourn certificates that an unencrypted endpoint on loopback does not have.
    log::start(configuration, "opcua_server=error,opcua_client=warn,opcua_core::comms=off,opcua_crypto=off", writer, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_and_given_ones_stay() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        for _ in 0..200 {
            let [listen, http] = free_ports([any, any]).unwrap();
            assert!(listen.port() != 0 && http.port() != 0 && listen != http, "{listen} {http}");
        }
        let given: SocketAddr = "127.0.0.1:8815".parse().unwrap();
        assert_eq!(free_ports([given, any]).unwrap()[0], given);
    }
}
