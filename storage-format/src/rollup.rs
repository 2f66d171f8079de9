//! Rollups: aggregate states of aligned intervals, and the blocks in which they are kept (normative text: `rollup.md`).
//!
//! A state tells enough of an interval's samples for every aggregate that does not need each sample, and for plots. States are made in one
//! way only, so that an answer made from stored ones equals, to the bit, one made from the samples: a minute from its samples, an hour by
//! merging its minutes in time order, a day by merging its hours.

mod make;

use std::ops::Range;

use crate::error::FieldFault;
use crate::{CorruptChunk, Samples, ValueType, is_good};

pub use make::Parts;

/// The first four bytes of every block.
pub const ROLLUP_MAGIC: [u8; 4] = *b"HROL";

/// The block version this crate writes and reads.
pub const ROLLUP_VERSION: u8 = 1;

const HEADER_BYTES: usize = 24;
const STATE_BYTES: usize = 184;
const RECORD_BYTES: usize = 4 + STATE_BYTES;
const CHECKSUM_BYTES: usize = 4;

/// Length of the aligned intervals of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RollupLevel {
    /// Whole minutes, UTC.
    Minute = 1,
    /// Whole hours, UTC.
    Hour = 2,
    /// Whole days, UTC.
    Day = 3,
}

impl RollupLevel {
    /// Every level, finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Length of an interval in ns.
    #[must_use]
    pub const fn interval_ns(self) -> i64 {
        match self {
            Self::Minute => 60 * 1_000_000_000,
            Self::Hour => 3_600 * 1_000_000_000,
            Self::Day => 86_400 * 1_000_000_000,
        }
    }

    /// Intervals of one block: the minutes of a day, the hours or days of a week.
    #[must_use]
    pub const fn block_intervals(self) -> u32 {
        match self {
            Self::Minute => 1_440,
            Self::Hour => 168,
            Self::Day => 7,
        }
    }

    /// The level with this id.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::Minute),
            2 => Some(Self::Hour),
            3 => Some(Self::Day),
            _ => None,
        }
    }
}

/// One sample at an edge of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// ns since 1970, UTC.
    pub timestamp: i64,
    /// The value's bits as in [`crate::Scalar`]; `None` when null or text.
    pub bits: Option<u64>,
    /// OPC UA status code.
    pub quality: u32,
}

/// Aggregate state of the samples of one interval.
///
/// "Counted" below means, as in a chunk's statistics: quality Good, value present, not NaN. Values of other types than f64 enter sums and
/// integrals as the nearest f64; booleans are 0 and 1, states their number. Text is counted and has no numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RollupState {
    /// Samples, 1 or more.
    pub count: u64,
    /// Counted samples.
    pub good_count: u64,
    /// Samples without a value.
    pub null_count: u64,
    /// Changes from one sample to the next among the counted ones.
    pub transitions: u64,
    /// Numerically largest quality.
    pub worst_quality: u32,
    /// First sample.
    pub first: Edge,
    /// Last sample.
    pub last: Edge,
    /// Smallest counted value, bits and timestamp of its first occurrence.
    pub minimum: Option<(u64, i64)>,
    /// Largest counted value, bits and timestamp of its first occurrence.
    pub maximum: Option<(u64, i64)>,
    /// Whether the smallest counted value occurs again; `None` where that is not known.
    pub minimum_repeated: Option<bool>,
    /// Whether the largest counted value occurs again; `None` where that is not known.
    pub maximum_repeated: Option<bool>,
    /// Sum of the counted values; `sum + sum_low` is more exact than a double (Neumaier).
    pub sum: f64,
    /// What rounding took from `sum`.
    pub sum_low: f64,
    /// Sum of the squared deviations of the counted values from their mean.
    pub m2: f64,
    /// Integral over time between neighbouring samples that are both counted, in straight lines, in units × seconds.
    pub integral_sloped: f64,
    /// Integral over time from each counted sample to the next sample, holding the value, in units × seconds.
    pub integral_stepped: f64,
    /// Time covered by `integral_sloped`, ns.
    pub duration_sloped: i64,
    /// Time covered by `integral_stepped`, ns.
    pub duration_stepped: i64,
    /// Bits of the last counted value, for transitions across an edge.
    last_counted: Option<u64>,
    /// Bits of the first counted value.
    first_counted: Option<u64>,
}

