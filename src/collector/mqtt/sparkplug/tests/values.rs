//! Values: nulls, qualities, times, templates, data sets and arrays.

use super::*;
use crate::sparkplug::payload::{
    RawScalar, WireDataSet, WireDataSetElement, WireDataSetRow, WireElementValue, WirePropertyValue, WireTemplate,
};

const DATA_SET: u32 = 16;
const TEMPLATE: u32 = 19;

fn template(name: &str, is_definition: bool, members: &[WireMetric]) -> WireMetric {
    let metrics = members.iter().map(|member| member.encode_to_vec().into()).collect();
    let template = WireTemplate { metrics, is_definition: Some(is_definition) };
    metric(name, TEMPLATE, WireMetricValue::Template(template.encode_to_vec().into()))
}

fn data_set(name: &str, columns: &[(&str, u32)], rows: &[&[WireElementValue]]) -> WireMetric {
    let element = |value: &WireElementValue| WireDataSetElement { value: Some(value.clone()) }.encode_to_vec().into();
    let row = |row: &&[WireElementValue]| WireDataSetRow { elements: row.iter().map(element).collect() }.encode_to_vec().into();
    let data_set = WireDataSet {
        columns: columns.iter().map(|(name, _)| name.as_bytes().to_vec().into()).collect(),
        types: columns.iter().map(|(_, number)| *number).collect(),
        rows: rows.iter().map(row).collect(),
    };
    metric(name, DATA_SET, WireMetricValue::DataSet(data_set.encode_to_vec().into()))
}

fn array(name: &str, datatype: u32, bytes: &[u8]) -> WireMetric {
    metric(name, datatype, WireMetricValue::Bytes(bytes.to_vec().into()))
}

/// Readings without the edge, of one data message behind a birth of nothing.
fn taken(metrics: &[WireMetric]) -> Vec<String> {
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[]);
    readings(&bench.take("G/NDATA/N", 1, metrics)).iter().map(|reading| reading.trim_start_matches("G/N ").to_owned()).collect()
}

#[test]
fn null_is_bad_and_keeps_its_type_and_nan_is_null() {
    let mut bench = Bench::new();
    let null = WireMetric { value: None, is_null: Some(true), ..double("p", 0.0) };
    let events = bench.take("G/NBIRTH/N", 0, std::slice::from_ref(&null));
    assert_eq!((readings(&events), others(&events)), (vec!["G/N p !none".to_owned()], vec!["born G/N p".to_owned()]));
    assert_eq!(qualities(&events), [Quality::BAD_NO_DATA]);
    let told_null = WireMetric { is_null: Some(true), ..double("p", 5.0) };
    let untyped = WireMetric { datatype: None, ..null };
    let events = bench.take("G/NDATA/N", 1, &[double("p", f64::NAN), told_null, untyped, double("p", 1.0)]);
    assert_eq!(readings(&events), ["G/N p !none", "G/N p !none", "G/N p !none", "G/N p 1"]);
}

#[test]
fn the_quality_that_an_edge_tells_is_that_of_the_reading() {
    let with = |number| with_properties(double("p", 1.0), &[("Quality", WirePropertyValue::Int(number))]);
    assert_eq!(taken(&[with(192), with(0), with(500), double("p", 1.0)]), ["p 1", "p !none", "p ~1", "p 1"]);
    // A Bad template is Bad in all its members, unless they say otherwise of themselves.
    let of_template = with_properties(template("m", false, &[double("a", 1.0), with(500)]), &[("Quality", WirePropertyValue::Int(0))]);
    assert_eq!(taken(&[of_template]), ["m/a !none", "m/p ~1"]);
}

#[test]
fn times_are_those_of_the_metric_the_payload_or_the_receipt() {
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[double("p", 0.0)]);
    bench.now = seconds(10);
    let at = |timestamp| WireMetric { timestamp, ..double("p", 0.0) };
    let events = bench.take("G/NDATA/N", 1, &[at(Some(T + 7)), at(Some(0)), at(None), at(Some(T / 1_000)), at(Some(5))]);
    assert_eq!(times(&events), [ns(T + 7), ns(T + 10_000), ns(T + 10_000), ns(T + 10_000), ns(T + 10_000)]);
    assert_eq!(others(&events), ["refused G/N p"]);
    assert!(reasons(&events)[0].contains(&(T / 1_000).to_string()), "{events:?}");
    let events = bench.raw("G/NDATA/N", &payload(Some(2), 0, &[at(Some(0))]));
    assert_eq!(times(&events), [ns(T + 10_100)]);
    let far = T + 3 * 86_400_000;
    assert_eq!(times(&bench.raw("G/NDATA/N", &payload(Some(3), far, &[at(Some(u64::MAX))]))), [ns(T + 10_100)]);
}

#[test]
fn what_an_edge_kept_is_historical() {
    let kept = |name| WireMetric { is_historical: Some(true), ..double(name, 1.0) };
    assert_eq!(taken(&[kept("p"), double("p", 2.0)]), ["p h1", "p 2"]);
    let old = WireMetric { is_historical: Some(true), ..template("m", false, &[double("a", 1.0)]) };
    assert_eq!(taken(&[old]), ["m/a h1"]);
}

