//! `historian sql`: statements of SQL through Flight SQL, from the command line, a file or standard input; and on a terminal as a small shell.

mod ask;
mod line;
mod shell;
mod statement;

use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;

use super::{
    Misuse,
    client::ServerArgs,
    output::{self, OutputArgs},
};
use ask::SqlClient;
use statement::{Parameter, split};

#[derive(Debug, Args)]
#[command(after_help = "\
Without a statement and without a file, on a terminal, it is a shell: a statement ends with `;` and may have several lines; `\\d` lists the tables, \
`\\d TABLE` its columns, `\\timing` shows how long answers take, `\\q` ends it. Tables and functions: docs/api.md, SQL.")]
pub struct SqlArgs {
    /// Statement, or several with `;` between them.
    #[arg(value_name = "STATEMENT", conflicts_with = "file")]
    statement: Option<String>,
    /// File with statements; `-` is standard input.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Value of a parameter, which the statement names as `$NAME`; may be given several times.
    #[arg(long = "parameter", short, value_name = "NAME=VALUE", value_parser = statement::parameter)]
    parameters: Vec<Parameter>,
    /// Time zone of times without an offset and of days, for example Europe/Berlin [default: that of the historian].
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: SqlArgs) -> anyhow::Result<ExitCode> {
    let from_stdin = args.file.as_deref() == Some(Path::new("-"));
    let text = match (args.statement, &args.file) {
        (Some(statement), _) => statement,
        (None, Some(file)) if !from_stdin => fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?,
        (None, None) if io::stdin().is_terminal() => {
            if args.output.is_file() {
                return Err(Misuse("--output: a shell shows its answers; give the statement with it".to_owned()).into());
            }
            let asker = SqlClient::connect(&args.server, args.zone.as_deref()).await?;
            return shell::run(asker, args.parameters, &args.output).await;
        }
        (None, _) => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
            text
        }
    };
    let statements = split(&text);
    if statements.is_empty() {
        return Err(Misuse("there is no statement".to_owned()).into());
    }
    if statements.len() > 1 && args.output.is_file() {
        return Err(Misuse("--output: one file holds the answer of one statement".to_owned()).into());
    }
    args.output.format()?;
    let mut asker = SqlClient::connect(&args.server, args.zone.as_deref()).await?;
    for statement in statements {
        let rows = asker.answer(&statement, &args.parameters, &args.output).await?;
        if rows == 0 {
            output::note("no rows");
        }
    }
    Ok(ExitCode::SUCCESS)
}
