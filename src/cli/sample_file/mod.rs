//! Files of samples, for `historian import` and `historian replace`: rows of CSV, Parquet and Arrow files by tag, each value in the type of
//! its tag.
//!
//! A file is read twice. The first time every row is understood, or is a mistake with its line, and nothing is written while there is one;
//! the second time the rows are sent.

mod columnar;
mod csv;
mod header;
mod local;
mod quality;
mod value;

use std::{
    collections::HashMap,
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::tz::TimeZone;

use self::{columnar::Columnar, csv::Csv, quality::StateWord};
use super::client::UnitArgs;
use historian_model::{Clock, Quality, SystemClock, Timestamp, ValueType, time::Unit};

use self::quality::Scale;

pub use self::{
    local::LocalTimes,
    value::{Cell, number},
};

/// Mistakes of a file that are told one by one.
const MISTAKES_TOLD_MAX: usize = 100;
/// Bytes of texts in one portion.
const PORTION_BYTES: usize = 8 << 20;

/// What a file does not say of itself.
#[derive(Clone, Debug, Args)]
pub struct FileArgs {
    /// Tag of all rows, for a file without a column tag.
    #[arg(long)]
    pub tag: Option<String>,
    /// The column with the tag of each row, if its name is not tag.
    #[arg(long, value_name = "COLUMN", conflicts_with = "tag")]
    tag_column: Option<String>,
    /// A column that may hold different texts although all rows are of --tag.
    #[arg(long, value_name = "COLUMN", requires = "tag")]
    ignore: Vec<String>,
    #[command(flatten)]
    pub unit: UnitArgs,
    /// How to read the numbers or words of the quality column.
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    quality: Scale,
    /// Words in place of values, and the quality that each one means: 'I/O Timeout=BadNoCommunication,Bad Input=BadSensorFailure'.
    #[arg(long, value_name = "WORD=CODE,…", value_delimiter = ',')]
    states: Vec<String>,
}

/// [`FileArgs`], checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub tag: Option<String>,
    tag_column: Option<String>,
    ignore: Vec<String>,
    unit: Option<Unit>,
    scale: Scale,
    states: Vec<StateWord>,
    zone: TimeZone,
    /// One moment for all relative times.
    now: Timestamp,
}

impl FileArgs {
    /// # Errors
    /// Names the flag.
    pub fn settings(&self, zone: &str) -> anyhow::Result<Settings> {
        let zone = TimeZone::get(zone).map_err(|_| anyhow!("--zone: {zone:?} is no IANA time zone such as Europe/Berlin"))?;
        let states = self.states.iter().map(|text| quality::state_word(text)).collect::<Result<_, _>>().context("--states")?;
        Ok(Settings {
            tag: self.tag.clone(),
            tag_column: self.tag_column.clone(),
            ignore: self.ignore.clone(),
            unit: self.unit.unit(),
            scale: self.quality,
            states,
            zone,
            now: SystemClock.now(),
        })
    }
}

impl Settings {
    /// The quality that a word stands for in place of a value.
    fn state(&self, text: &str) -> Option<Quality> {
        if self.states.is_empty() {
            return None;
        }
        let text = text.trim();
        let exact = self.states.iter().find(|state| state.word == text);
        exact.or_else(|| self.states.iter().find(|state| state.word.eq_ignore_ascii_case(text))).map(|state| state.quality)
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Line of a text, number of the row in other files, from 1.
    pub place: u64,
    pub timestamp: i64,
    pub value: Cell,
    pub quality: Quality,
}

/// Rows of one tag, in the order of the file.
#[derive(Debug, Default)]
pub struct TagRows {
    pub name: String,
    /// Type that the file says the values are of.
    pub declared: Option<ValueType>,
    pub rows: Vec<Row>,
}

/// Rows by tag, in the order in which tags came.
#[derive(Debug, Default)]
pub struct Portion {
    pub tags: Vec<TagRows>,
    index: HashMap<String, usize>,
    last: usize,
    rows: usize,
    text_bytes: usize,
}

impl Portion {
    /// The rows of a tag.
    pub fn of(&mut self, tag: &str) -> &mut TagRows {
        // Rows of one tag mostly follow one another.
        if self.tags.get(self.last).is_none_or(|last| last.name != tag) {
            self.last = self.index.get(tag).copied().unwrap_or(self.tags.len());
            if self.last == self.tags.len() {
                self.index.insert(tag.to_owned(), self.last);
                self.tags.push(TagRows { name: tag.to_owned(), ..TagRows::default() });
            }
        }
        &mut self.tags[self.last]
    }

