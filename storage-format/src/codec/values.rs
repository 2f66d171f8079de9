//! Chooses and applies the codec of a value column, once per column and never per sample.

use super::lane::{self, Lane, Real};
use super::{
    ValueCodec, constant, decimal, dictionary, gorilla, integer_delta, integer_scale, integers, narrow, pcodec, run_length, text, verify,
};
use crate::chunk::Effort;
use crate::error::Fault;
use crate::{Bitmap, ValueType, Values};

/// Appends the column of the present values and tells which codec it took.
pub(crate) fn encode(values: &Values, effort: Effort, out: &mut Vec<u8>) -> ValueCodec {
    match values {
        Values::F64(values) => choose(values, effort, out),
        Values::F32(values) => choose(values, effort, out),
        Values::I64(values) => choose(values, effort, out),
        Values::U64(values) => choose(values, effort, out),
        Values::State(values) => choose(values, effort, out),
        Values::Bool(values) => choose(values, effort, out),
        Values::String(values) => text::encode(values, effort, out),
    }
}

/// As `encode`, for the f32 inside a column of f64.
pub(crate) fn encode_narrow(values: &[f32], effort: Effort, out: &mut Vec<u8>) -> ValueCodec {
    choose(values, effort, out)
}

/// Whether a value type may be stored with a codec.
pub(crate) const fn fits(codec: ValueCodec, value_type: ValueType) -> bool {
    use ValueType::{Bool, F32, F64, I64, String, U64};
    match codec {
        ValueCodec::Raw | ValueCodec::Constant => true,
        ValueCodec::Gorilla | ValueCodec::Pco => !matches!(value_type, Bool | String),
        ValueCodec::RunLength | ValueCodec::Packed => !matches!(value_type, String),
        ValueCodec::IntegerDelta => matches!(value_type, I64 | U64),
        ValueCodec::Dictionary => !matches!(value_type, Bool),
        ValueCodec::Decimal | ValueCodec::IntegerScale => matches!(value_type, F64 | F32),
        ValueCodec::Narrow => matches!(value_type, F64),
        ValueCodec::Zstd => matches!(value_type, String),
    }
}

/// What is tried with a column of a lane type, besides the codecs that every type has.
trait Column: Lane {
    /// Offers the columns that are quick to make, at most a few.
    fn offer_hot(values: &[Self], best: &mut Best<'_, Self>);

    /// Offers everything that may be smaller.
    fn offer_cold(values: &[Self], best: &mut Best<'_, Self>);

    /// The codecs that only some types have.
    fn decode_own(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Vec<Self>) -> Result<(), Fault>;
}

/// The smallest column so far, at the end of `out`.
struct Best<'a, T> {
    values: &'a [T],
    out: &'a mut Vec<u8>,
    start: usize,
    codec: Option<ValueCodec>,
}

impl<T: Column> Best<'_, T> {
    fn len(&self) -> usize {
        if self.codec.is_some() { self.out.len() - self.start } else { usize::MAX }
    }

    /// Takes what `column` appends if it says so and it is smaller than what is there. Whether it was taken.
    fn offer(&mut self, codec: ValueCodec, column: impl FnOnce(&[T], &mut Vec<u8>) -> bool) -> bool {
        let (before, limit) = (self.out.len(), self.len());
        #[cfg(test)]
        let distorted = tests::distort(codec, self.values);
        #[cfg(test)]
        let made = column(&distorted, self.out);
        #[cfg(not(test))]
        let made = column(self.values, self.out);
        if made && self.out.len() - before < limit {
            self.out.drain(self.start..before);
            self.codec = Some(codec);
            return true;
        }
        self.out.truncate(before);
        false
    }
}

fn choose<T: Column>(values: &[T], effort: Effort, out: &mut Vec<u8>) -> ValueCodec {
    let start = out.len();
    if values.is_empty() {
        return ValueCodec::Raw;
    }
    if constant::applies(values) {
        constant::encode(values, out);
        return ValueCodec::Constant;
    }
    let mut best = Best { values, out, start, codec: None };
    // Runs that take less than a bit a value need no comparison with others.
    // A hot column that mostly changes in its first values is not looked at for runs.
    let first = &values[..values.len().min(64)];
    let changing = effort == Effort::Hot && run_length::runs(first) * 2 > first.len() && values.len() > first.len();
    let run_count = if changing { values.len() } else { run_length::runs(values) };
    // A run takes its lane and at least one byte: most columns have too many for a closer look.
    let runs = |limit| run_count * (T::BYTES + 1) <= limit && run_length::size_within(values, limit).is_some();
    let few_runs = runs(T::BYTES + values.len() / 8);
    if few_runs {
        best.offer(ValueCodec::RunLength, |values, out| append(values, out, run_length::encode));
    }
    if effort == Effort::Cold {
        T::offer_cold(values, &mut best);
    } else if !few_runs {
        T::offer_hot(values, &mut best);
    }
    if !few_runs && runs(best.len().saturating_sub(1)) {
        best.offer(ValueCodec::RunLength, |values, out| append(values, out, run_length::encode));
    }
    if best.len() >= raw_bytes::<T>(values.len()) {
        best.offer(ValueCodec::Raw, |values, out| append(values, out, put_raw));
    }
    let codec = best.codec.unwrap_or(ValueCodec::Raw);
    if !must_verify(effort) || verify::exact(comes_back(codec, values, &out[start..])) {
        return codec;
    }
    out.truncate(start);
    put_raw(values, out);
    ValueCodec::Raw
}

