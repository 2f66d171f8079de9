//! The addresses and what is shown on them: ports that are free or ours, certificates that are valid and whose keys are nobody else's.

use std::{net::SocketAddr, os::unix::fs::MetadataExt, path::Path};

use super::diagnosis::Diagnosis;
use historian_model::Timestamp;
use historian_server::config::Configuration;
use historian_tls::{CertificateValidity, ServerPair};

/// Whether the historian can listen, or does so already.
pub async fn ports(configuration: &Configuration, runs: bool) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for (key, flag, address) in
        [("server.listen", "--listen", configuration.server.listen), ("server.http", "--http", configuration.server.http)]
    {
        found.push(port(key, flag, address, runs).await);
    }
    found
}

async fn port(key: &str, flag: &str, address: SocketAddr, runs: bool) -> Diagnosis {
    const CHECK: &str = "port";
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => Diagnosis::ok(CHECK, format!("{address} ({key}) is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && runs => {
            Diagnosis::ok(CHECK, format!("{address} ({key}) is in use, and a historian runs on the data directory"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Diagnosis::fail(
            CHECK,
            format!("{address} ({key}) is in use, and no historian runs on the data directory"),
            format!("end the program that listens there (ss -ltnp), or choose another address with {key} or {flag}"),
        ),
        Err(error) => Diagnosis::fail(
            CHECK,
            format!("{address} ({key}) cannot be listened on: {error}"),
            format!("choose an address of this machine with {key} or {flag}; ports below 1024 take a right of their own"),
        ),
    }
}

/// Certificates and keys.
pub fn certificates(configuration: &Configuration, now: Timestamp) -> Vec<Diagnosis> {
    const CHECK: &str = "certificate";
    let Some(files) = &configuration.tls else {
        return vec![Diagnosis::ok(CHECK, "none is configured; both ports are for this machine alone")];
    };
    let pair = match ServerPair::read(files) {
        Ok(pair) => pair,
        Err(problems) => {
            let told = |problem: &historian_tls::TlsProblem| {
                Diagnosis::fail(CHECK, problem.to_string(), "`historian tls show` has more; docs/security.md")
            };
            return problems.iter().map(told).collect();
        }
    };
    let mut found = Vec::new();
    if let Some(first) = pair.first_to_end() {
        let told = format!("{}, valid until {}", first.subject, first.not_after);
        found.push(match first.validity(now) {
            CertificateValidity::Valid => Diagnosis::ok(CHECK, told),
            CertificateValidity::ExpiresSoon => Diagnosis::warn(CHECK, told, "renew it; a running historian takes the new one by itself"),
            CertificateValidity::NotYet | CertificateValidity::Expired => Diagnosis::fail(
                CHECK,
                format!("{}: {}", first.subject, first.warning(now).unwrap_or_default()),
                "renew it, or set the clock",
            ),
        });
    }
    if pair.facts().is_some_and(|own| own.names.is_empty()) {
        found.push(Diagnosis::fail(
            CHECK,
            "it has no alternative names, and clients take it for no host",
            "make one with names: historian tls init --host NAME",
        ));
    }
    found.push(key(&files.key));
    found
}

/// Whose the key is.
fn key(path: &Path) -> Diagnosis {
    const CHECK: &str = "key";
    let Ok(about) = std::fs::metadata(path) else {
        return Diagnosis::fail(CHECK, format!("{} cannot be looked at", path.display()), "name the file of the key");
    };
    let (mode, shown) = (about.mode() & 0o777, path.display());
    if mode & 0o007 != 0 {
        return Diagnosis::fail(
            CHECK,
            format!("{shown} is open to every user of the machine (mode {mode:o})"),
            format!("chmod 600 {shown}"),
        );
    }
    if mode & 0o070 != 0 {
        return Diagnosis::warn(
            CHECK,
            format!("{shown} is open to its group (mode {mode:o})"),
            format!("chmod 600 {shown}, unless the group is for that"),
        );
    }
    Diagnosis::ok(CHECK, format!("{shown}, mode {mode:o}"))
}
