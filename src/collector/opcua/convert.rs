//! From the protocol's `DataValue` to time, value and quality of a sample.
//!
//! Rules, in this order:
//! - **Times** come with their picoseconds down to nanoseconds; one outside the years 1678 to 2262 counts as none. Which of them a sample
//!   gets is decided in [`super::times`].
//! - **Quality** is the `StatusCode` whole, info bits (overflow, limits) included.
//! - **No value**: null with the status where that is Uncertain (`UncertainInitialValue`), with `BadNoData` where it is Good. NaN and raw
//!   values that the configuration lists as `not_available` are none, with `BadNoData`.
//! - A **Bad** status makes the value null, whatever came with it. **Uncertain** keeps its value. What could not be decoded is Bad, too
//!   (`BadDecodingError`, `BadEncodingLimitsExceeded`); of a text that is not UTF-8 stays what could be read.
//! - A value that does not **fit** the tag's type: null with `BadTypeMismatch`; a number outside the type's range: null with
//!   `BadOutOfRange`. Every number fits a float tag; a whole number that the float rounds is Uncertain. Integers fit integer tags of either
//!   sign while they are in range, and `i64` takes times as nanoseconds since 1970. Enumerations (`Int32`), integers and booleans fit `state`. Text,
//!   localized text, XML, times, GUIDs, node ids, qualified names, status codes and byte strings (as base64) fit `string`. Booleans are no
//!   numbers, numbers no text, and arrays and structures fit nothing ([`super::conversion`] takes an element out of an array, and a
//!   field or a text out of a structure).

use opcua::types::{DataValue, DateTime, Variant};

use super::wire;
use historian_collector::{
    not_available::{self, MissingValue, RawKind, Sentinel},
    scaling::Scaling,
};
use historian_model::{Quality, Timestamp, Value, ValueType};

/// 1601-01-01 to 1970-01-01 in ticks of 100 ns.
const TICKS_TO_1970: i64 = 116_444_736_000_000_000;

/// One `DataValue` as a sample, but for a time that it does not bring.
#[derive(Clone, Debug, PartialEq)]
pub struct DataValueSample {
    /// Source timestamp in ns, where there is one.
    pub source: Option<i64>,
    /// Server timestamp in ns, where there is one.
    pub server: Option<i64>,
    pub value: Option<Value>,
    pub quality: Quality,
    /// Why the value was not taken, or not as it is, in words for an engineer; empty when it was, or when the server itself said Bad.
    pub problem: String,
    /// There is a value, and there will be a sample of it: the type of its structure is not known yet, and is asked for.
    pub waits: bool,
}

impl DataValueSample {
    /// Converts for a tag of this type, of which the raw values in `not_available` mean "no value".
    pub fn unless_listed(data: DataValue, value_type: ValueType, not_available: &[Sentinel]) -> DataValueSample {
        let missing = data.value.as_ref().and_then(|variant| missing(variant, not_available));
        let reading = DataValueSample::of(data, value_type);
        match missing {
            Some(missing) if !reading.quality.is_bad() => {
                DataValueSample { value: None, quality: missing.quality(), problem: missing.to_string(), ..reading }
            }
            _ => reading,
        }
    }

    /// The same where its node may mean something else than before, in words: what would be Good is Uncertain then.
    pub fn in_doubt(mut self, doubt: Option<&str>) -> DataValueSample {
        if let Some(doubt) = doubt {
            if self.quality.is_good() {
                self.quality = Quality(Quality::UNCERTAIN.0 | self.quality.0 & 0xFFFF);
            }
            if self.problem.is_empty() {
                doubt.clone_into(&mut self.problem);
            }
        }
        self
    }

