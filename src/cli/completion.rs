//! `historian completions`: what a shell completes, made from the commands themselves.

use std::{io::Write, process::ExitCode};

use clap::{Args, Command};
use clap_complete::Shell;

use super::output::OutputFile;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs, command: &mut Command) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator takes a writer that fails for a fault of its own, and a reader that has gone is none.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "historian", &mut text);
    let mut output = OutputFile::stdout();
    output.write_all(&text)?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}
