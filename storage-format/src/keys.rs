//! Names of the key-value families and the bytes of their keys (normative text: `keys.md`).

use std::cmp::Ordering;

/// Tag definitions: key [`catalog_key`], value UTF-8 JSON.
pub const FAMILY_CATALOG: &str = "catalog";
/// Acknowledged, not yet sealed samples: key [`journal_key`], value one journal record.
pub const FAMILY_JOURNAL: &str = "journal";
/// Sealed chunks: key [`ChunkKey`]; per tag disjoint in time and ordered, none across a week's edge.
pub const FAMILY_CHUNKS: &str = "chunks";
/// Chunks that may overlap any other: key [`ChunkKey`].
pub const FAMILY_LATE: &str = "late";
/// Versions of samples that another one replaced: key [`SupersededKey`], value a chunk or a journal record of one run.
pub const FAMILY_SUPERSEDED: &str = "superseded";
/// Aggregate states of aligned intervals: key [`RollupKey`], value a rollup block.
pub const FAMILY_ROLLUPS: &str = "rollups";
/// Recorded gaps: key [`gap_key`], value UTF-8 JSON.
pub const FAMILY_GAPS: &str = "gaps";
/// What people keep beside the samples: key [`NoteKey`], value UTF-8 JSON.
pub const FAMILY_NOTES: &str = "notes";
/// The audit log: key [`audit_key`], value UTF-8 JSON.
pub const FAMILY_AUDIT: &str = "audit";
/// Name of the side file that holds how long the key-value store's manifest is known to be.
pub const MANIFEST_MARK_FILE: &str = "MANIFEST_MARK";
/// The store's own state: format version and marks of tags.
pub const FAMILY_STATE: &str = "state";

/// Every family, in the order of `keys.md`.
pub const FAMILIES: [&str; 10] = [
    FAMILY_CATALOG,
    FAMILY_JOURNAL,
    FAMILY_CHUNKS,
    FAMILY_LATE,
    FAMILY_SUPERSEDED,
    FAMILY_ROLLUPS,
    FAMILY_GAPS,
    FAMILY_NOTES,
    FAMILY_AUDIT,
    FAMILY_STATE,
];

/// Families that a store may lack because it was last opened before there were any: they are empty then.
pub const FAMILIES_ADDED: [&str; 1] = [FAMILY_NOTES];

/// Version of the whole store layout that this crate describes.
pub const FORMAT_VERSION: u32 = 1;

/// What the value of [`format_version_key`] begins with.
const FORMAT_MAGIC: [u8; 4] = *b"HSTR";

/// Value of [`format_version_key`]: a magic, and the version as u32 little-endian.
#[must_use]
pub const fn format_version_value(version: u32) -> [u8; 8] {
    let [m0, m1, m2, m3] = FORMAT_MAGIC;
    let [v0, v1, v2, v3] = version.to_le_bytes();
    [m0, m1, m2, m3, v0, v1, v2, v3]
}

/// The version in the value of [`format_version_key`], if it is one.
#[must_use]
pub fn decode_format_version(bytes: &[u8]) -> Option<u32> {
    match *bytes {
        [m0, m1, m2, m3, v0, v1, v2, v3] if [m0, m1, m2, m3] == FORMAT_MAGIC => Some(u32::from_le_bytes([v0, v1, v2, v3])),
        _ => None,
    }
}

/// Nanoseconds of a week, by which keys are partitioned: weeks begin on Thursdays at 00:00 UTC, as 1970 did.
pub const WEEK_NS: i64 = 7 * 86_400 * 1_000_000_000;

/// Number of the week that holds a timestamp: −15,251 to 15,250.
#[must_use]
pub const fn week_of(timestamp: i64) -> i32 {
    // The whole range of i64 has some 30,500 weeks.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    let week = timestamp.div_euclid(WEEK_NS) as i32;
    week
}

/// How many of the first timestamps, sorted, lie in the week of the first one.
#[must_use]
pub fn week_run(timestamps: &[i64]) -> usize {
    timestamps.first().map_or(0, |first| timestamps.partition_point(|timestamp| week_of(*timestamp) <= week_of(*first)))
}

