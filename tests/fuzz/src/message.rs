//! Messages as bytes: fields of protobuf for seeds, and the messages of a Flight stream one after the other.

use arrow_flight::FlightData;

use crate::protobuf::varint;

/// A field that holds bytes, a text or a message.
pub fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// A field that holds a number.
pub fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// An `Any`.
pub fn any(type_url: &str, content: &[u8]) -> Vec<u8> {
    [field(1, type_url.as_bytes()), field(2, content)].concat()
}

/// A stream of Flight: of each message header and body, each behind its length.
pub fn stream(messages: &[FlightData]) -> Vec<u8> {
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    messages.iter().flat_map(|message| [part(&message.data_header), part(&message.data_body)].concat()).collect()
}

/// The messages of a stream; what is cut off is the last one.
pub fn messages(mut stream: &[u8]) -> Vec<FlightData> {
    let mut part = || {
        let (length, rest) = stream.split_first_chunk::<4>()?;
        let (content, rest) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
        stream = rest;
        Some(content.to_vec().into())
    };
    let mut messages = Vec::new();
    while let Some(data_header) = part() {
        messages.push(FlightData { data_header, data_body: part().unwrap_or_default(), ..FlightData::default() });
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_as_it_was_written() {
        let message = |header: &[u8], body: &[u8]| FlightData {
            data_header: header.to_vec().into(),
            data_body: body.to_vec().into(),
            ..FlightData::default()
        };
        let sent = [message(b"schema", b""), message(b"batch", b"columns")];
        assert_eq!(messages(&stream(&sent)), sent);
        assert_eq!(messages(&stream(&sent)[..8]).len(), 1);
    }
}
