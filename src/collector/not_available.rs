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
    I48,
    U48,
    I64,
    U64,
    F16,
    F32,
    F64,
}

impl RawKind {
    const ALL: [RawKind; 13] = [
        RawKind::I8,
        RawKind::U8,
        RawKind::I16,
        RawKind::U16,
        RawKind::I32,
        RawKind::U32,
        RawKind::I48,
        RawKind::U48,
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
            RawKind::I48 => "i48",
            RawKind::U48 => "u48",
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
            RawKind::I48 | RawKind::U48 => 48,
            RawKind::I64 | RawKind::U64 | RawKind::F64 => 64,
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, RawKind::F16 | RawKind::F32 | RawKind::F64)
    }

    const fn is_signed(self) -> bool {
        matches!(self, RawKind::I8 | RawKind::I16 | RawKind::I32 | RawKind::I48 | RawKind::I64)
    }
}

/// Values by which SunSpec devices say that a point is not implemented; those of floats are NaN. An accumulator's is 0, which is a good
/// value of other points, and so it is not one of these.
const SUNSPEC: [&str; 7] =
    ["i16 0x8000", "u16 0xFFFF", "i32 0x80000000", "u32 0xFFFFFFFF", "i64 0x8000000000000000", "u64 0xFFFFFFFFFFFFFFFF", EMPTY];

/// A text without a character, or a network address of zeros.
const EMPTY: &str = "empty";

/// One raw value that means "no value", as written: `0x8000`, `-32768`, `"nan"`, `"i16 0x8000"` (for raw values of that kind alone),
/// `"empty"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentinel {
    kind: Option<RawKind>,
    number: SentinelNumber,
    text: String,
    /// One of several that a single word stands for.
    preset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum SentinelNumber {
    /// A number, or the bits of a signed one: 0x8000 and -32768 are the same i16.
    Integer(i128),
    Float(f64),
    EmptyText,
}

impl Sentinel {
    /// The kind that the value is meant for, where it names one.
    pub fn kind(&self) -> Option<RawKind> {
        self.kind
    }

    /// True for a value of a list that a word such as `sunspec` stands for: it holds where it fits, and is no mistake where it does not.
    pub fn is_preset(&self) -> bool {
        self.preset
    }

    /// True when the bits of a raw value are written, in hexadecimal digits within quotes.
    pub fn is_hexadecimal(&self) -> bool {
        self.text.contains("0x") || self.text.contains("0X")
    }

    /// The number that is written, where it is an integer.
    pub fn integer(&self) -> Option<i128> {
        match self.number {
            SentinelNumber::Integer(integer) => Some(integer),
            SentinelNumber::Float(_) | SentinelNumber::EmptyText => None,
        }
    }

    /// True when an empty text is meant.
    pub fn is_empty_text(&self) -> bool {
        self.number == SentinelNumber::EmptyText
    }

    /// True when a raw value of this kind can be the one meant.
    pub fn fits(&self, kind: RawKind) -> bool {
        if self.kind.is_some_and(|meant| meant != kind) {
            return false;
        }
        match self.number {
            SentinelNumber::EmptyText => false,
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
                SentinelNumber::Float(_) | SentinelNumber::EmptyText => false,
            }
    }

    fn is_float(&self, raw: f64, kind: RawKind) -> bool {
        let narrowed = |number: f64| if kind == RawKind::F64 { number } else { f64::from(number as f32) };
        let listed = match self.number {
            SentinelNumber::Integer(number) => narrowed(number as f64),
            SentinelNumber::Float(number) => narrowed(number),
            SentinelNumber::EmptyText => return false,
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
        if text == EMPTY {
            return Ok(Sentinel { kind: None, number: SentinelNumber::EmptyText, text: text.to_owned(), preset: false });
        }
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
        let number =
            number.ok_or_else(|| format!("{text:?} is no raw value; write a number, 0x8000, nan, \"i16 0x8000\", empty, or sunspec"))?;
        let sentinel = Sentinel { kind, number, text: text.to_owned(), preset: false };
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
    /// What the device holds says that there is none.
    Absent(String),
    /// What the device holds is nothing of the kind that is read.
    Undecodable(String),
    /// What the device holds is beyond what can be kept.
    OutOfRange(String),
}

impl MissingValue {
    /// Quality of the sample without a value.
    pub const fn quality(&self) -> Quality {
        match self {
            MissingValue::NotANumber | MissingValue::Listed(_) | MissingValue::Absent(_) => Quality::BAD_NO_DATA,
            MissingValue::Undecodable(_) => Quality::BAD_DECODING_ERROR,
            MissingValue::OutOfRange(_) => Quality::BAD_OUT_OF_RANGE,
        }
    }
}

impl fmt::Display for MissingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingValue::NotANumber => f.write_str("the device holds NaN, which is no value"),
            MissingValue::Listed(text) => write!(f, "the device holds {text}, which not_available names as no value"),
            MissingValue::Absent(text) | MissingValue::Undecodable(text) | MissingValue::OutOfRange(text) => {
                write!(f, "the device holds {text}")
            }
        }
    }
}

