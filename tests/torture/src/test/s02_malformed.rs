//! S2: requests that are sound but for some bytes, at every door. Each has an answer or a status that blames the client; nothing panics, nothing
//! that the historian would call its own fault comes back, and an honest client beside it loses nothing.

use std::sync::{Arc, atomic::AtomicU64};

use futures::{FutureExt, future::BoxFuture};
use historian_test_support::program::Historian;
use tokio_util::sync::CancellationToken;

use super::{Mutant, Test};
use crate::{
    attack::{
        call::Caller,
        malformed::{CLIENTS, FAILURES_KEPT_MAX, Told, client},
    },
    context::Context,
    doors,
    honest::{ATTACKER, HONEST, Honest, ms},
    lane::{Door, Lane},
    report::Report,
};

pub const TEST: Test = Test {
    id: "S2",
    about: "damaged requests at every door: a status that blames the client, no panic",
    unit: "requests",
    cycles: [10_000, 50_000, 500_000],
    mutants: &[Mutant { kind: "panics", about: "panics at each twentieth write", cycles: 3_000 }],
    run,
};

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    malformed(context).boxed()
}

async fn malformed(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let server = context.launcher(&context.work.join("data"), "")?.start()?;
    // Written to by damaged messages, and read by nobody.
    let lane = Lane::new(context.seed, 8, Door::Flight, 3, 20, &context.work)?;
    let channel = server.channel().await?;
    let honest = Honest::start(context, &server, HONEST).await?;
    let mut told = Told::default();
    let caller = Caller::new(server.grpc, ATTACKER);
    let mut doors = doors::services()?;
    told.sound(&caller, &doors).await;
    let flights = doors::flights(&channel, &lane).await?;
    told.sound(&caller, &flights).await;
    doors.extend(flights);
    let doors = Arc::new(doors);
    report.opt("doors", doors.len());
    report.figure("sound_answered", told.by_code.get("Ok").copied().unwrap_or(0));
    told.by_code.clear();

    let next = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(server.grpc, doors.clone(), context.seed, context.cycles, next.clone(), CancellationToken::new()));
    }
    for of_client in clients.join_all().await {
        told.merge(of_client);
    }
    report.cycles = told.by_code.values().sum();
    report.figure("statuses", serde_json::to_value(&told.by_code)?);
    for failure in told.failures.into_iter().take(FAILURES_KEPT_MAX) {
        report.fail(failure);
    }
    require_no_panic(&server, &mut report);

    report.rss(server.rss_peak_kb());
    let calls = honest.end(&mut report).await?;
    report.figure("slowest_call_ms", ms(calls.slowest()));
    calls.require_unrefused(&mut report, "beside damaged requests");
    Ok(report)
}

fn require_no_panic(server: &Historian, report: &mut Report) {
    let log = server.log();
    let mut panics = log.lines().filter(|line| line.contains("panicked") || line.contains("a bug")).peekable();
    if let Some(first) = panics.peek() {
        let first = (*first).to_owned();
        report.fail(format!("{} lines of the log tell of panics, the first: {first}", panics.count()));
    }
}
