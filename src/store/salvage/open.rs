//! Opening the working copy by the least mending that makes it open.

use std::{
    fs,
    path::{Path, PathBuf},
};

use historian_format::keys::{self, MANIFEST_MARK_FILE};
use rocksdb::{ColumnFamilyDescriptor, DB, DBRecoveryMode, Options, WriteBatch};

use super::swap::{SalvageDirectories, failed};
use crate::{
    RocksStore, StoreError,
    disk::{
        log,
        manifest::{ManifestMark, refuse_recycled},
        watermark::WatermarkFile,
    },
    rocks::{StoreOptions, database_options, families, io},
};

/// What it took to open the database, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mending {
    Nothing,
    /// The log was cut where it is damaged. All families are as they were at one moment.
    Log,
    /// Tables that cannot be opened are passed over. From here on families may be of different moments.
    Files,
    /// The manifest was made anew from the tables themselves. From here on the age of tables is not known.
    Manifest,
}

const MENDINGS: [Mending; 4] = [Mending::Nothing, Mending::Log, Mending::Files, Mending::Manifest];

/// The working copy, open.
pub(super) struct WorkingCopy {
    pub store: RocksStore,
    pub mending: Mending,
    /// What was damaged, for people.
    pub notes: Vec<String>,
    /// What of it may have cost samples, as gaps tell it.
    pub losses: Vec<String>,
}

/// Opens a working copy.
///
/// # Errors
/// [`StoreError::Open`] when no mending helps.
pub(super) fn open(work: &SalvageDirectories, options: &StoreOptions) -> Result<WorkingCopy, StoreError> {
    let mut refusals: Vec<String> = Vec::new();
    for mending in MENDINGS {
        let path = work.copy()?;
        let mut attempt = Attempt { work, options, path, notes: Vec::new(), losses: Vec::new() };
        match attempt.open(mending) {
            Ok(db) => {
                if mending == Mending::Files {
                    attempt.notes.extend(refusals.pop());
                }
                let Attempt { path, notes, losses, .. } = attempt;
                let (watermark, _) = WatermarkFile::open(&work.source())?;
                let manifest = ManifestMark::unchecked(&work.source(), &path);
                let store = RocksStore::assemble(db, path, watermark, manifest, options);
                store.rest()?;
                return Ok(WorkingCopy { store, mending, notes, losses });
            }
            Err(StoreError::Full(message)) => return Err(StoreError::Full(message)),
            Err(error) => {
                let message = work.original_names(&error.to_string());
                tracing::warn!(?mending, "--accept-loss: the database does not open: {message}");
                refusals.push(message);
            }
        }
    }
    refusals.dedup();
    Err(StoreError::Open {
        path: work.original().display().to_string(),
        message: format!("nothing can be made of the database, and it was not changed: {}; restore it from a backup", refusals.join("; ")),
    })
}

struct Attempt<'a> {
    work: &'a SalvageDirectories,
    options: &'a StoreOptions,
    /// The working copy of the database.
    path: PathBuf,
    notes: Vec<String>,
    losses: Vec<String>,
}

