//! A TOML document with the line of every key, read table by table so that one mistake does not hide the others.

use std::collections::HashMap;

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::wording::{self, Complaint};
use historian_collector::{ConfigProblem, SettingPosition, TagConfig, TagKey, tag_key::ADDRESS};

/// Keys that a tag of a device has to have.
const NEEDED: [&str; 2] = ["name", ADDRESS.name];

/// Name and line starts of a text file: turns byte offsets into positions.
pub(super) struct SourceText {
    file: String,
    line_starts: Vec<usize>,
}

impl SourceText {
    pub(super) fn new(file: impl Into<String>, text: &[u8]) -> SourceText {
        let line_starts =
            std::iter::once(0).chain(text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1)).collect();
        SourceText { file: file.into(), line_starts }
    }

    /// Position of a byte; an offset past the end is on the last line.
    pub(super) fn position(&self, offset: usize) -> SettingPosition {
        SettingPosition { file: self.file.clone(), line: self.line_starts.partition_point(|start| *start <= offset) }
    }

    fn problem(&self, offset: usize, key: impl Into<String>, message: impl Into<String>) -> ConfigProblem {
        ConfigProblem { position: self.position(offset), key: key.into(), message: message.into() }
    }
}

/// A parsed file on its way to typed settings: sections are taken out one by one, what is left at the end is unknown.
pub(super) struct Document<'text> {
    source: SourceText,
    root: DeTable<'text>,
    /// Lines of each key path, ascending; several when a name is used twice.
    lines: HashMap<String, Vec<usize>>,
    pub(super) problems: Vec<ConfigProblem>,
}

/// A device table without its tags, which are read one by one.
pub(super) struct DeviceTable<'text> {
    /// `modbus.boiler`, or `modbus[2]` while the name is not known.
    pub(super) key: String,
    pub(super) position: SettingPosition,
    table: Spanned<DeTable<'text>>,
    tags: Vec<Spanned<DeValue<'text>>>,
}

impl DeviceTable<'_> {
    /// Name of the device, where the table has one.
    pub(super) fn name(&self) -> Option<&str> {
        name_of(self.table.get_ref())
    }
}

impl<'text> Document<'text> {
    /// Parses a text. Mistakes of syntax, all of them, become problems.
    pub(super) fn parse(file: &str, text: &'text str) -> Document<'text> {
        let source = SourceText::new(file, text.as_bytes());
        let (root, errors) = DeTable::parse_recoverable(text);
        let problems = errors
            .iter()
            .map(|error| {
                let offset = error.span().map_or(0, |span| span.start);
                source.problem(offset, "syntax", error.message().trim().replace('\n', "; "))
            })
            .collect();
        let mut document = Document { source, root: root.into_inner(), lines: HashMap::new(), problems };
        document.number_lines();
        document
    }

    /// Settings of `[section]`; defaults where it is absent.
    pub(super) fn section<T: DeserializeOwned + Default>(&mut self, section: &str) -> T {
        match self.root.remove(section) {
            None => T::default(),
            Some(value) => self.table_of(value, section).and_then(|table| self.read(table, section)).unwrap_or_default(),
        }
    }

    /// Value of a key at the root; `None` where it is absent or wrong.
    pub(super) fn value<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.root.remove(key)?;
        let offset = value.span().start;
        match T::deserialize(value.into_deserializer()) {
            Ok(value) => Some(value),
            Err(error) => {
                let offset = error.span().map_or(offset, |span| span.start);
                self.problems.push(self.source.problem(offset, key, wording::reword(error.message()).text));
                None
            }
        }
    }

