//! `historian grant` from outside: made, listed and taken back on the file of a data directory, beside its tokens.

use std::{fs, process::Output};

use tempfile::TempDir;

use super::{command, directory, stderr, stdout};

/// `historian grant …` on a data directory.
fn grant(directory: &TempDir, arguments: &[&str]) -> Output {
    command(&["grant"]).args(arguments).env("HISTORIAN_DATA_DIR", directory.path()).output().expect("the program starts")
}

fn listed(directory: &TempDir) -> Vec<String> {
    let output = grant(directory, &["list", "--format", "csv"]);
    assert!(output.status.success(), "{}", stderr(&output));
    // All but the time.
    stdout(&output).lines().skip(1).map(|line| line.rsplit_once(',').expect("four columns").0.to_owned()).collect()
}

#[test]
fn grants_are_added_listed_and_removed() {
    let data = directory(&[]);
    for (arguments, told) in [
        (&["certificate:urn:client:erp", "--role", "reader", "--tags", "area1/**", "--tags", "x"][..], "reader on area1/**, x"),
        (&["oidc-role:operators", "--grant", "engineer=area1/**,b", "--role", "auditor"], "auditor; engineer on area1/**, b"),
        (&["oidc:ana", "--role", "admin"], "oidc:ana: admin"),
        // What it has stays, and is not there twice.
        (&["oidc:ana", "--role", "admin", "--grant", "reader=a"], "admin; reader on a"),
    ] {
        let output = grant(&data, &[&["add"], arguments].concat());
        assert!(output.status.success() && stdout(&output).contains(told), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    }
    assert_eq!(
        listed(&data),
        [
            "certificate:urn:client:erp,reader,area1/**|x",
            "oidc-role:operators,auditor,",
            "oidc-role:operators,engineer,area1/**|b",
            "oidc:ana,admin,",
            "oidc:ana,reader,a",
        ]
    );
    let table = stdout(&grant(&data, &["list", "--format", "table"]));
    assert!(table.contains("PRINCIPAL") && table.contains("area1/**, x") && table.contains("(all)"), "{table}");
    let json = stdout(&grant(&data, &["list", "--format", "json"]));
    assert!(json.lines().count() == 3 && json.contains(r#""principal":"oidc:ana""#), "{json}");
    // Tokens go on beside them.
    let token = command(&["token", "create", "bob", "--role", "reader"]).env("HISTORIAN_DATA_DIR", data.path()).output().unwrap();
    assert!(token.status.success(), "{}", stderr(&token));

    let removed = grant(&data, &["remove", "oidc:ana", "--role", "admin"]);
    assert!(stdout(&removed).contains("left: reader on a"), "{}{}", stdout(&removed), stderr(&removed));
    let removed = grant(&data, &["remove", "oidc-role:operators"]);
    assert!(stdout(&removed).contains("nothing is granted any more"), "{}", stderr(&removed));
    assert_eq!(listed(&data), ["certificate:urn:client:erp,reader,area1/**|x", "oidc:ana,reader,a"]);
    let text = fs::read_to_string(data.path().join("access.json")).unwrap();
    assert!(text.contains("\"version\": 2") && text.contains("bob"), "{text}");
}

#[test]
fn what_cannot_be_granted_is_refused_and_nothing_is_made() {
    let data = directory(&[]);
    for (arguments, code, reason) in [
        (&["add", "ana", "--role", "reader"][..], 2, "certificate:, oidc: or oidc-role:"),
        (&["add", "token:ana", "--role", "reader"], 2, "when they are made"),
        (&["add", "oidc:", "--role", "reader"], 2, "nothing behind"),
        (&["add", "oidc:ana"], 2, "name a role"),
        (&["add", "oidc:ana", "--tags", "a"], 2, "--role"),
        (&["add", "oidc:ana", "--role", "root"], 2, "use reader, writer"),
        (&["add", "oidc:ana", "--role", "reader", "--tags", "a/["], 2, "\"a/[\" is not valid"),
        (&["add", "oidc:ana", "--role", "auditor", "--tags", "a"], 2, "takes no tags"),
        (&["remove", "oidc:ana"], 1, "oidc:ana has no such grant"),
        (&["remove", "oidc:ana", "--role", "reader"], 1, "`historian grant list` shows all"),
    ] {
        let output = grant(&data, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
    }
    assert!(!data.path().join("access.json").exists());
    assert!(listed(&data).is_empty());
}
