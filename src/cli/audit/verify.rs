//! `historian audit verify`: of an export, or of the log that a historian has now.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;

use super::{
    super::{
        client::{self, ServerArgs},
        output::{self, OutputFile, TextFormat},
    },
    export,
};
use historian_audit::{AuditReport, AuditVerifier, ExportLine, SignedHead};

#[derive(Debug, Args)]
#[command(after_help = "\
A chain of hashes shows what was changed inside of it. That its end was cut off, or that all of it was written anew, shows only in comparison \
with a head that was kept elsewhere: give heads with --head, and with --public-key the key that they must be signed with. The command ends \
with code 1 when something is wrong.")]
pub struct AuditVerifyArgs {
    /// An exported log. Without it, the log of the historian is read.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// File with heads that were kept: lines of `historian audit head`, an export, or the file `audit.heads_file` of the configuration.
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// The public key of the historian, 64 hexadecimal digits: heads that are signed by another one are wrong.
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub async fn run(args: AuditVerifyArgs) -> anyhow::Result<ExitCode> {
    let mut heads = Vec::new();
    for path in &args.head {
        heads.extend(read_heads(path)?);
    }
    let mut verifier = AuditVerifier::new(heads, args.public_key);
    if let Some(path) = &args.file {
        lines(path, |line| verifier.line(line))?;
    } else {
        let mut parts = export::parts(&args.server, 1).await?;
        let mut text = Vec::new();
        while let Some(part) = parts.message().await.map_err(|status| client::refusal(&status))? {
            text.extend_from_slice(part.text.as_bytes());
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                verifier.line(&String::from_utf8_lossy(&line));
            }
        }
        anyhow::ensure!(text.is_empty(), "the export ends in the middle of a line");
    }
    let report = verifier.report();
    show(&report, args.format)?;
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_heads(path: &Path) -> anyhow::Result<Vec<SignedHead>> {
    let mut heads = Vec::new();
    lines(path, |line| {
        if let Ok(ExportLine::Head(head)) = ExportLine::parse(line) {
            heads.push(head);
        }
    })?;
    anyhow::ensure!(!heads.is_empty(), "{} has no heads; lines of `historian audit head` are what is meant", path.display());
    Ok(heads)
}

/// Each line of a file that is not empty.
fn lines(path: &Path, mut each: impl FnMut(&str)) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).with_context(|| path.display().to_string())? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            each(&text);
        }
    }
}

fn show(report: &AuditReport, format: TextFormat) -> anyhow::Result<()> {
    let mut output = OutputFile::stdout();
    match format {
        TextFormat::Json => writeln!(output, "{}", serde_json::to_string(report)?)?,
        TextFormat::Table => {
            let AuditReport { entries, first, last, heads, public_keys, faults, faults_count, .. } = report;
            writeln!(output, "{entries} entries, {first} to {last}; compared with {heads} heads")?;
            for key in public_keys {
                writeln!(output, "heads are signed by {}", output::printable(key))?;
            }
            for fault in faults {
                writeln!(output, "{}: {}", fault.kind.name(), output::printable(&fault.message))?;
            }
            match faults_count {
                0 => writeln!(output, "the log is as it was written")?,
                _ => writeln!(output, "the log is NOT as it was written: {faults_count} faults")?,
            }
        }
    }
    Ok(output.finish()?)
}
