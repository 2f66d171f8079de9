//! R5: the n-th fsync fails, and all after it. After the first failure nothing is acknowledged, the alarm is raised within a second, and a
//! start on a healthy disk finds everything that was acknowledged.
//!
//! The failing calls are not run, and where a disk can be had whose power can be cut, it is cut afterwards: an acknowledgement that rested on
//! a repeated fsync is then a loss. Every other cycle the calls fail from the start of the process, which may refuse to start.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use historian_test_support::skip;
use tokio_util::sync::CancellationToken;

use super::{Mutant, Test};
use historian_test_support::program::Started;

use crate::{
    alarm, checker,
    context::{Context, SMALL},
    driver::Pace,
    fault::{
        disk::Disk,
        syscall::{self, Failure, Tracer},
    },
    load::Load,
    report::Report,
};

pub const TEST: Test = Test {
    id: "R5",
    about: "the n-th fsync fails: no acknowledgement after it, an alarm within a second, nothing lost",
    unit: "failures",
    cycles: [6, 40, 1_000],
    mutants: &[Mutant { kind: "retry-sync", about: "takes a failed fsync for one that the next makes good", cycles: 6 }],
    run,
};

/// The alarm must come within this time of the failure, on a machine that is also busy with other things.
const ALARM_WITHIN: Duration = Duration::from_secs(1);
/// How long writers go on trying after the first refusal.
const INSIST: Duration = Duration::from_millis(400);
/// How long a cycle waits for its failure.
const FAILURE_WITHIN: Duration = Duration::from_secs(2);
/// And for each fsync before it.
const FSYNC_WITHIN: Duration = Duration::from_millis(20);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    fail(context).boxed()
}

