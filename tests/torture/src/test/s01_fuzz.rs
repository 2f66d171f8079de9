//! S1: any bytes into every decoder, by the program `fuzz` beside this one: no panic, no second of work, no more than 64 MiB for one input.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, bail};
use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use tokio::process::Command;

use super::{Mutant, Test};
use crate::{context::Context, report::Report};

pub const TEST: Test = Test {
    id: "S1",
    about: "any bytes into every decoder: no panic, no hang, no more than 64 MiB of memory for one input",
    unit: "rounds",
    cycles: [3, 60, 500],
    mutants: &[
        Mutant { kind: "panics", about: "a decoder that panics", cycles: 1 },
        Mutant { kind: "hangs", about: "a decoder that does not end", cycles: 1 },
        Mutant { kind: "allocates", about: "a decoder that takes 100 MiB by a length that it is told", cycles: 1 },
        Mutant { kind: "overflows", about: "a decoder that calls itself for ever, which ends its process", cycles: 1 },
    ],
    run,
};

/// What `fuzz` tells of a target.
#[derive(Deserialize)]
struct Line {
    target: String,
    inputs: u64,
    taken: u64,
    peak_kb: u64,
    slowest_ms: f64,
    failure: Option<String>,
}

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    fuzz(context).boxed()
}

async fn fuzz(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut command = Command::new(program()?);
    // Mutants are targets of that name.
    command.arg(context.mutant.unwrap_or("all")).arg("--directory").arg(&context.work);
    command.args(["--rounds", &context.cycles.to_string(), "--seed", &context.seed.to_string()]);
    let output = command.kill_on_drop(true).output().await?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    let (mut inputs, mut taken) = (BTreeMap::new(), BTreeMap::new());
    let (mut peak_kb, mut slowest_ms) = (0, 0.0_f64);
    for line in told.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if let Some(failure) = line.failure {
            report.fail(format!("{}: {failure}", line.target));
        }
        (peak_kb, slowest_ms) = (line.peak_kb.max(peak_kb), line.slowest_ms.max(slowest_ms));
        inputs.insert(line.target.clone(), line.inputs);
        taken.insert(line.target, line.taken);
    }
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!("fuzz ended with {}", output.status);
    }
    report.cycles = context.cycles;
    report.opt("targets", inputs.len());
    report.figure("inputs", inputs.values().sum::<u64>());
    report.figure("taken", taken.values().sum::<u64>());
    report.figure("peak_mb", peak_kb >> 10);
    report.figure("slowest_ms", slowest_ms);
    report.figure("inputs_by_target", serde_json::to_value(&inputs)?);
    Ok(report)
}

/// The program beside this one.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("fuzz");
    if !path.is_file() {
        bail!("there is no fuzz at {}: build it (cargo build --release --workspace --bins)", path.display());
    }
    Ok(path)
}
