//! The `tsz` crate, an independent Gorilla, as a witness within the domain where it is right.
//!
//! It keeps the first difference in 14 bits and truncates differences of differences to 32 bits, so
//! the series here stay inside both.

use historian_format::{Chunk, Samples, Value, ValueType, Values};
use proptest::prelude::*;
use tsz::stream::{BufferedReader, BufferedWriter};
use tsz::{DataPoint, Decode, Encode, StdDecoder, StdEncoder};

use crate::case::encode;

fn through_tsz(start: i64, timestamps: &[i64], values: &[f64]) -> (Vec<u8>, Vec<i64>, Vec<u64>) {
    let mut encoder = StdEncoder::new(start.unsigned_abs(), BufferedWriter::new());
    for (timestamp, value) in timestamps.iter().zip(values) {
        encoder.encode(DataPoint::new(timestamp.unsigned_abs(), *value));
    }
    let bytes = encoder.close();
    let mut decoder = StdDecoder::new(BufferedReader::new(bytes.clone()));
    let (mut read_timestamps, mut read_values) = (Vec::new(), Vec::new());
    while let Ok(point) = decoder.next() {
        read_timestamps.push(point.get_time() as i64);
        read_values.push(point.get_value().to_bits());
    }
    (bytes.into_vec(), read_timestamps, read_values)
}

/// Bits, most significant first, as `tsz` writes them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn put(&mut self, bits: u64, width: u32) {
        for index in (0..width).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((bits >> index & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }
}

/// The layout of `tsz`, written out again from the Gorilla paper and the crate's documentation.
fn in_tsz_layout(start: i64, timestamps: &[i64], values: &[f64]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(start as u64, 64);
    bits.put(0, 1);
    bits.put((timestamps[0] - start) as u64, 14);
    bits.put(values[0].to_bits(), 64);
    let mut step = timestamps[0] - start;
    let mut window: Option<(u32, u32)> = None;
    for (times, values) in timestamps.windows(2).zip(values.windows(2)) {
        let difference = times[1] - times[0] - step;
        step = times[1] - times[0];
        let (control, control_width, width) = match difference {
            0 => (0b0, 1, 0),
            -63..=64 => (0b10, 2, 7),
            -255..=256 => (0b110, 3, 9),
            -2047..=2048 => (0b1110, 4, 12),
            _ => (0b1111, 4, 32),
        };
        bits.put(control, control_width);
        bits.put(difference as u64, width);
        let change = values[0].to_bits() ^ values[1].to_bits();
        if change == 0 {
            bits.put(0, 1);
            continue;
        }
        let own = (change.leading_zeros(), change.trailing_zeros());
        match window {
            Some((leading, trailing)) if own.0 >= leading && own.1 >= trailing => {
                bits.put(0b10, 2);
                bits.put(change >> trailing, 64 - leading - trailing);
            }
            _ => {
                let length = 64 - own.0 - own.1;
                bits.put(0b11, 2);
                bits.put(u64::from(own.0), 6);
                bits.put(u64::from(length - 1), 6);
                bits.put(change >> own.1, length);
                window = Some(own);
            }
        }
    }
    bits.put(0b1111, 4);
    bits.put(0, 32);
    bits.bytes
}

fn series() -> impl Strategy<Value = (i64, Vec<i64>, Vec<f64>)> {
    let step = prop_oneof![8 => 990_i64..1_010, 2 => 1_i64..5_000, 1 => 1_i64..2_000_000_000, 8 => Just(1_000_i64)];
    let value = prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0_i32..500).prop_map(|tenths| f64::from(tenths) / 10.0),
        Just(21.5),
        Just(f64::NAN),
        Just(-0.0),
    ];
    (1_i64..2_000_000_000_000, 1_i64..16_384, proptest::collection::vec((step, value), 1..300)).prop_map(|(start, first, rows)| {
        let mut timestamp = start + first;
        let (timestamps, values) = rows
            .into_iter()
            .map(|(step, value)| {
                timestamp += step;
                (timestamp - step, value)
            })
            .unzip();
        (start, timestamps, values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_tell_the_same((start, timestamps, values) in series()) {
        let mut samples = Samples::new(ValueType::F64);
        for (timestamp, value) in timestamps.iter().zip(&values) {
            samples.push(*timestamp, Some(&Value::F64(*value)), 0).unwrap();
        }
        let bytes = encode(1, 1, &samples);
        let ours = Chunk::parse(&bytes).unwrap().decode().unwrap();
        let Values::F64(our_values) = &ours.values else { unreachable!() };

        let (tsz_bytes, tsz_timestamps, tsz_values) = through_tsz(start, &timestamps, &values);
        prop_assert_eq!(&ours.timestamps, &tsz_timestamps);
        prop_assert_eq!(our_values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), tsz_values);
        // What came out of our chunk, written in the other layout, is what the crate wrote, to the byte.
        prop_assert_eq!(in_tsz_layout(start, &ours.timestamps, our_values), tsz_bytes);
    }
}
