//! `historian token list`: the tokens of a data directory, a row per grant.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::place::{DataDirArgs, refused};
use crate::{
    Misuse,
    output::{self, OutputFile, OutputFormat, TableCell, TableColumn, TextTable},
};
use historian_access::{AccessFile, TokenEntry};
use historian_model::{Clock, SystemClock, Timestamp};

/// Tags of a grant that a table shows.
const TAGS_SHOWN: usize = 3;

#[derive(Debug, Args)]
pub struct TokenListArgs {
    #[command(flatten)]
    place: DataDirArgs,
    /// Format of the list: table, csv or json [default: table on a terminal, csv elsewhere].
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
}

pub fn run(args: &TokenListArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.unwrap_or(if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Csv });
    let tokens = AccessFile::list(&args.place.file()?).map_err(refused)?;
    let now = SystemClock.now();
    let mut output = OutputFile::stdout();
    match format {
        OutputFormat::Table => {
            let mut table = TextTable::new([
                TableColumn::whole("ID"),
                TableColumn::text("NAME"),
                TableColumn::whole("ROLE"),
                TableColumn::text("TAGS"),
                TableColumn::whole("CREATED").spare(2),
                TableColumn::whole("EXPIRES").spare(1),
                TableColumn::whole("STATE"),
            ]);
            for token in &tokens {
                for grant in &token.grants {
                    table.add_row(vec![
                        TableCell::number(token.id),
                        TableCell::new(&token.name),
                        TableCell::new(grant.role),
                        TableCell::new(shown(&grant.tags)),
                        TableCell::time(token.created),
                        token.expires.map_or_else(|| TableCell::new("never"), TableCell::time),
                        TableCell::new(token.state(now).name()),
                    ]);
                }
            }
            table.write(&mut output)?;
        }
        OutputFormat::Csv => {
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(["id", "name", "role", "tags", "created", "expires", "state", "revoked"])?;
            let optional = |time: Option<Timestamp>| time.map(|at| at.to_string()).unwrap_or_default();
            for token in &tokens {
                for grant in &token.grants {
                    csv.write_record([
                        token.id.to_string(),
                        token.name.clone(),
                        grant.role.to_string(),
                        grant.tags.join("|"),
                        token.created.to_string(),
                        optional(token.expires),
                        token.state(now).name().to_owned(),
                        optional(token.revoked),
                    ])?;
                }
            }
            output.write_all(&csv.into_inner()?)?;
        }
        OutputFormat::Json => {
            for token in &tokens {
                writeln!(output, "{}", as_json(token, now))?;
            }
        }
        OutputFormat::Arrow | OutputFormat::Parquet => {
            return Err(Misuse("--format: tokens are listed as table, csv or json".to_owned()).into());
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Tags of a grant in a cell.
pub fn shown(tags: &[String]) -> String {
    let shown: Vec<String> = tags.iter().take(TAGS_SHOWN).map(|tag| output::printable(tag)).collect();
    match tags.len().saturating_sub(TAGS_SHOWN) {
        _ if tags.is_empty() => "(all)".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn as_json(token: &TokenEntry, now: Timestamp) -> serde_json::Value {
    json!({
        "id": token.id,
        "name": token.name,
        "grants": token.grants.iter().map(|grant| json!({"role": grant.role.name(), "tags": grant.tags})).collect::<Vec<_>>(),
        "created": token.created.to_string(),
        "expires": token.expires.map(|at| at.to_string()),
        "state": token.state(now).name(),
        "revoked": token.revoked.map(|at| at.to_string()),
    })
}
