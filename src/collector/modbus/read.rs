//! Reads one group once: block by block, halving blocks that the device refuses, and hands every item's outcome to the caller.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    group::{Group, Refused},
    link::{Link, Received},
    outcome::{Exception, Failure},
    plan::{Block, Item},
    tag::ModbusTag,
    transport::{ReadRequest, Reply},
};
use crate::model::{Timestamp, Value};

/// What became of one item.
pub enum Outcome {
    Good(Value),
    /// Exception code.
    Exception(u8),
}

/// Where the outcomes of a reading go.
pub trait Outcomes {
    fn item(&mut self, item: &Item, outcome: Outcome, at: Timestamp, latency: Duration);
}

/// Why a reading ended before its last block.
pub enum Interrupted {
    /// There is no reply, and no connection any more.
    Failed(Failure),
    /// A gateway answered that it does not reach the unit, with this exception code.
    Unreachable(u8),
}

/// How far learning may go in one reading.
#[derive(Clone, Copy)]
pub struct Learning {
    /// Refusals followed up at once; further halves wait for the next reading, so that one group cannot hold up the others.
    pub halvings_max: usize,
    pub reprobe: Duration,
}

/// Reads every block of `group` once, then the holes whose time has come.
pub async fn read(
    group: &mut Group,
    link: &mut Link,
    tags: &[ModbusTag],
    learning: Learning,
    outcomes: &mut impl Outcomes,
) -> Result<(), Interrupted> {
    let mut queue: VecDeque<Block> = group.start().into();
    let mut kept: Vec<Block> = Vec::with_capacity(queue.len());
    let mut halvings_left = learning.halvings_max;
    let mut holes_learned = false;
    let mut result = Ok(());
    while let Some(block) = queue.pop_front() {
        let request = ReadRequest { unit: group.unit, area: group.area, start: block.start, count: block.count };
        let Received { reply, at, latency } = match link.read(request).await {
            Ok(received) => received,
            Err(failure) => {
                kept.push(block);
                result = Err(Interrupted::Failed(failure));
                break;
            }
        };
        let Reply::Exception(code) = reply else {
            deliver(&block, &reply, tags, at, latency, outcomes);
            kept.push(block);
            continue;
        };
        match Exception::of(code) {
            Exception::Unreachable => {
                kept.push(block);
                result = Err(Interrupted::Unreachable(code));
                break;
            }
            Exception::Refused => match group.refused(&block, code) {
                Refused::Halves(first, second) if halvings_left > 0 => {
                    halvings_left -= 1;
                    queue.push_front(second);
                    queue.push_front(first);
                }
                Refused::Halves(first, second) => {
                    refuse(&block, code, at, latency, outcomes);
                    kept.extend([first, second]);
                }
                Refused::Hole => {
                    refuse(&block, code, at, latency, outcomes);
                    holes_learned = true;
                }
            },
            Exception::Busy | Exception::Broken(_) => {
                refuse(&block, code, at, latency, outcomes);
                kept.push(block);
            }
        }
    }
    kept.extend(queue);
    group.finish(kept, holes_learned, Instant::now(), learning.reprobe);
    result?;
    if !holes_learned {
        probe(group, link, tags, learning, outcomes).await?;
    }
    Ok(())
}

/// Asks for some of the refused addresses again. One answer is enough to plan everything anew, from the next reading on.
async fn probe(
    group: &mut Group,
    link: &mut Link,
    tags: &[ModbusTag],
    learning: Learning,
    outcomes: &mut impl Outcomes,
) -> Result<(), Interrupted> {
    for block in group.holes_to_probe(Instant::now(), learning.reprobe) {
        let request = ReadRequest { unit: group.unit, area: group.area, start: block.start, count: block.count };
        let Received { reply, at, latency } = link.read(request).await.map_err(Interrupted::Failed)?;
        if let Reply::Exception(code) = reply {
            refuse(&block, code, at, latency, outcomes);
        } else {
            deliver(&block, &reply, tags, at, latency, outcomes);
            group.forget_holes();
            return Ok(());
        }
    }
    Ok(())
}

fn refuse(block: &Block, code: u8, at: Timestamp, latency: Duration, outcomes: &mut impl Outcomes) {
    for item in &block.items {
        outcomes.item(item, Outcome::Exception(code), at, latency);
    }
}

fn deliver(block: &Block, reply: &Reply, tags: &[ModbusTag], at: Timestamp, latency: Duration, outcomes: &mut impl Outcomes) {
    for item in &block.items {
        let decoder = &tags[item.tag].decoder;
        let first = usize::from(item.start - block.start);
        // The transport hands out exactly what was asked for, and the plan put every item inside its block.
        let value = match reply {
            Reply::Registers(words) => decoder.registers(&words[first..first + usize::from(item.count)]),
            Reply::Bits(bits) => decoder.bit(bits[first]),
            Reply::Exception(_) => continue,
        };
        outcomes.item(item, Outcome::Good(value), at, latency);
    }
}
