//! `historian restore`: makes a data directory from a backup, every byte compared.

use std::{io::Write, ops::ControlFlow, path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::{
    output::{OutputFile, TextFormat},
    progress::{Bar, bytes},
};
use historian_model::{Clock, SystemClock};
use historian_store::backup::{self, PhaseProgress, Repository};

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Directory of backups.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Which backup [default: the newest].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// Data directory to create; must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let format = args.format;
    let restored = tokio::task::spawn_blocking(move || {
        let mut bar = Bar::new();
        let repository = Repository::open_to_read(&args.from)?;
        let mut watch = |PhaseProgress { phase, bytes_done, bytes_total }| {
            bar.show(phase.as_str(), bytes_done, bytes_total);
            ControlFlow::Continue(())
        };
        backup::restore(&repository, args.number.unwrap_or(0), &args.data_dir, SystemClock.now(), &mut watch)
    })
    .await??;
    let (manifest, data_dir) = (&restored.manifest, restored.data_dir.display().to_string());
    let mut output = OutputFile::stdout();
    match format {
        TextFormat::Json => {
            let row = json!({
                "number": manifest.number,
                "sequence": manifest.sequence,
                "time": manifest.time.to_string(),
                "tags": manifest.tags,
                "bytes": manifest.bytes,
                "data_dir": data_dir,
            });
            writeln!(output, "{row}")?;
        }
        TextFormat::Table => {
            writeln!(
                output,
                "backup {} of {} is restored and opens: everything up to write {}, {} tags, {}",
                manifest.number,
                manifest.time,
                manifest.sequence,
                manifest.tags,
                bytes(manifest.bytes)
            )?;
            writeln!(output, "start it with: historian serve --data-dir {data_dir}")?;
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