    /// Tables of `[[protocol]]`, each one device.
    pub(super) fn devices(&mut self, protocol: &str) -> Vec<DeviceTable<'text>> {
        let Some(value) = self.root.remove(protocol) else { return Vec::new() };
        let offset = value.span().start;
        let DeValue::Array(elements) = value.into_inner() else {
            let message = format!("expected an array of tables; write [[{protocol}]] with two brackets, once per device");
            self.problems.push(self.source.problem(offset, protocol, message));
            return Vec::new();
        };
        let mut devices = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            let unnamed = format!("{protocol}[{}]", index + 1);
            let Some(mut table) = self.table_of(element, &unnamed) else { continue };
            let key = name_of(table.get_ref()).map_or(unnamed, |name| format!("{protocol}.{name}"));
            let tags = match table.get_mut().remove("tag").map(|tags| (tags.span().start, tags.into_inner())) {
                None => Vec::new(),
                Some((_, DeValue::Array(tags))) => tags.into_iter().collect(),
                Some((offset, _)) => {
                    let message = format!("expected an array of tables; write [[{protocol}.tag]] with two brackets, once per tag");
                    self.problems.push(self.source.problem(offset, format!("{key}.tag"), message));
                    Vec::new()
                }
            };
            devices.push(DeviceTable { key, position: self.source.position(table.span().start), table, tags });
        }
        devices
    }

    /// Settings of a device whose tags have been taken out by [`Document::tags`].
    pub(super) fn device<T: DeserializeOwned>(&mut self, device: DeviceTable<'text>) -> Option<T> {
        self.read_beside(device.table, &device.key, &["tag"])
    }

    /// Settings of an array of tables that has no tags, and whether it was given some.
    pub(super) fn tagless<T: DeserializeOwned>(&mut self, device: DeviceTable<'text>) -> Option<(T, bool)> {
        let has_tags = !device.tags.is_empty();
        Some((self.read(device.table, &device.key)?, has_tags))
    }

    /// Tags of a device with their positions. Tags that cannot be read are left out. `key` knows the keys, and says what is wrong with one
    /// that it does not know.
    pub(super) fn tags(&mut self, device: &mut DeviceTable<'text>, key: impl Fn(&str) -> Result<TagKey, String>) -> Vec<TagConfig> {
        let mut tags = Vec::with_capacity(device.tags.len());
        for (index, tag) in std::mem::take(&mut device.tags).into_iter().enumerate() {
            let unnamed = format!("{}.tag[{}]", device.key, index + 1);
            let Some(table) = self.table_of(tag, &unnamed) else { continue };
            let path = name_of(table.get_ref()).map_or(unnamed, |name| format!("{}.tag.{name}", device.key));
            let start = table.span().start;
            let table = table.into_inner();
            for needed in NEEDED.iter().filter(|needed| table.get(**needed).is_none()) {
                self.problems.push(self.source.problem(start, format!("{path}.{needed}"), "this key is needed and is not there"));
            }
            let (mut tag, before) = (TagConfig { position: self.source.position(start), ..TagConfig::default() }, self.problems.len());
            let is_whole = NEEDED.iter().all(|needed| table.get(*needed).is_some());
            for (name, value) in table {
                let offset = value.span().start;
                let read = key(name.get_ref()).map_err(|message| (name.span().start, message)).and_then(|key| {
                    let setting = key.kind.read(value.into_deserializer());
                    let refused =
                        |error: toml::de::Error| (error.span().map_or(offset, |span| span.start), wording::reword(error.message()).text);
                    setting.map(|setting| tag.set(key, setting)).map_err(refused)
                });
                if let Err((offset, message)) = read {
                    self.problems.push(self.source.problem(offset, format!("{path}.{}", name.get_ref()), message));
                }
            }
            if is_whole && self.problems.len() == before {
                tags.push(tag);
            }
        }
        tags
    }

    /// Refuses the keys at the root that nobody took, and hands over the problems with the lines of their keys.
    pub(super) fn finish(&mut self, known: &[&str]) {
        for (key, _) in std::mem::take(&mut self.root) {
            let message = wording::unknown_key(key.get_ref(), known);
            self.problems.push(self.source.problem(key.span().start, key.get_ref().to_string(), message));
        }
    }

    /// Position of a key path such as `server.listen`; line 0 when the file does not have it.
    pub(super) fn position_of(&self, key: &str) -> SettingPosition {
        let line = self.lines.get(key).and_then(|lines| lines.first()).copied().unwrap_or(0);
        SettingPosition { file: self.source.file.clone(), line }
    }

    /// Moves a problem that is known to lie in a table of this file to the line of its very key.
    pub(super) fn refine(&self, mut problem: ConfigProblem) -> ConfigProblem {
        if problem.position.file == self.source.file
            && let Some(lines) = self.lines.get(&problem.key)
            && let Some(line) = lines.iter().find(|line| **line >= problem.position.line)
        {
            problem.position.line = *line;
        }
        problem
    }

    /// Types one table. Each key that is refused is reported and taken out, and the rest is tried again, so that all are found.
    fn read<T: DeserializeOwned>(&mut self, table: Spanned<DeTable<'text>>, path: &str) -> Option<T> {
        self.read_beside(table, path, &[])
    }

    /// As [`Document::read`], where `beside` are keys that were read by others.
    fn read_beside<T: DeserializeOwned>(&mut self, table: Spanned<DeTable<'text>>, path: &str, beside: &[&str]) -> Option<T> {
        let span = table.span();
        let mut left = table.into_inner();
        let mut refused: Vec<String> = Vec::new();
        let mut attempts = left.len() + 1;
        loop {
            let error = match T::deserialize(Spanned::new(span.clone(), left.clone()).into_deserializer()) {
                Ok(settings) if refused.is_empty() => return Some(settings),
                Ok(_) => return None,
                Err(error) => error,
            };
            let Complaint { key, text } = wording::reword_beside(error.message(), beside);
            let at = error.span().unwrap_or_else(|| span.clone());
            let culprit = left
                .iter()
                .find(|(name, value)| (name.span().start <= at.start && at.start < name.span().end.max(value.span().end)) && at != span)
                .map(|(name, value)| (name.get_ref().to_string(), name.span().start.min(value.span().start)));
            match culprit {
                Some((name, offset)) => {
                    let offset = if at.start >= offset { at.start } else { offset };
                    self.problems.push(self.source.problem(offset, format!("{path}.{name}"), text));
                    left.remove(name.as_str());
                    refused.push(name);
                }
                // A required key that was refused above is missing only because it was taken out.
                None if key.as_ref().is_some_and(|key| refused.contains(key)) => return None,
                None => {
                    let path = key.map_or_else(|| path.to_owned(), |key| format!("{path}.{key}"));
                    self.problems.push(self.source.problem(span.start, path, text));
                    return None;
                }
            }
            attempts -= 1;
            if attempts == 0 {
                return None;
            }
        }
    }

    fn table_of(&mut self, value: Spanned<DeValue<'text>>, path: &str) -> Option<Spanned<DeTable<'text>>> {
        let span = value.span();
        if let DeValue::Table(table) = value.into_inner() {
            return Some(Spanned::new(span, table));
        }
        self.problems.push(self.source.problem(span.start, path, "expected a table"));
        None
    }

    fn number_lines(&mut self) {
        fn walk(source: &SourceText, table: &DeTable<'_>, path: &str, lines: &mut HashMap<String, Vec<usize>>) {
            for (key, value) in table {
                let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
                lines.entry(path.clone()).or_default().push(source.position(key.span().start).line);
                match value.get_ref() {
                    DeValue::Table(table) => walk(source, table, &path, lines),
                    DeValue::Array(elements) => {
                        for element in elements {
                            if let DeValue::Table(table) = element.get_ref()
                                && let Some(name) = name_of(table)
                            {
                                walk(source, table, &format!("{path}.{name}"), lines);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        walk(&self.source, &self.root, "", &mut self.lines);
        self.lines.values_mut().for_each(|lines| lines.sort_unstable());
    }
}

fn name_of<'table>(table: &'table DeTable<'_>) -> Option<&'table str> {
    table.get("name").and_then(|name| name.get_ref().as_str())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Default, Debug)]
    #[serde(deny_unknown_fields, default)]
    struct Section {
        count: u32,
        name: String,
    }

    #[test]
    fn offsets_become_lines_that_start_at_one() {
        let source = SourceText::new("f", b"ab\n\ncd");
        let lines = [0, 1, 2, 3, 4, 5, 99].map(|offset| source.position(offset).line);
        assert_eq!(lines, [1, 1, 1, 2, 3, 3, 3]);
    }

    #[test]
    fn every_wrong_key_of_a_table_is_found_with_its_own_line() {
        let mut document = Document::parse("f.toml", "[a]\ncount = \"x\"\nnmae = \"y\"\nname = 3\n");
        let _: Section = document.section("a");
        let mut lines: Vec<_> = document.problems.iter().map(ToString::to_string).collect();
        lines.sort();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].starts_with("f.toml:2: a.count: expected a whole number from 0"), "{lines:#?}");
        assert!(lines[1].starts_with("f.toml:3: a.nmae: unknown key; did you mean \"name\"?"), "{lines:#?}");
        assert!(lines[2].starts_with("f.toml:4: a.name: expected a text"), "{lines:#?}");
    }

    #[test]
    fn elements_of_arrays_of_tables_have_their_own_positions() {
        let text = "[[modbus]]\nname = \"a\"\n\n[[modbus.tag]]\nname = \"t\"\n\n[[modbus.tag]]\nname = \"u\"\n\n[[modbus]]\nname = \"b\"\n";
        let mut document = Document::parse("f.toml", text);
        let devices = document.devices("modbus");
        assert_eq!(
            devices.iter().map(|device| (device.key.as_str(), device.position.line)).collect::<Vec<_>>(),
            [("modbus.a", 1), ("modbus.b", 10)]
        );
        assert_eq!(document.position_of("modbus.a.tag.u.name").line, 8);
    }

    #[test]
    fn mistakes_of_syntax_name_their_line() {
        let document = Document::parse("f.toml", "[a]\nb = \n");
        assert_eq!(document.problems.len(), 1);
        assert_eq!((document.problems[0].position.line, document.problems[0].key.as_str()), (2, "syntax"));
    }
}
