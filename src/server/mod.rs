//! Runs the historian: puts store, ingest, collectors and API together from a configuration, and takes them down in order.

pub mod config;

/// dev placeholder
pub async fn run(_configuration: config::Configuration, _shutdown: tokio_util::sync::CancellationToken) -> anyhow::Result<()> {
    anyhow::bail!("placeholder")
}
