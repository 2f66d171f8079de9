//! OPC UA: what servers send, and how addresses are written.

use std::str;

use historian_opcua::{address::NodeAddress, fuzz};
use opcua::types::{
    Array, BinaryEncodable, ByteStringBody, ContextOwned, DataChangeNotification, DataValue, DateTime, ExtensionObject, Guid,
    LocalizedText, MonitoredItemNotification, NodeId, NotificationMessage, ObjectId, PublishResponse, ReadResponse, StatusCode,
    StructureDefinition, StructureField, StructureType, Variant, VariantScalarTypeId,
};

use super::Target;

pub const MESSAGE: Target = Target {
    name: "opcua_message",
    about: "messages with values: made decodable, decoded, made samples",
    inputs: 5_000,
    run: fuzz::message,
    seeds: || {
        let read = ReadResponse { results: Some(values()), ..ReadResponse::default() };
        let items = values().into_iter().zip(1..).map(|(value, client_handle)| MonitoredItemNotification { client_handle, value });
        let change = DataChangeNotification { monitored_items: Some(items.collect()), diagnostic_infos: None };
        let notification_message = NotificationMessage {
            sequence_number: 7,
            publish_time: DateTime::from(133_000_000_000_000_002),
            notification_data: Some(vec![ExtensionObject::from_message(change)]),
        };
        let publish = PublishResponse { subscription_id: 1, notification_message, ..PublishResponse::default() };
        vec![
            encoded(ObjectId::ReadResponse_Encoding_DefaultBinary, &read),
            encoded(ObjectId::PublishResponse_Encoding_DefaultBinary, &publish),
        ]
    },
};

pub const FRAMES: Target = Target {
    name: "opcua_frames",
    about: "a stream cut into frames, and the answer to the greeting",
    inputs: 30_000,
    run: fuzz::frames,
    seeds: || {
        let numbers = [0, 65_536, 65_536, 1 << 20, 100_u32];
        let acknowledge = [&b"ACKF"[..], &28_u32.to_le_bytes(), &numbers.map(u32::to_le_bytes).concat()].concat();
        let error = [&b"ERRF"[..], &20_u32.to_le_bytes(), &0x8000_0000_u32.to_le_bytes(), &4_u32.to_le_bytes(), b"no.."].concat();
        vec![acknowledge.clone(), [acknowledge, error].concat()]
    },
};

pub const STRUCTURE: Target = Target {
    name: "opcua_structure",
    about: "definitions of structures, and structures taken apart by them",
    inputs: 30_000,
    run: fuzz::structure,
    seeds: || {
        let context = ContextOwned::default();
        let context = context.context();
        let field = |name: &str, data_type: u32, value_rank, is_optional| StructureField {
            name: name.into(),
            data_type: NodeId::new(0, data_type),
            value_rank,
            is_optional,
            ..StructureField::default()
        };
        // The type 1000 is this one itself.
        let fields = [("a", 11, -1, false), ("b", 12, -1, true), ("c", 1_000, 1, true), ("d", 24, -1, false), ("e", 4, 2, false)];
        let fields = fields.map(|(name, data_type, rank, is_optional)| field(name, data_type, rank, is_optional));
        let definition = StructureDefinition {
            default_encoding_id: NodeId::new(2, 5_u32),
            structure_type: StructureType::StructureWithOptionalFields,
            fields: Some(fields.to_vec()),
            ..StructureDefinition::default()
        };
        let definition = ExtensionObject::from_message(definition).encode_to_vec(&context);
        let one = |mask: u32, inner: &[u8]| {
            let text: &[u8] = if mask & 1 == 0 { &[] } else { &[2, 0, 0, 0, b'x', b'"'] };
            let any = [6, 9, 0, 0, 0];
            let matrix = [2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2, 0];
            [&mask.to_le_bytes()[..], &2.5_f64.to_le_bytes(), text, inner, &any, &matrix].concat()
        };
        let inner = [&2_i32.to_le_bytes()[..], &one(0, &[]), &one(1, &[])].concat();
        [one(0, &[]), one(1, &[]), one(3, &inner)]
            .into_iter()
            .map(|content| {
                let object = ByteStringBody::new(content.into(), NodeId::new(2, 5_u32));
                let object = ExtensionObject::from_message(object).encode_to_vec(&context);
                let length = u16::try_from(definition.len()).unwrap_or_default();
                [&length.to_le_bytes()[..], &definition, &object].concat()
            })
            .collect()
    },
};

pub const ADDRESS: Target = Target {
    name: "opcua_address",
    about: "addresses of nodes as people write them",
    inputs: 40_000,
    run: |bytes| {
        let Some(Ok(address)) = str::from_utf8(bytes).ok().map(NodeAddress::parse) else { return false };
        let namespaces = ["http://opcfoundation.org/UA/", "urn:x", "urn:plant"].map(str::to_owned);
        // What a server has at an index of today is no address that is collected.
        let is_there = address.resolve_now(&namespaces).is_some();
        assert_eq!(address.resolve(&namespaces).is_some(), is_there && !address.is_by_index(), "{address:?}");
        let written = address.to_string();
        if written.len() <= NodeAddress::BYTES_MAX {
            assert_eq!(NodeAddress::parse(&written), Ok(address), "{written}");
        }
        true
    },
    seeds: || {
        let seeds = [
            "nsu=urn:plant;s=Boiler.Pressure",
            "i=2258",
            "nsu=urn:x%3By;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63",
            "nsu=urn:x;b=aGVsbG8=",
            "ns=0;i=85",
            "ns=2;s=Boiler.P",
        ];
        seeds.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
};

fn encoded(kind: ObjectId, message: &impl BinaryEncodable) -> Vec<u8> {
    let context = ContextOwned::default();
    let context = context.context();
    [NodeId::from(kind).encode_to_vec(&context), message.encode_to_vec(&context)].concat()
}

/// A value of each kind.
fn values() -> Vec<DataValue> {
    let numbers = Array::new_multi(VariantScalarTypeId::Double, vec![Variant::Double(1.0); 6], vec![2, 3]);
    let variants = [
        Variant::Boolean(true),
        Variant::SByte(-1),
        Variant::Int32(-3),
        Variant::UInt64(u64::MAX),
        Variant::Float(f32::INFINITY),
        Variant::Double(-0.0),
        Variant::from("Größe ✓"),
        Variant::LocalizedText(Box::new(LocalizedText::new("de", "offen"))),
        Variant::from(DateTime::from(5)),
        Variant::from(Guid::from_bytes([7; 16])),
        Variant::StatusCode(StatusCode::BadTimeout),
    ];
    let variants = variants.into_iter().chain(numbers.ok().map(|numbers| Variant::Array(Box::new(numbers))));
    let value = |value| DataValue {
        value: Some(value),
        status: Some(StatusCode::from(0x4000_0480)),
        source_timestamp: Some(DateTime::from(133_000_000_000_000_001)),
        source_picoseconds: Some(17),
        server_timestamp: Some(DateTime::from(133_000_000_000_000_002)),
        server_picoseconds: Some(18),
    };
    variants.map(value).chain([DataValue::null()]).collect()
}
