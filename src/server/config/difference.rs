//! What differs between two configurations beside devices and tags, by the keys of the file.

use super::{Configuration, LogSettings};

/// Keys whose values differ and hold only after a start, in the order of the document.
pub fn fixed_keys(old: &Configuration, new: &Configuration) -> Vec<String> {
    let mut keys = Vec::new();
    section(&mut keys, "server", &old.server, &new.server);
    // The level can change, the form cannot.
    if old.log.format != new.log.format {
        keys.push("log.format".to_owned());
    }
    if old.trace != new.trace {
        keys.push("trace".to_owned());
    }
    if old.tls != new.tls {
        keys.push("tls".to_owned());
    }
    if old.oidc != new.oidc {
        keys.push("oidc".to_owned());
    }
    if old.zones != new.zones {
        keys.push("zone".to_owned());
    }
    section(&mut keys, "storage", &old.storage, &new.storage);
    section(&mut keys, "spool", &old.spool, &new.spool);
    section(&mut keys, "backup", &old.backup, &new.backup);
    section(&mut keys, "scrub", &old.scrub, &new.scrub);
    section(&mut keys, "audit", &old.audit, &new.audit);
    section(&mut keys, "limits", &old.limits, &new.limits);
    // What they resolve to has no other form than what it prints.
    if format!("{:?}", old.tables.zone) != format!("{:?}", new.tables.zone) {
        keys.push("sql.zone".to_owned());
    }
    if format!("{:?}", old.tables.views) != format!("{:?}", new.tables.views) {
        keys.push("view".to_owned());
    }
    keys
}

/// Whether two configurations keep samples differently.
pub fn keeps_otherwise(old: &Configuration, new: &Configuration) -> bool {
    let told = |configuration: &Configuration| -> Vec<(Vec<String>, _, _)> {
        let groups = configuration.retention.iter();
        groups.map(|group| (group.selection.patterns().map(str::to_owned).collect(), group.age, group.bytes_max)).collect()
    };
    told(old) != told(new)
}

/// Keys of `[log]` that differ and can be applied.
pub fn log_keys(old: &LogSettings, new: &LogSettings) -> (bool, bool) {
    (old.level != new.level, old.slow_query_ms != new.slow_query_ms)
}

/// Keys of a section whose values differ, also where one of the two has none.
fn section<Settings: serde::Serialize>(keys: &mut Vec<String>, name: &str, old: &Settings, new: &Settings) {
    let table = |settings: &Settings| toml::Table::try_from(settings).unwrap_or_default();
    let (old, new) = (table(old), table(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
    names.sort();
    names.dedup();
    keys.extend(names.into_iter().map(|key| format!("{name}.{key}")));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Overrides, parse};

    fn read(text: &str) -> Configuration {
        parse("f.toml", text, Path::new("/"), &Overrides::default()).map_err(|problems| format!("{problems:?}")).unwrap()
    }

    #[test]
    fn every_key_that_differs_is_named_and_no_other() {
        let old = read("[storage]\ncache_bytes = \"128 MiB\"\n[limits]\nquery_rows_max = 7\n");
        assert_eq!(fixed_keys(&old, &read("[limits]\nquery_rows_max = 7\n[storage]\ncache_bytes = 134217728\n")), Vec::<String>::new());
        let new = read(
            "[server]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n\
             [trace]\nendpoint = \"http://127.0.0.1:4317\"\n[storage]\ndisk_reserve_bytes = 7\n[spool]\npath = \"s\"\n\
             [backup]\ndirectory = \"b\"\n[scrub]\ninterval = \"off\"\n[audit]\nheads_interval_s = 60\n[sql]\nzone = \"Europe/Berlin\"\n",
        );
        let keys = [
            "server.listen",
            "log.format",
            "trace",
            "storage.cache_bytes",
            "storage.disk_reserve_bytes",
            "spool.path",
            "backup.directory",
            "scrub.interval",
            "audit.heads_interval_s",
            "limits.query_rows_max",
            "sql.zone",
        ];
        assert_eq!(fixed_keys(&old, &new), keys);
        assert_eq!(log_keys(&old.log, &new.log), (true, false));
        assert!(!keeps_otherwise(&old, &new));
        assert!(keeps_otherwise(&old, &read("[[retention]]\ntags = [\"**\"]\nage = \"1d\"\n")));
    }
}
