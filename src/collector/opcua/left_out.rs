//! Nodes left out of the subscriptions of a device, because their value broke a whole notification.

use std::{collections::BTreeMap, time::Duration};

use opcua::{
    client::Session,
    types::{NodeId, ReadValueId},
};
use parking_lot::Mutex;

use super::{device::OpcUaSettings, fault::ConnectionFault, read, wire};

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

    /// Reads every node of the device once, so that all whose value cannot be decoded are known and one session is rebuilt for them all.
    /// Without any there is nothing to do.
    pub async fn sweep(
        &self,
        device: &OpcUaSettings,
        session: &Session,
        namespaces: &[String],
        per_read: usize,
    ) -> Result<(), ConnectionFault> {
        if self.0.lock().is_empty() {
            return Ok(());
        }
        let all = 0..device.items.len();
        self.read(device, session, namespaces, per_read, all.collect()).await
    }

    /// Reads the nodes that are left out, one by one; those whose value can be decoded by now are taken up again.
    pub async fn recheck(&self, device: &OpcUaSettings, session: &Session, namespaces: &[String]) -> Result<(), ConnectionFault> {
        let out: Vec<usize> = self.0.lock().keys().copied().collect();
        self.read(device, session, namespaces, 1, out).await
    }

    async fn read(
        &self,
        device: &OpcUaSettings,
        session: &Session,
        namespaces: &[String],
        per_read: usize,
        indexes: Vec<usize>,
    ) -> Result<(), ConnectionFault> {
        let known: Vec<(usize, NodeId)> =
            indexes.into_iter().filter_map(|index| Some((index, device.items[index].address.resolve(namespaces)?))).collect();
        let nodes: Vec<ReadValueId> = known.iter().map(|(index, node)| device.items[*index].value_of(node.clone())).collect();
        let timeout: Duration = device.timeout;
        let values = read::values(session, &nodes, per_read, timeout).await?;
        let mut out = self.0.lock();
        for ((index, _), value) in known.into_iter().zip(values) {
            let item = &device.items[index];
            let reading = item.conversion.sample(value, item.definition.value_type);
            if reading.problem.starts_with(wire::BROKEN) {
                out.entry(index).or_insert(reading.problem);
            } else {
                out.remove(&index);
            }
        }
        Ok(())
    }
}
