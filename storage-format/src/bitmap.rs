//! A growable bitmap, packed as Arrow packs validity, so that it can be handed over without a copy.

use std::ops::Range;

/// Bits packed least significant first: bit `i` is bit `i % 8` of byte `i / 8`.
///
/// Unused bits of the last byte are always zero, so two equal bitmaps have equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    bytes: Vec<u8>,
    len: usize,
}

impl Bitmap {
    /// An empty bitmap.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), len: 0 }
    }

    /// An empty bitmap with room for `bits` bits.
    #[must_use]
    pub fn with_capacity(bits: usize) -> Self {
        Self { bytes: Vec::with_capacity(bits.div_ceil(8)), len: 0 }
    }

    /// Takes packed bytes as `len` bits. Surplus bits are dropped, missing ones are false.
    #[must_use]
    pub fn from_bytes(mut bytes: Vec<u8>, len: usize) -> Self {
        bytes.resize(len.div_ceil(8), 0);
        let mut bitmap = Self { bytes, len };
        bitmap.clear_unused_bits();
        bitmap
    }

    /// Number of bits.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when there is no bit.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bit at `index`; false beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        index < self.len && self.bytes[index / 8] >> (index % 8) & 1 == 1
    }

    /// Number of true bits.
    #[must_use]
    pub fn count_ones(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The packed bytes, `len().div_ceil(8)` of them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packed bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends one bit.
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(u8::from(bit));
        } else if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (self.len % 8);
        }
        self.len += 1;
    }

    /// Appends `count` true bits.
    pub fn extend_true(&mut self, count: usize) {
        let used = self.len % 8;
        if used != 0
            && let Some(last) = self.bytes.last_mut()
        {
            *last |= 0xFF << used;
        }
        self.len += count;
        self.bytes.resize(self.len.div_ceil(8), 0xFF);
        self.clear_unused_bits();
    }

    /// Appends the bits of `other` in `range`; bits beyond its end are false.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        self.bytes.reserve(range.len().div_ceil(8) + 1);
        let mut at = range.start;
        while at < range.end {
            let count = (range.end - at).min(8);
            self.push_byte(other.byte_at(at), count);
            at += count;
        }
    }

    /// Keeps the first `len` bits; does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.bytes.truncate(len.div_ceil(8));
            self.clear_unused_bits();
        }
    }

    /// Removes every bit.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Eight bits from `at` on; those beyond the end are zero.
    fn byte_at(&self, at: usize) -> u8 {
        let byte = |index: usize| u16::from(self.bytes.get(index).copied().unwrap_or(0));
        let pair = byte(at / 8) | byte(at / 8 + 1) << 8;
        (pair >> (at % 8)).to_le_bytes()[0]
    }

    /// Appends the low `count` (at most 8) bits of `bits`.
    fn push_byte(&mut self, bits: u8, count: usize) {
        let used = self.len % 8;
        if used != 0
            && let Some(last) = self.bytes.last_mut()
        {
            *last |= bits << used;
            if used + count > 8 {
                self.bytes.push(bits >> (8 - used));
            }
        } else {
            self.bytes.push(bits);
        }
        self.len += count;
        self.clear_unused_bits();
    }

    fn clear_unused_bits(&mut self) {
        let used = self.len % 8;
        if used != 0
            && let Some(last) = self.bytes.last_mut()
        {
            *last &= 0xFF >> (8 - used);
        }
    }
}

impl Extend<bool> for Bitmap {
    fn extend<I: IntoIterator<Item = bool>>(&mut self, bits: I) {
        for bit in bits {
            self.push(bit);
        }
    }
}

impl FromIterator<bool> for Bitmap {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut bitmap = Self::new();
        bitmap.extend(bits);
        bitmap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn from_bytes_forgives_both_lengths() {
        assert_eq!(Bitmap::from_bytes(vec![0xFF, 0xFF], 3).as_bytes(), [0b111]);
        assert_eq!(Bitmap::from_bytes(vec![0xFF], 10).count_ones(), 8);
        assert!(!Bitmap::from_bytes(vec![], 1).get(0));
    }

    proptest! {
        #[test]
        fn behaves_as_a_vector_of_bools(
            first in proptest::collection::vec(any::<bool>(), 0..40),
            trues in 0_usize..40,
            second in proptest::collection::vec(any::<bool>(), 0..60),
            cut in 0_usize..60,
            keep in 0_usize..140,
        ) {
            let cut = cut.min(second.len());
            let other: Bitmap = second.iter().copied().collect();
            let mut bitmap: Bitmap = first.iter().copied().collect();
            let mut model = first.clone();
            bitmap.extend_true(trues);
            model.extend(std::iter::repeat_n(true, trues));
            bitmap.extend_from(&other, cut..second.len());
            model.extend_from_slice(&second[cut..]);
            bitmap.truncate(keep);
            model.truncate(keep);
            bitmap.push(true);
            model.push(true);
            prop_assert_eq!(bitmap.len(), model.len());
            prop_assert_eq!(&bitmap, &model.iter().copied().collect::<Bitmap>());
            prop_assert_eq!(bitmap.count_ones(), model.iter().filter(|bit| **bit).count());
            for (index, bit) in model.iter().enumerate() {
                prop_assert_eq!(bitmap.get(index), *bit);
            }
            let len = bitmap.len();
            prop_assert_eq!(Bitmap::from_bytes(bitmap.clone().into_bytes(), len), bitmap);
        }
    }
}
