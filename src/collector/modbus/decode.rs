//! From registers to a value: word order, format, scale and offset, value type. Total: every register content decodes, or says that there is
//! no value.

use super::{
    format::{RegisterFormat, WordOrder},
    scaling::Scaling,
    text,
};
pub use historian_collector::not_available::MissingValue;
use historian_collector::not_available::{self, RawKind, Sentinel};
use historian_model::{Value, ValueType};

/// How one tag's registers become its value. Made by configuration only where the format fits the value type.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterDecoder {
    pub format: RegisterFormat,
    pub order: WordOrder,
    /// value = raw × scale + offset; the value type is f64 then.
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
        match self.format {
            RegisterFormat::String(_) => return Ok(Value::String(text::of_bytes(words, self.order.bytes_swapped()))),
            RegisterFormat::Characters(_) => return Ok(Value::String(text::of_characters(words, self.order.bytes_swapped()))),
            _ => {}
        }
        let bits = combined(words, self.order);
        let raw = match self.format {
            RegisterFormat::Bit(bit) => RegisterValue::Unsigned(bits >> bit & 1),
            RegisterFormat::U8Low => RegisterValue::Unsigned(bits & 0xFF),
            RegisterFormat::U8High => RegisterValue::Unsigned(bits >> 8 & 0xFF),
            RegisterFormat::I8Low => RegisterValue::Signed(i64::from(bits as u8 as i8)),
            RegisterFormat::I8High => RegisterValue::Signed(i64::from((bits >> 8) as u8 as i8)),
            RegisterFormat::Bool
            | RegisterFormat::U16
            | RegisterFormat::U32
            | RegisterFormat::U64
            | RegisterFormat::String(_)
            | RegisterFormat::Characters(_) => RegisterValue::Unsigned(bits),
            RegisterFormat::I16 => RegisterValue::Signed(i64::from(bits as u16 as i16)),
            RegisterFormat::I32 => RegisterValue::Signed(i64::from(bits as u32 as i32)),
            RegisterFormat::I64 => RegisterValue::Signed(bits as i64),
            RegisterFormat::F16 => RegisterValue::F32(half(bits as u16)),
            RegisterFormat::F32 => RegisterValue::F32(f32::from_bits(bits as u32)),
            RegisterFormat::F64 => RegisterValue::F64(f64::from_bits(bits)),
        };
        match self.missing(&raw) {
            Some(missing) => Err(missing),
            None => Ok(self.converted(raw)),
        }
    }

    /// Value of a coil or discrete input.
    pub fn bit(&self, bit: bool) -> Value {
        self.converted(RegisterValue::Unsigned(u64::from(bit)))
    }

    fn missing(&self, raw: &RegisterValue) -> Option<MissingValue> {
        let kind = self.format.raw_kind().unwrap_or(RawKind::U64);
        match raw {
            RegisterValue::F32(value) => not_available::float(&self.not_available, f64::from(*value), kind),
            RegisterValue::F64(value) => not_available::float(&self.not_available, *value, kind),
            _ if self.not_available.is_empty() => None,
            RegisterValue::Unsigned(value) => not_available::integer(&self.not_available, i128::from(*value), kind),
            RegisterValue::Signed(value) => not_available::integer(&self.not_available, i128::from(*value), kind),
        }
    }

    fn converted(&self, raw: RegisterValue) -> Value {
        if let Some(scaling) = &self.scaling {
            return Value::F64(match raw {
                RegisterValue::Unsigned(value) => scaling.of_integer(i128::from(value)),
                RegisterValue::Signed(value) => scaling.of_integer(i128::from(value)),
                RegisterValue::F32(value) => scaling.of_f32(value),
                RegisterValue::F64(value) => scaling.of_f64(value),
            });
        }
        match (self.value_type, raw) {
            (ValueType::U64, RegisterValue::Unsigned(value)) => Value::U64(value),
            (ValueType::I64, RegisterValue::Unsigned(value)) => Value::I64(value as i64),
            (ValueType::I64, RegisterValue::Signed(value)) => Value::I64(value),
            (ValueType::Bool, RegisterValue::Unsigned(value)) => Value::Bool(value != 0),
            (ValueType::State, RegisterValue::Unsigned(value)) => Value::State(value as u32),
            (ValueType::F32, RegisterValue::F32(value)) => Value::F32(value),
            (ValueType::F32, raw) => Value::F32(raw.as_f64() as f32),
            (_, raw) => Value::F64(raw.as_f64()),
        }
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

/// The words as one number, most significant first after undoing the order. At most four words.
fn combined(words: &[u16], order: WordOrder) -> u64 {
    let word = |bits: u64, word: &u16| bits << 16 | u64::from(if order.bytes_swapped() { word.swap_bytes() } else { *word });
    if order.words_reversed() { words.iter().rev().fold(0, word) } else { words.iter().fold(0, word) }
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

    use super::*;

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
            (RegisterFormat::Bit(0), Value::Bool(false)),
            (RegisterFormat::Bit(1), Value::Bool(true)),
            (RegisterFormat::Bit(15), Value::Bool(true)),
            (RegisterFormat::U8Low, Value::U64(0xFE)),
            (RegisterFormat::U8High, Value::U64(0x81)),
            (RegisterFormat::I8Low, Value::I64(-2)),
            (RegisterFormat::I8High, Value::I64(-127)),
        ] {
            assert_eq!(decoder(format, WordOrder::Abcd).registers(&word), Ok(expected), "{format}");
        }
        assert_eq!(
            decoder(RegisterFormat::Bit(0), WordOrder::Badc).registers(&word),
            Ok(Value::Bool(true)),
            "bytes are swapped before bits count"
        );
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
            assert_eq!(coil.bit(bit), value);
        }
    }

    #[test]
    fn texts_are_read_in_registers_of_two_characters_and_of_one() {
        let text = |text: &str| Ok(Value::String(text.into()));
        assert_eq!(decoder(RegisterFormat::String(2), WordOrder::Abcd).registers(&[0x5055, 0x4D50]), text("PUMP"));
        assert_eq!(decoder(RegisterFormat::String(2), WordOrder::Badc).registers(&[0x5550, 0x504D]), text("PUMP"));
        assert_eq!(decoder(RegisterFormat::Characters(2), WordOrder::Abcd).registers(&[0x4F, 0x4B]), text("OK"));
        assert_eq!(decoder(RegisterFormat::Characters(2), WordOrder::Dcba).registers(&[0x4F00, 0x4B00]), text("OK"));
        // Registers of texts are always in order.
        assert_eq!(decoder(RegisterFormat::String(2), WordOrder::Cdab).registers(&[0x5055, 0x4D50]), text("PUMP"));
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
            prop_assert_eq!(of(RegisterFormat::U64, &bits.to_be_bytes()), Some(Value::U64(bits)));
            prop_assert_eq!(of(RegisterFormat::I64, &bits.to_be_bytes()), Some(Value::I64(bits as i64)));
            let float = f32::from_bits(b32);
            prop_assert_eq!(of(RegisterFormat::F32, &b32.to_be_bytes()), (!float.is_nan()).then_some(Value::F32(float)));
            let float = f64::from_bits(bits);
            prop_assert_eq!(of(RegisterFormat::F64, &bits.to_be_bytes()), (!float.is_nan()).then_some(Value::F64(float)));
        }

        #[test]
        fn a_type_that_fits_loses_nothing(word in any::<u16>(), other in any::<u16>()) {
            for format in [RegisterFormat::U16, RegisterFormat::I16, RegisterFormat::U32, RegisterFormat::I32, RegisterFormat::U8Low, RegisterFormat::I8High, RegisterFormat::Bit(3)] {
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
