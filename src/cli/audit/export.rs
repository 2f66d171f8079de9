//! `historian audit export`.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use historian_proto::v1::{ExportAuditLogRequest, admin_service_client::AdminServiceClient};
use tonic::Streaming;

use super::super::{
    client::{self, ServerArgs},
    output::OutputFile,
};
use historian_proto::v1::ExportAuditLogResponse;

#[derive(Debug, Args)]
pub struct AuditExportArgs {
    /// File to write; standard output without it. It is replaced when the export is complete.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Only entries with this number and greater ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
}

pub async fn run(args: AuditExportArgs) -> anyhow::Result<ExitCode> {
    let mut parts = parts(&args.server, args.from).await?;
    let mut output = match &args.file {
        Some(path) => OutputFile::file(path).with_context(|| path.display().to_string())?,
        None => OutputFile::stdout(),
    };
    while let Some(part) = parts.message().await.map_err(|status| client::refusal(&status))? {
        output.write_all(part.text.as_bytes())?;
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// The text of an export, in parts.
pub async fn parts(server: &ServerArgs, from: u64) -> anyhow::Result<Streaming<ExportAuditLogResponse>> {
    let mut admin = AdminServiceClient::new(server.connect().await?);
    let answer = admin.export_audit_log(ExportAuditLogRequest { from }).await.map_err(|status| client::refusal(&status))?;
    Ok(answer.into_inner())
}
