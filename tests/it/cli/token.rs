//! API tokens from outside: made, listed and revoked on the file of a data directory, and sent by the client commands.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{
    Request, Status,
    service::InterceptorLayer,
    transport::{Server, server::TcpIncoming},
};

use super::{command, directory, stderr, stdout};

/// `historian token …` on a data directory.
fn token(directory: &TempDir, arguments: &[&str]) -> Output {
    let mut command = command(&["token"]);
    command.args(arguments).env("HISTORIAN_DATA_DIR", directory.path());
    command.output().expect("the program starts")
}

fn create(directory: &TempDir, arguments: &[&str]) -> String {
    let output = token(directory, &[&["create"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let secret = stdout(&output).strip_suffix('\n').expect("one line").to_owned();
    assert!(secret.starts_with("hst_") && secret.len() == 47 && !secret.contains(char::is_whitespace), "{secret}");
    assert!(!stderr(&output).contains(&secret), "the secret is told once, on standard output");
    secret
}

fn listed(directory: &TempDir) -> Vec<Json> {
    let output = token(directory, &["list", "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn tokens_are_made_listed_and_revoked_and_their_secrets_are_nowhere() {
    let data = directory(&[]);
    let ana = create(&data, &["ana", "--role", "reader", "--tags", "area1/**", "--tags", "plant/{a,b}", "--expires", "90d"]);
    let admin = create(&data, &["root@plant", "--role", "admin", "--expires", "never"]);
    let grants = ["--grant", "writer=area1/line3/**", "--grant", "reader=area1/**,plant/{a,b}", "--role", "auditor"];
    let line3 = create(&data, &[&["line3"], &grants[..]].concat());
    let output = token(&data, &["revoke", "ana"]);
    assert!(output.status.success() && stdout(&output).starts_with("token 1 (ana) is revoked"), "{}", stderr(&output));
    assert_eq!(token(&data, &["revoke", "2"]).status.code(), Some(0));
    let again = create(&data, &["ana", "--role", "engineer", "--expires", "2099-01-01T00:00:00Z"]);

    let tokens = listed(&data);
    let told = |token: &Json| format!("{} {} {} {}", token["id"], token["name"], token["state"], token["grants"]).replace('"', "");
    assert_eq!(
        tokens.iter().map(told).collect::<Vec<_>>(),
        [
            "1 ana revoked [{role:reader,tags:[area1/**,plant/{a,b}]}]",
            "2 root@plant revoked [{role:admin,tags:[]}]",
            "3 line3 valid [{role:auditor,tags:[]},{role:writer,tags:[area1/line3/**]},{role:reader,tags:[area1/**,plant/{a,b}]}]",
            "4 ana valid [{role:engineer,tags:[]}]",
        ]
    );
    assert_eq!((&tokens[1]["expires"], &tokens[3]["expires"]), (&Json::Null, &Json::from("2099-01-01T00:00:00Z")));
    let days = |from: &Json, to: &Json| {
        let [from, to] = [from, to].map(|time| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
        to.duration_since(from).as_secs() / 86_400
    };
    assert_eq!(days(&tokens[0]["created"], &tokens[0]["expires"]), 90);
    assert_eq!(days(&tokens[2]["created"], &tokens[2]["expires"]), 365, "a year where nothing is said");

    let mut shown = String::new();
    for format in [&[][..], &["--format", "table"], &["--format", "csv"], &["--format", "json"]] {
        let output = token(&data, &[&["list"], format].concat());
        assert!(output.status.success() && stdout(&output).contains("line3"), "{format:?}: {}", stderr(&output));
        shown += &stdout(&output);
    }
    for entry in fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        shown += &fs::read_to_string(path).unwrap();
    }
    for secret in [ana, admin, line3, again] {
        assert!(!shown.contains(secret.trim_start_matches("hst_")), "{secret}");
    }
}

#[test]
fn a_token_that_cannot_be_made_is_refused_with_the_reason_and_nothing_is_written() {
    let data = directory(&[]);
    for (arguments, reason) in [
        (&["create", "ana"][..], "--role"),
        (&["create", "ana", "--role", "root"], "use reader, writer"),
        (&["create", "ana", "--tags", "a/**"], "--role"),
        (&["create", "3", "--role", "reader"], "must begin with a letter"),
        (&["create", "ana", "--role", "reader", "--tags", "a/["], "\"a/[\" is not valid"),
        (&["create", "ana", "--grant", "reader="], "is empty"),
        (&["create", "ana", "--grant", "auditor=a/**"], "takes no tags"),
        (&["create", "ana", "--role", "reader", "--expires", "soon"], "--expires soon"),
        (&["create", "ana", "--role", "reader", "--expires", "2020-01-01T00:00:00Z"], "2020-01-01T00:00:00Z"),
        (&["list", "--format", "parquet"], "table, csv or json"),
    ] {
        let output = token(&data, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason) && stdout(&output).is_empty(), "{arguments:?}: {}", stderr(&output));
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "{arguments:?}");
    }
    create(&data, &["ana", "--role", "reader"]);
    let file = data.path().join("access.json");
    let open_to_others = || fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let missing = data.path().join("missing").display().to_string();
    for (arguments, reason, before) in [
        (&["create", "ana", "--role", "admin"][..], "a token ana exists (number 1)", &(|| ()) as &dyn Fn()),
        (&["revoke", "bob"], "there is no valid token bob", &|| ()),
        (&["revoke", "7"], "there is no valid token 7", &|| ()),
        (&["list", "--data-dir", &missing], "is no directory", &|| ()),
        (&["create", "bob", "--role", "reader", "--data-dir", &missing], "is no directory", &|| ()),
        (&["list"], "chmod 600", &open_to_others),
        (&["create", "bob", "--role", "reader"], "chmod 600", &|| ()),
    ] {
        before();
        let output = token(&data, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason) && stderr(&output).lines().count() == 1, "{arguments:?}: {}", stderr(&output));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(listed(&data).len(), 1);
}

#[test]
fn commands_that_make_tokens_at_the_same_time_lose_none() {
    let data = directory(&[]);
    let running: Vec<_> = (0..12)
        .map(|number| {
            let mut command = command(&["token", "create", &format!("t{number}"), "--role", "reader", "--data-dir"]);
            command.arg(data.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
        })
        .collect();
    for child in running {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let tokens = listed(&data);
    let ids: Vec<u64> = tokens.iter().map(|token| token["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=12).collect::<Vec<_>>());
}

/// The header `authorization` of each request.
type Shown = Arc<Mutex<Vec<Option<String>>>>;

/// A server that refuses every request, and keeps what each has shown.
fn refuser(runtime: &Runtime, shown: Shown) -> String {
    let _entered = runtime.enter();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).expect("a free port");
    let address = incoming.local_addr().expect("an address");
    let keep = InterceptorLayer::new(move |request: Request<()>| -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|header| header.to_str().unwrap().to_owned());
        shown.lock().unwrap().push(header);
        Err(Status::unauthenticated("nobody may"))
    });
    let (_, health) = tonic_health::server::health_reporter();
    runtime.spawn(Server::builder().layer(keep).add_service(health).serve_with_incoming(incoming));
    format!("grpc://{address}")
}

#[test]
fn client_commands_show_their_token_to_the_server_and_to_nobody_else() {
    let canary = "hst_canary";
    let files = directory(&[("token", &format!("{canary}_of_file\n")), ("samples.csv", "tag,timestamp,value\na,2026-01-01T00:00:00Z,1\n")]);
    let file = |name: &str| files.path().join(name).display().to_string();
    fs::set_permissions(Path::new(&file("token")), fs::Permissions::from_mode(0o600)).unwrap();
    let shown = Shown::default();
    let runtime = Runtime::new().unwrap();
    let server = refuser(&runtime, shown.clone());
    let commands: &[&[&str]] = &[
        &["status"],
        &["tag", "list"],
        &["query", "range", "a"],
        &["query", "current"],
        &["detectors"],
        &["export", "a", "--start", "y", "--end", "t", "--output", &file("parts")],
        &["import", &file("samples.csv")],
        &["delete", "a", "--start", "y", "--end", "t", "--reason", "r", "--yes"],
        &["superseded", "a", "--start", "y", "--end", "t"],
        &["compact"],
        &["backup"],
        &["backup", "list"],
        &["inspect"],
        &["audit"],
        &["gaps"],
        &["annotation", "list"],
        &["annotation", "create", "a", "--text", "t"],
        &["tag", "rename", "a", "b"],
    ];
    let run = |arguments: &[&str], variable: &str, expected: Option<String>| {
        let output = command(arguments).env("HISTORIAN_SERVER", &server).env("HISTORIAN_TOKEN", variable).output().unwrap();
        let told = stdout(&output) + &stderr(&output);
        assert!(output.status.code() == Some(1) && told.contains("nobody may"), "{arguments:?}: {told}");
        assert!(!told.contains("canary"), "{arguments:?}: {told}");
        let shown = std::mem::take(&mut *shown.lock().unwrap());
        assert!(!shown.is_empty() && shown.iter().all(|shown| *shown == expected), "{arguments:?}: {shown:?}");
    };
    for arguments in commands {
        run(arguments, canary, Some(format!("Bearer {canary}")));
    }
    run(&["status"], "", None);
    run(&["status", "--token", "hst_canary_of_flag"], canary, Some("Bearer hst_canary_of_flag".to_owned()));
    run(&["status", "--token-file", &file("token")], canary, Some(format!("Bearer {canary}_of_file")));

    for (arguments, code) in [(&["status", "--help"][..], 0), (&["status", "--tokens"], 2), (&["status"], 2)] {
        let output =
            command(arguments).env("HISTORIAN_SERVER", &server).env("HISTORIAN_TOKEN", "hst_canary of two words").output().unwrap();
        let told = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(!told.contains("canary"), "{arguments:?}: {told}");
    }
    assert!(shown.lock().unwrap().is_empty());
}
