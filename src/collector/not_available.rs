//! Raw values that mean "no value": NaN always, and those that a configuration names. One mechanism for all protocols: what a device says in
//! this way is a Bad sample without a value, never a number that averages swallow.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use historian_model::Quality;

/// Kind of a number as a device sends it, before scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawKind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
}

impl RawKind {
    const ALL: [RawKind; 11] = [
        RawKind::I8,
        RawKind::U8,
        RawKind::I16,
        RawKind::U16,
        RawKind::I32,
        RawKind::U32,
        RawKind::I64,
        RawKind::U64,
        RawKind::F16,
        RawKind::F32,
        RawKind::F64,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            RawKind::I8 => "i8",
            RawKind::U8 => "u8",
            RawKind::I16 => "i16",
            RawKind::U16 => "u16",
            RawKind::I32 => "i32",
            RawKind::U32 => "u32",
            RawKind::I64 => "i64",
            RawKind::U64 => "u64",
            RawKind::F16 => "f16",
            RawKind::F32 => "f32",
            RawKind::F64 => "f64",
        }
    }

    const fn bits(self) -> u32 {
        match self {
            RawKind::I8 | RawKind::U8 => 8,
            RawKind::I16 | RawKind::U16 | RawKind::F16 => 16,
            RawKind::I32 | RawKind::U32 | RawKind::F32 => 32,
            RawKind::I64 | RawKind::U64 | RawKind::F64 => 64,
        }
    }

    const fn is_float(self) -> bool {
        matches!(self, RawKind::F16 | RawKind::F32 | RawKind::F64)
    }

    const fn is_signed(self) -> bool {
        matches!(self, RawKind::I8 | RawKind::I16 | RawKind::I32 | RawKind::I64)
    }
}

/// One raw value that means "no value", as written: `0x8000`, `-32768`, `"nan"`, `"i16 0x8000"` (for raw values of that kind alone).
#[derive(Clone, Debug, PartialEq)]
pub struct Sentinel {
    kind: Option<RawKind>,
    number: SentinelNumber,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum SentinelNumber {
    /// A number, or the bits of a signed one: 0x8000 and -32768 are the same i16.
    Integer(i128),
    Float(f64),
}

impl Sentinel {
    /// The kind that the value is meant for, where it names one.
    pub fn kind(&self) -> Option<RawKind> {
        self.kind
    }

    /// True when a raw value of this kind can be the one meant.
    pub fn fits(&self, kind: RawKind) -> bool {
        if self.kind.is_some_and(|meant| meant != kind) {
            return false;
        }
        match self.number {
            SentinelNumber::Float(_) => kind.is_float(),
            SentinelNumber::Integer(_) if kind.is_float() => true,
            SentinelNumber::Integer(number) => {
                let least = if kind.is_signed() { -(1_i128 << (kind.bits() - 1)) } else { 0 };
                (least..1_i128 << kind.bits()).contains(&number)
            }
        }
    }

    fn is_integer(&self, raw: i128, kind: RawKind) -> bool {
        self.kind.is_none_or(|meant| meant == kind)
            && match self.number {
                SentinelNumber::Integer(number) => number == raw || raw < 0 && number == raw + (1_i128 << kind.bits()),
                SentinelNumber::Float(_) => false,
            }
    }

    fn is_float(&self, raw: f64, kind: RawKind) -> bool {
        let narrowed = |number: f64| if kind == RawKind::F64 { number } else { f64::from(number as f32) };
        let listed = match self.number {
            SentinelNumber::Integer(number) => narrowed(number as f64),
            SentinelNumber::Float(number) => narrowed(number),
        };
        self.kind.is_none_or(|meant| meant == kind) && raw.partial_cmp(&listed) == Some(Ordering::Equal)
    }
}

impl fmt::Display for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Sentinel {
    type Err = String;

