//! Tokens from their making to their end, on files in a directory of their own.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    thread,
};

use tempfile::TempDir;

use crate::{
    AccessBook, AccessError, AccessFile, CreatedToken, Grant, KnownBy, NamedKind, NamedPrincipal, NewToken, Principal, Right, Role,
    TokenState,
};
use historian_model::Timestamp;

const NOW: Timestamp = Timestamp(1_774_785_600_000_000_000); // 2026-03-29T12:00:00Z
const LATER: Timestamp = Timestamp(NOW.0 + 1_000_000_000);

/// A data directory, and where its tokens are.
fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = AccessFile::in_directory(directory.path());
    (directory, path)
}

fn new(name: &str, role: Role, tags: &[&str]) -> NewToken {
    let grants = vec![Grant { role, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }];
    NewToken { name: name.to_owned(), grants, expires: None }
}

fn create(path: &Path, name: &str) -> CreatedToken {
    AccessFile::create_token(path, new(name, Role::Reader, &["area1/**"]), NOW).unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_token_is_its_principal_and_its_secret_is_not_in_the_file() {
    let (directory, path) = directory();
    let made = create(&path, "ana");
    assert_eq!(made.id, 1);
    let random = made.secret.strip_prefix("hst_").unwrap();
    assert!(!text(&path).contains(random) && !format!("{made:?}").contains(random));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["access.json", "access.json.lock"]);

    let book = AccessBook::open(&path).unwrap();
    let principal = book.authenticate(&made.secret, NOW).unwrap();
    assert_eq!(principal.name(), "token:ana");
    assert!(principal.may_on(Right::Read, "area1/pressure") && !principal.may_on(Right::Read, "area2/pressure"));
    assert!(principal.may(Right::Read) && !principal.may(Right::Write) && !principal.may(Right::Administer));
    for told in [format!("{principal:?}"), format!("{book:?}"), format!("{:?}", AccessFile::list(&path).unwrap())] {
        assert!(!told.contains(random), "{told}");
    }
    for wrong in ["", "hst_", &made.secret[1..], &format!("{} ", made.secret), &made.secret.to_uppercase(), &"x".repeat(100_000)] {
        assert!(book.authenticate(wrong, NOW).is_none(), "{wrong}");
    }
}

#[test]
fn the_hash_of_a_secret_is_no_secret() {
    let (_directory, path) = directory();
    create(&path, "ana");
    let text = text(&path);
    let (_, behind) = text.split_once("\"sha256\": \"").unwrap();
    let book = AccessBook::open(&path).unwrap();
    assert!(book.authenticate(&behind[..64], NOW).is_none());
}

#[test]
fn a_token_ends_when_it_expires_or_is_revoked_and_stays_listed() {
    let (_directory, path) = directory();
    let short = AccessFile::create_token(&path, NewToken { expires: Some(LATER), ..new("short", Role::Reader, &[]) }, NOW).unwrap();
    let long = create(&path, "long");
    let book = AccessBook::open(&path).unwrap();
    let principal = book.authenticate(&short.secret, NOW).unwrap();
    assert!(book.is_valid(&principal, NOW) && !book.is_valid(&principal, LATER));
    assert!(book.authenticate(&short.secret, LATER).is_none(), "the moment of expiry is outside");

    let kept = book.authenticate(&long.secret, NOW).unwrap();
    AccessFile::revoke(&path, "long", LATER).unwrap();
    assert!(book.authenticate(&long.secret, LATER).is_some(), "the historian has not read it yet");
    assert!(book.refresh().unwrap());
    assert!(book.authenticate(&long.secret, LATER).is_none());
    assert!(!book.is_valid(&kept, LATER), "what goes on for long can ask again");
    assert!(!book.is_empty(), "when the last token ends, nothing opens");

    let states = |now| AccessFile::list(&path).unwrap().iter().map(|token| (token.id, token.state(now))).collect::<Vec<_>>();
    assert_eq!(states(NOW), [(1, TokenState::Valid), (2, TokenState::Revoked)]);
    assert_eq!(states(LATER), [(1, TokenState::Expired), (2, TokenState::Revoked)]);
}

