//! `historian tls`: what it makes, prints and shows, and that what it prints works as it stands; and starts that are refused.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use historian_test_support::program;

use super::{Site, curl, run, start};
use crate::support::{historian, java::java};

fn lines_after<'text>(text: &'text str, heading: &str) -> Vec<&'text str> {
    let (_, rest) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading:?} in {text}"));
    rest.trim_start_matches('\n').lines().take_while(|line| line.starts_with("    ")).map(str::trim).collect()
}

#[test]
fn what_init_makes_and_prints_serves_and_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("tls").display().to_string();
    let (code, said, told) = historian::run(&["tls", "init", "--host", "plant.example", "192.0.2.1", "--dir", &dir]);
    assert_eq!(code, 0, "{told}");
    for (file, mode) in [("ca.key", 0o600), ("server.key", 0o600), ("ca.crt", 0o644), ("server.crt", 0o644)] {
        assert_eq!(fs::metadata(Path::new(&dir).join(file)).unwrap().permissions().mode() & 0o777, mode, "{file}");
    }
    // Another program judges what was made.
    let [ca, server] = ["ca.crt", "server.crt"].map(|file| format!("{dir}/{file}"));
    let verified = run(Command::new("openssl").args([
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "plant.example",
        "-CAfile",
        &ca,
        &server,
    ]));
    assert!(verified.0 == 0, "{verified:?}");
    for file in [&ca, &server] {
        let fingerprint = run(Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in", file])).1;
        assert!(said.contains(fingerprint.trim().split_once('=').unwrap().1), "{fingerprint} is not in {said}");
    }

    let configuration = lines_after(&said, "The historian's configuration:\n").join("\n");
    let config = directory.path().join("historian.toml");
    fs::write(
        &config,
        configuration
            .replace("# client_ca", "client_ca")
            .replace("# client_certificates = \"required\"", "client_certificates = \"optional\""),
    )
    .unwrap();
    let config = config.display().to_string();
    let server = start(&directory.path().join("data"), &["--config", &config]);

    // Every line of a client as it stands, but for the address.
    let recipes = lines_after(&said, "and nothing else of that directory:\n");
    let recipe = |client: &str| {
        let line = recipes.iter().find_map(|line| line.strip_prefix(client)).unwrap_or_else(|| panic!("{client}: {recipes:#?}")).trim();
        line.replace("plant.example:8815", &format!("localhost:{}", server.grpc.port()))
            .replace("plant.example:8080", &format!("localhost:{}", server.http.port()))
    };
    let shell = |line: &str| run(Command::new("sh").args(["-c", line]));
    let own = env!("CARGO_BIN_EXE_historian");
    let status = recipe("historian").replacen("historian", own, 1);
    let (code, said, told) = shell(&status);
    assert!(code == 0 && said.contains("TLS with the certificate of CN=plant.example"), "{said}{told}");
    let (code, said, told) = shell(&recipe("curl").replace("/metrics", "/livez"));
    assert!(code == 0 && said.contains("ok"), "{said}{told}");
    let python = |lines: &str| run(Command::new(crate::support::peer::interpreter()).args(["-c", lines]));
    for lines in [
        format!("import pyarrow.flight as flight\nprint(len(list({}.list_actions())))", recipe("pyarrow")),
        format!("import grpc\nchannel = {}\ngrpc.channel_ready_future(channel).result(10)", recipe("grpcio")),
        format!(
            "import adbc_driver_flightsql.dbapi as dbapi\nwith {} as c, c.cursor() as q:\n    q.execute('SELECT 1')\n    print(q.fetchall())",
            recipe("ADBC")
        ),
    ] {
        let (code, said, told) = python(&lines);
        assert_eq!(code, 0, "{lines}: {said}{told}");
    }
    assert!(java("Tls.java", &[], &[&recipe("JDBC")]).contains("refused: "));

    // A client of that authority.
    let (code, said, told) = historian::run(&["tls", "client", "--name", "erp", "--dir", &dir]);
    assert!(code == 0 && said.contains("client-erp.key"), "{said}{told}");
    let verified = run(Command::new("openssl").args([
        "verify",
        "-x509_strict",
        "-purpose",
        "sslclient",
        "-CAfile",
        &ca,
        &format!("{dir}/client-erp.crt"),
    ]));
    assert!(verified.0 == 0, "{verified:?}");
    let pair = [format!("{dir}/client-erp.crt"), format!("{dir}/client-erp.key")];
    assert_eq!(curl(server.http, "/livez", &["--cacert", &ca, "--cert", &pair[0], "--key", &pair[1]]).0, 0);

    let (code, said, told) = historian::run(&["tls", "show", "--config", &config]);
    assert!(code == 0 && said.contains("names        DNS:plant.example IP:192.0.2.1 DNS:localhost"), "{said}{told}");
    assert!(said.contains("Certificates of clients: optional") && !said.contains("WARNING"), "{said}");

    // Nothing is overwritten unasked; a renewed certificate is of the same authority.
    let before = fs::read(&ca).unwrap();
    let (code, _, told) = historian::run(&["tls", "init", "--host", "plant.example", "--dir", &dir]);
    assert!(code == 2 && told.contains("--renew") && told.contains("--force"), "{told}");
    let (code, _, told) = historian::run(&["tls", "client", "--name", "erp", "--dir", &dir]);
    assert!(code == 2 && told.contains("--force"), "{told}");
    let (code, _, told) = historian::run(&["tls", "init", "--renew", "--host", "plant.example", "--dir", &dir]);
    assert!(code == 0 && fs::read(&ca).unwrap() == before, "{told}");
    let (code, _, told) = historian::run(&["tls", "init", "--force", "--host", "plant.example", "--dir", &dir]);
    assert!(code == 0 && fs::read(&ca).unwrap() != before, "{told}");
}

