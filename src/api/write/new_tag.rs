//! Tags that a write makes. They are made when all of it has been checked, and only where a sample of theirs is to be stored: a write that is
//! refused leaves no tag behind.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tonic::Status;

use crate::{Services, status};
use historian_model::{
    SampleBatch, Tag, TagDefinition, TagId, TagName, Timestamp, ValueType,
    sink::{Actor, Rejected},
    tag::InvalidTagName,
};

/// Tags that are to be made for one write. Until then each has an id that no tag of the catalog has.
#[derive(Default)]
pub struct NewTags {
    tags: Vec<Arc<Tag>>,
    by_name: HashMap<TagName, usize>,
}

impl NewTags {
    /// The tag of this name that is to be made; the first who asks says its type.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn tag(&mut self, name: &str, value_type: ValueType) -> Result<Arc<Tag>, InvalidTagName> {
        let name = TagName::new(name)?;
        let index = *self.by_name.entry(name.clone()).or_insert_with(|| {
            // The catalog counts up from 1, to fewer tags than that.
            let id = TagId(u32::MAX - u32::try_from(self.tags.len()).unwrap_or(0));
            let definition = TagDefinition::new(name, value_type);
            self.tags.push(Arc::new(Tag { id, definition, created: Timestamp(0), updated: Timestamp(0) }));
            self.tags.len() - 1
        });
        Ok(self.tags[index].clone())
    }

    /// Makes the tags that have samples, in one durable write, and puts their ids into the batch; answers the samples that would have been
    /// rejected, which are out of the batch then, and so are the runs of tags that are left without any. Blocks on the catalog.
    ///
    /// # Errors
    /// Why the batch cannot be written, or the tags not made; no tag is made then.
    pub fn make(self, services: &Services, actor: &Actor, batch: &mut SampleBatch) -> Result<Rejected, Status> {
        if self.tags.is_empty() {
            return Ok(Rejected::default());
        }
        let names: HashMap<TagId, &TagName> = self.tags.iter().map(|tag| (tag.id, tag.name())).collect();
        let rejected = services.sink.admit(batch, &names).map_err(|error| status::from_write(&error))?;
        batch.runs.retain(|(id, run)| !(names.contains_key(id) && run.is_empty()));
        let with_samples: HashSet<TagId> = batch.runs.iter().map(|(id, _)| *id).collect();
        let wanted: Vec<&Arc<Tag>> = self.tags.iter().filter(|tag| with_samples.contains(&tag.id)).collect();
        if wanted.is_empty() {
            return Ok(rejected);
        }
        let definitions = wanted.iter().map(|tag| tag.definition.clone()).collect();
        let made = services.catalog.get_or_create_by(actor, definitions).map_err(|error| status::from_catalog(&error))?;
        let ids: HashMap<TagId, TagId> = wanted.iter().zip(made).map(|(wanted, made)| (wanted.id, made.id)).collect();
        for (id, _) in &mut batch.runs {
            *id = ids.get(id).copied().unwrap_or(*id);
        }
        Ok(rejected)
    }
}