#[test]
fn templates_are_flattened_and_their_definitions_are_none() {
    let mut bench = Bench::new();
    let inner = template("drive", false, &[double("speed", 50.0), WireMetric { timestamp: Some(T + 5), ..double("load", 0.5) }]);
    let outer =
        WireMetric { timestamp: Some(T + 3), ..template("motor", false, &[metric("on", 11, WireMetricValue::Boolean(true)), inner]) };
    let events = bench.take("G/NBIRTH/N", 0, &[template("_types_/Motor", true, &[double("speed", 0.0)]), outer]);
    assert_eq!(others(&events), ["born G/N motor/on motor/drive/speed motor/drive/load"]);
    assert_eq!(readings(&events), ["G/N motor/on true", "G/N motor/drive/speed 50", "G/N motor/drive/load 0.5"]);
    assert_eq!(times(&events), [ns(T + 3), ns(T + 3), ns(T + 5)]);
    // Data with some members, and without types.
    let untyped = |metric: WireMetric| WireMetric { datatype: None, ..metric };
    let part = untyped(template("motor", false, &[untyped(metric("on", 11, WireMetricValue::Int(0)))]));
    assert_eq!(readings(&bench.take("G/NDATA/N", 1, &[part])), ["G/N motor/on false"]);
    // Null as a whole.
    let null = WireMetric { value: None, is_null: Some(true), ..untyped(template("motor", false, &[])) };
    assert_eq!(
        readings(&bench.take("G/NDATA/N", 2, &[null])),
        ["G/N motor/on !none", "G/N motor/drive/speed !none", "G/N motor/drive/load !none"]
    );
}

#[test]
fn templates_are_flattened_so_deep_and_no_deeper() {
    let mut nested = double("x", 1.0);
    for _ in 0..8 {
        nested = template("l", false, &[nested]);
    }
    assert_eq!(taken(std::slice::from_ref(&nested)), ["l/l/l/l/l/l/l/l/x 1"]);
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[]);
    let events = bench.take("G/NDATA/N", 1, &[template("l", false, &[nested])]);
    assert_eq!(reasons(&events), ["templates are nested more than 8 deep"]);
}

#[test]
fn a_data_set_of_one_row_is_its_columns_and_more_rows_are_refused() {
    use WireElementValue::{Double, Long, Text};
    let columns = [("count", 8), ("level", 10), ("name", 12)];
    let row: &[WireElementValue] = &[Long(7), Double(1.5), Text("x".into())];
    assert_eq!(taken(&[data_set("ds", &columns, &[row])]), ["ds/count 7", "ds/level 1.5", "ds/name \"x\""]);
    assert_eq!(taken(&[data_set("ds", &columns, &[])]), ["ds/count !none", "ds/level !none", "ds/name !none"]);
    for (odd, part) in [
        (data_set("ds", &columns, &[row, row]), "has 2 rows"),
        (data_set("ds", &columns, &[&row[..2]]), "3 columns and a row of 2"),
        (data_set("ds", &[], &[]), "0 columns and 0 types"),
        (data_set("ds", &[("blob", 17)], &[&[Long(1)]]), "the type of this column is not stored"),
    ] {
        let mut bench = Bench::new();
        bench.take("G/NBIRTH/N", 0, &[]);
        for (seq, told) in [(1, 1), (2, 0)] {
            let events = bench.take("G/NDATA/N", seq, std::slice::from_ref(&odd));
            assert_eq!((readings(&events).len(), reasons(&events).len()), (0, told), "{events:?}");
            assert!(reasons(&events).iter().all(|reason| reason.contains(part)), "{events:?}");
        }
    }
}

#[test]
fn a_list_of_samples_is_readings_of_the_metric_at_their_times() {
    use WireElementValue::{Float, Long};
    let at = |ms, value| vec![Long(T + ms), Float(value)];
    let rows = [at(1, 1.5), at(2, 2.5)];
    let list = data_set("t", &[("timestamps", 4), ("values", 9)], &[&rows[0], &rows[1]]);
    let mut bench = Bench::new();
    let float = metric("DATA/t", 9, WireMetricValue::Float(0.5));
    bench.take("G/NBIRTH/N", 0, &[float]);
    let events = bench.take("G/NDATA/N", 1, &[list]);
    assert_eq!((readings(&events), others(&events).len()), (vec!["G/N DATA/t 1.5".to_owned(), "G/N DATA/t 2.5".to_owned()], 0));
    assert_eq!(times(&events), [ns(T + 1), ns(T + 2)]);
    // It stays a scalar for what comes without a type.
    let untyped = WireMetric { datatype: None, ..metric("t", 9, WireMetricValue::Float(3.5)) };
    assert_eq!(readings(&bench.take("G/NDATA/N", 2, &[untyped])), ["G/N DATA/t 3.5"]);
}

