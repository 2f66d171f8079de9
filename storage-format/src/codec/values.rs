//! Chooses and applies the codec of a value column, once per column and never per sample.

use super::lane::{self, Lane};
use super::{ValueCodec, constant, gorilla, integer_delta, run_length, text};
use crate::error::Fault;
use crate::{Bitmap, StringColumn, ValueType, Values};

/// Appends the column of the present values and tells which codec it took: the smallest one.
pub(crate) fn encode(values: &Values, out: &mut Vec<u8>) -> ValueCodec {
    match values {
        Values::F64(values) => encode_lanes(values, false, out),
        Values::F32(values) => encode_lanes(values, false, out),
        Values::I64(values) => encode_lanes(values, true, out),
        Values::U64(values) => encode_lanes(values, true, out),
        Values::State(values) => encode_lanes(values, false, out),
        Values::Bool(values) => encode_bools(values, out),
        Values::String(values) => text::encode(values, out),
    }
}

/// Whether a value type may be stored with a codec.
pub(crate) const fn fits(codec: ValueCodec, value_type: ValueType) -> bool {
    match codec {
        ValueCodec::Raw | ValueCodec::Constant => true,
        ValueCodec::Gorilla => !matches!(value_type, ValueType::Bool | ValueType::String),
        ValueCodec::RunLength => !matches!(value_type, ValueType::String),
        ValueCodec::IntegerDelta => matches!(value_type, ValueType::I64 | ValueType::U64),
    }
}

fn encode_lanes<T: Lane>(values: &[T], integers: bool, out: &mut Vec<u8>) -> ValueCodec {
    if values.is_empty() {
        return ValueCodec::Raw;
    }
    if constant::applies(values) {
        constant::encode(values, out);
        return ValueCodec::Constant;
    }
    let raw_bytes = values.len() * T::BYTES;
    // Gorilla takes a bit per value at least: runs shorter than that need no comparison.
    if !integers && run_length::size_within(values, T::BYTES + values.len() / 8).is_some() {
        run_length::encode(values, out);
        return ValueCodec::RunLength;
    }
    let start = out.len();
    let mut best = ValueCodec::Gorilla;
    gorilla::encode(values, out);
    if integers {
        let mut deltas = Vec::new();
        integer_delta::encode(values, &mut deltas);
        if deltas.len() < out.len() - start {
            best = ValueCodec::IntegerDelta;
            out.truncate(start);
            out.append(&mut deltas);
        }
    }
    let limit = (out.len() - start).min(raw_bytes).saturating_sub(1);
    if run_length::size_within(values, limit).is_some() {
        best = ValueCodec::RunLength;
        out.truncate(start);
        run_length::encode(values, out);
    } else if raw_bytes <= out.len() - start {
        best = ValueCodec::Raw;
        out.truncate(start);
        lane::put_all(values, out);
    }
    best
}

fn encode_bools(values: &[bool], out: &mut Vec<u8>) -> ValueCodec {
    if values.is_empty() {
        return ValueCodec::Raw;
    }
    if constant::applies(values) {
        constant::encode(values, out);
        return ValueCodec::Constant;
    }
    let raw_bytes = values.len().div_ceil(8);
    if run_length::size_within(values, raw_bytes.saturating_sub(1)).is_some() {
        run_length::encode(values, out);
        return ValueCodec::RunLength;
    }
    encode_raw_bools(values, out);
    ValueCodec::Raw
}

/// Appends the values as they are.
pub(crate) fn encode_raw(values: &Values, out: &mut Vec<u8>) {
    match values {
        Values::F64(values) => lane::put_all(values, out),
        Values::F32(values) => lane::put_all(values, out),
        Values::I64(values) => lane::put_all(values, out),
        Values::U64(values) => lane::put_all(values, out),
        Values::State(values) => lane::put_all(values, out),
        Values::Bool(values) => encode_raw_bools(values, out),
        Values::String(values) => text::encode_raw(values, out),
    }
}

/// Booleans as they are take a bit each.
fn encode_raw_bools(values: &[bool], out: &mut Vec<u8>) {
    out.extend(values.chunks(8).map(|eight| eight.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))));
}

