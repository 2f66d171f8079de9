//! Reads a chunk's columns, each straight onto the end of the caller's buffer.

use super::header::{CHUNK_HEADER_BYTES, ChunkHeader};
use crate::codec::PresenceCodec;
use crate::codec::{presence, quality, timestamps};
use crate::error::FieldFault;
use crate::samples::is_strictly_increasing;
use crate::{Bitmap, CorruptChunk, Samples, Values};

/// A chunk whose header, length and checksums have been checked; its columns are still encoded.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    header: ChunkHeader,
    timestamps: &'a [u8],
    presence: &'a [u8],
    values: &'a [u8],
    qualities: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Checks the whole of `bytes`, which must be exactly one chunk.
    ///
    /// # Errors
    /// [`CorruptChunk`] naming the field at fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CorruptChunk> {
        let header = ChunkHeader::parse(bytes)?;
        let fail = |fault: FieldFault| Err(fault.in_chunk(Some(header.tag_id)));
        if bytes.len() != header.chunk_bytes() {
            return fail(FieldFault::new("length of the chunk", 0, header.chunk_bytes(), bytes.len()));
        }
        let body = &bytes[CHUNK_HEADER_BYTES..];
        let found = crc32c::crc32c(body);
        if found != header.body_checksum {
            let expected = format!("{:08x}", header.body_checksum);
            return fail(FieldFault::new("body checksum", CHUNK_HEADER_BYTES, expected, format!("{found:08x}")));
        }
        let (timestamps, body) = body.split_at(header.timestamps_bytes);
        let (presence, body) = body.split_at(header.presence_bytes);
        let (values, qualities) = body.split_at(header.values_bytes);
        Ok(Self { header, timestamps, presence, values, qualities })
    }

    /// The header with the statistics.
    #[must_use]
    pub const fn header(&self) -> &ChunkHeader {
        &self.header
    }

    /// Number of samples.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.header.statistics.count as usize
    }

    /// Always false: a chunk holds at least one sample.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Appends the timestamps, strictly increasing, ns since 1970, UTC.
    ///
    /// # Errors
    /// [`CorruptChunk`]; `out` is then as it was.
    pub fn decode_timestamps_into(&self, out: &mut Vec<i64>) -> Result<(), CorruptChunk> {
        let before = out.len();
        self.append_timestamps(out).map_err(|fault| {
            out.truncate(before);
            self.locate(fault, CHUNK_HEADER_BYTES)
        })
    }

    fn append_timestamps(&self, out: &mut Vec<i64>) -> Result<(), FieldFault> {
        let statistics = &self.header.statistics;
        let before = out.len();
        let first = statistics.first_timestamp;
        timestamps::decode(self.header.timestamp_codec, self.timestamps, first, self.len(), out)?;
        let decoded = &out[before..];
        let last = decoded.last().copied().unwrap_or(first);
        if last != statistics.last_timestamp {
            return Err(FieldFault::new("last of the timestamps", 0, statistics.last_timestamp, last));
        }
        if !is_strictly_increasing(decoded) {
            return Err(FieldFault::new("timestamps", 0, "strictly increasing ones", "others"));
        }
        Ok(())
    }

    /// Appends the values, and to `validity` which of them are present.
    ///
    /// `validity` describes all of `out`: `None` as long as every value is present; it turns to
    /// `Some` when this chunk brings the first null. Slots of nulls hold the type's default.
    ///
    /// # Errors
    /// [`CorruptChunk`], also when `out` holds another type or would pass 2 GiB of text; `out` and
    /// `validity` are then as they were.
    pub fn decode_values_into(&self, out: &mut Values, validity: &mut Option<Bitmap>) -> Result<(), CorruptChunk> {
        let before = out.len();
        let presence = self.presence()?;
        self.append_values(presence.as_ref(), out).map_err(|fault| {
            out.truncate(before);
            self.locate(fault, CHUNK_HEADER_BYTES + self.timestamps.len() + self.presence.len())
        })?;
        match (validity.as_mut(), presence) {
            (Some(validity), Some(presence)) => validity.extend_from(&presence, 0..presence.len()),
            (Some(validity), None) => validity.extend_true(self.len()),
            (None, Some(presence)) if before == 0 => *validity = Some(presence),
            (None, Some(presence)) => {
                let mut all = Bitmap::with_capacity(before + presence.len());
                all.extend_true(before);
                all.extend_from(&presence, 0..presence.len());
                *validity = Some(all);
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn presence(&self) -> Result<Option<Bitmap>, CorruptChunk> {
        let nulls = self.header.statistics.null_count as usize;
        presence::decode(self.header.presence_codec, self.presence, self.len(), Some(nulls))
            .map_err(|fault| self.locate(fault, CHUNK_HEADER_BYTES + self.timestamps.len()))
    }

    fn append_values(&self, presence: Option<&Bitmap>, out: &mut Values) -> Result<(), FieldFault> {
        let value_type = self.header.value_type;
        if out.value_type() != value_type {
            return Err(FieldFault::new("value type of the decode target", 0, value_type, out.value_type()));
        }
        let Some(presence) = presence else {
            return self.header.value_codec.decode(self.values, self.len(), out);
        };
        let count = presence.count_ones();
        let mut present = Values::with_capacity(value_type, count);
        self.header.value_codec.decode(self.values, count, &mut present)?;
        presence::scatter(&present, presence, out)
    }

    /// Appends the qualities.
    ///
    /// # Errors
    /// [`CorruptChunk`]; `out` is then as it was.
    pub fn decode_qualities_into(&self, out: &mut Vec<u32>) -> Result<(), CorruptChunk> {
        let before = out.len();
        quality::decode(self.header.quality_codec, self.qualities, self.len(), out).map_err(|fault| {
            out.truncate(before);
            self.locate(fault, self.header.chunk_bytes() - self.qualities.len())
        })
    }

    /// Appends every sample.
    ///
    /// # Errors
    /// [`CorruptChunk`], also when `out` holds another type; `out` is then as it was.
    pub fn decode_into(&self, out: &mut Samples) -> Result<(), CorruptChunk> {
        let before = out.len();
        self.decode_timestamps_into(&mut out.timestamps)
            .and_then(|()| self.decode_qualities_into(&mut out.qualities))
            .and_then(|()| self.decode_values_into(&mut out.values, &mut out.validity))
            .inspect_err(|_| out.truncate(before))
    }

    /// Every sample.
    ///
    /// # Errors
    /// [`CorruptChunk`] naming the column at fault.
    pub fn decode(&self) -> Result<Samples, CorruptChunk> {
        let mut samples = Samples::new(self.header.value_type);
        self.decode_into(&mut samples)?;
        Ok(samples)
    }

    /// True when every value is present.
    #[must_use]
    pub const fn all_present(&self) -> bool {
        matches!(self.header.presence_codec, PresenceCodec::AllPresent)
    }

    fn locate(&self, fault: FieldFault, column_at: usize) -> CorruptChunk {
        fault.shifted(column_at).in_chunk(Some(self.header.tag_id))
    }
}
