//! The command line: what a person or a script types, parsed, run, and its outcome told by exit code and one line.
//!
//! Exit codes: 0 done, 1 failed, 2 the command or the configuration is wrong: the same words will never do.

mod annotation;
mod asof;
mod audit;
mod backup;
mod browse;
mod bugreport;
mod catalog;
mod check;
mod client;
mod compact;
mod completion;
mod consent;
mod correct;
pub mod demo;
mod detector;
mod device;
mod doctor;
mod error;
mod export;
#[doc(hidden)]
pub mod fuzz;
mod gap;
mod grant;
mod health;
mod hint;
mod import;
mod init;
mod inspect;
mod log;
mod manual;
mod measure;
mod output;
mod progress;
mod query;
mod reload;
mod restore;
mod sample_file;
mod scrub;
pub mod serve;
mod sql;
mod status;
mod subscribe;
mod superseded;
mod tag;
mod tag_status;
mod tls;
mod token;
mod trust;
mod whoami;

use std::{env, io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use error::{MeantLine, one_line};

pub use error::{Misuse, RefusedConfiguration};

/// Plant historian: collects from Modbus and OPC UA devices and MQTT brokers, keeps every sample, answers over gRPC and Arrow Flight.
#[derive(Debug, Parser)]
#[command(name = "historian", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: RootCommand,
}

#[derive(Debug, Subcommand)]
enum RootCommand {
    /// Runs the historian: collects, stores, and serves gRPC, Arrow Flight and metrics.
    Serve(serve::ServeArgs),
    /// Runs the historian with a simulated plant, to try it out.
    Demo(demo::DemoArgs),
    /// Makes a first configuration: of a list of registers, or of Telegraf, evcc or Home Assistant.
    #[command(args_conflicts_with_subcommands = true)]
    Init(init::InitCommandArgs),
    /// Checks a configuration: validates it, connects to each device and reads each tag once.
    Check(check::CheckArgs),
    /// Lists what an OPC UA server or a SunSpec device has to collect, and writes it as a tag file.
    Browse(browse::BrowseArgs),
    /// Looks whether this machine is ready: ports, certificates, clock, disk, limits, devices.
    Doctor(doctor::DoctorCommand),
    /// Writes what somebody needs who helps from afar into one file, without samples and secrets.
    Bugreport(bugreport::BugreportArgs),
    /// Lists, imports, changes and deletes tags of a running historian.
    #[command(subcommand)]
    Tag(tag::TagCommand),
    /// Lists, writes, changes and removes texts of people on tags.
    #[command(subcommand)]
    Annotation(annotation::AnnotationCommand),
    /// Reads samples from a running historian.
    #[command(subcommand)]
    Query(query::QueryCommand),
    /// Measures key figures: time in states, transitions, counters, integrals, percent good.
    Measure(measure::MeasureArgs),
    /// Joins the rows of a CSV file with what tags were at their times.
    #[command(name = "as-of")]
    AsOf(asof::AsOfArgs),
    /// Asks in SQL; on a terminal a small shell.
    Sql(sql::SqlArgs),
    /// Shows samples as they come, until Ctrl-C.
    Subscribe(subscribe::SubscribeArgs),
    /// Lists the anomaly detectors and their parameters.
    Detectors(detector::DetectorsArgs),
    /// Exports samples into Parquet, Arrow or CSV files.
    Export(export::ExportArgs),
    /// Imports samples from CSV, Parquet or Arrow files.
    Import(import::ImportArgs),
    /// Deletes the samples of a time range. They are kept as superseded versions, and the audit log records it.
    Delete(correct::DeleteArgs),
    /// Replaces the samples of a time range by those of a file, as one change.
    Replace(correct::ReplaceArgs),
    /// Shows versions of samples that were replaced or deleted.
    Superseded(superseded::SupersededArgs),
    /// Shows what a running historian and its collectors are doing.
    Status(status::StatusArgs),
    /// Asks a running historian whether it answers and takes writes; needs no token.
    Health(health::HealthArgs),
    /// Has a running historian read its configuration again, and shows what that changed.
    Reload(reload::ReloadArgs),
    /// Seals the heads of a running historian into chunks and compacts its store.
    Compact(compact::CompactArgs),
    /// Makes, lists and verifies backups of a running historian.
    #[command(args_conflicts_with_subcommands = true)]
    Backup(backup::BackupArgs),
    /// Makes a data directory from a backup.
    Restore(restore::RestoreArgs),
    /// Reads and checks everything that is stored.
    Scrub(scrub::ScrubArgs),
    /// Shows how tags are stored: chunks, codecs, bytes per sample.
    Inspect(inspect::InspectArgs),
    /// Shows who changed or removed stored data.
    Audit(audit::AuditArgs),
    /// Shows where expected samples are missing, and why.
    Gaps(gap::GapArgs),
    /// Shows who one is to a running historian, and what one may do there.
    #[command(name = "whoami")]
    WhoAmI(whoami::WhoAmIArgs),
    /// Makes and shows certificates.
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// Lists, trusts and rejects the certificates of OPC UA servers, on the machine of the historian.
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Makes, lists and revokes API tokens, on the machine of the historian.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Writes the completions of a shell to standard output.
    Completions(completion::CompletionsArgs),
    /// Writes the manual pages into a directory.
    Man(manual::ManArgs),
    /// Grants rights to client certificates and to users of an identity provider, on the machine of the historian.
    #[command(subcommand)]
    Grant(grant::GrantCommand),
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parsed = without_empty_variables(Cli::command()).try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(refused) => hint::of_parser(refused, &Cli::command(), &words).exit(),
    };
    let ended = run(cli.command);
    log::flush();
    match ended {
        Ok(code) => code,
        // Whoever read our output has seen enough, as `head` does.
        Err(_) if output::reader_is_gone() => ExitCode::SUCCESS,
        Err(error) => {
            // A command may have put its own words around it; the problems are what helps.
            if let Some(refused) = error.downcast_ref::<RefusedConfiguration>() {
                let count = refused.0.len();
                complain(&format!("{refused}\nhistorian: the configuration has {count} problem{}", if count == 1 { "" } else { "s" }));
                ExitCode::from(2)
            } else {
                complain(&format!(
                    "historian: {}",
                    error.downcast_ref::<MeantLine>().map_or_else(|| one_line(&error), |told| told.0.clone())
                ));
                if error.is::<Misuse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        }
    }
}

