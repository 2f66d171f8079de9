//! SOAK: a plant for a while. Writers at a steady pace, readers, subscriptions, and one attacker of each kind in turn with a rest after each.
//! Nothing is refused or lost, every subscription is complete, memory stays where it is, and writes are hardly slower than without attackers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use historian_test_support::program::Historian;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Mutant, Test};
use crate::{
    attack::{
        aside::NICE,
        idle::files,
        turn::{ATTACKERS, Attacker, Met, Scene},
    },
    checker,
    context::{Context, Form},
    dashboard::{Asked, Dashboards},
    driver::{self, Events, Pace},
    follow::Following,
    honest::{ms, quantile},
    lane::{Door, Lane},
    report::Report,
    stock::Stock,
    watch::Series,
};

pub const TEST: Test = Test {
    id: "SOAK",
    about: "200,000 samples/s, 50 readers, 5 subscriptions, every attacker in turn: nothing lost, memory flat, writes hardly slower",
    unit: "attackers",
    cycles: [10, 10, 30],
    mutants: &[
        Mutant { kind: "loses", about: "forgets some writes", cycles: 1 },
        Mutant { kind: "leaks", about: "keeps memory of each write", cycles: 4 },
    ],
    run,
};

const LANES: usize = 10;
const TAGS_PER_LANE: usize = 200;
/// From one batch of a lane to the next.
const BEAT: Duration = Duration::from_millis(100);
/// The first lane: its tags are not one damage away from those that damaged messages write to.
const FIRST_LANE: usize = 100;
const READERS: u8 = 50;
const SUBSCRIPTIONS: usize = 5;
const TAGS_PER_SUBSCRIPTION: usize = 10;
/// What a subscription may lag behind the last write.
const LAG_MAX: Duration = Duration::from_secs(30);
/// Of a usual machine; the default depends on the machine.
const POOL_MIB: u64 = 512;
const STALLED_S: u64 = 10;
/// Memory after rests of the second half: at most a tenth and 64 MiB more than after rests of the first half.
const KEPT_MAX_KB: u64 = 64 << 10;
/// Target: under attack 99 of 100 writes take no more than so many times what they take without.
const SLOWER_MAX: u32 = 2;
/// Target: of the pace that is meant, in hundredths.
const PACE_PERCENT_MIN: u64 = 98;
/// Phases without attackers: before all of them, after each, and while everybody begins and ends, which has no pace.
const IDLE: &str = "idle";
const REST: &str = "rest";
const OUTSIDE: &str = "outside";

/// How long each part takes, and how much is written.
struct Plan {
    warm_up: Duration,
    idle: Duration,
    attack: Duration,
    rest: Duration,
    samples_per_batch: u64,
    connections: usize,
}

fn plan(form: Form) -> Plan {
    let ms = Duration::from_millis;
    let (warm_up, idle, attack, rest, samples_per_batch, connections) = match form {
        Form::Brief => (ms(500), ms(1_500), ms(800), ms(300), 2, 500),
        Form::Short => (ms(5_000), ms(10_000), ms(4_000), ms(2_000), 10, 2_000),
        Form::Long => (ms(60_000), ms(120_000), ms(36_000), ms(18_000), 10, 4_000),
    };
    Plan { warm_up, idle, attack, rest, samples_per_batch, connections }
}

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    soak(context).boxed()
}

