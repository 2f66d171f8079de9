//! A Rust file as the rules see it: its code without comments and texts, and the paths it names inside the crate.

/// One source file.
pub struct Source {
    /// Path from the root of the checkout, with `/`.
    pub name: String,
    /// The file as written.
    pub text: String,
    /// Code alone: comments, texts and characters are blank, lines are where they were.
    pub code: String,
    /// As `code`, without the `#[cfg(test)]` modules.
    pub shipped: String,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Source {
        let code = code_of(text);
        let shipped = without_tests(&code);
        Source { name: name.to_owned(), text: text.to_owned(), code, shipped }
    }

    /// Line of a byte of the code, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.code[..at].split('\n').count()
    }

    /// Module path below the crate root: `src/a/b.rs` and `src/a/b/mod.rs` are `[a, b]`.
    fn module(&self) -> Vec<&str> {
        let inside = self.name.strip_prefix("src/").unwrap_or(&self.name).trim_end_matches(".rs");
        inside.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }

    /// Every path of this crate that the code names, resolved to the crate root, with the byte where it stands: `crate::a::{b, c::d}` gives
    /// `[a, b]` and `[a, c, d]`, and `super::` climbs from the module of the file.
    pub fn crate_paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        for (root, climbs) in [("crate", false), ("super", true)] {
            for at in words(&self.code, root) {
                let before = self.code[..at].trim_end();
                if before.ends_with("::") || (climbs && before.ends_with("pub(")) {
                    continue;
                }
                let mut base: Vec<String> = if climbs { self.module().iter().map(ToString::to_string).collect() } else { Vec::new() };
                let mut rest = self.code[at..].strip_prefix(root).unwrap_or_default();
                if climbs {
                    base.pop();
                    while let Some(next) = after_colons(rest).and_then(|after| after.strip_prefix("super")) {
                        base.pop();
                        rest = next;
                    }
                }
                if let Some(tree) = after_colons(rest) {
                    let mut paths = Vec::new();
                    use_tree(tree, &base, &mut paths);
                    found.extend(paths.into_iter().map(|path| (at, path)));
                }
            }
        }
        found
    }
}

fn after_colons(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix("::").map(str::trim_start)
}

/// Reads `a::b`, `a::{b, c::d}` or `{…}`, and returns what follows.
fn use_tree<'text>(text: &'text str, base: &[String], paths: &mut Vec<Vec<String>>) -> &'text str {
    let mut path = base.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                inside = inside.trim_start();
                if let Some(after) = inside.strip_prefix('}') {
                    return after;
                }
                let after = use_tree(inside, &path, paths).trim_start();
                // An alias (`a as b`) or anything unexpected: on to the next of the group.
                let Some(end) = after.find([',', '}']) else { return "" };
                inside = if after[end..].starts_with(',') { &after[end + 1..] } else { &after[end..] };
            }
        }
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length == 0 {
            paths.push(path);
            return rest.strip_prefix('*').unwrap_or(rest);
        }
        path.push(rest[..length].to_owned());
        rest = &rest[length..];
        let Some(after) = after_colons(rest) else {
            paths.push(path);
            return rest;
        };
        rest = after;
    }
}

/// Bytes where `word` stands as a whole identifier.
pub fn words<'text>(code: &'text str, word: &'text str) -> impl Iterator<Item = usize> + 'text {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !code[..*at].chars().next_back().is_some_and(of_name) && !code[at + word.len()..].chars().next().is_some_and(of_name)
    })
}

/// Blanks comments, texts and characters, and keeps every line break.
fn code_of(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    let blank = |code: &mut String, from: usize, to: usize| {
        code.extend(bytes[from..to.min(bytes.len())].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
    };
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        let end = match (bytes[at], next) {
            ('/', Some('/')) => bytes[at..].iter().position(|c| *c == '\n').map_or(bytes.len(), |length| at + length),
            ('/', Some('*')) => block_comment(&bytes, at),
            ('r' | 'b' | 'c', Some('r' | '"' | '#')) if !bytes[..at].last().is_some_and(|c| c.is_alphanumeric() || *c == '_') => {
                raw_or_prefixed(&bytes, at).unwrap_or(at)
            }
            ('"', _) => quoted(&bytes, at),
            ('\'', Some('\\')) => bytes[at + 3..].iter().position(|c| *c == '\'').map_or(bytes.len(), |length| at + 4 + length),
            ('\'', Some(_)) if bytes.get(at + 2) == Some(&'\'') => at + 3,
            _ => at,
        };
        if end > at {
            blank(&mut code, at, end);
            at = end;
        } else {
            code.push(bytes[at]);
            at += 1;
        }
    }
    code
}

fn block_comment(text: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start + 2, 1);
    while at < text.len() && depth > 0 {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn quoted(text: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// End of `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`; none when it is no text (`r#type`).
fn raw_or_prefixed(text: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    let mut raw = false;
    while let Some('r' | 'b' | 'c') = text.get(at) {
        raw |= text[at] == 'r';
        at += 1;
    }
    let hashes = text[at..].iter().take_while(|c| **c == '#').count();
    at += hashes;
    if text.get(at) != Some(&'"') || (hashes > 0 && !raw) {
        return None;
    }
    if !raw {
        return Some(quoted(text, at));
    }
    at += 1;
    while at < text.len() {
        if text[at] == '"' && text[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(text.len())
}

/// Blanks what stands between a `#[cfg(test)]` at the start of a line and the brace that closes it at the start of a line.
fn without_tests(code: &str) -> String {
    let mut shipped = String::with_capacity(code.len());
    let mut inside = false;
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{')) {
            inside = true;
        }
        if !inside {
            shipped.push_str(line);
        }
        shipped.extend(std::iter::repeat_n(' ', if inside { line.len() } else { 0 }));
        shipped.push('\n');
        if line == "}" {
            inside = false;
        }
    }
    shipped
}

#[test]
fn code_is_what_is_left_without_comments_and_texts() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d\n */ e", "a               \n    e"),
        (r#"f("a \" b", 'x', '\'', '"')"#, "f(        ,    ,     ,    )"),
        (r##"r#"a" b"# c"##, "          c"),
        (r#"br"a\" d"c" r#type 'life: &'a str"#, "       d    r#type 'life: &'a str"),
        ("#[cfg(test)]\nmod x;", "#[cfg(test)]\nmod x;"),
    ] {
        assert_eq!(code_of(text), code, "{text}");
    }
    let source = Source::new("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
    assert_eq!(source.shipped.split_whitespace().collect::<Vec<_>>(), ["fn", "a()", "{}", "fn", "c()", "{}"]);
    assert_eq!(source.shipped.len(), source.code.len());
}

#[test]
fn paths_are_resolved_to_the_root_of_the_crate() {
    let paths = |name: &str, code: &str| {
        let mut paths: Vec<String> = Source::new(name, code).crate_paths().into_iter().map(|(_, path)| path.join("::")).collect();
        paths.sort();
        paths.join(" ")
    };
    assert_eq!(paths("src/a/b.rs", "use crate::c::{d, e::{f, self}, g as h, *};"), "c c::d c::e::f c::e::self c::g");
    assert_eq!(paths("src/a/b.rs", "use crate::{c, d::e};"), "c d::e");
    assert_eq!(paths("src/a/b.rs", "fn f() { crate::c::d(super::e, super::super::g::h) }"), "a::e c::d g::h");
    assert_eq!(paths("src/a/mod.rs", "pub(super) use super::c; pub(crate) fn f() {}"), "c");
}
