//! Deaths: whom they end, at which time, and that nobody dead stays Good.

use super::*;

/// A node with devices D and E.
fn born() -> Bench {
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[session(4), aliased("p", 1, 1.0)]);
    bench.take("G/DBIRTH/N/D", 1, &[aliased("t", 2, 1.0)]);
    bench.take("G/DBIRTH/N/E", 2, &[double("t", 1.0)]);
    bench.now = seconds(1);
    bench
}

#[test]
fn the_death_of_a_node_ends_it_and_its_devices_once() {
    let mut bench = born();
    assert_eq!(others(&bench.death(4)), ["dead G/N NodeDeath", "dead G/N/D NodeDeath", "dead G/N/E NodeDeath"]);
    // A clean farewell and the will behind it.
    assert_eq!(bench.death(4), []);
    assert_eq!(bench.host.next_due(), None);
}

#[test]
fn a_death_is_of_the_session_whatever_type_its_number_has() {
    for value in [WireMetricValue::Int(4), WireMetricValue::Long(4)] {
        for datatype in [3, 4, 7, 8] {
            let death = payload(None, T, &[metric("bdSeq", datatype, value.clone())]);
            assert_eq!(deaths(&born().raw("G/NDEATH/N", &death)), [(ns(T + 1_100), DeathReason::NodeDeath); 3], "{value:?} {datatype}");
        }
    }
    // No number is no other number; and neither an empty nor a broken message is no death.
    for death in [payload(None, T, &[]), Vec::new()] {
        assert_eq!(deaths(&born().raw("G/NDEATH/N", &death)).len(), 3);
    }
    let events = born().raw("G/NDEATH/N", b"OFFLINE");
    assert_eq!(others(&events)[..2], ["refused G/N -", "dead G/N NodeDeath"]);
    let huge = vec![0; (4 << 20) + 1];
    assert_eq!(others(&born().raw("G/DDEATH/N/D", &huge)), ["refused G/N/D -", "dead G/N/D DeviceDeath"]);
}

#[test]
fn a_death_of_another_session_ends_the_node_and_lets_a_living_one_prove_itself() {
    let mut bench = born();
    let events = bench.death(5);
    let ends = ["dead G/N NodeDeathOfOtherSession", "dead G/N/D NodeDeathOfOtherSession", "dead G/N/E NodeDeathOfOtherSession"];
    assert_eq!(others(&events), [&ends[..], &["rebirth G/N"]].concat());
    // It lives: its data is taken as before, what comes by alias alone with a doubt.
    let events = bench.take("G/DDATA/N/D", 3, &[by_alias(2, 2.0), double("t", 3.0)]);
    assert_eq!((readings(&events), others(&events)), (vec!["G/N/D t ~2".to_owned(), "G/N/D t 3".to_owned()], vec![]));
    let events = bench.take("G/NBIRTH/N", 0, &[session(4), aliased("p", 1, 1.0)]);
    assert_eq!(others(&events), ["born G/N p"]);
    bench.take("G/DBIRTH/N/D", 1, &[aliased("t", 2, 1.0)]);
    assert_eq!(readings(&bench.take("G/DDATA/N/D", 2, &[by_alias(2, 4.0)])), ["G/N/D t 4"]);
    // And can die again.
    assert_eq!(others(&bench.death(4)), ["dead G/N NodeDeath", "dead G/N/D NodeDeath"]);
}

#[test]
fn a_death_comes_behind_the_latest_reading_of_a_clock_that_is_ahead() {
    let mut bench = born();
    let ahead = WireMetric { timestamp: Some(T + 90_000), ..double("t", 2.0) };
    let history = WireMetric { timestamp: Some(T + 95_000), is_historical: Some(true), ..double("t", 2.0) };
    bench.take("G/DDATA/N/E", 3, &[ahead, history]);
    let events = bench.death(4);
    assert_eq!(
        deaths(&events).iter().map(|death| death.0).collect::<Vec<_>>(),
        [ns(T + 1_100), ns(T + 1_100), Timestamp(ns(T + 90_000).0 + 1)]
    );
}

