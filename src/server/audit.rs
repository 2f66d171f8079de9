//! What the server tells the audit log by itself: settings, tokens and certificates that are others than when it looked last, also while it did not
//! run; and the heads of the log, which it signs from time to time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use historian_access::{AccessFile, FileState, Grant, GrantEntry, TokenEntry};
use historian_audit::head_line;
use historian_collector::{CertificateDecision, Collector};
use historian_model::sink::Actor;
use historian_store::{AuditEntry, AuditLog};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::config::{AuditSettings, Configuration};

/// What was told last. It may be gone or old: then more is told again, never less.
const TOLD_FILE: &str = "audit.told.json";
/// How often tokens and certificates are compared with what was told.
const LOOKED_EVERY: Duration = Duration::from_secs(5);
/// Changed settings that one entry tells.
const SETTINGS_TOLD: usize = 1_000;

/// Something that is so, and how the log says that it has become so or is so no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Fact {
    action: String,
    text: String,
    /// Action for the moment when it is no more; empty where that is not told.
    gone: String,
    /// Who has made it so, where that is known.
    principal: String,
}

/// Facts and settings as the log has them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    facts: BTreeSet<Fact>,
    settings: BTreeMap<String, String>,
}

/// What the log is to tell of, as it is now.
struct Present {
    collectors: Vec<Arc<dyn Collector>>,
    settings: BTreeMap<String, String>,
}

/// Facts of the access file in the state in which it was read last. It is large where there are many tokens, and changes rarely.
#[derive(Default)]
struct AccessFacts {
    state: Option<FileState>,
    facts: BTreeSet<Fact>,
}

/// Compares what is with what the log tells, and tells the difference. Calls block.
pub struct AuditWatch {
    log: Arc<AuditLog>,
    path: PathBuf,
    access: PathBuf,
    present: Mutex<Present>,
    of_access: Mutex<AccessFacts>,
    told: Mutex<Told>,
}

impl AuditWatch {
    pub fn open(log: Arc<AuditLog>, configuration: &Configuration) -> AuditWatch {
        let data_dir = &configuration.server.data_dir;
        let path = data_dir.join(TOLD_FILE);
        let told = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Told::default()),
            Err(error) => Err(error.to_string()),
        };
        let told = told.unwrap_or_else(|error| {
            tracing::warn!("{}: {error}; settings, tokens and certificates are told to the audit log anew", path.display());
            Told::default()
        });
        let present = Present { collectors: configuration.collectors.clone(), settings: configuration.written.clone() };
        AuditWatch {
            log,
            path,
            access: AccessFile::in_directory(data_dir),
            present: Mutex::new(present),
            of_access: Mutex::default(),
            told: Mutex::new(told),
        }
    }

    /// Tells of a configuration that was read while the historian runs.
    ///
    /// # Errors
    /// As [`AuditWatch::look`], which is tried again.
    pub fn reloaded(&self, collectors: Vec<Arc<dyn Collector>>, settings: BTreeMap<String, String>) -> anyhow::Result<()> {
        *self.present.lock() = Present { collectors, settings };
        self.look()
    }

    /// Tells which settings, tokens and certificates are others than they were told last.
    ///
    /// # Errors
    /// The log or the file beside it cannot be written. Or the tokens cannot be read: settings are told all the same.
    pub fn look(&self) -> anyhow::Result<()> {
        let (collectors, settings) = {
            let present = self.present.lock();
            (present.collectors.clone(), present.settings.clone())
        };
        let mut told = self.told.lock();
        let of_access = self.of_access();
        let mut now = of_access.as_ref().map_or_else(|_| told.facts.clone(), Clone::clone);
        if of_access.is_ok() {
            now.extend(collectors.iter().flat_map(|collector| certificate_facts(&**collector)));
        }
        let mut entries = self.entries(&told.facts, &now);
        entries.extend(self.settings(&told.settings, &settings));
        if told.facts != now || told.settings != settings {
            self.log.record(&entries)?;
            (told.facts, told.settings) = (now, settings);
            self.keep(&told)?;
        }
        of_access.map(drop)
    }

    /// What the access file says, which is read where it changed.
    fn of_access(&self) -> anyhow::Result<BTreeSet<Fact>> {
        let mut known = self.of_access.lock();
        let state = AccessFile::state(&self.access)?;
        if state.is_none() || state != known.state {
            let mut facts: BTreeSet<Fact> = AccessFile::list(&self.access)?.iter().flat_map(token_facts).collect();
            facts.extend(AccessFile::list_grants(&self.access)?.iter().flat_map(grant_facts));
            *known = AccessFacts { state, facts };
        }
        Ok(known.facts.clone())
    }

    /// What the log tells of settings that differ.
    fn settings(&self, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<AuditEntry> {
        let changes = changed_settings(before, now);
        let more = changes.len().saturating_sub(SETTINGS_TOLD);
        if changes.is_empty() {
            return None;
        }
        let mut detail = changes.into_iter().take(SETTINGS_TOLD).collect::<Vec<_>>().join("; ");
        if more > 0 {
            detail += &format!("; and {more} more");
        }
        Some(self.log.entry(Actor::default(), "configuration", detail))
    }

    fn entries(&self, before: &BTreeSet<Fact>, now: &BTreeSet<Fact>) -> Vec<AuditEntry> {
        let entry = |principal: &str, action: &str, text: &str| {
            let actor = if principal.is_empty() { Actor::default() } else { Actor::new(principal) };
            self.log.entry(actor, action, text)
        };
        let new = now.difference(before).map(|fact| entry(&fact.principal, &fact.action, &fact.text));
        let gone = before.difference(now).filter(|fact| !fact.gone.is_empty()).map(|fact| entry("", &fact.gone, &fact.text));
        gone.chain(new).collect()
    }

    /// Replaces the file as a whole.
    fn keep(&self, told: &Told) -> anyhow::Result<()> {
        let new = self.path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(told)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        write().with_context(|| format!("{}", self.path.display()))
    }
}