    /// Converts for a tag of this type.
    pub fn of(data: DataValue, value_type: ValueType) -> DataValueSample {
        let source = data.source_timestamp.and_then(|time| nanoseconds(&time, data.source_picoseconds));
        let server = data.server_timestamp.and_then(|time| nanoseconds(&time, data.server_picoseconds));
        let quality = Quality(data.status.map_or(0, |status| status.bits()));
        let taken = |value, quality, problem| DataValueSample { source, server, value, quality, problem, waits: false };
        if quality.is_bad() {
            let Some((reason, kept)) = data.value.as_ref().and_then(wire::reason) else { return taken(None, quality, String::new()) };
            let kept = kept.filter(|_| value_type == ValueType::String).map(|text| Value::String(text.to_owned()));
            return taken(kept, quality, reason.to_owned());
        }
        let Some(variant) = data.value.filter(|variant| !matches!(variant, Variant::Empty)) else {
            let quality = if quality.is_good() { Quality::BAD_NO_DATA } else { quality };
            return taken(None, quality, "the node has no value".into());
        };
        if let Some(missing) = missing(&variant, &[]) {
            return taken(None, missing.quality(), missing.to_string());
        }
        match convert(&variant, value_type) {
            Ok(value) if rounds(&variant, value_type) => {
                let quality = if quality.is_good() { Quality(Quality::UNCERTAIN.0 | quality.0 & 0xFFFF) } else { quality };
                let whole = integer(inner(&variant)).unwrap_or_default();
                taken(
                    Some(value),
                    quality,
                    format!(
                        "the node holds {}, and {whole} is no {value_type}: it is rounded, and Uncertain; {}",
                        name_of(inner(&variant)),
                        advice(&variant)
                    ),
                )
            }
            Ok(value) => taken(Some(value), quality, String::new()),
            Err(Misfit::Range) => {
                taken(None, Quality::BAD_OUT_OF_RANGE, format!("the {} does not fit the tag's type {value_type}", name_of(&variant)))
            }
            Err(Misfit::Type) => taken(
                None,
                Quality::BAD_TYPE_MISMATCH,
                format!("the node holds {}, the tag is {value_type}; {}", name_of(&variant), advice(&variant)),
            ),
        }
    }
}

/// What may go wrong later with a value that is good now.
pub fn caution(data: &DataValue, value_type: ValueType) -> Option<String> {
    let variant = data.value.as_ref()?;
    let (exact, digits) = match value_type {
        ValueType::F64 => (matches!(variant, Variant::Int64(_) | Variant::UInt64(_)), 53),
        ValueType::F32 => (matches!(variant, Variant::Int32(_) | Variant::UInt32(_) | Variant::Int64(_) | Variant::UInt64(_)), 24),
        _ => (false, 0),
    };
    exact.then(|| {
        format!("the node holds {}, and {value_type} rounds whole numbers beyond 2^{digits}; {}", name_of(variant), advice(variant))
    })
}

/// Protocol time in ns since 1970. `None` for the protocol's "no time" and for times that i64 nanoseconds cannot hold.
pub fn nanoseconds(time: &DateTime, picoseconds: Option<u16>) -> Option<i64> {
    if time.is_null() {
        return None;
    }
    // The field counts steps of 10 ps within the tick of 100 ns.
    let within_tick = i64::from(picoseconds.unwrap_or(0).min(9999)) / 100;
    time.ticks().checked_sub(TICKS_TO_1970)?.checked_mul(100)?.checked_add(within_tick)
}

/// A time of ours as the protocol writes it.
pub fn protocol_time(time: Timestamp) -> DateTime {
    DateTime::from(time.0.div_euclid(100) + TICKS_TO_1970)
}

enum Misfit {
    Type,
    Range,
}

fn convert(variant: &Variant, value_type: ValueType) -> Result<Value, Misfit> {
    let variant = inner(variant);
    match value_type {
        ValueType::F64 => match variant {
            Variant::Double(value) => Ok(Value::F64(*value)),
            Variant::Float(value) => Ok(Value::F64(f64::from(*value))),
            _ => integer(variant).map(|value| Value::F64(value as f64)).ok_or(Misfit::Type),
        },
        ValueType::F32 => match variant {
            Variant::Float(value) => Ok(Value::F32(*value)),
            Variant::Double(value) if value.is_finite() && value.abs() > f64::from(f32::MAX) => Err(Misfit::Range),
            Variant::Double(value) => Ok(Value::F32(*value as f32)),
            _ => integer(variant).map(|value| Value::F32(value as f32)).ok_or(Misfit::Type),
        },
        ValueType::I64 => match variant {
            Variant::DateTime(time) => nanoseconds(time, None).map(Value::I64).ok_or(Misfit::Range),
            _ => whole(variant, |value| i64::try_from(value).ok()).map(Value::I64),
        },
        ValueType::U64 => whole(variant, |value| u64::try_from(value).ok()).map(Value::U64),
        ValueType::State => match variant {
            Variant::Boolean(value) => Ok(Value::State(u32::from(*value))),
            _ => whole(variant, |value| u32::try_from(value).ok()).map(Value::State),
        },
        ValueType::Bool => match variant {
            Variant::Boolean(value) => Ok(Value::Bool(*value)),
            _ => Err(Misfit::Type),
        },
        ValueType::String => text(variant).map(Value::String).ok_or(Misfit::Type),
    }
}

