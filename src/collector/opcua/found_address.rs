//! Address of a tag that was found: where its variable is, and the node that it was there.
//!
//! `path=Line 1/Motor/Speed;nsu=urn:plant;i=5`, and for an element of an array `path=Line 1/Zones;index=1,2;nsu=urn:plant;i=6`. In the path `%3B`
//! stands for `;` and `%25` for `%`, as in the URI of the address behind it. The path is what the tag means; the node may be another one after
//! the server was configured anew.

use std::fmt;

use super::{address::NodeAddress, item::OpcUaTag};

/// A place in the address space, and its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAddress {
    /// Browse names below Objects, from the top down.
    pub path: String,
    /// The element of an array: `3`, or `1,2` of a matrix.
    pub index: Option<String>,
    pub node: NodeAddress,
}

impl FoundAddress {
    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// It is another address, or none.
    pub fn parse(text: &str) -> Result<FoundAddress, String> {
        let no_path = || format!("{text:?} is not of the form path=<path>;<address of a node>");
        let (path, rest) = text.strip_prefix("path=").and_then(|rest| rest.split_once(';')).ok_or_else(no_path)?;
        let path = path.replace("%3B", ";").replace("%3b", ";").replace("%25", "%");
        if path.is_empty() {
            return Err(no_path());
        }
        let (index, node) = match rest.strip_prefix("index=") {
            Some(rest) => rest.split_once(';').map(|(index, node)| (Some(index.to_owned()), node)).ok_or_else(no_path)?,
            None => (None, rest),
        };
        Ok(FoundAddress { path, index, node: NodeAddress::parse(node)? })
    }

    /// The value at the place: what has the same one takes the same.
    pub fn value(&self) -> ValueKey {
        ValueKey(self.index.clone().unwrap_or_default(), self.node.to_string())
    }
}

/// A node, and the element of its array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValueKey(String, String);

impl ValueKey {
    /// Of a configured item.
    pub fn of(item: &OpcUaTag) -> ValueKey {
        ValueKey(item.index_text(), item.address.to_string())
    }
}

impl fmt::Display for FoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path={};", self.path.replace('%', "%25").replace(';', "%3B"))?;
        if let Some(index) = &self.index {
            write!(f, "index={index};")?;
        }
        self.node.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let node = || NodeAddress::parse("nsu=urn:a%3Bb;s=x;y=%3B").unwrap();
        for (path, index, text) in [
            ("Line 1/Speed", None, "path=Line 1/Speed;nsu=urn:a%3Bb;s=x;y=%3B"),
            ("a;b/100%/c=d", Some("1,2"), "path=a%3Bb/100%25/c=d;index=1,2;nsu=urn:a%3Bb;s=x;y=%3B"),
            ("index=1", None, "path=index=1;nsu=urn:a%3Bb;s=x;y=%3B"),
        ] {
            let address = FoundAddress { path: path.into(), index: index.map(str::to_owned), node: node() };
            assert_eq!(address.to_string(), text);
            assert_eq!(FoundAddress::parse(text), Ok(address));
        }
        for text in ["nsu=urn:plant;i=5", "path=;i=5", "path=a", "path=a;", "path=a;index=1", "path=a;nonsense"] {
            assert!(FoundAddress::parse(text).is_err(), "{text}");
        }
    }
}
