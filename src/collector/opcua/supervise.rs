//! The loop around the sessions of one device: connect, hold, lose, wait, again, until told to stop.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::FutureExt;
use opcua::{crypto::SecurityPolicy, types::StatusCode};

use super::{
    Device,
    connection::{Connection, Fault},
    deliver::Deliveries,
    subscribe,
};
use crate::{
    collector::{CollectorContext, DeviceStatus, status::DeviceState, supervise::Backoff},
    model::TagId,
};

const RECONNECT_FIRST: Duration = Duration::from_millis(500);
/// How long a parting session may take to be closed in the server.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Collects until shutdown; `ids` are in the order of the device's items.
pub(super) async fn run(device: &Device, ids: &[TagId], context: &CollectorContext) {
    let status = &context.status;
    let types = device.items.iter().map(|item| item.definition.value_type);
    let lists = device.items.iter().map(|item| item.not_available.clone()).collect();
    let deliveries = Deliveries::new(ids.iter().copied().zip(types), context.spool.clone(), context.clock.clone(), status.clone());
    let deliveries = Arc::new(deliveries.with_not_available(lists));
    deliveries.resume(&context.last);
    status.items_wanted.store(device.items.len() as u64, Ordering::Relaxed);
    if device.policy == SecurityPolicy::None {
        tracing::warn!(
            device = device.name,
            password = if device.user.is_some() { "may go over the network in clear text" } else { "none" },
            "security_policy is None: nobody checks who the server is, and the network can read and change what it sends"
        );
    }
    let mut backoff = Backoff::new(RECONNECT_FIRST.min(device.reconnect_max), device.reconnect_max);
    let mut last_error = String::new();
    loop {
        status.set_state(DeviceState::Connecting);
        let values_before = status.view().last_good_at;
        // A panic in the client library must cost a session, not the device.
        let attempt = AssertUnwindSafe(attempt(device, &deliveries, context)).catch_unwind();
        let fault = tokio::select! {
            fault = attempt => match fault {
                Ok(Some(fault)) => fault,
                Ok(None) => break,
                Err(_) => Fault::new("the session ended by an internal error of the client library; it is rebuilt"),
            },
            () = context.shutdown.cancelled() => break,
        };
        deliveries.lose();
        status.items_created.store(0, Ordering::Relaxed);
        DeviceStatus::count(if fault.timeout { &status.timeouts } else { &status.exceptions }, 1);
        status.record_error(context.clock.now(), fault.message.as_str());
        status.set_state(DeviceState::Backoff);
        if status.view().last_good_at != values_before {
            backoff.reset();
        }
        let delay = backoff.next_delay();
        if fault.message == last_error {
            tracing::debug!(device = device.name, error = fault.message, ?delay, "still not connected");
        } else {
            tracing::warn!(device = device.name, error = fault.message, ?delay, "not connected");
            last_error = fault.message;
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = context.shutdown.cancelled() => break,
        }
    }
    deliveries.stop();
    status.items_created.store(0, Ordering::Relaxed);
    status.set_state(DeviceState::Stopped);
}

/// One connection from beginning to end; `None` at shutdown.
async fn attempt(device: &Device, deliveries: &Arc<Deliveries>, context: &CollectorContext) -> Option<Fault> {
    let status = &context.status;
    let mut connection = match Connection::open(device, &*context.clock).await {
        Ok(connection) => connection,
        Err(fault) => return Some(fault),
    };
    DeviceStatus::count(&status.connects, 1);
    tracing::info!(device = device.name, endpoint = device.endpoint, "connected");
    let session = connection.session.clone();
    let work = async {
        tokio::select! {
            fault = subscribe::run(device, &session, deliveries, context) => Some(fault),
            () = context.shutdown.cancelled() => None,
        }
    };
    let publish = |answer: Result<(), StatusCode>| match answer {
        Ok(()) => DeviceStatus::count(&status.requests, 1),
        Err(StatusCode::BadTimeout) => DeviceStatus::count(&status.timeouts, 1),
        Err(_) => DeviceStatus::count(&status.exceptions, 1),
    };
    match connection.drive(work, publish).await {
        Ok(ended) => {
            // The transport still stands: at shutdown, or when the watchdog gave up. Without a goodbye the server would keep the session
            // and its subscriptions until they expire. What it still sends meanwhile is taken.
            connection.close(CLOSE_MAX).await;
            ended
        }
        Err(fault) => Some(fault),
    }
}
