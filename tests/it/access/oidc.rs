//! Tokens of an identity provider: a real one (npm `oidc-provider`) on loopback, whose keys change and which goes away, and tokens that are none.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use arrow_flight::Ticket;
use historian::{
    access::{AccessFile, Grant, Role},
    model::{Clock, SystemClock},
};
use historian_proto::v1::{ListAuditEntriesRequest, ListTagsRequest, WhoAmIRequest, WhoAmIResponse};
use historian_test_support::{program::Log, skip};
use prost::Message;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    call::{Client, Outcome},
    door::flight,
};
use crate::support::{
    historian::{Historian, free_addresses, launcher, run},
    peer::{Peer, root},
    pytest::{Run, suite},
};

const WHO_AM_I: &str = "historian.v1.AccessService/WhoAmI";
const LIST_TAGS: &str = "historian.v1.TagService/ListTags";
const NOT_VALID: &str = "the token is not valid: unknown, expired or revoked";
/// Metrics that a historian has with an identity provider only.
pub const METRICS: [&str; 3] =
    ["historian_oidc_keys", "historian_oidc_keys_read_timestamp_seconds", "historian_oidc_key_read_failures_total"];

suite!(
    /// pyarrow, ADBC, grpcio and the package with tokens of the provider, as bearer and as password.
    PROVIDER,
    "oidc",
    with_tokens,
    [pyarrow_sends_a_token_of_the_provider, adbc_sends_a_token_of_the_provider, grpcio_and_the_package_send_a_token_of_the_provider]
);

fn with_tokens(cases: &mut Run) {
    let mut site = Site::new("");
    let tokens: std::collections::BTreeMap<&str, String> =
        [("ana", site.provider.token("ana")), ("bob", site.provider.token("bob")), ("tampered", site.provider.say("forge tampered ana"))]
            .into();
    cases.cases(&[("HISTORIAN_ADDRESS", &site.historian.grpc.to_string()), ("HISTORIAN_TOKENS", &serde_json::to_string(&tokens).unwrap())]);
}

/// The provider as a process.
struct Provider {
    peer: Peer,
    issuer: String,
    other: String,
}

/// Where `make setup` installs the provider.
fn modules() -> PathBuf {
    let cache = std::env::var_os("HISTORIAN_CACHE")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/historian"), PathBuf::from);
    cache.join("oidc")
}

/// Whether there is a provider; a test that lacks it fails, unless it may be passed over.
fn is_there() -> bool {
    let is_there = Command::new("node").arg("--version").output().is_ok() && modules().join("node_modules/oidc-provider").is_dir();
    if !is_there {
        skip::without("node", "Node or the npm package oidc-provider is not there");
    }
    is_there
}

impl Provider {
    /// Of a hundred that were started on a busy machine one has never said that it is ready; another one is started in its place.
    fn start() -> Provider {
        let started = (0..3).find_map(|_| Provider::try_start());
        started.expect("the identity provider is ready within a minute")
    }

    fn try_start() -> Option<Provider> {
        let [own, other] = free_addresses();
        let mut command = Command::new("node");
        command.arg(root().join("tests/peers/oidc/provider.mjs")).args([own, other].map(|address| address.port().to_string()));
        command.env("HISTORIAN_OIDC_MODULES", modules()).stderr(std::process::Stdio::null());
        let mut peer = Peer::start(&mut command);
        peer.line_within("ready", Duration::from_mins(1)).ok()?;
        Some(Provider { peer, issuer: format!("http://{own}"), other: format!("http://{other}") })
    }

    fn say(&mut self, words: &str) -> String {
        use std::io::Write as _;
        writeln!(self.peer.stdin, "{words}").unwrap();
        let answer = self.peer.line_starting("answer ", Duration::from_mins(1));
        let answer = answer.trim_start_matches("answer ").to_owned();
        assert!(!answer.starts_with("failed"), "{words}: {answer}");
        answer
    }

    fn token(&mut self, client: &str) -> String {
        self.say(&format!("token {client}"))
    }
}

/// A historian that takes tokens of a provider.
struct Site {
    provider: Provider,
    historian: Historian,
    data: PathBuf,
    _directory: TempDir,
}

fn grant(data: &Path, principal: &str, role: Role, tags: &[&str]) {
    let grants = vec![Grant { role, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }];
    AccessFile::add_grants(&AccessFile::in_directory(data), principal.parse().unwrap(), grants, SystemClock.now()).unwrap();
}

