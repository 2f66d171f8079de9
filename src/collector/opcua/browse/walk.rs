//! The way through an address space: from Objects along hierarchical references, level by level, each node once.
//!
//! A server may have loops, endless answers, limits that it does not tell, and millions of nodes. So every node is entered once, answers are
//! taken in parts (continuation points; a node for which the server has none left is asked for again alone), requests shrink where they are refused,
//! and the walk stops at a number of nodes and at a time, and says so.

use std::{
    collections::HashSet,
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
    read::{self, Facts},
};
use historian_model::TagSelection;

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
/// Levels below Objects.
const DEPTH_MAX: usize = 64;
/// Fields of a reference that are asked for: type, direction, class, browse name.
const RESULT_MASK: u32 = 0x0f;

/// Which paths are wanted, and which ways lead to them.
pub struct PathFilter {
    paths: TagSelection,
    /// Of the levels that stand for one level each.
    levels: Vec<TagSelection>,
    /// No path has more levels than `levels`.
    is_deep: bool,
    /// The server's own object is asked for by name.
    has_server: bool,
}

impl PathFilter {
    pub fn all() -> PathFilter {
        PathFilter { paths: TagSelection::all(), levels: Vec::new(), is_deep: true, has_server: false }
    }

    /// Reads a glob over paths below Objects; `Objects/` in front may be written.
    ///
    /// # Errors
    /// It is no glob.
    pub fn parse(glob: &str) -> Result<PathFilter, String> {
        let glob = glob.strip_prefix("Objects/").unwrap_or(glob);
        let parse = |glob: &str| TagSelection::parse(&[glob]).map_err(|error| error.to_string());
        let paths = parse(glob)?;
        let mut levels = Vec::new();
        let mut is_deep = false;
        for level in glob.split('/') {
            // Alternatives may go over several levels.
            if level.contains("**") || glob.contains('{') {
                is_deep = true;
                break;
            }
            levels.push(parse(level)?);
        }
        Ok(PathFilter { paths, levels, is_deep, has_server: glob.starts_with("Server") })
    }

    fn wants(&self, path: &str) -> bool {
        self.paths.matches(path)
    }

    /// Whether a wanted path may begin with this one, whose last level is `name`.
    fn leads_on(&self, depth: usize, name: &str) -> bool {
        self.levels.get(depth).map_or(self.is_deep, |level| level.matches(name))
    }
}

/// A variable on a wanted path.
pub struct FoundVariable {
    pub node: NodeId,
    pub path: String,
    /// Nodes of its properties by their names.
    pub properties: Vec<(String, NodeId)>,
}

/// Where a walk came to.
#[derive(Default)]
pub struct FoundVariables {
    pub variables: Vec<FoundVariable>,
    pub notes: Vec<String>,
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
        let mut listed = HashSet::new();
        let mut level = vec![EntryPlace { node: objects, path: String::new(), depth: 0, variable: None }];
        let (mut elsewhere, mut refused, mut first_refused) = (0_usize, 0_usize, String::new());
        while !level.is_empty() {
            let mut next = Vec::new();
            for places in std::mem::take(&mut level).chunks(NODES_PER_BROWSE) {
                if Instant::now() >= until {
                    found
                        .notes
                        .push(format!("stopped after {} nodes: the time is over; name fewer by --glob, or give more time", seen.len()));
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
                        let is_server = node == ObjectId::Server && !filter.has_server;
                        if is_server || !(is_variable || reference.node_class == NodeClass::Object) {
                            continue;
                        }
                        let path = if place.path.is_empty() { name.clone() } else { format!("{}/{name}", place.path) };
                        let wanted = is_variable && filter.wants(&path);
                        let leads_on = place.depth < DEPTH_MAX && filter.leads_on(place.depth, &name);
                        // On another path it may be entered already, and wanted on this one alone.
                        let is_new = (wanted || leads_on) && seen.insert(node.clone());
                        let is_listed = wanted && listed.insert(node.clone());
                        if !(is_new || is_listed) {
                            continue;
                        }
                        if seen.len() > NODES_MAX || is_listed && found.variables.len() == variables_max {
                            found.notes.push(format!(
                                "stopped after {} nodes with {} variables; name fewer by --glob. The last ones are without unit and range",
                                seen.len(),
                                found.variables.len()
                            ));
                            return Ok(found);
                        }
                        let variable = is_listed.then(|| {
                            found.variables.push(FoundVariable { node: node.clone(), path: path.clone(), properties: Vec::new() });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ways_that_lead_to_a_wanted_path_are_gone() {
        for (glob, path, wanted, leads_on) in [
            ("Boiler*/**", "Boiler1", false, true),
            ("Boiler*/**", "Pump1", false, false),
            ("Boiler*/**", "Boiler1/Sensors/T", true, true),
            ("Objects/Boiler1/*", "Boiler1/T", true, true),
            ("Boiler1/*", "Boiler1/Sensors/T", false, false),
            ("Boiler1/T", "Boiler1/T", true, true),
            ("{Boiler1/T,Pump}", "Pump", true, true),
            ("{Boiler1/T,Pump}", "Boiler1", false, true),
            ("**", "Anything/at/all", true, true),
        ] {
            let filter = PathFilter::parse(glob).unwrap();
            let names: Vec<&str> = path.split('/').collect();
            let leads = names.iter().enumerate().all(|(depth, name)| filter.leads_on(depth, name));
            assert_eq!((filter.wants(path), leads), (wanted, leads_on), "{glob} and {path}");
        }
        assert!(PathFilter::parse("[").is_err());
        assert!(PathFilter::parse("Server/**").unwrap().has_server && !PathFilter::all().has_server);
    }
}