/// First and last timestamp of a week, both inclusive; the first and the last week are cut by the range of i64.
#[must_use]
pub fn week_bounds(week: i32) -> (i64, i64) {
    let start = i128::from(week) * i128::from(WEEK_NS);
    let clamp = |at: i128| i64::try_from(at).unwrap_or(if at < 0 { i64::MIN } else { i64::MAX });
    (clamp(start), clamp(start + i128::from(WEEK_NS) - 1))
}

/// A week as it stands in keys: two bytes, big-endian, offset so that their order is that of time.
#[must_use]
pub const fn week_bytes(week: i32) -> [u8; 2] {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a week is within ±15,251")]
    let shifted = (week + WEEK_OFFSET) as u16;
    shifted.to_be_bytes()
}

/// The week in the first two bytes of a key.
#[must_use]
pub fn decode_week(bytes: &[u8]) -> Option<i32> {
    let bytes = bytes.first_chunk::<2>()?;
    Some(i32::from(u16::from_be_bytes(*bytes)) - WEEK_OFFSET)
}

const WEEK_OFFSET: i32 = 32_768;

/// Key in `state` whose value is the store's format version, a [`format_version_value`].
#[must_use]
pub const fn format_version_key() -> &'static [u8] {
    b"format_version"
}

/// Key of a chunk in `chunks` or `late`.
///
/// Byte order of the encoded keys equals the order of this struct: week of the start, tag, start, generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkKey {
    /// Tag the samples belong to.
    pub tag_id: u32,
    /// First timestamp of the chunk, ns since 1970, UTC.
    pub start: i64,
    /// Counts the chunks that have been written for the same tag and start.
    pub generation: u16,
}

impl Ord for ChunkKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = |key: &Self| (week_of(key.start), key.tag_id, key.start, key.generation);
        parts(self).cmp(&parts(other))
    }
}

impl PartialOrd for ChunkKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ChunkKey {
    /// Length of an encoded key in bytes.
    pub const BYTES: usize = 16;

    /// `week u16 BE | tag id u32 BE | start i64 BE with the sign bit flipped | generation u16 BE`.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::BYTES] {
        let [w0, w1] = week_bytes(week_of(self.start));
        let [a, b, c, d] = self.tag_id.to_be_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = time_bytes(self.start);
        let [g0, g1] = self.generation.to_be_bytes();
        [w0, w1, a, b, c, d, s0, s1, s2, s3, s4, s5, s6, s7, g0, g1]
    }

    /// The key in `bytes`, if they are 16 and the week is that of the start.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let [_, _, a, b, c, d, s0, s1, s2, s3, s4, s5, s6, s7, g0, g1] = bytes;
        let key = Self {
            tag_id: u32::from_be_bytes([a, b, c, d]),
            start: decode_time([s0, s1, s2, s3, s4, s5, s6, s7]),
            generation: u16::from_be_bytes([g0, g1]),
        };
        (decode_week(&bytes) == Some(week_of(key.start))).then_some(key)
    }

    /// The six bytes that every key of a tag's chunks in a week starts with.
    #[must_use]
    pub const fn prefix(week: i32, tag_id: u32) -> [u8; 6] {
        let [w0, w1] = week_bytes(week);
        let [a, b, c, d] = tag_id.to_be_bytes();
        [w0, w1, a, b, c, d]
    }
}

/// Key in `superseded`: week of the start, tag, first timestamp, sequence under which the versions were replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SupersededKey {
    /// Tag the samples belong to.
    pub tag_id: u32,
    /// First timestamp in the value, ns since 1970, UTC.
    pub start: i64,
    /// Sequence number of the write that replaced them.
    pub sequence: u64,
    /// Tells apart values with the same tag, start and sequence.
    pub part: u32,
}

impl SupersededKey {
    /// Length of an encoded key in bytes.
    pub const BYTES: usize = 26;

