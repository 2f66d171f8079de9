//! Starts a process for each target, as many at once as there are processors, and tells what came of each. Of a process that ended without a word
//! the last input is found by its number.

use std::{
    fs,
    process::{Command, Output},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use anyhow::Context;
use historian_fuzz::Target;

use crate::{Args, outcome::Outcome};

pub fn run(args: &Args, targets: &[&'static Target]) -> anyhow::Result<bool> {
    let (next, sound) = (AtomicUsize::new(0), AtomicBool::new(true));
    let work = || -> anyhow::Result<()> {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let output = child(args, target).with_context(|| target.name)?;
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if output.status.code() == Some(2) {
                anyhow::bail!("{}: it could not be run", target.name);
            }
            if told.is_empty() {
                println!("{}", ended(args, target, &output)?.line());
            } else {
                println!("{told}");
            }
            if !output.status.success() {
                sound.store(false, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(targets.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a thread of the program has panicked")))
    })?;
    Ok(sound.load(Ordering::Relaxed))
}

fn child(args: &Args, target: &Target) -> anyhow::Result<Output> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(target.name).arg("--worker").arg("--seed").arg(args.seed.to_string()).arg("--directory").arg(args.directory());
    match (args.inputs, args.seconds) {
        (Some(inputs), _) => command.arg("--inputs").arg(inputs.to_string()),
        (None, Some(seconds)) => command.arg("--seconds").arg(seconds.to_string()),
        _ => command.arg("--rounds").arg(args.rounds.to_string()),
    };
    if let Some(corpus) = &args.corpus {
        command.arg("--corpus").arg(corpus);
    }
    Ok(command.output()?)
}

/// The outcome of a process that could not tell it: its stack overflowed, or memory could not be had.
fn ended(args: &Args, target: &'static Target, output: &Output) -> anyhow::Result<Outcome> {
    let plan = args.plan(target)?;
    let number = fs::read(plan.progress_file())?;
    let number = number.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
    let mut outcome = Outcome { target: target.name, inputs: number + 1, ..Outcome::default() };
    outcome.fail(&format!("the process ended with {}", output.status), number, &plan.inputs.input(number), &plan.directory);
    Ok(outcome)
}
