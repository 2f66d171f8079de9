//! `historian query`: samples of a time range, current values, aggregates, plots and anomalies, through Arrow Flight into a table or a file.

mod fetch;
mod operator;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{
    client::{ServerArgs, UnitArgs},
    output::OutputArgs,
};

pub(crate) use fetch::{catalog_notes, fetch, write_answer};
pub(crate) use operator::{IntervalArgs, RangeQueryArgs};

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
    #[arg(long, value_enum, default_value_t = BoundaryArg::Inside)]
    boundary: BoundaryArg,
    /// Most samples per tag; 0 means all.
    #[arg(long, default_value_t = 0)]
    limit: u32,
    /// One row per sample, or one column per tag.
    #[arg(long, value_enum, default_value_t = LayoutArg::Long)]
    layout: LayoutArg,
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
pub(crate) enum BoundaryArg {
    Inside,
    Outside,
    Interpolated,
}

impl BoundaryArg {
    /// As requests have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            BoundaryArg::Inside => "INSIDE",
            BoundaryArg::Outside => "OUTSIDE",
            BoundaryArg::Interpolated => "INTERPOLATED",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutArg {
    Long,
    Wide,
}

pub async fn run(command: QueryCommand) -> anyhow::Result<ExitCode> {
    match command {
        QueryCommand::Range(RangeArgs { tags, start, end, boundary, limit, layout, zone, unit, output, server }) => {
            let (start, end) = (unit.applied(&start), unit.applied(&end));
            let layout = match layout {
                LayoutArg::Long => "LONG",
                LayoutArg::Wide => "WIDE",
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
