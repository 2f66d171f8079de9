//! `historian import`: samples of files into a running historian.
//!
//! CSV goes as typed columns per tag through the stream of `WriteService`, Arrow and Parquet as batches through `DoPut`. Both are read on a
//! thread of their own while acknowledgements come in. The same file may be imported again: what is in already does not change.

mod columnar;
mod rows;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use historian_proto::v1::{TagFailure, WriteRequest, write_request};
use serde_json::json;

use super::{
    client::ServerArgs,
    output::{self, Output, TextFormat},
};
use crate::model::Timestamp;

/// Failures and rejected samples that are told one by one.
const TOLD_MAX: usize = 100;

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files (.csv, .parquet, .arrow, .feather, .ipc) with the columns tag, timestamp, value and quality, or directories of such files.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Tag of the samples, for files without a column tag.
    #[arg(long)]
    tag: Option<String>,
    /// Make tags that do not exist. From CSV they become f64, bool or string.
    #[arg(long)]
    create_tags: bool,
    /// What becomes of samples that are there already.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Mode::Upsert)]
    mode: Mode,
    /// When a sample counts as written.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Durability::Sync)]
    durability: Durability,
    /// Time zone of bare times in CSV files, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Format of the answer.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// A sample takes the place of one with the same tag and timestamp.
    Upsert,
    /// An existing sample stays.
    Insert,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Durability {
    /// After the fsync.
    Sync,
    /// Soon before the fsync.
    Interval,
}

impl ImportArgs {
    /// Options of the write.
    fn options(&self) -> WriteRequest {
        let mode = match self.mode {
            Mode::Upsert => write_request::Mode::Upsert,
            Mode::Insert => write_request::Mode::Insert,
        };
        let durability = match self.durability {
            Durability::Sync => write_request::Durability::Sync,
            Durability::Interval => write_request::Durability::Interval,
        };
        WriteRequest { mode: mode.into(), durability: durability.into(), create_tags: self.create_tags }
    }
}

/// What the historian acknowledged so far.
#[derive(Debug, Default)]
struct Tally {
    watermark: u64,
    samples: u64,
    rejected: u64,
    rejections: Vec<Rejection>,
    failures: Vec<TagFailure>,
    failed_tags: u64,
}

/// A sample that was not taken, in the JSON of an acknowledgement.
#[derive(Debug, serde::Deserialize)]
struct Rejection {
    tag: String,
    timestamp: i64,
    reason: String,
}

impl Tally {
    fn add(&mut self, watermark: u64, samples: u64, rejected: u64, rejections: impl IntoIterator<Item = Rejection>) {
        self.watermark = self.watermark.max(watermark);
        self.samples += samples;
        self.rejected += rejected;
        let room = TOLD_MAX.saturating_sub(self.rejections.len());
        self.rejections.extend(rejections.into_iter().take(room));
    }

    fn add_failures(&mut self, failures: Vec<TagFailure>) {
        self.failed_tags += failures.len() as u64;
        let room = TOLD_MAX.saturating_sub(self.failures.len());
        self.failures.extend(failures.into_iter().take(room));
    }

    fn is_clean(&self) -> bool {
        self.rejected == 0 && self.failed_tags == 0
    }
}

/// How far the reading of a file is; shown by whoever waits for acknowledgements.
#[derive(Debug, Default)]
struct Reached(AtomicU64);

impl Reached {
    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let files = files(&args.files)?;
    let mut tally = Tally::default();
    for (file, kind) in &files {
        let imported = match kind {
            Kind::Csv => rows::import(&args, file, &mut tally).await,
            Kind::Parquet | Kind::Arrow => columnar::import(&args, file, *kind, &mut tally).await,
        };
        if let Err(error) = imported {
            tell_what_failed(&tally);
            return Err(error).with_context(|| {
                format!(
                    "{}: stopped after {} samples, which are written; import it again when this is mended",
                    file.display(),
                    tally.samples
                )
            });
        }
    }
    tell_what_failed(&tally);
    let mut output = Output::stdout();
    let Tally { watermark, samples, rejected, failed_tags, .. } = &tally;
    match args.format {
        TextFormat::Table => {
            let files = if files.len() == 1 { String::new() } else { format!(" of {} files", files.len()) };
            let mut line = format!("{samples} samples{files} written");
            if *rejected > 0 {
                line.push_str(&format!(", {rejected} rejected"));
            }
            if *failed_tags > 0 {
                line.push_str(&format!(", {failed_tags} runs of samples not taken"));
            }
            writeln!(output, "{line}; durable up to watermark {watermark}")?;
        }
        TextFormat::Json => {
            let answer =
                json!({"samples": samples, "rejected": rejected, "failures": failed_tags, "watermark": watermark, "files": files.len()});
            writeln!(output, "{answer}")?;
        }
    }
    output.finish()?;
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_what_failed(tally: &Tally) {
    for Rejection { tag, timestamp, reason } in &tally.rejections {
        eprintln!("{} at {}: rejected: {}", output::printable(tag), Timestamp(*timestamp), output::printable(reason));
    }
    for failure in &tally.failures {
        eprintln!("{}: not taken: {}", output::printable(&failure.tag), output::printable(&failure.message));
    }
    let told = tally.rejections.len() + tally.failures.len();
    let all = tally.rejected + tally.failed_tags;
    if all > told as u64 {
        eprintln!("and {} more", all - told as u64);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Csv,
    Parquet,
    Arrow,
}

impl Kind {
    fn of(path: &Path) -> Option<Kind> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Kind::Csv),
            "parquet" | "pq" => Some(Kind::Parquet),
            "arrow" | "feather" | "ipc" => Some(Kind::Arrow),
            _ => None,
        }
    }
}

/// The files named, and those in the directories named, in the order of their names.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, Kind)>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let mut inside = Vec::new();
            for entry in entries {
                let file = entry.with_context(|| format!("{} cannot be read", path.display()))?.path();
                inside.extend(Kind::of(&file).map(|kind| (file, kind)));
            }
            if inside.is_empty() {
                bail!("{}: holds no file that ends in .csv, .parquet, .arrow, .feather or .ipc", path.display());
            }
            inside.sort_by(|(left, _), (right, _)| left.cmp(right));
            files.extend(inside);
        } else {
            let kind = Kind::of(path);
            let kind = kind.with_context(|| format!("{}: the ending is none of .csv, .parquet, .arrow, .feather, .ipc", path.display()))?;
            files.push((path.clone(), kind));
        }
    }
    Ok(files)
}
