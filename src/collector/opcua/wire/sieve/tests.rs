//! Messages as the client library encodes them, with faults put in, decoded by the client library again.

use opcua::types::{
    Array, BinaryDecodable, BinaryEncodable, ByteString, ContextOwned, DataChangeNotification, DataValue, DateTime, ExtensionObject, Guid,
    MonitoredItemNotification, NodeId, NotificationMessage, PublishResponse, ReadResponse, VariantScalarTypeId,
};
use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    Limits { text_bytes_max: 100, handle_max: 20, certificate: None }
}

fn encoded(kind: ObjectId, message: &impl BinaryEncodable) -> Vec<u8> {
    let context = ContextOwned::default();
    let context = context.context();
    let mut bytes = NodeId::from(kind).encode_to_vec(&context);
    bytes.extend(message.encode_to_vec(&context));
    bytes
}

fn decoded<T: BinaryDecodable>(bytes: &[u8]) -> T {
    let context = ContextOwned::default();
    let context = context.context();
    let mut stream = bytes;
    NodeId::decode(&mut stream, &context).unwrap();
    let message = T::decode(&mut stream, &context).unwrap();
    assert_eq!(stream, b"", "nothing is left over");
    message
}

fn read(values: Vec<DataValue>) -> Vec<u8> {
    let response = ReadResponse { results: Some(values), ..ReadResponse::default() };
    encoded(ObjectId::ReadResponse_Encoding_DefaultBinary, &response)
}

fn value(variant: Variant) -> DataValue {
    DataValue {
        value: Some(variant),
        status: Some(StatusCode::from(0x4000_0480)),
        source_timestamp: Some(DateTime::from(133_000_000_000_000_001)),
        source_picoseconds: Some(17),
        server_timestamp: Some(DateTime::from(133_000_000_000_000_002)),
        server_picoseconds: Some(18),
    }
}

#[test]
fn what_a_tag_can_hold_passes_unchanged() {
    let mut values: Vec<DataValue> = [
        Variant::Boolean(true),
        Variant::SByte(-1),
        Variant::Byte(1),
        Variant::Int16(-2),
        Variant::UInt16(2),
        Variant::Int32(-3),
        Variant::UInt32(3),
        Variant::Int64(i64::MIN),
        Variant::UInt64(u64::MAX),
        Variant::Float(f32::INFINITY),
        Variant::Double(-0.0),
        Variant::from("Größe ✓"),
        Variant::from(""),
        Variant::LocalizedText(Box::new(LocalizedText::new("", "offen"))),
        Variant::from(DateTime::from(5)),
        Variant::from(Guid::from_bytes([7; 16])),
        Variant::StatusCode(StatusCode::BadTimeout),
    ]
    .into_iter()
    .map(value)
    .collect();
    values.extend([DataValue::null(), DataValue { status: Some(StatusCode::BadNodeIdUnknown), ..DataValue::null() }]);
    let (clean, findings) = clean(&read(values.clone()), &limits());
    assert_eq!(findings, []);
    let mut results = decoded::<ReadResponse>(&clean).results.unwrap();
    // The locale of a text is of no use.
    for text in results.iter_mut().chain(&mut values) {
        if let Some(Variant::LocalizedText(text)) = &mut text.value {
            text.locale = opcua::types::UAString::null();
        }
    }
    assert_eq!(results, values);
}

#[test]
fn of_what_no_tag_can_hold_only_the_type_is_left_but_texts_of_arrays() {
    let texts = Array::new(VariantScalarTypeId::String, vec![Variant::from("a"), Variant::from("ü")]).unwrap();
    let numbers = Array::new_multi(VariantScalarTypeId::Double, vec![Variant::Double(1.0); 6], vec![2, 3]).unwrap();
    let texts = Variant::Array(Box::new(texts));
    let bytes = Variant::ByteString(ByteString::from(&[1, 2, 3]));
    let (clean, findings) = clean(&read(vec![value(texts.clone()), value(Variant::Array(Box::new(numbers))), value(bytes)]), &limits());
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(findings[2].reason.contains("a ByteString"), "{findings:?}");
    let results = decoded::<ReadResponse>(&clean).results.unwrap();
    assert_eq!(results[0], value(texts));
    assert!(matches!(&results[1].value, Some(Variant::Array(array)) if array.values.is_empty()), "{results:?}");
    assert!(matches!(&results[2].value, Some(Variant::ByteString(_))), "{results:?}");
}

#[test]
fn a_flaw_keeps_status_and_times_in_place() {
    let mut bytes = read(vec![value(Variant::from("Kxlte")), value(Variant::from("y".repeat(101))), value(Variant::Double(1.5))]);
    let at = bytes.windows(5).position(|window| window == b"Kxlte").unwrap();
    bytes[at + 1] = 0xe4;
    let (clean, findings) = clean(&bytes, &limits());
    assert_eq!(findings.iter().map(|finding| (finding.handle, finding.broken)).collect::<Vec<_>>(), [(0, false), (1, false)]);
    let results = decoded::<ReadResponse>(&clean).results.unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[2], value(Variant::Double(1.5)));
    for (result, status, kept) in
        [(&results[0], StatusCode::BadDecodingError, Some("K\u{fffd}lte")), (&results[1], StatusCode::BadEncodingLimitsExceeded, None)]
    {
        assert_eq!(result.status, Some(status));
        assert_eq!(reason(result.value.as_ref().unwrap()).unwrap().1, kept);
        assert_eq!((result.source_picoseconds, result.server_picoseconds), (Some(17), Some(18)));
        assert_eq!(result.source_timestamp, value(Variant::Empty).source_timestamp);
    }
}

