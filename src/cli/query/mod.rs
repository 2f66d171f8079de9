//! `historian query`: samples of a time range, current values, aggregates, plots and anomalies, through Arrow Flight into a table or a file.

mod operator;

use std::{
    collections::HashMap,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use arrow::datatypes::Schema;
use arrow_flight::Ticket;
use clap::{Args, Subcommand, ValueEnum};
use futures::StreamExt;
use serde_json::json;

use super::{
    client::{self, ServerArgs, UnitArgs},
    output::{BatchWriter, Format, OutputArgs, TagNotes, printable},
    tag,
};

/// Tags whose units a table shows; more than a person reads.
const NOTED_TAGS_MAX: usize = 10_000;

#[derive(Debug, Subcommand)]
pub enum QueryCommand {
    /// Samples of a time range, tag after tag, each in time order.
    Range(RangeArgs),
    /// The latest sample of each tag.
    Current(CurrentArgs),
    /// Aggregates of OPC UA Part 13 over intervals.
    Aggregate(operator::AggregateArgs),
    /// Samples reduced for a plot.
    Downsample(operator::DownsampleArgs),
    /// What a detector finds; `historian detectors` lists them.
    Anomalies(operator::AnomaliesArgs),
}

#[derive(Debug, Args)]
pub struct RangeArgs {
    /// Tag names or globs: `*` within a level, `**` across levels.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    /// Start of the range: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`).
    #[arg(long, default_value = "*-1h", allow_hyphen_values = true)]
    start: String,
    /// End of the range, not included; before the start for reverse order.
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    end: String,
    /// Adds the samples next to the edges (outside) or values at the edges (interpolated).
    #[arg(long, value_enum, default_value_t = Boundary::Inside)]
    boundary: Boundary,
    /// Most samples per tag; 0 means all.
    #[arg(long, default_value_t = 0)]
    limit: u32,
    /// One row per sample, or one column per tag.
    #[arg(long, value_enum, default_value_t = Layout::Long)]
    layout: Layout,
    /// Time zone of relative times and of times without an offset, for example Europe/Berlin.
    #[arg(long, default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct CurrentArgs {
    /// Tag names or globs; none means all.
    #[arg(value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Boundary {
    Inside,
    Outside,
    Interpolated,
}

impl Boundary {
    /// As requests have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Boundary::Inside => "INSIDE",
            Boundary::Outside => "OUTSIDE",
            Boundary::Interpolated => "INTERPOLATED",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Layout {
    Long,
    Wide,
}

pub async fn run(command: QueryCommand) -> anyhow::Result<ExitCode> {
    match command {
        QueryCommand::Range(RangeArgs { tags, start, end, boundary, limit, layout, zone, unit, output, server }) => {
            let (start, end) = (unit.applied(&start), unit.applied(&end));
            let layout = match layout {
                Layout::Long => "LONG",
                Layout::Wide => "WIDE",
            };
            let mut request = json!({"range": {
                "tags": tags, "start": start, "end": end, "boundary": boundary.name(), "limit": limit, "layout": layout, "zone": zone,
            }});
            if output.is_file() && layout == "LONG" {
                // So that `import` makes of the file what it was.
                request["range"]["types"] = true.into();
            }
            fetch(&server, &tags, &request, &output).await
        }
        QueryCommand::Current(CurrentArgs { tags, output, server }) => {
            let tags = if tags.is_empty() { vec!["**".to_owned()] } else { tags };
            // As a range has it in a file.
            fetch(&server, &tags, &json!({"current": {"tags": tags, "types": output.is_file()}}), &output).await
        }
        QueryCommand::Aggregate(args) => args.run().await,
        QueryCommand::Downsample(args) => args.run().await,
        QueryCommand::Anomalies(args) => args.run().await,
    }
}

/// Sends the request as a ticket and writes the answer batch by batch.
pub(crate) async fn fetch(
    server: &ServerArgs,
    tags: &[String],
    request: &serde_json::Value,
    output: &OutputArgs,
) -> anyhow::Result<ExitCode> {
    let format = output.format()?;
    let mut flight = server.flight().await?;
    let mut batches = flight.do_get(Ticket::new(request.to_string())).await.map_err(client::flight_refusal)?;
    let mut writer: Option<BatchWriter> = None;
    let mut note = None;
    let mut progress = Progress::new(output.wants_progress());
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(client::flight_refusal)?;
        let writer = if let Some(writer) = &mut writer {
            writer
        } else {
            note = batch.schema().metadata().get("note").cloned();
            writer.insert(BatchWriter::open(output, &batch.schema(), notes(server, tags, format, &batch.schema()).await?)?)
        };
        writer.write(&batch)?;
        progress.add(batch.num_rows());
    }
    let writer = match (writer, batches.schema()) {
        (Some(writer), _) => writer,
        (None, Some(schema)) => BatchWriter::open(output, schema, HashMap::new())?,
        (None, None) => bail!("the historian closed the answer before it began; look at its log"),
    };
    writer.finish()?;
    progress.end();
    if let Some(note) = note {
        eprintln!("note: {}", printable(&note));
    }
    Ok(ExitCode::SUCCESS)
}

/// Units and state names for a table: from the metadata of the answer, or from the catalog when the answer has too many tags to carry them.
async fn notes(server: &ServerArgs, tags: &[String], format: Format, schema: &Schema) -> anyhow::Result<HashMap<String, TagNotes>> {
    if format != Format::Table {
        return Ok(HashMap::new());
    }
    if let Some(described) = schema.metadata().get("tags") {
        return serde_json::from_str(described).context("the answer's metadata of the tags cannot be read");
    }
    let mut notes = HashMap::new();
    let mut pages = tag::Pages::new(server.connect().await?, tags.to_vec(), String::new());
    while notes.len() < NOTED_TAGS_MAX
        && let Some(page) = pages.next().await?
    {
        notes.extend(page.into_iter().map(|tag| {
            let value_type = tag::type_name(&tag).to_owned();
            (tag.name, TagNotes { unit: tag.unit, state_set: tag.state_set, value_type })
        }));
    }
    Ok(notes)
}

/// Rows so far, on standard error, a few times a second.
struct Progress {
    rows: usize,
    shown: Option<Instant>,
}

impl Progress {
    fn new(wanted: bool) -> Progress {
        Progress { rows: 0, shown: wanted.then(Instant::now) }
    }

    fn add(&mut self, rows: usize) {
        self.rows += rows;
        if let Some(shown) = &mut self.shown
            && shown.elapsed() > Duration::from_millis(250)
        {
            *shown = Instant::now();
            let _ = write!(std::io::stderr(), "\r{} rows", self.rows);
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr(), "\r{} rows", self.rows);
        }
    }
}
