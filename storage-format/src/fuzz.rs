//! What the fuzz targets run: every decoder on any bytes, and every encoder on any samples, read back.
//!
//! Each function takes bytes that a fuzzer makes up and must return: a panic is a finding. The targets in
//! `fuzz/` call them without end; `tests` below calls them on seeded input in every test run.

use std::fmt::Write as _;

use crate::codec::{QualityCodec, TimestampCodec, ValueCodec};
use crate::codec::{entropy, frames, integers, quality, timestamps};
use crate::effort::Effort;
use crate::{
    Bitmap, CHUNK_HEADER_BYTES, Chunk, ChunkHeader, Samples, StringColumn, ValueType, Values, encode_chunk_with, journal,
    spool as spool_file,
};

/// A function that a target runs.
pub type FuzzTarget = fn(&[u8]);

/// Every target with its name, which is that of its file in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, FuzzTarget)] = &[
    ("chunk", chunk),
    ("record", record),
    ("spool", spool),
    ("round_trip", round_trip),
    ("timestamps", timestamp_codecs),
    ("qualities", quality_codecs),
    ("integers", integer_packings),
    ("values", value_codecs),
];

/// Runs the target of this name.
///
/// # Panics
/// When a target finds something, or there is none of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap_or_else(|| panic!("no target `{name}`"));
    target(bytes);
}

/// A count from 0 to 65,535 from the first two bytes, and the others.
fn counted(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_le_bytes(*count)), rest))
}

/// The column of every value type that may have the codec that the first byte names by its place in the list.
fn value_codecs(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let codec = ValueCodec::ALL[usize::from(*first) % ValueCodec::ALL.len()];
    let Some((count, column)) = counted(rest) else { return };
    for value_type in ValueType::ALL.into_iter().filter(|value_type| codec.fits(*value_type)) {
        let mut out = Values::new(value_type);
        if codec.decode(column, count, &mut out).is_ok() {
            assert_eq!(out.len(), count, "{codec:?} of {value_type}");
        }
    }
}

fn timestamp_codecs(bytes: &[u8]) {
    let Some((count, column)) = counted(bytes) else { return };
    for codec in TimestampCodec::ALL {
        let mut out = Vec::new();
        if timestamps::decode(*codec, column, 1_700_000_000_000_000_000, count.max(1), &mut out).is_ok() {
            assert_eq!(out.len(), count.max(1), "{codec:?}");
        }
    }
}

fn quality_codecs(bytes: &[u8]) {
    let Some((count, column)) = counted(bytes) else { return };
    for codec in QualityCodec::ALL {
        let mut out = Vec::new();
        if quality::decode(*codec, column, count, &mut out).is_ok() {
            assert_eq!(out.len(), count, "{codec:?}");
        }
    }
}

/// The column as it is, and its packings without a predictor before them.
fn integer_packings(bytes: &[u8]) {
    let Some((count, column)) = counted(bytes) else { return };
    let mut numbers = vec![0; count];
    let _ = integers::decode(column, 0, &mut numbers);
    let _ = frames::decode(column, &mut 0, &mut numbers);
    if count > 0 {
        let _ = entropy::decode(column, &mut 0, &mut numbers);
    }
}

/// A chunk, as it is and with the checksums made right, so that they do not keep its columns from the decoders.
fn chunk(bytes: &[u8]) {
    read_chunk(bytes);
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    read_chunk(&sealed);
}

fn read_chunk(bytes: &[u8]) {
    let _ = ChunkHeader::parse(bytes);
    if let Ok(chunk) = Chunk::parse(bytes)
        && let Ok(samples) = chunk.decode()
    {
        assert_eq!(samples.len(), chunk.len());
        assert!(samples.is_sorted_strictly());
        assert_eq!(samples.null_count(), chunk.header().statistics.null_count as usize);
        let mut again = Vec::new();
        if encode_chunk_with(1, 1, &samples, Effort::Hot, &mut again).is_ok() {
            assert_eq!(Chunk::parse(&again).and_then(|chunk| chunk.decode()), Ok(samples));
        }
    }
}