#[test]
fn names_are_unique_among_valid_tokens_and_numbers_among_all() {
    let (_directory, path) = directory();
    create(&path, "ana");
    let error = AccessFile::create_token(&path, new("ana", Role::Admin, &[]), NOW).unwrap_err();
    assert!(matches!(&error, AccessError::NameTaken { id: 1, .. }) && !error.is_misuse(), "{error}");
    AccessFile::revoke(&path, "ana", NOW).unwrap();
    assert_eq!(create(&path, "ana").id, 2);
    for gone in ["bob", "3", "hst_x", "-1"] {
        assert!(matches!(AccessFile::revoke(&path, gone, NOW), Err(AccessError::NoSuchToken { .. })), "{gone}");
    }
    assert_eq!(AccessFile::revoke(&path, "1", LATER).unwrap().revoked, Some(NOW), "it was revoked before");
    assert_eq!(AccessFile::revoke(&path, "2", LATER).unwrap().revoked, Some(LATER));
}

#[test]
fn a_token_that_is_not_valid_is_refused_and_nothing_is_made() {
    let (directory, path) = directory();
    let refused = |new: NewToken| {
        let error = AccessFile::create_token(&path, new, NOW).unwrap_err();
        assert!(error.is_misuse(), "{error}");
        error.to_string()
    };
    assert!(refused(new("7", Role::Reader, &[])).contains("must begin with a letter"));
    assert!(refused(new("ana", Role::Reader, &["a", "b/["])).contains("b/["));
    assert!(refused(new("ana", Role::Reader, &[""])).contains("empty"));
    assert!(refused(NewToken { grants: Vec::new(), ..new("ana", Role::Reader, &[]) }).contains("name a role"));
    assert!(refused(NewToken { expires: Some(NOW), ..new("ana", Role::Reader, &[]) }).contains("2026-03-29T12:00:00Z"));
    let many: Vec<String> = (0..10_001).map(|tag| format!("t{tag}")).collect();
    assert!(
        refused(NewToken { grants: vec![Grant { role: Role::Reader, tags: many }], ..new("ana", Role::Reader, &[]) }).contains("10001")
    );
    let long = format!("{}*", "x".repeat(1000));
    let long: Vec<String> = (0..300).map(|number| format!("{number}{long}")).collect();
    let error = refused(NewToken { grants: vec![Grant { role: Role::Reader, tags: long }], ..new("ana", Role::Reader, &[]) });
    assert!(error.contains("characters and wildcards"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let nowhere = directory.path().join("missing/access.json");
    assert!(matches!(AccessFile::create_token(&nowhere, new("ana", Role::Reader, &[]), NOW), Err(AccessError::NoDirectory { .. })));
}

#[test]
fn without_a_file_there_are_no_tokens_and_the_first_one_closes_the_door() {
    let (_directory, path) = directory();
    let book = AccessBook::open(&path).unwrap();
    assert!(book.is_empty() && AccessFile::list(&path).unwrap().is_empty());
    assert!(!book.refresh().unwrap());
    assert!(book.is_valid(&Principal::anonymous(), NOW));
    let made = create(&path, "ana");
    assert!(book.refresh().unwrap() && !book.is_empty());
    assert!(!book.is_valid(&Principal::anonymous(), NOW), "also for what goes on");
    assert!(book.authenticate(&made.secret, NOW).is_some());
    assert!(!book.refresh().unwrap(), "it is read only when it changed");
}

#[test]
fn a_bad_file_keeps_the_tokens_and_is_told_once() {
    let (_directory, path) = directory();
    let made = create(&path, "ana");
    let good = text(&path);
    let book = AccessBook::open(&path).unwrap();
    let told = |expected: &str| {
        let error = book.refresh().unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("access.json"), "{error}");
        assert!(!book.refresh().unwrap(), "{error}: told a second time");
        assert!(book.authenticate(&made.secret, NOW).is_some() && !book.is_empty(), "{error}");
    };
    for bad in [&good[..good.len() / 2], &good[..good.len() / 2], ""] {
        fs::write(&path, bad).unwrap();
        told("is damaged");
        fs::write(&path, &good).unwrap();
        assert!(book.refresh().unwrap(), "it is good again, and what comes then is told again");
    }
    set_mode(&path, 0o640);
    told("chmod 600");
    set_mode(&path, 0o600);
    assert!(book.refresh().unwrap());
    fs::remove_file(&path).unwrap();
    told("is gone");
    let other = create(&path, "bob");
    assert!(book.refresh().unwrap());
    assert!(book.authenticate(&made.secret, NOW).is_none() && book.authenticate(&other.secret, NOW).is_some());
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_remedy() {
    let (_directory, path) = directory();
    create(&path, "ana");
    for mode in [0o604, 0o640, 0o660, 0o602, 0o777] {
        set_mode(&path, mode);
        for error in [
            AccessBook::open(&path).unwrap_err(),
            AccessFile::list(&path).unwrap_err(),
            AccessFile::revoke(&path, "ana", NOW).unwrap_err(),
            AccessFile::create_token(&path, new("bob", Role::Reader, &[]), NOW).unwrap_err(),
        ] {
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
    }
    set_mode(&path, 0o400);
    assert_eq!(AccessFile::list(&path).unwrap().len(), 1);
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (_directory, path) = directory();
    create(&path, "ana");
    create(&path, "bob");
    let good = text(&path);
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let hashes: Vec<&str> = good.split("\"sha256\": \"").skip(1).map(|behind| &behind[..64]).collect();
    for (bad, reason) in [
        (String::new(), "damaged"),
        ("[]".to_owned(), "damaged"),
        (with("\"version\": 1", "\"version\": 3"), "version 3"),
        (with("\"version\": 1", "\"version\": 0"), "version 0"),
        (with("\"version\": 1", "\"version\": 1, \"owner\": 1"), "owner"),
        (with("\"reader\"", "\"root\""), "root"),
        (with("\"tags\"", "\"tag\""), "tag"),
        (with("\"role\"", "\"scope\": [], \"role\""), "scope"),
        (with("area1/**", "area1/["), "area1/["),
        (with("\"id\": 2", "\"id\": 1"), "token 1 (bob)"),
        (with("\"id\": 2", "\"id\": 3"), "not given yet"),
        (with("\"created\": \"2026", "\"created\": \"9026"), "out of range"),
        (with("\"sha256\": \"", "\"sha256\": \"0"), "64 hexadecimal"),
        (with(hashes[1], hashes[0]), "token 2 (bob)"),
    ] {
        fs::write(&path, &bad).unwrap();
        let error = AccessBook::open(&path).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("access.json"), "{reason}: {error}");
        // What globs mean is only asked where somebody is let in by them.
        if reason != "area1/[" {
            AccessFile::create_token(&path, new("eve", Role::Admin, &[]), NOW).unwrap_err();
            assert_eq!(text(&path), bad, "{reason}");
        }
    }
}

#[test]
fn every_cut_of_the_file_is_refused() {
    let (_directory, path) = directory();
    create(&path, "ana");
    let good = text(&path);
    for length in 0..good.trim_end().len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(AccessBook::open(&path).is_err(), "{}", &good[..length]);
    }
}

#[test]
fn tokens_made_at_the_same_time_are_all_there() {
    let (_directory, path) = directory();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let path = path.clone();
            thread::spawn(move || (0..5).map(|again| create(&path, &format!("t{number}-{again}"))).collect::<Vec<_>>())
        })
        .collect();
    let made: Vec<CreatedToken> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let book = AccessBook::open(&path).unwrap();
    assert!(made.iter().all(|token| book.authenticate(&token.secret, NOW).is_some()));
    let ids: Vec<u64> = AccessFile::list(&path).unwrap().iter().map(|token| token.id).collect();
    assert_eq!(ids, (1..=40).collect::<Vec<_>>());
}

