//! The items of a device while it is collected from: those of the configuration, and behind them those of tags that were found.

use std::sync::Arc;

use parking_lot::Mutex;

use super::item::OpcUaTag;

/// All items by their indexes, which stay those of one tag: the list only grows.
pub struct WantedItems {
    all: Mutex<Vec<WantedItem>>,
    configured: usize,
}

struct WantedItem {
    tag: Arc<OpcUaTag>,
    standing: Standing,
}

/// What is known of where an item comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is to be monitored.
    Wanted,
    /// In this run of the server nothing has said yet that the node is still at its place.
    Awaited,
    /// There is no such variable, in words.
    Gone(String),
}

impl WantedItems {
    pub fn new(configured: &[OpcUaTag]) -> WantedItems {
        let wanted = |tag: &OpcUaTag| WantedItem { tag: Arc::new(tag.clone()), standing: Standing::Wanted };
        WantedItems { all: Mutex::new(configured.iter().map(wanted).collect()), configured: configured.len() }
    }

    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    /// Items of the configuration: those of smaller indexes.
    pub fn configured(&self) -> usize {
        self.configured
    }

    /// Number of the others, which globs have made.
    pub fn found(&self) -> usize {
        self.len() - self.configured
    }

    pub fn get(&self, index: usize) -> Option<Arc<OpcUaTag>> {
        self.all.lock().get(index).map(|item| item.tag.clone())
    }

    /// The item of an index that the list has given.
    pub fn item(&self, index: usize) -> Arc<OpcUaTag> {
        self.all.lock()[index].tag.clone()
    }

    pub fn standing(&self, index: usize) -> Standing {
        self.all.lock()[index].standing.clone()
    }

    /// Why there is no such variable; `None` where there may be one.
    pub fn gone(&self, index: usize) -> Option<String> {
        match &self.all.lock()[index].standing {
            Standing::Gone(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Indexes of the items that are to be monitored.
    pub fn wanted(&self) -> Vec<usize> {
        let all = self.all.lock();
        all.iter().enumerate().filter(|(_, item)| item.standing == Standing::Wanted).map(|(index, _)| index).collect()
    }

    /// Indexes of the items of which there is no variable.
    pub fn all_gone(&self) -> Vec<usize> {
        let all = self.all.lock();
        all.iter().enumerate().filter(|(_, item)| matches!(item.standing, Standing::Gone(_))).map(|(index, _)| index).collect()
    }

    /// Adds one that was found; answers its index.
    pub fn add(&self, tag: OpcUaTag, standing: Standing) -> usize {
        let mut all = self.all.lock();
        all.push(WantedItem { tag: Arc::new(tag), standing });
        all.len() - 1
    }

    pub fn stand(&self, index: usize, standing: Standing) {
        self.all.lock()[index].standing = standing;
    }

    /// The item is this one now.
    pub fn replace(&self, index: usize, tag: OpcUaTag) {
        self.all.lock()[index].tag = Arc::new(tag);
    }

    /// Another run of the server: nothing is known of what was found in the one before.
    pub fn await_found(&self) {
        for item in self.all.lock().iter_mut().skip(self.configured) {
            if item.standing == Standing::Wanted {
                item.standing = Standing::Awaited;
            }
        }
    }
}
