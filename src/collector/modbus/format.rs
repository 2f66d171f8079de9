//! How a value lies in registers: format and word order, and which value types each format fits.

use std::{fmt, str::FromStr};

use historian_collector::not_available::RawKind;
use historian_model::ValueType;

/// Longest string in registers, as long as the longest answer.
pub const STRING_REGISTERS_MAX: u16 = 125;

/// Names for messages.
pub const FORMATS: &str = "u16, i16, u32, i32, u64, i64, f16, f32, f64, u8-low, u8-high, i8-low, i8-high, string:N (N registers), \
     characters:N (one in each of N registers), and bool for bits";

/// Format of one value in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterFormat {
    /// A coil or discrete input.
    Bool,
    /// One bit of a register, 0 the least significant.
    Bit(u8),
    U8Low,
    U8High,
    I8Low,
    I8High,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
    /// Text in that many registers, two bytes each, ended by the first NUL.
    String(u16),
    /// Text in that many registers, one character each.
    Characters(u16),
}

impl RegisterFormat {
    /// Registers (or bits, for [`RegisterFormat::Bool`]) that a value takes.
    pub const fn registers(self) -> u16 {
        match self {
            RegisterFormat::U32 | RegisterFormat::I32 | RegisterFormat::F32 => 2,
            RegisterFormat::U64 | RegisterFormat::I64 | RegisterFormat::F64 => 4,
            RegisterFormat::String(registers) | RegisterFormat::Characters(registers) => registers,
            _ => 1,
        }
    }

    /// Value type of a tag that does not ask for another one.
    pub const fn natural_type(self) -> ValueType {
        match self {
            RegisterFormat::Bool | RegisterFormat::Bit(_) => ValueType::Bool,
            RegisterFormat::U8Low | RegisterFormat::U8High | RegisterFormat::U16 | RegisterFormat::U32 | RegisterFormat::U64 => {
                ValueType::U64
            }
            RegisterFormat::I8Low | RegisterFormat::I8High | RegisterFormat::I16 | RegisterFormat::I32 | RegisterFormat::I64 => {
                ValueType::I64
            }
            RegisterFormat::F16 | RegisterFormat::F32 => ValueType::F32,
            RegisterFormat::F64 => ValueType::F64,
            RegisterFormat::String(_) | RegisterFormat::Characters(_) => ValueType::String,
        }
    }

    /// True when every value of the format can be kept in the type without loss, or the type is f64, for which loss is accepted.
    pub const fn fits(self, value_type: ValueType) -> bool {
        let (natural, bits) = (self.natural_type(), self.significant_bits());
        match value_type {
            ValueType::F64 => !matches!(natural, ValueType::String),
            ValueType::F32 => matches!(natural, ValueType::F32) || (!matches!(natural, ValueType::String | ValueType::F64) && bits <= 24),
            ValueType::I64 => matches!(natural, ValueType::I64 | ValueType::Bool) || (matches!(natural, ValueType::U64) && bits < 64),
            ValueType::U64 => matches!(natural, ValueType::U64 | ValueType::Bool),
            ValueType::State => matches!(natural, ValueType::Bool) || (matches!(natural, ValueType::U64) && bits <= 32),
            ValueType::Bool => matches!(natural, ValueType::Bool),
            ValueType::String => matches!(natural, ValueType::String),
        }
    }

    const fn significant_bits(self) -> u32 {
        match self {
            RegisterFormat::Bool | RegisterFormat::Bit(_) => 1,
            RegisterFormat::U8Low | RegisterFormat::U8High | RegisterFormat::I8Low | RegisterFormat::I8High => 8,
            RegisterFormat::String(_) | RegisterFormat::Characters(_) => 0,
            _ => self.registers() as u32 * 16,
        }
    }

    /// True when scale and offset make sense.
    pub const fn is_number(self) -> bool {
        self.raw_kind().is_some()
    }

    /// Kind of number that the registers hold; `None` for bits and texts.
    pub const fn raw_kind(self) -> Option<RawKind> {
        Some(match self {
            RegisterFormat::Bool | RegisterFormat::Bit(_) | RegisterFormat::String(_) | RegisterFormat::Characters(_) => return None,
            RegisterFormat::U8Low | RegisterFormat::U8High => RawKind::U8,
            RegisterFormat::I8Low | RegisterFormat::I8High => RawKind::I8,
            RegisterFormat::U16 => RawKind::U16,
            RegisterFormat::I16 => RawKind::I16,
            RegisterFormat::U32 => RawKind::U32,
            RegisterFormat::I32 => RawKind::I32,
            RegisterFormat::U64 => RawKind::U64,
            RegisterFormat::I64 => RawKind::I64,
            RegisterFormat::F16 => RawKind::F16,
            RegisterFormat::F32 => RawKind::F32,
            RegisterFormat::F64 => RawKind::F64,
        })
    }

