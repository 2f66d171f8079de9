//! One tag's run inside a journal record.

use crate::codec::bits::{get_varint, put_varint};
use crate::codec::choice::Codec;
use crate::codec::constant::{self, Constant};
use crate::codec::raw::{self, Raw};
use crate::codec::{PresenceCodec, QualityCodec, TimestampCodec};
use crate::codec::{presence, quality, timestamps};
use crate::error::FieldFault;
use crate::{CorruptRecord, Samples, ValueType, Values};

/// Bytes of an empty run: tag id, value type, layout, count.
pub(super) const BYTES_MIN: usize = 7;

// The layout byte: a set bit names the codec that is not the simplest one.
const TIMESTAMPS_DELTA_OF_DELTA: u8 = 1;
const VALUES_CONSTANT: u8 = 2;
const PRESENCE_BITMAP: u8 = 4;
const QUALITIES_RUN_LENGTH: u8 = 8;
const LAYOUT_KNOWN: u8 = TIMESTAMPS_DELTA_OF_DELTA | VALUES_CONSTANT | PRESENCE_BITMAP | QUALITIES_RUN_LENGTH;

/// Appends one run whose columns have the same length.
pub(super) fn encode(tag_id: u32, samples: &Samples, out: &mut Vec<u8>) {
    out.extend_from_slice(&tag_id.to_le_bytes());
    out.push(samples.value_type() as u8);
    let layout_at = out.len();
    out.push(0);
    put_varint(samples.len() as u64, out);
    let Some(first) = samples.timestamps.first() else {
        return;
    };
    let mut layout = 0;
    out.extend_from_slice(&first.to_le_bytes());
    if let Some(step) = timestamps::constant_step(&samples.timestamps) {
        let step_bytes = timestamps::constant_step_bytes(samples.len());
        out.extend_from_slice(&step.to_le_bytes()[..step_bytes]);
    } else {
        layout |= TIMESTAMPS_DELTA_OF_DELTA;
        with_length(out, |out| {
            timestamps::encode_plain(&samples.timestamps, out);
        });
    }
    let present;
    let mut stored = &samples.values;
    if presence::encode(samples.validity.as_ref(), out) == PresenceCodec::Bitmap {
        layout |= PRESENCE_BITMAP;
        if let Some(validity) = &samples.validity {
            present = presence::present(&samples.values, validity);
            stored = &present;
        }
    }
    if encode_constant(stored, out) {
        layout |= VALUES_CONSTANT;
    } else if let Values::String(_) = stored {
        with_length(out, |out| raw::encode(stored, out));
    } else {
        raw::encode(stored, out);
    }
    if constant::applies(&samples.qualities) {
        constant::encode(&samples.qualities, out);
    } else {
        layout |= QUALITIES_RUN_LENGTH;
        with_length(out, |out| {
            quality::encode_plain(&samples.qualities, out);
        });
    }
    out[layout_at] = layout;
}

