//! One `[[opcua]]` table of the configuration, and what can be wrong with it.
//!
//! ```toml
//! [[opcua]]
//! name = "boiler"
//! endpoint = "opc.tcp://10.0.0.5:4840"
//! user = "historian"                     # Basic256Sha256 with SignAndEncrypt unless said otherwise
//! password_file = "/etc/historian/boiler.password"
//! pki_dir = "/var/lib/historian/pki"
//!
//! [[opcua.tag]]
//! name = "area1/boiler/steam_pressure"
//! address = "nsu=urn:plant:boiler;s=Boiler.P"
//! unit = "bar"
//! ```
//!
//! A tag without `type` is `f64`: the node's own type is known only after connecting, and the catalog needs one before.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use opcua::{crypto::SecurityPolicy, types::MessageSecurityMode};
use serde::Deserialize;

use super::{
    OpcUaCollector,
    device::{HostCheck, IdentityGuard, OpcUaSettings, UserIdentity},
    found_address::ValueKey,
    glob::GlobRule,
    glob_section::GlobSection,
    history::settings::{HistoryOrder, HistorySettings},
    item::OpcUaTag,
    tag::{OpcUaDefaults, refused_queue},
    times::TimeFrom,
    user::JWT,
};
use historian_collector::{
    Collector, ConfigProblem, DeviceConfig, SettingPosition, TagConfig, TagKey, not_available::NotAvailable, tag_key::NOT_AVAILABLE,
};

/// Keys of `[[opcua.tag]]` beside the common ones.
const TAG_KEYS: &[TagKey] = &[
    // Of the element of an array: `3`, or `1,2` of a matrix.
    TagKey::text("index_range"),
    // Of a structure: `Motor.Speed`, `Zones[2].Temperature`.
    TagKey::text("field"),
    TagKey::number("scale"),
    TagKey::number("offset"),
    TagKey::whole("sampling_ms"),
    TagKey::whole("queue_size"),
    // What the server reports: `status`, `status_value` or `status_value_timestamp`.
    TagKey::text("trigger"),
    // In engineering units, applied by the server.
    TagKey::number("deadband"),
    // Of the span of the node's EURange, applied by the server.
    TagKey::number("deadband_percent"),
    // Where they come from: `source`, `server` or `reception`.
    TagKey::text("timestamps"),
    // Whether the server's history fills its gaps.
    TagKey::flag("history"),
    NOT_AVAILABLE,
];

