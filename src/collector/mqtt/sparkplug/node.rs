//! One edge node with its devices: births, deaths and the order of its messages.

use std::{collections::BTreeMap, time::Duration};

use historian_model::Timestamp;
use prost::Message;

use super::{
    DeathReason, EdgeName, HostEvent, HostOptions,
    edge::{BD_SEQ, EdgeContext, EdgeTable},
    order::{PlacedMessage, ReorderWindow},
    payload::{WireMetric, WireMetricValue, WirePayload},
    rebirth::RebirthClock,
    topic::EdgeMessage,
};

/// A message of a node or of one of its devices.
pub(super) struct NodeMessage {
    pub device: Option<String>,
    pub kind: EdgeMessage,
    pub payload: WirePayload,
    pub bytes: usize,
    /// Wall-clock time of the receipt.
    pub received: Timestamp,
}

/// The bounds, the present (monotonic), and where events go.
pub(super) struct NodeContext<'a> {
    pub options: &'a HostOptions,
    /// Of the messages of this node that wait.
    pub held_bytes_max: usize,
    pub now: Duration,
    pub events: &'a mut Vec<HostEvent>,
}

/// What is known of one node.
pub(super) struct NodeSession {
    group: String,
    node: String,
    own: EdgeTable,
    devices: BTreeMap<String, EdgeTable>,
    order: ReorderWindow<NodeMessage>,
    rebirth: RebirthClock,
    /// Of the last birth.
    bd_seq: Option<u64>,
    /// Until when devices may be born behind their node, and when that was born.
    grace: Option<(Duration, Timestamp)>,
    /// Of the node and its devices.
    metrics: usize,
    /// When the link was lost the last time.
    lost_at: Option<Timestamp>,
}

impl NodeSession {
    pub fn new(group: &str, node: &str, lost_at: Option<Timestamp>) -> NodeSession {
        let name = EdgeName { group: group.to_owned(), node: node.to_owned(), device: None };
        NodeSession {
            group: group.to_owned(),
            node: node.to_owned(),
            own: EdgeTable::new(name, lost_at),
            devices: BTreeMap::new(),
            order: ReorderWindow::new(),
            rebirth: RebirthClock::default(),
            bd_seq: None,
            grace: None,
            metrics: 0,
            lost_at,
        }
    }

    /// When time alone has something to do.
    pub fn due(&self, options: &HostOptions) -> Option<Duration> {
        let order = self.order.waiting_since().map(|since| since.saturating_add(options.reorder_timeout));
        [order, self.grace.map(|(until, _)| until), self.rebirth.due()].into_iter().flatten().min()
    }

    /// Bytes of the messages that wait.
    pub fn held_bytes(&self) -> usize {
        self.order.held().1
    }

    /// Takes one message as it arrives.
    pub fn take(&mut self, message: NodeMessage, context: &mut NodeContext) {
        match (message.kind, message.payload.seq) {
            (EdgeMessage::NodeBirth, _) => self.born(&message, context),
            (EdgeMessage::NodeDeath, _) => {
                self.pass_gap(context);
                self.dead(&message, context);
            }
            (_, None) => {
                self.pass_gap(context);
                self.apply(&message, context);
            }
            (_, Some(seq)) => self.place(seq, message, context),
        }
        self.ask(context);
    }

