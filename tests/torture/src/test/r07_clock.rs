//! R7: the clock on the wall jumps: an hour back, a day ahead, to 1970, years ahead, over both ends of summer time, and over a restart. Samples
//! are ordered by their source time; late and repeated ones change nothing else; a clock deletes nothing; what lies too far in the future is
//! refused by name and nothing worse.
//!
//! The server is the real one under a clock that a file sets; retention of thirty days runs every second.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{FutureExt, future::BoxFuture};
use historian::model::{Clock, SystemClock};
use historian_proto::v1::{RangeRequest, query_service_client::QueryServiceClient};
use tonic::Code;

use super::{Mutant, Test};
use historian_test_support::program::{Historian, Launcher};

use crate::{
    checker,
    context::{Context, SMALL},
    driver::Pace,
    lane::Lane,
    load::Load,
    mutant::CLOCK_FILE,
    oracle::start_of,
    report::Report,
};

pub const TEST: Test = Test {
    id: "R7",
    about: "a clock that jumps: order by source time, nothing deleted, nothing lost",
    unit: "scripts",
    cycles: [1, 5, 40],
    mutants: &[Mutant { kind: "wall-retention", about: "drops what is old by the clock on the wall", cycles: 1 }],
    run,
};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// Retention every second, and a bound on the future of an hour.
const CONFIGURATION: &str = "retention_interval_s = 1\nfuture_max_s = 3600\n\n[[retention]]\ntags = [\"**\"]\nage = \"30d\"\n";
/// In which retention has run.
const RETENTION: Duration = Duration::from_millis(1_600);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    jump(context).boxed()
}

/// The wall of the server.
struct Wall {
    file: PathBuf,
}

impl Wall {
    /// It is this time there now.
    async fn set(&self, time: i64) -> anyhow::Result<()> {
        // Whole or not at all: the server reads it at any moment.
        let new = self.file.with_extension("new");
        std::fs::write(&new, (time - SystemClock.now().0).to_string())?;
        std::fs::rename(&new, &self.file)?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }
}

async fn jump(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let lanes = context.lanes(10, 40)?;
    let wall = Wall { file: context.work.join(CLOCK_FILE) };
    // An hour after the first sample.
    let today = start_of(0) + HOUR;
    wall.set(today).await?;
    let kind = context.mutant.map_or("scripted-clock".to_owned(), |mutant| format!("scripted-clock+{mutant}"));
    let program = vec![std::env::current_exe()?.into(), "serve-mutant".into(), kind.into()];
    let launcher = context.launcher_of(program, &context.work.join("data"), &format!("{SMALL}{CONFIGURATION}"))?;
    report.opt("retention_days", 30);

    let mut server = launcher.start()?;
    for script in 0..context.cycles {
        for (what, off, wait) in [
            ("as it is", 0, Duration::ZERO),
            ("an hour back", -HOUR, Duration::ZERO),
            ("a day ahead", DAY, RETENTION),
            ("the summer ends", DAY_OF_25_HOURS - today, Duration::ZERO),
            ("the summer begins", DAY_OF_23_HOURS - today, Duration::ZERO),
            ("four years ahead", 1_461 * DAY, RETENTION),
            ("back again", 0, RETENTION),
        ] {
            wall.set(today + off).await?;
            step(&server, &lanes, context.dice(100 * script + 1), &mut report).await.with_context(|| format!("clock: {what}"))?;
            tokio::time::sleep(wait).await;
            report.tally.add(checker::check(&server.channel().await?, &lanes, &[]).await?);
            if !report.pass() {
                report.fail(format!("clock: {what}"));
                return Ok(report);
            }
        }
        days(&server, &wall, &mut report).await?;

        // 1970: everything lies in the future, and is refused by name; what is there stays.
        wall.set(0).await?;
        refused(&server, &lanes[0], &mut report).await?;
        tokio::time::sleep(RETENTION).await;
        report.tally.add(checker::check(&server.channel().await?, &lanes, &[]).await?);

        // A start under a wrong clock, in both directions.
        for off in [1_461 * DAY, -start_of(0)] {
            report.rss(server.rss_peak_kb());
            server = restart(server, &launcher, &wall, today + off, script).await?;
            tokio::time::sleep(RETENTION).await;
            report.tally.add(checker::check(&server.channel().await?, &lanes, &[]).await?);
            report.recovery(server.begun().elapsed().saturating_sub(RETENTION));
        }
        wall.set(today).await?;
        step(&server, &lanes, context.dice(100 * script + 2), &mut report).await?;
        report.tally.add(checker::check(&server.channel().await?, &lanes, &[]).await?);
        report.tally.acked = lanes.iter().map(|lane| lane.acked_samples()).sum();
        report.cycles = script + 1;
        context.progress("R7", script + 1, &report);
        if !report.pass() {
            return Ok(report);
        }
    }
    Ok(report)
}

