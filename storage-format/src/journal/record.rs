//! The frame of a journal record: magic, length, runs, checksum.

use super::run;
use crate::chunk::check_columns;
use crate::error::FieldFault;
use crate::{CorruptRecord, EncodeError, Samples};

/// The first four bytes of every journal record.
pub const JOURNAL_MAGIC: [u8; 4] = *b"HSJN";

/// The record version this crate writes and reads.
pub const JOURNAL_VERSION: u8 = 1;

/// Most deletions in one record.
pub const JOURNAL_RECORD_DELETIONS_MAX: usize = 1 << 20;

/// Bytes of one deletion: tag id, first and last timestamp.
const DELETION_BYTES: usize = 20;

/// All samples of a tag with `from <= timestamp <= to` are deleted, before the runs of the same record apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deletion {
    /// Tag whose samples are deleted.
    pub tag_id: u32,
    /// First timestamp, ns since 1970, UTC.
    pub from: i64,
    /// Last timestamp, inclusive.
    pub to: i64,
}

/// What a journal record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    /// Ranges that are deleted first, in this order.
    pub deletions: Vec<Deletion>,
    /// Runs of samples, in the order they apply.
    pub runs: Vec<(u32, Samples)>,
}

/// Most samples of all runs of one record together.
pub const JOURNAL_RECORD_SAMPLES_MAX: usize = 1 << 22;

/// Most bytes of one record.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 1 << 30;

/// Bytes before the first deletion: magic, version, three zero bytes, record length, number of deletions, number of runs.
const HEADER_BYTES: usize = 20;

/// Bytes of the checksum that ends the record.
const CHECKSUM_BYTES: usize = 4;

/// Appends one record of `runs` (tag id and samples) to `out`, in the order given. A tag may occur
/// more than once, a run may be empty, and timestamps may come in any order.
///
/// # Errors
/// [`EncodeError`] when the columns of a run differ in length or the record passes
/// [`JOURNAL_RECORD_SAMPLES_MAX`] or [`JOURNAL_RECORD_BYTES_MAX`]; `out` is then as it was.
pub fn encode_record<'a>(runs: impl Iterator<Item = (u32, &'a Samples)>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_record_with(&[], runs, out)
}

/// Appends one record of deletions and the runs that apply after them. Without deletions it is what [`encode_record`] appends.
///
/// # Errors
/// As [`encode_record`]; also for more than [`JOURNAL_RECORD_DELETIONS_MAX`] deletions.
pub fn encode_record_with<'a>(
    deletions: &[Deletion],
    runs: impl Iterator<Item = (u32, &'a Samples)>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    append(deletions, runs, start, out).inspect_err(|_| out.truncate(start))
}

fn append<'a>(
    deletions: &[Deletion],
    runs: impl Iterator<Item = (u32, &'a Samples)>,
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.resize(start + HEADER_BYTES, 0);
    if let Some(first) = deletions.get(..=JOURNAL_RECORD_DELETIONS_MAX).and_then(<[Deletion]>::first) {
        let (count, limit) = (deletions.len(), JOURNAL_RECORD_DELETIONS_MAX);
        return Err(EncodeError::TooManySamples { tag_id: first.tag_id, count, limit });
    }
    for deletion in deletions {
        out.extend_from_slice(&deletion.tag_id.to_le_bytes());
        out.extend_from_slice(&deletion.from.to_le_bytes());
        out.extend_from_slice(&deletion.to.to_le_bytes());
    }
    let mut run_count: u32 = 0;
    let mut sample_count = 0;
    for (tag_id, samples) in runs {
        check_columns(tag_id, samples)?;
        sample_count += samples.len();
        if sample_count > JOURNAL_RECORD_SAMPLES_MAX {
            let (count, limit) = (sample_count, JOURNAL_RECORD_SAMPLES_MAX);
            return Err(EncodeError::TooManySamples { tag_id, count, limit });
        }
        run::encode(tag_id, samples, out);
        // A run takes several bytes, so this also bounds their number far below 2^32.
        check_length(out.len() - start)?;
        run_count += 1;
    }
    let length = out.len() - start + CHECKSUM_BYTES;
    check_length(length)?;
    let header = &mut out[start..start + HEADER_BYTES];
    header[..4].copy_from_slice(&JOURNAL_MAGIC);
    header[4] = JOURNAL_VERSION;
    header[8..12].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    header[12..16].copy_from_slice(&u32::try_from(deletions.len()).unwrap_or(u32::MAX).to_le_bytes());
    header[16..].copy_from_slice(&run_count.to_le_bytes());
    let checksum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
    Ok(())
}

