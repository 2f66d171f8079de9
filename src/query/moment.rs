//! The moment that a query sees. However many parts it has, and whenever they are read: every write is there whole, in all tags, or not at
//! all.

use std::{collections::HashSet, fmt, sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::error::QueryError;
use historian_model::{Tag, TagId};
use historian_read::{memory::MemoryBudget, merge::TagReader};

/// Taken when the first tag of the query is read. Clones are the same moment.
#[derive(Clone, Default)]
pub struct Moment(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    wanted: HashSet<TagId>,
    view: Option<TagReader>,
}

impl fmt::Debug for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.lock().view.is_some() { "taken" } else { "not yet taken" })
    }
}

impl Moment {
    /// Names tags that other parts of the query will read, before the first one reads.
    pub fn want(&self, tags: &[Arc<Tag>]) {
        self.0.lock().wanted.extend(tags.iter().map(|tag| tag.id));
    }

    /// A reader of the moment. Tags that were not wanted when it was taken are seen at another one.
    pub(super) fn view(
        &self,
        reader: &TagReader,
        tags: &[Arc<Tag>],
        deadline: Instant,
        memory: &MemoryBudget,
    ) -> Result<TagReader, QueryError> {
        let mut inner = self.0.lock();
        if let Some(view) = inner.view.as_ref().filter(|view| view.sees(tags)) {
            return Ok(view.clone());
        }
        let first = inner.view.is_none();
        let mut wanted = if first { std::mem::take(&mut inner.wanted) } else { HashSet::new() };
        wanted.extend(tags.iter().map(|tag| tag.id));
        let view = reader.view(wanted.into_iter(), deadline, memory).map_err(|error| QueryError::viewing(&error))?;
        if first {
            inner.view = Some(view.clone());
        }
        Ok(view)
    }
}
