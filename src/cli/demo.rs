//! `historian demo`: a simulated plant, the historian that collects from it, and a live view, in one process.
//!
//! Nothing is wired past the doors: the configuration is a TOML file that goes the way of every configuration, samples come over real
//! Modbus TCP and OPC UA, and what is shown is asked through the public API.

mod configuration;
mod recipe;
mod view;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, IsTerminal, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::{signal::unix::SignalKind, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::view::DemoView;
use super::{
    Misuse, RefusedConfiguration,
    client::{ServerArgs, ServerChannel, TokenArgs},
    log, serve,
};
use historian_collector::{ConfigProblem, SettingPosition};
use historian_model::{Clock, SystemClock, Timestamp};
use historian_server as server;
use historian_server::{
    World,
    config::{self, Configuration, LogFormat, LogSettings},
};
use historian_simulator::{Plant, PlantOptions, SIGNALS};
use historian_store::Claim;
use historian_tls::{ClientCertificates, TlsFiles};

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
    /// Directory for the demo's data, configuration and log; an existing history is continued [default: ~/.local/share/historian-demo].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of gRPC and Arrow Flight; port 0 takes a free one [default: 127.0.0.1:8815].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address of /metrics, /livez, /readyz and /healthz; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_HTTP")]
    http: Option<SocketAddr>,
    /// Directory for the backups of `historian backup`; without it there are no backups.
    #[arg(long, value_name = "DIR", env = "HISTORIAN_BACKUP_DIR")]
    backup_dir: Option<PathBuf>,
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
    let directory = args.data_dir.clone().unwrap_or_else(default_data_dir);
    // Refuses addresses beyond this machine before anything is made or bound.
    let overrides = config::Overrides {
        listen: args.listen,
        http: args.http,
        data_dir: Some(directory.clone()),
        backup_dir: args.backup_dir.clone(),
        tls: args.tls.settings(),
        log_format: args.log_format,
    };
    let mut configuration = config::load(args.config.as_deref(), &overrides).map_err(RefusedConfiguration)?;
    configuration.accept_loss = args.accept_loss;
    if let Some(open) = [args.modbus, args.opcua].iter().find(|address| !address.ip().is_loopback()) {
        return Err(Misuse(format!("the simulated devices accept any client, so they listen on loopback only, not on {open}")).into());
    }
    // Log and configuration of a demo that runs there are its own.
    let claim = Claim::alone(&directory).context("the demo needs a directory of its own; choose another with --data-dir")?;
    let directory = directory.canonicalize().with_context(|| directory.display().to_string())?;
    configuration.server.data_dir.clone_from(&directory);
    let log_file = directory.join("demo.log");
    log_to(&log_file, &configuration.log)?;
    let shutdown = serve::stop_on_signal()?;

    let mut options = PlantOptions::new(directory.join("plant-pki"));
    (options.seed, options.modbus_address, options.opcua_address) = (args.seed, args.modbus, args.opcua);
    let begun = SystemClock.now();
    let plant = Plant::start(options).await?;
    let outcome = collect(&args, (configuration, claim), (&plant, begun), &shutdown).await;
    plant.stop().await;
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

    let (stop, tls) = (CancellationToken::new(), configuration.tls.clone());
    let world = World { claim: Some(claim), ..World::default() };
    let mut server = tokio::spawn(server::run_in(world, configuration, stop.clone()));
    let shown = tokio::select! {
        ended = &mut server => {
            return Err(ended.map_or_else(|error| anyhow!(error), |ended| ended.err().unwrap_or_else(|| anyhow!("the server stopped by itself"))));
        }
        shown = show(args, directory, (plant, begun), (listen, http, tls), shutdown) => shown,
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
    (listen, http, tls): (SocketAddr, SocketAddr, Option<TlsFiles>),
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
        let channel = ready(&ServerArgs::at(listen, tls.as_ref(), TokenArgs::default())?).await?;
        let view = DemoView::open(channel, begun).await?;
        anyhow::Ok((view.history().await?, view))
    };
    let (history, mut view) = tokio::select! { started = started => started?, () = &mut ends => return Ok(0) };

    let (grpc, web) = if tls.is_some() { ("grpc+tls", "https") } else { ("grpc", "http") };
    let mut text = format!(
        "Simulated plant: {} signals, modbus tcp://{} (unit 1) and opc.tcp://{}/\n\
         Historian: {grpc}://{listen} (gRPC, Arrow Flight), {web}://{http}/metrics\n\
         Data directory: {} (configuration demo.toml, log demo.log)\n",
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
    text += &match tls {
        None => recipe::text(listen),
        Some(_) => "First queries: docs/recipes.md, with the lines of TLS from docs/security.md\n".to_owned(),
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

fn default_data_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share"))).unwrap_or_default().join("historian-demo")
}

/// The terminal belongs to the view, so log lines go to a file, one run at a time. `HISTORIAN_LOG` filters them as in `serve`.
fn log_to(file: &Path, settings: &LogSettings) -> anyhow::Result<()> {
    let writer = Mutex::new(File::create(file).with_context(|| format!("{} cannot be written", file.display()))?);
    // The libraries mourn certificates that an unencrypted endpoint on loopback does not have.
    log::start(settings, "opcua_server=error,opcua_client=warn,opcua_core::comms=off,opcua_crypto=off", writer, false)
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
