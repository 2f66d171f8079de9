//! From registers to a value: word order, format, scale and offset, value type. Total: every register content decodes, or says why there is
//! no value.

use super::{
    format::{NetworkFormat, RegisterFormat, TimeFormat},
    packed,
    scaling::Scaling,
    text,
    word_order::WordOrder,
};
pub use historian_collector::not_available::MissingValue;
use historian_collector::not_available::{self, RawKind, Sentinel};
use historian_model::{Value, ValueType};

/// How one tag's registers become its value. Made by configuration only where the format fits the value type.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterDecoder {
    pub format: RegisterFormat,
    pub order: WordOrder,
    /// value = raw × scale + offset; the value type is f64 then, or one of the integers where scale and offset are whole.
    pub scaling: Option<Scaling>,
    pub value_type: ValueType,
    /// Raw values that mean "no value"; NaN always does.
    pub not_available: Vec<Sentinel>,
}

/// A value as its format has it.
enum RegisterValue {
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
}

impl RegisterDecoder {
    /// Value of `words`, exactly the registers of the value.
    pub fn registers(&self, words: &[u16]) -> Result<Value, MissingValue> {
        self.scaled_by(words, self.scaling.as_ref())
    }

    /// As [`RegisterDecoder::registers`], with another scaling.
    pub fn scaled_by(&self, words: &[u16], scaling: Option<&Scaling>) -> Result<Value, MissingValue> {
        match self.format {
            RegisterFormat::Text(format, _) => {
                let text = text::of(format, words, self.order);
                return self.text(text.is_empty()).map_or(Ok(Value::String(text)), Err);
            }
            RegisterFormat::Network(format) => return self.network(format, words),
            RegisterFormat::Time(TimeFormat::Words) => {}
            _ => {
                let bits = self.order.combined(words);
                if let Some(missing) = self.missing(bits) {
                    return Err(missing);
                }
            }
        }
        self.converted(self.raw(words)?, scaling)
    }

    /// Value of a coil or discrete input.
    pub fn bit(&self, bit: bool) -> Result<Value, MissingValue> {
        self.converted(RegisterValue::Unsigned(u64::from(bit)), None)
    }

    fn raw(&self, words: &[u16]) -> Result<RegisterValue, MissingValue> {
        let bits = if words.len() <= 4 { self.order.combined(words) } else { 0 };
        Ok(match self.format {
            RegisterFormat::Bits(field) => RegisterValue::Unsigned(field.of(bits)),
            RegisterFormat::U8Low => RegisterValue::Unsigned(bits & 0xFF),
            RegisterFormat::U8High => RegisterValue::Unsigned(bits >> 8 & 0xFF),
            RegisterFormat::I8Low => RegisterValue::Signed(i64::from(bits as u8 as i8)),
            RegisterFormat::I8High => RegisterValue::Signed(i64::from((bits >> 8) as u8 as i8)),
            RegisterFormat::Bool
            | RegisterFormat::U16
            | RegisterFormat::U32
            | RegisterFormat::U48
            | RegisterFormat::U64
            | RegisterFormat::Network(_)
            | RegisterFormat::Text(..) => RegisterValue::Unsigned(bits),
            RegisterFormat::I16 => RegisterValue::Signed(i64::from(bits as u16 as i16)),
            RegisterFormat::I32 => RegisterValue::Signed(i64::from(bits as u32 as i32)),
            RegisterFormat::I48 => RegisterValue::Signed((bits << 16) as i64 >> 16),
            RegisterFormat::I64 => RegisterValue::Signed(bits as i64),
            RegisterFormat::F16 => RegisterValue::F32(half(bits as u16)),
            RegisterFormat::F32 => RegisterValue::F32(f32::from_bits(bits as u32)),
            RegisterFormat::F64 => RegisterValue::F64(f64::from_bits(bits)),
            RegisterFormat::Bcd(registers) => RegisterValue::Unsigned(packed::bcd(bits, registers).ok_or_else(|| self.undecodable(words))?),
            RegisterFormat::M10k(_) => {
                RegisterValue::Signed(packed::m10k(self.order.undone(words)).ok_or_else(|| self.undecodable(words))?)
            }
            RegisterFormat::Time(format) => {
                let words: Vec<u16> = self.order.undone(words).collect();
                RegisterValue::Signed(packed::time(format, &words).ok_or_else(|| self.undecodable(&words))?)
            }
        })
    }

