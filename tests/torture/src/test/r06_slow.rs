//! R6: a disk that takes 1 MB a second while writers offer many times that. The server makes them wait; it does not grow.
//!
//! Where root may mount and hold a device to a rate, the disk is a loop device in a control group; elsewhere a store that sleeps.

use std::time::{Duration, Instant};

use futures::{FutureExt, future::BoxFuture};

use super::{Mutant, Test};
use crate::{
    checker,
    context::Context,
    driver::Pace,
    fault::{disk::Disk, throttle::Throttle},
    lane::{Door, Lane},
    load::Load,
    report::Report,
};

pub const TEST: Test = Test {
    id: "R6",
    about: "a disk of 1 MB/s: writers wait, memory stays flat, nothing is lost",
    unit: "seconds",
    cycles: [6, 30, 300],
    mutants: &[Mutant { kind: "ack-all", about: "acknowledges at once and queues without bound", cycles: 4 }],
    run,
};

const RATE: u64 = 1_000_000;
/// No server needs as much for these writers; one that has it is not given more of the machine.
const RSS_MAX_KB: u64 = 900 << 10;
/// Growth of memory between the first and the last third that is no growth: allocators and caches settle.
const SETTLING_KB: u64 = 64 << 10;

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    slow(context).boxed()
}

async fn slow(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    // Batches of some 200 KB, as a collector of a large plant sends them.
    let lanes = [Door::Grpc, Door::Flight, Door::Flight].into_iter().enumerate();
    let lanes = lanes.map(|(index, door)| Ok(Lane::new(context.seed, index, door, 20, 500, &context.work)?.into()));
    let lanes = lanes.collect::<anyhow::Result<Vec<_>>>()?;

    let no_device = Disk::unavailable().or_else(Throttle::unavailable);
    let disk = if no_device.is_none() { Some(Disk::with_power(&context.work, 4_096)?) } else { None };
    let data = disk.as_ref().map_or(&context.work, |disk| &disk.mount_point).join("data");
    let throttle = disk.as_ref().map(|disk| Throttle::new(&disk.device()?, 0)).transpose()?;
    let mut launcher = context.launcher(&data, "")?;
    if let Some(reason) = &no_device {
        eprintln!("torture: R6: the store sleeps instead of the disk: {reason}");
        let kind = context.mutant.map_or("slow".to_owned(), |mutant| format!("slow+{mutant}"));
        launcher.program = vec![std::env::current_exe()?.into(), "serve-mutant".into(), kind.into()];
    }
    report.opt("slow", if no_device.is_none() { "blkio throttle" } else { "store" });
    report.opt("bytes_per_s", RATE);

    let server = launcher.start()?;
    if let Some(throttle) = &throttle {
        // The usual time of an answer first, in the same run.
        let load = Load::start(&server, &lanes, Pace { pause: Duration::from_millis(20), ..Pace::default() }, context.dice(0)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        report.figure("p99_usual_ms", load.end().await?.events.p99().as_millis() as u64);
        throttle.add(server.pid())?;
        throttle.rate(RATE)?;
    }

    let load = Load::start(&server, &lanes, Pace::default(), context.dice(1)).await?;
    let (begun, whole) = (Instant::now(), Duration::from_secs(context.cycles));
    let before: u64 = lanes.iter().map(|lane| lane.acked_samples()).sum();
    let (mut first, mut last) = (0, 0);
    while begun.elapsed() < whole {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let rss = server.rss_kb();
        if rss > RSS_MAX_KB {
            report.fail(format!("memory grew to {} MB after {:?}", rss / 1_024, begun.elapsed()));
            break;
        }
        if begun.elapsed() < whole / 3 {
            first = first.max(rss);
        } else if begun.elapsed() >= whole * 2 / 3 {
            last = last.max(rss);
        }
    }
    if let Some(status) = load.events.refused_before(Instant::now()) {
        report.fail(format!("a write was refused instead of made to wait: {status}"));
    }
    load.stop();
    let acked: u64 = lanes.iter().map(|lane| lane.acked_samples()).sum::<u64>() - before;
    report.rss(server.rss_peak_kb());
    report.figure("samples_per_s", acked as f64 / whole.as_secs_f64());
    report.figure("rss_first_third_mb", first / 1_024);
    report.figure("rss_last_third_mb", last / 1_024);
    if last > first + first / 4 + SETTLING_KB {
        report.fail(format!("memory grew from {} MB in the first third to {} MB in the last", first / 1_024, last / 1_024));
    }
    if let Some(throttle) = &throttle {
        throttle.rate(0)?;
    }
    let loaded = load.end().await?;
    report.figure("p99_slow_ms", loaded.events.p99().as_millis() as u64);
    report.tally.add(loaded.tally);
    report.cycles = context.cycles;
    report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();
    // A mutant still has its queue to write.
    if context.mutant.is_none() {
        report.tally.add(checker::check(&server.channel().await?, &lanes, &[]).await?);
        server.stop()?;
    }
    if acked == 0 {
        report.fail("nothing was acknowledged");
    }
    Ok(report)
}