impl Site {
    /// Operators may read `area1/**` and make tags there, auditors read the audit log; bob, for himself, reads `area2/**`.
    fn new(more: &str) -> Site {
        let provider = Provider::start();
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        grant(&data, "oidc-role:operators", Role::Engineer, &["area1/**"]);
        grant(&data, "oidc-role:auditors", Role::Auditor, &[]);
        grant(&data, "oidc:bob", Role::Reader, &["area2/**"]);
        let configuration = directory.path().join("historian.toml");
        let text =
            format!("[oidc]\nissuer = \"{}\"\naudience = \"historian\"\nroles_claim = \"realm_access.roles\"\n{more}", provider.issuer);
        fs::write(&configuration, text).unwrap();
        let mut launcher = launcher(&data, &["--config", &configuration.display().to_string()]);
        (launcher.level, launcher.log) = ("info", Log::Own);
        let mut historian = launcher.spawn().unwrap();
        historian.wait("the keys", |historian| {
            historian.log().contains(" serving ") && historian.log().contains("the keys of the identity provider are read")
        });
        Site { provider, historian, data, _directory: directory }
    }

    async fn client(&self) -> Client {
        Client::to(&self.historian).await
    }
}

async fn who(client: &Client) -> WhoAmIResponse {
    client.get(WHO_AM_I, &WhoAmIRequest {}).await
}

async fn list(client: &Client) -> Outcome {
    client.ask(LIST_TAGS, &ListTagsRequest::default()).await
}

#[test]
fn roles_and_subjects_of_the_provider_have_what_they_are_granted() {
    if !is_there() {
        return;
    }
    let mut site = Site::new("");
    let [ana, bob, eve] = ["ana", "bob", "eve"].map(|client| site.provider.token(client));
    Runtime::new().unwrap().block_on(async {
        let nobody = site.client().await;
        let [ana, bob, eve] = [&ana, &bob, &eve].map(|token| nobody.with(Some(token)));
        let told = who(&ana).await;
        assert_eq!((told.name.as_str(), told.known_by.as_str()), ("oidc:ana", "oidc"));
        // Five minutes, and half a minute of leeway.
        let left = (told.expires - SystemClock.now().0) / 1_000_000_000;
        assert!((200..=330).contains(&left), "{left} s");
        let rights: Vec<String> = told.rights.iter().map(|right| format!("{} {}", right.right, right.tags.join(","))).collect();
        assert_eq!(rights, ["read area1/**", "write area1/**", "configure area1/**", "correct area1/**"]);
        let told = who(&bob).await;
        assert_eq!((told.name.as_str(), told.rights.len(), told.rights[0].tags.join(",")), ("oidc:bob", 1, "area2/**".to_owned()));
        assert_eq!(list(&nobody).await.code, "Unauthenticated");
        assert!(list(&ana).await.is_ok() && list(&bob).await.is_ok());
        assert_eq!(list(&eve).await.code, "PermissionDenied");
        assert!(eve.ask("historian.v1.AdminService/ListAuditEntries", &ListAuditEntriesRequest::default()).await.is_ok());
        assert_eq!(ana.http("/metrics").code, "403");
        // What is granted later counts for a token that was given out before.
        grant(&site.data, "oidc:ana", Role::Admin, &[]);
        super::owner::until("200", async || ana.http("/metrics")).await;
        let metrics = String::from_utf8_lossy(&ana.http("/metrics").parts[0]).into_owned();
        assert!(metrics.contains("historian_oidc_keys 1\n"), "the key for encryption does not count: {metrics}");
        assert!(METRICS.iter().all(|metric| metrics.contains(metric)), "{metrics}");
    });
    // The command line, and the name in the audit log.
    let server = format!("grpc://{}", site.historian.grpc);
    let (code, told, complaint) = run(&["whoami", "--server", &server, "--token", &ana]);
    assert!(code == 0 && told.contains("oidc:ana (known by: oidc); until "), "{told}{complaint}");
    let (code, told, complaint) = run(&["compact", "--server", &server, "--token", &bob]);
    assert!(code == 1 && complaint.contains("oidc:bob may not administer"), "{told}{complaint}");
}

#[test]
fn what_is_no_token_of_the_provider_is_refused_in_the_same_words() {
    if !is_there() {
        return;
    }
    let mut site = Site::new("leeway_s = 0\n");
    let short = site.provider.token("short");
    let good = site.provider.token("ana");
    let mut bad: Vec<(&str, String)> = vec![
        ("wrong audience", site.provider.say("token ana other")),
        ("foreign issuer", site.provider.say("token ana historian other")),
        ("hst_", format!("hst_{good}")),
        ("cut", good[..good.len() - 1].to_owned()),
        ("too long", format!("{good}{}", "A".repeat(9_000))),
        ("empty", "..".to_owned()),
    ];
    for kind in ["none", "hs256-pem", "hs256-jwk", "tampered", "embedded", "crit"] {
        bad.push((kind, site.provider.say(&format!("forge {kind} ana"))));
    }
    std::thread::sleep(Duration::from_secs(3));
    bad.push(("expired", short));
    Runtime::new().unwrap().block_on(async {
        let nobody = site.client().await;
        assert!(list(&nobody.with(Some(&good))).await.is_ok());
        for (kind, token) in &bad {
            let client = nobody.with(Some(token));
            for refused in [list(&client).await, client.ask(WHO_AM_I, &WhoAmIRequest {}).await] {
                assert_eq!((refused.code.as_str(), refused.message.as_str()), ("Unauthenticated", NOT_VALID), "{kind}");
            }
            assert_eq!(client.http("/metrics").code, "401", "{kind}");
        }
    });
    // The operator is told why; nobody is told a token.
    let log = site.historian.log();
    assert!(log.contains("a token of the identity provider was refused: "), "{log}");
    assert!(bad.iter().all(|(kind, token)| *kind == "empty" || !log.contains(token.as_str())), "{log}");
    assert!(!site.provider.other.is_empty());
}

