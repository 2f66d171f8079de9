//! Address of a node as the configuration writes it: namespace by URI, identifier in the notation of OPC 10000-6, 5.3.1.10.
//!
//! The index of a namespace belongs to one run of one server: a restart with another set of namespaces moves it. So an address keeps the
//! URI, and [`NodeAddress::resolve`] finds the index in the `NamespaceArray` of each new session.
//!
//! `ns=2;…`, which is what other tools write, is taken where the configuration says which URI 2 stands for. Where it does not, the node is not
//! collected: nobody would notice the day on which 2 means another namespace and the same identifier another node. [`NodeAddress::advice`] has the
//! address to write instead.

use std::{collections::BTreeMap, fmt, str::FromStr};

use opcua::types::{ByteString, Guid, Identifier, NodeId};

/// Namespace 0, whose index is the same in every server.
const STANDARD_URI: &str = "http://opcfoundation.org/UA/";

/// A node, independent of the order of a server's namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    namespace: NodeNamespace,
    identifier: Identifier,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum NodeNamespace {
    /// Namespace 0.
    Standard,
    Uri(String),
    /// Of one run of the server; greater than 0.
    Index(u16),
}

impl NodeAddress {
    /// Longest address in bytes: 4,096 characters of identifier (the limit of the standard) and a URI.
    pub const BYTES_MAX: usize = 8192;

    /// Reads `nsu=<uri>;<type>=<value>`, or `<type>=<value>` for a node of namespace 0. Types are `i` (number), `s` (text), `g` (GUID) and
    /// `b` (base64). In the URI `%3B` stands for `;` and `%25` for `%`; in the identifier nothing is escaped.
    ///
    /// # Errors
    /// Says what is wrong and how an address is written.
    pub fn parse(text: &str) -> Result<NodeAddress, String> {
        if text.len() > Self::BYTES_MAX {
            return Err(format!("the address is longer than {} bytes", Self::BYTES_MAX));
        }
        let (namespace, identifier) = if let Some(rest) = text.strip_prefix("nsu=") {
            let Some((uri, identifier)) = rest.split_once(';') else {
                return Err(format!("{text:?} has no identifier after the namespace; write nsu=<uri>;s=<text> or nsu=<uri>;i=<number>"));
            };
            let uri = uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%");
            if uri.is_empty() {
                return Err("the namespace URI after nsu= is empty".into());
            }
            (if uri == STANDARD_URI { NodeNamespace::Standard } else { NodeNamespace::Uri(uri) }, identifier)
        } else if let Some(rest) = text.strip_prefix("ns=") {
            match rest.split_once(';').map(|(index, identifier)| (index.parse::<u16>(), identifier)) {
                Some((Ok(0), identifier)) => (NodeNamespace::Standard, identifier),
                Some((Ok(index), identifier)) => (NodeNamespace::Index(index), identifier),
                _ => {
                    return Err(format!(
                        "{text:?} does not begin with the index of a namespace and a semicolon; write nsu=<uri>;s=<text> with the URI of the \
                         server's NamespaceArray (node i=2255)"
                    ));
                }
            }
        } else {
            (NodeNamespace::Standard, text)
        };
        Ok(NodeAddress { namespace, identifier: parse_identifier(identifier)? })
    }

    /// Address of a node in a server with these namespaces; `None` where its namespace has no URI.
    pub fn of(node: &NodeId, namespaces: &[String]) -> Option<NodeAddress> {
        let namespace = match node.namespace {
            0 => NodeNamespace::Standard,
            index => NodeNamespace::Uri(namespaces.get(usize::from(index)).filter(|uri| !uri.is_empty())?.clone()),
        };
        Some(NodeAddress { namespace, identifier: node.identifier.clone() })
    }

    /// The address by URI where `known` has one for its index.
    #[must_use]
    pub fn with_uri(self, known: &BTreeMap<u16, String>) -> NodeAddress {
        match &self.namespace {
            NodeNamespace::Index(index) => match known.get(index) {
                Some(uri) => NodeAddress { namespace: NodeNamespace::Uri(uri.clone()), ..self },
                None => self,
            },
            _ => self,
        }
    }

