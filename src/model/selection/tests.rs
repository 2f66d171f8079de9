//! Selections against `globset`, pattern by pattern and name by name.

use globset::{GlobBuilder, GlobMatcher};
use proptest::prelude::*;

use super::*;

fn selection(patterns: &[&str]) -> TagSelection {
    TagSelection::parse(patterns).unwrap()
}

/// Which of the names the patterns mean, each by itself.
fn judged(patterns: &[String], names: &[String]) -> Vec<bool> {
    let (globs, exact): (Vec<&String>, Vec<&String>) = patterns.iter().partition(|pattern| pattern.contains(['*', '?', '[', '{']));
    let matcher = |pattern: &String| GlobBuilder::new(pattern).literal_separator(true).build().unwrap().compile_matcher();
    let globs: Vec<GlobMatcher> = globs.into_iter().map(matcher).collect();
    names.iter().map(|name| exact.contains(&name) || globs.iter().any(|glob| glob.is_match(name))).collect()
}

/// Which of the names, in their order, are selected: as the catalog does it.
fn scanned(selection: &TagSelection, names: &[String]) -> Vec<bool> {
    let mut selected: Vec<bool> = names.iter().map(|name| selection.names().binary_search(name).is_ok()).collect();
    for range in selection.ranges() {
        let mut scan = range.scan();
        for (selected, name) in selected.iter_mut().zip(names).filter(|(_, name)| name.starts_with(range.prefix())) {
            *selected |= scan.matches_next(name);
        }
    }
    selected
}

#[test]
fn one_star_stays_in_its_level_and_two_cross_levels() {
    let matches = |pattern: &str, name: &str| selection(&[pattern]).matches(name);
    assert!(matches("area1/*", "area1/level"));
    assert!(!matches("area1/*", "area1/boiler/level"));
    assert!(matches("area1/**", "area1/boiler/level"));
    assert!(matches("**", "a/b/c"));
    assert!(matches("**/level", "a/b/level"));
    assert!(matches("**/level", "level"));
    assert!(matches("a/**/level", "a/level") && matches("a/**/level", "a/b/c/level") && !matches("a/**/level", "a/b/slevel"));
    assert!(matches("a/b", "a/b"));
    assert!(!matches("a/b", "a/b/c"));
}

#[test]
fn bad_patterns_are_named() {
    assert!(TagSelection::parse(&[""]).is_err());
    assert!(TagSelection::parse(&["a/[b"]).unwrap_err().to_string().contains("a/[b"));
    let deep = format!("{}a{}*", "{".repeat(400), "}".repeat(400));
    assert!(matches!(TagSelection::parse(&[deep]), Err(InvalidSelection::Pattern { .. })));
}

#[test]
fn no_patterns_select_nothing_or_where_asked_for_everything() {
    let none: [&str; 0] = [];
    assert!(!TagSelection::parse(&none).unwrap().matches("a/b"));
    assert!(TagSelection::parse_or_all(&none).unwrap().matches("a/b"));
    assert!(!TagSelection::parse_or_all(&["a"]).unwrap().matches("a/b"));
    assert!(TagSelection::parse_or_all(&[""]).is_err());
}

#[test]
fn ranges_begin_with_literal_text_and_lie_apart() {
    let prefixes =
        |patterns: &[&str]| -> Vec<String> { selection(patterns).ranges().iter().map(|range| range.prefix().to_owned()).collect() };
    assert_eq!(prefixes(&["area1/t*"]), ["area1/t"]);
    assert_eq!(prefixes(&["**"]), [""]);
    assert_eq!(prefixes(&["b/*", "a/x*", "a/**", "a/xy?", "c"]), ["a/", "b/"]);
    assert_eq!(prefixes(&["{mixer,boiler}/p*", "{mixer,boiler}/q"]), ["boiler/p", "mixer/p"]);
    assert_eq!(selection(&["{mixer,boiler}/q", "z"]).names(), ["boiler/q", "mixer/q", "z"]);
    // A range of names ends where a character does, whatever the bytes of a class have in common.
    assert_eq!(prefixes(&["\u{e4}[\u{e4}\u{f6}]*"]), ["\u{e4}"]);
}

