//! Whole-word reads and writes of bits, least significant bit first, and LEB128 numbers.

use crate::error::FieldFault;

/// Eight bytes at `at`, little-endian; `at + 8` must not pass the end.
#[inline(always)]
pub(crate) fn load(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Up to eight bytes at `at`, little-endian; bytes beyond the end are zero.
#[inline]
pub(crate) fn load_padded(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut word = [0; 8];
    let count = rest.len().min(8);
    word[..count].copy_from_slice(&rest[..count]);
    u64::from_le_bytes(word)
}

/// A mask of the low `width` bits, `width <= 64`.
#[inline(always)]
pub(crate) const fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}

/// Writes bits into a buffer that is large enough for all of them, a word at a time.
///
/// Each write stores eight bytes and then moves on by whole bytes, so that nothing depends on how
/// many bits happen to be pending; `fill` stays below 8 between writes.
pub(crate) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
    pending: u64,
    fill: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts at the beginning of `bytes`, of which eight more than the bits need must exist.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0, pending: 0, fill: 0 }
    }

    /// Appends the low `width <= 56` bits of `bits`; the higher ones must be zero.
    #[inline(always)]
    pub fn put(&mut self, bits: u64, width: u32) {
        let word = self.pending | bits << self.fill;
        self.bytes[self.at..self.at + 8].copy_from_slice(&word.to_le_bytes());
        let filled = self.fill + width;
        self.at += (filled >> 3) as usize;
        self.pending = word >> (filled & 0x38);
        self.fill = filled & 7;
    }

    /// Appends the low `width <= 64` bits of `bits`; the higher ones must be zero.
    #[inline(always)]
    pub fn put_wide(&mut self, bits: u64, width: u32) {
        if width <= 56 {
            self.put(bits, width);
        } else {
            self.put(bits & 0xFFFF_FFFF, 32);
            self.put(bits >> 32, width - 32);
        }
    }

    /// Bytes written, the last one padded with zero bits.
    pub fn finish(self) -> usize {
        self.at + usize::from(self.fill > 0)
    }
}

/// Appends an unsigned LEB128 number.
pub(crate) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Bytes that `put_varint` appends.
pub(crate) const fn varint_bytes(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Reads an unsigned LEB128 number of at most 32 bits in its shortest form, and moves `at` past it.
pub(crate) fn get_varint(bytes: &[u8], at: &mut usize, what: &'static str) -> Result<usize, FieldFault> {
    let start = *at;
    let mut number: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let Some(byte) = bytes.get(*at) else {
            return Err(FieldFault::new(what, *at, "another byte of a LEB128 number", "the end"));
        };
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let padded = *byte == 0 && shift > 0;
            return match u32::try_from(number) {
                Ok(number) if !padded => Ok(number as usize),
                _ => Err(FieldFault::new(what, start, "a shortest LEB128 number of at most 32 bits", number)),
            };
        }
    }
    Err(FieldFault::new(what, start, "a LEB128 number of at most 5 bytes", "a longer one"))
}

/// Reads an unsigned LEB128 number of at most 64 bits in its shortest form, and moves `at` past it.
pub(crate) fn get_varint_64(bytes: &[u8], at: &mut usize, what: &'static str) -> Result<u64, FieldFault> {
    let start = *at;
    let mut number: u64 = 0;
    for shift in (0..64).step_by(7) {
        let Some(byte) = bytes.get(*at) else {
            return Err(FieldFault::new(what, *at, "another byte of a LEB128 number", "the end"));
        };
        *at += 1;
        let bits = u64::from(byte & 0x7F);
        number |= bits << shift;
        if byte & 0x80 == 0 {
            let padded = *byte == 0 && shift > 0;
            let lost = bits << shift >> shift != bits;
            if padded || lost {
                return Err(FieldFault::new(what, start, "a shortest LEB128 number of at most 64 bits", "another"));
            }
            return Ok(number);
        }
    }
    Err(FieldFault::new(what, start, "a LEB128 number of at most 10 bytes", "a longer one"))
}

/// A small signed number as a small unsigned one: 0, -1, 1, -2, … become 0, 1, 2, 3, …
#[inline(always)]
pub(crate) const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// The inverse of `zigzag`.
#[inline(always)]
pub(crate) const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_read_back(items in proptest::collection::vec((any::<u64>(), 0_u32..=64), 0..200)) {
            let mut bytes = vec![0; 200 * 8 + 8];
            let mut writer = BitWriter::new(&mut bytes);
            for (bits, width) in &items {
                writer.put_wide(bits & mask(*width), *width);
            }
            let len = writer.finish();
            let total: u32 = items.iter().map(|(_, width)| width).sum();
            prop_assert_eq!(len, total.div_ceil(8) as usize);
            bytes.truncate(len);
            let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
            let mut at = 0;
            for (bits, width) in items {
                let read = (0..width as usize).fold(0, |word, index| word | bit(at + index) << index);
                prop_assert_eq!(read, bits & mask(width));
                at += width as usize;
            }
        }

        #[test]
        fn varints_read_back(number in any::<u32>(), shift in 0_u32..32) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            put_varint(u64::from(number), &mut bytes);
            prop_assert_eq!(bytes.len(), varint_bytes(u64::from(number)));
            let mut at = 0;
            prop_assert_eq!(get_varint(&bytes, &mut at, "number").unwrap(), number as usize);
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn wide_varints_read_back(number in any::<u64>(), shift in 0_u32..64) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            prop_assert_eq!(bytes.len(), varint_bytes(number));
            let mut at = 0;
            prop_assert_eq!(get_varint_64(&bytes, &mut at, "number").unwrap(), number);
            prop_assert_eq!(at, bytes.len());
            prop_assert!(get_varint_64(&bytes[..at - 1], &mut 0, "number").is_err());
        }

        #[test]
        fn zigzag_inverts(number in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(number)), number);
        }
    }

    #[test]
    fn overlong_varints_are_refused() {
        for bytes in [&[0x80, 0][..], &[0xFF; 6], &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F], &[0x80], &[]] {
            assert!(get_varint(bytes, &mut 0, "number").is_err(), "{bytes:?}");
        }
        for bytes in [&[0x80, 0][..], &[0xFF; 10], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], &[0x80], &[]] {
            assert!(get_varint_64(bytes, &mut 0, "number").is_err(), "{bytes:?}");
        }
    }
}
