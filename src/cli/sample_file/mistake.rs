//! What of a file is not understood, told with its place.

use std::path::Path;

/// Mistakes of a file that are told one by one.
const MISTAKES_TOLD_MAX: usize = 100;
/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleFileFormat {
    Csv,
    Parquet,
    Arrow,
}

impl SampleFileFormat {
    /// By the ending of its name.
    pub fn of(path: &Path) -> Option<SampleFileFormat> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(SampleFileFormat::Csv),
            "parquet" | "pq" => Some(SampleFileFormat::Parquet),
            "arrow" | "feather" | "ipc" => Some(SampleFileFormat::Arrow),
            _ => None,
        }
    }
}

/// What a file says that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: u64,
    pub(super) told: String,
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
    pub(super) fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// One line per mistake, from the top of the file down.
    pub fn lines(&mut self, file: &Path, kind: SampleFileFormat) -> Vec<String> {
        self.list.sort_by_key(|mistake| mistake.place);
        let word = if kind == SampleFileFormat::Csv { "line" } else { "row" };
        let mut lines: Vec<String> =
            self.list.iter().map(|Mistake { place, told }| format!("{}: {word} {place}{told}", file.display())).collect();
        let more = self.count - self.list.len() as u64;
        if more > 0 {
            lines.push(format!("{}: and {more} more", file.display()));
        }
        lines
    }
}
