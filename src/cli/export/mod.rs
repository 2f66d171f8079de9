//! `historian export`: samples of any number into files, in constant memory.
//!
//! A name with a known ending is one file, written from one answer. Anything else is a directory: the endpoints of `GetFlightInfo` are
//! fetched at once, each into a file of its own, and the same command again goes on where an interrupted one stopped.

mod manifest;
mod part;
mod shape;

use std::{
    collections::VecDeque,
    io::Write,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use arrow_flight::{FlightDescriptor, FlightInfo};
use clap::Args;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use super::{
    Misuse,
    client::{self, ServerArgs, UnitArgs},
    output::{Compression, OutputFile},
    progress::Bar,
    query::BoundaryArg,
};
use manifest::ExportManifest;
use shape::{ExportFormat, FileFormat};

/// How often the bar is drawn while parts are fetched.
const DRAWN_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Tag names or globs: `*` within a level, `**` across levels.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    /// Start of the range: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`).
    #[arg(long, allow_hyphen_values = true)]
    start: String,
    /// End of the range, not included.
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    end: String,
    /// File (.parquet, .arrow, .feather, .ipc, .csv), or else a directory for files of parts that are fetched at once.
    #[arg(long, short, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Format of the files [default: by the ending; parquet in a directory].
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Compression of Arrow and Parquet files [default: zstd].
    #[arg(long, value_enum)]
    compression: Option<Compression>,
    /// Parts of a directory that are fetched at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Replace another export in the directory.
    #[arg(long)]
    overwrite: bool,
    /// Adds the samples next to the edges (outside) or values at the edges (interpolated).
    #[arg(long, value_enum, default_value_t = BoundaryArg::Inside)]
    boundary: BoundaryArg,
    /// Time zone of relative times and of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let by_ending = FileFormat::by_ending(&args.output);
    let shape = ExportFormat {
        format: args.format.or(by_ending).unwrap_or(FileFormat::Parquet),
        compression: args.compression.unwrap_or(Compression::Zstd),
    };
    if shape.format == FileFormat::Csv && args.compression.is_some() {
        return Err(Misuse("--compression: CSV files are not compressed; leave it away, or choose parquet or arrow".to_owned()).into());
    }
    let command = json!({"range": {
        "tags": args.tags, "start": args.unit.applied(&args.start), "end": args.unit.applied(&args.end), "boundary": args.boundary.name(),
        "zone": args.zone, "types": true,
    }});
    if by_ending.is_some() && !args.output.is_dir() {
        to_file(&args, shape, command).await
    } else {
        to_directory(&args, shape, &command).await
    }
}

/// What the historian says of the export before it begins.
async fn info(server: &ServerArgs, command: &Json) -> anyhow::Result<FlightInfo> {
    let mut flight = server.flight().await?;
    flight.get_flight_info(FlightDescriptor::new_cmd(command.to_string())).await.map_err(client::flight_refusal)
}

/// One answer into one file. Not endpoint after endpoint: each has its own dictionary of tag names, and an Arrow file holds one.
async fn to_file(args: &ExportArgs, shape: ExportFormat, mut command: Json) -> anyhow::Result<ExitCode> {
    let info = info(&args.server, &command).await?;
    let expected = u64::try_from(info.total_records).unwrap_or(0);
    // The times as they were resolved, so that the estimate is of the same samples.
    let bounds: Json = serde_json::from_slice(&info.app_metadata).context("the bounds of the answer cannot be read")?;
    for (bound, resolved) in [("start", "start_ns"), ("end", "end_ns")] {
        let nanoseconds = bounds[resolved].as_str().with_context(|| format!("the answer has no {resolved}"))?;
        command["range"][bound] = nanoseconds.into();
    }
    let rows = Arc::new(AtomicU64::new(0));
    let ticket = command.to_string().into_bytes();
    let fetching = part::fetch(args.server.clone(), ticket, args.output.clone(), shape, rows.clone());
    let mut bar = Bar::of_samples();
    let mut fetching = std::pin::pin!(fetching);
    let mut tick = tokio::time::interval(DRAWN_EVERY);
    let written = loop {
        tokio::select! {
            written = &mut fetching => break written?,
            _ = tick.tick() => bar.show("export", rows.load(Ordering::Relaxed), expected),
        }
    };
    drop(bar);
    tell(written, &format!("in {}", args.output.display()))
}

/// Parts at once, a file each; those that are there already are not fetched again.
async fn to_directory(args: &ExportArgs, shape: ExportFormat, command: &Json) -> anyhow::Result<ExitCode> {
    let directory = &args.output;
    std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let request = json!({"command": command, "format": shape.format.name(), "compression": format!("{:?}", shape.compression)});
    let found = ExportManifest::read(directory)?;
    let mut manifest = match found {
        Some(found) if !args.overwrite && found.request != request => bail!(
            "{} holds another export ({}); choose another directory, or add --overwrite to replace it",
            directory.display(),
            manifest::NAME
        ),
        Some(found) if !args.overwrite && !found.is_stale() => found,
        found => {
            if let Some(found) = found {
                found.remove_parts(directory);
            }
            let manifest = ExportManifest::new(request, &info(&args.server, command).await?, shape.format.name());
            manifest.save(directory)?;
            manifest
        }
    };
    let rows = Arc::new(AtomicU64::new(0));
    let mut waiting: VecDeque<usize> = VecDeque::new();
    let mut skipped = 0;
    for (index, part) in manifest.parts.iter().enumerate() {
        match part.rows {
            Some(count) if directory.join(&part.file).is_file() => {
                rows.fetch_add(count, Ordering::Relaxed);
                skipped += 1;
            }
            _ => waiting.push_back(index),
        }
    }
    let mut bar = Bar::of_samples();
    let mut tick = tokio::time::interval(DRAWN_EVERY);
    let mut running = JoinSet::new();
    loop {
        while running.len() < usize::from(args.workers)
            && let Some(index) = waiting.pop_front()
        {
            let part = &manifest.parts[index];
            let fetching = part::fetch(args.server.clone(), part.ticket()?, directory.join(&part.file), shape, rows.clone());
            running.spawn(async move { (index, fetching.await) });
        }
        tokio::select! {
            done = running.join_next() => {
                let Some(done) = done else { break };
                let (index, written) = done.context("a task ended early")?;
                manifest.parts[index].rows = Some(written?);
                manifest.save(directory)?;
            }
            _ = tick.tick() => {}
        }
        bar.show("export", rows.load(Ordering::Relaxed), manifest.rows_expected);
    }
    manifest.complete = true;
    manifest.save(directory)?;
    drop(bar);
    let files = manifest.parts.len();
    let there = if skipped > 0 { format!(", {skipped} of them there already") } else { String::new() };
    let plural = if files == 1 { "" } else { "s" };
    tell(rows.load(Ordering::Relaxed), &format!("in {files} file{plural} in {}{there}", directory.display()))
}

fn tell(rows: u64, place: &str) -> anyhow::Result<ExitCode> {
    let mut output = OutputFile::stdout();
    writeln!(output, "{rows} samples {place}")?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
