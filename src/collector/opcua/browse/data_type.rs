//! Data types of variables: from the node of a type up its supertypes to a built-in type, and from that to the value type of a tag.

use std::collections::{BTreeMap, HashMap};

use opcua::types::{AttributeId, BrowseDirection, DataTypeId, EnumValueType, NodeId, QualifiedName, ReferenceTypeId, Variant};

use super::walk::{AddressSpace, STATE_NAMES, STATES};
use crate::{fault::ConnectionFault, read};
use historian_model::ValueType;

/// Levels of supertypes that are followed.
const SUPERTYPES_MAX: usize = 32;
/// The number of the last built-in type.
const BUILT_IN_MAX: u32 = 25;
/// The greatest number of a state that has a name.
const STATE_MAX: i64 = 4_095;

/// What the values of a type are.
#[derive(Clone, Debug, Default)]
pub struct KnownType {
    pub name: String,
    /// Of OPC 10000-6, 5.1.2; numbers above [`BUILT_IN_MAX`] are abstract types and `Enumeration`.
    pub built_in: Option<u32>,
    /// Names of the states of an enumeration from 0.
    pub states: Vec<String>,
}

/// What becomes of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeMapping {
    Tag(ValueType),
    /// The type is known only by a value.
    ByValue,
    /// Why there can be no tag.
    None(&'static str),
}

impl KnownType {
    pub fn mapping(&self) -> TypeMapping {
        const VARIANT: u32 = DataTypeId::BaseDataType as u32;
        const ENUMERATION: u32 = DataTypeId::Enumeration as u32;
        match self.built_in {
            Some(VARIANT | 26..=28) => TypeMapping::ByValue,
            Some(ENUMERATION) => TypeMapping::Tag(ValueType::State),
            Some(built_in) => match value_type(built_in) {
                Some(value_type) => TypeMapping::Tag(value_type),
                None if built_in == DataTypeId::Structure as u32 => {
                    TypeMapping::None("a structure; a tag takes one of its fields by field, and a string tag all of it as JSON")
                }
                None => TypeMapping::None("its type has no value that a tag can hold"),
            },
            None => TypeMapping::None("the server does not tell what its data type is made of"),
        }
    }
}

/// Value type of a tag for values of a built-in type, by its number.
pub fn value_type(built_in: u32) -> Option<ValueType> {
    Some(match built_in {
        1 => ValueType::Bool,
        2 | 4 | 6 | 8 | 13 => ValueType::I64,
        3 | 5 | 7 | 9 => ValueType::U64,
        10 => ValueType::F32,
        11 => ValueType::F64,
        12 | 14..=21 => ValueType::String,
        _ => return None,
    })
}

/// The types of these nodes.
///
/// # Errors
/// The server does not answer.
pub async fn known_types(space: &mut AddressSpace<'_>, types: &[NodeId]) -> Result<HashMap<NodeId, KnownType>, ConnectionFault> {
    let mut known: HashMap<NodeId, KnownType> = types.iter().map(|node| (node.clone(), KnownType::default())).collect();
    let nodes: Vec<NodeId> = known.keys().cloned().collect();
    let names: Vec<_> = nodes.iter().map(|node| read::attribute(node.clone(), AttributeId::BrowseName)).collect();
    let names = read::values(space.session, &names, space.facts.nodes_per_read, space.timeout).await?;
    for (node, name) in nodes.iter().zip(names) {
        if let (Some(Variant::QualifiedName(name)), Some(known)) = (name.value, known.get_mut(node)) {
            let QualifiedName { name, .. } = *name;
            name.as_ref().clone_into(&mut known.name);
        }
    }
    // Each with the type that it has come to on its way up.
    let mut open: Vec<(NodeId, NodeId)> = nodes.into_iter().map(|node| (node.clone(), node)).collect();
    for _ in 0..SUPERTYPES_MAX {
        open.retain(|(node, at)| match built_in(at) {
            Some(number) => {
                known.entry(node.clone()).or_default().built_in = Some(number);
                false
            }
            None => true,
        });
        if open.is_empty() {
            break;
        }
        let above: Vec<NodeId> = open.iter().map(|(_, at)| at.clone()).collect();
        let references = space.references(&above, BrowseDirection::Inverse, ReferenceTypeId::HasSubtype).await?;
        let mut next = Vec::new();
        for ((node, _), references) in open.into_iter().zip(references) {
            let supertype = references.unwrap_or_default().into_iter().find_map(|reference| space.local(&reference.node_id));
            next.extend(supertype.map(|supertype| (node, supertype)));
        }
        open = next;
    }
    states(space, &mut known).await?;
    Ok(known)
}

/// The number of a type that is followed no further.
fn built_in(node: &NodeId) -> Option<u32> {
    let number = node.as_u32().filter(|_| node.namespace == 0)?;
    (number <= 29).then_some(number)
}

