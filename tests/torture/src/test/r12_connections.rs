//! R12: as many connections as the historian takes, all idle. They cost little memory each, one more is refused at once and in words, and a
//! connection that begins something and does not go on is closed in time. An honest client that was there before notices nothing.

use std::time::{Duration, Instant};

use futures::{FutureExt, future::BoxFuture};
use historian_test_support::program::Historian;
use tokio::task::JoinSet;

use super::{Mutant, Test};
use crate::{
    attack::idle::{beginnings, files, hold},
    context::Context,
    honest::{ATTACKER, CONNECTIONS, HONEST, Honest, ms},
    report::Report,
    wire::{Wire, call, greeting},
};

const AN_HOUR: &str = "an-hour";
const NO_BOUND: &str = "no-bound";

pub const TEST: Test = Test {
    id: "R12",
    about: "as many connections as are taken, and those that begin and do not go on: memory stays, others go on",
    unit: "connections",
    cycles: [500, 2_000, 5_000],
    mutants: &[
        Mutant { kind: AN_HOUR, about: "is configured to wait an hour for the first request", cycles: 50 },
        Mutant { kind: NO_BOUND, about: "is configured to take more connections than the test may open", cycles: 50 },
    ],
    run,
};

const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// What a cut or a refusal may take beyond its time.
const LATE_MAX: Duration = Duration::from_secs(2);
/// Target of the memory of an idle connection, and what it must not pass on any machine.
const BYTES_TARGET: f64 = (64 << 10) as f64;
const BYTES_MAX: f64 = (128 << 10) as f64;
/// Connections of each kind that do not go on.
const UNFINISHED: usize = 5;
/// More than may be refused at a time with words.
const TOO_MANY: usize = 20;
/// GOAWAY of a client that asks too much (RFC 9113, 7).
const ENHANCE_YOUR_CALM: u32 = 11;
/// While nobody opens anything: for figures.
const QUIET: Duration = Duration::from_secs(1);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    connections(context).boxed()
}

async fn connections(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    // A quarter of the files of a server is for connections. It inherits our limit.
    let room = (files()? / 4) as usize - CONNECTIONS;
    let count = room.min(context.cycles as usize);
    report.opt("connections", count);
    report.opt("first_request_s", FIRST_REQUEST.as_secs());

    let total = count + CONNECTIONS + if context.mutant == Some(NO_BOUND) { 2 * TOO_MANY } else { 0 };
    let first_request = if context.mutant == Some(AN_HOUR) { 3_600 } else { FIRST_REQUEST.as_secs() };
    let configuration =
        format!("[limits]\nconnections_max = {total}\nconnections_per_address_max = {total}\nfirst_request_s = {first_request}\n");
    // Bounds are options of the real server; its mutants are the server with others.
    let server = context.real_launcher(&context.work.join("data"), &configuration)?.start()?;
    let honest = Honest::start(context, &server, HONEST).await?;
    tokio::time::sleep(QUIET).await;
    let idle = honest.take();
    idle.require_unrefused(&mut report, "before");

    let before_kb = server.rss_kb();
    let held = fill(&server, count, &mut report).await?;
    let bytes = (server.rss_kb().saturating_sub(before_kb) * 1_024) as f64 / count as f64;
    report.figure("bytes_per_connection", bytes.round());
    report.figure("within_target", bytes <= BYTES_TARGET);
    if bytes > BYTES_MAX {
        report.fail(format!("an idle connection takes {bytes:.0} bytes of memory"));
    }
    refused(&server, &mut report).await;
    tokio::time::sleep(QUIET).await;
    let full = honest.take();
    full.require_unrefused(&mut report, "while all places were held");

    drop(held);
    room_again(&server, count.min(100), &mut report).await;
    unfinished(&server, &mut report).await;

    report.rss(server.rss_peak_kb());
    let after = honest.end(&mut report).await?;
    after.require_unrefused(&mut report, "while connections did not go on");
    report.figure("write_p99_idle_ms", ms(idle.writes(99)));
    report.figure("write_p99_full_ms", ms(full.writes(99)));
    report.figure("slowest_call_ms", ms(full.slowest().max(after.slowest())));
    report.cycles = count as u64;
    Ok(report)
}

