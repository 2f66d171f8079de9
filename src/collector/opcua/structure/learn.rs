//! What the structures of a server are made of, read at the beginning of each session: the attribute `DataTypeDefinition` of the data
//! types of the nodes that tags take fields or texts of, of the types of their fields, and of the types that their present values have.
//!
//! A value that comes later with another type, because its node allows subtypes, is asked for when it came.

use std::{collections::HashSet, sync::Arc, time::Duration};

use opcua::{
    client::Session,
    types::{AttributeId, BrowseDirection, DataValue, NodeId, ReadValueId, ReferenceTypeId, StatusCode, Variant},
};

use super::{
    known::{EXTENSION_OBJECT, KnownShape, KnownShapes, VARIANT, built_in},
    reader::{self, TakenForm},
    shape::StructureShape,
    types::{StructureTypes, structure_bytes},
};
use crate::{
    browse::{AddressSpace, known_types},
    fault::{ConnectionFault, End},
    item::OpcUaTag,
    read::{self, Facts},
    subscription::On,
    wire,
};
use historian_model::ValueType;

/// Attributes that are read of each data type.
const ATTRIBUTES: [AttributeId; 2] = [AttributeId::DataTypeDefinition, AttributeId::IsAbstract];
/// Levels of fields whose types are followed.
const LEVELS_MAX: usize = 32;
/// Times that the types of structures within present values are asked for.
const ROUNDS_MAX: usize = 8;
/// Longest text of a present value, which is looked at for its types alone.
const PROBE_BYTES_MAX: usize = 64 << 20;

/// Forgets what an earlier session told, and reads what the wanted items need.
///
/// # Errors
/// The server does not answer.
pub(crate) async fn begin(types: &StructureTypes, on: &On<'_>, facts: &Facts) -> Result<(), ConnectionFault> {
    let text_bytes_max = on.device.text_bytes_max;
    let nodes = nodes(on, facts);
    if nodes.is_empty() {
        types.set(KnownShapes::default(), text_bytes_max);
        return Ok(());
    }
    let asked: Vec<ReadValueId> = nodes.iter().map(|value| read::attribute(value.node_id.clone(), AttributeId::DataType)).collect();
    let data_types = read::values(on.session, &asked, facts.nodes_per_read, on.device.timeout).await?;
    let (mut wanted, mut values) = (HashSet::new(), Vec::new());
    for (data_type, value) in data_types.into_iter().zip(nodes) {
        let Some(Variant::NodeId(data_type)) = data_type.value else { continue };
        match built_in(&data_type) {
            Some(EXTENSION_OBJECT | VARIANT) => values.push(value),
            Some(_) => {}
            None => {
                wanted.insert(*data_type);
                values.push(value);
            }
        }
    }
    if values.is_empty() {
        types.set(KnownShapes::default(), text_bytes_max);
        return Ok(());
    }
    let mut student = TypeStudent::new(on.session, on.device.timeout, facts, KnownShapes::default()).await?;
    student.learn_types(wanted.into_iter().collect()).await?;
    // A request at a time: the values of all nodes together may be more than there is room for.
    for portion in values.chunks(facts.nodes_per_read.max(1)) {
        let values = read::values(on.session, portion, facts.nodes_per_read, on.device.timeout).await?;
        for _ in 0..ROUNDS_MAX {
            let unknown: HashSet<NodeId> = values.iter().filter_map(|value| unknown_encoding(value, &student.known)).collect();
            if unknown.is_empty() {
                break;
            }
            student.learn_encodings(unknown.into_iter().collect()).await?;
        }
    }
    types.set(student.known, text_bytes_max);
    Ok(())
}

/// Reads the types of structures that came and were not known; false where there are none.
///
/// # Errors
/// The server does not answer.
pub(crate) async fn go_on(types: &StructureTypes, on: &On<'_>, facts: &Facts) -> Result<bool, ConnectionFault> {
    let asked = types.asked();
    if asked.is_empty() {
        return Ok(false);
    }
    let mut student = TypeStudent::new(on.session, on.device.timeout, facts, types.known()).await?;
    student.learn_encodings(asked).await?;
    types.set(student.known, on.device.text_bytes_max);
    Ok(true)
}

