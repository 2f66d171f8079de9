//! One server as it was configured, and the items that are read from it.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use opcua::{crypto::SecurityPolicy, types::MessageSecurityMode};

use super::{
    found_address::{FoundAddress, ValueKey},
    glob::GlobRule,
    history::settings::HistorySettings,
    item::OpcUaTag,
};
use historian_model::TagDefinition;

/// A validated [`crate::OpcUaConfig`].
#[derive(Clone, Debug)]
pub(super) struct OpcUaSettings {
    pub(super) name: String,
    pub(super) endpoint: String,
    /// Endpoints of the other servers of its redundant set, in the order of preference; mostly there are none.
    pub(super) redundant: Vec<String>,
    pub(super) policy: SecurityPolicy,
    pub(super) mode: MessageSecurityMode,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<PathBuf>,
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

    /// Whether a configured tag takes the value at a place.
    pub(super) fn is_configured(&self, place: &FoundAddress) -> bool {
        self.configured.contains(&place.value())
    }

    /// Handles of items that the server may be asked to use.
    pub(super) fn handles_max(&self) -> u32 {
        let found = if self.globs.is_empty() { 0 } else { self.tags_max };
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
