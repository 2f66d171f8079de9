//! Samples around outages, cuts and restarts, one tag at a time.

use std::time::Duration;

use async_trait::async_trait;
use opcua::types::{StatusCode, Variant};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{convert::protocol_time, times::TimeFrom};
use historian_model::{
    ManualClock, SampleBatch,
    sink::{Acknowledgement, Durability, RefusedWrite, SampleSink, WriteMode},
};

#[derive(Default)]
struct Kept(Mutex<Vec<(i64, Option<f64>, u32)>>);

#[async_trait]
impl SampleSink for Kept {
    async fn write(&self, batch: SampleBatch, _: WriteMode, _: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        for (_, run) in batch.runs {
            for index in 0..run.len() {
                let value = match run.value(index) {
                    Some(Value::F64(value)) => Some(value),
                    _ => None,
                };
                self.0.lock().push((run.timestamps[index] - BASE, value, run.qualities[index]));
            }
        }
        Ok(Acknowledgement::default())
    }
}

/// 2026-01-01T00:00:00Z; the tests' times count from here.
const BASE: i64 = 1_767_225_600_000_000_000;

struct Bench {
    deliveries: Deliveries,
    clock: Arc<ManualClock>,
    spool: Spool,
    status: Arc<DeviceStatus>,
}

impl Bench {
    fn new() -> Bench {
        let status = Arc::new(DeviceStatus::new("d", "opcua", "e"));
        let spool = Spool::new(1000, status.clone());
        let clock = Arc::new(ManualClock::at(Timestamp(BASE + 1_000_000)));
        let tags = [Delivered {
            id: TagId(1),
            name: "t".into(),
            address: "ns=1;s=t".into(),
            value_type: ValueType::F64,
            time: TimeFrom::Source,
            conversion: Conversion::default(),
        }];
        let deliveries = Deliveries::new(tags, spool.clone(), clock.clone(), status.clone());
        Bench { deliveries, clock, spool, status }
    }

    /// One notification with values of the tag, all sampled by the server at `server`.
    fn notify(&self, server: i64, values: &[(i64, f64)]) {
        let values = values
            .iter()
            .map(|(source, value)| {
                (
                    0,
                    DataValue {
                        value: Some(Variant::Double(*value)),
                        status: Some(StatusCode::from(0)),
                        source_timestamp: Some(protocol_time(Timestamp(BASE + *source))),
                        server_timestamp: Some(protocol_time(Timestamp(BASE + server))),
                        ..DataValue::null()
                    },
                )
            })
            .collect();
        self.deliveries.deliver(values, None);
    }

    async fn written(self) -> Vec<(i64, Option<f64>, u32)> {
        let sink = Arc::new(Kept::default());
        let stop = CancellationToken::new();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.spool.drain(sink.clone(), stop)).await.unwrap();
        sink.0.lock().clone()
    }
}

const GONE: u32 = Quality::BAD_NO_COMMUNICATION.0;

#[tokio::test]
async fn a_present_value_older_than_the_outage_is_written_again_once() {
    let bench = Bench::new();
    bench.notify(900_000, &[(500_000, 1.0)]);
    assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 1);
    bench.deliveries.lose("the link is cut");
    bench.deliveries.lose("the link is cut");
    assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 0);
    bench.clock.set(Timestamp(BASE + 2_000_000));
    bench.notify(1_900_000, &[(500_000, 1.0)]);
    bench.notify(2_100_000, &[(2_050_000, 2.0)]);
    assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 1);
    let expected = [(500_000, Some(1.0), 0), (1_000_000, None, GONE), (1_900_000, Some(1.0), 0), (2_050_000, Some(2.0), 0)];
    assert_eq!(bench.written().await, expected);
}

