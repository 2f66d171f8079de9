//! How a value lies in registers, and which value types each format fits.

use std::{fmt, str::FromStr};

use super::bit_field::BitField;
use historian_collector::not_available::RawKind;
use historian_model::ValueType;

/// Longest string in registers, as long as the longest answer.
pub const STRING_REGISTERS_MAX: u16 = 125;

/// Formats with a name of their own, as they are told in messages.
const NAMED: &[(&str, RegisterFormat)] = &[
    ("u16", RegisterFormat::U16),
    ("i16", RegisterFormat::I16),
    ("u32", RegisterFormat::U32),
    ("i32", RegisterFormat::I32),
    ("u48", RegisterFormat::U48),
    ("i48", RegisterFormat::I48),
    ("u64", RegisterFormat::U64),
    ("i64", RegisterFormat::I64),
    ("f16", RegisterFormat::F16),
    ("f32", RegisterFormat::F32),
    ("f64", RegisterFormat::F64),
    ("u8-low", RegisterFormat::U8Low),
    ("u8-high", RegisterFormat::U8High),
    ("i8-low", RegisterFormat::I8Low),
    ("i8-high", RegisterFormat::I8High),
    ("bcd16", RegisterFormat::Bcd(1)),
    ("bcd32", RegisterFormat::Bcd(2)),
    ("bcd48", RegisterFormat::Bcd(3)),
    ("bcd64", RegisterFormat::Bcd(4)),
    ("m10k32", RegisterFormat::M10k(2)),
    ("m10k48", RegisterFormat::M10k(3)),
    ("m10k64", RegisterFormat::M10k(4)),
    ("unix32", RegisterFormat::Time(TimeFormat::Unix32)),
    ("unix64", RegisterFormat::Time(TimeFormat::Unix64)),
    ("unix64-ms", RegisterFormat::Time(TimeFormat::Unix64Ms)),
    ("date-time:3", RegisterFormat::Time(TimeFormat::Bytes)),
    ("date-time:4", RegisterFormat::Time(TimeFormat::Iec)),
    ("date-time:6", RegisterFormat::Time(TimeFormat::Words)),
    ("ipv4", RegisterFormat::Network(NetworkFormat::Ipv4)),
    ("ipv6", RegisterFormat::Network(NetworkFormat::Ipv6)),
    ("eui48", RegisterFormat::Network(NetworkFormat::Eui48)),
];

/// Formats of texts, whose name ends with the number of registers.
const TEXTS: &[(&str, CharacterFormat)] = &[
    ("string", CharacterFormat::Bytes),
    ("string-low", CharacterFormat::LowBytes),
    ("string-high", CharacterFormat::HighBytes),
    ("characters", CharacterFormat::Characters),
];

/// What others call our formats, in lower case.
const MEANT: &[(&str, &[&str])] = &[
    ("u16", &["uint16", "uint", "word", "unsigned", "ushort"]),
    ("i16", &["int16", "int", "short", "s16", "signed"]),
    ("u32", &["uint32", "udint", "dword", "ulong", "acc32"]),
    ("i32", &["int32", "dint", "long", "s32"]),
    ("u48", &["uint48"]),
    ("i48", &["int48", "s48"]),
    ("u64", &["uint64", "ulint", "lword", "qword", "acc64"]),
    ("i64", &["int64", "lint", "s64"]),
    ("f16", &["float16", "half"]),
    ("f32", &["float32", "float", "real", "single"]),
    ("f64", &["float64", "double", "lreal"]),
    ("u8-low", &["u8", "u8l", "uint8", "uint8l", "byte"]),
    ("u8-high", &["u8h", "uint8h"]),
    ("i8-low", &["i8", "i8l", "int8", "int8l", "s8"]),
    ("i8-high", &["i8h", "int8h"]),
    ("bcd16", &["bcd", "bcd4"]),
    ("bcd32", &["bcd8", "lbcd"]),
    ("unix32", &["unix", "epoch", "timestamp", "utc32"]),
    ("bool", &["boolean", "bits", "coil"]),
    ("string:8", &["string", "text", "ascii", "char", "str", "varchar"]),
];

/// Format of one value in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterFormat {
    /// A coil or discrete input.
    Bool,
    /// Some of the bits of an unsigned number.
    Bits(BitField),
    U8Low,
    U8High,
    I8Low,
    I8High,
    U16,
    I16,
    U32,
    I32,
    U48,
    I48,
    U64,
    I64,
    F16,
    F32,
    F64,
    /// Four decimal digits in each of that many registers.
    Bcd(u8),
    /// -9999 to 9999 in each of that many registers, the digits of a number to the base of 10,000; all of one sign.
    M10k(u8),
    /// A time, as milliseconds since 1970.
    Time(TimeFormat),
    /// An address of a network, as text.
    Network(NetworkFormat),
    /// Text in that many registers.
    Text(CharacterFormat, u16),
}

