//! Damaged bytes give an error: never a panic, never other samples, never a large allocation.

use historian_format::{
    CHUNK_HEADER_BYTES, CHUNK_SAMPLES_MAX, Chunk, ChunkHeader, CorruptChunk, Samples, ValueCodec, ValueType, Values, journal,
};
use proptest::prelude::*;

use crate::case::{cases, encode, sorted_samples};

/// Every decode path of a chunk; on success the samples keep what the header promises.
fn read(bytes: &[u8]) -> Result<Samples, CorruptChunk> {
    let chunk = Chunk::parse(bytes)?;
    let mut timestamps = vec![1];
    let mut values = Values::new(chunk.header().value_type);
    values.push_default();
    let mut validity = None;
    let mut qualities = vec![1];
    let one = chunk.decode_timestamps_into(&mut timestamps);
    let two = chunk.decode_values_into(&mut values, &mut validity);
    let three = chunk.decode_qualities_into(&mut qualities);
    let expected = |result: &Result<(), CorruptChunk>| if result.is_ok() { 1 + chunk.len() } else { 1 };
    assert_eq!(timestamps.len(), expected(&one), "a failed decode leaves the target as it was");
    assert_eq!(values.len(), expected(&two));
    assert_eq!(validity.map_or(values.len(), |validity| validity.len()), values.len());
    assert_eq!(qualities.len(), expected(&three));
    let samples = chunk.decode()?;
    one.and(two).and(three)?;
    assert_eq!(samples.len(), chunk.len());
    assert!(samples.len() <= CHUNK_SAMPLES_MAX && samples.is_sorted_strictly());
    Ok(samples)
}

/// Makes both checksums right again.
fn reseal(bytes: &mut [u8]) {
    if bytes.len() >= CHUNK_HEADER_BYTES {
        let body = crc32c::crc32c(&bytes[CHUNK_HEADER_BYTES..]);
        bytes[144..148].copy_from_slice(&body.to_le_bytes());
        let header = crc32c::crc32c(&bytes[..148]);
        bytes[148..152].copy_from_slice(&header.to_le_bytes());
    }
}

fn reseal_record(bytes: &mut [u8]) {
    if let Some(at) = bytes.len().checked_sub(4) {
        let checksum = crc32c::crc32c(&bytes[..at]);
        bytes[at..].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn records() -> Vec<Vec<u8>> {
    let cases = cases();
    cases
        .chunks(5)
        .map(|cases| {
            let mut bytes = Vec::new();
            journal::encode_record(cases.iter().map(|case| (case.tag_id, &case.samples)), &mut bytes).unwrap();
            bytes
        })
        .collect()
}

/// A record is read from what is written of it, as it is.
pub fn reads_back(record: &journal::JournalRecord) {
    let mut bytes = Vec::new();
    journal::encode_record_with(&record.deletions, record.runs.iter().map(|(tag_id, run)| (*tag_id, run)), &mut bytes).unwrap();
    assert_eq!(journal::decode_record(&bytes).as_ref(), Ok(record));
}

/// Every bit of the usual small case; of the longer ones every third or 13th, as the tests are to end soon.
fn stride(bytes: &[u8]) -> usize {
    match bytes.len() {
        0..700 => 1,
        700..1_500 => 3,
        _ => 13,
    }
}

#[test]
fn every_flipped_bit_of_a_chunk_is_an_error() {
    for case in cases() {
        let mut bytes = case.encode();
        for bit in (0..bytes.len() * 8).step_by(stride(&bytes)) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Chunk::parse(&bytes).is_err(), "{} bit {bit}", case.name);
            assert_eq!(ChunkHeader::parse(&bytes).is_err(), bit < CHUNK_HEADER_BYTES * 8, "{} bit {bit}", case.name);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(read(&bytes).is_ok());
    }
}

#[test]
fn every_truncated_or_extended_chunk_is_an_error() {
    for case in cases() {
        let mut bytes = case.encode();
        for len in (0..bytes.len()).step_by(stride(&bytes)) {
            assert!(Chunk::parse(&bytes[..len]).is_err(), "{} to {len}", case.name);
        }
        bytes.push(0);
        assert!(Chunk::parse(&bytes).is_err(), "{}", case.name);
    }
}

/// Where no checksum helps, a flipped bit is an error, or it changes its own column and no other; in the statistics it changes no sample.
#[test]
fn every_flipped_bit_under_right_checksums_is_an_error_or_changes_its_own_column() {
    for case in cases() {
        let whole = case.encode();
        let header = *Chunk::parse(&whole).unwrap().header();
        let presence_at = CHUNK_HEADER_BYTES + header.timestamps_bytes;
        let qualities_at = whole.len() - header.qualities_bytes;
        for bit in (0..whole.len() * 8).step_by(stride(&whole)) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            reseal(&mut bytes);
            let Ok(mut samples) = read(&bytes) else { continue };
            let place = bit / 8;
            if place < CHUNK_HEADER_BYTES && !(12..24).contains(&place) && !(28..40).contains(&place) && !(56..128).contains(&place) {
                continue; // Codecs, count, bounds and lengths say what the columns are.
            }
            if (CHUNK_HEADER_BYTES..presence_at).contains(&place) {
                samples.timestamps.clone_from(&case.samples.timestamps);
            } else if (presence_at..qualities_at).contains(&place) {
                samples.validity.clone_from(&case.samples.validity);
                samples.values = case.samples.values.clone();
            } else if place >= qualities_at {
                samples.qualities.clone_from(&case.samples.qualities);
            }
            assert_eq!(samples, case.samples, "{} bit {bit}", case.name);
        }
    }
}