/// `key: before → now`, in the order of the keys.
fn changed_settings(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let shown = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
    let changed = keys.into_iter().filter(|key| before.get(*key) != now.get(*key));
    changed.map(|key| format!("{key}: {} → {}", shown(before.get(key)), shown(now.get(key)))).collect()
}

/// What the log tells of a token: that it was made, and that it was revoked.
fn token_facts(token: &TokenEntry) -> Vec<Fact> {
    let grants: Vec<String> = token.grants.iter().map(granted).collect();
    let ends = token.expires.map_or_else(|| "does not expire".to_owned(), |expires| format!("expires {expires}"));
    let named = format!("token {} ({})", token.id, token.name);
    let mut facts = vec![Fact {
        action: "create_token".into(),
        text: format!("{named}: {}; {ends}", grants.join("; ")),
        gone: "remove_token".into(),
        principal: token.created_by.clone(),
    }];
    if token.revoked.is_some() {
        let principal = token.revoked_by.clone();
        facts.push(Fact { action: "revoke_token".into(), text: named, gone: String::new(), principal });
    }
    facts
}

/// What the log tells of the certificates of a device.
fn certificate_facts(collector: &dyn Collector) -> Vec<Fact> {
    let fact = |decision: CertificateDecision| Fact {
        action: if decision.trusted { "trust_certificate" } else { "reject_certificate" }.to_owned(),
        text: format!("device {}: {}", collector.device(), decision.certificate),
        gone: if decision.trusted { "distrust_certificate" } else { "" }.to_owned(),
        principal: String::new(),
    };
    collector.certificate_decisions().into_iter().map(fact).collect()
}

/// What the log tells of the grants of a principal without a token: each by itself, so that one more is one entry.
fn grant_facts(entry: &GrantEntry) -> impl Iterator<Item = Fact> {
    entry.grants.iter().map(|grant| Fact {
        action: "add_grant".into(),
        text: format!("{}: {}", entry.principal.as_str(), granted(grant)),
        gone: "remove_grant".into(),
        principal: String::new(),
    })
}

fn granted(grant: &Grant) -> String {
    let tags = if grant.tags.is_empty() { "all tags".to_owned() } else { grant.tags.join(", ") };
    format!("{} on {tags}", grant.role)
}