    /// True for texts, whose registers are always in order.
    pub const fn is_text(self) -> bool {
        matches!(self, RegisterFormat::String(_) | RegisterFormat::Characters(_))
    }

    /// True for a part of one register, which may share it with other parts and with the whole.
    pub const fn is_part(self) -> bool {
        matches!(
            self,
            RegisterFormat::Bit(_) | RegisterFormat::U8Low | RegisterFormat::U8High | RegisterFormat::I8Low | RegisterFormat::I8High
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
                | RegisterFormat::U64
                | RegisterFormat::I64
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

impl FromStr for RegisterFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<RegisterFormat, String> {
        Ok(match text {
            "bool" | "bit" => RegisterFormat::Bool,
            "u8-low" => RegisterFormat::U8Low,
            "u8-high" => RegisterFormat::U8High,
            "i8-low" => RegisterFormat::I8Low,
            "i8-high" => RegisterFormat::I8High,
            "u16" => RegisterFormat::U16,
            "i16" => RegisterFormat::I16,
            "u32" => RegisterFormat::U32,
            "i32" => RegisterFormat::I32,
            "u64" => RegisterFormat::U64,
            "i64" => RegisterFormat::I64,
            "f16" => RegisterFormat::F16,
            "f32" => RegisterFormat::F32,
            "f64" => RegisterFormat::F64,
            _ => {
                let (make, registers): (fn(u16) -> RegisterFormat, _) = match text.split_once(':') {
                    Some(("string", registers)) => (RegisterFormat::String, registers),
                    Some(("characters", registers)) => (RegisterFormat::Characters, registers),
                    _ => return Err(format!("unknown format {text:?}; known are {FORMATS}")),
                };
                match registers.parse() {
                    Ok(registers) if (1..=STRING_REGISTERS_MAX).contains(&registers) => make(registers),
                    _ => return Err(format!("format {text:?}: a string has 1 to {STRING_REGISTERS_MAX} registers, as in string:8")),
                }
            }
        })
    }
}

impl fmt::Display for RegisterFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RegisterFormat::Bool => "bool",
            RegisterFormat::Bit(bit) => return write!(f, "bit {bit}"),
            RegisterFormat::U8Low => "u8-low",
            RegisterFormat::U8High => "u8-high",
            RegisterFormat::I8Low => "i8-low",
            RegisterFormat::I8High => "i8-high",
            RegisterFormat::U16 => "u16",
            RegisterFormat::I16 => "i16",
            RegisterFormat::U32 => "u32",
            RegisterFormat::I32 => "i32",
            RegisterFormat::U64 => "u64",
            RegisterFormat::I64 => "i64",
            RegisterFormat::F16 => "f16",
            RegisterFormat::F32 => "f32",
            RegisterFormat::F64 => "f64",
            RegisterFormat::String(registers) => return write!(f, "string:{registers}"),
            RegisterFormat::Characters(registers) => return write!(f, "characters:{registers}"),
        })
    }
}

/// Order of the bytes of a value on the wire, most significant `A`. For four registers the pattern goes on: `CDAB` is all words reversed,
/// `BADC` the bytes of every word swapped, `DCBA` everything reversed. One register knows only whether its bytes are swapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WordOrder {
    #[default]
    Abcd,
    Cdab,
    Badc,
    Dcba,
}

impl WordOrder {
    pub const ALL: [WordOrder; 4] = [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba];

    pub const fn as_str(self) -> &'static str {
        match self {
            WordOrder::Abcd => "ABCD",
            WordOrder::Cdab => "CDAB",
            WordOrder::Badc => "BADC",
            WordOrder::Dcba => "DCBA",
        }
    }

    pub const fn words_reversed(self) -> bool {
        matches!(self, WordOrder::Cdab | WordOrder::Dcba)
    }

    pub const fn bytes_swapped(self) -> bool {
        matches!(self, WordOrder::Badc | WordOrder::Dcba)
    }
}