    fn from_str(text: &str) -> Result<Sentinel, String> {
        let text = text.trim();
        let (kind, number) = match text.split_once(char::is_whitespace) {
            Some((kind, number)) => {
                let known = RawKind::ALL.into_iter().find(|known| known.as_str() == kind);
                (Some(known.ok_or_else(|| format!("{text:?}: {kind:?} is no kind of raw value; known are {}", kinds()))?), number.trim())
            }
            None => (None, text),
        };
        let digits = number.strip_prefix("0x").or_else(|| number.strip_prefix("0X"));
        let number = match digits {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(|bits| match kind {
                Some(RawKind::F32) => SentinelNumber::Float(f64::from(f32::from_bits(bits as u32))),
                Some(RawKind::F64) => SentinelNumber::Float(f64::from_bits(bits)),
                _ => SentinelNumber::Integer(i128::from(bits)),
            }),
            None => {
                number.parse::<i128>().ok().map(SentinelNumber::Integer).or_else(|| number.parse::<f64>().ok().map(SentinelNumber::Float))
            }
        };
        let number = number.ok_or_else(|| format!("{text:?} is no raw value; write a number, 0x8000, nan, or \"i16 0x8000\""))?;
        let sentinel = Sentinel { kind, number, text: text.to_owned() };
        match kind {
            Some(kind) if !sentinel.fits(kind) => Err(format!("{text:?} does not exist among the values of {}", kind.as_str())),
            _ => Ok(sentinel),
        }
    }
}

fn kinds() -> String {
    RawKind::ALL.map(RawKind::as_str).join(", ")
}

/// Why a device that was read well has no value.
#[derive(Clone, Debug, PartialEq)]
pub enum MissingValue {
    NotANumber,
    /// The raw value is listed as `not_available`; as it is written there.
    Listed(String),
}

impl MissingValue {
    pub const QUALITY: Quality = Quality::BAD_NO_DATA;
}

impl fmt::Display for MissingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingValue::NotANumber => f.write_str("the device holds NaN, which is no value"),
            MissingValue::Listed(text) => write!(f, "the device holds {text}, which not_available names as no value"),
        }
    }
}

/// Whether an integer from a device means "no value".
pub fn integer(listed: &[Sentinel], raw: i128, kind: RawKind) -> Option<MissingValue> {
    listed.iter().find(|sentinel| sentinel.is_integer(raw, kind)).map(|sentinel| MissingValue::Listed(sentinel.text.clone()))
}

/// Whether a floating-point number from a device means "no value".
pub fn float(listed: &[Sentinel], raw: f64, kind: RawKind) -> Option<MissingValue> {
    if raw.is_nan() {
        return Some(MissingValue::NotANumber);
    }
    listed.iter().find(|sentinel| sentinel.is_float(raw, kind)).map(|sentinel| MissingValue::Listed(sentinel.text.clone()))
}

/// The key `not_available`: one value or a list, each a number or a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotAvailable(pub Vec<Sentinel>);

impl FromStr for NotAvailable {
    type Err = String;

    /// Values separated by `;`, as in a cell of a tag file.
    fn from_str(text: &str) -> Result<NotAvailable, String> {
        text.split(';').map(str::parse).collect::<Result<_, _>>().map(NotAvailable)
    }
}

impl<'de> Deserialize<'de> for NotAvailable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NotAvailable, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum One {
            Integer(i64),
            Float(f64),
            Text(String),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(One),
            Many(Vec<One>),
        }
        let written = match Written::deserialize(deserializer)? {
            Written::One(one) => vec![one],
            Written::Many(many) => many,
        };
        let sentinels = written.into_iter().map(|one| match one {
            One::Integer(number) => Ok(Sentinel { kind: None, number: SentinelNumber::Integer(number.into()), text: number.to_string() }),
            One::Float(number) => Ok(Sentinel { kind: None, number: SentinelNumber::Float(number), text: number.to_string() }),
            One::Text(text) => text.parse(),
        });
        sentinels.collect::<Result<_, _>>().map(NotAvailable).map_err(de::Error::custom)
    }
}

