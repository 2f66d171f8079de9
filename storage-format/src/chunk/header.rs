//! The chunk's fixed header: identity, codecs, statistics, lengths, checksums. 152 bytes.

use super::CHUNK_SAMPLES_MAX;
use super::statistics::{Extreme, Scalar, Statistics};
use crate::codec::{PresenceCodec, QualityCodec, TimestampCodec, ValueCodec};
use crate::error::FieldFault;
use crate::{CorruptChunk, ValueType};

/// The first four bytes of every chunk.
pub const CHUNK_MAGIC: [u8; 4] = *b"HSCK";

/// The chunk version this crate writes and reads.
pub const CHUNK_VERSION: u8 = 1;

/// Length of the header in bytes; the columns begin there.
pub const CHUNK_HEADER_BYTES: usize = 152;

const FLAG_HAS_NAN: u16 = 1;
const FLAG_FIRST_VALUE: u16 = 2;
const FLAG_LAST_VALUE: u16 = 4;
const FLAG_EXTREMES: u16 = 8;
const FLAGS_KNOWN: u16 = FLAG_HAS_NAN | FLAG_FIRST_VALUE | FLAG_LAST_VALUE | FLAG_EXTREMES;

/// A chunk's header.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChunkHeader {
    /// Tag the samples belong to.
    pub tag_id: u32,
    /// Age: where chunks overlap, the sample of the higher sequence wins.
    pub sequence: u64,
    /// Type of the values.
    pub value_type: ValueType,
    /// Codec of the timestamp column.
    pub timestamp_codec: TimestampCodec,
    /// Codec of the presence column.
    pub presence_codec: PresenceCodec,
    /// Codec of the value column.
    pub value_codec: ValueCodec,
    /// Codec of the quality column.
    pub quality_codec: QualityCodec,
    /// Length of the timestamp column in bytes.
    pub timestamps_bytes: usize,
    /// Length of the presence column in bytes.
    pub presence_bytes: usize,
    /// Length of the value column in bytes.
    pub values_bytes: usize,
    /// Length of the quality column in bytes.
    pub qualities_bytes: usize,
    /// CRC32C of the four columns.
    pub body_checksum: u32,
    /// Summary of the samples.
    pub statistics: Statistics,
}

