//! What the audit log tells of changes of the catalog.

use crate::{AuditEntry, audit};
use historian_model::{Tag, TagDefinition, Timestamp, sink::Actor};

/// Why the audit log says that a tag was renamed by the configuration.
const BY_CONFIGURATION: &str = "renamed_from of the configuration";

/// What the audit log tells of a change, and why it was made where somebody said so.
pub fn with_reason(detail: String, reason: &str) -> String {
    if reason.is_empty() { detail } else { format!("{detail}; {reason}") }
}

/// Tags that one entry of the audit log names.
const MADE_TOLD: usize = 1_000;

/// What the audit log tells of new tags.
pub fn made(actor: &Actor, tags: &[Tag], now: Timestamp) -> Vec<AuditEntry> {
    let told = |tags: &[Tag]| AuditEntry {
        time: now,
        action: "create_tag".into(),
        principal: actor.principal.clone(),
        client: actor.client.clone(),
        tags: tags.iter().map(|tag| tag.name().to_string()).collect(),
        detail: match tags {
            [tag] => format!("tag id {}, {}", tag.id.0, tag.value_type()),
            [first, .., last] => format!("tag ids {} to {}", first.id.0, last.id.0),
            [] => String::new(),
        },
        ..AuditEntry::default()
    };
    tags.chunks(MADE_TOLD).map(told).collect()
}

/// What the audit log tells of a changed definition; `None` where nothing is different.
pub fn changed(actor: &Actor, old: &TagDefinition, new: &TagDefinition, now: Timestamp) -> Option<AuditEntry> {
    audit::differences(old, new).map(|detail| AuditEntry {
        time: now,
        action: "update_tag".into(),
        principal: actor.principal.clone(),
        client: actor.client.clone(),
        tags: vec![new.name.to_string()],
        detail,
        ..AuditEntry::default()
    })
}

/// What the audit log tells of tags that the configuration renamed, each as it was and as it is.
pub fn renamed_by_configuration(old: &Tag, new: &Tag, now: Timestamp) -> AuditEntry {
    renamed(&Actor::default(), old, new, BY_CONFIGURATION, now)
}

/// What the audit log tells of a tag that was renamed, as it was and as it is.
pub fn renamed(actor: &Actor, old: &Tag, new: &Tag, reason: &str, now: Timestamp) -> AuditEntry {
    AuditEntry {
        time: now,
        action: "rename_tag".into(),
        principal: actor.principal.clone(),
        client: actor.client.clone(),
        tags: vec![new.name().to_string(), old.name().to_string()],
        detail: with_reason(format!("{} → {}; tag id {}", old.name(), new.name(), new.id.0), reason),
        ..AuditEntry::default()
    }
}
