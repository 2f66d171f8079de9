//! Certificates as servers send them: several in a row, and names in any order.

use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// The server's own certificate of a chain: a server may send those of its issuers behind it (OPC 10000-6, 6.2.6).
pub fn leaf(chain: &[u8]) -> &[u8] {
    let length = match *chain {
        [0x30, short, ..] if short < 0x80 => 2 + usize::from(short),
        [0x30, 0x81, a, ..] => 3 + usize::from(a),
        [0x30, 0x82, a, b, ..] => 4 + usize::from(u16::from_be_bytes([a, b])),
        [0x30, 0x83, a, b, c, ..] => 5 + ((usize::from(a) << 16) | usize::from(u16::from_be_bytes([b, c]))),
        _ => chain.len(),
    };
    chain.get(..length).unwrap_or(chain)
}

/// What a certificate says of whose it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Application URIs; the standard has exactly one.
    pub uris: Vec<String>,
    /// DNS names and addresses.
    pub hosts: Vec<String>,
}

impl Names {
    /// Reads the alternative names, in whatever order they stand.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn of(der: &[u8]) -> Result<Names, String> {
        let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
        let found: Option<(bool, SubjectAltName)> = certificate.tbs_certificate.get().map_err(|error| error.to_string())?;
        let mut names = Names::default();
        for name in found.iter().flat_map(|(_, names)| &names.0) {
            match name {
                GeneralName::UniformResourceIdentifier(uri) => names.uris.push(uri.to_string()),
                GeneralName::DnsName(host) => names.hosts.push(host.to_string()),
                GeneralName::IpAddress(address) => {
                    let bytes = address.as_bytes();
                    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
                        names.hosts.push(std::net::Ipv4Addr::from(bytes).to_string());
                    } else if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
                        names.hosts.push(std::net::Ipv6Addr::from(bytes).to_string());
                    }
                }
                _ => {}
            }
        }
        Ok(names)
    }

    /// The URIs in words.
    pub fn list_uris(&self) -> String {
        if self.uris.is_empty() { "none".into() } else { self.uris.iter().map(|uri| format!("{uri:?}")).collect::<Vec<_>>().join(", ") }
    }

    /// True when the certificate names this host.
    pub fn has_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_certificate_of_a_chain_is_the_servers() {
        for size in [1_usize, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let mut chain = match size {
                0..=0x7f => vec![0x30, size as u8],
                0x80..=0xff => vec![0x30, 0x81, size as u8],
                0x100..=0xffff => vec![0x30, 0x82, (size >> 8) as u8, size as u8],
                _ => vec![0x30, 0x83, (size >> 16) as u8, (size >> 8) as u8, size as u8],
            };
            chain.resize(chain.len() + size, 0x55);
            let alone = chain.clone();
            assert_eq!(leaf(&alone), alone);
            chain.extend([0x30, 3, 1, 2, 3]);
            assert_eq!(leaf(&chain), alone);
        }
        for odd in [&[][..], &[0x30], &[0x30, 0x82], &[0x30, 9, 1], b"text"] {
            assert_eq!(leaf(odd), odd);
        }
    }

    #[test]
    fn hosts_are_compared_without_case() {
        let names = Names { uris: Vec::new(), hosts: vec!["plc7".into(), "10.0.0.5".into(), "::1".into()] };
        for (host, named) in [("PLC7", true), ("10.0.0.5", true), ("[::1]", true), ("plc8", false), ("", false)] {
            assert_eq!(names.has_host(host), named, "{host}");
        }
    }
}
