//! `historian whoami`: who a caller is to a running historian, how that is known, and what it may do.

use std::{io::Write, process::ExitCode};

use clap::Args;
use historian_proto::v1::{GrantedRight, WhoAmIRequest, WhoAmIResponse, access_service_client::AccessServiceClient};
use serde_json::json;

use super::{
    client::{self, ServerArgs},
    output::{self, OutputFile, TableCell, TableColumn, TextFormat, TextTable},
};
use historian_model::Timestamp;

/// Names and globs of a right that a table shows.
const TAGS_SHOWN: usize = 5;

#[derive(Debug, Args)]
pub struct WhoAmIArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: WhoAmIArgs) -> anyhow::Result<ExitCode> {
    let mut access = AccessServiceClient::new(args.server.connect().await?);
    let told = access.who_am_i(WhoAmIRequest {}).await.map_err(|status| client::refusal(&status))?.into_inner();
    let mut output = OutputFile::stdout();
    match args.format {
        TextFormat::Json => writeln!(output, "{}", as_json(&told))?,
        TextFormat::Table => {
            let expires = expires(&told).map_or_else(String::new, |at| format!("; until {at}"));
            writeln!(output, "{} (known by: {}){expires}", output::printable(&told.name), told.known_by.replace('_', " "))?;
            if told.rights.is_empty() {
                let name = output::printable(&told.name);
                writeln!(output, "nothing is granted; `historian grant add {name} --role ROLE` on the machine of the historian does it")?;
            } else {
                let mut table = TextTable::new([TableColumn::whole("RIGHT"), TableColumn::text("TAGS")]);
                for right in &told.rights {
                    table.add_row(vec![TableCell::new(&right.right), TableCell::new(shown(right))]);
                }
                table.write(&mut output)?;
            }
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn expires(told: &WhoAmIResponse) -> Option<Timestamp> {
    (told.expires != 0).then_some(Timestamp(told.expires))
}

fn shown(right: &GrantedRight) -> String {
    if right.everywhere {
        return if matches!(right.right.as_str(), "audit" | "administer") { "-".to_owned() } else { "(all)".to_owned() };
    }
    let shown: Vec<String> = right.tags.iter().take(TAGS_SHOWN).map(|tag| output::printable(tag)).collect();
    let more = right.tags.len().saturating_sub(TAGS_SHOWN) as u64 + right.tags_left_out;
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

fn as_json(told: &WhoAmIResponse) -> serde_json::Value {
    let right = |right: &GrantedRight| json!({"right": right.right, "everywhere": right.everywhere, "tags": right.tags, "tags_left_out": right.tags_left_out});
    json!({
        "name": told.name,
        "known_by": told.known_by,
        "expires": expires(told).map(|at| at.to_string()),
        "rights": told.rights.iter().map(right).collect::<Vec<_>>(),
    })
}
