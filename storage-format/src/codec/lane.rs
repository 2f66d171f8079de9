//! Fixed-width values as the numeric codecs see them: 64-bit, 32-bit or 8-bit lanes.

/// A fixed-width value. The codecs are compiled once per lane type, so nothing is dispatched per sample.
pub(crate) trait Lane: Copy + Default {
    /// Bytes of one lane on disk.
    const BYTES: usize;
    /// Bits of one lane.
    const BITS: u32 = Self::BYTES as u32 * 8;

    /// Whether a value takes one bit where it is stored as it is.
    const IS_BIT: bool = false;

    /// The value's bits, zero-extended.
    fn to_lane(self) -> u64;

    /// The value of these bits; those beyond `BITS` are ignored.
    fn from_lane(lane: u64) -> Self;

    /// Whether these bits are a value of the type.
    fn is_valid(_lane: u64) -> bool {
        true
    }

    /// The value's place in the order of its type, so that near values have near numbers: integers are
    /// their own number; floats count from +0 up and from -0, which is -1, down, NaNs beyond the infinities.
    fn to_order(self) -> i64;

    /// The value at a place; `None` where the type has none.
    fn from_order(order: i64) -> Option<Self>;
}

/// A floating-point lane: what codecs that calculate with values work on.
pub(crate) trait Real: Lane {
    /// The largest relative error of a rounded number.
    const EPSILON: f64;

    /// The same number as binary64, which every one has.
    fn to_f64(self) -> f64;

    /// The nearest number of the type.
    fn nearest(value: f64) -> Self;
}

impl Real for f64 {
    const EPSILON: f64 = Self::EPSILON / 2.0;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn nearest(value: f64) -> Self {
        value
    }
}

impl Real for f32 {
    const EPSILON: f64 = Self::EPSILON as f64 / 2.0;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        Self::into(self)
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the narrower type is what is asked for")]
    fn nearest(value: f64) -> Self {
        value as Self
    }
}

impl Lane for f64 {
    const BYTES: usize = 8;
    #[inline(always)]
    fn to_lane(self) -> u64 {
        self.to_bits()
    }
    #[inline(always)]
    fn from_lane(lane: u64) -> Self {
        Self::from_bits(lane)
    }
    #[inline(always)]
    fn to_order(self) -> i64 {
        mirror(self.to_bits().cast_signed())
    }
    #[inline(always)]
    fn from_order(order: i64) -> Option<Self> {
        Some(Self::from_bits(mirror(order).cast_unsigned()))
    }
}

impl Lane for i64 {
    const BYTES: usize = 8;
    #[inline(always)]
    fn to_lane(self) -> u64 {
        self.cast_unsigned()
    }
    #[inline(always)]
    fn from_lane(lane: u64) -> Self {
        lane.cast_signed()
    }
    #[inline(always)]
    fn to_order(self) -> i64 {
        self
    }
    #[inline(always)]
    fn from_order(order: i64) -> Option<Self> {
        Some(order)
    }
}

impl Lane for u64 {
    const BYTES: usize = 8;
    #[inline(always)]
    fn to_lane(self) -> u64 {
        self
    }
    #[inline(always)]
    fn from_lane(lane: u64) -> Self {
        lane
    }
    #[inline(always)]
    fn to_order(self) -> i64 {
        (self ^ 1 << 63).cast_signed()
    }
    #[inline(always)]
    fn from_order(order: i64) -> Option<Self> {
        Some(order.cast_unsigned() ^ 1 << 63)
    }
}

impl Lane for f32 {
    const BYTES: usize = 4;
    #[inline(always)]
    fn to_lane(self) -> u64 {
        u64::from(self.to_bits())
    }
    #[inline(always)]
    fn from_lane(lane: u64) -> Self {
        Self::from_bits(low_32(lane))
    }
    #[inline(always)]
    fn to_order(self) -> i64 {
        mirror(i64::from(self.to_bits().cast_signed()))
    }
    #[inline(always)]
    fn from_order(order: i64) -> Option<Self> {
        i32::try_from(mirror(order)).ok().map(|bits| Self::from_bits(bits.cast_unsigned()))
    }
}

