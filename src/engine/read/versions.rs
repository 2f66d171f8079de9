//! Versions of a sample: of several with one timestamp the newest counts, and those it replaced are kept for audit.
//!
//! A repeat with the same value and quality is no version: it changes nothing and leaves no trace.

use std::ops::Range;

use historian_format::PushError;
use historian_model::Samples;

/// Sorts by timestamp, keeping of equal timestamps the last one; answers the others that differ from what replaced them, in time order and
/// of one timestamp the oldest first.
pub fn sort_versions(samples: &mut Samples) -> Option<Samples> {
    if samples.is_sorted_strictly() {
        return None;
    }
    let mut order: Vec<u32> = (0..samples.len() as u32).collect();
    order.sort_by_key(|&index| samples.timestamps[index as usize]);
    let (mut kept, mut replaced): (Vec<u32>, Vec<u32>) = (Vec::with_capacity(order.len()), Vec::new());
    for index in order {
        match kept.last_mut() {
            Some(last) if samples.timestamps[*last as usize] == samples.timestamps[index as usize] => {
                if !same(samples, *last as usize, samples, index as usize) {
                    replaced.push(*last);
                }
                *last = index;
            }
            _ => kept.push(index),
        }
    }
    let superseded = (!replaced.is_empty()).then(|| samples.take(&replaced));
    *samples = samples.take(&kept);
    superseded
}

fn same(a: &Samples, at: usize, b: &Samples, bt: usize) -> bool {
    a.qualities[at] == b.qualities[bt] && a.value(at) == b.value(bt)
}

/// Merges two sorted runs onto `out`; where both have a timestamp the sample of `over` is taken, and that of `under` goes to `replaced` if
/// it differs. Copies whole stretches at a time.
///
/// # Errors
/// When the runs are of different types.
pub fn merge(
    under: &Samples,
    under_range: Range<usize>,
    over: &Samples,
    over_range: Range<usize>,
    out: &mut Samples,
    mut replaced: Option<&mut Samples>,
) -> Result<(), PushError> {
    let (mut at, end) = (under_range.start, under_range.end);
    let (mut over_at, over_end) = (over_range.start, over_range.end);
    while at < end && over_at < over_end {
        let next_over = over.timestamps[over_at];
        let stretch = at + under.timestamps[at..end].partition_point(|&timestamp| timestamp < next_over);
        out.extend_range(under, at..stretch)?;
        at = stretch;
        if at < end && under.timestamps[at] == next_over {
            if let Some(replaced) = replaced.as_deref_mut()
                && !same(under, at, over, over_at)
            {
                replaced.extend_range(under, at..at + 1)?;
            }
            at += 1;
        }
        let limit = if at < end { under.timestamps[at] } else { i64::MAX };
        // At least the sample that ended the stretch, so that both loops advance.
        let over_stretch = (over_at + 1).max(over_at + over.timestamps[over_at..over_end].partition_point(|&timestamp| timestamp < limit));
        out.extend_range(over, over_at..over_stretch)?;
        over_at = over_stretch;
    }
    out.extend_range(under, at..end)?;
    out.extend_range(over, over_at..over_end)
}

/// What replaced a version, as far as one sequence number stands for several writes: the former happened before the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A deletion.
    Deleted = 0,
    /// A late chunk over an ordered one.
    Ordered = 1,
    /// A late chunk over an older late one.
    Late = 2,
    /// A sample of the same head.
    Head = 3,
}
