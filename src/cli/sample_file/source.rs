//! A file read from its beginning to its end, whatever its format.

use std::{
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use super::{
    columnar::Columnar,
    csv::Csv,
    local::LocalTimes,
    mistake::{Mistakes, SampleFileFormat},
    portion::{RowsByTag, TagRows},
    settings::Settings,
};

/// A file being read.
pub struct SampleFile {
    path: PathBuf,
    reader: SampleFileReader,
}

enum SampleFileReader {
    Csv(Box<Csv<BufReader<std::fs::File>>>),
    Columnar(Box<Columnar>),
}

impl SampleFile {
    /// Opens a file and reads what its columns are.
    ///
    /// # Errors
    /// Names the column that is missing, or one too many.
    pub fn open(path: &Path, kind: SampleFileFormat, settings: &Settings) -> anyhow::Result<SampleFile> {
        SampleFile::again(path, kind, settings, LocalTimes::new(settings.zone.clone()))
    }

    /// Opens a file for the second time.
    ///
    /// # Errors
    /// As [`SampleFile::open`].
    pub fn again(path: &Path, kind: SampleFileFormat, settings: &Settings, times: LocalTimes) -> anyhow::Result<SampleFile> {
        let file = std::fs::File::open(path).context("cannot be read")?;
        let reader = match kind {
            SampleFileFormat::Csv => SampleFileReader::Csv(Box::new(Csv::new(BufReader::with_capacity(1 << 18, file), settings, times)?)),
            SampleFileFormat::Parquet | SampleFileFormat::Arrow => {
                SampleFileReader::Columnar(Box::new(Columnar::new(file, kind, settings, times)?))
            }
        };
        Ok(SampleFile { path: path.to_owned(), reader })
    }

    /// What reading it to its end has told of the order of its rows, for the second time.
    pub fn into_times(self, mistakes: &mut Mistakes) -> LocalTimes {
        let mut times = match self.reader {
            SampleFileReader::Csv(reader) => reader.into_times(),
            SampleFileReader::Columnar(reader) => reader.into_times(),
        };
        times.know(mistakes);
        times
    }

    /// Adds rows to a portion until it has `rows_max`, or many bytes of texts; false at the end of the file, or where it cannot be read on.
    pub fn read(&mut self, portion: &mut RowsByTag, mistakes: &mut Mistakes, rows_max: usize) -> bool {
        match &mut self.reader {
            SampleFileReader::Csv(reader) => reader.read(portion, mistakes, rows_max),
            SampleFileReader::Columnar(reader) => reader.read(portion, mistakes, rows_max),
        }
    }

    /// Columns that are not taken.
    pub fn passed_over(&self) -> Vec<&str> {
        match &self.reader {
            SampleFileReader::Csv(reader) => reader.passed_over(),
            SampleFileReader::Columnar(reader) => reader.passed_over(),
        }
    }

    /// How far it has read, in [`SampleFile::total`].
    pub fn done(&self) -> u64 {
        match &self.reader {
            SampleFileReader::Csv(reader) => reader.byte(),
            SampleFileReader::Columnar(reader) => reader.done(),
        }
    }

    /// Bytes of a text, rows of another file; 0 where it does not say.
    pub fn total(&self) -> u64 {
        match &self.reader {
            SampleFileReader::Csv(_) => std::fs::metadata(&self.path).map_or(0, |about| about.len()),
            SampleFileReader::Columnar(reader) => reader.rows(),
        }
    }
}

/// All rows of a CSV file, for `historian replace`.
///
/// # Errors
/// Names file, line and column; every mistake is on standard error by then.
pub fn read_whole(path: &Path, settings: &Settings) -> anyhow::Result<Vec<TagRows>> {
    let mut mistakes = Mistakes::default();
    let named = || path.display().to_string();
    let mut first = SampleFile::open(path, SampleFileFormat::Csv, settings).with_context(named)?;
    while first.read(&mut RowsByTag::default(), &mut mistakes, 1 << 16) {}
    // The second pass finds the same mistakes again, but for those of the order of rows.
    let mut order = Mistakes::default();
    let times = first.into_times(&mut order);
    let mut second = SampleFile::again(path, SampleFileFormat::Csv, settings, times).with_context(named)?;
    let mut portion = RowsByTag::default();
    if let Some(tag) = &settings.tag {
        // Also without any row: then the range is emptied.
        portion.of(tag);
    }
    while second.read(&mut portion, &mut order, usize::MAX) {}
    refuse(&mut order, path, SampleFileFormat::Csv, "changed")?;
    if portion.tags.is_empty() {
        bail!("{}: the file has no rows, and --tag names no tag whose range is to be emptied", path.display());
    }
    Ok(portion.tags)
}

/// Tells the mistakes of a file on standard error and fails; does nothing when there are none.
///
/// # Errors
/// When there is a mistake.
pub fn refuse(mistakes: &mut Mistakes, path: &Path, kind: SampleFileFormat, what_did_not_happen: &str) -> anyhow::Result<()> {
    if mistakes.count() == 0 {
        return Ok(());
    }
    for line in mistakes.lines(path, kind) {
        eprintln!("{line}");
    }
    let count = mistakes.count();
    bail!("{}: {count} mistake{}, nothing was {what_did_not_happen}", path.display(), if count == 1 { "" } else { "s" })
}
