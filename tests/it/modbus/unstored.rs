//! `stored = false`: what formulas take and nobody keeps. It is polled, decoded and told of as everything else, and leaves no sample, no gap
//! and no tag.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use historian::{
    collector::status::DeviceState,
    model::{Quality, TagId, Value, sink::LossReason},
    server::config::{Overrides, parse},
};

use super::{
    Running, build, configuration,
    device::{Answer, Device},
    eventually, start, try_build,
    values::server,
};

/// Of the plant of `tests/peers/modbus_server.py`: name, the rest of the table, and the value where it is stored.
const TAGS: [(&str, &str, Option<Value>); 9] = [
    ("power", "address = \"formula:{u} * {i}\"", Some(Value::F64(-807_758.04))),
    ("u", "address = \"holding:0\"\nformat = \"u16\"\nscale = 0.1\nstored = false", None),
    ("i", "address = \"holding:16\"\nformat = \"i16\"\nscale = 0.01\nstored = false", None),
    // Two registers that do not lie side by side, as one number.
    ("high", "address = \"holding:211\"\nstored = false", None),
    ("low", "address = \"holding:0\"", Some(Value::U64(65_432))),
    ("energy", "address = \"formula:{high} * 65536 + {low}\"\ntype = \"u64\"", Some(Value::U64(2_684_747_672))),
    ("half", "address = \"formula:{u} / 2\"\nstored = false", None),
    ("sum", "address = \"formula:{half} + {i}\"", Some(Value::F64(3148.15))),
    ("kept", "address = \"formula:-{power}\"\nstored = true", Some(Value::F64(807_758.04))),
];

fn text(head: &str, tags: &[(&str, &str)]) -> String {
    let tables = tags.iter().map(|(name, table)| format!("[[tag]]\nname = \"{name}\"\n{table}\n"));
    format!("name = \"meter\"\n{head}\n{}", tables.collect::<String>())
}

