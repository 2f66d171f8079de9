//! Registers that Python made (struct, pymodbus, numpy, decimal, datetime, ipaddress) decode to the values that it made them of: every
//! format in every word order.

use std::{collections::BTreeMap, process::Command};

use historian::{
    modbus::{
        decode::{MissingValue, RegisterDecoder},
        format::{self, RegisterFormat},
        scaling::Scaling,
        word_order::WordOrder,
    },
    model::{Value, ValueType},
};
use serde_json::Value as Json;

use crate::support::peer::interpreter;

/// One JSON object per line: format, order, words, and the value expected, null for none. Floats are told as their bits.
const JUDGE: &str = r#"
import datetime, ipaddress, json, random, struct
from decimal import Decimal, getcontext
import numpy
from pymodbus.client import ModbusTcpClient
from pymodbus.client.mixin import ModbusClientMixin

getcontext().prec = 80
random.seed(20261130)
TYPES = ModbusClientMixin.DATATYPE
REVERSED, SWAPPED = ("CDAB", "DCBA"), ("BADC", "DCBA")

def ordered(words, order):
    words = list(reversed(words)) if order in REVERSED else list(words)
    return [int.from_bytes(word.to_bytes(2, "big"), "little") for word in words] if order in SWAPPED else words

def tell(format, words, expected, **more):
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        print(json.dumps({"format": format, "order": order, "words": ordered(words, order), "expected": expected, **more}))

