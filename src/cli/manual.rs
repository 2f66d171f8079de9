//! `historian man`: a manual page for each command, made from the commands themselves.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Command};

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory for the pages (`historian.1`, `historian-serve.1`, …); created if it does not exist.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub fn run(args: &ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let directory = &args.directory;
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be created", directory.display()))?;
    clap_mangen::generate_to(command, directory).with_context(|| format!("the pages cannot be written into {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
