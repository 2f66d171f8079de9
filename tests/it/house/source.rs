//! A Rust file as the rules see it: its code without comments and texts.

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
