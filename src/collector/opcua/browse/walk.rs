//! The way through an address space: from Objects along hierarchical references, level by level, each node once.
//!
//! A server may have loops, endless answers, limits that it does not tell, and millions of nodes. So every node is entered once, answers are
//! taken in parts (continuation points; a node for which the server has none left is asked for again alone), requests shrink where they are refused,
//! and the walk stops at a number of nodes and at a time, and says so.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use opcua::{
    client::{
        Session, UARequest,
        services::{Browse, BrowseNext},
    },
    types::{
        BrowseDescription, BrowseDirection, BrowseResult, ExpandedNodeId, NodeClass, NodeClassMask, NodeId, ObjectId, ReferenceDescription,
        ReferenceTypeId, StatusCode, VariableId,
    },
};

use crate::{
    fault::{ConnectionFault, within},
    path_filter::PathFilter,
    read::{self, Facts},
};

/// Nodes asked for in one request, where the server allows more or says nothing.
const NODES_PER_BROWSE: usize = 100;
/// References that the server may put into one answer for one node.
const REFERENCES_PER_ANSWER: u32 = 1_000;
/// References taken of one node.
const REFERENCES_MAX: usize = 200_000;
/// Answers taken for one node, some of which may be empty.
const ANSWERS_MAX: usize = 10_000;
/// Nodes entered in one walk.
const NODES_MAX: usize = 2_000_000;
/// Properties of a variable that are kept.
const PROPERTIES: [&str; 4] = [UNIT, RANGE, STATE_NAMES, STATES];
pub const UNIT: &str = "EngineeringUnits";
pub const RANGE: &str = "EURange";
/// Names from 0.
pub const STATE_NAMES: &str = "EnumStrings";
/// Numbers with their names.
pub const STATES: &str = "EnumValues";
/// Paths that are kept of a variable beside the first.
const OTHER_PATHS_MAX: usize = 16;
/// Levels below Objects.
const DEPTH_MAX: usize = 64;
/// Fields of a reference that are asked for: type, direction, class, browse name.
const RESULT_MASK: u32 = 0x0f;

/// A variable on a wanted path.
pub struct FoundVariable {
    pub node: NodeId,
    pub path: String,
    /// Other wanted paths that lead to it.
    pub other_paths: Vec<String>,
    /// Nodes of its properties by their names.
    pub properties: Vec<(String, NodeId)>,
}

/// Where a walk came to.
#[derive(Default)]
pub struct FoundVariables {
    pub variables: Vec<FoundVariable>,
    pub notes: Vec<String>,
    /// Every way that leads to a wanted path was gone.
    pub complete: bool,
    /// A bound was reached: of the last variables less is known.
    pub stopped: bool,
}

/// A node that is to be entered.
struct EntryPlace {
    node: NodeId,
    path: String,
    depth: usize,
    /// Of the variable, where it is one on a wanted path.
    variable: Option<usize>,
}

/// The address space of one session.
pub struct AddressSpace<'a> {
    pub session: &'a Session,
    pub timeout: Duration,
    pub facts: &'a Facts,
    per_browse: usize,
}

