//! Tags that a device shows only while it is collected from, and that its collector makes then.
//!
//! Such a tag stays in the catalog, with the device as its source: after a restart its collector gets it again with its last sample, and ends
//! that value by the same rules as those of configured tags.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::UnfilledGap;
use historian_model::{Sample, TagDefinition, TagId};

/// Makes tags while the historian runs.
#[async_trait]
pub trait TagMaker: Send + Sync + 'static {
    /// For each definition, in their order, the tag of this name that takes samples of the device from now on, or why there is none. One write
    /// of the catalog for all that are new. The source is set by the maker as to the device; the address is the collector's.
    async fn make(&self, definitions: Vec<TagDefinition>) -> Vec<Result<TagId, String>>;
}

/// A tag that the device's collector made.
#[derive(Clone, Debug)]
pub struct FoundTag {
    pub id: TagId,
    pub definition: TagDefinition,
    /// The latest sample that the store holds, where there is one.
    pub last: Option<Sample>,
    /// As [`super::CollectorContext::unfilled`].
    pub unfilled: Vec<UnfilledGap>,
}

/// What a collector has beside its configured tags.
#[derive(Clone)]
pub struct FoundTags {
    pub maker: Arc<dyn TagMaker>,
    /// Tags that earlier runs made, as far as [`super::Collector::keeps`] says that they are still collected.
    pub kept: Vec<FoundTag>,
}

impl Default for FoundTags {
    /// For collectors whose tags are all configured.
    fn default() -> FoundTags {
        FoundTags { maker: Arc::new(NoMaker), kept: Vec::new() }
    }
}

impl fmt::Debug for FoundTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundTags").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

/// Where nobody makes tags.
struct NoMaker;

#[async_trait]
impl TagMaker for NoMaker {
    async fn make(&self, definitions: Vec<TagDefinition>) -> Vec<Result<TagId, String>> {
        definitions.iter().map(|_| Err("no tags are made here".to_owned())).collect()
    }
}