#[test]
fn a_device_dies_alone_and_lives_again_with_data_or_a_birth() {
    for seq in [Some(3), None] {
        let mut bench = born();
        let death = payload(seq, T + 1_000, &[]);
        assert_eq!(others(&bench.raw("G/DDEATH/N/D", &death)), ["dead G/N/D DeviceDeath"]);
        assert_eq!(bench.raw("G/DDEATH/N/D", &payload(None, T, &[])), []);
        let next = seq.map_or(3, |seq| seq + 1);
        let events = bench.take("G/DDATA/N/D", next, &[double("t", 5.0)]);
        assert_eq!((readings(&events), others(&events)), (vec!["G/N/D t 5".to_owned()], vec!["rebirth G/N".to_owned()]));
        // It came back by its data: its next death is told.
        assert_eq!(others(&bench.death(4)), ["dead G/N NodeDeath", "dead G/N/D NodeDeath", "dead G/N/E NodeDeath"]);
    }
}

#[test]
fn devices_that_are_not_born_again_behind_their_node_die_when_the_grace_is_over() {
    let mut bench = born();
    bench.take("G/DDEATH/N/E", 3, &[]);
    bench.take("G/DBIRTH/N/F", 4, &[double("t", 1.0)]);
    bench.now = seconds(2);
    assert_eq!(others(&bench.take("G/NBIRTH/N", 0, &[session(5)])), ["born G/N "]);
    assert_eq!(bench.host.next_due(), Some(seconds(7)));
    // F goes on without a birth, by names: it lives.
    assert_eq!(readings(&bench.take("G/DDATA/N/F", 1, &[double("t", 2.0)])), ["G/N/F t 2"]);
    bench.tick_at(Duration::from_millis(6_999));
    let events = bench.tick_at(seconds(7));
    assert_eq!(deaths(&events), [(ns(T + 2_100), DeathReason::NotBornAgain)]);
    assert_eq!(others(&events), ["dead G/N/D NotBornAgain"]);
    // A node that dies in the grace takes all with it that was not dead.
    let mut bench = born();
    bench.take("G/NBIRTH/N", 0, &[session(5)]);
    bench.take("G/DBIRTH/N/D", 1, &[double("t", 1.0)]);
    assert_eq!(deaths(&bench.death(5)), [(ns(T + 1_100), DeathReason::NodeDeath); 3]);
    assert_eq!(bench.host.next_due(), None);
}

#[test]
fn deaths_of_unknown_edges_are_told_and_not_remembered() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        assert_eq!(others(&bench.death(0)), ["dead G/N NodeDeath"]);
        assert_eq!(others(&bench.raw("G/DDEATH/N/D", &[])), ["dead G/N/D DeviceDeath"]);
    }
    let mut bench = born();
    assert_eq!(others(&bench.take("G/DDEATH/N/X", 3, &[])), ["dead G/N/X DeviceDeath"]);
}

#[test]
fn a_lost_link_ends_all_and_the_first_data_behind_it_asks_for_a_rebirth() {
    let mut bench = born();
    bench.take("G/DDEATH/N/E", 3, &[]);
    let waiting = bench.take("G/NDATA/N", 5, &[double("p", 9.0)]);
    assert_eq!(waiting, []);
    let events = bench.link_lost();
    assert_eq!(readings(&events), ["G/N p 9"]);
    assert_eq!(others(&events), ["dead G/N LinkLost", "dead G/N/D LinkLost"]);
    assert_eq!((bench.host.next_due(), bench.link_lost()), (None, vec![]));
    bench.now = seconds(60);
    let events = bench.take("G/DDATA/N/D", 77, &[by_alias(2, 2.0)]);
    assert_eq!((readings(&events), others(&events)), (vec!["G/N/D t ~2".to_owned()], vec!["rebirth G/N".to_owned()]));
    let events = bench.take("G/NDATA/N", 79, &[double("p", 3.0)]);
    assert_eq!((readings(&events), others(&events)), (vec!["G/N p 3".to_owned()], vec![]));
    // The death of what lives by its data only.
    assert_eq!(others(&bench.death(6)), ["dead G/N NodeDeath", "dead G/N/D NodeDeath"]);
}
