//! CSV files of samples, for `historian replace` and `historian import`: rows into columns of samples per tag, each value in the type of its
//! tag.

use std::{collections::BTreeMap, io::Read, path::Path};

use anyhow::{Context, anyhow, bail};
use historian_proto::v1::{
    self, BoolColumn, DoubleColumn, FloatColumn, SignedColumn, StateColumn, StringColumn, TagSamples, UnsignedColumn, ValueType, Values,
    values::Column,
};
use jiff::tz::TimeZone;

use crate::model::{Clock, Quality, SystemClock, Timestamp};

/// Bytes of a file in one portion.
const PORTION_BYTES: u64 = 8 << 20;

/// Rows of a file by tag.
pub struct Rows {
    pub tags: BTreeMap<String, TagRows>,
}

/// Rows of one tag, in the order of the file.
#[derive(Default)]
pub struct TagRows {
    rows: Vec<Row>,
}

struct Row {
    line: u64,
    timestamp: i64,
    value: String,
    quality: u32,
}

impl Rows {
    /// Reads a file; `tag` is the tag of its rows where it has no column of that name.
    ///
    /// # Errors
    /// Names file, line and column.
    pub fn read(path: &Path, tag: Option<&str>, zone: &str) -> anyhow::Result<Rows> {
        let name = path.display().to_string();
        let file = std::fs::File::open(path).with_context(|| format!("{name} cannot be read"))?;
        Rows::parse(file, tag, zone).with_context(|| name)
    }

    fn parse(text: impl Read, tag: Option<&str>, zone: &str) -> anyhow::Result<Rows> {
        let mut reader = Reader::new(text, tag, zone)?;
        let mut tags = BTreeMap::new();
        if let Some(tag) = tag {
            // Also without any row: then the range is emptied.
            tags.insert(tag.to_owned(), TagRows::default());
        }
        while reader.read(&mut tags, usize::MAX)? {}
        if tags.is_empty() {
            bail!("the file has no rows, and --tag names no tag whose range is to be emptied");
        }
        Ok(Rows { tags })
    }
}

/// Reads rows as far as asked.
pub struct Reader<R> {
    csv: csv::Reader<R>,
    record: csv::StringRecord,
    columns: Columns,
    /// Tag of all rows, where there is no column for it.
    tag: String,
    zone: TimeZone,
    /// One moment for all relative times of the file.
    now: Timestamp,
}

/// Where what is in a row.
struct Columns {
    timestamp: usize,
    value: usize,
    quality: Option<usize>,
    tag: Option<usize>,
}

impl<R: Read> Reader<R> {
    /// Reads the header; `tag` is the tag of the rows where there is no column of that name.
    ///
    /// # Errors
    /// Names the column that is missing, or one too many.
    pub fn new(text: R, tag: Option<&str>, zone: &str) -> anyhow::Result<Reader<R>> {
        let zone = TimeZone::get(zone).map_err(|_| anyhow!("--zone: {zone:?} is no IANA time zone such as Europe/Berlin"))?;
        let mut csv = csv::Reader::from_reader(text);
        let header = csv.headers()?.clone();
        let column = |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
        let needed = |name: &str| column(name).ok_or_else(|| anyhow!("the header has no column {name}; it needs timestamp and value"));
        let tag_column = match (column("tag"), tag) {
            (Some(_), Some(_)) => bail!("the file has a column tag; leave --tag away"),
            (None, None) => bail!("the file has no column tag; say with --tag whose samples these are"),
            (column, _) => column,
        };
        let columns = Columns { timestamp: needed("timestamp")?, value: needed("value")?, quality: column("quality"), tag: tag_column };
        Ok(Reader { csv, record: csv::StringRecord::new(), columns, tag: tag.unwrap_or_default().to_owned(), zone, now: SystemClock.now() })
    }

