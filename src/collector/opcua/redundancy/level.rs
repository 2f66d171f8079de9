//! `ServiceLevel`, by which a server says how well it serves, and when another server is worth a move.

use std::fmt;

/// Of a server that has no data for a client; 0 is one in maintenance.
pub const NO_DATA: u8 = 1;
/// Below this nothing is to be had from a server.
const DEGRADED_FROM: u8 = NO_DATA + 1;
/// From here on a server is healthy, and says by more or less only how much it has to do.
const HEALTHY_FROM: u8 = 200;
/// Of two degraded servers, one that is better by less than this is not worth a move: levels that waver would move a client to and fro.
const WORTH_A_MOVE: u8 = 50;

/// What a server says of itself, from 0 to 255 (OPC UA Part 4, 6.6.2.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceLevel(u8);

impl ServiceLevel {
    /// A server that says nothing is taken for healthy: most servers that are not redundant by themselves do not have the node.
    pub fn of(said: Option<u8>) -> ServiceLevel {
        ServiceLevel(said.unwrap_or(u8::MAX))
    }

    /// Whether samples may be taken from it at all.
    pub fn is_usable(self) -> bool {
        self.0 >= DEGRADED_FROM
    }

    pub fn is_healthy(self) -> bool {
        self.0 >= HEALTHY_FROM
    }

    /// Whether a client leaves a server of the level `used` for one of this. A healthy server is never left.
    pub fn is_worth_a_move_from(self, used: ServiceLevel) -> bool {
        !used.is_healthy() && self.is_usable() && (self.is_healthy() || self.0 >= used.0.saturating_add(WORTH_A_MOVE))
    }
}

impl fmt::Display for ServiceLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let means = match self.0 {
            0 => "maintenance",
            NO_DATA => "no data",
            DEGRADED_FROM..HEALTHY_FROM => "degraded",
            _ => "healthy",
        };
        write!(f, "ServiceLevel {} ({means})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_mean_what_the_standard_says() {
        for (said, usable, healthy, text) in [
            (Some(0), false, false, "ServiceLevel 0 (maintenance)"),
            (Some(1), false, false, "ServiceLevel 1 (no data)"),
            (Some(2), true, false, "ServiceLevel 2 (degraded)"),
            (Some(199), true, false, "ServiceLevel 199 (degraded)"),
            (Some(200), true, true, "ServiceLevel 200 (healthy)"),
            (Some(255), true, true, "ServiceLevel 255 (healthy)"),
            (None, true, true, "ServiceLevel 255 (healthy)"),
        ] {
            let level = ServiceLevel::of(said);
            assert_eq!((level.is_usable(), level.is_healthy(), level.to_string()), (usable, healthy, text.to_owned()));
        }
    }

    #[test]
    fn a_degraded_server_is_left_for_a_healthy_one_or_one_that_is_clearly_better() {
        for (used, other, moves) in [
            (255, 255, false),
            (200, 255, false), // a healthy one is never left
            (199, 200, true),
            (2, 200, true),
            (150, 199, false), // both waver
            (149, 199, true),
            (150, 100, false),
            (199, 199, false),
            (2, 1, false),
            (2, 0, false),
        ] {
            assert_eq!(ServiceLevel(other).is_worth_a_move_from(ServiceLevel(used)), moves, "from {used} to {other}");
        }
        // No two levels at which a client would go to and fro.
        for (one, two) in (0..=255).flat_map(|one| (0..=255).map(move |two| (ServiceLevel(one), ServiceLevel(two)))) {
            assert!(!(one.is_worth_a_move_from(two) && two.is_worth_a_move_from(one)), "{one} and {two}");
        }
    }
}
