//! `historian grant`: what those may do who have no token: clients known by their certificates, and users of an identity provider. It works on the
//! file in the data directory, as `historian token` does.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Misuse,
    output::{self, OutputFile, OutputFormat, TableCell, TableColumn, TextFormat, TextTable},
    token::{
        grant::{GrantArgs, note, told},
        list::shown,
        place::{DataDirArgs, refused},
    },
};
use historian_access::{AccessError, AccessFile, Grant, GrantEntry, NamedPrincipal};
use historian_model::{Clock, SystemClock};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
These commands work on the file access.json of the data directory, on the machine of the historian and without asking it; a running historian \
knows of a change within some seconds. The first grant closes the historian as the first token does: from then on nobody may do anything that is \
not granted. So make a token with the role admin, or grant somebody admin, first.")]
pub enum GrantCommand {
    /// Grants something to a principal. What it has already stays.
    Add(GrantAddArgs),
    /// Lists principals and their grants. Those of tokens are in `historian token list`.
    List(GrantListArgs),
    /// Takes grants from a principal: those that are named, or all.
    Remove(GrantRemoveArgs),
}

#[derive(Debug, Args)]
pub struct GrantAddArgs {
    /// Who: certificate:IDENTITY (of a client certificate), oidc:SUBJECT or oidc-role:ROLE (of an identity provider's tokens). `historian whoami`
    /// shows a caller its own name.
    #[arg(value_name = "PRINCIPAL")]
    principal: String,
    #[command(flatten)]
    place: DataDirArgs,
    #[command(flatten)]
    grants: GrantArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

#[derive(Debug, Args)]
pub struct GrantListArgs {
    #[command(flatten)]
    place: DataDirArgs,
    /// Format of the list: table, csv or json [default: table on a terminal, csv elsewhere].
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
}

#[derive(Debug, Args)]
pub struct GrantRemoveArgs {
    /// Who, as `historian grant list` shows it.
    #[arg(value_name = "PRINCIPAL")]
    principal: String,
    #[command(flatten)]
    place: DataDirArgs,
    #[command(flatten)]
    grants: GrantArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(command: GrantCommand) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(move || match command {
        GrantCommand::Add(args) => add(args),
        GrantCommand::List(args) => list(&args),
        GrantCommand::Remove(args) => remove(args),
    })
    .await?
}

fn principal(text: &str) -> Result<NamedPrincipal, Misuse> {
    text.parse().map_err(|error: AccessError| Misuse(error.to_string()))
}

fn add(args: GrantAddArgs) -> anyhow::Result<ExitCode> {
    let (principal, grants) = (principal(&args.principal)?, args.grants.needed()?);
    let entry = AccessFile::add_grants(&args.place.file()?, principal, grants, SystemClock.now()).map_err(refused)?;
    let name = output::printable(entry.principal.as_str());
    let line = format!("{name}: {}; a running historian knows it within some seconds", told(&entry.grants));
    output::tell(args.format, &line, &as_json(&entry.principal, &entry.grants))?;
    let _ = write!(std::io::stderr(), "{}", note(&entry.grants));
    Ok(ExitCode::SUCCESS)
}

fn remove(args: GrantRemoveArgs) -> anyhow::Result<ExitCode> {
    let (principal, grants) = (principal(&args.principal)?, args.grants.grants()?);
    let left = AccessFile::remove_grants(&args.place.file()?, &principal, &grants).map_err(refused)?;
    let object = as_json(&principal, &left);
    let left = if left.is_empty() { "nothing is granted any more".to_owned() } else { format!("left: {}", told(&left)) };
    let line = format!("{}: {left}; a running historian knows it within some seconds", output::printable(principal.as_str()));
    output::tell(args.format, &line, &object)?;
    Ok(ExitCode::SUCCESS)
}

/// A principal and what it has.
fn as_json(principal: &NamedPrincipal, grants: &[Grant]) -> serde_json::Value {
    let grants: Vec<_> = grants.iter().map(|grant| json!({"role": grant.role.name(), "tags": grant.tags})).collect();
    json!({"principal": principal.as_str(), "grants": grants})
}

fn list(args: &GrantListArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.unwrap_or(if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Csv });
    let entries = AccessFile::list_grants(&args.place.file()?).map_err(refused)?;
    let mut output = OutputFile::stdout();
    match format {
        OutputFormat::Table => {
            let mut table = TextTable::new([
                TableColumn::text("PRINCIPAL"),
                TableColumn::whole("ROLE"),
                TableColumn::text("TAGS"),
                TableColumn::whole("CREATED").spare(1),
            ]);
            for GrantEntry { principal, grants, created } in &entries {
                for grant in grants {
                    let principal = TableCell::new(principal.as_str());
                    table.add_row(vec![
                        principal,
                        TableCell::new(grant.role),
                        TableCell::new(shown(&grant.tags)),
                        TableCell::time(*created),
                    ]);
                }
            }
            table.write(&mut output)?;
        }
        OutputFormat::Csv => {
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(["principal", "role", "tags", "created"])?;
            for GrantEntry { principal, grants, created } in &entries {
                for grant in grants {
                    csv.write_record([principal.as_str(), grant.role.name(), &grant.tags.join("|"), &created.to_string()])?;
                }
            }
            output.write_all(&csv.into_inner()?)?;
        }
        OutputFormat::Json => {
            for GrantEntry { principal, grants, created } in &entries {
                let mut object = as_json(principal, grants);
                object["created"] = created.to_string().into();
                writeln!(output, "{object}")?;
            }
        }
        OutputFormat::Arrow | OutputFormat::Parquet => {
            return Err(Misuse("--format: grants are listed as table, csv or json".to_owned()).into());
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
