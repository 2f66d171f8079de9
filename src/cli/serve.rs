//! `historian serve`: reads the configuration, runs the server, stops it cleanly on SIGINT and SIGTERM. No other signal that a person or a
//! tool sends, and no reader of the log that goes away or stalls, ends it or holds it up.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Misuse, RefusedConfiguration, log};
use historian_server as server;
use historian_server::config::{self, Configuration, Overrides, TlsSettings};
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
        let overrides = Overrides {
            listen: self.listen,
            http: self.http,
            data_dir: self.data_dir.clone(),
            backup_dir: self.backup_dir.clone(),
            tls: self.tls.settings(),
        };
        let mut configuration = config::load(self.config.as_deref(), &overrides).map_err(RefusedConfiguration)?;
        configuration.accept_loss = self.accept_loss;
        Ok(configuration)
    }
}

pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    // First of all: reading the tags of a large configuration takes a while.
    ignore_signals()?;
    let configuration = args.load()?;
    start_logging()?;
    server::run(configuration, stop_on_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}

/// Log lines go to standard error; `HISTORIAN_LOG` filters them (`debug`, `historian::collector=trace,info`).
///
/// # Errors
/// The filter is not valid.
pub fn start_logging() -> anyhow::Result<()> {
    // The OPC UA library reports as errors that an unencrypted session needs no certificate; our collector says what matters.
    let filter = log_filter("info,opcua_core::comms::secure_channel=off")?;
    // A second call in one process (the tests) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log::standard_error)
        .with_ansi(io::stderr().is_terminal())
        // They would go to standard error as well, and a panic where that is gone.
        .log_internal_errors(false)
        .try_init();
    Ok(())
}

/// The filter of `HISTORIAN_LOG`, or else of this text.
///
/// # Errors
/// [`Misuse`] when the variable holds no filter.
pub fn log_filter(otherwise: &str) -> anyhow::Result<EnvFilter> {
    match std::env::var("HISTORIAN_LOG") {
        Ok(text) if !text.trim().is_empty() => {
            EnvFilter::try_new(&text).map_err(|error| Misuse(format!("HISTORIAN_LOG={text} is no log filter: {error}")).into())
        }
        _ => Ok(EnvFilter::new(otherwise)),
    }
}

/// Keeps signals from ending the process that mean something else: SIGHUP comes when a terminal is closed, and from those who expect a
/// service to read its configuration anew; SIGUSR1 and SIGUSR2 from those who rotate logs.
///
/// # Errors
/// The handlers could not be installed.
pub fn ignore_signals() -> anyhow::Result<()> {
    for (kind, name) in
        [(SignalKind::hangup(), "SIGHUP"), (SignalKind::user_defined1(), "SIGUSR1"), (SignalKind::user_defined2(), "SIGUSR2")]
    {
        let mut received = signal(kind).with_context(|| format!("{name} cannot be handled"))?;
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                tracing::warn!(
                    signal = name,
                    "ignored, the historian runs on: the configuration is read once, at the start; stop it with SIGTERM and start it again to \
                     have another one. Certificates that change are taken by themselves"
                );
            }
        });
    }
    Ok(())
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
