//! Messages as other libraries encode them: pysparkplug 0.6.1 (its payload classes) and `mqtt-spb-wrapper` 2.1.2 (its entity and
//! `getNodeDeathPayload`), both of the Python Package Index.

use super::*;

const PYSPARKPLUG_NBIRTH: &str = "\
    0880d0eab6b73312190a056c6576656c1880d0eab6b733200a69000000000000f83f12160a05636f756e741880d0eab6b733200350f9ff\
    ffff0f12120a0562645365711880d0eab6b733200458001800";
const PYSPARKPLUG_DBIRTH: &str = "\
    0881d0eab6b73312130a05736d616c6c1880d0eab6b733200150fd0112180a046c6973741880d0eab6b73320178201060100feff030012\
    150a026f6e1880d0eab6b733202082010503000000a012180a05776f7264731880d0eab6b7332021820105610000620012160a04776865\
    6e1880d0eab6b733200d5880d0eab6b7331801";
const PYSPARKPLUG_NDATA: &str = "\
    08e8d7eab6b73312190a056c6576656c18e8d7eab6b733200a69000000000000044012120a05636f756e7418e8d7eab6b7332003380118\
    02";
const PYSPARKPLUG_DDEATH: &str = "\
    08d0dfeab6b7331803";
const PYSPARKPLUG_NDEATH: &str = "\
    0880d0eab6b73312120a0562645365711880d0eab6b73320045801";
const SPB_WRAPPER_DBIRTH: &str = "\
    0880d0eab6b733121a0a0b415454522f73657269616c1880d0eab6b733200e7a024131121a0a06444154412f741880d0eab6b733200a69\
    000000000080354012130a06444154412f6e1880d0eab6b7332004580512160a09434d442f72657365741880d0eab6b733200b70001800";
const SPB_WRAPPER_DDATA: &str = "\
    0880d0eab6b73312150a017418e8d7eab6b733200a69000000000080364012470a016e1880d0eab6b73320108a01380802120a74696d65\
    7374616d7073120676616c75657318041804220d0a0710e8d7eab6b7330a021006220d0a0710d0dfeab6b7330a0210071801";
const SPB_WRAPPER_DDEATH: &str = "\
    12120a05626453657118bbdca1eaa23420045800";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn pysparkplug_is_read_and_its_farewell_with_the_next_bd_seq_ends_it() {
    let mut bench = Bench::new();
    let events = bench.raw("G/NBIRTH/N", &bytes(PYSPARKPLUG_NBIRTH));
    assert_eq!(
        (readings(&events), others(&events)),
        (vec!["G/N level 1.5".to_owned(), "G/N count -7".to_owned()], vec!["born G/N level count".to_owned()])
    );
    let events = bench.raw("G/DBIRTH/N/D", &bytes(PYSPARKPLUG_DBIRTH));
    let expected = [
        "small -3",
        "list[0] 1",
        "list[1] -2",
        "list[2] 3",
        "on[0] true",
        "on[1] false",
        "on[2] true",
        "words[0] \"a\"",
        "words[1] \"\"",
        "words[2] \"b\"",
        "when 1767225600000",
    ];
    assert_eq!(readings(&events), expected.map(|reading| format!("G/N/D {reading}")));
    let events = bench.raw("G/NDATA/N", &bytes(PYSPARKPLUG_NDATA));
    assert_eq!(
        (readings(&events), times(&events)),
        (vec!["G/N level 2.5".to_owned(), "G/N count !none".to_owned()], vec![ns(T + 1_000); 2])
    );
    bench.now = seconds(2);
    assert_eq!(others(&bench.raw("G/DDEATH/N/D", &bytes(PYSPARKPLUG_DDEATH))), ["dead G/N/D DeviceDeath"]);
    let events = bench.raw("G/NDEATH/N", &bytes(PYSPARKPLUG_NDEATH));
    assert_eq!(others(&events), ["dead G/N NodeDeathOfOtherSession", "rebirth G/N"]);
    // Its time is that of the connect: the death is that of the receipt.
    assert_eq!(deaths(&events)[0].0, bench.received());
}

#[test]
fn mqtt_spb_wrapper_is_read_under_the_names_of_its_birth_and_dies_without_a_number() {
    let mut bench = Bench::new();
    let events = bench.raw("G/DBIRTH/N/D", &bytes(SPB_WRAPPER_DBIRTH));
    assert_eq!(others(&events), ["born G/N/D ATTR/serial DATA/t DATA/n CMD/reset", "rebirth G/N"]);
    assert_eq!(
        readings(&events),
        ["ATTR/serial \"A1\"", "DATA/t 21.5", "DATA/n 5", "CMD/reset false"].map(|reading| format!("G/N/D {reading}"))
    );
    let events = bench.raw("G/DDATA/N/D", &bytes(SPB_WRAPPER_DDATA));
    assert_eq!(readings(&events), ["DATA/t 22.5", "DATA/n 6", "DATA/n 7"].map(|reading| format!("G/N/D {reading}")));
    assert_eq!(times(&events), [ns(T + 1_000), ns(T + 1_000), ns(T + 2_000)]);
    assert_eq!(others(&events), [""; 0]);
    bench.now = seconds(1);
    let events = bench.raw("G/DDEATH/N/D", &bytes(SPB_WRAPPER_DDEATH));
    // The latest reading is of a clock ahead.
    assert_eq!(deaths(&events), [(Timestamp(ns(T + 2_000).0 + 1), DeathReason::DeviceDeath)]);
    // Which a node of the same make uses for its own death.
    let mut bench = Bench::new();
    bench.take("G/NBIRTH/N", 0, &[session(1), double("DATA/t", 1.0)]);
    assert_eq!(others(&bench.raw("G/NDEATH/N", &bytes(SPB_WRAPPER_DDEATH))), ["dead G/N NodeDeathOfOtherSession", "rebirth G/N"]);
}

/// Tahu (Java): data by alias only, without name and type; Int32 sign-extended to 32 bits, `UInt32` in the field of 64.
#[test]
fn data_by_alias_without_name_and_type_has_those_of_the_birth() {
    let mut bench = Bench::new();
    let born = |name, alias, datatype, value| WireMetric { alias: Some(alias), ..metric(name, datatype, value) };
    let metrics = [
        born("bdSeq", 0, 4, WireMetricValue::Long(3)),
        born("Node Control/Rebirth", 1, 11, WireMetricValue::Boolean(false)),
        born("small", 2, 1, WireMetricValue::Int((-1_i32) as u32)),
        born("signed", 3, 3, WireMetricValue::Int((-2_i32) as u32)),
        born("unsigned", 4, 7, WireMetricValue::Long(4_000_000_000)),
        born("text", 5, 12, WireMetricValue::Text("on".into())),
    ];
    bench.take("G/NBIRTH/N", 0, &metrics);
    let untold = |metric: &WireMetric| WireMetric { name: None, datatype: None, ..metric.clone() };
    let events = bench.take("G/NDATA/N", 1, &metrics.iter().map(untold).collect::<Vec<_>>());
    assert_eq!(readings(&events), ["G/N small -1", "G/N signed -2", "G/N unsigned 4000000000", "G/N text \"on\""]);
    assert_eq!(others(&events), [""; 0]);
}
