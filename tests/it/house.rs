//! The rules of the house: which room may build on which, checked against the manifests, and what is written nowhere, checked against the
//! source; no circle of imports among the files of a room. Every exception is listed with its reason; a rule whose exception is no longer used fails, so that the lists stay true.

mod circles;
mod imports;
mod nouns;
mod rooms;
mod rule;
mod source;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use rule::{Exception, RULES, Rule};
use source::Source;

use crate::support::peer::root;

/// Folders whose `.rs` files are ours.
const FOLDERS: [&str; 5] = ["src", "storage-format", "proto", "tests", "benches"];

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in FOLDERS {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root()).expect("below the root").to_str().expect("names are UTF-8").replace('\\', "/");
            Source::new(&name, &fs::read_to_string(path).expect("source is readable"))
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("folder is readable").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, paths);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

#[test]
fn the_source_keeps_the_rules_of_the_house() {
    let sources = sources();
    assert!(sources.len() > 30, "only {} source files were found", sources.len());
    let mut broken = Vec::new();
    for rule in RULES {
        let mut used = BTreeSet::new();
        for source in &sources {
            broken.extend(rule.check(source, &mut used));
        }
        for (index, exception) in rule.exceptions.iter().enumerate().filter(|(index, _)| !used.contains(index)) {
            let Exception { file, word, .. } = exception;
            broken.push(format!("{}: exception {index} ({word} in {file}) is not needed any more: remove it", rule.name));
        }
    }
    assert!(broken.is_empty(), "{} violations:\n{}", broken.len(), broken.join("\n"));
}

/// Violations of all rules of a name.
fn violations(name: &str, file: &str, text: &str) -> usize {
    let source = Source::new(file, text);
    RULES.iter().filter(|rule| rule.name == name).map(|rule| rule.check(&source, &mut BTreeSet::new()).len()).sum()
}

/// A rule, a made-up file that breaks it, and one that only looks as if it did.
const INJECTED: &[(&str, &str, &str, &str)] = &[
    ("format is pure", "storage-format/src/x.rs", "use std::fs::File;", "use std::fmt;"),
    ("format is pure", "storage-format/src/x.rs", "use std::{fmt, net::TcpStream};", "use std::{fmt, collections};"),
    ("wall clock", "src/engine/ingest/x.rs", "let t = std::time::SystemTime::now();", "let t = std::time::Instant::now();"),
    ("wall clock", "src/api/x.rs", "let t = jiff::Timestamp::now();", "let t = clock.now();"),
    ("wall clock", "src/simulator/x.rs", "let t = DateTime::now();", "#[cfg(test)]\nmod tests {\n    fn f() { DateTime::now(); }\n}\n"),
    ("configuration files", "src/collector/x.rs", "let t = std::fs::read_to_string(p)?;", "let t = read_to_string_like();"),
    ("configuration files", "src/query/x.rs", "use std::fs::File;", "struct FileName;"),
    ("configuration files", "src/engine/ingest/x.rs", "use std::{env, fs};", "use std::{fmt};"),
    ("read only", "src/collector/modbus/x.rs", "client.write_single_register(1, 2).await", "client.read_holding_registers(1, 2).await"),
    ("read only", "src/collector/modbus/x.rs", "use tokio_modbus::prelude::Writer;", "use tokio_modbus::client::Reader;"),
    ("read only", "src/collector/opcua/x.rs", "session.write(&[value]).await", "session.read(&[value]).await"),
    ("read only", "src/collector/opcua/x.rs", "session\n    .call(method).await", "callback(x)"),
    ("read only", "src/collector/mqtt/x.rs", "client.try_publish(topic, payload, options)", "voice.announce(&state)"),
    ("read only", "src/collector/opcua/x.rs", "session.history_update(&[]).await", "session.history_read(a).await"),
    (
        "tags are selected on blocking threads",
        "src/api/x.rs",
        "async fn f(a: A) -> B {\n    if x { y }\n    blocking(move || catalog.select(&s)).await\n}",
        "fn f(a: A) -> B {\n    catalog.select(&s)\n}\nasync fn g() {\n    tokio::select! {}\n}\nfn h() {\n    resolve::tags(a)\n}",
    ),
    (
        "tags are selected on blocking threads",
        "src/api/x.rs",
        "let x = async move { resolve::tags(a) };",
        "let x = async {}; resolve::tags(a);",
    ),
    ("one entry for work", "src/api/kind/x.rs", "tokio::task::spawn_blocking(move || f()).await", "api.bounded(caller, work).await"),
    ("who asks", "src/api/grpc/x.rs", "let s = catalog.within(&TagScope::Everything);", "let s = catalog.within(&limits.scope);"),
    (
        "who asks",
        "src/sql/x.rs",
        "let p = Principal::anonymous();",
        "#[cfg(test)]\nmod tests {\n    fn f() { Principal::anonymous(); }\n}\n",
    ),
    ("unsafe", "src/store/x.rs", "let x = unsafe { *p };", "#![forbid(unsafe_code)]"),
    ("unsafe", "storage-format/src/x.rs", "unsafe impl Send for X {}", "// unsafe"),
];

#[test]
fn every_rule_fails_on_an_injected_violation_and_not_on_its_look_alike() {
    for (name, file, bad, good) in INJECTED {
        assert_ne!(violations(name, file, &format!("//! x\n{bad}\n")), 0, "{name} missed {bad:?} in {file}");
        assert_eq!(violations(name, file, &format!("//! x\n{good}\n")), 0, "{name} refused {good:?} in {file}");
    }
    assert_eq!(violations("head comment", "tests/it/x.rs", "// x\nfn f() {}\n"), 1);
    assert_eq!(violations("head comment", "benches/x.rs", "#![allow(x)]\n//! x\n"), 1);
    assert_eq!(violations("head comment", "src/x.rs", "//! What x is for.\n"), 0);
    let shown: BTreeSet<&str> = INJECTED.iter().map(|injected| injected.0).chain(["head comment"]).collect();
    for rule in RULES {
        assert!(shown.contains(rule.name), "no injected violation shows that rule {:?} can fail", rule.name);
    }
}

#[test]
fn an_exception_covers_its_file_and_word_and_nothing_else() {
    let rule = Rule {
        exceptions: &[Exception { file: "src/api/x.rs", word: "rocksdb", reason: "made up" }],
        ..Rule::foreign("made up", "made up", &["rocksdb"], &["src/store/"])
    };
    let check = |file: &str, text: &str| {
        let mut used = BTreeSet::new();
        (rule.check(&Source::new(file, text), &mut used).len(), used.len())
    };
    assert_eq!(check("src/api/x.rs", "use rocksdb::DB;"), (0, 1));
    assert_eq!(check("src/api/y.rs", "use rocksdb::DB;"), (1, 0));
    assert_eq!(check("src/store/y.rs", "use rocksdb::DB;"), (0, 0));
}
