//! The order of messages, seen from outside.

use super::*;

/// A birth with seq 0, then `count` data messages with the numbers behind it, each with its index as value.
fn born(bench: &mut Bench) {
    bench.take("G/NBIRTH/N", 0, &[session(0), aliased("p", 1, -1.0)]);
}

fn data(bench: &mut Bench, seq: u64, value: f64) -> Vec<HostEvent> {
    bench.take("G/NDATA/N", seq, &[by_alias(1, value)])
}

#[test]
fn what_is_ahead_waits_and_comes_in_order() {
    let mut bench = Bench::new();
    born(&mut bench);
    assert_eq!(data(&mut bench, 3, 3.0), []);
    assert_eq!(data(&mut bench, 2, 2.0), []);
    assert_eq!(bench.host.next_due(), Some(seconds(5)));
    assert_eq!(readings(&data(&mut bench, 1, 1.0)), ["G/N p 1", "G/N p 2", "G/N p 3"]);
    assert_eq!(bench.host.next_due(), None);
}

#[test]
fn what_waits_when_the_collector_stops_is_taken() {
    let mut bench = Bench::new();
    born(&mut bench);
    assert_eq!(data(&mut bench, 3, 3.0), []);
    let events = bench.host.release();
    assert_eq!((readings(&events), others(&events).len()), (vec!["G/N p ~3".to_owned()], 0));
    assert_eq!(bench.host.release(), []);
}

#[test]
fn a_round_of_numbers_is_in_order_also_for_one_that_counts_beyond_255() {
    for wraps in [true, false] {
        let mut bench = Bench::new();
        born(&mut bench);
        for index in 1..600_u64 {
            let events = data(&mut bench, if wraps { index % 256 } else { index }, index as f64);
            assert_eq!((readings(&events), others(&events).len()), (vec![format!("G/N p {index}")], 0));
        }
    }
}

#[test]
fn after_the_timeout_what_is_there_is_taken_with_a_doubt_and_a_rebirth_is_asked_for() {
    let mut bench = Bench::new();
    born(&mut bench);
    data(&mut bench, 4, 4.0);
    bench.now = seconds(2);
    bench.take("G/NDATA/N", 2, &[double("p", 2.0)]);
    assert_eq!(bench.tick_at(Duration::from_millis(4_999)), []);
    let events = bench.tick_at(seconds(5));
    assert_eq!((readings(&events), others(&events)), (vec!["G/N p 2".to_owned(), "G/N p ~4".to_owned()], vec!["rebirth G/N".to_owned()]));
    let HostEvent::Rebirth { reason, .. } = &events[0] else {
        let HostEvent::Rebirth { reason, .. } = &events[2] else { panic!("{events:?}") };
        assert_eq!(reason, "2 messages from seq 1 on are missing");
        // What is late is taken, too, and once.
        assert_eq!(readings(&bench.take("G/NDATA/N", 3, &[double("p", 3.0)])), ["G/N p 3"]);
        assert_eq!(readings(&data(&mut bench, 5, 5.0)), ["G/N p ~5"]);
        born(&mut bench);
        assert_eq!(readings(&data(&mut bench, 1, 6.0)), ["G/N p 6"]);
        return;
    };
    panic!("{reason}");
}

#[test]
fn a_message_without_a_number_has_its_place_where_it_arrived() {
    let mut bench = Bench::new();
    born(&mut bench);
    bench.take("G/DBIRTH/N/D", 1, &[double("t", 1.0)]);
    // A will without seq comes behind what waits: the device is dead in the end.
    assert_eq!(bench.take("G/DDATA/N/D", 3, &[double("t", 3.0)]), []);
    let events = bench.raw("G/DDEATH/N/D", &[]);
    assert_eq!(readings(&events), ["G/N/D t 3"]);
    assert_eq!(others(&events), ["dead G/N/D DeviceDeath", "rebirth G/N"]);
    assert!(matches!(events[1], HostEvent::Dead { .. }), "{events:?}");
}

#[test]
fn what_waits_when_the_node_dies_is_taken_before_its_death() {
    let mut bench = Bench::new();
    born(&mut bench);
    data(&mut bench, 2, 2.0);
    let events = bench.death(0);
    assert_eq!((readings(&events), others(&events)), (vec!["G/N p ~2".to_owned()], vec!["dead G/N NodeDeath".to_owned()]));
    assert!(matches!(events[1], HostEvent::Dead { .. }), "{events:?}");
}

