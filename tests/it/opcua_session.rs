//! Sessions of the OPC UA collector around a cut link, a silent one, small quotas and short timeouts, and what `check` sees of them. The
//! link is a raw TCP proxy; the server is asyncua.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use historian::model::{Clock, SystemClock, Value};
use serde_json::json;

use super::{
    opcua::{FIRST, GONE, PATIENCE, Running, build, command, device, open_device, password_file, plain_tags, server, tag, text_of, write},
    opcua_users::{certificate_keys, issue, make_user, secured, shown, token_keys, write_secret},
    support::{
        peer::Peer,
        proxy::{Link, Proxy},
    },
};

/// Sessions, subscriptions and items in the server.
pub fn count(peer: &mut Peer) -> String {
    use std::io::Write;
    writeln!(peer.stdin, "{}", json!({ "count": true })).unwrap();
    peer.line_starting("done", PATIENCE).trim_start_matches("done ").to_owned()
}

/// What a reader finds: by time, the later of two samples of one time.
fn read(running: &Running, name: &str) -> Vec<(i64, Option<Value>, u32)> {
    let samples: BTreeMap<_, _> = running.of(name).into_iter().map(|(at, value, quality)| (at, (value, quality))).collect();
    samples.into_iter().map(|(at, (value, quality))| (at, value, quality)).collect()
}