/// Tells what differs, and says so where that is not possible. What cannot be told now is told later: nothing waits for it.
async fn tell(watch: &Arc<AuditWatch>, is_failing: &mut bool) {
    let looking = watch.clone();
    let looked = tokio::task::spawn_blocking(move || looking.look()).await.map_err(anyhow::Error::from);
    let failed = looked.and_then(|looked| looked).err();
    if let Some(error) = failed.as_ref().filter(|_| !*is_failing) {
        tracing::error!("what changed of settings, tokens and certificates is not in the audit log yet: {error:#}");
    }
    *is_failing = failed.is_some();
}

/// Tells what is different since the run before.
pub async fn at_start(watch: &Arc<AuditWatch>) {
    tell(watch, &mut false).await;
}

/// Tells of settings, tokens and certificates whenever they have changed, until the shutdown.
pub async fn watch(watch: Arc<AuditWatch>, shutdown: CancellationToken) {
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOKED_EVERY) => {}
        }
        tell(&watch, &mut is_failing).await;
    }
}

/// Signs the head of the log from time to time, where it has moved, and at the end: into the log of the program, which goes to other machines in
/// most plants, and into a file where one is configured.
pub async fn publish_heads(log: Arc<AuditLog>, settings: AuditSettings, shutdown: CancellationToken) {
    let mut published = None;
    loop {
        let stopping = shutdown.is_cancelled();
        let (signing, file) = (log.clone(), settings.heads_file.clone());
        let signed = tokio::task::spawn_blocking(move || publish(&signing, published, file.as_deref())).await.map_err(anyhow::Error::from);
        match signed.and_then(|signed| signed) {
            Ok(number) => published = Some(number),
            Err(error) => tracing::error!("the head of the audit log cannot be published: {error:#}"),
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(settings.heads_interval_s)) => {}
        }
    }
}

