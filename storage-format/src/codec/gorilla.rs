//! Gorilla: each value as the XOR with the one before, of which only the changed bits are kept
//! (Pelkonen et al., VLDB 2015, section 4.1.2), with three differences: bits are written least
//! significant first, the lane may be 32 bits, and the encoder re-chooses the window of changed
//! bits also when the new one is narrower by enough to pay for its description.

use super::bits::{BitWriter, load, load_padded, mask};
use super::choice::{Choice, Codec, lanes, misfit};
use super::lane::{self, Lane};
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct Gorilla;

impl Codec for Gorilla {
    fn fits(value_type: ValueType) -> bool {
        !matches!(value_type, ValueType::Bool | ValueType::String)
    }

    /// For floats that nothing else explains: hot it is the last resort, cold worth a look where others save little.
    fn offer(choice: &mut Choice<'_>) {
        let lane_bytes = match choice.values {
            Values::F64(_) => 8,
            Values::F32(_) => 4,
            _ => return,
        };
        let worth = match choice.effort {
            Effort::Hot => !choice.has_any(),
            Effort::Cold => !choice.is_well_explained() && choice.bytes() > choice.values.len() * lane_bytes * 3 / 4,
        };
        if worth {
            choice.offer(|values, out| {
                lanes!(values, F64 | F32, values => encode(values, out), _ => return false);
                true
            });
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32 | I64 | U64 | State, out => decode(bytes, count, out), other => Err(misfit("gorilla", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        (Effort::Hot, Values::F64((0..count).map(|_| noise().sqrt() + 100.0).collect()))
    }
}

/// Bits that describe a window: its leading zeros and its length less one.
const fn field_bits<T: Lane>() -> u32 {
    if T::BITS == 64 { 6 } else { 5 }
}

/// How many bits narrower than the current window a change must be for the encoder to leave the
/// window. Only the encoder cares; a narrower margin makes it jump to and fro.
const fn narrowing_margin<T: Lane>() -> u32 {
    2 * field_bits::<T>() + 2
}

/// Bytes that a column of `count` lanes can need at most, and eight for the writer.
const fn bytes_max<T: Lane>(count: usize) -> usize {
    count * (T::BITS + 2 + 2 * field_bits::<T>()) as usize / 8 + T::BYTES + 16
}

/// Appends the column of at least one lane.
pub(crate) fn encode<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else {
        return;
    };
    lane::put(*first, out);
    let start = out.len();
    out.resize(start + bytes_max::<T>(rest.len()), 0);
    let mut writer = BitWriter::new(&mut out[start..]);
    let field = field_bits::<T>();
    let margin = narrowing_margin::<T>();
    let mut before = first.to_lane();
    // The window: leading zeros, changed bits, trailing zeros. It begins as the whole lane.
    let (mut leading, mut length, mut trailing) = (0, T::BITS, 0);
    for value in rest {
        let lane = value.to_lane();
        let change = lane ^ before;
        before = lane;
        if change == 0 {
            writer.put(0, 1);
            continue;
        }
        let own_leading = change.leading_zeros() - (64 - T::BITS);
        let own_trailing = change.trailing_zeros();
        let own_length = T::BITS - own_leading - own_trailing;
        if own_leading >= leading && own_trailing >= trailing && own_length + margin >= length {
            let bits = change >> trailing;
            if length <= 54 {
                writer.put(bits << 2 | 0b01, length + 2);
            } else {
                writer.put(0b01, 2);
                writer.put_wide(bits, length);
            }
        } else {
            (leading, length, trailing) = (own_leading, own_length, own_trailing);
            let window = u64::from(leading) << 2 | u64::from(length - 1) << (2 + field) | 0b11;
            writer.put(window, 2 + 2 * field);
            writer.put_wide(change >> trailing, length);
        }
    }
    let len = writer.finish();
    out.truncate(start + len);
}

/// Appends `count >= 1` lanes.
pub(crate) fn decode<T: Lane>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    let (Some(first), 1..) = (lane::get::<T>(bytes), count) else {
        let expected = format!("a sample and {} bytes or more", T::BYTES);
        return Err(FieldFault::new("Gorilla column", 0, expected, format!("{count} and {}", bytes.len())));
    };
    // Each further value takes a bit or more: refuse before allocating for values that cannot be there.
    let stream = &bytes[T::BYTES..];
    if count - 1 > stream.len() * 8 {
        return Err(FieldFault::new("samples in the Gorilla column", 0, count, format!("at most {}", stream.len() * 8 + 1)));
    }
    let start = out.len();
    out.resize(start + count, T::default());
    let slots = &mut out[start..];
    slots[0] = first;
    let mut decoder = GorillaDecoder { bit: 0, before: first.to_lane(), length: T::BITS, trailing: 0, misfit: false };
    // A step loads at most 8 bytes from at most 10 bytes beyond its start, so all but the last steps
    // need no look at the end; the last ones run on a copy that is padded with zeros.
    let done = 1 + decoder.run_whole(stream, &mut slots[1..]);
    decoder.run_padded(stream, &mut slots[done..]);
    if decoder.misfit {
        return Err(FieldFault::new("window of a Gorilla column", T::BYTES, "one within the lane", "one beyond it"));
    }
    let read = decoder.bit.div_ceil(8);
    if read != stream.len() {
        return Err(FieldFault::new("end of the Gorilla column", T::BYTES, stream.len(), read));
    }
    Ok(())
}

struct GorillaDecoder {
    bit: usize,
    before: u64,
    length: u32,
    trailing: u32,
    /// A window reached beyond the lane. Looked at once at the end, to keep the loop short.
    misfit: bool,
}

/// Bytes from the start of a step that its loads can touch: 7 bits within the first byte, 14 of
/// control and window, 64 of payload, and a whole load.
const REACH: usize = 16;

impl GorillaDecoder {
    /// Fills slots while a whole step lies within `bytes`; returns how many.
    #[inline(always)]
    fn run_whole<T: Lane>(&mut self, bytes: &[u8], slots: &mut [T]) -> usize {
        let Some(limit) = bytes.len().checked_sub(REACH).map(|last| last * 8) else {
            return 0;
        };
        let Self { mut bit, mut before, mut length, mut trailing, mut misfit } = *self;
        let mut done = 0;
        for slot in slots.iter_mut() {
            if bit > limit {
                break;
            }
            step::<T>(bytes, &mut bit, &mut before, &mut length, &mut trailing, &mut misfit);
            *slot = T::from_lane(before);
            done += 1;
        }
        *self = Self { bit, before, length, trailing, misfit };
        done
    }

