//! Which column of a file is what, by its name.

use anyhow::{anyhow, bail};

use super::{mistake::Mistakes, settings::Settings};
use historian_model::{Timestamp, time::NumericTimeUnit};

/// Names of a quality in files of other programs, in the order in which they are taken.
const QUALITIES: [&str; 7] = ["quality", "qualitycode", "opcquality", "statuscode", "status", "dataintegrity", "dataquality"];
/// Names of columns that tell of which signal a row is.
const NAMES: [&str; 20] = [
    "tagname",
    "tagpath",
    "tagid",
    "name",
    "point",
    "pointname",
    "pointid",
    "item",
    "itemid",
    "itemname",
    "signal",
    "variable",
    "channel",
    "sensor",
    "series",
    "metric",
    "nodeid",
    "path",
    "parameter",
    "device",
];

/// Where what is in a row.
pub struct HeaderColumns {
    pub timestamp: usize,
    pub value: Option<usize>,
    pub quality: Option<usize>,
    pub tag: Option<usize>,
    /// Value type of the tag, as `historian export` writes it.
    pub kind: Option<usize>,
    pub text: Option<usize>,
    pub integer: Option<usize>,
    pub others: Vec<Other>,
}

/// A column that is not taken.
pub struct Other {
    pub index: usize,
    pub name: String,
    /// Whether it looks as if it told of which signal a row is.
    is_name: bool,
    /// The first text in it.
    first: Option<(u64, String)>,
    /// Whether texts in it must not differ: it may tell of which tag a row is, and all rows are said to be of one.
    is_watched: bool,
}

impl HeaderColumns {
    /// # Errors
    /// Names the column that is missing, doubled, or one too many.
    pub fn of(names: &[String], settings: &Settings) -> anyhow::Result<HeaderColumns> {
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        if let [only] = names
            && let Some(separator) = [';', '\t', '|'].into_iter().find(|separator| only.contains(*separator))
        {
            bail!("line 1: columns are separated by {separator:?}; save the file with commas between columns, and points in numbers");
        }
        let column = |wanted: &str| -> anyhow::Result<Option<usize>> {
            let mut found = (0..plain.len()).filter(|index| plain[*index] == wanted);
            match (found.next(), found.next()) {
                (Some(_), Some(_)) => bail!("the file has two columns {wanted}"),
                (index, _) => Ok(index),
            }
        };
        let tag = match &settings.tag_column {
            Some(name) => {
                let exact = names.iter().position(|column| column.trim() == name);
                Some(
                    exact
                        .or(column(&self::plain(name))?)
                        .ok_or_else(|| anyhow!("the file has no column {name:?}, which --tag-column names"))?,
                )
            }
            None => column("tag")?,
        };
        let timestamp = column("timestamp")?.ok_or_else(|| anyhow!("the header has no column timestamp; it needs timestamp and value"))?;
        let (value, kind) = (column("value")?, column("type")?);
        let (text, integer) = (column("text")?, column("integer")?);
        if value.or(text).or(integer).is_none() {
            bail!("the header has no column value; it needs timestamp and value");
        }
        let quality = QUALITIES.into_iter().find_map(|name| column(name).transpose()).transpose()?;
        let taken = [Some(timestamp), value, quality, tag, kind, text, integer];
        let mut others: Vec<Other> = (0..names.len())
            .filter(|index| !taken.contains(&Some(*index)) && !names[*index].trim().is_empty())
            .map(|index| {
                let name = names[index].trim().to_owned();
                let is_ignored = settings.ignore.iter().any(|ignored| self::plain(ignored) == plain[index]);
                let is_name = NAMES.contains(&plain[index].as_str());
                Other { index, name, is_name, first: None, is_watched: settings.tag.is_some() && !is_ignored }
            })
            .collect();
        others.sort_by_key(|other| other.index);
        match (tag, &settings.tag) {
            (Some(_), Some(_)) => bail!("the file has a column tag; leave out --tag"),
            (None, None) => {
                let other = others
                    .iter()
                    .find(|other| other.is_name)
                    .map(|other| format!(", or, if its column {:?} does, --tag-column {:?}", other.name, other.name));
                bail!("the file has no column tag; say with --tag whose samples these are{}", other.unwrap_or_default());
            }
            _ => {}
        }
        Ok(HeaderColumns { timestamp, value, quality, tag, kind, text, integer, others })
    }

    pub fn passed_over(&self) -> Vec<&str> {
        self.others.iter().map(|other| other.name.as_str()).collect()
    }
}

impl Other {
    pub fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// A text in the column, where all rows are said to be of one tag.
    pub fn watch(&mut self, place: u64, text: &str, mistakes: &mut Mistakes) {
        let text = text.trim();
        match &self.first {
            _ if text.is_empty() || !self.is_watched => {}
            None => self.first = Some((place, text.to_owned())),
            Some((_, first)) if first == text => {}
            Some((line, first)) => {
                // Numbers and times differ from row to row, unless the column is called after what it tells.
                let varies = text.parse::<f64>().is_ok()
                    || Timestamp::parse_number(text, NumericTimeUnit::Seconds).is_some()
                    || Timestamp::read(text, Timestamp(0), &jiff::tz::TimeZone::UTC).is_ok();
                if varies && !self.is_name {
                    return;
                }
                let name = &self.name;
                let reason = format!(
                    "is {text:?}, and {first:?} in {line}, while --tag says that all rows are of one tag; if the column names the tags, take \
                     --tag-column {name:?} in place of --tag, if not, add --ignore {name:?}"
                );
                mistakes.at(place, name, &reason);
                self.is_watched = false;
            }
        }
    }
}

/// A name without case, blanks and what stands between words.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
