//! `historian token`: API tokens, made, listed and revoked on the file in the data directory, whether or not a historian runs on it.

mod create;
pub(crate) mod grant;
pub(crate) mod list;
pub(crate) mod place;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{self, TextFormat};
use create::TokenCreateArgs;
use historian_access::AccessFile;
use historian_model::{Clock, SystemClock};
use list::TokenListArgs;
use place::{DataDirArgs, refused};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
These commands work on the file access.json of the data directory, on the machine of the historian and without asking it; a running historian \
knows of a change within some seconds. So whoever can write to the data directory makes tokens, and is an administrator; nobody else is, and \
no token is there by default.")]
pub enum TokenCommand {
    /// Makes a token and prints its secret, this once.
    Create(TokenCreateArgs),
    /// Lists tokens: what each may do, until when, and whether it is valid. Secrets are not kept.
    List(TokenListArgs),
    /// Makes a token invalid. It stays listed.
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Args)]
pub struct TokenRevokeArgs {
    /// Name of a valid token, or the number of any.
    #[arg(value_name = "NAME|ID")]
    token: String,
    #[command(flatten)]
    place: DataDirArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(command: TokenCommand) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(move || match command {
        TokenCommand::Create(args) => create::run(args),
        TokenCommand::List(args) => list::run(&args),
        TokenCommand::Revoke(args) => revoke(&args),
    })
    .await?
}

fn revoke(args: &TokenRevokeArgs) -> anyhow::Result<ExitCode> {
    let token = AccessFile::revoke(&args.place.file()?, &args.token, SystemClock.now()).map_err(refused)?;
    let name = output::printable(&token.name);
    let line = format!("token {} ({name}) is revoked; a running historian refuses it within some seconds", token.id);
    output::tell(args.format, &line, &json!({"id": token.id, "name": token.name, "state": "revoked"}))?;
    Ok(ExitCode::SUCCESS)
}