/// Reads the names of the states of enumerations.
async fn states(space: &mut AddressSpace<'_>, known: &mut HashMap<NodeId, KnownType>) -> Result<(), ConnectionFault> {
    let is_enumeration = |known: &KnownType| known.built_in == Some(DataTypeId::Enumeration as u32);
    let types: Vec<NodeId> = known.iter().filter(|(_, known)| is_enumeration(known)).map(|(node, _)| node.clone()).collect();
    if types.is_empty() {
        return Ok(());
    }
    let properties = space.references(&types, BrowseDirection::Forward, ReferenceTypeId::HasProperty).await?;
    let mut asked = Vec::new();
    for (node, properties) in types.iter().zip(properties) {
        for property in properties.unwrap_or_default() {
            if [STATE_NAMES, STATES].contains(&property.browse_name.name.as_ref()) {
                asked.extend(space.local(&property.node_id).map(|property| (node.clone(), property)));
            }
        }
    }
    let nodes: Vec<_> = asked.iter().map(|(_, property)| read::attribute(property.clone(), AttributeId::Value)).collect();
    let values = read::values(space.session, &nodes, space.facts.nodes_per_read, space.timeout).await?;
    for ((node, _), value) in asked.into_iter().zip(values) {
        if let Some(known) = known.get_mut(&node)
            && let Some(value) = value.value
        {
            known.states = state_names(&value);
        }
    }
    Ok(())
}

/// Names from 0 of what `EnumStrings` or `EnumValues` holds; none where the numbers have no place in such a list. A number without a name is its own.
pub fn state_names(value: &Variant) -> Vec<String> {
    let Variant::Array(array) = value else { return Vec::new() };
    let mut named = BTreeMap::new();
    for (index, element) in array.values.iter().enumerate() {
        match element {
            Variant::LocalizedText(text) => _ = named.insert(index as i64, text.text.as_ref().to_owned()),
            Variant::String(text) => _ = named.insert(index as i64, text.as_ref().to_owned()),
            Variant::ExtensionObject(object) => match object.inner_as::<EnumValueType>() {
                Some(state) => _ = named.insert(state.value, state.display_name.text.as_ref().to_owned()),
                None => return Vec::new(),
            },
            _ => return Vec::new(),
        }
    }
    match (named.first_key_value(), named.last_key_value()) {
        (Some((first, _)), Some((last, _))) if *first >= 0 && *last <= STATE_MAX => {
            (0..=*last).map(|number| named.remove(&number).filter(|name| !name.is_empty()).unwrap_or_else(|| number.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

/// Number of the built-in type of a value, and whether it is an array.
pub fn type_of(value: &Variant) -> (Option<u32>, bool) {
    let number = value.scalar_type_id().map(|kind| u32::from(kind.encoding_mask())).filter(|number| *number <= BUILT_IN_MAX);
    (number, value.is_array())
}

#[cfg(test)]
mod tests {
    use opcua::types::{Array, ExtensionObject, LocalizedText, VariantScalarTypeId};

    use super::*;

    fn array(kind: VariantScalarTypeId, values: Vec<Variant>) -> Variant {
        Variant::Array(Box::new(Array::new(kind, values).unwrap()))
    }

    #[test]
    fn names_of_states_stand_at_their_numbers() {
        let text = |text: &str| Variant::LocalizedText(Box::new(LocalizedText::new("en", text)));
        let names = array(VariantScalarTypeId::LocalizedText, vec![text("off"), text(""), text("on")]);
        assert_eq!(state_names(&names), ["off", "1", "on"]);
        let state = |value, name: &str| {
            Variant::ExtensionObject(ExtensionObject::from_message(EnumValueType {
                value,
                display_name: LocalizedText::new("", name),
                ..EnumValueType::default()
            }))
        };
        let states = |values: &[(i64, &str)]| {
            state_names(&array(VariantScalarTypeId::ExtensionObject, values.iter().map(|(value, name)| state(*value, name)).collect()))
        };
        assert_eq!(states(&[(3, "run"), (1, "stop")]), ["0", "stop", "2", "run"]);
        assert_eq!(states(&[(-1, "fault"), (0, "ok")]), Vec::<String>::new());
        assert_eq!(states(&[(1 << 40, "far")]), Vec::<String>::new());
        assert_eq!(state_names(&Variant::Double(1.0)), Vec::<String>::new());
    }

    #[test]
    fn every_built_in_type_has_a_tag_or_a_reason() {
        for number in 0..=29 {
            let known = KnownType { built_in: Some(number), ..KnownType::default() };
            match (number, known.mapping()) {
                (0 | 22 | 23 | 25, TypeMapping::None(why)) => assert!(!why.is_empty()),
                (24 | 26 | 27 | 28, TypeMapping::ByValue) | (29, TypeMapping::Tag(ValueType::State)) => {}
                (_, TypeMapping::Tag(found)) => assert_eq!(Some(found), value_type(number)),
                (_, other) => panic!("{number}: {other:?}"),
            }
        }
        assert!(matches!(KnownType::default().mapping(), TypeMapping::None(_)));
    }
}
