//! STATE of host applications: what this host says of itself, and what others say.

use historian_model::Timestamp;

use super::topic::NAMESPACE;

/// Whether a host application is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    pub host_id: String,
    pub online: bool,
    /// Of the session that says so; the form before Sparkplug 3 has none.
    pub at: Option<Timestamp>,
}

/// Topic of a host's state (Sparkplug 3.0), retained.
pub fn state_topic(host_id: &str) -> String {
    format!("{NAMESPACE}/STATE/{host_id}")
}

/// Payload of a host's state. Birth and will of one session have the same time, that of the connect.
pub fn state_payload(online: bool, at: Timestamp) -> Vec<u8> {
    format!("{{\"online\":{online},\"timestamp\":{}}}", at.0.div_euclid(1_000_000)).into_bytes()
}

/// Reads a state: that of Sparkplug 3.0, and `STATE/<host_id>` or `spBv1.0/<group>/STATE/<host_id>` with `ONLINE` or `OFFLINE` of the
/// versions before. None for everything else.
pub fn read_state(topic: &str, payload: &[u8]) -> Option<HostState> {
    let levels: Vec<&str> = topic.split('/').collect();
    let (["STATE", host_id] | [NAMESPACE, "STATE", host_id] | [NAMESPACE, _, "STATE", host_id]) = levels[..] else { return None };
    let state = |online, at| Some(HostState { host_id: host_id.to_owned(), online, at });
    match payload.trim_ascii() {
        text if text.eq_ignore_ascii_case(b"ONLINE") => return state(true, None),
        text if text.eq_ignore_ascii_case(b"OFFLINE") => return state(false, None),
        _ => {}
    }
    let told: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let at = told.get("timestamp").and_then(serde_json::Value::as_i64).and_then(|ms| ms.checked_mul(1_000_000));
    state(told.get("online")?.as_bool()?, at.map(Timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_host_is_read_back_in_all_its_forms() {
        let at = Timestamp(1_767_225_600_123_000_000);
        assert_eq!(state_topic("historian"), "spBv1.0/STATE/historian");
        assert_eq!(state_payload(true, Timestamp(at.0 + 999_999)), br#"{"online":true,"timestamp":1767225600123}"#);
        let state = |online, at| Some(HostState { host_id: "h".into(), online, at });
        for online in [true, false] {
            assert_eq!(read_state(&state_topic("h"), &state_payload(online, at)), state(online, Some(at)));
        }
        assert_eq!(read_state("STATE/h", b"ONLINE"), state(true, None));
        assert_eq!(read_state("spBv1.0/G/STATE/h", b"OFFLINE\n"), state(false, None));
        assert_eq!(read_state("spBv1.0/STATE/h", b"{\"online\": false}"), state(false, None));
        for (topic, payload) in [
            ("spBv1.0/STATE/h", &b"{\"online\":\"yes\"}"[..]),
            ("spBv1.0/STATE/h", b"\xFF"),
            ("spBv1.0/G/NDATA/h", b"ONLINE"),
            ("STATE", b"ONLINE"),
        ] {
            assert_eq!(read_state(topic, payload), None, "{topic}");
        }
    }
}
