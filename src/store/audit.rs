//! What the audit log tells of a changed definition. The log itself is `historian-audit`; the store keeps it, and writes each entry beside the
//! change that it tells of.

use historian_audit::AuditError;
use historian_format::keys;
use historian_model::{
    TagDefinition, TagFilter,
    filter::{CompressionFilter, ExceptionFilter},
    tag::TagSource,
};

use super::StoreError;

/// Entries of a page of the log, in bytes of their texts; one is always there.
pub(super) const PAGE_BYTES_MAX: usize = 8 << 20;

impl From<AuditError> for StoreError {
    fn from(error: AuditError) -> StoreError {
        match error {
            AuditError::Unreadable { number, .. } => {
                StoreError::Corrupt { family: keys::FAMILY_AUDIT, key: format!("entry {number}"), message: error.to_string() }
            }
            _ => StoreError::Io(error.to_string()),
        }
    }
}

/// Changed states that an entry tells one by one.
const STATES_TOLD: usize = 20;
/// Bytes of one old or new text in an entry.
const TEXT_BYTES_TOLD: usize = 256;

/// What is different between two definitions of a tag, as `detail` has it; `None` when nothing is.
pub(super) fn differences(old: &TagDefinition, new: &TagDefinition) -> Option<String> {
    let TagDefinition { name: _, value_type, unit, description, stepped, range_low, range_high, state_set, source, filter } = old;
    let mut told = Vec::new();
    let mut differ = |field: &str, old: String, new: String| {
        if old != new {
            told.push(format!("{field}: {} → {}", short(&old), short(&new)));
        }
    };
    differ("type", value_type.to_string(), new.value_type.to_string());
    differ("unit", format!("{unit:?}"), format!("{:?}", new.unit));
    differ("stepped", stepped.to_string(), new.stepped.to_string());
    let bound = |bound: Option<f64>| bound.map_or_else(|| "none".to_owned(), |bound| bound.to_string());
    differ("range_low", bound(*range_low), bound(new.range_low));
    differ("range_high", bound(*range_high), bound(new.range_high));
    let filtered = |filter: &TagFilter| {
        let exception = filter.exception.iter().map(|ExceptionFilter { deadband, min_interval_ms, max_interval_ms }| {
            format!("exception beyond {deadband}, after {min_interval_ms} to {max_interval_ms} ms")
        });
        let compression = filter
            .compression
            .iter()
            .map(|CompressionFilter { deviation, max_interval_ms }| format!("swinging door of {deviation}, up to {max_interval_ms} ms"));
        let filters: Vec<String> = exception.chain(compression).collect();
        if filters.is_empty() { "none".to_owned() } else { filters.join(", ") }
    };
    let from = |source: Option<&TagSource>| source.map_or_else(|| "none".to_owned(), |from| format!("{} {}", from.device, from.address));
    differ("source", from(source.as_ref()), from(new.source.as_ref()));
    differ("filter", filtered(filter), filtered(&new.filter));
    differ("description", format!("{description:?}"), format!("{:?}", new.description));
    let states = (0..state_set.len().max(new.state_set.len())).filter(|state| state_set.get(*state) != new.state_set.get(*state));
    let name = |name: Option<&String>| name.map_or_else(|| "none".to_owned(), |name| format!("{name:?}"));
    let mut more = 0_usize;
    for (told_before, state) in states.enumerate() {
        if told_before < STATES_TOLD {
            differ(&format!("state {state}"), name(state_set.get(state)), name(new.state_set.get(state)));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        told.push(format!("and {more} more states"));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

/// A text cut to what an entry has room for.
fn short(text: &str) -> String {
    if text.len() <= TEXT_BYTES_TOLD {
        return text.to_owned();
    }
    let cut = (0..=TEXT_BYTES_TOLD).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, RocksStore, Store, rocks::StoreOptions};
    use historian_audit::{AuditEntry, AuditHash, AuditHead, ChainCheck};
    use historian_model::{TagName, Timestamp, ValueType};

    fn entry(action: &str) -> AuditEntry {
        AuditEntry {
            time: Timestamp(-7),
            action: action.into(),
            principal: "historian".into(),
            client: "192.0.2.1".into(),
            tags: vec!["a/b".into()],
            start: Some(i64::MIN),
            end: None,
            samples: u64::MAX,
            detail: "\"quoted\"".into(),
        }
    }

    fn numbers_go_on(store: &dyn Store, after: u64) {
        assert_eq!(store.audit(after + 1, 10).unwrap(), []);
        store.append_audit(&[entry("first"), entry("second")]).unwrap();
        store.append_audit(&[]).unwrap();
        store.append_audit(&[entry("third")]).unwrap();
        let all = store.audit(after, 10).unwrap();
        let told: Vec<_> = all.iter().map(|(number, entry)| (*number, entry.action.as_str())).filter(|(n, _)| *n > after).collect();
        assert_eq!(told, [(after + 1, "first"), (after + 2, "second"), (after + 3, "third")]);
        assert_eq!(all.last().unwrap().1, entry("third"));
        assert_eq!(store.audit(after + 2, 1).unwrap(), [(after + 2, entry("second"))]);
        let mut chain = ChainCheck::from_start();
        for entry in store.audit_log(0, 100).unwrap() {
            assert_eq!(chain.next(&entry), Ok(()), "{entry:?}");
        }
        assert_eq!(store.audit_head().unwrap(), AuditHead { number: after + 3, hash: chain.last().1 });
    }

    #[test]
    fn a_page_of_the_log_has_bounds_and_one_entry_at_least() {
        let twins: [(_, Box<dyn Store>); 2] = {
            let directory = tempfile::tempdir().unwrap();
            let rocks = RocksStore::open(directory.path(), &StoreOptions::default()).unwrap();
            [(None, Box::new(MemoryStore::default())), (Some(directory), Box::new(rocks))]
        };
        for (_directory, store) in twins {
            assert_eq!(store.audit_head().unwrap(), AuditHead { number: 0, hash: AuditHash::START });
            let long = || AuditEntry { detail: "x".repeat(PAGE_BYTES_MAX / 2), ..entry("long") };
            store.append_audit(&[long(), long(), long()]).unwrap();
            let page = |from, limit| store.audit_log(from, limit).unwrap().iter().map(|entry| entry.number).collect::<Vec<_>>();
            assert_eq!((page(1, 10), page(2, 10), page(2, 1)), (vec![1], vec![2], vec![2]));
            assert_eq!(page(4, 10), [0; 0]);
        }
    }

    #[test]
    fn entries_are_numbered_in_order_on_both_twins_and_over_a_restart() {
        numbers_go_on(&MemoryStore::default(), 0);
        let directory = tempfile::tempdir().unwrap();
        numbers_go_on(&RocksStore::open(directory.path(), &StoreOptions::default()).unwrap(), 0);
        numbers_go_on(&RocksStore::open(directory.path(), &StoreOptions::default()).unwrap(), 3);
    }

    #[test]
    fn a_changed_definition_is_told_field_by_field_and_within_bounds() {
        let mut old = TagDefinition::new(TagName::new("press/state").unwrap(), ValueType::State);
        old.state_set = ["off", "idle", "running"].map(str::to_owned).to_vec();
        assert_eq!(differences(&old, &old.clone()), None);
        let mut new = old.clone();
        new.state_set.pop();
        new.state_set[1] = "waiting".into();
        (new.unit, new.range_high, new.stepped) = ("1".into(), Some(2.5), false);
        new.source = Some(TagSource { device: "plc".into(), address: "holding:3".into() });
        assert_eq!(
            differences(&old, &new).unwrap(),
            "unit: \"\" → \"1\"; stepped: true → false; range_high: none → 2.5; source: none → plc holding:3; \
             state 1: \"idle\" → \"waiting\"; state 2: \"running\" → none"
        );
        (new.description, new.state_set) = ("ä".repeat(2_000), vec!["x".repeat(256); 65_536]);
        let told = differences(&old, &new).unwrap();
        assert!(told.ends_with("; and 65516 more states") && told.len() < 20_000, "{}", told.len());
    }
}
