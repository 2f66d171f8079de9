//! The real series of a folder of data sets: read where they lie, never copied.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use historian_format::{Samples, ValueType, Values};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_760_000_000 * SECOND;

/// Sets that are there: name and series.
pub fn sets(folder: &Path) -> io::Result<Vec<(String, Vec<Samples>)>> {
    let mut sets = Vec::new();
    for (name, place) in
        [("NAB", "anomaly/nab"), ("SKAB", "anomaly/skab"), ("ETT", "ett"), ("photovoltaic", "pvanalytics"), ("air quality", "airquality")]
    {
        let mut series = Vec::new();
        for text in texts(&folder.join(place), ".csv.gz")? {
            series.extend(table(&text, name == "air quality"));
        }
        sets.push((name.to_owned(), series));
    }
    let hydraulic = texts(&folder.join("hydraulic"), ".txt.gz")?.into_iter().filter(|text| !text.starts_with("3\t"));
    let cycles = hydraulic.map(|text| equidistant(text.split_whitespace().filter_map(|word| word.parse().ok()).collect(), SECOND));
    sets.push(("hydraulic rig".to_owned(), cycles.filter(|samples: &Samples| samples.len() > 20_000).collect()));
    let mut process = Vec::new();
    for text in texts(&folder.join("tep"), "d00_te.dat.gz")? {
        let rows: Vec<Vec<f64>> = text.lines().map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect()).collect();
        let columns = rows.first().map_or(0, Vec::len);
        process
            .extend((0..columns).map(|column| equidistant(rows.iter().filter_map(|row| row.get(column).copied()).collect(), 180 * SECOND)));
    }
    sets.push(("Tennessee Eastman".to_owned(), process));
    sets.retain(|(_, series)| !series.is_empty());
    Ok(sets)
}

/// The contents of the folder's files with this ending, by name; none when there is no such folder.
fn texts(folder: &Path, ending: &str) -> io::Result<Vec<String>> {
    let Ok(entries) = folder.read_dir() else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ending)));
    paths.sort();
    let read = |path| -> io::Result<String> {
        let mut text = String::new();
        GzDecoder::new(File::open(path)?).read_to_string(&mut text)?;
        Ok(text)
    };
    paths.into_iter().map(read).collect()
}

fn equidistant(values: Vec<f64>, step: i64) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    samples.timestamps = (0..values.len() as i64).map(|index| START + index * step).collect();
    samples.qualities = vec![0; values.len()];
    samples.values = Values::F64(values);
    samples
}

/// One series per column of numbers. A cell that is empty, or -200 where that stands for "missing", is a Bad null.
fn table(text: &str, sentinel: bool) -> Vec<Samples> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let first = if header.get(1) == Some(&"Time") { 2 } else { 1 };
    let rows: Vec<(i64, Vec<&str>)> = lines
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let time = if first == 2 { format!("{} {}", cells[0], cells[1]) } else { cells[0].to_owned() };
            Some((timestamp(&time)?, cells))
        })
        .collect();
    let is_signal = |column: &usize| {
        !["label", "changepoint", "outlier", "stale_data_mask"].contains(&header[*column])
            && rows.iter().any(|(_, cells)| cells.get(*column).is_some_and(|cell| cell.parse::<f64>().is_ok()))
    };
    (first..header.len())
        .filter(is_signal)
        .map(|column| {
            let mut samples = Samples::new(ValueType::F64);
            for (timestamp, cells) in &rows {
                let cell = cells.get(column).filter(|cell| !(sentinel && **cell == "-200"));
                let value = cell.and_then(|cell| cell.parse::<f64>().ok());
                let quality = if value.is_some() { 0 } else { 0x8000_0000 };
                let pushed = samples.push(*timestamp, value.map(historian_format::Value::F64).as_ref(), quality);
                pushed.expect("the column is of f64");
            }
            samples.sort_and_dedup();
            samples
        })
        .collect()
}

/// `2016-07-01 00:00:00`, with an offset or without; `10/03/2004,18:00:00`, day or month first: it only has to be regular.
fn timestamp(text: &str) -> Option<i64> {
    let numbers: Vec<i64> =
        text.get(..text.len().min(19))?.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let (year, month, day) = match *numbers.get(..3)? {
        [year, month, day] if year > 31 => (year, month, day),
        [first, second, year] if text.matches(':').count() > 1 => (year, second, first),
        [first, second, year] => (year, first, second),
        _ => return None,
    };
    // Days since 1970 of the proleptic Gregorian calendar (Hinnant, days_from_civil).
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    let part = |index: usize| numbers.get(index).copied().unwrap_or(0);
    Some((days * 86_400 + part(3) * 3_600 + part(4) * 60 + part(5)) * SECOND)
}
