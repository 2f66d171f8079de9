//! What must not be in a report. Three nets, one behind the other: keys of the configuration whose names say that they hold a secret, contents of
//! files that hold one, and texts that look like one wherever they are. Comments go altogether: people write passwords there.

use std::{fs, path::Path};

use historian_access::TOKEN_PREFIX;
use toml::{Table, Value};

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";
/// Parts of the names of keys that hold secrets. What names a file of secrets, and no secret, is read and looked for.
const SECRET_KEYS: [&str; 9] = ["password", "passwd", "secret", "token", "credential", "passphrase", "private", "apikey", "api_key"];
/// A secret of fewer bytes is found in too many other texts.
const SECRET_BYTES_MIN: usize = 4;
/// What somebody who writes a secret puts in front of it.
const BEFORE: [&str; 5] = ["bearer ", "basic ", "authorization:", "password", "token="];
const PEM: &str = "-----BEGIN ";

/// Takes secrets out of texts.
#[derive(Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Knows the secrets of a configuration file, of the files that it names, and of the environment.
    pub fn of(file: Option<&Path>) -> Redactor {
        let mut redactor = Redactor::default();
        for (name, value) in std::env::vars_os() {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            if name.starts_with("HISTORIAN_") && is_secret(&name) {
                redactor.know(&value);
            }
        }
        if let Some(file) = file
            && let Some(table) = fs::read_to_string(file).ok().and_then(|text| text.parse::<Table>().ok())
        {
            redactor.learn(&table, file.parent().unwrap_or(Path::new("")));
        }
        // The longest first: one may be a part of another.
        redactor.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        redactor
    }

    fn know(&mut self, secret: &str) {
        for part in [secret, secret.trim()] {
            if part.len() >= SECRET_BYTES_MIN && !self.secrets.iter().any(|known| known == part) {
                self.secrets.push(part.to_owned());
            }
        }
    }

    fn learn(&mut self, table: &Table, directory: &Path) {
        for (key, value) in table {
            match value {
                Value::Table(table) => self.learn(table, directory),
                Value::Array(values) => {
                    for value in values {
                        match value {
                            Value::Table(table) => self.learn(table, directory),
                            Value::String(text) if is_secret(key) => self.learn_secret(text, directory),
                            _ => {}
                        }
                    }
                }
                Value::String(text) if is_secret(key) => self.learn_secret(text, directory),
                _ => {}
            }
        }
    }

    /// A secret, or the name of a file that holds some, a line each.
    fn learn_secret(&mut self, text: &str, directory: &Path) {
        match fs::read_to_string(directory.join(text)) {
            Ok(content) => content.lines().for_each(|line| self.know(line)),
            Err(_) => self.know(text),
        }
    }

    /// A configuration file without secrets and comments.
    pub fn configuration(&self, file: &Path) -> String {
        let Ok(text) = fs::read_to_string(file) else { return "# cannot be read\n".to_owned() };
        let Ok(mut table) = text.parse::<Table>() else {
            return "# is not TOML, and left out: what of it is a secret cannot be told\n".to_owned();
        };
        blank(&mut table);
        self.scrub(&toml::to_string(&table).unwrap_or_default())
    }

    /// The text without what is a secret, or looks like one.
    pub fn scrub(&self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for secret in &self.secrets {
            scrubbed = scrubbed.replace(secret, REDACTED);
        }
        without_words(&without_keys(&scrubbed))
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_KEYS.iter().any(|part| key.contains(part))
}

/// Puts a mark in the place of secrets.
fn blank(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        let secret = is_secret(key) && !key.ends_with("_file");
        match value {
            Value::Table(table) => blank(table),
            Value::Array(values) if !secret => {
                for value in values {
                    if let Value::Table(table) = value {
                        blank(table);
                    } else if let Value::String(text) = value {
                        *text = without_user(text);
                    }
                }
            }
            value if secret => *value = Value::String(REDACTED.to_owned()),
            Value::String(text) => *text = without_user(text),
            _ => {}
        }
    }
}

/// A URL without the password in it.
fn without_user(text: &str) -> String {
    let Some((scheme, behind)) = text.split_once("://") else { return text.to_owned() };
    let end = behind.find('/').unwrap_or(behind.len());
    match behind[..end].rfind('@') {
        Some(at) => format!("{scheme}://{REDACTED}@{}", &behind[at + 1..]),
        None => text.to_owned(),
    }
}

