//! `historian compact`: seals the heads of a running historian and lets its store compact.

use std::process::ExitCode;

use clap::Args;
use historian_proto::v1::{CompactRequest, admin_service_client::AdminServiceClient};
use serde_json::json;

use super::{
    client,
    output::{self, TextFormat},
};

#[derive(Debug, Args)]
pub struct CompactArgs {
    #[command(flatten)]
    server: client::ServerArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: CompactArgs) -> anyhow::Result<ExitCode> {
    let mut admin = AdminServiceClient::new(args.server.connect().await?);
    let answer = admin.compact(CompactRequest {}).await.map_err(|status| client::refusal(&status))?.into_inner();
    let sealed = answer.chunks_sealed;
    output::tell(args.format, &format!("{sealed} chunks sealed, store compacted"), &json!({"chunks_sealed": sealed}))?;
    Ok(ExitCode::SUCCESS)
}
