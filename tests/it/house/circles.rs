//! No circle of imports among the files of a crate: each file can be read after those it builds on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    imports::{Imports, imports},
    source::Source,
    sources,
};

/// Files, or folders with `/` at their end, that may import each other in a circle.
struct Allowed {
    files: &'static [&'static str],
    reason: &'static str,
}

const ALLOWED: &[Allowed] = &[Allowed {
    files: &["storage-format/src/codec/mod.rs", "storage-format/src/codec/narrow.rs", "storage-format/src/codec/values.rs"],
    reason: "narrow keeps a column in another one's codec: it is in the list of codecs, and asks the list",
}];

impl Allowed {
    fn covers(&self, circle: &BTreeSet<&str>) -> bool {
        let covers =
            |file: &str| self.files.iter().any(|allowed| file == *allowed || (allowed.ends_with('/') && file.starts_with(allowed)));
        !self.reason.is_empty() && circle.iter().all(|file| covers(file))
    }
}

/// Groups of files that reach each other, each as the list of its imports.
fn circles(imports: &Imports) -> Vec<BTreeSet<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> = imports.keys().map(|file| (&**file, reached(imports, file))).collect();
    let mut circles = Vec::new();
    for (file, others) in reach.iter().filter(|(file, others)| others.contains(**file)) {
        let circle: BTreeSet<&str> = others.iter().filter(|other| reach[**other].contains(*file)).copied().collect();
        if circle.first() == Some(file) {
            circles.push(circle);
        }
    }
    circles
}

/// What a file imports, and what that imports, and so on.
fn reached<'a>(imports: &'a Imports, file: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut left = vec![file];
    while let Some(file) = left.pop() {
        left.extend(imports[file].keys().map(|file| &**file).filter(|file| found.insert(*file)));
    }
    found
}

/// The shortest way round from the first file of a circle, then every import inside it.
fn told(imports: &Imports, circle: &BTreeSet<&str>) -> String {
    let first = *circle.first().expect("a circle has files");
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut left = VecDeque::from([first]);
    while let Some(file) = left.pop_front().filter(|_| !before.contains_key(first)) {
        for other in imports[file].keys().filter(|other| circle.contains(&***other)) {
            if !before.contains_key(&**other) {
                before.insert(other, file);
                left.push_back(other);
            }
        }
    }
    let mut way = vec![first, before[first]];
    while way.last() != Some(&first) {
        way.push(before[way[way.len() - 1]]);
    }
    way.reverse();
    let mut text = way.join(" → ");
    for file in circle {
        for (other, name) in imports[*file].iter().filter(|(other, _)| circle.contains(&***other)) {
            text.push_str(&format!("\n    {file} takes {name} of {other}"));
        }
    }
    text
}

#[test]
fn the_files_of_a_crate_import_each_other_in_no_circle() {
    let sources = sources();
    let by_name: BTreeMap<&str, &Source> = sources.iter().map(|source| (&*source.name, source)).collect();
    let shipped = ["src/", "storage-format/src/", "proto/src/"];
    let roots = by_name.keys().filter(|name| shipped.iter().any(|part| name.starts_with(part)) && name.ends_with("/lib.rs"));
    let imports: Imports = roots.flat_map(|root| imports(root, &by_name)).collect();
    assert!(imports.len() > 300, "only {} files were found", imports.len());
    let circles = circles(&imports);
    let is_allowed = |circle: &&BTreeSet<&str>| ALLOWED.iter().any(|allowed| allowed.covers(circle));
    let mut broken: Vec<String> = circles.iter().filter(|circle| !is_allowed(circle)).map(|circle| told(&imports, circle)).collect();
    let unused = ALLOWED.iter().filter(|allowed| !circles.iter().any(|circle| allowed.covers(circle)));
    broken.extend(unused.map(|allowed| format!("the circle of {} is no more: remove it from the list", allowed.files.join(", "))));
    assert!(broken.is_empty(), "{} circles:\n{}", broken.len(), broken.join("\n"));
}

