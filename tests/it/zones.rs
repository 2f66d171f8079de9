//! Zones: listeners that let only some rights through, whoever comes by them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use historian_proto::v1::{WriteRequest, WriteSamplesRequest, write_service_client::WriteServiceClient};
use tonic::{Request, transport::Endpoint};

use crate::support::{
    door::{columns, row},
    historian::{command, run, serve, text},
};
use historian_test_support::program::free_addresses;

fn asked(server: &str, token: &str, arguments: &[&str]) -> (bool, String) {
    let output = command(arguments).args(["--server", server]).env("HISTORIAN_TOKEN", token).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Writes a sample of each tag, and makes the tags.
fn written(address: SocketAddr, token: &str, tags: &[&str]) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let samples = tags.iter().map(|tag| columns(tag, &[row(1_767_225_600_000_000_000, 7.0, 0)])).collect();
        let options = Some(WriteRequest { create_tags: true, ..WriteRequest::default() });
        let mut request = Request::new(WriteSamplesRequest { options, samples });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let answer = WriteServiceClient::new(channel).write_samples(request).await.unwrap().into_inner();
        assert_eq!((answer.samples, answer.failures.len()), (tags.len() as u64, 0), "{answer:?}");
    });
}

fn token(data: &Path, arguments: &[&str]) -> String {
    let (code, out, err) = run(&[&["token"], arguments, &["--data-dir", &data.display().to_string()]].concat());
    assert_eq!(code, 0, "{err}");
    out.trim().to_owned()
}

#[test]
fn a_zone_lets_its_rights_through_and_no_other_whoever_asks() {
    let directory = tempfile::tempdir().unwrap();
    let (data, config) = (directory.path().join("data"), directory.path().join("historian.toml"));
    let [it, ot, it_http] = free_addresses::<3>();
    let zones = format!(
        "[[zone]]\nname = \"it\"\nlisten = \"{it}\"\nhttp = \"{it_http}\"\nrights = [\"read\"]\n\
         [[zone]]\nname = \"machines\"\nlisten = \"{ot}\"\nrights = [\"write\", \"configure\"]\n"
    );
    fs::write(&config, zones).unwrap();
    fs::create_dir(&data).unwrap();
    let boss = token(&data, &["create", "boss", "--role", "admin"]);
    let ana = token(&data, &["create", "ana", "--role", "reader", "--tags", "a/**"]);
    let historian = serve(&data, &["--config", &config.display().to_string()]);
    let samples = directory.path().join("samples.csv");
    fs::write(&samples, "timestamp,tag,value\n2026-01-01T00:00:00Z,a/x,7\n2026-01-01T00:00:00Z,b/x,7\n").unwrap();
    let samples = samples.display().to_string();
    let (everything, it, machines) = (historian.url(), format!("grpc://{it}"), format!("grpc://{ot}"));

    // By the machines' zone data comes in, and does not go out; by that of IT it goes out, and nothing else is done.
    let (done, said) = asked(&it, &boss, &["import", &samples, "--create-tags"]);
    assert!(!done && said.contains("may not"), "{said}");
    written(ot, &boss, &["a/x", "b/x"]);
    let (done, said) = asked(&machines, &boss, &["query", "current", "a/x"]);
    assert!(!done && said.contains("may not read"), "{said}");
    let (done, said) = asked(&it, &boss, &["query", "current", "**"]);
    assert!(done && said.contains("a/x") && said.contains("b/x"), "{said}");
    // A zone gives nobody more than they have.
    let (done, said) = asked(&it, &ana, &["query", "current", "**"]);
    assert!(done && said.contains("a/x") && !said.contains("b/x"), "{said}");
    for administration in [&["compact"][..], &["audit"], &["tag", "retype", "a/x", "i64"]] {
        let (done, said) = asked(&it, &boss, administration);
        assert!(!done && (said.contains("may not") || said.contains("there is no tag")), "{administration:?}: {said}");
    }
    // Who may read sees the devices of the tags, and nothing of the server; who may only write sees neither.
    let (done, said) = asked(&it, &boss, &["status"]);
    assert!(done && said.contains("takes the right to administer") && !said.contains("samples written"), "{said}");
    let (done, said) = asked(&machines, &boss, &["status"]);
    assert!(!done && said.contains("may not read"), "{said}");
    assert!(asked(&it, "", &["query", "current", "**"]).1.contains("asks for a token"));
    // By the first listener all is done as before.
    for administration in [&["compact"][..], &["status"], &["audit"], &["query", "current", "a/x"]] {
        let (done, said) = asked(&everything, &boss, administration);
        assert!(done, "{administration:?}: {said}");
    }
    // Over HTTP: health for everybody, metrics for nobody who may only read.
    let get = |address: SocketAddr, path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {boss}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get(it_http, "/livez").starts_with("HTTP/1.1 200"), "{}", get(it_http, "/livez"));
    assert!(get(it_http, "/metrics").starts_with("HTTP/1.1 403"), "{}", get(it_http, "/metrics"));
    assert!(get(historian.http, "/metrics").starts_with("HTTP/1.1 200"));
    historian.stop().unwrap();
}

#[test]
fn zones_that_cannot_be_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("historian.toml");
    let zone = "[[zone]]\nname = \"it\"\n";
    let cases = [
        (format!("{zone}listen = \"127.0.0.1:7001\"\nrights = []\n"), "lets nothing through"),
        (format!("{zone}listen = \"127.0.0.1:7001\"\nrights = [\"reed\"]\n"), "\"reed\" is no right; these are: read, write"),
        (format!("{zone}rights = [\"read\"]\n"), "listens nowhere"),
        (format!("{zone}listen = \"0.0.0.0:7001\"\nrights = [\"read\"]\n"), "TLS"),
        (format!("{zone}listen = \"127.0.0.1:8815\"\nrights = [\"read\"]\n"), "is server.listen as well"),
        (
            format!("{zone}listen = \"127.0.0.1:7001\"\nrights = [\"read\"]\n{zone}listen = \"127.0.0.1:7002\"\nrights = [\"read\"]\n"),
            "two zones \"it\"",
        ),
    ];
    for (text, reason) in cases {
        fs::write(&config, &text).unwrap();
        let (code, out, err) = run(&["check", "--offline", "--config", &config.display().to_string()]);
        assert!(code != 0 && (out.clone() + &err).contains(reason), "{text}: {out}{err}");
    }
}
