//! S11: one client with two hundred heavy readers at once, and another one that writes and reads a little. The crowd is served as far as there
//! is room; the other one is not refused, waits no longer than it takes to get a turn, and loses nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use historian_proto::v1::{CompactRequest, admin_service_client::AdminServiceClient};
use historian_test_support::program::Historian;
use tokio_util::sync::CancellationToken;

use super::{Mutant, Test};
use crate::{
    attack::aside::NICE,
    context::{Context, Form},
    crowd::Crowd,
    driver::{self, Events, Pace},
    honest::{ATTACKER, Calls, HONEST, Honest, ms},
    lane::{Door, Lane},
    report::Report,
};

const ONE_CLIENT: &str = "one-client";
const NO_SHARES: &str = "no-shares";

pub const TEST: Test = Test {
    id: "S11",
    about: "two hundred heavy readers of one client: another one is not refused and does not wait",
    unit: "seconds",
    cycles: [6, 30, 300],
    mutants: &[
        Mutant { kind: NO_SHARES, about: "is configured to leave all queries to one client", cycles: 4 },
        Mutant { kind: ONE_CLIENT, about: "takes all clients for one", cycles: 4 },
    ],
    run,
};

const READERS: usize = 200;
const TAGS: usize = 100;
const SAMPLES_PER_BATCH: u64 = 100;
const SAMPLES: u64 = 1_000_000;
const IDLE: Duration = Duration::from_secs(3);
/// Somebody of the crowd is answered, though all of it is at work at the same time.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// No call of the honest client takes longer on any machine.
const CALL_MAX: Duration = Duration::from_secs(2);
/// Target: half as much again as without the crowd, or little more.
const LITTLE: Duration = Duration::from_millis(100);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    fairness(context).boxed()
}

async fn fairness(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.opt("readers", READERS);
    report.opt("attackers_nice", NICE);
    let configuration = if context.mutant == Some(NO_SHARES) { "[limits]\nqueries_max = 8\nqueries_per_client_max = 8\n" } else { "" };
    // To the server clients are addresses, and its shares are options: mutants are the real one.
    let crowd_address = if context.mutant == Some(ONE_CLIENT) { HONEST } else { ATTACKER };
    let server = context.real_launcher(&context.work.join("data"), configuration)?.start()?;
    let lane = fill(context, &server).await?;
    report.figure("samples", lane.acked_samples());

    let honest = Honest::start(context, &server, HONEST).await?;
    tokio::time::sleep(if context.mutant.is_none() { IDLE } else { IDLE / 3 }).await;
    let idle = honest.take();
    idle.require_unrefused(&mut report, "before");

    let crowd = Crowd::start(&server, crowd_address, READERS, &format!("{}/*", lane.prefix), &lane.times(&(0..lane.end())))?;
    let (begun, whole) = (Instant::now(), Duration::from_secs(context.cycles));
    while begun.elapsed() < whole && !honest.is_refused() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        report.cycles = begun.elapsed().as_secs();
    }
    let crowded = honest.take();
    // So many at once are slow, and are answered in the end.
    while crowd.met().answered == 0 && begun.elapsed() < ANSWERED_WITHIN && context.mutant.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let met = crowd.met();
    // Its end is waited for, on a thread that may.
    tokio::task::spawn_blocking(move || drop(crowd)).await?;
    crowded.require_unrefused(&mut report, "beside the crowd");

    report.rss(server.rss_peak_kb());
    let after = honest.end(&mut report).await?;
    after.require_unrefused(&mut report, "after the crowd");
    let slowest = crowded.slowest().max(after.slowest());
    if slowest > CALL_MAX {
        report.fail(format!("a call of the honest client took {slowest:?}"));
    }
    report.figure("crowd_answered", met.answered);
    report.figure("crowd_refused", met.refused);
    if met.failed > 0 {
        report.fail(format!("{} calls of the crowd failed: {}", met.failed, met.failures.join("; ")));
    }
    if met.answered == 0 {
        report.fail("nothing of the crowd was answered");
    }
    report.figure("slowest_call_ms", ms(slowest));
    figures(&mut report, &idle, &crowded);
    Ok(report)
}

/// Stores what the crowd will read, and seals it.
async fn fill(context: &Context, server: &Historian) -> anyhow::Result<Arc<Lane>> {
    let lane = Arc::new(Lane::new(context.seed, 1, Door::Flight, TAGS, SAMPLES_PER_BATCH, &context.work)?);
    let samples = if context.form == Form::Brief { SAMPLES } else { 2 * SAMPLES };
    let (channel, stop, events) = (server.channel().await?, CancellationToken::new(), Arc::<Events>::default());
    let filling = {
        let (channel, lanes, events, stop) = (channel.clone(), vec![lane.clone()], events.clone(), stop.clone());
        tokio::spawn(async move { driver::run(&channel, &lanes, Pace::default(), &events, &stop).await })
    };
    while lane.acked_samples() < samples {
        anyhow::ensure!(events.first_refusal().is_none(), "the server refuses what the crowd is to read: {:?}", events.all().last());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    filling.await?;
    AdminServiceClient::new(channel).compact(CompactRequest {}).await?;
    Ok(lane)
}

fn figures(report: &mut Report, idle: &Calls, crowded: &Calls) {
    let target = |idle: Duration| (idle * 3 / 2).max(idle + LITTLE);
    let p99 = [(idle.writes(99), crowded.writes(99)), (idle.reads(99), crowded.reads(99))];
    for (name, took) in [
        ("write_p50_idle_ms", idle.writes(50)),
        ("write_p99_idle_ms", idle.writes(99)),
        ("read_p50_idle_ms", idle.reads(50)),
        ("read_p99_idle_ms", idle.reads(99)),
        ("write_p50_crowded_ms", crowded.writes(50)),
        ("write_p99_crowded_ms", crowded.writes(99)),
        ("read_p50_crowded_ms", crowded.reads(50)),
        ("read_p99_crowded_ms", crowded.reads(99)),
    ] {
        report.figure(name, ms(took));
    }
    report.figure("within_target", p99.iter().all(|(idle, crowded)| *crowded <= target(*idle)));
}
