//! The command line from outside: the built program, its files, its exit codes and what it prints.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};

use historian::{
    modbus::format::{self, RegisterFormat},
    server::config::{self, Overrides, PROTOCOLS, tag_file},
};
use tempfile::TempDir;

use crate::support::{historian::command, peer};

mod annotation;
mod broken_configurations;
mod converted;
mod devices;
mod exit_codes;
mod grant;
mod import;
mod init;
mod mistakes;
mod server;
mod terminal;
mod token;
mod transfer;
mod workbook;

/// Runs the program and waits for its end.
fn historian(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A directory with files in it.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("the file is written");
    }
    directory
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).display().to_string()
}

#[test]
fn the_version_and_the_help_are_told() {
    let version = historian(&["--version"]);
    assert_eq!(stdout(&version).trim(), format!("historian {}", env!("CARGO_PKG_VERSION")));
    let help = stdout(&historian(&["--help"]));
    for command in ["serve", "demo", "check", "tag", "query", "detectors", "export", "import", "status", "compact"] {
        assert!(help.contains(&format!("  {command} ")), "{command}: {help}");
    }
}

#[test]
fn the_example_configuration_is_valid() {
    let examples = peer::root().join("examples");
    let copy = directory(&[]);
    for file in fs::read_dir(&examples).expect("the examples").map(|file| file.expect("a file").path()) {
        if file.is_file() {
            fs::copy(&file, copy.path().join(file.file_name().expect("a name"))).expect("a copy");
        }
    }
    // A checkout cannot say who may read a file.
    let secret = copy.path().join("scada.password");
    let check = |mode: u32| {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("its mode");
        historian(&["check", "--offline", "--config", &path(&copy, "historian.toml")])
    };
    let output = check(0o644);
    assert!(!output.status.success() && stdout(&output).contains("others may read it (mode 644); chmod 600 it"), "{}", stdout(&output));
    let output = check(0o600);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("is valid: 2 devices, 7 collected tags, 2 written tags, 1 views\n"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("note: "), "{}", stdout(&output));
    let views = directory(&[("v.toml", "[[view]]\nname = \"lab_daily\"\ntags = [\"lab/**\"]\ninterval = \"1d\"\n")]);
    let output = historian(&["check", "--offline", "--config", &path(&views, "v.toml")]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("note: the view lab_daily selects no tag of this configuration"), "{}", stdout(&output));
}

#[test]
fn without_a_file_the_defaults_serve() {
    let configuration = config::load(None, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(configuration.server.listen.to_string(), "127.0.0.1:8815");
    assert_eq!(configuration.server.http.to_string(), "127.0.0.1:8080");
    assert!(configuration.collectors.is_empty() && configuration.written_tags.is_empty());
}

#[test]
fn flags_and_environment_win_over_the_file() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\ndata_dir = \"d\"\n";
    let overrides = Overrides { listen: Some(([127, 0, 0, 1], 3).into()), http: None, data_dir: Some("e".into()), ..Overrides::default() };
    let configuration = config::parse("f.toml", text, Path::new("/base"), &overrides).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(configuration.server.listen.port(), 3);
    assert_eq!(configuration.server.http.port(), 2);
    assert_eq!(configuration.server.data_dir, PathBuf::from("e"));
    let configuration =
        config::parse("f.toml", text, Path::new("/base"), &Overrides::default()).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(configuration.server.data_dir, PathBuf::from("/base/d"));
}

#[test]
fn no_address_beyond_this_machine_is_listened_on_without_tls_and_tokens() {
    for (arguments, environment) in [
        (vec!["serve", "--listen", "0.0.0.0:0"], None),
        (vec!["serve", "--http", "192.0.2.1:0"], None),
        (vec!["demo", "--listen", "[::]:0"], None),
        (vec!["serve"], Some(("HISTORIAN_LISTEN", "0.0.0.0:0"))),
    ] {
        let directory = directory(&[]);
        let mut command = command(&arguments);
        command.args(["--data-dir", &path(&directory, "data")]);
        command.envs(environment);
        let output = command.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        for missing in ["`historian tls init`", "`historian token create`", "Until then use 127.0.0.1"] {
            assert!(stderr(&output).contains(missing), "{}", stderr(&output));
        }
        assert!(!directory.path().join("data").exists(), "nothing was made");
    }
}

