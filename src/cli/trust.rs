//! `historian trust`: the certificates that OPC UA servers have shown, and which of them are trusted; on the machine of the historian.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Misuse, device,
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
};
use historian_collector::Collector;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
These commands work on the folders trusted and rejected of the device's pki_dir, on the machine of the historian and without asking it; a running \
historian knows of a change at its next attempt to connect, and its audit log has it.")]
pub enum TrustCommand {
    /// Lists the certificates that servers have shown, and whether each is trusted.
    List(TrustListArgs),
    /// Trusts a certificate. Compare its thumbprint with that of the server first.
    Accept(TrustDecisionArgs),
    /// Trusts a certificate no more.
    Reject(TrustDecisionArgs),
}

#[derive(Debug, Args)]
pub struct TrustListArgs {
    /// Device; by default all OPC UA devices of the configuration.
    device: Option<String>,
    /// Configuration file.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    config: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

#[derive(Debug, Args)]
pub struct TrustDecisionArgs {
    /// Device that shows the certificate.
    device: String,
    /// Certificate: its name in the list, or enough of it to mean one.
    certificate: String,
    /// Configuration file.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    config: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(command: TrustCommand) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(move || match command {
        TrustCommand::List(args) => list(&args),
        TrustCommand::Accept(args) => decide(&args, true),
        TrustCommand::Reject(args) => decide(&args, false),
    })
    .await?
}

fn list(args: &TrustListArgs) -> anyhow::Result<ExitCode> {
    let names = match &args.device {
        Some(device) => vec![device.clone()],
        None => device::tables(&args.config, device::OPC_UA)?.into_iter().map(|(name, _)| name).collect(),
    };
    let mut table = TextTable::new([TableColumn::name("DEVICE"), TableColumn::whole("STATE"), TableColumn::text("CERTIFICATE")]);
    let mut output = OutputFile::stdout();
    for name in names {
        for decision in device::configured(&args.config, &name)?.certificate_decisions() {
            let state = state(decision.trusted);
            match args.format {
                TextFormat::Json => {
                    writeln!(output, "{}", json!({"device": name, "state": state, "certificate": decision.certificate}))?;
                }
                TextFormat::Table => {
                    table.add_row(vec![TableCell::new(&name), TableCell::new(state), TableCell::new(decision.certificate)]);
                }
            }
        }
    }
    if args.format == TextFormat::Table {
        if table.is_empty() {
            output::note("no server has shown a certificate yet");
        } else {
            table.write(&mut output)?;
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn state(trusted: bool) -> &'static str {
    if trusted { "trusted" } else { "rejected" }
}

fn decide(args: &TrustDecisionArgs, trusted: bool) -> anyhow::Result<ExitCode> {
    let device = device::configured(&args.config, &args.device)?;
    let certificate = meant(device.as_ref(), &args.certificate, trusted)?;
    device.decide_certificate(&certificate, trusted).map_err(|error| anyhow::anyhow!(error))?;
    let state = state(trusted);
    let line = format!("device {}: {} is {state}", args.device, output::printable(&certificate));
    output::tell(args.format, &line, &json!({"device": args.device, "state": state, "certificate": certificate}))?;
    Ok(ExitCode::SUCCESS)
}

/// The one certificate that is not in this state yet and whose name has the words.
fn meant(device: &dyn Collector, words: &str, trusted: bool) -> anyhow::Result<String> {
    let all = device.certificate_decisions();
    let candidates: Vec<&str> = all
        .iter()
        .filter(|decision| decision.trusted != trusted)
        .map(|decision| decision.certificate.as_str())
        .filter(|name| name.to_lowercase().contains(&words.to_lowercase()))
        .collect();
    match &candidates[..] {
        [one] => Ok((*one).to_owned()),
        [] if all.iter().any(|decision| decision.trusted == trusted && decision.certificate == words) => {
            anyhow::bail!("device {}: {words:?} is {} already", device.device(), state(trusted))
        }
        [] => anyhow::bail!("device {} has no {} certificate {words:?}; see historian trust list", device.device(), state(!trusted)),
        several => match several.iter().find(|name| **name == words) {
            Some(exact) => Ok((*exact).to_owned()),
            None => Err(Misuse(format!("{words:?} means {} certificates: {}", several.len(), several.join("; "))).into()),
        },
    }
}
