//! Messages as the client library encodes them, with faults put in, decoded by the client library again.

use opcua::types::{
    ApplicationDescription, ApplicationType, Array, BinaryDecodable, BinaryEncodable, BrowseResponse, BrowseResult, ByteString,
    ByteStringBody, ContextOwned, CreateSessionResponse, DataChangeNotification, DataValue, DateTime, DiagnosticInfo, EUInformation,
    EndpointDescription, EnumValueType, ExpandedNodeId, ExtensionObject, GetEndpointsResponse, Guid, MessageSecurityMode,
    MonitoredItemNotification, NodeClass, NodeId, NotificationMessage, PublishResponse, QualifiedName, ReadResponse, ReferenceDescription,
    RepublishResponse, ResponseHeader, SignatureData, StatusChangeNotification, UserTokenPolicy, UserTokenType, VariantScalarTypeId,
};
use proptest::prelude::*;

use super::*;

fn limits() -> SieveLimits {
    SieveLimits { text_bytes_max: 100, handle_max: 20, certificate: None }
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
    assert_eq!(findings.len(), 2, "{findings:?}");
    let results = decoded::<ReadResponse>(&clean).results.unwrap();
    assert_eq!(results[0], value(texts));
    assert!(matches!(&results[1].value, Some(Variant::Array(array)) if array.values.is_empty()), "{results:?}");
    assert_eq!(results[2], value(Variant::ByteString(ByteString::from(&[1, 2, 3]))));
}

#[test]
fn what_is_read_of_an_address_space_passes_and_a_broken_structure_is_not_decoded() {
    let localized = |text: &str| Variant::LocalizedText(Box::new(LocalizedText::new("", text)));
    let array = |kind, values: Vec<Variant>| Variant::Array(Box::new(Array::new(kind, values).unwrap()));
    let state = |value, name: &str| {
        Variant::ExtensionObject(ExtensionObject::from_message(EnumValueType {
            value,
            display_name: name.into(),
            ..EnumValueType::default()
        }))
    };
    let unit = EUInformation { unit_id: 4_342_098, display_name: "bar".into(), ..EUInformation::default() };
    let range = Variant::ExtensionObject(ExtensionObject::from_message(opcua::types::Range { low: -1.5, high: 20.0 }));
    let values = vec![
        range.clone(),
        Variant::ExtensionObject(ExtensionObject::from_message(unit)),
        array(VariantScalarTypeId::LocalizedText, vec![localized("off"), localized("on")]),
        array(VariantScalarTypeId::ExtensionObject, vec![state(0, "off"), state(7, "on")]),
        array(VariantScalarTypeId::UInt32, vec![Variant::UInt32(3), Variant::UInt32(2)]),
        array(VariantScalarTypeId::Double, vec![Variant::Double(2.5)]),
    ];
    let (found, findings) = clean(&read(values.iter().cloned().map(value).collect()), &limits());
    // No tag can hold an array all the same, but for the one element.
    assert_eq!(findings.iter().map(|finding| finding.handle).collect::<Vec<_>>(), [2, 3, 4]);
    let shown = |value: &Variant| format!("{value:?}").replace("UAString { value: Some(\"\") }", "UAString { value: None }");
    let results = decoded::<ReadResponse>(&found).results.unwrap();
    for (result, expected) in results.iter().zip(&values) {
        assert_eq!(shown(result.value.as_ref().unwrap()), shown(expected));
    }
    // A range of which one byte is missing ends where it says.
    let mut bytes = read(vec![value(range), value(Variant::Double(1.5))]);
    let at = bytes.windows(8).position(|window| window == 20.0_f64.to_le_bytes()).unwrap();
    bytes.remove(at);
    bytes[at - 12] = 15;
    let (found, _) = clean(&bytes, &limits());
    let results = decoded::<ReadResponse>(&found).results.unwrap();
    assert!(matches!(&results[0].value, Some(Variant::ExtensionObject(kept)) if raw_structure(kept).is_some()), "{results:?}");
    assert_eq!(results[1], value(Variant::Double(1.5)));
}

