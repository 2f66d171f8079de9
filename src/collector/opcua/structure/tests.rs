//! Structures as another implementation sends them (asyncua 2.1: definitions and a value of a pump), and of our own making where that has
//! none.

use std::sync::Arc;

use opcua::types::{
    Array, BinaryEncodable, ByteString, ContextOwned, DateTime, EUInformation, ExtensionObject, Guid, LocalizedText, NodeId, QualifiedName,
    Range, StatusCode, Variant, VariantScalarTypeId, XmlElement,
};
use proptest::prelude::*;

use super::{
    known::{ElementShape, KnownShape, KnownShapes, built_in},
    path::FieldPath,
    reader::{TakenForm, take},
    shape::{FieldShape, StructureForm, StructureShape},
    types::{StructureTypes, structure_bytes},
    untaken::UntakenField,
};
use historian_model::{Quality, ValueType};

/// `ns=2;i=2` Motor: `Speed` Double, `Running` Boolean; encoding `ns=2;i=3`.
const MOTOR: &str = "01007a000156000000010203000016000000000200000005000000537065656402050000005370656564000bffffffffffffffff000000\
                     00000700000052756e6e696e67020700000052756e6e696e670001ffffffffffffffff0000000000";
/// `ns=2;i=4` Choice, a union: `Number` Int64, `Text` String; encoding `ns=2;i=5`.
const CHOICE: &str = "01007a000154000000010205000100d4310200000002000000060000004e756d62657202060000004e756d6265720008ffffffffffffff\
                     ff00000000000400000054657874020400000054657874000cffffffffffffffff0000000000";
/// `ns=2;i=6` Pump: `Name` String, `Motor`, `Comment` `LocalizedText` and `Limit` Float, both optional, `Mode` an enumeration, `Zones` array
/// of Int16, `Motors` array of Motor, `Choice`; encoding `ns=2;i=7`.
const PUMP: &str = "01007a0001320100000102070000160100000008000000040000004e616d6502040000004e616d65000cffffffffffffffff0000000000\
                     050000004d6f746f7202050000004d6f746f7201020200ffffffffffffffff000000000007000000436f6d6d656e740207000000436f6d\
                     6d656e740015ffffffffffffffff0000000001050000004c696d697402050000004c696d6974000affffffffffffffff00000000010400\
                     00004d6f646502040000004d6f646501020100ffffffffffffffff0000000000050000005a6f6e657302050000005a6f6e657300040100\
                     000001000000010000000000000000060000004d6f746f727302060000004d6f746f727301020200010000000100000001000000000000\
                     00000600000043686f696365020600000043686f69636501020400ffffffffffffffff0000000000";
/// `ns=2;i=1` Mode.
const MODE: &str = "01007b00016d00000003000000000000000000000002030000006f666602030000006f6666030000006f66660100000000000000020400\
                     00006175746f02040000006175746f040000006175746f020000000000000002060000006d616e75616c02060000006d616e75616c0600\
                     00006d616e75616c";
/// Name P1, Motor 1480.5 and running, no Comment, Limit 2.5, Mode 1, Zones 1, -2, 3, Motors 1.0 and 2.0 of which the second runs, Choice
/// ab.
const VALUE: &str = "010207000145000000020000000200000050310000000000229740010000204001000000030000000100feff0300020000000000000000\
                     00f03f0000000000000000400102000000020000006162";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|letter| letter.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn node(number: u32) -> NodeId {
    NodeId::new(2, number)
}

fn pump() -> KnownShapes {
    let mut known = KnownShapes::default();
    for (number, definition) in [(2, MOTOR), (4, CHOICE), (6, PUMP)] {
        let shape = StructureShape::of(&bytes(definition)).unwrap().unwrap();
        known.add_type(node(number), KnownShape::Structure(Arc::new(shape)));
    }
    known.add_type(node(1), KnownShape::BuiltIn(6));
    known
}

const FORM: TakenForm = TakenForm { as_text: true, text_bytes_max: 10_000 };

fn taken(known: &KnownShapes, object: &[u8], path: &str, as_text: bool) -> Result<Variant, UntakenField> {
    let path = (!path.is_empty()).then(|| path.parse::<FieldPath>().unwrap());
    take(object, known, path.as_ref().map(FieldPath::steps).unwrap_or_default(), TakenForm { as_text, ..FORM })
}

