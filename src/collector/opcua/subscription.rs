//! One subscription of a session in the server: what it holds, what of it is asked for again after a loss, and how its items are taken out.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use opcua::{
    client::{
        Session, UARequest,
        services::{DeleteMonitoredItems, DeleteSubscriptions, Republish},
    },
    types::StatusCode,
};

use super::{
    device::OpcUaSettings,
    fault::{ConnectionFault, within},
    found::GlobTags,
    identity::NodeIdentities,
    left_out::LeftOut,
    publish::{Publisher, SubscriptionFeed, after},
    read,
    wanted::WantedItems,
};

/// Notifications taken from a server's memory after a loss, per subscription.
const REPUBLISHED_MAX: usize = 10_000;

/// A session and what is asked of it.
pub(super) struct On<'a> {
    pub device: &'a OpcUaSettings,
    pub session: &'a Session,
    pub publisher: &'a Publisher,
    pub left_out: &'a LeftOut,
    pub items: &'a WantedItems,
    /// Of a device with globs, while it is collected from.
    pub globs: Option<&'a GlobTags<'a>>,
    pub identities: &'a NodeIdentities,
}

/// One subscription in the server.
pub(super) struct Subscription {
    pub id: u32,
    pub items: Vec<Made>,
    pub feed: Arc<SubscriptionFeed>,
    /// As the server granted it.
    pub publishing: Duration,
    /// Silence after which the session is given up.
    pub silence_max: Duration,
    pub made: Instant,
    /// It goes on after a loss, and what changed meanwhile has not all come yet.
    pub catching_up: bool,
}

/// A monitored item as the server granted it.
pub(super) struct Made {
    /// In the server.
    pub id: u32,
    pub index: usize,
    pub queue: u32,
    /// Sampling interval in milliseconds.
    pub sampling: f64,
}

/// Deletes subscriptions, as far as the server lets us.
pub(super) async fn delete(on: &On<'_>, ids: BTreeSet<u32>) {
    if !ids.is_empty() {
        let request = DeleteSubscriptions::new(on.session).subscription_ids(ids.into_iter().collect());
        let _ = tokio::time::timeout(on.device.timeout, request.send(on.session.channel())).await;
    }
}

/// What a server answered when it was asked for what a subscription has sent.
pub(super) enum Memory {
    /// Everything came.
    Whole,
    /// Some of it is gone, or the server keeps nothing.
    Partial,
    /// The subscription is gone.
    Gone,
}

impl Subscription {
    /// Takes items out of the subscription, as far as the server lets us; the others go on.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn remove(&mut self, on: &On<'_>, indexes: &BTreeSet<usize>, per_call: usize) -> Result<(), ConnectionFault> {
        let (out, kept): (Vec<Made>, Vec<Made>) =
            std::mem::take(&mut self.items).into_iter().partition(|made| indexes.contains(&made.index));
        self.items = kept;
        let ids: Vec<u32> = out.iter().map(|made| made.id).collect();
        let what = "DeleteMonitoredItems";
        let mut per_call = per_call.max(1);
        let mut rest = &ids[..];
        while !rest.is_empty() {
            let asked = rest.len().min(per_call);
            let request = DeleteMonitoredItems::new(self.id, on.session).items_to_delete(rest[..asked].to_vec());
            match within(on.device.timeout, what, request.send(on.session.channel())).await? {
                Err(error) if read::too_large(error.status()) && asked > 1 => per_call = asked.div_ceil(2),
                // What the server does not give up is not taken any more.
                _ => rest = &rest[asked..],
            }
        }
        Ok(())
    }
}

/// Asks for what a subscription has sent and we did not get, number after number, until there is no more.
pub(super) async fn remembered(on: &On<'_>, subscription: &Subscription) -> Result<Memory, ConnectionFault> {
    let mut number = subscription.feed.next_number();
    for _ in 0..REPUBLISHED_MAX {
        match republish(on, subscription, number).await? {
            Ok(()) => number = after(number),
            Err(StatusCode::BadMessageNotAvailable) => return Ok(Memory::Whole),
            Err(StatusCode::BadSubscriptionIdInvalid) => return Ok(Memory::Gone),
            Err(_) => return Ok(Memory::Partial),
        }
    }
    Ok(Memory::Partial)
}

/// Asks for one notification; the inner error says why it did not come.
pub(super) async fn republish(on: &On<'_>, subscription: &Subscription, number: u32) -> Result<Result<(), StatusCode>, ConnectionFault> {
    let request = Republish::new(subscription.id, number, on.session);
    Ok(match within(on.device.timeout, "Republish", request.send(on.session.channel())).await? {
        Ok(answer) => {
            let came = subscription.feed.republished(number, answer.notification_message);
            // Some servers answer with an empty message instead.
            if came { Ok(()) } else { Err(StatusCode::BadMessageNotAvailable) }
        }
        Err(error) => Err(error.status()),
    })
}