#[test]
fn one_element_that_is_no_text_is_a_flaw_like_a_text_of_its_own() {
    let one = |text: &str| Variant::Array(Box::new(Array::new(VariantScalarTypeId::String, vec![Variant::from(text)]).unwrap()));
    let mut bytes = read(vec![value(one("Kxlte")), value(Variant::Double(1.5))]);
    let at = bytes.windows(5).position(|window| window == b"Kxlte").unwrap();
    bytes[at + 1] = 0xe4;
    let results = decoded::<ReadResponse>(&clean(&bytes, &limits()).0).results.unwrap();
    assert_eq!(results[0].status, Some(StatusCode::BadDecodingError));
    assert_eq!(results[1], value(Variant::Double(1.5)));
}

#[test]
fn answers_to_browse_pass_with_names_made_readable() {
    let reference = |name: &str| ReferenceDescription {
        reference_type_id: NodeId::new(0, 35_u32),
        is_forward: true,
        node_id: ExpandedNodeId { node_id: NodeId::new(2, name), namespace_uri: "urn:plant".into(), server_index: 1 },
        browse_name: QualifiedName::new(2, name),
        display_name: LocalizedText::new("de", name),
        node_class: NodeClass::Variable,
        type_definition: ExpandedNodeId { node_id: NodeId::new(0, 63_u32), namespace_uri: opcua::types::UAString::null(), server_index: 0 },
    };
    let result = BrowseResult {
        status_code: StatusCode::Uncertain,
        continuation_point: ByteString::from(&[1, 2]),
        references: Some(vec![reference("first"), reference("Kxlte")]),
    };
    let told = BrowseResponse { response_header: header(), results: Some(vec![result.clone()]), diagnostic_infos: Some(Vec::new()) };
    let mut bytes = encoded(ObjectId::BrowseResponse_Encoding_DefaultBinary, &told);
    assert_eq!(decoded::<BrowseResponse>(&clean(&bytes, &limits()).0).results, Some(vec![result]));
    let places: Vec<usize> = (0..bytes.len() - 5).filter(|at| &bytes[*at..at + 5] == b"Kxlte").collect();
    assert_eq!(places.len(), 3);
    for at in places {
        bytes[at + 1] = 0xe4;
    }
    let references = decoded::<BrowseResponse>(&clean(&bytes, &limits()).0).results.unwrap().remove(0).references.unwrap();
    assert_eq!(references[0], reference("first"));
    assert_eq!(references[1].browse_name.name.as_ref(), "K\u{fffd}lte");
}

/// Values of the types that are more than some bytes, in each of their forms.
fn values_in_every_form() -> Vec<Variant> {
    let all = DiagnosticInfo {
        symbolic_id: Some(1),
        namespace_uri: Some(2),
        locale: Some(3),
        localized_text: Some(4),
        additional_info: Some("info".into()),
        inner_status_code: Some(StatusCode::BadTimeout),
        inner_diagnostic_info: None,
    };
    let diagnostics = [
        DiagnosticInfo::default(),
        DiagnosticInfo { symbolic_id: Some(1), ..DiagnosticInfo::default() },
        DiagnosticInfo { namespace_uri: Some(1), ..DiagnosticInfo::default() },
        DiagnosticInfo { locale: Some(1), ..DiagnosticInfo::default() },
        DiagnosticInfo { localized_text: Some(1), ..DiagnosticInfo::default() },
        DiagnosticInfo { additional_info: Some("alone".into()), ..DiagnosticInfo::default() },
        DiagnosticInfo { inner_status_code: Some(StatusCode::BadTimeout), ..DiagnosticInfo::default() },
        DiagnosticInfo { inner_diagnostic_info: Some(Box::new(all.clone())), ..all },
    ];
    let nodes = [
        NodeId::new(0, 200_u32),
        NodeId::new(2, 60_000_u32),
        NodeId::new(300, 70_000_u32),
        NodeId::new(2, "Boiler"),
        NodeId::new(2, Guid::from_bytes([7; 16])),
        NodeId::new(2, ByteString::from(&[1, 2, 3])),
    ];
    let expanded = |node: &NodeId| {
        [("", 0), ("urn:plant", 0), ("", 5), ("urn:plant", 5)].map(|(uri, server_index)| {
            let namespace_uri = if uri.is_empty() { opcua::types::UAString::null() } else { uri.into() };
            Variant::ExpandedNodeId(Box::new(ExpandedNodeId { node_id: node.clone(), namespace_uri, server_index }))
        })
    };
    let single = |part: DataValue| Variant::DataValue(Box::new(part));
    let whole = value(Variant::from("inside"));
    let structure = ExtensionObject::from_message(DataChangeNotification::default());
    let mut values = vec![
        Variant::ByteString(ByteString::from(&[1, 2, 3])),
        Variant::ByteString(ByteString::null()),
        Variant::XmlElement("<a/>".into()),
        Variant::QualifiedName(Box::new(QualifiedName::new(3, "name"))),
        Variant::ExtensionObject(structure),
        Variant::ExtensionObject(ExtensionObject::null()),
        single(DataValue::null()),
        single(DataValue { value: whole.value.clone(), ..DataValue::null() }),
        single(DataValue { status: whole.status, ..DataValue::null() }),
        single(DataValue { source_timestamp: whole.source_timestamp, ..DataValue::null() }),
        single(DataValue { server_timestamp: whole.server_timestamp, ..DataValue::null() }),
        single(whole),
    ];
    values.extend(nodes.iter().flat_map(expanded));
    values.extend(nodes.map(|node| Variant::NodeId(Box::new(node))));
    values.extend(diagnostics.map(|info| Variant::DiagnosticInfo(Box::new(info))));
    values
}