/// Ids of tags begin at 1, and are given to what is stored.
fn assert_nothing_else_was_stored(running: &Running, stored: usize) {
    assert_eq!(running.ids.len(), stored, "{:?}", running.tags());
    for id in (0..100).filter(|id| !(1..=stored as u32).contains(id)) {
        assert!(running.recorder.of(TagId(id)).is_none() && running.recorder.losses(TagId(id)).is_empty(), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formulas_take_what_is_not_stored_from_pymodbus() {
    let (_peer, port) = server(&["tcp"]).await;
    let head = format!("endpoint = \"127.0.0.1:{port}\"\nscan_ms = 200\ntimeout_ms = 5000");
    let text = text(&head, &TAGS.map(|(name, table, _)| (name, table)));
    let stored: Vec<(&str, Value)> = TAGS.into_iter().filter_map(|(name, _, value)| Some((name, value?))).collect();
    let mut running = start(&text);
    eventually("polls", || stored.iter().all(|(name, _)| running.ids.contains_key(*name) && running.count(name) >= 4)).await;
    let (wanted, delivering) = (&running.status.items_wanted, &running.status.items_delivering);
    assert_eq!((wanted.load(Ordering::Relaxed), delivering.load(Ordering::Relaxed)), (9, 9), "they count as what is polled");
    let rows = build(&text).check(Duration::from_secs(20)).await;
    running.stop().await;
    for (name, value) in &stored {
        let samples = running.samples(name);
        assert!(samples.iter().all(|(_, found, quality)| found.as_ref() == Some(value) && quality.is_good()), "{name}: {samples:?}");
    }
    assert_nothing_else_was_stored(&running, stored.len());
    // What is collected first, in its order, then what is not stored.
    let told: Vec<(&str, &str)> = rows.iter().map(|row| (row.tag.as_str(), row.note.as_str())).collect();
    let input = "not stored, formulas take it";
    assert_eq!(
        told,
        [
            ("low", ""),
            ("power", ""),
            ("energy", ""),
            ("sum", ""),
            ("kept", ""),
            ("u", input),
            ("i", input),
            ("high", input),
            ("half", input)
        ]
    );
    assert_eq!(rows.iter().find(|row| row.tag == "u").and_then(|row| row.value.clone()), Some(Value::F64(6543.2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_fails_is_told_of_and_costs_what_is_calculated_from_it() {
    let mut device = Device::holding(vec![2301, 5, 7]).await;
    device.behave(|request| if request.touches(1) { Answer::Exception(2) } else { Answer::Good });
    let head = format!("endpoint = \"127.0.0.1:{}\"\nscan_ms = 100\ntimeout_ms = 200\nreprobe_ms = 300", device.port);
    let tags = [
        ("u", "address = \"holding:0\"\nstored = false"),
        ("i", "address = \"holding:1\"\nstored = false"),
        ("power", "address = \"formula:{u} * {i}\""),
        ("level", "address = \"holding:2\""),
    ];
    let mut running = start(&text(&head, &tags));
    let losses = |running: &Running| {
        let told = running.recorder.losses(running.ids["power"]);
        told.into_iter().map(|loss| (loss.reason, loss.end.is_some())).collect::<Vec<_>>()
    };
    eventually("the refusal is on record", || !losses(&running).is_empty() && running.is_good("level")).await;
    assert_eq!(losses(&running), [(LossReason::Refused, false)]);
    assert_eq!(running.last("power").map(|(_, value, quality)| (value, quality)), Some((None, Quality::BAD_CONFIGURATION_ERROR)));
    assert_eq!(running.status.view().state, DeviceState::Degraded);
    assert!(running.status.view().holes.iter().any(|hole| hole.starts_with("holding:1 ")), "{:?}", running.status.view().holes);
    let (_, undelivered) = running.status.undelivered(10);
    assert!(undelivered.iter().any(|told| told.tag == "power" && told.reason.contains("{i} has no value")), "{undelivered:?}");
    device.behave(|_| Answer::Good);
    eventually("the address answers", || running.is_good("power")).await;
    assert_eq!(running.last("power").and_then(|(_, value, _)| value), Some(Value::F64(11_505.0)));
    device.stop().await;
    eventually("the outage is on record", || running.last("power").is_some_and(|(.., quality)| quality.is_outage())).await;
    device.listen().await;
    eventually("power is back", || running.is_good("power") && running.is_good("level")).await;
    running.stop().await;
    assert!(losses(&running).last().is_some_and(|(_, ended)| *ended), "{:?}", losses(&running));
    assert_nothing_else_was_stored(&running, 2);
}

/// Four strings, of which one is not there: the sum of the others is one, and it is none where a string does not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_counts_for_what_the_device_has_not_and_for_nothing_else() {
    let device = Device::holding(vec![2301, 0, 5, 0, 7, 0xFFFF, 0xFFFF, 0]).await;
    let head =
        format!("endpoint = \"127.0.0.1:{}\"\nscan_ms = 100\nreprobe_ms = 300\nnot_available = \"sunspec\"\nmax_gap = 0", device.port);
    let tags = [
        ("s1", "address = \"holding:0\"\nstored = false"),
        ("s2", "address = \"holding:2\"\nstored = false"),
        ("s3", "address = \"holding:4\"\nstored = false"),
        ("s4", "address = \"holding:5\"\nformat = \"u32\"\nstored = false\nnot_available = \"0xFFFFFFFF\""),
        ("pv", "address = \"formula:default({s1}, 0) + default({s2}, 0) + default({s3}, 0) + default({s4}, 0)\"\ntype = \"u64\""),
        ("all", "address = \"formula:{s1} + {s4}\""),
    ];
    let text = text(&head, &tags).replace("0xFFFFFFFF", "u32 0xFFFF0000");
    let mut running = start(&text);
    eventually("the sum", || running.is_good("pv") && running.count("pv") >= 3).await;
    assert_eq!(running.last("pv").and_then(|(_, value, _)| value), Some(Value::U64(2313 + 0xFFFF_FFFF)), "nothing is missing yet");
    running.stop().await;
    let mut running = start(&text.replace("u32 0xFFFF0000", "0xFFFFFFFF"));
    eventually("the sum without it", || running.is_good("pv") && running.count("pv") >= 3).await;
    assert_eq!(running.last("pv").and_then(|(_, value, _)| value), Some(Value::U64(2313)));
    assert_eq!(running.last("all").map(|(_, value, quality)| (value, quality)), Some((None, Quality::BAD_NO_DATA)));
    let delivering = running.status.items_delivering.load(Ordering::Relaxed);
    assert_eq!(delivering, 5, "all is missed, and s4 by nobody but it");
    device.behave(|request| if request.touches(4) { Answer::Exception(2) } else { Answer::Good });
    eventually("a string that is refused is not 0", || running.last("pv").is_some_and(|(.., quality)| quality.is_bad())).await;
    assert_eq!(running.last("pv").map(|(_, value, quality)| (value, quality)), Some((None, Quality::BAD_CONFIGURATION_ERROR)));
    running.stop().await;
    let sums: Vec<Option<Value>> = running.samples("pv").into_iter().map(|(_, value, _)| value).collect();
    assert!(sums.iter().all(|sum| sum.is_none() || *sum == Some(Value::U64(2313))), "{sums:?}");
    assert_nothing_else_was_stored(&running, 2);
}

/// `historian check` finds no fault where a default counts, and finds one where there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_tells_an_input_that_is_not_missed_from_one_that_is() {
    let device = Device::holding(vec![2301, 0xFFFF, 7]).await;
    let head = format!("endpoint = \"127.0.0.1:{}\"\nscan_ms = 100", device.port);
    for (formula, good) in [("formula:{s1} + default({s2}, 0)", true), ("formula:{s1} + {s2}", false)] {
        let address = format!("address = \"{formula}\"");
        let tags = [
            ("s1", "address = \"holding:0\"\nstored = false"),
            ("s2", "address = \"holding:1\"\nstored = false\nnot_available = \"0xFFFF\""),
            ("pv", address.as_str()),
        ];
        let rows = build(&text(&head, &tags)).check(Duration::from_secs(5)).await;
        let told: Vec<(&str, bool)> = rows.iter().map(|row| (row.tag.as_str(), row.is_good())).collect();
        assert_eq!(told, [("pv", good), ("s1", true), ("s2", good)], "{formula}");
        assert_eq!((rows[2].value.clone(), rows[2].quality), (None, Quality::BAD_NO_DATA), "it is Good in no way");
        assert_eq!(rows[2].note.contains("their defaults count"), good, "{}", rows[2].note);
    }
}

/// A reload sees that a tag is stored no more, or again.
#[test]
fn whether_it_is_stored_is_part_of_the_configuration() {
    let of = |stored: &str| {
        let u = format!("address = \"holding:0\"\nstored = {stored}");
        build(&text("endpoint = \"127.0.0.1:502\"", &[("u", u.as_str()), ("twice", "address = \"formula:{u} * 2\"")]))
    };
    assert_ne!(of("true").fingerprint(), of("false").fingerprint());
    let names = |stored: &str| of(stored).tags().iter().map(|tag| tag.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names("true"), ["u", "twice"]);
    assert_eq!(names("false"), ["twice"]);
}

/// The name of an input is known to its device alone; that of a tag is one of the catalog.
#[test]
fn devices_may_give_their_inputs_the_same_names() {
    let device = |name: &str, stored: &str| {
        let u = format!("address = \"holding:0\"\nstored = {stored}");
        let (power, formula) = (format!("{name}/power"), "address = \"formula:{u} * 2\"");
        configuration(
            &text("endpoint = \"127.0.0.1:502\"", &[("u", u.as_str()), (power.as_str(), formula)])
                .replace("\"meter\"", &format!("\"{name}\"")),
        )
    };
    let read = |a: &str, b: &str| {
        let both = format!("{}\n{}", device("m1", a), device("m2", b));
        parse("historian.toml", &both, Path::new("."), &Overrides::default()).map(|read| read.collectors.len())
    };
    assert_eq!(read("false", "false").ok(), Some(2));
    assert_eq!(read("true", "false").ok(), Some(2));
    let problems = read("true", "true").err().unwrap_or_default();
    assert!(problems.len() == 1 && problems[0].message.contains("a tag has one source"), "{problems:#?}");
}

#[test]
fn what_is_read_for_nothing_is_refused_also_behind_another_formula() {
    let tags = [
        ("u", "address = \"holding:0\"\nstored = false"),
        ("twice", "address = \"formula:{u} * 2\"\nstored = false"),
        ("level", "address = \"holding:2\""),
    ];
    let problems = try_build(&text("endpoint = \"127.0.0.1:502\"", &tags)).err().unwrap_or_default();
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    assert_eq!(problem.key, "modbus.meter.tag.twice.stored");
    assert!(problem.message.contains("no formula of the device takes the tag"), "{problem}");
}
