//! Notes on both twins of the store, over restarts.

use std::sync::Arc;

use super::*;
use crate::{AuditEntry, MemoryStore, RocksStore, Store, rocks::StoreOptions};
use historian_model::{ManualClock, TagId, TimeRange, Timestamp, sink::Actor};

fn actor(name: &str) -> Actor {
    Actor { principal: name.into(), client: "192.0.2.1".into() }
}

fn draft(tags: &[u32], start: i64, end: i64, text: &str) -> AnnotationDraft {
    AnnotationDraft { tags: tags.iter().map(|tag| (TagId(*tag), format!("tag/{tag}"))).collect(), start, end, text: text.into() }
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange { start: Timestamp(start), end: Timestamp(end), reverse: false }
}

fn sought(start: i64, end: i64, versions: bool) -> SoughtAnnotations {
    SoughtAnnotations { range: range(start, end), versions, id: None }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(1_000)))
}

/// The same on both twins; of the one on disk it is opened again after each step.
fn on_both(test: impl Fn(&dyn Fn() -> Arc<dyn Store>)) {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
    test(&|| memory.clone());
    let directory = tempfile::tempdir().unwrap();
    test(&|| Arc::new(RocksStore::open(directory.path(), &StoreOptions::default()).unwrap()));
}

fn last_entry(store: &dyn Store) -> AuditEntry {
    store.audit(0, 100).unwrap().pop().unwrap().1
}