/// Appends `count` present values to a column of the same type.
pub(crate) fn decode(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Values) -> Result<(), Fault> {
    match out {
        Values::F64(out) => decode_lanes(codec, bytes, count, out),
        Values::F32(out) => decode_lanes(codec, bytes, count, out),
        Values::I64(out) => decode_lanes(codec, bytes, count, out),
        Values::U64(out) => decode_lanes(codec, bytes, count, out),
        Values::State(out) => decode_lanes(codec, bytes, count, out),
        Values::Bool(out) => match codec {
            ValueCodec::Raw => decode_raw_bools(bytes, count, out),
            ValueCodec::Constant => constant::decode(bytes, count, out),
            ValueCodec::RunLength => run_length::decode(bytes, count, out),
            _ => Err(misfit(codec, ValueType::Bool)),
        },
        Values::String(out) => decode_text(codec, bytes, count, out),
    }
}

fn decode_lanes<T: Lane>(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), Fault> {
    match codec {
        ValueCodec::Raw => {
            let expected = count * T::BYTES;
            if bytes.len() != expected {
                return Err(Fault::new("length of raw values", 0, expected, bytes.len()));
            }
            lane::get_all(bytes, out);
            Ok(())
        }
        ValueCodec::Constant => constant::decode(bytes, count, out),
        ValueCodec::Gorilla => gorilla::decode(bytes, count, out),
        ValueCodec::RunLength => run_length::decode(bytes, count, out),
        ValueCodec::IntegerDelta => integer_delta::decode(bytes, count, out),
    }
}

fn decode_raw_bools(bytes: &[u8], count: usize, out: &mut Vec<bool>) -> Result<(), Fault> {
    if bytes.len() != count.div_ceil(8) {
        return Err(Fault::new("length of raw values", 0, count.div_ceil(8), bytes.len()));
    }
    let bits = Bitmap::from_bytes(bytes.to_vec(), count);
    if bits.as_bytes() != bytes {
        return Err(Fault::new("unused bits of raw values", bytes.len() - 1, "zero", "set bits"));
    }
    out.extend((0..count).map(|index| bits.get(index)));
    Ok(())
}

fn decode_text(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), Fault> {
    match codec {
        ValueCodec::Raw => text::decode_raw(bytes, count, out),
        ValueCodec::Constant => text::decode_constant(bytes, count, out),
        _ => Err(misfit(codec, ValueType::String)),
    }
}

fn misfit(codec: ValueCodec, value_type: ValueType) -> Fault {
    Fault::new("value codec", 0, format!("one for {value_type}"), codec.as_str())
}

/// Length in bytes of a raw or constant column of a fixed-width type; `None` for text.
pub(crate) const fn fixed_bytes(value_type: ValueType, constant: bool, count: usize) -> Option<usize> {
    let lane_bytes = match value_type {
        ValueType::F64 | ValueType::I64 | ValueType::U64 => 8,
        ValueType::F32 | ValueType::State => 4,
        ValueType::Bool if constant => 1,
        ValueType::Bool => return Some(count.div_ceil(8)),
        ValueType::String => return None,
    };
    Some(if constant { lane_bytes } else { count * lane_bytes })
}

/// The values whose bit is true.
pub(crate) fn present(values: &Values, validity: &Bitmap) -> Values {
    let indices: Vec<u32> = (0_u32..).take(values.len()).filter(|index| validity.get(*index as usize)).collect();
    values.take(&indices)
}

/// Appends one value per bit: the next of `present` where it is true, the default where it is false.
pub(crate) fn scatter(present: &Values, validity: &Bitmap, out: &mut Values) -> Result<(), Fault> {
    fn fixed<T: Copy + Default>(present: &[T], validity: &Bitmap, out: &mut Vec<T>) {
        let mut next = present.iter().copied();
        out.extend((0..validity.len()).map(|index| if validity.get(index) { next.next().unwrap_or_default() } else { T::default() }));
    }
    match (present, out) {
        (Values::F64(present), Values::F64(out)) => fixed(present, validity, out),
        (Values::F32(present), Values::F32(out)) => fixed(present, validity, out),
        (Values::I64(present), Values::I64(out)) => fixed(present, validity, out),
        (Values::U64(present), Values::U64(out)) => fixed(present, validity, out),
        (Values::Bool(present), Values::Bool(out)) => fixed(present, validity, out),
        (Values::State(present), Values::State(out)) => fixed(present, validity, out),
        (Values::String(present), Values::String(out)) => {
            let mut next = 0;
            for index in 0..validity.len() {
                let text = if validity.get(index) { present.get(next) } else { "" };
                next += usize::from(validity.get(index));
                out.push(text).map_err(|_| Fault::new("room in the decode target", 0, "less than 2 GiB of text", "more"))?;
            }
        }
        (present, out) => {
            return Err(Fault::new("value type of the decode target", 0, present.value_type(), out.value_type()));
        }
    }
    Ok(())
}
