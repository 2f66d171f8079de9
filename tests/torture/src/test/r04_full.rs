//! R4: the disk fills while samples come in. Writes are refused with `RESOURCE_EXHAUSTED`, reading goes on, and writing goes on within ten
//! seconds of space being there again, without a restart. Nothing acknowledged is lost.
//!
//! The disk is a small tmpfs; another program's file takes its space away. Every third time that file takes the very last byte, every third
//! time the server is killed and started on the nearly full disk.

use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use tonic::Code;

use super::{Mutant, Test};
use crate::{
    checker,
    context::{Context, Form, SMALL},
    driver::Pace,
    fault::disk::Disk,
    load::Load,
    report::Report,
};

pub const TEST: Test = Test {
    id: "R4",
    about: "a full disk: writes are refused, reads go on, writing resumes by itself, nothing is lost",
    unit: "fills",
    cycles: [3, 5, 50],
    mutants: &[Mutant { kind: "stays-full", about: "once it met a full disk it takes no write until a restart", cycles: 4 }],
    run,
};

const DISK_MB: u64 = 64;
const RESERVE_MB: u64 = 20;
/// Free space that the other program leaves to the server above its reserve.
const LEFT_MB: u64 = 3;
const RESUME_WITHIN: Duration = Duration::from_secs(10);
const REFUSED_WITHIN: Duration = Duration::from_secs(30);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    fill(context).boxed()
}

async fn fill(context: &Context) -> anyhow::Result<Report> {
    if let Some(reason) = Disk::in_memory_unavailable() {
        return Ok(Report::without("tmpfs", &reason));
    }
    let mut report = Report::default();
    let lanes = context.lanes(10, 40)?;
    // What is written in each fill stays.
    let megabytes = DISK_MB + if context.form == Form::Long { context.cycles * 4 } else { 0 };
    let disk = Disk::in_memory(&context.work, megabytes)?;
    let configuration = format!("{SMALL}disk_reserve_bytes = \"{RESERVE_MB} MiB\"\n");
    let launcher = context.launcher(&disk.mount_point.join("data"), &configuration)?;
    let ballast = disk.mount_point.join("ballast");
    report.opt("disk_mb", megabytes);
    report.opt("reserve_mb", RESERVE_MB);

    let mut resume_max = Duration::ZERO;
    let mut server = launcher.start()?;
    for cycle in 0..context.cycles {
        let (to_the_last_byte, restart) = (cycle % 3 == 1, cycle % 3 == 2);
        let from: Vec<u64> = lanes.iter().map(|lane| lane.end().saturating_sub(16)).collect();
        let pace = Pace { resend: true, retry: Some(Duration::from_millis(20)), pause: Duration::from_millis(1), ..Pace::default() };
        let mut load = Load::start(&server, &lanes, pace, context.dice(1_000 + cycle)).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;

        grow(&ballast, &disk, RESERVE_MB + LEFT_MB)?;
        let begun = Instant::now();
        while load.events.first_refusal().is_none() && begun.elapsed() < REFUSED_WITHIN {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if load.events.first_refusal().is_none() {
            report.fail(format!("fill {cycle}: no write was refused within {REFUSED_WITHIN:?}"));
        }
        if to_the_last_byte {
            grow(&ballast, &disk, 0)?;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;

        // Reading goes on.
        let batches = 0..lanes[0].end().min(50);
        let acked = lanes[0].acked_in(batches.clone()).into_iter().map(|(batch, _)| batch).collect();
        match checker::read(&server.channel().await?, &lanes[0], &batches).await {
            Ok(answer) => report.tally.add(checker::hold(&lanes[0], &batches, &acked, &answer, &BTreeSet::new())),
            Err(status) => report.fail(format!("fill {cycle}: samples cannot be read on a full disk: {status}")),
        }
        if restart {
            report.rss(server.rss_peak_kb());
            server.kill();
            refusals(&load.end().await?.events.all(), cycle, &mut report);
            server = launcher.start()?;
            report.tally.add(checker::check(&server.channel().await?, &lanes, &from).await?);
            report.recovery(server.begun().elapsed());
            load = Load::start(&server, &lanes, pace, context.dice(2_000 + cycle)).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }

        std::fs::remove_file(&ballast)?;
        let (freed, acked) = (Instant::now(), load.events.acked());
        while load.events.acked() == acked && freed.elapsed() < RESUME_WITHIN {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if load.events.acked() == acked {
            report.fail(format!("fill {cycle}: no write was taken within {RESUME_WITHIN:?} of space being free again"));
        }
        resume_max = resume_max.max(freed.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
        load.stop();
        let loaded = load.end().await?;
        refusals(&loaded.events.all(), cycle, &mut report);
        report.tally.add(loaded.tally);
        report.rss(server.rss_peak_kb());
        report.tally.add(checker::check(&server.channel().await?, &lanes, &from).await?);
        report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();
        report.cycles = cycle + 1;
        context.progress("R4", cycle + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
    }
    report.figure("resume_max_ms", resume_max.as_millis() as u64);
    server.stop()?;
    let server = launcher.start()?;
    report.tally.add(checker::check(&server.channel().await?, &lanes, &[]).await?);
    Ok(report)
}

/// Every refusal says that the disk is full, and that trying again helps; a killed server's broken calls aside.
fn refusals(events: &[crate::driver::Event], cycle: u64, report: &mut Report) {
    for status in events.iter().filter_map(|event| event.refusal.as_ref()) {
        match status.code() {
            Code::ResourceExhausted => report.count("refused", 1),
            Code::Unavailable | Code::Unknown | Code::Cancelled if cycle % 3 == 2 => {}
            _ => {
                report.fail(format!("fill {cycle}: a write was refused with {status} instead of RESOURCE_EXHAUSTED"));
                return;
            }
        }
    }
}

/// Lets the other program's file grow until so much is left free.
fn grow(ballast: &Path, disk: &Disk, leave_mb: u64) -> anyhow::Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(ballast)?;
    let piece = vec![0x55; 64 << 10];
    while leave_mb == 0 || disk.free_bytes()? > leave_mb << 20 {
        match file.write_all(&piece) {
            Ok(()) => {}
            Err(error) if leave_mb == 0 && error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
