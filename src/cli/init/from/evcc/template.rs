//! The `render` part of a template of evcc, as the text that it is for each of its usages: conditions on parameters, and the connection.
//!
//! Only that much of the language of Go's templates is read as the templates of devices have: `if`, `else`, `end`, parameters, and the block of a
//! Modbus connection. What else there is, is told and left out.

use std::collections::BTreeMap;

use super::super::{draft::ConfigDraft, source::ForeignTable};

/// Where the device of a template is: an address for documents (RFC 5737).
const HOST: &str = "192.0.2.1";
/// Longest text that a template may become.
const RENDERED_BYTES_MAX: usize = 4 << 20;

/// A piece of the text.
enum TemplatePiece<'text> {
    Text(&'text str),
    Action(&'text str),
}

/// An `if` that is open.
struct OpenBlock {
    /// What is around it is written.
    is_within: bool,
    /// One of its branches was written.
    is_taken: bool,
    /// This branch is written.
    is_written: bool,
}

/// The text for each usage, and the usage where there are several.
pub fn rendered(root: &ForeignTable<'_>, render: &str, name: &str, draft: &mut ConfigDraft) -> Vec<(Option<String>, String)> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    let mut usages: Vec<String> = Vec::new();
    let mut connection = String::new();
    for parameter in root.list("params") {
        let Some(table) = ForeignTable::of(parameter) else { continue };
        let Ok(Some(own)) = table.text("name") else { continue };
        let choice: Vec<String> = table.list("choice").into_iter().filter_map(|choice| choice.as_str().map(str::to_owned)).collect();
        match own.as_str() {
            "usage" => usages = choice,
            "modbus" => connection = connection_of(&table, &choice),
            _ => {
                let value = table.text("default").ok().flatten().or_else(|| (own == "host").then(|| HOST.to_owned()));
                parameters.insert(own, value.unwrap_or_default());
            }
        }
    }
    let several = usages.len() > 1;
    if usages.is_empty() {
        usages.push(String::new());
    }
    let pieces = pieces(render);
    let mut all = Vec::new();
    for usage in usages {
        parameters.insert("usage".to_owned(), usage.clone());
        all.push((several.then_some(usage), text(&pieces, &parameters, &connection, name, draft)));
    }
    all
}

/// The lines that stand for the connection.
fn connection_of(table: &ForeignTable<'_>, choice: &[String]) -> String {
    let setting = |key: &'static str, usual: &str| table.text(key).ok().flatten().unwrap_or_else(|| usual.to_owned());
    let id = setting("id", "1");
    if choice.is_empty() || choice.iter().any(|choice| choice == "tcpip") {
        format!("id: {id}\nuri: {HOST}:{}", setting("port", "502"))
    } else {
        format!("id: {id}\ndevice: /dev/ttyUSB0\nbaudrate: {}\ncomset: {}", setting("baudrate", "9600"), setting("comset", "8N1"))
    }
}

/// Texts and what stands between double braces, blanks taken away where a hyphen says so.
fn pieces(render: &str) -> Vec<TemplatePiece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = render;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, behind) = after.split_once("}}").unwrap_or((after, ""));
        let (before, action) = match action.strip_prefix('-') {
            Some(action) => (before.trim_end(), action),
            None => (before, action),
        };
        let (behind, action) = match action.strip_suffix('-') {
            Some(action) => (behind.trim_start(), action),
            None => (behind, action),
        };
        pieces.extend([TemplatePiece::Text(before), TemplatePiece::Action(action.trim())]);
        rest = behind;
    }
    pieces.push(TemplatePiece::Text(rest));
    pieces
}

fn text(
    pieces: &[TemplatePiece<'_>],
    parameters: &BTreeMap<String, String>,
    connection: &str,
    name: &str,
    draft: &mut ConfigDraft,
) -> String {
    let mut rendered = String::new();
    let mut open: Vec<OpenBlock> = Vec::new();
    for piece in pieces {
        if rendered.len() > RENDERED_BYTES_MAX {
            draft.leave(name, "the template becomes too long");
            break;
        }
        let is_written = open.last().is_none_or(|block| block.is_written);
        let action = match piece {
            TemplatePiece::Text(text) => {
                if is_written {
                    rendered.push_str(text);
                }
                continue;
            }
            TemplatePiece::Action(action) => *action,
        };
        let (word, argument) = action.split_once(char::is_whitespace).map_or((action, ""), |(word, argument)| (word, argument.trim()));
        match word {
            "if" => {
                let holds = is_written && holds(argument, parameters, name, draft);
                open.push(OpenBlock { is_within: is_written, is_taken: holds, is_written: holds });
            }
            "else" => {
                let condition = argument.strip_prefix("if").map(str::trim);
                if let Some(block) = open.last_mut() {
                    let may = block.is_within && !block.is_taken;
                    block.is_written = may && condition.is_none_or(|condition| holds(condition, parameters, name, draft));
                    block.is_taken |= block.is_written;
                }
            }
            "end" => {
                open.pop();
            }
            "range" | "with" | "block" | "define" => {
                if is_written {
                    draft.note(name, format!("left out of the template: {word} {argument}"));
                }
                open.push(OpenBlock { is_within: false, is_taken: true, is_written: false });
            }
            _ if !is_written || action.starts_with("/*") => {}
            "include" if argument.starts_with("\"modbus\"") => {
                let indent = argument.rsplit_once("indent").and_then(|(_, number)| number.trim().parse::<usize>().ok()).unwrap_or_default();
                for line in connection.lines() {
                    rendered.push('\n');
                    rendered.push_str(&" ".repeat(indent.min(80)));
                    rendered.push_str(line);
                }
            }
            _ => match parameter(word, parameters) {
                Some(value) => rendered.push_str(value),
                None => draft.note(name, format!("left out of the template: {action}")),
            },
        }
    }
    rendered
}

/// The value of `.name`; nothing where the template has no default.
fn parameter<'a>(word: &str, parameters: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let own = word.strip_prefix('.').filter(|own| own.chars().all(|c| c.is_alphanumeric() || c == '_'))?;
    Some(parameters.get(own).map_or("", String::as_str))
}

