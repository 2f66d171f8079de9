//! `historian reload`: has a running historian read its configuration again, and shows what that changed.

use std::process::ExitCode;

use clap::Args;
use historian_proto::v1::{ReloadRequest, ReloadResponse, admin_service_client::AdminServiceClient};
use serde_json::json;
use tonic_types::StatusExt;

use super::{
    client,
    output::{self, TextFormat},
};

#[derive(Debug, Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    server: client::ServerArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: ReloadArgs) -> anyhow::Result<ExitCode> {
    let mut admin = AdminServiceClient::new(args.server.connect().await?);
    let answer = match admin.reload(ReloadRequest {}).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            // A line each; the message has them in one.
            let details = status.get_error_details();
            let problems = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
            for problem in problems {
                eprintln!("{}", output::printable(&problem.description));
            }
            if problems.is_empty() {
                return Err(client::refusal(&status));
            }
            anyhow::bail!("the configuration has mistakes and was not applied; nothing was changed");
        }
    };
    let lines: Vec<String> = lines(&answer).iter().map(|line| output::printable(line)).collect();
    let object = json!({
        "devices_added": answer.devices_added, "devices_removed": answer.devices_removed, "devices_changed": answer.devices_changed,
        "devices_unchanged": answer.devices_unchanged, "tags_added": answer.tags_added, "tags_changed": answer.tags_changed,
        "tags_removed": answer.tags_removed, "applied": answer.applied, "not_applied": answer.not_applied,
        "left_behind": answer.left_behind,
    });
    output::tell(args.format, &lines.join("\n"), &object)?;
    Ok(ExitCode::SUCCESS)
}

/// What was changed, in words.
fn lines(answer: &ReloadResponse) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, devices) in [("added", &answer.devices_added), ("removed", &answer.devices_removed), ("changed", &answer.devices_changed)] {
        lines.extend(devices.iter().map(|device| format!("device {device}: {what}")));
    }
    lines.push(format!("{} devices unchanged", answer.devices_unchanged));
    lines.push(format!("tags: {} added, {} changed, {} removed", answer.tags_added, answer.tags_changed, answer.tags_removed));
    lines.extend(answer.applied.iter().map(|key| format!("{key}: the new value holds")));
    lines.extend(answer.not_applied.iter().map(|key| format!("{key}: differs from what runs; the new value holds after the next start")));
    lines.extend(answer.left_behind.iter().cloned());
    lines
}
