//! The audit log from outside: what is done and what is refused is in it with who, from where, what was before and what is now; other programs
//! find it whole, and find out when it is not.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value as Json;

use crate::support::{
    historian::{Historian, command, run, serve, text},
    peer::{interpreter, root},
};

/// Standard output of a command of somebody with a token, which must succeed.
fn told(serve: &Historian, token: &str, arguments: &[&str]) -> String {
    let output = command(arguments).args(["--server", &serve.url()]).env("HISTORIAN_TOKEN", token).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(serve: &Historian, token: &str, arguments: &[&str]) -> String {
    let output = command(arguments).args(["--server", &serve.url()]).env("HISTORIAN_TOKEN", token).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} was not refused");
    text(&output.stderr)
}

fn log(serve: &Historian, token: &str) -> Vec<Json> {
    let text = told(serve, token, &["audit", "--format", "json"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Action, principal and client of the entries with an action.
fn with_action<'log>(log: &'log [Json], action: &str) -> Vec<(&'log str, &'log str, &'log str)> {
    let field = |entry: &'log Json, name: &str| entry[name].as_str().unwrap();
    let found = log.iter().filter(|entry| entry["action"] == action);
    found.map(|entry| (field(entry, "principal"), field(entry, "client"), field(entry, "detail"))).collect()
}

fn token(data: &Path, arguments: &[&str]) -> String {
    let (code, out, err) = run(&[&["token"], arguments, &["--data-dir", &data.display().to_string()]].concat());
    assert_eq!(code, 0, "{err}");
    out.trim().to_owned()
}

/// Waits until the log has an entry.
fn wait_for(serve: &Historian, token: &str, action: &str, count: usize) -> Vec<Json> {
    let begun = Instant::now();
    loop {
        let log = log(serve, token);
        if with_action(&log, action).len() >= count {
            return log;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no {action} in {log:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn import(serve: &Historian, token: &str, directory: &Path, text: &str) {
    let file = directory.join("import.csv");
    fs::write(&file, text).unwrap();
    told(serve, token, &["tag", "import", &file.display().to_string()]);
}

#[test]
fn what_is_done_and_refused_is_told_with_who_from_where_and_what() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let config = directory.path().join("historian.toml");
    let heads = directory.path().join("heads.jsonl");
    fs::write(&config, "[backup]\ndirectory = \"backups\"\n[audit]\nheads_file = \"heads.jsonl\"\n").unwrap();
    fs::create_dir(&data).unwrap();
    let boss = token(&data, &["create", "boss", "--role", "admin"]);
    let ana = token(&data, &["create", "ana", "--role", "reader", "--tags", "a/**"]);
    let configured = ["--config", &config.display().to_string()];
    let historian = serve(&data, &configured);

    import(&historian, &boss, directory.path(), "name,type,unit\na/level,f64,m\nb/level,f64,m\n");
    import(&historian, &boss, directory.path(), "name,unit\na/level,cm\n");
    let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    told(&historian, &boss, &["delete", "a/level", "--yes", "--start", start, "--end", end, "--reason", "a test"]);
    told(&historian, &boss, &["tag", "retype", "b/level", "i64", "--reason", "counted now"]);
    told(&historian, &boss, &["tag", "set", "b/level", "--unit", "mm", "--reason", "a finer scale"]);
    told(&historian, &boss, &["tag", "rename", "b/level_f64", "b/old", "--reason", "as drawn"]);
    told(&historian, &boss, &["tag", "delete", "b/old", "--yes", "--reason", "measured nothing"]);
    told(&historian, &boss, &["compact"]);
    told(&historian, &boss, &["scrub"]);
    told(&historian, &boss, &["backup"]);
    assert!(refused(&historian, &ana, &["compact"]).contains("may not administer"));
    assert!(refused(&historian, "hst_of_nobody", &["status"]).contains("not valid"));
    assert_eq!(historian.get("/metrics").unwrap().0, 401);
    token(&data, &["revoke", "ana"]);
    token(&data, &["create", "line3", "--role", "writer", "--tags", "a/**"]);

    let log = wait_for(&historian, &boss, "create_token", 3);
    let by_boss = |action: &str, detail: &str| {
        let found = with_action(&log, action);
        assert!(
            found.iter().any(|(who, from, told)| (*who, *from) == ("token:boss", "127.0.0.1") && told.contains(detail)),
            "{action}: {found:?}"
        );
    };
    by_boss("create_tag", "f64");
    by_boss("update_tag", "unit: \"m\" → \"cm\"");
    by_boss("delete_range", "a test");
    by_boss("retype", "b/level holds i64 values");
    by_boss("retype", "is kept as b/level_f64; counted now");
    by_boss("update_tag", "unit: \"m\" → \"mm\"; a finer scale");
    by_boss("rename_tag", "b/level_f64 → b/old; tag id ");
    by_boss("rename_tag", "; as drawn");
    by_boss("delete_tag", "; measured nothing");
    by_boss("compact", "");
    by_boss("scrub", "");
    by_boss("create_backup", "backups");
    let denied = with_action(&log, "denied");
    let is_told = |who: &str, what: &str| denied.iter().any(|(by, from, told)| (*by, *from) == (who, "127.0.0.1") && told.contains(what));
    assert!(is_told("token:ana", "AdminService/Compact"), "{denied:?}");
    assert!(is_told("nobody", "AdminService/GetServerStatus") && is_told("nobody", "GET /metrics"), "{denied:?}");
    let tokens = with_action(&log, "create_token");
    assert!(tokens.iter().all(|(who, _, _)| who.starts_with("uid:")), "{tokens:?}");
    assert!(tokens.iter().any(|(_, _, told)| told.contains("(line3): writer on a/**")), "{tokens:?}");
    assert_eq!(with_action(&log, "revoke_token").len(), 1);
    assert_eq!(with_action(&log, "configuration").len(), 1);
    let numbers: Vec<u64> = log.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let everything = format!("{log:?}{}", historian.log());
    assert!(!everything.contains(&boss) && !everything.contains(&ana) && !everything.contains("hst_of_nobody"), "a secret is told");

    // What changes while nothing runs is told by the next start, and the heads that were kept still fit.
    historian.stop().unwrap();
    token(&data, &["revoke", "line3"]);
    fs::write(&config, "[backup]\ndirectory = \"backups\"\nkeep = 3\n[audit]\nheads_file = \"heads.jsonl\"\n").unwrap();
    let historian = serve(&data, &configured);
    let log = wait_for(&historian, &boss, "revoke_token", 2);
    let settings = with_action(&log, "configuration");
    assert!(settings.len() == 2 && settings[1].2.contains("backup.keep: none → 3"), "{settings:?}");
    let kept = fs::read_to_string(&heads).unwrap();
    assert!(kept.lines().count() >= 2, "at each start and stop, where the log has moved: {kept}");
    let verified = told(&historian, &boss, &["audit", "verify", "--head", &heads.display().to_string()]);
    assert!(verified.contains("the log is as it was written"), "{verified}");
    historian.stop().unwrap();
}

/// The program in `storage-format/audit.md`.
fn documented_check() -> String {
    let document = fs::read_to_string(root().join("storage-format/audit.md")).unwrap();
    let (_, rest) = document.split_once("```python\n").expect("the document has a program");
    rest.split_once("```").expect("which ends").0.to_owned()
}

/// Of another make: signatures by the cryptography package of Python.
const SIGNATURE: &str = "
import json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
head = [json.loads(line)['head'] for line in open(sys.argv[1]) if line.startswith('{\"head\":')][-1]
text = f\"historian audit head 1\\n{head['number']}\\n{head['hash']}\\n{head['time']}\\n\"
Ed25519PublicKey.from_public_bytes(bytes.fromhex(head['public_key'])).verify(bytes.fromhex(head['signature']), text.encode())
";

fn python(program: &str, export: &Path) -> (bool, String) {
    let output = Command::new(interpreter()).arg("-c").arg(program).arg(export).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn another_program_finds_a_log_whole_and_finds_what_was_changed() {
    let directory = tempfile::tempdir().unwrap();
    let historian = serve(&directory.path().join("data"), &[]);
    let rows: Vec<String> = (0..3_000).map(|number| format!("plant/ünit {number},f64")).collect();
    import(&historian, "", directory.path(), &format!("name,type\n{}\n", rows.join("\n")));
    for reason in ["first", "zweitens \"quoted\"", "3\\4"] {
        let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        told(&historian, "", &["delete", "plant/ünit 7", "--yes", "--start", start, "--end", end, "--reason", reason]);
    }
    let export = directory.path().join("audit.jsonl");
    told(&historian, "", &["audit", "export", &export.display().to_string()]);
    let whole = fs::read_to_string(&export).unwrap();
    let entries = whole.lines().count() - 1;
    assert!(entries >= 6, "{entries}");

    let check = documented_check();
    assert_eq!(python(&check, &export), (true, format!("{entries} entries\n")));
    let (signed, said) = python(SIGNATURE, &export);
    assert!(signed, "{said}");
    let file = export.display().to_string();
    let verify = |more: &[&str]| run(&[&["audit", "verify", &file], more].concat());
    let (code, out, _) = verify(&[]);
    assert!(code == 0 && out.contains("the log is as it was written"), "{out}");

    let lines: Vec<&str> = whole.lines().collect();
    let without = |left_out: usize| {
        let kept = lines.iter().enumerate().filter(|(number, _)| *number != left_out).map(|(_, line)| *line);
        kept.collect::<Vec<_>>().join("\n") + "\n"
    };
    let changes = [
        ("an entry changed", whole.replacen("\"first\"", "\"erste\"", 1), "changed: entry"),
        ("an entry left out", without(entries - 2), "missing: entry"),
        ("the last entry left out", without(entries - 1), "cut: the log ends with entry"),
    ];
    for (what, changed, said) in changes {
        assert_ne!(changed, whole, "{what}");
        fs::write(&export, changed).unwrap();
        assert!(!python(&check, &export).0, "{what}: the documented program does not see it");
        let (code, out, _) = verify(&[]);
        assert!(code == 1 && out.contains(said), "{what}: {out}");
    }

    // A log without its end agrees with itself; a head that was kept does not agree with it.
    let kept = directory.path().join("kept.jsonl");
    fs::write(&kept, told(&historian, "", &["audit", "head"])).unwrap();
    fs::write(&export, lines[..entries - 2].join("\n") + "\n").unwrap();
    assert_eq!(verify(&[]).0, 0);
    let (code, out, _) = verify(&["--head", &kept.display().to_string()]);
    assert!(code == 1 && out.contains("cut: the log ends with entry"), "{out}");
    fs::write(&export, &whole).unwrap();
    let other_key = "ab".repeat(32);
    let (code, out, _) = verify(&["--public-key", &other_key]);
    assert!(code == 1 && out.contains("signed by another key"), "{out}");
    // In JSON, for programs.
    let (_, out, _) = verify(&["--public-key", &other_key, "--format", "json"]);
    let report: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["faults"][0]["kind"], &report["faults_count"]), (&"unsigned".into(), &1.into()));

    // A part of it, from the running historian.
    let part = told(&historian, "", &["audit", "export", "--from", "3"]);
    assert!(part.starts_with("{\"number\":3,") && part.lines().count() == entries - 1, "{}", part.lines().count());
    let beyond = refused(&historian, "", &["audit", "export", "--from", "100000"]);
    assert!(beyond.contains("the audit log ends with entry"), "{beyond}");
    historian.stop().unwrap();
}

#[test]
fn a_log_that_was_changed_on_the_disk_is_found_by_a_scrub() {
    // The store itself is changed, through its own library, as whoever has the disk may do.
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let historian = serve(&data, &[]);
    for unit in ["m", "cm", "mm"] {
        import(&historian, "", directory.path(), &format!("name,type,unit\na/level,f64,{unit}\n"));
    }
    historian.stop().unwrap();
    let database = data.join("rocksdb");
    {
        let options = rocksdb::Options::default();
        let names = rocksdb::DB::list_cf(&options, &database).unwrap();
        let db = rocksdb::DB::open_cf(&options, &database, names).unwrap();
        let audit = db.cf_handle("audit").unwrap();
        let (key, value) = db.iterator_cf(audit, rocksdb::IteratorMode::Start).map(Result::unwrap).nth(2).unwrap();
        let changed = String::from_utf8_lossy(&value[32..]).replace("unit", "UNIT");
        db.put_cf(audit, key, [&value[..32], changed.as_bytes()].concat()).unwrap();
        db.flush_cf(audit).unwrap();
    }
    let historian = serve(&data, &[]);
    let scrub = command(&["scrub", "--server", &historian.url()]).output().unwrap();
    let said = text(&scrub.stdout) + &text(&scrub.stderr);
    assert!(said.contains("entry 3 of the audit log was changed"), "{said}");
    let verify = command(&["audit", "verify", "--server", &historian.url()]).output().unwrap();
    assert_eq!(verify.status.code(), Some(1), "{}", text(&verify.stdout));
    historian.stop().unwrap();
}