    fn network(&self, format: NetworkFormat, words: &[u16]) -> Result<Value, MissingValue> {
        let words: Vec<u16> = self.order.undone(words).collect();
        let (text, is_none) = packed::network(format, &words);
        self.text(is_none).map_or(Ok(Value::String(text)), Err)
    }

    fn undecodable(&self, words: &[u16]) -> MissingValue {
        let shown: Vec<String> = words.iter().map(|word| format!("{word:04X}")).collect();
        MissingValue::Undecodable(format!("{}, which is no {}", shown.join(" "), self.format))
    }

    fn text(&self, is_empty: bool) -> Option<MissingValue> {
        is_empty.then(|| not_available::empty_text(&self.not_available)).flatten()
    }

    /// Why the number in the registers, of which bits may be the value, means "no value".
    fn missing(&self, bits: u64) -> Option<MissingValue> {
        let kind = self.format.raw_kind()?;
        let packed = |number: Option<i128>| not_available::packed(&self.not_available, bits, number, kind);
        let raw = match kind {
            _ if self.not_available.is_empty() && !kind.is_float() => return None,
            RawKind::F16 => return not_available::float(&self.not_available, f64::from(half(bits as u16)), kind),
            RawKind::F32 => return not_available::float(&self.not_available, f64::from(f32::from_bits(bits as u32)), kind),
            RawKind::F64 => return not_available::float(&self.not_available, f64::from_bits(bits), kind),
            RawKind::U8 | RawKind::I8 if matches!(self.format, RegisterFormat::U8High | RegisterFormat::I8High) => bits >> 8 & 0xFF,
            RawKind::U8 | RawKind::I8 => bits & 0xFF,
            _ => match self.format {
                RegisterFormat::Bcd(registers) => return packed(packed::bcd(bits, registers).map(i128::from)),
                RegisterFormat::M10k(registers) => {
                    let words = (0..u32::from(registers)).rev().map(|place| (bits >> (16 * place)) as u16);
                    return packed(packed::m10k(words).map(i128::from));
                }
                _ => bits,
            },
        };
        // A negative number is listed as its bits or as itself.
        not_available::bits(&self.not_available, raw, kind)
    }

    fn converted(&self, raw: RegisterValue, scaling: Option<&Scaling>) -> Result<Value, MissingValue> {
        if let Some(scaling) = scaling {
            let integer = match raw {
                RegisterValue::Unsigned(value) => i128::from(value),
                RegisterValue::Signed(value) => i128::from(value),
                RegisterValue::F32(value) => return Ok(Value::F64(scaling.of_f32(value))),
                RegisterValue::F64(value) => return Ok(Value::F64(scaling.of_f64(value))),
            };
            let whole = || scaling.whole(integer);
            let beyond = || MissingValue::OutOfRange(format!("{integer}, which is beyond the {} when it is scaled", self.value_type));
            return match self.value_type {
                ValueType::I64 => whole().and_then(|value| i64::try_from(value).ok()).map(Value::I64).ok_or_else(beyond),
                ValueType::U64 => whole().and_then(|value| u64::try_from(value).ok()).map(Value::U64).ok_or_else(beyond),
                _ => Ok(Value::F64(scaling.of_integer(integer))),
            };
        }
        Ok(match (self.value_type, raw) {
            (ValueType::U64, RegisterValue::Unsigned(value)) => Value::U64(value),
            (ValueType::I64, RegisterValue::Unsigned(value)) => Value::I64(value as i64),
            (ValueType::I64, RegisterValue::Signed(value)) => Value::I64(value),
            (ValueType::Bool, RegisterValue::Unsigned(value)) => Value::Bool(value != 0),
            (ValueType::State, RegisterValue::Unsigned(value)) => Value::State(value as u32),
            (ValueType::F32, RegisterValue::F32(value)) => Value::F32(value),
            (ValueType::F32, raw) => Value::F32(raw.as_f64() as f32),
            (_, raw) => Value::F64(raw.as_f64()),
        })
    }
}

