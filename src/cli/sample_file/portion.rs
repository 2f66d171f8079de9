//! Rows of a file, by tag, as they were read.

use std::collections::HashMap;

use super::mistake::Mistakes;
use historian_model::{Quality, ValueType};

/// Bytes of texts in one portion.
const PORTION_BYTES: usize = 8 << 20;

/// A value as a file has it.
#[derive(Clone, Debug, PartialEq)]
pub enum FileValue {
    /// Nothing, which under a Good quality is the empty text of a string.
    Empty,
    /// Text whose type nobody said: all of CSV.
    Text(String),
    /// A text that is meant as one.
    String(String),
    F64(f64),
    F32(f32),
    /// i64 and u64.
    Integer(i128),
    Bool(bool),
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRow {
    /// Line of a text, number of the row in other files, from 1.
    pub place: u64,
    pub timestamp: i64,
    pub value: FileValue,
    pub quality: Quality,
}

/// Rows of one tag, in the order of the file.
#[derive(Debug, Default)]
pub struct TagRows {
    pub name: String,
    /// Type that the file says the values are of.
    pub declared: Option<ValueType>,
    pub rows: Vec<FileRow>,
}

/// Rows by tag, in the order in which tags came.
#[derive(Debug, Default)]
pub struct RowsByTag {
    pub tags: Vec<TagRows>,
    index: HashMap<String, usize>,
    last: usize,
    rows: usize,
    text_bytes: usize,
}

impl RowsByTag {
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

    pub(super) fn push(&mut self, tag: &str, declared: Option<ValueType>, row: FileRow, mistakes: &mut Mistakes) {
        self.rows += 1;
        if let FileValue::Text(text) | FileValue::String(text) = &row.value {
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

    pub(super) fn is_full(&self, rows_max: usize) -> bool {
        self.rows >= rows_max || (rows_max < usize::MAX && self.text_bytes >= PORTION_BYTES)
    }
}
