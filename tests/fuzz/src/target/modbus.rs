//! Modbus: what devices answer, how registers are decoded, how addresses are written.

use std::str;

use historian_modbus::{address::Address, decode::RegisterDecoder, format::RegisterFormat, fuzz, scaling::Scaling, word_order::WordOrder};
use historian_model::ValueType;

use super::Target;

pub const ANSWER: Target = Target {
    name: "modbus_answer",
    about: "answers of devices over TCP and RTU, with noise around them",
    inputs: 25_000,
    run: fuzz::answer,
    seeds: || {
        let registers = [3, 4, 0, 1, 0, 2];
        let tcp = [&[2, 17, 1, 0, 0, 9, 0, 0, 0, 7, 17][..], &registers].concat();
        let rtu = |unit: u8, pdu: &[u8]| {
            let frame = [&[unit][..], pdu].concat();
            [&frame[..], &checksum(&frame).to_le_bytes()].concat()
        };
        let refused = [&[2, 17, 1, 0][..], &rtu(17, &[0x83, 2])].concat();
        let noise = [&[2, 17, 1, 1, 0xFF, 0x00][..], &rtu(9, &registers), &rtu(17, &registers)].concat();
        let bits = [&[0, 17, 8, 0][..], &rtu(17, &[1, 2, 0xAA, 1])].concat();
        vec![tcp, refused, noise, bits]
    },
};

pub const REGISTERS: Target = Target {
    name: "modbus_registers",
    about: "registers in every format, word order and value type",
    inputs: 40_000,
    run: |bytes| {
        let [format, order, value_type, scaled, rest @ ..] = bytes else { return false };
        let words: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        let format = FORMATS[usize::from(*format) % FORMATS.len()].parse::<RegisterFormat>();
        let Ok(format) = format else { return false };
        let value_type = ValueType::ALL[usize::from(*value_type) % ValueType::ALL.len()];
        let Some(words) = words.get(..usize::from(format.registers())).filter(|_| format.fits(value_type)) else { return false };
        let numbers = (scaled & 1 == 1 && value_type == ValueType::F64 && format.is_number()).then(|| {
            let number = |at: usize| rest.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0.1, f64::from_le_bytes);
            // As the configuration takes them.
            let finite = |number: f64| if number.is_finite() && number != 0.0 { number } else { 0.1 };
            Scaling::new(finite(number(0)), finite(number(8)))
        });
        let order = WordOrder::ALL[usize::from(*order) % 4];
        let decoder = RegisterDecoder { format, order, scaling: numbers, value_type, not_available: Vec::new() };
        if let Ok(value) = decoder.registers(words) {
            assert_eq!(value.value_type(), value_type, "{decoder:?} of {words:?}");
        }
        true
    },
    seeds: || {
        let words = [0x42, 0x28, 0x00, 0x01, 0x7F, 0xF0, 0, 0, 0x80, 0, 0xFF, 0xFF, b'a', b'b', 0, 0xFF];
        let fits = |format: u8, value_type: u8| {
            let format = FORMATS[usize::from(format)].parse::<RegisterFormat>();
            format.is_ok_and(|format| format.fits(ValueType::ALL[usize::from(value_type)]))
        };
        let formats = 0..FORMATS.len() as u8;
        let pairs = formats.flat_map(|format| (0..ValueType::ALL.len() as u8).map(move |value_type| (format, value_type)));
        pairs
            .filter(|(format, value_type)| fits(*format, *value_type))
            .map(|(format, value_type)| [&[format, 1, value_type, 1][..], &words].concat())
            .collect()
    },
};

pub const ADDRESS: Target = Target {
    name: "modbus_address",
    about: "addresses and formats as people write them",
    inputs: 30_000,
    run: |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return false };
        if let Ok(format) = text.parse::<RegisterFormat>() {
            assert!(format.registers() <= 125, "{format}");
            return true;
        }
        [true, false].map(|zero_based| Address::parse(text, zero_based).is_ok()).contains(&true)
    },
    seeds: || {
        ["holding:100.3", "holding:100.4-7", "2!input:5", "40101", "465535.15", "coil:7", "string:8", "characters:125", "u8-low"]
            .map(|text| text.as_bytes().to_vec())
            .into()
    },
};

const FORMATS: [&str; 35] = [
    "u16",
    "i16",
    "u32",
    "i32",
    "u48",
    "i48",
    "u64",
    "i64",
    "f16",
    "f32",
    "f64",
    "u8-low",
    "u8-high",
    "i8-low",
    "i8-high",
    "bcd16",
    "bcd32",
    "bcd48",
    "bcd64",
    "m10k32",
    "m10k48",
    "m10k64",
    "unix32",
    "unix64",
    "unix64-ms",
    "date-time:3",
    "date-time:4",
    "date-time:6",
    "ipv4",
    "ipv6",
    "eui48",
    "string:3",
    "string-low:3",
    "string-high:3",
    "characters:3",
];

/// That of RTU.
fn checksum(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0xFFFF, |sum, byte| (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 }))
}