impl ChunkHeader {
    /// Reads the header at the start of `bytes`, which may end right after it.
    ///
    /// Magic, version, header checksum and the fields themselves are checked, so the statistics can
    /// be trusted without reading the columns. Whether the columns are there and whole is not.
    ///
    /// # Errors
    /// [`CorruptChunk`] naming the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, CorruptChunk> {
        let whole = checked(bytes).map_err(|fault| fault.in_chunk(None))?;
        let tag_id = HeaderFields { bytes: whole, at: 12 }.u32();
        Self::read(whole).map_err(|fault| fault.in_chunk(Some(tag_id)))
    }

    /// Length of the whole chunk in bytes.
    #[must_use]
    pub const fn chunk_bytes(&self) -> usize {
        CHUNK_HEADER_BYTES + self.timestamps_bytes + self.presence_bytes + self.values_bytes + self.qualities_bytes
    }

    fn read(bytes: &[u8]) -> Result<Self, FieldFault> {
        let value_type = ValueType::try_from(bytes[5]).map_err(|_| FieldFault::new("value type", 5, "1 to 7", bytes[5]))?;
        let unknown =
            |what, offset: usize| FieldFault::new(what, offset, "one that this historian knows and that fits the values", bytes[offset]);
        let timestamp_codec = TimestampCodec::from_id(bytes[6]).ok_or_else(|| unknown("timestamp codec", 6))?;
        let presence_codec = PresenceCodec::from_id(bytes[7]).ok_or_else(|| unknown("presence codec", 7))?;
        let value_codec = ValueCodec::from_id(bytes[8]).filter(|codec| codec.fits(value_type)).ok_or_else(|| unknown("value codec", 8))?;
        let quality_codec = QualityCodec::from_id(bytes[9]).ok_or_else(|| unknown("quality codec", 9))?;
        let mut fields = HeaderFields { bytes, at: 10 };
        let flags = fields.u16();
        if flags & !FLAGS_KNOWN != 0 {
            return Err(FieldFault::new("flags", 10, "the lowest four bits only", flags));
        }
        let tag_id = fields.u32();
        let sequence = fields.u64();
        let count = fields.u32();
        if count == 0 || count as usize > CHUNK_SAMPLES_MAX {
            return Err(FieldFault::new("count", 24, format!("1 to {CHUNK_SAMPLES_MAX}"), count));
        }
        let good_count = fields.u32();
        let null_count = fields.u32();
        if u64::from(good_count) + u64::from(null_count) > u64::from(count) {
            return Err(FieldFault::new(
                "good and null counts",
                28,
                format!("{count} together at most"),
                format!("{good_count} and {null_count}"),
            ));
        }
        let worst_quality = fields.u32();
        let (first_timestamp, last_timestamp) = (fields.i64(), fields.i64());
        if (count == 1) != (first_timestamp == last_timestamp) || first_timestamp > last_timestamp {
            return Err(FieldFault::new(
                "last timestamp",
                48,
                format!("one for {count} samples from {first_timestamp} on"),
                last_timestamp,
            ));
        }
        let scalar = |flag: u16, bits: u64| (flags & flag != 0 && value_type != ValueType::String).then_some(Scalar { value_type, bits });
        let first_value = scalar(FLAG_FIRST_VALUE, fields.u64());
        let last_value = scalar(FLAG_LAST_VALUE, fields.u64());
        let (first_quality, last_quality) = (fields.u32(), fields.u32());
        let mut extreme = || {
            let bits = fields.u64();
            let timestamp = fields.i64();
            scalar(FLAG_EXTREMES, bits).map(|value| Extreme { value, timestamp })
        };
        let (minimum, maximum) = (extreme(), extreme());
        let sum = f64::from_bits(fields.u64());
        let m2 = f64::from_bits(fields.u64());
        let statistics = Statistics {
            count,
            good_count,
            null_count,
            first_timestamp,
            last_timestamp,
            first_value,
            last_value,
            first_quality,
            last_quality,
            minimum,
            maximum,
            sum,
            m2,
            worst_quality,
            has_nan: flags & FLAG_HAS_NAN != 0,
        };
        let mut length = || fields.u32() as usize;
        Ok(Self {
            tag_id,
            sequence,
            value_type,
            timestamp_codec,
            presence_codec,
            value_codec,
            quality_codec,
            timestamps_bytes: length(),
            presence_bytes: length(),
            values_bytes: length(),
            qualities_bytes: length(),
            body_checksum: fields.u32(),
            statistics,
        })
    }

    pub(super) fn to_bytes(self) -> [u8; CHUNK_HEADER_BYTES] {
        let statistics = &self.statistics;
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let flags = flag(statistics.has_nan, FLAG_HAS_NAN)
            | flag(statistics.first_value.is_some(), FLAG_FIRST_VALUE)
            | flag(statistics.last_value.is_some(), FLAG_LAST_VALUE)
            | flag(statistics.minimum.is_some(), FLAG_EXTREMES);
        let bits = |scalar: Option<Scalar>| scalar.map_or(0, |scalar| scalar.bits);
        let mut bytes = Vec::with_capacity(CHUNK_HEADER_BYTES);
        bytes.extend_from_slice(&CHUNK_MAGIC);
        bytes.extend_from_slice(&[
            CHUNK_VERSION,
            self.value_type as u8,
            self.timestamp_codec as u8,
            self.presence_codec as u8,
            self.value_codec as u8,
            self.quality_codec as u8,
        ]);
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&self.tag_id.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        for number in [statistics.count, statistics.good_count, statistics.null_count, statistics.worst_quality] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&statistics.first_timestamp.to_le_bytes());
        bytes.extend_from_slice(&statistics.last_timestamp.to_le_bytes());
        bytes.extend_from_slice(&bits(statistics.first_value).to_le_bytes());
        bytes.extend_from_slice(&bits(statistics.last_value).to_le_bytes());
        bytes.extend_from_slice(&statistics.first_quality.to_le_bytes());
        bytes.extend_from_slice(&statistics.last_quality.to_le_bytes());
        for extreme in [statistics.minimum, statistics.maximum] {
            bytes.extend_from_slice(&bits(extreme.map(|extreme| extreme.value)).to_le_bytes());
            bytes.extend_from_slice(&extreme.map_or(0, |extreme| extreme.timestamp).to_le_bytes());
        }
        bytes.extend_from_slice(&statistics.sum.to_bits().to_le_bytes());
        bytes.extend_from_slice(&statistics.m2.to_bits().to_le_bytes());
        for length in [self.timestamps_bytes, self.presence_bytes, self.values_bytes, self.qualities_bytes] {
            // 65,536 samples of at most 14 bytes, or 64 MiB of text and its lengths: far below 4 GiB.
            bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes.extend_from_slice(&self.body_checksum.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let mut header = [0; CHUNK_HEADER_BYTES];
        header.copy_from_slice(&bytes);
        header
    }
}

/// The header's bytes, once magic, version and checksum hold.
fn checked(bytes: &[u8]) -> Result<&[u8], FieldFault> {
    let short = |least: usize| FieldFault::new("length of the chunk", 0, format!("{least} bytes or more"), bytes.len());
    let Some((magic, [version, ..])) = bytes.split_first_chunk::<4>() else {
        return Err(short(CHUNK_HEADER_BYTES));
    };
    if *magic != CHUNK_MAGIC {
        return Err(FieldFault::new("magic", 0, "HSCK", magic.escape_ascii()));
    }
    if *version != CHUNK_VERSION {
        return Err(FieldFault::new("version", 4, CHUNK_VERSION, version));
    }
    let header = bytes.get(..CHUNK_HEADER_BYTES).ok_or_else(|| short(CHUNK_HEADER_BYTES))?;
    let checksum_at = header.len() - 4;
    let expected = HeaderFields { bytes: header, at: checksum_at }.u32();
    let found = crc32c::crc32c(&header[..checksum_at]);
    if expected != found {
        return Err(FieldFault::new("header checksum", checksum_at, format!("{expected:08x}"), format!("{found:08x}")));
    }
    Ok(header)
}

/// Reads little-endian fields one after another. The header's length covers all of them.
struct HeaderFields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl HeaderFields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        field
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.take())
    }
}