fn notification(items: &[(u32, Variant)]) -> Vec<u8> {
    let item = |(handle, variant): &(u32, Variant)| MonitoredItemNotification { client_handle: *handle, value: value(variant.clone()) };
    let change = DataChangeNotification { monitored_items: Some(items.iter().map(item).collect()), diagnostic_infos: None };
    let message = NotificationMessage {
        sequence_number: 5,
        publish_time: DateTime::from(9),
        notification_data: Some(vec![ExtensionObject::from_message(change)]),
    };
    let response = PublishResponse { subscription_id: 3, notification_message: message, more_notifications: true, ..Default::default() };
    encoded(ObjectId::PublishResponse_Encoding_DefaultBinary, &response)
}

/// A notification of some items, of which that of handle 8 holds what no encoding is.
fn broken(items: &[(u32, Variant)], spoil: impl Fn(&mut Vec<u8>, usize)) -> (Vec<(u32, DataValue)>, Vec<Finding>) {
    let mut bytes = notification(items);
    let at = bytes.windows(4).position(|window| window == [0x0d, 0x0c, 0x0b, 0x0a]).unwrap();
    spoil(&mut bytes, at - 1);
    let (clean, findings) = clean(&bytes, &limits());
    let response = decoded::<PublishResponse>(&clean);
    assert!(response.more_notifications);
    assert_eq!((response.subscription_id, response.notification_message.sequence_number), (3, 5));
    let part = response.notification_message.notification_data.unwrap().remove(0);
    let items = part.into_inner_as::<DataChangeNotification>().unwrap().monitored_items.unwrap();
    (items.into_iter().map(|item| (item.client_handle, item.value)).collect(), findings)
}

const MARK: Variant = Variant::Int32(0x0a0b_0c0d);

#[test]
fn a_broken_item_is_named_and_what_is_behind_it_is_found_again() {
    let behind = [
        (9, Variant::Double(2.0)),
        (10, Variant::from("offen")),
        (11, Variant::Boolean(true)),
        (9, Variant::Double(3.0)),
        (12, Variant::Int64(-5)),
        (13, Variant::UInt64(0)),
    ];
    // A type that does not exist, a text and a structure that reach beyond the end.
    for kind in [0x3f, 12, 22] {
        for count in 0..=behind.len() {
            let items = [&[(7, Variant::Double(1.0)), (8, MARK)], &behind[..count]].concat();
            let (found, findings) = broken(&items, |bytes, at| bytes[at] = kind);
            let told: Vec<_> = findings.iter().map(|finding| (finding.handle, finding.broken, finding.lost)).collect();
            assert_eq!(told, [(8, true, 0)], "type {kind}, {count} behind it");
            assert_eq!(found.iter().map(|item| item.0).collect::<Vec<_>>(), items.iter().map(|item| item.0).collect::<Vec<_>>());
            assert_eq!(found[1].1.status, Some(StatusCode::BadDecodingError));
            for (place, (_, variant)) in items.iter().enumerate().filter(|(place, _)| *place != 1) {
                assert_eq!(found[place].1, value(variant.clone()), "type {kind}, place {place} of {count}");
            }
        }
    }
}

#[test]
fn what_cannot_be_found_behind_a_broken_item_is_counted() {
    let items = [(7, Variant::Double(1.0)), (8, MARK), (9, Variant::Double(2.0)), (21, Variant::Double(4.0))];
    // A handle that no item has, as if the items behind were other bytes.
    let (found, findings) = broken(&items, |bytes, at| bytes[at] = 0x3f);
    assert_eq!(found.iter().map(|item| item.0).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(findings.iter().map(|finding| (finding.handle, finding.broken, finding.lost)).collect::<Vec<_>>(), [(8, true, 2)]);
    assert_eq!(found[0].1, value(Variant::Double(1.0)));
}

proptest! {
    /// Whatever the bytes: no panic, no endless work, and what comes out as a message with values can be decoded.
    #[test]
    fn every_message_comes_out_decodable(changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..6), cut in 0_usize..400) {
        let structure = ExtensionObject::from_message(DataChangeNotification::default());
        let mut bytes = notification(&[
            (1, Variant::from("text")),
            (2, Variant::ExtensionObject(structure)),
            (3, Variant::ByteString(ByteString::from(&[1, 2, 3]))),
            (4, Variant::Array(Box::new(Array::new_multi(VariantScalarTypeId::Double, vec![Variant::Double(1.0); 6], vec![2, 3]).unwrap()))),
            (5, Variant::LocalizedText(Box::new(LocalizedText::new("de", "offen")))),
        ]);
        // Behind the header of the response, which the client library reads as it is.
        let begin = 40;
        for (at, byte) in changes {
            let at = begin + at % (bytes.len() - begin);
            bytes[at] = byte;
        }
        let mut sieve = Sieve { walk: Walk::new(&bytes), limits: &limits(), findings: Vec::new(), unfit: None };
        if sieve.message().is_ok() {
            decoded::<PublishResponse>(&sieve.walk.out);
        }
        let _ = clean(&bytes[..cut.min(bytes.len())], &limits());
    }
}
