//! `historian serve`: reads the configuration, runs the server, stops it cleanly on SIGINT and SIGTERM. No other signal that a person or a
//! tool sends, and no reader of the log that goes away or stalls, ends it or holds it up.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::{RefusedConfiguration, log};
use historian_collector::ConfigProblem;
use historian_server as server;
use historian_server::config::{self, Configuration, LogFormat, Overrides, TlsSettings};
use historian_server::{World, reload::ReloadSource};
use historian_tls::ClientCertificates;

/// Flags of `serve` and `demo`. Each wins over its environment variable, and that over the configuration file.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Configuration file with devices, tags and settings; without it the historian has no collectors.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory; created if it does not exist [default: historian-data].
    #[arg(long, value_name = "DIR", env = "HISTORIAN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of gRPC and Arrow Flight [default: 127.0.0.1:8815].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Address of /metrics and /healthz [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_HTTP")]
    pub http: Option<SocketAddr>,
    /// Directory for the backups of `historian backup`; without it there are no backups.
    #[arg(long, value_name = "DIR", env = "HISTORIAN_BACKUP_DIR")]
    pub backup_dir: Option<PathBuf>,
    #[command(flatten)]
    pub tls: ServerTlsArgs,
    /// Form of the log: text, or json for one object a line [default: text].
    #[arg(long, value_name = "WORD", env = "HISTORIAN_LOG_FORMAT", value_parser = log_format)]
    pub log_format: Option<LogFormat>,
    /// If the store is damaged: set the damaged files aside, keep all that can be read, record what is lost as gaps, and start. For one
    /// start; reads the whole store first.
    #[arg(long)]
    pub accept_loss: bool,
}

/// TLS of both ports, as `[tls]` of the configuration has it.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerTlsArgs {
    /// Certificate of both ports, with those of its issuers behind it; without one they speak without TLS.
    #[arg(long = "tls-certificate", value_name = "FILE", env = "HISTORIAN_TLS_CERTIFICATE")]
    certificate: Option<PathBuf>,
    /// Key of the certificate.
    #[arg(long = "tls-key", value_name = "FILE", env = "HISTORIAN_TLS_KEY")]
    key: Option<PathBuf>,
    /// Authorities whose clients are taken.
    #[arg(long = "tls-client-ca", value_name = "FILE", env = "HISTORIAN_TLS_CLIENT_CA")]
    client_ca: Option<PathBuf>,
    /// Whether clients show a certificate: off, optional or required [default: off].
    #[arg(long = "tls-client-certificates", value_name = "WORD", env = "HISTORIAN_TLS_CLIENT_CERTIFICATES", value_parser = client_certificates)]
    client_certificates: Option<ClientCertificates>,
    /// List of revoked certificates of clients; may be given several times.
    #[arg(long = "tls-client-crl", value_name = "FILE", env = "HISTORIAN_TLS_CLIENT_CRL")]
    client_crl: Vec<PathBuf>,
}

fn client_certificates(word: &str) -> Result<ClientCertificates, String> {
    ClientCertificates::named(word).ok_or_else(|| "say off, optional or required".to_owned())
}

/// The form of the log by its name.
///
/// # Errors
/// There is no such form.
pub fn log_format(word: &str) -> Result<LogFormat, String> {
    LogFormat::named(word).ok_or_else(|| "say text or json".to_owned())
}

impl ServerTlsArgs {
    pub fn settings(&self) -> TlsSettings {
        TlsSettings {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            client_ca: self.client_ca.clone(),
            client_certificates: self.client_certificates,
            client_crls: self.client_crl.clone(),
        }
    }
}

impl ServeArgs {
    /// Configuration as these flags ask for it.
    ///
    /// # Errors
    /// [`RefusedConfiguration`] with all problems.
    pub fn load(&self) -> anyhow::Result<Configuration> {
        let mut configuration = self.read().map_err(RefusedConfiguration)?;
        configuration.accept_loss = self.accept_loss;
        Ok(configuration)
    }