/// Whether a condition holds. One that is not understood does not, and is told.
fn holds(condition: &str, parameters: &BTreeMap<String, String>, name: &str, draft: &mut ConfigDraft) -> bool {
    let words = words(condition);
    let mut at = 0;
    if let Some(value) = call(&words, &mut at, parameters, 0).filter(|_| at == words.len()) {
        return is_true(&value);
    }
    draft.note(name, format!("left out of the template: what is there if {condition}"));
    false
}

fn is_true(value: &str) -> bool {
    !matches!(value, "" | "false" | "0")
}

/// Words, texts in quotes, and brackets.
fn words(condition: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in condition.chars() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                words.last_mut().into_iter().for_each(|word| word.push(c));
            }
            '(' | ')' if !is_quoted => words.extend([c.to_string(), String::new()]),
            c if c.is_whitespace() && !is_quoted => words.push(String::new()),
            c => words.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A function with its arguments, or a value alone, up to the end or a closing bracket.
fn call(words: &[String], at: &mut usize, parameters: &BTreeMap<String, String>, depth: usize) -> Option<String> {
    let function = words.get(*at)?.as_str();
    if !matches!(function, "eq" | "ne" | "and" | "or" | "not") {
        return value(words, at, parameters, depth);
    }
    *at += 1;
    let mut arguments = Vec::new();
    while words.get(*at).is_some_and(|word| word != ")") {
        arguments.push(value(words, at, parameters, depth)?);
    }
    let (first, others) = arguments.split_first()?;
    let holds = match function {
        "eq" => others.contains(first),
        "ne" => !others.contains(first),
        "and" => arguments.iter().all(|argument| is_true(argument)),
        "or" => arguments.iter().any(|argument| is_true(argument)),
        _ => !is_true(first),
    };
    Some(if holds { "true".to_owned() } else { String::new() })
}

/// A text in quotes, a parameter, a number, or what is in brackets.
fn value(words: &[String], at: &mut usize, parameters: &BTreeMap<String, String>, depth: usize) -> Option<String> {
    let word = words.get(*at)?.as_str();
    *at += 1;
    if word == "(" {
        let within = (depth < 20).then(|| call(words, at, parameters, depth + 1)).flatten()?;
        let closing = words.get(*at)?;
        *at += 1;
        return (closing == ")").then_some(within);
    }
    if let Some(text) = word.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return Some(text.to_owned());
    }
    if word == "true" || word == "false" || word.parse::<f64>().is_ok() {
        return Some(word.to_owned());
    }
    parameter(word, parameters).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered_as(render: &str, usage: &str) -> (String, usize) {
        let mut draft = ConfigDraft::default();
        let parameters = BTreeMap::from([("usage".to_owned(), usage.to_owned()), ("scale".to_owned(), "0.1".to_owned())]);
        let text = text(&pieces(render), &parameters, "id: 1\nuri: x", "t", &mut draft);
        (text, draft.remarks().len())
    }

    #[test]
    fn a_branch_is_written_where_its_condition_holds() {
        let render = "a\n{{- if eq .usage \"grid\" }}\nb: {{ .scale }}\n{{- else if (or (eq .usage \"pv\") .none) }}\nc\n{{- else }}\nd\n{{- end }}\n";
        assert_eq!(rendered_as(render, "grid"), ("a\nb: 0.1\n".to_owned(), 0));
        assert_eq!(rendered_as(render, "pv"), ("a\nc\n".to_owned(), 0));
        assert_eq!(rendered_as(render, "battery"), ("a\nd\n".to_owned(), 0));
    }

    #[test]
    fn the_connection_is_put_in_and_what_is_not_understood_is_told() {
        let render = "s:\n  {{- include \"modbus\" . | indent 2 }}\n{{ range .x }}\nlost\n{{ end }}{{ include \"other\" . }}{{ if gt .a 1 }}no{{ end }}";
        assert_eq!(rendered_as(render, ""), ("s:\n  id: 1\n  uri: x\n".to_owned(), 3));
        // Open ends are no reason to stop.
        assert_eq!(rendered_as("{{ end }}{{ else }}a{{ if .b", "").0, "a");
    }
}
