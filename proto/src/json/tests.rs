//! What the tests with Google's own library do not reach: our extensions, what that library alone takes, and refusals with their paths.

use super::*;
use crate::v1::{AnomaliesRequest, AsOfRequest, MeasureRequest, RangeRequest, UpdateTagRequest, Values, range_request, values::Column};

fn read<M: Message + Name + Default>(text: &str) -> Result<M, Mistake> {
    super::read(&parse(text.as_bytes())?, &|_, _| None)
}

fn refused<M: Message + Name + Default>(text: &str) -> String {
    read::<M>(text).map(|_| ()).expect_err(text).to_string()
}

#[test]
fn values_of_enums_have_a_long_and_a_short_name() {
    for text in ["\"BOUNDARY_OUTSIDE\"", "\"OUTSIDE\"", "2", "2.0"] {
        let request: RangeRequest = read(&format!("{{\"boundary\": {text}}}")).unwrap();
        assert_eq!(request.boundary(), range_request::Boundary::Outside, "{text}");
    }
    // A number without a name stays, as on the wire; who uses it says what there is.
    assert_eq!(read::<RangeRequest>(r#"{"boundary": 77}"#).unwrap().boundary, 77);
    assert_eq!(refused::<RangeRequest>(r#"{"boundary": "outside"}"#), "boundary: \"outside\" is none of INSIDE, OUTSIDE, INTERPOLATED");
    assert!(refused::<RangeRequest>(r#"{"boundary": "2"}"#).starts_with("boundary: "));
    assert!(refused::<RangeRequest>(r#"{"boundary": 2147483648}"#).contains("out of range"));
}

#[test]
fn every_field_of_every_message_has_a_json_form() {
    use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
    fn look(message: &DescriptorProto) {
        for field in &message.field {
            assert!(!matches!(field.r#type(), Type::Bytes | Type::Group), "{}.{}: teach it to read.rs", message.name(), field.name());
        }
        for nested in &message.nested_type {
            assert!(
                !nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry),
                "{}: maps have no JSON form",
                message.name()
            );
            look(nested);
        }
    }
    let files = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap().file;
    let ours: Vec<_> = files.iter().filter(|file| file.package() == "historian.v1").collect();
    assert!(ours.len() >= 7);
    for message in ours.iter().flat_map(|file| &file.message_type) {
        look(message);
        for field in &message.field {
            let is_known = field.type_name().trim_start_matches('.');
            let foreign = ["google.protobuf.Struct", "google.protobuf.FieldMask"];
            assert!(
                is_known.is_empty() || is_known.starts_with("historian.v1.") || foreign.contains(&is_known),
                "{is_known}: teach it to read.rs"
            );
        }
    }
}

#[test]
fn numbers_are_exact_or_refused() {
    let limit = |text: &str| read::<RangeRequest>(&format!("{{\"limit\": {text}}}")).map(|request| request.limit);
    for (text, expected) in [
        ("9223372036854775807", i64::MAX),
        ("\"-9223372036854775808\"", i64::MIN),
        ("7.0", 7),
        ("1e5", 100_000),
        ("\"1e5\"", 100_000),
        ("\"12.0\"", 12),
        ("-0", 0),
        ("null", 0),
    ] {
        assert_eq!(limit(text).unwrap(), expected, "{text}");
    }
    // Other readers take some of these for numbers; JSON does not.
    for text in
        ["\"+7\"", "\"1_000\"", "\"７\"", "\" 7\"", "\"07\"", "\"0x7\"", "\"\"", "7.5", "9223372036854775808", "1e19", "true", "[]", "{}"]
    {
        assert!(limit(text).unwrap_err().to_string().starts_with("limit: "), "{text}");
    }
    let step = |text: &str| read::<MeasureRequest>(&format!("{{\"maxStep\": {text}}}")).map(|request| request.max_step.unwrap());
    assert!(step("\"NaN\"").unwrap().is_nan());
    assert_eq!((step("\"-Infinity\"").unwrap(), step("0").unwrap(), step("\"2.5e-3\"").unwrap()), (f64::NEG_INFINITY, 0.0, 0.0025));
    assert!(step("\"inf\"").is_err() && step("\"nan\"").is_err());
    assert_eq!(read::<MeasureRequest>(r#"{"max_step": null}"#).unwrap().max_step, None);
    let floats: Values = read(r#"{"f32": {"values": [0.1, "Infinity", "1e38"]}}"#).unwrap();
    assert!(matches!(floats.column, Some(Column::F32(column)) if column.values == [0.1, f32::INFINITY, 1e38]));
    assert!(refused::<Values>(r#"{"f32": {"values": [0, 1e39]}}"#).starts_with("f32.values[1]: "));
}

#[test]
fn what_has_no_exact_meaning_is_refused_with_its_path() {
    for (text, expected) in [
        (r#"{"tagz": []}"#, "tagz: there is no such field; there are tags, start"),
        (r#"{"tags": [null]}"#, "tags[0]: "),
        (r#"{"tags": "a"}"#, "tags: "),
        (r#"{"pageSize": 1, "page_size": 1}"#, "page_size: is there twice"),
        (r#"{"start": "1", "start": "2"}"#, "\"start\" is there twice"),
        (r"[]", "[] is not an object"),
    ] {
        let told = refused::<RangeRequest>(text);
        assert!(told.starts_with(expected), "{text}: {told}");
    }
    assert!(refused::<Values>(r#"{"f64": {"values": []}, "i64": {"values": []}}"#).contains("only one of them"));
    assert!(read::<Values>(r#"{"f64": {"values": []}, "i64": null}"#).is_ok());
}

/// The judge of tests/it/protos.rs is not asked these, for it takes them.
#[test]
fn what_one_reader_alone_takes_is_refused() {
    for value in ["\" 2\"", "\"2 \"", "true", "0.5"] {
        assert!(refused::<RangeRequest>(&format!("{{\"boundary\": {value}}}")).starts_with("boundary: "), "{value}");
    }
    for value in ["true", "\"inf\"", "\" 7\"", "\"7 \""] {
        assert!(refused::<MeasureRequest>(&format!("{{\"maxStep\": {value}}}")).starts_with("max_step: "), "{value}");
    }
    for value in ["\"\"", "[]"] {
        assert!(refused::<Values>(&format!("{{\"f64\": {value}}}")).starts_with("f64: "), "{value}");
    }
}

#[test]
fn googles_own_types_have_the_forms_of_their_own() {
    let request: AnomaliesRequest = read(r#"{"parameters": {"high": 1.5, "deep": {"list": [1, null, "a"]}}}"#).unwrap();
    assert_eq!(request.parameters.unwrap().fields.len(), 2);
    let request: UpdateTagRequest = read(r#"{"updateMask": "unit,rangeLow"}"#).unwrap();
    assert_eq!(request.update_mask.unwrap().paths, ["unit", "range_low"]);
    assert!(refused::<UpdateTagRequest>(r#"{"updateMask": "range_low"}"#).starts_with("update_mask: "));
}

#[test]
fn texts_may_stand_for_what_is_no_text_in_the_outermost_message_only() {
    let as_text = |field: &str, value: &Value| (field == "tolerance" && value.is_number()).then(|| Ok(value.to_string()));
    let value = parse(br#"{"tolerance": 5, "timestamps": [1]}"#).unwrap();
    assert_eq!(super::read::<AsOfRequest>(&value, &as_text).unwrap().tolerance, "5");
    let value = parse(br#"{"tolerance": true}"#).unwrap();
    assert_eq!(super::read::<AsOfRequest>(&value, &as_text).unwrap_err().field, "tolerance");
    let whole = |text: &str| whole_exactly(parse(text.as_bytes()).unwrap().as_number().unwrap());
    assert_eq!(
        (whole("6e10"), whole("1767225600000000001"), whole("1e18"), whole("0.5")),
        (Some(60_000_000_000), Some(1_767_225_600_000_000_001), None, None)
    );
}

#[test]
fn what_the_json_form_leaves_out_is_put_in() {
    use crate::v1::{DeviceStatus, GetStatusResponse, Tag, ValueType};
    let tag = Tag { name: "a".into(), value_type: ValueType::F64.into(), range_low: Some(0.0), ..Tag::default() };
    let mut value = serde_json::to_value(&tag).unwrap();
    with_defaults("historian.v1.Tag", &mut value);
    let told = |name: &str| value[name].to_string();
    assert_eq!(
        (told("unit"), told("stepped"), told("state_set"), told("create_time")),
        ("\"\"".into(), "false".into(), "[]".into(), "\"0\"".into())
    );
    assert_eq!((told("value_type"), told("range_low"), told("id")), ("\"VALUE_TYPE_F64\"".into(), "0.0".into(), "0".into()));
    assert!(value.get("range_high").is_none(), "what is optional stays absent");
    let read: Tag = super::read(&value, &|_, _| None).unwrap();
    assert_eq!(read, tag);
    let mut zero = serde_json::to_value(Tag::default()).unwrap();
    with_defaults("historian.v1.Tag", &mut zero);
    assert_eq!(zero["value_type"], "VALUE_TYPE_UNSPECIFIED");
    let status = GetStatusResponse { devices: vec![DeviceStatus { device: "plc".into(), ..DeviceStatus::default() }], limited: false };
    let mut value = serde_json::to_value(&status).unwrap();
    with_defaults("historian.v1.GetStatusResponse", &mut value);
    assert_eq!((value["devices"][0]["device"].as_str(), value["devices"][0]["items_delivering"].as_str()), (Some("plc"), Some("0")));
    let mut empty = serde_json::json!({});
    with_defaults("historian.v1.ListTagsResponse", &mut empty);
    assert_eq!(empty, serde_json::json!({"tags": [], "next_page_token": ""}));
}
