//! `historian audit`: who changed or removed what is stored, when, from where and why; and whether the log of it is the one that was written.

mod export;
mod verify;

use std::{io::Write, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use historian_proto::v1::{AuditEntry, AuditHead, GetAuditHeadRequest, ListAuditEntriesRequest, admin_service_client::AdminServiceClient};
use serde_json::json;

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
};
use export::AuditExportArgs;
use historian_audit::{AuditHash, SignedHead, head_line};
use historian_model::Timestamp;
use verify::AuditVerifyArgs;

/// How often the log is asked for new entries.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// Tags named in a table.
const TAGS_SHOWN: usize = 3;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Lists entries (the default).
    List(ListArgs),
    /// Writes the log as JSON lines that anybody can check, with the signed head of its last entry at the end.
    Export(AuditExportArgs),
    /// Says whether a log is the one that was written: compares the chain of its hashes, and heads that were kept.
    Verify(AuditVerifyArgs),
    /// Prints the signed head of the log. Keep it where nobody who can write to the data directory can change it.
    Head(HeadArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only entries with this number and greater ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
    /// Continue with new entries until interrupted.
    #[arg(long)]
    follow: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

#[derive(Debug, Args)]
struct HeadArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    match args.command.unwrap_or(AuditCommand::List(args.list)) {
        AuditCommand::List(args) => list(args).await,
        AuditCommand::Export(args) => export::run(args).await,
        AuditCommand::Verify(args) => verify::run(args).await,
        AuditCommand::Head(args) => head(args).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let mut admin = AdminServiceClient::new(args.server.connect().await?);
    let mut from = args.from;
    loop {
        let request = ListAuditEntriesRequest { from, ..ListAuditEntriesRequest::default() };
        let page = admin.list_audit_entries(request).await.map_err(|status| client::refusal(&status))?.into_inner();
        if let Some(last) = page.entries.last() {
            from = last.number + 1;
            show(&page.entries, args.format)?;
        }
        if page.next == 0 {
            if !args.follow {
                if page.entries.is_empty() && from == args.from {
                    output::note("the audit log has no such entry");
                }
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }
}

/// A line as exports have it, so that a file of heads is what `verify --head` reads.
async fn head(args: HeadArgs) -> anyhow::Result<ExitCode> {
    let mut admin = AdminServiceClient::new(args.server.connect().await?);
    let answer = admin.get_audit_head(GetAuditHeadRequest {}).await.map_err(|status| client::refusal(&status))?.into_inner();
    let AuditHead { number, hash, time, public_key, signature } = answer.head.unwrap_or_default();
    let hash = AuditHash::parse(&hash).ok_or_else(|| anyhow::anyhow!("the historian answers with a head that has no hash"))?;
    let mut output = OutputFile::stdout();
    output.write_all(head_line(&SignedHead { number, hash, time, public_key, signature })?.as_bytes())?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn show(entries: &[AuditEntry], format: TextFormat) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    match format {
        TextFormat::Json => {
            for entry in entries {
                writeln!(output, "{}", as_json(entry))?;
            }
        }
        TextFormat::Table => {
            let mut table = TextTable::new([
                TableColumn::whole("NUMBER"),
                TableColumn::whole("TIME"),
                TableColumn::whole("ACTION"),
                TableColumn::text("BY"),
                TableColumn::text("FROM").spare(4),
                TableColumn::text("TAGS"),
                TableColumn::whole("START").spare(3),
                TableColumn::whole("END").spare(3),
                TableColumn::whole("SAMPLES").spare(2),
                TableColumn::sentence("DETAIL").spare(1),
            ]);
            for entry in entries {
                table.add_row(cells(entry));
            }
            table.write(&mut output)?;
        }
    }
    Ok(output.finish()?)
}

fn cells(entry: &AuditEntry) -> Vec<TableCell> {
    let shown: Vec<String> = entry.tags.iter().take(TAGS_SHOWN).cloned().collect();
    let more = entry.tags.len().saturating_sub(TAGS_SHOWN);
    let tags = if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) };
    let time = |at: Option<i64>| TableCell::time_or_none(at.map(Timestamp));
    vec![
        TableCell::number(entry.number),
        TableCell::time(Timestamp(entry.time)),
        TableCell::new(&entry.action),
        TableCell::new(&entry.principal),
        TableCell::new(if entry.client.is_empty() { "-" } else { &entry.client }),
        TableCell::new(tags),
        time(entry.start),
        time(entry.end),
        TableCell::number(entry.samples),
        TableCell::new(&entry.detail),
    ]
}

fn as_json(entry: &AuditEntry) -> serde_json::Value {
    let time = |at: i64| Timestamp(at).to_string();
    json!({
        "number": entry.number,
        "time": time(entry.time),
        "action": entry.action,
        "principal": entry.principal,
        "client": entry.client,
        "tags": entry.tags,
        "start": entry.start.map(time),
        "end": entry.end.map(time),
        "samples": entry.samples,
        "detail": entry.detail,
        "hash": entry.hash,
    })
}
