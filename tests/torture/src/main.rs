//! `torture`: what must not happen to a historian is made to happen to it, again and again, and what it then answers is held against what
//! it acknowledged. `docs/torture.md` describes the tests; each ends in one JSON line, and each has mutants that must fail.

mod alarm;
mod attack;
mod certificate;
mod checker;
mod context;
mod crowd;
mod dashboard;
mod doors;
mod driver;
mod fault;
mod field;
mod follow;
mod honest;
mod lane;
mod load;
mod mutant;
mod oracle;
mod report;
mod secret;
mod start;
mod stock;
mod test;
mod watch;
mod wire;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use historian_test_support::skip;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::{
    context::{Context, Form},
    report::Report,
    test::{TESTS, Test},
};

/// Reliability tests of the historian. Each ends in one JSON line on standard output; exit code 0 when it passed.
#[derive(Parser)]
#[command(name = "torture", arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    server: Option<Server>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct RunArgs {
    /// The test, `all`, or `list`.
    id: Option<String>,
    /// As many cycles as fit into `make test`; the default of `all`.
    #[arg(long, conflicts_with_all = ["short", "long"])]
    brief: bool,
    /// At most two minutes; the default of a single test.
    #[arg(long, conflicts_with = "long")]
    short: bool,
    /// At most some ten minutes.
    #[arg(long)]
    long: bool,
    /// Replays a run.
    #[arg(long)]
    seed: Option<u64>,
    /// So many cycles instead of those of the form.
    #[arg(long)]
    cycles: Option<u64>,
    /// Run a mutant in place of the real thing: the test must fail. Without a name the test's first.
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "")]
    mutant: Option<String>,
    /// The server to test [default: `historian` beside this program].
    #[arg(long, value_name = "FILE")]
    historian: Option<PathBuf>,
    /// Keep the working directory also when the test passed.
    #[arg(long)]
    keep: bool,
    /// Leave these keys out of the configuration of servers, for a program that does not know them.
    #[arg(long, hide = true, value_name = "KEY", value_delimiter = ',')]
    without: Vec<String>,
}