/// A program that was killed while it wrote leaves a part of the new file.
#[test]
fn what_a_killed_program_left_is_in_nobodys_way() {
    let (directory, path) = directory();
    create(&path, "ana");
    let left = directory.path().join("access.json.new");
    fs::write(&left, "{\"vers").unwrap();
    create(&path, "bob");
    assert_eq!(AccessFile::list(&path).unwrap().len(), 2);
    assert!(!left.exists());
}

/// Only root can make a file for somebody else, so elsewhere there is nothing to see.
#[test]
fn what_root_makes_belongs_to_the_owner_of_the_directory() {
    let (directory, path) = directory();
    let is_root = chown(directory.path(), Some(12_345), Some(23_456)).is_ok();
    create(&path, "ana");
    create(&path, "bob");
    let own = fs::metadata(directory.path()).unwrap();
    for name in ["access.json", "access.json.lock"] {
        let made = fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (own.uid(), own.gid(), 0o600), "{name}");
    }
    assert!(!is_root || own.uid() == 12_345);
}

fn grant(role: Role, tags: &[&str]) -> Grant {
    Grant { role, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }
}

fn named(text: &str) -> NamedPrincipal {
    text.parse().unwrap()
}

fn add(path: &Path, principal: &str, grants: &[Grant]) {
    AccessFile::add_grants(path, named(principal), grants.to_vec(), NOW).unwrap();
}

