//! The presence column: which samples have a value.

use super::PresenceCodec;
use crate::Bitmap;
use crate::error::Fault;

/// Appends the column and tells which codec it took.
pub(crate) fn encode(validity: Option<&Bitmap>, out: &mut Vec<u8>) -> PresenceCodec {
    match validity {
        Some(validity) if validity.count_ones() < validity.len() => {
            out.extend_from_slice(validity.as_bytes());
            PresenceCodec::Bitmap
        }
        _ => PresenceCodec::AllPresent,
    }
}

/// The validity of `count` samples, of which `null_count` (if known) are null; `None` when all are present.
pub(crate) fn decode(codec: PresenceCodec, bytes: &[u8], count: usize, null_count: Option<usize>) -> Result<Option<Bitmap>, Fault> {
    let expected = column_bytes(codec, count);
    if bytes.len() != expected {
        return Err(Fault::new("length of the presence column", 0, expected, bytes.len()));
    }
    let (validity, nulls) = match codec {
        PresenceCodec::AllPresent => (None, 0),
        PresenceCodec::Bitmap => {
            let validity = Bitmap::from_bytes(bytes.to_vec(), count);
            if validity.as_bytes() != bytes {
                return Err(Fault::new("unused bits of the presence column", expected - 1, "zero", "set bits"));
            }
            let nulls = count - validity.count_ones();
            if nulls == 0 {
                return Err(Fault::new("nulls in the presence column", 0, "at least one", 0));
            }
            (Some(validity), nulls)
        }
    };
    match null_count {
        Some(null_count) if null_count != nulls => Err(Fault::new("nulls in the presence column", 0, null_count, nulls)),
        _ => Ok(validity),
    }
}

/// Length of the column in bytes.
pub(crate) const fn column_bytes(codec: PresenceCodec, count: usize) -> usize {
    match codec {
        PresenceCodec::AllPresent => 0,
        PresenceCodec::Bitmap => count.div_ceil(8),
    }
}