fn check_length(bytes: usize) -> Result<(), EncodeError> {
    if bytes > JOURNAL_RECORD_BYTES_MAX {
        return Err(EncodeError::RecordTooLong { bytes, limit: JOURNAL_RECORD_BYTES_MAX });
    }
    Ok(())
}

/// Deletions and runs of the record that is the whole of `bytes`, in the order they were given.
///
/// # Errors
/// [`CorruptRecord`] naming the field at fault.
pub fn decode_record(bytes: &[u8]) -> Result<JournalRecord, CorruptRecord> {
    let RecordFrame { body, deletion_count, run_count } = checked(bytes).map_err(|fault| fault.in_record(None))?;
    let mut at = HEADER_BYTES;
    let deletions = deletions(body, deletion_count, &mut at).map_err(|fault| fault.in_record(None))?;
    // The smallest run takes 7 bytes: no more are reserved than can be there.
    let mut runs = Vec::with_capacity(run_count.min(body.len() / run::BYTES_MIN));
    let mut samples_left = JOURNAL_RECORD_SAMPLES_MAX;
    for _ in 0..run_count {
        let (tag_id, samples) = run::decode(body, &mut at, samples_left)?;
        samples_left -= samples.len();
        runs.push((tag_id, samples));
    }
    if at != body.len() {
        return Err(FieldFault::new("end of the runs", at, body.len(), at).in_record(None));
    }
    Ok(JournalRecord { deletions, runs })
}

/// Reads the deletions at `at` and moves it past them.
fn deletions(body: &[u8], count: usize, at: &mut usize) -> Result<Vec<Deletion>, FieldFault> {
    if count > JOURNAL_RECORD_DELETIONS_MAX {
        return Err(FieldFault::new("number of deletions", 12, format!("at most {JOURNAL_RECORD_DELETIONS_MAX}"), count));
    }
    let Some(bytes) = body.get(*at..*at + count * DELETION_BYTES) else {
        return Err(FieldFault::new("deletions", *at, format!("{} bytes", count * DELETION_BYTES), body.len() - *at));
    };
    *at += bytes.len();
    let (deletions, _) = bytes.as_chunks::<DELETION_BYTES>();
    Ok(deletions
        .iter()
        .map(|&[t0, t1, t2, t3, f0, f1, f2, f3, f4, f5, f6, f7, l0, l1, l2, l3, l4, l5, l6, l7]| Deletion {
            tag_id: u32::from_le_bytes([t0, t1, t2, t3]),
            from: i64::from_le_bytes([f0, f1, f2, f3, f4, f5, f6, f7]),
            to: i64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
        })
        .collect())
}

/// The record without its checksum, and what it says to hold.
struct RecordFrame<'a> {
    body: &'a [u8],
    deletion_count: usize,
    run_count: usize,
}

/// The record once its frame holds.
fn checked(bytes: &[u8]) -> Result<RecordFrame<'_>, FieldFault> {
    let least = HEADER_BYTES + CHECKSUM_BYTES;
    let (Some(header), Some((body, checksum))) = (bytes.first_chunk::<HEADER_BYTES>(), bytes.split_last_chunk::<CHECKSUM_BYTES>()) else {
        return Err(FieldFault::new("length of the record", 0, format!("{least} bytes or more"), bytes.len()));
    };
    if body.len() < HEADER_BYTES {
        return Err(FieldFault::new("length of the record", 0, format!("{least} bytes or more"), bytes.len()));
    }
    let [m0, m1, m2, m3, version, z0, z1, z2, l0, l1, l2, l3, d0, d1, d2, d3, r0, r1, r2, r3] = *header;
    if [m0, m1, m2, m3] != JOURNAL_MAGIC {
        return Err(FieldFault::new("magic", 0, "HSJN", header[..4].escape_ascii()));
    }
    if version != JOURNAL_VERSION {
        return Err(FieldFault::new("version", 4, JOURNAL_VERSION, version));
    }
    if [z0, z1, z2] != [0; 3] {
        return Err(FieldFault::new("reserved bytes", 5, "zeros", "others"));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length != bytes.len() || length > JOURNAL_RECORD_BYTES_MAX {
        return Err(FieldFault::new("length of the record", 8, length, bytes.len()));
    }
    let expected = u32::from_le_bytes(*checksum);
    let found = crc32c::crc32c(body);
    if expected != found {
        return Err(FieldFault::new("checksum", body.len(), format!("{expected:08x}"), format!("{found:08x}")));
    }
    let number = |bytes| u32::from_le_bytes(bytes) as usize;
    Ok(RecordFrame { body, deletion_count: number([d0, d1, d2, d3]), run_count: number([r0, r1, r2, r3]) })
}