fn text(known: &KnownShapes, object: &[u8], path: &str) -> String {
    match taken(known, object, path, true) {
        Ok(Variant::String(text)) => text.as_ref().to_owned(),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn definitions_of_another_implementation_are_read_and_no_others() {
    let pump = StructureShape::of(&bytes(PUMP)).unwrap().unwrap();
    assert_eq!((pump.form, &pump.encoding), (StructureForm::Optional, &node(7)));
    let told: Vec<_> = pump.fields.iter().map(|field| (field.name.as_str(), field.rank, field.is_optional, field.takes_subtypes)).collect();
    let single = |name, is_optional| (name, 0, is_optional, false);
    let list = |name| (name, 1, false, false);
    assert_eq!(
        told,
        [
            single("Name", false),
            single("Motor", false),
            single("Comment", true),
            single("Limit", true),
            single("Mode", false),
            list("Zones"),
            list("Motors"),
            single("Choice", false)
        ]
    );
    assert_eq!(pump.fields[1].data_type, node(2));
    assert_eq!(StructureShape::of(&bytes(CHOICE)).unwrap().unwrap().form, StructureForm::Union);
    assert_eq!(StructureShape::of(&bytes(MODE)).unwrap(), None, "an enumeration");
    // Cut anywhere, or with a byte more, it is none.
    let whole = bytes(PUMP);
    for end in 0..whole.len() {
        assert!(StructureShape::of(&whole[..end]).is_err(), "{end}");
    }
    assert!(StructureShape::of(&[&whole[..], &[0]].concat()).is_err());
    assert!(StructureShape::of(&bytes(VALUE)).is_err());
}

#[test]
fn fields_of_a_structure_are_the_values_that_they_hold() {
    let (known, object) = (pump(), bytes(VALUE));
    for (path, expected) in [
        ("Name", Variant::from("P1")),
        ("Motor.Speed", Variant::Double(1480.5)),
        ("Motor.Running", Variant::Boolean(true)),
        ("Limit", Variant::Float(2.5)),
        ("Mode", Variant::Int32(1)),
        ("Zones[0]", Variant::Int16(1)),
        ("Zones[1]", Variant::Int16(-2)),
        ("Zones[2]", Variant::Int16(3)),
        ("Motors[1].Speed", Variant::Double(2.0)),
        ("Motors[0].Running", Variant::Boolean(false)),
        ("Choice.Text", Variant::from("ab")),
    ] {
        assert_eq!(taken(&known, &object, path, false), Ok(expected), "{path}");
    }
    assert_eq!(
        text(&known, &object, ""),
        concat!(
            r#"{"Name":"P1","Motor":{"Speed":1480.5,"Running":true},"Limit":2.5,"Mode":1,"Zones":[1,-2,3],"#,
            r#""Motors":[{"Speed":1.0,"Running":false},{"Speed":2.0,"Running":true}],"Choice":{"Text":"ab"}}"#
        )
    );
    assert_eq!(text(&known, &object, "Motor"), r#"{"Speed":1480.5,"Running":true}"#);
    assert_eq!(text(&known, &object, "Motors[1]"), r#"{"Speed":2.0,"Running":true}"#);
    assert_eq!(text(&known, &object, "Zones"), "[1,-2,3]");
}

#[test]
fn what_is_not_there_is_no_data_and_what_cannot_be_there_is_a_mistake() {
    let (known, object) = (pump(), bytes(VALUE));
    for (path, quality, words) in [
        ("Comment", Quality::BAD_NO_DATA, "has no Comment now"),
        ("Choice.Number", Quality::BAD_NO_DATA, "has no Number now"),
        ("Zones[3]", Quality::BAD_NO_DATA, "the array has 3 elements now"),
        ("Motors[2].Speed", Quality::BAD_NO_DATA, "the array has 2 elements now"),
        ("Motor.Sped", Quality::BAD_CONFIGURATION_ERROR, "no field \"Sped\", nearest is Speed; it has Speed, Running"),
        ("Level", Quality::BAD_CONFIGURATION_ERROR, "it has Name, Motor, Comment, Limit, Mode, Zones, Motors, Choice"),
        ("Name.Length", Quality::BAD_CONFIGURATION_ERROR, "a String and no structure"),
        ("Name[0]", Quality::BAD_CONFIGURATION_ERROR, "a String and no array"),
        ("Motor[0]", Quality::BAD_CONFIGURATION_ERROR, "a structure and no array"),
        ("Motors.Speed", Quality::BAD_CONFIGURATION_ERROR, "[0]"),
        ("Zones[0,0]", Quality::BAD_CONFIGURATION_ERROR, "1 dimensions"),
        ("Motor", Quality::BAD_TYPE_MISMATCH, "it has Speed, Running"),
        ("Zones", Quality::BAD_TYPE_MISMATCH, "an array"),
        ("", Quality::BAD_TYPE_MISMATCH, "it has Name"),
    ] {
        let untaken = taken(&known, &object, path, false).unwrap_err();
        assert_eq!(untaken.quality, quality, "{path}: {untaken:?}");
        assert!(untaken.problem.contains(words), "{path}: {untaken:?}");
    }
}

/// A value counts only where the rest of the structure is what it should be, too.
#[test]
fn a_structure_that_does_not_follow_its_definition_gives_nothing() {
    let (known, whole) = (pump(), bytes(VALUE));
    for end in 0..whole.len() {
        // With its length set right, as a device would that is of another version than its definition.
        let mut cut = whole[..end].to_vec();
        if end >= 9 {
            cut[5..9].copy_from_slice(&u32::try_from(end - 9).unwrap().to_le_bytes());
        }
        let untaken = taken(&known, &cut, "Name", false).unwrap_err();
        assert_eq!(untaken.quality, Quality::BAD_DECODING_ERROR, "{end}: {untaken:?}");
    }
    let with = |at: usize, byte: u8| {
        let mut changed = whole.clone();
        changed[at] = byte;
        taken(&known, &changed, "Motor.Speed", false).map_err(|untaken| (untaken.quality, untaken.problem))
    };
    let malformed = |words: &str, got: Result<Variant, (Quality, String)>| {
        let (quality, problem) = got.unwrap_err();
        assert!(quality == Quality::BAD_DECODING_ERROR && problem.contains(words), "{words}: {quality} {problem}");
    };
    malformed("its length is not that of its fields", with(5, 0x44));
    malformed("ends within", with(5, 0x46));
    malformed("optional fields that are not defined", with(9, 6 | 1));
    let at = whole.len() - 10;
    malformed("a field that is not defined", with(at, 3));
    // More elements than there are bytes: no room is made for them.
    let zones = whole.windows(4).position(|window| window == [3, 0, 0, 0]).unwrap();
    malformed("more elements than there are bytes", with(zones + 2, 0x7f));
    // An encoding that nothing is known of is to be asked for.
    let mut other = whole.clone();
    other[2] = 99;
    let untaken = taken(&known, &other, "Name", false).unwrap_err();
    assert_eq!((untaken.quality, untaken.encoding), (Quality::BAD_WAITING_FOR_INITIAL_DATA, Some(node(99))));
    // XML, and nothing.
    other[4] = 2;
    assert_eq!(taken(&known, &other, "", true).unwrap_err().quality, Quality::BAD_NOT_SUPPORTED);
    assert_eq!(taken(&known, &[0, 0, 0], "", true).unwrap_err().quality, Quality::BAD_NO_DATA);
}

fn field(name: &str, data_type: NodeId) -> FieldShape {
    FieldShape { name: name.into(), data_type, rank: 0, is_optional: false, takes_subtypes: false }
}

/// Known types with one more, of the encoding `ns=2;i=101`.
fn with(fields: Vec<FieldShape>) -> KnownShapes {
    let mut known = pump();
    let shape = StructureShape { encoding: node(101), form: StructureForm::Plain, fields };
    known.add_type(node(100), KnownShape::Structure(Arc::new(shape)));
    known
}

fn object(encoding: u8, content: &[u8]) -> Vec<u8> {
    [&[1, 2, encoding, 0, 1][..], &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

/// Values of every built-in type that a tag can hold, encoded by the client library.
#[test]
fn every_built_in_type_is_read_as_the_library_writes_it() {
    let values = [
        Variant::Boolean(true),
        Variant::SByte(-5),
        Variant::Byte(200),
        Variant::Int16(-300),
        Variant::UInt16(60_000),
        Variant::Int32(-70_000),
        Variant::UInt32(4_000_000_000),
        Variant::Int64(i64::MIN),
        Variant::UInt64(u64::MAX),
        Variant::Float(0.1),
        Variant::Double(-1e300),
        Variant::from("Größe"),
        Variant::from(DateTime::from(133_000_000_000_000_000)),
        Variant::from(Guid::from_bytes([0x1f; 16])),
        Variant::ByteString(ByteString::from(&[1, 2, 3])),
        Variant::XmlElement(XmlElement::from("<a/>")),
        Variant::NodeId(Box::new(NodeId::new(3, "Boiler"))),
        Variant::StatusCode(StatusCode::BadTimeout),
        Variant::QualifiedName(Box::new(QualifiedName::new(4, "name"))),
        Variant::LocalizedText(Box::new(LocalizedText { locale: opcua::types::UAString::null(), text: "offen".into() })),
        Variant::NodeId(Box::new(NodeId::new(300, 70_000_u32))),
        Variant::NodeId(Box::new(NodeId::new(0, 7_u32))),
        Variant::NodeId(Box::new(NodeId::new(2, Guid::from_bytes([9; 16])))),
        Variant::NodeId(Box::new(NodeId::new(2, ByteString::from(&[1, 2])))),
    ];
    let context = ContextOwned::default();
    let context = context.context();
    // As a field of its own type a value stands without the byte of its type.
    let number = |value: &Variant| u32::from(value.scalar_type_id().unwrap().encoding_mask());
    let fields = values.iter().enumerate().map(|(place, value)| field(&format!("f{place}"), NodeId::new(0, number(value)))).collect();
    let content: Vec<u8> = values.iter().flat_map(|value| value.encode_to_vec(&context)[1..].to_vec()).collect();
    let known = with(fields);
    let whole = object(101, &content);
    for (place, value) in values.iter().enumerate() {
        assert_eq!(taken(&known, &whole, &format!("f{place}"), false).as_ref(), Ok(value));
    }
    let written = text(&known, &whole, "");
    assert!(
        written.starts_with(r#"{"f0":true,"f1":-5,"f2":200,"f3":-300,"f4":60000,"f5":-70000,"f6":4000000000,"f7":"-9223372036854775808""#),
        "{written}"
    );
    assert!(
        written.contains(r#""f14":"AQID","f15":"<a/>","f16":"ns=3;s=Boiler","f17":"BadTimeout","f18":"4:name","f19":"offen""#),
        "{written}"
    );
    // As a value of any type it has that byte.
    for value in &values {
        let known = with(vec![field("any", NodeId::new(0, 24_u32))]);
        assert_eq!(taken(&known, &object(101, &value.encode_to_vec(&context)), "any", false).as_ref(), Ok(value));
    }
}

#[test]
fn matrices_subtypes_and_values_of_any_type_are_taken_apart() {
    let context = ContextOwned::default();
    let context = context.context();
    // Two rows of three numbers.
    let matrix = with(vec![FieldShape { rank: 2, ..field("m", NodeId::new(0, 4_u32)) }, field("after", NodeId::new(0, 3_u32))]);
    let numbers = (1_i16..=6).flat_map(i16::to_le_bytes);
    let content: Vec<u8> = [2_i32, 2, 3].into_iter().flat_map(i32::to_le_bytes).chain(numbers).chain([9]).collect();
    let value = object(101, &content);
    assert_eq!(text(&matrix, &value, ""), r#"{"m":[[1,2,3],[4,5,6]],"after":9}"#);
    assert_eq!(taken(&matrix, &value, "m[1,0]", false), Ok(Variant::Int16(4)));
    assert!(taken(&matrix, &value, "m[1,3]", false).unwrap_err().problem.contains("2 x 3"));
    assert_eq!(taken(&matrix, &value, "m[1]", false).unwrap_err().quality, Quality::BAD_CONFIGURATION_ERROR);
    // No rows, and columns beyond all bounds.
    let none: Vec<u8> = [2_i32, 0, i32::MAX].into_iter().flat_map(i32::to_le_bytes).chain([9]).collect();
    assert_eq!(text(&matrix, &object(101, &none), ""), r#"{"m":[],"after":9}"#);

    // A structure that says which, and a number that says of what type it is.
    let marked = |name, data_type| FieldShape { takes_subtypes: true, ..field(name, data_type) };
    let known = with(vec![marked("part", node(2)), marked("number", NodeId::new(0, 26_u32)), field("any", NodeId::new(0, 22_u32))]);
    let motor = object(3, &[&2.5_f64.to_le_bytes()[..], &[1]].concat());
    let content = [&motor[..], &[5, 7, 0], &bytes(VALUE)].concat();
    let value = object(101, &content);
    assert_eq!(taken(&known, &value, "part.Speed", false), Ok(Variant::Double(2.5)));
    assert_eq!(taken(&known, &value, "number", false), Ok(Variant::UInt16(7)));
    assert_eq!(taken(&known, &value, "any.Motors[1].Speed", false), Ok(Variant::Double(2.0)));
    // A type that nothing is known of is passed over where nothing of it is wanted.
    let unknown = object(101, &[&object(99, &[1, 2, 3])[..], &[5, 7, 0], &[0, 0, 0]].concat());
    assert_eq!(taken(&known, &unknown, "number", false), Ok(Variant::UInt16(7)));
    assert_eq!(taken(&known, &unknown, "part.Speed", false).unwrap_err().encoding, Some(node(99)));
    assert_eq!(taken(&known, &unknown, "any.Speed", false).unwrap_err().quality, Quality::BAD_NO_DATA);

    // A matrix in a value of any type has its dimensions behind it.
    let any = with(vec![field("any", NodeId::new(0, 24_u32))]);
    let elements: Vec<Variant> = (1..=6).map(Variant::Int32).collect();
    let array = Variant::from(Array::new_multi(VariantScalarTypeId::Int32, elements, vec![2, 3]).unwrap());
    let value = object(101, &array.encode_to_vec(&context));
    assert_eq!(text(&any, &value, "any"), "[[1,2,3],[4,5,6]]");
    assert_eq!(taken(&any, &value, "any[0,2]", false), Ok(Variant::Int32(3)));
}

/// Definitions that make much of nothing.
#[test]
fn neither_depth_nor_emptiness_is_without_end() {
    // Each level has hundred structures of the next, and the last has no field.
    let mut known = pump();
    for level in 0..16 {
        let fields = if level == 15 { Vec::new() } else { (0..100).map(|_| field("f", node(200 + level + 1))).collect() };
        let shape = StructureShape { encoding: node(250 + level), form: StructureForm::Plain, fields };
        known.add_type(node(200 + level), KnownShape::Structure(Arc::new(shape)));
    }
    let untaken = taken(&known, &object(250, &[]), "", true).unwrap_err();
    assert!(untaken.problem.contains("more values"), "{untaken:?}");
    // Unions of thousands of fields, each four bytes long: only the field that is there is gone through, and not 800 million.
    let unions = 200_000_u32;
    let mut known = with(vec![FieldShape { rank: 1, ..field("many", node(300)) }]);
    let fields = (1..=4_096).map(|number| field(&format!("f{number}"), node(301))).collect();
    let shape = StructureShape { encoding: node(302), form: StructureForm::Union, fields };
    known.add_type(node(300), KnownShape::Structure(Arc::new(shape)));
    let empty = StructureShape { encoding: node(303), form: StructureForm::Plain, fields: Vec::new() };
    known.add_type(node(301), KnownShape::Structure(Arc::new(empty)));
    let content: Vec<u8> = std::iter::once(unions).chain((0..unions).map(|_| 4_096)).flat_map(u32::to_le_bytes).collect();
    let value = object(101, &content);
    assert_eq!(text(&known, &value, "many[199999].f4096"), "{}");
    let untaken = taken(&known, &value, "many[199999].f1", true).unwrap_err();
    assert!(untaken.quality == Quality::BAD_NO_DATA && untaken.problem.contains("has no f1 now"), "{untaken:?}");
    // A structure that is made of itself.
    let endless = with(vec![field("again", node(100))]);
    assert!(taken(&endless, &object(101, &[]), "", true).unwrap_err().problem.contains("too deeply"));
    // Values within values, too.
    let any = with(vec![field("any", NodeId::new(0, 24_u32))]);
    assert!(taken(&any, &object(101, &[24; 1_000]), "any", true).is_err());
    let long = TakenForm { as_text: true, text_bytes_max: 50 };
    assert_eq!(take(&bytes(VALUE), &pump(), &[], long).unwrap_err().quality, Quality::BAD_ENCODING_LIMITS_EXCEEDED);
}

#[test]
fn what_a_session_has_not_told_is_asked_for_once() {
    let types = StructureTypes::default();
    let field = "Name".parse::<FieldPath>().unwrap();
    let take = || types.take(&bytes(VALUE), Some(&field), ValueType::String).map_err(|untaken| untaken.quality);
    assert_eq!((take(), take()), (Err(Quality::BAD_WAITING_FOR_INITIAL_DATA), Err(Quality::BAD_WAITING_FOR_INITIAL_DATA)));
    assert_eq!((types.asked(), types.asked()), (vec![node(7)], vec![]));
    types.set(pump(), 10);
    assert_eq!(take(), Ok(Variant::from("P1")));
    let mut untold = types.known();
    untold.add_encoding(node(7), Err("nobody knows".into()));
    types.set(untold, 10);
    assert_eq!((take(), types.asked()), (Err(Quality::BAD_NOT_SUPPORTED), vec![]));
}

#[test]
fn what_a_server_makes_us_keep_of_its_types_is_bounded() {
    let mut known = KnownShapes::default();
    let room = known.room();
    for number in 0..10_000 {
        known.add_type(node(number), KnownShape::BuiltIn(6));
    }
    assert!(room < 10_000 && known.room() == 0 && known.element(&node(9_999)).is_err());
    assert_eq!(known.reserve(15 << 20), Ok(()));
    assert!(known.reserve(2 << 20).unwrap_err().contains("16777216 bytes"));
    assert_eq!(known.reserve(1 << 20), Ok(()), "one that is left out takes nothing");
}

#[test]
fn structures_that_the_library_decodes_have_their_bytes_too() {
    let range = Variant::ExtensionObject(ExtensionObject::from_message(Range { low: -1.5, high: 20.0 }));
    let content = [&(-1.5_f64).to_le_bytes()[..], &20.0_f64.to_le_bytes()].concat();
    assert_eq!(structure_bytes(&range).unwrap().into_owned(), [&[1, 0, 0x76, 3, 1, 16, 0, 0, 0][..], &content].concat());
    let unit = Variant::ExtensionObject(ExtensionObject::from_message(EUInformation::default()));
    assert!(structure_bytes(&unit).is_some() && structure_bytes(&Variant::Double(1.0)).is_none());
    let number = |number: u32| built_in(&NodeId::new(0, number));
    assert_eq!([0, 1, 25, 26, 28, 29, 30].map(number), [None, Some(1), Some(25), Some(24), Some(24), Some(6), None]);
    assert_eq!(built_in(&node(1)), None);
    assert!(matches!(pump().element(&node(1)), Ok(ElementShape::BuiltIn(6))));
}

proptest! {
    /// Whatever the bytes and the definition: no panic, no endless work, and what is taken is no longer than it may be.
    #[test]
    fn whatever_comes_is_a_value_or_a_reason(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        definition in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let changed = |hex: &str, changes: &[(prop::sample::Index, u8)]| {
            let mut bytes = bytes(hex);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let mut known = pump();
        if let Ok(Some(shape)) = StructureShape::of(&changed(PUMP, &definition)) {
            known.add_type(node(6), KnownShape::Structure(Arc::new(shape)));
        }
        let mut object = changed(VALUE, &changes);
        if cuts {
            object.truncate(cut.index(object.len()));
        }
        for path in ["", "Name", "Motors[1].Speed", "Choice.Text", "Zones"] {
            for as_text in [true, false] {
                if let Ok(Variant::String(text)) = taken(&known, &object, path, as_text) {
                    prop_assert!(text.as_ref().len() <= FORM.text_bytes_max);
                }
            }
        }
    }
}
