//! `historian demo`: a simulated plant, the historian that collects from it, and a live view, in one process.
//!
//! Nothing is wired past the doors: the configuration is a TOML file that goes the way of every configuration, samples come over real
//! Modbus TCP and OPC UA, and what is shown is asked through the public API.

mod configuration;
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
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::{signal::unix::SignalKind, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{secure::DemoDoor, view::DemoView};
use super::{
    Misuse, RefusedConfiguration,
    client::{ServerArgs, ServerChannel, TokenArgs},
    log, serve,
};
use historian_access::{AccessBook, AccessFile};
use historian_collector::{ConfigProblem, SettingPosition};
use historian_model::{Clock, SystemClock, Timestamp};
use historian_server as server;
use historian_server::{
    World,
    config::{self, Configuration, LogFormat},
};
use historian_simulator::{Plant, PlantOptions, SIGNALS};
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

    let mut options = PlantOptions::new(directory.join("plant-pki"));
    (options.seed, options.modbus_address, options.opcua_address) = (args.seed, args.modbus, args.opcua);
    let begun = SystemClock.now();
    let plant = Plant::start(options).await?;
    let outcome = collect(&args, (configuration, claim), door.as_ref(), (&plant, begun), &shutdown).await;
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
    (mut configuration, claim): (Configuration, Claim),
    door: Option<&DemoDoor>,
    (plant, begun): (&Plant, Timestamp),
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    if configuration.tls.as_ref().is_some_and(|tls| tls.client_certificates == ClientCertificates::Required) {
        return Err(Misuse("the demo shows no certificate to its own historian; say \"optional\" in client_certificates".to_owned()).into());
    }
    let [listen, http] = free_ports([configuration.server.listen, configuration.server.http])?;
    (configuration.server.listen, configuration.server.http) = (listen, http);
    let directory = &configuration.server.data_dir.clone();
    let file = directory.join("demo.toml");
    fs::write(&file, configuration::text(plant, listen, http)).with_context(|| format!("{} cannot be written", file.display()))?;
    add_plant(&mut configuration, &file)?;

    // Where tokens are asked for, the view comes in over the local socket, as the administrator that the user of the demo is there.
    let has_tokens = !AccessBook::open(&AccessFile::in_directory(directory)).context("the tokens cannot be read")?.is_empty();
    let asked = if door.is_some() || has_tokens {
        configuration.server.local_socket = true;
        ServerArgs::local(directory.join(server::LOCAL_SOCKET))
    } else {
        ServerArgs::at(listen, configuration.tls.as_ref(), TokenArgs::default())?
    };
    let (stop, has_tls) = (CancellationToken::new(), configuration.tls.is_some());
    let world = World { claim: Some(claim), ..World::default() };
    let mut server = tokio::spawn(server::run_in(world, configuration, stop.clone()));
    let shown = tokio::select! {
        ended = &mut server => {
            return Err(ended.map_or_else(|error| anyhow!(error), |ended| ended.err().unwrap_or_else(|| anyhow!("the server stopped by itself"))));
        }
        shown = show(args, directory, (plant, begun), (&asked, listen, http), (has_tls, has_tokens, door), shutdown) => shown,
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

/// Puts the devices of the plant beside those of the configuration.
fn add_plant(configuration: &mut Configuration, file: &Path) -> anyhow::Result<()> {
    let plant = config::load(Some(file), &config::Overrides::default()).map_err(RefusedConfiguration)?;
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
        return Err(RefusedConfiguration(taken).into());
    }
    configuration.collectors.extend(plant.collectors);
    Ok(())
}

/// Waits for the server, greets, and shows what it collects until told to stop; returns the samples of this run.
async fn show(
    args: &DemoArgs,
    directory: &Path,
    (plant, begun): (&Plant, Timestamp),
    (asked, listen, http): (&ServerArgs, SocketAddr, SocketAddr),
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
    let started = async {
        let channel = ready(asked).await?;
        let view = DemoView::open(channel, begun).await?;
        anyhow::Ok((view.history().await?, view))
    };
    let (history, mut view) = tokio::select! { started = started => started?, () = &mut ends => return Ok(0) };

    let (grpc, web) = if has_tls { ("grpc+tls", "https") } else { ("grpc", "http") };
    let mut text = format!(
        "Page: {web}://{}/\n\n\
         Simulated plant: {} signals, modbus tcp://{} (unit 1) and opc.tcp://{}/\n\
         Historian: {grpc}://{listen} (gRPC, Arrow Flight), {web}://{http}/api/v1/ and /metrics\n\
         Data directory: {} (configuration demo.toml, log demo.log)\n",
        reached(http),
        SIGNALS.len(),
        plant.modbus_address,
        plant.opcua_address,
        directory.display()
    );
    text += &match history {
        None => "History: none yet, this is the first run\n".to_owned(),
        Some((samples, since)) => format!("History: continued, some {} samples since {since}\n", view::thousands(samples)),
    };
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
    {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    view.name_states().await?;
    if io::stdout().is_terminal() { view.redraw_until(ends).await } else { view.report_until(ends).await }
}

/// A connection to the server as soon as it answers.
async fn ready(server: &ServerArgs) -> anyhow::Result<ServerChannel> {
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
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