#[test]
fn more_than_fits_is_refused_and_what_fits_is_taken() {
    let alternatives = format!("{}*", "{ab,cd}".repeat(20));
    assert!(matches!(TagSelection::parse(&[alternatives]), Err(InvalidSelection::TooLarge)));
    let globs: Vec<String> = (0..10_000).map(|n| format!("**/*{n}*")).collect();
    let taken = TagSelection::parse(&globs).unwrap();
    assert!(taken.matches("a/x9999y") && !taken.matches("a/x"));
    let long: Vec<String> = (0..300).map(|n| format!("{n}{}*", "x".repeat(1_000))).collect();
    assert!(matches!(TagSelection::parse(&long), Err(InvalidSelection::TooLarge)));
}

/// Patterns that have everything that globset knows, and names that come near to them.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "ab",
        "/",
        "/",
        "*",
        "**",
        "**/",
        "/**",
        "/**/",
        "?",
        "[ab]",
        "[!a]",
        "[^b/]",
        "[a-c]",
        "{a,b}",
        "{ab,ba/a}",
        "{*,b}",
        "{**,a}",
        "{**/a,b}",
        "{a/**,b}",
        "{a,{b,c}}",
        "{,a}",
        "{a/,b}**",
        "\\*",
        "\\a",
        "\u{e4}",
        "[\u{e4}b]",
        "??",
        "{a,b",
        "}",
        ",",
        "-",
        ".",
        "+",
    ]);
    prop::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "ab", "/", "/", "\u{e4}", "\u{f6}", ",", "-", ".", "+"]), 0..8)
        .prop_map(|pieces| pieces.concat())
}

fn is_valid(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '[', '{']) || GlobBuilder::new(pattern).literal_separator(true).build().is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_selection_means_what_globset_means_by_its_patterns(
        patterns in prop::collection::vec(pattern(), 1..6),
        names in prop::collection::btree_set(name(), 0..40),
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let (valid, invalid): (Vec<String>, Vec<String>) = patterns.into_iter().partition(|pattern| is_valid(pattern));
        for pattern in &invalid {
            prop_assert!(TagSelection::parse(&[pattern]).is_err(), "{pattern}");
        }
        let selection = TagSelection::parse(&valid).unwrap();
        let expected: Vec<bool> = judged(&valid, &names);
        prop_assert_eq!(&names.iter().map(|name| selection.matches(name)).collect::<Vec<_>>(), &expected, "{:?} of {:?}", valid, names);
        prop_assert_eq!(&scanned(&selection, &names), &expected, "{:?} of {:?}, in their order", valid, names);
    }
}

proptest! {
    // Each case compiles a hundred globs for the judge.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn globs_of_many_words_of_states_mean_the_same(
        beginnings in prop::collection::vec("[ab*?/]{1,12}", 60..120),
        names in prop::collection::btree_set("[ab/]{1,14}", 1..60),
    ) {
        let patterns: Vec<String> = beginnings.into_iter().map(|text| format!("*{text}")).collect();
        let names: Vec<String> = names.into_iter().collect();
        let selection = TagSelection::parse(&patterns).unwrap();
        let expected: Vec<bool> = judged(&patterns, &names);
        prop_assert_eq!(&scanned(&selection, &names), &expected);
        prop_assert_eq!(&names.iter().map(|name| selection.matches(name)).collect::<Vec<_>>(), &expected);
    }
}

#[test]
fn long_names_are_read_to_their_end_where_little_is_kept() {
    // So many words that states behind some bytes only are kept.
    let globs: Vec<String> = (0..20_000).map(|n| format!("*x{n}y*z")).collect();
    let selection = TagSelection::parse(&globs).unwrap();
    let begin = "a".repeat(300);
    let names: Vec<String> = ["x19999y", "x19999y1z", "x19999yz", "x20000yz", "x3yy"].iter().map(|end| format!("{begin}{end}")).collect();
    assert_eq!(scanned(&selection, &names), [false, true, true, false, false]);
}
