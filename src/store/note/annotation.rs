//! Texts on tags, over a time or a range of time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use historian_format::keys::{NoteKey, NoteKind};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::kept::{NoteError, check_text, corrupt, decode, encode, invalid, next_version, read, word};
use crate::{AuditEntry, Store, StoreError};
use historian_model::{Clock, TagId, TimeRange, Timestamp, sink::Actor};

/// Tags of one annotation at most.
pub const TAGS_MAX: usize = 100;
/// Bytes of a text at most.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// Versions of annotations at most, each counted once for each of its tags.
pub const ENTRIES_MAX: usize = 1_000_000;

const KIND: NoteKind = NoteKind::Annotation;

/// One version of an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub id: u64,
    pub version: u32,
    /// Ascending, each once.
    pub tags: Vec<TagId>,
    pub start: i64,
    /// Not within; the start itself where a moment is meant.
    pub end: i64,
    pub text: String,
    /// Who wrote this version.
    pub author: String,
    /// When that was, by the clock of the historian.
    pub time: Timestamp,
    /// This version removes the annotation.
    pub removed: bool,
}

/// What is kept of a version under its key.
#[derive(Serialize, Deserialize)]
struct StoredAnnotation {
    tags: Vec<TagId>,
    start: i64,
    end: i64,
    text: String,
    author: String,
    time: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

impl StoredAnnotation {
    fn of(self, key: NoteKey) -> Annotation {
        let StoredAnnotation { tags, start, end, text, author, time, removed } = self;
        Annotation { id: key.id, version: key.version, tags, start, end, text, author, time, removed }
    }

    fn read(key: NoteKey, bytes: &[u8]) -> Result<StoredAnnotation, StoreError> {
        let stored: StoredAnnotation = decode(key, bytes)?;
        if stored.end < stored.start {
            return Err(corrupt(key, "it ends before it starts"));
        }
        Ok(stored)
    }
}

pub(super) fn check(key: NoteKey, bytes: &[u8]) -> Result<(), StoreError> {
    StoredAnnotation::read(key, bytes).map(|_| ())
}

/// What somebody wants to say.
#[derive(Clone, Debug)]
pub struct AnnotationDraft {
    /// With their names, for the audit log.
    pub tags: Vec<(TagId, String)>,
    pub start: i64,
    pub end: i64,
    pub text: String,
}

impl AnnotationDraft {
    fn check(&self) -> Result<(), NoteError> {
        if self.tags.is_empty() || self.tags.len() > TAGS_MAX {
            return Err(invalid("tags", format!("{} tags; an annotation has 1 to {TAGS_MAX}", self.tags.len())));
        }
        if self.end < self.start {
            return Err(invalid("end", "lies before the start"));
        }
        check_text("text", &self.text, TEXT_BYTES_MAX, true)
    }
}

/// Where a version lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnnotationPlace {
    pub start: i64,
    pub id: u64,
    pub version: u32,
}

impl AnnotationPlace {
    fn key(self) -> NoteKey {
        NoteKey { kind: KIND, id: self.id, version: self.version }
    }
}

/// Which annotations are looked for on some tags.
#[derive(Clone, Copy, Debug)]
pub struct SoughtAnnotations {
    /// They share time with it; a moment lies in it.
    pub range: TimeRange,
    /// All versions, not only those that count.
    pub versions: bool,
    /// Only those of this one.
    pub id: Option<u64>,
}

#[derive(Default)]
struct AnnotationIndex {
    /// Of each id its last version, and whether that removes it.
    last: HashMap<u64, (u32, bool)>,
    /// Of each tag its versions with their ends.
    by_tag: BTreeMap<(TagId, AnnotationPlace), i64>,
    last_id: u64,
}

impl AnnotationIndex {
    fn put(&mut self, annotation: &Annotation) {
        let Annotation { id, version, tags, start, end, removed, .. } = annotation;
        // Versions are read in their order.
        self.last.insert(*id, (*version, *removed));
        self.last_id = self.last_id.max(*id);
        let place = AnnotationPlace { start: *start, id: *id, version: *version };
        self.by_tag.extend(tags.iter().map(|tag| ((*tag, place), *end)));
    }

