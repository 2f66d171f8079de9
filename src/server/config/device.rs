//! The protocols a configuration can name: one implementation of [`DeviceConfig`] and one line in [`PROTOCOLS`] each.

use std::{path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::document::{DeviceTable, Document};
use crate::collector::{Collector, ConfigProblem, Position, TagConfig};

/// A protocol's table `[[name]]` and how it is read.
pub(super) struct Protocol {
    pub(super) name: &'static str,
    pub(super) read: for<'text> fn(&mut Document<'text>, DeviceTable<'text>, &Path) -> Option<Box<dyn Device>>,
}

/// A device read from the file, before its tags from tag files have joined it.
pub(super) trait Device {
    fn name(&self) -> &str;
    fn tags(&self) -> &[TagConfig];
    fn add_tag(&mut self, tag: TagConfig);
    fn build(self: Box<Self>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>>;
}
pub(super) static PROTOCOLS: [Protocol; 0] = [];