#[tokio::test]
async fn an_outage_that_began_in_an_earlier_run_ends_in_this_one() {
    let bench = Bench::new();
    bench.deliveries.resume(&[Some(Sample { timestamp: BASE + 800_000, value: None, quality: Quality::BAD_NO_COMMUNICATION.0 })]);
    bench.deliveries.lose("the link is cut");
    bench.clock.set(Timestamp(BASE + 2_000_000));
    bench.notify(1_900_000, &[(500_000, 1.0)]);
    assert_eq!(bench.written().await, [(500_000, Some(1.0), 0), (1_900_000, Some(1.0), 0)]);
}

#[tokio::test]
async fn a_value_that_an_earlier_run_stored_does_not_take_the_place_of_another_under_its_time() {
    let bench = Bench::new();
    let minute = 60_000_000_000;
    bench.clock.set(Timestamp(BASE + 10 * minute));
    bench.deliveries.resume(&[Some(Sample { timestamp: BASE + 5 * minute, value: None, quality: Quality::BAD_NO_COMMUNICATION.0 })]);
    bench.notify(9 * minute, &[(500_000, 1.0)]);
    bench.notify(10 * minute, &[(500_000, 2.0)]);
    assert_eq!(bench.written().await, [(9 * minute, Some(1.0), 0), (9 * minute + 1, Some(2.0), 0)]);
}

#[tokio::test]
async fn a_good_last_sample_of_an_earlier_run_adds_nothing() {
    let bench = Bench::new();
    bench.deliveries.resume(&[Some(Sample { timestamp: BASE + 500_000, value: Some(Value::F64(1.0)), quality: Quality::GOOD.0 })]);
    bench.notify(900_000, &[(500_000, 1.0)]);
    bench.notify(900_000, &[(600_000, 2.0)]);
    assert_eq!(bench.written().await, [(600_000, Some(2.0), 0)]);
}

#[tokio::test]
async fn a_value_that_changed_in_the_outage_is_kept_and_restored_too() {
    let bench = Bench::new();
    bench.notify(900_000, &[(500_000, 1.0)]);
    bench.clock.set(Timestamp(BASE + 1_500_000));
    bench.deliveries.lose("the link is cut");
    bench.clock.set(Timestamp(BASE + 2_000_000));
    // Changed before the loss was noticed, and the server sends no useful server timestamp.
    bench.notify(1_400_000, &[(1_400_000, 3.0)]);
    // A change around the reconnect that is older than the extra sample: its value must be the latest.
    bench.notify(1_800_000, &[(1_800_000, 4.0)]);
    bench.notify(2_500_000, &[(2_500_000, 5.0)]);
    let expected = [
        (500_000, Some(1.0), 0),
        (1_500_000, None, GONE),
        (1_400_000, Some(3.0), 0),
        (2_000_000, Some(3.0), 0),
        (1_800_000, Some(4.0), 0),
        (2_000_001, Some(4.0), 0),
        (2_500_000, Some(5.0), 0),
    ];
    assert_eq!(bench.written().await, expected);
}

#[tokio::test]
async fn nothing_is_added_while_source_timestamps_advance() {
    let bench = Bench::new();
    bench.notify(900_000, &[(500_000, 1.0), (600_000, 2.0)]);
    bench.deliveries.lose("the link is cut");
    bench.clock.set(Timestamp(BASE + 2_000_000));
    bench.notify(1_900_000, &[(600_000, 2.0), (1_600_000, 3.0)]);
    let expected = [(500_000, Some(1.0), 0), (600_000, Some(2.0), 0), (1_000_000, None, GONE), (1_600_000, Some(3.0), 0)];
    assert_eq!(bench.written().await, expected);
}

#[tokio::test]
async fn bad_samples_follow_the_last_sample_even_when_that_lies_in_the_future() {
    let bench = Bench::new();
    bench.notify(900_000, &[(5_000_000, 1.0)]);
    bench.deliveries.lose("the link is cut");
    bench.deliveries.refuse(0, Quality::BAD_NODE_ID_UNKNOWN, None);
    bench.deliveries.refuse(0, Quality::BAD_NODE_ID_UNKNOWN, None);
    let unknown = Quality::BAD_NODE_ID_UNKNOWN.0;
    assert_eq!(bench.written().await, [(5_000_000, Some(1.0), 0), (5_000_001, None, GONE), (5_000_002, None, unknown)]);
}

