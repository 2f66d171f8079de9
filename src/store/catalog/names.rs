//! Tags by name, in the order of their names: a B+ tree whose versions share what is equal between them.
//!
//! A version is cheap to clone and never changes for who has it. A change copies the nodes from the root to one leaf, at most some hundred
//! pointers; nodes that no other version has are changed where they are, so that many changes of one version copy nothing twice.

use std::{ops::Bound, slice, sync::Arc};

use historian_model::{Tag, TagName};

/// Entries of a node; a fuller one becomes two. So few are looked through one after another: the processor fetches the names that come next while it
/// compares, which a search by halves does not let it (a quarter of the time, at 100,000 names).
const NODE_MAX: usize = 16;

/// Tags by name.
#[derive(Clone, Default)]
pub struct TagNames {
    root: Arc<Node>,
    len: usize,
}

#[derive(Clone)]
enum Node {
    Leaf(Vec<(TagName, Arc<Tag>)>),
    /// Children with a name that is not behind their first one and behind all of the child before. That of the first child says nothing.
    Inner(Vec<(TagName, Arc<Node>)>),
}

impl Default for Node {
    fn default() -> Node {
        Node::Leaf(Vec::new())
    }
}

/// The second half of a node that was full, and its first name.
type NodeSplit = Option<(TagName, Arc<Node>)>;

impl TagNames {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Tag>> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Inner(children) => node = &children[child_of(children, name)].1,
                Node::Leaf(tags) => {
                    let (found, tag) = tags.iter().find(|(other, _)| other.as_str() >= name)?;
                    return (found.as_str() == name).then_some(tag);
                }
            }
        }
    }

    /// Puts a tag under its name, in the place of one that is there.
    pub fn insert(&mut self, tag: Arc<Tag>) {
        let (is_new, split) = insert(&mut self.root, tag);
        self.len += usize::from(is_new);
        if let Some((name, right)) = split {
            let left = std::mem::take(&mut self.root);
            self.root = Arc::new(Node::Inner(vec![(name.clone(), left), (name, right)]));
        }
    }

    /// Takes a name out. Nodes are not joined again, as names that go are few beside those that stay; one without entries goes.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_none() {
            return;
        }
        self.len -= 1;
        remove(&mut self.root, name);
        loop {
            let only = match &*self.root {
                Node::Inner(children) if children.len() == 1 => children[0].1.clone(),
                Node::Inner(children) if children.is_empty() => Arc::default(),
                _ => return,
            };
            self.root = only;
        }
    }

    /// All tags from a name on.
    pub fn from(&self, start: Bound<&str>) -> Iter<'_> {
        let mut above = Vec::new();
        let mut node = &*self.root;
        let wanted = match start {
            Bound::Included(name) | Bound::Excluded(name) => name,
            Bound::Unbounded => "",
        };
        loop {
            match node {
                Node::Inner(children) => {
                    let at = child_of(children, wanted);
                    above.push(children[at + 1..].iter());
                    node = &children[at].1;
                }
                Node::Leaf(tags) => {
                    let before = tags.partition_point(|(name, _)| match start {
                        Bound::Included(start) => name.as_str() < start,
                        Bound::Excluded(start) => name.as_str() <= start,
                        Bound::Unbounded => false,
                    });
                    return Iter { above, leaf: tags[before..].iter() };
                }
            }
        }
    }
}

/// The child in which a name is, if it is anywhere.
fn child_of(children: &[(TagName, Arc<Node>)], name: &str) -> usize {
    let behind_first = children.get(1..).unwrap_or_default();
    behind_first.iter().position(|(first, _)| first.as_str() > name).unwrap_or(behind_first.len())
}

fn insert(node: &mut Arc<Node>, tag: Arc<Tag>) -> (bool, NodeSplit) {
    match Arc::make_mut(node) {
        Node::Leaf(tags) => match tags.binary_search_by(|(name, _)| name.cmp(tag.name())) {
            Ok(index) => {
                tags[index] = (tag.name().clone(), tag);
                (false, None)
            }
            Err(index) => {
                tags.insert(index, (tag.name().clone(), tag));
                (true, split(tags, index).map(|(name, right)| (name, Arc::new(Node::Leaf(right)))))
            }
        },
        Node::Inner(children) => {
            let at = child_of(children, tag.name().as_str());
            let (is_new, below) = insert(&mut children[at].1, tag);
            let Some(right) = below else { return (is_new, None) };
            children.insert(at + 1, right);
            (is_new, split(children, at + 1).map(|(name, right)| (name, Arc::new(Node::Inner(right)))))
        }
    }
}