impl Attempt<'_> {
    fn open(&mut self, mending: Mending) -> Result<DB, StoreError> {
        if mending == Mending::Manifest {
            return self.open_repaired();
        }
        self.mend_pointer()?;
        let mut database = database_options(self.options);
        if mending >= Mending::Log {
            self.cut()?;
            // A log that was cut is not what the manifest says it is.
            database.set_track_and_verify_wals_in_manifest(false);
            database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        }
        if mending >= Mending::Files {
            database.set_paranoid_checks(false);
        }
        refuse_recycled(&self.path)?;
        ManifestMark::check(&self.work.source(), &self.path)?;
        self.open_with(&database)
    }

    fn open_with(&self, database: &Options) -> Result<DB, StoreError> {
        DB::open_cf_descriptors(database, &self.path, families(self.options)).map_err(|error| match io(error) {
            StoreError::Io(message) => StoreError::Open { path: self.work.original().display().to_string(), message },
            other => other,
        })
    }

    /// Cuts the log where it is damaged.
    fn cut(&mut self) -> Result<(), StoreError> {
        let cut = log::cut(&self.path).map_err(|error| failed(&self.path, error))?;
        if let Some(cut) = cut {
            self.losses.push(format!("what was written behind the damage of the log, to any tag: {cut}"));
            self.notes.push(cut);
        }
        Ok(())
    }

    /// Where `CURRENT` names no manifest, or one that is known to be old, it is made to name the newest; and a damaged mark of the manifest
    /// goes.
    fn mend_pointer(&mut self) -> Result<(), StoreError> {
        let mark_path = self.work.source().join(MANIFEST_MARK_FILE);
        let mark = fs::read(&mark_path).ok();
        let marked = mark.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(marked);
        if mark.is_some() && marked.is_none() {
            self.notes.push(format!("{MANIFEST_MARK_FILE} is damaged and was made anew"));
            fs::remove_file(&mark_path).map_err(|error| failed(&mark_path, error))?;
        }
        let path = self.path.join("CURRENT");
        let held = fs::read(&path).unwrap_or_default();
        let named = std::str::from_utf8(&held).ok().and_then(|text| text.strip_suffix('\n')).filter(|name| manifest_number(name).is_some());
        if named.is_some_and(|name| self.path.join(name).exists() && manifest_number(name) >= marked.and_then(manifest_number)) {
            return Ok(());
        }
        let mut manifests = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|error| failed(&self.path, error))? {
            let name = entry.map_err(|error| failed(&self.path, error))?.file_name().to_string_lossy().into_owned();
            manifests.extend(manifest_number(&name).map(|number| (number, name)));
        }
        let (_, newest) = manifests.into_iter().max().ok_or_else(|| failed(&self.work.original(), "it has no MANIFEST"))?;
        fs::write(&path, format!("{newest}\n")).map_err(|error| failed(&path, error))?;
        self.notes.push(format!("CURRENT named no manifest of this database; {newest}, the newest one, was taken"));
        Ok(())
    }

    /// Has RocksDB make a manifest of what the tables and the log say.
    fn open_repaired(&mut self) -> Result<DB, StoreError> {
        self.cut()?;
        self.sow_families()?;
        let database = database_options(self.options);
        DB::repair(&database, &self.path).map_err(|error| failed(&self.work.original(), error))?;
        self.notes.push("MANIFEST is damaged or missing; the list of tables was made anew from the tables themselves".to_owned());
        // RocksDB puts what it could not use into this folder, beside the logs it has read.
        let unused = fs::read_dir(self.path.join("lost")).into_iter().flatten().flatten().map(|entry| entry.path());
        for table in unused.filter(|path| path.extension().is_some_and(|extension| extension == "sst")) {
            let name = table.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if self.work.original().join(&name).exists() {
                self.losses
                    .push(format!("all of {name}, to any tag: the table is damaged, and the MANIFEST, which would tell its place, is too"));
                self.notes.push(format!("{name} is damaged"));
            }
        }
        self.open_with(&database)
    }

    /// Gives each family a table that says that there is such a family. RocksDB learns of families from their tables only, and would pass
    /// over what the log holds for one that has none.
    fn sow_families(&self) -> Result<(), StoreError> {
        let seed = self.work.scratch();
        let cannot = |error: rocksdb::Error| failed(&seed, error);
        let mut database = Options::default();
        database.create_if_missing(true);
        database.create_missing_column_families(true);
        let names = family_names(&self.path);
        // Ids of families are given in the order in which they are made.
        let descriptors = names.iter().map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let db = DB::open_cf_descriptors(&database, &seed, descriptors).map_err(cannot)?;
        let mut batch = WriteBatch::default();
        for name in &names {
            let family = db.cf_handle(name).ok_or_else(|| failed(&seed, "a family is missing"))?;
            // The trace of a deletion of a key that no family has.
            batch.delete_cf(family, [0]);
        }
        db.write(batch).map_err(cannot)?;
        for name in &names {
            if let Some(family) = db.cf_handle(name) {
                db.flush_cf(family).map_err(cannot)?;
            }
        }
        drop(db);
        // Above every number in use: RocksDB looks at tables in the order of their numbers, and the real ones shall speak first.
        let number = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        let files = |directory: &Path| -> Result<Vec<PathBuf>, StoreError> {
            let entries = fs::read_dir(directory).map_err(|error| failed(directory, error))?;
            Ok(entries.flatten().map(|entry| entry.path()).collect())
        };
        let free = files(&self.path)?.iter().filter_map(|path| number(path)).max().unwrap_or(0) + 1..;
        let tables = files(&seed)?.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
        for (next, table) in free.zip(tables) {
            fs::rename(&table, self.path.join(format!("{next:06}.sst"))).map_err(|error| failed(&table, error))?;
        }
        fs::remove_dir_all(&seed).map_err(|error| failed(&seed, error))
    }
}

/// Number in a manifest's name.
fn manifest_number(name: &str) -> Option<u64> {
    name.strip_prefix("MANIFEST-")?.parse().ok()
}

/// The manifest that a mark names.
fn marked(text: &str) -> Option<&str> {
    let (name, bytes) = text.strip_suffix('\n')?.split_once(' ')?;
    bytes.parse::<u64>().ok()?;
    manifest_number(name).map(|_| name)
}

/// Names of the families of a database but the default one, in the order in which they were made: RocksDB writes its options file in that
/// order. Where it cannot be read, that of this version.
fn family_names(database: &Path) -> Vec<String> {
    let entries = fs::read_dir(database).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("OPTIONS-"))).max();
    let text = newest.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let named = |line: &str| Some(line.trim().strip_prefix("[CFOptions \"")?.strip_suffix("\"]")?.to_owned());
    let mut names: Vec<String> = text.lines().filter_map(named).filter(|name| name != "default").collect();
    if !names.iter().all(|name| keys::FAMILIES.contains(&name.as_str())) {
        names.clear();
    }
    let missing: Vec<&str> = keys::FAMILIES.into_iter().filter(|family| !names.iter().any(|name| name == family)).collect();
    names.extend(missing.into_iter().map(str::to_owned));
    names
}

impl RocksStore {
    /// Keeps RocksDB from compacting what is only to be read, and refuses another format version.
    fn rest(&self) -> Result<(), StoreError> {
        for name in keys::FAMILIES {
            let family = self.family(name)?;
            self.db.set_options_cf(family, &[("disable_auto_compactions", "true")]).map_err(io)?;
        }
        // Where it cannot be read, it is this one, as no start takes another.
        match self.format_version() {
            Ok(Some(version)) => self.require_format_version(Some(&version)),
            _ => Ok(()),
        }
    }
}