#[derive(Subcommand)]
enum Server {
    /// A server with a fault built in. The tests start it.
    #[command(hide = true)]
    ServeMutant {
        kind: String,
        #[command(flatten)]
        serve: ::historian::cli::serve::ServeArgs,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("torture: no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let ended = runtime.block_on(async {
        match cli.server {
            Some(Server::ServeMutant { kind, serve }) => Box::pin(mutant::serve(&kind, serve)).await.map(|()| true),
            None => run(&cli.run).await,
        }
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: &RunArgs) -> anyhow::Result<bool> {
    let ended = async {
        match args.id.as_deref() {
            None | Some("list") => {
                list();
                Ok(true)
            }
            Some("all") => all(args).await,
            Some(id) => {
                let test = TESTS
                    .iter()
                    .find(|test| test.id.eq_ignore_ascii_case(id))
                    .with_context(|| format!("there is no test {id}; see torture list"))?;
                let mutant = match args.mutant.as_deref() {
                    None => None,
                    Some("") => Some(test.mutants.first().context("the test has no mutant")?),
                    Some(kind) => Some(
                        test.mutants
                            .iter()
                            .find(|mutant| mutant.kind == kind)
                            .with_context(|| format!("{} has no mutant {kind}; see torture list", test.id))?,
                    ),
                };
                Ok(outcome(test, form(args, Form::Short), args, mutant.map(|mutant| (mutant.kind, mutant.cycles))).await.pass())
            }
        }
    };
    // Dropping the test ends its servers and takes its mounts down.
    tokio::select! {
        ended = ended => ended,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

fn form(args: &RunArgs, default: Form) -> Form {
    match (args.brief, args.short, args.long) {
        (true, ..) => Form::Brief,
        (_, true, _) => Form::Short,
        (.., true) => Form::Long,
        _ => default,
    }
}

fn list() {
    for test in TESTS {
        let [brief, short, long] = test.cycles;
        println!("{:<4} {} ({}: brief {brief}, short {short}, long {long})", test.id, test.about, test.unit);
        for mutant in test.mutants {
            println!("       mutant {}: {}", mutant.kind, mutant.about);
        }
    }
}

/// All tests and then all mutants, one after another; ends with a line as cargo's, which `.ci/run` adds up.
async fn all(args: &RunArgs) -> anyhow::Result<bool> {
    let form = form(args, Form::Brief);
    let (mut passed, mut failed) = (0, Vec::new());
    let begun = Instant::now();
    for test in TESTS {
        let report = outcome(test, form, args, None).await;
        if report.pass() {
            passed += 1;
        } else {
            failed.push(format!("{}: {}", test.id, report.why()));
        }
        for mutant in test.mutants {
            // A mutant that passes is a test that cannot fail.
            let report = outcome(test, form, args, Some((mutant.kind, mutant.cycles))).await;
            if report.skipped.is_some() || !report.pass() {
                passed += 1;
            } else {
                failed.push(format!("{} with mutant {}", test.id, mutant.kind));
            }
        }
    }
    for what in &failed {
        eprintln!("torture: FAILED: {what}");
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("test result: {result}. {passed} passed; {} failed; torture finished in {:.1}s", failed.len(), begun.elapsed().as_secs_f64());
    Ok(failed.is_empty())
}

/// Runs one test and prints its line.
async fn outcome(test: &Test, form: Form, args: &RunArgs, mutant: Option<(&'static str, u64)>) -> Report {
    let seed = args.seed.unwrap_or(20_261_122);
    let [brief, short, long] = test.cycles;
    let of_form = match form {
        Form::Brief => brief,
        Form::Short => short,
        Form::Long => long,
    };
    let cycles = args.cycles.unwrap_or(mutant.map_or(of_form, |(_, cycles)| cycles));
    let kind = mutant.map(|(kind, _)| kind);
    let begun = Instant::now();
    let (report, kept) = match in_directory(test, form, args, seed, cycles, kind).await {
        Ok((report, kept)) => (Ok(report), kept),
        Err((error, kept)) => (Err(error), kept),
    };
    let failed = report.is_err();
    let report = report.unwrap_or_else(|error| {
        let mut report = Report::default();
        report.fail(format!("{error:#}"));
        report
    });
    for example in &report.tally.examples {
        eprintln!("torture: {}: {example}", test.id);
    }
    if let Some((need, reason)) = &report.skipped {
        skip::tell(&kind.map_or_else(|| test.id.to_owned(), |kind| format!("{} with mutant {kind}", test.id)), need, reason);
    }
    if let Some(kept) = kept {
        eprintln!("torture: {}: data, log and acknowledgements are in {}", test.id, kept.display());
    }
    println!("{}", report.line(test.id, seed, form.name(), kind, begun.elapsed().as_secs_f64()));
    // A run that broke off is no catch of a mutant: it says nothing about the checker.
    if failed && kind.is_some() { Report::default() } else { report }
}

type Kept = Option<PathBuf>;

async fn in_directory(
    test: &Test,
    form: Form,
    args: &RunArgs,
    seed: u64,
    cycles: u64,
    mutant: Option<&'static str>,
) -> Result<(Report, Kept), (anyhow::Error, Kept)> {
    let prefix = format!("torture-{}-", test.id.to_lowercase());
    let directory = tempfile::Builder::new().prefix(&prefix).tempdir().map_err(|error| (error.into(), None))?;
    let program = context::real_program(args.historian.as_deref()).map_err(|error| (error, None))?;
    let context = Context { seed, cycles, form, mutant, work: directory.path().to_owned(), program, without: args.without.clone() };
    let ended = (test.run)(&context).await;
    let keep = args.keep || (mutant.is_none() && ended.as_ref().map_or(true, |report| !report.pass()));
    let kept = keep.then(|| directory.keep());
    match ended {
        Ok(report) => Ok((report, kept)),
        Err(error) => Err((error, kept)),
    }
}
