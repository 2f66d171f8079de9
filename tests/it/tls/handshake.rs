//! Which handshakes are made and which are not, on both ports; what is told of those that are not; and that none holds up another.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use historian::tls::ClientTls;
use rustls::ClientConnection;

use super::{METRICS, Site, curl, mini::Wanted, s_client};
use crate::support::historian::Historian;

/// The HTTP port as curl sees it that trusts the authority.
fn asked(site: &Site, historian: &Historian, path: &str) -> String {
    let (code, printed, complaint) = curl(historian.http, path, &["--cacert", &site.path("servers.crt")]);
    assert_eq!(code, 0, "{path}: {complaint}");
    printed
}

fn metric(site: &Site, historian: &Historian, name: &str) -> u64 {
    let text = asked(site, historian, "/metrics");
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// Whether a handshake was made to its end, as openssl tells: also the certificate that the server asked for was taken.
fn is_made((code, printed, complaint): &(i32, String, String)) -> bool {
    *code == 0 && printed.contains("Verify return code: 0") && !complaint.contains("alert")
}

#[test]
fn both_ports_speak_tls_12_and_13_and_nothing_older() {
    let site = Site::new();
    let historian = site.serve(&site.server(), "off");
    let ca = site.path("servers.crt");
    for (address, protocol) in [(historian.grpc, "h2"), (historian.http, "http/1.1")] {
        for version in ["-tls1_2", "-tls1_3"] {
            let made = s_client(address, &[version, "-CAfile", &ca, "-verify_return_error", "-alpn", "h2,http/1.1"]);
            assert!(is_made(&made), "{version} {made:?}");
            assert!(made.1.contains(&format!("ALPN protocol: {protocol}")), "{version} {}", made.1);
        }
        for version in ["-tls1", "-tls1_1"] {
            // Security level 0 lets this client offer what it would not by itself.
            let made = s_client(address, &[version, "-CAfile", &ca, "-cipher", "DEFAULT:@SECLEVEL=0"]);
            assert!(!is_made(&made) && made.2.contains("alert"), "{version} {made:?}");
        }
        // Another protocol than the port's.
        let made = s_client(address, &["-CAfile", &ca, "-alpn", "postgresql"]);
        assert!(!is_made(&made) && made.2.contains("alert"), "{made:?}");
    }
    assert!(historian.log().contains("neither TLS 1.2 nor 1.3"), "{}", historian.log());
    assert_eq!(asked(&site, &historian, "/livez"), "ok\n");
    let text = asked(&site, &historian, "/metrics");
    for metric in METRICS {
        assert!(text.contains(&format!("\n{metric} ")), "{metric}");
    }
    let ends = metric(&site, &historian, "historian_tls_certificate_expiry_timestamp_seconds ");
    let made = super::run(std::process::Command::new("openssl").args(["x509", "-noout", "-enddate", "-in", &site.path("server.crt")]));
    let told = super::run(std::process::Command::new("date").args(["+%s", "-d", made.1.trim().trim_start_matches("notAfter=")]));
    assert_eq!(ends.to_string(), told.1.trim());
}

#[test]
fn certificates_of_servers_that_are_not_in_order_are_refused_by_clients_and_told_at_the_start() {
    let site = Site::new();
    let ca = site.path("servers.crt");
    let server = |from, to, hosts: &[&str]| Wanted { from, to, ..Wanted::server(hosts) };
    for (name, wanted, complaint, warning) in [
        ("expired", server(-20, -1, &["localhost"]), "expired", Some("expired on")),
        ("not yet valid", server(1, 20, &["localhost"]), "is not valid yet", Some("valid only from")),
        ("for another host", server(-1, 100, &["other.example"]), "other.example", None),
        ("that ends soon", server(-1, 20, &["localhost"]), "", Some("in 19 days")),
        ("in order", server(-1, 100, &["localhost"]), "", None),
    ] {
        let historian = site.serve(&site.servers.issue("odd", &wanted), "off");
        let (code, _, told) = curl(historian.http, "/livez", &["--cacert", &ca]);
        assert_eq!(code == 0, complaint.is_empty(), "{name}: {told}");
        let url = format!("grpc+tls://localhost:{}", historian.grpc.port());
        let (code, said, told) = crate::support::historian::run(&["status", "--server", &url, "--tls-ca", &ca]);
        assert!((code == 0) == complaint.is_empty() && told.contains(complaint), "{name}: {told}");
        assert_eq!(said.contains("EXPIRES in 19 days"), name == "that ends soon", "{said}");
        let log = historian.log();
        match warning {
            Some(warning) => assert!(log.contains(warning), "{name}: {log}"),
            None => assert!(!log.contains("WARN historian_server"), "{name}: {log}"),
        }
    }
    // One that no authority of this site has signed.
    let other = super::Mini::new(site.directory.path(), "others");
    let historian = site.serve(&other.issue("odd", &Wanted::server(&["localhost"])), "off");
    let url = format!("grpc+tls://localhost:{}", historian.grpc.port());
    let (code, _, told) = crate::support::historian::run(&["status", "--server", &url, "--tls-ca", &ca]);
    assert!(code == 1 && told.contains("is of an authority that is not trusted"), "{told}");
}

#[test]
fn certificates_of_clients_are_judged_on_both_ports() {
    let site = Site::new();
    let ca = site.path("servers.crt");
    let client = |from, to, serial| Wanted { from, to, serial, ..Wanted::client("odd") };
    let stranger = super::Mini::new(site.directory.path(), "strangers");
    let cases = [
        ("none", None, "showed no certificate"),
        ("in order", Some(site.erp.clone()), ""),
        ("revoked", Some(site.revoked.clone()), "is revoked"),
        ("expired", Some(site.clients.issue("late", &client(-20, -1, 3))), "has expired"),
        ("not yet valid", Some(site.clients.issue("early", &client(1, 20, 4))), "is not valid yet"),
        ("of another authority", Some(stranger.issue("stranger", &Wanted::client("erp"))), "not trusted"),
        ("of a server", Some(site.clients.issue("server-as-client", &Wanted::server(&["erp"]))), "another purpose"),
    ];
    for required in [true, false] {
        for (name, pair, told) in &cases {
            // A new historian for each: the log tells of one failure in ten seconds.
            let historian = site.serve(&site.server(), if required { "required" } else { "optional" });
            let taken = told.is_empty() || (!required && pair.is_none());
            let shown: Vec<String> = pair
                .iter()
                .flat_map(|(certificate, key)| ["--cert", "--key"].into_iter().zip([certificate, key]))
                .flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()])
                .collect();
            let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
            let (code, _, complaint) = curl(historian.http, "/livez", &[&["--cacert", ca.as_str()], &shown[..]].concat());
            assert_eq!(code == 0, taken, "{name}, {required}: {complaint}");

            let url = format!("grpc+tls://localhost:{}", historian.grpc.port());
            let flags: Vec<&str> = shown
                .iter()
                .map(|word| match *word {
                    "--cert" => "--tls-cert",
                    "--key" => "--tls-key",
                    path => path,
                })
                .collect();
            let words = [&["status", "--server", &url, "--tls-ca", &ca], &flags[..]].concat();
            let (code, said, complaint) = crate::support::historian::run(&words);
            assert_eq!(code == 0, taken, "{name}, {required}: {complaint}");
            assert!(
                if taken { said.contains("TLS with the certificate of CN=localhost") } else { complaint.contains("the server ") },
                "{name}: {said}{complaint}"
            );
            assert_eq!(complaint.lines().count(), usize::from(!taken), "{complaint}");
            if !taken {
                assert!(historian.log().contains(told), "{name}: {}", historian.log());
            }
        }
    }
}

