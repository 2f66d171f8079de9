//! One noun, one meaning: no two types of the shipped source have one name, so that a search for a name finds its one home.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, sources};

/// Names that two types may have, and why. Types that the build generates are in no source file, so a type may have the name of its message.
const SHARED: &[(&str, &str)] = &[];

/// Source of the workspace; tests name their helpers as they like.
fn is_shipped(file: &str) -> bool {
    (file.starts_with("src/") || file.starts_with("storage-format/src/")) && !file.contains("/tests/") && !file.ends_with("/tests.rs")
}

/// The name of the type that a line of code declares. An associated type of a trait, which is indented, is none.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut word = words.next()?;
    if word.starts_with("pub") {
        // `pub(in a::b)` is two words.
        word = words.find(|word| !word.ends_with(')'))?;
    }
    if !(matches!(word, "struct" | "enum" | "trait" | "union") || (word == "type" && !line.starts_with(' '))) {
        return None;
    }
    let name = words.next()?;
    Some(&name[..name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len())])
}

/// The places of each name that more than one type has.
fn twice(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| is_shipped(&source.name)) {
        for (index, line) in source.shipped.lines().enumerate() {
            if let Some(name) = declared(line) {
                places.entry(name.to_owned()).or_default().push(format!("{}:{}", source.name, index + 1));
            }
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}

#[test]
fn no_two_types_have_one_name() {
    let sources = sources();
    let mut twice = twice(&sources);
    let unused: Vec<&str> = SHARED.iter().filter(|(name, _)| twice.remove(*name).is_none()).map(|(name, _)| *name).collect();
    assert!(unused.is_empty(), "these names are not shared any more, remove them from the list: {unused:?}");
    let told: Vec<String> = twice.iter().map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    assert!(told.is_empty(), "{} names of two types each:\n{}", told.len(), told.join("\n"));
    // What finds nothing would also pass.
    let all: BTreeSet<&str> =
        sources.iter().filter(|source| is_shipped(&source.name)).flat_map(|source| source.shipped.lines().filter_map(declared)).collect();
    for known in ["Sample", "Store", "ValueType", "TagReader", "ResponseStream"] {
        assert!(all.contains(known), "{known} was not found among {} types", all.len());
    }
}

#[test]
fn a_name_is_found_twice_only_where_two_shipped_types_have_it() {
    let names = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(name, text)| Source::new(name, text)).collect();
        twice(&sources).into_keys().collect::<Vec<_>>()
    };
    let one = ("src/api/a.rs", "pub struct Row<'a> {\n}\n");
    for second in ["enum Row {", "pub(crate) trait Row: Send {", "type Row = u8;", "    struct Row;", "pub(in crate::x) struct Row(u8);"] {
        assert_eq!(names(&[one, ("src/sql/b.rs", second)]), ["Row"], "{second}");
    }
    for other in [
        "struct Rows;",
        "// struct Row;",
        "impl Row {",
        "    type Row = u8;",
        "let x = \"struct Row;\";",
        "#[cfg(test)]\nmod t {\n    struct Row;\n}\n",
    ] {
        assert!(names(&[one, ("src/sql/b.rs", other)]).is_empty(), "{other}");
    }
    for test in ["src/sql/tests.rs", "src/sql/tests/b.rs", "tests/it/b.rs", "benches/b.rs"] {
        assert!(names(&[one, (test, "struct Row;")]).is_empty(), "{test}");
    }
    assert_eq!(names(&[one, ("storage-format/src/b.rs", "struct Row;")]), ["Row"]);
}