    /// `week u16 BE | tag id u32 BE | start i64 BE with the sign bit flipped | sequence u64 BE | part u32 BE`.
    #[must_use]
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..6].copy_from_slice(&ChunkKey::prefix(week_of(self.start), self.tag_id));
        bytes[6..14].copy_from_slice(&time_bytes(self.start));
        bytes[14..22].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[22..].copy_from_slice(&self.part.to_be_bytes());
        bytes
    }

    /// The key in `bytes`, if they are 26 and the week is that of the start.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let key = Self {
            tag_id: u32::from_be_bytes(*bytes[2..].first_chunk()?),
            start: decode_time(*bytes[6..].first_chunk()?),
            sequence: u64::from_be_bytes(*bytes[14..].first_chunk()?),
            part: u32::from_be_bytes(*bytes[22..].first_chunk()?),
        };
        (decode_week(&bytes) == Some(week_of(key.start))).then_some(key)
    }
}

/// Key in `rollups`: one block of a tag's aggregate states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    /// Week of the intervals.
    pub week: i32,
    /// Tag the states belong to.
    pub tag_id: u32,
    /// Level: 1 minutes, 2 hours, 3 days.
    pub level: u8,
    /// Minutes: day of the week, 0 to 6. Others: 0.
    pub part: u8,
}

impl RollupKey {
    /// Length of an encoded key in bytes.
    pub const BYTES: usize = 8;

    /// `week u16 BE | tag id u32 BE | level u8 | part u8`.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::BYTES] {
        let [w0, w1, a, b, c, d] = ChunkKey::prefix(self.week, self.tag_id);
        [w0, w1, a, b, c, d, self.level, self.part]
    }

    /// The key in `bytes`, if they are 8.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let [_, _, a, b, c, d, level, part] = bytes;
        Some(Self { week: decode_week(&bytes)?, tag_id: u32::from_be_bytes([a, b, c, d]), level, part })
    }
}

const fn time_bytes(timestamp: i64) -> [u8; 8] {
    (timestamp.cast_unsigned() ^ SIGN).to_be_bytes()
}

const fn decode_time(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ SIGN).cast_signed()
}

const SIGN: u64 = 1 << 63;

/// Key of a journal record: its sequence, u64 big-endian.
#[must_use]
pub const fn journal_key(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// The sequence in a journal key, if it has 8 bytes.
#[must_use]
pub fn decode_journal_key(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Key of an entry of the audit log: its number, u64 big-endian.
#[must_use]
pub const fn audit_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in an audit key, if it has 8 bytes.
#[must_use]
pub fn decode_audit_key(bytes: &[u8]) -> Option<u64> {
    decode_journal_key(bytes)
}

/// Key of an entry of `gaps`: its number, u64 big-endian.
#[must_use]
pub const fn gap_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// What a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum NoteKind {
    /// A text on tags, over a time or a range of time.
    Annotation = b'a',
    /// A view of trends that somebody keeps by a name.
    View = b'v',
}

impl NoteKind {
    /// Every kind.
    pub const ALL: [NoteKind; 2] = [NoteKind::Annotation, NoteKind::View];

    /// What all keys of the kind begin with, and no other keys of `notes` do.
    #[must_use]
    pub const fn letter(self) -> u8 {
        self as u8
    }
}

/// Key in `notes`: one version of a note.
///
/// Byte order of the encoded keys equals the order of this struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoteKey {
    /// What the note is.
    pub kind: NoteKind,
    /// Number of the note among those of its kind, from 1.
    pub id: u64,
    /// Number of the version, from 1.
    pub version: u32,
}

impl NoteKey {
    /// Length of an encoded key in bytes.
    pub const BYTES: usize = 13;

    /// `letter of the kind | id u64 BE | version u32 BE`.
    #[must_use]
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [self.kind.letter(); Self::BYTES];
        bytes[1..9].copy_from_slice(&self.id.to_be_bytes());
        bytes[9..].copy_from_slice(&self.version.to_be_bytes());
        bytes
    }

    /// The key in `bytes`, if it is one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let kind = NoteKind::ALL.into_iter().find(|kind| kind.letter() == bytes[0])?;
        Some(Self { kind, id: u64::from_be_bytes(*bytes[1..].first_chunk()?), version: u32::from_be_bytes(*bytes[9..].first_chunk()?) })
    }
}

/// Key of a tag's definition in `catalog`: `t` and the tag id, u32 big-endian.
#[must_use]
pub const fn catalog_key(tag_id: u32) -> [u8; 5] {
    lettered(b't', tag_id)
}

/// The tag id in a catalog key, if it is one.
#[must_use]
pub fn decode_catalog_key(bytes: &[u8]) -> Option<u32> {
    decode_lettered(b't', bytes)
}