#[test]
fn arrays_are_their_elements() {
    let floats: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let doubles: Vec<u8> = [0.1_f64].iter().flat_map(|value| value.to_le_bytes()).collect();
    for (datatype, bytes, expected) in [
        (22, &[1, 0xFF][..], &["a[0] 1", "a[1] -1"][..]),
        (23, &[0xFE, 0xFF], &["a[0] -2"]),
        (24, &[0xFD, 0xFF, 0xFF, 0xFF], &["a[0] -3"]),
        (25, &[0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], &["a[0] -4"]),
        (26, &[1, 0xFF], &["a[0] 1", "a[1] 255"]),
        (27, &[0xFE, 0xFF], &["a[0] 65534"]),
        (28, &[0xFD, 0xFF, 0xFF, 0xFF], &["a[0] 4294967293"]),
        (29, &[1, 0, 0, 0, 0, 0, 0, 0x80], &["a[0] 9223372036854775809"]),
        (30, &floats, &["a[0] 1.5", "a[1] -2"]),
        (31, &doubles, &["a[0] 0.1"]),
        (
            32,
            &[9, 0, 0, 0, 0b1010_0000, 0b1000_0000],
            &["a[0] true", "a[1] false", "a[2] true", "a[3] false", "a[4] false", "a[5] false", "a[6] false", "a[7] false", "a[8] true"],
        ),
        (33, b"x\0\0y\0", &["a[0] \"x\"", "a[1] \"\"", "a[2] \"y\""]),
        (33, b"x\0y", &["a[0] \"x\"", "a[1] \"y\""]),
        (34, &[0x10, 0, 0, 0, 0, 0, 0, 0], &["a[0] 16"]),
        (22, &[], &[]),
        (32, &[0, 0, 0, 0], &[]),
        (33, &[], &[]),
    ] {
        assert_eq!(taken(&[array("a", datatype, bytes)]), expected, "{datatype} {bytes:?}");
    }
    for (datatype, bytes, part) in [
        (23, &[1][..], "no whole number"),
        (31, &[1; 12], "no whole number"),
        (32, &[1, 0], "fewer than its count"),
        (32, &[9, 0, 0, 0, 0xFF], "tells 9 Booleans"),
        (32, &[0xFF, 0xFF, 0xFF, 0xFF], "tells 4294967295 Booleans"),
    ] {
        let mut bench = Bench::new();
        let events = bench.take("G/NBIRTH/N", 0, &[array("a", datatype, bytes)]);
        assert!(reasons(&events)[0].contains(part), "{events:?}");
    }
}

#[test]
fn elements_that_an_array_has_no_more_are_null() {
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[array("a", 22, &[1, 2, 3])]);
    let untyped = |bytes: &[u8]| WireMetric { datatype: None, ..array("a", 22, bytes) };
    assert_eq!(readings(&bench.take("G/NDATA/N", 1, &[untyped(&[9])])), ["G/N a[0] 9", "G/N a[1] !none", "G/N a[2] !none"]);
    let null = WireMetric { value: None, is_null: Some(true), ..untyped(&[]) };
    assert_eq!(readings(&bench.take("G/NDATA/N", 2, &[null])).len(), 3);
}

#[test]
fn what_is_no_measurement_is_refused_once_by_its_name() {
    let mut bench = Bench::new();
    let bytes = |name, datatype| metric(name, datatype, WireMetricValue::Bytes("x".into()));
    let metrics = [bytes("blob", 17), bytes("file", 18), bytes("odd", 99), double("p", 1.0)];
    let events = bench.take("G/NBIRTH/N", 0, &metrics);
    assert_eq!(others(&events), ["refused G/N blob", "refused G/N file", "refused G/N odd", "born G/N p"]);
    assert_eq!(reasons(&events)[0], "values of type Bytes (17) are not stored");
    let events = bench.take("G/NDATA/N", 1, &metrics);
    assert_eq!((readings(&events), others(&events).len()), (vec!["G/N p 1".to_owned()], 0));
    assert_eq!(WireMetricValue::Bytes("x".into()).scalar(), None::<RawScalar>);
}

#[test]
fn one_broken_metric_does_not_cost_the_others() {
    let mut bench = Bench::new();
    let metrics = vec![double("a", 1.0).encode_to_vec().into(), vec![0x0A, 0xFF].into(), double("b", 2.0).encode_to_vec().into()];
    let message = WirePayload { timestamp: Some(T), metrics, seq: Some(0), uuid: None };
    let events = bench.raw("G/NBIRTH/N", &message.encode_to_vec());
    assert_eq!(
        (readings(&events), others(&events)),
        (vec!["G/N a 1".to_owned(), "G/N b 2".to_owned()], vec!["refused G/N -".to_owned(), "born G/N a b".to_owned()])
    );
    // A name that is not UTF-8 is one with replacement characters.
    let latin = WireMetric { name: Some((&b"K\xE4lte"[..]).into()), ..double("", 3.0) };
    assert_eq!(readings(&bench.take("G/NDATA/N", 1, &[latin])), ["G/N K\u{fffd}lte 3"]);
}
