//! Grants as flags: `--grant engineer=area1/**,area2/{a,b}`.

use std::str::FromStr;

use historian_access::{Grant, Role};

/// One `--grant`.
#[derive(Clone, Debug)]
pub struct GrantArg(pub Grant);

impl FromStr for GrantArg {
    type Err = String;

    fn from_str(text: &str) -> Result<GrantArg, String> {
        let (role, tags) = text.split_once('=').map_or((text, None), |(role, tags)| (role, Some(tags)));
        let role: Role = role.parse().map_err(|unknown| format!("{unknown}"))?;
        let tags = tags.map(split).unwrap_or_default();
        if text.contains('=') && tags.iter().any(String::is_empty) {
            return Err(format!("a name or glob behind {role}= is empty; {role} alone means all tags"));
        }
        Ok(GrantArg(Grant { role, tags }))
    }
}

/// At commas, but not at those within the alternatives or the characters of a glob.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_u32);
    for letter in text.chars() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_with_their_globs() {
        let read = |text: &str| text.parse::<GrantArg>().map(|GrantArg(Grant { role, tags })| (role, tags.join(" ")));
        assert_eq!(read("admin"), Ok((Role::Admin, String::new())));
        assert_eq!(read("reader=a/**"), Ok((Role::Reader, "a/**".to_owned())));
        assert_eq!(read("engineer=a/{b,c}/*,d[,]e,f=g"), Ok((Role::Engineer, "a/{b,c}/* d[,]e f=g".to_owned())));
        for (text, reason) in [("", "is no role"), ("root=a", "is no role"), ("reader=", "is empty"), ("reader=a,,b", "is empty")] {
            assert!(read(text).unwrap_err().contains(reason), "{text}");
        }
    }
}