/// Appends what `column` appends, with its length in front, u32 little-endian.
fn with_length(out: &mut Vec<u8>, column: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    column(out);
    // A column past 4 GiB makes the record pass its limit, which the caller checks next.
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends one lane when all values are the same fixed-width value, two or more times.
fn encode_constant(stored: &Values, out: &mut Vec<u8>) -> bool {
    fn append<T: crate::codec::lane::Lane>(values: &[T], out: &mut Vec<u8>) -> bool {
        let constant = values.len() > 1 && constant::applies(values);
        if constant {
            constant::encode(values, out);
        }
        constant
    }
    match stored {
        Values::F64(values) => append(values, out),
        Values::F32(values) => append(values, out),
        Values::I64(values) => append(values, out),
        Values::U64(values) => append(values, out),
        Values::Bool(values) => append(values, out),
        Values::State(values) => append(values, out),
        Values::String(_) => false,
    }
}

/// Length in bytes of a raw or constant column of a fixed-width type; `None` for text.
const fn fixed_bytes(value_type: ValueType, constant: bool, count: usize) -> Option<usize> {
    let lane_bytes = match value_type {
        ValueType::F64 | ValueType::I64 | ValueType::U64 => 8,
        ValueType::F32 | ValueType::State => 4,
        ValueType::Bool if constant => 1,
        ValueType::Bool => return Some(count.div_ceil(8)),
        ValueType::String => return None,
    };
    Some(if constant { lane_bytes } else { count * lane_bytes })
}

/// Reads the run at `at`, of at most `samples_max` samples, and moves `at` past it.
pub(super) fn decode(bytes: &[u8], at: &mut usize, samples_max: usize) -> Result<(u32, Samples), CorruptRecord> {
    let mut cursor = RunReader { bytes, at: *at };
    let tag_id = cursor.array("tag id").map(u32::from_le_bytes).map_err(|fault| fault.in_record(None))?;
    let samples = cursor.run(samples_max).map_err(|fault| fault.in_record(Some(tag_id)))?;
    *at = cursor.at;
    Ok((tag_id, samples))
}

struct RunReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> RunReader<'a> {
    fn run(&mut self, samples_max: usize) -> Result<Samples, FieldFault> {
        let type_at = self.at;
        let [type_id, layout] = self.array("value type and layout")?;
        let value_type = ValueType::try_from(type_id).map_err(|_| FieldFault::new("value type", type_at, "1 to 7", type_id))?;
        let text = value_type == ValueType::String;
        if layout & !LAYOUT_KNOWN != 0 || text && layout & VALUES_CONSTANT != 0 {
            return Err(FieldFault::new("layout", type_at + 1, "the four lowest bits, and never constant texts", layout));
        }
        let count_at = self.at;
        let count = get_varint(self.bytes, &mut self.at, "count")?;
        if count > samples_max {
            return Err(FieldFault::new("count", count_at, format!("at most {samples_max}"), count));
        }
        let mut samples = Samples::new(value_type);
        if count == 0 {
            if layout != 0 {
                return Err(FieldFault::new("layout of an empty run", type_at + 1, 0, layout));
            }
            return Ok(samples);
        }
        let first = i64::from_le_bytes(self.array("first timestamp")?);
        let (codec, length) = if layout & TIMESTAMPS_DELTA_OF_DELTA == 0 {
            (TimestampCodec::ConstantStep, timestamps::constant_step_bytes(count))
        } else {
            (TimestampCodec::DeltaOfDelta, self.length()?)
        };
        // Each block of 128 takes a byte or more: refuse before allocating for timestamps that cannot be there.
        if codec == TimestampCodec::DeltaOfDelta && count / 128 > length {
            return Err(FieldFault::new("length of the timestamps", self.at, count / 128, length));
        }
        self.column(length, "timestamps", |bytes| timestamps::decode(codec, bytes, first, count, &mut samples.timestamps))?;

        let codec = if layout & PRESENCE_BITMAP == 0 { PresenceCodec::AllPresent } else { PresenceCodec::Bitmap };
        let length = presence::column_bytes(codec, count);
        samples.validity = self.column(length, "presence", |bytes| presence::decode(codec, bytes, count, None))?;

        let stored = count - samples.null_count();
        let constant = layout & VALUES_CONSTANT != 0;
        let length = match fixed_bytes(value_type, constant, stored) {
            Some(length) => length,
            None => self.length()?,
        };
        let mut present = Values::new(value_type);
        self.column(length, "values", |bytes| {
            if constant { Constant::decode(bytes, stored, &mut present) } else { Raw::decode(bytes, stored, &mut present) }
        })?;
        match &samples.validity {
            Some(validity) => presence::scatter(&present, validity, &mut samples.values).map_err(|fault| fault.shifted(self.at))?,
            None => samples.values = present,
        }

        let (codec, length) =
            if layout & QUALITIES_RUN_LENGTH == 0 { (QualityCodec::Constant, 4) } else { (QualityCodec::RunLength, self.length()?) };
        self.column(length, "qualities", |bytes| quality::decode(codec, bytes, count, &mut samples.qualities))?;
        Ok(samples)
    }

    /// Reads the next `length` bytes as a column.
    fn column<T>(
        &mut self,
        length: usize,
        what: &'static str,
        decode: impl FnOnce(&'a [u8]) -> Result<T, FieldFault>,
    ) -> Result<T, FieldFault> {
        let at = self.at;
        let bytes = self.bytes.get(at..).and_then(|rest| rest.get(..length)).ok_or_else(|| self.short(what, length))?;
        self.at += length;
        decode(bytes).map_err(|fault| fault.shifted(at))
    }

    fn length(&mut self) -> Result<usize, FieldFault> {
        Ok(u32::from_le_bytes(self.array("length of a column")?) as usize)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FieldFault> {
        let field = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let field = field.ok_or_else(|| self.short(what, N))?;
        self.at += N;
        Ok(*field)
    }

    fn short(&self, what: &'static str, expected: usize) -> FieldFault {
        FieldFault::new(what, self.at, format!("{expected} bytes"), self.bytes.len() - self.at)
    }
}
