//! All that the historian ever publishes: its own state as a Sparkplug host, and the request for a rebirth. Neither changes anything in a device,
//! and nothing else can be made into a message here.

use super::sparkplug;
use historian_model::Timestamp;

/// A message of the historian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// `spBv1.0/STATE/<host_id>`, retained. `at` is that of the connect.
    HostState { host_id: String, online: bool, at: Timestamp },
    /// `spBv1.0/<group>/NCMD/<node>`, with `Node Control/Rebirth` alone.
    Rebirth { group: String, node: String, at: Timestamp },
}

/// What is sent.
pub(super) struct AnnouncedMessage {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    /// Quality of service 1 for the state, 0 for commands, as the standard says.
    pub(super) at_least_once: bool,
}

impl Announcement {
    pub(super) fn message(&self) -> AnnouncedMessage {
        match self {
            Announcement::HostState { host_id, online, at } => AnnouncedMessage {
                topic: sparkplug::state_topic(host_id),
                payload: sparkplug::state_payload(*online, *at),
                retain: true,
                at_least_once: true,
            },
            Announcement::Rebirth { group, node, at } => {
                let (topic, payload) = sparkplug::rebirth_request(group, node, *at);
                AnnouncedMessage { topic, payload, retain: false, at_least_once: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_state_and_the_rebirth_is_published() {
        let at = Timestamp(1_700_000_000_000_000_000);
        let state = Announcement::HostState { host_id: "h".into(), online: true, at }.message();
        assert_eq!((state.topic.as_str(), state.retain, state.at_least_once), ("spBv1.0/STATE/h", true, true));
        let rebirth = Announcement::Rebirth { group: "g".into(), node: "n".into(), at }.message();
        assert_eq!((rebirth.topic.as_str(), rebirth.retain, rebirth.at_least_once), ("spBv1.0/g/NCMD/n", false, false));
    }
}