/// An extreme with the timestamp of its first occurrence, and whether it occurs again.
type StateExtreme = (Option<(u64, i64)>, Option<bool>);

impl RollupState {
    /// Bits of the first counted value.
    #[must_use]
    pub const fn first_counted(&self) -> Option<u64> {
        self.first_counted
    }

    /// Bits of the last counted value.
    #[must_use]
    pub const fn last_counted(&self) -> Option<u64> {
        self.last_counted
    }

    /// Appends the state of a later interval: the result is the state of both together.
    pub fn merge(&mut self, next: &Self, value_type: ValueType) {
        let number = |bits: u64| as_f64(value_type, bits);
        let counted = |edge: &Edge| edge.bits.filter(|bits| is_good(edge.quality) && !number(*bits).is_nan()).map(number);
        let gap = next.first.timestamp.wrapping_sub(self.last.timestamp);
        let seconds = gap as f64 * 1e-9;
        if let Some(before) = counted(&self.last) {
            self.integral_stepped += before * seconds;
            self.duration_stepped = self.duration_stepped.wrapping_add(gap);
            if let Some(after) = counted(&next.first) {
                self.integral_sloped += (before + after) * 0.5 * seconds;
                self.duration_sloped = self.duration_sloped.wrapping_add(gap);
            }
        }
        self.integral_stepped += next.integral_stepped;
        self.integral_sloped += next.integral_sloped;
        self.duration_stepped = self.duration_stepped.wrapping_add(next.duration_stepped);
        self.duration_sloped = self.duration_sloped.wrapping_add(next.duration_sloped);
        if let (Some(before), Some(after)) = (self.last_counted, next.first_counted) {
            self.transitions += u64::from(before != after);
        }
        self.transitions += next.transitions;
        if self.good_count > 0 && next.good_count > 0 {
            let (a, b) = (self.good_count as f64, next.good_count as f64);
            let delta = (next.sum + next.sum_low) / b - (self.sum + self.sum_low) / a;
            self.m2 += next.m2 + delta * delta * (a * b / (a + b));
        } else {
            self.m2 += next.m2;
        }
        let (sum, low) = two_sum(self.sum, next.sum);
        self.sum = sum;
        self.sum_low += low + next.sum_low;
        let better = |mine: StateExtreme, other: StateExtreme, wins: fn(f64, f64) -> bool| match (mine.0, other.0) {
            (Some(a), Some(b)) if exceeds(value_type, b.0, a.0, wins) => other,
            (Some(a), Some(b)) if exceeds(value_type, a.0, b.0, wins) => mine,
            (Some(_), Some(_)) => (mine.0, Some(true)),
            (None, Some(_)) => other,
            (_, None) => mine,
        };
        let (mine, other) = ((self.minimum, self.minimum_repeated), (next.minimum, next.minimum_repeated));
        (self.minimum, self.minimum_repeated) = better(mine, other, |other, mine| other < mine);
        let (mine, other) = ((self.maximum, self.maximum_repeated), (next.maximum, next.maximum_repeated));
        (self.maximum, self.maximum_repeated) = better(mine, other, |other, mine| other > mine);
        self.count += next.count;
        self.good_count += next.good_count;
        self.null_count += next.null_count;
        self.worst_quality = self.worst_quality.max(next.worst_quality);
        self.last = next.last;
        self.last_counted = next.last_counted.or(self.last_counted);
        self.first_counted = self.first_counted.or(next.first_counted);
    }

