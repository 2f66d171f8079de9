//! Chooses and applies the codec of a quality column.

use super::{QualityCodec, constant, run_length};
use crate::error::Fault;

/// Appends the column of at least one status code and tells which codec it took.
pub(crate) fn encode(qualities: &[u32], out: &mut Vec<u8>) -> QualityCodec {
    if constant::applies(qualities) {
        constant::encode(qualities, out);
        QualityCodec::Constant
    } else {
        run_length::encode(qualities, out);
        QualityCodec::RunLength
    }
}

/// Appends `count` status codes.
pub(crate) fn decode(codec: QualityCodec, bytes: &[u8], count: usize, out: &mut Vec<u32>) -> Result<(), Fault> {
    match codec {
        QualityCodec::Constant => constant::decode(bytes, count, out),
        QualityCodec::RunLength => run_length::decode(bytes, count, out),
    }
}