    /// Takes a message that the broker had kept: what it tells is learnt, but nobody need be alive.
    pub fn take_retained(&mut self, message: NodeMessage, context: &mut NodeContext) {
        if self.edges().any(EdgeTable::is_living) {
            return;
        }
        let (received, first) = (message.received, context.events.len());
        self.take(message, context);
        for event in &mut context.events[first..] {
            if let HostEvent::Reading { reading, .. } = event {
                reading.historical = true;
            }
        }
        if self.edges().any(EdgeTable::is_living) {
            self.end(received, DeathReason::Retained, context.events);
            let reason = || "only a message that the broker had retained is known".to_owned();
            self.rebirth.want(reason, context.now, context.options.rebirth_spacing);
            self.ask(context);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, context: &mut NodeContext) {
        let timeout = context.options.reorder_timeout;
        if self.order.waiting_since().is_some_and(|since| since.saturating_add(timeout) <= context.now) {
            self.pass_gap(context);
        }
        if let Some((_, born_at)) = self.grace.take_if(|(until, _)| *until <= context.now) {
            for device in self.devices.values_mut().filter(|device| !device.is_born && !device.is_living()) {
                device.die(born_at, DeathReason::NotBornAgain, context.events);
            }
        }
        self.ask(context);
    }

    /// The link to the broker is lost.
    pub fn link_lost(&mut self, at: Timestamp, context: &mut NodeContext) {
        self.pass_gap(context);
        self.end(at, DeathReason::LinkLost, context.events);
        self.rebirth.reset();
        self.lost_at = Some(at);
    }

    /// The link to the broker is back. A node that does not say something itself until then is asked for a rebirth.
    pub fn link_found(&mut self, due: Duration) {
        if !self.own.is_born {
            self.rebirth.want_at("the link to the broker was lost", due);
        }
    }

    fn edges(&self) -> impl Iterator<Item = &EdgeTable> {
        std::iter::once(&self.own).chain(self.devices.values())
    }

    fn edges_mut(&mut self) -> impl Iterator<Item = &mut EdgeTable> {
        std::iter::once(&mut self.own).chain(self.devices.values_mut())
    }

    fn place(&mut self, seq: u64, message: NodeMessage, context: &mut NodeContext) {
        // One that counts on beyond 255 is in order, too.
        match self.order.place(seq as u8, message.bytes, message, context.now) {
            PlacedMessage::Ready(message) => {
                self.apply(&message, context);
                self.apply_ready(context);
            }
            PlacedMessage::Held => {
                let (messages, bytes) = self.order.held();
                if messages > context.options.held_messages_max || bytes > context.held_bytes_max {
                    self.pass_gap(context);
                }
            }
            PlacedMessage::Late(message) => self.apply_late(&message, context),
            PlacedMessage::Stray(message) => {
                self.edges_mut().for_each(EdgeTable::lose_order);
                let reason = || format!("a message with seq {seq}, which was there already");
                self.rebirth.want(reason, context.now, context.options.rebirth_spacing);
                self.apply(&message, context);
            }
        }
    }

    fn apply_ready(&mut self, context: &mut NodeContext) {
        for message in self.order.next_ready() {
            self.apply(&message, context);
        }
    }

    /// Takes all that waits, without what is missing.
    pub fn pass_gap(&mut self, context: &mut NodeContext) {
        let (messages, missing) = self.order.release();
        if let Some(first) = missing.first() {
            self.edges_mut().for_each(EdgeTable::lose_order);
            let reason = || match missing.len() {
                1 => format!("the message with seq {first} is missing"),
                count => format!("{count} messages from seq {first} on are missing"),
            };
            self.rebirth.want(reason, context.now, context.options.rebirth_spacing);
            if self.order.is_given_up() {
                let reason = "its seq is no order: messages are taken as they come, until its next birth".to_owned();
                context.events.push(HostEvent::Refused { edge: Some(self.name(None)), metric: None, reason });
            }
        }
        for message in messages {
            self.apply(&message, context);
        }
    }

    fn born(&mut self, message: &NodeMessage, context: &mut NodeContext) {
        // What waits and is not older than the birth came before it, but belongs behind it.
        let is_behind = |waiting: &NodeMessage| match (waiting.payload.timestamp, message.payload.timestamp) {
            (Some(waiting), Some(born)) => waiting >= born,
            _ => false,
        };
        let (waiting, missing) = self.order.release();
        if !missing.is_empty() {
            self.edges_mut().for_each(EdgeTable::lose_order);
        }
        let (behind, before): (Vec<NodeMessage>, Vec<NodeMessage>) = waiting.into_iter().partition(is_behind);
        for message in before {
            self.apply(&message, context);
        }
        match message.payload.seq {
            Some(seq) => self.order.start((seq as u8).wrapping_add(1)),
            None => self.order.stop(),
        }
        self.bd_seq = bd_seq(&message.payload);
        self.devices.values_mut().for_each(EdgeTable::await_birth);
        self.grace = (!self.devices.is_empty()).then(|| (context.now.saturating_add(context.options.reorder_timeout), message.received));
        self.rebirth.cancel();
        self.take_own(message, true, context);
        for message in behind {
            if let Some(seq) = message.payload.seq {
                self.place(seq, message, context);
            }
        }
    }

    fn dead(&mut self, message: &NodeMessage, context: &mut NodeContext) {
        let is_of_session = match (self.bd_seq, bd_seq(&message.payload)) {
            (Some(born), Some(dead)) => born == dead || !self.own.is_born,
            _ => true,
        };
        self.rebirth.cancel();
        if is_of_session {
            return self.end(message.received, DeathReason::NodeDeath, context.events);
        }
        self.end(message.received, DeathReason::NodeDeathOfOtherSession, context.events);
        let reason = || "its death has another bdSeq than its birth".to_owned();
        self.rebirth.want(reason, context.now, context.options.rebirth_spacing);
    }

    /// Everything of this node is dead, and order is unknown. Nothing may be held.
    fn end(&mut self, at: Timestamp, reason: DeathReason, events: &mut Vec<HostEvent>) {
        self.order.stop();
        self.grace = None;
        self.edges_mut().for_each(|edge| edge.die(at, reason, events));
    }

    /// Takes a message that was not waited for any longer. A device that died since stays dead.
    fn apply_late(&mut self, message: &NodeMessage, context: &mut NodeContext) {
        let died_at = message.device.as_ref().and_then(|device| self.devices.get(device)).filter(|device| !device.is_living());
        let died_at = died_at.and_then(|device| device.died_at).filter(|died_at| message.payload.timestamp.is_some_and(|at| at < *died_at));
        self.apply(message, context);
        if died_at.is_some()
            && let Some(device) = message.device.as_ref().and_then(|device| self.devices.get_mut(device))
        {
            device.die(message.received, DeathReason::DeviceDeath, context.events);
            device.died_at = died_at;
        }
    }

    /// Takes a message whose turn it is; no birth and no death of the node.
    fn apply(&mut self, message: &NodeMessage, context: &mut NodeContext) {
        match (&message.device, message.kind) {
            (Some(device), EdgeMessage::DeviceDeath) => self.device_dead(device, message, context),
            (Some(device), kind) => self.take_device(device, message, kind == EdgeMessage::DeviceBirth, context),
            (None, _) => self.take_own(message, false, context),
        }
    }

    fn take_own(&mut self, message: &NodeMessage, is_birth: bool, context: &mut NodeContext) {
        let before = self.own.len();
        let metrics_max = (context.options.metrics_per_node_max + before).saturating_sub(self.metrics);
        let edge = EdgeContext { options: context.options, received: message.received, metrics_max };
        let reason = self.own.take(&message.payload, is_birth, &edge, context.events);
        self.metrics = self.metrics + self.own.len() - before;
        if let Some(reason) = reason {
            self.rebirth.want(|| reason, context.now, context.options.rebirth_spacing);
        }
    }

    fn take_device(&mut self, device: &str, message: &NodeMessage, is_birth: bool, context: &mut NodeContext) {
        if !self.devices.contains_key(device) {
            let most = context.options.devices_per_node_max;
            if self.devices.len() >= most {
                let reason = format!("its node has {most} devices already; no more are taken");
                context.events.push(HostEvent::Refused { edge: Some(self.name(Some(device))), metric: None, reason });
                return;
            }
            self.devices.insert(device.to_owned(), EdgeTable::new(self.name(Some(device)), self.lost_at));
        }
        let Some(table) = self.devices.get_mut(device) else { return };
        let before = table.len();
        let metrics_max = (context.options.metrics_per_node_max + before).saturating_sub(self.metrics);
        let edge = EdgeContext { options: context.options, received: message.received, metrics_max };
        let reason = table.take(&message.payload, is_birth, &edge, context.events);
        self.metrics = self.metrics + table.len() - before;
        let of_node = || (!self.own.is_born).then(|| format!("a message of device {device} before the birth of its node"));
        if let Some(reason) = reason.or_else(of_node) {
            self.rebirth.want(|| reason, context.now, context.options.rebirth_spacing);
        }
    }

    fn device_dead(&mut self, device: &str, message: &NodeMessage, context: &mut NodeContext) {
        let Some(table) = self.devices.get_mut(device) else {
            let (edge, at) = (self.name(Some(device)), message.received);
            context.events.push(HostEvent::Dead { edge, at, reason: DeathReason::DeviceDeath });
            return;
        };
        table.die(message.received, DeathReason::DeviceDeath, context.events);
        table.died_at = message.payload.timestamp;
    }

    fn ask(&mut self, context: &mut NodeContext) {
        if let Some(reason) = self.rebirth.take_due(context.now) {
            context.events.push(HostEvent::Rebirth { group: self.group.clone(), node: self.node.clone(), reason });
        }
    }

    fn name(&self, device: Option<&str>) -> EdgeName {
        EdgeName { group: self.group.clone(), node: self.node.clone(), device: device.map(str::to_owned) }
    }
}

/// The number of the session that a birth or a death tells; whole, of whatever type.
fn bd_seq(payload: &WirePayload) -> Option<u64> {
    let mut metrics = payload.metrics.iter().filter_map(|metric| WireMetric::decode(metric.clone()).ok());
    match metrics.find(|metric| metric.name.as_deref() == Some(BD_SEQ.as_bytes()))?.value? {
        WireMetricValue::Int(value) => Some(u64::from(value)),
        WireMetricValue::Long(value) => Some(value),
        _ => None,
    }
}
