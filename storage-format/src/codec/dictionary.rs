//! A column of few distinct values: each of them once, and for each value its place among them. Lanes stand in their order, texts in that
//! of their first use.

use std::collections::HashMap;

use super::bits::{get_varint, put_varint};
use super::choice::{Choice, Codec, lanes, misfit};
use super::lane::{self, Lane};
use super::{integers, run_length, text};
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{StringColumn, ValueType, Values};

const INDEXES_INTEGERS: u8 = 0;
const INDEXES_RUNS: u8 = 1;

/// Most entries: an index fits 16 bits.
const ENTRIES_MAX: usize = 1 << 16;

/// Distinct lanes of a cold column beyond which a dictionary is not tried.
const COLD_ENTRIES_MAX: usize = 8_192;

/// Distinct texts beyond which a dictionary is not tried.
const TEXTS_MAX: usize = 4_096;

/// The codec of values.
pub(crate) struct Dictionary;

impl Codec for Dictionary {
    fn fits(value_type: ValueType) -> bool {
        !matches!(value_type, ValueType::Bool)
    }

    fn offer(choice: &mut Choice<'_>) {
        let (count, effort) = (choice.values.len(), choice.effort);
        let hot = effort == Effort::Hot;
        let worth = match choice.values {
            Values::F64(values) => is_worth(values, choice),
            Values::F32(values) => is_worth(values, choice),
            // Integers that are packed lie as near as indexes would, but for those that are far apart: compaction looks for them.
            Values::I64(_) | Values::U64(_) | Values::State(_) => !hot,
            Values::String(_) => true,
            Values::Bool(_) => false,
        };
        if worth {
            let limit = if hot { count / 4 } else { (count / 8).min(COLD_ENTRIES_MAX) };
            choice.offer(|values, out| match values {
                Values::String(texts) => encode_texts(texts, effort, out),
                values => lanes!(values, F64 | F32 | I64 | U64 | State, values => encode(values, limit, effort, out), _ => false),
            });
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        match out {
            Values::String(out) => decode_texts(bytes, count, out),
            out => lanes!(out, F64 | F32 | I64 | U64 | State, out => decode(bytes, count, out), other => Err(misfit("dictionary", other))),
        }
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        (Effort::Cold, Values::F64((0..count).map(|_| ((noise() * 9.0).floor() + 0.1).sqrt()).collect()))
    }
}

/// Whether floats may be few. Where a formula gives them, levels in the order of their values say no more than its whole numbers, unless few
/// of those occur.
fn is_worth<T: Lane>(values: &[T], choice: &Choice<'_>) -> bool {
    match choice.effort {
        Effort::Hot => seems_few(values),
        Effort::Cold => !choice.is_explained || choice.bytes() > values.len() / 4 && seems_few(values),
    }
}

/// True when the first values repeat each other so much that few distinct ones are to be expected.
fn seems_few<T: Lane>(values: &[T]) -> bool {
    let mut some: Vec<u64> = values.iter().step_by(values.len() / 64 + 1).map(|value| value.to_lane()).collect();
    let count = some.len();
    some.sort_unstable();
    some.dedup();
    some.len() * 2 <= count
}

/// The distinct lanes in the order of their values, and per value its place; `None` as soon as there are more than `limit`.
fn distinct<T: Lane>(values: &[T], limit: usize) -> Option<(Vec<T>, Vec<u32>)> {
    let limit = limit.min(ENTRIES_MAX);
    // Places plus one in a table of at least twice as many slots, searched onwards from a product's top bits.
    let slots = (limit * 2).next_power_of_two().max(16);
    let shift = 64 - slots.trailing_zeros();
    let mut table = vec![0_u32; slots];
    let mut entries: Vec<T> = Vec::with_capacity(limit.min(values.len()));
    let mut indexes = Vec::with_capacity(values.len());
    for value in values {
        let lane = value.to_lane();
        let mut slot = (lane.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize;
        let index = loop {
            match table[slot] {
                0 if entries.len() == limit => return None,
                0 => {
                    entries.push(*value);
                    table[slot] = u32::try_from(entries.len()).ok()?;
                    break table[slot] - 1;
                }
                place if entries[place as usize - 1].to_lane() == lane => break place - 1,
                _ => slot = (slot + 1) & (slots - 1),
            }
        };
        indexes.push(index);
    }
    let mut order: Vec<u32> = (0..).take(entries.len()).collect();
    order.sort_unstable_by_key(|index| entries[*index as usize].to_order());
    let mut places = vec![0; entries.len()];
    for (place, index) in (0..).zip(&order) {
        places[*index as usize] = place;
    }
    for index in &mut indexes {
        *index = places[*index as usize];
    }
    Some((order.into_iter().map(|index| entries[index as usize]).collect(), indexes))
}

/// Appends the column; false, with `out` as it was, when there are more than `limit` distinct lanes.
pub(crate) fn encode<T: Lane>(values: &[T], limit: usize, effort: Effort, out: &mut Vec<u8>) -> bool {
    let Some((entries, indexes)) = distinct(values, limit) else {
        return false;
    };
    put_varint(entries.len() as u64, out);
    lane::put_all(&entries, out);
    put_indexes(&indexes, effort, out);
    true
}

/// Appends the smaller of runs and integers.
fn put_indexes(indexes: &[u32], effort: Effort, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(INDEXES_INTEGERS);
    let numbers: Vec<i64> = indexes.iter().map(|index| i64::from(*index)).collect();
    integers::encode(&numbers, effort, out);
    // A run takes a byte for its length and one for its index, at least.
    if run_length::runs(indexes) * 2 < out.len() - start {
        let mut runs = vec![INDEXES_RUNS];
        for run in indexes.chunk_by(|a, b| a == b) {
            put_varint(run.len() as u64, &mut runs);
            put_varint(u64::from(run[0]), &mut runs);
        }
        if runs.len() < out.len() - start {
            out.truncate(start);
            out.append(&mut runs);
        }
    }
}

/// The indexes that are the rest of `bytes` from `at` on, each below `entries`.
fn get_indexes(bytes: &[u8], mut at: usize, count: usize, entries: usize) -> Result<Vec<u32>, FieldFault> {
    let mut indexes = Vec::with_capacity(count);
    let kind_at = at;
    at += 1;
    match bytes.get(kind_at) {
        Some(&INDEXES_INTEGERS) => {
            let mut numbers = vec![0; count];
            integers::decode(bytes, at, &mut numbers)?;
            let limit = entries as u64;
            if numbers.iter().any(|number| number.cast_unsigned() >= limit) {
                return Err(FieldFault::new("index of a dictionary", at, format!("below {entries}"), "another"));
            }
            indexes.extend(numbers.iter().map(|number| number.cast_unsigned() as u32));
        }
        Some(&INDEXES_RUNS) => {
            while at < bytes.len() {
                let start = at;
                let length = get_varint(bytes, &mut at, "run of an index")?;
                let index = get_varint(bytes, &mut at, "index of a run")?;
                if length == 0 || length > count - indexes.len() || index >= entries {
                    let expected = format!("1 to {} of an index below {entries}", count - indexes.len());
                    return Err(FieldFault::new("run of an index", start, expected, format!("{length} of {index}")));
                }
                indexes.resize(indexes.len() + length, index as u32);
            }
            if indexes.len() < count {
                return Err(FieldFault::new("indexes of a dictionary", at, count, indexes.len()));
            }
        }
        kind => return Err(FieldFault::new("kind of indexes", kind_at, "0 or 1", format!("{kind:?}"))),
    }
    Ok(indexes)
}

/// Appends `count` values.
pub(crate) fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    let mut at = 0;
    let number = get_varint(bytes, &mut at, "entries of a dictionary")?;
    if number == 0 || number > count.min(ENTRIES_MAX) {
        return Err(FieldFault::new("entries of a dictionary", 0, format!("1 to {}", count.min(ENTRIES_MAX)), number));
    }
    let Some(lanes) = bytes[at..].get(..number * T::BYTES) else {
        return Err(FieldFault::new("entries of a dictionary", at, format!("{} bytes", number * T::BYTES), bytes.len() - at));
    };
    let mut entries: Vec<T> = Vec::with_capacity(number);
    for (index, lane) in lanes.chunks_exact(T::BYTES).enumerate() {
        let entry = lane::get(lane)
            .ok_or_else(|| FieldFault::new("entry of a dictionary", at + index * T::BYTES, "a value of the type", "another"))?;
        entries.push(entry);
    }
    at += lanes.len();
    let indexes = get_indexes(bytes, at, count, number)?;
    out.extend(indexes.iter().map(|index| entries[*index as usize]));
    Ok(())
}

/// The distinct texts in the order of their first use, and per text its place; `None` when there are more than `limit`.
fn distinct_texts(strings: &StringColumn, limit: usize) -> Option<(Vec<usize>, Vec<u32>)> {
    let mut places: HashMap<&str, u32> = HashMap::new();
    let mut entries = Vec::new();
    let mut indexes = Vec::with_capacity(strings.len());
    for row in 0..strings.len() {
        let next = u32::try_from(entries.len()).ok()?;
        let place = *places.entry(strings.get(row)).or_insert(next);
        if place == next {
            if entries.len() == limit.min(ENTRIES_MAX) {
                return None;
            }
            entries.push(row);
        }
        indexes.push(place);
    }
    Some((entries, indexes))
}

/// Appends the distinct texts as a raw column behind its length, then the indexes.
fn encode_texts(strings: &StringColumn, effort: Effort, out: &mut Vec<u8>) -> bool {
    let Some((rows, indexes)) = distinct_texts(strings, (strings.len() / 2).min(TEXTS_MAX)) else {
        return false;
    };
    let mut texts = StringColumn::with_capacity(rows.len());
    if rows.iter().any(|row| texts.push(strings.get(*row)).is_err()) {
        return false;
    }
    let mut raw = Vec::new();
    text::encode(&texts, &mut raw);
    put_varint(rows.len() as u64, out);
    put_varint(raw.len() as u64, out);
    out.append(&mut raw);
    put_indexes(&indexes, effort, out);
    true
}

fn decode_texts(bytes: &[u8], count: usize, out: &mut StringColumn) -> Result<(), FieldFault> {
    let mut at = 0;
    let number = get_varint(bytes, &mut at, "entries of a dictionary")?;
    if number == 0 || number > count {
        return Err(FieldFault::new("entries of a dictionary", 0, format!("1 to {count}"), number));
    }
    let length = get_varint(bytes, &mut at, "length of the entries")?;
    let Some(raw) = bytes[at..].get(..length) else {
        return Err(FieldFault::new("entries of a dictionary", at, format!("{length} bytes"), bytes.len() - at));
    };
    let mut texts = StringColumn::new();
    text::decode(raw, number, &mut texts).map_err(|fault| fault.shifted(at))?;
    at += length;
    let indexes = get_indexes(bytes, at, count, number)?;
    let total = indexes.iter().map(|index| texts.get(*index as usize).len()).sum::<usize>();
    if total > text::BYTES_MAX {
        return Err(FieldFault::new("text of a dictionary column", at, format!("at most {} bytes", text::BYTES_MAX), total));
    }
    indexes.iter().try_for_each(|index| text::push(out, texts.get(*index as usize), at))
}