/// How a time lies in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Seconds since 1970 in two registers.
    Unix32,
    /// Seconds since 1970 in four registers.
    Unix64,
    /// Milliseconds since 1970 in four registers.
    Unix64Ms,
    /// A byte each in three registers: year and month, day and hour, minute and second.
    Bytes,
    /// Four registers after IEC 870-5-4: year; month and day; hour and minute; milliseconds of the minute.
    Iec,
    /// A register each: year, month, day, hour, minute, second.
    Words,
}

/// Kind of a network address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFormat {
    Ipv4,
    Ipv6,
    /// Two unused bytes, then the six of the address.
    Eui48,
}

/// How characters lie in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharacterFormat {
    /// Two bytes each, or one where one byte of every register is empty.
    Bytes,
    /// One byte each, the lower one, whatever the upper one holds.
    LowBytes,
    /// One byte each, the upper one, whatever the lower one holds.
    HighBytes,
    /// One character of UTF-16 each.
    Characters,
}

impl RegisterFormat {
    /// Registers (or bits, for [`RegisterFormat::Bool`]) that a value takes.
    pub const fn registers(self) -> u16 {
        match self {
            RegisterFormat::U32
            | RegisterFormat::I32
            | RegisterFormat::F32
            | RegisterFormat::Time(TimeFormat::Unix32)
            | RegisterFormat::Network(NetworkFormat::Ipv4) => 2,
            RegisterFormat::U48 | RegisterFormat::I48 | RegisterFormat::Time(TimeFormat::Bytes) => 3,
            RegisterFormat::U64
            | RegisterFormat::I64
            | RegisterFormat::F64
            | RegisterFormat::Time(TimeFormat::Unix64 | TimeFormat::Unix64Ms | TimeFormat::Iec)
            | RegisterFormat::Network(NetworkFormat::Eui48) => 4,
            RegisterFormat::Time(TimeFormat::Words) => 6,
            RegisterFormat::Network(NetworkFormat::Ipv6) => 8,
            RegisterFormat::Bits(field) => field.registers as u16,
            RegisterFormat::Bcd(registers) | RegisterFormat::M10k(registers) => registers as u16,
            RegisterFormat::Text(_, registers) => registers,
            _ => 1,
        }
    }

    /// Value type of a tag that does not ask for another one.
    pub const fn natural_type(self) -> ValueType {
        match self {
            RegisterFormat::Bool => ValueType::Bool,
            RegisterFormat::Bits(field) if field.width() == 1 => ValueType::Bool,
            RegisterFormat::Bits(_)
            | RegisterFormat::U8Low
            | RegisterFormat::U8High
            | RegisterFormat::U16
            | RegisterFormat::U32
            | RegisterFormat::U48
            | RegisterFormat::U64
            | RegisterFormat::Bcd(_) => ValueType::U64,
            RegisterFormat::I8Low
            | RegisterFormat::I8High
            | RegisterFormat::I16
            | RegisterFormat::I32
            | RegisterFormat::I48
            | RegisterFormat::I64
            | RegisterFormat::M10k(_)
            | RegisterFormat::Time(_) => ValueType::I64,
            RegisterFormat::F16 | RegisterFormat::F32 => ValueType::F32,
            RegisterFormat::F64 => ValueType::F64,
            RegisterFormat::Network(_) | RegisterFormat::Text(..) => ValueType::String,
        }
    }

    /// True when every value of the format can be kept in the type without loss, or the type is f64, for which loss is accepted, or bool
    /// for several bits, which is whether any of them is set.
    pub const fn fits(self, value_type: ValueType) -> bool {
        let (natural, bits) = (self.natural_type(), self.significant_bits());
        match value_type {
            ValueType::F64 => !matches!(natural, ValueType::String),
            ValueType::F32 => matches!(natural, ValueType::F32) || (!matches!(natural, ValueType::String | ValueType::F64) && bits <= 24),
            ValueType::I64 => matches!(natural, ValueType::I64 | ValueType::Bool) || (matches!(natural, ValueType::U64) && bits < 64),
            ValueType::U64 => matches!(natural, ValueType::U64 | ValueType::Bool),
            ValueType::State => matches!(natural, ValueType::Bool) || (matches!(natural, ValueType::U64) && bits <= 32),
            ValueType::Bool => matches!(natural, ValueType::Bool) || self.is_bits(),
            ValueType::String => matches!(natural, ValueType::String),
        }
    }

