//! `historian delete` and `historian replace`: corrections of what is stored, asked for once more where a person types them.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, anyhow};
use arrow_flight::FlightDescriptor;
use clap::Args;
use historian_proto::v1::{
    DeleteRangeRequest, DeleteRangeResponse, GetTagRequest, ReplaceRangeRequest, ReplaceRangeResponse, TagSamples,
    tag_service_client::TagServiceClient, write_service_client::WriteServiceClient,
};
use serde_json::{Value as Json, json};

use super::{
    client::{self, ServerArgs, UnitArgs},
    consent::asked,
    output::{OutputFile, TextFormat},
    sample_file::{FileArgs, Mistakes, SampleFileFormat, read_whole, refuse},
    tag::Pages,
};
use historian_model::Timestamp;

/// Range, reason and consent, as flags.
#[derive(Debug, Args)]
struct CorrectionArgs {
    /// Start of the range: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`).
    #[arg(long, allow_hyphen_values = true)]
    start: String,
    /// End of the range, not included.
    #[arg(long, allow_hyphen_values = true)]
    end: String,
    /// Time zone of relative times and of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Why; the audit log keeps it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Tag names or globs: `*` within a level, `**` across levels.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    range: CorrectionArgs,
}

#[derive(Debug, Args)]
pub struct ReplaceArgs {
    /// CSV file with a header: timestamp, value, and optionally tag and quality; as `historian export` writes it.
    file: PathBuf,
    #[command(flatten)]
    rows: FileArgs,
    #[command(flatten)]
    range: CorrectionArgs,
}

pub async fn delete(args: DeleteArgs) -> anyhow::Result<ExitCode> {
    let DeleteArgs { tags, unit, range } = args;
    let stored = StoredRange::of(&range, unit, &tags).await?;
    let mut selected = 0;
    let mut pages = Pages::new(range.server.connect().await?, tags.clone(), String::new());
    while let Some(page) = pages.next().await? {
        selected += page.len();
    }
    let selected_tags = counted(selected, "tag");
    let question = format!(
        "Delete at most {} of {selected_tags} from {} to {}?",
        counted(stored.samples, "sample"),
        Timestamp(stored.start),
        Timestamp(stored.end)
    );
    if !range.yes && !asked(&question)? {
        return Ok(ExitCode::FAILURE);
    }
    // The times as they were shown, also where they are relative.
    let request = DeleteRangeRequest {
        tags,
        start: Timestamp(stored.start).to_string(),
        end: Timestamp(stored.end).to_string(),
        zone: String::new(),
        reason: range.reason,
    };
    let mut writes = WriteServiceClient::new(range.server.connect().await?);
    let done = writes.delete_range(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let DeleteRangeResponse { watermark, deleted, start_time, end_time } = done;
    let (start, end) = (Timestamp(start_time).to_string(), Timestamp(end_time).to_string());
    match range.format {
        TextFormat::Table => tell(&format!("{} of {selected_tags} deleted from {start} to {end}", counted(deleted, "sample")))?,
        TextFormat::Json => {
            tell(&json!({"deleted": deleted, "tags": selected, "start": start, "end": end, "watermark": watermark}).to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn replace(args: ReplaceArgs) -> anyhow::Result<ExitCode> {
    let ReplaceArgs { file, rows, range } = args;
    let unit = rows.unit;
    let rows = read_whole(&file, &rows.settings(&range.zone)?)?;
    let channel = range.server.connect().await?;
    let mut known = TagServiceClient::new(channel.clone());
    let mut samples: Vec<TagSamples> = Vec::with_capacity(rows.len());
    let mut mistakes = Mistakes::default();
    for rows in rows {
        let answer = known.get_tag(GetTagRequest { name: rows.name.clone() }).await.map_err(|status| client::refusal(&status))?;
        let tag = answer.into_inner().tag.unwrap_or_default();
        samples.push(rows.columns(&tag, &mut mistakes));
    }
    refuse(&mut mistakes, &file, SampleFileFormat::Csv, "changed")?;
    let names: Vec<String> = samples.iter().map(|samples| samples.tag.clone()).collect();
    let stored = StoredRange::of(&range, unit, &names).await?;
    let new: usize = samples.iter().map(|samples| samples.timestamps.len()).sum();
    let question = format!(
        "Replace at most {} of {} from {} to {} by {new}?",
        counted(stored.samples, "sample"),
        counted(names.len(), "tag"),
        Timestamp(stored.start),
        Timestamp(stored.end)
    );
    if !range.yes && !asked(&question)? {
        return Ok(ExitCode::FAILURE);
    }
    let request = ReplaceRangeRequest {
        start: Timestamp(stored.start).to_string(),
        end: Timestamp(stored.end).to_string(),
        zone: String::new(),
        reason: range.reason,
        samples,
    };
    let mut writes = WriteServiceClient::new(channel);
    let done = writes.replace_range(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let ReplaceRangeResponse { watermark, deleted, samples, start_time, end_time } = done;
    let (start, end) = (Timestamp(start_time).to_string(), Timestamp(end_time).to_string());
    match range.format {
        TextFormat::Table => tell(&format!("{} deleted and {samples} written from {start} to {end}", counted(deleted, "sample")))?,
        TextFormat::Json => {
            tell(&json!({"deleted": deleted, "samples": samples, "start": start, "end": end, "watermark": watermark}).to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the range holds before the correction.
struct StoredRange {
    /// An upper bound: chunks that the range cuts count whole.
    samples: i64,
    start: i64,
    end: i64,
}

impl StoredRange {
    /// Asks the historian, which also resolves the times.
    async fn of(range: &CorrectionArgs, unit: UnitArgs, tags: &[String]) -> anyhow::Result<StoredRange> {
        let (start, end) = (unit.applied(&range.start), unit.applied(&range.end));
        let command = json!({"range": {"tags": tags, "start": start, "end": end, "zone": range.zone}}).to_string();
        let mut flight = range.server.flight().await?;
        let info = flight.get_flight_info(FlightDescriptor::new_cmd(command)).await.map_err(client::flight_refusal)?;
        let bounds: Json = serde_json::from_slice(&info.app_metadata).context("the bounds of the answer cannot be read")?;
        let bound = |name: &str| {
            let text = bounds[name].as_str().and_then(|text| text.parse().ok());
            text.ok_or_else(|| anyhow!("the answer has no {name}; is the historian of another version?"))
        };
        Ok(StoredRange { samples: info.total_records, start: bound("start_ns")?, end: bound("end_ns")? })
    }
}

fn counted(count: impl std::fmt::Display, what: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn tell(line: &str) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    writeln!(output, "{line}")?;
    Ok(output.finish()?)
}
