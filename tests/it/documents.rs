//! The documents against the program, as far as a machine can compare them: flags, variables, keys with their defaults and bounds, metrics,
//! paths, methods, links. A sentence that is not compared here is in a test of what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use arrow_flight::{Empty, flight_service_client::FlightServiceClient};
use futures::TryStreamExt;
use historian::server::config::{
    self, Configuration, LimitSettings, LogSettings, Overrides, PROTOCOLS, ScrubSettings, ServerSettings, SpoolSettings, StorageSettings,
};

use crate::support::{
    historian::{command as historian, serve},
    peer::root,
};

mod habits;
mod links;

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text below a heading of the second level.
fn section<'text>(document: &'text str, heading: &str) -> &'text str {
    let (_, below) = document.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    below.split("\n## ").next().unwrap_or_default()
}

/// Cells of the rows of all tables in a text, without the rows of headings.
fn rows(text: &str) -> Vec<Vec<String>> {
    // A bar within a cell is written with a backslash before it.
    let cells = |line: &str| -> Vec<String> {
        let line = line.replace("\\|", "\u{0}");
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
    };
    text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("|--")).map(cells).collect()
}

/// Words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Flags named in a text: two dashes and a word.
fn flags(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let before = text[..at].chars().next_back();
        let word: String = text[at + 2..].chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '-').collect();
        let begins = before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '-');
        if begins && word.starts_with(|letter: char| letter.is_ascii_lowercase()) {
            found.insert(format!("--{}", word.trim_end_matches('-')));
        }
    }
    found
}

/// What `--help` says of a command.
struct Help {
    commands: Vec<String>,
    flags: BTreeSet<String>,
    variables: BTreeSet<String>,
}

fn help(command: &[String]) -> Help {
    let output = historian(&[]).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let commands = text.split_once("\nCommands:\n").map_or("", |(_, below)| below.split("\n\n").next().unwrap_or_default());
    Help {
        commands: commands
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect(),
        flags: text.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(flags_of_option).collect(),
        // Where it is wrapped is no matter.
        variables: text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .split("[env: ")
            .skip(1)
            .filter_map(|rest| rest.split(['=', ']']).next())
            .map(str::to_owned)
            .collect(),
    }
}

/// The flag of a line such as `  -o, --output <FILE>   File to write`.
fn flags_of_option(line: &str) -> Option<String> {
    line.split_whitespace().take(2).find_map(|word| flags(word).pop_first())
}

/// Every command, by its words.
fn commands() -> BTreeMap<Vec<String>, Help> {
    let mut found = BTreeMap::new();
    let mut left = vec![Vec::new()];
    while let Some(command) = left.pop() {
        let help = help(&command);
        left.extend(help.commands.iter().map(|name| command.iter().cloned().chain([name.clone()]).collect::<Vec<_>>()));
        found.insert(command, help);
    }
    found
}

/// Commands with their flags, as the usage lines of a document have them: blocks of code that begin with `historian`, and what is quoted.
fn usages(document: &str) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let mut usages: Vec<String> = Vec::new();
    for line in document.lines() {
        if let Some(usage) = line.strip_prefix("    historian ") {
            usages.push(usage.to_owned());
        } else if let (Some(more), Some(usage)) = (line.strip_prefix("         "), usages.last_mut()) {
            usage.push(' ');
            usage.push_str(more);
        }
    }
    usages.extend(quoted(document).into_iter().filter_map(|text| text.strip_prefix("historian ")).map(str::to_owned));
    let words = |usage: &str| {
        let is_word = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase());
        usage.split_whitespace().take_while(is_word).map(str::to_owned).collect()
    };
    usages.iter().map(|usage| (words(usage), flags(usage))).collect()
}

