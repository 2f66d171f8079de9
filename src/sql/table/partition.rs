//! A scan in parts that run side by side: neighbouring tags, or pieces of the time of a single tag.
//!
//! How much each part holds is not asked: counting samples reads the chunks they are in.

use std::ops::Range;

use historian_model::{TimeBounds, TimeRange, Timestamp};

/// Time below which a tag is not cut: a second thread would cost more than it gains.
const CUT_FROM_NS: i128 = 6 * 3600 * 1_000_000_000;

/// One part: some of the tags of the scan, and a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    pub tags: Range<usize>,
    pub range: TimeRange,
}

/// Cuts tags × range into one to `parts_max` parts, in the order of tags and time. `ends` answers the first and the last timestamp that a
/// single tag has in the range.
pub fn parts(tags: usize, range: TimeRange, parts_max: usize, ends: impl FnOnce() -> Option<TimeBounds>) -> Vec<Partition> {
    let wanted = parts_max.max(1);
    if tags == 1 && wanted > 1 {
        return ends().map_or_else(|| vec![Partition { tags: 0..1, range }], |ends| in_time(range, ends, wanted));
    }
    let wanted = wanted.min(tags.max(1));
    (0..wanted).map(|part| Partition { tags: tags * part / wanted..tags * (part + 1) / wanted, range }).collect()
}

/// One tag in pieces of equal length between its first and its last sample.
fn in_time(range: TimeRange, TimeBounds { first, last }: TimeBounds, pieces: usize) -> Vec<Partition> {
    let length = i128::from(last) - i128::from(first);
    let pieces = if length < CUT_FROM_NS { 1 } else { pieces };
    let mut parts = Vec::with_capacity(pieces);
    let mut start = range.start;
    for piece in 1..=pieces {
        let cut = Timestamp((i128::from(first) + length * piece as i128 / pieces as i128) as i64);
        let end = if piece == pieces { range.end } else { cut };
        if start < end {
            parts.push(Partition { tags: 0..1, range: TimeRange { start, end, reverse: false } });
            start = end;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange { start: Timestamp(start), end: Timestamp(end), reverse: false }
    }

    #[test]
    fn parts_cover_every_tag_once_and_in_order() {
        for tags in [0, 1, 2, 3, 4, 5, 100, 1_000_003] {
            let parts = parts(tags, range(0, 100), 4, || None);
            assert!(!parts.is_empty() && parts.len() <= 4, "{parts:?}");
            assert_eq!((parts[0].tags.start, parts[parts.len() - 1].tags.end), (0, tags));
            assert!(parts.windows(2).all(|pair| pair[0].tags.end == pair[1].tags.start && !pair[0].tags.is_empty()), "{parts:?}");
            assert!(parts.iter().all(|part| part.range == range(0, 100)));
        }
    }

    #[test]
    fn one_tag_is_cut_in_time_without_hole_or_overlap() {
        let day = 86_400_000_000_000;
        for (range, ends, expected) in [
            (TimeRange::ALL, (5, day), 4),
            (range(0, 2 * day), (5, day), 4),
            (range(7, 8), (7, 7), 1),
            (TimeRange::ALL, (i64::MIN, i64::MAX), 4),
        ] {
            let parts = parts(1, range, 4, || Some(TimeBounds { first: ends.0, last: ends.1 }));
            assert_eq!(parts.len(), expected);
            assert_eq!((parts[0].range.start, parts[parts.len() - 1].range.end), (range.start, range.end));
            assert!(parts.windows(2).all(|pair| pair[0].range.end == pair[1].range.start), "{parts:?}");
            assert!(parts.iter().all(|part| part.range.start < part.range.end), "{parts:?}");
        }
    }
}
