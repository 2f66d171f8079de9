//! Users of an OPC UA server who log on with a certificate or with an issued token. asyncua verifies the proof of a certificate; what a
//! server does with a token is in `tests/peers/opcua_users.py`.

use std::{io::Write, os::unix::fs::PermissionsExt, path::Path, sync::atomic::Ordering, time::Duration};

use historian::model::Value;
use opcua::crypto::{X509, X509Data};
use serde_json::{Value as Json, json};

use super::{
    opcua::{PATIENCE, Running, build, device, plain_tags, server, text_of, try_build},
    support::peer::Peer,
};

const OAEP: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep";
const OAEP_SHA256: &str = "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256";
const JWT: &str = "http://opcfoundation.org/UA/UserToken#JWT";
const OPEN: &str = "security_policy = \"None\"";
const SIGNED: &str = "security_mode = \"Sign\"";
const ENCRYPTED: &str = "security_mode = \"SignAndEncrypt\"";
const NEWEST: &str = "security_policy = \"Aes256Sha256RsaPss\"";

pub fn write_secret(file: &Path, content: &[u8], mode: u32) {
    std::fs::write(file, content).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes a user's certificate, which is valid for so many days from now on, and its key; their files, in DER.
pub fn make_user(folder: &Path, name: &str, days: u32) -> (String, String) {
    let data = X509Data { certificate_duration_days: days, ..X509Data::sample_cert() };
    let (certificate, key) = X509::cert_and_pkey(&data).unwrap();
    let (file, key_file) = (folder.join(format!("{name}.der")), folder.join(format!("{name}.key")));
    std::fs::write(&file, certificate.to_der().unwrap()).unwrap();
    write_secret(&key_file, key.to_der().unwrap().as_bytes(), 0o600);
    (text_of(&file).to_owned(), text_of(&key_file).to_owned())
}

/// Keys of a user with a certificate.
pub fn certificate_keys((file, key): &(String, String)) -> String {
    format!("user_certificate_file = \"{file}\"\nuser_key_file = \"{key}\"")
}

/// Keys of a user with a token.
pub fn token_keys(file: &Path) -> String {
    format!("token_file = \"{}\"", text_of(file))
}

/// A device with two tags behind some security, with the keys of its user.
pub fn secured(port: &str, folder: &Path, security: &str, user: &str) -> String {
    let pki = folder.join("pki");
    let keys = format!("{security}\npki_dir = \"{}\"\ntrust_server_certificate = true\nverify_hostname = false\n{user}", text_of(&pki));
    device(&format!("opc.tcp://127.0.0.1:{port}"), &keys) + &plain_tags(2)
}

fn ask(peer: &mut Peer, command: &Json) -> String {
    writeln!(peer.stdin, "{command}").unwrap();
    peer.line_starting("done", PATIENCE).trim_start_matches("done ").to_owned()
}

/// A token of the issuer that the server trusts, which lives so long, with claims of so many bytes.
pub fn issue(peer: &mut Peer, lives_s: i64, padding: usize) -> String {
    ask(peer, &json!({ "issue": [lives_s, padding] }))
}

/// How the tokens that the server was shown were encrypted.
pub fn shown(peer: &mut Peer) -> Vec<String> {
    serde_json::from_str(&ask(peer, &json!({ "shown": true }))).unwrap()
}

/// The first error of a check of a device; nothing where its tags have their values.
async fn error_of(text: &str) -> String {
    let rows = build(text).check(Duration::from_secs(30)).await;
    if rows[0].error.is_empty() {
        assert_eq!(rows[1].value, Some(Value::F64(1.0)), "{rows:?}");
    }
    rows[0].error.clone()
}

#[test]
fn a_device_has_one_identity_and_all_of_it() {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (keys, key, message) in [
        (format!("user_certificate_file = \"{FILE}\""), "user_key_file", "missing"),
        (format!("user_key_file = \"{FILE}\""), "user_certificate_file", "missing"),
        (format!("user_certificate_file = \"{FILE}\"\nuser_key_file = \"/none/key\""), "user_key_file", "there is no file"),
        (format!("user_certificate_file = \"{FILE}\"\ntoken_file = \"t\""), "token_file", "another identity beside user_certificate_file"),
        (format!("user = \"u\"\npassword_file = \"{FILE}\"\ntoken_file = \"t\""), "token_file", "another identity beside user"),
        ("issued_type = \"urn:t\"".to_owned(), "issued_type", "no effect without a token_file"),
        ("token_file = \"t\"\nissued_type = \"\"".to_owned(), "issued_type", JWT),
    ] {
        let text = device("opc.tcp://h:4840", &format!("{OPEN}\n{keys}")) + &plain_tags(1);
        let problems = try_build(&text).err().unwrap_or_else(|| panic!("{keys} is taken"));
        assert_eq!(problems.len(), 1, "{keys}: {problems:?}");
        assert!(problems[0].key.ends_with(&format!(".{key}")) && problems[0].message.contains(message), "{keys}: {}", problems[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_logs_on_by_each_policy_and_over_an_open_channel() {
    let folder = tempfile::tempdir().unwrap();
    let user = make_user(folder.path(), "user", 365);
    let (_peer, port) = server(&["--nodes", "2", "--secure", text_of(folder.path()), "--open", "--user-certificate", user.0.as_str()]);
    for security in [ENCRYPTED, SIGNED, NEWEST, OPEN] {
        let running = Running::start(&secured(&port, folder.path(), security, &certificate_keys(&user)));
        running.until("all values", |r| r.delivering() == 2).await;
        assert_eq!(running.status.connects.load(Ordering::Relaxed), 1, "{security}: {:?}", running.status.view());
        running.stop().await;
    }
    let collector = build(&secured(&port, folder.path(), ENCRYPTED, &certificate_keys(&user)));
    let rows = collector.check(Duration::from_secs(30)).await;
    let told = collector.advice(&rows);
    assert!(told[0].starts_with("logs on with the certificate \"") && told[0].contains(&user.0), "{told:?}");
    assert!(told[0].contains("thumbprint ") && told[0].contains("valid until 20"), "{told:?}");
    assert!(collector.logon().unwrap().wrong.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_proves_nothing_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (user, stranger) = (make_user(folder.path(), "user", 365), make_user(folder.path(), "stranger", 0));
    let (_peer, port) = server(&["--nodes", "2", "--secure", text_of(folder.path()), "--user-certificate", user.0.as_str()]);
    let readable = folder.path().join("readable.key");
    write_secret(&readable, &std::fs::read(&user.1).unwrap(), 0o644);
    let text = |user: &(String, String)| secured(&port, folder.path(), ENCRYPTED, &certificate_keys(user));
    assert_eq!(error_of(&text(&user)).await, "");
    let (mixed, exposed, swapped) =
        ((user.0.clone(), stranger.1.clone()), (user.0.clone(), text_of(&readable).to_owned()), (user.1.clone(), user.0.clone()));
    for (pair, expected) in [
        (&stranger, "refuses the user: let it trust the certificate of user_certificate_file"),
        (&stranger, "the certificate expired at 20"),
        (&mixed, "is not the key of the certificate in user_certificate_file"),
        (&exposed, "chmod 600 it"),
        (&swapped, "holds no certificate in PEM or DER"),
    ] {
        let error = error_of(&text(pair)).await;
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // What the files tell is known without the server.
    for (pair, expected) in [(&stranger, "expired at 20"), (&mixed, "is not the key"), (&exposed, "chmod 600 it")] {
        let wrong = build(&text(pair)).logon().unwrap().wrong;
        assert!(wrong.len() == 1 && wrong[0].contains(expected), "{wrong:?}");
    }
    // Another identity is another device to a reload.
    assert_ne!(build(&text(&user)).fingerprint(), build(&text(&exposed)).fingerprint());

    let names = ["--nodes", "2", "--secure", text_of(folder.path()), "--user", "historian", "--password", "s3cret"];
    let (_peer, port) = server(&names);
    let error = error_of(&secured(&port, folder.path(), ENCRYPTED, &certificate_keys(&user))).await;
    assert!(error.contains("takes no certificate of a user; it takes: user name and password"), "{error}");
    let error = error_of(&secured(&port, folder.path(), ENCRYPTED, &token_keys(&folder.path().join("none")))).await;
    assert!(error.contains("token_file") && error.contains("none"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_encrypted_for_the_server_and_read_anew_when_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut peer, port) = server(&["--nodes", "2", "--secure", text_of(folder.path()), "--open", "--token-key", "of the issuer"]);
    let file = folder.path().join("token");
    let text = |security: &str| secured(&port, folder.path(), security, &token_keys(&file));

    // The program that writes it may start later, and one that has stopped leaves an old one.
    let running = Running::start(&text(ENCRYPTED));
    running.until("the missing file", |r| r.status.view().last_error.contains(text_of(&file))).await;
    let expired = issue(&mut peer, -60, 0);
    write_secret(&file, expired.as_bytes(), 0o640);
    running.until("the refusal", |r| r.status.view().last_error.contains("refuses the user")).await;
    running.until("its reason", |r| r.status.view().last_error.contains("the token expired at 20")).await;
    let wrong = running.collector.logon().unwrap().wrong;
    assert!(wrong.len() == 1 && wrong[0].contains("expired at 20"), "{wrong:?}");
    let renewed = issue(&mut peer, 600, 0);
    write_secret(&file, format!("{renewed}\n").as_bytes(), 0o640);
    running.until("all values", |r| r.delivering() == 2).await;
    assert!(!running.status.view().last_error.contains(&expired), "a token is in no message");
    running.stop().await;

    // One block of RSA, and many of them.
    for (padding, security, algorithm) in [(0, SIGNED, OAEP), (3_000, ENCRYPTED, OAEP), (3_000, NEWEST, OAEP_SHA256), (3_000, OPEN, OAEP)] {
        write_secret(&file, issue(&mut peer, 600, padding).as_bytes(), 0o600);
        assert_eq!(error_of(&text(security)).await, "", "{security}");
        assert_eq!(shown(&mut peer).last().map(String::as_str), Some(algorithm), "{security}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_sent_where_others_could_read_it_or_the_server_wants_another() {
    let folder = tempfile::tempdir().unwrap();
    let server_arguments =
        ["--nodes", "2", "--secure", text_of(folder.path()), "--open", "--token-key", "of the issuer", "--token-policy", "none"];
    let (mut peer, port) = server(&server_arguments);
    let file = folder.path().join("token");
    let token = issue(&mut peer, 600, 0);
    write_secret(&file, token.as_bytes(), 0o600);
    let text = |security: &str, more: &str| secured(&port, folder.path(), security, &format!("{}\n{more}", token_keys(&file)));
    for (security, more, expected) in [
        (OPEN, "", "the token is not sent: the server wants it as clear text in a channel without encryption"),
        (SIGNED, "", "the token is not sent: the server wants it as clear text in a channel that is only signed"),
        (ENCRYPTED, "issued_type = \"urn:ticket\"", "the server takes tokens of the type http://opcfoundation.org/UA/UserToken#JWT"),
    ] {
        let error = error_of(&text(security, more)).await;
        assert!(error.contains(expected), "{security} {more}: {error}");
    }
    for (content, mode, expected) in [
        (token.as_str(), 0o644, "chmod 640 it"),
        ("{\"access_token\": \"a.b.c\"}", 0o600, "holds no JWT"),
        ("", 0o600, "must hold one line"),
    ] {
        write_secret(&file, content.as_bytes(), mode);
        let error = error_of(&text(ENCRYPTED, "")).await;
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(shown(&mut peer), Vec::<String>::new());
    // In a channel that is encrypted the server may ask for it as it is.
    write_secret(&file, token.as_bytes(), 0o600);
    assert_eq!(error_of(&text(ENCRYPTED, &format!("issued_type = \"{JWT}\""))).await, "");
    assert_eq!(shown(&mut peer), ["clear"]);
}