#[test]
fn every_flag_of_the_document_is_one_of_its_command_and_every_flag_is_in_the_document() {
    let (cli, demo) = (document("docs/cli.md"), document("docs/demo.md"));
    let commands = commands();
    for (mut words, flags) in usages(&cli) {
        // `historian … | head`, and arguments that are words.
        while !commands.contains_key(&words) {
            words.pop();
        }
        let missing: Vec<_> = flags.difference(&commands[&words].flags).collect();
        assert!(missing.is_empty() || words.is_empty(), "historian {}: {missing:?} is in docs/cli.md and not a flag", words.join(" "));
    }
    let all: BTreeSet<String> = commands.values().flat_map(|help| help.flags.clone()).collect();
    let told = &flags(&cli) | &flags(&demo);
    assert_eq!(told.difference(&all).collect::<Vec<_>>(), Vec::<&String>::new(), "named, and no flag of any command");
    let quiet: Vec<_> = all.difference(&told).filter(|flag| !["--help", "--version"].contains(&flag.as_str())).collect();
    assert_eq!(quiet, Vec::<&String>::new(), "flags that no document names");
    for words in commands.keys().filter(|words| !words.is_empty()) {
        assert!(cli.contains(&words.join(" ")), "historian {} is not in docs/cli.md", words.join(" "));
    }
}

#[test]
fn the_demo_takes_the_flags_of_serve_and_those_of_its_document() {
    let [serve, demo] = ["serve", "demo"].map(|command| help(&[command.to_owned()]));
    assert_eq!(serve.flags.difference(&demo.flags).collect::<Vec<_>>(), Vec::<&String>::new());
    let told = rows(section(&document("docs/demo.md"), "Flags")).iter().flat_map(|row| flags(&row[0])).collect::<BTreeSet<_>>();
    let mut taken = demo.flags;
    taken.retain(|flag| !["--help", "--version"].contains(&flag.as_str()));
    assert_eq!(told, taken);
    // Its data must not be those of a real historian.
    let variables: BTreeSet<_> = serve.variables.into_iter().filter(|name| name != "HISTORIAN_DATA_DIR").collect();
    assert_eq!(demo.variables, variables);
}

#[test]
fn every_variable_is_in_the_document_with_the_commands_that_take_it() {
    let document = document("docs/configuration.md");
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows(section(&document, "Environment")) {
        let [variable, same] = &row[..] else { panic!("{row:?}") };
        let Some(variable) = quoted(variable).first().copied() else { continue };
        told.insert(variable.to_owned(), quoted(same).into_iter().filter(|word| !word.starts_with("--")).map(str::to_owned).collect());
    }
    told.remove("HISTORIAN_LOG").expect("the filter of the log is no flag");
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (words, help) in commands() {
        for variable in help.variables {
            taken.entry(variable).or_default().insert(words.join(" "));
        }
    }
    // "The client commands" are all but these.
    for variable in ["HISTORIAN_SERVER", "HISTORIAN_TLS_CA", "HISTORIAN_TLS_CLIENT_CERT", "HISTORIAN_TLS_CLIENT_KEY"] {
        let clients = taken.remove(variable).expect("client commands have it");
        assert!(told.remove(variable).is_some() && clients.contains("status") && !clients.contains("serve"), "{variable}");
        if variable == "HISTORIAN_SERVER"
            && let Some(told) = told.get_mut("HISTORIAN_TOKEN")
        {
            told.extend(clients);
        }
    }
    assert_eq!(told, taken);
}

fn parsed(text: &str) -> Result<Configuration, Vec<String>> {
    config::parse("f.toml", text, Path::new("/"), &Overrides::default())
        .map_err(|problems| problems.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect())
}

/// A default as it is written in TOML; `None` where the cell tells it in words.
fn written(default: &str) -> Option<String> {
    let text = default.trim_matches('`');
    if text.parse::<u64>().is_ok() || (text.starts_with('"') && text.ends_with('"')) || ["true", "false"].contains(&text) {
        return Some(text.to_owned());
    }
    (default.starts_with('`') && !default.contains(' ')).then(|| format!("{text:?}"))
}

