//! The type of a tag that an import makes: what the file says, else what all its values are. A word among numbers is a mistake of the file and
//! no reason to make the tag a text.

use historian_proto::v1;

use crate::{
    sample_file::{FileRow, FileValue, Mistakes, TagRows, number},
    tag::proto_type,
};
use historian_model::ValueType;

/// Rows of a tag in a file that are kept until its type is known.
const KEPT_MAX: usize = 100;

/// What is known of the values of a tag that is not there yet.
#[derive(Debug, Default)]
pub struct Fit {
    declared: Option<ValueType>,
    numbers: u64,
    truths: u64,
    words: u64,
    /// A number that would be another text if it were written again: 007.
    is_written_as_text: bool,
    has_float: bool,
    has_float32: bool,
    /// Smallest and largest of integers of an integer column.
    integers: Option<(i128, i128)>,
    /// By file, rows that some types cannot take, and how many more there are.
    doubtful: Vec<(usize, Vec<FileRow>, u64)>,
}

/// What the command says of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextColumns {
    /// Nothing: a word is a mistake.
    No,
    /// Words are texts.
    Words,
    /// Whatever the values of the tag are, they are texts.
    All,
}

impl Fit {
    /// Adds rows of a file.
    pub fn add(&mut self, file: usize, rows: &TagRows, mistakes: &mut Mistakes) {
        if let Some(declared) = rows.declared {
            match self.declared {
                Some(before) if before != declared => {
                    let place = rows.rows.first().map_or(0, |row| row.place);
                    mistakes.at(place, "type", &format!("is {declared}, and before it the tag {:?} is {before}", rows.name));
                }
                _ => self.declared = Some(declared),
            }
        }
        for row in &rows.rows {
            if self.is_doubtful(row) {
                self.keep(file, row);
            }
        }
    }

    /// Counts a row; true when it is not what most tags take.
    fn is_doubtful(&mut self, row: &FileRow) -> bool {
        match &row.value {
            FileValue::Empty => return row.quality.is_good(),
            FileValue::Text(text) => {
                let text = text.trim();
                if text.is_empty() {
                    return row.quality.is_good();
                }
                if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
                    self.truths += 1;
                    return true;
                }
                let digits = text.trim_start_matches(['+', '-']);
                self.is_written_as_text |= digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
                if text.parse::<f64>().is_err() {
                    self.words += 1;
                    return true;
                }
                self.numbers += 1;
                return number(text).is_err();
            }
            FileValue::String(_) => {
                self.words += 1;
                return true;
            }
            FileValue::Bool(_) => {
                self.truths += 1;
                return true;
            }
            FileValue::F64(_) => self.has_float = true,
            FileValue::F32(_) => self.has_float32 = true,
            FileValue::Integer(value) => {
                let (least, most) = self.integers.unwrap_or((*value, *value));
                self.integers = Some((least.min(*value), most.max(*value)));
            }
        }
        self.numbers += 1;
        false
    }

    fn keep(&mut self, file: usize, row: &FileRow) {
        if self.doubtful.last().is_none_or(|(last, ..)| *last != file) {
            self.doubtful.push((file, Vec::new(), 0));
        }
        if let Some((_, rows, more)) = self.doubtful.last_mut() {
            if rows.len() < KEPT_MAX { rows.push(row.clone()) } else { *more += 1 }
        }
    }

    /// The type of the tag.
    fn value_type(&self, texts: TextColumns) -> ValueType {
        let is_only = |count: u64, others: u64| count > 0 && others == 0;
        match (self.declared, texts, self.integers) {
            (Some(declared), ..) => declared,
            (None, TextColumns::All, _) => ValueType::String,
            (None, TextColumns::Words, _) if self.words > 0 || self.is_written_as_text => ValueType::String,
            _ if is_only(self.truths, self.numbers + self.words) => ValueType::Bool,
            (_, _, Some((least, most))) if !self.has_float && !self.has_float32 => {
                if least >= 0 && most > i128::from(i64::MAX) {
                    ValueType::U64
                } else {
                    ValueType::I64
                }
            }
            _ if self.has_float32 && !self.has_float => ValueType::F32,
            // Whole numbers too, for the next may have a fraction.
            _ => ValueType::F64,
        }
    }

    /// The tag, and by file the rows that its type cannot take.
    pub fn decide(self, name: &str, texts: TextColumns, mut mistakes_of: impl FnMut(usize, Mistakes)) -> v1::Tag {
        let value_type = self.value_type(texts);
        let tag = v1::Tag { name: name.to_owned(), value_type: proto_type(value_type).into(), ..v1::Tag::default() };
        if self.declared.is_some() {
            return tag; // its rows were checked as they came
        }
        for (file, rows, more) in self.doubtful {
            let mut mistakes = Mistakes::default();
            TagRows { name: name.to_owned(), declared: None, rows }.columns(&tag, &mut mistakes);
            if mistakes.count() > 0 {
                mistakes.add_untold(more);
                mistakes_of(file, mistakes);
            }
        }
        tag
    }

    /// Type that the file says, whose rows can be checked at once.
    pub fn declared(&self) -> Option<ValueType> {
        self.declared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::type_name;
    use historian_model::Quality;

    fn decide(texts: &[&str], mode: TextColumns) -> (String, u64) {
        let row = |(text, place): (&&str, u64)| FileRow {
            place,
            timestamp: 1,
            value: FileValue::Text((*text).to_owned()),
            quality: Quality::GOOD,
        };
        let rows = TagRows { name: "a".into(), declared: None, rows: texts.iter().zip(2..).map(row).collect() };
        let (mut fit, mut count) = (Fit::default(), 0);
        fit.add(0, &rows, &mut Mistakes::default());
        let tag = fit.decide("a", mode, |_, mistakes| count += mistakes.count());
        (type_name(&tag).to_ascii_uppercase(), count)
    }

    #[test]
    fn a_new_tag_is_what_all_its_values_are_and_a_word_among_numbers_is_a_mistake() {
        for (texts, mode, value_type, mistakes) in [
            (&["1", "2.5"][..], TextColumns::No, "F64", 0),
            (&["true", "FALSE"], TextColumns::No, "BOOL", 0),
            (&["1", "x", "2", "y"], TextColumns::No, "F64", 2),
            (&["on", "off"], TextColumns::No, "F64", 2),
            (&["1", "true"], TextColumns::No, "F64", 1),
            (&["1", "", "9007199254740993"], TextColumns::No, "F64", 2),
            (&[], TextColumns::No, "F64", 0),
            (&["1", "x", ""], TextColumns::Words, "STRING", 0),
            (&["007"], TextColumns::Words, "STRING", 0),
            (&["1", "0.5"], TextColumns::Words, "F64", 0),
            (&["1", "0.5", "true"], TextColumns::All, "STRING", 0),
        ] {
            assert_eq!(decide(texts, mode), (value_type.to_owned(), mistakes), "{texts:?}");
        }
        let many: Vec<&str> = std::iter::repeat_n("x", 250).chain(["1"]).collect();
        assert_eq!(decide(&many, TextColumns::No), ("F64".to_owned(), 250));
    }
}
