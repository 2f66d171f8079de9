//! The presence column: which samples have a value.

use super::PresenceCodec;
use crate::error::FieldFault;
use crate::{Bitmap, Values};

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
pub(crate) fn decode(codec: PresenceCodec, bytes: &[u8], count: usize, null_count: Option<usize>) -> Result<Option<Bitmap>, FieldFault> {
    let expected = column_bytes(codec, count);
    if bytes.len() != expected {
        return Err(FieldFault::new("length of the presence column", 0, expected, bytes.len()));
    }
    let (validity, nulls) = match codec {
        PresenceCodec::AllPresent => (None, 0),
        PresenceCodec::Bitmap => {
            let validity = Bitmap::from_bytes(bytes.to_vec(), count);
            if validity.as_bytes() != bytes {
                return Err(FieldFault::new("unused bits of the presence column", expected - 1, "zero", "set bits"));
            }
            let nulls = count - validity.count_ones();
            if nulls == 0 {
                return Err(FieldFault::new("nulls in the presence column", 0, "at least one", 0));
            }
            (Some(validity), nulls)
        }
    };
    match null_count {
        Some(null_count) if null_count != nulls => Err(FieldFault::new("nulls in the presence column", 0, null_count, nulls)),
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

/// The values whose bit is true.
pub(crate) fn present(values: &Values, validity: &Bitmap) -> Values {
    let indices: Vec<u32> = (0_u32..).take(values.len()).filter(|index| validity.get(*index as usize)).collect();
    values.take(&indices)
}

/// Appends one value per bit: the next of `present` where it is true, the default where it is false.
pub(crate) fn scatter(present: &Values, validity: &Bitmap, out: &mut Values) -> Result<(), FieldFault> {
    fn fixed<T: Copy + Default>(present: &[T], validity: &Bitmap, out: &mut Vec<T>) {
        let mut next = present.iter().copied();
        out.extend((0..validity.len()).map(|index| if validity.get(index) { next.next().unwrap_or_default() } else { T::default() }));
    }
    match (present, out) {
        (Values::F64(present), Values::F64(out)) => fixed(present, validity, out),
        (Values::F32(present), Values::F32(out)) => fixed(present, validity, out),
        (Values::I64(present), Values::I64(out)) => fixed(present, validity, out),
        (Values::U64(present), Values::U64(out)) => fixed(present, validity, out),
        (Values::Bool(present), Values::Bool(out)) => fixed(present, validity, out),
        (Values::State(present), Values::State(out)) => fixed(present, validity, out),
        (Values::String(present), Values::String(out)) => {
            let mut next = 0;
            for index in 0..validity.len() {
                let text = if validity.get(index) { present.get(next) } else { "" };
                next += usize::from(validity.get(index));
                out.push(text).map_err(|_| FieldFault::new("room in the decode target", 0, "less than 2 GiB of text", "more"))?;
            }
        }
        (present, out) => {
            return Err(FieldFault::new("value type of the decode target", 0, present.value_type(), out.value_type()));
        }
    }
    Ok(())
}
