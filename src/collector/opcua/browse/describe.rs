//! What a server says of its variables: type, array, unit, range, description, access. Elements of a short array become variables of their own.

use std::collections::HashMap;

use opcua::types::{AttributeId, DataValue, EUInformation, NodeId, Range, StatusCode, Variant};

use super::{
    data_type::{self, KnownType, TypeMapping},
    walk::{AddressSpace, FoundVariable, RANGE, STATE_NAMES, STATES, UNIT},
};
use crate::{address::NodeAddress, fault::ConnectionFault, read};
use historian_collector::{BrowsedVariable, browse::element_path};
use historian_model::ValueType;

/// Attributes that are read of each variable.
const ATTRIBUTES: [AttributeId; 6] = [
    AttributeId::DataType,
    AttributeId::ValueRank,
    AttributeId::ArrayDimensions,
    AttributeId::AccessLevel,
    AttributeId::UserAccessLevel,
    AttributeId::Description,
];
/// Variables read at a time: bounds what waits in memory.
const VARIABLES_AT_ONCE: usize = 2_000;
/// Elements of an array that become tags.
const ELEMENTS_MAX: u32 = 64;
const CURRENT_READ: u8 = 1;
const CURRENT_WRITE: u8 = 2;

/// What is said of each of these variables, in their order.
///
/// # Errors
/// The server does not answer.
pub async fn variables(space: &mut AddressSpace<'_>, found: &[FoundVariable]) -> Result<Vec<BrowsedVariable>, ConnectionFault> {
    let mut described = Vec::with_capacity(found.len());
    let mut types: HashMap<NodeId, KnownType> = HashMap::new();
    for found in found.chunks(VARIABLES_AT_ONCE) {
        let facts = facts(space, found).await?;
        let new: Vec<NodeId> = facts.iter().filter_map(|facts| facts.data_type.clone()).filter(|node| !types.contains_key(node)).collect();
        types.extend(data_type::known_types(space, &new).await?);
        let values = values(space, found, &facts, &types).await?;
        for ((found, facts), value) in found.iter().zip(&facts).zip(values) {
            let known = facts.data_type.as_ref().and_then(|node| types.get(node)).cloned().unwrap_or_default();
            describe(space, found, facts, &known, value, &mut described);
        }
    }
    Ok(described)
}

/// Attributes and properties of one variable.
#[derive(Default)]
struct VariableFacts {
    data_type: Option<NodeId>,
    /// -1 for a single value, -2 and -3 for one that may be an array, from 0 on an array.
    rank: i32,
    dimensions: Vec<u32>,
    access: u8,
    description: String,
    unit: String,
    range: Option<(f64, f64)>,
    states: Vec<String>,
    /// Status with which the attributes are refused.
    refused: Option<StatusCode>,
}

async fn facts(space: &AddressSpace<'_>, found: &[FoundVariable]) -> Result<Vec<VariableFacts>, ConnectionFault> {
    let per_read = space.facts.nodes_per_read;
    let asked: Vec<_> = found.iter().flat_map(|found| ATTRIBUTES.map(|attribute| read::attribute(found.node.clone(), attribute))).collect();
    let attributes = read::values(space.session, &asked, per_read, space.timeout).await?;
    let mut all: Vec<VariableFacts> = attributes.chunks(ATTRIBUTES.len()).map(of_attributes).collect();
    let properties: Vec<(usize, &str, &NodeId)> = found
        .iter()
        .enumerate()
        .flat_map(|(index, found)| found.properties.iter().map(move |(name, node)| (index, name.as_str(), node)))
        .collect();
    let asked: Vec<_> = properties.iter().map(|(_, _, node)| read::attribute((*node).clone(), AttributeId::Value)).collect();
    let values = read::values(space.session, &asked, per_read, space.timeout).await?;
    for ((index, name, _), value) in properties.into_iter().zip(values) {
        let (Some(facts), Some(value)) = (all.get_mut(index), value.value) else { continue };
        let structure = if let Variant::ExtensionObject(object) = &value { Some(object) } else { None };
        match name {
            UNIT => {
                let unit = structure.and_then(|object| object.inner_as::<EUInformation>());
                facts.unit = unit.map(|unit| unit.display_name.text.as_ref().to_owned()).unwrap_or_default();
            }
            RANGE => {
                let range = structure.and_then(|object| object.inner_as::<Range>()).map(|range| (range.low, range.high));
                facts.range = range.filter(|(low, high)| low.is_finite() && high.is_finite() && low < high);
            }
            STATE_NAMES | STATES => facts.states = data_type::state_names(&value),
            _ => {}
        }
    }
    Ok(all)
}

fn of_attributes(values: &[DataValue]) -> VariableFacts {
    let mut facts = VariableFacts { rank: -1, ..VariableFacts::default() };
    let mut user_access = None;
    for (attribute, data) in ATTRIBUTES.iter().zip(values) {
        match (attribute, &data.value) {
            (AttributeId::DataType, Some(Variant::NodeId(node))) => facts.data_type = Some((**node).clone()),
            (AttributeId::DataType, _) => facts.refused = data.status.filter(StatusCode::is_bad),
            (AttributeId::ValueRank, Some(Variant::Int32(rank))) => facts.rank = *rank,
            (AttributeId::ArrayDimensions, Some(Variant::Array(array))) => {
                let length = |value: &Variant| if let Variant::UInt32(length) = value { *length } else { 0 };
                facts.dimensions = array.values.iter().map(length).collect();
            }
            (AttributeId::AccessLevel, Some(Variant::Byte(access))) => facts.access = *access,
            (AttributeId::UserAccessLevel, Some(Variant::Byte(access))) => user_access = Some(*access),
            (AttributeId::Description, Some(Variant::LocalizedText(text))) => text.text.as_ref().clone_into(&mut facts.description),
            _ => {}
        }
    }
    facts.access &= user_access.unwrap_or(u8::MAX);
    facts
}

