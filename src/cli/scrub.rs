//! `historian scrub`: reads and checks everything that is stored, by a running historian or in a data directory at rest.

use std::{io::Write, ops::ControlFlow, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use historian_proto::v1::{Damage, ScrubReport, ScrubRequest, admin_service_client::AdminServiceClient, scrub_response::Event};
use serde_json::json;

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TextFormat},
    progress::{Bar, bytes},
};
use historian_model::Timestamp;
use historian_store::{
    StoppedStore,
    scrub::{self, Damaged, ScrubEvent},
};

#[derive(Debug, Args)]
pub struct ScrubArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Check this data directory, whose historian is not running, instead of asking a historian.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Highest read rate [default: as fast as possible].
    #[arg(long, value_name = "BYTES")]
    bytes_per_s: Option<u64>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: ScrubArgs) -> anyhow::Result<ExitCode> {
    let report = match args.data_dir {
        Some(data_dir) => {
            let format = args.format;
            let rate = args.bytes_per_s;
            tokio::task::spawn_blocking(move || at_rest(&data_dir, rate, format)).await??
        }
        None => through(&args.server, args.bytes_per_s, args.format).await?,
    };
    let mut output = OutputFile::stdout();
    match args.format {
        TextFormat::Json => {
            let row = json!({
                "bytes": report.bytes,
                "entries": report.entries,
                "chunks": report.chunks,
                "samples": report.samples,
                "damaged": report.damaged,
            });
            writeln!(output, "{row}")?;
        }
        TextFormat::Table => {
            let outcome = match report.damaged {
                0 => "all is sound".to_owned(),
                1 => "1 finding of DAMAGE; restore this part from a backup".to_owned(),
                more => format!("{more} findings of DAMAGE; restore these parts from a backup"),
            };
            let (chunks, samples) = (report.chunks, report.samples);
            writeln!(output, "{} read, {chunks} chunks with {samples} samples checked: {outcome}", bytes(report.bytes))?;
        }
    }
    output.finish()?;
    Ok(if report.damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn through(server: &ServerArgs, bytes_per_s: Option<u64>, format: TextFormat) -> anyhow::Result<ScrubReport> {
    let mut admin = AdminServiceClient::new(server.connect().await?);
    let answer = admin.scrub(ScrubRequest { bytes_per_s: bytes_per_s.unwrap_or(0) }).await;
    let mut answer = answer.map_err(|status| client::refusal(&status))?.into_inner();
    let mut bar = Bar::new();
    let mut report = None;
    while let Some(message) = answer.message().await.map_err(|status| client::refusal(&status))? {
        match message.event {
            Some(Event::Progress(progress)) => bar.show(&progress.phase, progress.bytes_done, progress.bytes_total),
            Some(Event::Damage(damage)) => {
                bar.clear();
                show(&damage, format)?;
            }
            Some(Event::Report(told)) => report = Some(told),
            None => {}
        }
    }
    report.context("the historian ended the call before the scrub was done; look at its log and try again")
}

fn at_rest(data_dir: &std::path::Path, bytes_per_s: Option<u64>, format: TextFormat) -> anyhow::Result<ScrubReport> {
    let stopped = StoppedStore::open(data_dir)?;
    let mut bar = Bar::new();
    let mut beside = 0;
    let refused = stopped.refused.clone().map(|message| Damaged {
        family: "all".to_owned(),
        message: format!("a historian would not open this store: {message}"),
        ..Damaged::default()
    });
    for damaged in refused.into_iter().chain(scrub::lost_tail(&stopped.store, stopped.acknowledged)) {
        beside += 1;
        show(&message(&damaged), format)?;
    }
    let mut failure = None;
    let report = scrub::scrub(&stopped.store, bytes_per_s, &mut |event| {
        match event {
            ScrubEvent::Progress { family, bytes_done, bytes_total } => bar.show(family, bytes_done, bytes_total),
            ScrubEvent::Found(damaged) => {
                bar.clear();
                if let Err(error) = show(&message(damaged), format) {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let report = report?;
    Ok(ScrubReport {
        begin_time: 0,
        end_time: 0,
        bytes: report.bytes,
        entries: report.entries,
        chunks: report.chunks,
        samples: report.samples,
        damaged: report.damaged + beside,
    })
}

fn message(damaged: &Damaged) -> Damage {
    let Damaged { family, tags, start, end, message } = damaged.clone();
    Damage { family, tags, start, end, message }
}

/// Shows a finding at once: a scrub may take hours.
fn show(damage: &Damage, format: TextFormat) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    let time = |at: Option<i64>| at.map(|at| Timestamp(at).to_string());
    match format {
        TextFormat::Json => {
            let row = json!({
                "family": damage.family,
                "tags": damage.tags,
                "start": time(damage.start),
                "end": time(damage.end),
                "message": damage.message,
            });
            writeln!(output, "{row}")?;
        }
        TextFormat::Table => {
            let tags = match &damage.tags[..] {
                [] => String::new(),
                [tag] => format!(" of {}", output::printable(tag)),
                several => format!(" of one or more of {}", output::printable(&several.join(", "))),
            };
            let range = match (time(damage.start), time(damage.end)) {
                (Some(start), Some(end)) => format!(" from {start} to {end}"),
                (Some(start), None) => format!(" from {start}"),
                _ => String::new(),
            };
            writeln!(output, "DAMAGED {}{tags}{range}: {}", output::printable(&damage.family), output::printable(&damage.message))?;
        }
    }
    Ok(output.finish()?)
}
