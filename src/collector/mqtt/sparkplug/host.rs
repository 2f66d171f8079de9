//! The host: finds the node that a message is of, and when time alone has something to do.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use historian_model::Timestamp;
use prost::{Message, bytes::Bytes};

use super::{
    DeathReason, EdgeName, HostEvent, HostOptions,
    node::{NodeContext, NodeMessage, NodeSession},
    payload::{COMPRESSED, WirePayload},
    topic::{EdgeMessage, SparkplugTopic, read_topic},
};

/// Between the requests for rebirths of two nodes, when all are to be asked.
const BETWEEN_REBIRTHS: Duration = Duration::from_millis(20);

/// The Sparkplug B host application, without I/O and clock.
///
/// `received` is wall-clock time, for what brings no time of its own. `now` is monotonic, since any start.
pub struct SparkplugHost {
    options: HostOptions,
    /// By `group/node`.
    by_name: HashMap<String, usize>,
    nodes: Vec<NodeSession>,
    /// When each node is due, as far as it is.
    due: BTreeSet<(Duration, usize)>,
    due_of: Vec<Option<Duration>>,
    /// Of the messages of all nodes that wait.
    held_bytes: usize,
    lost_at: Option<Timestamp>,
}

impl SparkplugHost {
    /// A host that knows nothing yet. Where the metrics of all edges count as Bad since some time (the collector was stopped), a
    /// [`Self::link_lost`] with that time before the first message makes births say so.
    pub fn new(options: HostOptions) -> SparkplugHost {
        let (by_name, due) = (HashMap::new(), BTreeSet::new());
        SparkplugHost { options, by_name, nodes: Vec::new(), due, due_of: Vec::new(), held_bytes: 0, lost_at: None }
    }

    /// One message as it arrived.
    pub fn take(&mut self, topic: &str, payload: &[u8], received: Timestamp, now: Duration) -> Vec<HostEvent> {
        self.take_either(topic, payload, false, received, now)
    }

    /// One message that the broker had retained, which edges must not ask for and one make does. What it tells of metrics is learnt and its
    /// values are historical; its edges count as dead and the node is asked for a rebirth. Nothing where the node is known to live.
    pub fn take_retained(&mut self, topic: &str, payload: &[u8], received: Timestamp, now: Duration) -> Vec<HostEvent> {
        self.take_either(topic, payload, true, received, now)
    }