/// Whether the column is decoded and compared before it is kept: everything that is cold. What is hot is
/// of integer codecs, exact by construction, or of `decimal`, which compares each value with what its
/// formula gives while it encodes.
const fn must_verify(effort: Effort) -> bool {
    matches!(effort, Effort::Cold)
}

fn comes_back<T: Column>(codec: ValueCodec, values: &[T], bytes: &[u8]) -> bool {
    let mut decoded: Vec<T> = Vec::with_capacity(values.len());
    let read = decode_lanes(codec, bytes, values.len(), &mut decoded);
    // No early exit, so that several are compared at a time.
    read.is_ok()
        && decoded.len() == values.len()
        && decoded.iter().zip(values).fold(0, |differs, (a, b)| differs | a.to_lane() ^ b.to_lane()) == 0
}

fn append<T>(values: &[T], out: &mut Vec<u8>, encode: impl FnOnce(&[T], &mut Vec<u8>)) -> bool {
    encode(values, out);
    true
}

fn raw_bytes<T: Lane>(count: usize) -> usize {
    if T::IS_BIT { count.div_ceil(8) } else { count * T::BYTES }
}

fn put_raw<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    if T::IS_BIT {
        out.extend(values.chunks(8).map(|eight| eight.iter().rev().fold(0, |byte, bit| byte << 1 | bit.to_lane().to_le_bytes()[0])));
    } else {
        lane::put_all(values, out);
    }
}

/// Distinct lanes of a cold column beyond which a dictionary is not tried.
const COLD_ENTRIES_MAX: usize = 8_192;

fn offer_packed<T: Column>(effort: Effort, best: &mut Best<'_, T>) {
    best.offer(ValueCodec::Packed, |values, out| {
        let numbers: Vec<i64> = values.iter().map(|value| value.to_order()).collect();
        integers::encode(&numbers, effort, out);
        true
    });
}

/// True when the first values repeat each other so much that few distinct ones are to be expected.
fn seems_few<T: Lane>(values: &[T]) -> bool {
    let mut some: Vec<u64> = values.iter().step_by(values.len() / 64 + 1).map(|value| value.to_lane()).collect();
    let count = some.len();
    some.sort_unstable();
    some.dedup();
    some.len() * 2 <= count
}

fn offer_hot_float<T: Column + Real>(values: &[T], best: &mut Best<'_, T>) {
    if let Some(exponent) = decimal::exponent(values)
        && best.offer(ValueCodec::Decimal, |values, out| decimal::encode(values, exponent, Effort::Hot, out))
    {
        return;
    }
    if seems_few(values) {
        best.offer(ValueCodec::Dictionary, |values, out| dictionary::encode(values, values.len() / 4, Effort::Hot, out));
    }
}

/// True when a formula explains the values: then nothing that looks at their bits has anything to gain.
fn offer_cold_float<T: Column + Real>(values: &[T], best: &mut Best<'_, T>) -> bool {
    let explained = if let Some(exponent) = decimal::exponent(values) {
        best.offer(ValueCodec::Decimal, |values, out| decimal::encode(values, exponent, Effort::Cold, out))
    } else if let Some(formula) = integer_scale::Formula::find(values) {
        best.offer(ValueCodec::IntegerScale, |values, out| integer_scale::encode(values, formula, Effort::Cold, out))
    } else {
        false
    };
    // Levels in the order of their values say no more than the formula's whole numbers, unless few of those occur.
    if !explained || best.len() > values.len() / 4 && seems_few(values) {
        let limit = (values.len() / 8).min(COLD_ENTRIES_MAX);
        best.offer(ValueCodec::Dictionary, |values, out| dictionary::encode(values, limit, Effort::Cold, out));
    }
    explained && best.len() < values.len() * 2
}