impl RegisterValue {
    fn as_f64(&self) -> f64 {
        match *self {
            RegisterValue::Unsigned(value) => value as f64,
            RegisterValue::Signed(value) => value as f64,
            RegisterValue::F32(value) => f64::from(value),
            RegisterValue::F64(value) => value,
        }
    }
}

/// IEEE 754 binary16, exactly.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1F);
    let fraction = u32::from(bits & 0x3FF);
    match exponent {
        0 => f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()), // fraction × 2^-24
        31 => f32::from_bits(sign | 0x7F80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{bit_field::BitField, format::CharacterFormat},
        *,
    };

    fn bit(bit: u8) -> RegisterFormat {
        RegisterFormat::Bits(BitField::new(1, bit, bit).unwrap())
    }

    fn decoder(format: RegisterFormat, order: WordOrder) -> RegisterDecoder {
        RegisterDecoder { format, order, scaling: None, value_type: format.natural_type(), not_available: Vec::new() }
    }

    /// What a device does: the value's bytes, most significant first, laid out as the letters of the order say.
    fn encode(bytes: &[u8], order: WordOrder) -> Vec<u16> {
        let mut words: Vec<[u8; 2]> = bytes.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
        match order {
            WordOrder::Abcd => {}
            WordOrder::Cdab => words.reverse(),
            WordOrder::Badc => words.iter_mut().for_each(|word| word.reverse()),
            WordOrder::Dcba => {
                let mut all: Vec<u8> = bytes.to_vec();
                all.reverse();
                words = all.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
            }
        }
        words.into_iter().map(u16::from_be_bytes).collect()
    }

    #[test]
    fn the_letters_of_an_order_are_the_bytes_on_the_wire() {
        // 0xAABBCCDD: A is the most significant byte.
        for (order, words) in [
            (WordOrder::Abcd, [0xAABB, 0xCCDD]),
            (WordOrder::Cdab, [0xCCDD, 0xAABB]),
            (WordOrder::Badc, [0xBBAA, 0xDDCC]),
            (WordOrder::Dcba, [0xDDCC, 0xBBAA]),
        ] {
            assert_eq!(decoder(RegisterFormat::U32, order).registers(&words), Ok(Value::U64(0xAABB_CCDD)), "{order}");
        }
        assert_eq!(
            decoder(RegisterFormat::U64, WordOrder::Cdab).registers(&[0x0708, 0x0506, 0x0304, 0x0102]),
            Ok(Value::U64(0x0102_0304_0506_0708))
        );
    }

    #[test]
    fn parts_of_a_register_are_told_apart() {
        let word = [0b1000_0001_1111_1110];
        for (format, expected) in [
            (bit(0), Value::Bool(false)),
            (bit(1), Value::Bool(true)),
            (bit(15), Value::Bool(true)),
            (RegisterFormat::U8Low, Value::U64(0xFE)),
            (RegisterFormat::U8High, Value::U64(0x81)),
            (RegisterFormat::I8Low, Value::I64(-2)),
            (RegisterFormat::I8High, Value::I64(-127)),
        ] {
            assert_eq!(decoder(format, WordOrder::Abcd).registers(&word), Ok(expected), "{format}");
        }
        assert_eq!(decoder(bit(0), WordOrder::Badc).registers(&word), Ok(Value::Bool(true)), "bytes are swapped before bits count");
    }

    /// Against the definition of IEEE 754: (-1)^s × 2^(e-15) × (1 + f/1024), and × 2^-14 × f/1024 where e is 0.
    #[test]
    fn halves_are_exact() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
            let magnitude = match exponent {
                0 => fraction * 2.0_f64.powi(-14),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
            };
            let (found, expected) = (half(bits), if bits >> 15 == 1 { -magnitude } else { magnitude });
            assert_eq!((found.is_nan(), found.is_sign_negative()), (expected.is_nan(), bits >> 15 == 1), "{bits:#x}");
            assert!(expected.is_nan() || f64::from(found).to_bits() == expected.to_bits(), "{bits:#x}: {found} is not {expected}");
        }
    }

    #[test]
    fn every_kind_of_raw_value_is_scaled() {
        let scaled = |format, scale, offset, words: &[u16]| {
            let scaling = Some(Scaling::new(scale, offset));
            RegisterDecoder { scaling, value_type: ValueType::F64, ..decoder(format, WordOrder::Abcd) }.registers(words)
        };
        assert_eq!(scaled(RegisterFormat::U16, 0.1, -40.0, &[12_345]), Ok(Value::F64(1194.5)));
        assert_eq!(scaled(RegisterFormat::I16, 0.01, 0.0, &[0xCFC7]), Ok(Value::F64(-123.45)), "-12345 in two's complement");
        assert_eq!(scaled(RegisterFormat::F32, 2.0, 0.25, &[0x3FC0, 0]), Ok(Value::F64(3.25)), "1.5");
        assert_eq!(scaled(RegisterFormat::F64, 2.0, 0.25, &[0xBFF8, 0, 0, 0]), Ok(Value::F64(-2.75)), "-1.5");
    }

    #[test]
    fn a_value_becomes_what_its_tag_is() {
        let is = |format, value_type, words: &[u16]| RegisterDecoder { value_type, ..decoder(format, WordOrder::Abcd) }.registers(words);
        for (format, words, value) in [
            (RegisterFormat::U16, &[65_535][..], Value::I64(65_535)),
            (RegisterFormat::U16, &[65_535], Value::F64(65_535.0)),
            (RegisterFormat::U16, &[65_535], Value::F32(65_535.0)),
            (RegisterFormat::U16, &[3], Value::State(3)),
            (RegisterFormat::I16, &[0xFFFF], Value::F64(-1.0)),
            (RegisterFormat::I16, &[0xFFFF], Value::F32(-1.0)),
            (RegisterFormat::U32, &[0x8000, 0], Value::F64(2_147_483_648.0)),
            (RegisterFormat::I32, &[0x8000, 0], Value::F64(-2_147_483_648.0)),
            (RegisterFormat::F32, &[0x4049, 0x0FDB], Value::F64(f64::from(std::f32::consts::PI))),
            (RegisterFormat::F64, &[0x4009, 0x21FB, 0x5444, 0x2D18], Value::F64(std::f64::consts::PI)),
        ] {
            assert_eq!(is(format, value.value_type(), words), Ok(value), "{format} {words:x?}");
        }
        for (bit, value) in [
            (true, Value::Bool(true)),
            (false, Value::Bool(false)),
            (true, Value::U64(1)),
            (true, Value::State(1)),
            (false, Value::F64(0.0)),
        ] {
            let coil = RegisterDecoder { value_type: value.value_type(), ..decoder(RegisterFormat::Bool, WordOrder::Abcd) };
            assert_eq!(coil.bit(bit), Ok(value));
        }
    }

    #[test]
    fn texts_are_read_in_registers_of_two_characters_and_of_one() {
        let text = |text: &str| Ok(Value::String(text.into()));
        assert_eq!(decoder(RegisterFormat::Text(CharacterFormat::Bytes, 2), WordOrder::Abcd).registers(&[0x5055, 0x4D50]), text("PUMP"));
        assert_eq!(decoder(RegisterFormat::Text(CharacterFormat::Bytes, 2), WordOrder::Badc).registers(&[0x5550, 0x504D]), text("PUMP"));
        assert_eq!(decoder(RegisterFormat::Text(CharacterFormat::Characters, 2), WordOrder::Abcd).registers(&[0x4F, 0x4B]), text("OK"));
        assert_eq!(decoder(RegisterFormat::Text(CharacterFormat::Characters, 2), WordOrder::Dcba).registers(&[0x4B00, 0x4F00]), text("OK"));
        assert_eq!(decoder(RegisterFormat::Text(CharacterFormat::Bytes, 2), WordOrder::Cdab).registers(&[0x4D50, 0x5055]), text("PUMP"));
        assert_eq!(decoder(RegisterFormat::Text(CharacterFormat::LowBytes, 2), WordOrder::Abcd).registers(&[0x994F, 0x994B]), text("OK"));
    }

    #[test]
    fn a_raw_value_that_means_no_value_is_none() {
        let listed = |format, text: &str| RegisterDecoder {
            not_available: text.parse::<not_available::NotAvailable>().unwrap().0,
            ..decoder(format, WordOrder::Abcd)
        };
        let no_value = |decoder: RegisterDecoder, words: &[u16]| decoder.registers(words).is_err();
        assert!(no_value(listed(RegisterFormat::I16, "0x8000"), &[0x8000]));
        assert!(!no_value(listed(RegisterFormat::I16, "0x8000"), &[0x8001]));
        assert!(no_value(listed(RegisterFormat::U16, "0xFFFF"), &[0xFFFF]));
        assert!(no_value(listed(RegisterFormat::I32, "0x80000000"), &[0x8000, 0]));
        assert!(no_value(listed(RegisterFormat::I8High, "0x80"), &[0x8000]));
        assert!(no_value(listed(RegisterFormat::U64, "0xFFFFFFFFFFFFFFFF"), &[0xFFFF; 4]));
        assert!(no_value(listed(RegisterFormat::F64, "-9999"), &[0xC0C3, 0x8780, 0, 0]));
        for (format, words) in
            [(RegisterFormat::F16, &[0x7E00][..]), (RegisterFormat::F32, &[0x7FC0, 0]), (RegisterFormat::F64, &[0xFFF8, 0, 0, 1])]
        {
            assert_eq!(decoder(format, WordOrder::Abcd).registers(words), Err(MissingValue::NotANumber), "{format}");
        }
    }

    #[test]
    fn bits_are_taken_from_the_whole_number_after_its_order_is_undone() {
        let field = |registers, first, last| RegisterFormat::Bits(BitField::new(registers, first, last).unwrap());
        for (format, order, words, expected) in [
            (field(1, 4, 7), WordOrder::Abcd, &[0xABCD][..], 0xC),
            (field(1, 4, 7), WordOrder::Badc, &[0xABCD], 0xA),
            (field(2, 12, 19), WordOrder::Abcd, &[0x1234, 0x5678], 0x45),
            (field(2, 12, 19), WordOrder::Cdab, &[0x5678, 0x1234], 0x45),
            (field(3, 40, 47), WordOrder::Abcd, &[0x1234, 0x5678, 0x9ABC], 0x12),
            (field(4, 0, 63), WordOrder::Abcd, &[0xFFFF; 4], u64::MAX),
        ] {
            assert_eq!(decoder(format, order).registers(words), Ok(Value::U64(expected)), "{format}");
        }
        let any = RegisterDecoder { value_type: ValueType::Bool, ..decoder(field(1, 1, 2), WordOrder::Abcd) };
        assert_eq!(
            [0, 1, 2, 4, 6, 8].map(|word| any.registers(&[word]).unwrap()),
            [false, false, true, true, true, false].map(Value::Bool)
        );
        // What "no value" is, the whole register says; and of packed numbers the bits or the number.
        let bcd = |listed: &str, words: &[u16]| {
            let not_available = listed.parse::<not_available::NotAvailable>().unwrap().0;
            RegisterDecoder { not_available, ..decoder(RegisterFormat::Bcd(1), WordOrder::Abcd) }.registers(words)
        };
        assert!(bcd("9999", &[0x9999]).is_err() && bcd("0x9999", &[0x9999]).is_err());
        assert_eq!((bcd("4660", &[0x1234]), bcd("0x1234", &[0x4660])), (Ok(Value::U64(1234)), Ok(Value::U64(4660))));
        let listed = RegisterDecoder {
            not_available: "u16 0xFFFF".parse::<not_available::NotAvailable>().unwrap().0,
            ..decoder(field(1, 0, 3), WordOrder::Abcd)
        };
        assert_eq!((listed.registers(&[0xFFFF]).is_err(), listed.registers(&[0xFF0F])), (true, Ok(Value::U64(15))));
    }

    #[test]
    fn what_is_no_number_of_its_format_is_bad_and_says_so() {
        let is = |format: &str, words: &[u16]| decoder(format.parse().unwrap(), WordOrder::Abcd).registers(words);
        assert_eq!(is("bcd32", &[0x0012, 0x3456]), Ok(Value::U64(123_456)));
        assert_eq!(is("m10k32", &[12, 3456]), Ok(Value::I64(123_456)));
        assert_eq!(is("unix32", &[0x6553, 0xF100]), Ok(Value::I64(1_700_000_000_000)));
        assert_eq!(is("date-time:6", &[2023, 11, 14, 22, 13, 20]), Ok(Value::I64(1_700_000_000_000)));
        assert_eq!(is("ipv4", &[0xC000, 0x020A]), Ok(Value::String("192.0.2.10".into())));
        for (format, words, told) in [
            ("bcd16", &[0x12FA][..], "12FA, which is no bcd16"),
            ("m10k32", &[12, 10_000], "000C 2710, which is no m10k32"),
            ("date-time:6", &[2023, 13, 1, 0, 0, 0], "07E7 000D 0001 0000 0000 0000, which is no date-time:6"),
        ] {
            let missing = is(format, words).unwrap_err();
            assert_eq!(missing, MissingValue::Undecodable(told.into()));
            assert_eq!(missing.quality(), historian_model::Quality::BAD_DECODING_ERROR);
        }
    }

    #[test]
    fn whole_numbers_scaled_by_whole_numbers_stay_exact() {
        let is = |format, value_type, scale, offset, words: &[u16]| {
            let scaling = Some(Scaling::new(scale, offset));
            RegisterDecoder { scaling, value_type, ..decoder(format, WordOrder::Abcd) }.registers(words)
        };
        // 2^53 + 1 is no double.
        assert_eq!(is(RegisterFormat::U64, ValueType::U64, 3.0, 1.0, &[0x20, 0, 0, 1]), Ok(Value::U64(27_021_597_764_222_980)));
        assert_eq!(is(RegisterFormat::I64, ValueType::I64, 1.0, -1.0, &[0x8000, 0, 0, 1]), Ok(Value::I64(i64::MIN)));
        assert_eq!(is(RegisterFormat::U32, ValueType::I64, -1000.0, 0.0, &[0xFFFF, 0xFFFF]), Ok(Value::I64(-4_294_967_295_000)));
        assert_eq!(is(RegisterFormat::U64, ValueType::I64, 1.0, 0.0, &[0x7FFF, 0xFFFF, 0xFFFF, 0xFFFF]), Ok(Value::I64(i64::MAX)));
        for (format, value_type, scale, offset, words) in [
            (RegisterFormat::I64, ValueType::I64, 1.0, -1.0, &[0x8000, 0, 0, 0][..]),
            (RegisterFormat::U64, ValueType::U64, 10.0, 0.0, &[0x8000, 0, 0, 0]),
            (RegisterFormat::U64, ValueType::I64, 1.0, 0.0, &[0x8000, 0, 0, 0]),
            (RegisterFormat::U16, ValueType::U64, 1.0, -5.0, &[4]),
        ] {
            let missing = is(format, value_type, scale, offset, words).unwrap_err();
            assert_eq!(missing.quality(), historian_model::Quality::BAD_OUT_OF_RANGE, "{missing}");
        }
    }

    #[test]
    fn an_empty_text_is_a_text_unless_it_is_listed() {
        for format in ["string:2", "string-low:2", "characters:2", "ipv4", "eui48"] {
            let decoder = decoder(format.parse().unwrap(), WordOrder::Abcd);
            let words = vec![0; usize::from(decoder.format.registers())];
            assert!(decoder.registers(&words).is_ok(), "{format}");
            for listed in ["empty", "sunspec"] {
                let not_available = listed.parse::<not_available::NotAvailable>().unwrap().0;
                assert!(RegisterDecoder { not_available, ..decoder.clone() }.registers(&words).is_err(), "{format}");
            }
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_every_order_bit_for_bit(bits in any::<u64>(), order in 0..4_usize) {
            let order = WordOrder::ALL[order];
            let (b16, b32) = (bits as u16, bits as u32);
            let of = |format, bytes: &[u8]| decoder(format, order).registers(&encode(bytes, order)).ok();
            prop_assert_eq!(of(RegisterFormat::U16, &b16.to_be_bytes()), Some(Value::U64(b16.into())));
            prop_assert_eq!(of(RegisterFormat::I16, &b16.to_be_bytes()), Some(Value::I64((b16 as i16).into())));
            prop_assert_eq!(of(RegisterFormat::U32, &b32.to_be_bytes()), Some(Value::U64(b32.into())));
            prop_assert_eq!(of(RegisterFormat::I32, &b32.to_be_bytes()), Some(Value::I64((b32 as i32).into())));
            let b48 = bits >> 16;
            prop_assert_eq!(of(RegisterFormat::U48, &b48.to_be_bytes()[2..]), Some(Value::U64(b48)));
            prop_assert_eq!(of(RegisterFormat::I48, &b48.to_be_bytes()[2..]), Some(Value::I64(bits as i64 >> 16)));
            for registers in 1..=4_u8 {
                let number = bits % 10_u64.pow(4 * u32::from(registers));
                let packed = u64::from_str_radix(&number.to_string(), 16).unwrap().to_be_bytes();
                let bytes = &packed[8 - 2 * usize::from(registers)..];
                prop_assert_eq!(of(RegisterFormat::Bcd(registers), bytes), Some(Value::U64(number)));
            }
            let seconds = Value::I64(i64::from(b32) * 1000);
            prop_assert_eq!(of(RegisterFormat::Time(TimeFormat::Unix32), &b32.to_be_bytes()), Some(seconds));
            prop_assert_eq!(of(RegisterFormat::Time(TimeFormat::Unix64Ms), &b48.to_be_bytes()), Some(Value::I64(b48 as i64)));
            let text = format!("{b48:012x}");
            prop_assert_eq!(of(RegisterFormat::Text(CharacterFormat::Bytes, 6), text.as_bytes()), Some(Value::String(text.clone())));
            prop_assert_eq!(of(RegisterFormat::U64, &bits.to_be_bytes()), Some(Value::U64(bits)));
            prop_assert_eq!(of(RegisterFormat::I64, &bits.to_be_bytes()), Some(Value::I64(bits as i64)));
            let float = f32::from_bits(b32);
            prop_assert_eq!(of(RegisterFormat::F32, &b32.to_be_bytes()), (!float.is_nan()).then_some(Value::F32(float)));
            let float = f64::from_bits(bits);
            prop_assert_eq!(of(RegisterFormat::F64, &bits.to_be_bytes()), (!float.is_nan()).then_some(Value::F64(float)));
        }

        #[test]
        fn a_type_that_fits_loses_nothing(word in any::<u16>(), other in any::<u16>()) {
            for format in [RegisterFormat::U16, RegisterFormat::I16, RegisterFormat::U32, RegisterFormat::I32, RegisterFormat::U8Low, RegisterFormat::I8High, bit(3)] {
                let words = &[word, other][..format.registers() as usize];
                let natural = decoder(format, WordOrder::Abcd).registers(words).unwrap().as_f64();
                for value_type in ValueType::ALL.into_iter().filter(|value_type| format.fits(*value_type)) {
                    let decoder = RegisterDecoder { value_type, ..decoder(format, WordOrder::Abcd) };
                    let value = decoder.registers(words).unwrap();
                    prop_assert_eq!(value.value_type(), value_type);
                    prop_assert_eq!(value.as_f64(), natural, "{} as {}", format, value_type);
                }
            }
        }
    }
}
