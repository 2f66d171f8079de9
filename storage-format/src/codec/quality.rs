//! Chooses and applies the codec of a quality column.

use super::QualityCodec;
use super::{constant, dictionary, run_length};
use crate::effort::Effort;
use crate::error::FieldFault;

/// Distinct status codes beyond which a dictionary is not tried.
const ENTRIES_MAX: usize = 64;

/// Appends the column of at least one status code and tells which codec it took.
pub(crate) fn encode(qualities: &[u32], effort: Effort, out: &mut Vec<u8>) -> QualityCodec {
    let start = out.len();
    let codec = encode_plain(qualities, out);
    // Where codes alternate, a run a sample costs five bytes and an index some bits.
    if out.len() - start > qualities.len() / 4 + 64 {
        let mut indexed = Vec::new();
        if dictionary::encode(qualities, ENTRIES_MAX, effort, &mut indexed) && indexed.len() < out.len() - start {
            out.truncate(start);
            out.append(&mut indexed);
            return QualityCodec::Dictionary;
        }
    }
    codec
}

/// Appends the column with the codecs of the journal: constant or runs.
pub(crate) fn encode_plain(qualities: &[u32], out: &mut Vec<u8>) -> QualityCodec {
    if constant::applies(qualities) {
        constant::encode(qualities, out);
        QualityCodec::Constant
    } else {
        run_length::encode(qualities, out);
        QualityCodec::RunLength
    }
}

/// Appends `count` status codes.
pub(crate) fn decode(codec: QualityCodec, bytes: &[u8], count: usize, out: &mut Vec<u32>) -> Result<(), FieldFault> {
    match codec {
        QualityCodec::Constant => constant::decode(bytes, count, out),
        QualityCodec::RunLength => run_length::decode(bytes, count, out),
        QualityCodec::Dictionary => dictionary::decode(bytes, count, out),
    }
}
