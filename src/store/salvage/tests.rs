//! Each kind of damage: refused by name without `--accept-loss`; with it everything else is there to the byte, and what is lost is told.

use std::{collections::BTreeMap, fs, os::unix::fs::FileExt, path::PathBuf};

use historian_format::{
    encode_chunk,
    journal::WATERMARK_FILE,
    keys::{self, ChunkKey, FAMILIES, week_of},
    rollup::{RollupBlock, RollupLevel, RollupState},
};

use super::*;
use crate::ReadStore;
use crate::{AuditEntry, Catalog, Change, ChunkFamily, StoredChunk, rocks::classified};
use historian_model::{Clock, Samples, SystemClock, TagDefinition, TagId, TagName, Value, ValueType};

const SAMPLES: i64 = 300;
const CHUNKS: i64 = 60;
/// The last acknowledged write.
const WRITES: u64 = 40;

type Entries = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

fn samples(tag: u32, first: i64, count: i64) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    for at in first..first + count {
        // Nothing that would compress: so there are many blocks.
        let bits = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ u64::from(tag));
        samples.push(at, Some(&Value::F64((bits >> 12) as f64)), 0).unwrap();
    }
    samples
}

fn chunk(tag: u32, first: i64, sequence: u64) -> StoredChunk {
    let mut bytes = Vec::new();
    encode_chunk(tag, sequence, &samples(tag, first, SAMPLES), &mut bytes).unwrap();
    StoredChunk { key: ChunkKey { tag_id: tag, start: first, generation: 0 }, bytes }
}

fn record(tag: u32, first: i64) -> Vec<u8> {
    let mut record = Vec::new();
    encode_record([(tag, &samples(tag, first, 20))].into_iter(), &mut record).unwrap();
    record
}

fn open(directory: &Path) -> Result<RocksStore, StoreError> {
    RocksStore::open(directory, &StoreOptions::default())
}

/// Tags a, b and c (ids 1 to 3): chunks on disk, and in the log writes 1 to 40 and what came with them.
fn fill(directory: &Path, tables: bool) {
    let store = std::sync::Arc::new(open(directory).unwrap());
    let catalog = Catalog::open(store.clone(), std::sync::Arc::new(SystemClock), 100).unwrap();
    let definition = |name: &str| TagDefinition::new(TagName::new(name).unwrap(), ValueType::F64);
    catalog.get_or_create(["a", "b", "c"].map(definition).to_vec()).unwrap();
    if tables {
        for tag in 1..=3 {
            let chunks = (0..CHUNKS).map(|number| (ChunkFamily::Chunks, chunk(tag, number * SAMPLES, 0))).collect();
            let late = (ChunkFamily::Late, chunk(tag, 5 * SAMPLES + 7, 0));
            let states = vec![(3, RollupState::of(&samples(tag, 0, 10), 0..10).unwrap())];
            let block = RollupBlock { tag_id: tag, value_type: ValueType::F64, level: RollupLevel::Minute, start: 0, states };
            let rollup = (keys::RollupKey { week: 0, tag_id: tag, level: 1, part: 0 }, Some(block.encode()));
            let kept = vec![(TagId(tag), keys::KeptMark { compacted_until: 9, rolled_until: 9 })];
            store.apply(&Change { chunks, rollups: vec![rollup], kept, ..Change::default() }).unwrap();
            store.apply(&Change { chunks: vec![late], ..Change::default() }).unwrap();
        }
        store.append_audit(&[AuditEntry { action: "restore".into(), ..AuditEntry::default() }]).unwrap();
        for id in 1..=20 {
            let key = keys::NoteKey { kind: keys::NoteKind::Annotation, id, version: 1 };
            let note = format!("{{\"tags\":[1],\"start\":{id},\"end\":{id},\"text\":\"{}\",\"author\":\"a\",\"time\":0}}", "x".repeat(99));
            store.put_notes(&[(key, note.into_bytes())], &[]).unwrap();
        }
        store.compact().unwrap();
    }
    for sequence in 1..=WRITES {
        let tag = (sequence % 3) as u32 + 1;
        store.append_journal(&[(sequence, record(tag, CHUNKS * SAMPLES + sequence as i64 * 20))], true).unwrap();
    }
    store.sync().unwrap();
}

