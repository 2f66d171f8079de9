//! Statements of a text, and their parameters: SQL is read only as far as quotes and comments go.

use std::{iter::Peekable, str::CharIndices};

use crate::Misuse;

/// A parameter by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// `name=value` as an argument.
pub fn parameter(text: &str) -> Result<Parameter, String> {
    let wrong = "expected NAME=VALUE, such as tag=area1/boiler/level for $tag";
    let (name, value) = text.split_once('=').ok_or(wrong)?;
    let name = name.trim().trim_start_matches('$');
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_name { Ok(Parameter { name: name.to_owned(), value: value.to_owned() }) } else { Err(wrong.to_owned()) }
}

/// Parts of a text that SQL treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Code,
    /// Within `'…'`, `"…"`, `-- …` or `/* … */`.
    Other,
}

/// Each character with the part it is in, and whether all that was begun is ended.
fn parts(text: &str) -> (Vec<(usize, char, Part)>, bool) {
    let mut found = Vec::new();
    let mut letters = text.char_indices().peekable();
    let mut ended = true;
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        match (letter, next) {
            ('\'' | '"', _) => {
                found.push((at, letter, Part::Other));
                ended = take(&mut letters, &mut found, |last, _| last == letter);
            }
            // What is behind a comment of a line needs no end.
            ('-', Some('-')) => {
                found.push((at, letter, Part::Other));
                let _ = take(&mut letters, &mut found, |last, _| last == '\n');
            }
            ('/', Some('*')) => {
                found.push((at, letter, Part::Other));
                ended = take(&mut letters, &mut found, |last, before| (before, last) == ('*', '/'));
            }
            _ => found.push((at, letter, Part::Code)),
        }
    }
    (found, ended)
}

/// Takes letters until the last of them ends the part.
fn take(letters: &mut Peekable<CharIndices<'_>>, found: &mut Vec<(usize, char, Part)>, ends: impl Fn(char, char) -> bool) -> bool {
    let mut before = ' ';
    for (at, letter) in letters.by_ref() {
        found.push((at, letter, Part::Other));
        if ends(letter, before) {
            return true;
        }
        before = letter;
    }
    false
}

/// The statements of a text, without the `;` between them, and none that is empty.
pub fn split(text: &str) -> Vec<String> {
    let (parts, _) = parts(text);
    let mut statements = vec![(String::new(), false)];
    for (_, letter, part) in parts {
        if (letter, part) == (';', Part::Code) {
            statements.push((String::new(), false));
        } else if let Some((statement, has_code)) = statements.last_mut() {
            statement.push(letter);
            *has_code |= !letter.is_whitespace() && (part == Part::Code || letter == '\'' || letter == '"');
        }
    }
    statements.into_iter().filter(|(_, has_code)| *has_code).map(|(statement, _)| statement.trim().to_owned()).collect()
}

/// True where what was typed so far ends a statement.
pub fn is_complete(text: &str) -> bool {
    let (parts, ended) = parts(text);
    let last = parts.iter().rev().find(|(_, letter, part)| *part == Part::Code && !letter.is_whitespace());
    ended && last.is_some_and(|(_, letter, _)| *letter == ';')
}

/// The statement with `$1`, `$2`, … in place of names, and the values in that order. Numbers stay what they are.
///
/// # Errors
/// A parameter has no value, or a value no parameter.
pub fn bound(statement: &str, parameters: &[Parameter]) -> Result<(String, Vec<String>), Misuse> {
    let (parts, _) = parts(statement);
    let mut text = String::with_capacity(statement.len());
    let mut order: Vec<&Parameter> = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let (_, letter, part) = parts[at];
        at += 1;
        text.push(letter);
        let before = at.checked_sub(2).map(|before| parts[before].1);
        if (letter, part) != ('$', Part::Code) || before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let name: String = parts[at..]
            .iter()
            .take_while(|(_, letter, part)| *part == Part::Code && (letter.is_ascii_alphanumeric() || *letter == '_'))
            .map(|(_, letter, _)| *letter)
            .collect();
        if name.is_empty() {
            continue;
        }
        at += name.len();
        let Some(parameter) = parameters.iter().find(|parameter| parameter.name == name) else {
            return Err(Misuse(format!("${name} has no value; add --parameter {name}=VALUE")));
        };
        let place = order.iter().position(|known| known.name == name).unwrap_or_else(|| {
            order.push(parameter);
            order.len() - 1
        });
        text += &(place + 1).to_string();
    }
    if let Some(unused) = parameters.iter().find(|parameter| !order.iter().any(|used| used.name == parameter.name)) {
        return Err(Misuse(format!("--parameter {}: the statement has no ${}", unused.name, unused.name)));
    }
    Ok((text, order.into_iter().map(|parameter| parameter.value.clone()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let text = "SELECT ';' AS \"a;b\"; -- one; two\nSELECT 2 /* ; */;\n;; -- nothing\n";
        assert_eq!(split(text), ["SELECT ';' AS \"a;b\"", "-- one; two\nSELECT 2 /* ; */"]);
        for (text, complete) in [
            ("SELECT 1", false),
            ("SELECT 1;", true),
            ("SELECT ';", false),
            ("SELECT ';';  ", true),
            ("SELECT 1; -- and", true),
            ("SELECT /* ;", false),
            ("", false),
        ] {
            assert_eq!(is_complete(text), complete, "{text}");
        }
    }

    #[test]
    fn names_of_parameters_become_their_places() {
        let of = |name: &str, value: &str| Parameter { name: name.to_owned(), value: value.to_owned() };
        let parameters = [of("low", "4"), of("tag", "a/b")];
        let statement = "SELECT '$low', $tag FROM t WHERE tag = $tag AND v > $low -- $none";
        let (text, values) = bound(statement, &parameters).unwrap();
        assert_eq!(text, "SELECT '$low', $1 FROM t WHERE tag = $1 AND v > $2 -- $none");
        assert_eq!(values, ["a/b", "4"]);
        assert!(bound("SELECT $none", &parameters).unwrap_err().to_string().contains("$none has no value"));
        assert!(bound("SELECT $low", &parameters).unwrap_err().to_string().contains("--parameter tag"));
        assert_eq!(parameter("$x=1=2"), Ok(of("x", "1=2")));
        assert!(parameter("x").is_err() && parameter("=1").is_err());
    }
}
