//! Nodes left out of the subscriptions of a device, because their value broke a whole notification.

use std::{collections::BTreeMap, time::Duration};

use opcua::{
    client::Session,
    types::{NodeId, ReadValueId},
};
use parking_lot::Mutex;

use super::{
    fault::ConnectionFault,
    read::{self, Facts},
    structure::types::StructureTypes,
    wanted::WantedItems,
    wire,
};

/// Items by index, and why. Outlives the sessions of a device.
#[derive(Debug, Default)]
pub struct LeftOut(Mutex<BTreeMap<usize, String>>);

impl LeftOut {
    pub fn add(&self, index: usize, why: String) {
        self.0.lock().insert(index, why);
    }

    pub fn has(&self, index: usize) -> bool {
        self.0.lock().contains_key(&index)
    }

    /// Reads every node once that is to be monitored, so that all whose value cannot be decoded are known and one session is rebuilt for them all.
    /// Without any there is nothing to do.
    pub async fn sweep(&self, items: &WantedItems, session: &Session, facts: &Facts, timeout: Duration) -> Result<(), ConnectionFault> {
        if self.0.lock().is_empty() {
            return Ok(());
        }
        self.read(items, session, (&facts.namespaces, facts.nodes_per_read), timeout, items.wanted()).await
    }

    /// Reads the nodes that are left out, one by one; those whose value can be decoded by now are taken up again.
    pub async fn recheck(&self, items: &WantedItems, session: &Session, facts: &Facts, timeout: Duration) -> Result<(), ConnectionFault> {
        let out: Vec<usize> = self.0.lock().keys().copied().collect();
        self.read(items, session, (&facts.namespaces, 1), timeout, out).await
    }

    async fn read(
        &self,
        items: &WantedItems,
        session: &Session,
        (namespaces, per_read): (&[String], usize),
        timeout: Duration,
        indexes: Vec<usize>,
    ) -> Result<(), ConnectionFault> {
        let known: Vec<(usize, NodeId)> =
            indexes.into_iter().filter_map(|index| Some((index, items.item(index).address.resolve(namespaces)?))).collect();
        let nodes: Vec<ReadValueId> = known.iter().map(|(index, node)| items.item(*index).value_of(node.clone())).collect();
        let values = read::values(session, &nodes, per_read, timeout).await?;
        let mut out = self.0.lock();
        for ((index, _), value) in known.into_iter().zip(values) {
            let item = items.item(index);
            // What is in a structure breaks nothing.
            let reading = item.conversion.sample(value, item.definition.value_type, &StructureTypes::default());
            if reading.problem.starts_with(wire::BROKEN) {
                out.entry(index).or_insert(reading.problem);
            } else {
                out.remove(&index);
            }
        }
        Ok(())
    }
}