    /// Adds rows to those of their tags, `rows_max` at most and not far beyond [`PORTION_BYTES`]; false at the end of the file.
    ///
    /// # Errors
    /// Names line and column.
    pub fn read(&mut self, tags: &mut BTreeMap<String, TagRows>, rows_max: usize) -> anyhow::Result<bool> {
        let begun = self.byte();
        for _ in 0..rows_max {
            if rows_max < usize::MAX && self.byte() - begun > PORTION_BYTES {
                return Ok(true);
            }
            if !self.csv.read_record(&mut self.record)? {
                return Ok(false);
            }
            let line = self.record.position().map_or(0, csv::Position::line);
            let cell = |index: usize| self.record.get(index).unwrap_or_default();
            let at = cell(self.columns.timestamp).trim();
            let timestamp = Timestamp::parse(at, self.now, &self.zone).map_err(|error| anyhow!("line {line}, timestamp: {error}"))?.0;
            let quality = match self.columns.quality.map(|index| cell(index).trim()).unwrap_or_default() {
                "" => Quality::GOOD.0,
                text => number(text)
                    .ok_or_else(|| anyhow!("line {line}, quality: {text:?} is no OPC UA status code such as 0 or 0x80000000"))?,
            };
            let tag = self.columns.tag.map_or(self.tag.as_str(), |index| cell(index).trim());
            if tag.is_empty() {
                bail!("line {line}, tag: is empty");
            }
            let row = Row { line, timestamp, value: cell(self.columns.value).to_owned(), quality };
            match tags.get_mut(tag) {
                Some(tag) => tag.rows.push(row),
                None => _ = tags.insert(tag.to_owned(), TagRows { rows: vec![row] }),
            }
        }
        Ok(true)
    }

