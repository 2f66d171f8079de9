//! Patterns from which tags get their names: text with `{places}` that whoever finds a tag fills.

use std::fmt::Write;

use historian_model::TagName;

/// A pattern, taken apart. What may stand in braces is the protocol's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern<Place>(Vec<PatternPart<Place>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart<Place> {
    Text(String),
    Place(Place),
}

impl<Place> TextPattern<Place> {
    /// Takes a text apart; `place` reads what stands in braces.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, place: impl Fn(&str) -> Result<Place, String>) -> Result<TextPattern<Place>, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (within, after) = behind.split_once('}').ok_or("has a { without its }")?;
            if !before.is_empty() {
                parts.push(PatternPart::Text(before.to_owned()));
            }
            parts.push(PatternPart::Place(place(within)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(PatternPart::Text(rest.to_owned()));
        }
        for part in &parts {
            if let PatternPart::Text(text) = part
                && let Some(reserved) = text.chars().find(|character| is_reserved(*character))
            {
                return Err(format!("has {reserved:?}, which no tag name may have"));
            }
        }
        if parts.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(TextPattern(parts))
    }

    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().filter_map(|part| match part {
            PatternPart::Place(place) => Some(place),
            PatternPart::Text(_) => None,
        })
    }

    /// The name where `fill` says what stands at each place. Parts that are empty vanish with their slash; characters that no tag name may
    /// have are written as `%` and two hexadecimal digits for each of their bytes.
    ///
    /// # Errors
    /// Why there is no such name.
    pub fn name(&self, mut fill: impl FnMut(&Place) -> Result<String, String>) -> Result<TagName, String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                PatternPart::Text(part) => text.push_str(part),
                PatternPart::Place(place) => text.push_str(&without_reserved(&fill(place)?)),
            }
        }
        let levels: Vec<String> = text.split('/').filter(|level| !level.is_empty()).map(without_outer_space).collect();
        TagName::new(levels.join("/")).map_err(|error| error.to_string())
    }
}

fn is_reserved(character: char) -> bool {
    character.is_control() || "*?[]{}\\".contains(character)
}

fn escape(character: char, into: &mut String) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        // A text takes everything.
        let _ = write!(into, "%{byte:02X}");
    }
}

fn without_reserved(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if is_reserved(character) { escape(character, &mut clean) } else { clean.push(character) }
    }
    clean
}

/// White space at the ends of a level, escaped.
fn without_outer_space(level: &str) -> String {
    let within = level.trim();
    if within.len() == level.len() {
        return level.to_owned();
    }
    let start = level.len() - level.trim_start().len();
    let mut clean = String::new();
    level[..start].chars().for_each(|character| escape(character, &mut clean));
    clean.push_str(within);
    level[start + within.len()..].chars().for_each(|character| escape(character, &mut clean));
    clean
}
