//! Damaged stores from outside: a start is refused with the name of the file and the way out; with `--accept-loss` the rest is served
//! exactly, the loss is on record, and the next start needs no option.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value as Json;

use crate::support::{
    door::{Door, Row, row},
    historian::{Historian, Launcher, Started, launcher, serve},
};

const START: i64 = 1_790_000_000_000_000_000;
const TAGS: [&str; 3] = ["a/level", "a/pressure", "b/flow"];
/// Rows of one write.
const ROWS: i64 = 50;

/// Rows of the `write`th write to a tag: any bits.
fn rows(tag: usize, write: i64) -> Vec<Row> {
    let value = |n: i64| f64::from_bits(((n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2) + tag as u64);
    (write * ROWS..(write + 1) * ROWS).map(|n| row(START + n * 1_000_000, value(n), [0, 0x4000_0000][n as usize % 2])).collect()
}

/// What was written and acknowledged, write by write, in the order of writing.
type Model = Vec<(usize, Vec<Row>)>;

/// A data directory with chunks and, behind them in the log, writes; killed.
fn filled(directory: &Path) -> Model {
    let mut historian = serve(directory, &[]);
    let door = Door::to(&historian);
    let mut model = Model::new();
    for write in 0..120 {
        let tag = write as usize % TAGS.len();
        door.put(TAGS[tag], &rows(tag, write));
        model.push((tag, rows(tag, write)));
        if write == 79 {
            door.compact();
        }
    }
    historian.kill();
    model
}

fn refused(directory: &Path) -> String {
    refused_with(directory, &[])
}

fn refused_with(directory: &Path, arguments: &[&str]) -> String {
    let launcher = Launcher { level: "info", ..launcher(directory, arguments) };
    match launcher.try_start().unwrap() {
        Started::Refused { status, said } => {
            assert_eq!(status.code(), Some(1));
            said
        }
        Started::Serving(_) => panic!("it serves"),
    }
}

fn told(historian: &Historian, command: &str) -> Vec<Json> {
    let output = crate::support::historian::command(&[command, "--format", "json", "--server", &historian.url()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Json> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The audit log tells of much; here it is what was lost.
    lines.into_iter().filter(|line| command != "audit" || line["action"] == "accept_loss").collect()
}

fn served(door: &Door) -> BTreeMap<usize, Vec<Row>> {
    (0..TAGS.len()).map(|tag| (tag, door.range(TAGS[tag]))).collect()
}

/// What the model says a tag has, of its first `writes` writes.
fn expected(model: &Model, writes: usize) -> BTreeMap<usize, Vec<Row>> {
    let mut all: BTreeMap<usize, Vec<Row>> = (0..TAGS.len()).map(|tag| (tag, Vec::new())).collect();
    for (tag, rows) in &model[..writes] {
        all.entry(*tag).or_default().extend(rows.iter().cloned());
    }
    all
}

fn file(directory: &Path, is: impl Fn(&str) -> bool) -> PathBuf {
    let entries = fs::read_dir(directory.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| is(path.file_name().unwrap().to_str().unwrap())).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn flip(path: &Path, part: f64) {
    let mut bytes = fs::read(path).unwrap();
    let at = (bytes.len() as f64 * part) as usize;
    bytes[at] ^= 8;
    fs::write(path, bytes).unwrap();
}

/// Refused by this name; then served with the option, and again without it, with new writes in between. What is served after the loss, the
/// model being that of writes 0 to 119.
fn salvaged(directory: &Path, name: &str) -> (BTreeMap<usize, Vec<Row>>, Vec<Json>) {
    let error = refused(directory);
    assert!(error.contains(name) && error.contains("--accept-loss"), "{name}: {error}");
    let mut historian = serve(directory, &["--accept-loss"]);
    let door = Door::to(&historian);
    let found = served(&door);
    let gaps = told(&historian, "gaps");
    let audit = told(&historian, "audit");
    assert_eq!(audit.last().unwrap()["action"], "accept_loss", "{audit:?}");
    // Writing goes on, and what RocksDB does in the background does not meet the damage.
    door.put(TAGS[0], &rows(0, 1_000));
    door.compact();
    door.put(TAGS[0], &rows(0, 1_001));
    historian.kill();
    let historian = serve(directory, &[]);
    let door = Door::to(&historian);
    let mut again = found.clone();
    again.get_mut(&0).unwrap().extend([rows(0, 1_000), rows(0, 1_001)].concat());
    assert_eq!(served(&door), again, "after another start");
    assert_eq!(told(&historian, "gaps"), gaps);
    (found, gaps)
}

#[test]
fn a_damaged_log_is_served_up_to_the_damage() {
    let directory = tempfile::tempdir().unwrap();
    let model = filled(directory.path());
    let log = file(directory.path(), |name| has_extension(name, "log"));
    flip(&log, 0.5);
    let name = log.file_name().unwrap().to_str().unwrap().to_owned();
    let (found, gaps) = salvaged(directory.path(), &name);
    let samples: usize = found.values().map(Vec::len).sum();
    assert!(samples.is_multiple_of(ROWS as usize) && samples >= 80 * ROWS as usize && samples < 120 * ROWS as usize, "{samples}");
    assert_eq!(found, expected(&model, samples / ROWS as usize));
    let details: Vec<&str> = gaps.iter().map(|gap| gap["detail"].as_str().unwrap()).collect();
    assert!(details.iter().any(|detail| detail.contains(&name)), "{details:?}");
    assert!(gaps.iter().all(|gap| gap["reason"] == "data_loss"), "{gaps:?}");
}

#[test]
fn a_cut_log_is_served_up_to_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let model = filled(directory.path());
    let log = file(directory.path(), |name| has_extension(name, "log"));
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(length / 2).unwrap();
    let (found, gaps) = salvaged(directory.path(), "rocksdb");
    let samples: usize = found.values().map(Vec::len).sum();
    assert_eq!(found, expected(&model, samples / ROWS as usize));
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0]["detail"].as_str().unwrap().contains("were acknowledged"), "{gaps:?}");
}

#[test]
fn manifest_current_and_watermark_are_made_anew_without_loss() {
    let whole = tempfile::tempdir().unwrap();
    let model = filled(whole.path());
    for name in ["MANIFEST-", "CURRENT", "WATERMARK"] {
        let copy = tempfile::tempdir().unwrap();
        let status = Command::new("cp").arg("-a").arg(whole.path().join(".")).arg(copy.path()).status().unwrap();
        assert!(status.success());
        match name {
            "CURRENT" => fs::write(copy.path().join("rocksdb/CURRENT"), "garbage").unwrap(),
            "WATERMARK" => flip(&copy.path().join("WATERMARK"), 0.2),
            _ => flip(&file(copy.path(), |file| file.starts_with(name)), 0.5),
        }
        let (found, gaps) = salvaged(copy.path(), name);
        assert_eq!(found, expected(&model, 120), "{name}");
        // Only without the watermark it cannot be told that nothing is missing.
        assert_eq!(gaps.len(), usize::from(name == "WATERMARK"), "{name}: {gaps:?}");
    }
}

#[test]
fn a_damaged_table_costs_what_its_gaps_say() {
    let directory = tempfile::tempdir().unwrap();
    let model = filled(directory.path());
    let table = file(directory.path(), |name| has_extension(name, "sst"));
    fs::remove_file(&table).unwrap();
    let (found, gaps) = salvaged(directory.path(), table.file_stem().unwrap().to_str().unwrap());
    // Which tags and times were in it nobody can tell: the gap is of all.
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert_eq!((&gap["reason"], &gap["tag"], &gap["start"], &gap["end"]), (&"data_loss".into(), &Json::Null, &Json::Null, &Json::Null));
    assert!(gap["detail"].as_str().unwrap().contains(table.file_name().unwrap().to_str().unwrap()), "{gap}");
    let all = expected(&model, 120);
    let mut lost = 0;
    for (tag, rows) in &all {
        let left = &found[tag];
        assert!(left.iter().all(|row| rows.contains(row)), "{} has rows that nobody wrote", TAGS[*tag]);
        lost += rows.len() - left.len();
        // The writes in the log are all there.
        assert_eq!(rows[rows.len() - ROWS as usize * 13..], left[left.len() - ROWS as usize * 13..]);
    }
    assert_eq!(lost, 80 * ROWS as usize, "the chunks of the writes before the compaction, and nothing else");
}

#[test]
fn the_option_changes_nothing_where_nothing_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let model = filled(directory.path());
    let historian = serve(directory.path(), &["--accept-loss"]);
    assert_eq!(served(&Door::to(&historian)), expected(&model, 120));
    assert!(told(&historian, "gaps").is_empty() && told(&historian, "audit").is_empty());
    let second = refused_with(directory.path(), &["--accept-loss"]);
    assert!(second.contains("a historian is running on it"), "{second}");
    let names: Vec<String> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| !name.starts_with("lost-") && !name.starts_with("salvage")), "{names:?}");
}

fn has_extension(name: &str, extension: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|found| found == extension)
}