    const fn significant_bits(self) -> u32 {
        match self {
            RegisterFormat::Bool => 1,
            RegisterFormat::Bits(field) => field.width(),
            RegisterFormat::U8Low | RegisterFormat::U8High | RegisterFormat::I8Low | RegisterFormat::I8High => 8,
            // 9999, 99,999,999 and so on.
            RegisterFormat::Bcd(registers) => [14, 27, 40, 54][registers as usize - 1],
            RegisterFormat::Network(_) | RegisterFormat::Text(..) => 0,
            RegisterFormat::Time(_) => 64,
            _ => self.registers() as u32 * 16,
        }
    }

    /// True when scale and offset make sense.
    pub const fn is_number(self) -> bool {
        match self {
            RegisterFormat::Bits(field) => field.width() > 1,
            RegisterFormat::Bool | RegisterFormat::Time(_) | RegisterFormat::Network(_) | RegisterFormat::Text(..) => false,
            _ => true,
        }
    }

    /// True for numbers without a fraction.
    pub const fn is_integer(self) -> bool {
        self.is_number() && matches!(self.natural_type(), ValueType::I64 | ValueType::U64)
    }

    /// Kind of the number that the registers hold as a whole; `None` for coils, texts and what is no number.
    pub const fn raw_kind(self) -> Option<RawKind> {
        Some(match self {
            RegisterFormat::Bool | RegisterFormat::Network(_) | RegisterFormat::Text(..) | RegisterFormat::Time(TimeFormat::Words) => {
                return None;
            }
            RegisterFormat::U8Low | RegisterFormat::U8High => RawKind::U8,
            RegisterFormat::I8Low | RegisterFormat::I8High => RawKind::I8,
            RegisterFormat::I16 => RawKind::I16,
            RegisterFormat::I32 => RawKind::I32,
            RegisterFormat::I48 => RawKind::I48,
            RegisterFormat::I64 => RawKind::I64,
            RegisterFormat::F16 => RawKind::F16,
            RegisterFormat::F32 => RawKind::F32,
            RegisterFormat::F64 => RawKind::F64,
            _ => match self.registers() {
                1 => RawKind::U16,
                2 => RawKind::U32,
                3 => RawKind::U48,
                _ => RawKind::U64,
            },
        })
    }

    /// True for characters, whose registers are in order unless their tag says otherwise.
    pub const fn is_text(self) -> bool {
        matches!(self, RegisterFormat::Text(..))
    }

    /// True for some of the bits of a number.
    pub const fn is_bits(self) -> bool {
        matches!(self, RegisterFormat::Bits(_))
    }

    /// True for a part of a number, which may share its registers with other parts and with the whole.
    pub const fn is_part(self) -> bool {
        matches!(
            self,
            RegisterFormat::Bits(_) | RegisterFormat::U8Low | RegisterFormat::U8High | RegisterFormat::I8Low | RegisterFormat::I8High
        )
    }

    /// True for whole integers, in whose registers single bits and bytes have a meaning of their own.
    pub const fn is_whole_integer(self) -> bool {
        matches!(
            self,
            RegisterFormat::U16
                | RegisterFormat::I16
                | RegisterFormat::U32
                | RegisterFormat::I32
                | RegisterFormat::U48
                | RegisterFormat::I48
                | RegisterFormat::U64
                | RegisterFormat::I64
                | RegisterFormat::Bcd(_)
        )
    }

    /// Format in registers that a value type alone stands for.
    pub const fn of_type(value_type: ValueType) -> Option<RegisterFormat> {
        match value_type {
            ValueType::F64 => Some(RegisterFormat::F64),
            ValueType::F32 => Some(RegisterFormat::F32),
            ValueType::I64 => Some(RegisterFormat::I64),
            ValueType::U64 => Some(RegisterFormat::U64),
            ValueType::State => Some(RegisterFormat::U16),
            ValueType::Bool | ValueType::String => None,
        }
    }
}

/// Names of all formats, those of texts with `N` for the number of registers.
pub fn names() -> Vec<String> {
    let texts = TEXTS.iter().map(|(name, _)| format!("{name}:N"));
    let mut names: Vec<String> = NAMED.iter().map(|(name, _)| (*name).to_owned()).chain(texts).collect();
    names.push("bool".to_owned());
    names
}

