//! Columns in the wrapped format of `pco` (<https://github.com/pcodec/pcodec>, `docs/format.md` there):
//! for values that nothing here has a formula for.

use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, data_types::Number};

use super::choice::{Choice, Codec, lanes, misfit};
use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// The codec of values.
pub(crate) struct Pco;

impl Codec for Pco {
    fn fits(value_type: ValueType) -> bool {
        !matches!(value_type, ValueType::Bool | ValueType::String)
    }

    fn offer(choice: &mut Choice<'_>) {
        // Below a byte a value there is nothing left that would repay its time.
        if choice.effort == Effort::Cold && !choice.is_well_explained() && choice.bytes() > choice.values.len() {
            choice.offer(|values, out| lanes!(values, F64 | F32 | I64 | U64 | State, values => encode(values, out), _ => false));
        }
    }

    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
        lanes!(out, F64 | F32 | I64 | U64 | State, out => decode(bytes, count, out), other => Err(misfit("pco", other)))
    }

    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values) {
        (Effort::Cold, Values::F64((0..count).map(|_| (noise() * 1e6).floor() * 0.001_414_213).collect()))
    }
}

/// Level of effort: the next ones gain some per cent for twice the time.
const LEVEL: usize = 4;

/// The version of pco's format that is written, and the newest that is read.
const FORMAT: [u8; 2] = [4, 1];

// Variants of pco's format that a column may have. Its dictionary and its look-back are left out: both
// allocate by a number in the bytes before anything shows that it is right.
const MODES: std::ops::RangeInclusive<u8> = 0..=3;
const DELTAS: [u8; 3] = [0, 1, 3];

/// Appends the column; false, with `out` as it was, when pco does not take the numbers.
fn encode<T: Number>(numbers: &[T], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let done = compress(numbers, out).is_some() && check::<T>(&out[start..]).is_ok();
    if !done {
        out.truncate(start);
    }
    done
}

fn compress<T: Number>(numbers: &[T], out: &mut Vec<u8>) -> Option<()> {
    let config = ChunkConfig::default().with_compression_level(LEVEL);
    let file = FileCompressor::default();
    file.write_header(&mut *out).ok()?;
    let mut chunk = file.chunk_compressor(numbers, &config).ok()?;
    chunk.write_meta(&mut *out).ok()?;
    // A chunk of at most 65,536 numbers has one page.
    (chunk.n_per_page() == [numbers.len()]).then_some(())?;
    chunk.write_page(0, &mut *out).ok()?;
    Some(())
}

/// Looks at version, mode and delta encoding before pco does.
fn check<T>(bytes: &[u8]) -> Result<(), FieldFault> {
    let Some(&[major, minor, first, second, ..]) = bytes.first_chunk::<4>() else {
        return Err(FieldFault::new("pco column", 0, "4 bytes or more", bytes.len()));
    };
    if major != FORMAT[0] || minor > FORMAT[1] {
        return Err(FieldFault::new("version of a pco column", 0, "4.0 or 4.1", format!("{major}.{minor}")));
    }
    let mode = first & 0x0F;
    // Behind the mode stand its parameters: nothing, a number of the type, or 8 bits.
    let delta = match mode {
        0 => first >> 4,
        3 => second >> 4,
        _ => bytes.get(2 + size_of::<T>()).map_or(u8::MAX, |byte| byte >> 4),
    };
    if !MODES.contains(&mode) || !DELTAS.contains(&delta) {
        return Err(FieldFault::new("mode and delta encoding of a pco column", 2, "0 to 3, and 0, 1 or 3", format!("{mode} and {delta}")));
    }
    Ok(())
}

/// Appends `count >= 1` numbers.
fn decode<T: Number + Default>(bytes: &[u8], count: usize, out: &mut Vec<T>) -> Result<(), FieldFault> {
    check::<T>(bytes)?;
    let start = out.len();
    out.resize(start + count, T::default());
    let rest = decompress(bytes, &mut out[start..]).map_err(|error| FieldFault::new("pco column", 0, "one that pco reads", error))?;
    if rest != 0 {
        return Err(FieldFault::new("end of a pco column", bytes.len() - rest, bytes.len(), bytes.len() - rest));
    }
    Ok(())
}

/// Bytes that are left over.
fn decompress<T: Number>(bytes: &[u8], numbers: &mut [T]) -> Result<usize, String> {
    let text = |error: pco::errors::PcoError| error.to_string();
    let (file, rest) = FileDecompressor::new(bytes).map_err(text)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(text)?;
    let mut page = chunk.page_decompressor(rest, numbers.len()).map_err(text)?;
    let progress = page.read(numbers).map_err(text)?;
    if progress.n_processed != numbers.len() || !progress.finished {
        return Err(format!("{} numbers", progress.n_processed));
    }
    Ok(page.into_src().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_read_back_and_cut_columns_are_refused() {
        fn check<T: Number + Default + PartialEq + std::fmt::Debug>(numbers: &[T]) {
            let mut bytes = Vec::new();
            assert!(encode(numbers, &mut bytes));
            let mut read = vec![T::default()];
            decode(&bytes, numbers.len(), &mut read).unwrap();
            assert_eq!(&read[1..], numbers);
            for cut in 0..bytes.len() {
                assert!(decode::<T>(&bytes[..cut], numbers.len(), &mut Vec::new()).is_err(), "cut at {cut}");
            }
            bytes.push(0);
            assert!(decode::<T>(&bytes, numbers.len(), &mut Vec::new()).is_err());
        }
        let spread = |i: u32| i.wrapping_mul(2_654_435_761) >> 12;
        check(&(0..600).map(|i| f64::from(spread(i)) * 0.000_7).collect::<Vec<_>>());
        check(&(0..600).map(|i| spread(i) as f32).collect::<Vec<_>>());
        check(&(0..600).map(|i| i64::from(spread(i)) * 60 - 7).collect::<Vec<_>>());
        check(&(0..600).map(|i| u64::from(spread(i))).collect::<Vec<_>>());
        check(&(0..600).map(spread).collect::<Vec<_>>());
    }

    /// What would make pco allocate by a number that nothing has confirmed: up to 256 MB for a few bytes.
    #[test]
    fn dictionary_look_back_and_other_versions_are_refused() {
        let refused = |head: [u8; 4]| {
            let mut bytes = head.to_vec();
            bytes.resize(64, 0xFF);
            decode::<f64>(&bytes, 100, &mut Vec::new()).unwrap_err().what
        };
        assert_eq!(refused([4, 1, 0x04, 0xFF]), "mode and delta encoding of a pco column");
        assert_eq!(refused([4, 1, 0x20, 0xFF]), "mode and delta encoding of a pco column");
        assert_eq!(refused([4, 1, 0x03, 0x20]), "mode and delta encoding of a pco column");
        assert_eq!(refused([4, 2, 0, 0]), "version of a pco column");
        assert_eq!(refused([3, 0, 0, 0]), "version of a pco column");
    }
}