    fn put(&self, out: &mut Vec<u8>) {
        let flags = u32::from(self.first.bits.is_some())
            | u32::from(self.last.bits.is_some()) << 1
            | u32::from(self.minimum.is_some()) << 2
            | u32::from(self.first_counted.is_some()) << 3
            | repeats_flags(self.minimum_repeated, self.maximum_repeated);
        let (minimum, maximum) = (self.minimum.unwrap_or_default(), self.maximum.unwrap_or_default());
        for number in [flags, self.worst_quality, self.first.quality, self.last.quality] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let words = [
            self.count,
            self.good_count,
            self.null_count,
            self.transitions,
            self.first.timestamp.cast_unsigned(),
            self.first.bits.unwrap_or(0),
            self.last.timestamp.cast_unsigned(),
            self.last.bits.unwrap_or(0),
            minimum.0,
            minimum.1.cast_unsigned(),
            maximum.0,
            maximum.1.cast_unsigned(),
            self.sum.to_bits(),
            self.sum_low.to_bits(),
            self.m2.to_bits(),
            self.integral_sloped.to_bits(),
            self.integral_stepped.to_bits(),
            self.duration_sloped.cast_unsigned(),
            self.duration_stepped.cast_unsigned(),
            self.first_counted.unwrap_or(0),
            self.last_counted.unwrap_or(0),
        ];
        for word in words {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
}

impl RollupState {
    /// Counts and edges; nothing counted yet.
    fn empty(samples: &Samples, range: &Range<usize>) -> Self {
        let edge = |index: usize| Edge {
            timestamp: samples.timestamps[index],
            bits: samples.value(index).and_then(|value| crate::Scalar::of(&value)).map(|scalar| scalar.bits),
            quality: samples.qualities[index],
        };
        Self {
            count: range.len() as u64,
            good_count: 0,
            null_count: 0,
            transitions: 0,
            worst_quality: 0,
            first: edge(range.start),
            last: edge(range.end - 1),
            minimum: None,
            maximum: None,
            minimum_repeated: None,
            maximum_repeated: None,
            sum: 0.0,
            sum_low: 0.0,
            m2: 0.0,
            integral_sloped: 0.0,
            integral_stepped: 0.0,
            duration_sloped: 0,
            duration_stepped: 0,
            last_counted: None,
            first_counted: None,
        }
    }
}

/// Flag: whether extremes occur again is known, and told by the two flags below.
const REPEATS_KNOWN: u32 = 1 << 4;
const MINIMUM_REPEATED: u32 = 1 << 5;
const MAXIMUM_REPEATED: u32 = 1 << 6;

/// Known for both extremes or for neither: a record tells no half.
fn repeats_flags(minimum: Option<bool>, maximum: Option<bool>) -> u32 {
    let (Some(minimum), Some(maximum)) = (minimum, maximum) else { return 0 };
    REPEATS_KNOWN | if minimum { MINIMUM_REPEATED } else { 0 } | if maximum { MAXIMUM_REPEATED } else { 0 }
}

/// The rounded sum and what rounding took (Knuth); of infinities that is nothing.
#[must_use]
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    let low = (a - (sum - part)) + (b - part);
    // Infinities have no rounding error.
    (sum, if low.is_nan() { 0.0 } else { low })
}

/// The nearest f64 of a lane.
fn as_f64(value_type: ValueType, bits: u64) -> f64 {
    crate::Scalar { value_type, bits }.as_f64()
}

/// Whether `other` wins over `mine`; integers are compared as such, since two of them may have the same nearest f64.
fn exceeds(value_type: ValueType, other: u64, mine: u64, wins: fn(f64, f64) -> bool) -> bool {
    match value_type {
        ValueType::I64 => {
            let (other, mine) = (other.cast_signed(), mine.cast_signed());
            other != mine && wins(if other < mine { -1.0 } else { 1.0 }, 0.0)
        }
        ValueType::U64 => other != mine && wins(if other < mine { -1.0 } else { 1.0 }, 0.0),
        _ => wins(as_f64(value_type, other), as_f64(value_type, mine)),
    }
}

/// One block: the states of a tag's non-empty intervals of one level, by their number in the block.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupBlock {
    /// Tag the states belong to.
    pub tag_id: u32,
    /// Type of the tag's values.
    pub value_type: ValueType,
    /// Length of the intervals.
    pub level: RollupLevel,
    /// Start of the block's first interval, ns since 1970, UTC. Weeks at the ends of time begin before i64 does, so this is wider.
    pub start: i128,
    /// Number of the interval in the block, ascending, and its state.
    pub states: Vec<(u32, RollupState)>,
}