/// Connections that have asked something once: those that never have give way to others.
async fn fill(server: &Historian, count: usize, report: &mut Report) -> anyhow::Result<Vec<Wire>> {
    let begun = Instant::now();
    let mut held = Vec::with_capacity(count);
    hold(server.grpc, count, LATE_MAX, &mut held).await?;
    if held.len() < count {
        report.fail(format!("connection {} of {count} was not served", held.len() + 1));
    }
    report.figure("connections_per_s", (count as f64 / begun.elapsed().as_secs_f64()).round());
    Ok(held)
}

/// Where all places are held, others are told so, and are not left waiting.
async fn refused(server: &Historian, report: &mut Report) {
    let mut knocking = JoinSet::new();
    for _ in 0..TOO_MANY {
        let address = server.grpc;
        knocking.spawn(async move {
            let begun = Instant::now();
            // It may be closed while it is still being spoken to.
            let Ok(mut wire) = Wire::open(address, ATTACKER, &[greeting(&[]), call(1)].concat()).await else {
                return Ok((None, begun.elapsed()));
            };
            anyhow::Ok((wire.goodbye(LATE_MAX).await?, begun.elapsed()))
        });
    }
    let (mut told, mut slowest) = (0, Duration::ZERO);
    for ended in knocking.join_all().await {
        match ended {
            Ok((Some((ENHANCE_YOUR_CALM, text)), took)) if text.contains("limits.connections") => {
                told += 1;
                slowest = slowest.max(took);
            }
            // Of many at once some only see the end: their words were lost with what they had said themselves.
            Ok((None, took)) => slowest = slowest.max(took),
            Ok((Some((code, text)), _)) => report.fail(format!("a connection too many was refused with {code}, {text:?}")),
            Err(error) => report.fail(format!("a connection too many was not refused: {error}")),
        }
    }
    report.figure("refused_told", told);
    report.figure("refused_within_ms", ms(slowest));
    if told == 0 && report.failures.is_empty() {
        report.fail("no connection too many was told why it was refused");
    }
}

/// After those that held the places have gone, new ones are taken.
async fn room_again(server: &Historian, count: usize, report: &mut Report) {
    let begun = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < count {
        let opened = Wire::open(server.grpc, ATTACKER, &[greeting(&[]), call(1)].concat()).await;
        if let Ok(mut wire) = opened
            && wire.is_answered(1, LATE_MAX).await
        {
            taken.push(wire);
        } else if begun.elapsed() > LATE_MAX {
            report.fail(format!("only {} of {count} connections were taken {LATE_MAX:?} after the others had gone", taken.len()));
            break;
        }
    }
    report.figure("room_again_ms", ms(begun.elapsed()));
}

/// What a client may begin and not go on with.
async fn unfinished(server: &Historian, report: &mut Report) {
    let mut waiting = JoinSet::new();
    for (name, address, first) in beginnings(server.grpc, server.http) {
        for _ in 0..UNFINISHED {
            let first = first.clone();
            waiting.spawn(async move {
                let opened = Instant::now();
                let mut wire = Wire::open(address, ATTACKER, &first).await?;
                let ended = wire.end(FIRST_REQUEST + LATE_MAX).await;
                anyhow::Ok((name, ended.map(|()| opened.elapsed())))
            });
        }
    }
    let address = server.http;
    waiting.spawn(async move {
        let opened = Instant::now();
        let mut wire = Wire::open(address, ATTACKER, b"GET /livez HTTP/1.1\r\n").await?;
        while opened.elapsed() < FIRST_REQUEST + LATE_MAX {
            if wire.send(b"x").await.is_err() {
                return Ok(("sends a head byte by byte", Ok(opened.elapsed())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(("sends a head byte by byte", Err(anyhow::anyhow!("it was not closed within {:?}", opened.elapsed()))))
    });
    let mut slowest = Duration::ZERO;
    for ended in waiting.join_all().await {
        match ended {
            Ok((_, Ok(after))) => slowest = slowest.max(after),
            Ok((name, Err(error))) => report.fail(format!("a client that {name}: {error}")),
            Err(error) => report.fail(format!("a connection could not be opened: {error}")),
        }
    }
    report.figure("unfinished_closed_ms", ms(slowest));
}