/// A chunk that was cut, with a header that says so: the decoders meet the end of their column, not a checksum.
#[test]
fn every_truncated_column_under_right_checksums_is_an_error() {
    for case in cases() {
        let whole = case.encode();
        let header = *Chunk::parse(&whole).unwrap().header();
        let lengths = [header.timestamps_bytes, header.presence_bytes, header.values_bytes, header.qualities_bytes];
        let mut at = CHUNK_HEADER_BYTES;
        for (column, length) in lengths.into_iter().enumerate() {
            for left in (0..length).step_by(stride(&whole)) {
                let mut bytes = whole[..at + left].to_vec();
                bytes.extend_from_slice(&whole[at + length..]);
                bytes[128 + column * 4..132 + column * 4].copy_from_slice(&u32::try_from(left).unwrap().to_le_bytes());
                reseal(&mut bytes);
                // One text for all samples is whole at any length that does not cut a character.
                let constant_text = header.value_codec == ValueCodec::Constant && header.value_type == ValueType::String;
                assert!(read(&bytes).is_err() || constant_text, "{}: column {column} of {left} bytes", case.name);
            }
            at += length;
        }
    }
}

#[test]
fn every_flipped_bit_of_a_record_is_an_error() {
    for mut bytes in records() {
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(journal::decode_record(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(journal::decode_record(&bytes).is_ok());
    }
}

#[test]
fn every_truncated_or_extended_record_is_an_error() {
    for mut bytes in records() {
        for len in 0..bytes.len() {
            assert!(journal::decode_record(&bytes[..len]).is_err(), "to {len}");
        }
        bytes.push(0);
        assert!(journal::decode_record(&bytes).is_err());
    }
}

#[test]
fn every_flipped_bit_of_a_record_under_a_right_checksum_is_an_error_or_a_record() {
    for whole in records() {
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            reseal_record(&mut bytes);
            if let Ok(record) = journal::decode_record(&bytes) {
                let samples: usize = record.runs.iter().map(|(_, samples)| samples.len()).sum();
                assert!(samples <= journal::JOURNAL_RECORD_SAMPLES_MAX);
                reads_back(&record);
            }
        }
    }
}

/// What only one check each can notice, because every other one is satisfied.
#[test]
fn header_and_columns_must_agree() {
    for case in cases() {
        let whole = case.encode();
        let mut longer = whole.clone();
        longer.push(0);
        reseal(&mut longer);
        assert!(Chunk::parse(&longer).is_err(), "{}: a byte too many", case.name);
        let mut shorter = whole[..whole.len() - 1].to_vec();
        reseal(&mut shorter);
        assert!(Chunk::parse(&shorter).is_err(), "{}: a byte too few", case.name);
        for bit in 0..32 {
            let mut bytes = whole.clone();
            bytes[144 + bit / 8] ^= 1 << (bit % 8);
            let header = crc32c::crc32c(&bytes[..148]);
            bytes[148..152].copy_from_slice(&header.to_le_bytes());
            assert!(ChunkHeader::parse(&bytes).is_ok());
            assert!(Chunk::parse(&bytes).is_err(), "{}: bit {bit} of the body checksum", case.name);
        }
        let nulls = u32::from_le_bytes(whole[32..36].try_into().unwrap());
        for wrong in [nulls.wrapping_sub(1), nulls + 1] {
            let mut bytes = whole.clone();
            bytes[28..32].fill(0);
            bytes[32..36].copy_from_slice(&wrong.to_le_bytes());
            reseal(&mut bytes);
            assert!(read(&bytes).is_err(), "{}: {wrong} nulls", case.name);
        }
        let mut bytes = whole.clone();
        let last = i64::from_le_bytes(whole[48..56].try_into().unwrap());
        bytes[48..56].copy_from_slice(&(last - 1).to_le_bytes());
        reseal(&mut bytes);
        assert!(read(&bytes).is_err(), "{}: another last timestamp", case.name);
    }
}

/// The bound is one that a chunk may have, and no sum or flag of the header tells a count beyond it.
#[test]
fn a_chunk_has_one_sample_at_least_and_as_many_as_the_bound_at_most() {
    let mut samples = Samples::new(ValueType::State);
    samples.timestamps = (0..CHUNK_SAMPLES_MAX as i64).collect();
    samples.values = Values::State(vec![7; CHUNK_SAMPLES_MAX]);
    samples.qualities = vec![0; CHUNK_SAMPLES_MAX];
    let whole = encode(1, 1, &samples);
    assert_eq!(read(&whole).unwrap(), samples);
    for wrong in [0, CHUNK_SAMPLES_MAX as u32 + 1] {
        let mut bytes = whole.clone();
        bytes[24..28].copy_from_slice(&wrong.to_le_bytes());
        reseal(&mut bytes);
        let error = ChunkHeader::parse(&bytes).unwrap_err();
        assert_eq!((error.what, error.offset, error.found), ("count", 24, wrong.to_string()));
    }
}

#[test]
fn errors_name_tag_place_and_difference() {
    let case = cases().remove(2);
    let mut bytes = case.encode();
    *bytes.last_mut().unwrap() ^= 1;
    let error = Chunk::parse(&bytes).unwrap_err();
    assert_eq!((error.tag_id, error.what, error.offset), (Some(case.tag_id), "body checksum", CHUNK_HEADER_BYTES));
    assert_ne!(error.expected, error.found);
    bytes[4] = 9;
    let error = Chunk::parse(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "corrupt chunk: version at byte 4: expected 1, found 9");
}

/// A record whose few bytes claim the most samples must be refused beyond the bound, not unpacked.
#[test]
fn a_small_record_cannot_claim_too_many_samples() {
    let constant = |count: i64| {
        let mut samples = Samples::new(ValueType::State);
        samples.timestamps = (0..count).collect();
        samples.values = Values::State(vec![7; count as usize]);
        samples.qualities = vec![0; count as usize];
        samples
    };
    let half = constant(journal::JOURNAL_RECORD_SAMPLES_MAX as i64 / 2);
    let mut bytes = Vec::new();
    journal::encode_record([(1, &half), (2, &half)].into_iter(), &mut bytes).unwrap();
    assert!(bytes.len() < 100);
    assert_eq!(journal::decode_record(&bytes).unwrap().runs.len(), 2);
    let one = constant(1);
    let runs = [(1, &half), (2, &half), (3, &one)];
    assert!(journal::encode_record(runs.into_iter(), &mut Vec::new()).is_err());
    // The same by hand: one run twice as long as the bound.
    let longer = [0x80, 0x80, 0x80, 0x04];
    let at = bytes.windows(4).position(|window| window == [0x80, 0x80, 0x80, 0x01]).unwrap();
    bytes[at..at + 4].copy_from_slice(&longer);
    reseal_record(&mut bytes);
    let error = journal::decode_record(&bytes).unwrap_err();
    assert_eq!((error.tag_id, error.what), (Some(1), "count"));
    // And the second run one sample longer than what the first one leaves.
    bytes[at..at + 4].copy_from_slice(&[0x80, 0x80, 0x80, 0x01]);
    let second = at + 4 + bytes[at + 4..].windows(4).position(|window| window == [0x80, 0x80, 0x80, 0x01]).unwrap();
    bytes[second] = 0x81;
    reseal_record(&mut bytes);
    let error = journal::decode_record(&bytes).unwrap_err();
    assert_eq!((error.tag_id, error.what), (Some(2), "count"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Chunk::parse(&bytes).is_err());
        prop_assert!(journal::decode_record(&bytes).is_err());
        prop_assert!(journal::decode_watermark(&bytes).is_err());
    }

    /// Garbage columns in a well-formed frame, which no checksum keeps from the codecs.
    #[test]
    fn garbage_columns_are_an_error_or_samples(
        samples in sorted_samples(60),
        codecs in (1_u8..=3, 0_u8..=1, proptest::sample::select(ValueCodec::ALL), 1_u8..=3),
        keep_codecs in any::<bool>(),
        count in prop_oneof![1_u32..200, Just(CHUNK_SAMPLES_MAX as u32)],
        columns in proptest::array::uniform4(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80))),
    ) {
        let whole = encode(1, 1, &samples);
        let header = ChunkHeader::parse(&whole).unwrap();
        let mut bytes = whole[..CHUNK_HEADER_BYTES].to_vec();
        if !keep_codecs {
            bytes[6..10].copy_from_slice(&[codecs.0, codecs.1, codecs.2 as u8, codecs.3]);
            bytes[24..28].copy_from_slice(&count.to_le_bytes());
        }
        let lengths = [header.timestamps_bytes, header.presence_bytes, header.values_bytes, header.qualities_bytes];
        let mut at = CHUNK_HEADER_BYTES;
        for (index, (column, length)) in columns.iter().zip(lengths).enumerate() {
            let column = column.as_deref().unwrap_or(&whole[at..at + length]);
            bytes[128 + index * 4..132 + index * 4].copy_from_slice(&u32::try_from(column.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(column);
            at += length;
        }
        reseal(&mut bytes);
        if let Ok(samples) = read(&bytes) {
            prop_assert_eq!(read(&encode(1, 1, &samples)), Ok(samples));
        }
    }

    #[test]
    fn garbage_runs_are_an_error_or_a_record(runs in proptest::collection::vec(any::<u8>(), 0..200), count in 0_u32..5, type_id in 1_u8..=7, layout in 0_u8..16) {
        let mut bytes = b"HSJN\x01\0\0\0".to_vec();
        bytes.extend_from_slice(&u32::try_from(runs.len() + 24).unwrap().to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&runs);
        if runs.len() > 6 {
            bytes[24] = type_id;
            bytes[25] = layout;
            bytes[26] %= 128;
        }
        bytes.extend_from_slice(&[0; 4]);
        reseal_record(&mut bytes);
        if let Ok(record) = journal::decode_record(&bytes) {
            reads_back(&record);
        }
    }
}
