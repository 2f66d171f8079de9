//! The week that a demo has behind it at its first start, asked over HTTP: shifts, what was planted, what was put right, the joint to the living
//! plant; and that no start writes it twice, also where one was killed while it wrote.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use historian::{
    model::{Quality, Samples, TimeRange, Timestamp},
    simulator::{PLANTED, Past, PlantedEvent, SIGNALS},
};
use historian_test_support::process::Signal;
use serde_json::Value as Json;

use super::{Demo, PATIENCE, root, succeeded, word};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// The HTTP API of a demo that runs.
struct Page(String);

impl Page {
    fn of(printed: &str) -> Page {
        Page(format!("{}api/v1/", word(printed, "http://")))
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Json {
        let mut command = Command::new("curl");
        command.args(["--fail-with-body", "--silent", "--show-error", "-G", &format!("{}{path}", self.0)]);
        // The page is there before the store is open.
        command.args(["--retry", "60", "--retry-delay", "1"]);
        for (name, value) in parameters {
            command.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        let text = succeeded(&mut command);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    fn rows(&self, path: &str, parameters: &[(&str, &str)]) -> Vec<Json> {
        let answer = self.ask(path, &[parameters, &[("shape", "rows"), ("times", "ns"), ("integers", "number")]].concat());
        answer["rows"].as_array().expect("rows").clone()
    }

    /// Rows of a tag within a range.
    fn rows_of(&self, path: &str, tag: &str, range: TimeRange, more: &[(&str, &str)]) -> Vec<Json> {
        let [start, end] = [range.start, range.end].map(|at| at.to_string());
        self.rows(path, &[&[("tag", tag), ("start", &start), ("end", &end)], more].concat())
    }

    /// Samples of a range: time, value, quality.
    fn samples(&self, tag: &str, range: TimeRange) -> Vec<(i64, f64, u32)> {
        let rows = self.rows_of("range", tag, range, &[]);
        rows.iter().map(|row| (time(row), row["value"].as_f64().unwrap_or(f64::NAN), row["quality"].as_u64().unwrap() as u32)).collect()
    }

    /// Samples of each tag before a time.
    fn counts(&self, end: Timestamp) -> BTreeMap<String, u64> {
        let query =
            format!("SELECT tag, count(*) AS n FROM samples WHERE tag LIKE 'demo/%' AND timestamp < TIMESTAMP '{end}' GROUP BY tag");
        self.rows("sql", &[("query", &query)])
            .iter()
            .map(|row| (row["tag"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap()))
            .collect()
    }

    fn corrections(&self) -> Vec<(String, String)> {
        let entries = self.ask("audit", &[]);
        let text = |entry: &Json, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let entries = entries["entries"].as_array().unwrap().iter().map(|entry| (text(entry, "action"), text(entry, "detail")));
        entries.filter(|(action, _)| action.ends_with("_range")).collect()
    }

    fn outages(&self) -> Vec<String> {
        let gaps = self.ask("gaps", &[]);
        let gaps = gaps["gaps"].as_array().cloned().unwrap_or_default();
        gaps.iter().filter(|gap| gap["reason"] == "device_down").map(|gap| gap["tag"].as_str().unwrap().to_owned()).collect()
    }
}

fn time(row: &Json) -> i64 {
    row["timestamp"].as_i64().unwrap_or_else(|| panic!("no time: {row}"))
}

/// What the directory says of its history: seed, beginning, first start.
fn mark(directory: &Path) -> (u64, Timestamp, Timestamp) {
    let text = std::fs::read(directory.join("data/demo-history.json")).unwrap();
    let mark: Json = serde_json::from_slice(&text).unwrap();
    let at = |field: &str| Timestamp(mark[field].as_i64().unwrap());
    (mark["seed"].as_u64().unwrap(), at("from"), at("first_start"))
}

fn planted(words: &str) -> &'static PlantedEvent {
    PLANTED.iter().find(|event| event.text.contains(words)).unwrap_or_else(|| panic!("nothing planted has {words:?}"))
}

fn around(range: TimeRange, before: i64, after: i64) -> TimeRange {
    TimeRange::new(Timestamp(range.start.0 - before), Timestamp(range.end.0 + after))
}

#[test]
fn a_first_start_has_a_week_behind_it_in_which_there_is_something_to_find() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut demo = Demo::start(directory.path(), 1);
    let printed = demo.wait_for("tags Good");
    assert!(printed.starts_with("Page: http://") && printed.contains("History: simulated since"), "{printed}");
    let (page, (seed, from, first_start)) = (Page::of(&printed), mark(directory.path()));
    assert_eq!(first_start.0 - from.0, 7 * 24 * HOUR);

    shifts_are_seen(&page, from, first_start);
    an_outage_is_recorded_and_bad(&page, first_start);
    corrections_are_kept_and_told(&page, first_start);
    what_happened_is_noted_on_the_tags(&page, first_start);
    detectors_find_what_is_planted(&page, from, first_start);
    std::thread::sleep(Duration::from_secs(8)); // samples of the living plant behind the joint
    the_plant_goes_on_at_the_joint(&page, directory.path());

    assert_eq!(demo.stop(Signal::INT), Some(0), "{}\n{}", demo.printed(), demo.told());
    let mut demo = Demo::start(directory.path(), 2);
    let printed = demo.wait_for("tags Good");
    assert!(printed.contains("History: continued") && !printed.contains("simulated since"), "{printed}");
    let page = Page::of(&printed);
    as_simulated(&page, seed, from, first_start);
    assert_eq!(page.corrections().len(), 2, "nothing is put right twice");
    let totals = page.samples("demo/product/loading/total", TimeRange::new(from, Timestamp(first_start.0 + 24 * HOUR)));
    let totals: Vec<f64> = totals.iter().filter(|(_, value, _)| value.is_finite()).map(|sample| sample.1).collect();
    assert!(totals.is_sorted(), "counters go on over a restart");
    assert_eq!(demo.stop(Signal::TERM), Some(0), "{}\n{}", demo.printed(), demo.told());
}

/// Production by the hour: least at night, most in the morning, less at the weekend.
fn shifts_are_seen(page: &Page, from: Timestamp, first_start: Timestamp) {
    let hours = page.rows_of(
        "aggregate",
        "demo/heating/pump201/flow",
        TimeRange::new(Timestamp(from.0 / HOUR * HOUR + HOUR), Timestamp(first_start.0 / HOUR * HOUR)),
        &[("interval", "1h"), ("function", "time_average")],
    );
    assert!(hours.len() > 160, "{}", hours.len());
    let outage = planted("skid-plc").range(first_start);
    let cleaning = planted("E301").range(first_start);
    let is_left_out = |at: i64| [outage, cleaning].iter().any(|range| at + 2 * HOUR > range.start.0 && at < range.end.0 + HOUR);
    let mean = |belongs: &dyn Fn(i64, bool) -> bool| {
        let values: Vec<f64> = hours
            .iter()
            .filter(|row| {
                let (day, hour) = (time(row).div_euclid(24 * HOUR), time(row).rem_euclid(24 * HOUR) / HOUR);
                // 1970-01-01 was a Thursday. The hour after a change of shift belongs to none.
                belongs(hour, (day + 5).rem_euclid(7) < 2) && ![6, 14, 22, 0].contains(&hour) && !is_left_out(time(row))
            })
            .filter_map(|row| row["value"].as_f64())
            .collect();
        assert!(values.len() >= 6, "{} hours", values.len());
        values.iter().sum::<f64>() / values.len() as f64
    };
    let morning = mean(&|hour, is_weekend| (6..14).contains(&hour) && !is_weekend);
    let evening = mean(&|hour, is_weekend| (14..22).contains(&hour) && !is_weekend);
    let night = mean(&|hour, is_weekend| !(6..22).contains(&hour) && !is_weekend);
    let weekend = mean(&|hour, is_weekend| (6..14).contains(&hour) && is_weekend);
    assert!(morning > evening + 3.0 && evening > night + 8.0 && morning > weekend + 5.0, "{morning} {evening} {night} {weekend}");
}

fn an_outage_is_recorded_and_bad(page: &Page, first_start: Timestamp) {
    let event = planted("skid-plc");
    let (range, mut tags) = (event.range(first_start), event.tags());
    let mut recorded = page.outages();
    recorded.sort();
    tags.sort_unstable();
    assert_eq!(recorded, tags, "one gap of each tag of the device");
    let samples = page.samples("demo/intake/tank101/level", range);
    assert_eq!(samples.iter().map(|sample| sample.2).collect::<Vec<_>>(), [Quality::BAD_NO_COMMUNICATION.0]);
    assert!(page.samples("demo/product/tank301/level", range).len() > 1000, "the other device delivers");
}

fn corrections_are_kept_and_told(page: &Page, first_start: Timestamp) {
    let (scale, test) = (planted("conductivity card"), planted("loop check"));
    let entries = page.corrections();
    assert_eq!(entries, [("replace_range".to_owned(), scale.text.to_owned()), ("delete_range".to_owned(), test.text.to_owned())]);

    let superseded = page.rows_of("superseded", "demo/intake/conductivity", scale.range(first_start), &[]);
    let now = page.samples("demo/intake/conductivity", scale.range(first_start));
    assert!(superseded.len() > 500 && superseded.len() == now.len(), "{} and {}", superseded.len(), now.len());
    assert!(superseded.iter().all(|row| row["value"].as_f64().unwrap() > 2000.0), "{}", superseded[0]);
    assert!(now.iter().all(|&(_, value, quality)| (300.0..700.0).contains(&value) && quality == 0), "{:?}", now[0]);

    assert_eq!(page.samples("demo/product/turbidity", test.range(first_start)), []);
    assert!(page.rows_of("superseded", "demo/product/turbidity", test.range(first_start), &[]).len() > 300);
}

/// Each event once, where and when it was, oldest first.
fn what_happened_is_noted_on_the_tags(page: &Page, first_start: Timestamp) {
    let noted = page.ask("annotations", &[("tag", "demo/**")]);
    let noted = noted["annotations"].as_array().unwrap();
    assert_eq!(noted.len(), PLANTED.len());
    for (annotation, event) in noted.iter().zip(PLANTED) {
        let bound = |name: &str| annotation[name].as_str().unwrap().parse::<i64>().unwrap();
        let range = event.range(first_start);
        assert_eq!(
            (annotation["text"].as_str().unwrap(), bound("start_time"), bound("end_time")),
            (event.text, range.start.0, range.end.0)
        );
        let mut tags = event.tags();
        tags.sort_unstable();
        assert_eq!(annotation["tags"], Json::from(tags));
    }
}

/// With their default parameters, over the whole week.
fn detectors_find_what_is_planted(page: &Page, from: Timestamp, first_start: Timestamp) {
    let found = |tag: &str, detector: &str| {
        let findings = page.rows_of("anomalies", tag, TimeRange::new(from, first_start), &[("detector", detector)]);
        let at = |row: &Json, field: &str| row[field].as_i64().unwrap_or_else(|| panic!("{row}"));
        findings.iter().map(|row| (row["score"].as_f64().unwrap(), at(row, "start"), at(row, "end"))).collect::<Vec<_>>()
    };
    for (words, tag, detector, before) in [
        ("skid-plc", "demo/intake/tank101/level", "gap", 0),
        ("pH probe", "demo/product/ph", "seasonal", 0),
        ("impulse line", "demo/intake/pump101/pressure", "flatline", 0),
        ("TCV201 sticks", "demo/heating/tank201/temperature", "sigma", 0),
        // It fouls before it is cleaned.
        ("E301", "demo/product/cooler/outlet_temperature", "sigma", 12 * HOUR),
        ("dips", "demo/utility/electricity/voltage", "spike", 0),
    ] {
        let range = around(planted(words).range(first_start), before, 0);
        let findings = found(tag, detector);
        let worst =
            findings.iter().max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_else(|| panic!("{detector} finds nothing on {tag}"));
        assert!(worst.0 > 1.2 && worst.1 < range.end.0 && worst.2 > range.start.0, "{detector} on {tag}: {worst:?}, not in {range:?}");
    }
    // Every number has a range.
    let limits = page.rows("anomalies", &[("tag", "demo/**"), ("start", "*-7d"), ("end", "*"), ("detector", "limits")]);
    assert!(limits.is_empty(), "nothing is beyond its range: {limits:?}");
}

/// No jump, and no litre lost, from the last simulated sample to the first that was collected.
fn the_plant_goes_on_at_the_joint(page: &Page, directory: &Path) {
    let written = std::fs::metadata(directory.join("data/demo-history.json")).unwrap().modified().unwrap();
    let joint = i64::try_from(written.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let near = TimeRange::new(Timestamp(joint - 8 * SECOND), Timestamp(joint + 8 * SECOND));
    for (tag, per_s) in [
        ("demo/intake/tank101/level", 1.0),
        ("demo/heating/tank201/level", 1.0),
        ("demo/product/tank301/level", 1.0),
        ("demo/intake/pump101/total", 3.0),
        ("demo/utility/boiler/pressure", 0.2),
    ] {
        let samples = page.samples(tag, near);
        assert!(samples.iter().any(|sample| sample.0 < joint) && samples.iter().any(|sample| sample.0 > joint), "{tag}: {samples:?}");
        for pair in samples.windows(2) {
            let ((before, one, _), (after, other, quality)) = (pair[0], pair[1]);
            let apart_s = (after - before) as f64 / SECOND as f64;
            assert!(quality == 0 && apart_s < 4.0 && (other - one).abs() <= per_s * (apart_s + 1.5) + 0.3, "{tag}: {pair:?}");
        }
    }
    let change = |tag: &str| {
        let samples = page.samples(tag, near);
        (samples[0].0, samples[0].1, samples[samples.len() - 1].1 - samples[0].1)
    };
    // What T201 holds more than before is what came less what went. Its level lags and is noisy, the feed is told in whole litres.
    let held = change("demo/heating/tank201/level").2 * 4.0;
    let (fed, discharged) = (change("demo/intake/pump101/total").2, change("demo/heating/pump201/total").2 * 1000.0);
    assert!(discharged > 1.0 && (held - (fed - discharged)).abs() < 5.0, "{held} L more in T201, {fed} L fed, {discharged} L discharged");
}

/// What is stored of the past is what the simulation makes of the same seed and times, sample for sample, but for what was deleted.
fn as_simulated(page: &Page, seed: u64, from: Timestamp, first_start: Timestamp) {
    let mut past = Past::new(seed, from, first_start);
    let simulated = past.run(first_start, usize::MAX);
    let until = Timestamp(past.at().0 + 1);
    let deleted = planted("loop check").range(first_start);
    let stored = page.counts(until);
    for (signal, samples) in SIGNALS.iter().zip(&simulated) {
        let wanted = samples.len() - if signal.tag == "demo/product/turbidity" { within(samples, deleted) } else { 0 };
        assert_eq!(stored.get(signal.tag), Some(&(wanted as u64)), "{}", signal.tag);
    }
    let level = SIGNALS.iter().position(|signal| signal.tag == "demo/product/tank301/level").unwrap();
    let hour = TimeRange::new(Timestamp(first_start.0 - HOUR), Timestamp(first_start.0));
    let stored = page.samples("demo/product/tank301/level", hour);
    let range = simulated[level].slice_time_range(hour.start.0, hour.end.0);
    let wanted: Vec<(i64, f64, u32)> = range
        .map(|row| match simulated[level].value(row) {
            Some(historian::model::Value::F64(value)) => (simulated[level].timestamps[row], value, simulated[level].qualities[row]),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(stored, wanted);
}

fn within(samples: &Samples, range: TimeRange) -> usize {
    samples.slice_time_range(range.start.0, range.end.0).len()
}

#[test]
fn a_demo_that_is_killed_while_it_writes_its_history_has_it_once_after_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut demo = Demo::start(directory.path(), 1);
    let page = Page::of(&demo.wait_for("Page: http://"));
    // Killed in the middle: there are samples, and not those of the last day.
    let begun = Instant::now();
    loop {
        let newest = page.rows("current", &[("tag", "demo/intake/tank101/level")]).first().map(time);
        let (_, from, _) = mark(directory.path());
        if newest.is_some_and(|newest| newest > from.0 + 12 * HOUR) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", demo.told());
        std::thread::sleep(Duration::from_millis(20));
    }
    demo.process.signal(Signal::KILL).unwrap();
    demo.process.end(Duration::from_secs(10)).unwrap();
    assert!(!demo.printed().contains("History:"), "it was killed too late:\n{}", demo.printed());

    let mut demo = Demo::start_with(directory.path(), 2, &["--history", "0", "--seed", "7"]);
    let printed = demo.wait_for("tags Good");
    assert!(printed.contains("History: simulated since"), "what was begun is brought to its end: {printed}");
    let (page, (seed, from, first_start)) = (Page::of(&printed), mark(directory.path()));
    assert_eq!(seed, 1, "with the seed that it was begun with");
    as_simulated(&page, seed, from, first_start);
    assert_eq!(page.corrections().len(), 2);
    what_happened_is_noted_on_the_tags(&page, first_start);
    assert_eq!(page.outages().len(), planted("skid-plc").tags().len());
    let replaced = page.rows_of("superseded", "demo/heating/tank201/level", TimeRange::new(from, first_start), &[]);
    assert_eq!(replaced.len(), 0, "no sample is written twice");
    assert_eq!(demo.stop(Signal::INT), Some(0), "{}\n{}", demo.printed(), demo.told());
}

#[test]
fn a_demo_without_a_history_has_none_at_its_next_start_either() {
    let directory = tempfile::tempdir().expect("a directory");
    for (run, arguments, told) in [(1, &["--history", "0"][..], "this is the first run"), (2, &[][..], "History: continued")] {
        let mut demo = Demo::start_with(directory.path(), run, arguments);
        let printed = demo.wait_for("tags Good");
        assert!(printed.contains(told), "{printed}");
        let page = Page::of(&printed);
        assert_eq!(page.rows("range", &[("tag", "demo/**"), ("start", "*-8d"), ("end", "*-1h")]).len(), 0);
        assert_eq!(demo.stop(Signal::INT), Some(0), "{}\n{}", demo.printed(), demo.told());
    }
}

#[test]
fn the_document_lists_what_is_planted() {
    let document = std::fs::read_to_string(root().join("docs/demo.md")).unwrap();
    let length = |minutes: u64| match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        other => panic!("{other:?} has no form in the table"),
    };
    let mut rows = 0;
    for event in PLANTED {
        let [begins, ends] = [event.begins_before, event.ends_before].map(|before| before.as_secs() / 60);
        let lasts = begins - ends;
        let before = match begins / (24 * 60) {
            0 => length(begins),
            days => format!("{days} d {}", length(begins % (24 * 60))),
        };
        let row = format!("| {before} | {} | {} | ", length(lasts), event.text);
        assert!(document.contains(&row), "no row {row}");
        rows += 1;
    }
    let listed = document.lines().filter(|line| line.starts_with("| ") && line.contains(" h | ") | line.contains(" min | ")).count();
    assert_eq!(listed, rows, "the document lists nothing else");
}