    /// Fills the remaining slots, reading zeros beyond the end; stops soon after it.
    fn run_padded<T: Lane>(&mut self, bytes: &[u8], slots: &mut [T]) {
        let end = bytes.len() * 8;
        for slot in slots {
            if self.bit > end {
                return;
            }
            let mut window = [0; REACH + 8];
            let base = self.bit / 8;
            for (index, word) in window.chunks_exact_mut(8).enumerate() {
                word.copy_from_slice(&load_padded(bytes, base + index * 8).to_le_bytes());
            }
            let mut bit = self.bit % 8;
            step::<T>(&window, &mut bit, &mut self.before, &mut self.length, &mut self.trailing, &mut self.misfit);
            self.bit = base * 8 + bit;
            *slot = T::from_lane(self.before);
        }
    }
}

/// Reads one value at `bit` into `before`.
#[inline(always)]
fn step<T: Lane>(bytes: &[u8], bit: &mut usize, before: &mut u64, length: &mut u32, trailing: &mut u32, misfit: &mut bool) {
    let field = field_bits::<T>();
    let word = load(bytes, *bit / 8) >> (*bit % 8);
    if word & 1 == 0 {
        *bit += 1;
        return;
    }
    let mut header = 2;
    if word & 2 != 0 {
        let leading = (word >> 2 & mask(field)) as u32;
        *length = (word >> (2 + field) & mask(field)) as u32 + 1;
        let beyond = leading + *length > T::BITS;
        *misfit |= beyond;
        *trailing = if beyond { 0 } else { T::BITS - leading - *length };
        header += 2 * field;
    }
    let payload = if *length + header <= 57 {
        word >> header
    } else {
        let at = *bit + header as usize;
        let low = load(bytes, at / 8) >> (at % 8);
        // Seven bits at most are cut off by the shift; the next byte has them.
        let high = u64::from(bytes[at / 8 + 8]);
        if at.is_multiple_of(8) { low } else { low | high << (64 - at % 8) }
    };
    *before ^= (payload & mask(*length)) << *trailing;
    *bit += (header + *length) as usize;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip<T: Lane>(values: &[T]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let mut read = vec![T::default(); 2];
        decode(&bytes, values.len(), &mut read).unwrap();
        assert!(read[2..].iter().map(|v| v.to_lane()).eq(values.iter().map(|v| v.to_lane())));
        for len in bytes.len().saturating_sub(30)..bytes.len() {
            assert!(decode::<T>(&bytes[..len], values.len(), &mut Vec::new()).is_err());
        }
        bytes.len()
    }

    #[test]
    fn repeats_cost_a_bit() {
        assert_eq!(round_trip(&[1.5_f64; 1_025]), 8 + 128);
        assert_eq!(round_trip(&[1.5_f32; 1_025]), 4 + 128);
        assert_eq!(round_trip(&[1.5_f64]), 8);
    }

    #[test]
    fn a_narrow_window_is_chosen_again_after_a_wide_change() {
        let mut values: Vec<f64> = (0..500).map(|i| f64::from(i % 8) + 1_024.0).collect();
        let narrow = round_trip(&values);
        values[1] = 0.1;
        assert!(round_trip(&values) < narrow + 40);
    }

    #[test]
    fn a_window_beyond_the_lane_is_refused() {
        // After a lane of zeros: a new window with 60 leading zeros and 4 or 5 bits.
        let column = |length: u64| {
            let mut bytes = vec![0; 8];
            bytes.extend_from_slice(&(0b11 | 60 << 2 | (length - 1) << 8 | 0b1111 << 14_u64).to_le_bytes()[..3]);
            bytes
        };
        let mut read = Vec::new();
        decode::<u64>(&column(4), 2, &mut read).unwrap();
        assert_eq!(read, [0, 15]);
        assert!(decode::<u64>(&column(5), 2, &mut read).is_err());
    }

    fn pattern() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (any::<u64>(), 0_u32..64, 0_u32..64).prop_map(|(bits, left, right)| bits << left >> right),
            any::<f64>().prop_map(f64::to_bits),
            prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::MIN_POSITIVE), Just(5e-324)]
                .prop_map(f64::to_bits),
            (0_u64..50).prop_map(|tenths| (tenths as f64 / 10.0).to_bits()),
            Just(0x7FF0_0000_0000_0001),
        ]
    }

    proptest! {
        #[test]
        fn every_bit_pattern_survives(lanes in proptest::collection::vec(pattern(), 1..300)) {
            let doubles: Vec<f64> = lanes.iter().map(|lane| f64::from_bits(*lane)).collect();
            round_trip(&doubles);
            let floats: Vec<f32> = lanes.iter().map(|lane| f32::from_bits((lane >> 32) as u32)).collect();
            round_trip(&floats);
            let states: Vec<u32> = lanes.iter().map(|lane| *lane as u32).collect();
            round_trip(&states);
        }

        #[test]
        fn garbage_is_an_error_or_values_that_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0_usize..2_000) {
            let (mut doubles, mut floats) = (Vec::<f64>::new(), Vec::<f32>::new());
            if decode(&bytes, count, &mut doubles).is_ok() {
                round_trip(&doubles);
            }
            if decode(&bytes, count, &mut floats).is_ok() {
                round_trip(&floats);
            }
        }
    }
}
