//! Reads the groups of one unit once: block by block, halving blocks that the device refuses, and hands every item's outcome to the caller.
//!
//! A block that brings no values, for whatever reason, costs only its own items as long as the unit answers anywhere else: it may reach
//! across addresses that the device does not have, or be longer than the device answers, and devices say so with any exception, with too few
//! values, with silence, or by closing the connection. Such a block is asked for in parts; where these are answered and the whole again is
//! not, it is read in parts from then on.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    decode::MissingValue,
    group::{RefusedBlock, ScanGroup},
    link::{Attempts, Link, Received},
    outcome::{Exception, Failure, RequestTrouble, exception_text},
    plan::{Block, RegisterSpan},
    tag::ModbusTag,
    transport::{ModbusReply, ReadRequest},
};
use historian_model::{Timestamp, Value};

/// Blocks without an answer after which a unit that has not answered at all, and does not answer for one item alone, is taken for dead.
const SILENT_MAX: usize = 2;
/// Requests made in one reading in looking for parts of blocks that answer, and how many of them may stay without an answer: while the line
/// waits for these, nothing else of it is read.
const SEARCH_MAX: usize = 40;
const SEARCH_SILENT_MAX: usize = 16;
/// Times in a row that an item may stay without an answer, while its unit answers, before it is asked for slowly.
const FAILURES_MAX: u32 = 3;

/// What became of one item.
pub enum Outcome {
    Good(Value),
    /// The device was read, and has no value.
    Missing(MissingValue),
    Trouble(RequestTrouble),
}

/// Where the outcomes of a reading go.
pub trait Outcomes {
    fn item(&mut self, item: &RegisterSpan, outcome: Outcome, at: Timestamp, latency: Duration);

    /// The registers of an item as they came, before its outcome.
    fn registers(&mut self, _item: &RegisterSpan, _words: &[u16]) {}

    /// Something that the engineer should know and that is no item's outcome.
    fn note(&mut self, text: String);

    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Why a reading ended before its last block.
pub enum Interrupted {
    /// There is no reply.
    Failed(Failure),
    /// A gateway answered that it does not reach the unit, with this exception code.
    Unreachable(u8),
}

impl From<RequestTrouble> for Interrupted {
    fn from(trouble: RequestTrouble) -> Interrupted {
        match trouble {
            RequestTrouble::Exception(code) => Interrupted::Unreachable(code),
            RequestTrouble::Failure(failure) => Interrupted::Failed(failure),
        }
    }
}

/// How far learning may go in one reading.
#[derive(Clone, Copy)]
pub struct Learning {
    /// Refusals followed up at once; further halves wait for the next reading, so that one group cannot hold up the others.
    pub halvings_max: usize,
    pub reprobe: Duration,
    /// How often an unanswered request is made.
    pub attempts: Attempts,
    /// There is a next reading, to which the search in further blocks may be left. Otherwise each block may be searched.
    pub is_repeated: bool,
}

/// What is left for the search in one reading.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SearchBudget {
    requests: usize,
    silent: usize,
}

impl SearchBudget {
    const WHOLE: SearchBudget = SearchBudget { requests: SEARCH_MAX, silent: SEARCH_SILENT_MAX };

    fn is_spent(self) -> bool {
        self.requests == 0 || self.silent == 0
    }
}

/// One reading of one unit.
pub struct UnitPoll<'a, O> {
    pub link: &'a mut Link,
    pub tags: &'a [ModbusTag],
    pub learning: Learning,
    pub outcomes: &'a mut O,
    /// Notation of a run of addresses, for messages.
    pub notation: &'a (dyn Fn(&ScanGroup, &Block) -> String + Sync),
    /// The unit has answered something.
    alive: bool,
    search: SearchBudget,
}

/// A block that brought no values.
struct Doubt {
    group: usize,
    block: Block,
    trouble: RequestTrouble,
}

enum BlockResult {
    Values,
    Trouble(RequestTrouble),
}

