//! Fixed-width values as the numeric codecs see them: 64-bit, 32-bit or 8-bit lanes.

/// A fixed-width value. The codecs are compiled once per lane type, so nothing is dispatched per sample.
pub(crate) trait Lane: Copy + Default {
    /// Bytes of one lane on disk.
    const BYTES: usize;
    /// Bits of one lane.
    const BITS: u32 = Self::BYTES as u32 * 8;

    /// The value's bits, zero-extended.
    fn to_lane(self) -> u64;

    /// The value of these bits; those beyond `BITS` are ignored.
    fn from_lane(lane: u64) -> Self;

    /// Whether these bits are a value of the type.
    fn is_valid(_lane: u64) -> bool {
        true
    }
}

impl Lane for f64 {
    const BYTES: usize = 8;
    fn to_lane(self) -> u64 {
        self.to_bits()
    }
    fn from_lane(lane: u64) -> Self {
        Self::from_bits(lane)
    }
}

impl Lane for i64 {
    const BYTES: usize = 8;
    fn to_lane(self) -> u64 {
        self.cast_unsigned()
    }
    fn from_lane(lane: u64) -> Self {
        lane.cast_signed()
    }
}

impl Lane for u64 {
    const BYTES: usize = 8;
    fn to_lane(self) -> u64 {
        self
    }
    fn from_lane(lane: u64) -> Self {
        lane
    }
}

impl Lane for f32 {
    const BYTES: usize = 4;
    fn to_lane(self) -> u64 {
        u64::from(self.to_bits())
    }
    fn from_lane(lane: u64) -> Self {
        Self::from_bits(low_32(lane))
    }
}

impl Lane for u32 {
    const BYTES: usize = 4;
    fn to_lane(self) -> u64 {
        u64::from(self)
    }
    fn from_lane(lane: u64) -> Self {
        low_32(lane)
    }
}

impl Lane for bool {
    const BYTES: usize = 1;
    fn to_lane(self) -> u64 {
        u64::from(self)
    }
    fn from_lane(lane: u64) -> Self {
        lane & 1 == 1
    }
    fn is_valid(lane: u64) -> bool {
        lane <= 1
    }
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