    /// Node id in a server with these namespaces, by index; `None` when the server does not have the namespace now, and for an address by
    /// index.
    pub fn resolve(&self, namespaces: &[String]) -> Option<NodeId> {
        let index = match &self.namespace {
            NodeNamespace::Standard => 0,
            NodeNamespace::Uri(uri) => u16::try_from(namespaces.iter().position(|known| known == uri)?).ok()?,
            NodeNamespace::Index(_) => return None,
        };
        Some(NodeId { namespace: index, identifier: self.identifier.clone() })
    }

    /// Node id in this run of the server. What is collected is resolved by [`NodeAddress::resolve`].
    pub fn resolve_now(&self, namespaces: &[String]) -> Option<NodeId> {
        match self.namespace {
            NodeNamespace::Index(namespace) => Some(NodeId { namespace, identifier: self.identifier.clone() }),
            _ => self.resolve(namespaces),
        }
    }

    pub fn is_by_index(&self) -> bool {
        matches!(self.namespace, NodeNamespace::Index(_))
    }

    /// What to do about an address that [`NodeAddress::resolve`] does not resolve in a server with these namespaces.
    pub fn advice(&self, namespaces: &[String]) -> String {
        let index = match &self.namespace {
            NodeNamespace::Index(index) => *index,
            NodeNamespace::Uri(uri) => return format!("the server has no namespace {uri}"),
            NodeNamespace::Standard => return String::new(),
        };
        let node = NodeId { namespace: index, identifier: self.identifier.clone() };
        match NodeAddress::of(&node, namespaces) {
            Some(address) => {
                let uri = &namespaces[usize::from(index)];
                format!(
                    "not collected by the index of its namespace, which changes when the server is reconfigured: write {address}, or \
                     namespaces = {{ {index} = {uri:?} }} for the device"
                )
            }
            None => format!("the server has no namespace {index}; it has {} namespaces", namespaces.len()),
        }
    }
}

/// As [`NodeAddress::parse`] reads it.
impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            NodeNamespace::Standard => {}
            NodeNamespace::Uri(uri) => write!(f, "nsu={};", uri.replace('%', "%25").replace(';', "%3B"))?,
            NodeNamespace::Index(index) => write!(f, "ns={index};")?,
        }
        write!(f, "{}", NodeId { namespace: 0, identifier: self.identifier.clone() })
    }
}