/// Whether an integer from a device means "no value".
pub fn integer(listed: &[Sentinel], raw: i128, kind: RawKind) -> Option<MissingValue> {
    listed.iter().find(|sentinel| sentinel.is_integer(raw, kind)).map(|sentinel| MissingValue::Listed(sentinel.text.clone()))
}

/// As [`integer`], for the bits of an integer of this kind, signed or not.
pub fn bits(listed: &[Sentinel], bits: u64, kind: RawKind) -> Option<MissingValue> {
    let beyond = 1_i128 << kind.bits();
    let raw = i128::from(bits);
    integer(listed, if kind.is_signed() && raw >= beyond / 2 { raw - beyond } else { raw }, kind)
}

/// As [`integer`], for a number that is packed into its bits: hexadecimal digits are compared with the bits, others with the number.
pub fn packed(listed: &[Sentinel], bits: u64, number: Option<i128>, kind: RawKind) -> Option<MissingValue> {
    let found = listed.iter().find(|sentinel| match number {
        Some(number) if !sentinel.is_hexadecimal() => sentinel.is_integer(number, kind),
        _ => sentinel.is_integer(bits.into(), kind),
    });
    found.map(|sentinel| MissingValue::Listed(sentinel.text.clone()))
}

/// Whether an empty text means "no value".
pub fn empty_text(listed: &[Sentinel]) -> Option<MissingValue> {
    listed.iter().find(|sentinel| sentinel.is_empty_text()).map(|_| MissingValue::Listed("an empty text".to_owned()))
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
        let parts: Vec<Vec<Sentinel>> = text.split(';').map(written).collect::<Result<_, _>>()?;
        Ok(NotAvailable(parts.concat()))
    }
}

/// The values that one text stands for.
fn written(text: &str) -> Result<Vec<Sentinel>, String> {
    if text.trim() != "sunspec" {
        return text.parse().map(|sentinel| vec![sentinel]);
    }
    SUNSPEC.into_iter().map(|text| Ok(Sentinel { preset: true, ..text.parse()? })).collect()
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
        let listed = match Written::deserialize(deserializer)? {
            Written::One(one) => vec![one],
            Written::Many(many) => many,
        };
        let number = |number, text| Ok(vec![Sentinel { kind: None, number, text, preset: false }]);
        let sentinels = listed.into_iter().map(|one| match one {
            One::Integer(integer) => number(SentinelNumber::Integer(integer.into()), integer.to_string()),
            One::Float(float) => number(SentinelNumber::Float(float), float.to_string()),
            One::Text(text) => written(&text),
        });
        let sentinels: Vec<Vec<Sentinel>> = sentinels.collect::<Result<_, _>>().map_err(de::Error::custom)?;
        Ok(NotAvailable(sentinels.concat()))
    }
}

impl NotAvailable {
    /// Refuses, for the key of a device, values that do not say what kind of raw value they are meant for: 0xFFFF is no value of a u16 and a
    /// good one of an i32.
    pub fn device_problem(&self) -> Option<String> {
        let sentinel = self.0.iter().find(|sentinel| sentinel.kind.is_none() && !sentinel.is_empty_text())?;
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
            (RawKind::I48, -(1 << 47), (1 << 48) - 1),
            (RawKind::U48, 0, (1 << 48) - 1),
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
    fn sunspec_stands_for_its_values_that_are_not_implemented() {
        let sunspec = listed("sunspec");
        for (kind, bits) in [
            (RawKind::I16, 0x8000),
            (RawKind::U16, 0xFFFF),
            (RawKind::I32, 0x8000_0000),
            (RawKind::U32, 0xFFFF_FFFF),
            (RawKind::I64, 1 << 63),
            (RawKind::U64, u64::MAX),
        ] {
            assert!(super::bits(&sunspec, bits, kind).is_some(), "{}", kind.as_str());
            for good in [0, 1, bits - 1, bits / 2] {
                assert_eq!(super::bits(&sunspec, good, kind), None, "{} {good:x}", kind.as_str());
            }
        }
        for (kind, good) in [
            (RawKind::I32, u64::from(u32::MAX)),
            (RawKind::I32, 0x8000),
            (RawKind::U32, 0xFFFF),
            (RawKind::U48, 0xFFFF),
            (RawKind::U8, 0xFF),
        ] {
            assert_eq!(super::bits(&sunspec, good, kind), None, "{} {good:x}", kind.as_str());
        }
        assert!(empty_text(&sunspec).is_some() && empty_text(&listed("empty")).is_some() && empty_text(&listed("0")).is_none());
        assert!(NotAvailable(sunspec).device_problem().is_none());
        let with_more = listed("sunspec; 0");
        assert!(super::bits(&with_more, 0, RawKind::U32).is_some(), "an accumulator");
        assert_eq!(with_more.iter().filter(|sentinel| sentinel.is_preset()).count(), SUNSPEC.len());
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
        assert_eq!(read("not_available = [\"sunspec\", 0]").unwrap(), SUNSPEC.len() + 1);
        assert!(read("not_available = [\"x\"]").unwrap_err().to_string().contains("no raw value"));
    }
}