/// Most tags of one device.
pub const TAGS_MAX: usize = 200_000;
/// Most further servers of a redundant set.
const REDUNDANT_MAX: usize = 15;
/// Longest text taken as a value, unless said otherwise.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Largest message taken from a server, unless said otherwise. A notification of 100,000 numbers is about 4 MB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One OPC UA server as the configuration file describes it. [`DeviceConfig::build`] checks it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpcUaConfig {
    pub name: String,
    /// `opc.tcp://host:port/path`.
    pub endpoint: String,
    /// Further endpoints of the same set of redundant servers, in the order of preference behind `endpoint`.
    #[serde(default)]
    pub redundant_endpoints: Vec<String>,
    /// `Basic256Sha256` (default), `Aes128Sha256RsaOaep`, `Aes256Sha256RsaPss`, or `None`, which must be said and is logged as a warning.
    #[serde(default)]
    pub security_policy: Option<String>,
    /// `SignAndEncrypt` (default) or `Sign`; `None` with policy `None`.
    #[serde(default)]
    pub security_mode: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    /// File with the user's password, readable by its owner alone. Read at each connect, so that a new password needs no restart.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Certificate that the historian logs on with instead of a user name, in PEM or DER. Read at each connect.
    #[serde(default)]
    pub user_certificate_file: Option<PathBuf>,
    /// The RSA key of that certificate, in PEM or DER without a passphrase, readable by its owner alone.
    #[serde(default)]
    pub user_key_file: Option<PathBuf>,
    /// File with the token that the historian logs on with, one line; others than its owner and group may not read it. Read at each logon.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// URI of the token's type, which the server must announce; by default that of a JWT.
    #[serde(default)]
    pub issued_type: Option<String>,
    /// Directory with `own/cert.der` and `private/private.pem` (made when missing) and the folders `trusted` and `rejected`.
    #[serde(default)]
    pub pki_dir: Option<PathBuf>,
    /// Application URI; must be the one in the own certificate.
    #[serde(default)]
    pub application_uri: Option<String>,
    /// Trusts whatever certificate the server shows first. Otherwise an unknown one must be moved from `rejected` to `trusted` by hand.
    #[serde(default)]
    pub trust_server_certificate: bool,
    /// The server's certificate must name the host of the endpoint.
    #[serde(default)]
    pub verify_hostname: Option<bool>,
    /// Name to expect in the server's certificate instead of the endpoint's host, for example when the endpoint is an address.
    #[serde(default)]
    pub certificate_hostname: Option<String>,
    /// Takes a certificate of the server that is not valid yet or any more; logged at each connect.
    #[serde(default)]
    pub accept_expired_certificate: bool,
    /// The certificate must be for the application URI by which the server calls itself. What is accepted otherwise is logged.
    #[serde(default)]
    pub verify_application_uri: Option<bool>,
    /// Longest text that is taken as a value; a longer one is Bad.
    #[serde(default)]
    pub text_bytes_max: Option<u64>,
    /// Largest message taken from the server.
    #[serde(default)]
    pub message_bytes_max: Option<u64>,
    #[serde(default)]
    pub publishing_ms: Option<u64>,
    /// Sampling interval in the server; by default the publishing interval; 0 is as fast as the server can.
    #[serde(default)]
    pub sampling_ms: Option<u64>,
    /// Where timestamps come from: `source` (default), `server` or `reception`.
    #[serde(default)]
    pub timestamps: Option<String>,
    /// Samples that the server keeps per tag between two publishings, and through a cut of the link.
    #[serde(default)]
    pub queue_size: Option<u32>,
    /// Bound of each request and of each step of connecting.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Silence (neither data nor keep-alive) after which the session is given up and rebuilt.
    #[serde(default)]
    pub watchdog_ms: Option<u64>,
    /// Time between two attempts for nodes that the server refuses.
    #[serde(default)]
    pub retry_ms: Option<u64>,
    /// Longest time between two attempts to connect.
    #[serde(default)]
    pub reconnect_max_ms: Option<u64>,
    /// Samples that are absent after an outage are read from the server's history.
    #[serde(default)]
    pub history: bool,
    /// How far back; hours.
    #[serde(default)]
    pub history_max_h: Option<u64>,
    /// What is read first: `oldest` (default) or `newest`.
    #[serde(default)]
    pub history_order: Option<String>,
    #[serde(default)]
    pub history_nodes_per_request: Option<u64>,
    #[serde(default)]
    pub history_values_per_request: Option<u64>,
    /// Wait between two requests for history.
    #[serde(default)]
    pub history_pause_ms: Option<u64>,
    /// Raw values that mean "no value", each with its kind: `"i16 0x8000"`.
    #[serde(default)]
    pub not_available: NotAvailable,
    /// URIs of namespaces by the index that addresses such as `ns=2;s=Boiler.P` use. The addresses mean the URI, whatever its index in the server.
    #[serde(default)]
    pub namespaces: BTreeMap<String, String>,
    /// Variables that become tags by their paths.
    #[serde(default)]
    pub glob: Vec<GlobSection>,
    /// Most tags that the globs make.
    #[serde(default)]
    pub tags_max: Option<u64>,
    /// How often the server is browsed for the globs within a connection; 0 for at each connection only.
    #[serde(default)]
    pub rescan_s: Option<u64>,
    /// What becomes of samples whose node is another one than before: `warn` (default), `refuse` or `off`.
    #[serde(default)]
    pub identity: Option<String>,
}

impl DeviceConfig for OpcUaConfig {
    const PROTOCOL: &'static str = "opcua";
    const TITLE: &'static str = "OPC UA";
    const TAG_KEYS: &'static [TagKey] = TAG_KEYS;
    const TAG_KEYS_REMARK: &'static str = "the server sends typed values";
    const PLAIN: &'static str = "name = \"device\"\nendpoint = \"opc.tcp://127.0.0.1:4840\"\nsecurity_policy = \"None\"";