/// A variable that is empty counts as one that is not there.
fn without_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let is_empty = argument.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
        if is_empty { argument.env(None::<&'static str>) } else { argument }
    });
    command.mut_subcommands(without_empty_variables)
}

/// A line on standard error, where there is one.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn run(command: RootCommand) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the threads could not be started")?;
    let outcome = runtime.block_on(async {
        let outcome = match command {
            RootCommand::Serve(args) => serve::run(args).await,
            RootCommand::Demo(args) => demo::run(args).await,
            RootCommand::Init(args) => init::run(&args),
            RootCommand::Check(args) => check::run(args).await,
            RootCommand::Browse(args) => browse::run(args).await,
            RootCommand::Doctor(command) => doctor::run(command).await,
            RootCommand::Bugreport(args) => bugreport::run(args).await,
            RootCommand::Tag(command) => tag::run(command).await,
            RootCommand::Annotation(command) => annotation::run(command).await,
            RootCommand::Query(command) => query::run(command).await,
            RootCommand::Measure(args) => measure::run(args).await,
            RootCommand::AsOf(args) => asof::run(args).await,
            RootCommand::Sql(args) => sql::run(args).await,
            RootCommand::Subscribe(args) => subscribe::run(args).await,
            RootCommand::Detectors(args) => detector::run(args).await,
            RootCommand::Export(args) => export::run(args).await,
            RootCommand::Import(args) => import::run(args).await,
            RootCommand::Delete(args) => correct::delete(args).await,
            RootCommand::Replace(args) => correct::replace(args).await,
            RootCommand::Superseded(args) => superseded::run(args).await,
            RootCommand::Status(args) => status::run(args).await,
            RootCommand::Health(args) => health::run(args).await,
            RootCommand::Reload(args) => reload::run(args).await,
            RootCommand::Compact(args) => compact::run(args).await,
            RootCommand::Backup(args) => backup::run(args).await,
            RootCommand::Restore(args) => restore::run(args).await,
            RootCommand::Scrub(args) => scrub::run(args).await,
            RootCommand::Inspect(args) => inspect::run(args).await,
            RootCommand::Audit(args) => audit::run(args).await,
            RootCommand::Gaps(args) => gap::run(args).await,
            RootCommand::WhoAmI(args) => whoami::run(args).await,
            RootCommand::Tls(command) => tls::run(command),
            RootCommand::Trust(command) => trust::run(command).await,
            RootCommand::Token(command) => token::run(command).await,
            RootCommand::Completions(args) => completion::run(&args, &mut Cli::command()),
            RootCommand::Man(args) => manual::run(&args, Cli::command()),
            RootCommand::Grant(command) => grant::run(command).await,
        };
        match outcome {
            Err(error) if !output::reader_is_gone() => Err(match hint::of_refusal(&error).await {
                Some(line) => error.context(MeantLine(line)),
                None => error,
            }),
            outcome => outcome,
        }
    });
    // What still computes for requests that were cut is told so now, and ends within milliseconds; one call that does not must not hold the end
    // of the process. It is waited for a while: a thread that still reads the store when the process ends can crash it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
