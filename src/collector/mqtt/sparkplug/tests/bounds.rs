//! Bounds of memory, each with words, and messages that are none.

use super::*;

fn refusal(events: &[HostEvent], part: &str) {
    assert!(reasons(events).iter().any(|reason| reason.contains(part)), "{part}: {events:?}");
}

#[test]
fn nodes_devices_and_metrics_are_bounded() {
    let options = HostOptions { nodes_max: 1, devices_per_node_max: 1, metrics_per_node_max: 3, ..HostOptions::default() };
    let mut bench = Bench::with(options);
    let events = bench.take("G/NBIRTH/N", 0, &[double("a", 1.0), double("b", 1.0)]);
    assert_eq!(readings(&events).len(), 2);
    let events = bench.take("G/DBIRTH/N/D", 1, &[double("a", 1.0), double("b", 2.0)]);
    assert_eq!(
        (readings(&events), others(&events)),
        (vec!["G/N/D a 1".to_owned()], vec!["refused G/N/D b".to_owned(), "born G/N/D a".to_owned()])
    );
    refusal(&events, "3 metrics already");
    refusal(&bench.take("G/DDATA/N/E", 2, &[double("a", 1.0)]), "1 devices already");
    refusal(&bench.take("G/NBIRTH/M", 0, &[]), "1 edge nodes are known");
    // What is known goes on, and a birth with less makes room.
    assert_eq!(readings(&bench.take("G/NDATA/N", 3, &[double("a", 2.0), double("new", 3.0)])), ["G/N a 2"]);
    bench.take("G/NBIRTH/N", 0, &[double("a", 1.0)]);
    assert_eq!(readings(&bench.take("G/DBIRTH/N/D", 1, &[double("a", 1.0), double("b", 2.0)])).len(), 2);
}

#[test]
fn long_arrays_long_names_and_long_messages_are_bounded() {
    let mut bench = Bench::with(HostOptions { array_elements_max: 2, payload_bytes_max: 2_000, ..HostOptions::default() });
    for (datatype, bytes) in [(22, &[1, 2, 3][..]), (32, &[3, 0, 0, 0, 0xFF]), (33, b"a\0b\0c\0")] {
        let events = bench.take("G/NBIRTH/N", 0, &[metric("a", datatype, WireMetricValue::Bytes(bytes.to_vec().into()))]);
        assert_eq!(readings(&events).len(), 2, "{datatype}");
        refusal(
            &bench.take("G/NBIRTH/M", 0, &[metric(&format!("a{datatype}"), datatype, WireMetricValue::Bytes(bytes.to_vec().into()))]),
            "the first 2 are stored",
        );
    }
    refusal(&bench.take("G/NBIRTH/N", 0, &[double(&"n".repeat(1_025), 1.0)]), "1025 bytes");
    refusal(&bench.take("G/NBIRTH/N", 0, &[double(&"n".repeat(2_001), 1.0)]), "only up to 2000");
}

#[test]
fn a_small_message_does_not_make_many_events() {
    let mut bench = Bench::with(HostOptions { metrics_per_node_max: 50, ..HostOptions::default() });
    let empty = WirePayload { metrics: vec![prost::bytes::Bytes::new(); 10_000], seq: Some(0), ..WirePayload::default() };
    let events = bench.raw("G/NBIRTH/N", &empty.encode_to_vec());
    refusal(&events, "the first 50 are taken");
    assert!(events.len() < 60, "{}", events.len());
    let mut bench = Bench::new();
    let events = bench.raw("G/NBIRTH/N", &empty.encode_to_vec());
    refusal(&events, "9900 more refusals in the same message");
    assert_eq!(events.len(), 100 + 1 + 1);
    // What is refused behind that is still told.
    refusal(&bench.take("G/NDATA/N", 1, &[by_alias(1, 1.0)]), "no birth has told");
}

#[test]
fn what_is_no_message_is_refused_in_words() {
    let mut bench = Bench::new();
    refusal(&bench.raw("G/NBIRTH/N", b"\xFF\xFF"), "no payload of Sparkplug B");
    refusal(&bench.raw("G/NDATA", b""), "is not spBv1.0/group/kind/node");
    let compressed = WirePayload { uuid: Some("SPBV1.0_COMPRESSED".into()), ..WirePayload::default() };
    refusal(&bench.raw("G/NBIRTH/N", &compressed.encode_to_vec()), "compressed");
    refusal(&bench.take("G/NBIRTH/N", 0, &[WireMetric { name: None, ..aliased("a", 1, 1.0) }]), "neither a name nor an alias");
    for topic in ["STATE/host", "G/NCMD/N", "G/DCMD/N/D"] {
        assert_eq!(bench.raw(topic, b"\xFF"), [], "{topic}");
    }
}
