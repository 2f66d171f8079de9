//! What the globs of a device find in its server: each variable once, with the glob that takes it and where it is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use opcua::{
    client::Session,
    types::{AttributeId, StatusCode, Variant},
};

use super::{describe, walk::AddressSpace};
use crate::{address::NodeAddress, fault::ConnectionFault, found_address::FoundAddress, glob::GlobRule, path_filter::PathFilter, read};
use historian_collector::{BrowsedVariable, browse::element_path};

/// Variables taken in one scan.
const VARIABLES_MAX: usize = 200_000;
/// Paths that a summary names of each kind.
const NAMED: usize = 3;

/// What was found.
#[derive(Default)]
pub struct GlobScan {
    /// Variables that can be tags, in the order of the server.
    pub found: Vec<ScannedVariable>,
    /// Paths of the others, and why.
    pub untaken: Vec<(String, String)>,
    /// Paths of variables whose tags cannot have a filter of their glob, and why.
    pub unfiltered: Vec<(String, String)>,
    /// What was not looked at, and why.
    pub notes: Vec<String>,
    /// What was not found is not there.
    pub complete: bool,
    /// A bound was reached: of some variables not all is known.
    pub stopped: bool,
}

/// A variable, or an element of an array, that can be a tag.
pub struct ScannedVariable {
    /// Each way that leads to it and that a glob wants, the shortest first; all with the same node.
    pub places: Vec<FoundAddress>,
    pub variable: BrowsedVariable,
}

impl GlobScan {
    /// What there is to say: the variables without a tag or a filter by what they have in common, in a sentence each, and what was not looked at.
    pub fn in_words(&self) -> Vec<String> {
        let mut told = by_reason("no tag of", &self.untaken);
        told.extend(by_reason("no such filter of", &self.unfiltered));
        told.extend(self.notes.iter().cloned());
        told
    }
}

fn by_reason(what: &str, variables: &[(String, String)]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, why) in variables {
        by_reason.entry(why).or_default().push(path);
    }
    by_reason.into_iter().map(|(why, paths)| format!("{what} {}: {why}", named(&paths))).collect()
}

/// The first of some names, and how many there are.
fn named(names: &[&str]) -> String {
    let first = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        count if count > NAMED => format!("{count} variables, first {first}"),
        _ => first,
    }
}

/// Browses the server for all that the globs want, until a time.
///
/// # Errors
/// The server does not answer, or refuses a request as a whole.
pub async fn scan(session: &Session, rules: &[GlobRule], timeout: Duration, until: Instant) -> Result<GlobScan, ConnectionFault> {
    let facts = read::facts(session, timeout).await?;
    let mut space = AddressSpace::new(session, timeout, &facts).await?;
    let filter = PathFilter::any(rules.iter().map(|rule| &rule.filter));
    let walked = space.walk(&filter, VARIABLES_MAX, until).await?;
    let described = describe::variables(&mut space, &walked.variables).await?;
    let other_paths: HashMap<String, &[String]> = walked
        .variables
        .iter()
        .filter(|variable| !variable.other_paths.is_empty())
        .filter_map(|variable| Some((NodeAddress::of(&variable.node, &facts.namespaces)?.to_string(), &variable.other_paths[..])))
        .collect();
    let mut scan = GlobScan { notes: walked.notes, complete: walked.complete, stopped: walked.stopped, ..GlobScan::default() };
    for variable in described {
        if !variable.left_out.is_empty() {
            scan.untaken.push((variable.path, variable.left_out));
            continue;
        }
        let Ok(node) = NodeAddress::parse(&variable.address) else {
            scan.untaken.push((variable.path, "its node id cannot be written as an address".to_owned()));
            continue;
        };
        let index = variable.keys.iter().find(|(key, _)| *key == "index_range").map(|(_, index)| index.clone());
        let element = index.as_deref().map(element_path).unwrap_or_default();
        let path = variable.path.strip_suffix(&element).unwrap_or(&variable.path).to_owned();
        let others = other_paths.get(&variable.address).copied().unwrap_or_default();
        let mut seen = HashSet::new();
        let paths = std::iter::once(&path).chain(others).filter(|path| seen.insert(path.as_str()));
        let places = paths.map(|path| FoundAddress { path: path.clone(), index: index.clone(), node: node.clone() }).collect();
        scan.found.push(ScannedVariable { places, variable });
    }
    Ok(scan)
}

/// Browse names of nodes, or why there is none, in their order; `None` for a namespace that the server does not have.
///
/// # Errors
/// The server does not answer.
pub async fn browse_names(
    session: &Session,
    nodes: &[NodeAddress],
    timeout: Duration,
) -> Result<Vec<Option<Result<String, StatusCode>>>, ConnectionFault> {
    let facts = read::facts(session, timeout).await?;
    let resolved: Vec<_> = nodes.iter().map(|node| node.resolve(&facts.namespaces)).collect();
    let asked: Vec<_> = resolved.iter().flatten().map(|node| read::attribute(node.clone(), AttributeId::BrowseName)).collect();
    let mut values = read::values(session, &asked, facts.nodes_per_read, timeout).await?.into_iter();
    let name = |value: opcua::types::DataValue| match value.value {
        Some(Variant::QualifiedName(name)) => Ok(name.name.as_ref().replace('/', "_")),
        _ => Err(value.status.filter(StatusCode::is_bad).unwrap_or(StatusCode::BadNoData)),
    };
    Ok(resolved.iter().map(|node| node.as_ref().and_then(|_| values.next()).map(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tag_is_told_by_its_reasons() {
        let untaken = |path: &str, why: &str| (path.to_owned(), why.to_owned());
        let scan = GlobScan {
            untaken: (0..5).map(|n| untaken(&format!("a/{n}"), "a structure")).chain([untaken("b", "nobody may read it")]).collect(),
            ..GlobScan::default()
        };
        let told = ["no tag of 5 variables, first a/0, a/1, a/2: a structure", "no tag of b: nobody may read it"];
        assert_eq!(scan.in_words(), told);
    }
}
