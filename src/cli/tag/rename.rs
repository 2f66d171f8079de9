//! `historian tag rename`: another name for a tag, with all that it holds.

use std::process::ExitCode;

use clap::Args;
use historian_proto::v1::{RenameTagRequest, tag_service_client::TagServiceClient};
use serde_json::json;

use super::object::as_json;
use crate::{
    client::{self, ServerArgs},
    output::{self, TextFormat},
};

#[derive(Debug, Args)]
pub struct TagRenameArgs {
    /// Exact name of the tag.
    #[arg(value_name = "OLD")]
    old: String,
    /// Its name from now on.
    #[arg(value_name = "NEW")]
    new: String,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: TagRenameArgs) -> anyhow::Result<ExitCode> {
    let mut client = TagServiceClient::new(args.server.connect().await?);
    let request = RenameTagRequest { name: args.old.clone(), new_name: args.new, reason: args.reason };
    let answer = client.rename_tag(request).await.map_err(|status| client::refusal(&status))?.into_inner();
    let tag = answer.tag.unwrap_or_default();
    let name = output::printable(&tag.name);
    let mut lines = format!("{} is {name} from now on, with its id {} and its samples", output::printable(&args.old), tag.id);
    if answer.collected {
        lines += &format!("\nthe device that is configured for {name} writes to it from now on");
    }
    if !answer.still_named_by.is_empty() {
        let (old, users) = (output::printable(&args.old), output::printable(&answer.still_named_by.join(", ")));
        lines += &format!("\n{old} is still named by {users}, which do not follow: change them where {name} is meant");
    }
    let object = json!({
        "tag": as_json(&tag), "renamed_from": args.old, "collected": answer.collected, "still_named_by": answer.still_named_by,
    });
    output::tell(args.format, &lines, &object)?;
    Ok(ExitCode::SUCCESS)
}