/// A record that the store keeps of a tag, of each kind at most one: in `state`, under its letter and the tag id, u32 big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TagRecord {
    /// The journal sequence up to and including which the tag's samples are in chunks, u64 little-endian.
    Sealed = b's',
    /// What background work has done to the tag: a [`KeptMark`].
    Kept = b'k',
    /// The tag's latest sample in chunks: a [`CurrentEntry`](crate::current::CurrentEntry).
    Current = b'c',
}

impl TagRecord {
    /// Every kind.
    pub const ALL: [TagRecord; 3] = [TagRecord::Sealed, TagRecord::Kept, TagRecord::Current];

    /// What all keys of the kind begin with, and no other keys of `state` do.
    #[must_use]
    pub const fn letter(self) -> u8 {
        self as u8
    }

    /// Key of a tag's record.
    #[must_use]
    pub const fn key(self, tag_id: u32) -> [u8; 5] {
        lettered(self.letter(), tag_id)
    }

    /// Kind and tag id in a key, if it is that of a record.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(TagRecord, u32)> {
        TagRecord::ALL.into_iter().find_map(|record| Some((record, decode_lettered(record.letter(), bytes)?)))
    }
}

/// How far background work has come with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeptMark {
    /// Every ordered chunk that starts before this timestamp is a large one.
    pub compacted_until: i64,
    /// Every whole interval before this timestamp, a whole hour, is in the rollups, but those marked dirty.
    pub rolled_until: i64,
}

impl Default for KeptMark {
    fn default() -> Self {
        Self { compacted_until: i64::MIN, rolled_until: i64::MIN }
    }
}

impl KeptMark {
    /// Two i64, little-endian.
    #[must_use]
    pub fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.compacted_until.to_le_bytes());
        bytes[8..].copy_from_slice(&self.rolled_until.to_le_bytes());
        bytes
    }

    /// The mark in `bytes`, if they are 16.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        let (compacted, rolled) = bytes.split_at(8);
        Some(Self {
            compacted_until: i64::from_le_bytes(*compacted.first_chunk()?),
            rolled_until: i64::from_le_bytes(*rolled.first_chunk()?),
        })
    }
}

/// Key in `state` of the time up to which retention has counted, i64 little-endian, ns since 1970.
#[must_use]
pub const fn retention_clock_key() -> &'static [u8] {
    b"retention_clock"
}

/// Key in `state` of the days of a tag's week whose rollups are to be made anew: `d`, tag id u32, week u16. The value is one byte, bit *i*
/// for day *i* of the week.
#[must_use]
pub const fn dirty_key(week: i32, tag_id: u32) -> [u8; 7] {
    let [w0, w1, a, b, c, d] = ChunkKey::prefix(week, tag_id);
    [b'd', a, b, c, d, w0, w1]
}

/// Days of their week that the timestamps from `first` to `last` touch, as bits; both lie in the same week.
#[must_use]
pub fn days_of_week(first: i64, last: i64) -> u8 {
    let day = |at: i64| at.rem_euclid(WEEK_NS) / (WEEK_NS / 7);
    (day(first)..=day(last)).fold(0, |days, day| days | 1 << day)
}

/// What all dirty keys of a tag begin with.
#[must_use]
pub const fn dirty_prefix(tag_id: u32) -> [u8; 5] {
    lettered(b'd', tag_id)
}

/// Week and tag id in a dirty key, if it is one.
#[must_use]
pub fn decode_dirty_key(bytes: &[u8]) -> Option<(i32, u32)> {
    match *bytes {
        [b'd', a, b, c, d, w0, w1] => Some((decode_week(&[w0, w1])?, u32::from_be_bytes([a, b, c, d]))),
        _ => None,
    }
}

const fn lettered(letter: u8, tag_id: u32) -> [u8; 5] {
    let [a, b, c, d] = tag_id.to_be_bytes();
    [letter, a, b, c, d]
}