impl Lane for u32 {
    const BYTES: usize = 4;
    #[inline(always)]
    fn to_lane(self) -> u64 {
        u64::from(self)
    }
    #[inline(always)]
    fn from_lane(lane: u64) -> Self {
        low_32(lane)
    }
    #[inline(always)]
    fn to_order(self) -> i64 {
        i64::from(self)
    }
    #[inline(always)]
    fn from_order(order: i64) -> Option<Self> {
        Self::try_from(order).ok()
    }
}

impl Lane for bool {
    const BYTES: usize = 1;
    const IS_BIT: bool = true;
    #[inline(always)]
    fn to_lane(self) -> u64 {
        u64::from(self)
    }
    #[inline(always)]
    fn from_lane(lane: u64) -> Self {
        lane & 1 == 1
    }
    fn is_valid(lane: u64) -> bool {
        lane <= 1
    }
    #[inline(always)]
    fn to_order(self) -> i64 {
        i64::from(self)
    }
    #[inline(always)]
    fn from_order(order: i64) -> Option<Self> {
        u8::try_from(order).ok().filter(|order| *order <= 1).map(|order| order == 1)
    }
}

/// Turns the bits of a negative float around, and back: they count from the sign bit up, away from zero.
#[inline(always)]
const fn mirror(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

#[expect(clippy::cast_possible_truncation, reason = "the lane is 32 bits wide")]
const fn low_32(lane: u64) -> u32 {
    lane as u32
}

/// Appends the lane's bytes, little-endian.
pub(crate) fn put<T: Lane>(value: T, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_lane().to_le_bytes()[..T::BYTES]);
}

/// The lane at the start of `bytes`, if there are enough of them and they are a value of the type.
pub(crate) fn get<T: Lane>(bytes: &[u8]) -> Option<T> {
    let mut wide = [0; 8];
    wide[..T::BYTES].copy_from_slice(bytes.get(..T::BYTES)?);
    let lane = u64::from_le_bytes(wide);
    T::is_valid(lane).then(|| T::from_lane(lane))
}

/// Appends every lane as it is.
pub(crate) fn put_all<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + values.len() * T::BYTES, 0);
    for (slot, value) in out[start..].chunks_exact_mut(T::BYTES).zip(values) {
        slot.copy_from_slice(&value.to_lane().to_le_bytes()[..T::BYTES]);
    }
}

/// Appends every lane of `bytes`, whose length is a multiple of the lane's. Not for lanes with invalid bits.
pub(crate) fn get_all<T: Lane>(bytes: &[u8], out: &mut Vec<T>) {
    out.extend(bytes.chunks_exact(T::BYTES).map(|chunk| {
        let mut wide = [0; 8];
        wide[..T::BYTES].copy_from_slice(chunk);
        T::from_lane(u64::from_le_bytes(wide))
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: Lane>(value: T) {
        let back = T::from_order(value.to_order()).map(Lane::to_lane);
        assert_eq!(back, Some(value.to_lane()));
    }

    proptest! {
        #[test]
        fn order_leads_back_and_orders(a in any::<u64>(), b in any::<u64>()) {
            check(f64::from_bits(a));
            check(f32::from_bits(low_32(a)));
            check(a);
            check(a.cast_signed());
            check(low_32(a));
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            prop_assert_eq!(x.to_order().cmp(&y.to_order()), x.total_cmp(&y));
            let (x, y) = (f32::from_bits(low_32(a)), f32::from_bits(low_32(b)));
            prop_assert_eq!(x.to_order().cmp(&y.to_order()), x.total_cmp(&y));
        }
    }

    #[test]
    fn places_without_a_value_are_none() {
        check(false);
        check(true);
        assert!(bool::from_order(2).is_none() && bool::from_order(-1).is_none());
        assert!(u32::from_order(-1).is_none() && u32::from_order(1 << 32).is_none());
        assert!(f32::from_order(1 << 31).is_none() && f32::from_order(-(1 << 31) - 1).is_none());
        assert_eq!((0.0_f64.to_order(), (-0.0_f64).to_order()), (0, -1));
    }
}
