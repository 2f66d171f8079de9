//! The `filter` of `ListTags`: conditions on what the catalog knows about a tag.

use tonic::Status;

use super::status;
use historian_model::Tag;

/// Conditions that all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    field: Field,
    /// `=` compares the whole text; `~` finds the text anywhere, in any case of letters.
    contains: bool,
    /// Lower case when `contains`.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// Any of those that a person would look for: name, unit, description, device, address.
    Any,
    Name,
    Type,
    Unit,
    Description,
    Stepped,
    Device,
    Address,
}

const FIELDS: [(&str, Field); 8] = [
    ("any", Field::Any),
    ("name", Field::Name),
    ("type", Field::Type),
    ("unit", Field::Unit),
    ("description", Field::Description),
    ("stepped", Field::Stepped),
    ("device", Field::Device),
    ("address", Field::Address),
];

/// Longest filter in bytes, and most conditions.
const BYTES_MAX: usize = 4096;
const CONDITIONS_MAX: usize = 32;

impl Filter {
    /// Reads conditions joined with ` AND `; an empty text holds for every tag.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` at `filter`, with the condition that cannot be read.
    pub fn parse(text: &str) -> Result<Filter, Status> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Filter::default());
        }
        let conditions: Vec<&str> = text.split(" AND ").collect();
        if text.len() > BYTES_MAX || conditions.len() > CONDITIONS_MAX {
            let message = format!("longer than {BYTES_MAX} bytes or more than {CONDITIONS_MAX} conditions");
            return Err(status::invalid("filter", message));
        }
        conditions.into_iter().map(condition).collect::<Result<_, _>>().map(Filter)
    }

    /// True when every condition holds.
    pub fn matches(&self, tag: &Tag) -> bool {
        self.0.iter().all(|condition| condition.matches(tag))
    }
}

fn condition(text: &str) -> Result<Condition, Status> {
    let refuse = || {
        // Also what a dangling AND leaves behind.
        let known = FIELDS.map(|(name, _)| name).join(", ");
        let shown: String = text.chars().take(80).collect();
        status::invalid("filter", format!("{shown:?} is no condition; write field=text or field~text with one of the fields {known}"))
    };
    let at = text.find(['=', '~']).ok_or_else(refuse)?;
    let name = text[..at].trim();
    let (_, field) = FIELDS.into_iter().find(|(known, _)| *known == name).ok_or_else(refuse)?;
    let contains = text.as_bytes()[at] == b'~';
    let wanted = text[at + 1..].trim();
    if wanted == "AND" || wanted.ends_with(" AND") {
        return Err(refuse());
    }
    Ok(Condition { field, contains, text: if contains { wanted.to_lowercase() } else { wanted.to_owned() } })
}

impl Condition {
    fn matches(&self, tag: &Tag) -> bool {
        let definition = &tag.definition;
        let source = definition.source.as_ref();
        let found = match self.field {
            Field::Any => {
                let device = source.map_or("", |source| &source.device);
                let address = source.map_or("", |source| &source.address);
                let texts = [definition.name.as_str(), &definition.unit, &definition.description, device, address];
                return texts.into_iter().any(|text| self.holds(text));
            }
            Field::Name => definition.name.as_str(),
            Field::Type => definition.value_type.as_str(),
            Field::Unit => &definition.unit,
            Field::Description => &definition.description,
            Field::Stepped => ["false", "true"][usize::from(definition.stepped)],
            Field::Device => source.map_or("", |source| &source.device),
            Field::Address => source.map_or("", |source| &source.address),
        };
        self.holds(found)
    }

    fn holds(&self, found: &str) -> bool {
        match (self.contains, found.is_ascii()) {
            (false, _) => found == self.text,
            // A list of many tags is looked through while somebody types.
            (true, true) => contains_ascii(found.as_bytes(), self.text.as_bytes()),
            (true, false) => found.to_lowercase().contains(&self.text),
        }
    }
}

/// Whether a text of ASCII has another one in it, which is in lower case.
fn contains_ascii(text: &[u8], lower: &[u8]) -> bool {
    lower.is_empty() || text.windows(lower.len()).any(|window| window.eq_ignore_ascii_case(lower))
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{TagDefinition, TagId, TagName, Timestamp, ValueType, tag::TagSource};

    fn tag() -> Tag {
        let mut definition = TagDefinition::new(TagName::new("a/p").unwrap(), ValueType::F64);
        definition.unit = "bar".into();
        definition.description = "Steam pressure".into();
        definition.source = Some(TagSource { device: "plc".into(), address: "holding:1".into() });
        Tag { id: TagId(1), definition, created: Timestamp(0), updated: Timestamp(0) }
    }

    #[test]
    fn conditions_hold_together() {
        for (text, expected) in [
            ("", true),
            ("unit=bar", true),
            ("unit=ba", false),
            ("unit = bar AND description~steam", true),
            ("unit=bar AND description~water", false),
            ("device=plc AND address~HOLDING AND type=f64 AND stepped=false AND name~/p", true),
            ("device=", false),
            ("any~STEAM AND any~bar AND any~plc AND any~holding", true),
            ("any~steam AND any~water", false),
            ("any=bar", true),
            ("any~", true),
            ("any~\u{e4}", false),
        ] {
            assert_eq!(Filter::parse(text).unwrap().matches(&tag()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_named() {
        for text in ["unit", "colour=red", "unit=bar AND ", "=x"] {
            assert!(Filter::parse(text).unwrap_err().message().starts_with("filter"), "{text}");
        }
        assert!(Filter::parse(&"unit=a AND ".repeat(1000)).is_err());
    }
}