impl RollupBlock {
    /// The block as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.states.len() * RECORD_BYTES + CHECKSUM_BYTES);
        out.extend_from_slice(&ROLLUP_MAGIC);
        out.extend_from_slice(&[ROLLUP_VERSION, self.level as u8, self.value_type as u8, 0]);
        out.extend_from_slice(&self.tag_id.to_le_bytes());
        // Whole minutes since 1970: 2^63 ns are 154 million minutes.
        let minutes = i64::try_from(self.start.div_euclid(i128::from(RollupLevel::Minute.interval_ns()))).unwrap_or(i64::MAX);
        out.extend_from_slice(&minutes.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.states.len()).unwrap_or(u32::MAX).to_le_bytes());
        for (number, state) in &self.states {
            out.extend_from_slice(&number.to_le_bytes());
            state.put(&mut out);
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The block that is the whole of `bytes`.
    ///
    /// # Errors
    /// [`CorruptChunk`] naming the field at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorruptChunk> {
        decode(bytes).map_err(|fault| fault.in_chunk(None))
    }
}

fn decode(bytes: &[u8]) -> Result<RollupBlock, FieldFault> {
    let least = HEADER_BYTES + CHECKSUM_BYTES;
    let short = || FieldFault::new("length of the rollup block", 0, format!("{least} bytes or more"), bytes.len());
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().filter(|(body, _)| body.len() >= HEADER_BYTES).ok_or_else(short)?;
    if body[..4] != ROLLUP_MAGIC {
        return Err(FieldFault::new("magic", 0, "HROL", body[..4].escape_ascii()));
    }
    if body[4] != ROLLUP_VERSION {
        return Err(FieldFault::new("version", 4, ROLLUP_VERSION, body[4]));
    }
    let (expected, found) = (u32::from_le_bytes(*checksum), crc32c::crc32c(body));
    if expected != found {
        return Err(FieldFault::new("checksum", body.len(), format!("{expected:08x}"), format!("{found:08x}")));
    }
    let level = RollupLevel::from_id(body[5]).ok_or_else(|| FieldFault::new("level", 5, "1 to 3", body[5]))?;
    let value_type = ValueType::try_from(body[6]).map_err(|_| FieldFault::new("value type", 6, "1 to 7", body[6]))?;
    if body[7] != 0 {
        return Err(FieldFault::new("reserved byte", 7, 0, body[7]));
    }
    let mut fields = RollupFields { bytes: body, at: 8 };
    let tag_id = fields.u32();
    let start = i128::from(fields.u64().cast_signed()) * i128::from(RollupLevel::Minute.interval_ns());
    let count = fields.u32();
    if count > level.block_intervals() || body.len() != HEADER_BYTES + count as usize * RECORD_BYTES {
        return Err(FieldFault::new("number of states", 20, (body.len() - HEADER_BYTES) / RECORD_BYTES, count));
    }
    let mut states: Vec<(u32, RollupState)> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let at = fields.at;
        let number = fields.u32();
        if number >= level.block_intervals() || states.last().is_some_and(|(before, _)| *before >= number) {
            return Err(FieldFault::new("number of an interval", at, "ascending ones of the block", number));
        }
        let flags = fields.u32();
        // Text has no scalars.
        let known = match (value_type, flags & REPEATS_KNOWN != 0) {
            (ValueType::String, _) => 0,
            (_, true) => 0b111_1111,
            (_, false) => 0b1111,
        };
        if flags & !known != 0 {
            return Err(FieldFault::new("flags of a state", at + 4, format!("none but {known:07b}"), format!("{flags:b}")));
        }
        states.push((number, fields.state(flags)));
    }
    Ok(RollupBlock { tag_id, value_type, level, start, states })
}