    fn name(&self) -> &str {
        &self.name
    }

    fn resolve(&mut self, directory: &Path) -> Vec<(&'static str, String)> {
        let mut missing = Vec::new();
        if let Some(pki_dir) = &mut self.pki_dir {
            *pki_dir = directory.join(&*pki_dir);
        }
        for (key, file) in [
            ("password_file", &mut self.password_file),
            ("user_certificate_file", &mut self.user_certificate_file),
            ("user_key_file", &mut self.user_key_file),
        ] {
            let Some(file) = file else { continue };
            *file = directory.join(&*file);
            if !file.is_file() {
                missing.push((key, format!("there is no file {}", file.display())));
            }
        }
        // It may come later, from the program that writes it, and is missed at each logon until then.
        if let Some(file) = &mut self.token_file {
            *file = directory.join(&*file);
        }
        missing
    }

    fn build(self, position: SettingPosition, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        Ok(Arc::new(self.collector(position, tags)?))
    }
}

impl OpcUaConfig {
    /// Every problem found, otherwise the collector.
    pub(super) fn collector(self, position: SettingPosition, tags: Vec<TagConfig>) -> Result<OpcUaCollector, Vec<ConfigProblem>> {
        let mut checks = Checks { prefix: format!("opcua.{}", self.name), position, problems: Vec::new() };
        if self.name.is_empty() || self.name.chars().any(|c| c.is_control() || c == '.') {
            checks.problem("name", "is empty or has a dot or control character");
        }
        checks.endpoint("endpoint", &self.endpoint);
        checks.redundant_endpoints(&self);
        let (policy, mode) = checks.security(&self);
        let user = checks.user(&self);
        let publishing = checks.milliseconds("publishing_ms", self.publishing_ms, 500, 10, 3_600_000);
        let sampling = checks.milliseconds("sampling_ms", self.sampling_ms, publishing.as_millis() as u64, 0, 3_600_000);
        let timeout = checks.milliseconds("timeout_ms", self.timeout_ms, 5_000, 100, 600_000);
        let watchdog_default = (publishing.as_millis() as u64 * 6).max(10_000);
        let watchdog = checks.milliseconds("watchdog_ms", self.watchdog_ms, watchdog_default, 100, 86_400_000);
        if watchdog < publishing * 3 {
            checks.problem("watchdog_ms", "must be at least three times publishing_ms");
        }
        let retry = checks.milliseconds("retry_ms", self.retry_ms, 30_000, 100, 86_400_000);
        let reconnect_max = checks.milliseconds("reconnect_max_ms", self.reconnect_max_ms, 30_000, 100, 86_400_000);
        let queue_size = self.queue_size.unwrap_or_else(|| queue_default(sampling));
        if let Some(problem) = refused_queue(u64::from(queue_size)) {
            checks.problem("queue_size", problem);
        }
        if let Some(problem) = self.not_available.device_problem() {
            checks.problem("not_available", problem);
        }
        let time = checks.time_from(self.timestamps.as_deref());
        let namespaces = checks.namespaces(&self.namespaces);
        let defaults =
            OpcUaDefaults { name: &self.name, sampling, queue_size, time, not_available: &self.not_available, namespaces: &namespaces };
        let globs = checks.globs(&self.glob, &defaults);
        let items = checks.tags(tags, &defaults, !self.glob.is_empty());
        let tags_max = checks.whole("tags_max", self.tags_max, 10_000, 0, TAGS_MAX);
        let rescan = checks.whole("rescan_s", self.rescan_s, 3_600, 0, 604_800);
        let identity = checks.identity(self.identity.as_deref());
        let history = checks.history(&self);
        let text_bytes_max = checks.whole("text_bytes_max", self.text_bytes_max, TEXT_BYTES_MAX, 1, 16 << 20);
        let message_bytes_max = checks.whole("message_bytes_max", self.message_bytes_max, MESSAGE_BYTES_MAX, 1 << 20, 1 << 30);
        if text_bytes_max > message_bytes_max {
            checks.problem("text_bytes_max", "is more than message_bytes_max; no such text can arrive");
        }
        if !checks.problems.is_empty() {
            return Err(checks.problems);
        }
        Ok(OpcUaCollector::new(OpcUaSettings {
            name: self.name,
            endpoint: self.endpoint,
            redundant: self.redundant_endpoints,
            policy,
            mode,
            user,
            pki_dir: self.pki_dir,
            application_uri: self.application_uri.unwrap_or_else(|| "urn:historian".into()),
            trust_server_certificate: self.trust_server_certificate,
            host_check: match self.certificate_hostname {
                _ if self.verify_hostname == Some(false) => HostCheck::Off,
                None => HostCheck::Endpoint,
                Some(name) => HostCheck::Name(name),
            },
            accept_expired_certificate: self.accept_expired_certificate,
            verify_application_uri: self.verify_application_uri.unwrap_or(true),
            text_bytes_max,
            message_bytes_max,
            publishing,
            timeout,
            watchdog,
            retry,
            reconnect_max,
            history,
            configured: if globs.is_empty() { BTreeSet::new() } else { items.iter().map(ValueKey::of).collect() },
            items,
            globs,
            tags_max,
            rescan: (rescan > 0).then(|| Duration::from_secs(rescan as u64)),
            identity,
        }))
    }
}

