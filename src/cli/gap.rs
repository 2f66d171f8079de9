//! `historian gaps`: where samples that were expected are absent, since when it is known, and why.

use std::{io::Write, process::ExitCode};

use clap::Args;
use comfy_table::Cell;
use historian_proto::v1::{Gap, ListGapsRequest, admin_service_client::AdminServiceClient};
use serde_json::json;

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TextFormat},
};
use historian_model::Timestamp;

#[derive(Debug, Args)]
pub struct GapArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only gaps with this number and greater ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: GapArgs) -> anyhow::Result<ExitCode> {
    let mut admin = AdminServiceClient::new(args.server.connect().await?);
    let mut from = args.from;
    loop {
        let page = admin
            .list_gaps(ListGapsRequest { from, ..ListGapsRequest::default() })
            .await
            .map_err(|status| client::refusal(&status))?
            .into_inner();
        if !page.gaps.is_empty() {
            show(&page.gaps, args.format)?;
        }
        if page.next == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        from = page.next;
    }
}

fn show(gaps: &[Gap], format: TextFormat) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    match format {
        TextFormat::Json => {
            for gap in gaps {
                writeln!(output, "{}", as_json(gap))?;
            }
        }
        TextFormat::Table => {
            let mut table = output::table(&["NUMBER", "RECORDED", "TAG", "START", "END", "REASON", "DETAIL"]);
            for gap in gaps {
                table.add_row(cells(gap));
            }
            output::write_table(&mut output, &table)?;
        }
    }
    Ok(output.finish()?)
}

fn cells(gap: &Gap) -> Vec<Cell> {
    let time = |at: Option<i64>| Cell::new(at.map_or_else(|| "-".to_owned(), |at| Timestamp(at).to_string()));
    vec![
        output::number(gap.number),
        Cell::new(Timestamp(gap.time)),
        Cell::new(if gap.tag.is_empty() { "(any)".to_owned() } else { output::printable(&gap.tag) }),
        time(gap.start),
        time(gap.end),
        Cell::new(output::printable(&gap.reason)),
        Cell::new(output::printable(&gap.detail)),
    ]
}

fn as_json(gap: &Gap) -> serde_json::Value {
    let time = |at: i64| Timestamp(at).to_string();
    json!({
        "number": gap.number,
        "time": time(gap.time),
        "tag": (!gap.tag.is_empty()).then_some(&gap.tag),
        "start": gap.start.map(time),
        "end": gap.end.map(time),
        "reason": gap.reason,
        "detail": gap.detail,
    })
}
