//! A tag of the device and the node that it comes from.

use std::time::Duration;

use opcua::types::{AttributeId, DataChangeFilter, DataChangeTrigger, DeadbandType, ExtensionObject, NodeId, NumericRange, ReadValueId};

use super::{address::NodeAddress, conversion::Conversion, times::TimeFrom};
use historian_model::TagDefinition;

/// One tag and the node it comes from.
#[derive(Clone, Debug)]
pub(super) struct OpcUaTag {
    pub(super) definition: TagDefinition,
    pub(super) address: NodeAddress,
    pub(super) address_text: String,
    /// The element of an array that the tag takes.
    pub(super) element: NumericRange,
    pub(super) sampling: Duration,
    /// Samples that the server keeps between two publishings.
    pub(super) queue_size: u32,
    pub(super) trigger: Trigger,
    pub(super) deadband: Deadband,
    pub(super) conversion: Conversion,
    pub(super) time: TimeFrom,
    /// The server's history fills its gaps, where that of the device does.
    pub(super) history: bool,
}

/// What makes the server send a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trigger {
    Status,
    #[default]
    StatusValue,
    StatusValueTimestamp,
}

/// Change of value below which the server sends nothing; greater than 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Deadband {
    #[default]
    None,
    /// In engineering units.
    Absolute(f64),
    /// Of the span of the node's `EURange`.
    Percent(f64),
}

impl OpcUaTag {
    /// The element of an array that it takes, as it is written; empty for a whole value.
    pub(super) fn index_text(&self) -> String {
        if self.element == NumericRange::None { String::new() } else { self.element.to_string() }
    }

    /// What is read of, or subscribed to at, its node.
    pub(super) fn value_of(&self, node: NodeId) -> ReadValueId {
        ReadValueId { node_id: node, attribute_id: AttributeId::Value as u32, index_range: self.element.clone(), ..ReadValueId::default() }
    }

    /// The filter that the server is asked for; null where the standard's default holds, status or value changed, because some servers know no
    /// filters.
    pub(super) fn filter(&self) -> ExtensionObject {
        if (self.trigger, self.deadband) == (Trigger::StatusValue, Deadband::None) {
            return ExtensionObject::null();
        }
        let (deadband_type, deadband_value) = match self.deadband {
            Deadband::None => (DeadbandType::None, 0.0),
            Deadband::Absolute(value) => (DeadbandType::Absolute, value),
            Deadband::Percent(value) => (DeadbandType::Percent, value),
        };
        let trigger = match self.trigger {
            Trigger::Status => DataChangeTrigger::Status,
            Trigger::StatusValue => DataChangeTrigger::StatusValue,
            Trigger::StatusValueTimestamp => DataChangeTrigger::StatusValueTimestamp,
        };
        ExtensionObject::from_message(DataChangeFilter { trigger, deadband_type: deadband_type as u32, deadband_value })
    }
}
