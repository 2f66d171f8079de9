//! What those are told of devices who may read some of their tags and do not administer the historian: real Modbus devices, of which one has
//! seen and hidden tags, one has hidden tags only, and one is not there.

use std::{
    fs,
    time::{Duration, Instant},
};

use historian::{
    access::{AccessFile, Grant, NewToken, Role},
    model::{Clock, SystemClock},
};
use historian_proto::v1::{DeviceStatus, GetStatusRequest, GetStatusResponse, ListTagStatusRequest, ListTagStatusResponse, ReloadRequest};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    call::{Client, Outcome},
    door::http,
};
use crate::support::{
    historian::{Historian, run, serve},
    peer::Peer,
};

const STATUS: &str = "historian.v1.CollectorService/GetStatus";
const TAGS: &str = "historian.v1.CollectorService/ListTagStatus";
/// Of tags, of a device, and of the plant's network: nobody but an administrator is shown any of these.
const SECRETS: [&str; 3] = ["hidden", "buried", "127.0.0.1"];
const PATIENCE: Duration = Duration::from_mins(1);

/// A historian that collects, and nobody's client of it.
struct Field {
    historian: Historian,
    nobody: Client,
    directory: TempDir,
    _peer: Peer,
}

impl Field {
    /// Until all devices are as they will stay. `token` is the administrator's.
    async fn start() -> (Field, String) {
        let (peer, port) = Peer::python("modbus_server.py", &["tcp"]);
        let directory = TempDir::new().expect("a temporary directory");
        let device = |name: &str, port: &str, tags: &[(&str, &str)]| {
            let tag = |(name, address): &(&str, &str)| format!("[[modbus.tag]]\nname = \"{name}\"\naddress = \"{address}\"\n");
            let tags: String = tags.iter().map(tag).collect();
            format!("[[modbus]]\nname = \"{name}\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\ntimeout_ms = 500\n{tags}")
        };
        let shared = [("seen/none", "input:5000"), ("seen/well", "input:10"), ("hidden/none", "input:5002"), ("hidden/well", "input:11")];
        let configuration = [
            device("shared", &port, &shared),
            device("buried", &port, &[("hidden/only", "input:12")]),
            // Nobody listens there.
            device("down", "1", &[("seen/down", "input:1"), ("hidden/down", "input:2")]),
        ];
        let file = directory.path().join("historian.toml");
        fs::write(&file, configuration.concat()).expect("the directory is writable");
        fs::create_dir(directory.path().join("data")).expect("the directory is writable");
        let admin = token(&directory, "admin", Role::Admin, &[]);
        let historian = serve(&directory.path().join("data"), &["--config", &file.display().to_string()]);
        let nobody = Client::to(&historian).await;
        let field = Field { historian, nobody, directory, _peer: peer };
        let begun = Instant::now();
        loop {
            let told = field.status(&admin).await;
            let is_settled = |device: &DeviceStatus| match &*device.device {
                "shared" => (device.items_delivering, device.undelivered_tags) == (2, 2) && !device.holes.is_empty(),
                "buried" => device.items_delivering == 1,
                _ => device.state == "backoff" && device.undelivered_tags == 2,
            };
            if told.devices.len() == 3 && told.devices.iter().all(is_settled) {
                return (field, admin);
            }
            assert!(begun.elapsed() < PATIENCE, "{told:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn client(&self, token: &str) -> Client {
        self.nobody.with(Some(token))
    }

    /// The token of a reader of these tags; of all without any.
    async fn reader(&self, name: &str, tags: &[&str]) -> String {
        self.known(name, Role::Reader, tags).await
    }

    /// A token, as soon as the historian knows it.
    async fn known(&self, name: &str, role: Role, tags: &[&str]) -> String {
        let token = token(&self.directory, name, role, tags);
        let begun = Instant::now();
        while self.client(&token).ask(STATUS, &GetStatusRequest {}).await.code == "Unauthenticated" {
            assert!(begun.elapsed() < PATIENCE, "the token of {name} does not become valid");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        token
    }

    async fn status(&self, token: &str) -> GetStatusResponse {
        self.client(token).get(STATUS, &GetStatusRequest {}).await
    }

    /// Every page of the tags, of one each.
    async fn tags(&self, token: &str) -> Vec<String> {
        let (mut names, mut request) = (Vec::new(), ListTagStatusRequest { page_size: 1, ..ListTagStatusRequest::default() });
        loop {
            let page: ListTagStatusResponse = self.client(token).get(TAGS, &request).await;
            assert_eq!(page.tags.len(), 1, "no page is empty because of what is not seen: {names:?}");
            names.extend(page.tags.into_iter().map(|tag| tag.tag));
            if page.next_page_token.is_empty() {
                return names;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// What all doors tell that have the devices or their tags.
    async fn everything(&self, token: &str) -> Vec<(&'static str, Outcome)> {
        let client = self.client(token);
        let nothing = json!({});
        vec![
            ("GetStatus", client.ask(STATUS, &GetStatusRequest {}).await),
            ("ListTagStatus", client.ask(TAGS, &ListTagStatusRequest::default()).await),
            ("GET collectors", http::ask(&client, "GET", "collectors", &nothing)),
            ("POST collectors", http::ask(&client, "POST", "collectors", &nothing)),
            ("GET collectors/tags", http::ask(&client, "GET", "collectors/tags", &nothing)),
            ("POST collectors/tags", http::ask(&client, "POST", "collectors/tags", &nothing)),
        ]
    }
}

fn token(directory: &TempDir, name: &str, role: Role, tags: &[&str]) -> String {
    let grants = vec![Grant { role, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }];
    let path = AccessFile::in_directory(&directory.path().join("data"));
    let new = NewToken { name: name.into(), grants, expires: None };
    AccessFile::create_token(&path, new, SystemClock.now()).expect("the token is made").secret
}

fn device<'a>(told: &'a GetStatusResponse, name: &str) -> &'a DeviceStatus {
    told.devices.iter().find(|device| device.device == name).unwrap_or_else(|| panic!("no {name} in {told:?}"))
}

#[test]
fn a_reader_is_told_of_the_devices_of_his_tags_what_is_of_these_and_nothing_else() {
    Runtime::new().unwrap().block_on(async {
        let (field, admin) = Field::start().await;
        let reader = field.reader("ana", &["seen/**"]).await;
        let told = field.status(&reader).await;
        let names: Vec<&str> = told.devices.iter().map(|device| &*device.device).collect();
        assert_eq!((told.limited, names), (true, vec!["shared", "down"]));
        let shared = device(&told, "shared");
        assert_eq!((&*shared.state, shared.items_wanted, shared.items_created, shared.items_delivering), ("degraded", 2, 1, 1));
        assert_eq!((shared.undelivered_tags, &*shared.undelivered[0].tag), (1, "seen/none"));
        assert!(shared.undelivered[0].reason.contains("exception 02"), "{shared:?}");
        assert!(shared.latency_p50.is_some() && shared.last_good_time > 0 && shared.connects > 0, "{shared:?}");
        let down = device(&told, "down");
        assert_eq!((&*down.state, down.items_wanted, down.items_delivering, down.undelivered_tags), ("backoff", 1, 0, 1));
        let reason = &down.undelivered[0].reason;
        assert!(reason.starts_with("BadNoCommunication: no connection to the device"), "{reason}");
        for device in [shared, down] {
            let counted =
                [device.requests, device.timeouts, device.exceptions, device.polls_missed, device.samples, device.samples_waiting];
            assert_eq!((counted, &*device.endpoint, &*device.last_error, device.holes.len()), ([0; 6], "", "", 0), "{device:?}");
        }
        assert_eq!(field.tags(&reader).await, ["seen/down", "seen/none", "seen/well"]);

        for (door, outcome) in field.everything(&reader).await {
            assert!(outcome.is_ok() && outcome.shows("seen/none"), "{door}: {} {}", outcome.code, outcome.message);
            for secret in SECRETS {
                assert!(!outcome.shows(secret), "{door}: {:?}", outcome.around(secret));
            }
        }
        // So that it could be shown.
        let shown = field.everything(&admin).await;
        for secret in SECRETS {
            assert!(shown.iter().any(|(_, outcome)| outcome.shows(secret)), "{secret}");
        }
        let all = field.status(&admin).await;
        assert!(!all.limited && device(&all, "shared").samples > 0 && device(&all, "shared").items_wanted == 4, "{all:?}");

        // Which devices there are besides is not found out by asking for them.
        let of = |device: &str| ListTagStatusRequest { device: device.into(), ..ListTagStatusRequest::default() };
        let client = field.client(&reader);
        let [buried, none] = [client.ask(TAGS, &of("buried")).await, client.ask(TAGS, &of("burial")).await];
        assert_eq!((buried.difference(&none), &*buried.code), (None, "Ok"));
        // What changes something stays with whoever administers.
        assert_eq!(client.ask("historian.v1.AdminService/Reload", &ReloadRequest {}).await.code, "PermissionDenied");
    });
}

#[test]
fn the_state_of_a_device_follows_from_the_tags_that_one_may_read() {
    Runtime::new().unwrap().block_on(async {
        let (field, _) = Field::start().await;
        // The device has refused addresses, none of which is his.
        let well = field.reader("well", &["seen/well"]).await;
        let told = field.status(&well).await;
        let names: Vec<&str> = told.devices.iter().map(|device| &*device.device).collect();
        let shared = device(&told, "shared");
        assert_eq!((names, &*shared.state, shared.items_wanted, shared.undelivered_tags), (vec!["shared"], "running", 1, 0));
        // Who reads everything sees all tags, and still not where the devices are.
        let everything = field.reader("everything", &[]).await;
        let told = field.status(&everything).await;
        let wanted: Vec<u64> = told.devices.iter().map(|device| device.items_wanted).collect();
        assert_eq!((told.limited, wanted), (true, vec![4, 1, 2]));
        for (door, outcome) in field.everything(&everything).await {
            assert!(outcome.shows("hidden/down") && !outcome.shows("127.0.0.1"), "{door}: {:?}", outcome.around("127.0.0.1"));
        }
        let elsewhere = field.reader("elsewhere", &["elsewhere/**"]).await;
        assert_eq!(field.status(&elsewhere).await, GetStatusResponse { devices: Vec::new(), limited: true });
        let told = http::ask(&field.client(&elsewhere), "GET", "collectors", &json!({}));
        let told: Json = serde_json::from_slice(&told.messages()[0]).expect("JSON");
        assert_eq!(told, json!({"devices": [], "limited": true}));
        // Who only writes, or reads the audit log, reads no tag.
        for (name, role) in [("writer", Role::Writer), ("auditor", Role::Auditor)] {
            let token = field.known(name, role, &[]).await;
            for (door, outcome) in field.everything(&token).await {
                assert_eq!(outcome.code, "PermissionDenied", "{name}: {door}");
            }
        }
    });
}

#[test]
fn a_reader_sees_his_devices_on_the_command_line() {
    let (field, reader) = Runtime::new().unwrap().block_on(async {
        let (field, _) = Field::start().await;
        let reader = field.reader("ana", &["seen/**"]).await;
        (field, reader)
    });
    let server = format!("grpc://{}", field.historian.grpc);
    let status = |more: &[&str]| {
        let asked: &[&str] = &["status", "--server", &server, "--token", &reader];
        let (code, told, complaint) = run(&[asked, more].concat());
        assert_eq!(code, 0, "{more:?}: {complaint}");
        for secret in SECRETS {
            assert!(!told.contains(secret), "{more:?} shows {secret}: {told}");
        }
        told
    };
    let table = status(&[]);
    for expected in ["takes the right to administer", "shared", "1 of 2", "backoff", "seen/none"] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    assert!(!table.contains("SAMPLES"), "counters are of all tags: {table}");
    let told: Json = serde_json::from_str(&status(&["--format", "json"])).expect("JSON");
    let shared = &told["devices"][0];
    assert_eq!((&told["limited"], &shared["items_delivering"], shared.get("samples")), (&json!(true), &json!(1), None), "{told}");
    assert_eq!((told.get("version"), shared.get("endpoint")), (None, None), "{told}");
    let device = status(&["shared"]);
    assert!(device.contains("shared (modbus) is degraded: 1 of 2 tags deliver") && device.contains("exception 02"), "{device}");
}
