//! The loop around the links of one device: connect, hold, lose, wait, again, until told to stop.

use std::time::{Duration, Instant};

use super::{device::MqttSettings, intake::Intake, session::BrokerSession};
use historian_collector::{CollectorContext, DeviceStatus, guard, status::DeviceState, supervise::Backoff};
use historian_model::TagId;

const RECONNECT_FIRST: Duration = Duration::from_millis(500);
/// A link that was held so long ends the waits of before. One that is lost sooner again and again (two clients of one id) waits longer and longer.
const HELD_LONG: Duration = Duration::from_secs(10);

/// Collects until shutdown; `ids` are in the order of the device's tags.
pub(super) async fn run(device: &MqttSettings, ids: &[TagId], context: &CollectorContext) {
    let status = &context.status;
    let mut intake = Intake::new(device, ids, context);
    // Of what happened since the last run nothing is known.
    intake.held.lose();
    if device.address.tls.is_none() && device.user.is_some() {
        tracing::warn!(device = device.name, "the password goes over the network in clear text: `tls` is false");
    }
    let mut backoff = Backoff::new(RECONNECT_FIRST.min(device.reconnect_max), device.reconnect_max);
    let mut last_error = String::new();
    let mut session = BrokerSession {
        device,
        status,
        shutdown: &context.shutdown,
        announces: true,
        client_id: device.client_id.clone(),
        session_expiry: device.session_expiry,
        subscribed: None,
    };
    loop {
        status.set_state(DeviceState::Connecting);
        session.subscribed = None;
        // A panic in the client library must cost a link, not the device.
        let fault = match Box::pin(guard::run(session.hold(&mut intake))).await {
            Ok(Ok(())) => break,
            Ok(Err(fault)) => fault,
            Err(panicked) => panicked.to_string(),
        };
        intake.lose().await;
        intake.unsubscribed();
        DeviceStatus::count(&status.exceptions, 1);
        status.record_error(context.clock.now(), fault.as_str());
        status.set_state(DeviceState::Backoff);
        if session.subscribed.is_some_and(|since: Instant| since.elapsed() > HELD_LONG) && !guard::is_panic(&fault) {
            backoff.reset();
        }
        let delay = backoff.next_delay();
        if fault == last_error {
            tracing::debug!(device = device.name, error = fault, ?delay, "still not connected");
        } else {
            tracing::warn!(device = device.name, error = fault, ?delay, "not connected");
            last_error = fault;
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = context.shutdown.cancelled() => break,
        }
    }
    intake.release().await;
    intake.held.stop();
    intake.unsubscribed();
    status.set_state(DeviceState::Stopped);
}
