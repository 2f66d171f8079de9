//! `historian health`: whether a historian answers and takes writes, by its health service, which needs no token. For those who watch over a
//! process and have nothing else to ask with, such as a container without a shell.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    client::{self, ServerArgs},
    output::{self, TextFormat},
};

/// A process that does not answer within this hangs.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct HealthArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

/// Ends with 0 where the historian says `SERVING`.
pub async fn run(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let asked = async {
        let mut health = HealthClient::new(args.server.connect().await?);
        health.check(HealthCheckRequest::default()).await.map_err(|status| client::refusal(&status))
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await.context("the historian does not answer")??;
    let status = ServingStatus::try_from(answer.into_inner().status).unwrap_or(ServingStatus::Unknown);
    output::tell(args.format, status.as_str_name(), &json!({"status": status.as_str_name()}))?;
    Ok(if status == ServingStatus::Serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