impl Column for f64 {
    fn offer_hot(values: &[Self], best: &mut Best<'_, Self>) {
        offer_hot_float(values, best);
        if best.codec.is_none() && !best.offer(ValueCodec::Narrow, |values, out| narrow::encode(values, Effort::Hot, out)) {
            best.offer(ValueCodec::Gorilla, |values, out| append(values, out, gorilla::encode));
        }
    }

    fn offer_cold(values: &[Self], best: &mut Best<'_, Self>) {
        if offer_cold_float(values, best) {
            return;
        }
        if !best.offer(ValueCodec::Narrow, |values, out| narrow::encode(values, Effort::Cold, out)) {
            offer_cold_unexplained(values, best);
        }
    }

    fn decode_own(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Vec<Self>) -> Result<(), Fault> {
        match codec {
            ValueCodec::Narrow => narrow::decode(bytes, count, out),
            ValueCodec::Decimal => decimal::decode(bytes, count, out),
            ValueCodec::IntegerScale => integer_scale::decode(bytes, count, out),
            ValueCodec::Pco => pcodec::decode(bytes, count, out),
            _ => Err(misfit(codec, ValueType::F64)),
        }
    }
}

impl Column for f32 {
    fn offer_hot(values: &[Self], best: &mut Best<'_, Self>) {
        offer_hot_float(values, best);
        if best.codec.is_none() {
            best.offer(ValueCodec::Gorilla, |values, out| append(values, out, gorilla::encode));
        }
    }

    fn offer_cold(values: &[Self], best: &mut Best<'_, Self>) {
        if !offer_cold_float(values, best) {
            offer_cold_unexplained(values, best);
        }
    }

    fn decode_own(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Vec<Self>) -> Result<(), Fault> {
        match codec {
            ValueCodec::Decimal => decimal::decode(bytes, count, out),
            ValueCodec::IntegerScale => integer_scale::decode(bytes, count, out),
            ValueCodec::Pco => pcodec::decode(bytes, count, out),
            _ => Err(misfit(codec, ValueType::F32)),
        }
    }
}

/// Gorilla, pco and packing: for floats that no formula explains.
fn offer_cold_unexplained<T: Column + pco::data_types::Number>(values: &[T], best: &mut Best<'_, T>) {
    offer_packed(Effort::Cold, best);
    if best.len() > values.len() {
        best.offer(ValueCodec::Pco, |values, out| pcodec::encode(values, out));
    }
    if best.len() > values.len() * T::BYTES * 3 / 4 {
        best.offer(ValueCodec::Gorilla, |values, out| append(values, out, gorilla::encode));
    }
}

macro_rules! integer_column {
    ($($number:ty, $value_type:ident;)+) => {$(
        impl Column for $number {
            fn offer_hot(_: &[Self], best: &mut Best<'_, Self>) {
                offer_packed(Effort::Hot, best);
            }

            fn offer_cold(values: &[Self], best: &mut Best<'_, Self>) {
                offer_packed(Effort::Cold, best);
                let limit = (values.len() / 8).min(COLD_ENTRIES_MAX);
                best.offer(ValueCodec::Dictionary, |values, out| dictionary::encode(values, limit, Effort::Cold, out));
                if best.len() > values.len() {
                    best.offer(ValueCodec::Pco, |values, out| pcodec::encode(values, out));
                }
            }

            fn decode_own(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Vec<Self>) -> Result<(), Fault> {
                match codec {
                    ValueCodec::IntegerDelta => integer_delta::decode(bytes, count, out),
                    ValueCodec::Pco => pcodec::decode(bytes, count, out),
                    _ => Err(misfit(codec, ValueType::$value_type)),
                }
            }
        }
    )+};
}

integer_column! {
    i64, I64;
    u64, U64;
    u32, State;
}

