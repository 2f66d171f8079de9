//! Paths into JSON as other programs write them, as JSON pointers.

/// A part of a pointer (RFC 6901).
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// The pointer of a path of names with points between (`a.b.0`), as GJSON and jq have it; `None` for what searches or computes.
pub fn of_path(path: &str) -> Option<String> {
    let path = path.trim().trim_start_matches("$.").trim_start_matches('.');
    let mut parts = vec![String::new()];
    let mut characters = path.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => parts.last_mut()?.push(characters.next()?),
            '.' => parts.push(String::new()),
            '#' | '*' | '?' | '@' | '|' | '(' | ')' | '[' | ']' | '{' | '}' | '"' | '\'' | '!' | '<' | '>' | '=' | ',' | ' ' => {
                return None;
            }
            c => parts.last_mut()?.push(c),
        }
    }
    parts.iter().all(|part| !part.is_empty()).then(|| parts.iter().flat_map(|part| ["/".to_owned(), escaped(part)]).collect())
}

/// The pointer of what stands behind `value_json` in a template of Home Assistant: `.a.b`, `['a'][0]`; `None` for what computes.
pub fn of_template(expression: &str) -> Option<String> {
    let mut pointer = String::new();
    let mut rest = expression.trim();
    while !rest.is_empty() {
        let (part, after) = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
            after.split_at(end)
        } else {
            let (within, after) = rest.strip_prefix('[')?.split_once(']')?;
            let within = within.trim();
            let is_number = !within.is_empty() && within.bytes().all(|byte| byte.is_ascii_digit());
            let quoted = ['\'', '"'].into_iter().find_map(|quote| within.strip_prefix(quote)?.strip_suffix(quote));
            (if is_number { within } else { quoted? }, after)
        };
        if part.is_empty() {
            return None;
        }
        pointer += &format!("/{}", escaped(part));
        rest = after;
    }
    Some(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_pointers_and_what_computes_is_none() {
        for (path, expected) in [
            ("a.b", Some("/a/b")),
            (".a.b", Some("/a/b")),
            ("$.a", Some("/a")),
            ("a.0.b", Some("/a/0/b")),
            ("a\\.b", Some("/a.b")),
            ("a/b", Some("/a~1b")),
            ("a.#.b", None),
            ("a|@this", None),
            ("a..b", None),
            ("", None),
        ] {
            assert_eq!(of_path(path).as_deref(), expected, "{path}");
        }
        for (expression, expected) in [
            ("", Some("")),
            (".temperature", Some("/temperature")),
            ("['DS18B20-1'].Temperature", Some("/DS18B20-1/Temperature")),
            (".list[2][\"x/y\"]", Some("/list/2/x~1y")),
            (".a + 1", None),
            ("[x]", None),
            (".", None),
        ] {
            assert_eq!(of_template(expression).as_deref(), expected, "{expression}");
        }
    }
}
