//! Address of a node as the configuration writes it: namespace by URI, identifier in the notation of OPC 10000-6, 5.3.1.10.
//!
//! The index of a namespace belongs to one run of one server: a restart with another set of namespaces moves it. So an address keeps the
//! URI, and [`NodeAddress::resolve`] finds the index in the `NamespaceArray` of each new session.

use std::str::FromStr;

use opcua::types::{ByteString, Guid, Identifier, NodeId};

/// Namespace 0, whose index is the same in every server.
const STANDARD_URI: &str = "http://opcfoundation.org/UA/";

/// A node, independent of the order of a server's namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// URI of the namespace; `None` for namespace 0.
    namespace: Option<String>,
    identifier: Identifier,
}

impl NodeAddress {
    /// Longest address in bytes: 4,096 characters of identifier (the limit of the standard) and a URI.
    pub const BYTES_MAX: usize = 8192;

    /// Reads `nsu=<uri>;<type>=<value>`, or `<type>=<value>` for a node of namespace 0. Types are `i` (number), `s` (text), `g` (GUID) and
    /// `b` (base64). In the URI `%3B` stands for `;` and `%25` for `%`; in the identifier nothing is escaped.
    ///
    /// # Errors
    /// Says what is wrong and how an address is written. An index (`ns=2;…`) is refused for every namespace but 0.
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
            ((uri != STANDARD_URI).then_some(uri), identifier)
        } else if let Some(rest) = text.strip_prefix("ns=") {
            match rest.split_once(';') {
                Some(("0", identifier)) => (None, identifier),
                _ => {
                    return Err(format!(
                        "{text:?} names its namespace by index, which changes when the server is reconfigured; write \
                         nsu=<uri>;… with the URI that stands at that index in the server's NamespaceArray (node i=2255)"
                    ));
                }
            }
        } else {
            (None, text)
        };
        Ok(NodeAddress { namespace, identifier: parse_identifier(identifier)? })
    }

    /// Node id in a server with these namespaces, by index; `None` when the server does not have the namespace now.
    pub fn resolve(&self, namespaces: &[String]) -> Option<NodeId> {
        let index = match &self.namespace {
            None => 0,
            Some(uri) => u16::try_from(namespaces.iter().position(|known| known == uri)?).ok()?,
        };
        Some(NodeId { namespace: index, identifier: self.identifier.clone() })
    }

    /// URI of the namespace.
    pub fn namespace_uri(&self) -> &str {
        self.namespace.as_deref().unwrap_or(STANDARD_URI)
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
            ("ns=2;s=Boiler.P", "NamespaceArray"),
            ("ns=x;s=Boiler.P", "NamespaceArray"),
            ("ns=2", "NamespaceArray"),
        ] {
            let message = NodeAddress::parse(text).unwrap_err();
            assert!(message.contains(advice), "{text}: {message}");
        }
        assert!(NodeAddress::parse(&format!("s={}", "x".repeat(9000))).is_err());
    }
}