    fn push(&mut self, tag: &str, declared: Option<ValueType>, row: Row, mistakes: &mut Mistakes) {
        self.rows += 1;
        if let Cell::Text(text) | Cell::String(text) = &row.value {
            self.text_bytes += text.len();
        }
        let rows = self.of(tag);
        match (rows.declared, declared) {
            (Some(before), Some(declared)) if before != declared => {
                mistakes.at(row.place, "type", &format!("is {declared}, and further up the tag {tag:?} is {before}"));
            }
            _ => rows.declared = rows.declared.or(declared),
        }
        rows.rows.push(row);
    }

    fn is_full(&self, rows_max: usize) -> bool {
        self.rows >= rows_max || (rows_max < usize::MAX && self.text_bytes >= PORTION_BYTES)
    }
}

/// What a file says that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: u64,
    told: String,
}

/// The mistakes of one file: the first hundred, and how many there are.
#[derive(Debug, Default)]
pub struct Mistakes {
    list: Vec<Mistake>,
    count: u64,
}

impl Mistakes {
    /// A mistake of a whole row.
    pub fn add(&mut self, place: u64, reason: &str) {
        self.push(place, || format!(": {reason}"));
    }

    /// A mistake in one column of a row.
    pub fn at(&mut self, place: u64, column: &str, reason: &str) {
        self.push(place, || format!(", {column}: {reason}"));
    }

    fn push(&mut self, place: u64, told: impl FnOnce() -> String) {
        self.count += 1;
        if self.list.len() < MISTAKES_TOLD_MAX {
            self.list.push(Mistake { place, told: told() });
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mistakes that are counted and not told.
    pub fn add_untold(&mut self, count: u64) {
        self.count += count;
    }

    /// Takes over those of another part of the same file.
    pub fn merge(&mut self, other: Mistakes) {
        self.count += other.count;
        self.list.extend(other.list);
        self.list.sort_by_key(|mistake| mistake.place);
        self.list.truncate(MISTAKES_TOLD_MAX);
    }

    #[cfg(test)]
    fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// One line per mistake, from the top of the file down.
    pub fn lines(&mut self, file: &Path, kind: Kind) -> Vec<String> {
        self.list.sort_by_key(|mistake| mistake.place);
        let word = if kind == Kind::Csv { "line" } else { "row" };
        let mut lines: Vec<String> =
            self.list.iter().map(|Mistake { place, told }| format!("{}: {word} {place}{told}", file.display())).collect();
        let more = self.count - self.list.len() as u64;
        if more > 0 {
            lines.push(format!("{}: and {more} more", file.display()));
        }
        lines
    }
}

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Csv,
    Parquet,
    Arrow,
}

impl Kind {
    /// By the ending of its name.
    pub fn of(path: &Path) -> Option<Kind> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Kind::Csv),
            "parquet" | "pq" => Some(Kind::Parquet),
            "arrow" | "feather" | "ipc" => Some(Kind::Arrow),
            _ => None,
        }
    }
}

/// A file being read.
pub struct Source {
    path: PathBuf,
    reader: Reader,
}

enum Reader {
    Csv(Box<Csv<BufReader<std::fs::File>>>),
    Columnar(Box<Columnar>),
}