/// Whether the values of a tag may have to be taken out of structures.
fn may_need(item: &OpcUaTag) -> bool {
    item.conversion.field.is_some() || item.definition.value_type == ValueType::String
}

/// The values that such tags take, each once.
fn nodes(on: &On<'_>, facts: &Facts) -> Vec<ReadValueId> {
    let mut seen = HashSet::new();
    let items = on.items.wanted().into_iter().map(|index| on.items.item(index)).filter(|item| may_need(item));
    items
        .filter_map(|item| Some((item.address.resolve_now(&facts.namespaces)?, item)))
        .filter(|(node, item)| seen.insert((node.clone(), item.index_text())))
        .map(|(node, item)| item.value_of(node))
        .collect()
}

/// The first encoding in a value that is not known.
fn unknown_encoding(value: &DataValue, known: &KnownShapes) -> Option<NodeId> {
    let object = match value.value.as_ref()? {
        // Of an element that was asked for.
        Variant::Array(array) if array.values.len() == 1 => structure_bytes(array.values.first()?),
        value => structure_bytes(value),
    }?;
    let form = TakenForm { as_text: true, text_bytes_max: PROBE_BYTES_MAX };
    reader::take(&object, known, &[], form).err()?.encoding
}

/// Asks a server for its types.
struct TypeStudent<'a> {
    space: AddressSpace<'a>,
    known: KnownShapes,
}