/// Makes both checksums of a chunk right.
fn seal(bytes: &mut [u8]) {
    if let Some((header, body)) = bytes.split_at_mut_checked(CHUNK_HEADER_BYTES) {
        let checksum = crc32c::crc32c(body);
        header[144..148].copy_from_slice(&checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&header[..148]);
        header[148..].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// A journal record, as it is and with its length and checksum made right; and the watermark.
fn record(bytes: &[u8]) {
    let _ = journal::decode_record(bytes);
    let _ = journal::decode_watermark(bytes);
    let mut sealed = bytes.to_vec();
    if let (Ok(length), true) = (u32::try_from(sealed.len()), sealed.len() >= 24) {
        sealed[8..12].copy_from_slice(&length.to_le_bytes());
        let at = sealed.len() - 4;
        let checksum = crc32c::crc32c(&sealed[..at]);
        sealed[at..].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(record) = journal::decode_record(&sealed) {
            let mut again = Vec::new();
            let runs = record.runs.iter().map(|(tag_id, run)| (*tag_id, run));
            if journal::encode_record_with(&record.deletions, runs, &mut again).is_ok() {
                assert_eq!(journal::decode_record(&again), Ok(record));
            }
        }
    }
}

/// Frames are found in any bytes, and what is found is a frame.
fn spool(bytes: &[u8]) {
    let _ = spool_file::decode_spool_header(bytes);
    let _ = spool_file::decode_spool_frame(bytes);
    if let Some(at) = spool_file::find_spool_frame(bytes, 0) {
        assert!(spool_file::decode_spool_frame(&bytes[at..]).is_ok());
    }
    let record = Samples::new(ValueType::F64);
    let mut framed = bytes.to_vec();
    if spool_file::encode_spool_frame(1, [(1, &record)].into_iter(), &mut framed).is_ok() {
        assert!(spool_file::find_spool_frame(&framed, 0).is_some_and(|at| at <= bytes.len()));
    }
}

/// Samples made of the bytes come back from hot and cold chunks and from a record.
fn round_trip(bytes: &[u8]) {
    let mut samples = samples(bytes);
    let mut record = Vec::new();
    if journal::encode_record([(1, &samples)].into_iter(), &mut record).is_ok() {
        assert_eq!(journal::decode_record(&record), Ok(journal::JournalRecord { deletions: Vec::new(), runs: vec![(1, samples.clone())] }));
    }
    samples.sort_and_dedup();
    for effort in [Effort::Hot, Effort::Cold] {
        let mut bytes = Vec::new();
        if encode_chunk_with(1, 1, &samples, effort, &mut bytes).is_ok() {
            let decoded = Chunk::parse(&bytes).and_then(|chunk| chunk.decode());
            assert_eq!(decoded.as_ref(), Ok(&samples), "{effort:?}");
        }
    }
    // In the unit tests, one of which has faulty codecs, the count is not ours alone.
    #[cfg(not(test))]
    assert_eq!(crate::inexact_columns(), 0, "every codec is exact");
}

/// Reads numbers from the bytes, then zeros.
struct FuzzBytes<'a>(&'a [u8]);

impl FuzzBytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    /// Of as many bytes as its first one says: small and large numbers are equally likely.
    fn number(&mut self) -> i64 {
        let bytes = self.byte() % 9;
        let word = (0..bytes).fold(0, |word, _| word << 8 | u64::from(self.byte()));
        word.cast_signed()
    }
}

/// Samples of which the first bytes choose type, number and shape, the others the entries.
fn samples(bytes: &[u8]) -> Samples {
    let mut source = FuzzBytes(bytes);
    let value_type = ValueType::ALL[usize::from(source.byte()) % ValueType::ALL.len()];
    let shape = source.byte();
    let count = usize::from(source.byte()) * usize::from(source.byte() % 16);
    let (step, mut timestamp) = (source.number(), source.number());
    let (scale, offset) = (10_f64.powi(i32::from(source.byte() % 20) - 10), source.number() as f64 / 8.0);
    let mut samples = Samples::new(value_type);
    let mut before = 0_i64;
    for _ in 0..count {
        timestamp = timestamp.wrapping_add(step).wrapping_add(if shape & 1 == 0 { 0 } else { i64::from(source.byte()) * 1_000_000 });
        samples.timestamps.push(timestamp);
        samples.qualities.push(if shape & 2 == 0 { 0 } else { u32::from(source.byte() & 3) << 30 });
        before = match shape >> 2 & 3 {
            0 => source.number(),
            1 => before.wrapping_add(i64::from(source.byte()) - 100),
            2 => i64::from(source.byte()),
            _ => before.wrapping_add(source.number()),
        };
        // Floats are any bits, whole numbers scaled either way, or those again with less precision.
        let float = match shape >> 4 & 3 {
            0 => f64::from_bits(source.word()),
            1 => before as f64 * scale + offset,
            2 => before as f64 / scale,
            _ => f64::from((before as f64 / scale) as f32),
        };
        match &mut samples.values {
            Values::F64(values) => values.push(float),
            Values::F32(values) => values.push(float as f32),
            Values::I64(values) => values.push(before),
            Values::U64(values) => values.push(before.cast_unsigned()),
            Values::Bool(values) => values.push(before & 1 == 1),
            Values::State(values) => values.push(before as u32),
            Values::String(values) => push_text(before, shape, values),
        }
    }
    if shape & 64 != 0 {
        let present: Bitmap = (0..count).map(|_| !source.byte().is_multiple_of(4)).collect();
        samples.validity = Some(present);
    }
    samples
}