impl Column for bool {
    fn offer_hot(_: &[Self], _: &mut Best<'_, Self>) {}

    fn offer_cold(_: &[Self], best: &mut Best<'_, Self>) {
        offer_packed(Effort::Cold, best);
    }

    fn decode_own(codec: ValueCodec, _: &[u8], _: usize, _: &mut Vec<Self>) -> Result<(), Fault> {
        Err(misfit(codec, ValueType::Bool))
    }
}

/// Appends the values as they are.
pub(crate) fn encode_raw(values: &Values, out: &mut Vec<u8>) {
    match values {
        Values::F64(values) => put_raw(values, out),
        Values::F32(values) => put_raw(values, out),
        Values::I64(values) => put_raw(values, out),
        Values::U64(values) => put_raw(values, out),
        Values::State(values) => put_raw(values, out),
        Values::Bool(values) => put_raw(values, out),
        Values::String(values) => text::encode_raw(values, out),
    }
}

/// Appends `count` present values to a column of the same type.
pub(crate) fn decode(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Values) -> Result<(), Fault> {
    match out {
        Values::F64(out) => decode_lanes(codec, bytes, count, out),
        Values::F32(out) => decode_lanes(codec, bytes, count, out),
        Values::I64(out) => decode_lanes(codec, bytes, count, out),
        Values::U64(out) => decode_lanes(codec, bytes, count, out),
        Values::State(out) => decode_lanes(codec, bytes, count, out),
        Values::Bool(out) => decode_lanes(codec, bytes, count, out),
        Values::String(out) => text::decode(codec, bytes, count, out),
    }
}

/// Appends `count` lanes.
#[expect(private_bounds, reason = "the trait is how this file tells the types apart")]
pub(crate) fn decode_lanes<T: Column>(codec: ValueCodec, bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), Fault> {
    match codec {
        ValueCodec::Raw => decode_raw(bytes, count, out),
        ValueCodec::Constant => constant::decode(bytes, count, out),
        ValueCodec::RunLength => run_length::decode(bytes, count, out),
        ValueCodec::Packed => decode_packed(bytes, count, out),
        ValueCodec::Gorilla if !T::IS_BIT => gorilla::decode(bytes, count, out),
        ValueCodec::Dictionary if !T::IS_BIT => dictionary::decode(bytes, count, out),
        _ => T::decode_own(codec, bytes, count, out),
    }
}

fn decode_raw<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), Fault> {
    let expected = raw_bytes::<T>(count);
    if bytes.len() != expected {
        return Err(Fault::new("length of raw values", 0, expected, bytes.len()));
    }
    if T::IS_BIT {
        let unused = expected * 8 - count;
        if bytes.last().is_some_and(|last| last.leading_zeros() < unused as u32) {
            return Err(Fault::new("unused bits of raw values", expected - 1, "zero", "set bits"));
        }
        out.extend((0..count).map(|index| T::from_lane(u64::from(bytes[index / 8] >> (index % 8) & 1))));
    } else {
        lane::get_all(bytes, out);
    }
    Ok(())
}

fn decode_packed<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), Fault> {
    let mut numbers = vec![0; count];
    integers::decode(bytes, 0, &mut numbers)?;
    let start = out.len();
    out.extend(numbers.iter().map_while(|number| T::from_order(*number)));
    if out.len() - start != count {
        return Err(Fault::new("packed value", 0, "a place in the order of its type", numbers[out.len() - start]));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// The codec that is faulty for the time being: one of its values comes out as another.
        static FAULTY: Cell<Option<ValueCodec>> = const { Cell::new(None) };
    }

    pub(super) fn distort<T: Lane>(codec: ValueCodec, values: &[T]) -> Cow<'_, [T]> {
        if FAULTY.get() != Some(codec) {
            return Cow::Borrowed(values);
        }
        let mut distorted = values.to_vec();
        let middle = distorted.len() / 2;
        distorted[middle] = distorted[middle - 1];
        Cow::Owned(distorted)
    }

    /// Values that the codec is chosen for.
    fn made_for(codec: ValueCodec) -> Values {
        let count = 2_000_u32;
        let noise = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 12) / f64::from(1 << 20);
        let reals = |value: &dyn Fn(u32) -> f64| Values::F64((0..count).map(value).collect());
        match codec {
            ValueCodec::Decimal => reals(&|i| f64::from(i * i % 977) / 100.0),
            ValueCodec::IntegerScale => reals(&|i| -50.0 + f64::from(i * i % 4_001) * (160.0 / 4_095.0)),
            ValueCodec::Dictionary => reals(&|i| (f64::from((noise(i) * 9.0) as u32) + 0.1).sqrt()),
            ValueCodec::Narrow => reals(&|i| f64::from(noise(i).sqrt() as f32)),
            ValueCodec::Packed => reals(&|i| noise(i).sqrt() + 100.0),
            _ => unreachable!("no data for {codec:?}"),
        }
    }

    #[test]
    fn a_faulty_codec_costs_space_and_never_a_value() {
        for codec in [ValueCodec::Decimal, ValueCodec::IntegerScale, ValueCodec::Dictionary, ValueCodec::Narrow, ValueCodec::Packed] {
            let values = made_for(codec);
            for faulty in [false, true] {
                FAULTY.set(faulty.then_some(codec));
                let before = verify::inexact_columns();
                let mut bytes = Vec::new();
                let taken = encode(&values, Effort::Cold, &mut bytes);
                FAULTY.set(None);
                assert_eq!(taken, if faulty { ValueCodec::Raw } else { codec });
                assert!(!faulty || verify::inexact_columns() > before);
                let mut read = Values::new(ValueType::F64);
                decode(taken, &bytes, values.len(), &mut read).unwrap();
                assert_eq!(read, values);
            }
        }
    }
}