async fn fail(context: &Context) -> anyhow::Result<Report> {
    if let Some(reason) = syscall::unavailable() {
        return Ok(Report::without("strace", &reason));
    }
    let mut report = Report::default();
    let lanes = context.lanes(10, 40)?;
    // Where loop devices may be missing, fsyncs fail all the same, and only the power cut after them is left out.
    let mut disk = match Disk::unavailable() {
        None => Some(Disk::with_power(&context.work, 8_192)?),
        Some(_) if skip::is_allowed("loop-devices") => None,
        Some(reason) => return Ok(Report::without("loop-devices", &reason)),
    };
    let data = disk.as_ref().map_or(&context.work, |disk| &disk.mount_point).join("data");
    let launcher = context.launcher(&data, SMALL)?;
    let trace = context.work.join("trace");
    report.opt("power_cut_afterwards", disk.is_some());
    // Tags first: an fsync of the catalog that fails refuses the making of a tag, and this is about samples.
    let server = launcher.start()?;
    let load = Load::start(&server, &lanes, Pace::default(), context.dice(0)).await?;
    while lanes.iter().any(|lane| lane.acked().is_empty()) && server.begun().elapsed() < FAILURE_WITHIN {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    load.end().await?;
    server.stop()?;

    let mut alarm_max = Duration::ZERO;
    for cycle in 0..context.cycles {
        let (n, from_start) = (cycle / 2 + 1, cycle % 2 == 1);
        let failure_within = FAILURE_WITHIN + FSYNC_WITHIN * n as u32;
        let from: Vec<u64> = lanes.iter().map(|lane| lane.end().saturating_sub(16)).collect();
        let _ = std::fs::remove_file(&trace);
        let mut faulty = launcher.clone();
        if from_start {
            faulty.prefix = syscall::prefix(&trace, n);
        }
        match faulty.try_start()? {
            Started::Refused { said, .. } => {
                report.count("refused_at_start", 1);
                if !said.contains("Input/output error") {
                    report.fail(format!("fsync {n} failed at the start, which says: {said}"));
                }
            }
            Started::Serving(mut server) => {
                let tracer = if from_start { None } else { Some(Tracer::attach(server.pid(), &trace, n).await?) };
                let pace = Pace { resend: true, retry: Some(Duration::from_millis(10)), ..Pace::default() };
                let load = Load::start(&server, &lanes, pace, context.dice(1_000 + cycle)).await?;
                let stop = CancellationToken::new();
                let alarms = tokio::spawn(alarm::listen(server.channel().await?, server.http, stop.clone()));

                let begun = Instant::now();
                while load.events.refused_before(Instant::now()).is_none() && begun.elapsed() < failure_within {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let refused = load.events.first_refusal();
                tokio::time::sleep(INSIST).await;
                // Reading goes on after the failure; a query of the load says so by not having ended.
                let readable = checker::read(&server.channel().await?, &lanes[0], &(0..1)).await.is_ok();
                let until = Instant::now();
                while !alarms.is_finished() && refused.is_some() && until.elapsed() < ALARM_WITHIN {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                stop.cancel();
                let alarms = alarms.await?;
                report.rss(server.rss_peak_kb());
                if let Some(disk) = &disk {
                    disk.cut_power()?;
                }
                load.stop();
                server.kill();
                if let Some(tracer) = tracer {
                    tracer.end();
                }
                let loaded = load.end().await?;
                report.tally.add(loaded.tally);

                let failures = syscall::failures(&trace);
                let failure = failures.first();
                match (failure, refused) {
                    (None, None) => report.count("not_reached", 1),
                    (Some(failure), None) => {
                        report.fail(format!(
                            "fsync {n} of thread {} failed and no write was refused within {failure_within:?}",
                            failure.thread
                        ));
                    }
                    (None, Some(_)) => report.fail(format!("fsync {n}: a write was refused although no fsync failed")),
                    (Some(failure), Some(refused)) => {
                        report.count("failed", 1);
                        let after = acknowledged_after(&loaded.events, &failures, refused);
                        if after > 0 {
                            report.fail(format!(
                                "fsync {n} of thread {}: {after} batches were acknowledged after the failure",
                                failure.thread
                            ));
                        }
                        // A failed write of a file in the background is noticed with the next write of the journal, so we count from there.
                        let known = if failure.thread == COMMITTER { failure.at } else { refused };
                        for (door, alarm) in [("gRPC health", alarms.grpc), ("/healthz", alarms.http)] {
                            match alarm.map(|alarm| alarm.saturating_duration_since(known)) {
                                Some(took) if took <= ALARM_WITHIN => alarm_max = alarm_max.max(took),
                                Some(took) => report.fail(format!("fsync {n}: {door} raised the alarm after {took:?}")),
                                None => report.fail(format!("fsync {n}: {door} raised no alarm")),
                            }
                        }
                        if !readable {
                            report.fail(format!("fsync {n}: samples could not be read after the failure"));
                        }
                    }
                }
            }
        }
        if let Some(disk) = &mut disk {
            disk.unmount()?;
            disk.mount()?;
        }
        let server = match launcher.start() {
            Ok(server) => server,
            Err(error) => {
                report.fail(format!("fsync {n}: no start after the failure: {error:#}"));
                return Ok(report);
            }
        };
        let channel = server.channel().await?;
        report.tally.add(checker::check(&channel, &lanes, &from).await?);
        report.recovery(server.begun().elapsed());
        report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();
        report.cycles = cycle + 1;
        context.progress("R5", cycle + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
        server.stop()?;
    }
    report.figure("alarm_max_ms", alarm_max.as_millis() as u64);
    if !report.figures.contains_key("failed") {
        report.fail("no fsync failed while samples were written");
    }
    Ok(report)
}

const COMMITTER: &str = "committer";

/// Batches that were sent after the journal's first failed fsync, or after the first refusal, and acknowledged all the same.
fn acknowledged_after(events: &Arc<crate::driver::Events>, failures: &[Failure], refused: Instant) -> usize {
    let journal = failures.iter().find(|failure| failure.thread == COMMITTER).map(|failure| failure.at);
    let over = journal.map_or(refused, |at| at.min(refused));
    events.all().iter().filter(|event| event.refusal.is_none() && event.sent > over).count()
}