/// Half a minute of samples: a cut of the link shorter than that loses nothing.
fn queue_default(sampling: Duration) -> u32 {
    u32::try_from(30_000 / sampling.as_millis().max(1)).unwrap_or(u32::MAX).clamp(16, 256)
}

struct Checks {
    prefix: String,
    position: SettingPosition,
    problems: Vec<ConfigProblem>,
}

impl Checks {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(ConfigProblem {
            position: self.position.clone(),
            key: format!("{}.{key}", self.prefix),
            message: message.into(),
        });
    }

    fn redundant_endpoints(&mut self, config: &OpcUaConfig) {
        const KEY: &str = "redundant_endpoints";
        let further = &config.redundant_endpoints;
        if further.len() > REDUNDANT_MAX {
            self.problem(KEY, format!("{} endpoints are more than the {REDUNDANT_MAX} of one set", further.len()));
        }
        for (at, endpoint) in further.iter().enumerate() {
            self.endpoint(KEY, endpoint);
            if *endpoint == config.endpoint || further[..at].contains(endpoint) {
                self.problem(KEY, format!("{endpoint:?} is there twice; list each other server of the set once"));
            }
        }
    }

    fn endpoint(&mut self, key: &str, endpoint: &str) {
        let authority = endpoint.strip_prefix("opc.tcp://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let wrong = match authority {
            None => Some("does not begin with opc.tcp://"),
            Some(authority) => {
                let after_address = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
                let port = after_address.rsplit_once(':').map(|(_, port)| port);
                if authority.is_empty() || authority.starts_with(':') || authority.contains('@') || endpoint.contains(char::is_whitespace) {
                    Some("is not of the form opc.tcp://host:port/path")
                } else if port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err()) {
                    Some("has no valid port")
                } else {
                    None
                }
            }
        };
        match wrong {
            // What stands before the host may be a password, and is not told.
            Some(reason) if endpoint.contains('@') => {
                self.problem(key, format!("{reason}; a user and a password go into user and password_file"));
            }
            Some(reason) => self.problem(key, format!("{endpoint:?} {reason}")),
            None => {}
        }
    }

    fn security(&mut self, config: &OpcUaConfig) -> (SecurityPolicy, MessageSecurityMode) {
        let before = self.problems.len();
        let policy = match config.security_policy.as_deref().unwrap_or("Basic256Sha256") {
            "None" => SecurityPolicy::None,
            "Basic256Sha256" => SecurityPolicy::Basic256Sha256,
            "Aes128Sha256RsaOaep" => SecurityPolicy::Aes128Sha256RsaOaep,
            "Aes256Sha256RsaPss" => SecurityPolicy::Aes256Sha256RsaPss,
            old @ ("Basic128Rsa15" | "Basic256") => {
                self.problem("security_policy", format!("{old} is broken and withdrawn from the standard; use Basic256Sha256"));
                SecurityPolicy::Basic256Sha256
            }
            other => {
                self.problem(
                    "security_policy",
                    format!("unknown policy {other:?}; known are None, Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss"),
                );
                SecurityPolicy::Basic256Sha256
            }
        };
        let open = policy == SecurityPolicy::None;
        let mode = match config.security_mode.as_deref().unwrap_or(if open { "None" } else { "SignAndEncrypt" }) {
            "None" => MessageSecurityMode::None,
            "Sign" => MessageSecurityMode::Sign,
            "SignAndEncrypt" => MessageSecurityMode::SignAndEncrypt,
            other => {
                self.problem("security_mode", format!("unknown mode {other:?}; known are None, Sign, SignAndEncrypt"));
                if open { MessageSecurityMode::None } else { MessageSecurityMode::SignAndEncrypt }
            }
        };
        if open != (mode == MessageSecurityMode::None) {
            self.problem("security_mode", "policy None goes with mode None, and only with that");
        }
        if !open && config.pki_dir.is_none() && self.problems.len() == before {
            self.problem("pki_dir", "is needed for the certificates; only security_policy = \"None\" does without");
        }
        if config.application_uri.as_deref().is_some_and(|uri| uri.is_empty() || !uri.is_ascii()) {
            self.problem("application_uri", "is empty or not ASCII");
        }
        if config.certificate_hostname.is_some() && config.verify_hostname == Some(false) {
            self.problem("certificate_hostname", "has no effect with verify_hostname = false; keep one of them");
        }
        (policy, mode)
    }

    fn user(&mut self, config: &OpcUaConfig) -> UserIdentity {
        let kinds = [
            ("user", config.user.is_some() || config.password_file.is_some()),
            ("user_certificate_file", config.user_certificate_file.is_some() || config.user_key_file.is_some()),
            ("token_file", config.token_file.is_some() || config.issued_type.is_some()),
        ];
        let given: Vec<&str> = kinds.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
        if let [first, others @ ..] = &given[..]
            && !others.is_empty()
        {
            for other in others {
                self.problem(other, format!("is another identity beside {first}; a session has one, so keep one of them"));
            }
            return UserIdentity::Anonymous;
        }
        match (&config.user, &config.password_file, &config.user_certificate_file, &config.user_key_file, &config.token_file) {
            (Some(user), Some(file), ..) if !user.is_empty() => {
                return UserIdentity::Password { user: user.clone(), file: file.clone() };
            }
            (Some(user), Some(_), ..) if user.is_empty() => self.problem("user", "is empty"),
            (Some(user), None, ..) => self.problem("password_file", format!("is missing for user {user:?}")),
            (None, Some(_), ..) => self.problem("user", "is missing for the password_file"),
            (_, _, Some(file), Some(key), _) => return UserIdentity::Certificate { file: file.clone(), key: key.clone() },
            (_, _, Some(_), None, _) => self.problem("user_key_file", "is missing for the user_certificate_file"),
            (_, _, None, Some(_), _) => self.problem("user_certificate_file", "is missing for the user_key_file"),
            (.., Some(file)) => match config.issued_type.as_deref() {
                Some("") => self.problem("issued_type", format!("is empty; leave it out for a JWT, which is {JWT}")),
                kind => return UserIdentity::Token { file: file.clone(), kind: kind.unwrap_or(JWT).to_owned() },
            },
            _ if config.issued_type.is_some() => self.problem("issued_type", "has no effect without a token_file"),
            _ => {}
        }
        UserIdentity::Anonymous
    }

    fn whole(&mut self, key: &str, value: Option<u64>, default: usize, least: usize, most: usize) -> usize {
        let given = value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX));
        if !(least..=most).contains(&given) {
            self.problem(key, format!("is {given}, allowed are {least} to {most}"));
        }
        given.clamp(least, most)
    }

    fn milliseconds(&mut self, key: &str, value: Option<u64>, default: u64, least: u64, most: u64) -> Duration {
        let value = value.unwrap_or(default);
        if !(least..=most).contains(&value) {
            self.problem(key, format!("is {value}, allowed are {least} to {most}"));
        }
        Duration::from_millis(value.min(most))
    }

    fn identity(&mut self, identity: Option<&str>) -> IdentityGuard {
        match identity {
            None | Some("warn") => IdentityGuard::Warn,
            Some("refuse") => IdentityGuard::Refuse,
            Some("off") => IdentityGuard::Off,
            Some(other) => {
                self.problem("identity", format!("unknown choice {other:?}; known are warn, refuse, off"));
                IdentityGuard::default()
            }
        }
    }

    fn globs(&mut self, sections: &[GlobSection], device: &OpcUaDefaults<'_>) -> Vec<GlobRule> {
        let mut rules = Vec::new();
        for (number, section) in sections.iter().enumerate() {
            match section.rule(device) {
                Ok(rule) => rules.push(rule),
                Err(refused) => {
                    for (key, message) in refused {
                        self.problem(&format!("glob[{}].{key}", number + 1), message);
                    }
                }
            }
        }
        rules
    }

    fn time_from(&mut self, timestamps: Option<&str>) -> TimeFrom {
        timestamps.map_or(Ok(TimeFrom::default()), str::parse).unwrap_or_else(|message| {
            self.problem("timestamps", message);
            TimeFrom::default()
        })
    }

    fn history(&mut self, config: &OpcUaConfig) -> Option<HistorySettings> {
        let hours = config.history_max_h.unwrap_or(168);
        if !(1..=87_600).contains(&hours) {
            self.problem("history_max_h", format!("is {hours}, allowed are 1 to 87600"));
        }
        let order = config.history_order.as_deref().map_or(Ok(HistoryOrder::default()), str::parse).unwrap_or_else(|message| {
            self.problem("history_order", message);
            HistoryOrder::default()
        });
        let nodes_per_request = self.whole("history_nodes_per_request", config.history_nodes_per_request, 50, 1, 1_000);
        let values_per_request = self.whole("history_values_per_request", config.history_values_per_request, 1_000, 10, 100_000);
        let pause = self.milliseconds("history_pause_ms", config.history_pause_ms, 100, 0, 3_600_000);
        config.history.then(|| HistorySettings {
            back: Duration::from_secs(hours.min(87_600) * 3_600),
            order,
            nodes_per_request,
            values_per_request: u32::try_from(values_per_request).unwrap_or(u32::MAX),
            pause,
        })
    }

    fn namespaces(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<u16, String> {
        let mut namespaces = BTreeMap::new();
        for (index, uri) in written {
            match index.parse::<u16>() {
                Ok(number) if number > 0 && !uri.is_empty() => _ = namespaces.insert(number, uri.clone()),
                _ => self.problem(
                    "namespaces",
                    format!("{index:?} = {uri:?} is not an index from 1 and the URI of its namespace, as in {{ 2 = \"urn:plant\" }}"),
                ),
            }
        }
        namespaces
    }

    fn tags(&mut self, tags: Vec<TagConfig>, device: &OpcUaDefaults<'_>, has_globs: bool) -> Vec<OpcUaTag> {
        if tags.is_empty() && !has_globs {
            self.problem("tag", "there is none, and no [[opcua.glob]]; a device without tags collects nothing");
        }
        if tags.len() > TAGS_MAX {
            self.problem("tag", format!("{} tags are more than the {TAGS_MAX} one device may have; split it", tags.len()));
            return Vec::new();
        }
        let mut names = HashMap::new();
        let mut items = Vec::with_capacity(tags.len());
        for tag in tags {
            let mut problems = Vec::new();
            if let Some(line) = names.insert(tag.name.clone(), tag.position.line) {
                problems.push(tag.problem(&self.prefix, "name", format!("the name is taken by the tag in line {line}")));
            }
            match OpcUaTag::build(&tag, &self.prefix, device) {
                Ok(item) => items.push(item),
                Err(refused) => problems.extend(refused),
            }
            self.problems.append(&mut problems);
        }
        items
    }
}
