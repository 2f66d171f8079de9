//! Names of the key-value families and the bytes of their keys (normative text: `keys.md`).

/// Tag definitions: key [`catalog_key`], value UTF-8 JSON.
pub const FAMILY_CATALOG: &str = "catalog";
/// Acknowledged, not yet sealed samples: key [`journal_key`], value one journal record.
pub const FAMILY_JOURNAL: &str = "journal";
/// Sealed chunks: key [`ChunkKey`]; per tag disjoint in time and ordered.
pub const FAMILY_CHUNKS: &str = "chunks";
/// Chunks that may overlap any other: key [`ChunkKey`].
pub const FAMILY_LATE: &str = "late";
/// Reserved for aggregate states; empty in version 1.
pub const FAMILY_ROLLUPS: &str = "rollups";
/// Reserved for recorded gaps; empty in version 1.
pub const FAMILY_GAPS: &str = "gaps";
/// The audit log: key [`audit_key`], value UTF-8 JSON.
pub const FAMILY_AUDIT: &str = "audit";
/// The store's own state: format version and sealed sequences.
pub const FAMILY_STATE: &str = "state";

/// Every family, in the order of `keys.md`.
pub const FAMILIES: [&str; 8] =
    [FAMILY_CATALOG, FAMILY_JOURNAL, FAMILY_CHUNKS, FAMILY_LATE, FAMILY_ROLLUPS, FAMILY_GAPS, FAMILY_AUDIT, FAMILY_STATE];

/// Version of the whole store layout that this crate describes.
pub const FORMAT_VERSION: u32 = 1;

/// Key in `state` whose value is the store's format version, u32 little-endian.
#[must_use]
pub const fn format_version_key() -> &'static [u8] {
    b"format_version"
}

/// Key of a chunk in `chunks` or `late`.
///
/// Byte order of the encoded keys equals the order of this struct: tag, start, generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// Tag the samples belong to.
    pub tag_id: u32,
    /// First timestamp of the chunk, ns since 1970, UTC.
    pub start: i64,
    /// Counts the chunks that have been written for the same tag and start.
    pub generation: u16,
}

impl ChunkKey {
    /// Length of an encoded key in bytes.
    pub const BYTES: usize = 14;

    /// `tag id u32 BE | start i64 BE with the sign bit flipped | generation u16 BE`.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.tag_id.to_be_bytes();
        let [s0, s1, s2, s3, s4, s5, s6, s7] = (self.start.cast_unsigned() ^ SIGN).to_be_bytes();
        let [g0, g1] = self.generation.to_be_bytes();
        [a, b, c, d, s0, s1, s2, s3, s4, s5, s6, s7, g0, g1]
    }

    /// The key in `bytes`, if they are 14.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let [a, b, c, d, s0, s1, s2, s3, s4, s5, s6, s7, g0, g1] = bytes;
        Some(Self {
            tag_id: u32::from_be_bytes([a, b, c, d]),
            start: (u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]) ^ SIGN).cast_signed(),
            generation: u16::from_be_bytes([g0, g1]),
        })
    }

    /// The four bytes that every key of a tag starts with.
    #[must_use]
    pub const fn tag_prefix(tag_id: u32) -> [u8; 4] {
        tag_id.to_be_bytes()
    }
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

/// Key in `state` of the journal sequence up to and including which a tag's samples are in chunks:
/// `s` and the tag id, u32 big-endian. The value is that sequence, u64 little-endian.
#[must_use]
pub const fn sealed_key(tag_id: u32) -> [u8; 5] {
    lettered(b's', tag_id)
}

/// The tag id in a sealed key, if it is one.
#[must_use]
pub fn decode_sealed_key(bytes: &[u8]) -> Option<u32> {
    decode_lettered(b's', bytes)
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
        assert_eq!(key.encode(), [1, 2, 3, 4, 0x7F, 255, 255, 255, 255, 255, 255, 255, 5, 6]);
        assert_eq!(journal_key(258), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(audit_key(258), journal_key(258));
        assert_eq!(decode_audit_key(&audit_key(9)), Some(9));
        assert_eq!(catalog_key(7), [b't', 0, 0, 0, 7]);
        assert_eq!(sealed_key(7), [b's', 0, 0, 0, 7]);
        assert_eq!(decode_catalog_key(&sealed_key(7)), None);
        assert_eq!(decode_sealed_key(&sealed_key(7)), Some(7));
        assert_eq!(decode_catalog_key(&catalog_key(9)), Some(9));
        assert_eq!(decode_journal_key(&journal_key(u64::MAX)), Some(u64::MAX));
        assert_eq!(decode_journal_key(b"short"), None);
        assert_eq!(ChunkKey::decode(&[0; 13]), None);
    }

    proptest! {
        #[test]
        fn byte_order_is_key_order(
            a in (0_u32..3, any::<i64>(), any::<u16>()),
            b in (0_u32..3, prop_oneof![any::<i64>(), -2_i64..2], any::<u16>()),
        ) {
            let a = ChunkKey { tag_id: a.0, start: a.1, generation: a.2 };
            let b = ChunkKey { tag_id: b.0, start: b.1, generation: b.2 };
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
            prop_assert_eq!(ChunkKey::decode(&a.encode()), Some(a));
        }
    }
}