#[tokio::test]
async fn an_outage_is_marked_by_the_servers_clock_where_that_differs() {
    let bench = Bench::new();
    let hour = 3_600_000_000_000;
    bench.clock.set(Timestamp(BASE + 10 * hour));
    let value = DataValue { source_timestamp: Some(protocol_time(Timestamp(BASE + 9 * hour))), ..DataValue::from(1.0) };
    bench.deliveries.deliver(vec![(0, value)], Some(BASE + 9 * hour + 100));
    bench.deliveries.lose("the link is cut");
    assert_eq!(bench.written().await, [(9 * hour, Some(1.0), 0), (9 * hour + 100, None, GONE)]);
}

#[tokio::test]
async fn what_changed_during_a_cut_takes_the_place_of_the_outage_when_the_subscription_goes_on() {
    let bench = Bench::new();
    bench.notify(900_000, &[(500_000, 1.0)]);
    bench.deliveries.lose("the link is cut");
    bench.clock.set(Timestamp(BASE + 2_000_000));
    bench.deliveries.take_up([0]);
    bench.notify(1_900_000, &[(950_000, 2.0), (1_200_000, 3.0)]);
    bench.deliveries.settle([(0, 16)], true);
    assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 1);
    let expected =
        [(500_000, Some(1.0), 0), (1_000_000, None, GONE), (950_000, Some(2.0), 0), (1_200_000, Some(3.0), 0), (1_000_000, Some(2.0), 0)];
    assert_eq!(bench.written().await, expected);
}

#[tokio::test]
async fn a_tag_that_did_not_change_during_a_cut_is_as_if_nothing_had_been() {
    let bench = Bench::new();
    bench.notify(900_000, &[(500_000, 1.0)]);
    bench.deliveries.lose("the link is cut");
    bench.deliveries.take_up([0]);
    bench.deliveries.settle([(0, 16)], true);
    assert_eq!(bench.status.items_delivering.load(Ordering::Relaxed), 1);
    assert_eq!(bench.written().await, [(500_000, Some(1.0), 0), (1_000_000, None, GONE), (1_000_000, Some(1.0), 0)]);
}

#[tokio::test]
async fn a_cut_longer_than_the_servers_queue_stays_an_outage_up_to_what_was_queued() {
    for (queue, complete) in [(2, true), (16, false)] {
        let bench = Bench::new();
        bench.notify(900_000, &[(500_000, 1.0)]);
        bench.deliveries.lose("the link is cut");
        bench.deliveries.take_up([0]);
        bench.notify(1_900_000, &[(1_500_000, 2.0), (1_600_000, 3.0)]);
        bench.deliveries.settle([(0, queue)], complete);
        let expected = [(500_000, Some(1.0), 0), (1_000_000, None, GONE), (1_500_000, Some(2.0), 0), (1_600_000, Some(3.0), 0)];
        assert_eq!(bench.written().await, expected);
    }
}

#[tokio::test]
async fn a_tag_that_is_monitored_anew_while_its_subscription_catches_up_is_back_with_its_value() {
    let bench = Bench::new();
    bench.notify(900_000, &[(500_000, 1.0)]);
    bench.deliveries.lose("the link is cut");
    bench.deliveries.take_up([0]);
    // What its value is made of was learned meanwhile: its subscription will not settle it.
    bench.deliveries.mute(0);
    bench.deliveries.expect(0, "ns=1;s=t", None);
    bench.clock.set(Timestamp(BASE + 2_000_000));
    bench.notify(1_900_000, &[(500_000, 1.0)]);
    bench.deliveries.settle([], true);
    let expected = [(500_000, Some(1.0), 0), (1_000_000, None, GONE), (1_900_000, Some(1.0), 0)];
    assert_eq!(bench.written().await, expected);
}