    fn counts(&self, place: AnnotationPlace) -> bool {
        self.last.get(&place.id) == Some(&(place.version, false))
    }

    /// Versions on a tag that begin before a time, in the order of their starts.
    fn before(&self, tag: TagId, end: i64) -> impl Iterator<Item = (AnnotationPlace, i64)> {
        let at = |start: i64| AnnotationPlace { start, id: 0, version: 0 };
        self.by_tag.range((tag, at(i64::MIN))..(tag, at(end))).map(|((_, place), end)| (*place, *end))
    }
}

/// All annotations of a historian. Readers wait for nobody but for the moment in which a change is entered.
pub struct Annotations {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    index: RwLock<AnnotationIndex>,
    /// Held over check, write to the store and change in memory.
    changing: Mutex<()>,
}

impl Annotations {
    /// Reads where the annotations of a store lie.
    ///
    /// # Errors
    /// When the store cannot be read, or an entry is no annotation.
    pub fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Annotations, StoreError> {
        let mut index = AnnotationIndex::default();
        store.load_notes(&mut |key, bytes| {
            if key.kind == KIND {
                index.put(&StoredAnnotation::read(key, bytes)?.of(key));
            }
            Ok(())
        })?;
        Ok(Annotations { store, clock, index: RwLock::new(index), changing: Mutex::new(()) })
    }

    /// The last version of an annotation that was not removed.
    ///
    /// # Errors
    /// [`NoteError::NotFound`], and when the store cannot be read.
    pub fn get(&self, id: u64) -> Result<Annotation, NoteError> {
        let known = self.index.read().last.get(&id).copied();
        match known {
            Some((version, false)) => Ok(self.at(AnnotationPlace { start: 0, id, version })?),
            _ => Err(NoteError::NotFound { what: word(KIND), id }),
        }
    }

