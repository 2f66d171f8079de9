//! S10: a historian with a secret in every place that takes one, which logs all that it can log, is asked everything by those who may and those
//! who may not, read broken configurations, and stopped. Then each secret is looked for, in every form in which a program may write it down: in
//! its log, in what commands print, in bug reports, metrics and the audit log, in errors, in its arguments, and in every file of its data
//! directory and of its backups.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures::{FutureExt, future::BoxFuture};
use historian_test_support::{
    process::Signal,
    program::{Historian, Launcher},
};

use super::{Mutant, Test};
use crate::{
    attack::call::Caller,
    context::Context,
    honest::ATTACKER,
    report::Report,
    secret::{
        canary::{Canary, Kind},
        command::Commands,
        device::Device,
        door, http,
        place::{Place, places},
        search::Needles,
        site::{DEVICE_SAMPLE, PASSWORD, SAMPLE, SERVER_TOKEN, Site, VARIABLE, Way, of_key},
    },
};

const WIRE_LOG: &str = "wire-log";

pub const TEST: Test = Test {
    id: "S10",
    about: "secrets in every place that takes one: in no log, output, report, metric, error or file, in no form",
    unit: "servers",
    cycles: [4, 6, 24],
    mutants: &[
        Mutant { kind: WIRE_LOG, about: "is told to log what the library of OPC UA tells of the wire", cycles: 1 },
        Mutant { kind: "keeps-secret", about: "keeps a token in its data directory, in base64", cycles: 1 },
    ],
    run,
};

/// How servers run, in turn.
const WAYS: [Way; 6] = [
    Way { level: "trace", format: "text", has_tls: false },
    Way { level: "trace", format: "json", has_tls: true },
    Way { level: "debug", format: "json", has_tls: false },
    Way { level: "trace", format: "json", has_tls: false },
    Way { level: "info", format: "text", has_tls: true },
    Way { level: "debug", format: "text", has_tls: false },
];
/// What may be in a log that tells everything.
const AT_TRACE: [Kind; 2] = [Kind::Statement, Kind::Sample];
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a reload takes at most; what it did is told in the log.
const RELOADED_WITHIN: Duration = Duration::from_secs(20);
/// Writes of a server that panics at the twentieth.
const WRITES: usize = 24;
const CANARY_BYTES_MIN: usize = 16;
const PANIC: &str = "a write that is one too many";

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    secrets(context).boxed()
}

async fn secrets(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut dice = context.dice(10);
    let device = [Canary::made(PASSWORD, Kind::Credential, &mut dice), Canary::made(DEVICE_SAMPLE, Kind::Sample, &mut dice)];
    let plant = Device::start(&context.work.join("plant"), &device[0].text(), &device[1].text()).await?;
    let endpoint = plant.address.to_string();
    let mut known = BTreeSet::new();
    for number in 0..context.cycles as usize {
        // One in four panics, and is called without TLS.
        let panics = number % 4 == 3;
        let way = WAYS[number % WAYS.len()];
        let way = Way { has_tls: way.has_tls && !panics, ..way };
        let mut site = Site::new(context, number, way, (&endpoint, &device), &mut dice)?;
        let found = if panics {
            panicked(context, &mut site, &mut report).await?
        } else {
            exercised(context, &mut site, number == 0, &mut report).await?
        };
        // What is short is found by chance.
        let short = site.canaries.iter().find(|canary| canary.bytes.len() < CANARY_BYTES_MIN);
        ensure!(short.is_none(), "a canary is too short: {short:?}");
        searched(&site, &found, &mut report);
        known.extend(found.iter().map(|place| place.name.clone()));
        report.figure("places", known.len());
        report.figure("canaries", site.canaries.len());
        report.count("servers", 1);
        eprintln!("torture: S10 {}/{}: {} looks, {} failures", number + 1, context.cycles, report.cycles, report.failures.len());
        if context.mutant.is_some() && !report.pass() {
            break;
        }
    }
    Ok(report)
}