#[test]
fn an_unreachable_server_is_one_line_with_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    for arguments in [vec!["status"], vec!["tag", "list"], vec!["query", "current"], vec!["compact"]] {
        let output = command(&arguments).args(["--server", &format!("grpc://{address}")]).output().expect("the program starts");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with(&format!("historian: cannot connect to grpc://{address}; is the historian running there?")), "{text}");
    }
    let output = historian(&["status", "--server", "https://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot connect to grpc+tls://127.0.0.1:1"), "{}", stderr(&output));
}

/// Keys that the program knows at a place, as it tells them when it meets an unknown one.
fn known_keys(text: &str, key: &str) -> Vec<String> {
    let Err(problems) = config::parse("f.toml", text, Path::new("/"), &Overrides::default()) else { panic!("{text} has an unknown key") };
    let problem = problems.iter().find(|problem| problem.key == key).unwrap_or_else(|| panic!("no problem at {key}: {problems:?}"));
    let (_, known) = problem.message.split_once("known are ").unwrap_or_else(|| panic!("{}", problem.message));
    known.split(", ").map(str::to_owned).collect()
}

/// First cells of the table below a heading of the document.
fn documented_keys(document: &str, heading: &str) -> Vec<String> {
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect()
}

#[test]
fn every_key_has_a_row_in_the_document_and_every_row_a_key() {
    let document = fs::read_to_string(peer::root().join("docs/configuration.md")).expect("the document");
    let strange = "qqqqqqqqqqqq = 1\n";
    for (heading, text, key) in [
        ("Root", strange.to_owned(), "qqqqqqqqqqqq"),
        ("`[server]`", format!("[server]\n{strange}"), "server.qqqqqqqqqqqq"),
        ("`[storage]`", format!("[storage]\n{strange}"), "storage.qqqqqqqqqqqq"),
        ("`[spool]`", format!("[spool]\n{strange}"), "spool.qqqqqqqqqqqq"),
        ("`[limits]`", format!("[limits]\n{strange}"), "limits.qqqqqqqqqqqq"),
        ("`[backup]`", format!("[backup]\n{strange}"), "backup.qqqqqqqqqqqq"),
        ("`[scrub]`", format!("[scrub]\n{strange}"), "scrub.qqqqqqqqqqqq"),
        ("`[[retention]]`", format!("[[retention]]\ntags = [\"**\"]\nage = \"1d\"\n{strange}"), "retention[1].qqqqqqqqqqqq"),
    ] {
        let (mut known, mut documented) = (known_keys(&text, key), documented_keys(&document, heading));
        known.sort();
        documented.sort();
        assert_eq!(known, documented, "{heading}");
    }
    let tags = documented_keys(&document, "Tags of a device");
    let mut keys: Vec<String> = Vec::new();
    for protocol in PROTOCOLS {
        let (name, device) = (protocol.name, format!("[[{}]]\n{}\n", protocol.name, protocol.plain));
        let mut known = known_keys(&format!("{device}{strange}"), &format!("{name}.device.qqqqqqqqqqqq"));
        let mut documented = documented_keys(&document, &format!("`[[{name}]]`"));
        known.sort();
        documented.sort();
        assert_eq!(known, documented, "{name}");
        let known = known_keys(&format!("{device}[[{name}.tag]]\nname = \"t\"\n{strange}"), &format!("{name}.device.tag.t.qqqqqqqqqqqq"));
        assert!(protocol.tag_keys.iter().all(|key| known.iter().any(|known| known == key.name)), "{name}: {known:?}");
        keys.extend(known);
    }
    keys.sort();
    keys.dedup();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(keys, sorted(tags));
    let columns = sorted(tag_file::columns().into_iter().map(str::to_owned).collect());
    assert_eq!(sorted(documented_keys(&document, "Tag files")), columns);
}