fn push_text(number: i64, shape: u8, texts: &mut StringColumn) {
    let mut text = String::new();
    // Writing to a string cannot fail, and a few hundred texts do not fill a column.
    let _ = if shape & 128 == 0 { write!(text, "{}", number % 5) } else { write!(text, "größe {number}") };
    let _ = texts.push(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::values;

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() >> 33) as usize % bound.max(1)
        }

        fn bytes(&mut self, length: usize) -> Vec<u8> {
            // Small bytes are likelier: they are counts, widths and ids.
            (0..length).map(|_| (self.next() >> 40) as u8 >> self.below(8)).collect()
        }
    }

    /// A column of the codec, with the codec's place in the list and the count in front.
    fn column(place: usize, random: &mut Random) -> Vec<u8> {
        let count = 1 + random.below(1_500) as u32;
        let mut noise = || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let (effort, values) = ValueCodec::ALL[place].example(count, &mut noise);
        let mut bytes = vec![u8::try_from(place).unwrap()];
        bytes.extend(u16::try_from(values.len()).unwrap().to_le_bytes());
        // Where a short column is smaller otherwise, another codec's column is as good as any bytes.
        values::encode(&values, effort, &mut bytes);
        bytes
    }

    /// Bytes that a decoder takes, to be damaged: the columns of chunks and records of made-up samples.
    fn seeds(name: &str, random: &mut Random) -> Vec<u8> {
        let length = 40 + random.below(4_000);
        let run = random.bytes(length);
        if name == "round_trip" {
            return run;
        }
        if name == "values" {
            let place = random.below(ValueCodec::ALL.len());
            return column(place, random);
        }
        let mut samples = samples(&run);
        let mut bytes = Vec::new();
        if name == "record" {
            let _ = journal::encode_record([(1, &samples), (2, &samples)].into_iter(), &mut bytes);
            return bytes;
        }
        if name == "spool" {
            let _ = spool_file::encode_spool_frame(1, [(1, &samples), (2, &samples)].into_iter(), &mut bytes);
            return bytes;
        }
        samples.sort_and_dedup();
        let effort = if random.below(2) == 0 { Effort::Hot } else { Effort::Cold };
        if encode_chunk_with(1, 1, &samples, effort, &mut bytes).is_err() || name == "chunk" {
            return bytes;
        }
        let header = *Chunk::parse(&bytes).unwrap().header();
        let timestamps = CHUNK_HEADER_BYTES;
        let (column, count) = match name {
            "timestamps" => (timestamps..timestamps + header.timestamps_bytes, samples.len()),
            "qualities" => (bytes.len() - header.qualities_bytes..bytes.len(), samples.len()),
            _ => (timestamps + 10.min(header.timestamps_bytes)..timestamps + header.timestamps_bytes, samples.len() - 1),
        };
        let mut seed = u16::try_from(count).unwrap().to_le_bytes().to_vec();
        seed.extend_from_slice(&bytes[column]);
        seed
    }

    #[test]
    fn every_target_takes_anything() {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let mut random = Random(number("HISTORIAN_FUZZ_SEED").unwrap_or(0x5EED) | 1);
        // The columns of values are of many kinds, one a round.
        let rounds =
            |name: &str| number("HISTORIAN_FUZZ_ROUNDS").unwrap_or(150) * if name == "values" { ValueCodec::ALL.len() as u64 } else { 1 };
        for (name, target) in TARGETS {
            for _ in 0..rounds(name) {
                let length = random.below(300);
                target(&random.bytes(length));
                let mut seed = seeds(name, &mut random);
                target(&seed);
                for _ in 0..8 {
                    match random.below(4) {
                        0 if !seed.is_empty() => seed.truncate(random.below(seed.len())),
                        1 => seed.push(random.next() as u8),
                        _ if !seed.is_empty() => {
                            let at = random.below(seed.len());
                            seed[at] ^= 1 << random.below(8);
                        }
                        _ => {}
                    }
                    target(&seed);
                }
            }
        }
    }

    #[test]
    fn every_target_has_a_file() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            assert!(folder.join("fuzz_targets").join(format!("{name}.rs")).exists(), "{name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
