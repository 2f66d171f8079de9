//! Times and values of OPC UA nodes that are not what they should be: source times that stand still or come from a clock without a
//! battery, whole numbers that a float cannot hold, nodes without a value.

use std::{collections::BTreeMap, time::Duration};

use historian::model::{Clock, Quality, SystemClock, Value};
use serde_json::json;

use super::opcua::{FIRST, Running, build, command, open_device, server, tag, write};

const SECOND: i64 = 1_000_000_000;

/// Whole microseconds, as the peer has them.
pub fn now() -> i64 {
    SystemClock.now().0 / 1000 * 1000
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_under_one_source_time_are_all_readable_in_their_order_and_it_is_told() {
    let (mut peer, port) = server(&[]);
    write(&mut peer, "Double", "Double", &json!(0.0), 0, FIRST);
    let running = Running::start(&(open_device(&port) + &tag("Double", "f64")));
    running.until("the first value", |r| r.delivering() == 1).await;
    // Some within one notification, some one by one.
    let burst: Vec<_> = (1..=5).map(|step| json!(["Double", "Double", f64::from(step), 0, FIRST, FIRST])).collect();
    command(&mut peer, &json!({ "write": burst }));
    running.until("the burst", |r| r.of("Double").len() == 6).await;
    for step in 6..=10 {
        write(&mut peer, "Double", "Double", &json!(f64::from(step)), 0, FIRST);
        running.until("a change", |r| r.of("Double").len() == step as usize + 1).await;
    }
    let samples = running.of("Double");
    // Read back as a store does: ordered by time, one sample per time.
    let read: BTreeMap<_, _> = samples.iter().map(|(at, value, quality)| (*at, (value.clone(), *quality))).collect();
    let expected: Vec<_> = (0..=10).map(|step| (Some(Value::F64(f64::from(step))), 0)).collect();
    assert_eq!(read.into_values().collect::<Vec<_>>(), expected);
    assert!(samples.iter().all(|(at, ..)| (FIRST..FIRST + 1_000).contains(at)), "{samples:?}");
    let told = running.status.view().last_error;
    assert!(told.contains("Double: the source time stands still") && told.contains("timestamps = \"server\""), "{told}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_value_does_not_stay_at_an_old_good_sample_when_a_plc_restarts_at_1970() {
    let (mut peer, port) = server(&[]);
    for node in ["Double", "Float", "Int32"] {
        write(&mut peer, node, node, &json!(1), 0, FIRST);
    }
    let by_server = tag("Float", "f64") + "timestamps = \"server\"\n" + &tag("Int32", "i64") + "timestamps = \"reception\"\n";
    let text = open_device(&port) + &tag("Double", "f64") + &by_server;
    let running = Running::start(&text);
    running.until("the first values", |r| r.delivering() == 3).await;
    let begun = now();
    // The PLC's clock begins anew; the server's own is right.
    let restarted = 5 * SECOND;
    for (step, value) in [(0, 2), (1, 3), (2, 4)] {
        let writes: Vec<_> = ["Double", "Float", "Int32"]
            .into_iter()
            .map(|node| json!([node, node, value, 0, restarted + i64::from(step) * SECOND, begun + i64::from(step) * 1000]))
            .collect();
        command(&mut peer, &json!({ "write": writes }));
        running
            .until("a change", |r| {
                ["Double", "Float", "Int32"]
                    .iter()
                    .all(|node| r.of(node).last().is_some_and(|last| last.1.is_some()) && r.of(node).len() == step as usize + 2)
            })
            .await;
    }
    let uncertain = Quality::UNCERTAIN.0;
    let value = |value| Some(Value::F64(value));
    let expected = [
        (FIRST, value(1.0), 0),
        (begun, value(2.0), uncertain),
        (begun + 1_000, value(3.0), uncertain),
        (begun + 2_000, value(4.0), uncertain),
    ];
    assert_eq!(running.of("Double"), expected);
    let expected = [(FIRST, value(1.0), 0), (begun, value(2.0), 0), (begun + 1_000, value(3.0), 0), (begun + 2_000, value(4.0), 0)];
    assert_eq!(running.of("Float"), expected);
    let received = running.of("Int32");
    let latest = SystemClock.now().0;
    assert!(received.windows(2).all(|pair| pair[0].0 < pair[1].0) && received.iter().all(|sample| sample.2 == 0), "{received:?}");
    assert!(received[1].0 >= begun && received[3].0 <= latest, "{received:?}");
    let told = running.status.view().last_error;
    assert!(told.contains("Double: the source time is 1970-01-01T00:00:05Z, before 2000"), "{told}");
    running.stop().await;

    let rows = build(&text).check(Duration::from_secs(30)).await;
    let errors: Vec<_> = rows.iter().map(|row| row.error.as_str()).collect();
    assert!(errors[0].contains("before 2000") && errors[0].contains("timestamps = \"server\""), "{errors:?}");
    assert_eq!(&errors[1..], ["", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn source_times_that_come_in_turn_do_not_take_each_others_samples() {
    let (mut peer, port) = server(&[]);
    let (early, late) = (FIRST, FIRST + 3_600 * SECOND);
    write(&mut peer, "Double", "Double", &json!(0.0), 0, early);
    let running = Running::start(&(open_device(&port) + &tag("Double", "f64")));
    running.until("the first value", |r| r.delivering() == 1).await;
    for step in 1..=9 {
        let at = if step % 2 == 0 { early } else { late };
        write(&mut peer, "Double", "Double", &json!(f64::from(step)), 0, at);
        running.until("a change", |r| r.of("Double").len() == step as usize + 1).await;
    }
    // Read back as a store does: ordered by time, one sample per time.
    let read: BTreeMap<_, _> = running.of("Double").into_iter().map(|(at, value, quality)| (at, (value, quality))).collect();
    let good = |step: i32| (Some(Value::F64(f64::from(step))), 0);
    let expected: Vec<_> = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9].into_iter().map(good).collect();
    assert_eq!(read.into_values().collect::<Vec<_>>(), expected, "each time has its own, in their order");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_of_a_source_time_that_stands_still_while_values_change() {
    let (mut peer, port) = server(&[]);
    for node in ["Double", "Float"] {
        write(&mut peer, node, node, &json!(0.5), 0, FIRST);
    }
    let text = open_device(&port) + &tag("Double", "f64") + &tag("Float", "f64");
    let checking = tokio::spawn(async move { build(&text).check(Duration::from_secs(30)).await });
    for step in 1..1_000 {
        if checking.is_finished() {
            break;
        }
        let writes = json!([["Double", "Double", f64::from(step), 0, FIRST, FIRST], ["Float", "Float", step, 0, now(), now()]]);
        command(&mut peer, &json!({ "write": writes }));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rows = checking.await.unwrap();
    assert!(rows[0].error.contains("stands still at ") && rows[0].error.contains("timestamps = \"server\""), "{rows:?}");
    assert_eq!(rows[1].error, "", "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_number_that_a_float_rounds_is_never_good_and_check_proposes_the_type_that_holds_it() {
    let (mut peer, port) = server(&[]);
    let beyond = (1_u64 << 53) + 1;
    write(&mut peer, "UInt64", "UInt64", &json!(7), 0, FIRST);
    let text = open_device(&port) + &tag("UInt64", "f64");
    let rows = build(&text).check(Duration::from_secs(30)).await;
    assert_eq!((rows[0].error.as_str(), &rows[0].value), ("", &Some(Value::F64(7.0))));
    assert!(rows[0].note.contains("beyond 2^53") && rows[0].note.contains("type = \"u64\""), "{}", rows[0].note);
    let running = Running::start(&text);
    running.until("the first value", |r| r.delivering() == 1).await;
    write(&mut peer, "UInt64", "UInt64", &json!(beyond), 0, FIRST + 1_000);
    running.until("the large value", |r| r.of("UInt64").len() == 2).await;
    let rounded = Some(Value::F64(9_007_199_254_740_992.0));
    assert_eq!(running.of("UInt64")[1], (FIRST + 1_000, rounded, Quality::UNCERTAIN.0));
    let told = running.status.view().last_error;
    assert!(told.contains("9007199254740993") && told.contains("type = \"u64\""), "{told}");
    running.stop().await;
    let rows = build(&text).check(Duration::from_secs(30)).await;
    assert!(rows[0].error.contains("type = \"u64\""), "{}", rows[0].error);
    let rows = build(&text.replace("\"f64\"", "\"u64\"")).check(Duration::from_secs(30)).await;
    assert_eq!((rows[0].error.as_str(), &rows[0].value), ("", &Some(Value::U64(beyond))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uncertain_status_without_a_value_is_kept() {
    let (mut peer, port) = server(&[]);
    let initial = Quality::UNCERTAIN_INITIAL_VALUE.0;
    write(&mut peer, "Double", "Double", &json!(null), initial, FIRST);
    let text = open_device(&port) + &tag("Double", "f64");
    let running = Running::start(&text);
    running.until("the sample", |r| !r.of("Double").is_empty()).await;
    assert_eq!(running.of("Double"), [(FIRST, None, initial)]);
    running.stop().await;
    let rows = build(&text).check(Duration::from_secs(30)).await;
    assert_eq!((rows[0].error.as_str(), rows[0].quality.0), ("", initial));
    assert!(rows[0].note.contains("no value"), "{}", rows[0].note);
}