#[test]
fn a_start_that_cannot_be_secure_is_refused_with_what_to_do() {
    let site = Site::new();
    let (certificate, key) = site.server();
    let (other, _) = site.servers.issue("other", &super::Wanted::server(&["localhost"]));
    let data = site.directory.path().join("never-made");
    let path = |name: &str| site.directory.path().join(name);
    fs::write(path("empty"), "").unwrap();
    fs::copy(&key, path("open.key")).unwrap();
    fs::set_permissions(path("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let words = ["pkcs8", "-topk8", "-passout", "pass:secret", "-in"];
    let encrypted = run(Command::new("openssl").args(words).arg(&key).arg("-out").arg(path("encrypted.key")));
    assert_eq!(encrypted.0, 0, "{encrypted:?}");
    run(Command::new("chmod").arg("600").arg(path("encrypted.key")));
    let other_key = path("other.key");
    for (certificate, key, told) in [
        (&certificate, Some(&path("open.key")), "chmod 600"),
        (&certificate, Some(&other_key), "is not the key of the certificate"),
        (&certificate, Some(&path("encrypted.key")), "is encrypted"),
        (&certificate, Some(&path("none")), "there is no such file"),
        (&certificate, Some(&other), "exchanged"),
        (&certificate, None, "tls.key: is needed"),
        (&path("empty"), Some(&key), "has no certificate"),
        (&path("none"), Some(&key), "there is no such file"),
        (&key, Some(&key), "exchanged"),
    ] {
        // One that is not refused would serve for ever.
        let mut command = program::command("timeout");
        command.args(["20", env!("CARGO_BIN_EXE_historian"), "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(&data).arg("--tls-certificate").arg(certificate);
        if let Some(key) = key {
            command.arg("--tls-key").arg(key);
        }
        let (code, _, complaint) = run(&mut command);
        assert!(code == 2 && complaint.contains(told), "{told}: {complaint}");
        assert!(complaint.contains("secret") == data.display().to_string().contains("secret") && !data.exists(), "{complaint}");
    }
    // With TLS tokens are still missing.
    let mut command = program::command("timeout");
    command.args(["20", env!("CARGO_BIN_EXE_historian"), "serve", "--listen", "0.0.0.0:0"]);
    command.arg("--data-dir").arg(&data).arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key);
    let (code, _, complaint) = run(&mut command);
    assert!(code == 2 && complaint.contains("historian token create") && !complaint.contains("not configured"), "{complaint}");
}

#[test]
fn who_asks_for_tls_does_not_get_less() {
    let site = Site::new();
    let (code, _, told) = historian::run(&["status", "--server", "grpc://127.0.0.1:1", "--tls-ca", &site.path("servers.crt")]);
    assert!(code == 2 && told.contains("--tls-ca is for TLS") && told.contains("grpc+tls://127.0.0.1:1"), "{told}");
    let (code, _, told) = historian::run(&["status", "--server", "grpc+tls://127.0.0.1:1", "--tls-ca", &site.path("none")]);
    assert!(code == 2 && told.contains("there is no such file"), "{told}");
}
