//! Rows of a CSV file.

use std::io::BufRead;

use super::{
    header::HeaderColumns,
    local::LocalTimes,
    mistake::Mistakes,
    portion::{FileRow, FileValue, RowsByTag},
    quality::Scale,
    settings::Settings,
    value,
};
use historian_model::{Quality, Timestamp, ValueType, time::ParsedTime};
use historian_server::config::record::{CsvRecord, MalformedRecord, Records};

pub struct Csv<R> {
    records: Records<R>,
    record: CsvRecord,
    header_len: usize,
    columns: HeaderColumns,
    settings: Settings,
    scale: Scale,
    times: LocalTimes,
}

impl<R: BufRead> Csv<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Names the column that is missing, or one too many.
    pub fn new(input: R, settings: &Settings, times: LocalTimes) -> anyhow::Result<Csv<R>> {
        let mut records = Records::new(input);
        let mut record = CsvRecord::default();
        match records.read(&mut record) {
            Ok(true) => {}
            Ok(false) => anyhow::bail!("the file is empty; it needs a header with timestamp and value"),
            Err(MalformedRecord { line, reason, .. }) => anyhow::bail!("line {line}: {reason}"),
        }
        let names: Vec<String> = (0..record.fields()).map(|index| record.field(index).to_owned()).collect();
        let columns = HeaderColumns::of(&names, settings)?;
        let scale = own(settings.scale, &columns);
        Ok(Csv { records, record, header_len: names.len(), columns, settings: settings.clone(), scale, times })
    }

    pub fn read(&mut self, portion: &mut RowsByTag, mistakes: &mut Mistakes, rows_max: usize) -> bool {
        while !portion.is_full(rows_max) {
            match self.records.read(&mut self.record) {
                Ok(true) => self.row(portion, mistakes),
                Ok(false) => return false,
                Err(MalformedRecord { line, reason, .. }) => {
                    mistakes.add(line, &reason);
                    return false;
                }
            }
        }
        true
    }

    fn row(&mut self, portion: &mut RowsByTag, mistakes: &mut Mistakes) {
        let Csv { record, columns, settings, times, .. } = self;
        let place = record.line;
        let extra = (self.header_len..record.fields()).any(|index| !record.field(index).trim().is_empty());
        if record.fields() < self.header_len || extra {
            mistakes.add(place, &format!("has {} fields, and the header {}", record.fields(), self.header_len));
            return;
        }
        for other in columns.others.iter_mut().filter(|other| other.is_watched()) {
            other.watch(place, record.field(other.index), mistakes);
        }
        let tag = match columns.tag {
            Some(index) => record.field(index).trim(),
            None => settings.tag.as_deref().unwrap_or_default(),
        };
        if tag.is_empty() {
            mistakes.at(place, "tag", "is empty");
        }
        let timestamp = instant(record.field(columns.timestamp), tag, place, settings, times)
            .map_err(|reason| mistakes.at(place, "timestamp", &reason));
        let quality = match columns.quality.map(|index| record.field(index).trim()).unwrap_or_default() {
            "" => Ok(Quality::GOOD),
            text => self.scale.read(text).map_err(|reason| mistakes.at(place, "quality", &reason)),
        };
        let declared = match columns.kind.map(|index| record.field(index).trim()) {
            None | Some("") => None,
            Some(text) => text.parse::<ValueType>().map_err(|error| mistakes.at(place, "type", &error.to_string())).ok(),
        };
        let cell = |index: Option<usize>| match index.map(|index| (record.field(index), record.is_quoted(index))) {
            None | Some(("", false)) => FileValue::Empty,
            Some((text, _)) => FileValue::Text(text.to_owned()),
        };
        let chosen = value::chosen(declared, || cell(columns.value), || cell(columns.integer), || cell(columns.text));
        let (value, quality) = value::meant(chosen, declared, quality, settings);
        let value = value.map_err(|reason| mistakes.at(place, "value", &reason));
        // What else is wrong with the row is told as well; nothing of a file with a mistake is written.
        let (timestamp, quality) = (timestamp.unwrap_or_default(), quality.unwrap_or(Quality::BAD));
        if let Ok(value) = value
            && !tag.is_empty()
        {
            portion.push(tag, declared, FileRow { place, timestamp, value, quality }, mistakes);
        }
    }

    pub fn byte(&self) -> u64 {
        self.records.byte()
    }

    pub fn passed_over(&self) -> Vec<&str> {
        self.columns.passed_over()
    }

    pub fn into_times(self) -> LocalTimes {
        self.times
    }
}

/// Files with a column type are our own, and hold the codes that devices sent.
pub fn own(scale: Scale, columns: &HeaderColumns) -> Scale {
    if scale == Scale::Auto && columns.kind.is_some() { Scale::Own } else { scale }
}

/// The instant that a text is.
///
/// # Errors
/// Says what it is not, or that its zone has it twice or not at all.
pub fn instant(text: &str, tag: &str, place: u64, settings: &Settings, times: &mut LocalTimes) -> Result<i64, String> {
    if let Some(unit) = settings.unit
        && let Some(time) = Timestamp::parse_number(text, unit)
    {
        return time.map(|time| time.0).map_err(|error| error.to_string());
    }
    match Timestamp::read(text, settings.now, &settings.zone) {
        Ok(ParsedTime::Instant(at)) => Ok(at.0),
        Ok(ParsedTime::Civil(civil)) => times.instant(tag, place, civil),
        Err(error) => {
            let unit = if error.reason.contains("without a unit") { "; --time-unit says what the numbers of the file are" } else { "" };
            Err(format!("{error}{unit}"))
        }
    }
}
