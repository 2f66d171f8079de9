//! Decodes a chunk and computes its statistics again: what a scrub asks, and what a query that trusts the header leaves out.

use super::{Chunk, Statistics};
use crate::error::FieldFault;
use crate::{CorruptChunk, Samples};

impl Chunk<'_> {
    /// Every sample, once the header's statistics are those of the samples, to the bit.
    ///
    /// # Errors
    /// [`CorruptChunk`] naming the column at fault, or the statistic that differs.
    pub fn decode_and_compare(&self) -> Result<Samples, CorruptChunk> {
        let samples = self.decode()?;
        let (told, found) = (&self.header().statistics, Statistics::of(&samples));
        match difference(told, &found) {
            None => Ok(samples),
            Some((what, expected, found)) => Err(FieldFault::new(what, 0, expected, found).in_chunk(Some(self.header().tag_id))),
        }
    }
}

/// The first statistic that is not what the samples say: its name, what they say, and what the header says.
fn difference(told: &Statistics, of_samples: &Statistics) -> Option<(&'static str, String, String)> {
    macro_rules! compared {
        ($($field:ident $what:literal),+) => {
            $(
                if told.$field != of_samples.$field {
                    return Some(($what, format!("{:?}", of_samples.$field), format!("{:?}", told.$field)));
                }
            )+
        };
    }
    compared!(
        count "statistic count",
        good_count "statistic good count",
        null_count "statistic null count",
        first_timestamp "statistic first timestamp",
        last_timestamp "statistic last timestamp",
        first_value "statistic first value",
        last_value "statistic last value",
        first_quality "statistic first quality",
        last_quality "statistic last quality",
        minimum "statistic minimum",
        maximum "statistic maximum",
        worst_quality "statistic worst quality",
        has_nan "statistic NaN flag"
    );
    // By bits: a sum of opposite infinities is NaN, and equals itself here.
    let differ = |told: f64, of_samples: f64| told.to_bits() != of_samples.to_bits() && !(told.is_nan() && of_samples.is_nan());
    if differ(told.sum, of_samples.sum) {
        return Some(("statistic sum", of_samples.sum.to_string(), told.sum.to_string()));
    }
    if differ(told.m2, of_samples.m2) {
        return Some(("statistic m2", of_samples.m2.to_string(), told.m2.to_string()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CHUNK_HEADER_BYTES, Value, ValueType, encode_chunk};

    fn chunk(values: &[f64]) -> Vec<u8> {
        let mut samples = Samples::new(ValueType::F64);
        for (at, value) in (0..).zip(values) {
            samples.push(at, Some(&Value::F64(*value)), 0).unwrap();
        }
        let mut bytes = Vec::new();
        encode_chunk(7, 1, &samples, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn sound_chunks_pass_whatever_their_sum() {
        for values in [&[1.5, -2.5, 1e300][..], &[f64::INFINITY, f64::NEG_INFINITY, 3.0], &[f64::NAN], &[-0.0]] {
            assert_eq!(Chunk::parse(&chunk(values)).unwrap().decode_and_compare().unwrap().len(), values.len());
        }
    }

    #[test]
    fn a_header_with_other_statistics_is_refused_though_its_checksum_holds() {
        let whole = chunk(&[1.0, 2.0, 4.0]);
        let end = CHUNK_HEADER_BYTES - 4;
        let mut noticed = 0;
        for at in 28..end - 20 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let checksum = crc32c::crc32c(&bytes[..end]);
            bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
            let Ok(parsed) = Chunk::parse(&bytes) else { continue };
            let error = parsed.decode_and_compare().unwrap_err();
            noticed += usize::from(error.what.starts_with("statistic"));
        }
        assert!(noticed > 40, "{noticed}");
    }
}
