//! `historian doctor`: is this machine ready for the historian of a configuration? Ports, certificates, clock, disk, limits, data directory, devices.
//! Each finding is a line with a verdict and, where something is wrong, what to do about it.

mod clock;
mod device;
mod diagnosis;
mod disk;
mod limit;
mod mark;
mod network;

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use self::diagnosis::{Diagnosis, DoctorVerdict};
use super::output::{self, OutputFile, TextFormat, Tone};
use historian_model::{Clock, SystemClock};
use historian_server::config::{self, Configuration, Overrides};

#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Configuration file; without it the defaults are looked at.
    #[arg(long, value_name = "FILE", env = "HISTORIAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory, as for `serve` [default: historian-data].
    #[arg(long, value_name = "DIR", env = "HISTORIAN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of gRPC and Arrow Flight, as for `serve` [default: 127.0.0.1:8815].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Address of /metrics and /healthz, as for `serve` [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS", env = "HISTORIAN_HTTP")]
    pub http: Option<SocketAddr>,
    /// Connects to no device.
    #[arg(long)]
    pub offline: bool,
    /// Time limit for each device, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct DoctorCommand {
    #[command(flatten)]
    args: DoctorArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(command: DoctorCommand) -> anyhow::Result<ExitCode> {
    let found = diagnose(&command.args).await;
    let mut output = OutputFile::stdout();
    let failed = found.iter().filter(|one| one.verdict == DoctorVerdict::Fail).count();
    let warned = found.iter().filter(|one| one.verdict == DoctorVerdict::Warn).count();
    match command.format {
        TextFormat::Json => {
            for one in &found {
                writeln!(output, "{}", serde_json::to_string(one)?)?;
            }
        }
        TextFormat::Table => {
            let screen = output.screen();
            let width = found.iter().map(|one| one.check.len()).max().unwrap_or(0);
            for Diagnosis { check, verdict, found, remedy } in &found {
                let first = format!("{verdict:<4}  {check:<width$}  ");
                let mut lines = output::wrapped(&first, &output::printable(found), screen);
                if !remedy.is_empty() {
                    lines.extend(output::wrapped(&format!("{:>indent$}", "→ ", indent = first.len()), &output::printable(remedy), screen));
                }
                if let Some(first) = lines.first_mut() {
                    let (word, rest) = first.split_at(4);
                    *first = format!("{}{rest}", tone(*verdict).painted(word, screen.colours));
                }
                for line in lines {
                    writeln!(output, "{line}")?;
                }
            }
            writeln!(output, "\n{} checks: {failed} failed, {warned} warnings", found.len())?;
        }
    }
    output.finish()?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tone(verdict: DoctorVerdict) -> Tone {
    match verdict {
        DoctorVerdict::Ok => Tone::Plain,
        DoctorVerdict::Warn => Tone::Doubtful,
        DoctorVerdict::Fail => Tone::Bad,
    }
}

/// Looks at everything. What is wrong with one thing keeps from no other.
pub async fn diagnose(args: &DoctorArgs) -> Vec<Diagnosis> {
    let overrides = Overrides { data_dir: args.data_dir.clone(), listen: args.listen, http: args.http, ..Overrides::default() };
    let mut found = Vec::new();
    let configuration = match config::load(args.config.as_deref(), &overrides) {
        Ok(configuration) => {
            let (devices, file) =
                (configuration.collectors.len(), args.config.as_deref().map_or("the defaults".into(), Path::to_string_lossy));
            found.push(Diagnosis::ok("configuration", format!("{file}: {devices} devices")));
            configuration
        }
        Err(problems) => {
            for problem in problems {
                found.push(Diagnosis::fail(
                    "configuration",
                    problem.to_string(),
                    "mend the configuration; `historian check` looks at it alone",
                ));
            }
            // The rest of the machine is looked at all the same, as far as the flags say where.
            let server = config::ServerSettings::default();
            let server = config::ServerSettings {
                listen: args.listen.unwrap_or(server.listen),
                http: args.http.unwrap_or(server.http),
                data_dir: args.data_dir.clone().unwrap_or(server.data_dir),
                ..config::ServerSettings::default()
            };
            Configuration { server, ..Configuration::default() }
        }
    };
    let now = SystemClock.now();
    let runs = mark::is_fresh(&configuration.server.data_dir, now);
    found.extend(network::ports(&configuration, runs).await);
    found.extend(network::certificates(&configuration, now));
    found.extend(clock::look(&configuration.server.data_dir, now));
    found.extend(disk::look(&configuration));
    found.extend(limit::look(&configuration));
    if !args.offline {
        found.extend(device::look(&configuration.collectors, Duration::from_secs(args.timeout)).await);
    }
    found
}
