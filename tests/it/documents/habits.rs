//! What the documents for those who carry on say of the project itself: targets of make, scripts, decisions, threads and their bounds.

use std::{collections::BTreeSet, fs};

use super::{document, quoted, root, rows, section};

/// The documents that tell people what to type.
const TOLD: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "benches/README.md",
    "docs/demo.md",
    "docs/packages.md",
    "docs/releasing.md",
    "docs/torture.md",
    ".github/workflows/ci.yml",
];

/// Texts in backticks, and the lines of code.
fn typed(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text.lines().filter(|line| !line.contains("```")).flat_map(quoted).map(str::to_owned).collect();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.push(line.trim().to_owned());
        }
    }
    found
}

#[test]
fn every_target_of_make_that_a_document_names_is_one() {
    let makefile = document("Makefile");
    let targets: BTreeSet<&str> = makefile.lines().filter_map(|line| line.split_once(':')).map(|(target, _)| target).collect();
    let mut checked = 0;
    for name in TOLD {
        for text in typed(&document(name)) {
            let Some(words) = text.strip_prefix("make ") else { continue };
            let is_target = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase());
            for target in words.split_whitespace().take_while(is_target) {
                assert!(targets.contains(target), "{name}: make {target}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 15, "{checked}");
}

#[test]
fn the_hosted_check_is_the_one_of_the_developer() {
    let workflow = document(".github/workflows/ci.yml");
    let steps: Vec<&str> = workflow.lines().map(str::trim).filter(|line| line.contains(".ci/")).collect();
    assert!(steps.contains(&"run: .ci/run"), "{steps:?}");
    assert!(root().join(".ci/run").exists());
}

#[test]
fn every_decision_is_listed_once_and_has_its_four_parts() {
    let folder = root().join("docs/decisions");
    let mut files: Vec<String> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|name| name != "README.md");
    files.sort();
    let list = document("docs/decisions/README.md");
    let listed = rows(&list);
    assert_eq!(listed.len(), files.len() + 1, "a row for each file, and the heading");
    for (index, (name, row)) in files.iter().zip(&listed[1..]).enumerate() {
        let number = format!("{:04}", index + 1);
        assert!(name.starts_with(&format!("{number}-")), "{name} is not the next after the one before");
        assert_eq!(row[0], format!("[{number}]({name})"));
        let text = document(&format!("docs/decisions/{name}"));
        assert_eq!(text.lines().next(), Some(format!("# {number}: {}", row[1]).as_str()), "{name}");
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, ["Context", "Decision", "Consequences", "Measured"], "{name}");
    }
}

/// The names that threads are given in a source, such as `spawn("keeper"` or `.name("warmer"`.
fn thread_names(source: &str) -> BTreeSet<String> {
    let behind = |call: &str| source.split(call).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect::<Vec<_>>();
    [behind("spawn(\""), behind("Builder::new().name(\"")].concat().into_iter().collect()
}

#[test]
fn every_thread_with_a_name_is_in_the_document() {
    let told = document("docs/threads.md");
    let told = quoted(section(&told, "Threads"));
    let mut left = vec![root().join("src")];
    let mut found = BTreeSet::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.extend(thread_names(&fs::read_to_string(path).unwrap()));
        }
    }
    assert!(found.contains("keeper") && found.contains("warmer"), "{found:?}");
    for name in found {
        assert!(told.contains(&name.as_str()), "thread {name} is not in docs/threads.md");
    }
}