async fn soak(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let plan = plan(context.form);
    let pace = plan.samples_per_batch * (LANES * TAGS_PER_LANE) as u64 * 1_000 / BEAT.as_millis() as u64;
    // Connections of attackers are files of this process, too.
    let connections = plan.connections.min((files()? / 4) as usize);
    for (name, value) in [
        ("samples_per_s", json!(pace)),
        ("tags", json!(LANES * TAGS_PER_LANE)),
        ("readers", json!(READERS)),
        ("subscriptions", json!(SUBSCRIPTIONS)),
        ("pool_mb", json!(POOL_MIB)),
        ("attackers_nice", json!(NICE)),
        ("attack_s", json!(plan.attack.as_secs_f64())),
        ("rest_s", json!(plan.rest.as_secs_f64())),
    ] {
        report.opt(name, value);
    }
    let configuration = format!("[limits]\nmemory_bytes_max = \"{POOL_MIB} MiB\"\nstalled_reader_s = {STALLED_S}\n");
    let server = context.launcher(&context.work.join("data"), &configuration)?.start()?;
    let stock = Stock::write(context, &server.channel().await?).await?;
    let mut scene = Scene::new(context, &server, &stock, Duration::from_secs(STALLED_S)).await?;
    scene.connections = connections;

    let plant = Plant::start(context, &server, &plan).await?;
    let series = Series::start(&server);
    tokio::time::sleep(plan.warm_up).await;
    let mut phases = Phases::default();
    phases.add(OUTSIDE, Phase { took: Duration::ZERO, ..plant.take(Instant::now()) });
    let begun = Instant::now();
    tokio::time::sleep(plan.idle).await;
    phases.add(IDLE, plant.take(begun));
    eprintln!("torture: SOAK without attackers: {}", phases.last);

    let mut rests_kb = Vec::new();
    for cycle in 0..context.cycles {
        let attacker = &ATTACKERS[(cycle % ATTACKERS.len() as u64) as usize];
        let begun = Instant::now();
        let met = attack(attacker, &scene, &server, context, cycle, plan.attack).await?;
        phases.add(attacker.name(), plant.take(begun));
        let under = phases.last.clone();
        let begun = Instant::now();
        tokio::time::sleep(plan.rest).await;
        phases.add(REST, plant.take(begun));
        rests_kb.push(server.rss_kb());
        report.cycles = cycle + 1;
        eprintln!(
            "torture: SOAK {}/{} {}: {under}; {} served, {} refused; after it: {}; {} MB, {} acknowledged",
            cycle + 1,
            context.cycles,
            attacker.name(),
            met.served,
            met.refused,
            phases.last,
            rests_kb.last().copied().unwrap_or(0) / 1_024,
            plant.acked_samples()
        );
        if phases.is_over() {
            break;
        }
    }

    let seen_kb = series.end().await?;
    report.rss(server.rss_peak_kb());
    memory(&mut report, &rests_kb, &seen_kb);
    plant.end(&server, &mut phases, &mut report).await?;
    report.tally.add(checker::check(&server.channel().await?, &stock.lanes, &[]).await?);
    phases.tell(pace, &mut report);
    let log = server.log();
    if let Some(line) = log.lines().find(|line| line.contains("panicked") || line.contains("a bug")) {
        report.fail(format!("a bug was met: {line}"));
    }
    server.stop()?;
    Ok(report)
}

/// Sends an attacker for so long.
async fn attack(
    attacker: &Attacker,
    scene: &Scene,
    server: &Historian,
    context: &Context,
    cycle: u64,
    long: Duration,
) -> anyhow::Result<Met> {
    let stop = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(long).await;
        stop.cancel();
    };
    let (met, ()) = tokio::join!(attacker.attack(scene, server, context.dice(cycle), stop.clone()), stopping);
    met
}

/// Honest clients at work.
struct Plant {
    lanes: Vec<Arc<Lane>>,
    events: Arc<Events>,
    stop: CancellationToken,
    writers: JoinHandle<()>,
    dashboards: Dashboards,
    subscriptions: Vec<Following>,
}

