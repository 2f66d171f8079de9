//! Scrubs of small stores: sound ones pass, and each kind of damage is told with its tag while everything else is still read.

use std::{fs, path::Path};

use historian_format::{encode_chunk, keys::ChunkKey};

use super::*;
use crate::{AuditEntry, Change, ChunkFamily, ReadStore, StoppedStore, Store, StoredChunk, rocks::StoreOptions};
use historian_model::{Samples, TagId, TimeBounds, Value, ValueType};

const CHUNKS: i64 = 40;
const SAMPLES: i64 = 500;

fn chunk(tag: u32, number: i64) -> StoredChunk {
    chunk_from(tag, number * SAMPLES)
}

fn chunk_from(tag: u32, start: i64) -> StoredChunk {
    let mut samples = Samples::new(ValueType::F64);
    for at in start..start + SAMPLES {
        // Nothing that would compress: so there are many blocks.
        let bits = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ u64::from(tag));
        samples.push(at, Some(&Value::F64((bits >> 12) as f64)), 0).unwrap();
    }
    let mut bytes = Vec::new();
    encode_chunk(tag, 1, &samples, &mut bytes).unwrap();
    StoredChunk { key: ChunkKey { tag_id: tag, start, generation: 0 }, bytes }
}

fn put(store: &RocksStore, chunks: Vec<(ChunkFamily, StoredChunk)>) {
    store.apply(&Change { chunks, ..Change::default() }).unwrap();
}

