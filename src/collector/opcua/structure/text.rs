//! A value as JSON, written while it is decoded and never longer than it may be.
//!
//! The form is the compact one of OPC 10000-6, 5.4, in these points: fields in the order of the definition, those that are not in the
//! value left out, 64-bit integers as texts, `NaN` and `Infinity` as texts, byte strings as base64, enumerations as numbers. Times,
//! identifiers, names and status codes are the texts that a tag of type `string` has of them.

use opcua::types::Variant;

use super::untaken::UntakenField;
use crate::convert;
use historian_model::Quality;

/// What is written so far.
#[derive(Debug)]
pub struct JsonText {
    written: String,
    bytes_max: usize,
}

impl JsonText {
    pub fn new(bytes_max: usize) -> JsonText {
        JsonText { written: String::new(), bytes_max }
    }

    pub fn into_text(self) -> String {
        self.written
    }

    /// # Errors
    /// The text would be longer than it may be.
    pub fn push(&mut self, piece: &str) -> Result<(), UntakenField> {
        if self.written.len().saturating_add(piece.len()) > self.bytes_max {
            let why = format!("the structure is longer as a text than text_bytes_max = {} allows", self.bytes_max);
            return Err(UntakenField::new(Quality::BAD_ENCODING_LIMITS_EXCEEDED, why));
        }
        self.written.push_str(piece);
        Ok(())
    }

    /// A text in quotation marks.
    pub fn quote(&mut self, text: &str) -> Result<(), UntakenField> {
        self.push("\"")?;
        let mut rest = text;
        while let Some(at) = rest.find(|letter: char| matches!(letter, '"' | '\\') || letter < ' ') {
            let (plain, behind) = rest.split_at(at);
            self.push(plain)?;
            // What is found is one byte long.
            let (letter, behind) = behind.split_at(1);
            match letter {
                "\"" | "\\" => {
                    self.push("\\")?;
                    self.push(letter)?;
                }
                "\n" => self.push("\\n")?,
                "\r" => self.push("\\r")?,
                "\t" => self.push("\\t")?,
                other => self.push(&format!("\\u{:04x}", other.as_bytes().first().copied().unwrap_or_default()))?,
            }
            rest = behind;
        }
        self.push(rest)?;
        self.push("\"")
    }

    /// A value of a built-in type.
    pub fn value(&mut self, value: &Variant) -> Result<(), UntakenField> {
        match value {
            Variant::Boolean(value) => self.push(if *value { "true" } else { "false" }),
            Variant::SByte(value) => self.push(&value.to_string()),
            Variant::Byte(value) => self.push(&value.to_string()),
            Variant::Int16(value) => self.push(&value.to_string()),
            Variant::UInt16(value) => self.push(&value.to_string()),
            Variant::Int32(value) => self.push(&value.to_string()),
            Variant::UInt32(value) => self.push(&value.to_string()),
            Variant::Int64(value) => self.quote(&value.to_string()),
            Variant::UInt64(value) => self.quote(&value.to_string()),
            // The shortest digits that are this number.
            Variant::Float(value) if value.is_finite() => self.push(&format!("{value:?}")),
            Variant::Double(value) if value.is_finite() => self.push(&format!("{value:?}")),
            Variant::Float(value) => self.quote(beyond(f64::from(*value))),
            Variant::Double(value) => self.quote(beyond(*value)),
            Variant::String(text) if text.is_null() => self.push("null"),
            Variant::ByteString(bytes) if bytes.is_null() => self.push("null"),
            Variant::LocalizedText(text) if text.text.is_null() => self.push("null"),
            other => match convert::text(other) {
                Some(text) => self.quote(&text),
                None => self.push("null"),
            },
        }
    }
}

/// The name of what is no number of JSON.
fn beyond(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json_and_no_longer_than_it_may_be() {
        let of = |value: Variant| {
            let mut text = JsonText::new(100);
            text.value(&value).map(|()| text.into_text())
        };
        for (value, expected) in [
            (Variant::from("a\"b\\c\n\u{1}ü"), r#""a\"b\\c\n\u0001ü""#),
            (Variant::String(opcua::types::UAString::null()), "null"),
            (Variant::from(""), r#""""#),
            (Variant::UInt64(u64::MAX), r#""18446744073709551615""#),
            (Variant::Int32(-3), "-3"),
            (Variant::Double(0.1), "0.1"),
            (Variant::Double(1e300), "1e300"),
            (Variant::Double(-0.0), "-0.0"),
            (Variant::Float(0.1), "0.1"),
            (Variant::Float(f32::NAN), r#""NaN""#),
            (Variant::Double(f64::NEG_INFINITY), r#""-Infinity""#),
            (Variant::Boolean(false), "false"),
        ] {
            assert_eq!(of(value).unwrap(), expected);
        }
        assert_eq!(of(Variant::from("x".repeat(98))).unwrap().len(), 100);
        assert_eq!(of(Variant::from("x".repeat(99))).unwrap_err().quality, Quality::BAD_ENCODING_LIMITS_EXCEEDED);
    }
}