impl NotAvailable {
    /// Refuses, for the key of a device, values that do not say what kind of raw value they are meant for: 0xFFFF is no value of a u16 and a
    /// good one of an i32.
    pub fn device_problem(&self) -> Option<String> {
        let sentinel = self.0.iter().find(|sentinel| sentinel.kind.is_none())?;
        Some(format!("{sentinel} needs the kind of raw value it is meant for, as in \"i16 0x8000\"; known are {}", kinds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<Sentinel> {
        text.parse::<NotAvailable>().unwrap().0
    }

    #[test]
    fn bits_and_numbers_name_the_same_raw_value() {
        for text in ["0x8000", "-32768", "i16 0x8000", "i16 -32768", "1; 0x8000"] {
            assert!(integer(&listed(text), -32_768, RawKind::I16).is_some(), "{text}");
            assert!(integer(&listed(text), 32_767, RawKind::I16).is_none(), "{text}");
        }
        assert!(integer(&listed("0x8000"), 32_768, RawKind::U16).is_some());
        assert!(integer(&listed("i16 0x8000"), 32_768, RawKind::U16).is_none(), "meant for another kind");
        assert!(integer(&listed("0x8000"), -32_768, RawKind::I32).is_none(), "another i32");
        assert!(integer(&listed("0xFFFFFFFFFFFFFFFF"), u64::MAX.into(), RawKind::U64).is_some());
        assert!(integer(&listed("0xFFFFFFFFFFFFFFFF"), -1, RawKind::I64).is_some());
    }

    /// The least and the greatest number of each kind, and those beyond them.
    #[test]
    fn a_raw_value_exists_in_the_kinds_that_have_it() {
        let exists = |kind: RawKind, number: i128| format!("{} {number}", kind.as_str()).parse::<Sentinel>().is_ok();
        for (kind, least, greatest) in [
            (RawKind::I8, i128::from(i8::MIN), u8::MAX.into()),
            (RawKind::U8, 0, u8::MAX.into()),
            (RawKind::I16, i16::MIN.into(), u16::MAX.into()),
            (RawKind::U16, 0, u16::MAX.into()),
            (RawKind::I32, i32::MIN.into(), u32::MAX.into()),
            (RawKind::U32, 0, u32::MAX.into()),
            (RawKind::I64, i64::MIN.into(), u64::MAX.into()),
            (RawKind::U64, 0, u64::MAX.into()),
        ] {
            let found = [least - 1, least, greatest, greatest + 1].map(|number| exists(kind, number));
            assert_eq!(found, [false, true, true, false], "{}", kind.as_str());
            let (minus_one, all_ones) = (integer(&listed("-1"), -1, kind), integer(&listed(&greatest.to_string()), -1, kind));
            assert_eq!((minus_one.is_some(), all_ones.is_some()), (true, true), "the bits of -1 are all ones");
            assert_eq!(integer(&listed(&greatest.to_string()), 1, kind), None);
            assert_eq!(integer(&listed("-1.0"), -1, kind), None, "a text with a point is that of a float");
            let named = listed(&format!("{} 1", kind.as_str()));
            assert_eq!((named[0].kind(), named[0].to_string()), (Some(kind), format!("{} 1", kind.as_str())));
            assert!(NotAvailable(named).device_problem().is_none());
        }
        for (text, kind, bits) in
            [("f16 65504", RawKind::F16, 65504.0), ("f32 0x3fc00000", RawKind::F32, 1.5), ("f64 0X3ff8000000000000", RawKind::F64, 1.5)]
        {
            let meant = listed(text);
            assert_eq!(float(&meant, bits, kind), Some(MissingValue::Listed(text.into())));
            let other = if kind == RawKind::F64 { RawKind::F32 } else { RawKind::F64 };
            assert_eq!((float(&meant, bits, other), float(&meant, bits + 1.0, kind)), (None, None), "{text}");
            assert_eq!((meant[0].fits(kind), meant[0].fits(other), meant[0].fits(RawKind::U64)), (true, false, false));
        }
        for (text, fits_integers) in [("5", true), ("5.0", false), ("nan", false)] {
            let meant = &listed(text)[0];
            assert_eq!((meant.fits(RawKind::F16), meant.fits(RawKind::I16)), (true, fits_integers), "{text}");
        }
    }

    #[test]
    fn nan_is_never_a_value_and_floats_are_compared_as_they_are_sent() {
        assert_eq!(float(&[], f64::NAN, RawKind::F64), Some(MissingValue::NotANumber));
        assert_eq!(float(&[], f64::INFINITY, RawKind::F64), None);
        assert!(float(&listed("-9999.9"), f64::from(-9999.9_f32), RawKind::F32).is_some());
        assert!(float(&listed("-9999.9"), f64::from(-9999.9_f32), RawKind::F64).is_none());
        assert!(float(&listed("f32 0x7F7FFFFF"), f64::from(f32::MAX), RawKind::F32).is_some());
        assert!(float(&listed("-9999"), -9999.0, RawKind::F64).is_some());
    }

    #[test]
    fn what_is_no_raw_value_is_refused_with_an_example() {
        for (text, part) in [
            ("x", "i16 0x8000"),
            ("i24 5", "known are i8"),
            ("i16 0x10000", "does not exist"),
            ("u16 -1", "does not exist"),
            ("u16 nan", "does not"),
        ] {
            let error = text.parse::<Sentinel>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!("0x8000".parse::<NotAvailable>().unwrap().device_problem().is_some());
    }

    #[test]
    fn one_value_and_a_list_can_be_written() {
        #[derive(Deserialize)]
        struct Table {
            not_available: NotAvailable,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|table| table.not_available.0.len());
        assert_eq!(read("not_available = 0x8000").unwrap(), 1);
        assert_eq!(read("not_available = [0x8000, -9999.0, \"nan\", \"u16 0xFFFF\"]").unwrap(), 4);
        assert!(read("not_available = [\"x\"]").unwrap_err().to_string().contains("no raw value"));
    }
}
