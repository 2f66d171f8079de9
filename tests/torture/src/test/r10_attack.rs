//! R10: queries of death. Hundreds of aggregates at once, readers of everything, SQL that gathers and grows, thousands of globs, messages
//! that are never finished or larger than they look, from several addresses. The server refuses what it cannot bear, by name and in time;
//! its memory stays within the pool; an honest client beside it writes on, and nothing of it is lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use historian_test_support::program::Historian;

use super::{Mutant, Test};
use crate::{
    attack::{KINDS, Kind, Material, Messages, Outcomes, aside::NICE, strike},
    checker,
    context::Context,
    honest::{Calls, HONEST, Honest, endpoint_from, ms},
    report::Report,
    stock::Stock,
    watch::{Watch, metric},
};

const BOUNDLESS: &str = "boundless";

pub const TEST: Test = Test {
    id: "R10",
    about: "queries of death: memory within the pool, refusals by name and in time, an honest writer goes on",
    unit: "attacks",
    cycles: [5, 20, 200],
    mutants: &[Mutant { kind: BOUNDLESS, about: "is configured with a pool larger than the machine", cycles: 3 }],
    run,
};

const POOL_MIB: u64 = 192;
/// Above the pool: a tenth of it, what one message may be, and what allocators keep.
const GROWTH_MAX_KB: u64 = (POOL_MIB + POOL_MIB / 10 + 128) << 10;
/// Target: of that 64 MiB for what is no query.
const GROWTH_TARGET_KB: u64 = (POOL_MIB + POOL_MIB / 10 + 64) << 10;
/// What is not given back may be no more than this.
const KEPT_MAX_KB: u64 = 64 << 10;
/// Target: under attack 99 of 100 writes take no more than so many times what they take without.
const SLOWER_MAX: f64 = 2.0;
const IDLE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(5);
/// Threads of statements that were ended are back within this time.
const THREADS_BACK: Duration = Duration::from_secs(2);
/// Generous: metrics that take longer are dead on any machine.
const METRICS_MAX: Duration = Duration::from_secs(10);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    survive(context).boxed()
}

fn configuration(context: &Context) -> String {
    // The pool is an option of the real server; its mutant is the server with one that bounds nothing, and none of the bounds beside it.
    if context.mutant == Some(BOUNDLESS) {
        "[limits]\nmemory_bytes_max = \"64 GiB\"\nquery_memory_bytes_max = \"16 GiB\"\nsql_memory_bytes_max = \"16 GiB\"\n\
         sql_memory_total_bytes_max = \"64 GiB\"\nqueries_max = 4000\nqueries_per_client_max = 4000\n"
            .to_owned()
    } else {
        format!("[limits]\nmemory_bytes_max = \"{POOL_MIB} MiB\"\n")
    }
}

async fn survive(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let launcher = context.real_launcher(&context.work.join("data"), &configuration(context))?;
    // What the writing leaves in memory goes with a restart.
    let server = launcher.start()?;
    let stock = Stock::write(context, &server.channel().await?).await?;
    server.stop()?;
    let mut server = launcher.start()?;
    report.opt("pool_mb", POOL_MIB);
    report.opt("attackers_nice", NICE);
    report.opt("samples", stock.samples());
    let material = Material { messages: Messages::new().await?, times: stock.times() };

    // Everything once, so that caches are full before memory is looked at.
    report.tally.add(checker::check(&endpoint_from(&server, HONEST)?.connect().await?, &stock.lanes, &[]).await?);
    let honest = Honest::start(context, &server, HONEST).await?;
    tokio::time::sleep(IDLE).await;
    let idle = honest.take();
    let (before_kb, start_peak_kb) = (server.rss_kb(), server.rss_peak_kb());
    let watch = Watch::start(&server, before_kb + GROWTH_MAX_KB);

    let mut attacked = Attacked::default();
    for cycle in 0..context.cycles {
        let kind = &KINDS[(cycle % KINDS.len() as u64) as usize];
        let calls = (kind.calls)(&material, &mut context.dice(cycle));
        let begun = Instant::now();
        let outcomes = strike(server.grpc, calls, watch.passed.clone()).await?;
        eprintln!(
            "torture: R10 {} in {:.1?}: {} answered, {} refused, {} left, {:.0?} late at most",
            kind.name,
            begun.elapsed(),
            outcomes.answered,
            outcomes.refused,
            outcomes.gone,
            outcomes.late
        );
        if !watch.passed.is_cancelled() {
            threads_come_back(&server, kind, &mut report).await;
        }
        attacked.add(kind, outcomes, honest.take(), &mut report);
        report.cycles = cycle + 1;
        context.progress("R10", cycle + 1, &report);
        if watch.passed.is_cancelled() || (context.mutant.is_some() && !report.pass()) {
            break;
        }
    }

    let passed = watch.passed.is_cancelled();
    if passed {
        // It may grow on until nothing is left of the machine.
        report.rss(server.rss_peak_kb());
        server.kill();
    } else {
        tokio::time::sleep(AFTER).await;
    }
    let after_kb = server.rss_kb();
    report.rss(server.rss_peak_kb());
    let seen = watch.end().await?;
    // The system's own peak has what no look saw, unless that was the start's.
    let peak_kb = if report.rss_peak_kb > start_peak_kb { report.rss_peak_kb } else { seen.rss_peak_kb };
    let growth_kb = peak_kb.saturating_sub(before_kb);
    report.figure("growth_peak_mb", growth_kb / 1_024);
    report.figure("growth_max_mb", GROWTH_MAX_KB / 1_024);
    if growth_kb > GROWTH_MAX_KB {
        let [growth, most] = [growth_kb, GROWTH_MAX_KB].map(|kb| kb / 1_024);
        report.fail(format!("memory grew by {growth} MB, of {most} MB that the pool permits"));
    }
    if seen.metrics_slowest > METRICS_MAX {
        report.fail(format!("metrics took {:?}", seen.metrics_slowest));
    }
    report.figure("metrics_slowest_ms", ms(seen.metrics_slowest));
    let within = attacked.tell(&idle, &mut report);
    if passed {
        // There is no server any more that could be asked.
        let _ = honest.end(&mut Report::default()).await;
        return Ok(report);
    }

    let kept_kb = after_kb.saturating_sub(before_kb);
    report.figure("growth_kept_mb", kept_kb / 1_024);
    report.figure("within_target", within && kept_kb <= KEPT_MAX_KB && growth_kb <= GROWTH_TARGET_KB);
    pool_is_told(&server, context, &mut report).await;
    let last = honest.end(&mut report).await?;
    refused_writes(&last, "after the attacks", &mut report);
    report.tally.add(checker::check(&server.channel().await?, &stock.lanes, &[]).await?);
    if let Some(line) = server.log().lines().find(|line| line.contains("panicked")) {
        report.fail(format!("a bug was met: {line}"));
    }
    server.stop()?;
    Ok(report)
}