#[test]
fn a_certificate_has_what_its_identity_is_granted_and_nothing_else() {
    let (_directory, path) = directory();
    add(&path, "certificate:erp", &[grant(Role::Reader, &["area1/**"])]);
    let book = AccessBook::open(&path).unwrap();
    assert!(!book.is_empty(), "the first grant closes the historian");
    let erp = book.certificate("erp").unwrap();
    assert_eq!((erp.name(), erp.known_by(), erp.expires()), ("certificate:erp", KnownBy::Certificate, None));
    assert!(erp.may_on(Right::Read, "area1/p") && !erp.may_on(Right::Read, "area2/p") && !erp.may(Right::Write));
    for other in ["ERP", "erp2", "er", "oidc:erp"] {
        let other = book.certificate(other).unwrap();
        assert!(Right::ALL.into_iter().all(|right| !other.may(right)), "{other:?}");
    }
    assert!(book.certificate("a\nb").is_none() && book.certificate("").is_none());
    assert!(book.is_valid(&erp, NOW) && !book.is_valid(&Principal::anonymous(), NOW) && book.is_valid(&Principal::local(0), NOW));

    // What it is granted changes: what goes on begins anew, with less or with more.
    add(&path, "certificate:erp", &[grant(Role::Writer, &["area2/**"])]);
    assert!(book.refresh().unwrap() && !book.is_valid(&erp, NOW));
    let more = book.certificate("erp").unwrap();
    assert!(more.may_on(Right::Read, "area1/p") && more.may_on(Right::Write, "area2/p") && book.is_valid(&more, NOW));
    // What others are granted changes nothing.
    add(&path, "certificate:mes", &[grant(Role::Admin, &[])]);
    assert!(book.refresh().unwrap() && book.is_valid(&more, NOW));
    AccessFile::remove_grants(&path, &named("certificate:erp"), &[]).unwrap();
    assert!(book.refresh().unwrap() && !book.is_valid(&more, NOW));
    assert!(!book.certificate("erp").unwrap().may(Right::Read));
    AccessFile::remove_grants(&path, &named("certificate:mes"), &[]).unwrap();
    assert!(book.refresh().unwrap() && !book.is_empty(), "when the last grant goes, nothing opens");
}

#[test]
fn grants_of_a_subject_and_of_its_roles_add_up_until_the_token_ends() {
    let (_directory, path) = directory();
    add(&path, "oidc:ana", &[grant(Role::Reader, &["area1/**"])]);
    add(&path, "oidc-role:operators", &[grant(Role::Engineer, &["area2/**", "area3/x"])]);
    add(&path, "oidc-role:auditors", &[grant(Role::Auditor, &[])]);
    let book = AccessBook::open(&path).unwrap();
    let with = |roles: &[&str]| book.oidc(named("oidc:ana"), roles.iter().map(|role| named(&format!("oidc-role:{role}"))), LATER);
    let ana = with(&["operators", "unknown"]);
    assert_eq!((ana.name(), ana.known_by(), ana.expires()), ("oidc:ana", KnownBy::Oidc, Some(LATER)));
    assert!(ana.may_on(Right::Read, "area1/p") && ana.may_on(Right::Read, "area2/p") && ana.may_on(Right::Correct, "area3/x"));
    assert!(!ana.may_on(Right::Read, "area3/y") && !ana.may_on(Right::Write, "area1/p") && !ana.may(Right::Audit));
    assert!(with(&["auditors"]).may(Right::Audit) && !with(&[]).may(Right::Configure));
    // A role is no subject, and a subject no role.
    assert!(!book.oidc(named("oidc:operators"), [], LATER).may(Right::Read));
    assert!(!book.oidc(named("oidc:bob"), [named("oidc-role:ana")], LATER).may(Right::Read));
    assert!(book.is_valid(&ana, NOW) && !book.is_valid(&ana, LATER), "the moment of expiry is outside");
    // A role that it has is granted something from now on.
    add(&path, "oidc-role:unknown", &[grant(Role::Reader, &[])]);
    assert!(book.refresh().unwrap() && !book.is_valid(&ana, NOW));
    assert!(with(&["operators", "unknown"]).scope(Right::Read).is_everything());
}

