//! Backups of small stores: what is copied once, what is found damaged, what is left behind.

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use super::*;
use crate::{RocksStore, Store, rocks::StoreOptions};
use historian_model::Timestamp;

fn go_on(_: PhaseProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn store(directory: &Path, writes: std::ops::RangeInclusive<u64>) -> RocksStore {
    let store = RocksStore::open(directory, &StoreOptions::default()).unwrap();
    for sequence in writes {
        // Records of some size, so that table files have several blocks.
        let record: Vec<u8> = (0..4096_u64).map(|at| (at.wrapping_mul(sequence + 7) >> 3) as u8).collect();
        store.append_journal(&[(sequence, record)], true).unwrap();
    }
    store
}

fn make(store: &RocksStore, directory: &Path, keep: usize) -> Result<Created, BackupError> {
    let repository = Repository::open_to_write(directory)?;
    create(&repository, &BackupSource { store, tags: 0, time: Timestamp(5), keep, verify_new_only: false }, &mut go_on)
}

fn journal(store: &RocksStore) -> BTreeMap<u64, Vec<u8>> {
    let mut records = BTreeMap::new();
    store
        .replay_journal(&mut |sequence, record| {
            records.insert(sequence, record.to_vec());
            Ok(())
        })
        .unwrap();
    records
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn restored(repository: &Path, number: u64, to: &Path) -> Result<Restored, BackupError> {
    restore(&Repository::open_to_read(repository)?, number, to, Timestamp(9), &mut go_on)
}

#[test]
fn a_second_backup_copies_only_what_is_new_and_each_restores_its_own_sequence() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backups) = (directory.path().join("data"), directory.path().join("backups"));
    let live = store(&data, 1..=40);
    let first = make(&live, &backups, 0).unwrap().manifest;
    let second = make(&live, &backups, 0).unwrap().manifest;
    drop(live);
    assert_eq!((first.number, first.sequence, second.number, second.sequence), (1, 40, 2, 40));
    let shared = |manifest: &Manifest| manifest.files.iter().filter(|file| file.shared.is_some()).count() as u64;
    assert!(shared(&first) > 0 && shared(&second) >= shared(&first));
    // Only what lies beside the manifest is new where nothing was written in between.
    assert_eq!(second.files_new, second.files.iter().filter(|file| file.shared.is_none()).count() as u64, "{second:?}");
    assert_eq!(first.files_new, first.files.len() as u64);

    let live = store(&data, 41..=60);
    let third = make(&live, &backups, 0).unwrap().manifest;
    assert_eq!(third.sequence, 60);
    for (number, last) in [(1, 40), (2, 40), (3, 60), (0, 60)] {
        let to = directory.path().join(format!("restored-{number}"));
        let manifest = restored(&backups, number, &to).unwrap().manifest;
        assert_eq!(manifest.sequence, last);
        let again = RocksStore::open(&to, &StoreOptions::default()).unwrap();
        let all = journal(&live);
        assert_eq!(journal(&again), all.range(..=last).map(|(key, value)| (*key, value.clone())).collect());
        assert_eq!(again.audit(1, 9).unwrap().last().unwrap().1.action, "restore");
        assert!(matches!(restored(&backups, number, &to), Err(BackupError::NotEmpty(_))));
    }
    assert!(matches!(restored(&backups, 9, &directory.path().join("none")), Err(BackupError::Unknown { .. })));
    assert!(!data.join("checkpoint-tmp").exists());
}

#[test]
fn any_changed_cut_or_missing_file_is_named_by_verify_and_by_restore() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backups) = (directory.path().join("data"), directory.path().join("backups"));
    let live = store(&data, 1..=60);
    make(&live, &backups, 0).unwrap();
    let to = directory.path().join("restored");
    let files = files(&backups);
    let mut trial = 0;
    for path in files.iter().filter(|path| path.file_name().unwrap() != "LOCK") {
        let whole = fs::read(path).unwrap();
        let positions = if whole.len() > 2000 {
            (0..40).map(|n| n * 7919 * 13 % whole.len()).collect()
        } else {
            (0..whole.len()).step_by(9).collect::<Vec<_>>()
        };
        let damages = positions.into_iter().map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            Some(bytes)
        });
        let cut = (!whole.is_empty()).then(|| Some(whole[..whole.len() - 1].to_vec()));
        for damaged in damages.chain(cut).chain([None]) {
            match &damaged {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            let told = |error: &BackupError| {
                matches!(error, BackupError::Damaged { .. }) && error.to_string().contains(name.split('.').next().unwrap())
            };
            let repository = Repository::open_to_read(&backups).unwrap();
            match repository.manifest(1) {
                Ok(manifest) => {
                    let found = repository.verify(&manifest, &mut go_on).unwrap();
                    assert!(found.len() == 1 && found[0].file.ends_with(name), "{name}: {found:?}");
                }
                Err(error) => assert!(told(&error), "{name}: {error}"),
            }
            let error = restored(&backups, 1, &to).unwrap_err();
            assert!(told(&error), "{name}: {error}");
            assert!(!to.exists(), "{name}: what could not be restored is still there");
            fs::write(path, &whole).unwrap();
            trial += 1;
        }
    }
    assert!(trial > 300, "{trial} trials");
    restored(&backups, 1, &to).unwrap();
}

