//! R1: SIGKILL at a random moment while samples come in, chunks are compacted and queries run, and at random moments of the start itself.
//! Everything acknowledged is read back bit for bit; nothing appears that was never sent.
//!
//! kill -9 leaves the page cache alone: this proves the order of write and acknowledgement, and the recovery; the fsync is R2's.

use std::time::{Duration, Instant};

use futures::{FutureExt, future::BoxFuture};

use super::{Mutant, Test};
use crate::{
    checker,
    context::{Context, Form, SMALL},
    driver::Pace,
    load::Load,
    report::Report,
};

pub const TEST: Test = Test {
    id: "R1",
    about: "kill -9 while ingesting, compacting and querying: nothing acknowledged is lost",
    unit: "kills",
    cycles: [12, 100, 1_000],
    mutants: &[Mutant { kind: "ack-early", about: "acknowledges 20 ms before it writes", cycles: 10 }],
    run,
};

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    kill(context).boxed()
}

async fn kill(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let lanes = context.lanes(10, 40)?;
    let launcher = context.launcher(&context.work.join("data"), SMALL)?;
    let mut dice = context.dice(1);
    report.opt("kill_after_ms", "5..800");
    report.opt("tags", 20);

    let mut server = launcher.start()?;
    for cycle in 0..context.cycles {
        let from: Vec<u64> = lanes.iter().map(|lane| lane.end().saturating_sub(16)).collect();
        // A thousand cycles at full speed would be the best part of a billion samples to read back.
        let pause = Duration::from_millis(if context.form == Form::Long { 4 } else { 0 });
        let pace = Pace { resend: dice.one_in(2), pause, ..Pace::default() };
        let load = Load::start(&server, &lanes, pace, context.dice(1_000 + cycle)).await?;
        tokio::time::sleep(Duration::from_millis(dice.between(5, 800))).await;
        report.rss(server.rss_peak_kb());
        let refused = load.events.refused_before(Instant::now());
        server.kill();
        let loaded = load.end().await?;
        if let Some(status) = refused {
            report.fail(format!("cycle {cycle}: a write was refused before the kill: {status}"));
        }
        report.tally.add(loaded.tally);
        report.count("compactions", loaded.compactions);
        report.count("queries", loaded.queries);

        // A recovery must itself bear being killed.
        while dice.one_in(4) {
            let mut starting = launcher.spawn()?;
            tokio::time::sleep(Duration::from_millis(dice.between(1, 60))).await;
            starting.kill();
            report.count("killed_starting", 1);
        }
        server = launcher.start()?;
        let channel = server.channel().await?;
        let found = checker::check(&channel, &lanes, &from).await?;
        report.recovery(server.begun().elapsed());
        report.tally.add(found);
        report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();
        report.cycles = cycle + 1;
        context.progress("R1", cycle + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
    }

    // Everything once more, from a clean stop, and in parts.
    server.stop()?;
    let server = launcher.start()?;
    let channel = server.channel().await?;
    report.tally.add(checker::check(&channel, &lanes, &[0, 0]).await?);
    for _ in 0..5 {
        let end = lanes[0].end().min(1_000);
        let times = lanes[0].times(&(0..end));
        let cut = times.start + dice.below((times.end - times.start).unsigned_abs()) as i64;
        report.tally.add(checker::check_parts(&channel, &lanes[0], 0..end, cut).await?);
    }
    if report.tally.acked == 0 {
        report.fail("no cycle came to an acknowledgement");
    }
    Ok(report)
}
