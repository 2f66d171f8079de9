//! The messages of Sparkplug B on the wire, by their published field numbers.
//!
//! What is nested stays as the bytes it came in until it is looked at: one broken metric does not cost the others, properties that nobody
//! asks for cost nothing, and a small message cannot make large memory of empty parts. Text stays bytes too, since prost refuses a whole
//! message for one text that is not UTF-8.

use prost::{Message, Oneof, bytes::Bytes};

/// Text in `uuid` of a payload whose `body` is another one, compressed.
pub(super) const COMPRESSED: &[u8] = b"SPBV1.0_COMPRESSED";

#[derive(Clone, PartialEq, Message)]
pub(super) struct WirePayload {
    /// ms since 1970.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    /// Each a [`WireMetric`].
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub metrics: Vec<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub uuid: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireMetric {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub name: Option<Bytes>,
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// ms since 1970.
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    /// A [`WireMetadata`].
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub metadata: Option<Bytes>,
    /// A [`WirePropertySet`].
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub properties: Option<Bytes>,
    #[prost(oneof = "WireMetricValue", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19")]
    pub value: Option<WireMetricValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum WireMetricValue {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(bytes = "bytes", tag = "15")]
    Text(Bytes),
    #[prost(bytes = "bytes", tag = "16")]
    Bytes(Bytes),
    /// A [`WireDataSet`].
    #[prost(bytes = "bytes", tag = "17")]
    DataSet(Bytes),
    /// A [`WireTemplate`].
    #[prost(bytes = "bytes", tag = "18")]
    Template(Bytes),
    #[prost(bytes = "bytes", tag = "19")]
    Extension(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireMetadata {
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub description: Option<Bytes>,
}

/// Keys and values of the same length.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WirePropertySet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub keys: Vec<Bytes>,
    /// Each a [`WireProperty`].
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub values: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireProperty {
    #[prost(uint32, optional, tag = "1")]
    pub datatype: Option<u32>,
    #[prost(bool, optional, tag = "2")]
    pub is_null: Option<bool>,
    #[prost(oneof = "WirePropertyValue", tags = "3, 4, 5, 6, 7, 8")]
    pub value: Option<WirePropertyValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum WirePropertyValue {
    #[prost(uint32, tag = "3")]
    Int(u32),
    #[prost(uint64, tag = "4")]
    Long(u64),
    #[prost(float, tag = "5")]
    Float(f32),
    #[prost(double, tag = "6")]
    Double(f64),
    #[prost(bool, tag = "7")]
    Boolean(bool),
    #[prost(bytes = "bytes", tag = "8")]
    Text(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireTemplate {
    /// Each a [`WireMetric`].
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub metrics: Vec<Bytes>,
    #[prost(bool, optional, tag = "5")]
    pub is_definition: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireDataSet {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub columns: Vec<Bytes>,
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub types: Vec<u32>,
    /// Each a [`WireDataSetRow`].
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub rows: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireDataSetRow {
    /// Each a [`WireDataSetElement`].
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub elements: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireDataSetElement {
    #[prost(oneof = "WireElementValue", tags = "1, 2, 3, 4, 5, 6")]
    pub value: Option<WireElementValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum WireElementValue {
    #[prost(uint32, tag = "1")]
    Int(u32),
    #[prost(uint64, tag = "2")]
    Long(u64),
    #[prost(float, tag = "3")]
    Float(f32),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(bool, tag = "5")]
    Boolean(bool),
    #[prost(bytes = "bytes", tag = "6")]
    Text(Bytes),
}

/// A scalar as it stands on the wire, wherever it stood; its type is told elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawScalar {
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Text(Bytes),
}

impl WireMetricValue {
    /// The scalar; None for what is none.
    pub fn scalar(&self) -> Option<RawScalar> {
        Some(match self {
            WireMetricValue::Int(value) => RawScalar::Int(*value),
            WireMetricValue::Long(value) => RawScalar::Long(*value),
            WireMetricValue::Float(value) => RawScalar::Float(*value),
            WireMetricValue::Double(value) => RawScalar::Double(*value),
            WireMetricValue::Boolean(value) => RawScalar::Boolean(*value),
            WireMetricValue::Text(value) => RawScalar::Text(value.clone()),
            WireMetricValue::Bytes(_) | WireMetricValue::DataSet(_) | WireMetricValue::Template(_) | WireMetricValue::Extension(_) => {
                return None;
            }
        })
    }
}

impl From<WirePropertyValue> for RawScalar {
    fn from(value: WirePropertyValue) -> RawScalar {
        match value {
            WirePropertyValue::Int(value) => RawScalar::Int(value),
            WirePropertyValue::Long(value) => RawScalar::Long(value),
            WirePropertyValue::Float(value) => RawScalar::Float(value),
            WirePropertyValue::Double(value) => RawScalar::Double(value),
            WirePropertyValue::Boolean(value) => RawScalar::Boolean(value),
            WirePropertyValue::Text(value) => RawScalar::Text(value),
        }
    }
}

impl From<WireElementValue> for RawScalar {
    fn from(value: WireElementValue) -> RawScalar {
        match value {
            WireElementValue::Int(value) => RawScalar::Int(value),
            WireElementValue::Long(value) => RawScalar::Long(value),
            WireElementValue::Float(value) => RawScalar::Float(value),
            WireElementValue::Double(value) => RawScalar::Double(value),
            WireElementValue::Boolean(value) => RawScalar::Boolean(value),
            WireElementValue::Text(value) => RawScalar::Text(value),
        }
    }
}

/// The text of bytes that should be UTF-8, with replacement characters where they are not.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