#[test]
fn the_defaults_of_the_document_are_those_of_the_program() {
    let document = document("docs/configuration.md");
    let mut compared = 0;
    let mut defaults_of = |name: &str| {
        let mut text = format!("[{name}]\n");
        for row in rows(section(&document, &format!("`[{name}]`"))).iter().skip(1) {
            if let Some(default) = written(&row[2]) {
                text += &format!("{} = {default}\n", row[0].trim_matches('`'));
                compared += 1;
            }
        }
        parsed(&text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
    };
    assert_eq!(defaults_of("storage").storage, StorageSettings::default());
    assert_eq!(defaults_of("limits").limits, LimitSettings::default());
    assert_eq!(defaults_of("spool").spool, SpoolSettings::default());
    assert_eq!(defaults_of("scrub").scrub, ScrubSettings::default());
    assert_eq!(defaults_of("log").log, LogSettings::default());
    let server = ServerSettings { data_dir: PathBuf::from("/historian-data"), ..ServerSettings::default() };
    assert_eq!(defaults_of("server").server, server);
    assert!(compared >= 30, "{compared}");
}

/// The bounds that a type cell tells, as numbers: `10 to a day`, `bytes, 64 KiB to 1 GiB`.
fn bounds(kind: &str) -> Option<(u64, u64)> {
    let kind = kind.rsplit_once(", ").map_or(kind, |(_, bounds)| bounds);
    let (low, high) = kind.split_once(" to ")?;
    let number = |text: &str| match text.split_once(' ') {
        Some(("a", "day")) => Some(86_400_000),
        Some(("an", "hour")) => Some(3_600_000),
        Some((number, unit)) => {
            let shift = ["KiB", "MiB", "GiB", "TiB"].iter().position(|known| *known == unit)?;
            Some(number.parse::<u64>().ok()? << (10 * (shift + 1)))
        }
        None => text.parse().ok(),
    };
    Some((number(low)?, number(high)?))
}

#[test]
fn the_bounds_of_the_document_are_those_of_the_program() {
    let document = document("docs/configuration.md");
    let mut compared = 0;
    let devices =
        PROTOCOLS.iter().map(|protocol| (format!("`[[{}]]`", protocol.name), format!("[[{}]]\n{}\n", protocol.name, protocol.plain)));
    let tables = ["log", "storage", "limits", "scrub"].map(|name| (format!("`[{name}]`"), format!("[{name}]\n")));
    for (heading, before) in tables.into_iter().chain(devices) {
        for row in rows(section(&document, &heading)).iter().skip(1) {
            let (key, Some((low, high))) = (row[0].trim_matches('`'), bounds(&row[1])) else { continue };
            // What another key asks for as well is another key's problem: only what is said of this one counts.
            let refused = |value: u64| {
                let text = format!("{before}{key} = {value}\n");
                parsed(&text)
                    .err()
                    .into_iter()
                    .flatten()
                    .any(|problem| problem.split(": ").next().is_some_and(|at| at.ends_with(&format!(".{key}"))))
            };
            assert!(!refused(low) && !refused(high), "{heading} {key}: {low} to {high} is in the document, and not taken");
            assert!(low == 0 || refused(low - 1), "{heading} {key}: {} is below the document's bound, and taken", low - 1);
            assert!(refused(high + 1), "{heading} {key}: {} is above the document's bound, and taken", high + 1);
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}

#[test]
fn the_limits_of_the_interface_are_those_of_the_configuration() {
    let (api, configuration) = (document("docs/api.md"), document("docs/configuration.md"));
    let keys: BTreeMap<String, String> = rows(section(&configuration, "`[limits]`"))
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row[2].trim_matches(['`', '"']).to_owned()))
        .collect();
    let mut compared = 0;
    for row in rows(section(&api, "Limits")).iter().skip(1) {
        for (key, limit) in quoted(&row[2]).iter().zip(row[1].split("; ")) {
            let default = keys.get(*key).unwrap_or_else(|| panic!("{key} is no key of [limits]"));
            let limit = limit.replace(',', "").trim_end_matches(" s").replace("10^10", "10000000000");
            assert_eq!(&limit, default, "{key}");
            compared += 1;
        }
    }
    assert!(compared >= 14, "{compared}");
}

#[test]
fn every_method_of_the_interface_is_in_the_document() {
    let api = document("docs/api.md");
    let mut told = BTreeMap::new();
    for row in rows(section(&api, "gRPC")) {
        if let Some(service) = row[0].trim_matches('`').strip_prefix("historian.v1.") {
            let methods = quoted(&row[1]).into_iter().filter(|word| word.starts_with(char::is_uppercase));
            told.insert(service.to_owned(), methods.map(str::to_owned).collect::<BTreeSet<_>>());
        }
    }
    let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in fs::read_dir(root().join("proto/historian/v1")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut service = String::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("service"), Some(name)) => name.clone_into(&mut service),
                (Some("rpc"), Some(method)) => {
                    let method = method.split('(').next().unwrap_or_default().to_owned();
                    served.entry(service.clone()).or_default().insert(method);
                }
                _ => {}
            }
        }
    }
    assert_eq!(told, served);
}

