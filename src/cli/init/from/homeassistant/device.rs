//! The broker of Home Assistant, which its files do not name: it is set up by dialogue.

use super::super::draft::{ConfigDraft, DraftDevice, text};

/// Stands for where it is: one broker serves all entities.
const PLACE: &str = "broker of Home Assistant";

/// The device of all MQTT entities; `endpoint` where an old file says it.
pub fn broker(endpoint: Option<String>, draft: &mut ConfigDraft) -> usize {
    if let Some(known) = draft.find("mqtt", PLACE) {
        return known;
    }
    let mut remarks = Vec::new();
    let endpoint = endpoint.unwrap_or_else(|| {
        remarks.push("the endpoint is a placeholder: Home Assistant keeps the broker, its user and password elsewhere".to_owned());
        draft.placeholder(1883)
    });
    let keys = vec![("endpoint", text(endpoint))];
    draft.device(DraftDevice::new("mqtt", "broker", PLACE, keys, remarks))
}