impl Plant {
    async fn start(context: &Context, server: &Historian, plan: &Plan) -> anyhow::Result<Plant> {
        let lane = |index| {
            anyhow::Ok(Arc::new(Lane::new(context.seed, index, Door::Flight, TAGS_PER_LANE, plan.samples_per_batch, &context.work)?))
        };
        let lanes = (FIRST_LANE..FIRST_LANE + LANES).map(lane).collect::<anyhow::Result<Vec<_>>>()?;
        let mut subscriptions = Vec::new();
        for (number, lane) in (0..SUBSCRIPTIONS as u8).zip(&lanes) {
            let source = IpAddr::V4(Ipv4Addr::new(127, 0, 2, number + 1));
            subscriptions.push(Following::start(server.grpc, source, lane.clone(), TAGS_PER_SUBSCRIPTION).await?);
        }
        let (events, stop, channel) = (Arc::<Events>::default(), CancellationToken::new(), server.channel().await?);
        let writers = {
            let (lanes, events, stop) = (lanes.clone(), events.clone(), stop.clone());
            let pace = Pace { every: Some(BEAT), ..Pace::default() };
            tokio::spawn(async move { driver::run(&channel, &lanes, pace, &events, &stop).await })
        };
        let dashboards = Dashboards::start(server.grpc, &lanes, context.seed, READERS)?;
        Ok(Plant { lanes, events, stop, writers, dashboards, subscriptions })
    }

    fn acked_samples(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.acked_samples()).sum()
    }

    /// What happened since the last look, which was at `begun`.
    fn take(&self, begun: Instant) -> Phase {
        let mut phase = Phase { took: begun.elapsed(), asked: self.dashboards.take(), ..Phase::default() };
        for event in self.events.take() {
            match event.refusal {
                None => phase.writes.push(event.at.duration_since(event.sent)),
                Some(status) => phase.refused.push(status.to_string()),
            }
        }
        phase.samples = phase.writes.len() as u64 * self.lanes[0].batch_samples();
        phase
    }

    /// Ends everybody and holds what is stored, and what came to subscriptions, against what was acknowledged.
    async fn end(mut self, server: &Historian, phases: &mut Phases, report: &mut Report) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.stop.cancel();
        tokio::time::timeout(LAG_MAX, &mut self.writers).await??;
        report.tally.add(self.dashboards.end().await?);
        phases.add(OUTSIDE, Phase { took: Duration::ZERO, ..self.take(begun) });
        let latest = tokio::time::Instant::now() + LAG_MAX;
        let (mut complete, mut came, mut resumed) = (0, 0, 0);
        for (number, subscription) in (1..).zip(self.subscriptions) {
            let (followed, expected) = subscription.end(latest).await?;
            came += followed.samples;
            resumed += followed.resumed;
            if followed.samples == expected && [followed.missing, followed.again, followed.other] == [0; 3] && followed.ended.is_none() {
                complete += 1;
            } else {
                report.fail(format!("subscription {number} is incomplete: of {expected} samples, {followed:?}"));
            }
        }
        report.figure("subscriptions", json!({ "complete": complete, "samples": came, "resumed": resumed }));

        eprintln!("torture: SOAK reads everything back");
        let begun = Instant::now();
        let mut checking = JoinSet::new();
        for lanes in self.lanes.chunks(LANES / 2) {
            let (lanes, channel) = (lanes.to_vec(), server.channel().await?);
            checking.spawn(async move { checker::check(&channel, &lanes, &[]).await });
        }
        for found in checking.join_all().await {
            report.tally.add(found?);
        }
        report.figure("read_back_s", begun.elapsed().as_secs());
        report.tally.acked = self.lanes.iter().map(|lane| lane.acked_samples()).sum();
        if report.tally.acked == 0 {
            report.fail("nothing was acknowledged");
        }
        Ok(())
    }
}

/// What happened in a phase, or in all of one kind.
#[derive(Default)]
struct Phase {
    took: Duration,
    samples: u64,
    writes: Vec<Duration>,
    refused: Vec<String>,
    asked: Asked,
}

impl Phase {
    fn samples_per_s(&self) -> u64 {
        (self.samples as f64 / self.took.as_secs_f64().max(0.001)) as u64
    }

    fn words(&self) -> String {
        let [write, slow_write] = [50, 99].map(|percent| ms(quantile(&self.writes, percent)));
        let [read, slow_read] = [50, 99].map(|percent| ms(self.asked.took(percent)));
        format!("{}/s, writes {write} and {slow_write} ms, reads {read} and {slow_read} ms", self.samples_per_s())
    }

    fn add(&mut self, later: Phase) {
        self.took += later.took;
        self.samples += later.samples;
        self.writes.extend(later.writes);
        self.refused.extend(later.refused);
        self.asked.add(later.asked);
    }
}

