//! Status codes of answers and their information bits (OPC 10000-13, 5.3; OPC 10000-4, 7.39).

use historian_model::Quality;

/// The answer is neither a sample as it stands nor interpolated.
pub const CALCULATED: u32 = 0x01;
/// The answer was interpolated or extrapolated.
pub const INTERPOLATED: u32 = 0x02;
/// The interval is cut by the end of the request or reaches beyond the data.
pub const PARTIAL: u32 = 0x04;
/// The value occurs more than once in the interval.
pub const MULTIPLE_VALUES: u32 = 0x10;

/// Says that the lowest bits are those above.
const INFO_TYPE_DATA_VALUE: u32 = 0x0400;

pub const GOOD: u32 = Quality::GOOD.0;
pub const BAD: u32 = Quality::BAD.0;
pub const BAD_NO_DATA: u32 = Quality::BAD_NO_DATA.0;
pub const SUB_NORMAL: u32 = Quality::UNCERTAIN_DATA_SUB_NORMAL.0;
/// `BadAggregateNotSupported`: the function makes no sense for the tag's value type.
pub const BAD_AGGREGATE_NOT_SUPPORTED: u32 = 0x80D5_0000;

/// `BadAggregateInvalidInputs`: the samples make no number, as infinities of both signs do.
pub const BAD_AGGREGATE_INVALID_INPUTS: u32 = 0x80D6_0000;

/// `code` with these information bits besides its own.
pub fn with_bits(code: u32, bits: u32) -> u32 {
    if bits == 0 { code } else { code | INFO_TYPE_DATA_VALUE | bits }
}

/// Severity and sub-code, without the bits below.
pub fn code(quality: u32) -> u32 {
    quality & 0xFFFF_0000
}