/// Statements that were ended have given their threads back.
async fn threads_come_back(server: &Historian, kind: &Kind, report: &mut Report) {
    let begun = Instant::now();
    loop {
        let running = metric(server, "historian_sql_statements_running").await;
        if running == Some(0) {
            return;
        }
        if begun.elapsed() > THREADS_BACK {
            let count = running.map_or("it is not told how many".to_owned(), |count| count.to_string());
            return report.fail(format!("{}: {count} statements run {THREADS_BACK:?} after the last call has ended", kind.name));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn pool_is_told(server: &Historian, context: &Context, report: &mut Report) {
    if let Some(taken) = metric(server, "historian_memory_pool_taken_bytes").await {
        report.figure("pool_taken_after_mb", taken >> 20);
    }
    let told = metric(server, "historian_memory_pool_max_bytes").await;
    if context.mutant.is_none() && told != Some(POOL_MIB << 20) {
        report.fail(format!("of a pool of {POOL_MIB} MiB the metrics tell {told:?} bytes"));
    }
}

fn refused_writes(calls: &Calls, when: &str, report: &mut Report) {
    let writes: Vec<&String> = calls.refused.iter().filter(|words| words.starts_with("a write")).collect();
    if let Some(first) = writes.first() {
        report.fail(format!("{when}: {} writes of the honest client were refused: {first}", writes.len()));
    }
    report.count("honest_reads_refused", (calls.refused.len() - writes.len()) as u64);
}

/// What attacks have done so far.
#[derive(Default)]
struct Attacked {
    /// Of the honest client.
    calls: Calls,
    /// 99 of 100 writes took so long in the worst attack of each kind.
    write_p99_ms: BTreeMap<&'static str, f64>,
    late: Duration,
}

impl Attacked {
    fn add(&mut self, kind: &Kind, outcomes: Outcomes, calls: Calls, report: &mut Report) {
        report.count("answered", outcomes.answered);
        report.count("refused", outcomes.refused);
        report.count("left", outcomes.gone);
        for finding in outcomes.findings {
            report.fail(format!("{}: {finding}", kind.name));
        }
        refused_writes(&calls, kind.name, report);
        self.late = self.late.max(outcomes.late);
        let worst = self.write_p99_ms.entry(kind.name).or_default();
        *worst = worst.max(ms(calls.writes(99)));
        self.calls.add(calls);
    }

    /// Puts it into the report; whether writes were as quick as they should be.
    fn tell(&self, idle: &Calls, report: &mut Report) -> bool {
        let (usual, attacked) = (idle.writes(99), self.calls.writes(99));
        report.figure("late_max_ms", ms(self.late));
        report.figure("write_p99_idle_ms", ms(usual));
        report.figure("write_p99_attacked_ms", ms(attacked));
        report.figure("read_p99_idle_ms", ms(idle.reads(99)));
        report.figure("read_p99_attacked_ms", ms(self.calls.reads(99)));
        report.figure("write_p99_by_attack_ms", serde_json::json!(self.write_p99_ms));
        attacked.as_secs_f64() <= usual.as_secs_f64() * SLOWER_MAX
    }
}