/// A key of one protocol has its name before what it means; one that several have has not.
#[test]
fn the_keys_of_tags_are_told_with_the_protocol_that_has_them() {
    let document = fs::read_to_string(peer::root().join("docs/configuration.md")).expect("the document");
    for key in PROTOCOLS.iter().flat_map(|protocol| protocol.tag_keys) {
        let having: Vec<_> = PROTOCOLS.iter().filter(|protocol| protocol.tag_keys.iter().any(|own| own.name == key.name)).collect();
        assert!(having.iter().flat_map(|protocol| protocol.tag_keys).all(|own| own.name != key.name || own.kind == key.kind), "{key:?}");
        for (heading, column, told) in [("Tags of a device", 3, ": "), ("Tag files", 1, ", ")] {
            let (_, section) = document.split_once(&format!("\n## {heading}\n")).expect("the heading");
            let row = section.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name))).expect("its row");
            let meaning = row.trim_matches('|').split(" | ").nth(column).unwrap_or_default();
            for protocol in PROTOCOLS {
                let named = meaning.starts_with(&format!("{}{told}", protocol.title));
                assert_eq!(named, having.len() == 1 && having[0].name == protocol.name, "{heading}: {row}");
            }
        }
    }
}

#[test]
fn the_examples_in_the_document_are_valid() {
    let document = fs::read_to_string(peer::root().join("docs/configuration.md")).expect("the document");
    let blocks = |language: &str| -> Vec<String> {
        document.split(&format!("\n```{language}\n")).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
    };
    let (toml, csv) = (blocks("toml"), blocks("csv"));
    assert_eq!((toml.len(), csv.len()), (14, 1));
    let directory = directory(&[("tags.csv", &csv[0])]);
    let parse = |text: &str| config::parse("f.toml", text, directory.path(), &Overrides::default());
    let named = |part: &str| {
        let text = toml.iter().find(|text| text.contains(part)).unwrap_or_else(|| panic!("no example has {part}"));
        parse(text).unwrap_or_else(|problems| panic!("{problems:?}"))
    };
    for text in &toml {
        // The certificates of one are not here.
        if let Err(problems) = parse(text) {
            let missing = |key: &str| ["ca_file", "certificate_file", "key_file"].iter().any(|file| key.ends_with(file));
            assert!(text.contains("tls = true") && problems.iter().all(|problem| missing(&problem.key)), "{problems:?}");
        }
    }
    let first = named("tag_files");
    assert_eq!((first.collectors.len(), first.written_tags.len()), (1, 1));
    assert_eq!(first.collectors[0].tags().len(), 2);
    assert_eq!(named("[[retention]]").retention.len(), 2);
    let views = named("[[view]]");
    assert_eq!((views.tables.views.len(), views.tables.zone.iana_name()), (1, Some("Europe/Berlin")));
    let inline = named("not_available = \"sunspec\"");
    let types: Vec<String> = inline.collectors[0].tags().iter().map(|tag| tag.value_type.to_string()).collect();
    assert_eq!(types, ["f64", "state", "u64", "string"]);
    assert_eq!(named("renamed_from").renames.len(), 1);
    assert_eq!(named("formula:").collectors[0].tags().len(), 4);
}

/// Formats, their registers and the value types of a table are those of the program.
#[test]
fn every_format_of_modbus_values_is_in_the_document() {
    let document = fs::read_to_string(peer::root().join("docs/configuration.md")).expect("the document");
    let (_, section) = document.split_once("\n## Formats of Modbus values\n").expect("the heading");
    let mut told = Vec::new();
    for row in section.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let (names, types) = (quoted(cells[0]), quoted(cells[2]));
        for (place, name) in names.iter().enumerate() {
            let format: RegisterFormat = name.replace(":N", ":7").parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(format.natural_type().to_string(), types[place.min(types.len() - 1)], "{row}");
            let registers = match cells[1].split_once(" to ") {
                Some((first, _)) => (first.parse::<usize>().expect("a number") + place).to_string(),
                None => cells[1].split(", ").nth(place).unwrap_or(cells[1].split(", ").last().unwrap_or_default()).to_owned(),
            };
            if format != RegisterFormat::Bool {
                assert_eq!(format.registers().to_string(), registers.replace('N', "7"), "{name}: {row}");
            }
        }
        told.extend(names);
    }
    told.sort();
    let mut known = format::names();
    known.sort();
    assert_eq!(told, known);
}
