//! Where a historian is: `grpc://host:port`, with TLS `grpc+tls://host:port`, or `unix:///path` of its local socket.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// Address of a historian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    pub place: ServerPlace,
}

/// How it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerPlace {
    /// `host:port`; also written `grpc+tcp://` and `http://`.
    Plain(String),
    /// `host:port` with TLS; also written `grpcs://` and `https://`.
    Secured(String),
    /// The local socket, also written `grpc+unix://`.
    Local(PathBuf),
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerAddress, String> {
        let (scheme, authority) = text.split_once("://").unwrap_or(("grpc", text));
        let place = match scheme {
            "grpc" | "grpc+tcp" | "http" => ServerPlace::Plain,
            "https" | "grpcs" | "grpc+tls" => ServerPlace::Secured,
            "unix" | "grpc+unix" if authority.starts_with('/') => return Ok(ServerAddress { place: ServerPlace::Local(authority.into()) }),
            "unix" | "grpc+unix" => {
                return Err(format!("expected unix:// and a path from the root, as in unix:///{}", authority.trim_start_matches('/')));
            }
            _ => {
                let known = "use grpc://host:port, grpc+tls://host:port with TLS, or unix:///path of the local socket";
                return Err(format!("unknown scheme {scheme:?}; {known}"));
            }
        };
        let authority = authority.trim_end_matches('/');
        match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(ServerAddress { place: place(authority.to_owned()) })
            }
            _ => {
                let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
                let host = if host.is_empty() || host.contains([' ', '/']) { "host" } else { host };
                let scheme = if text.contains("tls") || scheme.ends_with('s') { "grpc+tls" } else { "grpc" };
                Err(format!("expected grpc://host:port or grpc+tls://host:port, such as {scheme}://{host}:8815"))
            }
        }
    }
}

impl ServerAddress {
    /// Host and port, as requests name them; of the local socket a name that stands for this machine.
    pub fn authority(&self) -> &str {
        match &self.place {
            ServerPlace::Plain(authority) | ServerPlace::Secured(authority) => authority,
            ServerPlace::Local(_) => "localhost",
        }
    }

    /// Its host, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// True where what is sent does not leave this machine, whatever names are resolved to.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        matches!(self.place, ServerPlace::Local(_))
            || host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            ServerPlace::Plain(authority) => write!(f, "grpc://{authority}"),
            ServerPlace::Secured(authority) => write!(f, "grpc+tls://{authority}"),
            ServerPlace::Local(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_all_documented_forms() {
        let plain = |authority: &str| Ok(ServerAddress { place: ServerPlace::Plain(authority.to_owned()) });
        let secured = |authority: &str| Ok(ServerAddress { place: ServerPlace::Secured(authority.to_owned()) });
        for text in ["grpc://127.0.0.1:8815", "http://127.0.0.1:8815/", "grpc+tcp://127.0.0.1:8815", "127.0.0.1:8815"] {
            assert_eq!(text.parse(), plain("127.0.0.1:8815"), "{text}");
        }
        for text in ["grpc+tls://plant:8815", "https://plant:8815/", "grpcs://plant:8815"] {
            assert_eq!(text.parse(), secured("plant:8815"), "{text}");
        }
        for text in ["unix:///var/lib/historian/historian.sock", "grpc+unix:///var/lib/historian/historian.sock"] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.place, ServerPlace::Local("/var/lib/historian/historian.sock".into()), "{text}");
            assert_eq!(address.to_string(), "unix:///var/lib/historian/historian.sock");
        }
        assert_eq!("grpc://[::1]:8815".parse(), plain("[::1]:8815"));
        assert_eq!("grpc+tls://[::1]:8815".parse().map(|address: ServerAddress| address.host().to_owned()), Ok("::1".to_owned()));
        for (text, reason) in [
            ("ftp://h:1", "unknown scheme"),
            ("grpc://h", "expected grpc://host:port"),
            ("grpc://h:99999", "expected"),
            ("", "expected"),
            ("unix://historian.sock", "unix:///historian.sock"),
        ] {
            let error = text.parse::<ServerAddress>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_stays_on_this_machine_is_known_by_its_address() {
        let is_loopback = |text: &str| text.parse::<ServerAddress>().unwrap().is_loopback();
        for here in ["127.0.0.1:1", "127.7.7.7:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1", "unix:///x"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in ["192.0.2.1:1", "plant:1", "[2001:db8::1]:1", "127.0.0.1.example:1", "localhost.example:1", "0.0.0.0:1"] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
