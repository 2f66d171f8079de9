//! Who may build on whom: each room is a crate, so what its `Cargo.toml` does not name, its code cannot name either. The lists here are the
//! plan of the house; the manifests are compared with it.

use std::{collections::BTreeSet, fs};

use crate::support::peer::root;

/// A room, and the crates of the house that it builds on.
struct Room {
    folder: &'static str,
    builds_on: &'static [&'static str],
}

const fn room(folder: &'static str, builds_on: &'static [&'static str]) -> Room {
    Room { folder, builds_on }
}

/// From the ground up: a room builds on rooms above its own line only.
const ROOMS: &[Room] = &[
    room("storage-format", &[]),
    room("proto", &[]),
    room("src/allocator", &[]),
    room("src/model", &["format"]),
    room("src/access", &["model"]),
    room("src/audit", &["model"]),
    room("src/tls", &["model"]),
    room("src/oidc", &["model", "tls"]),
    room("src/trace", &["tls"]),
    room("src/operators", &["format", "model"]),
    room("src/store", &["audit", "format", "model"]),
    room("src/engine/read", &["format", "model", "store"]),
    room("src/engine/maintenance", &["format", "model", "read", "store"]),
    room("src/engine/ingest", &["format", "maintenance", "model", "read", "store"]),
    room("src/query", &["format", "model", "operators", "read", "store"]),
    room("src/sql", &["format", "model", "operators", "query", "read", "store"]),
    room("src/collector", &["format", "model"]),
    room("src/collector/modbus", &["collector", "model", "tls"]),
    room("src/collector/mqtt", &["collector", "model", "tls"]),
    room("src/collector/opcua", &["collector", "model"]),
    // Of the collectors the API shows the delivery truth, and nothing else.
    room(
        "src/api",
        &["access", "audit", "collector", "format", "model", "oidc", "operators", "proto", "query", "read", "sql", "store", "tls", "trace"],
    ),
    room(
        "src/server",
        &[
            "access",
            "allocator",
            "api",
            "audit",
            "collector",
            "ingest",
            "maintenance",
            "modbus",
            "model",
            "mqtt",
            "oidc",
            "opcua",
            "operators",
            "query",
            "read",
            "sql",
            "store",
            "tls",
            "trace",
        ],
    ),
    room("src/simulator", &["model"]),
    room(
        "src/cli",
        &[
            "access",
            "api",
            "audit",
            "collector",
            "format",
            "model",
            "proto",
            "query",
            "server",
            "simulator",
            "sql",
            "store",
            "tls",
            "trace",
        ],
    ),
];

/// Libraries that only some rooms may build on, and why.
const LIBRARIES: &[(&[&str], &[&str], &str)] = &[
    (&["rocksdb"], &["src/store"], "RocksDB has one home"),
    (
        &["arrow", "arrow-flight", "arrow-array", "arrow-schema", "arrow-buffer", "parquet"],
        &["src/query", "src/sql", "src/api", "src/cli"],
        "Arrow begins in query; below it samples are the columns of the storage format",
    ),
    (
        &["rustls", "rcgen", "rustls-native-certs"],
        &["src/tls"],
        "TLS has one home, where its one provider of cryptography is named; others get configurations that are made",
    ),
    (
        &["tokio-rustls"],
        &["src/api", "src/cli", "src/collector/modbus", "src/collector/mqtt", "src/oidc", "src/trace"],
        "connections are accepted by the API, and made by the command line, to Modbus devices, MQTT brokers, the identity provider and the collector of traces",
    ),
    (
        &["ring"],
        &["src/oidc", "src/audit"],
        "signatures are verified where tokens of identity providers are, and made where the audit log is; all else of it is TLS",
    ),
    (&["datafusion"], &["src/sql"], "SQL has one home"),
    (
        &["opentelemetry", "opentelemetry_sdk", "opentelemetry-otlp", "tracing-opentelemetry"],
        &["src/trace"],
        "traces have one home; others make spans",
    ),
    (
        &["tonic", "tonic-health", "tonic-prost", "tonic-reflection", "tonic-types", "prost", "prost-types", "pbjson-types"],
        &["proto", "src/trace", "src/api", "src/cli", "src/collector/mqtt"],
        "proto types begin in api; what lies below speaks in the model's words; traces and Sparkplug are others' messages",
    ),
    (&["tokio-modbus"], &["src/simulator"], "types of a protocol never leave the crate of its collector; Modbus frames are our own there"),
    (&["async-opcua"], &["src/collector/opcua", "src/simulator"], "types of a protocol never leave the crate of its collector"),
    (&["rumqttc-v4", "rumqttc-v5"], &["src/collector/mqtt"], "types of a protocol never leave the crate of its collector"),
    (
        &["tokio", "tokio-util", "tokio-stream", "futures"],
        &[
            "src/engine/read",
            "src/engine/ingest",
            "src/query",
            "src/sql",
            "src/collector",
            "src/collector/modbus",
            "src/collector/mqtt",
            "src/collector/opcua",
            "src/oidc",
            "src/trace",
            "src/api",
            "src/server",
            "src/simulator",
            "src/cli",
        ],
        "the model has no runtime, operators and store block; a third party can decode our chunks with the format alone",
    ),
    (
        &["async-trait"],
        &[
            "src/model",
            "src/engine/ingest",
            "src/query",
            "src/sql",
            "src/collector",
            "src/collector/modbus",
            "src/collector/mqtt",
            "src/collector/opcua",
            "src/api",
            "src/server",
            "src/simulator",
            "src/cli",
        ],
        "operators and store block; the sample sink of the model is the lowest trait that waits",
    ),
];

/// Names in the table `[dependencies]` of a manifest: what is shipped. Tests may use more.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    manifest.get("dependencies").and_then(toml::Value::as_table).map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

/// What is wrong with the dependencies of a room.
fn wrong(room: &Room, dependencies: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let ours: BTreeSet<&str> = dependencies.iter().filter_map(|name| name.strip_prefix("historian-")).collect();
    let planned: BTreeSet<&str> = room.builds_on.iter().copied().collect();
    for name in ours.symmetric_difference(&planned) {
        wrong.push(format!("{} and historian-{name}: the manifest and the plan differ", room.folder));
    }
    for (libraries, rooms, reason) in LIBRARIES {
        for library in libraries.iter().filter(|library| dependencies.contains(**library) && !rooms.contains(&room.folder)) {
            wrong.push(format!("{} builds on {library}: {reason}", room.folder));
        }
    }
    wrong
}

#[test]
fn rooms_are_crates_that_build_on_lower_ones_only() {
    let workspace: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap().to_owned());
    let planned = ROOMS.iter().map(|room| room.folder.to_owned()).collect::<BTreeSet<_>>();
    let rooms: BTreeSet<String> = members.filter(|member| member != "." && member != "benches" && !member.starts_with("tests/")).collect();
    assert_eq!(rooms, planned, "the members of the workspace are the rooms of the plan");

    let mut broken = Vec::new();
    for (number, room) in ROOMS.iter().enumerate() {
        broken.extend(wrong(room, &dependencies(&fs::read_to_string(root().join(room.folder).join("Cargo.toml")).unwrap())));
        for name in room.builds_on {
            let is_lower = ROOMS[..number].iter().any(|lower| lower.folder.rsplit(['/', '-']).next() == Some(name));
            assert!(is_lower, "the plan lets {} build on {name}, which does not stand below it", room.folder);
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_manifest_that_leaves_the_plan_is_told_by_room_library_and_reason() {
    let of = |folder: &str, manifest: &str| {
        let room = ROOMS.iter().find(|room| room.folder == folder).unwrap();
        wrong(room, &dependencies(manifest)).join("\n")
    };
    let model = "[dependencies]\nhistorian-format.workspace = true\n";
    assert_eq!(of("src/model", model), "");
    assert_eq!(of("src/model", &format!("{model}[dev-dependencies]\narrow.workspace = true\n")), "");
    assert!(of("src/model", &format!("{model}historian-store.workspace = true\n")).contains("src/model and historian-store"));
    assert!(of("src/model", "").contains("src/model and historian-format"));
    assert!(of("src/model", &format!("{model}rocksdb = \"1\"\n")).contains("RocksDB has one home"));
    let ingest = "[dependencies]\nhistorian-format = { path = \"x\" }\nhistorian-maintenance = \"1\"\nhistorian-model = \"1\"\nhistorian-read = \"1\"\nhistorian-store = \"1\"\n";
    assert_eq!(of("src/engine/ingest", ingest), "");
    assert!(of("src/engine/ingest", &format!("{ingest}arrow = \"1\"\n")).contains("Arrow begins in query"));
    assert!(of("src/engine/ingest", &format!("{ingest}tonic = \"1\"\n")).contains("proto types begin in api"));
    let modbus = "[dependencies]\nhistorian-collector = \"1\"\nhistorian-model = \"1\"\n";
    assert!(of("src/collector/modbus", &format!("{modbus}async-opcua = \"1\"\n")).contains("types of a protocol"));
    assert!(of("storage-format", "[dependencies]\ntokio = \"1\"\n").contains("the format alone"));
}

/// Where a package has settings of its own for the builds of every day (fewer lines after an edit, no time for the best code), what is packaged
/// says its own. Without this, all of what was packaged was once compiled with the `opt-level = 0` of the root package.
#[test]
fn what_is_packaged_takes_no_setting_of_a_package_from_other_builds() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let packages = |profile: &str| manifest["profile"][profile]["package"].as_table().unwrap().clone();
    let packaged = packages("dist");
    for (package, settings) in packages("release") {
        for key in settings.as_table().unwrap().keys() {
            let own = packaged.get(&package).and_then(|settings| settings.get(key));
            assert!(own.is_some(), "[profile.dist.package.{package}] says no {key} of its own");
        }
    }
    assert_eq!(packaged["historian"]["opt-level"].as_integer(), Some(3));
}