impl Source {
    /// Opens a file and reads what its columns are.
    ///
    /// # Errors
    /// Names the column that is missing, or one too many.
    pub fn open(path: &Path, kind: Kind, settings: &Settings) -> anyhow::Result<Source> {
        Source::again(path, kind, settings, LocalTimes::new(settings.zone.clone()))
    }

    /// Opens a file for the second time.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn again(path: &Path, kind: Kind, settings: &Settings, times: LocalTimes) -> anyhow::Result<Source> {
        let file = std::fs::File::open(path).context("cannot be read")?;
        let reader = match kind {
            Kind::Csv => Reader::Csv(Box::new(Csv::new(BufReader::with_capacity(1 << 18, file), settings, times)?)),
            Kind::Parquet | Kind::Arrow => Reader::Columnar(Box::new(Columnar::new(file, kind, settings, times)?)),
        };
        Ok(Source { path: path.to_owned(), reader })
    }

    /// What reading it to its end has told of the order of its rows, for the second time.
    pub fn into_times(self, mistakes: &mut Mistakes) -> LocalTimes {
        let mut times = match self.reader {
            Reader::Csv(reader) => reader.into_times(),
            Reader::Columnar(reader) => reader.into_times(),
        };
        times.know(mistakes);
        times
    }

    /// Adds rows to a portion until it has `rows_max`, or many bytes of texts; false at the end of the file, or where it cannot be read on.
    pub fn read(&mut self, portion: &mut Portion, mistakes: &mut Mistakes, rows_max: usize) -> bool {
        match &mut self.reader {
            Reader::Csv(reader) => reader.read(portion, mistakes, rows_max),
            Reader::Columnar(reader) => reader.read(portion, mistakes, rows_max),
        }
    }

    /// Columns that are not taken.
    pub fn passed_over(&self) -> Vec<&str> {
        match &self.reader {
            Reader::Csv(reader) => reader.passed_over(),
            Reader::Columnar(reader) => reader.passed_over(),
        }
    }

    /// How far it has read, in [`Source::total`].
    pub fn done(&self) -> u64 {
        match &self.reader {
            Reader::Csv(reader) => reader.byte(),
            Reader::Columnar(reader) => reader.done(),
        }
    }

    /// Bytes of a text, rows of another file; 0 where it does not say.
    pub fn total(&self) -> u64 {
        match &self.reader {
            Reader::Csv(_) => std::fs::metadata(&self.path).map_or(0, |about| about.len()),
            Reader::Columnar(reader) => reader.rows(),
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
    let mut first = Source::open(path, Kind::Csv, settings).with_context(named)?;
    while first.read(&mut Portion::default(), &mut mistakes, 1 << 16) {}
    // The second pass finds the same mistakes again, but for those of the order of rows.
    let mut order = Mistakes::default();
    let times = first.into_times(&mut order);
    let mut second = Source::again(path, Kind::Csv, settings, times).with_context(named)?;
    let mut portion = Portion::default();
    if let Some(tag) = &settings.tag {
        // Also without any row: then the range is emptied.
        portion.of(tag);
    }
    while second.read(&mut portion, &mut order, usize::MAX) {}
    refuse(&mut order, path, Kind::Csv, "changed")?;
    if portion.tags.is_empty() {
        bail!("{}: the file has no rows, and --tag names no tag whose range is to be emptied", path.display());
    }
    Ok(portion.tags)
}

/// Tells the mistakes of a file on standard error and fails; does nothing when there are none.
///
/// # Errors
/// When there is a mistake.
pub fn refuse(mistakes: &mut Mistakes, path: &Path, kind: Kind, what_did_not_happen: &str) -> anyhow::Result<()> {
    if mistakes.count() == 0 {
        return Ok(());
    }
    for line in mistakes.lines(path, kind) {
        eprintln!("{line}");
    }
    let count = mistakes.count();
    bail!("{}: {count} mistake{}, nothing was {what_did_not_happen}", path.display(), if count == 1 { "" } else { "s" })
}