impl FromStr for RegisterFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<RegisterFormat, String> {
        if matches!(text, "bool" | "bit") {
            return Ok(RegisterFormat::Bool);
        }
        if let Some((_, format)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*format);
        }
        let known = text.split_once(':').and_then(|(name, registers)| {
            let (_, format) = TEXTS.iter().find(|(known, _)| *known == name)?;
            Some((*format, registers))
        });
        let Some((format, registers)) = known else {
            let hint = meant(text).map_or(String::new(), |name| format!("; did you mean {name}?"));
            return Err(format!("unknown format {text:?}; known are {}{hint}", names().join(", ")));
        };
        match registers.parse() {
            Ok(registers) if (1..=STRING_REGISTERS_MAX).contains(&registers) => Ok(RegisterFormat::Text(format, registers)),
            _ => Err(format!("format {text:?}: a string has 1 to {STRING_REGISTERS_MAX} registers, as in string:8")),
        }
    }
}

/// Our name of a format that is written as others do, or in capitals.
fn meant(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_lowercase();
    let own = NAMED.iter().map(|(name, _)| *name).find(|name| *name == text);
    let plain = text.replace(['_', '-', ' '], "");
    own.or_else(|| MEANT.iter().find(|(name, others)| *name == text || others.contains(&plain.as_str())).map(|(name, _)| *name))
}