/// Every entry of a store that is open, but for the version.
fn entries(store: &RocksStore) -> Entries {
    let mut found = Entries::new();
    for family in FAMILIES {
        for entry in store.db.iterator_cf(store.family(family).unwrap(), rocksdb::IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| classified(&error, family)).unwrap();
            found.insert((family, key.to_vec()), value.to_vec());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let name = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &name) } else { assert!(fs::copy(&entry, &name).is_ok()) }
    }
}

/// A filled store, what is in it, and copies of it to damage.
struct Template {
    directory: tempfile::TempDir,
    entries: Entries,
    copies: std::cell::Cell<u32>,
}

impl Template {
    fn new(tables: bool) -> Template {
        let directory = tempfile::tempdir().unwrap();
        fill(&directory.path().join("whole"), tables);
        let look = directory.path().join("look");
        copy(&directory.path().join("whole"), &look);
        let entries = entries(&open(&look).unwrap());
        Template { directory, entries, copies: std::cell::Cell::new(0) }
    }

    fn copy(&self) -> PathBuf {
        self.copies.set(self.copies.get() + 1);
        let path = self.directory.path().join(format!("copy-{}", self.copies.get()));
        copy(&self.directory.path().join("whole"), &path);
        path
    }
}

fn files(directory: &Path, holds: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| holds(path.file_name().unwrap().to_str().unwrap())).collect();
    found.sort();
    found
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

fn logs(directory: &Path) -> Vec<PathBuf> {
    files(directory, |name| has_extension(name, "log"))
}

fn manifest(directory: &Path) -> PathBuf {
    files(directory, |name| name.starts_with("MANIFEST-")).pop().unwrap()
}

