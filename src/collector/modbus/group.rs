//! What is read together from one area of one unit in one scan class, and what has been learned about it: a block that the device refuses
//! is halved until the refused addresses stand alone, and these are remembered as holes that later plans keep clear of. Where the parts of a
//! block are answered and the whole is not, the places where it was cut are remembered.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::{Duration, Instant};

use super::{
    address::RegisterArea,
    plan::{self, Block, RegisterSpan, RequestLimits},
};

/// Holes asked again at one time.
const HOLES_PROBED_AT_ONCE: usize = 8;

/// Addresses that the device refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    pub block: Block,
    /// Why it is one, in words.
    pub reason: String,
}

/// Items of one unit, area and scan class with their current plan.
#[derive(Clone, Debug)]
pub struct ScanGroup {
    pub unit: u8,
    pub area: RegisterArea,
    pub class: usize,
    limits: RequestLimits,
    items: Vec<RegisterSpan>,
    blocks: Vec<Block>,
    holes: Vec<Hole>,
    /// No request reaches across these addresses.
    cuts: BTreeSet<u32>,
    /// First address and count of blocks that were answered as they are.
    proven: BTreeSet<(u16, u16)>,
    /// By first address, how often in a row a block found no answer.
    failures: BTreeMap<u16, u32>,
    /// Blocks are not searched for parts that answer before.
    search_at: Option<Instant>,
    /// When holes are asked again.
    probe_at: Option<Instant>,
    next_probe: usize,
}

/// What to do with a block that the device refused.
#[derive(Debug, PartialEq, Eq)]
pub enum RefusedBlock {
    /// Read both halves instead.
    Halves(Block, Block),
    /// The addresses stand alone and are a hole now.
    Hole,
}

impl ScanGroup {
    pub fn new(unit: u8, area: RegisterArea, class: usize, limits: RequestLimits, mut items: Vec<RegisterSpan>) -> ScanGroup {
        items.sort_unstable();
        let blocks = plan::blocks(&items, limits, &[]);
        ScanGroup {
            unit,
            area,
            class,
            limits,
            items,
            blocks,
            holes: Vec::new(),
            cuts: BTreeSet::new(),
            proven: BTreeSet::new(),
            failures: BTreeMap::new(),
            search_at: None,
            probe_at: None,
            next_probe: 0,
        }
    }

    pub fn items(&self) -> &[RegisterSpan] {
        &self.items
    }

    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// True when every item is in a hole, so that nothing else is asked.
    pub fn is_all_holes(&self) -> bool {
        self.blocks.is_empty() && !self.holes.is_empty()
    }

