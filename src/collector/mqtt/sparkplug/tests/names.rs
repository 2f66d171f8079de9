//! Names that differ between birth and data, metrics that no birth told, and types that change.

use super::*;

#[test]
fn data_means_the_one_metric_of_the_birth_that_ends_in_its_name_and_has_its_type() {
    let text = |name: &str| metric(name, 12, WireMetricValue::Text("x".into()));
    let birth =
        [double("DATA/t", 1.0), double("DATA/both", 1.0), double("ATTR/both", 1.0), text("ATTR/x"), double("a/y", 1.0), double("b/y", 1.0)];
    let untyped = |name: &str| WireMetric { datatype: None, ..double(name, 2.0) };
    for (data, expected) in [
        (double("t", 2.0), "DATA/t 2"),
        (untyped("t"), "DATA/t 2"),
        (double("DATA/t", 2.0), "DATA/t 2"),
        (double("both", 2.0), "DATA/both 2"),
        // Of another type, of two with no folder of data, part of a level, not at all: metrics of their own.
        (double("x", 2.0), "x 2"),
        (metric("t", INT32, WireMetricValue::Int(2)), "t 2"),
        (double("y", 2.0), "y 2"),
        (double("A/t", 2.0), "A/t 2"),
        (double("new", 2.0), "new 2"),
    ] {
        let mut bench = Bench::new();
        bench.take("G/NBIRTH/N", 0, &birth);
        let events = bench.take("G/NDATA/N", 1, std::slice::from_ref(&data));
        assert_eq!(readings(&events), [format!("G/N {expected}")], "{data:?}");
        let is_new = !expected.starts_with("DATA/");
        assert_eq!(others(&events).len(), usize::from(is_new), "{events:?}");
        if is_new {
            let name = expected.split(' ').next().unwrap();
            assert_eq!(others(&events), [format!("born G/N DATA/t DATA/both ATTR/both ATTR/x a/y b/y {name}")]);
        }
        // The same the second time, and nothing is told again.
        assert_eq!(readings(&bench.take("G/NDATA/N", 2, &[data])), [format!("G/N {expected}")]);
    }
}

#[test]
fn a_metric_of_its_own_goes_when_the_next_birth_has_one_that_it_means() {
    let mut bench = Bench::new();
    assert_eq!(others(&bench.take("G/DDATA/N/D", 0, &[double("t", 1.0)]))[0], "born G/N/D t");
    assert_eq!(others(&bench.take("G/DBIRTH/N/D", 1, &[double("DATA/t", 2.0)]))[0], "born G/N/D DATA/t");
    assert_eq!(readings(&bench.take("G/DDATA/N/D", 2, &[double("t", 3.0)])), ["G/N/D DATA/t 3"]);
}

#[test]
fn a_type_that_changes_without_a_birth_is_told_before_the_reading() {
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[aliased("p", 1, 1.0)]);
    let short = WireMetric { alias: Some(1), datatype: Some(INT32), value: Some(WireMetricValue::Int(7)), ..WireMetric::default() };
    let events = bench.take("G/NDATA/N", 1, std::slice::from_ref(&short));
    let HostEvent::Born { metrics, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(metrics[0].value_type, historian_model::ValueType::I64);
    assert_eq!(readings(&events), ["G/N p 7"]);
    assert_eq!(others(&bench.take("G/NDATA/N", 2, &[short])), [""; 0]);
    // Another width of the same type is no change; a value without a type is of the last one.
    let wide = WireMetric { alias: Some(1), datatype: Some(4), value: Some(WireMetricValue::Long(8)), ..WireMetric::default() };
    let untyped = WireMetric { datatype: None, value: Some(WireMetricValue::Long(u64::MAX)), ..wide.clone() };
    let events = bench.take("G/NDATA/N", 3, &[wide, untyped]);
    assert_eq!((readings(&events), others(&events).len()), (vec!["G/N p 8".to_owned(), "G/N p -1".to_owned()], 0));
}

#[test]
fn a_value_that_does_not_fit_its_type_is_bad_and_says_why_once() {
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[aliased("p", 1, 1.0)]);
    let text = WireMetric { alias: Some(1), value: Some(WireMetricValue::Text("hot".into())), ..WireMetric::default() };
    let events = bench.take("G/NDATA/N", 1, std::slice::from_ref(&text));
    assert_eq!((readings(&events), qualities(&events)), (vec!["G/N p !none".to_owned()], vec![Quality::BAD_TYPE_MISMATCH]));
    assert_eq!(others(&events), ["refused G/N p"]);
    let events = bench.take("G/NDATA/N", 2, &[text]);
    assert_eq!((readings(&events), others(&events).len()), (vec!["G/N p !none".to_owned()], 0));
}
