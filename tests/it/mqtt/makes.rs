//! Sparkplug edges of four makes, each through its whole life: every value that it publishes is in the historian, once, and whenever it is
//! dead its tags are Bad within seconds.

use std::time::{Duration, Instant};

use super::{MS, PATIENCE, Plant, SECONDS};
use crate::support::mqtt::{DEVICE, Edge, GROUP, Make};

/// A name and a value of each type, other than the first ones; floats that no binary number is.
const CHANGES: [&str; 15] = [
    "Uptime 9007199254740991",
    "Load 0.1",
    "Temperature -0.1",
    "Pressure 1e30",
    "Level/Int8 127",
    "Level/Int16 32767",
    "Level/Int32 2147483647",
    "Level/Int64 42",
    "Total/UInt8 0",
    "Total/UInt16 1",
    "Total/UInt32 2147483648",
    "Total/UInt64 1",
    "Running false",
    "Recipe \"two words\"",
    "Note \"\"",
];

fn whole_life(make: Make) {
    let Some(plant) = Plant::sparkplug("") else { return };
    let Some(mut edge) = Edge::start(make, plant.port(), "line1", 0) else { return };
    let (all, of_device) = (format!("{GROUP}/line1/**"), format!("{GROUP}/line1/{DEVICE}/**"));
    let (load, temperature) = (edge.tag(false, "Load"), edge.tag(true, "Temperature"));

    edge.tell("birth");
    for change in CHANGES {
        edge.tell(&format!("data {change}"));
    }
    // Sequence numbers begin anew on the way.
    edge.tell("burst 300");
    plant.holds(&edge, &edge.published);
    plant.until_all(&all, true, "an edge that lives is Good");
    assert_eq!(edge.rebirths, 0, "nothing was amiss: {:?}", plant.status());

    // What is historical is history, and nothing else.
    let before = plant.of(&temperature);
    if edge.tell("historical Temperature 1.5 1760000000123") {
        plant.holds(&edge, &edge.published);
        let now = plant.of(&temperature);
        assert_eq!((now[0].at, now.len()), (1_760_000_000_123 * MS, before.len() + 1), "{make:?}");
        assert_eq!(now.last(), before.last(), "the value of before is the current one");
    }

    // The device goes, and the node does not.
    edge.tell("device-death");
    plant.until_all(&of_device, false, "a device that is dead is Bad");
    edge.tell("data Load 0.75");
    plant.until("the node goes on", SECONDS, |plant| plant.of(&load).last().is_some_and(|last| last.value == Some(0.75.into())));
    assert!(plant.is_good(&load));
    edge.tell("birth");
    plant.until_all(&all, true, "a device that is born again is Good");
    edge.tell("data Temperature 30.5");
    plant.holds(&edge, &edge.published);

    // A clean end, whatever its death has for a number.
    edge.tell("death");
    plant.until_all(&all, false, "an edge that took its leave is Bad");
    edge.tell("birth");
    edge.tell("data Temperature 31.5");
    plant.until_all(&all, true, "an edge that is born again is Good");
    plant.holds(&edge, &edge.published);

    // No leave: the broker tells of it.
    let mut published = edge.die();
    plant.until_all(&all, false, "an edge whose process is gone is Bad");
    let Some(mut edge) = Edge::start(make, plant.port(), "line1", 0) else { return };
    edge.tell("birth");
    edge.tell("data Temperature 32.5");
    edge.tell("burst 10");
    plant.until_all(&all, true, "an edge that was started again is Good");
    published.append(&mut edge.published);
    edge.listen();
    published.append(&mut edge.published);
    plant.holds(&edge, &published);
}

/// The historian is away while the edge lives: what it says meanwhile nobody hears, but its state comes back, and every value from then on.
fn historian_comes_back(make: Make) {
    let Some(mut plant) = Plant::sparkplug("") else { return };
    let Some(mut edge) = Edge::start(make, plant.port(), "line2", 0) else { return };
    let all = format!("{GROUP}/line2/**");
    edge.tell("birth");
    edge.tell("burst 20");
    plant.holds(&edge, &edge.published);
    let ids: Vec<u32> = plant.tags().values().map(|tag| tag.id).collect();
    let mut known = std::mem::take(&mut edge.published);

    for stop in [Plant::stop, Plant::kill] {
        stop(&mut plant);
        edge.tell("data Temperature 40.25");
        edge.tell("data Load 0.25");
        let rebirths = edge.rebirths;
        plant.start();
        let begun = Instant::now();
        while edge.rebirths == rebirths {
            assert!(begun.elapsed() < PATIENCE, "the historian does not ask for births: {:#?}", plant.status());
            std::thread::sleep(Duration::from_millis(20));
            edge.listen();
        }
        plant.until_all(&all, true, "the edge lives");
        edge.tell("burst 20");
        // What was published while nobody listened is there as far as the births repeat it.
        let published = std::mem::take(&mut edge.published);
        known.extend(published.into_iter().skip_while(|value| !value.birth));
        plant.holds(&edge, &known);
    }
    assert_eq!(plant.tags().values().map(|tag| tag.id).collect::<Vec<u32>>(), ids, "{make:?}: the tags are those of before");
}

macro_rules! of_each_make {
    ($($module:ident: $make:expr),+ $(,)?) => {
        $(mod $module {
            use super::*;

            #[test]
            fn every_value_is_there_once_and_a_dead_edge_is_bad() {
                whole_life($make);
            }

            #[test]
            fn a_historian_that_comes_back_asks_for_births_and_goes_on() {
                historian_comes_back($make);
            }
        })+
    };
}

of_each_make! {
    pysparkplug: Make::PySparkplug,
    mqtt_spb_wrapper: Make::MqttSpb,
    sparkplug_client: Make::Node,
    tahu: Make::Tahu,
}