async fn restart(server: Historian, launcher: &Launcher, wall: &Wall, time: i64, script: u64) -> anyhow::Result<Historian> {
    if script.is_multiple_of(2) {
        server.stop()?;
    } else {
        drop(server);
    }
    wall.set(time).await?;
    Ok(launcher.start()?)
}

/// Some writing with late samples, compactions and queries, and everything of the last time again.
async fn step(server: &Historian, lanes: &[Arc<Lane>], dice: crate::oracle::Dice, report: &mut Report) -> anyhow::Result<()> {
    let pace = Pace { resend: true, pause: Duration::from_millis(2), ..Pace::default() };
    let load = Load::start(server, lanes, pace, dice).await?;
    tokio::time::sleep(Duration::from_millis(150)).await;
    load.stop();
    let loaded = load.end().await?;
    if let Some(refusal) = loaded.events.all().into_iter().find_map(|event| event.refusal) {
        report.fail(format!("a write was refused: {refusal}"));
    }
    report.tally.add(loaded.tally);
    // Repeats: nothing changes.
    let mut writer = historian_proto::v1::write_service_client::WriteServiceClient::new(server.channel().await?);
    for (batch, _) in lanes[0].acked_in(0..u64::MAX).into_iter().rev().step_by(7).take(5) {
        writer.write_samples(lanes[0].request(batch)).await?;
        report.count("repeated_batches", 1);
    }
    Ok(())
}

/// 2025-10-26T12:00Z and 2026-03-29T12:00Z.
const DAY_OF_25_HOURS: i64 = 1_761_480_000 * SECOND;
const DAY_OF_23_HOURS: i64 = 1_774_785_600 * SECOND;

/// "Today" in Berlin on the days when summer time ends and begins.
async fn days(server: &Historian, wall: &Wall, report: &mut Report) -> anyhow::Result<()> {
    let mut client = QueryServiceClient::new(server.channel().await?);
    for (noon, hours) in [(DAY_OF_25_HOURS, 25), (DAY_OF_23_HOURS, 23)] {
        wall.set(noon).await?;
        let request = RangeRequest {
            tags: vec!["torture/**".into()],
            start: "t".into(),
            end: "t+1d".into(),
            zone: "Europe/Berlin".into(),
            ..RangeRequest::default()
        };
        let first = client.range(request).await?.into_inner().message().await?.context("a range has a first answer")?;
        let found = (first.end - first.start) / HOUR;
        if found != hours || !(first.start..first.end).contains(&noon) {
            report.fail(format!("the day of {noon} is from {} to {}, {found} hours instead of {hours}", first.start, first.end));
        }
    }
    Ok(())
}

/// A write of samples from the future: refused with what to do, or rejected one by one; and not a sample of it is stored.
async fn refused(server: &Historian, lane: &Lane, report: &mut Report) -> anyhow::Result<()> {
    let batch = lane.next();
    let mut client = historian_proto::v1::write_service_client::WriteServiceClient::new(server.channel().await?);
    let said = match client.write_samples(lane.request(batch)).await.map(tonic::Response::into_inner) {
        Err(status) if status.code() == Code::InvalidArgument || status.code() == Code::OutOfRange => status.message().to_owned(),
        Err(status) => anyhow::bail!("samples from the future are refused with {status}"),
        Ok(answer) if answer.rejected == lane.batch_samples() => {
            answer.rejections.first().map_or(String::new(), |first| first.reason.clone())
        }
        Ok(answer) => match answer.failures.first() {
            Some(failure) if answer.samples == 0 => failure.message.clone(),
            _ => {
                report.fail(format!("in 1970 {} samples of 2025 were taken", answer.samples));
                String::new()
            }
        },
    };
    if !said.contains("clock") {
        report.fail(format!("the refusal does not name the clock: {said:?}"));
    }
    report.count("rejected_batches", 1);
    Ok(())
}