/// Without blocks of keys in PEM, to their ends or that of the text.
fn without_keys(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PEM) {
        let block = &rest[at..];
        let kind = block.lines().next().unwrap_or_default();
        let end =
            block[1..].find("-----END ").map_or(block.len(), |end| block[end + 1..].find('\n').map_or(block.len(), |line| end + 1 + line));
        kept.push_str(&rest[..at]);
        if kind.contains("PRIVATE KEY") {
            kept.push_str(REDACTED);
        } else {
            kept.push_str(&block[..end]);
        }
        rest = &block[end..];
    }
    kept + rest
}

/// Without tokens, and without words behind what announces a secret.
fn without_words(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut line = line.to_owned();
        let mut from = 0;
        while let Some(at) = line.get(from..).and_then(|rest| rest.find(TOKEN_PREFIX)).map(|at| at + from) {
            let end = line[at..].find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').map_or(line.len(), |end| at + end);
            line.replace_range(at..end, REDACTED);
            from = at + REDACTED.len();
        }
        for before in BEFORE {
            let mut from = 0;
            // Of ASCII letters only, so that places are the same in both.
            while let Some(at) = line.to_ascii_lowercase().get(from..).and_then(|rest| rest.find(before)).map(|at| at + from + before.len())
            {
                let is_around = |letter: char| letter.is_whitespace() || "=:\"'".contains(letter);
                let begin = line[at..].find(|letter: char| !is_around(letter)).map_or(line.len(), |begin| at + begin);
                let quote = line[..begin].chars().next_back().filter(|letter| "\"'".contains(*letter) && begin > at);
                let ends = |letter: char| quote.map_or(letter.is_whitespace() || "\"',;}".contains(letter), |quote| letter == quote);
                let end = line[begin..].find(ends).map_or(line.len(), |end| begin + end);
                // `password file`, and what is nothing but the word.
                let announced = before != "password" || line[at..begin].contains(['=', ':']);
                if announced && end > begin && line[begin..end] != *REDACTED {
                    line.replace_range(begin..end, REDACTED);
                }
                from = at;
            }
        }
        kept.push_str(&line);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_goes_from_every_text_and_the_rest_stays() {
        let redactor = Redactor { secrets: vec!["canary-of-the-file".to_owned()] };
        for (text, scrubbed) in [
            ("it is canary-of-the-file, twice canary-of-the-file", "it is [redacted], twice [redacted]"),
            ("token hst_4fA9x8 is not valid", "token [redacted] is not valid"),
            ("Authorization: Bearer abc.def-1\nok", "Authorization: [redacted] [redacted]\nok"),
            ("{\"password\": \"geheim\", \"a\": 1}", "{\"password\": \"[redacted]\", \"a\": 1}"),
            ("password = \"a b\"", "password = \"[redacted]\""),
            ("the password file is not there", "the password file is not there"),
            ("a\n-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\nb", "a\n[redacted]\nb"),
            (
                "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
            ),
            ("-----BEGIN PRIVATE KEY-----\nnever ended", "[redacted]"),
        ] {
            assert_eq!(redactor.scrub(text), scrubbed, "{text}");
        }
    }

    #[test]
    fn a_configuration_keeps_its_shape_without_secrets_and_comments() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("historian.toml");
        std::fs::write(directory.path().join("pw.txt"), "inthefile\n").unwrap();
        let text = "# the password is hunter22\n[server]\nlisten = \"127.0.0.1:1\"\n[oidc]\nclient_secret = \"s3cret\"\n[[opcua]]\nname = \"o\"\n\
                    endpoint = \"opc.tcp://user:pw99@host:4840/x\"\npassword_file = \"pw.txt\"\npassword = \"inline\"\n";
        std::fs::write(&file, text).unwrap();
        let redactor = Redactor::of(Some(&file));
        let told = redactor.configuration(&file);
        for secret in ["hunter22", "s3cret", "pw99", "inline", "inthefile"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
        for kept in ["127.0.0.1:1", "pw.txt", "host:4840/x", "client_secret"] {
            assert!(told.contains(kept), "{kept}: {told}");
        }
        assert_eq!(redactor.scrub("it said inthefile and s3cret"), "it said [redacted] and [redacted]");
        std::fs::write(&file, "[server\npassword = \"inline\"").unwrap();
        assert!(!Redactor::of(Some(&file)).configuration(&file).contains("inline"));
    }
}
