//! Whether the nodes of configured tags are still those that they were: a server that is configured anew may give a node id to another variable.
//!
//! The name of each node is remembered from its first connection on, and compared in every new run of the server. It is forgotten when the
//! collector of the device starts anew, after a change of its configuration or of the historian: that is how a change is accepted. Tags that
//! globs make have their paths, and need none of this.

use std::collections::{BTreeMap, HashMap};

use opcua::{client::Session, types::StatusCode};
use parking_lot::Mutex;

use super::{
    address::NodeAddress,
    browse,
    device::{IdentityGuard, OpcUaSettings},
    fault::ConnectionFault,
    wanted::WantedItems,
};

/// Status of a tag whose node is another one, where that is refused.
pub const OTHER_NODE: StatusCode = StatusCode::BadConfigurationError;

/// The names of the nodes of a device, by the indexes of their items.
#[derive(Default)]
pub struct NodeIdentities(Mutex<KnownNames>);

#[derive(Default)]
struct KnownNames {
    names: HashMap<usize, String>,
    /// What differs, in words.
    changed: BTreeMap<usize, String>,
}

impl NodeIdentities {
    /// Reads the names of the nodes of configured tags. Answers in words what is new of it.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn compare(
        &self,
        device: &OpcUaSettings,
        items: &WantedItems,
        session: &Session,
    ) -> Result<Vec<String>, ConnectionFault> {
        if device.identity == IdentityGuard::Off {
            return Ok(Vec::new());
        }
        let nodes: Vec<NodeAddress> = (0..items.configured()).map(|index| items.item(index).address.clone()).collect();
        let names = browse::browse_names(session, &nodes, device.timeout).await?;
        let mut news = Vec::new();
        let named = names.into_iter().enumerate().filter_map(|(index, name)| Some((index, name?.ok()?)));
        for (index, name) in named {
            if let Some(what) = self.0.lock().compare(index, &name) {
                let item = items.item(index);
                news.push(format!("{} ({}): {what}", item.definition.name, item.address_text));
            }
        }
        Ok(news)
    }

    /// Why a node may mean something else than before.
    pub fn doubt(&self, index: usize) -> Option<String> {
        self.0.lock().changed.get(&index).cloned()
    }

    /// All doubts, by the indexes of the items.
    pub fn doubts(&self) -> BTreeMap<usize, String> {
        self.0.lock().changed.clone()
    }
}

impl KnownNames {
    /// Takes the name that a node has now; answers what is new.
    fn compare(&mut self, index: usize, name: &str) -> Option<String> {
        let before = self.names.entry(index).or_insert_with(|| name.to_owned());
        if before == name {
            return self.changed.remove(&index).map(|_| format!("its node is {name} again"));
        }
        let what = format!("its node was {before} and is {name} now; reload a changed configuration of the device to accept it");
        (self.changed.insert(index, what.clone()).as_ref() != Some(&what)).then_some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_is_a_doubt_until_the_first_one_is_back() {
        let known = NodeIdentities::default();
        let compare = |name: &str| known.0.lock().compare(3, name);
        assert_eq!((compare("Speed"), compare("Speed"), known.doubt(3)), (None, None, None));
        assert!(compare("Torque").unwrap().contains("was Speed and is Torque now"));
        assert_eq!(compare("Torque"), None, "told once");
        assert!(known.doubt(3).is_some() && known.doubt(4).is_none() && known.doubts().len() == 1);
        assert_eq!(compare("Speed").unwrap(), "its node is Speed again");
        assert_eq!(known.doubt(3), None);
    }
}