fn largest_table(directory: &Path) -> PathBuf {
    files(directory, |name| has_extension(name, "sst")).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Refused, by the name of a file and with the way out.
fn refused(directory: &Path, file: &str) {
    let error = open(directory).err().unwrap_or_else(|| panic!("{file} is damaged, and the store opens")).to_string();
    assert!(error.contains(file) && error.contains("--accept-loss"), "{file}: {error}");
}

struct After {
    accepted: Accepted,
    entries: Entries,
}

impl After {
    fn gaps(&self) -> Vec<&Gap> {
        self.accepted.gaps.iter().collect()
    }

    /// What is there, without what accepting the loss wrote.
    fn kept(&self) -> Entries {
        let own = |family: &str| [keys::FAMILY_GAPS, keys::FAMILY_AUDIT].contains(&family);
        self.entries.iter().filter(|((family, _), _)| !own(family)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Accepts the loss; the store then opens without being asked, again and again, takes writes, and compacts.
fn accept(directory: &Path) -> After {
    let now = SystemClock.now();
    let before: Vec<String> = fs::read_dir(directory.join("rocksdb")).unwrap().map(|entry| name(&entry.unwrap().path())).collect();
    let accepted = accept_loss(directory, &StoreOptions::default(), now).unwrap().expect("something is damaged");
    for file in before {
        assert!(accepted.set_aside.join("rocksdb").join(&file).exists(), "{file} is not set aside");
    }
    let store = open(directory).unwrap();
    let found = entries(&store);
    assert_eq!(store.gaps(1, 1000).unwrap().into_iter().map(|(_, gap)| gap).collect::<Vec<_>>(), accepted.gaps);
    let audit = store.audit(1, 1000).unwrap().pop().unwrap().1;
    assert_eq!((audit.action.as_str(), audit.time), ("accept_loss", now));
    let last = store.last_journal_sequence().unwrap();
    assert!(last >= WRITES || WatermarkFile::look(&accepted.set_aside) != WatermarkRead::Held(WRITES), "numbers would be given twice");
    store.append_journal(&[(last + 1, record(1, i64::MAX / 2))], true).unwrap();
    store.apply(&Change { chunks: vec![(ChunkFamily::Chunks, chunk(1, 1 << 60, last + 1))], ..Change::default() }).unwrap();
    store.compact().unwrap();
    store.append_journal(&[(last + 2, record(1, i64::MAX / 2))], true).unwrap();
    drop(store);
    let store = open(directory).unwrap();
    assert_eq!(store.last_journal_sequence().unwrap(), last + 2);
    let again = entries(&store);
    assert_eq!(again.len(), found.len() + 3, "nothing else went or came");
    drop(store);
    assert!(accept_loss(directory, &StoreOptions::default(), now).unwrap().is_none(), "nothing is damaged any more");
    assert!(!directory.join("salvage.partial").exists() && !directory.join("salvaged").exists());
    After { accepted, entries: found }
}

/// Entries of the model of these families.
fn model(template: &Template, keep: impl Fn(&str, &[u8]) -> bool) -> Entries {
    let kept = |((family, key), _): &(&(&'static str, Vec<u8>), &Vec<u8>)| {
        ![keys::FAMILY_GAPS, keys::FAMILY_AUDIT].contains(family) && keep(family, key)
    };
    template.entries.iter().filter(kept).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn sequence(key: &[u8]) -> u64 {
    keys::decode_journal_key(key).unwrap()
}

#[test]
fn nothing_is_changed_where_nothing_is_damaged() {
    let template = Template::new(true);
    let copy = template.copy();
    let before: Vec<_> = files(&copy, |_| true).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(accept_loss(&copy, &StoreOptions::default(), Timestamp(0)).unwrap().is_none());
    let after: Vec<_> = files(&copy, |_| true).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(before == after, "files have changed");
    assert_eq!(fs::read_dir(&copy).unwrap().count(), fs::read_dir(template.directory.path().join("whole")).unwrap().count());
    let empty = template.directory.path().join("nothing");
    assert!(accept_loss(&empty, &StoreOptions::default(), Timestamp(0)).unwrap().is_none() && !empty.exists());
}

#[test]
fn a_damaged_log_keeps_what_was_before_the_damage() {
    for tables in [false, true] {
        let template = Template::new(tables);
        for part in 1..8 {
            let copy = template.copy();
            let log = logs(&copy).pop().unwrap();
            flip(&log, fs::metadata(&log).unwrap().len() * part / 8);
            refused(&copy, &name(&log));
            let after = accept(&copy);
            let kept = after.kept();
            let last =
                kept.keys().filter(|(family, _)| *family == keys::FAMILY_JOURNAL).map(|(_, key)| sequence(key)).rev().nth(1).unwrap_or(0);
            assert!(last < WRITES, "part {part}");
            let mut expected = model(&template, |family, key| match family {
                keys::FAMILY_JOURNAL => sequence(key) <= last,
                // In a store without tables the catalog is in the log, too, and before the first write.
                keys::FAMILY_CATALOG => tables || kept.contains_key(&(keys::FAMILY_CATALOG, key.to_vec())),
                _ => true,
            });
            // In the place of the last write that was acknowledged: so its number is not given again.
            let mut empty = Vec::new();
            encode_record(std::iter::empty(), &mut empty).unwrap();
            expected.insert((keys::FAMILY_JOURNAL, keys::journal_key(WRITES).to_vec()), empty);
            assert_eq!(kept, expected, "part {part}");
            let told: Vec<&str> = after.gaps().iter().map(|gap| gap.detail.as_str()).collect();
            assert!(told.iter().any(|detail| detail.contains(&name(&log))), "{told:?}");
            assert!(told.iter().any(|detail| detail.contains(&format!("writes {} to {WRITES}", last + 1))), "{told:?}");
        }
    }
}

#[test]
fn a_cut_log_is_told_by_its_writes() {
    let template = Template::new(true);
    let copy = template.copy();
    let log = logs(&copy).pop().unwrap();
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(length * 2 / 3).unwrap();
    refused(&copy, "rocksdb");
    let after = accept(&copy);
    let kept: Vec<u64> = after.kept().keys().filter(|(family, _)| *family == keys::FAMILY_JOURNAL).map(|(_, key)| sequence(key)).collect();
    let found = kept.len() as u64 - 1;
    assert!(found > 10 && found < WRITES && kept == (1..=found).chain([WRITES]).collect::<Vec<_>>(), "{kept:?}");
    assert_eq!(after.gaps().len(), 1);
    assert!(after.gaps()[0].detail.contains(&format!("writes {} to {WRITES}", found + 1)), "{:?}", after.gaps());
}

#[test]
fn a_damaged_manifest_costs_nothing() {
    for tables in [false, true] {
        let template = Template::new(tables);
        for at in [0, 6, 40, 200] {
            let copy = template.copy();
            let manifest = manifest(&copy);
            if at == 6 {
                // A type on which RocksDB would turn for ever.
                let mut bytes = fs::read(&manifest).unwrap();
                bytes[6] = 5;
                fs::write(&manifest, bytes).unwrap();
            } else {
                flip(&manifest, at);
            }
            refused(&copy, &name(&manifest));
            let after = accept(&copy);
            // Rollups are made anew, and so are the marks that say how far they are.
            let derived = |family: &str, key: &[u8]| family != keys::FAMILY_ROLLUPS && key.first() != Some(&b'k');
            let kept: Entries = after.kept().into_iter().filter(|((family, key), _)| derived(family, key)).collect();
            assert_eq!(kept, model(&template, derived), "byte {at}");
            assert_eq!(after.gaps().len(), 0, "{:?}", after.gaps());
            assert!(after.accepted.notes[0].contains("MANIFEST"), "{:?}", after.accepted.notes);
        }
    }
}

#[test]
fn garbage_in_current_costs_nothing() {
    let template = Template::new(true);
    for garbage in ["", "garbage", "MANIFEST-000001\n", "MANIFEST-999999\n"] {
        let copy = template.copy();
        fs::write(copy.join("rocksdb/CURRENT"), garbage).unwrap();
        refused(&copy, "CURRENT");
        let after = accept(&copy);
        assert_eq!(after.kept(), model(&template, |_, _| true), "{garbage:?}");
        assert_eq!(after.gaps().len(), 0);
    }
}

#[test]
fn a_damaged_block_costs_the_chunks_in_it() {
    let template = Template::new(true);
    let mut in_blocks = 0;
    for part in 1..12 {
        let copy = template.copy();
        let table = largest_table(&copy);
        flip(&table, fs::metadata(&table).unwrap().len() * part / 13);
        let Ok(Some(_)) = accept_loss(&template_look(&copy), &StoreOptions::default(), Timestamp(0)) else { continue };
        in_blocks += 1;
        let after = accept(&copy);
        let kept = after.kept();
        let (mut lost, mut whole) = (Vec::new(), Entries::new());
        for (key, value) in model(&template, |_, _| true) {
            match kept.get(&key) {
                Some(found) => {
                    assert_eq!(*found, value);
                    whole.insert(key, value);
                }
                None => lost.push(key),
            }
        }
        assert!(!lost.is_empty() && lost.len() < 9, "part {part}: {} entries", lost.len());
        for (family, key) in &lost {
            assert_eq!(*family, keys::FAMILY_CHUNKS);
            let key = ChunkKey::decode(key).unwrap();
            let names = ["a", "b", "c"];
            let covered = |gap: &&Gap| {
                gap.tag.as_deref() == Some(names[key.tag_id as usize - 1])
                    && gap.start.unwrap() <= key.start
                    && gap.end.unwrap() > key.start + SAMPLES - 1
                    && gap.detail.contains(&name(&table))
            };
            assert!(after.gaps().iter().any(covered), "{key:?} in {:?}", after.gaps());
            // The day's rollups tell of samples that are gone.
            assert!(kept.get(&(keys::FAMILY_STATE, keys::dirty_key(0, key.tag_id).to_vec())).is_some_and(|days| days[0] & 1 == 1));
        }
        // Nothing but marks of days came.
        let came: Vec<_> = kept.keys().filter(|key| !whole.contains_key(*key)).collect();
        assert!(came.iter().all(|(family, key)| *family == keys::FAMILY_STATE && key[0] == b'd'), "{came:?}");
    }
    assert!(in_blocks > 8, "{in_blocks}");
}

/// A copy of a copy.
fn template_look(directory: &Path) -> PathBuf {
    let look = directory.with_extension("look");
    copy(directory, &look);
    look
}

#[test]
fn a_table_that_is_gone_or_cannot_be_opened_costs_what_was_in_it() {
    let template = Template::new(true);
    for gone in [true, false] {
        let copy = template.copy();
        let table = largest_table(&copy);
        if gone {
            fs::remove_file(&table).unwrap();
        } else {
            let length = fs::metadata(&table).unwrap().len();
            flip(&table, length - 3);
        }
        refused(&copy, table.file_stem().unwrap().to_str().unwrap());
        let now = SystemClock.now();
        let accepted = accept_loss(&copy, &StoreOptions::default(), now).unwrap().unwrap();
        let kept = entries(&open(&copy).unwrap());
        for ((family, key), value) in
            model(&template, |family, key| ![keys::FAMILY_CHUNKS, keys::FAMILY_ROLLUPS].contains(&family) && key.first() != Some(&b'k'))
        {
            assert_eq!(kept.get(&(family, key.clone())), Some(&value), "{family} {key:?}");
        }
        assert!(!accepted.gaps.is_empty());
        assert!(accept_loss(&copy, &StoreOptions::default(), now).unwrap().is_none());
    }
}

#[test]
fn a_damaged_watermark_is_made_anew() {
    let template = Template::new(true);
    for damage in ["flip", "missing", "empty", "short"] {
        let copy = template.copy();
        let path = copy.join(WATERMARK_FILE);
        match damage {
            "flip" => flip(&path, 2),
            "missing" => fs::remove_file(&path).unwrap(),
            "empty" => fs::write(&path, "").unwrap(),
            _ => fs::write(&path, [0; 7]).unwrap(),
        }
        refused(&copy, WATERMARK_FILE);
        let after = accept(&copy);
        assert_eq!(after.kept(), model(&template, |_, _| true), "{damage}");
        assert_eq!(after.gaps().len(), 1);
        assert!(after.gaps()[0].detail.contains("whether writes after 40"), "{:?}", after.gaps());
    }
}

#[test]
fn entries_that_are_damaged_under_a_sound_block_go_alone() {
    let template = Template::new(true);
    let directory = template.copy();
    let store = open(&directory).unwrap();
    let db = |family: &str, key: &[u8], value: &[u8]| store.db.put_cf(store.family(family).unwrap(), key, value).unwrap();
    // A body that its checksum does not know, a record, a block of rollups, two definitions, a mark.
    let mut body = chunk(2, 4 * SAMPLES, 0);
    let last = body.bytes.len() - 1;
    body.bytes[last] ^= 1;
    db(keys::FAMILY_CHUNKS, &body.key.encode(), &body.bytes);
    db(keys::FAMILY_JOURNAL, &keys::journal_key(7), b"no record");
    let rollup = keys::RollupKey { week: 0, tag_id: 3, level: 1, part: 0 };
    db(keys::FAMILY_ROLLUPS, &rollup.encode(), b"no block");
    db(keys::FAMILY_CATALOG, &keys::catalog_key(1), b"{}");
    db(keys::FAMILY_CATALOG, &keys::catalog_key(4), b"{\"id\": 4}");
    db(keys::FAMILY_STATE, &keys::TagRecord::Kept.key(2), b"short");
    // Ordered chunks that overlap: of an older time, and of a younger one.
    let (older, younger) = (chunk(2, 10 * SAMPLES + 1, 0), chunk(3, 10 * SAMPLES + 1, 99));
    for chunk in [&older, &younger] {
        db(keys::FAMILY_CHUNKS, &chunk.key.encode(), &chunk.bytes);
    }
    drop(store);
    let after = accept(&directory);
    let kept = after.kept();
    let at = |family: &'static str, key: &[u8]| kept.get(&(family, key.to_vec()));
    assert_eq!(at(keys::FAMILY_CHUNKS, &body.key.encode()), None);
    assert_eq!(at(keys::FAMILY_JOURNAL, &keys::journal_key(7)), None);
    assert_eq!(at(keys::FAMILY_ROLLUPS, &rollup.encode()), None);
    assert_eq!(at(keys::FAMILY_STATE, &keys::dirty_key(0, 3)), Some(&vec![1]));
    assert_eq!(at(keys::FAMILY_STATE, &keys::TagRecord::Kept.key(2)), None);
    let tag = |id: u32| crate::catalog::stored_tag(TagId(id), at(keys::FAMILY_CATALOG, &keys::catalog_key(id)).unwrap()).unwrap();
    let recovered = tag(1).unwrap();
    assert_eq!((recovered.name().as_str(), recovered.value_type()), ("recovered/tag_1", ValueType::F64));
    assert_eq!(tag(4), None, "its id is not given again");
    // The younger of two that overlap wins, so it is the late one.
    assert_eq!(at(keys::FAMILY_LATE, &younger.key.encode()), Some(&younger.bytes));
    assert_eq!(at(keys::FAMILY_CHUNKS, &younger.key.encode()), None);
    assert_eq!(at(keys::FAMILY_LATE, &older.key.encode()), Some(&older.bytes), "with equal ages the later one goes");
    // Everything else is as it was.
    let changed = [
        (keys::FAMILY_CHUNKS, body.key.encode().to_vec()),
        (keys::FAMILY_JOURNAL, keys::journal_key(7).to_vec()),
        (keys::FAMILY_ROLLUPS, rollup.encode().to_vec()),
        (keys::FAMILY_CATALOG, keys::catalog_key(1).to_vec()),
        (keys::FAMILY_STATE, keys::TagRecord::Kept.key(2).to_vec()),
    ];
    for (key, value) in model(&template, |_, _| true) {
        assert!(changed.contains(&key) || kept.get(&key) == Some(&value), "{key:?}");
    }
    let told: Vec<(Option<&str>, Option<i64>)> = after.gaps().iter().map(|gap| (gap.tag.as_deref(), gap.start)).collect();
    assert_eq!(told, [(None, None), (Some("b"), Some(4 * SAMPLES)), (Some("recovered/tag_1"), None), (None, None)], "{:?}", after.gaps());
    assert!(after.gaps()[0].detail.contains("write 7"));
    let catalog = Catalog::open(std::sync::Arc::new(open(&directory).unwrap()), std::sync::Arc::new(SystemClock), 100).unwrap();
    let made = catalog.create(TagDefinition::new(TagName::new("new").unwrap(), ValueType::F64)).unwrap();
    assert_eq!((made.id, week_of(0)), (TagId(5), 0));
}

#[test]
fn an_interrupted_exchange_is_finished_and_not_started_on() {
    let template = Template::new(true);
    let copy_of = || {
        let copy = template.copy();
        flip(&copy.join(WATERMARK_FILE), 2);
        copy
    };
    // As far as the result, then by hand to the moment before each of the last two renames.
    for watermark_moved in [false, true] {
        let directory = copy_of();
        accept_loss(&directory, &StoreOptions::default(), Timestamp(0)).unwrap().unwrap();
        let result = directory.join("salvaged");
        fs::create_dir(&result).unwrap();
        fs::rename(directory.join("rocksdb"), result.join("rocksdb")).unwrap();
        if !watermark_moved {
            fs::rename(directory.join(WATERMARK_FILE), result.join(WATERMARK_FILE)).unwrap();
        }
        let error = open(&directory).err().unwrap().to_string();
        assert!(error.contains("start with --accept-loss again"), "{error}");
        assert!(accept_loss(&directory, &StoreOptions::default(), Timestamp(0)).unwrap().is_none());
        assert_eq!(open(&directory).unwrap().gaps(1, 10).unwrap().len(), 1);
    }
    // Interrupted before anything moved: done again.
    let directory = copy_of();
    for leftover in ["salvage.partial/source/rocksdb", "salvaged/rocksdb"] {
        fs::create_dir_all(directory.join(leftover)).unwrap();
    }
    accept(&directory);
}

#[test]
fn two_do_not_salvage_the_same_directory() {
    let template = Template::new(false);
    let copy = template.copy();
    let other = swap::only_one(&copy).unwrap();
    let error = accept_loss(&copy, &StoreOptions::default(), Timestamp(0)).unwrap_err().to_string();
    assert!(error.contains("another start with --accept-loss"), "{error}");
    drop(other);
    assert!(accept_loss(&copy, &StoreOptions::default(), Timestamp(0)).unwrap().is_none());
}

/// Wherever a bit flips, what is kept afterwards was written so, and what is not kept is on record.
#[test]
fn no_flipped_bit_makes_other_data() {
    let mut empty = Vec::new();
    encode_record(std::iter::empty(), &mut empty).unwrap();
    let mut seed: u64 = 20_261_122;
    let (mut accepted, mut untouched) = (0, 0);
    for tables in [true, false] {
        let template = Template::new(tables);
        for trial in 0..20_usize {
            let copy = template.copy();
            let mut targets = files(&copy, |name| name != "LOCK" && !name.starts_with("LOG"));
            targets.push(copy.join(WATERMARK_FILE));
            targets.push(copy.join(keys::MANIFEST_MARK_FILE));
            targets.retain(|path| fs::metadata(path).unwrap().len() > 0);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let target = &targets[trial % targets.len()];
            let at = (seed >> 16) % fs::metadata(target).unwrap().len();
            flip(target, at);
            let which = format!("byte {at} of {}", name(target));
            let done = accept_loss(&copy, &StoreOptions::default(), Timestamp(0)).unwrap_or_else(|error| panic!("{which}: {error}"));
            let store = open(&copy).unwrap_or_else(|error| panic!("{which}: {error}"));
            let kept = entries(&store);
            for ((family, key), value) in &kept {
                let derived = match *family {
                    keys::FAMILY_STATE => key[0] == b'd' || key[0] == b'k',
                    keys::FAMILY_JOURNAL => *value == empty,
                    keys::FAMILY_CATALOG => value.windows(9).any(|part| part == b"recovered" || part == b"\"deleted\""),
                    keys::FAMILY_GAPS | keys::FAMILY_AUDIT => true,
                    _ => false,
                };
                let written = template.entries.get(&(*family, key.clone()));
                assert!(derived || written == Some(value), "{which}: {family} {key:02x?}");
            }
            let lost = template.entries.keys().any(|(family, key)| {
                let written = [keys::FAMILY_CHUNKS, keys::FAMILY_LATE, keys::FAMILY_JOURNAL, keys::FAMILY_NOTES].contains(family);
                written && kept.get(&(*family, key.clone())) != template.entries.get(&(*family, key.clone()))
            });
            if let Some(done) = done {
                accepted += 1;
                assert!(!lost || !done.gaps.is_empty(), "{which}: a loss that is not on record");
            } else {
                untouched += 1;
                assert!(!lost, "{which}: a loss that nobody noticed");
            }
        }
    }
    assert!(accepted > 10 && untouched > 0, "{accepted} accepted, {untouched} where nothing is read");
}
