//! R2: loss of power at a random moment. The data lie on an ext4 image whose file system is shut down without flushing: what was not synced
//! is gone, torn or out of order, as the disk of a machine that lost its power would have it.

use std::time::{Duration, Instant};

use futures::{FutureExt, future::BoxFuture};

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
    id: "R2",
    about: "loss of power while ingesting, compacting and querying: nothing acknowledged is lost",
    unit: "cuts",
    cycles: [6, 20, 200],
    mutants: &[Mutant { kind: "no-sync", about: "acknowledges without an fsync", cycles: 5 }],
    run,
};

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    cut(context).boxed()
}

async fn cut(context: &Context) -> anyhow::Result<Report> {
    if let Some(reason) = Disk::unavailable() {
        return Ok(Report::without("loop-devices", &reason));
    }
    let mut report = Report::default();
    let lanes = context.lanes(10, 40)?;
    // Room for the longest form: samples of 10 lanes × tags at full speed for some minutes.
    let mut disk = Disk::with_power(&context.work, 8_192)?;
    let launcher = context.launcher(&disk.mount_point.join("data"), SMALL)?;
    let mut dice = context.dice(2);
    report.opt("cut_after_ms", "5..1000");
    report.opt("file_system", "ext4 on a loop device");

    let mut server = launcher.start()?;
    for cycle in 0..context.cycles {
        let from: Vec<u64> = lanes.iter().map(|lane| lane.end().saturating_sub(16)).collect();
        let pause = Duration::from_millis(if context.form == Form::Long { 2 } else { 0 });
        let pace = Pace { resend: dice.one_in(2), pause, ..Pace::default() };
        let load = Load::start(&server, &lanes, pace, context.dice(1_000 + cycle)).await?;
        tokio::time::sleep(Duration::from_millis(dice.between(5, 1_000))).await;
        report.rss(server.rss_peak_kb());
        let refused = load.events.refused_before(Instant::now());
        disk.cut_power()?;
        server.kill();
        let loaded = load.end().await?;
        if let Some(status) = refused {
            report.fail(format!("cycle {cycle}: a write was refused before the cut: {status}"));
        }
        report.tally.add(loaded.tally);
        report.count("compactions", loaded.compactions);
        report.count("queries", loaded.queries);

        disk.unmount()?;
        disk.mount()?;
        server = match launcher.start() {
            Ok(server) => server,
            // Only a mutant may have lost so much that it notices itself.
            Err(error) => {
                report.fail(format!("cycle {cycle}: no start after the cut: {error:#}"));
                return Ok(report);
            }
        };
        let channel = server.channel().await?;
        report.tally.add(checker::check(&channel, &lanes, &from).await?);
        report.recovery(server.begun().elapsed());
        report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();
        report.cycles = cycle + 1;
        context.progress("R2", cycle + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
    }
    server.stop()?;
    let server = launcher.start()?;
    report.tally.add(checker::check(&server.channel().await?, &lanes, &[0, 0]).await?);
    if report.tally.acked == 0 {
        report.fail("no cycle came to an acknowledgement");
    }
    Ok(report)
}