#[test]
fn damage_in_a_shared_file_is_mended_by_the_next_backup() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backups) = (directory.path().join("data"), directory.path().join("backups"));
    let live = store(&data, 1..=60);
    make(&live, &backups, 0).unwrap();
    for (number, change) in [(2, "flip"), (3, "cut"), (4, "remove")] {
        let victim = files(&backups.join("files")).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        let mut bytes = fs::read(&victim).unwrap();
        match change {
            "flip" => {
                bytes[100] ^= 4;
                fs::write(&victim, &bytes).unwrap();
            }
            "cut" => fs::write(&victim, &bytes[..50]).unwrap(),
            _ => fs::remove_file(&victim).unwrap(),
        }
        let made = make(&live, &backups, 0).unwrap();
        assert_eq!(made.repaired.len(), usize::from(change == "flip"), "{change}: {:?}", made.repaired);
        let repository = Repository::open_to_read(&backups).unwrap();
        for backup in 1..=number {
            assert_eq!(repository.verify(&repository.manifest(backup).unwrap(), &mut go_on).unwrap(), [], "{change}: backup {backup}");
        }
    }
}

#[test]
fn what_is_pruned_takes_its_own_files_along_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backups) = (directory.path().join("data"), directory.path().join("backups"));
    for round in 0..4_u64 {
        // The same numbers again, so that compaction has to write new files.
        let live = store(&data, 1..=round * 30 + 30);
        live.compact().unwrap();
        let made = make(&live, &backups, 2).unwrap();
        assert_eq!(made.pruned, u64::from(round >= 2));
    }
    let listed = Repository::list(&backups).unwrap();
    assert_eq!(listed.iter().map(|listed| listed.number).collect::<Vec<_>>(), [3, 4]);
    let named: std::collections::BTreeSet<String> =
        listed.iter().flat_map(|listed| listed.manifest.clone().unwrap().files).filter_map(|file| file.shared).collect();
    let present: std::collections::BTreeSet<String> =
        files(&backups.join("files")).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(present, named);
    for number in [3, 4] {
        restored(&backups, number, &directory.path().join(format!("restored-{number}"))).unwrap();
    }
}

#[test]
fn a_backup_that_is_stopped_anywhere_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backups) = (directory.path().join("data"), directory.path().join("backups"));
    let live = store(&data, 1..=20);
    make(&live, &backups, 0).unwrap();
    let before = files(&backups);
    live.append_journal(&[(21, vec![7; 9000])], true).unwrap();
    let mut steps = 0;
    loop {
        let mut left = steps;
        let repository = Repository::open_to_write(&backups).unwrap();
        let source = BackupSource { store: &live, tags: 0, time: Timestamp(5), keep: 0, verify_new_only: false };
        let outcome = create(&repository, &source, &mut |_| {
            left -= 1;
            if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match outcome {
            Err(BackupError::Cancelled) => assert_eq!(files(&backups), before, "stopped at step {steps}"),
            Ok(_) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(!data.join("checkpoint-tmp").exists());
        assert_eq!(Repository::list(&backups).unwrap().len(), 1);
        steps += 1;
    }
    assert!(steps > 10, "{steps} steps");
}

#[test]
fn one_run_at_a_time_and_leftovers_of_a_killed_one_go() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backups) = (directory.path().join("data"), directory.path().join("backups"));
    let live = store(&data, 1..=20);
    let holder = Repository::open_to_write(&backups).unwrap();
    assert!(matches!(make(&live, &backups, 0), Err(BackupError::Busy(_))));
    assert!(matches!(Repository::open_to_read(&backups), Err(BackupError::Busy(_))));
    drop(holder);
    make(&live, &backups, 0).unwrap();
    let before = files(&backups);
    fs::create_dir(backups.join("000002.partial")).unwrap();
    fs::write(backups.join("000002.partial/CURRENT"), b"half").unwrap();
    fs::write(backups.join("files/000099-5-abc.sst"), b"alone").unwrap();
    fs::write(backups.join("files/000099-5-abc.sst-fresh"), b"half").unwrap();
    assert_eq!(Repository::list(&backups).unwrap().len(), 1);
    drop(Repository::open_to_write(&backups).unwrap());
    assert_eq!(files(&backups), before);
    fs::create_dir(data.join("checkpoint-tmp")).unwrap();
    drop(live);
    store(&data, 21..=21);
    assert!(!data.join("checkpoint-tmp").exists());
}