impl<'a, O: Outcomes> UnitPoll<'a, O> {
    pub fn new(
        link: &'a mut Link,
        tags: &'a [ModbusTag],
        learning: Learning,
        outcomes: &'a mut O,
        notation: &'a (dyn Fn(&ScanGroup, &Block) -> String + Sync),
    ) -> UnitPoll<'a, O> {
        UnitPoll { link, tags, learning, outcomes, notation, alive: false, search: SearchBudget::WHOLE }
    }

    /// Reads every block of `groups` once, then the holes whose time has come.
    pub async fn read(mut self, groups: &mut [&mut ScanGroup]) -> Result<(), Interrupted> {
        let mut doubts = Vec::new();
        for number in 0..groups.len() {
            self.read_group(number, groups, &mut doubts).await?;
        }
        if !self.alive && !doubts.is_empty() && !self.answers_less(groups, &doubts).await? {
            return Err(doubts.swap_remove(0).trouble.into());
        }
        for doubt in doubts {
            self.resolve(groups[doubt.group], &doubt.block, &doubt.trouble).await?;
        }
        Ok(())
    }

    /// Perhaps it is these requests that the unit does not answer: one item alone is the least that can be asked for. True when the unit
    /// says anything to that. Asked once in a while, for most units that say nothing are not there.
    async fn answers_less(&mut self, groups: &mut [&mut ScanGroup], doubts: &[Doubt]) -> Result<bool, Interrupted> {
        let now = Instant::now();
        let least = doubts.iter().find_map(|Doubt { group, block, .. }| {
            let may_ask = groups[*group].may_search(now) && !groups[*group].is_proven(block);
            Some((*group, block.first_alone().filter(|_| may_ask)?))
        });
        let Some((number, first)) = least else { return Ok(false) };
        let group = &mut *groups[number];
        group.searched_in_vain(now, self.learning.reprobe);
        if let BlockResult::Trouble(trouble) = self.ask(group, &first, Attempts::One).await?
            && trouble.is_silence()
        {
            return Ok(false);
        }
        group.searched_in_vain(now, Duration::ZERO);
        Ok(true)
    }

    async fn read_group(&mut self, number: usize, groups: &mut [&mut ScanGroup], doubts: &mut Vec<Doubt>) -> Result<(), Interrupted> {
        let mut queue: VecDeque<Block> = groups[number].start().into();
        let mut kept: Vec<Block> = Vec::with_capacity(queue.len());
        let mut halvings_left = self.learning.halvings_max;
        let mut holes_learned = false;
        let mut result = Ok(());
        while let Some(block) = queue.pop_front() {
            // One unanswered request is asked twice; after that the unit is known to be in trouble, and its others are not waited for so long.
            let attempts = if doubts.is_empty() { self.learning.attempts } else { Attempts::One };
            let group = &mut *groups[number];
            let trouble = match self.ask(group, &block, attempts).await {
                Ok(BlockResult::Values) => {
                    kept.push(block);
                    continue;
                }
                Ok(BlockResult::Trouble(trouble)) => trouble,
                Err(interrupted) => {
                    kept.push(block);
                    result = Err(interrupted);
                    break;
                }
            };
            let refused = match trouble {
                RequestTrouble::Exception(code) if Exception::of(code) == Exception::Refused => Some(code),
                _ => None,
            };
            let Some(code) = refused else {
                kept.push(block.clone());
                doubts.push(Doubt { group: number, block, trouble: trouble.clone() });
                if !self.alive && doubts.len() >= SILENT_MAX {
                    result = match self.answers_less(groups, doubts).await {
                        Ok(true) => continue,
                        Ok(false) => Err(doubts.swap_remove(0).trouble.into()),
                        Err(interrupted) => Err(interrupted),
                    };
                    break;
                }
                continue;
            };
            match group.refused(&block, || exception_text(code)) {
                RefusedBlock::Halves(first, second) if halvings_left > 0 => {
                    halvings_left -= 1;
                    queue.push_front(second);
                    queue.push_front(first);
                }
                RefusedBlock::Halves(first, second) => {
                    self.fail(&block, &trouble);
                    kept.extend([first, second]);
                }
                RefusedBlock::Hole => {
                    self.fail(&block, &trouble);
                    holes_learned = true;
                }
            }
        }
        kept.extend(queue);
        let group = &mut *groups[number];
        group.finish(kept, holes_learned, Instant::now(), self.learning.reprobe);
        result?;
        if !holes_learned && (self.alive || group.is_all_holes()) {
            self.probe(group).await?;
        }
        Ok(())
    }

    /// Asks for some of the refused addresses again. One answer is enough to plan everything anew, from the next reading on.
    async fn probe(&mut self, group: &mut ScanGroup) -> Result<(), Interrupted> {
        for block in group.holes_to_probe(Instant::now(), self.learning.reprobe) {
            match self.ask(group, &block, Attempts::One).await? {
                BlockResult::Values => {
                    group.forget_holes();
                    return Ok(());
                }
                BlockResult::Trouble(trouble) => {
                    self.fail(&block, &trouble);
                    if trouble.is_silence() {
                        return Ok(()); // it took its time; the next hole is asked the next time
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks for one block and hands out what it brings. An exception of a device that is busy counts as values: it says nothing against
    /// the block.
    async fn ask(&mut self, group: &mut ScanGroup, block: &Block, attempts: Attempts) -> Result<BlockResult, Interrupted> {
        let request = ReadRequest { unit: group.unit, area: group.area, start: block.start, count: block.count };
        let Received { reply, at, latency } = match self.link.read(request, attempts).await {
            Ok(received) => received,
            Err(failure @ Failure::Connect { .. }) => return Err(Interrupted::Failed(failure)),
            Err(failure) => {
                let trouble = RequestTrouble::Failure(failure);
                self.alive |= !trouble.is_silence();
                return Ok(BlockResult::Trouble(trouble));
            }
        };
        if let ModbusReply::Exception(code) = reply {
            let exception = Exception::of(code);
            self.alive |= exception != Exception::Unreachable;
            let trouble = RequestTrouble::Exception(code);
            if exception == Exception::Busy {
                for item in &block.items {
                    self.outcomes.item(item, Outcome::Trouble(trouble.clone()), at, latency);
                }
                return Ok(BlockResult::Values);
            }
            return Ok(BlockResult::Trouble(trouble));
        }
        self.alive = true;
        group.answered(block);
        deliver(block, &reply, self.tags, at, latency, self.outcomes);
        Ok(BlockResult::Values)
    }

    /// The unit answers, but not this block: its parts are asked for.
    async fn resolve(&mut self, group: &mut ScanGroup, block: &Block, trouble: &RequestTrouble) -> Result<(), Interrupted> {
        let now = Instant::now();
        let failures = group.failed(block);
        let Some((first, second)) = block.halves() else {
            self.fail(block, trouble);
            if trouble.is_silence() && failures >= FAILURES_MAX {
                group.leave_out(block, trouble.to_string(), now, self.learning.reprobe);
            }
            return Ok(());
        };
        // A block that has been answered as it is may just have been unlucky once.
        let unlucky = trouble.is_silence() && group.is_proven(block) && failures < FAILURES_MAX;
        if !self.learning.is_repeated {
            self.search = SearchBudget::WHOLE;
        }
        if unlucky || !group.may_search(now) || self.search.is_spent() {
            self.fail(block, trouble);
            return Ok(());
        }
        let is_first = self.search == SearchBudget::WHOLE;
        let mut cuts = BTreeSet::from([u32::from(second.start)]);
        let mut queue = VecDeque::from([first, second]);
        let mut answered = false;
        while let Some(part) = queue.pop_front() {
            if self.search.is_spent() {
                self.fail(&part, trouble);
                continue;
            }
            self.search.requests -= 1;
            match self.ask(group, &part, Attempts::One).await? {
                BlockResult::Values => answered = true,
                BlockResult::Trouble(trouble) => {
                    self.search.silent -= usize::from(trouble.is_silence());
                    if let Some((first, second)) = part.halves() {
                        cuts.insert(u32::from(second.start));
                        queue.push_front(second);
                        queue.push_front(first);
                    } else {
                        self.fail(&part, &trouble);
                    }
                }
            }
        }
        if !answered && !is_first && self.search.is_spent() {
            // What others left was too little to find anything; the next reading looks again.
            return Ok(());
        }
        if !answered {
            group.searched_in_vain(Instant::now(), self.learning.reprobe);
            return Ok(());
        }
        // The whole once more, for it may have been bad luck.
        if let BlockResult::Trouble(trouble) = self.ask(group, block, Attempts::One).await? {
            group.cut(cuts);
            self.outcomes.note(format!(
                "{} is not answered in one request ({trouble}), but in parts, as it is read from now on; set max_gap or max_registers \
                 (max_bits) to what the device takes",
                (self.notation)(group, block)
            ));
        }
        Ok(())
    }

    /// No item of a block has a value.
    fn fail(&mut self, block: &Block, trouble: &RequestTrouble) {
        let at = self.outcomes.now();
        for item in &block.items {
            self.outcomes.item(item, Outcome::Trouble(trouble.clone()), at, Duration::ZERO);
        }
    }
}

fn deliver(block: &Block, reply: &ModbusReply, tags: &[ModbusTag], at: Timestamp, latency: Duration, outcomes: &mut impl Outcomes) {
    for item in &block.items {
        let tag = &tags[item.tag];
        let first = usize::from(item.start - block.start);
        // The transport hands out exactly what was asked for, and the plan put every item inside its block.
        let value = match reply {
            ModbusReply::Registers(words) => {
                let words = &words[first..first + usize::from(item.count)];
                outcomes.registers(item, words);
                tag.decode(words)
            }
            ModbusReply::Bits(bits) => tag.decoder.bit(bits[first]),
            ModbusReply::Exception(_) => continue,
        };
        outcomes.item(item, value.map_or_else(Outcome::Missing, Outcome::Good), at, latency);
    }
}
