//! Read planner: tags of one unit, area and scan class become as few requests as the device's limits allow.
//!
//! Values are sorted and merged while the gap between two of them is at most `max_gap` and the whole fits one request. A value is never
//! split over two requests (it could tear), and a request never reaches across an address that the device is known to refuse.

use std::ops::Range;

/// One tag's place in its area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegisterSpan {
    /// First address.
    pub start: u16,
    /// Registers or bits.
    pub count: u16,
    /// Number of the tag in its collector.
    pub tag: usize,
}

impl RegisterSpan {
    /// Addresses of the item, half-open; in u32 because the end may be 65,536.
    pub fn span(&self) -> Range<u32> {
        span(self.start, self.count)
    }
}

/// Addresses from `start` on, half-open.
pub fn span(start: u16, count: u16) -> Range<u32> {
    u32::from(start)..u32::from(start) + u32::from(count)
}

/// One request: consecutive addresses, and the items that are decoded from its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub start: u16,
    pub count: u16,
    /// In ascending order; at least one.
    pub items: Vec<RegisterSpan>,
}

/// Bounds of one request to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Unused addresses read along between two values.
    pub max_gap: u16,
    /// Addresses in one request. No item may be longer.
    pub max_count: u16,
    /// Only items on the same addresses share a request.
    pub alone: bool,
}

/// Blocks that read all of `items`, which are in ascending order, without touching one of the `barriers`.
pub fn blocks(items: &[RegisterSpan], limits: RequestLimits, barriers: &[Range<u32>]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for item in items {
        match blocks.last_mut() {
            Some(block) if joins(block, item, limits, barriers) => {
                let span = span(block.start, block.count);
                block.count = (item.span().end.max(span.end) - span.start) as u16;
                block.items.push(*item);
            }
            _ => blocks.push(Block { start: item.start, count: item.count, items: vec![*item] }),
        }
    }
    blocks
}

fn joins(block: &Block, item: &RegisterSpan, limits: RequestLimits, barriers: &[Range<u32>]) -> bool {
    let (block, item) = (span(block.start, block.count), item.span());
    if limits.alone {
        return block == item;
    }
    let end = item.end.max(block.end);
    item.start.saturating_sub(block.end) <= u32::from(limits.max_gap)
        && end - block.start <= u32::from(limits.max_count)
        && !barriers.iter().any(|barrier| barrier.start < end && block.start < barrier.end)
}

impl Block {
    /// The first item as a block of its own, if there are others at other addresses.
    pub fn first_alone(&self) -> Option<Block> {
        let first = self.items.first()?;
        let items: Vec<RegisterSpan> = self.items.iter().filter(|item| item.span() == first.span()).copied().collect();
        (items.len() < self.items.len()).then_some(Block { start: first.start, count: first.count, items })
    }

