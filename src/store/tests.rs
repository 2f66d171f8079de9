//! What both stores do alike with the records of tags.

use std::{collections::BTreeMap, sync::Arc};

use historian_format::{
    current::CurrentEntry,
    keys::{KeptMark, TagRecord, WEEK_NS},
};

use super::{Change, MemoryStore, RocksStore, Store, rocks::StoreOptions};
use historian_model::{Sample, TagId, Value, ValueType};

const ONE: TagId = TagId(1);
const OTHER: TagId = TagId(2);

/// A change that has every kind of record, of both tags.
fn every_record() -> (Change, KeptMark, Vec<u8>) {
    let mark = KeptMark { compacted_until: 7, rolled_until: 9 };
    let entry =
        CurrentEntry { value_type: ValueType::F64, sample: Sample { timestamp: WEEK_NS + 5, value: Some(Value::F64(21.5)), quality: 0 } };
    let entry = entry.encode().unwrap();
    let change = Change {
        sealed: vec![(ONE, 11), (OTHER, 12)],
        kept: vec![(ONE, mark), (OTHER, mark)],
        current: vec![(ONE, Some(entry.clone())), (OTHER, Some(entry.clone()))],
        ..Change::default()
    };
    (change, mark, entry)
}

fn sealed(store: &dyn Store) -> BTreeMap<u32, u64> {
    let mut found = BTreeMap::new();
    store.load_sealed(&mut |tag, sequence| _ = found.insert(tag.0, sequence)).unwrap();
    found
}

fn both_stores(test: impl Fn(Arc<dyn Store>)) {
    test(Arc::new(MemoryStore::default()));
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(RocksStore::open(directory.path(), &StoreOptions::default()).unwrap()));
}

#[test]
fn each_record_of_a_tag_is_read_listed_and_goes_with_its_tag() {
    both_stores(|store| {
        let (change, mark, entry) = every_record();
        store.apply(&change).unwrap();
        assert_eq!((store.kept(ONE).unwrap(), store.current(ONE).unwrap()), (mark, Some(entry)));
        assert_eq!(sealed(&*store), [(1, 11), (2, 12)].into());
        for record in TagRecord::ALL {
            let value = store.record(record, ONE).unwrap();
            assert!(value.is_some(), "no change has {record:?}");
            let mut listed = Vec::new();
            let list = |tag: TagId, value: &[u8]| {
                listed.push((tag, value.to_vec()));
                Ok(())
            };
            store.load_records(record, &mut { list }).unwrap();
            assert_eq!(listed, [ONE, OTHER].map(|tag| (tag, store.record(record, tag).unwrap().unwrap())), "{record:?}");
        }
        store.delete_tag(ONE).unwrap();
        for record in TagRecord::ALL {
            assert_eq!(store.record(record, ONE).unwrap(), None, "{record:?}");
            assert!(store.record(record, OTHER).unwrap().is_some(), "{record:?}");
        }
        assert_eq!((store.kept(ONE).unwrap(), sealed(&*store)), (KeptMark::default(), [(2, 12)].into()));
    });
}

#[test]
fn a_week_that_is_dropped_takes_the_latest_sample_along_and_no_other_record() {
    both_stores(|store| {
        store.apply(&every_record().0).unwrap();
        store.drop_week(0, None).unwrap();
        assert!(store.current(ONE).unwrap().is_some(), "it is of another week");
        store.drop_week(1, Some(&vec![1..=1])).unwrap();
        assert_eq!(store.current(ONE).unwrap(), None);
        assert!(store.current(OTHER).unwrap().is_some(), "it is of another tag");
        assert_eq!((store.kept(ONE).unwrap().rolled_until, sealed(&*store)), (9, [(1, 11), (2, 12)].into()));
    });
}