impl FromStr for WordOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<WordOrder, String> {
        WordOrder::ALL
            .into_iter()
            .find(|order| order.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("unknown word order {text:?}; known are ABCD, CDAB, BADC, DCBA"))
    }
}

impl fmt::Display for WordOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use RawKind as Kind;
    use ValueType::{Bool, F32, F64, I64, State, String, U64};

    /// Format, registers, kind of number, natural type, and all types that keep each of its values (or f64): what the documentation promises.
    type Row = (RegisterFormat, &'static str, u16, Option<Kind>, ValueType, &'static [ValueType]);

    const TABLE: [Row; 18] = [
        (RegisterFormat::Bool, "bool", 1, None, Bool, &[F64, F32, I64, U64, State, Bool]),
        (RegisterFormat::Bit(15), "bit 15", 1, None, Bool, &[F64, F32, I64, U64, State, Bool]),
        (RegisterFormat::U8Low, "u8-low", 1, Some(Kind::U8), U64, &[F64, F32, I64, U64, State]),
        (RegisterFormat::U8High, "u8-high", 1, Some(Kind::U8), U64, &[F64, F32, I64, U64, State]),
        (RegisterFormat::I8Low, "i8-low", 1, Some(Kind::I8), I64, &[F64, F32, I64]),
        (RegisterFormat::I8High, "i8-high", 1, Some(Kind::I8), I64, &[F64, F32, I64]),
        (RegisterFormat::U16, "u16", 1, Some(Kind::U16), U64, &[F64, F32, I64, U64, State]),
        (RegisterFormat::I16, "i16", 1, Some(Kind::I16), I64, &[F64, F32, I64]),
        (RegisterFormat::U32, "u32", 2, Some(Kind::U32), U64, &[F64, I64, U64, State]),
        (RegisterFormat::I32, "i32", 2, Some(Kind::I32), I64, &[F64, I64]),
        (RegisterFormat::U64, "u64", 4, Some(Kind::U64), U64, &[F64, U64]),
        (RegisterFormat::I64, "i64", 4, Some(Kind::I64), I64, &[F64, I64]),
        (RegisterFormat::F16, "f16", 1, Some(Kind::F16), F32, &[F64, F32]),
        (RegisterFormat::F32, "f32", 2, Some(Kind::F32), F32, &[F64, F32]),
        (RegisterFormat::F64, "f64", 4, Some(Kind::F64), F64, &[F64]),
        (RegisterFormat::String(1), "string:1", 1, None, String, &[String]),
        (RegisterFormat::String(125), "string:125", 125, None, String, &[String]),
        (RegisterFormat::Characters(8), "characters:8", 8, None, String, &[String]),
    ];

    #[test]
    fn every_format_is_what_the_table_says() {
        for (format, text, registers, kind, natural, fitting) in TABLE {
            assert_eq!(format.to_string(), text);
            if !matches!(format, RegisterFormat::Bit(_)) {
                assert_eq!(text.parse(), Ok(format));
            }
            assert_eq!((format.registers(), format.raw_kind(), format.natural_type()), (registers, kind, natural), "{text}");
            assert_eq!(format.is_number(), kind.is_some(), "{text}");
            for value_type in ValueType::ALL {
                assert_eq!(format.fits(value_type), fitting.contains(&value_type), "{text} as {value_type}");
            }
            let (whole, part) = match text.as_bytes() {
                [b'u' | b'i', b'1' | b'3' | b'6', ..] => (true, false),
                [b'u' | b'i', b'8', ..] | b"bit 15" => (false, true),
                _ => (false, false),
            };
            assert_eq!((format.is_whole_integer(), format.is_part()), (whole, part), "{text}");
            assert_eq!(format.is_text(), natural == String, "{text}");
        }
        assert_eq!("bit".parse(), Ok(RegisterFormat::Bool));
        for text in ["string:0", "string:126", "characters:0", "string:", "text:8", "string", "U16", ""] {
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
    fn orders_are_read_in_either_case() {
        for (order, text) in WordOrder::ALL.into_iter().zip(["ABCD", "CDAB", "BADC", "DCBA"]) {
            assert_eq!((order.to_string().as_str(), text.parse(), text.to_lowercase().parse()), (text, Ok(order), Ok(order)));
        }
        assert!("ABDC".parse::<WordOrder>().unwrap_err().contains("ABCD, CDAB"));
    }
}
