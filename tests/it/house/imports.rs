//! Which file of a crate takes what from which other: the modules of a crate, read from their `mod`, `use` and paths.
//!
//! A file imports the file that defines what it names, whatever way the name takes: `super::X` through the `pub use` of a parent is an import
//! of the sibling that has `X`. A parent that declares `mod x` or hands `X` on imports nothing; it does when it uses `X` itself. What stands
//! behind `#[cfg(test)]` is not read, and calls of methods need no import and are not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// For each file the files it imports, each with one of the names it takes.
pub type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// `a::b::C` as its parts.
type Path = Vec<String>;

#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// By the name it has here.
    uses: BTreeMap<String, Use>,
    globs: Vec<Path>,
    /// Names that are defined here.
    items: BTreeSet<String>,
    /// Paths in the code, outside of `use`.
    paths: Vec<Path>,
    /// Every name in the code, outside of `use`.
    words: BTreeSet<String>,
}

struct Use {
    path: Path,
    hands_on: bool,
}

enum Target {
    Module(usize),
    Item(usize),
}

/// The modules of one crate; the first one is its root.
struct Crate {
    modules: Vec<Module>,
}

/// Imports between the files of the crate with this root (`…/lib.rs`).
pub fn imports(root: &str, sources: &BTreeMap<&str, &Source>) -> Imports {
    let mut read = Crate { modules: Vec::new() };
    read.add(None, root, folder_of(root), sources);
    let mut imports = Imports::new();
    for index in 0..read.modules.len() {
        let module = &read.modules[index];
        let taken = module.uses.iter().filter(|(name, used)| !used.hands_on || module.words.contains(*name)).map(|(_, used)| &used.path);
        let named = taken.chain(&module.paths).filter_map(|path| Some((read.item(index, path)?, path.join("::"))));
        let by_glob = module.globs.iter().flat_map(|path| read.taken_by_glob(index, path));
        let of_file = imports.entry(module.file.clone()).or_default();
        for (target, name) in named.chain(by_glob) {
            let file = &read.modules[target].file;
            if *file != module.file {
                of_file.entry(file.clone()).or_insert(name);
            }
        }
    }
    imports
}

fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Crate {
    /// Reads a file and those it declares; `folder` is where its children are.
    fn add(&mut self, parent: Option<usize>, file: &str, folder: &str, sources: &BTreeMap<&str, &Source>) -> usize {
        let index = self.open(parent, file);
        let tokens = tokens(&sources[file].code);
        self.read(index, &tokens, folder, sources);
        index
    }

    fn open(&mut self, parent: Option<usize>, file: &str) -> usize {
        self.modules.push(Module { file: file.to_owned(), parent, ..Module::default() });
        self.modules.len() - 1
    }

    /// Reads the code of one module; returns how many tokens it has, the closing brace included.
    fn read(&mut self, index: usize, tokens: &[&str], folder: &str, sources: &BTreeMap<&str, &Source>) -> usize {
        let (mut at, mut depth, mut visible) = (0, 0_usize, false);
        while at < tokens.len() {
            let next = |ahead: usize| tokens.get(at + ahead).copied().unwrap_or("");
            match tokens[at] {
                "#" => {
                    let end = at + 1 + usize::from(next(1) == "!");
                    let end = end + closing(&tokens[end.min(tokens.len())..]);
                    let test_only = tokens[at..end].concat() == "#[cfg(test)]";
                    at = if test_only { end + item_length(&tokens[end..]) } else { end };
                    continue;
                }
                "{" => depth += 1,
                "}" if depth == 0 => return at + 1,
                "}" => depth -= 1,
                "pub" => {
                    at += 1 + if next(1) == "(" { closing(&tokens[at + 1..]) } else { 0 };
                    visible = true;
                    continue;
                }
                "mod" if is_name(next(1)) && next(2) == ";" => {
                    let name = next(1);
                    let (file, inner) = (format!("{folder}/{name}.rs"), format!("{folder}/{name}"));
                    let in_folder = format!("{inner}/mod.rs");
                    let file =
                        if sources.contains_key(&*file) { Some(file) } else { sources.contains_key(&*in_folder).then_some(in_folder) };
                    // What is not there is made by a build script.
                    if let Some(file) = file {
                        let child = self.add(Some(index), &file, &inner, sources);
                        self.modules[index].children.insert(name.to_owned(), child);
                    }
                    at += 2;
                }
                "mod" if is_name(next(1)) && next(2) == "{" => {
                    let file = self.modules[index].file.clone();
                    let child = self.open(Some(index), &file);
                    self.modules[index].children.insert(next(1).to_owned(), child);
                    let name = next(1);
                    at += 3 + self.read(child, &tokens[at + 3..], &format!("{folder}/{name}"), sources);
                    visible = false;
                    continue;
                }
                "use" => {
                    let end = at + tokens[at..].iter().position(|token| *token == ";").unwrap_or(tokens.len() - at);
                    self.take(index, &Path::new(), &tokens[at + 1..end], visible);
                    at = end;
                }
                "macro_rules" if depth == 0 => _ = self.modules[index].items.insert(next(2).to_owned()),
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" if depth == 0 && is_name(next(1)) => {
                    self.modules[index].items.insert(next(1).to_owned());
                }
                token if is_name(token) => {
                    let mut path = vec![token.to_owned()];
                    let starts = at == 0 || !["::", "."].contains(&tokens[at - 1]);
                    while next(1 + 2 * (path.len() - 1)) == "::" && is_name(next(2 * path.len())) {
                        path.push(next(2 * path.len()).to_owned());
                    }
                    at += 2 * (path.len() - 1);
                    self.modules[index].words.extend(path.iter().cloned());
                    if path.len() > 1 && starts {
                        self.modules[index].paths.push(path);
                    }
                }
                _ => {}
            }
            visible = false;
            at += 1;
        }
        at
    }

    /// Notes what a `use` names, below what stands before its braces.
    fn take(&mut self, index: usize, before: &Path, tokens: &[&str], hands_on: bool) {
        for part in parts(tokens) {
            let mut path = before.clone();
            let mut rest = part;
            while let [name, "::", more @ ..] = rest {
                path.push((*name).to_owned());
                rest = more;
            }
            match rest {
                ["{", inner @ .., "}"] => self.take(index, &path, inner, hands_on),
                ["*"] => self.modules[index].globs.push(path),
                [name, as_other @ ..] => {
                    if *name != "self" || path.is_empty() {
                        path.push((*name).to_owned());
                    }
                    let alias = if let ["as", alias] = as_other { (*alias).to_owned() } else { path.last().cloned().unwrap_or_default() };
                    let alias = if alias == "_" { path.join("::") } else { alias };
                    self.modules[index].uses.insert(alias, Use { path, hands_on });
                }
                [] => {}
            }
        }
    }

    /// The module that defines what a path names; a module alone is nothing taken.
    fn item(&self, from: usize, path: &[String]) -> Option<usize> {
        match self.resolve(from, path, 0)? {
            Target::Item(module) => Some(module),
            Target::Module(_) => None,
        }
    }

    /// What of `path::*` the code names.
    fn taken_by_glob(&self, from: usize, path: &Path) -> Vec<(usize, String)> {
        match self.resolve(from, path, 0) {
            Some(Target::Module(module)) => {
                let words = self.modules[from].words.iter();
                words
                    .filter_map(
                        |word| if let Target::Item(target) = self.step(module, word, 0)? { Some((target, word.clone())) } else { None },
                    )
                    .collect()
            }
            // The variants of an enum.
            Some(Target::Item(module)) => vec![(module, path.join("::"))],
            None => Vec::new(),
        }
    }

    /// `None`: outside of the crate.
    fn resolve(&self, from: usize, path: &[String], hops: usize) -> Option<Target> {
        let mut here = from;
        for (number, name) in path.iter().enumerate() {
            let target = match &**name {
                "crate" if number == 0 => Target::Module(0),
                "self" if number == 0 => Target::Module(here),
                "super" => Target::Module(self.modules[here].parent?),
                name => match self.step(here, name, hops) {
                    Some(target) => target,
                    // A name that a macro makes, or one of the outside.
                    None if number > 0 && !self.modules[here].uses.contains_key(name) => Target::Item(here),
                    None => return None,
                },
            };
            match target {
                Target::Module(module) => here = module,
                item @ Target::Item(_) => return Some(item),
            }
        }
        Some(Target::Module(here))
    }

    fn step(&self, module: usize, name: &str, hops: usize) -> Option<Target> {
        let here = &self.modules[module];
        if hops > 16 {
            return None;
        }
        if let Some(child) = here.children.get(name) {
            return Some(Target::Module(*child));
        }
        if here.items.contains(name) {
            return Some(Target::Item(module));
        }
        if let Some(used) = here.uses.get(name) {
            // `use regex::Regex` beside a module of another name: a path of the outside begins with its own alias at most.
            return if used.path.first().is_some_and(|first| first == name) { None } else { self.resolve(module, &used.path, hops + 1) };
        }
        here.globs.iter().find_map(|path| match self.resolve(module, path, hops + 1)? {
            Target::Module(other) if other != module => self.step(other, name, hops + 1),
            _ => None,
        })
    }
}

/// Names, `::` and single characters; numbers and lifetimes are left out.
fn tokens(code: &str) -> Vec<&str> {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c| !of_name(c)).unwrap_or(rest.len());
        let length = match first {
            ':' if rest.starts_with("::") => 2,
            '\'' => 1 + rest[1..].find(|c| !of_name(c)).unwrap_or(rest.len() - 1),
            _ => name.max(first.len_utf8()),
        };
        if !(first.is_whitespace() || first == '\'' || first.is_ascii_digit()) {
            tokens.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    tokens
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Number of tokens from an opening bracket to the one that closes it.
fn closing(tokens: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// Number of tokens of an item: to its `;`, or to the end of its braces.
fn item_length(tokens: &[&str]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            ";" => return at + 1,
            "{" => return at + closing(&tokens[at..]),
            "(" | "[" => at += closing(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// What commas part outside of braces.
fn parts<'a, 'b>(tokens: &'b [&'a str]) -> Vec<&'b [&'a str]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            match *token {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            *token == "," && depth == 0
        })
        .collect()
}
