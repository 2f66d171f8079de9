//! Encodes a column of values with the codec that is smallest, once per column and never per sample.

use super::choice::Choice;
use super::{ValueCodec, raw, verify};
use crate::Values;
use crate::effort::Effort;

/// Appends the column of the present values and tells which codec it took.
///
/// A cold column is decoded and compared before it is kept. What is hot is of integer codecs, exact by construction, or of one that
/// compares each value with what its formula gives while it encodes.
pub(crate) fn encode(values: &Values, effort: Effort, out: &mut Vec<u8>) -> ValueCodec {
    if values.is_empty() {
        return ValueCodec::Raw;
    }
    let start = out.len();
    let mut choice = Choice::new(values, effort, out);
    ValueCodec::ask_all(&mut choice);
    let codec = choice.best().and_then(ValueCodec::from_id).unwrap_or(ValueCodec::Raw);
    if effort == Effort::Hot || codec == ValueCodec::Raw {
        return codec;
    }
    let mut decoded = Values::with_capacity(values.value_type(), values.len());
    let read = codec.decode(&out[start..], values.len(), &mut decoded);
    if verify::exact(read.is_ok() && verify::same(&decoded, values)) {
        return codec;
    }
    out.truncate(start);
    raw::encode(values, out);
    ValueCodec::Raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValueType;
    use crate::codec::choice::faulty::FAULTY;

    /// Evenly from 0 to 1, in 53 bits.
    fn noise() -> impl FnMut() -> f64 {
        let mut state = 0_u64;
        move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut bits = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            (bits >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn every_codec_is_chosen_for_its_example_and_gives_it_back() {
        for codec in ValueCodec::ALL.iter().copied() {
            let (effort, values) = codec.example(2_000, &mut noise());
            let mut bytes = vec![7];
            let taken = encode(&values, effort, &mut bytes);
            assert_eq!(taken, codec);
            let column = &bytes[1..];
            let mut read = Values::new(values.value_type());
            read.push_default();
            taken.decode(column, values.len(), &mut read).unwrap();
            let rows: Vec<u32> = (1..=2_000).collect();
            assert_eq!((read.len(), read.take(&rows)), (2_001, values), "{codec:?}: behind what was there");
            assert_eq!(bytes[0], 7);
        }
    }

    #[test]
    fn a_codec_decodes_the_types_it_fits_and_no_others() {
        for codec in ValueCodec::ALL {
            for value_type in ValueType::ALL {
                let told = codec.decode(&[], 1, &mut Values::new(value_type));
                let misfit = told.is_err_and(|fault| fault.what == "value codec");
                assert_eq!(misfit, !codec.fits(value_type), "{codec:?} of {value_type}");
            }
        }
    }

    #[test]
    fn a_faulty_codec_costs_space_and_never_a_value() {
        let mut noticed = 0;
        for codec in ValueCodec::ALL.iter().copied().filter(|codec| *codec != ValueCodec::Raw) {
            let (effort, values) = codec.example(2_000, &mut noise());
            if effort == Effort::Hot {
                continue; // Not compared.
            }
            FAULTY.set(Some(codec as u8));
            let before = verify::inexact_columns();
            let mut bytes = Vec::new();
            let taken = encode(&values, effort, &mut bytes);
            FAULTY.set(None);
            let mut read = Values::new(values.value_type());
            taken.decode(&bytes, values.len(), &mut read).unwrap();
            assert_eq!(read, values, "{codec:?}");
            // A codec that refuses the values as soon as one is another, as a constant does, leaves them to the others.
            assert_ne!(taken, codec);
            if taken == ValueCodec::Raw {
                assert!(verify::inexact_columns() > before, "{codec:?}");
                noticed += 1;
            }
        }
        assert!(noticed >= 7, "{noticed}");
    }
}
