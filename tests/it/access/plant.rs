//! A historian with tags that some see and tags that they do not, and a token for everybody who calls.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use historian::{
    access::{AccessFile, Grant, NewToken, Role},
    model::{Clock, SystemClock, Timestamp},
    tls::ClientTls,
};

use historian_proto::v1::{
    self, CreateTagRequest, CreateTagResponse, DeleteRangeRequest, DeleteRangeResponse, Tag, TagSamples, ValueType, WriteRequest,
    WriteSamplesRequest, WriteSamplesResponse,
};
use tempfile::TempDir;

use super::{call::Client, keys::Keys};
use crate::{
    support::historian::{Historian, serve},
    tls::{
        self,
        mini::{Mini, Wanted},
    },
};

/// 2026-01-01T00:00:00Z in nanoseconds: where samples begin.
const START: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Samples of each tag, one a second.
const SAMPLES: i64 = 120;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Without a token.
    Nobody,
    /// With one that was never given.
    Unknown,
    Expired,
    Revoked,
    Reader,
    Writer,
    Engineer,
    Auditor,
    Admin,
    /// A reader of `seen/**`.
    SeenReader,
    /// An engineer on `seen/**`.
    SeenEngineer,
    /// Without a token, with the certificate of a reader of `seen/**`. From here on only where there is TLS.
    Certificate,
    /// With a token of an identity provider, and a role that is an engineer's here.
    OidcRole,
    /// Without anything, by the local socket.
    Local,
}

impl Who {
    pub const ALL: [Who; 14] = [
        Who::Nobody,
        Who::Unknown,
        Who::Expired,
        Who::Revoked,
        Who::Reader,
        Who::Writer,
        Who::Engineer,
        Who::Auditor,
        Who::Admin,
        Who::SeenReader,
        Who::SeenEngineer,
        Who::Certificate,
        Who::OidcRole,
        Who::Local,
    ];

    /// Whose tags are those of `seen/**` only.
    pub fn is_limited(self) -> bool {
        matches!(self, Who::SeenReader | Who::SeenEngineer | Who::Certificate)
    }

    /// The name of the token.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn grant(self) -> Option<Grant> {
        let (role, tags) = match self {
            Who::Nobody | Who::Unknown | Who::Certificate | Who::OidcRole | Who::Local => return None,
            Who::Expired | Who::Revoked | Who::Reader => (Role::Reader, &[][..]),
            Who::Writer => (Role::Writer, &[][..]),
            Who::Engineer => (Role::Engineer, &[][..]),
            Who::Auditor => (Role::Auditor, &[][..]),
            Who::Admin => (Role::Admin, &[][..]),
            Who::SeenReader => (Role::Reader, &["seen/**"][..]),
            Who::SeenEngineer => (Role::Engineer, &["seen/**"][..]),
        };
        Some(Grant { role, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() })
    }
}

/// Addresses from which those come who show a token, or none.
const STRANGERS: u8 = 40;

/// A running historian and everybody's tokens.
pub struct Plant {
    pub historian: Historian,
    pub nobody: Client,
    /// The same from many addresses, in turn: one from which it is often not known who asks is answered late. None without TLS.
    strangers: Vec<Client>,
    turn: AtomicUsize,
    tokens: BTreeMap<Who, String>,
    /// Those who come by a way of their own.
    ways: BTreeMap<Who, Client>,
    pub directory: TempDir,
}

/// Which tags there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    SeenAndHidden,
    /// As a historian is without the tags that some do not see.
    SeenOnly,
}

/// Views of all tags, of tags that some do not see, and one that names such tags, of which one was never there.
const VIEWS: &str = r#"
[[view]]
name = "all_hourly"
tags = ["**"]
interval = "1h"

[[view]]
name = "other_hourly"
tags = ["hidden/**"]
interval = "1h"

[[view]]
name = "named_hourly"
tags = ["seen/here", "hidden/here", "hidden/gone"]
interval = "1h"
"#;

impl Plant {
    /// Tags `here`, `more` and `zz` with samples, and `device`, which a device had once. `gone` is none.
    pub async fn start(tags: Tags) -> Plant {
        Plant::with(tags, tokens, false).await
    }

    /// The same without any token, where nobody asks for one.
    pub async fn open() -> Plant {
        Plant::with(Tags::SeenAndHidden, |_| BTreeMap::new(), false).await
    }

    /// All tags, over TLS, for everybody who can be known.
    pub async fn secured() -> Plant {
        Plant::with(Tags::SeenAndHidden, tokens, true).await
    }

