//! Catalog of tags: names, ids and definitions, in memory, with every change written through to the store before it is visible.

use std::sync::Arc;

use crate::model::{Tag, TagDefinition, TagId, TagSelection};

/// Why the catalog refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    #[error("tag {0:?} exists already")]
    Exists(String),
    #[error("there is no tag {0:?}")]
    NotFound(String),
    #[error("tag {tag}: {reason}")]
    Invalid { tag: String, reason: String },
    #[error("the catalog holds its limit of {limit} tags")]
    Full { limit: usize },
    #[error("the catalog could not be written: {0}")]
    Store(String),
}

pub struct Catalog {}

impl Catalog {
    pub fn get(&self, _name: &str) -> Option<Arc<Tag>> {
        todo!()
    }
    pub fn by_id(&self, _id: TagId) -> Option<Arc<Tag>> {
        todo!()
    }
    /// Tags selected, in the order of their names, each once; and the exact names that no tag has.
    pub fn select(&self, _selection: &TagSelection) -> (Vec<Arc<Tag>>, Vec<String>) {
        todo!()
    }
    /// Up to `limit` tags in the order of their names that are selected and pass `keep`, starting after the name `after`.
    pub fn page(&self, _selection: &TagSelection, _after: Option<&str>, _limit: usize, _keep: &dyn Fn(&Tag) -> bool) -> Vec<Arc<Tag>> {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn create(&self, _definition: TagDefinition) -> Result<Arc<Tag>, CatalogError> {
        todo!()
    }
    /// For each definition the tag of that name, made where there is none; one durable write for all. An existing tag is returned as it is.
    pub fn get_or_create(&self, _definitions: Vec<TagDefinition>) -> Result<Vec<Arc<Tag>>, CatalogError> {
        todo!()
    }
    /// Replaces the definition of the tag with `definition.name`; the value type cannot change.
    pub fn update(&self, _definition: TagDefinition) -> Result<Arc<Tag>, CatalogError> {
        todo!()
    }
    pub fn delete(&self, _name: &str) -> Result<(), CatalogError> {
        todo!()
    }
}
