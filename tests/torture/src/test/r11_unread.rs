//! R11: readers that read nothing. Each asks for everything over Flight and then takes no byte more than its windows hold. A reader costs
//! little memory, is cut with a clear status in time, and others beside it get what they ask for.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::Channel};

use super::{Mutant, Test};
use crate::{
    attack::silent::{Left, read_nothing, with_small_windows},
    checker,
    context::Context,
    honest::{ATTACKER, HONEST, Honest, endpoint_from, ms},
    lane::Lane,
    report::{Report, Tally},
    stock::Stock,
    watch::Watch,
};

const PATIENT: &str = "patient";

pub const TEST: Test = Test {
    id: "R11",
    about: "readers that read nothing: little memory each, cut in time, others get their answers",
    unit: "readers",
    cycles: [50, 200, 500],
    mutants: &[Mutant { kind: PATIENT, about: "waits an hour for a reader", cycles: 8 }],
    run,
};

/// How long the server waits for a reader, and how much longer it may take until it has cut it.
const STALLED_S: u64 = 3;
const CUT_WITHIN: Duration = Duration::from_secs(3);
const PATIENT_S: u64 = 3_600;
const GROWTH_MAX_PER_READER_KB: u64 = 8 << 10;
/// Target.
const GROWTH_TARGET_PER_READER_KB: u64 = 4 << 10;
/// What the readers took is free again after this time. Some of what is measured then was written meanwhile.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(2);
/// More of the memory pool than a query reserves.
const POOL_PER_QUERY_MIB: u64 = 32;
/// Queries beside those of the readers.
const OTHERS: u64 = 16;
/// An honest client at its own pace before the readers come.
const IDLE: Duration = Duration::from_secs(1);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    unread(context).boxed()
}

async fn unread(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let stalled_s = if context.mutant == Some(PATIENT) { PATIENT_S } else { STALLED_S };
    let queries = context.cycles + OTHERS;
    // Room for all of them, so that memory is what they take and not what they may.
    let configuration = format!(
        "[limits]\nstalled_reader_s = {stalled_s}\nqueries_max = {queries}\nqueries_per_client_max = {queries}\n\
         memory_bytes_max = \"{} MiB\"\n",
        queries * POOL_PER_QUERY_MIB
    );
    // How long a reader is waited for is an option of the real server; its mutant is the server that waits for ever.
    let launcher = context.real_launcher(&context.work.join("data"), &configuration)?;
    let server = launcher.start()?;
    let stock = Stock::write(context, &server.channel().await?).await?;
    server.stop()?;
    let server = launcher.start()?;
    report.opt("samples", stock.samples());
    report.opt("stalled_reader_s", stalled_s);

    // Everything once, so that caches are full before memory is looked at.
    let beside = endpoint_from(&server, HONEST)?.connect().await?;
    report.tally.add(checker::check(&beside, &stock.lanes, &[]).await?);
    let honest = Honest::start(context, &server, HONEST).await?;
    tokio::time::sleep(IDLE).await;
    report.figure("write_p99_idle_ms", ms(honest.take().writes(99)));

    let before_kb = server.rss_kb();
    let watch = Watch::start(&server, u64::MAX);
    let stop = CancellationToken::new();
    let normal = tokio::spawn(read_on(beside, stock.lanes.clone(), stop.clone()));
    let endpoint = with_small_windows(endpoint_from(&server, ATTACKER)?);
    let mut readers = JoinSet::new();
    for _ in 0..context.cycles {
        let channel = endpoint.connect().await.context("a reader does not get a connection")?;
        readers.spawn(read_nothing(channel, stock.times(), Duration::from_secs(STALLED_S) + CUT_WITHIN));
    }
    let mut met = Met::default();
    while let Some(left) = readers.join_next().await {
        met.add(left?, &mut report);
        report.cycles += 1;
    }
    stop.cancel();
    let (answers, tally) = normal.await??;
    report.tally.add(tally);
    if answers == 0 {
        report.fail("a reader of normal pace got no whole answer");
    }

    let seen = watch.end().await?;
    report.rss(server.rss_peak_kb());
    let per_reader_kb = seen.rss_peak_kb.saturating_sub(before_kb) / context.cycles.max(1);
    report.figure("growth_per_reader_kb", per_reader_kb);
    tokio::time::sleep(GIVEN_BACK_WITHIN).await;
    report.figure("growth_kept_mb", server.rss_kb().saturating_sub(before_kb) / 1_024);
    report.figure("answers_beside", answers);
    report.figure("cut", met.cut);
    report.figure("refused", met.refused);
    report.figure("within_target", per_reader_kb <= GROWTH_TARGET_PER_READER_KB);
    if per_reader_kb > GROWTH_MAX_PER_READER_KB && context.mutant.is_none() {
        report.fail(format!("memory grew by {per_reader_kb} KB for each reader, of {GROWTH_MAX_PER_READER_KB} KB at most"));
    }
    if met.cut * 2 < context.cycles && context.mutant.is_none() {
        report.fail(format!("only {} of {} readers came to be cut, {} were refused", met.cut, context.cycles, met.refused));
    }
    let calls = honest.take();
    report.figure("write_p99_beside_ms", ms(calls.writes(99)));
    calls.require_unrefused(&mut report, "beside the readers");
    honest.end(&mut report).await?.require_unrefused(&mut report, "after the readers");
    report.tally.add(checker::check(&server.channel().await?, &stock.lanes, &[]).await?);
    server.stop()?;
    Ok(report)
}

#[derive(Default)]
struct Met {
    cut: u64,
    refused: u64,
    /// Only the first one is told of.
    wrong: u64,
}

impl Met {
    fn add(&mut self, left: Left, report: &mut Report) {
        let wrong = match left {
            Left::Refused(status) if status.code() == Code::ResourceExhausted => {
                self.refused += 1;
                return;
            }
            Left::Cut(status) if status.code() == Code::DeadlineExceeded && !status.message().is_empty() => {
                self.cut += 1;
                return;
            }
            Left::Refused(status) => format!("a reader was refused: {status}"),
            Left::Cut(status) => format!("a reader was cut without a clear status: {status}"),
            Left::Served(bytes) => {
                format!("a reader was not cut {CUT_WITHIN:?} after the {STALLED_S} s for which it may read nothing; it got {bytes} bytes")
            }
        };
        self.wrong += 1;
        if self.wrong == 1 {
            report.fail(wrong);
        }
        report.figure("not_cut", self.wrong);
    }
}

/// Reads everything again and again, at the pace at which it comes, and counts whole answers.
async fn read_on(channel: Channel, lanes: Vec<Arc<Lane>>, stop: CancellationToken) -> anyhow::Result<(u64, Tally)> {
    let (mut answers, mut tally) = (0, Tally::default());
    while !stop.is_cancelled() {
        tally.add(checker::check(&channel, &lanes, &[]).await?);
        answers += 1;
    }
    Ok((answers, tally))
}