/// Circles among made-up files, each as its files with a comma between.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(name, text)| Source::new(&format!("src/x/{name}.rs"), text)).collect();
    let by_name: BTreeMap<&str, &Source> = sources.iter().map(|source| (&*source.name, source)).collect();
    let short = |file: &&str| file.trim_start_matches("src/x/").trim_end_matches(".rs").to_owned();
    circles(&imports("src/x/lib.rs", &by_name)).iter().map(|circle| circle.iter().map(short).collect::<Vec<_>>().join(",")).collect()
}

#[test]
fn whatever_way_a_name_takes_an_import_is_one_of_the_file_that_defines_it() {
    let lib = ("lib", "mod a;\nmod b;\npub use a::A;\npub use b::{B, two as second};\nuse std::fmt;");
    let a = |text: &'static str| ("a", text);
    let b = ("b", "pub struct B;\npub fn two() {}\nfn f(a: super::A) {}");
    for text in [
        "use super::B;\npub struct A(B);",
        "use crate::{fmt, B as Other};\npub struct A(Other);",
        "use super::b::{self};\npub struct A(b::B);",
        "pub struct A;\nfn f() { crate::second(); }",
        "pub struct A;\nmod inner {\n    use super::super::*;\n    fn f(b: B) {}\n}",
        "pub struct A;\nmacro_rules! m { () => { $crate::b::B } }",
    ] {
        let found = circles_of(&[lib, a(text), b]);
        assert!(found.iter().any(|circle| circle.contains('a') && circle.contains('b')), "{text:?}: {found:?}");
    }
    for text in [
        "pub struct A;",
        "use super::fmt;\npub struct A(fmt::Error);",
        "pub struct A; // crate::b::B",
        "pub struct A;\n#[cfg(test)]\nmod tests {\n    use crate::B;\n}",
        "pub struct A;\n#[cfg(test)]\nfn f(b: crate::B) {}\nfn g() {}",
        "pub struct A;\nfn f(b: B) { b.two(); other::B::new(); }",
    ] {
        assert_eq!(circles_of(&[lib, a(text), b]), [""; 0], "{text:?}");
    }
}

#[test]
fn a_parent_imports_what_it_uses_and_not_what_it_declares_or_hands_on() {
    let child = ("a", "use super::Common;\npub struct A(Common);");
    let parent = |text: &'static str| circles_of(&[("lib", text), child]);
    assert_eq!(parent("mod a;\npub use a::A;\npub struct Common;"), [""; 0]);
    assert_eq!(parent("mod a;\npub use a::A;\npub struct Common;\nfn f(a: A) {}"), ["a,lib"]);
    assert_eq!(parent("mod a;\npub struct Common;\nfn f() { a::A::new() }"), ["a,lib"]);
    assert_eq!(parent("mod a;\n#[cfg(test)]\nmod tests;\npub struct Common;"), [""; 0]);
}

#[test]
fn a_circle_is_told_by_its_way_and_the_names_it_takes() {
    let sources: Vec<Source> = [
        ("lib", "mod a;\nmod b;\nmod c;"),
        ("a", "use super::b::B;"),
        ("b", "pub struct B(crate::c::C);"),
        ("c", "use crate::a;\npub struct C;\nfn f() { a::f() }"),
    ]
    .iter()
    .map(|(name, text)| Source::new(&format!("src/x/{name}.rs"), text))
    .collect();
    let by_name: BTreeMap<&str, &Source> = sources.iter().map(|source| (&*source.name, source)).collect();
    let imports = imports("src/x/lib.rs", &by_name);
    let circles = circles(&imports);
    assert_eq!(circles.len(), 1);
    let told = told(&imports, &circles[0]);
    assert!(told.starts_with("src/x/a.rs → src/x/b.rs → src/x/c.rs → src/x/a.rs\n"), "{told}");
    assert!(told.contains("src/x/b.rs takes crate::c::C of src/x/c.rs"), "{told}");
}