    /// Takes the blocks out for reading; [`ScanGroup::finish`] puts them back.
    pub fn start(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.blocks)
    }

    /// A block was refused with an exception that concerns its addresses (01, 02 or 03).
    pub fn refused(&mut self, block: &Block, reason: impl FnOnce() -> String) -> RefusedBlock {
        if let Some((first, second)) = block.halves() {
            return RefusedBlock::Halves(first, second);
        }
        self.holes.push(Hole { block: block.clone(), reason: reason() });
        RefusedBlock::Hole
    }

    /// A block was answered.
    pub fn answered(&mut self, block: &Block) {
        if !self.failures.is_empty() {
            self.failures.remove(&block.start);
        }
        if !self.is_proven(block) {
            self.proven.insert((block.start, block.count));
        }
    }

    /// True when the device has answered this very block, so that it is not its shape that keeps it from doing so.
    pub fn is_proven(&self, block: &Block) -> bool {
        self.proven.contains(&(block.start, block.count))
    }

    /// A block found no answer while the unit answers elsewhere. Returns how often this happened in a row.
    pub fn failed(&mut self, block: &Block) -> u32 {
        let count = self.failures.entry(block.start).or_default();
        *count += 1;
        *count
    }

    /// True when it is time to look for parts of blocks that answer.
    pub fn may_search(&self, now: Instant) -> bool {
        self.search_at.is_none_or(|at| now >= at)
    }

    /// A search found no part that answers.
    pub fn searched_in_vain(&mut self, now: Instant, search_after: Duration) {
        self.search_at = Some(now + search_after);
    }

    /// Requests are not to reach across these addresses any more.
    pub fn cut(&mut self, cuts: impl IntoIterator<Item = u32>) {
        self.cuts.extend(cuts);
        self.replan();
    }

    /// A block that is one item gets no answer, again and again, while the unit answers elsewhere.
    pub fn leave_out(&mut self, block: &Block, reason: String, now: Instant, probe_after: Duration) {
        self.failures.remove(&block.start);
        self.holes.push(Hole { block: block.clone(), reason });
        self.replan();
        self.probe_at.get_or_insert(now + probe_after);
    }

    /// Ends a reading that [`ScanGroup::start`] began: `blocks` were read or are left for the next time. Where holes were learned, the halves
    /// that the search left behind are merged again around them.
    pub fn finish(&mut self, blocks: Vec<Block>, holes_learned: bool, now: Instant, probe_after: Duration) {
        self.blocks = blocks;
        if holes_learned {
            self.replan();
        }
        if self.holes.is_empty() {
            self.probe_at = None;
        } else if self.probe_at.is_none() {
            self.probe_at = Some(now + probe_after);
        }
    }

    /// Holes to ask again now, if it is time; the next ones come `probe_after` later.
    pub fn holes_to_probe(&mut self, now: Instant, probe_after: Duration) -> Vec<Block> {
        if self.probe_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.probe_at = Some(now + probe_after);
        let count = self.holes.len();
        let first = self.next_probe;
        self.next_probe = (first + HOLES_PROBED_AT_ONCE) % count.max(1);
        (0..count.min(HOLES_PROBED_AT_ONCE)).map(|offset| self.holes[(first + offset) % count].block.clone()).collect()
    }

    /// Asks for the holes at the next reading: the device may be another one after an outage.
    pub fn probe_soon(&mut self, now: Instant) {
        if self.probe_at.is_some() {
            self.probe_at = Some(now);
        }
    }

    /// A hole answered. The device has changed, so nothing that was learned holds: everything is planned anew.
    pub fn forget_holes(&mut self) {
        self.holes.clear();
        self.cuts.clear();
        self.probe_at = None;
        self.replan();
    }

    fn replan(&mut self) {
        let holes = self.holes.iter().map(|hole| plan::span(hole.block.start, hole.block.count));
        let barriers: Vec<_> = holes.chain(self.cuts.iter().map(|cut| *cut..*cut)).collect();
        let in_hole = |item: &RegisterSpan| self.holes.iter().any(|hole| hole.block.items.contains(item));
        let items: Vec<RegisterSpan> = self.items.iter().filter(|item| !in_hole(item)).copied().collect();
        self.blocks = plan::blocks(&items, self.limits, &barriers);
        self.proven.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use proptest::prelude::*;

    use super::*;

    /// Reads the group as the collector does, from a device that refuses every request touching one of `illegal`. Returns the tags that
    /// were read and the number of requests.
    fn read(group: &mut ScanGroup, illegal: &BTreeSet<u32>) -> (BTreeSet<usize>, usize) {
        let (mut read, mut kept, mut requests, holes) = (BTreeSet::new(), Vec::new(), 0, group.holes.len());
        let mut queue: VecDeque<Block> = group.start().into();
        while let Some(block) = queue.pop_front() {
            requests += 1;
            if plan::span(block.start, block.count).any(|address| illegal.contains(&address)) {
                if let RefusedBlock::Halves(first, second) = group.refused(&block, String::new) {
                    queue.push_front(second);
                    queue.push_front(first);
                }
            } else {
                read.extend(block.items.iter().map(|item| item.tag));
                kept.push(block);
            }
        }
        let learned = group.holes.len() > holes;
        group.finish(kept, learned, Instant::now(), Duration::from_secs(1));
        (read, requests)
    }

    fn group(items: &[(u16, u16)]) -> ScanGroup {
        let items = items.iter().enumerate().map(|(tag, &(start, count))| RegisterSpan { start, count, tag }).collect();
        ScanGroup::new(1, RegisterArea::Holding, 0, RequestLimits { max_gap: 8, max_count: 125, alone: false }, items)
    }

    #[test]
    fn one_hole_is_found_and_the_rest_is_read_in_two_requests_from_then_on() {
        let items: Vec<(u16, u16)> = (0..100).map(|start| (start, 1)).collect();
        let mut group = group(&items);
        let (read_first, requests) = read(&mut group, &[37].into());
        assert_eq!(read_first.len(), 99);
        assert!(requests <= 15, "a binary search, not a scan: {requests}");
        assert_eq!(group.holes.iter().map(|hole| hole.block.start).collect::<Vec<_>>(), [37]);
        assert_eq!(read(&mut group, &[37].into()), ((0..100).filter(|tag| *tag != 37).collect(), 2));
    }

    #[test]
    fn an_illegal_gap_costs_no_tag() {
        let mut group = group(&[(0, 1), (5, 1)]);
        assert_eq!(read(&mut group, &[3].into()).0.len(), 2);
        assert_eq!(group.holes, []);
        assert_eq!(read(&mut group, &[3].into()).1, 2, "and the split is remembered");
    }

    #[test]
    fn no_request_reaches_across_a_cut_and_values_across_it_stay_whole() {
        let mut group = group(&[(0, 2), (2, 2), (4, 1), (10, 4)]);
        group.cut([4, 10]);
        let blocks: Vec<_> = group.blocks.iter().map(|block| (block.start, block.count)).collect();
        assert_eq!(blocks, [(0, 4), (4, 1), (10, 4)]);
        group.forget_holes();
        assert_eq!(group.blocks.len(), 1);
    }

    #[test]
    fn a_hole_that_answers_again_is_planned_anew() {
        let mut group = group(&[(0, 1), (1, 1), (2, 1)]);
        read(&mut group, &[1].into());
        let now = Instant::now();
        assert!(group.holes_to_probe(now, Duration::from_secs(1)).is_empty(), "not yet");
        group.probe_soon(now);
        assert_eq!(group.holes_to_probe(now, Duration::from_secs(1)).len(), 1);
        group.forget_holes();
        assert_eq!(read(&mut group, &BTreeSet::new()), ([0, 1, 2].into(), 1));
    }

    #[test]
    fn many_holes_are_asked_in_turn() {
        let mut group = group(&(0..20).map(|start| (start * 20, 1)).collect::<Vec<_>>());
        read(&mut group, &(0..400).collect());
        assert_eq!(group.holes.len(), 20);
        let mut asked = BTreeSet::new();
        for _ in 0..3 {
            group.probe_soon(Instant::now());
            asked.extend(group.holes_to_probe(Instant::now(), Duration::from_secs(1)).iter().map(|block| block.start));
        }
        assert_eq!(asked.len(), 20);
    }

    proptest! {
        #[test]
        fn exactly_the_items_on_illegal_addresses_are_lost(
            items in proptest::collection::btree_set((0..300_u16, 1..5_u16), 1..60),
            illegal in proptest::collection::btree_set(0..300_u32, 0..20),
        ) {
            let items: Vec<(u16, u16)> = items.into_iter().collect();
            let mut group = group(&items);
            let legal = |&(start, count): &(u16, u16)| !plan::span(start, count).any(|address| illegal.contains(&address));
            let expected: BTreeSet<usize> = (0..items.len()).filter(|tag| legal(&items[*tag])).collect();
            prop_assert_eq!(&read(&mut group, &illegal).0, &expected);
            prop_assert_eq!(&read(&mut group, &illegal).0, &expected, "the learned plan reads the same");
        }
    }
}