/// The value behind is only read right where the one before was passed over to its last byte; how long that is, the library decides that
/// wrote it.
#[test]
fn behind_a_value_of_every_type_the_next_one_is_read() {
    let after = value(Variant::Double(1.5));
    let numbers = [
        Variant::Boolean(true),
        Variant::SByte(-1),
        Variant::Byte(1),
        Variant::Int16(-2),
        Variant::UInt16(2),
        Variant::Int32(-3),
        Variant::UInt32(3),
        Variant::Int64(-4),
        Variant::UInt64(4),
        Variant::Float(0.5),
        Variant::Double(0.25),
        Variant::from(DateTime::from(5)),
        Variant::from(Guid::from_bytes([7; 16])),
        Variant::StatusCode(StatusCode::BadTimeout),
        Variant::LocalizedText(Box::new(LocalizedText::new("de", "offen"))),
        Variant::LocalizedText(Box::new(LocalizedText::new("", "offen"))),
        Variant::LocalizedText(Box::new(LocalizedText::null())),
    ];
    let scalars = values_in_every_form();
    let arrays = numbers.iter().chain(&scalars).flat_map(|element| {
        let kind = element.scalar_type_id().unwrap();
        let elements = vec![element.clone(); 6];
        let plain = Array::new(kind, elements.clone()).unwrap();
        let matrix = Array::new_multi(kind, elements, vec![2, 3]).unwrap();
        [plain, matrix].map(|array| Variant::Array(Box::new(array)))
    });
    for before in scalars.iter().cloned().chain(arrays) {
        let (clean, findings) = clean(&read(vec![value(before.clone()), after.clone()]), &limits());
        let results = decoded::<ReadResponse>(&clean).results.unwrap();
        assert_eq!(results.len(), 2, "{before:?}: {findings:?}");
        assert_eq!(results[1], after, "{before:?}");
        assert_eq!((results[0].status, results[0].server_picoseconds), (after.status, after.server_picoseconds), "{before:?}");
        let left = results[0].value.as_ref().unwrap();
        assert_eq!(std::mem::discriminant(left), std::mem::discriminant(&before), "{before:?}");
        assert_eq!(left.scalar_type_id(), before.scalar_type_id(), "{before:?}");
        if matches!(
            before,
            Variant::ByteString(_) | Variant::XmlElement(_) | Variant::QualifiedName(_) | Variant::NodeId(_) | Variant::ExpandedNodeId(_)
        ) {
            assert_eq!((left, findings.len()), (&before, 0), "{findings:?}");
            continue;
        }
        if let (Variant::ExtensionObject(sent), Variant::ExtensionObject(left)) = (&before, left) {
            let context = ContextOwned::default();
            let sent = sent.encode_to_vec(&context.context());
            assert_eq!((raw_structure(left), findings.len()), (Some(&*sent), 0), "{findings:?}");
            continue;
        }
        assert_eq!(findings.len(), 1, "{before:?}: {findings:?}");
        assert_eq!((findings[0].handle, findings[0].broken), (0, false), "{before:?}");
        let what = match before {
            Variant::Array(_) => "an array",
            _ => "a value of another kind",
        };
        assert_eq!(findings[0].reason, format!("the node holds {what}, which no tag can hold"));
    }
}