/// The text that a string tag has of a value; `None` for numbers and for what is made of several values.
pub fn text(variant: &Variant) -> Option<String> {
    Some(match variant {
        Variant::String(text) => text.as_ref().to_owned(),
        Variant::LocalizedText(text) => text.text.as_ref().to_owned(),
        Variant::XmlElement(text) => text.to_string(),
        Variant::DateTime(time) => time.to_string(),
        Variant::Guid(guid) => guid.to_string(),
        Variant::NodeId(node) => node.to_string(),
        Variant::ExpandedNodeId(node) if node.server_index == 0 && node.namespace_uri.is_empty() => node.node_id.to_string(),
        Variant::ExpandedNodeId(node) => node.to_string(),
        Variant::QualifiedName(name) if name.namespace_index == 0 => name.name.as_ref().to_owned(),
        Variant::QualifiedName(name) => format!("{}:{}", name.namespace_index, name.name.as_ref()),
        Variant::StatusCode(status) => status.to_string(),
        Variant::ByteString(bytes) => bytes.as_base64(),
        _ => return None,
    })
}

/// A number with scale and offset; `None` for what is no number, and for NaN.
pub fn number(variant: &Variant, scaling: &Scaling) -> Option<f64> {
    match inner(variant) {
        Variant::Float(raw) => (!raw.is_nan()).then(|| scaling.of_f32(*raw)),
        Variant::Double(raw) => (!raw.is_nan()).then(|| scaling.of_f64(*raw)),
        other => integer(other).map(|raw| scaling.of_integer(raw)),
    }
}

/// Why a number means "no value", if it does.
fn missing(variant: &Variant, listed: &[Sentinel]) -> Option<MissingValue> {
    let kind = match variant {
        Variant::Variant(inner) => return missing(inner, listed),
        Variant::Float(value) => return not_available::float(listed, f64::from(*value), RawKind::F32),
        Variant::Double(value) => return not_available::float(listed, *value, RawKind::F64),
        _ if listed.is_empty() => return None,
        Variant::SByte(_) => RawKind::I8,
        Variant::Byte(_) => RawKind::U8,
        Variant::Int16(_) => RawKind::I16,
        Variant::UInt16(_) => RawKind::U16,
        Variant::Int32(_) => RawKind::I32,
        Variant::UInt32(_) => RawKind::U32,
        Variant::Int64(_) => RawKind::I64,
        Variant::UInt64(_) => RawKind::U64,
        _ => return None,
    };
    not_available::integer(listed, integer(variant)?, kind)
}

/// A whole number that is another one as a float.
fn rounds(variant: &Variant, value_type: ValueType) -> bool {
    match (inner(variant), value_type) {
        (inner, ValueType::F64) => integer(inner).is_some_and(|whole| whole as f64 as i128 != whole),
        (inner, ValueType::F32) => integer(inner).is_some_and(|whole| whole as f32 as i128 != whole),
        _ => false,
    }
}

fn inner(variant: &Variant) -> &Variant {
    match variant {
        Variant::Variant(inside) => inner(inside),
        other => other,
    }
}

fn whole<T>(variant: &Variant, fit: impl Fn(i128) -> Option<T>) -> Result<T, Misfit> {
    fit(integer(variant).ok_or(Misfit::Type)?).ok_or(Misfit::Range)
}

fn integer(variant: &Variant) -> Option<i128> {
    Some(match variant {
        Variant::SByte(value) => i128::from(*value),
        Variant::Byte(value) => i128::from(*value),
        Variant::Int16(value) => i128::from(*value),
        Variant::UInt16(value) => i128::from(*value),
        Variant::Int32(value) => i128::from(*value),
        Variant::UInt32(value) => i128::from(*value),
        Variant::Int64(value) => i128::from(*value),
        Variant::UInt64(value) => i128::from(*value),
        _ => return None,
    })
}