/// Values of the variables whose type or rank does not tell enough; `None` for the others.
async fn values(
    space: &AddressSpace<'_>,
    found: &[FoundVariable],
    facts: &[VariableFacts],
    types: &HashMap<NodeId, KnownType>,
) -> Result<Vec<Option<DataValue>>, ConnectionFault> {
    let unclear = |facts: &VariableFacts| {
        let mapping = facts.data_type.as_ref().and_then(|node| types.get(node)).map(KnownType::mapping);
        facts.access & CURRENT_READ != 0 && (mapping == Some(TypeMapping::ByValue) || facts.rank < -1)
    };
    let asked: Vec<usize> = (0..found.len()).filter(|index| unclear(&facts[*index])).collect();
    let nodes: Vec<_> = asked.iter().map(|index| read::attribute(found[*index].node.clone(), AttributeId::Value)).collect();
    let read = read::values(space.session, &nodes, space.facts.nodes_per_read, space.timeout).await?;
    let mut values: Vec<Option<DataValue>> = found.iter().map(|_| None).collect();
    for (index, value) in asked.into_iter().zip(read) {
        values[index] = Some(value);
    }
    Ok(values)
}

/// Adds one variable, or one for each element of its array.
fn describe(
    space: &AddressSpace<'_>,
    found: &FoundVariable,
    facts: &VariableFacts,
    known: &KnownType,
    value: Option<DataValue>,
    all: &mut Vec<BrowsedVariable>,
) {
    let address = NodeAddress::of(&found.node, &space.facts.namespaces).map(|address| address.to_string());
    let written = address.as_ref().is_some_and(|text| text.trim() == text && NodeAddress::parse(text).is_ok());
    let value = value.and_then(|data| data.value);
    let (by_value, is_array_now) = value.as_ref().map_or((None, false), data_type::type_of);
    let mut variable = BrowsedVariable {
        path: found.path.clone(),
        address: address.unwrap_or_else(|| found.node.to_string()),
        data_type: known.name.clone(),
        unit: facts.unit.clone(),
        description: facts.description.clone(),
        range: facts.range,
        writable: facts.access & CURRENT_WRITE != 0,
        ..BrowsedVariable::default()
    };
    let mapping = match known.mapping() {
        TypeMapping::ByValue => match by_value.and_then(data_type::value_type) {
            Some(value_type) => TypeMapping::Tag(value_type),
            None => TypeMapping::None("its type is known only by a value, and it has none now that a tag can hold"),
        },
        mapping => mapping,
    };
    let is_array = facts.rank >= 0 || facts.rank < -1 && is_array_now;
    if is_array {
        variable.dimensions = if facts.dimensions.is_empty() { vec![0] } else { facts.dimensions.clone() };
    }
    let elements = elements(&variable.dimensions);
    variable.left_out = match (facts.refused, mapping) {
        (Some(status), _) => format!("its attributes cannot be read: {status}"),
        _ if facts.access & CURRENT_READ == 0 => "the server does not let this user read it".to_owned(),
        _ if !written => "its node id cannot be written as an address".to_owned(),
        (None, TypeMapping::None(why)) => why.to_owned(),
        (None, TypeMapping::Tag(_)) if is_array && elements.is_empty() => {
            format!("an array that has no fixed length, or more than {ELEMENTS_MAX} elements; take elements of it with index_range")
        }
        _ => String::new(),
    };
    if let (TypeMapping::Tag(value_type), true) = (mapping, variable.left_out.is_empty()) {
        // Numbers with names are states, whatever type holds them.
        let states = if facts.states.is_empty() { &known.states } else { &facts.states };
        let has_states = matches!(value_type, ValueType::State | ValueType::I64 | ValueType::U64) && !states.is_empty();
        variable.value_type = Some(if has_states { ValueType::State } else { value_type });
        if has_states {
            variable.state_set.clone_from(states);
        }
        if value_type == ValueType::I64 && by_value.or(known.built_in) == Some(13) {
            "ns".clone_into(&mut variable.unit);
        }
    }
    if !is_array || !variable.left_out.is_empty() {
        all.push(variable);
        return;
    }
    for index in elements {
        let path = format!("{}{}", variable.path, element_path(&index));
        all.push(BrowsedVariable { path, keys: vec![("index_range", index)], ..variable.clone() });
    }
}

/// The indexes of all elements of a short array, in their order.
fn elements(dimensions: &[u32]) -> Vec<String> {
    let count = dimensions.iter().try_fold(1_u32, |count, length| count.checked_mul(*length)).unwrap_or(u32::MAX);
    if dimensions.is_empty() || count == 0 || count > ELEMENTS_MAX {
        return Vec::new();
    }
    let mut indexes = vec![String::new()];
    for length in dimensions {
        indexes = indexes
            .iter()
            .flat_map(|before| {
                (0..*length).map(move |index| if before.is_empty() { index.to_string() } else { format!("{before},{index}") })
            })
            .collect();
    }
    indexes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_short_arrays_are_counted_in_their_order() {
        assert_eq!(elements(&[3]), ["0", "1", "2"]);
        assert_eq!(elements(&[2, 2]), ["0,0", "0,1", "1,0", "1,1"]);
        for none in [&[][..], &[0], &[65], &[2, 0], &[u32::MAX, u32::MAX]] {
            assert_eq!(elements(none), Vec::<String>::new());
        }
    }
}