    async fn with(tags: Tags, tokens: impl Fn(&Path) -> BTreeMap<Who, String>, is_secured: bool) -> Plant {
        let directory = TempDir::new().expect("a temporary directory");
        let data = directory.path().join("data");
        let levels: &[&str] = if tags == Tags::SeenAndHidden { &["seen", "hidden"] } else { &["seen"] };
        once_with_a_device(directory.path(), &data, levels);
        let mut tokens = tokens(&data);
        let configuration = directory.path().join("historian.toml");
        let secured = if is_secured { secured(directory.path(), &data, &mut tokens) } else { String::new() };
        fs::write(&configuration, format!("{secured}{VIEWS}")).expect("the directory is writable");
        let (configuration, backups) = (configuration.display().to_string(), directory.path().join("backups").display().to_string());
        let arguments = ["--config", &configuration, "--backup-dir", &backups];
        // What has TLS is not asked over plain HTTP whether it serves.
        let historian = if is_secured { tls::start(&data, &arguments) } else { serve(&data, &arguments) };
        let (mut ways, mut strangers) = (BTreeMap::new(), Vec::new());
        let nobody = if is_secured {
            let path = |name: &str| directory.path().join(name);
            let anonymous = ClientTls { ca: Some(path("servers.crt")), pair: None };
            let shown = ClientTls { pair: Some((path("erp.crt"), path("erp.key"))), ..anonymous.clone() };
            ways.insert(Who::Certificate, Client::secured(&historian, &shown).await);
            ways.insert(Who::Local, Client::local(&historian, &data.join("historian.sock")).await);
            for last in 1..=STRANGERS {
                strangers.push(Client::secured_from(Ipv4Addr::new(127, 0, 2, last), &historian, &anonymous).await);
            }
            Client::secured(&historian, &anonymous).await
        } else {
            Client::to(&historian).await
        };
        let plant = Plant { historian, nobody, strangers, turn: AtomicUsize::new(0), tokens, ways, directory };
        for level in levels {
            for name in ["here", "more", "zz"] {
                plant.create(&format!("{level}/{name}")).await;
            }
        }
        // All of one level before the other: what is replaced is told with the number of the write that did it.
        for level in levels {
            plant.empty(&format!("{level}/device")).await;
            // What is superseded: the second is not the value of the first.
            for value in [1.0, 2.0] {
                for name in ["here", "more", "zz"] {
                    plant.write(&format!("{level}/{name}"), START, SAMPLES, value).await;
                }
            }
        }
        plant.notes(levels).await;
        plant
    }

    /// Texts on tags, of which one is on tags of every level, and views. What is of all comes before what is not, as it is numbered.
    async fn notes(&self, levels: &[&str]) {
        let admin = self.client(Who::Admin);
        let annotated = |tags: Vec<String>, text: String| v1::CreateAnnotationRequest {
            tags,
            start: "2026-01-01T00:01:00Z".into(),
            text,
            ..v1::CreateAnnotationRequest::default()
        };
        let saved = |level: &str, shared| v1::SaveViewRequest {
            name: format!("of what is {level}"),
            shared,
            content: format!("tag={level}/here"),
            ..v1::SaveViewRequest::default()
        };
        let everywhere = levels.iter().map(|level| format!("{level}/here")).collect();
        let mut annotations = vec![annotated(everywhere, "a note".into())];
        annotations.extend(levels.iter().map(|level| annotated(vec![format!("{level}/more")], format!("what is {level}"))));
        for request in annotations {
            admin.get::<v1::CreateAnnotationResponse>("historian.v1.AnnotationService/CreateAnnotation", &request).await;
        }
        for level in levels {
            let request = saved(level, *level == "seen");
            admin.get::<v1::SaveViewResponse>("historian.v1.ViewService/SaveView", &request).await;
        }
    }

    pub fn client(&self, who: Who) -> Client {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let nobody = self.strangers.get(turn % self.strangers.len().max(1)).unwrap_or(&self.nobody);
        self.ways.get(&who).cloned().unwrap_or_else(|| nobody.with(self.tokens.get(&who).map(String::as_str)))
    }

