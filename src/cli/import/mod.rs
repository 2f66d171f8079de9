//! `historian import`: samples of files into a running historian.
//!
//! Every file is read twice: once until each row is understood and each tag known, and once to send them as typed columns per tag through the
//! stream of `WriteService`. The same file may be imported again: what is in already does not change.

mod fit;
mod old;
mod send;
mod tally;
mod understand;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use historian_proto::v1::{WriteRequest, write_request};
use serde_json::json;

use super::{
    client::ServerArgs,
    output::{self, OutputFile, TextFormat},
    sample_file::{FileArgs, SampleFileFormat},
};
use historian_model::{TagSelection, Timestamp};
use tally::{RejectedSample, Tally};
use understand::TagCreation;

/// What `--text` without a value stands for: words are texts, tag by tag.
const WORDS: &str = "";

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files (.csv, .parquet, .arrow, .feather, .ipc) with the columns tag, timestamp, value and quality, or directories of such files.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    file: FileArgs,
    /// Create tags that do not exist, with the type of the column `type` or of the values; from CSV f64 or bool.
    #[arg(long)]
    create_tags: bool,
    /// Values are texts: new tags whose values are not all numbers become string; with =TAG, names or globs with commas, those tags.
    #[arg(long, value_name = "TAG,…", num_args = 0..=1, require_equals = true, default_missing_value = WORDS)]
    text: Option<String>,
    /// What happens to existing samples.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Mode::Upsert)]
    mode: Mode,
    /// When a write is acknowledged.
    #[arg(long, value_enum, ignore_case = true, default_value_t = DurabilityArg::Sync)]
    durability: DurabilityArg,
    /// Time zone of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// A sample replaces one with the same tag and timestamp.
    Upsert,
    /// An existing sample stays.
    Insert,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DurabilityArg {
    /// After the fsync.
    Sync,
    /// Before the fsync, which follows within the server's `storage.interval_sync_ms`.
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
            DurabilityArg::Sync => write_request::Durability::Sync,
            DurabilityArg::Interval => write_request::Durability::Interval,
        };
        WriteRequest { mode: mode.into(), durability: durability.into(), create_tags: self.create_tags }
    }

    /// Which new tags hold texts.
    fn new_tags(&self) -> anyhow::Result<TagCreation> {
        let (words, patterns) = match (self.text.as_deref(), &self.file.tag) {
            (None, _) => (false, None),
            (Some(WORDS), None) => (true, None),
            // The one tag of the file is meant.
            (Some(WORDS), Some(tag)) => (true, Some(vec![tag.as_str()])),
            (Some(tags), _) => (false, Some(tags.split(',').map(str::trim).collect())),
        };
        let texts = patterns.map(|patterns| TagSelection::parse(&patterns)).transpose().context("--text")?;
        Ok(TagCreation { create: self.create_tags, texts, words })
    }
}

pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let files = files(&args.files)?;
    let settings = args.file.settings(&args.zone)?;
    let new_tags = args.new_tags()?;
    let channel = args.server.connect().await?;
    let (understood, tags) = understand::understand(&files, &settings, channel.clone(), new_tags).await?;
    let mut tally = Tally::default();
    for file in understood {
        let path = file.path.clone();
        if let Err(error) = send::send(file, &settings, args.options(), tags.clone(), channel.clone(), &mut tally).await {
            tell_what_failed(&tally);
            return Err(error).with_context(|| {
                format!("{}: stopped after {} samples, which are written; import it again after fixing this", path.display(), tally.samples)
            });
        }
    }
    tell_what_failed(&tally);
    // What is written is written: that it cannot be told how long it stays is no failure of the import.
    let expiring = old::expiring(&tally.seen, channel).await.unwrap_or(0);
    tell(&args, files.len(), expiring, tally)
}

/// Says what is stored now: of rows with the same tag and time one.
fn tell(args: &ImportArgs, files: usize, expiring: u64, tally: Tally) -> anyhow::Result<ExitCode> {
    let mut output = OutputFile::stdout();
    let is_clean = tally.is_clean();
    let Tally { watermark, samples, rejected, failed_tags, seen, .. } = tally;
    let rows = seen.rows();
    let (duplicates, is_all) = seen.duplicates();
    // What exists already is not counted by an insert, be it of this import or of another.
    let samples = if matches!(args.mode, Mode::Upsert) { samples.saturating_sub(duplicates) } else { samples };
    match args.format {
        TextFormat::Table => {
            let files = if files == 1 { String::new() } else { format!(" of {files} files") };
            let mut line = format!("{samples} sample{}{files} written", if samples == 1 { "" } else { "s" });
            if duplicates > 0 {
                let which = if matches!(args.mode, Mode::Upsert) { "last" } else { "first" };
                let least = if is_all { "" } else { "at least " };
                line.push_str(&format!(
                    " from {rows} rows, {least}{duplicates} of which repeat the tag and time of another: the {which} counts"
                ));
            }
            if expiring > 0 {
                line.push_str(&format!(", {expiring} so old that retention removes them in its next run"));
            }
            if rejected > 0 {
                line.push_str(&format!(", {rejected} rejected"));
            }
            if failed_tags > 0 {
                line.push_str(&format!(", {failed_tags} runs of samples not taken"));
            }
            writeln!(output, "{line}; durable up to watermark {watermark}")?;
        }
        TextFormat::Json => {
            let answer = json!({
                "rows": rows, "samples": samples, "duplicates": duplicates, "expiring": expiring, "rejected": rejected, "failures": failed_tags,
                "watermark": watermark, "files": files,
            });
            writeln!(output, "{answer}")?;
        }
    }
    output.finish()?;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_what_failed(tally: &Tally) {
    for RejectedSample { tag, timestamp, reason } in &tally.rejections {
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

/// The files named, and those in the directories named, in the order of their names.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, SampleFileFormat)>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let mut inside = Vec::new();
            for entry in entries {
                let file = entry.with_context(|| format!("{} cannot be read", path.display()))?.path();
                inside.extend(SampleFileFormat::of(&file).map(|kind| (file, kind)));
            }
            if inside.is_empty() {
                bail!("{}: holds no file that ends in .csv, .parquet, .arrow, .feather or .ipc", path.display());
            }
            inside.sort_by(|(left, _), (right, _)| left.cmp(right));
            files.extend(inside);
        } else {
            let kind = SampleFileFormat::of(path);
            let kind = kind.with_context(|| format!("{}: the ending is none of .csv, .parquet, .arrow, .feather, .ipc", path.display()))?;
            files.push((path.clone(), kind));
        }
    }
    Ok(files)
}