    /// The block in two, each without unused addresses at its ends; `None` when all its items lie on the same addresses. It is cut at the
    /// gap nearest to the middle if it has one: what a device refuses more often lies between the values than in them.
    pub fn halves(&self) -> Option<(Block, Block)> {
        let middle = self.items.len() / 2;
        let mut end = 0;
        let mut cuts = Vec::new();
        for (at, item) in self.items.iter().enumerate() {
            let span = item.span();
            if at > 0 && span != self.items[at - 1].span() {
                cuts.push((span.start <= end, at.abs_diff(middle), at));
            }
            end = end.max(span.end);
        }
        let (_, _, at) = cuts.into_iter().min()?;
        let half = |items: &[RegisterSpan]| {
            let start = items[0].start;
            let end = items.iter().map(|item| item.span().end).max().unwrap_or(u32::from(start));
            Block { start, count: (end - u32::from(start)) as u16, items: items.to_vec() }
        };
        Some((half(&self.items[..at]), half(&self.items[at..])))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(start: u16, count: u16) -> RegisterSpan {
        RegisterSpan { start, count, tag: 0 }
    }

    fn spans(blocks: &[Block]) -> Vec<(u16, u16)> {
        blocks.iter().map(|block| (block.start, block.count)).collect()
    }

    const LIMITS: RequestLimits = RequestLimits { max_gap: 8, max_count: 125, alone: false };

    #[test]
    fn gaps_up_to_the_limit_are_read_along() {
        let items = [item(0, 2), item(10, 1), item(20, 1)];
        assert_eq!(spans(&blocks(&items, LIMITS, &[])), [(0, 11), (20, 1)], "8 unused are merged, 9 are not");
    }

    #[test]
    fn a_value_is_never_split_and_the_limit_never_passed() {
        let items: Vec<RegisterSpan> = (0..63).map(|index| item(index * 2, 2)).collect();
        assert_eq!(spans(&blocks(&items, LIMITS, &[])), [(0, 124), (124, 2)]);
    }

    #[test]
    fn a_request_may_be_as_long_as_the_limit_and_no_longer() {
        let items = |count: u16| (100..100 + count).map(|start| item(start, 1)).collect::<Vec<_>>();
        assert_eq!(spans(&blocks(&items(125), LIMITS, &[])), [(100, 125)]);
        assert_eq!(spans(&blocks(&items(126), LIMITS, &[])), [(100, 125), (225, 1)]);
        // An item inside another makes the request no shorter.
        assert_eq!(spans(&blocks(&[item(100, 4), item(101, 1), item(104, 1)], LIMITS, &[])), [(100, 5)]);
    }

    #[test]
    fn items_that_are_read_alone_share_a_request_only_with_their_like() {
        let items = [item(0, 1), item(1, 2), item(1, 2), item(2, 1), item(3, 1)];
        let planned = blocks(&items, RequestLimits { alone: true, ..LIMITS }, &[]);
        assert_eq!(spans(&planned), [(0, 1), (1, 2), (2, 1), (3, 1)]);
        assert_eq!(planned[1].items.len(), 2);
    }

    #[test]
    fn the_last_address_can_be_read() {
        assert_eq!(spans(&blocks(&[item(65_534, 2)], LIMITS, &[])), [(65_534, 2)]);
        assert_eq!(spans(&blocks(&[item(65_530, 1), item(65_535, 1)], LIMITS, &[])), [(65_530, 6)]);
    }

    #[test]
    fn known_holes_are_not_read_along() {
        let items = [item(0, 1), item(1, 1), item(3, 1)];
        assert_eq!(spans(&blocks(&items, LIMITS, &[span(2, 1)])), [(0, 2), (3, 1)]);
        assert_eq!(spans(&blocks(&items, LIMITS, &[span(4, 1)])), [(0, 4)]);
        assert_eq!(spans(&blocks(&[item(3, 1), item(4, 1)], LIMITS, &[span(2, 1)])), [(3, 2)], "a hole right before the first");
    }

    #[test]
    fn a_block_is_halved_at_its_gaps_first() {
        let block = &blocks(&[item(0, 1), item(1, 1), item(2, 1), item(5, 1), item(6, 1), item(9, 2)], LIMITS, &[])[0];
        let (first, second) = block.halves().unwrap();
        assert_eq!(((first.start, first.count), (second.start, second.count)), ((0, 3), (5, 6)));
        let (first, second) = second.halves().unwrap();
        assert_eq!(((first.start, first.count), (second.start, second.count)), ((5, 2), (9, 2)));
        assert_eq!(block.first_alone().map(|block| (block.start, block.count)), Some((0, 1)));
        assert_eq!(second.first_alone(), None);
    }

    #[test]
    fn of_several_gaps_the_one_nearest_to_the_middle_is_cut() {
        let halves = |starts: &[u16]| {
            let items: Vec<RegisterSpan> = starts.iter().map(|start| item(*start, 1)).collect();
            let (first, second) = blocks(&items, LIMITS, &[])[0].halves().unwrap();
            ((first.start, first.count), (second.start, second.count))
        };
        // Gaps behind the first, the third and the fourth of six items.
        assert_eq!(halves(&[10, 12, 13, 15, 17, 18]), ((10, 4), (15, 4)));
        // Behind the first and before the last of seven.
        assert_eq!(halves(&[10, 12, 13, 14, 15, 16, 18]), ((10, 1), (12, 7)));
        assert_eq!(halves(&[10, 11, 12, 13]), ((10, 2), (12, 2)), "in the middle where there is no gap");
    }

    #[test]
    fn items_on_the_same_addresses_stay_together_when_halved() {
        let block = &blocks(&[item(5, 1), item(5, 1), item(5, 1), item(6, 1)], LIMITS, &[])[0];
        let (first, second) = block.halves().unwrap();
        assert_eq!(((first.start, first.count, first.items.len()), (second.start, second.count)), ((5, 1, 3), (6, 1)));
        assert_eq!(first.halves(), None);
    }

    proptest! {
        #[test]
        fn every_item_is_read_once_within_the_limits(
            mut items in proptest::collection::vec((0..400_u16, 1..5_u16), 1..80),
            max_gap in 0..20_u16, max_count in 4..126_u16, hole in 0..400_u16,
        ) {
            items.sort_unstable();
            let items: Vec<RegisterSpan> = items.iter().enumerate().map(|(tag, &(start, count))| RegisterSpan { start, count, tag }).collect();
            let hole = span(hole, 1);
            let outside: Vec<RegisterSpan> = items.iter().filter(|item| item.span().end <= hole.start || item.span().start >= hole.end).copied().collect();
            let planned = blocks(&outside, RequestLimits { max_gap, max_count, alone: false }, std::slice::from_ref(&hole));
            let mut read: Vec<usize> = planned.iter().flat_map(|block| block.items.iter().map(|item| item.tag)).collect();
            read.sort_unstable();
            let mut wanted: Vec<usize> = outside.iter().map(|item| item.tag).collect();
            wanted.sort_unstable();
            prop_assert_eq!(read, wanted);
            for block in planned {
                prop_assert!(block.count <= max_count);
                let block_span = span(block.start, block.count);
                prop_assert!(block_span.end <= hole.start || block_span.start >= hole.end);
                for item in block.items {
                    prop_assert!(block_span.start <= item.span().start && item.span().end <= block_span.end);
                }
            }
        }
    }
}
