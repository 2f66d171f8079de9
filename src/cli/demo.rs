//! `historian demo`: the historian with a simulated plant.

use std::process::ExitCode;

use clap::Args;

use super::serve::ServeArgs;

#[derive(Debug, Args)]
pub struct DemoArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// # Errors
/// The plant or the server could not be started.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    super::serve::run(args.serve).await
}