    /// The file as it is now, with the flags over it.
    fn read(&self) -> Result<Configuration, Vec<ConfigProblem>> {
        let overrides = Overrides {
            listen: self.listen,
            http: self.http,
            data_dir: self.data_dir.clone(),
            backup_dir: self.backup_dir.clone(),
            tls: self.tls.settings(),
            log_format: self.log_format,
        };
        config::load(self.config.as_deref(), &overrides)
    }
}

pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    // First of all: reading the tags of a large configuration takes a while.
    ignore_signals(&[SignalKind::user_defined1(), SignalKind::user_defined2()])?;
    let asked = reload_on_signal()?;
    let configuration = args.load()?;
    let traces = start_logging(&configuration)?;
    let load = move || args.read();
    let reload = ReloadSource { load: Arc::new(load), set_log_level: Arc::new(set_log_level), asked };
    let world = World { reload: Some(reload), ..World::default() };
    let ended = server::run_in(world, configuration, stop_on_signal()?).await;
    traces.end().await;
    ended.map(|()| ExitCode::SUCCESS)
}

/// Log lines go to standard error, and traces where the configuration says; `HISTORIAN_LOG` filters the lines (`debug`,
/// `historian_collector=trace,info`), or else the configuration.
///
/// # Errors
/// The filter is not valid, or traces cannot be sent.
pub fn start_logging(configuration: &Configuration) -> anyhow::Result<log::Traces> {
    // The OPC UA library reports as errors that an unencrypted session needs no certificate; our collector says what matters.
    log::start(configuration, "opcua_core::comms::secure_channel=off", log::standard_error, io::stderr().is_terminal())
}

/// Takes a level that the configuration has now, unless the environment has its own.
///
/// # Errors
/// The environment has one, or this is none.
pub fn set_log_level(level: &str) -> Result<(), String> {
    if log::is_set_outside() {
        return Err("the variable HISTORIAN_LOG says what is logged".to_owned());
    }
    log::set_level(level)
}

/// Keeps signals from ending the process that mean something else: SIGUSR1 and SIGUSR2 come from those who rotate logs, SIGHUP comes when a
/// terminal is closed.
///
/// # Errors
/// The handlers could not be installed.
pub fn ignore_signals(kinds: &[SignalKind]) -> anyhow::Result<()> {
    for &kind in kinds {
        let name = signal_name(kind);
        let mut received = signal(kind).with_context(|| format!("{name} cannot be handled"))?;
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                tracing::warn!(
                    signal = name,
                    "ignored, the historian runs on: stop it with SIGTERM. Certificates that change are taken by themselves, and `historian serve` \
                     reads its configuration again on SIGHUP"
                );
            }
        });
    }
    Ok(())
}

fn signal_name(kind: SignalKind) -> &'static str {
    match kind {
        kind if kind == SignalKind::hangup() => "SIGHUP",
        kind if kind == SignalKind::user_defined1() => "SIGUSR1",
        _ => "SIGUSR2",
    }
}

/// One message for SIGHUP. Those that come before the one is taken are one with it: the configuration is read after the last of them.
fn reload_on_signal() -> anyhow::Result<mpsc::Receiver<()>> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be handled")?;
    let (ask, asked) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "reading the configuration again");
            let _ = ask.try_send(());
        }
    });
    Ok(asked)
}

/// A token that the first SIGINT or SIGTERM cancels. A second signal ends the process at once, for the impatient.
///
/// # Errors
/// The handlers could not be installed.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        for attempt in 0_u32.. {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            if attempt > 0 {
                tracing::warn!(signal = name, "ending at once; the journal holds everything that was acknowledged");
                log::flush();
                std::process::exit(130);
            }
            tracing::info!(signal = name, "stopping");
            token.cancel();
        }
    });
    Ok(shutdown)
}
