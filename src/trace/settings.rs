//! Where traces go, and which.

use std::{fmt, path::PathBuf, str::FromStr};

/// A collector of traces.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    pub endpoint: TraceAddress,
    /// An authority to trust beside those of this machine.
    pub ca: Option<PathBuf>,
    /// Which share of the calls is traced whose clients do not say, from 0 to 1.
    pub share: f64,
    /// What this historian is called there.
    pub service_name: String,
}

/// Address of a collector: `http://host:port`, or `https://host:port` with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceAddress {
    pub host: String,
    pub port: u16,
    pub has_tls: bool,
}

impl TraceAddress {
    /// As connections name it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for TraceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<TraceAddress, String> {
        if text.contains('@') {
            // What stands before the host may be a password, and is not told.
            return Err("has a user in it, and needs none; write http://host:4317, or https:// with TLS".to_owned());
        }
        let refuse = || format!("{text:?} is no address of a collector; write http://host:4317, or https:// with TLS");
        let (has_tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(refuse()),
        };
        let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':').ok_or_else(refuse)?;
        let is_host = !host.is_empty() && host.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-_[]:".contains(letter));
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(refuse)?;
        if is_host { Ok(TraceAddress { host: host.to_owned(), port, has_tls }) } else { Err(refuse()) }
    }
}

impl fmt::Display for TraceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", if self.has_tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_collectors_are_read_and_others_refused() {
        for (text, host, port, has_tls) in [
            ("http://127.0.0.1:4317", "127.0.0.1", 4317, false),
            ("https://traces.example:443/", "traces.example", 443, true),
            ("http://[::1]:4317", "[::1]", 4317, false),
        ] {
            let address: TraceAddress = text.parse().unwrap();
            assert_eq!(address, TraceAddress { host: host.to_owned(), port, has_tls });
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for text in
            ["", "collector:4317", "grpc://a:1", "http://a", "http://:1", "http://a:0", "http://a:1/v1/traces", "http://user:secret@a:1"]
        {
            let told = text.parse::<TraceAddress>().unwrap_err();
            assert!(!told.contains("secret"), "{text}: {told}");
        }
    }
}
