//! How often somebody may ask, and how often somebody may be wrong about who they are.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use historian_query::ClientKey;
use parking_lot::Mutex;
use tonic::Status;

use crate::{connection::Allowance, status};

/// Failed attempts of an address that are answered at once, and how many more each second. A person who mistypes makes some; a collector with a
/// token that has expired, one with each try.
const FAILURES: (u32, u32) = (50, 2);
/// How long the answer waits to an address that has failed more often.
const FAILURE_DELAY: Duration = Duration::from_secs(1);
/// Clients that are kept in mind although they do not use up their allowance.
const KEPT_MAX: usize = 1_024;

/// Counts requests by client, and failures by address. An address that fails often is answered late; whoever comes from it with a valid token is not.
pub struct RequestRates {
    /// 0 for any number.
    per_second: u32,
    requests: Mutex<HashMap<ClientKey, Allowance>>,
    failures: Mutex<HashMap<ClientKey, Allowance>>,
}

impl RequestRates {
    pub fn new(per_second: u32) -> RequestRates {
        RequestRates { per_second, requests: Mutex::default(), failures: Mutex::default() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when the client asks too often.
    pub fn admit(&self, client: ClientKey, now: Instant) -> Result<(), Status> {
        if self.per_second == 0 || take(&self.requests, client, (self.per_second.saturating_mul(2), self.per_second), now) {
            return Ok(());
        }
        Err(status::busy(format!(
            "more than {} requests a second of this client; try again shortly, and ask for more at once",
            self.per_second
        )))
    }

    /// Counts a failure to say who one is; how long its answer is to wait.
    pub fn failed(&self, address: ClientKey, now: Instant) -> Option<Duration> {
        (!take(&self.failures, address, FAILURES, now)).then_some(FAILURE_DELAY)
    }
}

fn take(of: &Mutex<HashMap<ClientKey, Allowance>>, client: ClientKey, (at_once, per_second): (u32, u32), now: Instant) -> bool {
    let mut allowances = of.lock();
    if allowances.len() > KEPT_MAX && !allowances.contains_key(&client) {
        allowances.retain(|_, allowance| !allowance.is_full(now));
    }
    allowances.entry(client).or_insert_with(|| Allowance::new(at_once, per_second, now)).take(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_asks_too_often_is_told_and_others_are_not() {
        let (rates, start) = (RequestRates::new(100), Instant::now());
        let (first, second) = (ClientKey::of(1), ClientKey::of(2));
        let admitted =
            |client, calls: u32, at| (0..calls).filter(|_| rates.admit(client, start + Duration::from_millis(at)).is_ok()).count();
        assert_eq!((admitted(first, 1_000, 0), admitted(second, 150, 0)), (200, 150));
        assert_eq!(admitted(first, 10, 0), 0);
        let told = rates.admit(first, start).unwrap_err();
        assert!(told.code() == tonic::Code::ResourceExhausted && told.message().starts_with("more than 100 requests a second"));
        assert!(admitted(first, 1_000, 20_000) >= 100, "it is let in again");
        assert!((0..100_000).all(|_| RequestRates::new(0).admit(first, start).is_ok()));
    }

    #[test]
    fn failures_are_answered_late_when_they_go_on() {
        let (rates, start) = (RequestRates::new(100), Instant::now());
        let late = (0..200).filter(|_| rates.failed(ClientKey::of(1), start).is_some()).count();
        assert_eq!(late, 150);
        assert_eq!(rates.failed(ClientKey::of(2), start), None);
        // However many addresses fail once, they are not kept for ever.
        for address in 0..10_000 {
            let _ = rates.failed(ClientKey::of(("many", address)), start + Duration::from_secs(address));
        }
        assert!(rates.failures.lock().len() <= KEPT_MAX + 1, "{}", rates.failures.lock().len());
    }
}