impl fmt::Display for RegisterFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegisterFormat::Bool => f.write_str("bool"),
            RegisterFormat::Bits(field) => field.fmt(f),
            RegisterFormat::Text(format, registers) => {
                let name = TEXTS.iter().find(|(_, known)| known == format).map_or("string", |(name, _)| *name);
                write!(f, "{name}:{registers}")
            }
            format => f.write_str(NAMED.iter().find(|(_, known)| known == format).map_or("?", |(name, _)| *name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use RawKind as Kind;
    use ValueType::{Bool, F32, F64, I64, State, String, U64};

    /// Format, registers, kind of number, natural type, and all types that keep each of its values (or f64): what the documentation promises.
    type Row = (&'static str, u16, Option<Kind>, ValueType, &'static [ValueType]);

    const TABLE: &[Row] = &[
        ("bool", 1, None, Bool, &[F64, F32, I64, U64, State, Bool]),
        ("u8-low", 1, Some(Kind::U8), U64, &[F64, F32, I64, U64, State]),
        ("u8-high", 1, Some(Kind::U8), U64, &[F64, F32, I64, U64, State]),
        ("i8-low", 1, Some(Kind::I8), I64, &[F64, F32, I64]),
        ("i8-high", 1, Some(Kind::I8), I64, &[F64, F32, I64]),
        ("u16", 1, Some(Kind::U16), U64, &[F64, F32, I64, U64, State]),
        ("i16", 1, Some(Kind::I16), I64, &[F64, F32, I64]),
        ("u32", 2, Some(Kind::U32), U64, &[F64, I64, U64, State]),
        ("i32", 2, Some(Kind::I32), I64, &[F64, I64]),
        ("u48", 3, Some(Kind::U48), U64, &[F64, I64, U64]),
        ("i48", 3, Some(Kind::I48), I64, &[F64, I64]),
        ("u64", 4, Some(Kind::U64), U64, &[F64, U64]),
        ("i64", 4, Some(Kind::I64), I64, &[F64, I64]),
        ("f16", 1, Some(Kind::F16), F32, &[F64, F32]),
        ("f32", 2, Some(Kind::F32), F32, &[F64, F32]),
        ("f64", 4, Some(Kind::F64), F64, &[F64]),
        ("bcd16", 1, Some(Kind::U16), U64, &[F64, F32, I64, U64, State]),
        ("bcd32", 2, Some(Kind::U32), U64, &[F64, I64, U64, State]),
        ("bcd48", 3, Some(Kind::U48), U64, &[F64, I64, U64]),
        ("bcd64", 4, Some(Kind::U64), U64, &[F64, I64, U64]),
        ("m10k32", 2, Some(Kind::U32), I64, &[F64, I64]),
        ("m10k48", 3, Some(Kind::U48), I64, &[F64, I64]),
        ("m10k64", 4, Some(Kind::U64), I64, &[F64, I64]),
        ("unix32", 2, Some(Kind::U32), I64, &[F64, I64]),
        ("unix64", 4, Some(Kind::U64), I64, &[F64, I64]),
        ("unix64-ms", 4, Some(Kind::U64), I64, &[F64, I64]),
        ("date-time:3", 3, Some(Kind::U48), I64, &[F64, I64]),
        ("date-time:4", 4, Some(Kind::U64), I64, &[F64, I64]),
        ("date-time:6", 6, None, I64, &[F64, I64]),
        ("ipv4", 2, None, String, &[String]),
        ("ipv6", 8, None, String, &[String]),
        ("eui48", 4, None, String, &[String]),
        ("string:1", 1, None, String, &[String]),
        ("string:125", 125, None, String, &[String]),
        ("string-low:3", 3, None, String, &[String]),
        ("string-high:3", 3, None, String, &[String]),
        ("characters:8", 8, None, String, &[String]),
    ];

    #[test]
    fn every_format_is_what_the_table_says() {
        for (text, registers, kind, natural, fitting) in TABLE {
            let format: RegisterFormat = text.parse().unwrap();
            assert_eq!(format.to_string(), *text);
            assert_eq!((format.registers(), format.raw_kind(), format.natural_type()), (*registers, *kind, *natural), "{text}");
            for value_type in ValueType::ALL {
                assert_eq!(format.fits(value_type), fitting.contains(&value_type), "{text} as {value_type}");
            }
            let is_time = text.starts_with("unix") || text.starts_with("date");
            assert_eq!(format.is_number(), ![Bool, String].contains(natural) && !is_time, "{text}");
            assert_eq!(format.is_integer(), [I64, U64].contains(natural) && !is_time, "{text}");
            let (whole, part) = match text.as_bytes() {
                [b'u' | b'i', b'1' | b'3' | b'4' | b'6', ..] | [b'b', b'c', b'd', ..] => (true, false),
                [b'u' | b'i', b'8', ..] => (false, true),
                _ => (false, false),
            };
            assert_eq!((format.is_whole_integer(), format.is_part()), (whole, part), "{text}");
            assert_eq!(format.is_text(), text.starts_with("string") || text.starts_with("characters"), "{text}");
        }
        let told: Vec<std::string::String> = names();
        for name in told.iter().map(|name| name.replace(":N", ":125")) {
            let listed = TABLE.iter().any(|(text, ..)| text.split(':').next() == name.split(':').next());
            assert!(name.parse::<RegisterFormat>().is_ok() && listed, "{name} is told, and {listed} in the table");
        }
        assert_eq!("bit".parse(), Ok(RegisterFormat::Bool));
        for text in
            ["string:0", "string:126", "characters:0", "string-low:", "string:", "text:8", "string", "U16", "bcd", "date-time:5", ""]
        {
            assert!(text.parse::<RegisterFormat>().is_err(), "{text}");
        }
        let of_type = [
            (F64, Some("f64")),
            (F32, Some("f32")),
            (I64, Some("i64")),
            (U64, Some("u64")),
            (State, Some("u16")),
            (Bool, None),
            (String, None),
        ];
        for (value_type, text) in of_type {
            assert_eq!(RegisterFormat::of_type(value_type).map(|format| format.to_string()).as_deref(), text, "{value_type}");
        }
    }

    #[test]
    fn bits_of_a_number_are_a_bool_or_an_unsigned_number() {
        for (registers, first, last, natural, fitting) in [
            (1, 15, 15, Bool, &[F64, F32, I64, U64, State, Bool][..]),
            (1, 4, 7, U64, &[F64, F32, I64, U64, State, Bool]),
            (2, 0, 24, U64, &[F64, I64, U64, State, Bool]),
            (4, 0, 63, U64, &[F64, U64, Bool]),
        ] {
            let format = RegisterFormat::Bits(BitField::new(registers, first, last).unwrap());
            assert_eq!((format.registers(), format.natural_type()), (registers, natural), "{format}");
            for value_type in ValueType::ALL {
                assert_eq!(format.fits(value_type), fitting.contains(&value_type), "{format} as {value_type}");
            }
            assert_eq!((format.is_number(), format.is_part(), format.is_bits()), (natural == U64, true, true));
        }
    }

    #[test]
    fn what_others_call_a_format_is_answered_with_our_name() {
        for (text, meant) in [
            ("FLOAT32", "f32"),
            ("Float", "f32"),
            ("UINT16", "u16"),
            ("U16", "u16"),
            ("int_16", "i16"),
            ("DATE-TIME:4", "date-time:4"),
            ("string", "string:8"),
            ("bcd", "bcd16"),
            ("BOOLEAN", "bool"),
        ] {
            let error = text.parse::<RegisterFormat>().unwrap_err();
            assert!(error.ends_with(&format!("; did you mean {meant}?")), "{error}");
        }
        assert!(!"u24".parse::<RegisterFormat>().unwrap_err().contains("did you mean"));
        for (name, _) in MEANT {
            assert!(name.parse::<RegisterFormat>().is_ok(), "{name}");
        }
    }
}
