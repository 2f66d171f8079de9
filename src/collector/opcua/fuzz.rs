//! What a server sends, for the fuzz targets (`tests/fuzz`): any bytes in, whether they were taken out.

use historian_collector::guard;
use historian_model::ValueType;
use opcua::{
    core::ResponseMessage,
    types::{DataChangeNotification, DataValue, DecodingOptions, HistoryData, NotificationMessage},
};

use super::{
    convert::{self, DataValueSample},
    wire,
};

pub use super::{structure::fuzz::structure, wire::fuzz::frames};

/// A message: made decodable, decoded by the client library, and its values made samples of every type.
pub fn message(bytes: &[u8]) -> bool {
    let limits = wire::SieveLimits { text_bytes_max: 64 << 10, handle_max: 1_000, certificate: None };
    let (clean, _) = wire::clean(bytes, &limits);
    // As the collector sets them: larger than the library's own.
    let options = DecodingOptions { max_array_length: 64 << 20, max_string_length: 64 << 20, ..DecodingOptions::default() };
    // The library panics on some bytes, which the transport guards against in the same way.
    let Ok(Ok(message)) = guard::call(|| wire::decode(options, &clean)) else { return false };
    let values = match message {
        ResponseMessage::Read(answer) => answer.results.unwrap_or_default(),
        ResponseMessage::Publish(answer) => changes(answer.notification_message),
        ResponseMessage::Republish(answer) => changes(answer.notification_message),
        ResponseMessage::HistoryRead(answer) => {
            let histories = answer.results.into_iter().flatten().filter_map(|result| result.history_data.into_inner_as::<HistoryData>());
            histories.flat_map(|history| history.data_values.unwrap_or_default()).collect()
        }
        _ => Vec::new(),
    };
    for value in values {
        for value_type in ValueType::ALL {
            convert::caution(&value, value_type);
            let sample = DataValueSample::unless_listed(value.clone(), value_type, &[]);
            let Some(value) = sample.value else { continue };
            // A text of which only a part could be read is Bad and there.
            let may_be_there = !sample.quality.is_bad() || value_type == ValueType::String;
            assert!(value.value_type() == value_type && may_be_there, "{value:?} as {value_type}, {}", sample.quality);
        }
    }
    true
}

fn changes(notification: NotificationMessage) -> Vec<DataValue> {
    let parts = notification.notification_data.into_iter().flatten();
    let changes = parts.filter_map(opcua::types::ExtensionObject::into_inner_as::<DataChangeNotification>);
    changes.flat_map(|change| change.monitored_items.into_iter().flatten()).map(|item| item.value).collect()
}
