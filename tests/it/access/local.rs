//! The local administrator: by a socket in the data directory, without any token, when everything else is lost.

use std::{
    fs,
    io::Write,
    os::unix::{fs::FileTypeExt, fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::plant::{Plant, Tags, Who};
use crate::support::historian::{self, run, text};

fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// Whose the tests are, as the historian names them.
fn own() -> String {
    format!("local:{}", rustix::process::geteuid().as_raw())
}

#[test]
fn whoever_owns_the_directory_administers_without_a_token() {
    let plant = Runtime::new().unwrap().block_on(Plant::start(Tags::SeenAndHidden));
    let socket = plant.path("data/historian.sock");
    let about = fs::metadata(&socket).unwrap();
    assert!(about.file_type().is_socket() && about.permissions().mode() & 0o777 == 0o600, "{about:?}");
    // Every token is lost: the file is as it was, and nobody has one of its secrets.
    let server = address(&socket);
    let (code, told, complaint) = run(&["whoami", "--server", &server, "--format", "json"]);
    assert_eq!(code, 0, "{complaint}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["name"].as_str(), told["known_by"].as_str()), (Some(own().as_str()), Some("local_socket")), "{told}");
    assert_eq!(told["rights"].as_array().unwrap().len(), 6, "{told}");
    for (arguments, expected) in [
        (&["tag", "list"][..], "hidden/here"),
        (&["status"], "durable up to write"),
        (&["compact"], "chunk"),
        (&["query", "current", "seen/here"], "seen/here"),
    ] {
        let (code, told, complaint) = run(&[arguments, &["--server", &server]].concat());
        assert!(code == 0 && told.to_lowercase().contains(expected), "{arguments:?}: {told}{complaint}");
    }
    let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z");
    let delete = ["delete", "seen/here", "--start", start, "--end", end, "--reason", "a test", "--yes", "--server", &server];
    let (code, told, complaint) = run(&delete);
    assert_eq!(code, 0, "{told}{complaint}");
    let (_, told, _) = run(&["audit", "--server", &server]);
    assert!(told.contains(&own()), "{told}");
    // By the port it is as closed as ever, and a token counts there as here.
    let grpc = format!("grpc://{}", plant.historian.grpc);
    let (code, _, complaint) = run(&["status", "--server", &grpc]);
    assert!(code == 1 && complaint.contains("asks for a token"), "{complaint}");
    let (_, told, _) = run(&["whoami", "--server", &server, "--token", plant.token(Who::SeenReader)]);
    assert!(told.contains("token:seenreader"), "{told}");
    let (code, _, complaint) = run(&["whoami", "--server", &server, "--token", plant.token(Who::Revoked)]);
    assert!(code == 1 && complaint.contains("the token is not valid"), "{complaint}");
    let (code, _, complaint) = run(&["whoami", "--server", &server, "--tls-ca", "x"]);
    assert!(code == 2 && complaint.contains("is for TLS"), "{complaint}");
}

#[test]
fn the_socket_goes_with_the_historian_and_replaces_what_was_left() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("historian.sock");
    let first = historian::serve(directory.path(), &[]);
    let (code, _, complaint) = run(&["whoami", "--server", &address(&socket)]);
    assert_eq!(code, 0, "{complaint}");
    // Killed: it is left, and nobody listens behind it.
    drop(first);
    assert!(socket.exists(), "a killed process removes nothing");
    let (code, _, complaint) = run(&["whoami", "--server", &address(&socket)]);
    assert!(code == 1 && complaint.contains("is the historian running there?"), "{complaint}");
    let second = historian::serve(directory.path(), &[]);
    let (code, told, complaint) = run(&["whoami", "--server", &address(&socket)]);
    assert!(code == 0 && told.contains(&own()), "{told}{complaint}");
    second.stop().unwrap();
    assert!(!socket.exists(), "it goes with its historian");
    // It can be left out.
    let configuration = directory.path().join("historian.toml");
    fs::write(&configuration, "[server]\nlocal_socket = false\n").unwrap();
    let third = historian::serve(directory.path(), &["--config", &configuration.display().to_string()]);
    assert!(!socket.exists());
    third.stop().unwrap();
}

/// The mode of the socket keeps others out. Where that has been loosened, the system still says who they are. Only root can be somebody else.
#[test]
fn another_user_is_refused_whatever_the_mode_of_the_socket_is() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let _historian = historian::serve(&data, &[]);
    let socket = data.join("historian.sock");
    for path in [directory.path(), &data] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ask = |user: u32| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--http2-prior-knowledge", "--dump-header", "-", "--unix-socket"]);
        command.arg(&socket).args(["--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", "@-"]);
        command.arg("http://localhost/historian.v1.AccessService/WhoAmI").uid(user).gid(user).current_dir("/");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A message of no bytes, not compressed.
        child.stdin.take().unwrap().write_all(&[0; 5]).unwrap();
        let output = child.wait_with_output().unwrap();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    assert!(ask(0).contains("local:0"), "{}", ask(0));
    let refused = ask(12_345);
    assert!(refused.contains("curl: (7)"), "the mode keeps others out: {refused}");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    // Who is refused before its message is read may have its stream reset before curl has read why.
    let refused = (0..20).map(|_| ask(12_345)).inspect(|told| assert!(!told.contains("local:"), "{told}"));
    let refused = refused.into_iter().find(|told| told.contains("grpc-status")).unwrap();
    assert!(refused.contains("grpc-status: 16") && refused.contains("12345") && !refused.contains("local:12345"), "{refused}");
}

#[test]
fn a_token_is_not_sent_where_it_could_be_read_on_the_way() {
    let secret = "hst_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
    for server in ["grpc://192.0.2.1:8815", "http://plant.example:8815", "[2001:db8::1]:8815"] {
        let begun = std::time::Instant::now();
        let (code, _, complaint) = run(&["status", "--server", server, "--token", secret]);
        assert!(code == 2 && complaint.contains("is not sent") && complaint.contains("grpc+tls://"), "{server}: {complaint}");
        assert!(!complaint.contains(secret) && begun.elapsed().as_secs() < 4, "nothing was tried: {complaint}");
    }
    // With TLS it would be; and without a token nothing is secret.
    for arguments in [
        &["status", "--server", "grpc+tls://127.0.0.1:1", "--token", secret][..],
        &["status", "--server", "grpc://127.0.0.1:1", "--token", secret],
    ] {
        let (code, _, complaint) = run(arguments);
        assert!(code == 1 && complaint.contains("cannot connect"), "{complaint}");
    }
}
