//! Properties: order does not matter within the window, nothing is lost or told twice, and no bytes panic.

use proptest::prelude::*;

use super::*;

/// A node with one alias and one device, and `count` data messages behind, each with its index as value; with the sequence numbers.
fn messages(count: usize) -> Vec<(String, Vec<u8>)> {
    let mut messages = vec![("G/DBIRTH/N/D".to_owned(), payload(Some(1), T, &[aliased("t", 2, -1.0)]))];
    for index in 0..count {
        let (topic, alias) = if index % 3 == 0 { ("G/DDATA/N/D", 2) } else { ("G/NDATA/N", 1) };
        let seq = (index as u64 + 2) % 256;
        messages.push((topic.to_owned(), payload(Some(seq), T + index as u64, &[by_alias(alias, index as f64)])));
    }
    messages
}

fn run(messages: impl IntoIterator<Item = (String, Vec<u8>)>) -> (Vec<HostEvent>, Bench) {
    let mut bench = Bench::new();
    let mut events = bench.take("G/NBIRTH/N", 0, &[session(0), aliased("p", 1, -1.0)]);
    for (topic, payload) in messages {
        events.extend(bench.raw(&topic, &payload));
    }
    (events, bench)
}

/// Moves each message by less than `window` places.
fn shuffled(count: usize, window: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..window, count).prop_map(|moves| {
        let mut order: Vec<usize> = (0..moves.len()).collect();
        order.sort_by_key(|index| index + moves[*index]);
        order
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_within_the_window_gives_the_same_events_in_the_same_order(order in shuffled(400, 50)) {
        let all = messages(399);
        let (expected, _) = run(all.clone());
        let (events, bench) = run(order.iter().map(|index| all[*index].clone()));
        prop_assert_eq!(readings(&events).len(), 2 + 399);
        prop_assert_eq!(events, expected);
        prop_assert_eq!(bench.host.next_due(), None);
    }

    #[test]
    fn every_reading_behind_a_birth_comes_once_whatever_is_lost_late_or_without_a_number(
        order in shuffled(300, 100),
        lost in proptest::collection::hash_set(1..300_usize, 0..20),
        unnumbered in proptest::collection::hash_set(1..300_usize, 0..20),
        ticks in proptest::collection::hash_set(0..300_usize, 0..20),
    ) {
        let all = messages(299);
        let mut bench = Bench::new();
        let mut events = bench.take("G/NBIRTH/N", 0, &[aliased("p", 1, -1.0)]);
        events.extend(bench.take("G/DBIRTH/N/D", 1, &[aliased("t", 2, -1.0)]));
        for (place, index) in order.iter().filter(|index| **index > 0 && !lost.contains(index)).enumerate() {
            let (topic, bytes) = &all[*index];
            let mut message = WirePayload::decode(bytes.as_slice()).unwrap();
            if unnumbered.contains(index) {
                message.seq = None;
            }
            events.extend(bench.raw(topic, &message.encode_to_vec()));
            if ticks.contains(&place) {
                let now = bench.now + seconds(6);
                events.extend(bench.tick_at(now));
            }
        }
        let now = bench.now + seconds(6);
        events.extend(bench.tick_at(now));
        let value = |event: &HostEvent| match event {
            HostEvent::Reading { reading, .. } => reading.value.clone(),
            _ => None,
        };
        let index = |value| match value {
            Value::F64(value) if value >= 0.0 => Some(value as i64),
            _ => None,
        };
        let mut found: Vec<i64> = events.iter().filter_map(value).filter_map(index).collect();
        found.sort_unstable();
        let expected: Vec<i64> = (0..299).filter(|value| !lost.contains(&(*value as usize + 1))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn whoever_dies_has_no_reading_behind_its_death(
        steps in proptest::collection::vec((0..8_u8, 0..8_u64, 0..200_000_u64), 1..60)
    ) {
        let mut bench = Bench::new();
        let mut events = Vec::new();
        for (step, seq, at) in steps {
            bench.now += Duration::from_millis(700);
            let stamped = WireMetric { timestamp: Some(T + at), ..double("t", 1.0) };
            let found = match step {
                0 => bench.take("G/NBIRTH/N", 0, &[session(seq), stamped]),
                1 => bench.take("G/DBIRTH/N/D", seq, &[stamped]),
                2 | 3 => bench.take("G/DDATA/N/D", seq, &[stamped]),
                4 => bench.take("G/NDATA/N", seq, &[stamped]),
                5 => bench.take("G/DDEATH/N/D", seq, &[]),
                6 => bench.death(seq),
                _ => bench.link_lost(),
            };
            events.extend(found);
            let now = bench.now;
            events.extend(bench.tick_at(now));
        }
        events.extend(bench.link_lost());
        // What each edge is at the end, by its last current sample in time: dead, with the death behind all that came before.
        let mut latest = std::collections::HashMap::new();
        let mut dead = std::collections::HashSet::new();
        for event in &events {
            match event {
                HostEvent::Reading { edge, reading, .. } => {
                    dead.remove(edge);
                    let latest = latest.entry(edge.clone()).or_insert(reading.at);
                    *latest = (*latest).max(reading.at);
                }
                HostEvent::Dead { edge, at, .. } => {
                    prop_assert!(latest.get(edge).is_none_or(|latest| latest < at), "{edge} at {at}");
                    dead.insert(edge.clone());
                }
                _ => {}
            }
        }
        prop_assert!(latest.keys().all(|edge| dead.contains(edge)));
    }

    #[test]
    fn no_bytes_panic_on_any_topic(
        messages in proptest::collection::vec((0..6_usize, proptest::collection::vec(any::<u8>(), 0..60), any::<u16>()), 1..20)
    ) {
        let mut bench = Bench::with(HostOptions { held_messages_max: 3, ..HostOptions::default() });
        let topics = ["G/NBIRTH/N", "G/NDATA/N", "G/NDEATH/N", "G/DBIRTH/N/D", "G/DDATA/N/D", "G/DDEATH/N/D"];
        for (topic, bytes, pause) in messages {
            bench.raw(topics[topic], &bytes);
            // The same bytes as a metric, and in each field that nests something.
            let mut metrics = vec![bytes.clone().into()];
            for number in 0..36 {
                let value = bytes.clone().into();
                let value = match number % 5 {
                    0 => WireMetricValue::Template(value),
                    1 => WireMetricValue::DataSet(value),
                    2 => WireMetricValue::Text(value),
                    3 => WireMetricValue::Extension(value),
                    _ => WireMetricValue::Bytes(value),
                };
                let bytes: prost::bytes::Bytes = bytes.clone().into();
                let mut odd = metric(&format!("m{number}"), number, value);
                (odd.properties, odd.metadata, odd.timestamp) = (Some(bytes.clone()), Some(bytes), Some(u64::from(pause) << 48));
                metrics.push(odd.encode_to_vec().into());
            }
            let message = WirePayload { timestamp: None, metrics, seq: Some(u64::from(pause)), uuid: None };
            bench.raw(topics[topic], &message.encode_to_vec());
            let now = bench.now + Duration::from_millis(u64::from(pause));
            bench.tick_at(now);
        }
        bench.link_lost();
    }
}
