//! `historian init --from`: what another program is configured to collect, as a configuration of ours. What cannot be carried over is told, in the
//! text itself beside where it would stand, and on standard error.

mod draft;
mod evcc;
mod homeassistant;
mod place;
mod pointer;
mod source;
mod telegraf;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::{
    Misuse, RefusedConfiguration,
    output::{self, OutputFile},
};
use draft::ConfigDraft;

/// Largest file read.
const BYTES_MAX: u64 = 16 << 20;
/// Remarks of a kind that are told on standard error; the text has all of them.
const TOLD_MAX: usize = 200;

/// A program whose configuration is read.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ForeignProgram {
    /// Telegraf: `inputs.modbus`, `inputs.opcua`, `inputs.opcua_listener`, `inputs.mqtt_consumer`.
    Telegraf,
    /// Evcc: meters and chargers of type custom, or a template of a device.
    Evcc,
    /// Home Assistant: modbus and mqtt.
    #[value(name = "homeassistant", alias = "home-assistant")]
    HomeAssistant,
}

impl ForeignProgram {
    /// Its name, and the word that selects it.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            ForeignProgram::Telegraf => ("Telegraf", "telegraf"),
            ForeignProgram::Evcc => ("evcc", "evcc"),
            ForeignProgram::HomeAssistant => ("Home Assistant", "homeassistant"),
        }
    }
}

#[derive(Debug, Args)]
pub struct InitFromArgs {
    /// Makes a configuration of that of another program.
    #[arg(long, value_enum, value_name = "PROGRAM", requires = "file")]
    from: Option<ForeignProgram>,
    /// The configuration of the other program.
    #[arg(value_name = "FILE", requires = "from")]
    file: Option<PathBuf>,
    /// File for the configuration; one that is there is left alone [default: standard output].
    #[arg(long, short, value_name = "FILE", requires = "from")]
    output: Option<PathBuf>,
}

pub fn run(args: &InitFromArgs) -> anyhow::Result<ExitCode> {
    let (Some(program), Some(file)) = (args.from, &args.file) else {
        return Err(Misuse(
            "say what to make a configuration of: `init modbus FILE`, or `init --from telegraf|evcc|homeassistant FILE`".to_owned(),
        )
        .into());
    };
    if let Some(output) = args.output.as_ref().filter(|output| output.exists()) {
        return Err(Misuse(format!("{} is there already; name another file with --output", output.display())).into());
    }
    let text = read(file)?;
    let mut draft = ConfigDraft::default();
    let outcome = match program {
        ForeignProgram::Telegraf => telegraf::read(&text, &mut draft),
        ForeignProgram::Evcc => evcc::read(&text, &mut draft),
        ForeignProgram::HomeAssistant => homeassistant::read(&text, &mut draft),
    };
    outcome.with_context(|| file.display().to_string())?;
    let (name, word) = program.names();
    let source = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let head = format!("Made of {source} ({name}) by `historian init --from {word}`. All keys: docs/configuration.md.");
    let directory = args.output.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let settled = draft.settle(&head, directory);
    let is_empty = draft.tags() == 0;
    let text = settled.map_err(RefusedConfiguration);
    tell(&draft, &source, args.output.as_deref());
    if is_empty {
        bail!("{}: nothing of it became a tag", file.display());
    }
    let text = text?;
    let mut written = match &args.output {
        Some(path) => OutputFile::file(path).with_context(|| format!("{} cannot be written", path.display()))?,
        None => OutputFile::stdout(),
    };
    written.write_all(text.as_bytes())?;
    written.finish()?;
    Ok(if draft.missing().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let about = fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?;
    if about.len() > BYTES_MAX {
        bail!("{} is larger than {} MiB", file.display(), BYTES_MAX >> 20);
    }
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{} is no UTF-8 text", file.display()))?;
    Ok(text.trim_start_matches('\u{FEFF}').to_owned())
}

/// What is not carried over and why, on standard error: standard output may be the configuration.
fn tell(draft: &ConfigDraft, source: &str, output: Option<&Path>) {
    let (missing, remarks) = (draft.missing(), draft.remarks());
    for (kind, told) in [("not carried over", &missing), ("note", &remarks)] {
        for remark in told.iter().take(TOLD_MAX) {
            output::note(&format!("{kind}: {}: {}", remark.subject, remark.text));
        }
        if told.len() > TOLD_MAX {
            output::note(&format!("{kind}: and {} more, which the text has", told.len() - TOLD_MAX));
        }
    }
    output::note(&format!(
        "{source}: {} tags of {} devices, {} values not carried over, {} notes",
        draft.tags(),
        draft.devices(),
        missing.len(),
        remarks.len()
    ));
    let path = output.map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
    output::note(&format!("then: historian check --config {path}"));
}