/// Number of the head that is published now.
fn publish(log: &AuditLog, published: Option<u64>, file: Option<&Path>) -> anyhow::Result<u64> {
    let head = log.head()?;
    if published == Some(head.number) {
        return Ok(head.number);
    }
    let signed = log.signed(head);
    tracing::info!(
        number = signed.number,
        hash = %signed.hash,
        time = signed.time,
        public_key = signed.public_key,
        signature = signed.signature,
        "head of the audit log"
    );
    if let Some(path) = file {
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
            file.write_all(head_line(&signed).map_err(std::io::Error::other)?.as_bytes())?;
            file.sync_all()
        };
        append().with_context(|| format!("{}", path.display()))?;
    }
    Ok(signed.number)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use historian_access::{NewToken, Role};
    use historian_audit::HeadKey;
    use historian_model::{SystemClock, Timestamp};
    use historian_store::{MemoryStore, Store, StoreError, StoreLayer};

    use super::*;

    fn watch_with(store: &Arc<dyn Store>, directory: &Path, settings: BTreeMap<String, String>) -> AuditWatch {
        let log = AuditLog::new(store.clone(), HeadKey::of_directory(directory).unwrap(), Arc::new(SystemClock));
        let mut configuration = Configuration { written: settings, ..Configuration::default() };
        configuration.server.data_dir = directory.to_owned();
        AuditWatch::open(Arc::new(log), &configuration)
    }

    fn watch(store: &Arc<dyn Store>, directory: &Path) -> AuditWatch {
        watch_with(store, directory, BTreeMap::new())
    }

    fn told(store: &Arc<dyn Store>) -> Vec<(String, String)> {
        store.audit(1, 1_000).unwrap().into_iter().map(|(_, entry)| (entry.action, entry.detail)).collect()
    }

    fn settings(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_are_told_where_they_differ_also_over_a_restart() {
        let (store, directory): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::default()), tempfile::tempdir().unwrap());
        watch_with(&store, directory.path(), settings(&[("a", "1"), ("b", "2")])).look().unwrap();
        watch_with(&store, directory.path(), settings(&[("a", "1"), ("b", "2")])).look().unwrap();
        watch_with(&store, directory.path(), settings(&[("a", "3"), ("c", "4")])).look().unwrap();
        let all = told(&store);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], ("configuration".to_owned(), "a: none → 1; b: none → 2".to_owned()));
        assert_eq!(all[1], ("configuration".to_owned(), "a: 1 → 3; b: 2 → none; c: none → 4".to_owned()));
    }

    /// A store without room for a while.
    struct Full {
        inner: Arc<dyn Store>,
        full: AtomicBool,
    }

    impl StoreLayer for Full {
        fn inner(&self) -> Arc<dyn Store> {
            self.inner.clone()
        }

        fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
            if self.full.load(Ordering::SeqCst) { Err(StoreError::Full("says the test".into())) } else { self.inner.append_audit(entries) }
        }
    }

    #[test]
    fn what_cannot_be_told_now_is_told_later_and_damaged_tokens_keep_no_setting_back() {
        let directory = tempfile::tempdir().unwrap();
        let layer = Arc::new(Full { inner: Arc::new(MemoryStore::default()), full: AtomicBool::new(true) });
        let store: Arc<dyn Store> = layer.clone();
        let watch = watch_with(&store, directory.path(), settings(&[("a", "1")]));
        assert!(watch.look().is_err());
        assert_eq!(told(&store), []);
        layer.full.store(false, Ordering::SeqCst);
        fs::write(directory.path().join("access.json"), "{").unwrap();
        assert!(watch.look().is_err(), "the tokens");
        assert_eq!(told(&store), [("configuration".to_owned(), "a: none → 1".to_owned())]);
        fs::remove_file(directory.path().join("access.json")).unwrap();
        watch.look().unwrap();
        assert_eq!(told(&store).len(), 1);
    }

    #[test]
    fn tokens_are_told_once_and_by_whom() {
        let (store, directory): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::default()), tempfile::tempdir().unwrap());
        let access = AccessFile::in_directory(directory.path());
        watch(&store, directory.path()).look().unwrap();
        assert_eq!(told(&store), []);
        let new = NewToken { name: "ana".into(), grants: vec![Grant { role: Role::Reader, tags: vec!["a/**".into()] }], expires: None };
        let made = AccessFile::create_token(&access, new, Timestamp(1)).unwrap();
        let running = watch(&store, directory.path());
        running.look().unwrap();
        running.look().unwrap();
        AccessFile::revoke(&access, "ana", Timestamp(2)).unwrap();
        // By a historian that was not running meanwhile.
        watch(&store, directory.path()).look().unwrap();
        let all = told(&store);
        assert_eq!(all.iter().map(|(action, _)| &**action).collect::<Vec<_>>(), ["create_token", "revoke_token"]);
        assert!(all[0].1.contains("token 1 (ana): reader on a/**; ") && all[0].1.ends_with("does not expire"), "{}", all[0].1);
        let text = format!("{:?}", store.audit(1, 10).unwrap());
        assert!(!text.contains(&made.secret), "no secret is in the log");
        assert!(store.audit(1, 1).unwrap()[0].1.principal.starts_with("uid:"));
    }

    #[test]
    fn a_head_is_published_when_the_log_has_moved() {
        let (store, directory): (Arc<dyn Store>, _) = (Arc::new(MemoryStore::default()), tempfile::tempdir().unwrap());
        let log = AuditLog::new(store.clone(), HeadKey::of_directory(directory.path()).unwrap(), Arc::new(SystemClock));
        let heads = directory.path().join("heads.jsonl");
        assert_eq!(publish(&log, None, Some(&heads)).unwrap(), 0);
        assert_eq!(publish(&log, Some(0), Some(&heads)).unwrap(), 0);
        log.record(&[log.entry(Actor::default(), "compact", "")]).unwrap();
        assert_eq!(publish(&log, Some(0), Some(&heads)).unwrap(), 1);
        let text = fs::read_to_string(&heads).unwrap();
        let mut verifier = historian_audit::AuditVerifier::new(Vec::new(), None);
        text.lines().for_each(|line| verifier.line(line));
        for entry in store.audit_log(1, 10).unwrap() {
            verifier.entry(&entry);
        }
        let report = verifier.report();
        assert!(report.is_whole() && report.heads == 2, "{report:?}");
    }
}
