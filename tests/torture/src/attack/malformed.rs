//! Requests that are sound but for some bytes, at every door.

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
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::call::{Caller, Sent};
use crate::{doors::Door, honest::ATTACKER, oracle::Dice};

/// Clients that send at the same time.
pub const CLIENTS: u64 = 8;
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
pub const FAILURES_KEPT_MAX: usize = 5;
/// Of each request: what it has become may ask for more than can be answered soon.
const DEADLINE: Duration = Duration::from_secs(3);
/// A server ends a connection after a thousand requests that it had to reset.
const REQUESTS_PER_CONNECTION: u64 = 400;

/// What came of the requests.
#[derive(Default)]
pub struct Told {
    pub by_code: BTreeMap<String, u64>,
    pub failures: Vec<String>,
}

/// Sends one request after another, each with a number of its own: with the seed it says what is sent. Ends with the last one, after
/// a few that may not have failed as they did, or at `stop`, with the request under way.
pub async fn client(
    address: SocketAddr,
    doors: Arc<Vec<Door>>,
    seed: u64,
    requests: u64,
    next: Arc<AtomicU64>,
    stop: CancellationToken,
) -> Told {
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
        let Some(answer) = stop.run_until_cancelled(send(&caller, door, messages, claimed)).await else { return told };
        told.add(&format!("request {number}, {}, message {at}", door.path), answer);
    }
}

impl Told {
    /// Sends what doors are sent by sound clients.
    pub async fn sound(&mut self, caller: &Caller, doors: &[Door]) {
        for door in doors {
            self.add(&format!("{}, sound", door.path), send(caller, door, door.messages.clone(), None).await);
        }
    }

    /// Takes in what came of others.
    pub fn merge(&mut self, others: Told) {
        for (code, count) in others.by_code {
            *self.by_code.entry(code).or_default() += count;
        }
        self.failures.extend(others.failures);
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
