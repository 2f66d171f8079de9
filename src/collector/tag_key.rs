//! Keys of a collected tag: static tables from which TOML tables are checked and the columns of tag files made. The common keys are here,
//! those of a protocol in its own crate. One place says what a key is called and what it takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{not_available::NotAvailable, state_set};

/// One key, with the same name in TOML and as a column of a tag file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagKey {
    pub name: &'static str,
    pub kind: TagKeyKind,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKeyKind {
    Text,
    Number,
    /// A whole number from 0.
    Whole,
    Flag,
    /// Raw values that mean "no value".
    NotAvailable,
    /// Names of digital states.
    StateSet,
}

/// What was written at a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Text(String),
    Number(f64),
    Whole(u64),
    Flag(bool),
    NotAvailable(NotAvailable),
    StateSet(Vec<String>),
}

/// Keys that the tags of every protocol have, in the order in which they are told.
pub const COMMON: &[TagKey] = &[
    TagKey::text("name"),
    TagKey::text("type"),
    TagKey::text("unit"),
    TagKey::text("description"),
    TagKey::flag("stepped"),
    TagKey::number("range_low"),
    TagKey::number("range_high"),
    TagKey { name: "state_set", kind: TagKeyKind::StateSet },
    RENAMED_FROM,
    FILTER[0],
    FILTER[1],
    FILTER[2],
    FILTER[3],
    FILTER[4],
    FILTER[5],
    FILTER[6],
    ADDRESS,
];

/// Which samples are left out. Distances are in engineering units, or in percent of the tag's range.
pub const FILTER: [TagKey; 7] = [
    TagKey::number("exception_deadband"),
    TagKey::number("exception_deadband_percent"),
    TagKey::whole("exception_min_ms"),
    TagKey::whole("exception_max_ms"),
    TagKey::number("compression_deviation"),
    TagKey::number("compression_deviation_percent"),
    TagKey::whole("compression_max_ms"),
];

/// The name that the tag had before: it is renamed, not made, where the catalog has it under that name still.
pub const RENAMED_FROM: TagKey = TagKey::text("renamed_from");

/// Address in the notation of the protocol.
pub const ADDRESS: TagKey = TagKey::text("address");

/// For protocols that calculate tags from others: each lists it among its own keys.
pub const STORED: TagKey = TagKey::flag("stored");

/// For protocols whose devices send numbers: each lists it among its own keys.
pub const NOT_AVAILABLE: TagKey = TagKey { name: "not_available", kind: TagKeyKind::NotAvailable };

impl TagKey {
    pub const fn text(name: &'static str) -> TagKey {
        TagKey { name, kind: TagKeyKind::Text }
    }

    pub const fn number(name: &'static str) -> TagKey {
        TagKey { name, kind: TagKeyKind::Number }
    }

    pub const fn whole(name: &'static str) -> TagKey {
        TagKey { name, kind: TagKeyKind::Whole }
    }

    pub const fn flag(name: &'static str) -> TagKey {
        TagKey { name, kind: TagKeyKind::Flag }
    }
}

impl TagKeyKind {
    /// Takes what TOML has at the key.
    ///
    /// # Errors
    /// It has another type.
    pub fn read<'de, D: Deserializer<'de>>(self, from: D) -> Result<Setting, D::Error> {
        match self {
            TagKeyKind::Text => String::deserialize(from).map(Setting::Text),
            TagKeyKind::Number => f64::deserialize(from).map(Setting::Number),
            TagKeyKind::Whole => u64::deserialize(from).map(Setting::Whole),
            TagKeyKind::Flag => bool::deserialize(from).map(Setting::Flag),
            TagKeyKind::NotAvailable => NotAvailable::deserialize(from).map(Setting::NotAvailable),
            TagKeyKind::StateSet => state_set::deserialize(from).map(Setting::StateSet),
        }
    }

    /// Takes what a cell of a tag file has.
    ///
    /// # Errors
    /// Why it cannot be meant.
    pub fn cell(self, cell: &str) -> Result<Setting, String> {
        match self {
            TagKeyKind::Text => Ok(Setting::Text(cell.to_owned())),
            TagKeyKind::Number => match cell.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Setting::Number(number)),
                _ if cell.contains(',') => Err(format!("{cell:?} is not a number; the decimal mark is a point")),
                _ => Err(format!("{cell:?} is not a number")),
            },
            TagKeyKind::Whole => cell.parse().map(Setting::Whole).map_err(|_| format!("{cell:?} is not a whole number from 0")),
            TagKeyKind::Flag => match cell.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Setting::Flag(true)),
                "false" | "0" => Ok(Setting::Flag(false)),
                _ => Err(format!("{cell:?} is neither true nor false")),
            },
            TagKeyKind::NotAvailable => cell.parse().map(Setting::NotAvailable),
            TagKeyKind::StateSet => state_set::parse(cell).map(Setting::StateSet),
        }
    }
}

/// What was written at the keys of the tag's protocol, each of the kind that the table of the protocol says.
///
/// The getters answer `None` for a key that is not there, and for one of another kind: a slip in a protocol, which the tests of its keys find.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnKeys(BTreeMap<&'static str, Setting>);

impl OwnKeys {
    pub fn set(&mut self, name: &'static str, setting: Setting) {
        self.0.insert(name, setting);
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        match self.0.get(name)? {
            Setting::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn whole(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Setting::Whole(number) => Some(*number),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Setting::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub fn not_available(&self) -> Option<&NotAvailable> {
        match self.0.get(NOT_AVAILABLE.name)? {
            Setting::NotAvailable(listed) => Some(listed),
            _ => None,
        }
    }
}