/// Tags a, b and c with chunks, some journal records, an audit entry; on disk and closed.
fn fill(directory: &Path) {
    let store = RocksStore::open(directory, &StoreOptions::default()).unwrap();
    let tags: Vec<_> = [(1, "a"), (2, "b"), (3, "c")]
        .iter()
        .map(|(id, name)| (TagId(*id), format!(r#"{{"id":{id},"name":"{name}"}}"#).into_bytes()))
        .collect();
    store.put_catalog(&tags).unwrap();
    for tag in 1..=3 {
        put(&store, (0..CHUNKS).map(|number| (ChunkFamily::Chunks, chunk(tag, number))).collect());
        put(&store, vec![(ChunkFamily::Late, chunk(tag, 3))]);
    }
    store.append_audit(&[AuditEntry { action: "restore".into(), ..AuditEntry::default() }]).unwrap();
    for sequence in 1..=3 {
        let mut record = Vec::new();
        historian_format::journal::encode_record([(1, &Samples::new(ValueType::F64))].into_iter(), &mut record).unwrap();
        store.append_journal(&[(sequence, record)], true).unwrap();
    }
    store.compact().unwrap();
    store.sync().unwrap();
}

/// Stopped, it is read all the same; opened, it has them.
#[test]
fn a_store_from_before_some_families_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    {
        let mut store = RocksStore::open(directory.path(), &StoreOptions::default()).unwrap();
        for family in keys::FAMILIES_ADDED {
            store.db.drop_cf(family).unwrap();
        }
    }
    let stopped = StoppedStore::open(directory.path()).unwrap();
    assert!(stopped.store.family(keys::FAMILY_NOTES).is_err());
    let report = scrubbed(&stopped.store);
    assert_eq!((report.damaged, &stopped.refused), (0, &None));
    drop(stopped);
    assert_eq!(RocksStore::journal_end(&directory.path().join("rocksdb")).unwrap(), 3);
    let store = RocksStore::open(directory.path(), &StoreOptions::default()).unwrap();
    assert!(store.family(keys::FAMILY_NOTES).is_ok());
}

fn scrubbed(store: &RocksStore) -> ScrubReport {
    scrub(store, None, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_sound_store_passes_running_and_stopped() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let stopped = StoppedStore::open(directory.path()).unwrap();
    assert_eq!(stopped.refused, None);
    let report = scrubbed(&stopped.store);
    assert_eq!((report.damaged, report.chunks), (0, 3 * (CHUNKS as u64 + 1)), "{:?}", report.findings);
    assert_eq!(report.samples, report.chunks * SAMPLES as u64);
    assert_eq!(lost_tail(&stopped.store, stopped.acknowledged), None);
    assert!(lost_tail(&stopped.store, stopped.acknowledged + 1).is_some());
    drop(stopped);
    let running = RocksStore::open(directory.path(), &StoreOptions::default()).unwrap();
    assert_eq!(scrubbed(&running).damaged, 0);
    assert!(matches!(scrub(&running, None, &mut |_| ControlFlow::Break(())), Err(ScrubError::Cancelled)));
}

#[test]
fn damage_under_a_sound_block_is_found_with_its_tag() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let store = RocksStore::open(directory.path(), &StoreOptions::default()).unwrap();
    // Behind the back of RocksDB's checksums: a cut chunk, one of another tag, an overlap, and a foreign statistic.
    let mut cut = chunk(1, 100);
    cut.bytes.truncate(cut.bytes.len() - 1);
    let mut other = chunk(2, 101);
    other.key.tag_id = 3;
    // Its first timestamp is the last one of the chunk before it.
    let overlap = chunk_from(2, CHUNKS * SAMPLES - 1);
    put(&store, vec![(ChunkFamily::Chunks, cut), (ChunkFamily::Chunks, other), (ChunkFamily::Chunks, overlap)]);
    let mut lies = chunk(3, 200);
    // The first value.
    lies.bytes[56] ^= 1;
    let end = historian_format::CHUNK_HEADER_BYTES - 4;
    let checksum = crc32c::crc32c(&lies.bytes[..end]);
    lies.bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
    put(&store, vec![(ChunkFamily::Late, lies)]);
    store.append_journal(&[(9, b"no record".to_vec())], true).unwrap();
    let report = scrubbed(&store);
    let told: Vec<_> = report.findings.iter().map(|found| (found.family.as_str(), found.tags.join(","), found.start)).collect();
    assert_eq!(
        told,
        [
            ("journal", String::new(), None),
            ("chunks", "a".into(), Some(100 * SAMPLES)),
            ("chunks", "b".into(), Some(CHUNKS * SAMPLES - 1)),
            ("chunks", "c".into(), Some(101 * SAMPLES)),
            ("late", "c".into(), Some(200 * SAMPLES)),
        ],
        "{:?}",
        report.findings
    );
    assert_eq!(report.damaged, 5);
}

/// Table files of the family of chunks: those with many bytes.
fn largest_table(directory: &Path) -> std::path::PathBuf {
    fs::read_dir(directory.join("rocksdb"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap()
}

#[test]
fn any_flipped_byte_of_a_table_is_found_and_everything_else_is_read() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let table = largest_table(directory.path());
    let whole = fs::read(&table).unwrap();
    let sound = { scrubbed(&StoppedStore::open(directory.path()).unwrap().store) };
    let (mut in_blocks, mut refused) = (0, 0);
    for trial in 0..60_usize {
        // The end of the file, where index and properties are, as well as its blocks.
        let at = if trial % 4 == 3 { whole.len() - 1 - trial * 37 } else { trial * 7_919_003 % (whole.len() - 4096) };
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (trial % 8);
        fs::write(&table, &bytes).unwrap();
        let stopped = match StoppedStore::open(directory.path()) {
            Ok(stopped) => stopped,
            Err(error) => panic!("byte {at}: {error}"),
        };
        let report = scrubbed(&stopped.store);
        if let Some(refused_because) = &stopped.refused {
            assert!(refused_because.contains(table.file_stem().unwrap().to_str().unwrap()), "{refused_because}");
            refused += 1;
            continue;
        }
        // Padding and properties that nobody reads are not damage to the data.
        if report.damaged == 0 {
            assert_eq!(report, sound, "byte {at}");
            continue;
        }
        in_blocks += 1;
        assert_eq!(report.damaged, 1, "byte {at}: {:?}", report.findings);
        let found = &report.findings[0];
        assert_eq!(found.family, "chunks", "byte {at}");
        assert!(found.message.contains(table.file_name().unwrap().to_str().unwrap()), "{}", found.message);
        assert!(!found.tags.is_empty() && found.tags.len() <= 2, "byte {at}: {found:?}");
        // A block has 16 KiB, so at most some eight of these chunks.
        let lost = sound.chunks - report.chunks;
        assert!((1..=8).contains(&lost), "byte {at}: {lost} of {} chunks were not read", sound.chunks);
        // The tag that is named is the tag whose chunks are missing.
        let missing: Vec<&str> = [(1, "a"), (2, "b"), (3, "c")]
            .into_iter()
            .filter(|(tag, _)| {
                stopped.store.chunks(ChunkFamily::Chunks, TagId(*tag), TimeBounds::ALL, crate::Direction::Forward, usize::MAX).is_err()
            })
            .map(|(_, name)| name)
            .collect();
        assert!(missing.iter().any(|name| found.tags.iter().any(|tag| tag == name)), "byte {at}: {missing:?} in {found:?}");
    }
    fs::write(&table, &whole).unwrap();
    assert!(in_blocks > 30, "{in_blocks} in blocks, {refused} refused");
}