/// What a value is, in words with their article.
pub fn name_of(variant: &Variant) -> &'static str {
    match variant {
        Variant::Empty => "nothing",
        Variant::Boolean(_) => "a Boolean",
        Variant::SByte(_) => "an SByte",
        Variant::Byte(_) => "a Byte",
        Variant::Int16(_) => "an Int16",
        Variant::UInt16(_) => "a UInt16",
        Variant::Int32(_) => "an Int32",
        Variant::UInt32(_) => "a UInt32",
        Variant::Int64(_) => "an Int64",
        Variant::UInt64(_) => "a UInt64",
        Variant::Float(_) => "a Float",
        Variant::Double(_) => "a Double",
        Variant::String(_) => "a String",
        Variant::DateTime(_) => "a DateTime",
        Variant::Guid(_) => "a Guid",
        Variant::LocalizedText(_) => "a LocalizedText",
        Variant::ByteString(_) => "a ByteString",
        Variant::XmlElement(_) => "an XmlElement",
        Variant::NodeId(_) => "a NodeId",
        Variant::ExpandedNodeId(_) => "an ExpandedNodeId",
        Variant::QualifiedName(_) => "a QualifiedName",
        Variant::StatusCode(_) => "a StatusCode",
        Variant::ExtensionObject(_) => "a structure",
        Variant::Array(_) => "an array",
        Variant::Variant(inner) => name_of(inner),
        _ => "a value of another kind",
    }
}

