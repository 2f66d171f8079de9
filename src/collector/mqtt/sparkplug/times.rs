//! The time of a reading, of those that an edge tells and that of the receipt.

use historian_model::Timestamp;

/// 2000-01-01 in ms: what an edge tells before is a clock that was never set, or another unit than ms.
const FIRST_MS: u64 = 946_684_800_000;
/// As far ahead of the receipt a time is believed, in ns: a day, as with OPC UA.
const AHEAD_MAX_NS: i64 = 86_400_000_000_000;

/// The time in ns where it is believed.
pub(super) fn believed(milliseconds: u64, received: Timestamp) -> Option<Timestamp> {
    let nanoseconds = i64::try_from(milliseconds).ok()?.checked_mul(1_000_000)?;
    (milliseconds >= FIRST_MS && nanoseconds <= received.0.saturating_add(AHEAD_MAX_NS)).then_some(Timestamp(nanoseconds))
}

/// The first of the metric's and the payload's time (both in ms) that is believed, else that of the receipt. With it a time that was told
/// and is not believed; 0 counts as not told.
pub(super) fn reading_time(metric: Option<u64>, payload: Option<u64>, received: Timestamp) -> (Timestamp, Option<u64>) {
    let mut odd = None;
    for told in [metric, payload].into_iter().flatten().filter(|told| *told != 0) {
        match believed(told, received) {
            Some(time) => return (time, odd),
            None => odd = odd.or(Some(told)),
        }
    }
    (received, odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_believed_time_is_taken() {
        const MS: u64 = 1_767_225_600_000;
        let received = Timestamp((MS as i64 + 500) * 1_000_000);
        let ns = |ms: u64| Timestamp(ms as i64 * 1_000_000);
        let day = 86_400_000;
        for (metric, payload, expected) in [
            (Some(MS), Some(MS + 1), (ns(MS), None)),
            (Some(0), Some(MS + 1), (ns(MS + 1), None)),
            (None, Some(MS + 1), (ns(MS + 1), None)),
            (None, None, (received, None)),
            (Some(0), Some(0), (received, None)),
            // Seconds for ms, and ns for ms.
            (Some(MS / 1000), Some(MS), (ns(MS), Some(MS / 1000))),
            (Some(MS * 1_000_000), None, (received, Some(MS * 1_000_000))),
            (Some(u64::MAX), Some(u64::MAX - 1), (received, Some(u64::MAX))),
            (Some(FIRST_MS), None, (ns(FIRST_MS), None)),
            (Some(FIRST_MS - 1), None, (received, Some(FIRST_MS - 1))),
            (Some(MS + 500 + day), None, (ns(MS + 500 + day), None)),
            (Some(MS + 501 + day), None, (received, Some(MS + 501 + day))),
        ] {
            assert_eq!(reading_time(metric, payload, received), expected, "{metric:?} {payload:?}");
        }
    }
}