    /// Everybody's tokens by their names.
    pub fn tokens(&self) -> BTreeMap<String, &str> {
        self.tokens.iter().map(|(who, token)| (who.name(), token.as_str())).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn token(&self, who: Who) -> &str {
        &self.tokens[&who]
    }

    pub fn access_file(&self) -> std::path::PathBuf {
        AccessFile::in_directory(&self.directory.path().join("data"))
    }

    /// Makes a tag.
    pub async fn create(&self, name: &str) {
        let request = CreateTagRequest { tag: Some(tag(name)) };
        self.client(Who::Admin).get::<CreateTagResponse>("historian.v1.TagService/CreateTag", &request).await;
    }

    /// Takes away what the end of a run wrote, which has the time of the run.
    async fn empty(&self, name: &str) {
        let (start, end, reason) = ("0".to_owned(), i64::MAX.to_string(), "times of the run".to_owned());
        let request = DeleteRangeRequest { tags: vec![name.into()], start, end, reason, ..DeleteRangeRequest::default() };
        self.client(Who::Admin).get::<DeleteRangeResponse>("historian.v1.WriteService/DeleteRange", &request).await;
    }

    /// Writes so many samples, one a second.
    pub async fn write(&self, name: &str, start: i64, count: i64, value: f64) {
        let request = WriteSamplesRequest { options: Some(WriteRequest::default()), samples: vec![samples(name, start, count, value)] };
        let written: WriteSamplesResponse = self.client(Who::Admin).get("historian.v1.WriteService/WriteSamples", &request).await;
        assert_eq!((written.samples, written.failures.len(), written.rejected), (count as u64, 0, 0), "{written:?}");
    }
}

/// A tag whose unit and description say where it is, so that they can be found in answers.
pub fn tag(name: &str) -> Tag {
    let level = name.split('/').next().unwrap_or_default();
    let (unit, description) = (format!("{level}s"), format!("what is {level}"));
    Tag { name: name.into(), value_type: ValueType::F64.into(), unit, description, ..Tag::default() }
}

pub fn samples(name: &str, start: i64, count: i64, value: f64) -> TagSamples {
    let column = v1::values::Column::F64(v1::DoubleColumn { values: (0..count).map(|index| value + index as f64).collect() });
    let timestamps = (0..count).map(|index| start + index * SECOND).collect();
    TagSamples { tag: name.into(), timestamps, values: Some(v1::Values { column: Some(column) }), ..TagSamples::default() }
}

/// A run in which there was a device with tags. They are collected no more, which is a gap of each.
fn once_with_a_device(directory: &Path, data: &Path, levels: &[&str]) {
    let configuration = directory.join("device.toml");
    let mut text = "[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:1\"\n".to_owned();
    for (number, level) in levels.iter().enumerate() {
        text += &format!("\n[[modbus.tag]]\nname = \"{level}/device\"\naddress = \"holding:{number}\"\n");
    }
    fs::write(&configuration, text).expect("the directory is writable");
    serve(data, &["--config", &configuration.display().to_string()]).stop().expect("it stops");
}

/// A token for everybody who has one.
fn tokens(data: &Path) -> BTreeMap<Who, String> {
    let (path, now) = (AccessFile::in_directory(data), SystemClock.now());
    let mut tokens = BTreeMap::from([(Who::Unknown, "hst_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG".to_owned())]);
    for who in Who::ALL {
        let Some(grant) = who.grant() else { continue };
        let new = NewToken { name: who.name(), grants: vec![grant], expires: None };
        // As it was made two hours ago for one.
        let (new, at) = match who {
            Who::Expired => {
                let hours = |count: i64| Timestamp(now.0 - count * 3_600 * SECOND);
                (NewToken { expires: Some(hours(1)), ..new }, hours(2))
            }
            _ => (new, now),
        };
        let made = AccessFile::create_token(&path, new, at).expect("the token is made");
        if who == Who::Revoked {
            AccessFile::revoke(&path, &who.name(), now).expect("the token is revoked");
        }
        tokens.insert(who, made.secret);
    }
    tokens
}

/// Certificates, the keys of a provider and what their names are granted; answers the configuration that takes them.
fn secured(directory: &Path, data: &Path, tokens: &mut BTreeMap<Who, String>) -> String {
    let (servers, clients) = (Mini::new(directory, "servers"), Mini::new(directory, "clients"));
    servers.issue("server", &Wanted::server(&["localhost", "127.0.0.1"]));
    clients.issue("erp", &Wanted::client("erp"));
    clients.issue("mes", &Wanted::client("mes"));
    let keys = Keys::new();
    fs::write(directory.join("keys.json"), keys.set()).expect("the directory is writable");
    let expires = SystemClock.now().0 / SECOND + 3_600;
    let claims = serde_json::json!({
        "iss": "https://id.example", "aud": "historian", "sub": "ana", "exp": expires, "realm_access": {"roles": ["operators"]}
    });
    tokens.insert(Who::OidcRole, keys.token(&claims));
    let (path, now) = (AccessFile::in_directory(data), SystemClock.now());
    let grant = |role, tags: &[&str]| vec![Grant { role, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }];
    for (principal, grants) in
        [("certificate:urn:client:erp", grant(Role::Reader, &["seen/**"])), ("oidc-role:operators", grant(Role::Engineer, &[]))]
    {
        AccessFile::add_grants(&path, principal.parse().expect("a principal"), grants, now).expect("it is granted");
    }
    "[tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\nclient_certificates = \"optional\"\nclient_ca = \"clients.crt\"\n\n\
     [oidc]\nissuer = \"https://id.example\"\naudience = \"historian\"\nkeys_file = \"keys.json\"\nroles_claim = \"realm_access.roles\"\n"
        .to_owned()
}