/// A structure of a server's own, as a value and as the element of an array that was asked for by its index.
#[test]
fn a_structure_of_a_server_keeps_its_bytes_up_to_its_limit() {
    let of = |length: usize| {
        let body = ByteStringBody::new(ByteString::from(vec![7; length]), NodeId::new(2, 5_u32));
        Variant::ExtensionObject(ExtensionObject::from_message(body))
    };
    let one = Variant::Array(Box::new(Array::new(VariantScalarTypeId::ExtensionObject, vec![of(3)]).unwrap()));
    // Its id takes four bytes, its encoding one, its length four.
    let (clean, findings) = clean(&read(vec![value(of(3)), value(one), value(of((1 << 20) - 9)), value(of((1 << 20) - 8))]), &limits());
    let results = decoded::<ReadResponse>(&clean).results.unwrap();
    let raw = |value: &Variant| match value {
        Variant::ExtensionObject(object) => raw_structure(object).map(<[u8]>::to_vec),
        _ => None,
    };
    let expected = vec![1, 2, 5, 0, 1, 3, 0, 0, 0, 7, 7, 7];
    assert_eq!(raw(results[0].value.as_ref().unwrap()), Some(expected.clone()));
    let Some(Variant::Array(array)) = &results[1].value else { panic!("{results:?}") };
    assert_eq!(array.values.iter().map(raw).collect::<Vec<_>>(), [Some(expected)]);
    assert_eq!(raw(results[2].value.as_ref().unwrap()).map(|bytes| bytes.len()), Some(1 << 20));
    assert_eq!(results[3].status, Some(StatusCode::BadEncodingLimitsExceeded));
    assert_eq!(findings.iter().map(|finding| finding.handle).collect::<Vec<_>>(), [3]);
}

/// With all that a server may send along, and no client needs.
fn header() -> ResponseHeader {
    ResponseHeader {
        timestamp: DateTime::from(133_000_000_000_000_003),
        request_handle: 77,
        service_result: StatusCode::Uncertain,
        service_diagnostics: DiagnosticInfo { additional_info: Some("why".into()), ..DiagnosticInfo::default() },
        string_table: Some(vec!["one".into(), "two".into()]),
        additional_header: ExtensionObject::from_message(DataChangeNotification::default()),
    }
}

fn assert_clean(header: &ResponseHeader) {
    assert_eq!((header.timestamp, header.request_handle), (DateTime::from(133_000_000_000_000_003), 77));
    assert_eq!(header.service_result, StatusCode::Uncertain);
    assert_eq!((&header.service_diagnostics, &header.string_table), (&DiagnosticInfo::default(), &None));
    assert!(header.additional_header.body.is_none());
}

/// A certificate with that of its issuer behind it.
const CHAIN: [u8; 9] = [0x30, 3, 1, 2, 3, 0x30, 2, 8, 9];
const LEAF: [u8; 5] = [0x30, 3, 1, 2, 3];

fn endpoint(certificate: &[u8]) -> EndpointDescription {
    let policy = |id: &str, token_type, mark: &str| UserTokenPolicy {
        policy_id: id.into(),
        token_type,
        issued_token_type: mark.into(),
        issuer_endpoint_url: "issuer".into(),
        security_policy_uri: "policy".into(),
    };
    EndpointDescription {
        endpoint_url: "opc.tcp://host:4840".into(),
        server: ApplicationDescription {
            application_uri: "urn:server".into(),
            product_uri: "urn:product".into(),
            application_name: LocalizedText::new("de", "Anlage"),
            application_type: ApplicationType::DiscoveryServer,
            gateway_server_uri: "gateway".into(),
            discovery_profile_uri: "profile".into(),
            discovery_urls: Some(vec!["opc.tcp://a".into(), "opc.tcp://b".into()]),
        },
        server_certificate: ByteString::from(certificate),
        security_mode: MessageSecurityMode::SignAndEncrypt,
        security_policy_uri: "security".into(),
        user_identity_tokens: Some(vec![
            policy("anonymous", UserTokenType::Anonymous, "first"),
            policy("ticket", UserTokenType::IssuedToken, "second"),
            policy("user", UserTokenType::UserName, "third"),
        ]),
        transport_profile_uri: "transport".into(),
        security_level: 9,
    }
}

/// Puts a number that the library does not know before the text `mark`.
fn spoil(bytes: &mut [u8], mark: &str) {
    let at = bytes.windows(mark.len()).position(|window| window == mark.as_bytes()).unwrap() - 4;
    bytes[at - 4..at].copy_from_slice(&4_u32.to_le_bytes());
}

