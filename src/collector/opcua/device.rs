//! One server as it was configured, and the items that are read from it.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use opcua::{crypto::SecurityPolicy, types::MessageSecurityMode};

use super::{
    found_address::{FoundAddress, ValueKey},
    glob::GlobRule,
    history::settings::HistorySettings,
    item::OpcUaTag,
};
use historian_model::{TagDefinition, filter::TagFilter};

/// A validated [`crate::OpcUaConfig`].
#[derive(Clone, Debug)]
pub(super) struct OpcUaSettings {
    pub(super) name: String,
    pub(super) endpoint: String,
    /// Endpoints of the other servers of its redundant set, in the order of preference; mostly there are none.
    pub(super) redundant: Vec<String>,
    pub(super) policy: SecurityPolicy,
    pub(super) mode: MessageSecurityMode,
    pub(super) user: UserIdentity,
    pub(super) pki_dir: Option<PathBuf>,
    pub(super) application_uri: String,
    pub(super) trust_server_certificate: bool,
    pub(super) host_check: HostCheck,
    pub(super) accept_expired_certificate: bool,
    pub(super) verify_application_uri: bool,
    pub(super) text_bytes_max: usize,
    pub(super) message_bytes_max: usize,
    pub(super) publishing: Duration,
    pub(super) timeout: Duration,
    pub(super) watchdog: Duration,
    pub(super) retry: Duration,
    pub(super) reconnect_max: Duration,
    /// How the server's history fills gaps; `None` where it does not.
    pub(super) history: Option<HistorySettings>,
    pub(super) items: Vec<OpcUaTag>,
    pub(super) globs: Vec<GlobRule>,
    /// Of the items, where there are globs.
    pub(super) configured: BTreeSet<ValueKey>,
    /// Most tags that the globs make.
    pub(super) tags_max: usize,
    /// How often the server is browsed for them within a connection; `None` for at each connection only.
    pub(super) rescan: Option<Duration>,
    pub(super) identity: IdentityGuard,
}

/// As whom the historian logs on. What proves it is in files, which are read at each logon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum UserIdentity {
    #[default]
    Anonymous,
    Password {
        user: String,
        file: PathBuf,
    },
    /// A certificate, and the key that signs what the server asks to be signed.
    Certificate {
        file: PathBuf,
        key: PathBuf,
    },
    /// A token that somebody else issued.
    Token {
        file: PathBuf,
        /// URI of its type, as servers announce it.
        kind: String,
    },
}

/// What becomes of the samples of a node that is another one than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum IdentityGuard {
    /// Nobody looks.
    Off,
    /// They are Uncertain.
    #[default]
    Warn,
    /// There are none: the tag is Bad.
    Refuse,
}

impl OpcUaSettings {
    /// How many servers its set has; mostly one.
    pub(super) fn servers(&self) -> usize {
        1 + self.redundant.len()
    }

    /// The endpoint of a server of its set, by its place in the order of preference. The first has 0, and any number that none has.
    pub(super) fn endpoint_of(&self, member: usize) -> &str {
        let further = member.checked_sub(1).and_then(|further| self.redundant.get(further));
        further.unwrap_or(&self.endpoint)
    }

    /// Whether there are other servers to go over to.
    pub(super) fn is_redundant(&self) -> bool {
        !self.redundant.is_empty()
    }

    /// Whether this configuration makes this tag of what it finds.
    pub(super) fn makes(&self, tag: &TagDefinition) -> bool {
        let Some(source) = tag.source.as_ref().filter(|source| source.device == self.name) else { return false };
        let Ok(found) = FoundAddress::parse(&source.address) else { return false };
        let rule = self.globs.iter().find(|rule| rule.wants(&found.path));
        let is_of = |rule: &GlobRule| rule.name(&found.path, found.index.as_deref()).is_ok_and(|name| name == tag.name);
        rule.is_some_and(is_of) && !self.is_configured(&found)
    }

    /// Which samples of a tag that it [`makes`](OpcUaSettings::makes) are left out.
    pub(super) fn filter_of(&self, tag: &TagDefinition) -> TagFilter {
        let place = tag.source.as_ref().and_then(|source| FoundAddress::parse(&source.address).ok());
        let rule = place.and_then(|place| self.globs.iter().find(|rule| rule.wants(&place.path)));
        rule.map(|rule| rule.tag_filter.fitting(tag).0).unwrap_or_default()
    }

    /// Whether a configured tag takes the value at a place.
    pub(super) fn is_configured(&self, place: &FoundAddress) -> bool {
        self.configured.contains(&place.value())
    }

    /// Handles of items that the server may be asked to use where globs have made so many tags already: these stay where `tags_max` is less by
    /// now, and are the reason that no more are made.
    pub(super) fn handles_max(&self, found: usize) -> u32 {
        let found = if self.globs.is_empty() { found } else { found.max(self.tags_max) };
        u32::try_from(self.items.len() + found).unwrap_or(u32::MAX)
    }
}

/// Which host the server's certificate must name.
#[derive(Clone, Debug)]
pub(super) enum HostCheck {
    Off,
    /// That of the endpoint.
    Endpoint,
    Name(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpcUaConfig;
    use historian_collector::SettingPosition;

    fn settings(keys: &str) -> OpcUaSettings {
        let text = format!("name = \"d\"\nendpoint = \"opc.tcp://h:4840\"\nsecurity_policy = \"None\"\n{keys}\n");
        let config: OpcUaConfig = toml::from_str(&text).unwrap();
        let tag = historian_collector::TagConfig {
            name: "t".to_owned(),
            address: "nsu=urn:plant;i=1".to_owned(),
            ..historian_collector::TagConfig::default()
        };
        let built = config.collector(SettingPosition::default(), vec![tag]).unwrap();
        OpcUaSettings::clone(&built.device)
    }

    #[test]
    fn every_tag_that_is_kept_has_a_handle_and_every_one_that_may_come() {
        let bounded = settings("tags_max = 2\n[[glob]]\npath = \"**\"");
        for (found, most) in [(0, 3), (2, 3), (5, 6)] {
            assert_eq!(bounded.handles_max(found), most, "{found} tags of earlier runs");
        }
        assert_eq!(settings("tags_max = 2").handles_max(0), 1);
    }
}
