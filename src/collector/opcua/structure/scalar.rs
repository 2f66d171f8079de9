//! Values of built-in types (OPC 10000-6, 5.2.2) within a structure, and the parts that definitions are made of.

use std::str;

use opcua::types::{
    ByteString, DateTime, ExpandedNodeId, Guid, Identifier, LocalizedText, NodeId, QualifiedName, StatusCode, UAString, Variant, XmlElement,
};

use crate::wire::walk::{MalformedMessage, MessageWalk, WalkResult};

const NO_TEXT: MalformedMessage = MalformedMessage("a text is not UTF-8");

/// A value of a built-in type by its number; `None` for the types that are made of others.
pub fn scalar(walk: &mut MessageWalk<'_>, kind: u8) -> WalkResult<Option<Variant>> {
    Ok(Some(match kind {
        1 => Variant::Boolean(walk.byte()? != 0),
        2 => Variant::SByte(i8::from_le_bytes(walk.fixed()?)),
        3 => Variant::Byte(walk.byte()?),
        4 => Variant::Int16(i16::from_le_bytes(walk.fixed()?)),
        5 => Variant::UInt16(u16::from_le_bytes(walk.fixed()?)),
        6 => Variant::Int32(i32::from_le_bytes(walk.fixed()?)),
        7 => Variant::UInt32(walk.number()?),
        8 => Variant::Int64(i64::from_le_bytes(walk.fixed()?)),
        9 => Variant::UInt64(u64::from_le_bytes(walk.fixed()?)),
        10 => Variant::Float(f32::from_le_bytes(walk.fixed()?)),
        11 => Variant::Double(f64::from_le_bytes(walk.fixed()?)),
        12 => Variant::String(ua_text(text(walk)?)),
        13 => Variant::DateTime(Box::new(DateTime::from(i64::from_le_bytes(walk.fixed()?)))),
        14 => Variant::Guid(Box::new(Guid::from_bytes(walk.fixed()?))),
        15 => Variant::ByteString(byte_string(walk)?),
        16 => Variant::XmlElement(XmlElement::from(text(walk)?.unwrap_or_default())),
        17 => Variant::NodeId(Box::new(node_id(walk)?)),
        18 => Variant::ExpandedNodeId(Box::new(expanded_node_id(walk)?)),
        19 => Variant::StatusCode(StatusCode::from(walk.number()?)),
        20 => {
            let namespace_index = u16::from_le_bytes(walk.fixed()?);
            Variant::QualifiedName(Box::new(QualifiedName { namespace_index, name: ua_text(text(walk)?) }))
        }
        21 => Variant::LocalizedText(Box::new(localized_text(walk)?)),
        _ => return Ok(None),
    }))
}

/// A text that is what it says.
pub fn text<'a>(walk: &mut MessageWalk<'a>) -> WalkResult<Option<&'a str>> {
    walk.bytes()?.map(|bytes| str::from_utf8(bytes).map_err(|_| NO_TEXT)).transpose()
}

/// The id of a node of this server.
pub fn node_id(walk: &mut MessageWalk<'_>) -> WalkResult<NodeId> {
    let form = walk.byte()?;
    identifier(walk, form)
}

fn expanded_node_id(walk: &mut MessageWalk<'_>) -> WalkResult<ExpandedNodeId> {
    let form = walk.byte()?;
    let node_id = identifier(walk, form & 0x3f)?;
    let namespace_uri = if form & 0x80 == 0 { UAString::null() } else { ua_text(text(walk)?) };
    let server_index = if form & 0x40 == 0 { 0 } else { walk.number()? };
    Ok(ExpandedNodeId { node_id, namespace_uri, server_index })
}

/// What is behind the first byte of a node id.
fn identifier(walk: &mut MessageWalk<'_>, form: u8) -> WalkResult<NodeId> {
    let namespace = match form {
        0 => 0,
        1 => u16::from(walk.byte()?),
        2..=5 => u16::from_le_bytes(walk.fixed()?),
        _ => return Err(MalformedMessage("a NodeId has an unknown form")),
    };
    let identifier = match form {
        0 => Identifier::Numeric(u32::from(walk.byte()?)),
        1 => Identifier::Numeric(u32::from(u16::from_le_bytes(walk.fixed()?))),
        2 => Identifier::Numeric(walk.number()?),
        3 => Identifier::String(ua_text(text(walk)?)),
        4 => Identifier::Guid(Guid::from_bytes(walk.fixed()?)),
        _ => Identifier::ByteString(byte_string(walk)?),
    };
    Ok(NodeId { namespace, identifier })
}

fn byte_string(walk: &mut MessageWalk<'_>) -> WalkResult<ByteString> {
    Ok(walk.bytes()?.map_or_else(ByteString::null, |bytes| ByteString::from(bytes.to_vec())))
}

/// The text alone: no tag takes the language.
fn localized_text(walk: &mut MessageWalk<'_>) -> WalkResult<LocalizedText> {
    let mask = walk.byte()?;
    if mask & 1 != 0 {
        text(walk)?;
    }
    let text = if mask & 2 == 0 { None } else { text(walk)? };
    Ok(LocalizedText { locale: UAString::null(), text: ua_text(text) })
}

fn ua_text(text: Option<&str>) -> UAString {
    text.map_or_else(UAString::null, UAString::from)
}