/// All phases, by their kind.
#[derive(Default)]
struct Phases {
    by_name: BTreeMap<&'static str, Phase>,
    /// The last one in words.
    last: String,
}

impl Phases {
    fn add(&mut self, name: &'static str, phase: Phase) {
        self.last = phase.words();
        self.by_name.entry(name).or_default().add(phase);
    }

    /// A writer has ended with a refusal: nothing can be learned any more.
    fn is_over(&self) -> bool {
        self.by_name.values().any(|phase| !phase.refused.is_empty())
    }

    fn each(&self, figure: impl Fn(&Phase) -> Value) -> Value {
        let figures = self.by_name.iter().filter(|(_, phase)| !phase.took.is_zero());
        figures.map(|(name, phase)| ((*name).to_owned(), figure(phase))).collect::<serde_json::Map<_, _>>().into()
    }

    fn tell(&self, pace: u64, report: &mut Report) {
        for (name, phase) in &self.by_name {
            if let Some(first) = phase.refused.first() {
                report.fail(format!("{name}: {} writes were refused: {first}", phase.refused.len()));
            }
            if phase.asked.failed > 0 {
                report.fail(format!("{name}: {} reads failed: {}", phase.asked.failed, phase.asked.failures.join("; ")));
            }
            report.count("reads", phase.asked.answered() as u64);
            report.count("reads_refused", phase.asked.refused.values().sum());
        }
        report.figure("write_p50_ms", self.each(|phase| json!(ms(quantile(&phase.writes, 50)))));
        report.figure("write_p99_ms", self.each(|phase| json!(ms(quantile(&phase.writes, 99)))));
        report.figure("write_slowest_ms", self.each(|phase| json!(ms(quantile(&phase.writes, 100)))));
        report.figure("read_p50_ms", self.each(|phase| json!(ms(phase.asked.took(50)))));
        report.figure("read_p99_ms", self.each(|phase| json!(ms(phase.asked.took(99)))));
        report.figure("reads_refused_by_phase", self.each(|phase| json!(phase.asked.refused)));
        report.figure("taken_per_s", self.each(|phase| json!(phase.samples_per_s())));
        let usual = self.by_name.get(IDLE).map_or(Duration::ZERO, |phase| quantile(&phase.writes, 99));
        let is_quick = |phase: &Phase| quantile(&phase.writes, 99) <= usual * SLOWER_MAX;
        let keeps_pace = |phase: &Phase| phase.samples_per_s() * 100 >= pace * PACE_PERCENT_MIN;
        let phases: Vec<&Phase> = self.by_name.values().filter(|phase| !phase.took.is_zero()).collect();
        report.figure("within_target", phases.iter().all(|phase| is_quick(phase) && keeps_pace(phase)));
    }
}

/// Whether memory stays where it is once attackers have gone.
fn memory(report: &mut Report, rests_kb: &[u64], seen_kb: &[u64]) {
    let mb = |kb: &u64| kb / 1_024;
    let median = |kb: &[u64]| {
        let mut sorted = kb.to_vec();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map_or(0, mb)
    };
    let (first, second) = rests_kb.split_at(rests_kb.len() / 2);
    let [first_kb, second_kb] = [first, second].map(|half| half.iter().max().copied().unwrap_or(0));
    let most_kb = first_kb + first_kb / 10 + KEPT_MAX_KB;
    report.figure("rss_after_rests_mb", rests_kb.iter().map(mb).collect::<Vec<_>>());
    let (highest, at_most) = (seen_kb.iter().max().map_or(0, mb), mb(&most_kb));
    report.figure(
        "rss_mb",
        json!({
            "looks": seen_kb.len(), "median": median(seen_kb), "highest": highest,
            "first_half": mb(&first_kb), "second_half": mb(&second_kb), "at_most": at_most,
        }),
    );
    if !first.is_empty() && second_kb > most_kb {
        report.fail(format!("memory grows: {} MB after rests of the second half, of at most {at_most} MB", mb(&second_kb)));
    }
}
