//! Which tags the configuration that runs has, for whoever is about to change the name of one: a start would make a tag of the old name anew.

use std::collections::HashMap;

use historian_model::{TagName, TagRename, TagScope};
use historian_store::Catalog;
use parking_lot::Mutex;

use super::config::Configuration;

/// The configured tags by name, each with its device; that of a tag that clients write is empty.
#[derive(Default)]
pub struct ConfiguredTags(Mutex<HashMap<TagName, String>>);

impl ConfiguredTags {
    pub fn of(configuration: &Configuration) -> ConfiguredTags {
        ConfiguredTags(Mutex::new(named(configuration)))
    }

    /// The device of a tag that is configured; `None` for one that is not.
    pub fn device_of(&self, name: &str) -> Option<String> {
        self.0.lock().get(name).cloned()
    }

    /// Adds those of a configuration that is about to hold.
    pub fn add(&self, configuration: &Configuration) {
        let named = named(configuration);
        self.0.lock().extend(named);
    }

    /// Has those of the configuration that holds, and no others.
    pub fn set(&self, configuration: &Configuration) {
        let named = named(configuration);
        *self.0.lock() = named;
    }
}

fn named(configuration: &Configuration) -> HashMap<TagName, String> {
    let written = configuration.written_tags.iter().map(|definition| (definition.name.clone(), String::new()));
    let collected = configuration.collectors.iter().flat_map(|collector| {
        let device = collector.device().to_owned();
        collector.tags().into_iter().map(move |definition| (definition.name, device.clone()))
    });
    written.chain(collected).collect()
}

/// Whether the configuration has a device for the tag of a name, as the catalog has it.
pub fn is_collected(catalog: &Catalog, name: &TagName) -> bool {
    catalog.within(&TagScope::Everything).get(name.as_str()).is_some_and(|tag| tag.definition.source.is_some())
}

/// Says of which tags the old name and the new one are both taken.
pub fn tell_blocked(catalog: &Catalog, renames: &[TagRename]) {
    for TagRename { from, to } in catalog.blocked(renames) {
        tracing::warn!(
            tag = %to, renamed_from = %from,
            "is not renamed: there are tags of both names, each with samples of its own; take renamed_from out of its configuration if that is meant"
        );
    }
}

pub fn tell_renamed(renamed: &[TagRename]) {
    for TagRename { from, to } in renamed {
        tracing::info!(tag = %to, renamed_from = %from, "the tag has another name now, and keeps its id and samples");
    }
}