impl<'a> AddressSpace<'a> {
    pub async fn new(session: &'a Session, timeout: Duration, facts: &'a Facts) -> Result<AddressSpace<'a>, ConnectionFault> {
        let limit = VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse;
        let per_browse = read::operation_limit(session, limit, NODES_PER_BROWSE, timeout).await?;
        Ok(AddressSpace { session, timeout, facts, per_browse })
    }

    /// Variables on wanted paths, at most `variables_max`, found until a time.
    ///
    /// # Errors
    /// The server does not answer, or refuses a request as a whole.
    pub async fn walk(&mut self, filter: &PathFilter, variables_max: usize, until: Instant) -> Result<FoundVariables, ConnectionFault> {
        let mut found = FoundVariables::default();
        let objects = NodeId::from(ObjectId::ObjectsFolder);
        let mut seen = HashSet::from([objects.clone()]);
        let mut listed: HashMap<NodeId, usize> = HashMap::new();
        let mut level = vec![EntryPlace { node: objects, path: String::new(), depth: 0, variable: None }];
        let (mut elsewhere, mut refused, mut first_refused) = (0_usize, 0_usize, String::new());
        while !level.is_empty() {
            let mut next = Vec::new();
            for places in std::mem::take(&mut level).chunks(NODES_PER_BROWSE) {
                if Instant::now() >= until {
                    found.stopped = true;
                    found
                        .notes
                        .push(format!("stopped after {} nodes: the time is over; name fewer by the glob, or give more time", seen.len()));
                    return Ok(found);
                }
                let nodes: Vec<NodeId> = places.iter().map(|place| place.node.clone()).collect();
                let references = self.references(&nodes, BrowseDirection::Forward, ReferenceTypeId::HierarchicalReferences).await?;
                for (place, references) in places.iter().zip(references) {
                    let references = match references {
                        Ok(references) => references,
                        Err(status) => {
                            refused += 1;
                            if first_refused.is_empty() {
                                first_refused = format!("{:?}: {status}", place.path);
                            }
                            continue;
                        }
                    };
                    for reference in references {
                        let Some(node) = self.local(&reference.node_id) else {
                            elsewhere += 1;
                            continue;
                        };
                        // A level of a path is one name.
                        let name = reference.browse_name.name.as_ref().replace('/', "_");
                        if reference.reference_type_id == ReferenceTypeId::HasProperty {
                            if let Some(variable) = place.variable.and_then(|index| found.variables.get_mut(index))
                                && PROPERTIES.contains(&name.as_str())
                            {
                                variable.properties.push((name, node));
                            }
                            continue;
                        }
                        let is_variable = reference.node_class == NodeClass::Variable;
                        let is_server = node == ObjectId::Server && !filter.has_server();
                        if is_server || !(is_variable || reference.node_class == NodeClass::Object) {
                            continue;
                        }
                        let path = if place.path.is_empty() { name.clone() } else { format!("{}/{name}", place.path) };
                        let wanted = is_variable && filter.wants(&path);
                        let leads_on = place.depth < DEPTH_MAX && filter.leads_on(place.depth, &name);
                        // On another path it may be entered already, and wanted on this one alone.
                        let is_new = (wanted || leads_on) && seen.insert(node.clone());
                        let before = listed.get(&node).copied();
                        let is_listed = wanted && before.is_none();
                        if wanted
                            && let Some(variable) = before.and_then(|index| found.variables.get_mut(index))
                            && variable.other_paths.len() < OTHER_PATHS_MAX
                        {
                            variable.other_paths.push(path.clone());
                        }
                        if !(is_new || is_listed) {
                            continue;
                        }
                        if seen.len() > NODES_MAX || is_listed && found.variables.len() == variables_max {
                            found.stopped = true;
                            found.notes.push(format!(
                                "stopped after {} nodes with {} variables; name fewer by the glob. The last ones are without unit and range",
                                seen.len(),
                                found.variables.len()
                            ));
                            return Ok(found);
                        }
                        let variable = is_listed.then(|| {
                            listed.insert(node.clone(), found.variables.len());
                            let (node, path) = (node.clone(), path.clone());
                            found.variables.push(FoundVariable { node, path, other_paths: Vec::new(), properties: Vec::new() });
                            found.variables.len() - 1
                        });
                        next.push(EntryPlace { node, path, depth: place.depth + 1, variable });
                    }
                }
            }
            level = next;
        }
        if elsewhere > 0 {
            found.notes.push(format!("{elsewhere} references lead to other servers or to namespaces that the server does not have"));
        }
        if refused > 0 {
            found.notes.push(format!("{refused} nodes cannot be browsed, first {first_refused}"));
        }
        found.complete = refused == 0;
        Ok(found)
    }

    /// The node in this server.
    pub fn local(&self, node: &ExpandedNodeId) -> Option<NodeId> {
        if node.server_index != 0 {
            return None;
        }
        if node.namespace_uri.is_empty() {
            return Some(node.node_id.clone());
        }
        let index = self.facts.namespaces.iter().position(|uri| uri == node.namespace_uri.as_ref())?;
        Some(NodeId { namespace: u16::try_from(index).ok()?, identifier: node.node_id.identifier.clone() })
    }

    /// References of each node in its order, or the status with which the server refuses it.
    ///
    /// # Errors
    /// The server does not answer, or refuses a request as a whole.
    pub async fn references(
        &mut self,
        nodes: &[NodeId],
        direction: BrowseDirection,
        kind: ReferenceTypeId,
    ) -> Result<Vec<Result<Vec<ReferenceDescription>, StatusCode>>, ConnectionFault> {
        let what = "Browse";
        let mut found = Vec::with_capacity(nodes.len());
        let mut again = Vec::new();
        while found.len() < nodes.len() {
            let asked = &nodes[found.len()..nodes.len().min(found.len() + self.per_browse.max(1))];
            let results = match self.browse(asked, direction, kind).await? {
                Ok(results) if results.len() == asked.len() => results,
                Ok(results) => {
                    return Err(ConnectionFault::new(format!("{what}: {} results came for {} nodes", results.len(), asked.len())));
                }
                Err(status) if read::divides(status) && asked.len() > 1 => {
                    self.per_browse = asked.len().div_ceil(2);
                    continue;
                }
                Err(status) if read::divides(status) => {
                    found.push(Err(status));
                    continue;
                }
                Err(status) => return Err(ConnectionFault::status(what, status, "")),
            };
            let alone = results.len() == 1;
            for result in results {
                if result.status_code == StatusCode::BadNoContinuationPoints && !alone {
                    again.push(found.len());
                }
                found.push(self.whole(result).await?);
            }
        }
        // Alone they need no more than one continuation point.
        for index in again {
            if let Ok(results) = self.browse(std::slice::from_ref(&nodes[index]), direction, kind).await?
                && let Some(result) = results.into_iter().next()
            {
                found[index] = self.whole(result).await?;
            }
        }
        Ok(found)
    }

    async fn browse(
        &self,
        nodes: &[NodeId],
        direction: BrowseDirection,
        kind: ReferenceTypeId,
    ) -> Result<Result<Vec<BrowseResult>, StatusCode>, ConnectionFault> {
        let asked = |node: &NodeId| BrowseDescription {
            node_id: node.clone(),
            browse_direction: direction,
            reference_type_id: kind.into(),
            include_subtypes: true,
            node_class_mask: if direction == BrowseDirection::Forward {
                (NodeClassMask::OBJECT | NodeClassMask::VARIABLE).bits()
            } else {
                0
            },
            result_mask: RESULT_MASK,
        };
        let request =
            Browse::new(self.session).max_references_per_node(REFERENCES_PER_ANSWER).nodes_to_browse(nodes.iter().map(asked).collect());
        Ok(match within(self.timeout, "Browse", request.send(self.session.channel())).await? {
            Ok(answer) => Ok(answer.results.unwrap_or_default()),
            Err(error) => Err(error.status()),
        })
    }

    /// A result with all that its continuation points lead to.
    async fn whole(&self, result: BrowseResult) -> Result<Result<Vec<ReferenceDescription>, StatusCode>, ConnectionFault> {
        if result.status_code.is_bad() {
            return Ok(Err(result.status_code));
        }
        let mut references = result.references.unwrap_or_default();
        let mut point = result.continuation_point;
        let mut answers = 1;
        while !point.is_null_or_empty() {
            answers += 1;
            let is_last = references.len() >= REFERENCES_MAX || answers > ANSWERS_MAX;
            let request = BrowseNext::new(self.session).continuation_point(point).release_continuation_points(is_last);
            let answer = within(self.timeout, "BrowseNext", request.send(self.session.channel())).await?;
            if is_last {
                return Ok(Err(StatusCode::BadEncodingLimitsExceeded));
            }
            let result = match answer {
                Ok(answer) => answer.results.unwrap_or_default().into_iter().next(),
                Err(error) => return Ok(Err(error.status())),
            };
            let Some(result) = result else { return Ok(Err(StatusCode::BadUnexpectedError)) };
            if result.status_code.is_bad() {
                return Ok(Err(result.status_code));
            }
            references.extend(result.references.unwrap_or_default());
            point = result.continuation_point;
        }
        Ok(Ok(references))
    }
}