    /// How far it has read.
    pub fn byte(&self) -> u64 {
        self.csv.position().byte()
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl TagRows {
    /// The type that a tag for these values gets: bool, f64, or string. Whole numbers are f64 too, for the next may have a fraction.
    pub fn fitting_type(&self) -> ValueType {
        let mut texts = self.rows.iter().map(|row| row.value.trim()).filter(|text| !text.is_empty()).peekable();
        if texts.peek().is_none() || texts.clone().all(|text| text.parse::<f64>().is_ok()) {
            return ValueType::F64;
        }
        let truths = texts.all(|text| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"));
        if truths { ValueType::Bool } else { ValueType::String }
    }

    /// Line of the first row.
    pub fn line(&self) -> u64 {
        self.rows.first().map_or(0, |row| row.line)
    }

    /// The rows as columns of the tag's type.
    ///
    /// # Errors
    /// Names line and value.
    pub fn columns(self, name: String, tag: &v1::Tag) -> anyhow::Result<TagSamples> {
        let rows = &self.rows;
        let column = match tag.value_type() {
            ValueType::F64 => Column::F64(DoubleColumn { values: values(rows, "a number", |text| text.parse().ok())? }),
            ValueType::F32 => Column::F32(FloatColumn { values: values(rows, "a number", |text| text.parse().ok())? }),
            ValueType::I64 => Column::I64(SignedColumn { values: values(rows, "an integer of 64 bits", |text| text.parse().ok())? }),
            ValueType::U64 => {
                Column::U64(UnsignedColumn { values: values(rows, "an unsigned integer of 64 bits", |text| text.parse().ok())? })
            }
            ValueType::Bool => Column::Bool(BoolColumn { values: values(rows, "true or false", truth)? }),
            ValueType::State => {
                Column::State(StateColumn { values: values(rows, "the number or name of a state", |text| state(text, &tag.state_set))? })
            }
            ValueType::String => Column::String(StringColumn { values: rows.iter().map(|row| row.value.clone()).collect() }),
            ValueType::Unspecified => bail!("the tag {name} is of a type that this program does not know"),
        };
        Ok(TagSamples {
            tag: name,
            timestamps: rows.iter().map(|row| row.timestamp).collect(),
            values: Some(Values { column: Some(column) }),
            qualities: rows.iter().map(|row| row.quality).collect(),
            nulls: (0..).zip(rows).filter(|(_, row)| row.is_null()).map(|(index, _)| index).collect(),
        })
    }
}

impl Row {
    /// An empty cell under a quality that is not Good is no value. Of a string with a Good quality it is the empty text.
    fn is_null(&self) -> bool {
        self.value.trim().is_empty() && !Quality(self.quality).is_good()
    }
}

fn values<T: Default>(rows: &[Row], wanted: &str, parse: impl Fn(&str) -> Option<T>) -> anyhow::Result<Vec<T>> {
    let value = |row: &Row| match row.value.trim() {
        _ if row.is_null() => Ok(T::default()),
        "" => Err(anyhow!("line {}, value: is empty, and the quality is Good; a sample without a value needs a Bad quality", row.line)),
        text => parse(text).ok_or_else(|| anyhow!("line {}, value: {text:?} is not {wanted}", row.line)),
    };
    rows.iter().map(value).collect()
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn state(text: &str, names: &[String]) -> Option<u32> {
    text.parse().ok().or_else(|| names.iter().position(|name| name == text).and_then(|index| u32::try_from(index).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, tag: Option<&str>) -> anyhow::Result<Rows> {
        Rows::parse(text.as_bytes(), tag, "UTC")
    }

    fn tag(value_type: ValueType) -> v1::Tag {
        v1::Tag { value_type: value_type.into(), state_set: vec!["stopped".into(), "running".into()], ..v1::Tag::default() }
    }

    #[test]
    fn rows_become_columns_of_the_tags_type() {
        let mut rows = read("tag,timestamp,value,quality\na,1970-01-01T00:00:01Z,1.5,0\nb,7,running,\na,2,,0x80000000\n", None).unwrap();
        let (a, b) = (rows.tags.remove("a").unwrap(), rows.tags.remove("b").unwrap());
        let a = a.columns("a".into(), &tag(ValueType::F64)).unwrap();
        assert_eq!((a.timestamps, a.qualities, a.nulls), (vec![1_000_000_000, 2], vec![0, 0x8000_0000], vec![1]));
        assert_eq!(a.values.unwrap().column, Some(Column::F64(DoubleColumn { values: vec![1.5, 0.0] })));
        let b = b.columns("b".into(), &tag(ValueType::State)).unwrap();
        assert_eq!(b.values.unwrap().column, Some(Column::State(StateColumn { values: vec![1] })));
        let rows = read("timestamp,value\n", Some("c")).unwrap();
        assert!(rows.tags["c"].rows.is_empty());
    }

    #[test]
    fn a_file_is_read_in_portions_and_new_tags_get_a_type_that_fits() {
        let text = "tag,timestamp,value\na,1,1\na,2,-2.5e3\nb,1,TRUE\nb,2,false\nc,1,on\nd,1,\n";
        let mut reader = Reader::new(text.as_bytes(), None, "UTC").unwrap();
        let (mut portions, mut types) = (0, Vec::new());
        loop {
            let mut tags = BTreeMap::new();
            let more = reader.read(&mut tags, 2).unwrap();
            types.extend(tags.iter().map(|(tag, rows)| (tag.clone(), rows.fitting_type(), rows.line())));
            portions += 1;
            if !more {
                break;
            }
        }
        assert_eq!(portions, 4);
        let expected = [("a", ValueType::F64, 2), ("b", ValueType::Bool, 4), ("c", ValueType::String, 6), ("d", ValueType::F64, 7)];
        assert_eq!(types, expected.map(|(tag, value_type, line)| (tag.to_owned(), value_type, line)));
        assert_eq!(reader.byte(), text.len() as u64);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, tag_name, value_type, told) in [
            ("timestamp,value\n1,x\n", Some("a"), ValueType::F64, "line 2, value: \"x\" is not a number"),
            ("timestamp,value\n1,1\n2,\n", Some("a"), ValueType::I64, "line 3, value: is empty"),
            ("timestamp,value\nsoon,1\n", Some("a"), ValueType::I64, "line 2, timestamp"),
            ("timestamp,value,quality\n1,1,good\n", Some("a"), ValueType::I64, "line 2, quality: \"good\""),
            ("timestamp,value\n1,1\n", None, ValueType::I64, "no column tag"),
            ("time,value\n1,1\n", Some("a"), ValueType::I64, "no column timestamp"),
            ("timestamp,value,tag\n1,1,a\n", Some("a"), ValueType::I64, "leave --tag away"),
            ("timestamp,value\n1,paused\n", Some("a"), ValueType::State, "the number or name of a state"),
        ] {
            let columns = read(text, tag_name).and_then(|mut rows| rows.tags.remove("a").unwrap().columns("a".into(), &tag(value_type)));
            let error = format!("{:#}", columns.unwrap_err());
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
