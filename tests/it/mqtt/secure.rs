//! Brokers that want a password, TLS or a certificate, and what is said of those that do not fit.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::json;
use tempfile::TempDir;

use super::{PATIENCE, Plant, SECONDS};
use crate::{support::mqtt::Client, tls::Site};

const TOPIC: &str = "[[mqtt.topic]]\nfilter = \"plain/#\"\ntag_name = \"{topic}\"\npayload = \"text\"\n";

fn secret(directory: &TempDir, name: &str, text: &str) -> String {
    let file = directory.path().join(name);
    fs::write(&file, format!("{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

/// The words of the status when these keys do not fit; nothing is collected meanwhile.
fn refused(broker: &str, host: &str, keys: &str) -> Option<String> {
    let mut plant = Plant::with(broker, host, &format!("{keys}{TOPIC}"))?;
    plant.start();
    plant.until("it is refused", PATIENCE, |plant| !plant.status().last_error.is_empty());
    let status = plant.status();
    assert!(status.state != "running" && status.connects == 0, "{status:#?}");
    assert!(!status.last_error.contains("s3cret"), "{}", status.last_error);
    Some(status.last_error)
}

fn collects(broker: &str, host: &str, keys: &str, client: &[&str]) {
    let Some(mut plant) = Plant::with(broker, host, &format!("{keys}{TOPIC}")) else { return };
    plant.start();
    plant.until("the connection", PATIENCE, |plant| plant.status().state == "running");
    Client::plain(plant.port(), client).text("plain/a", "1.5");
    plant
        .until("the value", SECONDS, |plant| plant.of("plain/a").iter().any(|sample| sample.value == Some(json!(1.5)) && sample.is_good()));
}

#[test]
fn a_broker_is_told_user_and_password_and_says_when_they_are_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["historian", "s3cret"]).output();
    if let Err(error) = made {
        historian_test_support::skip::without("mosquitto", &error.to_string());
        return;
    }
    let broker = format!("allow_anonymous false\npassword_file {}", users.display());
    let (right, wrong) = (secret(&directory, "right", "s3cret"), secret(&directory, "wrong", "another"));
    for version in ["5", "3.1.1"] {
        let keys = |file: &str| format!("version = \"{version}\"\nuser = \"historian\"\npassword_file = \"{file}\"\n");
        collects(&broker, "127.0.0.1", &keys(&right), &["--user", "historian", "--password", "s3cret"]);
        for keys in [keys(&wrong), format!("version = \"{version}\"\n")] {
            let Some(said) = refused(&broker, "127.0.0.1", &keys) else { return };
            assert!(said.contains("password") && said.contains("user"), "{version}: {said}");
        }
    }
}

#[test]
fn a_broker_with_tls_is_trusted_by_its_authority_alone_and_asks_for_a_certificate() {
    let site = Site::new();
    let (certificate, key) = site.server();
    let broker = |more: &str| {
        format!(
            "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\n{more}",
            site.path("clients.crt"),
            certificate.display(),
            key.display()
        )
    };
    let (open, closed) = (broker(""), broker("require_certificate true"));
    let trusted = format!("tls = true\nca_file = \"{}\"\n", site.path("servers.crt"));
    let shown = format!("{trusted}certificate_file = \"{}\"\nkey_file = \"{}\"\n", site.erp.0.display(), site.erp.1.display());
    let (ca, erp) = (site.path("servers.crt"), (site.erp.0.display().to_string(), site.erp.1.display().to_string()));
    for version in ["5", "3.1.1"] {
        let keys = |keys: &str| format!("version = \"{version}\"\n{keys}");
        collects(&open, "localhost", &keys(&trusted), &["--ca", &ca]);
        collects(&closed, "localhost", &keys(&shown), &["--ca", &ca, "--certificate", &erp.0, "--key", &erp.1]);
    }
    let untrusted = format!("tls = true\nca_file = \"{}\"\n", site.path("clients.crt"));
    for (broker, keys, words) in [
        (&open, &untrusted, ["certificate", "ca_file"]),
        (&closed, &trusted, ["certificate", "certificate_file"]),
        (&open, &String::new(), ["tls", "localhost"]),
    ] {
        let Some(said) = refused(broker, "localhost", keys) else { return };
        assert!(words.iter().all(|word| said.contains(word)), "{said}: {words:?}");
    }
    // And one that answers under another name than it is called by.
    let (certificate, key) = site.servers.issue("other", &crate::tls::mini::Wanted::server(&["plc.example"]));
    let other = format!("allow_anonymous true\ncertfile {}\nkeyfile {}\n", certificate.display(), key.display());
    let Some(said) = refused(&other, "localhost", &trusted) else { return };
    assert!(said.contains("localhost") && said.contains("certificate"), "{said}");
}
