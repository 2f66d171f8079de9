//! Births: what is announced, what data before them does, and what a rebirth restores.

use historian_model::ValueType;

use super::*;
use crate::sparkplug::{BornMetric, payload::WirePropertyValue};

#[test]
fn a_birth_announces_its_metrics_and_reports_their_values() {
    let mut bench = Bench::new();
    let text = |text: &'static str| WirePropertyValue::Text(text.into());
    let told = [("engUnit", text("bar")), ("engLow", WirePropertyValue::Double(0.0)), ("engHigh", WirePropertyValue::Float(6.5))];
    let control = metric("Node Control/Rebirth", 11, WireMetricValue::Boolean(false));
    let metrics = [session(0), control.clone(), with_properties(double("p", 2.5), &told), metric("n", INT32, WireMetricValue::Int(7))];
    let events = bench.take("G/NBIRTH/N", 0, &metrics);
    let HostEvent::Born { metrics, .. } = &events[0] else { panic!("{events:?}") };
    let expected = BornMetric {
        name: "p".into(),
        value_type: ValueType::F64,
        unit: "bar".into(),
        description: String::new(),
        range_low: Some(0.0),
        range_high: Some(6.5),
        address: "sparkplug:G/N:p".into(),
    };
    assert_eq!(metrics[0], expected);
    assert_eq!((&*metrics[1].name, metrics[1].value_type, metrics.len()), ("n", ValueType::I64, 2));
    assert_eq!(readings(&events), ["G/N p 2.5", "G/N n 7"]);
    assert_eq!(times(&events), [ns(T), ns(T)]);

    // Commands and session counters are left out of data, too.
    let events = bench.take("G/NDATA/N", 1, &[control, session(0), double("p", 3.0)]);
    assert_eq!((readings(&events), others(&events).len()), (vec!["G/N p 3".to_owned()], 0));

    let events = bench.take("G/DBIRTH/N/D", 2, &[metric("Device Control/Reboot", 11, WireMetricValue::Boolean(false)), double("t", 20.0)]);
    assert_eq!(others(&events), ["born G/N/D t"]);
    let HostEvent::Born { metrics, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(metrics[0].address, "sparkplug:G/N/D:t");
}

#[test]
fn aliases_are_those_of_the_last_birth_of_their_edge() {
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[aliased("a", 1, 0.0), aliased("b", 2, 0.0)]);
    // A make that numbers each device anew.
    bench.take("G/DBIRTH/N/D", 1, &[aliased("t", 1, 0.0)]);
    assert_eq!(readings(&bench.take("G/NDATA/N", 2, &[by_alias(2, 1.0), by_alias(1, 2.0)])), ["G/N b 1", "G/N a 2"]);
    assert_eq!(readings(&bench.take("G/DDATA/N/D", 3, &[by_alias(1, 3.0)])), ["G/N/D t 3"]);

    let events = bench.take("G/NBIRTH/N", 0, &[aliased("b", 1, 5.0)]);
    assert_eq!(others(&events), ["born G/N b"]);
    assert_eq!(readings(&bench.take("G/NDATA/N", 1, &[by_alias(1, 6.0)])), ["G/N b 6"]);
    // The aliases of the device are void with the birth of its node.
    let events = bench.take("G/DDATA/N/D", 2, &[by_alias(1, 7.0)]);
    assert_eq!((readings(&events).len(), others(&events)), (0, vec!["refused G/N/D -".to_owned(), "rebirth G/N".to_owned()]));
    assert!(reasons(&events)[0].contains("the first by alias 1"), "{events:?}");
    bench.take("G/DBIRTH/N/D", 3, &[aliased("t", 9, 8.0)]);
    assert_eq!(readings(&bench.take("G/DDATA/N/D", 4, &[by_alias(9, 9.0)])), ["G/N/D t 9"]);
}