/// Cuts what is longer than a node: in the middle, or where names come in their order, so that the nodes left behind are full.
fn split<T>(entries: &mut Vec<(TagName, T)>, changed: usize) -> Option<(TagName, Vec<(TagName, T)>)> {
    if entries.len() <= NODE_MAX {
        return None;
    }
    let at = if changed + 1 == entries.len() { changed } else { entries.len() / 2 };
    let right = entries.split_off(at);
    right.first().map(|(name, _)| name.clone()).map(|name| (name, right))
}

fn remove(node: &mut Arc<Node>, name: &str) {
    match Arc::make_mut(node) {
        Node::Leaf(tags) => tags.retain(|(other, _)| other.as_str() != name),
        Node::Inner(children) => {
            let at = child_of(children, name);
            remove(&mut children[at].1, name);
            if matches!(&*children[at].1, Node::Leaf(tags) if tags.is_empty())
                || matches!(&*children[at].1, Node::Inner(below) if below.is_empty())
            {
                children.remove(at);
            }
        }
    }
}

/// Tags in the order of their names.
pub struct Iter<'a> {
    /// Of each level above the leaf, the nodes still to come.
    above: Vec<slice::Iter<'a, (TagName, Arc<Node>)>>,
    leaf: slice::Iter<'a, (TagName, Arc<Tag>)>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a Arc<Tag>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((name, tag)) = self.leaf.next() {
                return Some((name.as_str(), tag));
            }
            let Some((_, node)) = self.above.last_mut()?.next() else {
                self.above.pop();
                continue;
            };
            match &**node {
                Node::Inner(children) => self.above.push(children.iter()),
                Node::Leaf(tags) => self.leaf = tags.iter(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use historian_model::{TagDefinition, TagId, Timestamp, ValueType};
    use proptest::prelude::*;

    fn tag(id: u32, name: &str) -> Arc<Tag> {
        let definition = TagDefinition::new(TagName::new(name).unwrap(), ValueType::F64);
        Arc::new(Tag { id: TagId(id), definition, created: Timestamp(0), updated: Timestamp(0) })
    }

    fn listed(names: &TagNames, start: Bound<&str>) -> Vec<(String, u32)> {
        names.from(start).map(|(name, tag)| (name.to_owned(), tag.id.0)).collect()
    }

    #[test]
    fn the_names_are_those_of_an_ordered_map_after_any_changes_and_versions_before_stay_as_they_are() {
        let change = (0..3_u8, 0..3_000_u32);
        proptest!(ProptestConfig::with_cases(32), |(changes in prop::collection::vec(change, 1..3_000), ascending in 0..2_000_u32)| {
            let (mut names, mut expected) = (TagNames::default(), BTreeMap::new());
            for id in 0..ascending {
                let name = format!("n{id:05}");
                names.insert(tag(id, &name));
                expected.insert(name, id);
            }
            let (before, expected_before) = (names.clone(), expected.clone());
            for (id, (kind, number)) in (ascending..).zip(changes) {
                let name = format!("n{:05}", number.wrapping_mul(7_919) % 3_001);
                if kind == 0 {
                    names.remove(&name);
                    expected.remove(&name);
                } else {
                    names.insert(tag(id, &name));
                    expected.insert(name, id);
                }
            }
            for (names, expected) in [(names, expected), (before, expected_before)] {
                prop_assert_eq!(names.len(), expected.len());
                let all: Vec<_> = expected.clone().into_iter().collect();
                prop_assert_eq!(&listed(&names, Bound::Unbounded), &all);
                for start in ["", "n00000", "n01500", "n01500x", "n02999", "o"] {
                    for bound in [Bound::Included(start), Bound::Excluded(start)] {
                        let rest: Vec<_> = expected.range::<str, _>((bound, Bound::Unbounded)).map(|(name, id)| (name.clone(), *id)).collect();
                        prop_assert_eq!(&listed(&names, bound), &rest);
                    }
                    prop_assert_eq!(names.get(start).map(|tag| tag.id.0), expected.get(start).copied());
                }
            }
        });
    }

    #[test]
    fn names_can_all_go_and_come_again() {
        let mut names = TagNames::default();
        for id in 0..10_000 {
            names.insert(tag(id, &format!("n{id:05}")));
        }
        for id in (0..10_000).rev() {
            names.remove(&format!("n{id:05}"));
        }
        assert_eq!((names.len(), listed(&names, Bound::Unbounded).len()), (0, 0));
        names.insert(tag(1, "again"));
        assert_eq!(listed(&names, Bound::Unbounded), [("again".to_owned(), 1)]);
    }
}