#[test]
fn keys_are_read_again_when_they_change_and_stay_when_the_provider_goes() {
    if !is_there() {
        return;
    }
    let mut site = Site::new("");
    let runtime = Runtime::new().unwrap();
    let nobody = runtime.block_on(site.client());
    let before = site.provider.token("ana");
    assert!(runtime.block_on(list(&nobody.with(Some(&before)))).is_ok());
    // So that it is not the reading of the start that is too short ago.
    std::thread::sleep(Duration::from_secs(6));
    site.provider.say("rotate");
    let after = site.provider.token("ana");
    // The first call with it waits for the keys, and is answered.
    let answered = runtime.block_on(list(&nobody.with(Some(&after))));
    assert!(answered.is_ok(), "{answered:?}");
    assert_eq!(runtime.block_on(list(&nobody.with(Some(&before)))).code, "Unauthenticated", "the old key is forgotten");
    // Anybody can name a key that nobody has; who does so again is refused, and the provider is asked now and then at most.
    let mut asked = || site.provider.say("asked").parse::<u64>().unwrap();
    let (begun, first) = (Instant::now(), asked());
    for _ in 0..20 {
        assert_eq!(runtime.block_on(list(&nobody.with(Some(&before)))).code, "Unauthenticated");
    }
    let (since, seconds) = (asked() - first, begun.elapsed().as_secs());
    assert!(since <= 1 + seconds / 5, "asked {since} times in {seconds} s");

    site.provider.say("down");
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(runtime.block_on(list(&nobody.with(Some(&before)))).code, "Unauthenticated");
    assert!(runtime.block_on(list(&nobody.with(Some(&after)))).is_ok(), "the keys that are known stay");
    site.historian.wait("the log of it", |historian| historian.log().contains("cannot be read again, and the old ones stay"));
    site.provider.say("up");
    site.historian.wait("the keys again", |historian| historian.log().contains("can be read again"));
}

#[test]
fn a_subscription_ends_when_its_token_does() {
    if !is_there() {
        return;
    }
    let mut site = Site::new("leeway_s = 0\n");
    let short = site.provider.token("short");
    let ended = Runtime::new().unwrap().block_on(async {
        let client = site.client().await.with(Some(&short));
        let ticket = Ticket::new(r#"{"subscribe": {"tags": ["**"]}}"#).encode_to_vec().into();
        client.raw_for(Duration::from_secs(15), flight::DO_GET, vec![ticket]).await
    });
    assert_eq!(ended.code, "Unauthenticated", "{}", ended.message);
    assert!(!ended.message.contains("unknown"), "it was known when it began: {}", ended.message);
}

/// With a provider the historian is closed, also where nothing was ever granted and the provider cannot be reached.
#[test]
fn a_historian_with_a_provider_is_closed_from_the_start() {
    let directory = TempDir::new().unwrap();
    let configuration = directory.path().join("historian.toml");
    fs::write(&configuration, "[oidc]\nissuer = \"http://127.0.0.1:9\"\naudience = \"historian\"\n").unwrap();
    let data = directory.path().join("data");
    let historian = launcher(&data, &["--config", &configuration.display().to_string()]).start().unwrap();
    Runtime::new().unwrap().block_on(async {
        let nobody = Client::to(&historian).await;
        assert_eq!(list(&nobody).await.code, "Unauthenticated");
        assert_eq!(nobody.http("/metrics").code, "401");
        assert_eq!(nobody.http("/livez").code, "200");
        let keyless = list(&nobody.with(Some("eyJhbGciOiJSUzI1NiJ9.e30.AAAA"))).await;
        assert_eq!(keyless.code, "Unavailable", "{}", keyless.message);
        assert_eq!(list(&nobody.with(Some("anything"))).await.code, "Unauthenticated");
    });
    let (code, told, complaint) = run(&["whoami", "--server", &format!("unix://{}", data.join("historian.sock").display())]);
    assert!(code == 0 && told.contains("local:"), "{told}{complaint}");
}