fn advice(variant: &Variant) -> &'static str {
    match variant {
        Variant::Boolean(_) => "set type = \"bool\"",
        Variant::Float(_) | Variant::Double(_) => "set type = \"f64\"",
        Variant::DateTime(_) => "set type = \"string\", or \"i64\" for nanoseconds since 1970",
        Variant::Array(_) => "take one of its elements with index_range",
        Variant::ExtensionObject(_) => "take one of its fields with field, or all of it with type = \"string\"",
        Variant::Variant(inner) => advice(inner),
        Variant::Byte(_) | Variant::UInt16(_) | Variant::UInt32(_) | Variant::UInt64(_) => "set type = \"u64\"",
        _ if integer(variant).is_some() => "set type = \"i64\"",
        _ if text(variant).is_some() => "set type = \"string\"",
        _ => "such values cannot be stored",
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{Array, StatusCode, VariantScalarTypeId};

    use super::*;

    fn data(value: impl Into<Option<Variant>>, status: u32) -> DataValue {
        DataValue { value: value.into(), status: Some(StatusCode::from(status)), ..DataValue::null() }
    }

    #[test]
    fn values_fit_the_tags_type_or_are_bad() {
        let array = Array::new(VariantScalarTypeId::Double, vec![Variant::Double(1.0)]).unwrap();
        for (variant, value_type, expected) in [
            (Variant::Double(-0.0), ValueType::F64, Ok(Value::F64(-0.0))),
            (Variant::Float(0.1), ValueType::F64, Ok(Value::F64(f64::from(0.1_f32)))),
            (Variant::Float(f32::NAN), ValueType::F32, Err(Quality::BAD_NO_DATA)),
            (Variant::Double(0.1), ValueType::F32, Ok(Value::F32(0.1))),
            (Variant::Double(1e300), ValueType::F32, Err(Quality::BAD_OUT_OF_RANGE)),
            (Variant::Double(-1e300), ValueType::F32, Err(Quality::BAD_OUT_OF_RANGE)),
            (Variant::Double(f64::from(f32::MAX)), ValueType::F32, Ok(Value::F32(f32::MAX))),
            (Variant::Double(f64::INFINITY), ValueType::F32, Ok(Value::F32(f32::INFINITY))),
            (Variant::UInt64(1 << 60), ValueType::F64, Ok(Value::F64(1_152_921_504_606_846_976.0))),
            (Variant::SByte(-128), ValueType::I64, Ok(Value::I64(-128))),
            (Variant::Int64(i64::MIN), ValueType::I64, Ok(Value::I64(i64::MIN))),
            (Variant::UInt64(u64::MAX), ValueType::I64, Err(Quality::BAD_OUT_OF_RANGE)),
            (Variant::UInt64(u64::MAX), ValueType::U64, Ok(Value::U64(u64::MAX))),
            (Variant::Byte(255), ValueType::U64, Ok(Value::U64(255))),
            (Variant::Int16(-1), ValueType::U64, Err(Quality::BAD_OUT_OF_RANGE)),
            (Variant::Double(1.0), ValueType::I64, Err(Quality::BAD_TYPE_MISMATCH)),
            (Variant::Boolean(true), ValueType::Bool, Ok(Value::Bool(true))),
            (Variant::Boolean(true), ValueType::F64, Err(Quality::BAD_TYPE_MISMATCH)),
            (Variant::Int32(1), ValueType::Bool, Err(Quality::BAD_TYPE_MISMATCH)),
            (Variant::Int32(3), ValueType::State, Ok(Value::State(3))),
            (Variant::Int32(-3), ValueType::State, Err(Quality::BAD_OUT_OF_RANGE)),
            (Variant::Boolean(true), ValueType::State, Ok(Value::State(1))),
            (Variant::from("open"), ValueType::String, Ok(Value::String("open".into()))),
            (Variant::from("1.5"), ValueType::F64, Err(Quality::BAD_TYPE_MISMATCH)),
            (Variant::Double(1.5), ValueType::String, Err(Quality::BAD_TYPE_MISMATCH)),
            (Variant::Variant(Box::new(Variant::Int32(4))), ValueType::I64, Ok(Value::I64(4))),
            (Variant::Array(Box::new(array)), ValueType::F64, Err(Quality::BAD_TYPE_MISMATCH)),
        ] {
            let reading = DataValueSample::of(data(variant.clone(), 0x0000_0480), value_type);
            let wanted = match expected {
                Ok(value) => (Some(value), Quality(0x0480), true),
                Err(quality) => (None, quality, false),
            };
            assert_eq!((reading.value, reading.quality, reading.problem.is_empty()), wanted, "{variant:?} as {value_type}");
        }
    }

    /// Every kind of value, its name in messages, and the type that is proposed for it.
    fn every_kind() -> [(Variant, &'static str, &'static str); 26] {
        use opcua::types::{
            ByteString, DataChangeNotification, ExpandedNodeId, ExtensionObject, Guid, LocalizedText, NodeId, QualifiedName, XmlElement,
        };
        let array = Array::new(VariantScalarTypeId::Double, vec![Variant::Double(1.0)]).unwrap();
        let structure = ExtensionObject::from_message(DataChangeNotification::default());
        [
            (Variant::Boolean(true), "a Boolean", "set type = \"bool\""),
            (Variant::SByte(-5), "an SByte", "set type = \"i64\""),
            (Variant::Byte(5), "a Byte", "set type = \"u64\""),
            (Variant::Int16(-5), "an Int16", "set type = \"i64\""),
            (Variant::UInt16(5), "a UInt16", "set type = \"u64\""),
            (Variant::Int32(-5), "an Int32", "set type = \"i64\""),
            (Variant::UInt32(5), "a UInt32", "set type = \"u64\""),
            (Variant::Int64(-5), "an Int64", "set type = \"i64\""),
            (Variant::UInt64(5), "a UInt64", "set type = \"u64\""),
            (Variant::Float(2.5), "a Float", "set type = \"f64\""),
            (Variant::Double(2.5), "a Double", "set type = \"f64\""),
            (Variant::from("5"), "a String", "set type = \"string\""),
            (
                Variant::from(DateTime::from(133_000_000_000_000_000)),
                "a DateTime",
                "set type = \"string\", or \"i64\" for nanoseconds since 1970",
            ),
            (Variant::from(Guid::from_bytes([0x1f; 16])), "a Guid", "set type = \"string\""),
            (Variant::LocalizedText(Box::new(LocalizedText::new("de", "offen"))), "a LocalizedText", "set type = \"string\""),
            (Variant::ByteString(ByteString::from(&[5])), "a ByteString", "set type = \"string\""),
            (Variant::XmlElement(XmlElement::from("<a/>")), "an XmlElement", "set type = \"string\""),
            (Variant::QualifiedName(Box::new(QualifiedName::new(1, "5"))), "a QualifiedName", "set type = \"string\""),
            (Variant::StatusCode(StatusCode::BadTimeout), "a StatusCode", "set type = \"string\""),
            (Variant::NodeId(Box::new(NodeId::new(2, "a"))), "a NodeId", "set type = \"string\""),
            (Variant::ExpandedNodeId(Box::new(ExpandedNodeId::new(NodeId::new(2, 7_u32)))), "an ExpandedNodeId", "set type = \"string\""),
            (Variant::Variant(Box::new(Variant::Empty)), "nothing", "such values cannot be stored"),
            (Variant::ExtensionObject(structure), "a structure", "take one of its fields with field, or all of it with type = \"string\""),
            (Variant::Array(Box::new(array)), "an array", "take one of its elements with index_range"),
            (Variant::Variant(Box::new(Variant::Boolean(true))), "a Boolean", "set type = \"bool\""),
            (Variant::Variant(Box::new(Variant::UInt16(5))), "a UInt16", "set type = \"u64\""),
        ]
    }

    #[test]
    fn every_kind_of_value_fits_the_types_it_should_and_is_named_for_the_others() {
        for (variant, name, advice) in every_kind() {
            let text = match name {
                "a String" => Some("5"),
                "a LocalizedText" => Some("offen"),
                "a Guid" => Some("1f1f1f1f-1f1f-1f1f-1f1f-1f1f1f1f1f1f"),
                "a DateTime" => Some("2022-06-18T04:26:40+00:00"),
                "a ByteString" => Some("BQ=="),
                "an XmlElement" => Some("<a/>"),
                "a QualifiedName" => Some("1:5"),
                "a StatusCode" => Some("BadTimeout"),
                "a NodeId" => Some("ns=2;s=a"),
                "an ExpandedNodeId" => Some("ns=2;i=7"),
                _ => None,
            };
            let number = match name {
                "a Float" | "a Double" => Some(2.5),
                "an SByte" | "an Int16" | "an Int32" | "an Int64" => Some(-5.0),
                "a Byte" | "a UInt16" | "a UInt32" | "a UInt64" => Some(5.0),
                _ => None,
            };
            let whole = number.filter(|number: &f64| number.fract() == 0.0);
            let (is_bool, fits) = (name == "a Boolean", |value: Option<Value>| value.ok_or(Quality::BAD_TYPE_MISMATCH));
            for value_type in ValueType::ALL {
                let expected = match value_type {
                    ValueType::F64 => fits(number.map(Value::F64)),
                    ValueType::F32 => fits(number.map(|number| Value::F32(number as f32))),
                    ValueType::I64 if name == "a DateTime" => Ok(Value::I64(1_655_526_400_000_000_000)),
                    ValueType::I64 => fits(whole.map(|whole| Value::I64(whole as i64))),
                    ValueType::U64 | ValueType::State if whole == Some(-5.0) => Err(Quality::BAD_OUT_OF_RANGE),
                    ValueType::U64 => fits(whole.map(|_| Value::U64(5))),
                    ValueType::State => fits(whole.map(|_| Value::State(5)).or(is_bool.then_some(Value::State(1)))),
                    ValueType::Bool => fits(is_bool.then_some(Value::Bool(true))),
                    ValueType::String => fits(text.map(|text| Value::String(text.into()))),
                };
                let problem = match &expected {
                    Ok(_) => String::new(),
                    Err(Quality::BAD_OUT_OF_RANGE) => format!("the {name} does not fit the tag's type {value_type}"),
                    Err(_) => format!("the node holds {name}, the tag is {value_type}; {advice}"),
                };
                let reading = DataValueSample::of(data(variant.clone(), 0), value_type);
                assert_eq!(reading.value, expected.as_ref().ok().cloned(), "{variant:?} as {value_type}");
                assert_eq!(reading.quality, expected.err().unwrap_or(Quality::GOOD), "{variant:?} as {value_type}");
                assert_eq!(reading.problem, problem);
                let rounds_from = match (value_type, name) {
                    (ValueType::F64, "an Int64" | "a UInt64") => Some(53),
                    (ValueType::F32, "an Int32" | "a UInt32" | "an Int64" | "a UInt64") => Some(24),
                    _ => None,
                };
                let caution = caution(&data(variant.clone(), 0), value_type);
                let told = |digits| format!("the node holds {name}, and {value_type} rounds whole numbers beyond 2^{digits}; {advice}");
                assert_eq!(caution, rounds_from.map(told), "{variant:?} as {value_type}");
            }
        }
        assert_eq!(caution(&data(None, 0), ValueType::F64), None);
    }

    /// Raw values at the ends of each type, listed for that kind and for the one beside it.
    #[test]
    fn a_listed_raw_value_is_that_of_its_own_kind() {
        for (variant, kind, other) in [
            (Variant::SByte(-1), "i8", "u8"),
            (Variant::Byte(0xFF), "u8", "i8"),
            (Variant::Int16(-1), "i16", "u16"),
            (Variant::UInt16(0xFFFF), "u16", "i16"),
            (Variant::Int32(-1), "i32", "u32"),
            (Variant::UInt32(0xFFFF_FFFF), "u32", "i32"),
            (Variant::Int64(-1), "i64", "u64"),
            (Variant::UInt64(u64::MAX), "u64", "i64"),
        ] {
            let bits = &"0xFFFFFFFFFFFFFFFF"[..2 + kind[1..].parse::<usize>().unwrap() / 4];
            for (listed, is_missing) in [(kind, true), (other, false)] {
                let listed = format!("{listed} {bits}").parse::<not_available::NotAvailable>().unwrap().0;
                let reading = DataValueSample::unless_listed(data(variant.clone(), 0), ValueType::F64, &listed);
                assert_eq!(reading.value.is_none(), is_missing, "{variant:?} with {listed:?}");
                // A Bad status of the server says more than a listed value.
                let reading = DataValueSample::unless_listed(data(variant.clone(), 0x808C_0000), ValueType::F64, &listed);
                assert_eq!((reading.value, reading.quality.0, reading.problem), (None, 0x808C_0000, String::new()));
            }
        }
        let listed = |text: &str| text.parse::<not_available::NotAvailable>().unwrap().0;
        let found = DataValueSample::unless_listed(data(Variant::Float(f32::MAX), 0), ValueType::F32, &listed("f32 0x7F7FFFFF"));
        assert_eq!((found.value, found.quality), (None, Quality::BAD_NO_DATA));
        assert!(found.problem.contains("f32 0x7F7FFFFF"), "{}", found.problem);
    }

    #[test]
    fn of_a_text_that_is_broken_stays_what_could_be_read_where_the_tag_is_a_text() {
        use opcua::types::LocalizedText;
        // As the sieve leaves it: the reason, and in place of the locale what could be read.
        let left = LocalizedText::new("K\u{fffd}lte", "the text is not UTF-8");
        let left = Variant::Variant(Box::new(Variant::LocalizedText(Box::new(left))));
        for (value_type, kept) in [(ValueType::String, Some("K\u{fffd}lte")), (ValueType::F64, None)] {
            let reading = DataValueSample::of(data(left.clone(), 0x8007_0000), value_type);
            assert_eq!(reading.value, kept.map(|kept| Value::String(kept.into())));
            assert_eq!((reading.quality.0, reading.problem.as_str()), (0x8007_0000, "the text is not UTF-8"));
        }
    }

    #[test]
    fn nan_and_listed_raw_values_are_bad_without_a_value() {
        let listed = |text: &str| text.parse::<not_available::NotAvailable>().unwrap().0;
        for (variant, list, value_type, is_missing) in [
            (Variant::Double(f64::NAN), "1", ValueType::F64, true),
            (Variant::Float(f32::NAN), "1", ValueType::F32, true),
            (Variant::Variant(Box::new(Variant::Double(-f64::NAN))), "1", ValueType::F64, true),
            (Variant::Double(f64::INFINITY), "1", ValueType::F64, false),
            (Variant::Int16(i16::MIN), "0x8000", ValueType::F64, true),
            (Variant::Int16(i16::MIN), "u16 0x8000", ValueType::F64, false),
            (Variant::UInt16(0xFFFF), "u16 0xFFFF", ValueType::U64, true),
            (Variant::Int32(0xFFFF), "u16 0xFFFF", ValueType::I64, false),
            (Variant::Byte(255), "255", ValueType::State, true),
            (Variant::Double(-9999.0), "-9999", ValueType::F64, true),
            (Variant::from("255"), "255", ValueType::String, false),
        ] {
            // Uncertain too is not a way for NaN to become a value.
            for status in [0, 0x4000_0000] {
                let reading = DataValueSample::unless_listed(data(variant.clone(), status), value_type, &listed(list));
                assert_eq!((reading.value.is_none(), reading.quality.is_bad()), (is_missing, is_missing), "{variant:?} with {list}");
            }
        }
    }

    #[test]
    fn the_status_code_is_kept_whole_and_decides_about_the_value() {
        let double = || Some(Variant::Double(2.5));
        for (value, status, expected) in [
            (double(), 0x4093_0000, (Some(Value::F64(2.5)), 0x4093_0000)),
            (double(), 0x4093_0480, (Some(Value::F64(2.5)), 0x4093_0480)),
            (double(), 0x808C_0000, (None, 0x808C_0000)),
            (None, 0x808C_0480, (None, 0x808C_0480)),
            (None, 0, (None, Quality::BAD_NO_DATA.0)),
            (Some(Variant::Empty), 0x4000_0000, (None, 0x4000_0000)),
            (None, Quality::UNCERTAIN_INITIAL_VALUE.0, (None, Quality::UNCERTAIN_INITIAL_VALUE.0)),
        ] {
            let reading = DataValueSample::of(data(value.clone(), status), ValueType::F64);
            assert_eq!((reading.value, reading.quality.0), expected, "{value:?} {status:08X}");
        }
    }

    #[test]
    fn a_whole_number_that_a_float_rounds_is_uncertain_and_the_right_type_is_proposed() {
        const P53: i64 = 1 << 53;
        // The proposed type where it is rounded.
        for (variant, value, proposed) in [
            (Variant::UInt64(P53 as u64), Value::F64(9_007_199_254_740_992.0), None),
            (Variant::UInt64(P53 as u64 + 1), Value::F64(9_007_199_254_740_992.0), Some("u64")),
            (Variant::UInt64(u64::MAX), Value::F64(18_446_744_073_709_551_616.0), Some("u64")),
            (Variant::Int64(-P53 - 1), Value::F64(-9_007_199_254_740_992.0), Some("i64")),
            (Variant::Variant(Box::new(Variant::Int64(P53 + 1))), Value::F64(9_007_199_254_740_992.0), Some("i64")),
            (Variant::UInt32(16_777_217), Value::F32(16_777_216.0), Some("u64")),
            (Variant::UInt32(16_777_217), Value::F64(16_777_217.0), None),
            (Variant::UInt32(16_777_216), Value::F32(16_777_216.0), None),
            (Variant::Int32(-16_777_219), Value::F32(-16_777_220.0), Some("i64")),
            (Variant::UInt64(u64::MAX), Value::U64(18_446_744_073_709_551_615), None),
        ] {
            let reading = DataValueSample::of(data(variant.clone(), 0), value.value_type());
            assert_eq!(reading.value, Some(value), "{variant:?}");
            assert_eq!(reading.quality, if proposed.is_some() { Quality::UNCERTAIN } else { Quality::GOOD }, "{variant:?}");
            match proposed {
                Some(proposed) => assert!(reading.problem.contains(&format!("type = \"{proposed}\"")), "{}", reading.problem),
                None => assert_eq!(reading.problem, "", "{variant:?}"),
            }
        }
        let small = data(Variant::UInt64(1), 0);
        assert!(caution(&small, ValueType::F64).unwrap().contains("type = \"u64\""));
        assert_eq!(caution(&small, ValueType::U64), None);
        assert_eq!(caution(&data(Variant::Int32(1), 0), ValueType::F64), None);
    }

    #[test]
    fn protocol_times_are_read_to_the_nanosecond_and_what_is_no_time_is_none() {
        let source = protocol_time(Timestamp(1_767_225_600_123_456_700));
        let mut value = DataValue { source_timestamp: Some(source), ..DataValue::from(1.0) };
        value.source_picoseconds = Some(8_901); // 89.01 ns
        assert_eq!(DataValueSample::of(value.clone(), ValueType::F64).source, Some(1_767_225_600_123_456_789));
        assert_eq!(DataValueSample::of(value.clone(), ValueType::F64).server, None);
        // No more of them than a tick has; the server's time has its own.
        for (picoseconds, nanoseconds) in [(Some(0), 0), (Some(99), 0), (Some(100), 1), (Some(9_999), 99), (Some(10_000), 99), (None, 0)] {
            (value.server_timestamp, value.server_picoseconds) = (Some(source), picoseconds);
            let found = DataValueSample::of(value.clone(), ValueType::F64);
            let expected = (Some(1_767_225_600_123_456_789), Some(1_767_225_600_123_456_700 + nanoseconds));
            assert_eq!((found.source, found.server), expected, "{picoseconds:?}");
        }
        for none in [DateTime::null(), DateTime::ymd(3000, 1, 1)] {
            value.source_timestamp = Some(none);
            assert_eq!(DataValueSample::of(value.clone(), ValueType::F64).source, None);
        }
        assert_eq!(nanoseconds(&protocol_time(Timestamp(-100)), None), Some(-100));
        assert_eq!(nanoseconds(&DateTime::ymd(1650, 1, 1), None), None);
    }
}