#[test]
fn data_before_any_birth_is_taken_where_it_says_what_it_is() {
    let mut bench = Bench::new();
    let nameless = WireMetric { value: Some(WireMetricValue::Int(1)), ..WireMetric::default() };
    let untyped = WireMetric { datatype: None, ..metric("n", INT32, WireMetricValue::Int(4_294_967_295)) };
    let inferred = WireMetric { datatype: None, ..double("d", 1.5) };
    let events = bench.take("G/DDATA/N/D", 9, &[double("t", 1.0), by_alias(3, 2.0), by_alias(4, 2.0), nameless, untyped, inferred]);
    assert_eq!(readings(&events), ["G/N/D t 1", "G/N/D d 1.5"]);
    assert_eq!(others(&events), ["refused G/N/D -", "refused G/N/D n", "born G/N/D t d", "refused G/N/D -", "rebirth G/N"]);
    let reasons = reasons(&events);
    assert!(reasons[1].contains("neither the message nor a birth tells its type"), "{reasons:?}");
    assert!(reasons[2].contains("2 values by aliases"), "{reasons:?}");
    // Asked once, then as the spacing allows; and the metrics are told once.
    let events = bench.take("G/DDATA/N/D", 10, &[double("t", 2.0)]);
    assert_eq!((readings(&events), others(&events)), (vec!["G/N/D t 2".to_owned()], vec![]));
    assert_eq!(bench.host.next_due(), Some(seconds(10)));
    assert_eq!(others(&bench.tick_at(seconds(10))), ["rebirth G/N"]);
    // The birth tells what there is; `d` is gone.
    let events = bench.take("G/NBIRTH/N", 0, &[]);
    assert_eq!(others(&events), ["born G/N "]);
    let events = bench.take("G/DBIRTH/N/D", 1, &[double("t", 3.0)]);
    assert_eq!((readings(&events), others(&events)), (vec!["G/N/D t 3".to_owned()], vec!["born G/N/D t".to_owned()]));
}

#[test]
fn a_rebirth_makes_what_it_repeats_hold_again_behind_the_death() {
    let mut bench = Bench::new();
    let old = |name: &str, value, at| WireMetric { timestamp: Some(at), ..double(name, value) };
    bench.take("G/NBIRTH/N", 0, &[session(0), old("quiet", 1.0, T - 3_600_000)]);
    bench.now = seconds(10);
    let dead_at = deaths(&bench.death(0))[0].0;
    assert_eq!(dead_at, bench.received());
    bench.now = seconds(20);
    let metrics = [session(1), old("quiet", 1.0, T - 3_600_000), old("changed", 2.0, T + 15_000)];
    let events = bench.take("G/NBIRTH/N", 0, &metrics);
    assert_eq!(readings(&events), ["G/N quiet h1", "G/N quiet 1", "G/N changed 2"]);
    assert_eq!(times(&events), [ns(T - 3_600_000), ns(T + 20_000), ns(T + 15_000)]);
    // Once is enough.
    assert_eq!(readings(&bench.take("G/NBIRTH/N", 0, &metrics)).len(), 2);
}

#[test]
fn a_host_that_starts_behind_an_absence_makes_births_say_so() {
    let mut bench = Bench::new();
    assert_eq!(bench.link_lost(), []);
    let quiet = WireMetric { timestamp: Some(T - 1_000), ..double("quiet", 1.0) };
    bench.now = seconds(5);
    let events = bench.take("G/NBIRTH/N", 0, &[quiet]);
    assert_eq!(times(&events), [ns(T - 1_000), ns(T + 5_000)]);
    assert_eq!(readings(&events), ["G/N quiet h1", "G/N quiet 1"]);
}

#[test]
fn a_quiet_node_is_asked_when_the_link_is_back_unless_it_says_something_itself() {
    let mut bench = Bench::new();
    for node in ["A", "B", "C"] {
        bench.take(&format!("G/NBIRTH/{node}"), 0, &[double("p", 1.0)]);
    }
    bench.link_lost();
    bench.now = seconds(20);
    bench.host.link_found(bench.now);
    bench.take("G/NBIRTH/B", 0, &[double("p", 1.0)]);
    assert_eq!((bench.tick_at(Duration::from_millis(24_999)), bench.host.next_due()), (vec![], Some(seconds(25))));
    assert_eq!(others(&bench.tick_at(Duration::from_millis(25_039))), ["rebirth G/A"]);
    assert_eq!(others(&bench.tick_at(Duration::from_millis(25_040))), ["rebirth G/C"]);
    assert_eq!(bench.host.next_due(), None);
}

#[test]
fn a_retained_birth_teaches_metrics_and_leaves_nobody_alive() {
    let mut bench = Bench::new();
    let birth = payload(Some(0), T - 60_000, &[session(0), aliased("p", 1, 2.0)]);
    let topic = "spBv1.0/G/NBIRTH/N";
    let events = bench.host.take_retained(topic, &birth, bench.received(), bench.now);
    assert_eq!(readings(&events), ["G/N p h2"]);
    assert_eq!(others(&events), ["born G/N p", "dead G/N Retained", "rebirth G/N"]);
    let events = bench.take("G/NDATA/N", 5, &[by_alias(1, 3.0)]);
    assert_eq!(readings(&events), ["G/N p ~3"]);
    // Of one that is known to live nothing is learnt from it.
    assert_eq!(bench.host.take_retained(topic, &birth, bench.received(), bench.now), []);
}