fn decode_lettered(letter: u8, bytes: &[u8]) -> Option<u32> {
    match *bytes {
        [first, a, b, c, d] if first == letter => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_as_documented() {
        let key = ChunkKey { tag_id: 0x0102_0304, start: -1, generation: 0x0506 };
        assert_eq!(key.encode(), [0x7F, 255, 1, 2, 3, 4, 0x7F, 255, 255, 255, 255, 255, 255, 255, 5, 6]);
        assert_eq!(ChunkKey::decode(&key.encode()[2..]), None, "no week");
        assert_eq!(decode_format_version(&format_version_value(0x0102_0304)), Some(0x0102_0304));
        assert_eq!(format_version_value(1), *b"HSTR\x01\0\0\0");
        for former in [&[1, 0, 0, 0][..], &[2, 0, 0, 0], &[], b"HSTR\x01\0\0", b"HSTR\x01\0\0\0\0", b"HSTS\x01\0\0\0"] {
            assert_eq!(decode_format_version(former), None, "{former:?}");
        }
        assert_eq!(journal_key(258), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(audit_key(258), journal_key(258));
        assert_eq!(decode_audit_key(&audit_key(9)), Some(9));
        assert_eq!(catalog_key(7), [b't', 0, 0, 0, 7]);
        assert_eq!(TagRecord::ALL.map(|record| record.key(7)), [b's', b'k', b'c'].map(|letter| [letter, 0, 0, 0, 7]));
        for record in TagRecord::ALL {
            assert_eq!(decode_catalog_key(&record.key(7)), None);
            assert_eq!(TagRecord::decode(&record.key(7)), Some((record, 7)));
            let others = [format_version_key(), retention_clock_key(), &dirty_key(0, 7)];
            assert!(others.iter().all(|key| key[0] != record.letter() && TagRecord::decode(key).is_none()), "{record:?}");
        }
        assert_eq!(decode_catalog_key(&catalog_key(9)), Some(9));
        assert_eq!(decode_journal_key(&journal_key(u64::MAX)), Some(u64::MAX));
        assert_eq!(decode_journal_key(b"short"), None);
        assert_eq!(ChunkKey::decode(&[0; 14]), None);
        assert_eq!(ChunkKey::decode(&[0; 16]), None, "the week is not that of the start");
        let rollup = RollupKey { week: -1, tag_id: 7, level: 1, part: 6 };
        assert_eq!(rollup.encode(), [0x7F, 0xFF, 0, 0, 0, 7, 1, 6]);
        assert_eq!(RollupKey::decode(&rollup.encode()), Some(rollup));
        let superseded = SupersededKey { tag_id: 7, start: 5, sequence: 9, part: 1 };
        assert_eq!(SupersededKey::decode(&superseded.encode()), Some(superseded));
        assert_eq!(decode_dirty_key(&dirty_key(-3, 7)), Some((-3, 7)));
        let mark = KeptMark { compacted_until: -1, rolled_until: 3 };
        assert_eq!(KeptMark::decode(&mark.encode()), Some(mark));
    }

    #[test]
    fn weeks_cover_all_of_time() {
        for timestamp in [i64::MIN, -1, 0, WEEK_NS - 1, WEEK_NS, i64::MAX] {
            let (first, last) = week_bounds(week_of(timestamp));
            assert!((first..=last).contains(&timestamp), "{timestamp}");
            assert_eq!((week_of(first), week_of(last)), (week_of(timestamp), week_of(timestamp)));
            assert_eq!(decode_week(&week_bytes(week_of(timestamp))), Some(week_of(timestamp)));
        }
        assert_eq!(week_run(&[]), 0);
        assert_eq!(week_run(&[-1, 0, 1]), 1);
        assert_eq!(week_run(&[0, 1, WEEK_NS - 1, WEEK_NS, 3 * WEEK_NS]), 3);
    }

    proptest! {
        #[test]
        fn byte_order_is_key_order(
            a in (0_u32..3, prop_oneof![any::<i64>(), -2_i64..2], any::<u16>()),
            b in (0_u32..3, prop_oneof![any::<i64>(), -2_i64..2, Just(WEEK_NS), Just(WEEK_NS - 1)], any::<u16>()),
        ) {
            let a = ChunkKey { tag_id: a.0, start: a.1, generation: a.2 };
            let b = ChunkKey { tag_id: b.0, start: b.1, generation: b.2 };
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
            prop_assert_eq!(ChunkKey::decode(&a.encode()), Some(a));
        }
    }
}