/// Looks for every canary in every place.
fn searched(site: &Site, found: &[Place], report: &mut Report) {
    let needles = Needles::of(&site.canaries);
    let mut told = BTreeSet::new();
    for place in found {
        let is_free = |canary: usize| place.free.contains(&site.canaries[canary].kind);
        let looked = (0..site.canaries.len()).filter(|canary| !is_free(*canary));
        report.cycles += looked.map(|canary| needles.forms_of(canary) as u64).sum::<u64>();
        report.count("bytes", place.bytes.len() as u64);
        for one in needles.find(&place.bytes).into_iter().filter(|one| !is_free(one.canary)) {
            let canary = &site.canaries[one.canary].name;
            // One secret in one place is one failure, in however many forms.
            if told.insert((place.name.clone(), canary.clone())) {
                let Way { level, format, has_tls } = site.way;
                let tls = if has_tls { "with" } else { "without" };
                report.fail(format!(
                    "{} ({level}, {format}, {tls} TLS): {canary:?} is in it ({}): {}",
                    place.name, one.form.name, one.around
                ));
            }
        }
    }
}

/// How to start a server that has tokens in its variables.
fn launcher(context: &Context, site: &Site, program: Option<&str>) -> anyhow::Result<Launcher> {
    let mut launcher = match program {
        Some(kind) => {
            let words = vec![std::env::current_exe()?.into(), "serve-mutant".into(), kind.into()];
            context.launcher_of(words, &site.data, &site.sound)?
        }
        None => context.real_launcher(&site.data, &site.sound)?,
    };
    let variables = [("HISTORIAN_TOKEN", SERVER_TOKEN), ("PLANT_PASSWORD", VARIABLE)];
    launcher.prefix = vec!["env".into()];
    launcher.prefix.extend(variables.map(|(name, canary)| format!("{name}={}", site.text(canary)).into()));
    // Empty, so that the configuration has its way. The library of OPC UA has dumps of messages under this name.
    launcher.level = if context.mutant == Some(WIRE_LOG) { "trace,hex=trace" } else { "" };
    launcher.arguments = vec!["--config".into(), site.config.clone().into()];
    launcher.log = historian_test_support::program::Log::Append(site.directory.join("historian.log"));
    Ok(launcher)
}