/// Changes `n0` every 100 ms, `steps` times from `from`; the values are their numbers.
async fn change(peer: &mut Peer, from: i64, steps: i64) -> Vec<(i64, Option<Value>, u32)> {
    let mut sent = Vec::new();
    for step in from..from + steps {
        let at = SystemClock.now().0 / 1000 * 1000;
        write(peer, "n0", "Double", &json!(step as f64), 0, at);
        sent.push((at, Some(Value::F64(step as f64)), 0));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sent
}

async fn loses_nothing(peer: &mut Peer, proxy: &Proxy, text: &str, cut: Link, sessions: &str) {
    let running = Running::start(text);
    running.until("all values", |r| r.delivering() == 2).await;
    let first = running.of("n0")[0].clone();
    let mut sent = vec![first];
    sent.extend(change(peer, 1, 5).await);
    proxy.set(cut);
    sent.extend(change(peer, 100, 20).await);
    running.until("the outage", |r| r.of("n1").last().is_some_and(|last| last.2 == GONE)).await;
    proxy.set(Link::Cut);
    proxy.set(Link::Up);
    sent.extend(change(peer, 200, 5).await);
    running.until("the recovery", |r| r.delivering() == 2).await;
    running.until("everything that was queued", |r| sent.iter().all(|sample| r.of("n0").contains(sample))).await;
    sent.extend(change(peer, 300, 3).await);
    running.until("what comes after", |r| sent.iter().all(|sample| r.of("n0").contains(sample))).await;
    tokio::time::sleep(Duration::from_millis(300)).await; // time for anything doubled
    let found = read(&running, "n0");
    // The Bad sample of the loss has the value that was in force then in its place.
    let added: Vec<_> = found.iter().filter(|sample| !sent.contains(sample)).collect();
    assert!(added.len() <= 1 && added.iter().all(|sample| sample.2 == 0), "{added:?}");
    let written = running.of("n0");
    assert_eq!(written.len(), sent.len() + 2 * added.len(), "nothing twice: {written:?}");
    assert!(read(&running, "n1").iter().all(|sample| sample.1 == Some(Value::F64(1.0)) && sample.2 == 0), "{:?}", running.of("n1"));
    assert_eq!(count(peer), sessions, "nothing is left behind");
    running.stop().await;
    assert_eq!(count(peer), "0 0 0", "the session is closed at the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_loses_nothing_that_the_server_has_queued() {
    let (mut peer, port) = server(&["--nodes", "2"]);
    let proxy = Proxy::start(&port).await;
    loses_nothing(&mut peer, &proxy, &(open_device(&proxy.port) + &plain_tags(2)), Link::Cut, "1 1 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_encrypted_link_loses_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    let secure = ["--nodes", "2", "--secure", text_of(folder.path()), "--user", "historian", "--password", "s3cret"];
    let (mut peer, port) = server(&secure);
    let proxy = Proxy::start(&port).await;
    let keys = format!(
        "user = \"historian\"\npassword_file = \"{}\"\npki_dir = \"{}\"\ntrust_server_certificate = true\ncertificate_hostname = \"localhost\"",
        password_file(folder.path(), "s3cret"),
        text_of(&folder.path().join("pki"))
    );
    let text = device(&format!("opc.tcp://127.0.0.1:{}", proxy.port), &keys) + &plain_tags(2);
    loses_nothing(&mut peer, &proxy, &text, Link::Cut, "1 1 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_certificate_or_a_token_is_taken_up_with_a_new_proof() {
    for (with_token, security) in [(false, "security_mode = \"Sign\""), (false, "security_policy = \"None\""), (true, "")] {
        let folder = tempfile::tempdir().unwrap();
        let user = make_user(folder.path(), "user", 365);
        let who = if with_token { ["--token-key", "of the issuer"] } else { ["--user-certificate", user.0.as_str()] };
        let secure = ["--nodes", "2", "--secure", text_of(folder.path()), "--open", who[0], who[1]];
        let (mut peer, port) = server(&secure);
        let proxy = Proxy::start(&port).await;
        let keys = if with_token {
            let file = folder.path().join("token");
            write_secret(&file, issue(&mut peer, 600, 1_000).as_bytes(), 0o600);
            token_keys(&file)
        } else {
            certificate_keys(&user)
        };
        loses_nothing(&mut peer, &proxy, &secured(&proxy.port, folder.path(), security, &keys), Link::Cut, "1 1 2").await;
        assert!(!with_token || shown(&mut peer).len() >= 2, "shown again on the new channel");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_is_refused_leaves_no_sessions_behind() {
    let folder = tempfile::tempdir().unwrap();
    let secure = ["--nodes", "1", "--secure", text_of(folder.path()), "--user", "historian", "--password", "s3cret"];
    let (mut peer, port) = server(&secure);
    let keys = format!(
        "user = \"historian\"\npassword_file = \"{}\"\npki_dir = \"{}\"\ntrust_server_certificate = true\ncertificate_hostname = \"localhost\"",
        password_file(folder.path(), "an old one"),
        text_of(&folder.path().join("pki"))
    );
    let running = Running::start(&(device(&format!("opc.tcp://127.0.0.1:{port}"), &keys) + &plain_tags(1)));
    // Each attempt opens a channel to look at the endpoints, and one for the session.
    let begun = Instant::now();
    while opened(&mut peer) < 12 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", running.status.view());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(running.status.view().last_error.contains("refuses the user"), "{}", running.status.view().last_error);
    // One may be about to be refused.
    let left = count(&mut peer);
    assert!(["0 0 0", "1 0 0"].contains(&left.as_str()), "{left}");
    running.stop().await;
    assert_eq!(count(&mut peer), "0 0 0");
}

/// Secure channels that were opened so far.
fn opened(peer: &mut Peer) -> u64 {
    use std::io::Write;
    writeln!(peer.stdin, "{}", json!({ "opened": true })).unwrap();
    peer.line_starting("done", PATIENCE).trim_start_matches("done ").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_goes_silent_loses_nothing() {
    let (mut peer, port) = server(&["--nodes", "2"]);
    let proxy = Proxy::start(&port).await;
    loses_nothing(&mut peer, &proxy, &(open_device(&proxy.port) + &plain_tags(2)), Link::Held, "1 1 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_transferred_where_the_session_cannot_be_taken_up() {
    let (mut peer, port) = server(&["--nodes", "2", "--no-reactivation"]);
    let proxy = Proxy::start(&port).await;
    // asyncua keeps the session of before, which it does not give back, until its timeout; without a subscription.
    loses_nothing_but_the_session(&mut peer, &proxy, &(open_device(&proxy.port) + &plain_tags(2))).await;
}

async fn loses_nothing_but_the_session(peer: &mut Peer, proxy: &Proxy, text: &str) {
    let running = Running::start(text);
    running.until("all values", |r| r.delivering() == 2).await;
    proxy.set(Link::Cut);
    let sent = change(peer, 100, 10).await;
    proxy.set(Link::Up);
    running.until("the recovery", |r| r.delivering() == 2).await;
    running.until("everything that was queued", |r| sent.iter().all(|sample| r.of("n0").contains(sample))).await;
    assert!(read(&running, "n1").iter().all(|sample| sample.2 == 0), "{:?}", running.of("n1"));
    assert_eq!(count(peer).split(' ').skip(1).collect::<Vec<_>>(), ["1", "2"], "one subscription with both items");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_quotas_just_fit_is_collected_again_after_a_cut() {
    for more in [&["--sessions-max", "1"][..], &["--no-reactivation", "--no-transfer"]] {
        let mut arguments = vec!["--nodes", "2", "--items-max", "2"];
        arguments.extend(more);
        let (mut peer, port) = server(&arguments);
        let proxy = Proxy::start(&port).await;
        let running = Running::start(&(open_device(&proxy.port) + &plain_tags(2)));
        running.until("all values", |r| r.delivering() == 2).await;
        proxy.set(Link::Cut);
        running.until("the outage", |r| r.delivering() == 0).await;
        proxy.set(Link::Up);
        running.until("the recovery", |r| r.delivering() == 2).await;
        let refused = running.status.view().last_error;
        assert!(!refused.contains("TooMany"), "{refused}");
        write(&mut peer, "n1", "Double", &json!(9.0), 0, FIRST + 1_000);
        running.until("a change", |r| r.of("n1").iter().any(|sample| sample.1 == Some(Value::F64(9.0)))).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_the_server_dropped_are_made_anew_at_once() {
    let (mut peer, port) = server(&["--nodes", "2"]);
    // The watchdog would need ten minutes.
    let text = open_device(&port).replace("watchdog_ms = 3000", "watchdog_ms = 600000") + &plain_tags(2);
    let running = Running::start(&text);
    running.until("all values", |r| r.delivering() == 2).await;
    command(&mut peer, &json!({ "drop": true }));
    write(&mut peer, "n0", "Double", &json!(5.0), 0, FIRST + 1_000);
    running.until("the new value", |r| r.of("n0").iter().any(|sample| sample.1 == Some(Value::F64(5.0)))).await;
    running.until("all values", |r| r.delivering() == 2).await;
    assert_eq!(running.status.connects.load(Ordering::Relaxed), 1, "the session is sound");
    assert_eq!(count(&mut peer), "1 1 2");
    assert!(running.status.view().last_error.contains("BadNoSubscription"), "{:?}", running.status.view());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_a_timeout_of_five_seconds_is_kept_alive() {
    let (mut peer, port) = server(&["--nodes", "2", "--session-timeout-ms", "5000"]);
    let text = open_device(&port).replace("watchdog_ms = 3000", "watchdog_ms = 60000") + &plain_tags(2);
    let running = Running::start(&text);
    running.until("all values", |r| r.delivering() == 2).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        assert_eq!(running.delivering(), 2, "{:?}", running.status.view());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    write(&mut peer, "n0", "Double", &json!(5.0), 0, FIRST + 1_000);
    running.until("a change", |r| r.of("n0").len() == 2).await;
    assert_eq!((running.status.connects.load(Ordering::Relaxed), count(&mut peer).as_str()), (1, "1 1 2"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_meets_what_the_collector_will_meet() {
    // A filter that the server does not allow.
    let (mut peer, port) = server(&["--nodes", "3", "--no-deadband"]);
    let text = open_device(&port) + &plain_tags(1) + &tag("n1", "f64") + "deadband = 0.5\n";
    let rows = build(&text).check(Duration::from_secs(30)).await;
    assert_eq!((rows[0].error.as_str(), rows[0].note.as_str()), ("", ""));
    assert!(rows[1].error.contains("BadFilterNotAllowed") && rows[1].error.contains("remove deadband"), "{}", rows[1].error);
    assert_eq!(count(&mut peer), "0 0 0", "it leaves nothing behind");
    // Too small a quota, a shorter queue and a longer interval than asked for.
    let (mut peer, port) = server(&["--nodes", "3", "--items-max", "2", "--queue-max", "7"]);
    let text = open_device(&port).replace("publishing_ms = 100", "publishing_ms = 200\nsampling_ms = 50") + &plain_tags(3);
    let rows = build(&text).check(Duration::from_secs(30)).await;
    for row in &rows[..2] {
        assert_eq!(row.error, "");
        assert!(row.note.contains("sampled every 200 ms, not every 50 ms"), "{}", row.note);
        assert!(row.note.contains("keeps 7 values between two publishings, not 1000"), "{}", row.note);
    }
    assert!(rows[2].error.contains("BadTooManyMonitoredItems"), "{}", rows[2].error);
    assert_eq!(count(&mut peer), "0 0 0");
}
