//! Certificates that change while the historian runs: new connections get the new one, none fails, those that are open stay, and what is half
//! written or wrong changes nothing but what is told.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use super::{Site, mini::Wanted, run, s_client};
use crate::support::{
    historian::{self, Historian},
    peer::Peer,
};

/// Rotations under load; `HISTORIAN_ROTATIONS=100` for the long form (S7).
fn rotations() -> u64 {
    std::env::var("HISTORIAN_ROTATIONS").map_or(5, |count| count.parse().expect("HISTORIAN_ROTATIONS is a number"))
}

/// The serial number of what the port shows now.
fn shown(historian: &Historian) -> String {
    let (_, printed, _) = s_client(historian.grpc, &[]);
    let certificate = printed.split("-----END CERTIFICATE-----").next().unwrap_or_default().to_owned() + "-----END CERTIFICATE-----\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &certificate).unwrap();
    run(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(file.path())).1.trim().to_owned()
}

fn becomes(historian: &Historian, serial: u64) {
    let begun = Instant::now();
    let expected = format!("serial={serial:02X}");
    loop {
        let now = shown(historian);
        if now == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{now}, not {expected}: {}", historian.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn certificates_change_under_load_without_a_failed_call() {
    let site = Site::new();
    let server = |serial| Wanted { serial, ..Wanted::server(&["localhost"]) };
    let pair = site.servers.issue("server", &server(10));
    let historian = site.serve(&pair, "off");
    let address = format!("localhost:{}", historian.grpc.port());
    let (mut calls, _) = Peer::python("tls_calls.py", &[&address, &site.path("servers.crt")]);
    for rotation in 0..rotations() {
        let (certificate, key) = site.servers.issue("next", &server(11 + rotation));
        // As `certbot` and `historian tls` do, one after the other; every other time with a while in between.
        fs::rename(key, &pair.1).unwrap();
        if rotation % 2 == 1 {
            std::thread::sleep(Duration::from_secs(1));
        }
        fs::rename(certificate, &pair.0).unwrap();
        becomes(&historian, 11 + rotation);
    }
    writeln!(calls.stdin, "end").unwrap();
    let told = calls.line_starting("calls ", Duration::from_secs(30));
    let counts: Vec<u64> = told.split(' ').skip(1).map(|count| count.parse().unwrap()).collect();
    // On new connections, those of them that failed, and on one that was open all the time.
    assert!(counts[0] > 50 && counts[1] == 0 && counts[2] > 10 && counts[3] == 0, "{told}: {}", historian.log());
    assert!(!historian.log().contains("cannot be used"), "{}", historian.log());
}

#[test]
fn a_pair_that_cannot_be_used_changes_nothing_and_is_told() {
    let site = Site::new();
    let server = |serial| Wanted { serial, ..Wanted::server(&["localhost"]) };
    let pair = site.servers.issue("server", &server(20));
    let mut historian = site.serve(&pair, "off");
    let (old, half) = (fs::read(&pair.0).unwrap(), fs::read(&pair.0).unwrap()[..200].to_vec());
    fs::write(&pair.0, half).unwrap();
    historian.wait("told", |historian| historian.log().contains("the new files cannot be used"));
    becomes(&historian, 20);
    let url = format!("grpc+tls://localhost:{}", historian.grpc.port());
    let status = || historian::run(&["status", "--server", &url, "--tls-ca", &site.path("servers.crt")]).1;
    assert!(status().contains("NEW CERTIFICATE REFUSED, the old one stays: "), "{}", status());
    let metrics = super::curl(historian.http, "/metrics", &["--cacert", &site.path("servers.crt")]).1;
    assert!(metrics.contains("\nhistorian_tls_reload_failures_total 1\n"), "{metrics}");

    fs::write(&pair.0, old).unwrap();
    historian.wait("told", |historian| historian.log().contains("again those in use"));
    assert!(!status().contains("REFUSED"));
    // A key that others may read is no better when it is new.
    let (certificate, key) = site.servers.issue("next", &server(21));
    run(Command::new("chmod").arg("644").arg(&key));
    fs::rename(&key, &pair.1).unwrap();
    fs::rename(certificate, &pair.0).unwrap();
    historian.wait("told", |historian| historian.log().contains("chmod 600"));
    run(Command::new("chmod").arg("600").arg(&pair.1));
    becomes(&historian, 21);
}

#[test]
fn who_is_revoked_while_the_historian_runs_comes_in_no_more_and_does_not_stay() {
    let site = Site::new();
    let historian = site.serve(&site.server(), "required");
    let (certificate, key) = &site.erp;
    let ca = site.path("servers.crt");
    let comes_in = || {
        let words = ["--cacert", &ca, "--cert", &certificate.display().to_string(), "--key", &key.display().to_string()];
        super::curl(historian.http, "/livez", &words).0 == 0
    };
    let watches = |(certificate, key): &(PathBuf, PathBuf)| {
        let address = format!("localhost:{}", historian.grpc.port());
        Peer::python("tls_watch.py", &[&address, &ca, &certificate.display().to_string(), &key.display().to_string()]).0
    };
    let other = site.clients.issue("other", &Wanted { serial: 8, ..Wanted::client("other") });
    assert!(comes_in());
    let (mut revoked, mut other) = (watches(&site.erp), watches(&other));
    site.clients.revoke(&[7, 2]);
    let begun = Instant::now();
    while comes_in() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it still comes in");
        std::thread::sleep(Duration::from_millis(100));
    }
    let ended = revoked.line_starting("ended ", Duration::from_secs(20));
    assert_eq!(ended, "ended UNAVAILABLE", "{}", historian.log());
    assert!(historian.log().contains("a connection was cut: the client's certificate is revoked"), "{}", historian.log());
    // Whoever is not on the list stays, also after it was judged again.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(other.next_line(), None, "{}", historian.log());
}
