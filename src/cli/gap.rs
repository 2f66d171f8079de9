//! `historian gaps`: where samples that were expected are absent, since when it is known, and why.

use std::{io::Write, process::ExitCode};

use clap::Args;
use historian_proto::v1::{Gap, ListGapsRequest, admin_service_client::AdminServiceClient};
use serde_json::json;

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
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
            if page.gaps.is_empty() && from == args.from {
                output::note("no gaps are recorded");
            }
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
            let mut table = TextTable::new([
                TableColumn::whole("NUMBER"),
                TableColumn::whole("RECORDED").spare(2),
                TableColumn::name("TAG"),
                TableColumn::whole("START"),
                TableColumn::whole("END"),
                TableColumn::whole("REASON"),
                TableColumn::sentence("DETAIL").spare(1),
            ]);
            for gap in gaps {
                table.add_row(cells(gap));
            }
            table.write(&mut output)?;
        }
    }
    Ok(output.finish()?)
}

fn cells(gap: &Gap) -> Vec<TableCell> {
    let time = |at: Option<i64>| TableCell::time_or_none(at.map(Timestamp));
    vec![
        TableCell::number(gap.number),
        TableCell::time(Timestamp(gap.time)),
        TableCell::new(if gap.tag.is_empty() { "(any)" } else { &gap.tag }),
        time(gap.start),
        time(gap.end),
        TableCell::new(&gap.reason),
        TableCell::new(&gap.detail),
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