fn parse_identifier(text: &str) -> Result<Identifier, String> {
    let refuse = |reason: &str| Err(format!("identifier {text:?} {reason}"));
    let Some((kind, value)) = text.split_once('=') else {
        return refuse("is not of the form s=<text>, i=<number>, g=<guid> or b=<base64>");
    };
    match kind {
        "i" => match value.parse::<u32>() {
            Ok(number) => Ok(Identifier::Numeric(number)),
            Err(_) => refuse("is no whole number from 0 to 4294967295"),
        },
        "s" if value.is_empty() => refuse("is empty"),
        "s" => Ok(Identifier::String(value.into())),
        "g" => match Guid::from_str(value) {
            Ok(guid) => Ok(Identifier::Guid(guid)),
            Err(_) => refuse("is no GUID such as g=09087e75-8e5e-499b-954f-f2a9603db28a"),
        },
        "b" => match ByteString::from_base64(value) {
            Some(bytes) if !bytes.is_null_or_empty() => Ok(Identifier::ByteString(bytes)),
            _ => refuse("is no base64"),
        },
        _ => refuse("has an unknown type; known are s (text), i (number), g (GUID) and b (base64)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_resolve_by_uri_whatever_the_order_of_namespaces() {
        let order = |uris: &[&str]| uris.iter().map(ToString::to_string).collect::<Vec<_>>();
        let before = order(&[STANDARD_URI, "urn:server", "urn:plant", "urn:a;b%"]);
        let after = order(&[STANDARD_URI, "urn:server", "urn:new", "urn:a;b%", "urn:plant"]);
        for (text, first, second) in [
            ("nsu=urn:plant;s=Boiler.P", "ns=2;s=Boiler.P", "ns=4;s=Boiler.P"),
            ("nsu=urn:plant;s=a;b=c", "ns=2;s=a;b=c", "ns=4;s=a;b=c"),
            ("nsu=urn:plant;i=7", "ns=2;i=7", "ns=4;i=7"),
            ("nsu=urn:a%3Bb%25;i=7", "ns=3;i=7", "ns=3;i=7"),
            (
                "nsu=urn:plant;g=09087e75-8e5e-499b-954f-f2a9603db28a",
                "ns=2;g=09087e75-8e5e-499b-954f-f2a9603db28a",
                "ns=4;g=09087e75-8e5e-499b-954f-f2a9603db28a",
            ),
            ("nsu=urn:plant;b=M/RbKBsRVkePCePcx24oRA==", "ns=2;b=M/RbKBsRVkePCePcx24oRA==", "ns=4;b=M/RbKBsRVkePCePcx24oRA=="),
            ("i=2258", "i=2258", "i=2258"),
            ("ns=0;i=2258", "i=2258", "i=2258"),
            ("nsu=http://opcfoundation.org/UA/;i=2258", "i=2258", "i=2258"),
        ] {
            let address = NodeAddress::parse(text).unwrap();
            assert_eq!(address.resolve(&before).unwrap().to_string(), first, "{text}");
            assert_eq!(address.resolve(&after).unwrap().to_string(), second, "{text}");
        }
        assert_eq!(NodeAddress::parse("nsu=urn:gone;i=1").unwrap().resolve(&before), None);
    }

    #[test]
    fn an_index_is_no_address_of_its_own_and_becomes_one_by_the_uri_that_is_said_for_it() {
        let namespaces = [STANDARD_URI, "urn:server", "urn:a;b%"].map(str::to_owned);
        let by_index = NodeAddress::parse("ns=2;s=Boiler.P").unwrap();
        assert_eq!((by_index.resolve(&namespaces), by_index.is_by_index()), (None, true));
        assert_eq!(by_index.resolve_now(&namespaces).unwrap().to_string(), "ns=2;s=Boiler.P");
        let advice = by_index.advice(&namespaces);
        assert!(advice.contains("write nsu=urn:a%3Bb%25;s=Boiler.P,") && advice.contains("{ 2 = \"urn:a;b%\" }"), "{advice}");
        assert!(NodeAddress::parse("ns=3;i=1").unwrap().advice(&namespaces).contains("3 namespaces"));
        let known = BTreeMap::from([(2, "urn:a;b%".to_owned())]);
        let by_uri = by_index.clone().with_uri(&known);
        assert_eq!(by_uri, NodeAddress::parse("nsu=urn:a%3Bb%25;s=Boiler.P").unwrap());
        assert_eq!(by_uri.resolve(&namespaces).unwrap().to_string(), "ns=2;s=Boiler.P");
        assert_eq!(NodeAddress::parse("ns=1;i=5").unwrap().with_uri(&known).resolve(&namespaces), None);
        // And back again.
        for text in
            ["i=2258", "nsu=urn:a%3Bb%25;s=a;b=%c", "nsu=urn:server;g=09087e75-8e5e-499b-954f-f2a9603db28a", "nsu=urn:server;b=M/Rb"]
        {
            let address = NodeAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(NodeAddress::of(&address.resolve(&namespaces).unwrap(), &namespaces), Some(address));
        }
        assert_eq!(NodeAddress::of(&NodeId::new(3, 1_u32), &namespaces), None);
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_way_to_write_it() {
        for (text, advice) in [
            ("", "s=<text>"),
            ("Boiler.P", "s=<text>"),
            ("nsu=urn:plant", "nsu=<uri>;s="),
            ("nsu=;s=a", "empty"),
            ("nsu=urn:plant;", "s=<text>"),
            ("nsu=urn:plant;s=", "empty"),
            ("nsu=urn:plant;i=-1", "whole number"),
            ("nsu=urn:plant;i=4294967296", "whole number"),
            ("nsu=urn:plant;g=1234", "GUID"),
            ("nsu=urn:plant;b=?", "base64"),
            ("nsu=urn:plant;x=1", "unknown type"),
            ("ns=x;s=Boiler.P", "NamespaceArray"),
            ("ns=2", "NamespaceArray"),
        ] {
            let message = NodeAddress::parse(text).unwrap_err();
            assert!(message.contains(advice), "{text}: {message}");
        }
        assert!(NodeAddress::parse(&format!("s={}", "x".repeat(9000))).is_err());
    }
}