impl<'a> TypeStudent<'a> {
    async fn new(
        session: &'a Session,
        timeout: Duration,
        facts: &'a Facts,
        known: KnownShapes,
    ) -> Result<TypeStudent<'a>, ConnectionFault> {
        Ok(TypeStudent { space: AddressSpace::new(session, timeout, facts).await?, known })
    }

    /// Reads the definitions of these types, and of the types of their fields.
    async fn learn_types(&mut self, types: Vec<NodeId>) -> Result<(), ConnectionFault> {
        let mut open = types;
        for _ in 0..LEVELS_MAX {
            let mut seen = HashSet::new();
            open.retain(|data_type| !self.known.has_type(data_type) && seen.insert(data_type.clone()));
            // Those left out are told where they are met.
            open.truncate(self.known.room());
            if open.is_empty() {
                return Ok(());
            }
            let mut next = Vec::new();
            // A request at a time: of the definitions only what is kept is held.
            let portion = (self.space.facts.nodes_per_read / ATTRIBUTES.len()).max(1);
            for types in open.chunks(portion) {
                next.extend(self.define(types).await?);
            }
            open = next;
        }
        Ok(())
    }

    /// Reads the definitions of these types; answers the types of their fields.
    async fn define(&mut self, types: &[NodeId]) -> Result<Vec<NodeId>, ConnectionFault> {
        let of = |data_type: &NodeId| ATTRIBUTES.map(|attribute| read::attribute(data_type.clone(), attribute));
        let asked: Vec<ReadValueId> = types.iter().flat_map(of).collect();
        let (session, per_read, timeout) = (self.space.session, self.space.facts.nodes_per_read, self.space.timeout);
        let told = read::values(session, &asked, per_read, timeout).await?;
        let (mut fields, mut others) = (Vec::new(), Vec::new());
        for (data_type, told) in types.iter().cloned().zip(told.chunks(ATTRIBUTES.len())) {
            let [definition, is_abstract] = told else { continue };
            let is_abstract = matches!(is_abstract.value, Some(Variant::Boolean(true)));
            let why = match shape(definition) {
                // Every value of it is of a subtype, and says of which.
                Ok(Some(_)) if is_abstract => {
                    self.known.add_type(data_type, KnownShape::BuiltIn(EXTENSION_OBJECT));
                    continue;
                }
                Ok(Some((shape, bytes))) => match self.known.reserve(bytes) {
                    Ok(()) => {
                        fields.extend(shape.fields.iter().map(|field| field.data_type.clone()));
                        self.known.add_type(data_type, KnownShape::Structure(Arc::new(shape)));
                        continue;
                    }
                    Err(why) => why,
                },
                Ok(None) => {
                    others.push((data_type, definition.status, is_abstract));
                    continue;
                }
                Err(why) => why,
            };
            let why = format!("the DataTypeDefinition of the data type {data_type} cannot be read: {why}");
            self.known.add_type(data_type, KnownShape::Untold(why.into()));
        }
        self.learn_bases(others).await?;
        Ok(fields)
    }

    /// Finds out what the types are that are no structures, or do not say of what.
    async fn learn_bases(&mut self, types: Vec<(NodeId, Option<StatusCode>, bool)>) -> Result<(), ConnectionFault> {
        if types.is_empty() {
            return Ok(());
        }
        let nodes: Vec<NodeId> = types.iter().map(|(data_type, ..)| data_type.clone()).collect();
        let found = match known_types(&mut self.space, &nodes).await {
            Ok(found) => found,
            Err(fault) => {
                let why: Arc<str> = bearable(fault)?.into();
                for data_type in nodes {
                    self.known.add_type(data_type, KnownShape::Untold(why.clone()));
                }
                return Ok(());
            }
        };
        for (data_type, status, is_abstract) in types {
            let known = found.get(&data_type);
            let base = known.and_then(|known| built_in(&NodeId::new(0, known.built_in?)));
            let name = known.map_or("", |known| known.name.as_str());
            let shape = match base {
                Some(EXTENSION_OBJECT) if !is_abstract => {
                    let status = status.filter(StatusCode::is_bad).map(|status| format!(" ({status})")).unwrap_or_default();
                    KnownShape::Untold(
                        format!(
                            "the server does not say what the structure {name} ({data_type}) is made of: its data type has no \
                             DataTypeDefinition attribute{status}; the type dictionaries of OPC UA 1.03 and before are not read"
                        )
                        .into(),
                    )
                }
                Some(number) => KnownShape::BuiltIn(number),
                None => KnownShape::Untold(format!("the server does not say what the data type {name} ({data_type}) is").into()),
            };
            self.known.add_type(data_type, shape);
        }
        Ok(())
    }

    /// Finds the data types of these encodings, and reads their definitions.
    async fn learn_encodings(&mut self, encodings: Vec<NodeId>) -> Result<(), ConnectionFault> {
        let found = match self.space.references(&encodings, BrowseDirection::Inverse, ReferenceTypeId::HasEncoding).await {
            Ok(found) => found,
            Err(fault) => {
                let why: Arc<str> = bearable(fault)?.into();
                for encoding in encodings {
                    self.known.add_encoding(encoding, Err(why.clone()));
                }
                return Ok(());
            }
        };
        let mut types = Vec::new();
        for (encoding, references) in encodings.into_iter().zip(found) {
            let data_type = match references {
                Ok(references) => references
                    .iter()
                    .find_map(|reference| self.space.local(&reference.node_id))
                    .ok_or_else(|| format!("the server does not say of which data type the encoding {encoding} is")),
                Err(status) => Err(format!("the server does not say of which data type the encoding {encoding} is: {status}")),
            };
            types.extend(data_type.as_ref().ok().cloned());
            self.known.add_encoding(encoding, data_type.map_err(Arc::from));
        }
        self.learn_types(types).await
    }
}

/// What the answer for the attribute `DataTypeDefinition` tells, and how many bytes it has; `None` where it is no structure, or the server has no such
/// attribute.
fn shape(definition: &DataValue) -> Result<Option<(StructureShape, usize)>, String> {
    let object = match &definition.value {
        Some(Variant::ExtensionObject(object)) => wire::raw_structure(object),
        _ => None,
    };
    let Some(bytes) = object else { return Ok(None) };
    match StructureShape::of(bytes) {
        Ok(shape) => Ok(shape.map(|shape| (shape, bytes.len()))),
        Err(wire::walk::MalformedMessage(why)) => Err(why.to_owned()),
    }
}

/// What the server refuses is no reason to give up a session in which all else may be well.
fn bearable(fault: ConnectionFault) -> Result<String, ConnectionFault> {
    if fault.timeout || fault.end != End::Unknown { Err(fault) } else { Ok(fault.message) }
}
