//! The request for a rebirth, and when a node may be asked.

use std::time::Duration;

use historian_model::Timestamp;
use prost::Message;

use super::{
    payload::{WireMetric, WireMetricValue, WirePayload},
    topic::NAMESPACE,
};

/// The metric of a command that asks for all births of a node.
const REBIRTH: &str = "Node Control/Rebirth";
/// Number of Boolean among the datatypes.
const BOOLEAN: u32 = 11;
/// The spacing doubles so many times.
const DOUBLINGS_MAX: u32 = 6;

/// Topic and payload with which a node is asked for a rebirth: the one command that this host sends, and it changes nothing in a device.
pub fn rebirth_request(group: &str, node: &str, at: Timestamp) -> (String, Vec<u8>) {
    let timestamp = u64::try_from(at.0 / 1_000_000).ok();
    let metric = WireMetric {
        name: Some(REBIRTH.into()),
        timestamp,
        datatype: Some(BOOLEAN),
        value: Some(WireMetricValue::Boolean(true)),
        ..WireMetric::default()
    };
    let payload = WirePayload { timestamp, metrics: vec![metric.encode_to_vec().into()], ..WirePayload::default() };
    (format!("{NAMESPACE}/{group}/NCMD/{node}"), payload.encode_to_vec())
}

/// When one node may be asked again. A node that goes on giving reasons, whether it answers or not, is asked more and more seldom.
#[derive(Debug, Default)]
pub(super) struct RebirthClock {
    last: Option<Duration>,
    /// Requests, each soon after the one before.
    asked: u32,
    waiting: Option<(Duration, String)>,
}

impl RebirthClock {
    /// There is a reason to ask; at once or later.
    pub fn want(&mut self, reason: impl FnOnce() -> String, now: Duration, spacing: Duration) {
        if self.waiting.is_some() {
            return;
        }
        let due = match self.last {
            None => now,
            Some(last) => {
                let wait = spacing.saturating_mul(1 << self.asked.saturating_sub(1).min(DOUBLINGS_MAX));
                if now > last.saturating_add(wait.saturating_mul(2)) {
                    self.asked = 0;
                }
                last.saturating_add(wait).max(now)
            }
        };
        self.waiting = Some((due, reason()));
    }

    /// There is a reason to ask, if nothing comes until then.
    pub fn want_at(&mut self, reason: &str, due: Duration) {
        self.waiting.get_or_insert_with(|| (due, reason.to_owned()));
    }

    /// The reason, when it is time to ask.
    pub fn take_due(&mut self, now: Duration) -> Option<String> {
        let (_, reason) = self.waiting.take_if(|(due, _)| *due <= now)?;
        self.last = Some(now);
        self.asked = self.asked.saturating_add(1);
        Some(reason)
    }

    /// When to ask next.
    pub fn due(&self) -> Option<Duration> {
        self.waiting.as_ref().map(|(due, _)| *due)
    }

    /// There is nothing to ask any more.
    pub fn cancel(&mut self) {
        self.waiting = None;
    }

    /// Nothing was asked yet, as far as the node can know.
    pub fn reset(&mut self) {
        *self = RebirthClock::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_secs(10);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_request_is_a_boolean_in_a_command() {
        let (topic, payload) = rebirth_request("G", "N", Timestamp(1_767_225_600_123_456_789));
        assert_eq!(topic, "spBv1.0/G/NCMD/N");
        let payload = WirePayload::decode(payload.as_slice()).unwrap();
        assert_eq!((payload.timestamp, payload.seq), (Some(1_767_225_600_123), None));
        let metric = WireMetric::decode(payload.metrics[0].clone()).unwrap();
        assert_eq!(metric.name.as_deref(), Some(&b"Node Control/Rebirth"[..]));
        assert_eq!((metric.datatype, metric.value), (Some(11), Some(WireMetricValue::Boolean(true))));
    }

    #[test]
    fn a_node_that_gives_reasons_all_the_time_is_asked_more_and_more_seldom() {
        let mut clock = RebirthClock::default();
        let mut asked = Vec::new();
        for now in 0..2_000 {
            clock.want(|| "x".to_owned(), seconds(now), SPACING);
            if clock.take_due(seconds(now)).is_some() {
                asked.push(now);
            }
        }
        assert_eq!(asked, [0, 10, 30, 70, 150, 310, 630, 1270, 1910]);
        // Long quiet: it may be asked as if never before.
        clock.cancel();
        for (now, due) in [(10_000, true), (10_009, false), (10_010, true), (10_029, false), (10_030, true)] {
            clock.want(|| "x".to_owned(), seconds(now), SPACING);
            assert_eq!(clock.take_due(seconds(now)).is_some(), due, "{now}");
        }
    }

    #[test]
    fn what_waits_keeps_its_first_reason_and_can_be_cancelled() {
        let mut clock = RebirthClock::default();
        clock.want(|| "first".to_owned(), seconds(1), SPACING);
        assert_eq!(clock.take_due(seconds(1)).as_deref(), Some("first"));
        clock.want(|| "second".to_owned(), seconds(2), SPACING);
        clock.want(|| "third".to_owned(), seconds(3), SPACING);
        assert_eq!((clock.due(), clock.take_due(seconds(10))), (Some(seconds(11)), None));
        clock.cancel();
        assert_eq!((clock.due(), clock.take_due(seconds(11))), (None, None));
    }
}