/// A server that serves.
async fn started(launcher: &Launcher) -> anyhow::Result<Historian> {
    let server = launcher.spawn()?;
    let begun = Instant::now();
    while !server.log().contains("serving listen=") && !server.log().contains("\"message\":\"serving\"") {
        ensure!(begun.elapsed() < PATIENCE, "the historian does not serve: {}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(server)
}

/// Everything that is done with a historian; the places where its secrets may be now.
async fn exercised(context: &Context, site: &mut Site, is_first: bool, report: &mut Report) -> anyhow::Result<Vec<Place>> {
    let kind = context.mutant.filter(|kind| *kind != WIRE_LOG);
    let mut server = started(&launcher(context, site, kind)?).await?;
    let log = site.directory.join("historian.log");
    let mut found = vec![Place::new("arguments of the process", fs::read(format!("/proc/{}/cmdline", server.pid()))?)];
    collected(site).await?;
    if site.tls.is_none() {
        found.extend(door::call(site, &server).await?);
    }
    found.extend(http::ask(site, &server)?);

    let mut commands = Commands::new(site, &server);
    commands.ask_all()?;
    commands.look()?;
    // It takes seconds, and has nothing to do with how the server runs.
    if is_first && context.mutant.is_none() {
        commands.check()?;
        commands.report(&log, "with-devices", &[])?;
    }
    commands.report(&log, "in-order", &["--offline"])?;
    // A mutant reads its configuration once.
    if kind.is_none() {
        reloaded(site, &mut server, &mut commands).await?;
    }
    commands.report(&log, "at-the-end", &["--offline"])?;
    found.append(&mut commands.places);
    report.rss(server.rss_peak_kb());
    server.stop()?;
    kept(site, found, report)
}

/// Waits until both devices have delivered: their passwords were sent then.
async fn collected(site: &Site) -> anyhow::Result<()> {
    let (sample, socket) = (site.text(DEVICE_SAMPLE), format!("unix://{}", site.data.join("historian.sock").display()));
    let begun = Instant::now();
    loop {
        let mut command = historian_test_support::program::command(&site.program);
        let output = command.args(["query", "current", "*/note", "--server", &socket]).output()?;
        if String::from_utf8_lossy(&output.stdout).matches(&sample).count() >= 2 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(begun.elapsed() < PATIENCE, "the devices deliver nothing: {said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Configurations with secrets where none belongs, for the server and for commands.
async fn reloaded(site: &Site, server: &mut Historian, commands: &mut Commands<'_>) -> anyhow::Result<()> {
    for (number, broken) in site.broken().iter().enumerate() {
        fs::write(&site.config, broken)?;
        let before = server.log().len();
        server.signal(Signal::HUP)?;
        let begun = Instant::now();
        while !server.log().get(before..).is_some_and(|said| said.contains("the configuration was ")) {
            ensure!(
                begun.elapsed() < RELOADED_WITHIN,
                "configuration {number} was not read: {}",
                server.log().get(before..).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let [boss, socket] = [site.boss.clone(), format!("unix://{}", site.data.join("historian.sock").display())];
        commands.run(&["reload", "--server", &socket], &boss, &[])?;
        commands.look()?;
        commands.run(&["status", "--server", &socket], &boss, &[])?;
        commands.run(&["audit", "--server", &socket], &boss, &[])?;
    }
    Ok(())
}

/// A historian that panics in the middle of a write with a secret: it tells so, as JSON.
async fn panicked(context: &Context, site: &mut Site, report: &mut Report) -> anyhow::Result<Vec<Place>> {
    let server = started(&launcher(context, site, Some("panics"))?).await?;
    let caller = Caller::new(server.grpc, ATTACKER).saying(&[("authorization", format!("Bearer {}", site.boss))]);
    for _ in 0..WRITES {
        // Those that panic are not answered.
        let _ = door::write(&caller, site).await;
    }
    ensure!(server.log().contains(PANIC), "nothing has panicked: {}", server.log());
    let mut commands = Commands::new(site, &server);
    commands.report(&site.directory.join("historian.log"), "after-a-panic", &["--offline"])?;
    let found = std::mem::take(&mut commands.places);
    server.stop()?;
    kept(site, found, report)
}

/// What a historian leaves: its log, its data and its backups. The keys that it has made are canaries from now on.
fn kept(site: &mut Site, mut found: Vec<Place>, report: &mut Report) -> anyhow::Result<Vec<Place>> {
    let free: &[Kind] = if site.way.level == "trace" { &AT_TRACE } else { &[] };
    let log = fs::read(site.directory.join("historian.log"))?;
    ensure!(log.len() > 1_000, "the log has only {} bytes", log.len());
    found.push(Place::new("log", log).but(free));
    let (data, keys, exposed) = places("data directory", &site.data, &[Kind::Sample])?;
    found.extend(data);
    for what in exposed {
        report.fail(what);
    }
    for key in keys {
        let name = key.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        site.canaries.extend(of_key(&name, &key)?);
    }
    let (backups, keys, _) = places("backup", &site.directory.join("backups"), &[Kind::Sample])?;
    found.extend(backups);
    // A backup has no keys.
    if let Some(key) = keys.first() {
        report.fail(format!("a backup has the key {}", key.display()));
    }
    let heads = site.directory.join("heads.jsonl");
    if heads.exists() {
        found.push(Place::new("heads of the audit log", fs::read(heads)?));
    }
    ensure!(!site.text(SAMPLE).is_empty() && !site.text(PASSWORD).is_empty(), "a canary has no text");
    Ok(found)
}