#[test]
fn versions_of_annotations_are_kept_and_the_last_one_counts() {
    on_both(|open| {
        let found = |annotations: &Annotations, tag: u32, range: TimeRange, versions: bool| -> Vec<(u64, u32)> {
            annotations
                .places(&[TagId(tag)], SoughtAnnotations { range, versions, id: None }, None, 100)
                .iter()
                .map(|place| (place.id, place.version))
                .collect()
        };
        {
            let store = open();
            let annotations = Annotations::open(store.clone(), clock()).unwrap();
            let made = annotations.create(&actor("ana"), draft(&[7, 3, 7], 100, 200, "valve\nstuck")).unwrap();
            assert_eq!((made.id, made.version, &made.tags[..], made.time), (1, 1, &[TagId(3), TagId(7)][..], Timestamp(1_000)));
            let entry = last_entry(&*store);
            assert_eq!((entry.action.as_str(), entry.principal.as_str(), entry.client.as_str()), ("create_annotation", "ana", "192.0.2.1"));
            assert_eq!((entry.tags.len(), entry.start, entry.end), (3, Some(100), Some(200)));
            assert_eq!(annotations.create(&actor("ana"), draft(&[3], 200, 200, "moment")).unwrap().id, 2);
        }
        {
            let store = open();
            let annotations = Annotations::open(store.clone(), clock()).unwrap();
            assert_eq!(found(&annotations, 7, range(0, 1_000), false), [(1, 1)]);
            let wrong = annotations.update(&actor("bo"), 1, Some(2), draft(&[3], 100, 150, "x")).unwrap_err();
            assert!(matches!(wrong, NoteError::OtherVersion { is: 1, seen: 2, .. }), "{wrong}");
            let next = annotations.update(&actor("bo"), 1, Some(1), draft(&[3], 100, 150, "valve replaced")).unwrap();
            assert_eq!((next.version, next.author.as_str()), (2, "bo"));
            assert!(last_entry(&*store).detail.contains("\"valve\\nstuck\" → \"valve replaced\""));
            // It is no longer on the other tag, whose versions still tell of it.
            assert!(found(&annotations, 7, range(0, 1_000), false).is_empty());
            assert_eq!(found(&annotations, 7, range(0, 1_000), true), [(1, 1)]);
            assert_eq!(found(&annotations, 3, range(0, 1_000), true), [(1, 1), (1, 2), (2, 1)]);
        }
        let store = open();
        let annotations = Annotations::open(store.clone(), clock()).unwrap();
        annotations.remove(&actor("cy"), 1, None, vec!["tag/3".into()]).unwrap();
        assert!(matches!(annotations.get(1), Err(NoteError::NotFound { id: 1, .. })));
        assert!(matches!(annotations.remove(&actor("cy"), 1, None, Vec::new()), Err(NoteError::NotFound { .. })));
        assert_eq!(last_entry(&*store).action, "delete_annotation");
        assert_eq!(found(&annotations, 3, range(0, 1_000), false), [(2, 1)]);
        let all = annotations.places(&[TagId(3)], sought(0, 1_000, true), None, 100);
        let told: Vec<(bool, String)> = all.iter().map(|place| annotations.at(*place).unwrap()).map(|at| (at.removed, at.text)).collect();
        let texts = ["valve\nstuck", "valve replaced", "valve replaced", "moment"];
        assert_eq!(told, [false, false, true, false].into_iter().zip(texts.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(annotations.create(&actor("ana"), draft(&[3], 0, 0, "next")).unwrap().id, 3, "an id is never used again");
    });
}

#[test]
fn ranges_touch_what_they_share_time_with_and_pages_go_on() {
    let annotations = Annotations::open(Arc::new(MemoryStore::default()), clock()).unwrap();
    for (start, end) in [(100, 200), (150, 150), (200, 300), (100, 400)] {
        annotations.create(&actor("ana"), draft(&[1, 2], start, end, "x")).unwrap();
    }
    let ids = |from: i64, to: i64| -> Vec<u64> {
        let places = annotations.places(&[TagId(1), TagId(2)], sought(from, to, false), None, 100);
        places.iter().map(|place| place.id).collect()
    };
    assert!(ids(0, 100).is_empty());
    assert_eq!(ids(0, 101), [1, 4]);
    assert_eq!(ids(150, 151), [1, 4, 2]);
    assert_eq!(ids(151, 200), [1, 4]);
    assert_eq!(ids(200, 201), [4, 3]);
    assert_eq!(ids(300, 1_000), [4]);
    assert_eq!(annotations.starts(TagId(2), 100, 200), [100, 100, 150]);
    assert!(annotations.starts(TagId(9), i64::MIN, i64::MAX).is_empty());
    let first = annotations.places(&[TagId(1)], sought(0, 1_000, false), None, 2);
    let rest = annotations.places(&[TagId(1)], sought(0, 1_000, false), first.last().copied(), 100);
    // Whatever the order of the tags, a page has the first ones of all of them.
    annotations.create(&actor("ana"), draft(&[3], 50, 60, "x")).unwrap();
    let of_all: Vec<u64> =
        annotations.places(&[TagId(1), TagId(2), TagId(3)], sought(0, 1_000, false), None, 3).iter().map(|place| place.id).collect();
    assert_eq!(of_all, [5, 1, 4]);
    let one = SoughtAnnotations { id: Some(3), ..sought(0, 1_000, false) };
    assert_eq!(annotations.places(&[TagId(1), TagId(2)], one, None, 1).iter().map(|place| place.id).collect::<Vec<_>>(), [3]);
    let (mut after, mut pages) = (None, Vec::new());
    while let page @ [.., last] = &annotations.that_count(after, 2)[..] {
        after = Some(*last);
        pages.extend(page.iter().map(|(tag, place)| (tag.0, place.id)));
    }
    assert_eq!(pages, [(1, 1), (1, 4), (1, 2), (1, 3), (2, 1), (2, 4), (2, 2), (2, 3), (3, 5)]);
    assert_eq!(first.iter().chain(&rest).map(|place| place.id).collect::<Vec<_>>(), [1, 4, 2, 3]);
}

#[test]
fn what_cannot_be_an_annotation_is_refused_at_its_field() {
    let annotations = Annotations::open(Arc::new(MemoryStore::default()), clock()).unwrap();
    let many: Vec<u32> = (0..=100).collect();
    let cases = [
        (draft(&[], 0, 1, "x"), "tags"),
        (draft(&many, 0, 1, "x"), "tags"),
        (draft(&[1], 1, 0, "x"), "end"),
        (draft(&[1], 0, 1, " \n"), "text"),
        (draft(&[1], 0, 1, "a\u{1b}[31m"), "text"),
        (draft(&[1], 0, 1, &"x".repeat(TEXT_BYTES_MAX + 1)), "text"),
    ];
    for (draft, field) in cases {
        let error = annotations.create(&actor("ana"), draft).unwrap_err();
        assert!(matches!(&error, NoteError::Invalid { field: of, .. } if *of == field), "{field}: {error}");
    }
    assert!(annotations.places(&[TagId(1)], sought(i64::MIN, i64::MAX, true), None, 9).is_empty());
}

#[test]
fn views_belong_to_who_keeps_them_and_shared_ones_are_seen_by_all() {
    let view = |name: &str, shared: bool| ViewDraft { name: name.into(), shared, content: "tag=a".into() };
    on_both(|open| {
        {
            let views = SavedViews::open(open(), clock()).unwrap();
            let made = views.save(&actor("ana"), None, None, view("Shift", false)).unwrap();
            assert_eq!((made.id, made.version, made.owner.as_str()), (1, 1, "ana"));
            assert!(matches!(views.save(&actor("ana"), None, None, view("Shift", true)), Err(NoteError::NameTaken(_))));
            assert_eq!(views.save(&actor("bo"), None, None, view("Shift", true)).unwrap().id, 2);
        }
        {
            let store = open();
            let views = SavedViews::open(store.clone(), clock()).unwrap();
            let seen = |who: &str| views.seen_by(who, None, 9).into_iter().map(|(_, id)| id).collect::<Vec<_>>();
            assert_eq!((seen("ana"), seen("bo"), seen("cy")), (vec![1, 2], vec![2], vec![2]));
            assert!(matches!(views.save(&actor("ana"), Some(2), None, view("Mine", true)), Err(NoteError::NotFound { .. })));
            let renamed = views.save(&actor("ana"), Some(1), Some(1), view("Night", true)).unwrap();
            assert_eq!((renamed.version, renamed.name.as_str()), (2, "Night"));
            assert!(matches!(views.save(&actor("ana"), Some(1), Some(1), view("x", true)), Err(NoteError::OtherVersion { is: 2, .. })));
            assert_eq!(last_entry(&*store).detail, "view 1: \"Night\", shared; before it was \"Shift\", private");
            assert_eq!((seen("cy"), views.get(1).unwrap().unwrap()), (vec![1, 2], renamed));
        }
        let store = open();
        let views = SavedViews::open(store.clone(), clock()).unwrap();
        assert!(matches!(views.remove(&actor("cy"), 1, false), Err(NoteError::NotFound { .. })));
        views.save(&actor("ana"), Some(1), None, view("Night", false)).unwrap();
        assert!(matches!(views.remove(&actor("cy"), 1, true), Err(NoteError::NotFound { .. })), "nobody learns of what is private");
        views.remove(&actor("cy"), 2, true).unwrap();
        assert_eq!((last_entry(&*store).action.as_str(), views.get(2).unwrap()), ("delete_view", None));
        views.remove(&actor("ana"), 1, false).unwrap();
        assert_eq!(views.save(&actor("ana"), None, None, view("Shift", false)).unwrap().id, 3, "an id is never used again");
    });
}

#[test]
fn a_damaged_note_is_told_by_scrub_and_by_opening() {
    let store = MemoryStore::default();
    let key = NoteKey { kind: NoteKind::Annotation, id: 1, version: 1 };
    for damaged in [&b"{}"[..], b"not json", br#"{"tags":[1],"start":5,"end":4,"text":"x","author":"a","time":0}"#] {
        assert!(check(key, damaged).is_err());
        store.put_notes(&[(key, damaged.to_vec())], &[]).unwrap();
    }
    let error = Annotations::open(Arc::new(store), clock()).err().unwrap();
    assert!(error.to_string().contains("annotation 1, version 1"), "{error}");
}