def words_of(data):
    return list(struct.unpack(">%dH" % (len(data) // 2), data))

def bits(value):
    return str(struct.unpack("<Q", struct.pack("<d", value))[0])

INTEGERS = {"u16": TYPES.UINT16, "i16": TYPES.INT16, "u32": TYPES.UINT32, "i32": TYPES.INT32, "u64": TYPES.UINT64, "i64": TYPES.INT64}
for name, kind in INTEGERS.items():
    width = int(name[1:])
    low, high = (0, 2**width - 1) if name[0] == "u" else (-2**(width - 1), 2**(width - 1) - 1)
    for value in [low, high, 0, 1, low + 1, high - 1] + [random.randint(low, high) for _ in range(40)]:
        words = ModbusTcpClient.convert_to_registers(value, kind)
        # pymodbus knows two of the orders.
        assert ModbusTcpClient.convert_to_registers(value, kind, word_order="little") == ordered(words, "CDAB")
        tell(name, words, str(value))
for value in [0.0, -0.0, 1.5, float("inf"), 5e-324] + [random.uniform(-1e9, 1e9) for _ in range(40)]:
    tell("f64", ModbusTcpClient.convert_to_registers(value, TYPES.FLOAT64), bits(value))
    single = struct.unpack(">f", struct.pack(">f", value))[0]
    tell("f32", ModbusTcpClient.convert_to_registers(single, TYPES.FLOAT32), bits(single))
for word in range(65536):
    value = float(numpy.array([word], dtype=numpy.uint16).view(numpy.float16)[0])
    print(json.dumps({"format": "f16", "order": "ABCD", "words": [word], "expected": None if value != value else bits(value)}))
for name, signed in (("u48", False), ("i48", True)):
    low, high = (-2**47, 2**47 - 1) if signed else (0, 2**48 - 1)
    for value in [low, high, 0, 1] + [random.randint(low, high) for _ in range(40)]:
        tell(name, words_of(value.to_bytes(6, "big", signed=signed)), str(value))
for word in [0, 0x7F, 0x80, 0xFF80, 0x80FF] + [random.randrange(65536) for _ in range(40)]:
    high, low = word.to_bytes(2, "big")
    for name, value in (("u8-high", high), ("u8-low", low)):
        tell(name, [word], str(value))
    for name, value in (("i8-high", high), ("i8-low", low)):
        tell(name, [word], str(struct.unpack("b", bytes([value]))[0]))
for registers in (1, 2, 3, 4):
    for _ in range(60):
        digits = "".join(random.choice("0123456789") for _ in range(4 * registers))
        tell("bcd%d" % (16 * registers), words_of(bytes.fromhex(digits)), str(int(digits)))
        place = random.randrange(len(digits))
        wrong = digits[:place] + random.choice("ABCDEF") + digits[place + 1:]
        tell("bcd%d" % (16 * registers), words_of(bytes.fromhex(wrong)), None)
for registers in (2, 3, 4):
    for _ in range(40):
        parts, sign = [random.randint(0, 9999) for _ in range(registers)], random.choice((1, -1))
        words = [sign * part & 0xFFFF for part in parts]
        tell("m10k%d" % (16 * registers), words, str(sign * int("".join("%04d" % part for part in parts))))
        tell("m10k%d" % (16 * registers), words[:-1] + [random.randint(10000, 55536)], None)
EPOCH = datetime.datetime(1970, 1, 1)
for _ in range(200):
    at = EPOCH + datetime.timedelta(milliseconds=random.randrange(946684800000, 4102444799999))
    ms = (at - EPOCH) // datetime.timedelta(milliseconds=1)
    seconds, millisecond = divmod(ms, 1000)
    tell("unix32", words_of(struct.pack(">I", seconds)), str(seconds * 1000))
    tell("unix64", words_of(struct.pack(">Q", seconds)), str(seconds * 1000))
    tell("unix64-ms", words_of(struct.pack(">Q", ms)), str(ms))
    tell("date-time:6", [at.year, at.month, at.day, at.hour, at.minute, at.second], str(seconds * 1000))
    tell("date-time:3", words_of(bytes([at.year % 100, at.month, at.day, at.hour, at.minute, at.second])), str(seconds * 1000))
    iec = [at.year % 100, at.month << 8 | at.isoweekday() << 5 | at.day, at.hour << 8 | at.minute, at.second * 1000 + millisecond]
    tell("date-time:4", iec, str(ms))
for words in ([2023, 2, 29, 0, 0, 0], [2023, 0, 1, 0, 0, 0], [2023, 1, 1, 0, 60, 0], [0] * 6, [65535] * 6):
    tell("date-time:6", words, None)
for _ in range(40):
    for name, size, kind in (("ipv4", 4, ipaddress.IPv4Address), ("ipv6", 16, ipaddress.IPv6Address)):
        data = random.randbytes(size)
        tell(name, words_of(data), str(kind(data)))
    data = random.randbytes(6)
    tell("eui48", words_of(bytes(2) + data), data.hex(":").upper())
for text in ("Boiler 7", "Kälte", "µ", "x", "pump/2 €"):
    words = ModbusTcpClient.convert_to_registers(text, TYPES.STRING)
    assert ModbusTcpClient.convert_to_registers(text, TYPES.STRING, word_order="little") == ordered(words, "CDAB")
    tell("string:%d" % len(words), words, text)
    data = text.encode()
    tell("string-low:%d" % (len(data) + 1), [random.randrange(256) << 8 | byte for byte in data] + [0xFF], text)
    tell("string-high:%d" % (len(data) + 1), [byte << 8 | random.randrange(256) for byte in data] + [0], text)
    tell("characters:%d" % len(text), words_of(text.encode("utf-16-be")), text)
for scale, offset in ((1, 0), (10, 0), (1000, -5), (-3, 7), (10**6, 10**6)):
    for name in ("u32", "i32", "u64", "i64"):
        width = int(name[1:])
        low, high = (0, 2**width - 1) if name[0] == "u" else (-2**(width - 1), 2**(width - 1) - 1)
        for value in [low, high, 2**53 + 1 if width == 64 else 12345] + [random.randint(low, high) for _ in range(10)]:
            words = ModbusTcpClient.convert_to_registers(value, INTEGERS[name])
            for kind, least, most in (("i64", -2**63, 2**63 - 1), ("u64", 0, 2**64 - 1)):
                result = value * scale + offset
                tell(name, words, str(result) if least <= result <= most else None, type=kind, scale=scale, offset=offset)
for factor in range(-10, 11):
    for scale, offset in (("1", "0"), ("0.5", "-40"), ("0.1", "0")):
        for value in [0, 1, -1, 32767, -32767] + [random.randint(-32767, 32767) for _ in range(5)]:
            result = float((Decimal(value) * Decimal(scale)).scaleb(factor) + Decimal(offset))
            words = ModbusTcpClient.convert_to_registers(value, TYPES.INT16)
            tell("i16", words, bits(result), type="f64", scale=float(scale), offset=float(offset), factor=factor)
"#;

fn expected(case: &Json, value_type: ValueType) -> Option<Value> {
    let text = case["expected"].as_str()?;
    let float = || f64::from_bits(text.parse().unwrap());
    Some(match value_type {
        ValueType::U64 => Value::U64(text.parse().unwrap()),
        ValueType::I64 => Value::I64(text.parse().unwrap()),
        ValueType::F32 => Value::F32(float() as f32),
        ValueType::F64 => Value::F64(float()),
        ValueType::String => Value::String(text.to_owned()),
        ValueType::Bool | ValueType::State => panic!("no case asks for {value_type}"),
    })
}

fn is_same(found: &Result<Value, MissingValue>, expected: Option<&Value>) -> bool {
    match (found, expected) {
        (Err(_), None) => true,
        (Ok(Value::F32(found)), Some(Value::F32(expected))) => found.to_bits() == expected.to_bits(),
        // Python has a zero without a sign where a product is 0.
        (Ok(Value::F64(found)), Some(Value::F64(expected))) => found.to_bits() == expected.to_bits() || *found == 0.0 && *expected == 0.0,
        (Ok(found), Some(expected)) => found == expected,
        _ => false,
    }
}

#[test]
fn registers_that_python_made_decode_to_its_values() {
    let output = Command::new(interpreter()).args(["-c", JUDGE]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut judged: BTreeMap<String, usize> = BTreeMap::new();
    let mut differ = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let name = case["format"].as_str().unwrap();
        let format: RegisterFormat = name.parse().unwrap();
        let order: WordOrder = case["order"].as_str().unwrap().parse().unwrap();
        let words: Vec<u16> = case["words"].as_array().unwrap().iter().map(|word| word.as_u64().unwrap() as u16).collect();
        let value_type = case["type"].as_str().map_or(format.natural_type(), |text| text.parse().unwrap());
        let scaling = case["scale"].as_f64().map(|scale| {
            let scaling = Scaling::new(scale, case["offset"].as_f64().unwrap());
            case["factor"].as_i64().map_or(scaling, |power| scaling.times((1, power as i32)))
        });
        let decoder = RegisterDecoder { format, order, scaling, value_type, not_available: Vec::new() };
        let found = decoder.registers(&words);
        *judged.entry(name.split(':').next().unwrap_or(name).to_owned()).or_default() += 1;
        if !is_same(&found, expected(&case, value_type).as_ref()) {
            differ.push(format!("{line}: {found:?}"));
        }
    }
    assert!(differ.is_empty(), "{} differ, for example\n{}", differ.len(), differ[..differ.len().min(10)].join("\n"));
    for name in format::names().iter().filter(|name| *name != "bool") {
        let name = name.split(':').next().unwrap();
        assert!(judged.get(name).is_some_and(|count| *count >= 20), "{name} is judged {:?} times", judged.get(name));
    }
}