#[test]
fn what_overtook_the_birth_of_its_node_comes_behind_it() {
    let mut bench = Bench::new();
    born(&mut bench);
    let old = bench.take("G/NDATA/N", 7, &[double("p", 7.0)]);
    bench.now = seconds(1);
    let early = bench.take("G/DBIRTH/N/D", 1, &[aliased("t", 2, 1.0)]);
    let earlier = bench.take("G/DDATA/N/D", 2, &[by_alias(2, 2.0)]);
    assert_eq!((old, readings(&early)), (vec![], vec!["G/N/D t 1".to_owned()]));
    // Number 1 was due, so that only number 2 and 7 wait; 2 became ready with 1.
    assert_eq!(readings(&earlier), ["G/N/D t 2"]);
    let events = bench.take("G/NDATA/N", 4, &[double("p", 4.0)]);
    assert_eq!(events, []);
    let events = bench.take("G/NBIRTH/N", 0, &[session(1), aliased("p", 1, 0.0)]);
    // The old one before the birth, the one of the present behind it, waiting for its turn.
    assert_eq!(readings(&events), ["G/N p 7", "G/N p 0"]);
    for seq in 1..=2 {
        assert_eq!(readings(&data(&mut bench, seq, 9.0)), ["G/N p 9"]);
    }
    assert_eq!(readings(&data(&mut bench, 3, 3.0)), ["G/N p 3", "G/N p 4"]);
}

#[test]
fn a_device_that_died_stays_dead_behind_what_is_late() {
    let mut bench = Bench::new();
    born(&mut bench);
    bench.take("G/DBIRTH/N/D", 1, &[double("t", 1.0)]);
    let late = payload(Some(2), T + 500, &[double("t", 2.0)]);
    bench.now = seconds(1);
    assert_eq!(bench.take("G/DDEATH/N/D", 3, &[]), []);
    let events = bench.tick_at(seconds(6));
    assert_eq!(others(&events), ["dead G/N/D DeviceDeath", "rebirth G/N"]);
    let events = bench.raw("G/DDATA/N/D", &late);
    assert_eq!((readings(&events), others(&events)), (vec!["G/N/D t 2".to_owned()], vec!["dead G/N/D DeviceDeath".to_owned()]));
    // One that is later than the death is alive.
    let events = bench.take("G/DDATA/N/D", 4, &[double("t", 4.0)]);
    assert_eq!((readings(&events), others(&events).len()), (vec!["G/N/D t 4".to_owned()], 0));
}

#[test]
fn a_node_whose_numbers_are_no_order_is_taken_as_it_comes() {
    let mut bench = Bench::new();
    born(&mut bench);
    let mut refused = 0;
    let mut taken = 0;
    // Two processes under one name, each with its own numbers.
    for index in 0..1_000_u64 {
        let seq = if index % 2 == 0 { 1 + index / 2 } else { 100 + index / 2 };
        let events = [bench.tick_at(seconds(index)), bench.take("G/NDATA/N", seq, &[double("p", index as f64)])].concat();
        refused += reasons(&events).iter().filter(|reason| reason.contains("no order")).count();
        taken += readings(&events).len();
    }
    taken += readings(&bench.tick_at(seconds(2_000))).len();
    assert_eq!(taken, 1_000);
    assert!(refused <= 1);
    // Nothing waits any more.
    assert_eq!(readings(&bench.take("G/NDATA/N", 222, &[double("p", 1.0)])).len(), 1);
}

#[test]
fn no_more_than_the_bounds_wait() {
    let most = HostOptions { held_messages_max: 3, ..HostOptions::default() };
    let mut bench = Bench::with(most);
    born(&mut bench);
    for seq in 2..=4 {
        assert_eq!(bench.take("G/NDATA/N", seq, &[double("p", 0.0)]), []);
    }
    assert_eq!(readings(&bench.take("G/NDATA/N", 5, &[double("p", 0.0)])).len(), 4);

    // Bytes of all nodes together.
    let mut bench = Bench::with(HostOptions { held_bytes_max: 100, ..HostOptions::default() });
    let long = metric("s", 12, WireMetricValue::Text("x".repeat(60).into()));
    for node in ["N", "M"] {
        bench.take(&format!("G/NBIRTH/{node}"), 0, std::slice::from_ref(&long));
    }
    assert_eq!(bench.take("G/NDATA/N", 2, std::slice::from_ref(&long)), []);
    assert_eq!(readings(&bench.take("G/NDATA/M", 2, std::slice::from_ref(&long))).len(), 1);
    assert_eq!(readings(&bench.tick_at(seconds(5))).len(), 1);
    assert_eq!(bench.take("G/NDATA/M", 4, std::slice::from_ref(&long)), []);
}

#[test]
fn what_was_sent_before_a_birth_is_not_good_by_the_aliases_of_that_birth() {
    let mut bench = Bench::new();
    born(&mut bench);
    bench.take("G/DBIRTH/N/D", 1, &[aliased("a", 5, 1.0)]);
    let late = payload(Some(2), T + 500, &[by_alias(5, 2.0), double("c", 3.0)]);
    bench.now = seconds(1);
    bench.take("G/DBIRTH/N/D", 3, &[aliased("b", 5, 1.0)]);
    assert_eq!(readings(&bench.tick_at(seconds(6))), ["G/N/D b 1"]);
    // Whether it meant `a` or `b` cannot be told any more.
    assert_eq!(readings(&bench.raw("G/DDATA/N/D", &late)), ["G/N/D b ~2", "G/N/D c 3"]);
    assert_eq!(readings(&bench.take("G/DDATA/N/D", 4, &[by_alias(5, 4.0)])), ["G/N/D b 4"]);
}
