//! `historian compact`: seals the heads of a running historian and lets its store compact.

use std::{io::Write, process::ExitCode};

use clap::Args;
use historian_proto::v1::{CompactRequest, admin_service_client::AdminServiceClient};

use super::{client, output::OutputFile};

#[derive(Debug, Args)]
pub struct CompactArgs {
    #[command(flatten)]
    server: client::ServerArgs,
}

pub async fn run(args: CompactArgs) -> anyhow::Result<ExitCode> {
    let mut admin = AdminServiceClient::new(args.server.connect().await?);
    let answer = admin.compact(CompactRequest {}).await.map_err(|status| client::refusal(&status))?.into_inner();
    writeln!(OutputFile::stdout(), "{} chunks sealed, store compacted", answer.chunks_sealed)?;
    Ok(ExitCode::SUCCESS)
}
