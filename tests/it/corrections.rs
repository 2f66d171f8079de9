//! Late, repeated, out-of-order and corrected data from outside: writes that repeat or supersede, ranges deleted and replaced, samples from the
//! future, and requests that must change nothing.

use std::{process::Output, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use historian::model::{Clock, SystemClock};
use historian_proto::v1::{
    DeleteRangeRequest, ReplaceRangeRequest, StringColumn, Tag, TagSamples, ValueType, Values, WriteAcknowledgement, WriteRequest,
    values::Column, write_request::Mode,
};
use prost::Message;
use serde_json::Value as Json;
use tonic::Code;

use crate::support::{
    door::{Door, Row, columns, of_batch, row},
    historian::{Historian, command, serve},
};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_790_000_000 * SECOND;
const BAD: u32 = 0x8031_0000;
const UNCERTAIN: u32 = 0x4094_0000;

fn at(second: i64) -> i64 {
    START + second * SECOND
}

/// A plant in a directory of its own.
struct Plant {
    directory: tempfile::TempDir,
    historian: Historian,
    door: Door,
}

impl Plant {
    fn new() -> Plant {
        let directory = tempfile::tempdir().unwrap();
        let historian = serve(&directory.path().join("data"), &[]);
        let door = Door::to(&historian);
        Plant { directory, historian, door }
    }

    /// SIGKILL, and started again.
    fn killed(mut self) -> Plant {
        self.historian.kill();
        let historian = serve(&self.directory.path().join("data"), &[]);
        let door = Door::to(&historian);
        Plant { historian, door, directory: self.directory }
    }

    /// The same check now, compacted, and after a kill.
    fn always(self, check: impl Fn(&Door, &str)) {
        check(&self.door, "as written");
        let plant = self.killed();
        check(&plant.door, "after a kill");
        plant.door.compact();
        check(&plant.door, "compacted");
        let plant = plant.killed();
        check(&plant.door, "compacted, after a kill");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        command(arguments).args(["--server", &self.historian.url()]).output().unwrap()
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn delete(tag: &str, start: i64, end: i64) -> DeleteRangeRequest {
    let (start, end) = (format!("{start}ns"), format!("{end}ns"));
    DeleteRangeRequest { tags: vec![tag.into()], start, end, zone: String::new(), reason: "the probe hung in the air".into() }
}

fn replace(start: i64, end: i64, samples: Vec<TagSamples>) -> ReplaceRangeRequest {
    let (start, end) = (format!("{start}ns"), format!("{end}ns"));
    ReplaceRangeRequest { start, end, zone: String::new(), reason: "laboratory values".into(), samples }
}

#[test]
fn a_repeat_changes_nothing_and_leaves_no_version() {
    let plant = Plant::new();
    let mut rows: Vec<Row> = (0..2_000).map(|n| row(at(n), n as f64 * 0.5, 0)).collect();
    rows[7] = row(at(7), f64::from_bits(0x7FF8_0000_0000_1234), UNCERTAIN);
    rows[8] = row(at(8), -0.0, 0);
    rows[9] = (at(9), None, BAD);
    let mut watermark = 0;
    for round in 0..4 {
        let next = plant.door.put("a", &rows);
        assert!(next > watermark, "each write has a number of its own");
        watermark = next;
        // Within one write, too.
        plant.door.put("a", &[rows[7].clone(), rows[9].clone(), rows[7].clone(), rows[9].clone()]);
        if round == 1 {
            plant.door.compact();
        }
    }
    plant.always(|door, when| {
        assert_eq!(door.range("a"), rows, "{when}");
        assert_eq!(door.versions("a"), [], "{when}");
        assert_eq!(door.current("a").as_ref(), rows.last(), "{when}");
    });
}

#[test]
fn another_value_supersedes_and_every_version_stays_with_its_quality() {
    let plant = Plant::new();
    let door = &plant.door;
    let steady: Vec<Row> = (0..50).map(|n| row(at(n), 1.0, 0)).collect();
    door.put("a", &steady);
    // In one head; a head over a chunk; several in one head over a chunk; and the same once more over late chunks.
    door.put("a", &[row(at(3), 2.0, UNCERTAIN)]);
    door.put("a", &[(at(3), None, BAD)]);
    door.compact();
    door.put("a", &[row(at(3), 4.0, 0)]);
    door.compact();
    door.put("a", &[row(at(3), 5.0, 0)]);
    door.put("a", &[row(at(3), 6.0, 0)]);
    door.compact();
    door.put("a", &[row(at(3), 6.0, UNCERTAIN), row(at(3), -0.0, 0), row(at(3), 0.0, 0)]);
    let versions = [
        row(at(3), 1.0, 0),
        row(at(3), 2.0, UNCERTAIN),
        (at(3), None, BAD),
        row(at(3), 4.0, 0),
        row(at(3), 5.0, 0),
        row(at(3), 6.0, 0),
        row(at(3), 6.0, UNCERTAIN),
        row(at(3), -0.0, 0),
    ];
    let mut expected = steady.clone();
    expected[3] = row(at(3), 0.0, 0);
    door.put("b", &steady);
    plant.always(|door, when| {
        assert_eq!(door.range("a"), expected, "{when}");
        assert_eq!(door.versions("a"), versions, "{when}");
        assert_eq!(door.versions("b"), [], "{when}");
        let numbers: Vec<u64> = door.superseded("a").into_iter().map(|(_, number)| number).collect();
        assert!(numbers.is_sorted() && numbers[0] >= 2 && numbers[7] == 7, "{when}: {numbers:?}");
    });
}

/// A deletion right after a correction, under the number that follows it, must not take the place of what the correction superseded.
#[test]
fn a_deletion_keeps_what_it_removes_beside_what_was_superseded_before() {
    let plant = Plant::new();
    let door = &plant.door;
    door.put("a", &[row(at(0), 1.0, 0), row(at(1), 1.5, 0)]);
    door.put("a", &[row(at(0), 2.0, UNCERTAIN)]);
    let done = door.delete(delete("a", at(0), at(1))).unwrap();
    assert_eq!((done.deleted, done.watermark), (1, 3));
    door.put("a", &[row(at(0), 3.0, 0)]);
    door.put("a", &[row(at(0), 4.0, 0)]);
    plant.always(|door, when| {
        assert_eq!(door.range("a"), [row(at(0), 4.0, 0), row(at(1), 1.5, 0)], "{when}");
        assert_eq!(door.versions("a"), [row(at(0), 1.0, 0), row(at(0), 2.0, UNCERTAIN), row(at(0), 3.0, 0)], "{when}");
        assert_eq!(door.superseded("a")[1].1, 3, "{when}: replaced by the deletion itself");
    });
}

#[test]
fn insert_keeps_what_is_there() {
    let plant = Plant::new();
    let door = &plant.door;
    let insert = |rows: &[Row]| {
        let options = WriteRequest { mode: Mode::Insert.into(), create_tags: true, ..WriteRequest::default() };
        door.write(options, vec![columns("a", rows)]).samples
    };
    assert_eq!(insert(&[row(at(1), 1.0, 0), row(at(1), 1.5, 0), row(at(2), 2.0, 0)]), 2);
    assert_eq!(insert(&[row(at(2), 9.0, 0), row(at(3), 3.0, 0)]), 1);
    door.compact();
    assert_eq!(insert(&[row(at(1), 9.0, BAD), row(at(2), 9.0, 0), row(at(3), 9.0, 0)]), 0);
    assert_eq!(insert(&[row(at(0), 0.0, 0), row(at(3), 9.0, 0)]), 1);
    plant.always(|door, when| {
        assert_eq!(door.range("a"), [row(at(0), 0.0, 0), row(at(1), 1.0, 0), row(at(2), 2.0, 0), row(at(3), 3.0, 0)], "{when}");
        assert_eq!(door.versions("a"), [], "{when}");
    });
}

#[test]
fn late_and_disordered_samples_give_the_same_answers() {
    let plant = Plant::new();
    let door = &plant.door;
    // Over four weeks, in a scrambled order that a multiplication by a number without common divisor gives.
    let rows: Vec<Row> = (0..6_000).map(|n| row(at(n * 400), (n % 91) as f64, if n % 40 == 0 { UNCERTAIN } else { 0 })).collect();
    door.put("ordered", &rows);
    let scrambled: Vec<Row> = (0..rows.len()).map(|n| rows[n * 2_741 % rows.len()].clone()).collect();
    for (number, part) in scrambled.chunks(250).enumerate() {
        door.put("scrambled", part);
        if number % 7 == 3 {
            door.compact();
        }
    }
    for part in rows.chunks(100).rev() {
        door.put("backward", part);
    }
    plant.always(|door, when| {
        for tag in ["ordered", "scrambled", "backward"] {
            assert!(door.range(tag) == rows, "{tag} {when}");
            assert_eq!(door.current(tag).as_ref(), rows.last(), "{tag} {when}");
            assert_eq!(door.versions(tag), [], "{tag} {when}");
        }
        // A part, backward, with a limit.
        let part = |tag: &str| {
            let (start, end) = (at(400 * 3_000), at(400 * 10));
            let ticket = format!(r#"{{"range": {{"tags": ["{tag}"], "start": {start}, "end": {end}, "limit": 700}}}}"#);
            door.fetch(&ticket).unwrap().iter().flat_map(of_batch).map(|(_, row)| row).collect::<Vec<_>>()
        };
        let expected: Vec<Row> = rows[2_300..3_000].iter().rev().cloned().collect();
        for tag in ["ordered", "scrambled", "backward"] {
            assert!(part(tag) == expected, "{tag} {when}");
        }
    });
}

#[test]
fn a_deleted_range_is_gone_and_its_neighbours_are_not() {
    let plant = Plant::new();
    let door = &plant.door;
    // In chunks, in late chunks and in the head, with weeks between.
    let rows: Vec<Row> = (0..4_000).map(|n| row(at(n * 600), n as f64, if n % 9 == 0 { UNCERTAIN } else { 0 })).collect();
    for tag in ["plant/a", "plant/b"] {
        door.put(tag, &rows[..3_000]);
        door.compact();
        door.put(tag, &rows[2_000..2_500]);
        door.put(tag, &rows[3_000..]);
    }
    // Half-open: the first goes, the last stays.
    let done = door.delete(delete("plant/a", at(1_000 * 600), at(3_990 * 600))).unwrap();
    assert_eq!((done.deleted, done.start_time, done.end_time), (2_990, at(1_000 * 600), at(3_990 * 600)));
    assert_eq!(door.delete(delete("plant/a", at(1_000 * 600), at(3_990 * 600))).unwrap().deleted, 0);
    // The end of the tag: its current value is the earlier sample now.
    assert_eq!(door.current("plant/a").as_ref(), rows.last());
    assert_eq!(door.delete(delete("plant/a", at(3_995 * 600), i64::MAX)).unwrap().deleted, 5);
    assert_eq!(door.current("plant/a"), Some(rows[3_994].clone()));
    let left: Vec<Row> = rows[..1_000].iter().chain(&rows[3_990..3_995]).cloned().collect();
    let gone: Vec<Row> = rows[1_000..3_990].iter().chain(&rows[3_995..]).cloned().collect();
    plant.always(|door, when| {
        assert!(door.range("plant/a") == left, "{when}");
        assert_eq!(door.current("plant/a").as_ref(), left.last(), "{when}");
        assert!(door.versions("plant/a") == gone, "{when}");
        assert!(door.range("plant/b") == rows && door.versions("plant/b").is_empty(), "another tag, {when}");
        let audit: Vec<_> = door.audit().into_iter().filter(|entry| entry.action == "delete_range" && entry.samples > 0).collect();
        assert_eq!(audit.len(), 2, "{when}: {audit:?}");
        assert_eq!((&audit[0].tags[..], audit[0].samples), (&["plant/a".to_owned()][..], 2_990), "{when}");
        assert_eq!((audit[0].start, audit[0].end), (Some(at(1_000 * 600)), Some(at(3_990 * 600))), "{when}");
        assert_eq!(audit[0].detail, "the probe hung in the air", "{when}");
        assert!(!audit[0].principal.is_empty() && audit[0].time > START, "{when}");
    });
}

#[test]
fn a_glob_deletes_from_every_tag_and_new_samples_may_come_again() {
    let plant = Plant::new();
    let door = &plant.door;
    let rows: Vec<Row> = (0..10).map(|n| row(at(n), n as f64, 0)).collect();
    for tag in ["hall/1", "hall/2", "yard/1"] {
        door.put(tag, &rows);
    }
    assert_eq!(door.delete(delete("hall/*", at(2), at(8))).unwrap().deleted, 12);
    door.put("hall/1", &[row(at(4), 44.0, 0)]);
    plant.always(|door, when| {
        let rest = |n: &[usize]| n.iter().map(|n| rows[*n].clone()).collect::<Vec<_>>();
        assert_eq!(door.range("hall/2"), rest(&[0, 1, 8, 9]), "{when}");
        let mut one = rest(&[0, 1, 8, 9]);
        one.insert(2, row(at(4), 44.0, 0));
        assert_eq!(door.range("hall/1"), one, "{when}");
        assert_eq!(door.range("yard/1"), rows, "{when}");
    });
}

#[test]
fn a_replaced_range_holds_the_new_samples_and_nothing_else() {
    let plant = Plant::new();
    let door = &plant.door;
    let rows: Vec<Row> = (0..3_000).map(|n| row(at(n), n as f64, 0)).collect();
    for tag in ["a", "b", "c"] {
        door.put(tag, &rows);
    }
    door.compact();
    let new = [row(at(500), -1.0, UNCERTAIN), (at(501), None, BAD), row(at(999) + 5, -2.0, 0)];
    let empty = TagSamples { tag: "b".into(), ..TagSamples::default() };
    let done = door.replace(replace(at(500), at(1_000), vec![columns("a", &new), empty])).unwrap();
    assert_eq!((done.deleted, done.samples, done.start_time, done.end_time), (1_000, 3, at(500), at(1_000)));
    let a: Vec<Row> = rows[..500].iter().chain(&new).chain(&rows[1_000..]).cloned().collect();
    let b: Vec<Row> = rows[..500].iter().chain(&rows[1_000..]).cloned().collect();
    plant.always(|door, when| {
        assert!(door.range("a") == a, "{when}");
        assert!(door.range("b") == b, "{when}");
        assert!(door.range("c") == rows && door.versions("c").is_empty(), "{when}");
        assert!(door.versions("a") == rows[500..1_000] && door.versions("b") == rows[500..1_000], "{when}");
        let audit = door.audit();
        let counted: Vec<_> = audit.iter().filter(|entry| entry.action == "replace_range").map(|entry| entry.samples).collect();
        assert_eq!(counted, [500, 500], "{when}: {audit:?}");
        assert!(audit.iter().all(|entry| entry.detail == "laboratory values"), "{when}: {audit:?}");
    });
}

/// Now in nanoseconds.
fn now() -> i64 {
    SystemClock.now().0
}

#[test]
fn samples_from_the_future_are_rejected_one_by_one() {
    let plant = Plant::new();
    let door = &plant.door;
    let day = 86_400 * SECOND;
    let (soon, later) = (now() + day / 2, now() + 2 * day);
    let rows = [row(at(1), 1.0, 0), row(later, 2.0, 0), row(soon, 3.0, 0), row(later + 1, 4.0, 0)];
    let options = WriteRequest { create_tags: true, ..WriteRequest::default() };
    let answer = door.write(options, vec![columns("grpc", &rows), columns("other", &rows[..1])]);
    assert_eq!((answer.samples, answer.rejected, answer.failures.len()), (3, 2, 0));
    let told: Vec<_> = answer.rejections.iter().map(|one| (one.tag.as_str(), one.timestamp)).collect();
    assert_eq!(told, [("grpc", later), ("grpc", later + 1)]);
    assert!(answer.rejections[0].reason.contains("86400 s ahead") && answer.rejections[0].reason.contains("future_max_s"));

    let batch = |tag: &str| {
        let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 3] = [
            ("tag", Arc::new(StringArray::from(vec![tag; 4]))),
            ("timestamp", Arc::new(times)),
            ("value", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let acknowledged: Json = serde_json::from_slice(&door.do_put(br#"{"write": {"create_tags": true}}"#, batch("json")).unwrap()).unwrap();
    assert_eq!((&acknowledged["samples"], &acknowledged["rejected"]), (&"2".into(), &"2".into()), "{acknowledged}");
    assert_eq!(acknowledged["rejections"][1]["timestamp"], (later + 1).to_string(), "{acknowledged}");
    assert_eq!(acknowledged["rejections"][0]["tag"], "json");
    // google.protobuf.Any of a WriteRequest with create_tags.
    let name = b"type.googleapis.com/historian.v1.WriteRequest";
    let any = [&[0x0A, name.len() as u8], &name[..], &[0x12, 2, 0x18, 1]].concat();
    let acknowledged = WriteAcknowledgement::decode(&door.do_put(&any, batch("protobuf")).unwrap()[..]).unwrap();
    assert_eq!((acknowledged.samples, acknowledged.rejected), (2, 2));
    assert_eq!(acknowledged.rejections[0].timestamp, later);
    // More than are told one by one.
    let many: Vec<Row> = (0..1_000).map(|n| row(later + n, 0.0, 0)).collect();
    let answer = door.write(WriteRequest::default(), vec![columns("grpc", &many)]);
    assert_eq!((answer.samples, answer.rejected, answer.rejections.len()), (0, 1_000, 100));
    // A replacement is one whole.
    let refused = door.replace(replace(at(0), later + 9, vec![columns("grpc", &rows[..2])])).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("nothing was changed") && refused.message().contains("grpc"), "{}", refused.message());
    plant.always(|door, when| {
        for tag in ["grpc", "json", "protobuf"] {
            assert_eq!(door.range(tag), [rows[0].clone(), rows[2].clone()], "{tag} {when}");
            assert_eq!(door.current(tag), Some(rows[2].clone()), "{tag} {when}");
        }
        assert_eq!(door.range("other"), rows[..1], "{when}");
    });
}

#[test]
fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let plant = Plant::new();
    let door = &plant.door;
    let rows: Vec<Row> = (0..10).map(|n| row(at(n), n as f64, 0)).collect();
    door.put("a", &rows);
    door.create(Tag { name: "count".into(), value_type: ValueType::I64.into(), ..Tag::default() });
    let good = || delete("a", at(0), at(5));
    for (request, code, told) in [
        (DeleteRangeRequest { reason: " ".into(), ..good() }, Code::InvalidArgument, "reason"),
        (DeleteRangeRequest { reason: "x".repeat(5_000), ..good() }, Code::InvalidArgument, "reason"),
        (delete("a", at(5), at(0)), Code::InvalidArgument, "is not after the start"),
        (delete("a", at(5), at(5)), Code::InvalidArgument, "is not after the start"),
        (DeleteRangeRequest { end: String::new(), ..good() }, Code::InvalidArgument, "end"),
        (DeleteRangeRequest { start: String::new(), ..good() }, Code::InvalidArgument, "start"),
        (DeleteRangeRequest { start: "soon".into(), ..good() }, Code::InvalidArgument, "start"),
        (DeleteRangeRequest { zone: "Mars/Olympus".into(), ..good() }, Code::InvalidArgument, "zone"),
        (DeleteRangeRequest { tags: vec!["a".into(), "b".into()], ..good() }, Code::NotFound, "\"b\""),
        (DeleteRangeRequest { tags: vec!["nothing/**".into()], ..good() }, Code::InvalidArgument, "no tag matches"),
        (DeleteRangeRequest { tags: vec![], ..good() }, Code::InvalidArgument, "tags"),
    ] {
        let refused = door.delete(request).expect_err(told);
        assert_eq!(refused.code(), code, "{told}: {refused}");
        assert!(refused.message().contains(told), "{}", refused.message());
    }
    let inside = || columns("a", &[row(at(2), 9.0, 0)]);
    let text = Values { column: Some(Column::String(StringColumn { values: vec!["x".into()] })) };
    for (request, code, told) in [
        (ReplaceRangeRequest { reason: String::new(), ..replace(at(0), at(5), vec![inside()]) }, Code::InvalidArgument, "reason"),
        (replace(at(5), at(0), vec![inside()]), Code::InvalidArgument, "is not after the start"),
        (replace(at(0), at(5), vec![]), Code::InvalidArgument, "DeleteRange"),
        (replace(at(0), at(5), vec![inside(), columns("b", &[])]), Code::NotFound, "\"b\""),
        (replace(at(0), at(2), vec![inside()]), Code::InvalidArgument, "lies outside the range"),
        (replace(at(3), at(5), vec![inside()]), Code::InvalidArgument, "lies outside the range"),
        (replace(at(0), at(5), vec![TagSamples { values: Some(text), ..inside() }]), Code::InvalidArgument, "string"),
        (replace(at(0), at(5), vec![inside(), columns("count", &[row(at(2), 0.5, 0)])]), Code::InvalidArgument, "count: sample 0"),
        (replace(at(0), at(5), vec![TagSamples { qualities: vec![0, 0], ..inside() }]), Code::InvalidArgument, "2 qualities"),
        (replace(at(0), at(5), vec![columns("a", &[(at(2), None, 0)])]), Code::InvalidArgument, "Good"),
    ] {
        let refused = door.replace(request).expect_err(told);
        assert_eq!(refused.code(), code, "{told}: {refused}");
        assert!(refused.message().contains(told), "{}", refused.message());
    }
    for (ticket, code, told) in [
        (r#"{"superseded": {"tags": ["a"], "start": "5ns", "end": "3ns"}}"#, Code::InvalidArgument, "end"),
        (r#"{"superseded": {"tags": ["a"], "start": 5.5}}"#, Code::InvalidArgument, "superseded.start"),
        (r#"{"superseded": {"tags": ["b"], "start": "5ns"}}"#, Code::NotFound, "\"b\""),
        (r#"{"superseded": {"tags": ["a"], "start": "5ns", "limit": -1}}"#, Code::InvalidArgument, "limit"),
    ] {
        let refused = door.fetch(ticket).expect_err(ticket);
        assert_eq!(refused.code(), code, "{ticket}: {refused}");
        assert!(refused.message().contains(told), "{}", refused.message());
    }
    plant.always(|door, when| {
        assert_eq!(door.range("a"), rows, "{when}");
        assert_eq!(door.range("count"), [], "{when}");
        assert_eq!(door.versions("a"), [], "{when}");
        assert!(door.audit().is_empty(), "{when}");
    });
}

#[test]
fn versions_come_week_by_week_for_many_tags_with_a_limit() {
    let plant = Plant::new();
    let door = &plant.door;
    let week = 7 * 86_400;
    let rows: Vec<Row> = (0..40).map(|n| row(at(n * week / 4 - 20 * week), n as f64, 0)).collect();
    for tag in ["x/1", "x/2"] {
        door.put(tag, &rows);
        door.put(tag, &rows.iter().map(|row| (row.0, None, BAD)).collect::<Vec<_>>());
    }
    let ask = |start: i64, end: i64, limit: u32| {
        let ticket = format!(r#"{{"superseded": {{"tags": ["x/*"], "start": {start}, "end": {end}, "limit": {limit}}}}}"#);
        door.fetch(&ticket).unwrap().iter().flat_map(of_batch).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let of = |rows: &[Row]| {
            ["x/1", "x/2"].iter().flat_map(|tag| rows.iter().map(|row| ((*tag).to_owned(), row.clone()))).collect::<Vec<_>>()
        };
        assert_eq!(ask(i64::MIN, i64::MAX, 0), of(&rows));
        assert_eq!(ask(rows[5].0, rows[17].0, 0), of(&rows[5..17]));
        assert_eq!(ask(rows[5].0, rows[17].0, 7), of(&rows[5..12]));
        assert_eq!(ask(rows[5].0 + 1, rows[6].0, 0), []);
        door.compact();
    }
}

#[test]
fn a_person_deletes_and_replaces_from_the_command_line() {
    let plant = Plant::new();
    let rows: Vec<Row> = (0..20).map(|n| row(at(n), n as f64, 0)).collect();
    plant.door.put("area/level", &rows);
    plant.door.put("area/flow", &rows);
    let (start, end) = (at(5).to_string(), at(10).to_string());
    let range = ["--start", start.as_str(), "--end", end.as_str(), "--reason", "calibration"];

    let refused = plant.run(&[&["delete", "area/level"], &range[..]].concat());
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("--yes") && text.contains("samples of 1 tag from 2026-09-21T"), "{text}");
    assert_eq!(plant.door.range("area/level"), rows, "nobody consented");
    let told = plant.told(&[&["delete", "area/level", "--yes"], &range[..]].concat());
    assert!(told.starts_with("5 samples of 1 tag deleted from 2026-09-21T"), "{told}");
    let left: Vec<Row> = rows[..5].iter().chain(&rows[10..]).cloned().collect();
    assert_eq!(plant.door.range("area/level"), left);

    let file = plant.directory.path().join("laboratory.csv");
    std::fs::write(&file, format!("tag,timestamp,value,quality\narea/flow,{},-1.5,\narea/level,{},,0x80310000\n", at(6), at(7))).unwrap();
    let file = file.to_str().unwrap();
    let told = plant.told(&[&["replace", file, "--yes", "--format", "json"], &range[..]].concat());
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["deleted"], &told["samples"]), (&5.into(), &2.into()), "{told}");
    assert_eq!(plant.door.range("area/flow")[5], row(at(6), -1.5, 0));
    assert_eq!(plant.door.range("area/level")[5], (at(7), None, BAD));

    let versions = plant.told(&["superseded", "area/*", "--start", "0", "--format", "csv"]);
    assert!(versions.starts_with("tag,timestamp,value,quality,replaced_by\narea/flow,2026-09-21T"), "{versions}");
    assert_eq!(versions.lines().count(), 11, "{versions}");
    assert!(plant.told(&["superseded", "area/level", "--start", "0", "--format", "table"]).contains("REPLACED_BY"));
    let audit = plant.told(&["audit", "--format", "json"]);
    assert_eq!(audit.matches("\"calibration\"").count(), 3, "{audit}");

    // A mistake in the file changes nothing and is told with its line.
    std::fs::write(file, format!("timestamp,value\n{},7\n{},much\n", at(6), at(7))).unwrap();
    let refused = plant.run(&[&["replace", file, "--tag", "area/flow", "--yes"], &range[..]].concat());
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("line 3, value: \"much\" is not a number"), "{text}");
    assert_eq!(plant.door.range("area/flow")[5], row(at(6), -1.5, 0));
}
