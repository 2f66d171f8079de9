//! What each principal uses. Names of principals come from the operator, and still are bounded: a metric with a hundred thousand series would harm
//! whoever collects it.

use std::{collections::BTreeSet, time::Duration};

use parking_lot::Mutex;
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

type PrincipalLabel = [(&'static str, String); 1];

/// Principals that are told by name; those that come later are counted together.
const PRINCIPALS_MAX: usize = 100;
/// What those are called. No token can have this name without being one of them.
const OTHERS: &str = "other";

/// Counters by principal.
pub(super) struct PrincipalFamilies {
    requests: Family<PrincipalLabel, Counter>,
    rows: Family<PrincipalLabel, Counter>,
    received: Family<PrincipalLabel, Counter>,
    sent: Family<PrincipalLabel, Counter>,
    computed: Family<PrincipalLabel, Counter<f64, std::sync::atomic::AtomicU64>>,
    named: Mutex<BTreeSet<String>>,
}

impl PrincipalFamilies {
    pub fn register(registry: &mut Registry) -> PrincipalFamilies {
        let families = PrincipalFamilies {
            requests: Family::default(),
            rows: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            computed: Family::default(),
            named: Mutex::default(),
        };
        registry.register(
            "principal_requests",
            "Requests of the gRPC and Flight port that ended, by principal; the hundred that came first, the others together",
            families.requests.clone(),
        );
        registry.register("principal_rows", "Rows of answers and samples written, by principal", families.rows.clone());
        registry.register("principal_received_bytes", "Bytes of messages that a principal sent", families.received.clone());
        registry.register("principal_sent_bytes", "Bytes of messages that a principal was sent", families.sent.clone());
        registry.register(
            "principal_compute_seconds",
            "Seconds that threads worked for queries of a principal, all threads together",
            families.computed.clone(),
        );
        families
    }

    /// Adds what one call used.
    pub fn add(&self, principal: &str, rows: u64, (received, sent): (u64, u64), computed: Duration) {
        let label = [("principal", self.name(principal))];
        self.requests.get_or_create(&label).inc();
        self.rows.get_or_create(&label).inc_by(rows);
        self.received.get_or_create(&label).inc_by(received);
        self.sent.get_or_create(&label).inc_by(sent);
        self.computed.get_or_create(&label).inc_by(computed.as_secs_f64());
    }

    fn name(&self, principal: &str) -> String {
        let mut named = self.named.lock();
        if !named.contains(principal) {
            if named.len() >= PRINCIPALS_MAX {
                return OTHERS.to_owned();
            }
            named.insert(principal.to_owned());
        }
        principal.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_principals_have_series_of_their_own_and_the_others_share_one() {
        let families = PrincipalFamilies::register(&mut Registry::default());
        for number in 0..1_000 {
            families.add(&format!("analyst-{number}"), 2, (3, 4), Duration::from_millis(500));
        }
        let of = |name: &str| {
            let label = [("principal", name.to_owned())];
            let (requests, rows) = (families.requests.get_or_create(&label).get(), families.rows.get_or_create(&label).get());
            let bytes = (families.received.get_or_create(&label).get(), families.sent.get_or_create(&label).get());
            (requests, rows, bytes, families.computed.get_or_create(&label).get())
        };
        assert_eq!(of("analyst-99"), (1, 2, (3, 4), 0.5));
        assert_eq!(of(OTHERS), (900, 1_800, (2_700, 3_600), 450.0));
    }
}
