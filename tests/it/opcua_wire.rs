//! What OPC UA servers send that no client library expects: odd values, clocks, certificates and ways to log on. The peer is asyncua with
//! `tests/peers/opcua_oddities.py`.

use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use historian::model::{Quality, Value};
use serde_json::json;

use super::opcua::{FIRST, GONE, PATIENCE, Running, build, device, open_device, password_file, plain_tags, server, tag, text_of, write};

const UNDECODED: u32 = 0x8007_0000;
const TOO_LARGE: u32 = 0x8008_0000;
const MISFIT: u32 = Quality::BAD_TYPE_MISMATCH.0;

/// A value that is no sample: node, kind and value of the peer, type of the tag, what must be stored, words of the reason.
type Odd = (&'static str, &'static str, serde_json::Value, &'static str, (Option<Value>, u32), &'static str);

fn odd_values() -> Vec<Odd> {
    let lossy = || Some(Value::String("K\u{fffd}lte".into()));
    vec![
        ("String", "Latin1", json!("Kälte"), "string", (lossy(), UNDECODED), "not UTF-8"),
        ("LocalizedText", "Latin1Text", json!("Kälte"), "string", (lossy(), UNDECODED), "not UTF-8"),
        ("Double", "EmptyMatrix", json!([0, 3]), "f64", (None, MISFIT), "an array"),
        ("Float", "EmptyMatrix", json!([2, 0]), "f32", (None, MISFIT), "an array"),
        ("Guid", "Letters", json!(2 << 20), "string", (None, TOO_LARGE), "text_bytes_max"),
        ("Byte", "Bytes", json!(5 << 20), "u64", (None, TOO_LARGE), "the ByteString has 5242880 bytes"),
        // An array of texts in Latin-1; dimensions that are not those of its elements; a structure that says EUInformation and is none.
        ("Int16", "Raw", json!("8c0200000001000000e401000000e4"), "i64", (None, MISFIT), "an array"),
        ("Int32", "Raw", json!("c60200000001000000020000000100000005000000"), "i64", (None, MISFIT), "an array"),
        ("UInt16", "Raw", json!("16010079030103000000ffffff"), "u64", (None, MISFIT), "a structure"),
        ("UInt32", "Raw", json!("1a02000000abcd"), "u64", (None, UNDECODED), "reserved type 26"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_decoded_is_bad_with_its_reason_and_costs_no_other() {
    let (mut peer, port) = server(&["--nodes", "20", "--name", "Anläge"]);
    let tags: String = odd_values().iter().map(|(node, _, _, value_type, ..)| tag(node, value_type)).collect();
    let text = open_device(&port) + &plain_tags(20) + &tags;
    for (node, kind, value, ..) in odd_values() {
        write(&mut peer, node, kind, &value, 0, FIRST);
    }
    let running = Running::start(&text);
    running.until("the good values", |r| r.delivering() == 20).await;
    running.until("the odd values", |r| odd_values().iter().all(|(node, ..)| !r.of(node).is_empty())).await;
    for (node, _, _, _, (value, quality), _) in odd_values() {
        assert_eq!(running.of(node), [(FIRST, value, quality)], "{node}");
    }
    // The others go on, and so do the odd ones as soon as their values are no more odd.
    write(&mut peer, "n3", "Double", &json!(33.0), 0, FIRST + 1_000);
    write(&mut peer, "String", "String", &json!("Kälte"), 0, FIRST + 1_000);
    running.until("a change", |r| r.of("n3").len() == 2 && r.of("String").len() == 2).await;
    assert_eq!(running.of("String")[1], (FIRST + 1_000, Some(Value::String("Kälte".into())), 0));
    write(&mut peer, "String", "Latin1", &json!("Wärme"), 0, FIRST + 2_000);
    running.until("the next", |r| r.of("String").len() == 3).await;
    assert_eq!(running.status.connects.load(Ordering::Relaxed), 1, "{:?}", running.status.view());
    let named = running.status.view().last_error;
    assert!(named.contains("is Bad: ") && named.contains("nsu=urn:plant;s="), "{named}");
    let (count, undelivered) = running.status.undelivered(100);
    assert_eq!(count, odd_values().len());
    for (node, .., reason) in odd_values() {
        let told = undelivered.iter().find(|told| told.tag == node).unwrap_or_else(|| panic!("{node}: {undelivered:?}"));
        assert!(told.reason.contains(reason), "{told:?}");
    }
    running.stop().await;

    // `check` says the same, tag by tag.
    let rows = build(&text).check(Duration::from_secs(30)).await;
    assert_eq!(rows.len(), 20 + odd_values().len());
    assert!(rows[..20].iter().all(|row| row.error.is_empty() && row.value.is_some()), "{rows:?}");
    for ((node, .., (_, quality), reason), row) in odd_values().iter().zip(&rows[20..]) {
        assert_eq!((row.tag.as_str(), row.quality.0), (*node, *quality));
        assert!(row.error.contains(reason), "{node}: {}", row.error);
    }
    // What is too long is a matter of configuration.
    let larger = build(&text.replace("queue_size", "text_bytes_max = 3000000\nqueue_size")).check(Duration::from_secs(30)).await;
    let row = larger.iter().find(|row| row.tag == "Guid").unwrap();
    assert_eq!((row.error.as_str(), row.value.clone()), ("", Some(Value::String("x".repeat(2 << 20)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_value_breaks_the_message_is_left_out_and_named() {
    let (mut peer, port) = server(&["--nodes", "20"]);
    // A type that does not exist, a structure longer than the message, a text longer than the message.
    let broken = [("Double", "3f00"), ("Int32", "160100790301ffffff7f00"), ("String", "0cffffff0f41")];
    for (node, content) in broken {
        write(&mut peer, node, "Raw", &json!(content), 0, FIRST);
    }
    // Among the others, so that values come before and after them.
    let (before, after): (String, String) =
        ((0..10).map(|n| tag(&format!("n{n}"), "f64")).collect(), (10..20).map(|n| tag(&format!("n{n}"), "f64")).collect());
    let text = open_device(&port) + &before + &tag("Double", "f64") + &tag("Int32", "i64") + &tag("String", "string") + &after;
    let running = Running::start(&text);
    running.until("the other values", |r| r.delivering() == 20).await;
    for (node, _) in broken {
        running.until("the broken ones", |r| r.of(node).last().is_some_and(|last| last.2 == UNDECODED && last.1.is_none())).await;
    }
    let connects = running.status.connects.load(Ordering::Relaxed);
    assert!(connects <= 2, "one session finds them all: {connects}");
    assert_eq!(running.status.view().holes.len(), 3, "{:?}", running.status.view());
    write(&mut peer, "n15", "Double", &json!(1.5), 0, FIRST + 1_000);
    running.until("a change", |r| r.of("n15").iter().any(|sample| sample.1 == Some(Value::F64(1.5)))).await;

    let rows = build(&text).check(Duration::from_secs(30)).await;
    for row in &rows {
        let bad = broken.iter().any(|(node, _)| *node == row.tag);
        assert_eq!((row.error.contains("cannot be decoded"), row.value.is_none()), (bad, bad), "{row:?}");
    }

    // Taken up again when the value is one.
    write(&mut peer, "Double", "Double", &json!(2.5), 0, FIRST + 2_000);
    running.until("the mended value", |r| r.of("Double").last().is_some_and(|last| last.1 == Some(Value::F64(2.5)))).await;
    assert_eq!(running.status.connects.load(Ordering::Relaxed), connects);
    assert_eq!(running.delivering(), 21);
    running.stop().await;
}

fn opened(peer: &mut super::support::peer::Peer) -> u64 {
    use std::io::Write;
    writeln!(peer.stdin, "{}", json!({ "opened": true })).unwrap();
    peer.line_starting("done", PATIENCE).trim_start_matches("done").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_lives_by_our_clock_alone_wherever_the_servers_stands() {
    let folder = tempfile::tempdir().unwrap();
    let secure = |shift: &'static str, lifetime: &'static str, path: &Path| {
        let path = text_of(path).to_owned();
        server(&["--nodes", "3", "--secure", &path, "--open", "--clock-shift-s", shift, "--channel-lifetime-ms", lifetime])
    };
    for (shift, security) in [("600", "None"), ("-3600", "None"), ("600", "Basic256Sha256"), ("-3600", "Basic256Sha256")] {
        let path = folder.path().join(format!("{security}{shift}"));
        std::fs::create_dir(&path).unwrap();
        let (mut peer, port) = secure(shift, "2000", &path);
        let more = format!(
            "security_policy = \"{security}\"\npki_dir = \"{}\"\ntrust_server_certificate = true\nverify_hostname = false",
            text_of(&path.join("pki"))
        );
        let running = Running::start(&(device(&format!("opc.tcp://127.0.0.1:{port}"), &more) + &plain_tags(3)));
        running.until("all values", |r| r.delivering() == 3).await;
        let (first, begun) = (opened(&mut peer), Instant::now());
        for step in 1..=6 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            write(&mut peer, "n1", "Double", &json!(f64::from(step) + 0.5), 0, FIRST + i64::from(step) * 1_000);
        }
        running.until("the last change", |r| r.of("n1").len() == 7).await;
        // Three lifetimes have passed: renewed at three quarters of each, and not for every request.
        let renewed = opened(&mut peer) - first;
        let most = begun.elapsed().as_millis() as u64 / 1_500 + 1;
        assert!((3..=most).contains(&renewed), "{security} {shift} s: {renewed} renewals, at most {most}");
        assert_eq!(running.status.connects.load(Ordering::Relaxed), 1, "{:?}", running.status.view());
        assert!(running.of("n1").iter().all(|sample| sample.2 != GONE));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_over_an_open_channel_is_encrypted_for_the_server_or_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let password = password_file(folder.path(), "s3cret");
    let arguments = ["--nodes", "2", "--secure", text_of(folder.path()), "--open", "--user", "historian", "--password", "s3cret"];
    let (_peer, port) = server(&arguments);
    let log_on = format!("security_policy = \"None\"\nuser = \"historian\"\npassword_file = \"{password}\"");
    let text = |port: &str| device(&format!("opc.tcp://127.0.0.1:{port}"), &log_on) + &plain_tags(2);
    // The server asks for the password encrypted by Basic256Sha256, and shows its certificate in discovery alone.
    let rows = build(&text(&port)).check(Duration::from_secs(30)).await;
    assert_eq!((rows[0].error.as_str(), rows[1].value.clone()), ("", Some(Value::F64(1.0))), "{rows:?}");
    let running = Running::start(&text(&port));
    running.until("all values", |r| r.delivering() == 2).await;
    running.stop().await;

    // Without a certificate there is nothing to encrypt with, and nothing is sent.
    let hidden: Vec<&str> = arguments.into_iter().chain(["--hide-certificate"]).collect();
    let (_peer, port) = server(&hidden);
    let rows = build(&text(&port)).check(Duration::from_secs(30)).await;
    let error = &rows[0].error;
    assert!(error.contains("the password is not sent") && error.contains("no certificate"), "{error}");
    let running = Running::start(&text(&port));
    running.until("the refusal", |r| r.status.view().last_error.contains("the password is not sent")).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_every_make_are_read_and_faults_are_forgiven_by_name_only() {
    for (make, refused, key) in [
        ("chain", "", ""),
        ("dns-first", "", ""),
        ("chain,dns-first", "", ""),
        ("expired", "not valid now", "accept_expired_certificate = true"),
        ("other-uri", "application URI \"urn:somebody:else\"", "verify_application_uri = false"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (mut peer, port) = server(&["--nodes", "2", "--secure", text_of(folder.path()), "--certificate", make]);
        let text = |more: &str| {
            let pki = text_of(&folder.path().join("pki")).to_owned();
            let keys = format!("pki_dir = \"{pki}\"\ntrust_server_certificate = true\ncertificate_hostname = \"localhost\"\n{more}");
            device(&format!("opc.tcp://127.0.0.1:{port}"), &keys) + &plain_tags(2)
        };
        if !refused.is_empty() {
            let rows = build(&text("")).check(Duration::from_secs(30)).await;
            assert!(rows[0].error.contains(refused) && rows[0].error.contains(key), "{make}: {}", rows[0].error);
        }
        let wrong_host = text(key).replace("localhost", "elsewhere");
        let rows = build(&wrong_host).check(Duration::from_secs(30)).await;
        assert!(rows[0].error.contains("does not name the host \"elsewhere\""), "{make}: {}", rows[0].error);
        let running = Running::start(&text(key));
        running.until("all values", |r| r.delivering() == 2).await;
        write(&mut peer, "n0", "Double", &json!(9.0), 0, FIRST + 1_000);
        running.until("a change", |r| r.of("n0").len() == 2).await;
        running.stop().await;
    }
}
