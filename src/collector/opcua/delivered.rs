//! What has to be known of a tag to deliver its samples.

use super::{conversion::Conversion, item::OpcUaTag, times::TimeFrom};
use historian_model::{TagId, ValueType};

/// One tag as [`super::deliver::Deliveries`] takes it.
pub struct Delivered {
    pub id: TagId,
    pub name: String,
    pub address: String,
    pub value_type: ValueType,
    pub time: TimeFrom,
    pub conversion: Conversion,
}

impl Delivered {
    pub(super) fn of(id: TagId, item: &OpcUaTag) -> Delivered {
        Delivered {
            id,
            name: item.definition.name.to_string(),
            address: item.address_text.clone(),
            value_type: item.definition.value_type,
            time: item.time,
            conversion: item.conversion.clone(),
        }
    }
}
