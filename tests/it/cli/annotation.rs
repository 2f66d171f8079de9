//! Annotations and another name of a tag by the command line: what is written is shown, and what is not given stays.

use serde_json::Value as Json;

use super::{server::Server, stderr, stdout};

fn listed(server: &Server, more: &[&str]) -> Vec<Json> {
    let told = server.succeed(&[&["annotation", "list", "--format", "json"], more].concat());
    told.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn an_annotation_is_written_changed_and_removed_and_follows_its_tag() {
    let server = Server::start();
    server.write_samples();
    let range = ["--start", "2026-01-01T00:00:10Z", "--end", "2026-01-01T01:00:20+01:00"];
    let told = server.succeed(&[&["annotation", "create", "plant/pressure", "--text", "valve stuck"], &range[..]].concat());
    assert!(told.contains("valve stuck") && told.contains("2026-01-01T00:00:20.000Z"), "{told}");
    server.succeed(&["annotation", "create", "plant/pressure", "--text", "lot\n7", "--start", "1767225612", "--time-unit", "s"]);
    let found = listed(&server, &[]);
    let facts =
        |annotation: &Json| (annotation["id"].as_u64(), annotation["version"].as_u64(), annotation["text"].as_str().map(str::to_owned));
    assert_eq!(facts(&found[0]), (Some(1), Some(1), Some("valve stuck".to_owned())));
    assert_eq!((&found[0]["start"], &found[0]["end"]), (&Json::from("2026-01-01T00:00:10Z"), &Json::from("2026-01-01T00:00:20Z")));
    assert_eq!((&found[1]["start"], &found[1]["end"]), (&Json::from("2026-01-01T00:00:12Z"), &Json::Null), "without an end it is a moment");
    assert_eq!(found[1]["text"], "lot\n7");

    // What is not given stays.
    server.succeed(&["annotation", "update", "1", "--text", "valve replaced"]);
    let one = ["--id", "1"];
    let changed = listed(&server, &one).remove(0);
    assert_eq!(facts(&changed), (Some(1), Some(2), Some("valve replaced".to_owned())));
    assert_eq!((&changed["start"], &changed["end"]), (&found[0]["start"], &found[0]["end"]));
    server.succeed(&["annotation", "update", "1", "--end", "none"]);
    assert_eq!(listed(&server, &one)[0]["end"], Json::Null);
    server.succeed(&["annotation", "update", "2", "--end", "2026-01-01T00:00:13Z"]);
    assert_eq!(listed(&server, &["--id", "2"])[0]["end"], "2026-01-01T00:00:13Z");
    assert_eq!(server.run(&["annotation", "update", "1"]).status.code(), Some(2));

    // By range and by tag, and all versions.
    assert_eq!(listed(&server, &["--start", "2026-01-01T00:00:11Z", "--end", "2026-01-01T00:00:30Z"]).len(), 1);
    assert_eq!(listed(&server, &["--versions"]).len(), 5);
    let none = server.run(&["annotation", "list", "--format", "json", "other/**"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{}", stdout(&none));
    assert_eq!(stderr(&none), "there are no annotations on 'other/**'\n");

    // A tag keeps its annotations under another name.
    let told = server.succeed(&["tag", "rename", "plant/pressure", "plant/header", "--reason", "as drawn"]);
    assert!(told.starts_with("plant/pressure is plant/header from now on, with its id "), "{told}");
    assert_eq!(listed(&server, &["plant/header"]).len(), 2);
    assert_eq!(listed(&server, &one)[0]["tags"][0], "plant/header");
    assert!(stderr(&server.run(&["tag", "rename", "plant/pressure", "plant/x"])).contains("there is no tag"));
    assert!(stderr(&server.run(&["tag", "rename", "plant/header", "plant//x"])).contains("empty level"));

    assert_eq!(server.succeed(&["annotation", "delete", "1"]), "annotation 1 is removed\n");
    assert_eq!(listed(&server, &[]).len(), 1);
    let removed = server.run(&["annotation", "delete", "1"]);
    assert!(removed.status.code() == Some(1) && stderr(&removed).contains("there is no annotation 1"), "{}", stderr(&removed));
    assert!(server.succeed(&["annotation", "list", "--versions", "--format", "table"]).contains("(removed)"));
}

#[test]
fn a_tag_file_with_an_old_name_that_is_taken_is_not_imported() {
    let server = Server::start();
    let files =
        super::directory(&[("tags.csv", "name,type,renamed_from\nplant/new,f64,plant/old\n"), ("old.csv", "name,type\nplant/old,f64\n")]);
    let file = |name: &str| super::path(&files, name);
    server.succeed(&["tag", "import", &file("old.csv")]);
    let refused = server.run(&["tag", "import", &file("tags.csv")]);
    assert!(stderr(&refused).contains("tags.csv:2: plant/new: is plant/old still; rename it first"), "{}", stderr(&refused));
    server.succeed(&["tag", "rename", "plant/old", "plant/new"]);
    server.succeed(&["tag", "import", &file("tags.csv")]);
}