#[test]
fn who_speaks_without_tls_is_told_and_who_speaks_it_where_there_is_none_too() {
    let site = Site::new();
    let mut historian = site.serve(&site.server(), "off");
    let said = |address, first: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(first).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = said(historian.http, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("this port speaks TLS only"), "{answer:?}");
    let answer = said(historian.grpc, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(answer.contains("this port speaks TLS only"), "{answer:?}");
    let (code, _, complaint) = crate::support::historian::run(&["status", "--server", &historian.url()]);
    assert!(code == 1 && complaint.contains("if it speaks TLS, use grpc+tls://") && complaint.lines().count() == 1, "{complaint}");
    historian.wait("told", |historian| historian.log().contains("its client speaks no TLS, and this port nothing else"));
    assert!(metric(&site, &historian, r#"historian_connections_cut_total{port="grpc",reason="plaintext"}"#) >= 2);

    let mut plain = super::start(&site.directory.path().join("plain"), &[]);
    let (code, ..) = curl(plain.http, "/livez", &["--insecure"]);
    assert_ne!(code, 0);
    let begun = Instant::now();
    let url = format!("grpc+tls://{}", plain.grpc);
    let (code, _, complaint) = crate::support::historian::run(&["status", "--server", &url]);
    assert!(code == 1 && complaint.contains("grpc://") && begun.elapsed() < Duration::from_secs(4), "{:?} {complaint}", begun.elapsed());
    plain.wait("told", |plain| plain.log().contains("its client speaks TLS, and this port does not"));
    assert!(plain.get("/metrics").unwrap().1.contains(r#"historian_connections_cut_total{port="grpc",reason="tls"} 1"#));
}

#[test]
fn a_handshake_that_does_not_end_is_cut_in_time_and_holds_up_nobody() {
    let site = Site::new();
    let historian = site.serve_with(&site.server(), "off", "[limits]\nfirst_request_s = 2\n");
    let begun = Instant::now();
    // A silent one, one that sends the beginning of a record, and one that sends a byte at a time; a hundred of each port.
    let first: [&[u8]; 3] = [b"", b"\x16\x03\x01\x02\x00\x01", b"\x16"];
    let mut open: Vec<TcpStream> = (0..20)
        .flat_map(|_| [historian.grpc, historian.http])
        .flat_map(|address| first.map(|first| (address, first)))
        .map(|(address, first)| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(first).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
            stream
        })
        .collect();
    // Others are served meanwhile.
    let asked_at = Instant::now();
    assert_eq!(asked(&site, &historian, "/livez"), "ok\n");
    assert!(asked_at.elapsed() < Duration::from_secs(1), "{:?}", asked_at.elapsed());
    for stream in &mut open {
        // It may have been told that the handshake failed.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let after = begun.elapsed();
    assert!((Duration::from_millis(1_500)..Duration::from_secs(5)).contains(&after), "{after:?}");
    let late = |port| metric(&site, &historian, &format!("historian_connections_cut_total{{port=\"{port}\",reason=\"handshake_late\"}}"));
    assert_eq!((late("grpc"), late("http")), (60, 60));
}

#[test]
fn idle_connections_with_tls_take_little_memory() {
    const CONNECTIONS: usize = 300;
    let site = Site::new();
    let historian = site.serve_with(&site.server(), "off", "[limits]\nfirst_request_s = 60\n");
    let trusted = ClientTls { ca: Some(site.path("servers.crt").into()), pair: None };
    let config = Arc::new(trusted.config().unwrap());
    let connect = || {
        let mut session = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        let mut stream = TcpStream::connect(historian.grpc).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream).unwrap();
        }
        session.writer().write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        session.complete_io(&mut stream).unwrap();
        (session, stream)
    };
    let warm: Vec<_> = (0..50).map(|_| connect()).collect();
    std::thread::sleep(Duration::from_millis(500));
    let before = historian.rss_kb();
    let open: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    std::thread::sleep(Duration::from_millis(500));
    let each_kb = historian.rss_kb().saturating_sub(before) / CONNECTIONS as u64;
    println!("an idle connection with TLS takes {each_kb} KiB");
    assert!(each_kb < 100, "{each_kb} KiB");
    drop((warm, open));
}
