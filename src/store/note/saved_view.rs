//! Views of trends that people keep by a name.

use std::{collections::BTreeMap, sync::Arc};

use historian_format::keys::{NoteKey, NoteKind};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::kept::{NoteError, check_text, decode, encode, next_version, read, word};
use crate::{AuditEntry, Store, StoreError};
use historian_model::{Clock, Timestamp, sink::Actor};

/// Bytes of a name at most.
pub const NAME_BYTES_MAX: usize = 200;
/// Bytes of what is seen at most.
pub const CONTENT_BYTES_MAX: usize = 16_384;
/// Views at most, of all owners.
pub const VIEWS_MAX: usize = 100_000;
/// Views of one owner at most.
pub const VIEWS_OF_OWNER_MAX: usize = 1_000;

const KIND: NoteKind = NoteKind::View;

/// One version of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedView {
    pub id: u64,
    pub version: u32,
    pub name: String,
    /// Who keeps it, as the audit log names them.
    pub owner: String,
    /// Everybody sees it.
    pub shared: bool,
    pub content: String,
    /// When this version was written, by the clock of the historian.
    pub time: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredView {
    name: String,
    owner: String,
    shared: bool,
    content: String,
    time: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

impl StoredView {
    fn of(self, key: NoteKey) -> SavedView {
        let StoredView { name, owner, shared, content, time, removed: _ } = self;
        SavedView { id: key.id, version: key.version, name, owner, shared, content, time }
    }
}

pub(super) fn check(key: NoteKey, bytes: &[u8]) -> Result<(), StoreError> {
    decode::<StoredView>(key, bytes).map(|_| ())
}

/// What somebody wants to keep.
#[derive(Clone, Debug)]
pub struct ViewDraft {
    pub name: String,
    pub shared: bool,
    pub content: String,
}

impl ViewDraft {
    fn check(&self) -> Result<(), NoteError> {
        check_text("name", &self.name, NAME_BYTES_MAX, false)?;
        check_text("content", &self.content, CONTENT_BYTES_MAX, false)
    }
}

/// What is in memory of a view.
#[derive(Clone, Debug)]
struct ViewEntry {
    version: u32,
    name: String,
    owner: String,
    shared: bool,
}

#[derive(Default)]
struct ViewIndex {
    views: BTreeMap<u64, ViewEntry>,
    last_id: u64,
}

/// All views of a historian.
pub struct SavedViews {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    index: RwLock<ViewIndex>,
    /// Held over check, write to the store and change in memory, so that nobody who reads waits for the disk.
    changing: Mutex<()>,
}

impl SavedViews {
    /// Reads which views a store has.
    ///
    /// # Errors
    /// When the store cannot be read, or an entry is no view.
    pub fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<SavedViews, StoreError> {
        let mut index = ViewIndex::default();
        store.load_notes(&mut |key, bytes| {
            if key.kind != KIND {
                return Ok(());
            }
            let StoredView { name, owner, shared, removed, .. } = decode(key, bytes)?;
            index.last_id = index.last_id.max(key.id);
            if removed {
                index.views.remove(&key.id);
            } else {
                index.views.insert(key.id, ViewEntry { version: key.version, name, owner, shared });
            }
            Ok(())
        })?;
        Ok(SavedViews { store, clock, index: RwLock::new(index), changing: Mutex::new(()) })
    }

    /// Keeps a new view, or the next version of one's own; `seen` is the one that the caller has seen.
    ///
    /// # Errors
    /// See [`NoteError`]; nothing is kept then.
    pub fn save(&self, actor: &Actor, id: Option<u64>, seen: Option<u32>, draft: ViewDraft) -> Result<SavedView, NoteError> {
        draft.check()?;
        let owner = &actor.principal;
        let _changing = self.changing.lock();
        let index = self.index.read();
        let before = match id {
            None => None,
            Some(id) => match index.views.get(&id) {
                Some(entry) if entry.owner == *owner => Some((id, entry.clone())),
                _ => return Err(NoteError::NotFound { what: word(KIND), id }),
            },
        };
        let of_owner = || index.views.iter().filter(|(_, entry)| entry.owner == *owner);
        if of_owner().any(|(other, entry)| entry.name == draft.name && Some(*other) != id) {
            return Err(NoteError::NameTaken(draft.name));
        }
        let (id, version) = match &before {
            Some((id, entry)) => (*id, next_version(KIND, *id, entry.version, seen)?),
            None if index.views.len() >= VIEWS_MAX => {
                return Err(NoteError::Full(format!("the historian keeps its limit of {VIEWS_MAX} views")));
            }
            None if of_owner().count() >= VIEWS_OF_OWNER_MAX => {
                return Err(NoteError::Full(format!("you keep the limit of {VIEWS_OF_OWNER_MAX} views; remove one that is not needed")));
            }
            None => (index.last_id + 1, 1),
        };
        let ViewDraft { name, shared, content } = draft;
        let view = SavedView { id, version, name, owner: owner.clone(), shared, content, time: self.clock.now() };
        let was = before.map(|(_, entry)| format!("; before it was {}", described(&entry.name, entry.shared))).unwrap_or_default();
        let detail = format!("view {id}: {}{was}", described(&view.name, shared));
        drop(index);
        self.write(actor, "save_view", &view, false, detail)?;
        let mut index = self.index.write();
        index.last_id = index.last_id.max(id);
        index.views.insert(id, ViewEntry { version, name: view.name.clone(), owner: view.owner.clone(), shared });
        Ok(view)
    }

    /// Removes a view, of one's own or, for who may do so, of anybody.
    ///
    /// # Errors
    /// See [`NoteError`]; nothing is removed then.
    pub fn remove(&self, actor: &Actor, id: u64, of_anybody: bool) -> Result<(), NoteError> {
        let _changing = self.changing.lock();
        let index = self.index.read();
        let of_caller = |entry: &&ViewEntry| entry.owner == actor.principal || of_anybody && entry.shared;
        let Some(entry) = index.views.get(&id).filter(of_caller) else {
            return Err(NoteError::NotFound { what: word(KIND), id });
        };
        let version = next_version(KIND, id, entry.version, None)?;
        let ViewEntry { name, owner, shared, .. } = entry.clone();
        let detail = format!("view {id} of {owner}: {}", described(&name, shared));
        let view = SavedView { id, version, name, owner, shared, content: String::new(), time: self.clock.now() };
        drop(index);
        self.write(actor, "delete_view", &view, true, detail)?;
        self.index.write().views.remove(&id);
        Ok(())
    }

    /// Names and ids of the views that somebody sees, in their order, behind `after`, at most `limit`.
    pub fn seen_by(&self, owner: &str, after: Option<&(String, u64)>, limit: usize) -> Vec<(String, u64)> {
        let index = self.index.read();
        let seen = index.views.iter().filter(|(_, entry)| entry.shared || entry.owner == owner);
        let mut named: Vec<(&str, u64)> = seen.map(|(id, entry)| (entry.name.as_str(), *id)).collect();
        named.retain(|place| after.is_none_or(|(name, id)| *place > (name.as_str(), *id)));
        named.sort_unstable();
        named.into_iter().take(limit).map(|(name, id)| (name.to_owned(), id)).collect()
    }

    /// The last version of a view; `None` where it is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, id: u64) -> Result<Option<SavedView>, StoreError> {
        let version = self.index.read().views.get(&id).map(|entry| entry.version);
        let Some(version) = version else { return Ok(None) };
        let key = NoteKey { kind: KIND, id, version };
        read::<StoredView>(&*self.store, key).map(|stored| Some(stored.of(key)))
    }

    fn write(&self, actor: &Actor, action: &str, view: &SavedView, removed: bool, detail: String) -> Result<(), NoteError> {
        let SavedView { id, version, name, owner, shared, content, time } = view.clone();
        let entry = AuditEntry {
            time,
            action: action.into(),
            principal: actor.principal.clone(),
            client: actor.client.clone(),
            detail,
            ..AuditEntry::default()
        };
        let stored = encode(&StoredView { name, owner, shared, content, time, removed })?;
        self.store.put_notes(&[(NoteKey { kind: KIND, id, version }, stored)], &[entry])?;
        Ok(())
    }
}

fn described(name: &str, shared: bool) -> String {
    format!("{name:?}, {}", if shared { "shared" } else { "private" })
}