/// Reads little-endian fields one after another; the caller has checked the length.
struct RollupFields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl RollupFields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        field
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn f64(&mut self) -> f64 {
        f64::from_bits(self.u64())
    }

    fn i64(&mut self) -> i64 {
        self.u64().cast_signed()
    }

    fn state(&mut self, flags: u32) -> RollupState {
        let (worst_quality, first_quality, last_quality) = (self.u32(), self.u32(), self.u32());
        let (count, good_count, null_count, transitions) = (self.u64(), self.u64(), self.u64(), self.u64());
        let when = |bit: u32, bits: u64| (flags & 1 << bit != 0).then_some(bits);
        let first = Edge { timestamp: self.i64(), bits: when(0, self.u64()), quality: first_quality };
        let last = Edge { timestamp: self.i64(), bits: when(1, self.u64()), quality: last_quality };
        let (minimum, maximum) = ((self.u64(), self.i64()), (self.u64(), self.i64()));
        let extremes = flags & 4 != 0;
        let repeat = |bit: u32| (flags & REPEATS_KNOWN != 0).then_some(flags & bit != 0);
        let (sum, sum_low, m2, integral_sloped, integral_stepped) = (self.f64(), self.f64(), self.f64(), self.f64(), self.f64());
        let (duration_sloped, duration_stepped) = (self.i64(), self.i64());
        let (first_counted, last_counted) = (when(3, self.u64()), when(3, self.u64()));
        RollupState {
            count,
            good_count,
            null_count,
            transitions,
            worst_quality,
            first,
            last,
            minimum: extremes.then_some(minimum),
            maximum: extremes.then_some(maximum),
            minimum_repeated: repeat(MINIMUM_REPEATED),
            maximum_repeated: repeat(MAXIMUM_REPEATED),
            sum,
            sum_low,
            m2,
            integral_sloped,
            integral_stepped,
            duration_sloped,
            duration_stepped,
            last_counted,
            first_counted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use proptest::prelude::*;

    fn run(rows: &[(i64, Option<f64>, u32)]) -> Samples {
        let mut samples = Samples::new(ValueType::F64);
        for (timestamp, value, quality) in rows {
            samples.push(*timestamp, value.map(Value::F64).as_ref(), *quality).unwrap();
        }
        samples
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_state_tells_what_its_samples_tell() {
        let samples = run(&[
            (0, Some(1.0), 0),
            (2 * SECOND, Some(3.0), 0),
            (3 * SECOND, None, 0x8000_0000),
            (5 * SECOND, Some(f64::NAN), 0),
            (6 * SECOND, Some(3.0), 0),
            (9 * SECOND, Some(-1.0), 0),
        ]);
        let state = RollupState::of(&samples, 0..6).unwrap();
        assert_eq!((state.count, state.good_count, state.null_count, state.transitions), (6, 4, 1, 2));
        assert_eq!((state.minimum, state.maximum), (Some(((-1.0_f64).to_bits(), 9 * SECOND)), Some((3.0_f64.to_bits(), 2 * SECOND))));
        assert!((state.sum - 6.0).abs() < 1e-12);
        assert!((state.m2 - (0.25 + 2.25 + 2.25 + 6.25)).abs() < 1e-12);
        // Sloped: 0 to 2 s and 6 to 9 s. Stepped: also 2 to 3 s.
        assert!((state.integral_sloped - (4.0 + 3.0)).abs() < 1e-9);
        assert_eq!(state.duration_sloped, 5 * SECOND);
        assert!((state.integral_stepped - (2.0 + 3.0 + 9.0)).abs() < 1e-9);
        assert_eq!(state.duration_stepped, 6 * SECOND);
        assert_eq!(state.worst_quality, 0x8000_0000);
        assert_eq!(RollupState::of(&samples, 3..3), None);
    }

    #[test]
    fn an_extreme_that_occurs_again_is_told_and_a_record_that_does_not_tell_is_read() {
        let state = |values: &[f64]| {
            let rows: Vec<_> = values.iter().zip(0_i64..).map(|(value, i)| (i * SECOND, Some(*value), 0)).collect();
            RollupState::of(&run(&rows), 0..rows.len()).unwrap()
        };
        let told = |state: &RollupState| (state.minimum_repeated, state.maximum_repeated);
        assert_eq!(told(&state(&[1.0, 2.0, 1.0, 3.0])), (Some(true), Some(false)));
        assert_eq!(told(&state(&[1.0, 1.0, 0.0, -0.0, 3.0])), (Some(true), Some(false)));
        let mut merged = state(&[1.0, 3.0]);
        merged.merge(&state(&[2.0, 3.0]), ValueType::F64);
        assert_eq!(told(&merged), (Some(false), Some(true)));

        let block = RollupBlock { tag_id: 9, value_type: ValueType::F64, level: RollupLevel::Hour, start: 0, states: vec![(0, merged)] };
        let altered = |flags: u8| {
            let mut bytes = block.encode();
            assert_eq!(bytes[28], 0b101_1111);
            bytes[28] = flags;
            let body = bytes.len() - CHECKSUM_BYTES;
            let checksum = crc32c::crc32c(&bytes[..body]);
            bytes[body..].copy_from_slice(&checksum.to_le_bytes());
            RollupBlock::decode(&bytes)
        };
        assert_eq!(altered(0b101_1111).unwrap(), block);
        assert_eq!(told(&altered(0b000_1111).unwrap().states[0].1), (None, None));
        assert!(altered(0b010_1111).is_err(), "told without being known");
        assert!(altered(0b1101_1111).is_err());
    }

    proptest! {
        #[test]
        fn merging_parts_is_near_the_whole_and_exact_in_what_is_exact(
            rows in proptest::collection::vec((prop::option::weighted(0.9, -100.0..100.0_f64), prop_oneof![5 => Just(0_u32), 1 => any::<u32>()]), 2..60),
            coarse in any::<bool>(),
            cut in 1_usize..59,
        ) {
            // Coarse values occur again.
            let value = |value: f64| if coarse { (value / 40.0).round() } else { value };
            let rows: Vec<_> = rows.iter().zip(0_i64..).map(|((v, quality), i)| (i * SECOND, v.map(value), *quality)).collect();
            let samples = run(&rows);
            let cut = cut.min(rows.len() - 1);
            let whole = RollupState::of(&samples, 0..rows.len()).unwrap();
            let mut merged = RollupState::of(&samples, 0..cut).unwrap();
            merged.merge(&RollupState::of(&samples, cut..rows.len()).unwrap(), ValueType::F64);
            for (a, b) in [(merged.sum + merged.sum_low, whole.sum + whole.sum_low), (merged.m2, whole.m2),
                (merged.integral_sloped, whole.integral_sloped), (merged.integral_stepped, whole.integral_stepped)] {
                prop_assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{} {}", a, b);
            }
            let exact = |state: &RollupState| ((state.count, state.good_count, state.null_count, state.transitions, state.minimum, state.maximum),
                (state.minimum_repeated, state.maximum_repeated), (state.first, state.last, state.worst_quality, state.duration_sloped, state.duration_stepped, state.first_counted, state.last_counted));
            prop_assert_eq!(exact(&merged), exact(&whole));
        }

        #[test]
        fn blocks_survive_and_notice_damage(
            rows in proptest::collection::vec((prop::option::weighted(0.9, any::<f64>()), any::<u32>()), 1..40), bit in any::<prop::sample::Index>(),
        ) {
            let rows: Vec<_> = rows.iter().zip(0_i64..).map(|((value, quality), i)| (i * SECOND, *value, *quality)).collect();
            let samples = run(&rows);
            let states = (0..rows.len()).map(|i| (i as u32 * 3, RollupState::of(&samples, i..rows.len()).unwrap())).collect();
            let block = RollupBlock { tag_id: 9, value_type: ValueType::F64, level: RollupLevel::Hour, start: -604_800 * i128::from(SECOND), states };
            let mut bytes = block.encode();
            // NaN sums are not equal to themselves: compared by their text.
            prop_assert_eq!(format!("{:?}", RollupBlock::decode(&bytes).unwrap()), format!("{block:?}"));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(RollupBlock::decode(&bytes).is_err());
        }
    }
}
