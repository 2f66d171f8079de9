//! Connections of a port, as they are counted.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

type PortLabel = [(&'static str, String); 1];
type PortLabels = [(&'static str, String); 2];

/// Connections of all ports.
pub(super) struct ConnectionFamilies {
    open: Family<PortLabel, Gauge>,
    refused: Family<PortLabels, Counter>,
    cut: Family<PortLabels, Counter>,
}

/// Connections of one port.
pub struct ConnectionMetrics {
    port: &'static str,
    pub open: Gauge,
    refused: Family<PortLabels, Counter>,
    cut: Family<PortLabels, Counter>,
}

impl ConnectionFamilies {
    pub fn register(registry: &mut Registry) -> ConnectionFamilies {
        let families = ConnectionFamilies { open: Family::default(), refused: Family::default(), cut: Family::default() };
        registry.register("connections", "Connections that are open now, by port", families.open.clone());
        registry.register(
            "connections_refused",
            "Connections that were not taken, by port and the bound that was reached: total, address",
            families.refused.clone(),
        );
        registry.register(
            "connections_cut",
            "Connections that were not served on, by port and reason: no_request, gave_way, idle, stalled, resets, frames, handshake_late, \
             handshake_failed, plaintext, tls, certificate",
            families.cut.clone(),
        );
        families
    }

    pub fn of(&self, port: &'static str) -> ConnectionMetrics {
        let open = self.open.get_or_create(&[("port", port.to_owned())]).clone();
        ConnectionMetrics { port, open, refused: self.refused.clone(), cut: self.cut.clone() }
    }
}

impl ConnectionMetrics {
    pub fn refused(&self, reason: &'static str) -> Counter {
        self.of(&self.refused, reason)
    }

    pub fn cut(&self, reason: &'static str) -> Counter {
        self.of(&self.cut, reason)
    }

    fn of(&self, family: &Family<PortLabels, Counter>, reason: &'static str) -> Counter {
        family.get_or_create(&[("port", self.port.to_owned()), ("reason", reason.to_owned())]).clone()
    }
}
