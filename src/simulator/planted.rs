//! What is wrong in the past of the plant, one static list: when, on which tags, and what there is to see. It is simulated like the rest, so
//! that who looks for a fault knows which ones are there; `docs/demo.md` has the same list.

use std::time::Duration;

use super::signal::{SIGNALS, SignalAddress};
use historian_model::{TimeRange, Timestamp};

/// One event in the past of the plant.
#[derive(Debug)]
pub struct PlantedEvent {
    /// What happened, as an operator would note it.
    pub text: &'static str,
    /// How long before the first start of the demo it begins and ends.
    pub begins_before: Duration,
    pub ends_before: Duration,
    pub(super) kind: EventKind,
    tags: &'static [&'static str],
}

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum EventKind {
    /// The Modbus device is not reached.
    DeviceDown,
    /// Brings one reading away from the truth, by so much at the end.
    Drift(f64),
    /// One reading stays where it is.
    Frozen,
    /// The steam valve moves in jumps of so many percent.
    Stiction(f64),
    /// The cooler is cleaned.
    Cleaning,
    /// One reading is multiplied, and put right later.
    WrongScale(f64),
    /// A test signal takes the place of one reading, and is deleted later.
    TestSignal,
    /// This part of the mains voltage is missing for a second, every so many seconds.
    Dips { part: f64, every_s: i64 },
}

/// Everything that is wrong, the oldest first.
pub static PLANTED: &[PlantedEvent] = &[
    event(
        (minutes(5, 3, 0), minutes(5, 1, 0)),
        EventKind::DeviceDown,
        &[],
        "skid-plc is not reached: a fuse of its network switch. The plant runs on, its counters count on",
    ),
    event(
        (minutes(4, 12, 0), minutes(2, 12, 0)),
        EventKind::Drift(-0.45),
        &["demo/product/ph", "demo/product/ph_check"],
        "The pH probe QT301 ages and reads lower and lower; QT303 in the same pipe does not. Calibrated at the end",
    ),
    event(
        (minutes(3, 20, 0), minutes(3, 15, 0)),
        EventKind::Frozen,
        &["demo/intake/pump101/pressure", "demo/intake/pump101/running"],
        "The impulse line of the pressure transmitter behind P101 is blocked: it shows one value, whether P101 runs or not",
    ),
    event(
        (minutes(3, 2, 0), minutes(2, 14, 0)),
        EventKind::Stiction(18.0),
        &["demo/heating/steam_valve/position", "demo/heating/tank201/temperature", "demo/heating/steam_flow"],
        "The steam valve TCV201 sticks: it moves in jumps of 18 % and the temperature of T201 swings. Its packing is loosened at the end",
    ),
    event(
        (minutes(2, 3, 0), minutes(2, 2, 15)),
        EventKind::WrongScale(10.0),
        &["demo/intake/conductivity"],
        "The conductivity card was set to another range and showed ten times the value; put right in the history",
    ),
    event(
        (minutes(1, 6, 0), minutes(1, 4, 0)),
        EventKind::Cleaning,
        &["demo/product/cooler/outlet_temperature", "demo/heating/pump201/flow", "demo/plant/state"],
        "The cooler E301, fouled over days, is cleaned: P201 stands, then the product leaves it cold again",
    ),
    event(
        (minutes(0, 20, 0), minutes(0, 19, 40)),
        EventKind::TestSignal,
        &["demo/product/turbidity"],
        "A test signal of a loop check on QT302, deleted from the history",
    ),
    event(
        (minutes(0, 9, 0), minutes(0, 8, 50)),
        EventKind::Dips { part: 0.22, every_s: 180 },
        &["demo/utility/electricity/voltage"],
        "Short dips of the mains voltage",
    ),
];

impl PlantedEvent {
    /// Its time, in the history of a demo that was first started at `first_start`.
    pub fn range(&self, first_start: Timestamp) -> TimeRange {
        let before = |duration: Duration| Timestamp(first_start.0 - i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX));
        TimeRange::new(before(self.begins_before), before(self.ends_before))
    }

    /// Where it shows; what it is about comes first.
    pub fn tags(&self) -> Vec<&'static str> {
        match self.kind {
            EventKind::DeviceDown => SIGNALS.iter().filter(|signal| is_on_modbus(signal.wire)).map(|signal| signal.tag).collect(),
            _ => self.tags.to_vec(),
        }
    }
}

pub(super) fn is_on_modbus(wire: SignalAddress) -> bool {
    matches!(wire, SignalAddress::Modbus { .. })
}

const fn event(
    (begins_before, ends_before): (Duration, Duration),
    kind: EventKind,
    tags: &'static [&'static str],
    text: &'static str,
) -> PlantedEvent {
    PlantedEvent { text, begins_before, ends_before, kind, tags }
}

const fn minutes(days: u64, hours: u64, minutes: u64) -> Duration {
    Duration::from_mins((24 * days + hours) * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_in_order_apart_from_the_start_and_on_tags_that_exist() {
        for event in PLANTED {
            assert!(event.begins_before > event.ends_before && event.ends_before > Duration::from_hours(2), "{}", event.text);
            assert!(!event.tags().is_empty(), "{}", event.text);
            for tag in event.tags() {
                assert!(SIGNALS.iter().any(|signal| signal.tag == tag), "{tag}");
            }
        }
        assert!(PLANTED.is_sorted_by(|one, next| one.begins_before >= next.begins_before));
    }
}
