//! Modbus TCP within TLS, against pymodbus' TLS server, and connections that are ended after each poll.

use std::{sync::atomic::Ordering, time::Duration};

use historian::model::{Quality, Value};

use super::{
    build,
    device::{Device, Framing},
    eventually, start, values,
};
use crate::{support::peer::Peer, tls::Site};

/// A server that takes clients of the site's authority only, and its port.
async fn secured(site: &Site) -> (Peer, String) {
    let (certificate, key) = site.server();
    values::server(&["tls", &certificate.display().to_string(), &key.display().to_string(), &site.path("clients.crt")]).await
}

fn keys(site: &Site, port: &str) -> String {
    let (certificate, key) = &site.erp;
    format!(
        "endpoint = \"localhost:{port}\"\ntls = true\nca_file = \"{}\"\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
        site.path("servers.crt"),
        certificate.display(),
        key.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymodbus_values_are_exact_within_tls() {
    let site = Site::new();
    let (_peer, port) = secured(&site).await;
    values::reads_exactly(&format!("{}scan_ms = 400\n", keys(&site, &port))).await;
}

/// Who asks for a certificate and gets none says so, or, as servers of Python do, ends the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_trusted_is_told_in_the_words_of_the_configuration() {
    let site = Site::new();
    let (_peer, port) = secured(&site).await;
    let right = keys(&site, &port);
    let without = |what: &str| right.lines().filter(|line| !line.starts_with(what)).collect::<Vec<_>>().join("\n") + "\n";
    let anonymous = without("certificate_file").lines().filter(|line| !line.starts_with("key_file")).collect::<Vec<_>>().join("\n") + "\n";
    for (keys, expected) in [
        (right.clone(), ""),
        (right.replace("localhost:", "127.0.0.1:"), ""),
        (right.replace("servers.crt", "clients.crt"), "is of an authority that is not trusted; name the right one with ca_file"),
        (without("ca_file"), "is of an authority that is not trusted; name the right one with ca_file"),
        (anonymous, "a certificate of its clients"),
        (format!("{right}server_name = \"plc7\"\n"), "is not for plc7 but for localhost, 127.0.0.1; set server_name to one of these"),
        (format!("{right}server_name = \"127.0.0.1\"\n"), ""),
    ] {
        let text = format!("name = \"plc\"\n{keys}timeout_ms = 5000\n[[tag]]\nname = \"t\"\naddress = \"2!holding:5\"\n");
        let rows = build(&text).check(Duration::from_secs(20)).await;
        if expected.is_empty() {
            assert_eq!((rows[0].error.as_str(), rows[0].value.clone()), ("", Some(Value::U64(20_005))), "{keys}");
        } else {
            assert!(rows[0].error.contains(expected), "{keys}: {}", rows[0].error);
            assert_eq!(rows[0].quality, Quality::BAD_NO_COMMUNICATION, "{keys}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_ended_after_each_poll_where_that_is_asked_for() {
    for close in [false, true] {
        let device = Device::start(Framing::Tcp).await;
        let text = format!(
            "name = \"d\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 50\nclose_after_poll = {close}\n\
             [[tag]]\nname = \"a\"\naddress = \"input:7\"\n[[tag]]\nname = \"b\"\naddress = \"2!coil:7\"\n",
            device.port
        );
        let mut running = start(&text);
        eventually("twenty polls", || running.count("a") >= 20 && running.count("b") >= 20).await;
        running.stop().await;
        running.assert_lost_no_poll();
        let (connections, polls) = (device.connections(), running.polls());
        if close {
            // The first reading of each unit is one of its own.
            assert!((polls..=polls + 3).contains(&connections), "{connections} connections, {polls} polls");
        } else {
            assert_eq!(connections, 1);
        }
        assert_eq!(running.status.connects.load(Ordering::Relaxed), connections);
    }
}
