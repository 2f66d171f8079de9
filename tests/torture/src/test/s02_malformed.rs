//! S2: requests that are sound but for some bytes, at every door. Each has an answer or a status that blames the client; nothing panics, nothing
//! that the historian would call its own fault comes back, and an honest client beside it loses nothing.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use historian_test_support::program::Historian;
use tonic::{Code, Status};

use super::{Mutant, Test};
use crate::{
    attack::call::{Caller, Sent},
    context::Context,
    doors::{self, Door},
    honest::{ATTACKER, HONEST, Honest, ms},
    lane::{Door as LaneDoor, Lane},
    oracle::Dice,
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

/// Clients that send at the same time.
const CLIENTS: u64 = 8;
/// A call that has not ended then is none that ends.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer is read that may go on for ever.
const GLANCE: Duration = Duration::from_millis(50);
/// What a client may be told of requests that are wrong, for whatever reason.
const DEFINED: [Code; 10] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::NotFound,
    Code::AlreadyExists,
    Code::FailedPrecondition,
    Code::OutOfRange,
    Code::ResourceExhausted,
    Code::Unimplemented,
    Code::DeadlineExceeded,
    // Other requests cancel statements, that of this one among them.
    Code::Cancelled,
];
const FAILURES_KEPT_MAX: usize = 5;

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    malformed(context).boxed()
}

/// What came of the requests.
#[derive(Default)]
struct Told {
    by_code: BTreeMap<String, u64>,
    failures: Vec<String>,
}

/// Of each request: what it has become may ask for more than can be answered soon.
const DEADLINE: Duration = Duration::from_secs(3);
/// A server ends a connection after a thousand requests that it had to reset.
const REQUESTS_PER_CONNECTION: u64 = 400;

async fn malformed(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let server = context.launcher(&context.work.join("data"), "")?.start()?;
    // Written to by damaged messages, and read by nobody.
    let lane = Lane::new(context.seed, 8, LaneDoor::Flight, 3, 20, &context.work)?;
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
        clients.spawn(client(server.grpc, doors.clone(), context.seed, context.cycles, next.clone()));
    }
    for of_client in clients.join_all().await {
        for (code, count) in of_client.by_code {
            *told.by_code.entry(code).or_default() += count;
        }
        told.failures.extend(of_client.failures);
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

/// Sends one request after another, each with a number of its own: with the seed it says what is sent.
async fn client(address: SocketAddr, doors: Arc<Vec<Door>>, seed: u64, requests: u64, next: Arc<AtomicU64>) -> Told {
    let (mut told, mut caller, mut sent) = (Told::default(), Caller::new(address, ATTACKER), 0_u64);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests || told.failures.len() >= FAILURES_KEPT_MAX {
            return told;
        }
        let mut dice = Dice::new(seed, number);
        let door = &doors[number as usize % doors.len()];
        let mut messages = door.messages.clone();
        let at = dice.below(messages.len() as u64) as usize;
        let sound = messages[at].len();
        messages[at] = damaged(&mut dice, &messages[at]).into();
        // The length before a message is a part of the request, too.
        let claimed = dice.one_in(20).then(|| dice.below(2 * sound as u64 + 2) as usize);
        sent += 1;
        if sent % REQUESTS_PER_CONNECTION == 0 {
            caller = Caller::new(address, ATTACKER);
        }
        let answer = send(&caller, door, messages, claimed).await;
        told.add(&format!("request {number}, {}, message {at}", door.path), answer);
    }
}

impl Told {
    /// Sends what doors are sent by sound clients.
    async fn sound(&mut self, caller: &Caller, doors: &[Door]) {
        for door in doors {
            self.add(&format!("{}, sound", door.path), send(caller, door, door.messages.clone(), None).await);
        }
    }

    fn add(&mut self, what: &str, answer: Result<Code, Status>) {
        let code = answer.as_ref().map_or_else(Status::code, |code| *code);
        *self.by_code.entry(format!("{code:?}")).or_default() += 1;
        if let Err(status) = answer
            && !DEFINED.contains(&code)
        {
            self.failures.push(format!("{what}: {status}"));
        }
    }
}

/// Sends messages to a door; the first one says to have `claimed` bytes, where that is given.
async fn send(caller: &Caller, door: &Door, messages: Vec<Bytes>, claimed: Option<usize>) -> Result<Code, Status> {
    let length = claimed.or(messages.first().map(Bytes::len)).unwrap_or(0);
    let head = |message: &Bytes| Bytes::from([&[0][..], &(message.len() as u32).to_be_bytes()].concat());
    let pieces = messages.into_iter().enumerate().flat_map(|(index, message)| match index {
        0 => vec![message],
        _ => vec![head(&message), message],
    });
    let sent = Sent::pieces(length, pieces);
    let patience = if door.is_endless { GLANCE } else { PATIENCE };
    match tokio::time::timeout(patience, caller.call(&door.path, sent, Some(DEADLINE))).await {
        Ok(answer) => answer.map(|_| Code::Ok),
        Err(_) if door.is_endless => Ok(Code::Ok),
        Err(_) => Err(Status::unknown(format!("no end within {PATIENCE:?}"))),
    }
}

/// A message with some bytes changed, cut out or put in.
fn damaged(dice: &mut Dice, sound: &[u8]) -> Vec<u8> {
    const EDGES: [u8; 6] = [0, 1, 2, 0x7F, 0x80, 0xFF];
    let mut bytes = sound.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        let end = (at + dice.between(1, 8) as usize).min(bytes.len());
        match dice.below(7) {
            0 => bytes.insert(at, dice.below(256) as u8),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            // A part twice.
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            choice => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = match choice {
                        4 => *byte ^ (1 << dice.below(8)),
                        5 => EDGES[dice.below(6) as usize],
                        _ => byte.wrapping_add(1),
                    };
                }
            }
        }
    }
    bytes
}

fn require_no_panic(server: &Historian, report: &mut Report) {
    let log = server.log();
    let mut panics = log.lines().filter(|line| line.contains("panicked") || line.contains("a bug")).peekable();
    if let Some(first) = panics.peek() {
        let first = (*first).to_owned();
        report.fail(format!("{} lines of the log tell of panics, the first: {first}", panics.count()));
    }
}
