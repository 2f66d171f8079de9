//! `historian superseded`: versions of samples that others replaced or that were deleted, through Arrow Flight into a table or a file.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    client::{ServerArgs, UnitArgs},
    output::OutputArgs,
    query,
};

#[derive(Debug, Args)]
pub struct SupersededArgs {
    /// Tag names or globs: `*` within a level, `**` across levels.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    /// Start of the range: RFC 3339, a number with its unit (`1767225600s`), or relative (`*-8h`, `t`, `y+6h`).
    #[arg(long, default_value = "*-1h", allow_hyphen_values = true)]
    start: String,
    /// End of the range, not included.
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    end: String,
    /// Most versions per tag; 0 means all.
    #[arg(long, default_value_t = 0)]
    limit: u32,
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

pub async fn run(args: SupersededArgs) -> anyhow::Result<ExitCode> {
    let SupersededArgs { tags, start, end, limit, zone, unit, output, server } = args;
    let (start, end) = (unit.applied(&start), unit.applied(&end));
    let request = json!({"superseded": {"tags": tags, "start": start, "end": end, "limit": limit, "zone": zone}});
    query::fetch(&server, &tags, &request, &output).await
}
