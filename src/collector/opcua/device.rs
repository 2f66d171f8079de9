//! One server as it was configured, and the items that are read from it.

use std::{path::PathBuf, time::Duration};

use opcua::{crypto::SecurityPolicy, types::MessageSecurityMode};

use super::{address::NodeAddress, times::TimeFrom};
use historian_collector::not_available::Sentinel;
use historian_model::TagDefinition;

/// A validated [`crate::OpcUaConfig`].
#[derive(Clone, Debug)]
pub(super) struct OpcUaSettings {
    pub(super) name: String,
    pub(super) endpoint: String,
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
    pub(super) queue_size: u32,
    pub(super) timeout: Duration,
    pub(super) watchdog: Duration,
    pub(super) retry: Duration,
    pub(super) reconnect_max: Duration,
    pub(super) items: Vec<OpcUaTag>,
}

/// Which host the server's certificate must name.
#[derive(Clone, Debug)]
pub(super) enum HostCheck {
    Off,
    /// That of the endpoint.
    Endpoint,
    Name(String),
}

/// One tag and the node it comes from.
#[derive(Clone, Debug)]
pub(super) struct OpcUaTag {
    pub(super) definition: TagDefinition,
    pub(super) address: NodeAddress,
    pub(super) address_text: String,
    pub(super) sampling: Duration,
    /// Absolute, greater than 0.
    pub(super) deadband: Option<f64>,
    /// Raw values that mean "no value".
    pub(super) not_available: Vec<Sentinel>,
    pub(super) time: TimeFrom,
}
