//! S5: starts of the program by every way of giving an address, with TLS, tokens, both and neither, with keys and tokens that are not in order,
//! and without a word. What others would reach is refused with the remedy, and nothing was listened on; what serves listens where it was told to,
//! and nowhere else. Addresses that others reach are held by the test, so that nobody listens there even where a refusal fails.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures::{FutureExt, future::BoxFuture};
use historian_test_support::process::Signal;

use super::{Mutant, Test};
use crate::{
    context::Context,
    honest::ms,
    report::Report,
    start::{
        attempt::{Attempt, Ended, said_to_serve},
        case::{Case, Outcome, cases, with_file},
        file::{DEFAULTS, others, tls, tokens},
        site::{Held, Site, free},
    },
};

pub const TEST: Test = Test {
    id: "S5",
    about: "starts that others would reach without TLS and tokens, or with files that are not in order: refused, and nothing is listened on",
    unit: "rounds of all starts",
    cycles: [1, 4, 40],
    mutants: &[
        Mutant { kind: "listens", about: "listens on one more address of loopback than it was told to", cycles: 1 },
        Mutant { kind: "lenient", about: "serves on loopback where it is to refuse", cycles: 1 },
    ],
    run,
};

/// How long a reload may take.
const RELOADED_WITHIN: Duration = Duration::from_secs(20);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    async { starts(context) }.boxed()
}

fn starts(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut dice = context.dice(5);
    let mut slowest = Duration::ZERO;
    for round in 0..context.cycles {
        let site = Site::new(context)?;
        let mut all = cases(&site)?;
        all.extend(tls(&site)?);
        all.extend(tokens(&site)?);
        all.extend(others(&site)?);
        report.opt("cases", all.len() + 1);
        if round > 0 {
            for last in (1..all.len()).rev() {
                all.swap(last, dice.below(last as u64 + 1) as usize);
            }
        }
        for case in &all {
            let begun = Instant::now();
            let failure = match start(&site, case) {
                Ok(ended) => wrong(case, &ended),
                Err(error) => Some(format!("{error:#}")),
            };
            report.count(if matches!(case.wanted, Outcome::Refused { .. }) { "refused" } else { "others" }, 1);
            slowest = slowest.max(begun.elapsed());
            if let Some(failure) = failure {
                report.fail(format!("{}: {failure}", case.name));
                if context.mutant.is_some() {
                    break;
                }
            }
        }
        if context.mutant.is_none() {
            reloaded(&site, &mut report)?;
        }
        report.cycles = round + 1;
        context.progress("S5", round + 1, &report);
        if !report.pass() {
            break;
        }
        // Directories of a round are many.
        for entry in std::fs::read_dir(&context.work)?.flatten() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    report.figure("slowest_ms", ms(slowest));
    Ok(report)
}

fn start(site: &Site, case: &Case) -> anyhow::Result<Ended> {
    let log = site.fresh("log");
    let attempt = Attempt::start(&case.given, &log)?;
    match &case.wanted {
        Outcome::Refused { .. } | Outcome::Held => attempt.refused(),
        Outcome::Serves { .. } => attempt.served(|_| said_to_serve(&log)),
        Outcome::ServesHere { tcp } => attempt.served(|now| now.tcp.is_superset(tcp)),
    }
}

/// What of an end is not as it was to be.
fn wrong(case: &Case, ended: &Ended) -> Option<String> {
    let Ended { status, said, listened, serving, found, left } = ended;
    let reached = listened.reached();
    if !reached.is_empty() {
        return Some(format!("it listened on {reached:?}, which others reach"));
    }
    let code = status.and_then(|status| status.code());
    match &case.wanted {
        Outcome::Refused { says, not } => {
            if !listened.is_empty() {
                return Some(format!("it listened on {listened:?}"));
            }
            if !matches!(code, Some(1 | 2)) {
                return Some(format!("it was not refused but ended with {status:?}: {said}"));
            }
            if found != left {
                return Some(format!("it changed its data directory from {found:?} to {left:?}"));
            }
            let missing = says.iter().find(|text| !said.contains(**text)).map(|text| format!("it does not say {text:?}: {said}"));
            missing.or_else(|| not.iter().find(|text| said.contains(**text)).map(|text| format!("it says {text:?}: {said}")))
        }
        Outcome::Held => {
            let is_taken = matches!(code, Some(1 | 2)) && said.contains("cannot listen on");
            (!is_taken).then(|| format!("it did not ask for the address but ended with {status:?}: {said}"))
        }
        Outcome::Serves { tcp, local } => {
            // The default ports may be those of another historian. That they were asked for is told by the refusal.
            let asked = DEFAULTS.iter().any(|address| said.contains(&format!("cannot listen on {address};")));
            if asked && *tcp == BTreeSet::from(DEFAULTS) {
                return (!serving.is_empty()).then(|| format!("it serves on {serving:?} although it does not"));
            }
            if status.is_some() {
                return Some(format!("it does not serve but ended with {status:?}: {said}"));
            }
            let is_so = serving.tcp == *tcp && serving.udp.is_empty() && serving.local.iter().eq(local);
            (!is_so).then(|| format!("it was told to listen on {tcp:?} and {local:?}, and listens on {serving:?}"))
        }
        Outcome::ServesHere { tcp } => {
            let is_so = status.is_none() && serving.tcp.is_superset(tcp);
            (!is_so).then(|| format!("it was told to listen on {tcp:?}, and listens on {serving:?}; ended with {status:?}: {said}"))
        }
    }
}

/// A historian that serves is told to read a configuration that opens its ports: it stays where it is.
fn reloaded(site: &Site, report: &mut Report) -> anyhow::Result<()> {
    let [listen, http] = free();
    let text = |address: SocketAddr, zone: &str| format!("[server]\nlisten = \"{address}\"\nhttp = \"{http}\"\n{zone}");
    let given = with_file(site, site.data(false)?, &text(listen, ""))?;
    let Some(file) = given.words.iter().position(|word| word == "--config").and_then(|at| given.words.get(at + 1)).cloned() else {
        anyhow::bail!("the start has no configuration");
    };
    let held = Held::on(Ipv4Addr::UNSPECIFIED.into());
    let zone = format!("[[zone]]\nname = \"it\"\nlisten = \"{}\"\nrights = [\"read\"]\n", held.address);
    let log = site.fresh("log");
    let mut attempt = Attempt::start(&given, &log)?;
    if let Some(status) = attempt.until(|_| said_to_serve(&log))? {
        report.fail(format!("a reload: it does not serve but ended with {status}: {}", attempt.said()));
        return Ok(());
    }
    for (number, opened) in [text(held.address, ""), text(listen, &zone)].iter().enumerate() {
        std::fs::write(&file, opened)?;
        attempt.signal(Signal::HUP)?;
        let begun = Instant::now();
        while attempt.said().matches("can be reached from other machines").count() <= number {
            ensure!(begun.elapsed() < RELOADED_WITHIN, "a reload is not refused: {}", attempt.said());
            attempt.look();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let ended = attempt.served(|_| true)?;
    let reached = ended.listened.reached();
    if ended.serving.tcp != BTreeSet::from([listen, http]) || !reached.is_empty() {
        report.fail(format!("after a reload that opens its ports it listens on {:?}, and listened on {reached:?}", ended.serving));
    }
    Ok(())
}