    /// What is due by time alone: messages that waited long enough, devices that were not born again, rebirths to ask for.
    pub fn tick(&mut self, _received: Timestamp, now: Duration) -> Vec<HostEvent> {
        let mut events = Vec::new();
        let due: Vec<usize> = self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, index)| *index).collect();
        for index in due {
            self.with_node(index, now, &mut events, NodeSession::tick);
        }
        events
    }

    /// Takes what waits for messages that are missing: nothing more comes, the collector stops.
    pub fn release(&mut self) -> Vec<HostEvent> {
        let mut events = Vec::new();
        for index in 0..self.nodes.len() {
            self.with_node(index, Duration::ZERO, &mut events, NodeSession::pass_gap);
        }
        events
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The link to the broker is lost: what waits is taken, then every living edge is dead. What is known of order is void; aliases are
    /// kept, but what comes by them is Uncertain until the next birth. A node that goes on is asked for a rebirth when its first data
    /// comes.
    pub fn link_lost(&mut self, at: Timestamp) -> Vec<HostEvent> {
        let mut events = Vec::new();
        self.lost_at = Some(at);
        for index in 0..self.nodes.len() {
            // Nothing is asked here: the time matters for that only.
            self.with_node(index, Duration::ZERO, &mut events, |node, context| node.link_lost(at, context));
        }
        events
    }

    /// The link to the broker is back, and subscribed. Nodes that are known and are not born on their own in the reorder timeout are asked
    /// for a rebirth, one every 20 ms: a quiet one would be dead until its next data otherwise.
    pub fn link_found(&mut self, now: Duration) {
        let mut due = now.saturating_add(self.options.reorder_timeout);
        for index in 0..self.nodes.len() {
            self.nodes[index].link_found(due);
            self.schedule(index);
            due = due.saturating_add(BETWEEN_REBIRTHS);
        }
    }

    fn take_either(&mut self, topic: &str, payload: &[u8], is_retained: bool, received: Timestamp, now: Duration) -> Vec<HostEvent> {
        let mut events = Vec::new();
        let (group, node, device, kind) = match read_topic(topic) {
            Ok(SparkplugTopic::Edge { group, node, device, message }) => (group, node, device, message),
            Ok(SparkplugTopic::Foreign) => return events,
            Err(reason) => return vec![HostEvent::Refused { edge: None, metric: None, reason }],
        };
        let edge = || EdgeName { group: group.to_owned(), node: node.to_owned(), device: device.map(str::to_owned) };
        let is_death = matches!(kind, EdgeMessage::NodeDeath | EdgeMessage::DeviceDeath);
        let read = match self.read(payload) {
            Ok(read) => read,
            Err(reason) => {
                events.push(HostEvent::Refused { edge: Some(edge()), metric: None, reason });
                if !is_death {
                    return events;
                }
                // Dead it is, whatever it says.
                WirePayload::default()
            }
        };
        let key = format!("{group}/{node}");
        let index = match self.by_name.get(&key) {
            Some(index) => *index,
            None if is_death => {
                let reason = if device.is_some() { DeathReason::DeviceDeath } else { DeathReason::NodeDeath };
                events.push(HostEvent::Dead { edge: edge(), at: received, reason });
                return events;
            }
            None if self.nodes.len() >= self.options.nodes_max => {
                let reason = format!("{} edge nodes are known already; no more are taken", self.options.nodes_max);
                events.push(HostEvent::Refused { edge: Some(edge()), metric: None, reason });
                return events;
            }
            None => {
                self.nodes.push(NodeSession::new(group, node, self.lost_at));
                self.due_of.push(None);
                self.by_name.insert(key, self.nodes.len() - 1);
                self.nodes.len() - 1
            }
        };
        let message = NodeMessage { device: device.map(str::to_owned), kind, payload: read, bytes: payload.len(), received };
        let take = if is_retained { NodeSession::take_retained } else { NodeSession::take };
        self.with_node(index, now, &mut events, |node, context| take(node, message, context));
        events
    }

    fn read(&self, payload: &[u8]) -> Result<WirePayload, String> {
        let most = self.options.payload_bytes_max;
        if payload.len() > most {
            return Err(format!("a message of {} bytes is not taken, only up to {most}", payload.len()));
        }
        let read = WirePayload::decode(Bytes::copy_from_slice(payload))
            .map_err(|error| format!("a message of {} bytes is no payload of Sparkplug B: {error}", payload.len()))?;
        if read.uuid.as_deref() == Some(COMPRESSED) {
            return Err("its payload is compressed, which is not supported; switch compression off at the edge".to_owned());
        }
        Ok(read)
    }

    fn with_node(
        &mut self,
        index: usize,
        now: Duration,
        events: &mut Vec<HostEvent>,
        work: impl FnOnce(&mut NodeSession, &mut NodeContext),
    ) {
        let node = &mut self.nodes[index];
        let elsewhere = self.held_bytes - node.held_bytes();
        let held_bytes_max = self.options.held_bytes_max.saturating_sub(elsewhere);
        work(node, &mut NodeContext { options: &self.options, held_bytes_max, now, events });
        self.held_bytes = elsewhere + node.held_bytes();
        self.schedule(index);
    }

    fn schedule(&mut self, index: usize) {
        let due = self.nodes[index].due(&self.options);
        let before = std::mem::replace(&mut self.due_of[index], due);
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, index));
        }
        if let Some(due) = due {
            self.due.insert((due, index));
        }
    }
}
