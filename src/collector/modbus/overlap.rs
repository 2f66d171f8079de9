//! Tags that contradict each other: a value that shares some of its registers with another, and not all, is a mistake in the tag list.

use super::tag::ModbusTag;

/// Pairs of tags (by number, the later first) that overlap in a way that cannot be meant, at most one pair per tag.
///
/// Allowed are the same registers in several tags, however each reads them (two word orders, raw and scaled, fast and slow), and bits and bytes
/// of a number beside each other and beside the whole integer they are part of.
pub fn conflicts(tags: &[ModbusTag]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..tags.len()).collect();
    let place = |tag: &usize| {
        let tag = &tags[*tag];
        (tag.unit, tag.area, tag.start)
    };
    order.sort_by_key(|tag| (place(tag), *tag));
    let mut conflicts = Vec::new();
    for (at, &tag) in order.iter().enumerate() {
        let here = &tags[tag];
        let end = u32::from(here.start) + u32::from(here.count());
        let others = order[at + 1..].iter().take_while(|other| {
            let other = &tags[**other];
            (other.unit, other.area) == (here.unit, here.area) && u32::from(other.start) < end
        });
        if let Some(&other) = others.clone().find(|other| !may_share(here, &tags[**other])) {
            conflicts.push((tag.max(other), tag.min(other)));
        }
    }
    conflicts.sort_unstable();
    conflicts.dedup_by_key(|conflict| conflict.0);
    conflicts
}

fn may_share(one: &ModbusTag, other: &ModbusTag) -> bool {
    let (a, b) = (&one.decoder, &other.decoder);
    match (a.format.is_part(), b.format.is_part()) {
        (true, true) => true,
        (true, false) => b.format.is_whole_integer(),
        (false, true) => a.format.is_whole_integer(),
        (false, false) => one.start == other.start && one.count() == other.count(),
    }
}