#[test]
fn grants_are_added_once_and_taken_one_by_one_or_all() {
    let (_directory, path) = directory();
    let (reader, writer, admin) = (grant(Role::Reader, &["a"]), grant(Role::Writer, &["b"]), grant(Role::Admin, &[]));
    add(&path, "oidc:ana", &[reader.clone(), writer.clone()]);
    let entry = AccessFile::add_grants(&path, named("oidc:ana"), vec![writer.clone(), admin.clone()], LATER).unwrap();
    assert_eq!((entry.grants, entry.created), (vec![reader.clone(), writer.clone(), admin.clone()], NOW));
    let before = text(&path);
    for wrong in [vec![grant(Role::Reader, &["b"])], vec![reader.clone(), grant(Role::Reader, &[])]] {
        let error = AccessFile::remove_grants(&path, &named("oidc:ana"), &wrong).unwrap_err();
        assert!(error.to_string().contains("oidc:ana has no such grant"), "{error}");
    }
    assert!(AccessFile::remove_grants(&path, &named("oidc-role:ana"), &[]).is_err());
    assert_eq!(text(&path), before, "nothing was taken");
    assert_eq!(AccessFile::remove_grants(&path, &named("oidc:ana"), std::slice::from_ref(&writer)).unwrap(), [reader, admin]);
    assert_eq!(AccessFile::remove_grants(&path, &named("oidc:ana"), &[]).unwrap(), []);
    assert!(AccessFile::list_grants(&path).unwrap().is_empty());
    assert!(matches!(AccessFile::add_grants(&path, named("oidc:ana"), vec![], NOW), Err(AccessError::NoGrants)));
    assert!(AccessFile::add_grants(&path, named("oidc:ana"), vec![grant(Role::Reader, &["a/["])], NOW).unwrap_err().is_misuse());
}

#[test]
fn a_file_has_the_oldest_version_that_can_say_it() {
    let (_directory, path) = directory();
    create(&path, "ana");
    assert!(text(&path).contains("\"version\": 1") && !text(&path).contains("\"grants\": [\n    {\n      \"principal\""));
    add(&path, "certificate:erp", &[grant(Role::Reader, &[])]);
    assert!(text(&path).contains("\"version\": 2") && text(&path).contains("certificate:erp"));
    let twice = text(&path).replace("\"version\": 2", "\"version\": 3");
    AccessFile::revoke(&path, "ana", NOW).unwrap();
    assert_eq!(AccessFile::list_grants(&path).unwrap().len(), 1, "who changes tokens leaves grants as they are");
    AccessFile::remove_grants(&path, &named("certificate:erp"), &[]).unwrap();
    assert!(text(&path).contains("\"version\": 1"));
    fs::write(&path, twice).unwrap();
    assert!(AccessFile::list_grants(&path).unwrap_err().to_string().contains("version 3"));
    let entry = r#"{"principal": "oidc:ana", "grants": [{"role": "reader"}], "created": "2026-01-01T00:00:00Z"}"#;
    for (grants, reason) in [
        (format!("{entry}, {entry}"), "in two places"),
        (entry.replace("oidc:ana", "token:ana"), "token:ana"),
        (entry.replace("\"role\"", "\"scope\": 1, \"role\""), "scope"),
    ] {
        fs::write(&path, format!(r#"{{"version": 2, "next_id": 1, "tokens": [], "grants": [{grants}]}}"#)).unwrap();
        let error = AccessBook::open(&path).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("is damaged"), "{reason}: {error}");
    }
}

#[test]
fn rights_on_exactly_a_name_are_counted_and_those_by_globs_are_not() {
    let (_directory, path) = directory();
    assert_eq!(AccessBook::open(&path).unwrap().naming("a/x", NOW), 0);
    for (name, tags) in [("one", &["a/x", "b/**"][..]), ("two", &["a/*"]), ("three", &[])] {
        AccessFile::create_token(&path, new(name, Role::Engineer, tags), NOW).unwrap();
    }
    AccessFile::create_token(&path, NewToken { expires: Some(LATER), ..new("short", Role::Reader, &["a/x"]) }, NOW).unwrap();
    let principal = NamedPrincipal::new(NamedKind::Certificate, "ana").unwrap();
    AccessFile::add_grants(&path, principal, new("", Role::Reader, &["a/x"]).grants, NOW).unwrap();
    let book = AccessBook::open(&path).unwrap();
    assert_eq!(["a/x", "a/y"].map(|tag| book.naming(tag, NOW)), [3, 0]);
    assert_eq!(book.naming("a/x", LATER), 2, "a token that is expired has no rights");
}
