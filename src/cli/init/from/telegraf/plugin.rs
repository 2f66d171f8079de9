//! What every input plugin of Telegraf may say.

use super::super::{place::scan_ms, source::ForeignTable};

/// What every plugin may have and a historian does not: it would change or select what is collected.
pub fn common(table: &ForeignTable<'_>) -> Vec<String> {
    let named = [
        ("tags", "a value is named by its tag alone"),
        ("name_override", "a value is named by its tag alone"),
        ("name_prefix", "a value is named by its tag alone"),
        ("name_suffix", "a value is named by its tag alone"),
        ("alias", "it is of the log of Telegraf"),
        ("log_level", "it is of the log of Telegraf"),
        ("collection_jitter", "polls of devices are spread anyway"),
        ("precision", "times are kept as they are"),
    ];
    named.into_iter().filter(|(key, _)| table.has(key)).map(|(key, why)| format!("{key} not carried over: {why}")).collect()
}

/// Period of a plugin: its own, or that of the agent.
pub fn period(table: &ForeignTable<'_>, interval_ms: u64, remarks: &mut Vec<String>) -> u64 {
    let own = table.milliseconds("interval").unwrap_or_else(|reason| {
        remarks.push(reason);
        None
    });
    own.map_or(interval_ms, scan_ms)
}
