//! `fuzz`: inputs by the thousand into every decoder, each within bounds of time and memory. Each target runs in a process of its own, so that one
//! that ends with its process is a finding like any other.

mod outcome;
mod supervise;
mod worker;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Parser;
use historian_fuzz::{MUTANTS, TARGETS, Target, find, input::Inputs};
use peak_alloc::PeakAlloc;

/// Counts what an input takes.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Any bytes into every decoder: no panic, no second of work, no more than 64 MiB for one input. One JSON line for each target on standard output;
/// exit code 0 when nothing was found.
#[derive(Clone, Debug, Parser)]
#[command(name = "fuzz", arg_required_else_help = true)]
struct Args {
    /// A target, `all`, or `list`.
    target: String,
    /// Rounds of inputs; a round takes about a tenth of a second for each target.
    #[arg(long, default_value_t = 10, conflicts_with_all = ["inputs", "seconds"])]
    rounds: u64,
    /// So many inputs instead.
    #[arg(long, conflicts_with = "seconds")]
    inputs: Option<u64>,
    /// So long instead, for each target.
    #[arg(long)]
    seconds: Option<u64>,
    /// Other inputs.
    #[arg(long, default_value_t = 20_261_122)]
    seed: u64,
    /// Seeds beside our own: the files in its folder of the target's name, or in itself.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Where inputs go that were found [default: `historian-fuzz` among the temporary files].
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Runs one input.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Writes the seeds of each target into a folder of its name, for another fuzzer.
    #[arg(long, value_name = "DIR")]
    write_seeds: Option<PathBuf>,
    /// Runs the target in this process, as the program itself asks of its children.
    #[arg(long, hide = true)]
    worker: bool,
}

impl Args {
    fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| std::env::temp_dir().join("historian-fuzz"))
    }

    fn plan(&self, target: &'static Target) -> anyhow::Result<worker::Plan> {
        let seeds = (target.seeds)().into_iter().chain(self.corpus(target)?).collect();
        let inputs = match (self.inputs, self.seconds) {
            (Some(inputs), _) => inputs,
            (None, Some(_)) => u64::MAX,
            _ => target.inputs.saturating_mul(self.rounds),
        };
        Ok(worker::Plan {
            target,
            inputs: Inputs::new(seeds, self.seed),
            count: inputs,
            duration: self.seconds.map(Duration::from_secs),
            directory: self.directory(),
        })
    }

    fn corpus(&self, target: &Target) -> anyhow::Result<Vec<Vec<u8>>> {
        let Some(corpus) = &self.corpus else { return Ok(Vec::new()) };
        let own = corpus.join(target.name);
        let folder = if own.is_dir() { own } else { corpus.clone() };
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .with_context(|| folder.display().to_string())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        files.iter().map(|path| fs::read(path).with_context(|| path.display().to_string())).collect()
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    if args.target == "list" {
        for target in TARGETS.iter().chain(MUTANTS) {
            println!("{:<18} {}", target.name, target.about);
        }
        return Ok(true);
    }
    let targets: Vec<&'static Target> = match args.target.as_str() {
        "all" => TARGETS.to_vec(),
        name => vec![find(name).with_context(|| format!("there is no target {name}; see fuzz list"))?],
    };
    if let Some(directory) = &args.write_seeds {
        write_seeds(directory, &targets)?;
        return Ok(true);
    }
    match (&args.input, targets.as_slice()) {
        (Some(file), [target]) => {
            let input = fs::read(file).with_context(|| file.display().to_string())?;
            return Ok(worker::once(target, input));
        }
        (Some(_), _) => bail!("an input is one of one target"),
        (None, [target]) if args.worker => {
            let outcome = worker::run(args.plan(target)?)?;
            println!("{}", outcome.line());
            return Ok(outcome.failure.is_none());
        }
        _ => {}
    }
    supervise::run(args, &targets)
}

fn write_seeds(directory: &Path, targets: &[&Target]) -> anyhow::Result<()> {
    for target in targets {
        let folder = directory.join(target.name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