#[test]
fn endpoints_pass_with_the_servers_own_certificate_and_what_is_not_known_becomes_the_default_or_is_left_out() {
    let told = GetEndpointsResponse { response_header: header(), endpoints: Some(vec![endpoint(&CHAIN), endpoint(&LEAF)]) };
    let mut bytes = encoded(ObjectId::GetEndpointsResponse_Encoding_DefaultBinary, &told);
    let found = |bytes: &[u8]| decoded::<GetEndpointsResponse>(&clean(bytes, &limits()).0);
    assert_clean(&found(&bytes).response_header);
    assert_eq!(found(&bytes).endpoints, Some(vec![endpoint(&LEAF), endpoint(&LEAF)]));
    for mark in ["gateway", "security", "second"] {
        spoil(&mut bytes, mark);
    }
    let mut first = endpoint(&LEAF);
    first.server.application_type = ApplicationType::Server;
    first.security_mode = MessageSecurityMode::Invalid;
    first.user_identity_tokens.as_mut().unwrap().remove(1);
    assert_eq!(found(&bytes).endpoints, Some(vec![first, endpoint(&LEAF)]));
}

#[test]
fn an_answer_to_create_session_keeps_what_the_client_needs() {
    let told = CreateSessionResponse {
        response_header: header(),
        session_id: NodeId::new(1, 5_000_u32),
        authentication_token: NodeId::new(1, ByteString::from(&[4; 20])),
        revised_session_timeout: 1234.5,
        server_nonce: ByteString::from(&[5; 32]),
        server_certificate: ByteString::from(&CHAIN),
        server_endpoints: Some(vec![endpoint(&CHAIN), endpoint(&CHAIN)]),
        server_software_certificates: Some(vec![opcua::types::SignedSoftwareCertificate {
            certificate_data: ByteString::from(&[6; 3]),
            signature: ByteString::from(&[7; 3]),
        }]),
        server_signature: SignatureData { algorithm: "rsa".into(), signature: ByteString::from(&[8; 16]) },
        max_request_message_size: 65_537,
    };
    let bytes = encoded(ObjectId::CreateSessionResponse_Encoding_DefaultBinary, &told);
    for (known, certificate) in
        [(None, ByteString::from(&LEAF)), (Some(b"known".to_vec()), ByteString::from(b"known")), (Some(Vec::new()), ByteString::null())]
    {
        let limits = SieveLimits { certificate: known, ..limits() };
        let found = decoded::<CreateSessionResponse>(&clean(&bytes, &limits).0);
        assert_clean(&found.response_header);
        let expected = CreateSessionResponse {
            response_header: found.response_header.clone(),
            server_certificate: certificate,
            server_endpoints: None,
            server_software_certificates: None,
            ..told.clone()
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_notification_that_is_sent_again_and_one_of_a_status_pass_and_others_are_left_out() {
    let told = StatusChangeNotification {
        status: StatusCode::BadTimeout,
        diagnostic_info: DiagnosticInfo { additional_info: Some("why".into()), ..DiagnosticInfo::default() },
    };
    let item = MonitoredItemNotification { client_handle: 4, value: value(Variant::Double(2.5)) };
    let change = DataChangeNotification { monitored_items: Some(vec![item]), diagnostic_infos: Some(vec![DiagnosticInfo::default()]) };
    let message = NotificationMessage {
        sequence_number: 6,
        publish_time: DateTime::from(9),
        notification_data: Some(vec![
            ExtensionObject::from_message(told),
            ExtensionObject::from_message(SignatureData { algorithm: "x".into(), signature: ByteString::from(&[1; 4]) }),
            ExtensionObject::null(),
            ExtensionObject::from_message(change),
        ]),
    };
    let response = RepublishResponse { response_header: header(), notification_message: message };
    let (clean, findings) = clean(&encoded(ObjectId::RepublishResponse_Encoding_DefaultBinary, &response), &limits());
    assert_eq!(findings, []);
    let found = decoded::<RepublishResponse>(&clean);
    assert_clean(&found.response_header);
    let message = found.notification_message;
    assert_eq!((message.sequence_number, message.publish_time), (6, DateTime::from(9)));
    let mut parts = message.notification_data.unwrap().into_iter();
    let status = parts.next().unwrap().into_inner_as::<StatusChangeNotification>().unwrap();
    assert_eq!((status.status, status.diagnostic_info), (StatusCode::BadTimeout, DiagnosticInfo::default()));
    assert!(parts.next().unwrap().body.is_none() && parts.next().unwrap().body.is_none());
    let change = parts.next().unwrap().into_inner_as::<DataChangeNotification>().unwrap();
    let items = change.monitored_items.unwrap();
    assert_eq!((items.len(), items[0].client_handle, &items[0].value), (1, 4, &value(Variant::Double(2.5))));
    assert_eq!((change.diagnostic_infos, parts.len()), (None, 0));
}

#[test]
fn limits_hold_to_the_byte() {
    let statuses = |variants: Vec<Variant>| {
        let (clean, _) = clean(&read(variants.into_iter().map(value).collect()), &limits());
        decoded::<ReadResponse>(&clean).results.unwrap().into_iter().map(|result| result.status.unwrap()).collect::<Vec<_>>()
    };
    let kept = StatusCode::from(0x4000_0480);
    let localized = |bytes: usize| Variant::LocalizedText(Box::new(LocalizedText::new("", &"y".repeat(bytes))));
    assert_eq!(
        statuses(vec![Variant::from("y".repeat(100)), Variant::from("y".repeat(101)), localized(100), localized(101)]),
        [kept, StatusCode::BadEncodingLimitsExceeded, kept, StatusCode::BadEncodingLimitsExceeded]
    );
    // What is read of a text that is not UTF-8 may be longer than what came: three bytes for one.
    for (bytes, left) in [(98, true), (99, false)] {
        let mut message = read(vec![value(Variant::from("x".repeat(bytes)))]);
        let at = message.windows(2).position(|window| window == b"xx").unwrap();
        message[at] = 0xe4;
        let result = decoded::<ReadResponse>(&clean(&message, &limits()).0).results.unwrap().remove(0);
        assert_eq!(result.status, Some(StatusCode::BadDecodingError));
        let read = format!("\u{fffd}{}", "x".repeat(bytes - 1));
        assert_eq!(reason(result.value.as_ref().unwrap()).unwrap().1, left.then_some(&*read), "{bytes} bytes");
    }
}

#[test]
fn a_value_with_a_bad_status_is_left_out_and_the_status_stays() {
    let bad = |variant| DataValue { status: Some(StatusCode::BadSensorFailure), ..value(variant) };
    for variant in [Variant::Double(1.0), Variant::from("y".repeat(101)), Variant::ByteString(ByteString::from(&[1]))] {
        let (clean, findings) = clean(&read(vec![bad(variant), value(Variant::Double(1.5))]), &limits());
        assert_eq!(findings, []);
        let results = decoded::<ReadResponse>(&clean).results.unwrap();
        assert_eq!(results, [DataValue { value: None, ..bad(Variant::Empty) }, value(Variant::Double(1.5))]);
    }
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
fn broken(items: &[(u32, Variant)], spoil: impl Fn(&mut Vec<u8>, usize)) -> (Vec<(u32, DataValue)>, Vec<ReplacedValue>) {
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
        let mut sieve = Sieve { walk: MessageWalk::new(&bytes), limits: &limits(), findings: Vec::new(), unfit: None };
        if sieve.message().is_ok() {
            decoded::<PublishResponse>(&sieve.walk.out);
        }
        let _ = clean(&bytes[..cut.min(bytes.len())], &limits());
    }
}

#[test]
fn no_room_is_made_for_a_length_that_nothing_stands_behind() {
    let header = |kind| encoded(kind, &ResponseHeader::default());
    let kinds = [ObjectId::BrowseResponse_Encoding_DefaultBinary, ObjectId::PublishResponse_Encoding_DefaultBinary];
    for message in kinds.map(header) {
        // A header ends with a structure, which has no limit in the library: here XML of two gigabytes.
        let begun = message.strip_suffix(&[0, 0, 0]).unwrap();
        let (clean, findings) = clean(&[begun, &[0, 0, 2], &i32::MAX.to_le_bytes()].concat(), &limits());
        assert!(begun.starts_with(&clean), "{clean:02x?}");
        assert_eq!(findings, []);
    }
    let message = [header(kinds[0]), 10_000_000_i32.to_le_bytes().to_vec()].concat();
    let options = opcua::types::DecodingOptions { max_array_length: 64 << 20, ..Default::default() };
    let refused = crate::wire::decode(options, &message).err().unwrap();
    assert!(refused.to_string().contains(&format!("exceeds decoding limit {}", message.len())), "{refused}");
}