/// Words in quotation marks that come after a call or a code, such as `Code::NotFound, "TAG_NOT_FOUND"`.
fn reasons(source: &str) -> BTreeSet<String> {
    let is_reason = |word: &&str| word.len() > 3 && word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    ["Code::", "failed_precondition(", "gone("]
        .iter()
        .flat_map(|before| source.split(before).skip(1))
        // The first text behind it, in the same call.
        .filter_map(|rest| rest.split(';').next()?.split('"').nth(1))
        .filter(is_reason)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_reason_of_an_error_is_in_the_document() {
    let api = document("docs/api.md");
    let told: BTreeSet<String> = rows(section(&api, "Errors"))
        .iter()
        .skip(1)
        .flat_map(|row| quoted(&row[2]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut given = BTreeSet::new();
    let mut left = vec![root().join("src/api")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.file_name().is_some_and(|name| name != "metrics.rs") {
            let source = fs::read_to_string(path).unwrap();
            given.extend(reasons(source.split("#[cfg(test)]").next().unwrap_or_default()));
        }
    }
    // Of a historian without files, which only tests run.
    assert!(given.remove("NO_FILES"));
    assert_eq!(told, given);
}

#[test]
fn paths_metrics_and_actions_of_the_document_are_those_of_a_running_historian() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("historian.toml");
    let device = "[[modbus]]\nname = \"d\"\nendpoint = \"127.0.0.1:1\"\n[[modbus.tag]]\nname = \"t\"\naddress = \"holding:1\"\n";
    fs::write(&config, device).unwrap();
    let historian = serve(&directory.path().join("data"), &["--config", &config.display().to_string()]);

    let api = document("docs/api.md");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let actions: BTreeSet<String> = runtime.block_on(async {
        let answer = FlightServiceClient::new(historian.channel().await.unwrap()).list_actions(Empty {}).await.unwrap().into_inner();
        answer.map_ok(|action| action.r#type).try_collect().await.unwrap()
    });
    let row = rows(section(&api, "Flight")).into_iter().find(|row| row[0].contains("`ListActions`")).expect("a row of actions");
    assert_eq!(quoted(&row[2]).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), actions);

    let section = section(&api, "HTTP");
    for row in rows(section).iter().skip(1) {
        let path = row[0].trim_matches('`');
        assert_eq!(historian.get(path).unwrap().0, 200, "{path}");
    }
    assert_eq!(historian.get("/nothing").unwrap().0, 404);

    // A histogram has several lines for its name, and a counter a line with an ending.
    let text = historian.get("/metrics").unwrap().1;
    let mut served: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, _)| name.to_owned())
        .collect();
    // Of a historian that has been called for hours, whose own test sees it.
    served.insert("historian_disk_full_seconds".to_owned());
    // Of a historian with TLS, whose own test sees them.
    served.extend(crate::tls::METRICS.map(str::to_owned));
    served.extend(crate::access::OIDC_METRICS.map(str::to_owned));
    let told: BTreeSet<String> = quoted(section)
        .into_iter()
        .map(|word| word.split('{').next().unwrap_or_default())
        .filter(|word| word.starts_with("historian_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(told, served);
    for name in ["docs/cli.md", "docs/demo.md", "docs/configuration.md", "docs/torture.md", "README.md"] {
        let document = document(name);
        for word in quoted(&document).into_iter().filter(|word| word.starts_with("historian_")) {
            let prefix = word.trim_end_matches('…');
            assert!(served.iter().any(|metric| metric.starts_with(prefix)), "{name}: {word}");
        }
    }
}