    /// The version at a place.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn at(&self, place: AnnotationPlace) -> Result<Annotation, StoreError> {
        read::<StoredAnnotation>(&*self.store, place.key()).map(|stored| stored.of(place.key()))
    }

    /// Puts a text on tags.
    ///
    /// # Errors
    /// See [`NoteError`]; nothing is kept then.
    pub fn create(&self, actor: &Actor, draft: AnnotationDraft) -> Result<Annotation, NoteError> {
        draft.check()?;
        let _changing = self.changing.lock();
        let id = self.index.read().last_id + 1;
        self.put("create_annotation", actor, draft, (id, 1), None)
    }

    /// Makes the next version; `seen` is the one that the caller has seen.
    ///
    /// # Errors
    /// See [`NoteError`]; nothing is kept then.
    pub fn update(&self, actor: &Actor, id: u64, seen: Option<u32>, draft: AnnotationDraft) -> Result<Annotation, NoteError> {
        draft.check()?;
        let _changing = self.changing.lock();
        let before = self.get(id)?;
        let version = next_version(KIND, id, before.version, seen)?;
        self.put("update_annotation", actor, draft, (id, version), Some(&before))
    }

    /// Removes an annotation: its last version says so. `names` are those of its tags, for the audit log.
    ///
    /// # Errors
    /// See [`NoteError`]; nothing is kept then.
    pub fn remove(&self, actor: &Actor, id: u64, seen: Option<u32>, names: Vec<String>) -> Result<(), NoteError> {
        let _changing = self.changing.lock();
        let before = self.get(id)?;
        let version = next_version(KIND, id, before.version, seen)?;
        let removed = Annotation { version, author: actor.principal.clone(), time: self.clock.now(), removed: true, ..before };
        let entry = AuditEntry {
            action: "delete_annotation".into(),
            tags: names,
            detail: format!("annotation {id}: {:?}", removed.text),
            ..told(actor, &removed)
        };
        self.write(removed, entry).map(|_| ())
    }

    fn put(
        &self,
        action: &str,
        actor: &Actor,
        draft: AnnotationDraft,
        (id, version): (u64, u32),
        before: Option<&Annotation>,
    ) -> Result<Annotation, NoteError> {
        let AnnotationDraft { tags, start, end, text } = draft;
        let (mut ids, names): (Vec<TagId>, Vec<String>) = tags.into_iter().unzip();
        ids.sort_unstable();
        ids.dedup();
        let made = Annotation {
            id,
            version,
            tags: ids,
            start,
            end,
            text,
            author: actor.principal.clone(),
            time: self.clock.now(),
            removed: false,
        };
        let entry = AuditEntry { action: action.into(), tags: names, detail: differences(before, &made), ..told(actor, &made) };
        self.write(made, entry)
    }

    fn write(&self, made: Annotation, entry: AuditEntry) -> Result<Annotation, NoteError> {
        if self.index.read().by_tag.len() + made.tags.len() > ENTRIES_MAX {
            return Err(NoteError::Full(format!("the historian keeps its limit of {ENTRIES_MAX} annotations, their versions counted")));
        }
        let Annotation { id, version, tags, start, end, text, author, time, removed } = made.clone();
        let stored = encode(&StoredAnnotation { tags, start, end, text, author, time, removed })?;
        self.store.put_notes(&[(NoteKey { kind: KIND, id, version }, stored)], &[entry])?;
        self.index.write().put(&made);
        Ok(made)
    }

    /// Places of the annotations on these tags that touch the range, in the order of their starts, behind the place `after`, at most `limit`. It
    /// holds no more than those.
    pub fn places(&self, tags: &[TagId], sought: SoughtAnnotations, after: Option<AnnotationPlace>, limit: usize) -> Vec<AnnotationPlace> {
        let SoughtAnnotations { range, versions, id } = sought;
        let index = self.index.read();
        let (from, to) = (range.start.0, range.end.0);
        let mut found = BTreeSet::new();
        for tag in tags {
            for (place, end) in index.before(*tag, to) {
                if found.len() == limit && found.last().is_some_and(|last| place > *last) {
                    // Those of a tag come in their order.
                    break;
                }
                let touches = end > from || place.start >= from;
                let is_sought = id.is_none_or(|id| id == place.id) && (versions || index.counts(place));
                if touches && is_sought && Some(place) > after && found.insert(place) && found.len() > limit {
                    found.pop_last();
                }
            }
        }
        found.into_iter().collect()
    }

    /// Annotations that count, once for each of their tags, by tag id and of each in the order of their starts: behind `after`, at most `limit`.
    pub fn that_count(&self, after: Option<(TagId, AnnotationPlace)>, limit: usize) -> Vec<(TagId, AnnotationPlace)> {
        let index = self.index.read();
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = index.by_tag.range((behind, Bound::Unbounded)).map(|(entry, _)| *entry);
        entries.filter(|(_, place)| index.counts(*place)).take(limit).collect()
    }

    /// Starts of the annotations that count of a tag, within `[from, to)`, ascending.
    pub fn starts(&self, tag: TagId, from: i64, to: i64) -> Vec<i64> {
        let index = self.index.read();
        index.before(tag, to).filter(|(place, _)| place.start >= from && index.counts(*place)).map(|(place, _)| place.start).collect()
    }
}

/// Who did it, when, and to what time.
fn told(actor: &Actor, annotation: &Annotation) -> AuditEntry {
    AuditEntry {
        time: annotation.time,
        principal: actor.principal.clone(),
        client: actor.client.clone(),
        start: Some(annotation.start),
        end: Some(annotation.end),
        ..AuditEntry::default()
    }
}

fn differences(before: Option<&Annotation>, made: &Annotation) -> String {
    let Annotation { id, text, .. } = made;
    match before {
        None => format!("annotation {id}: {text:?}"),
        Some(before) if before.text == *text => format!("annotation {id}: tags or time; {text:?}"),
        Some(before) => format!("annotation {id}: {:?} → {text:?}", before.text),
    }
}
