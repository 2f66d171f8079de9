//! Units of the spool: beside a sink that refuses as it is told.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use historian_model::{
    Clock, ManualClock, TagName,
    sink::{Acknowledgement, Durability, Loss, LossReason, RefusedWrite, RejectedTag, Rejection, SampleSink, WriteError, WriteMode},
};

fn run(timestamps: &[i64]) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    for &timestamp in timestamps {
        samples.push(timestamp, Some(&Value::F64(0.0)), 0).unwrap();
    }
    samples
}

#[tokio::test]
async fn a_full_spool_drops_the_oldest_counts_them_and_tells_of_each_tag_from_when_to_when() {
    let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
    status.set_scene(Arc::new(ManualClock::at(Timestamp(77))), Vec::new());
    let spool = Spool::new(5, status.clone());
    assert_eq!(spool.unwritten_since(), None);
    // Each run is a segment of its own, as the spool is so small.
    for (tag, times) in [(1, &[1, 2, 3][..]), (2, &[4]), (1, &[5]), (3, &[6, 7]), (1, &[8, 9]), (1, &[10, 11])] {
        spool.push(TagId(tag), run(times));
    }
    assert_eq!((status.samples_dropped.load(Ordering::Relaxed), spool.depth()), (4, 4), "the newest of each tag is kept");
    assert_eq!(spool.unwritten_since(), Some(Timestamp(77)));
    let (sink, stop) = (Arc::new(Choosy::default()), CancellationToken::new());
    stop.cancel();
    spool.clone().drain(sink.clone(), stop).await;
    let bad: Vec<_> = sink.written().into_iter().filter(|written| written.2).collect();
    assert_eq!(bad, [(1, 1, true), (3, 6, true)]);
    let good: Vec<_> = sink.written().into_iter().filter(|written| !written.2).map(|(tag, at, _)| (tag, at)).collect();
    assert_eq!(good, [(1, 5), (1, 8), (1, 9), (1, 10), (1, 11), (2, 4), (3, 7)]);
    let lost = LossReason::SpoolOverflow;
    assert_eq!(sink.told(), [(1, 1, Some(5), lost), (3, 6, Some(7), lost)], "of the other tag nothing is lost");
    assert_eq!((spool.unwritten_since(), spool.depth()), (None, 0));
    assert_eq!(counts(&status), (9, 0, 4), "a mark in the data is a sample");
}

#[tokio::test]
async fn a_gap_that_finds_no_room_is_recorded_later() {
    let (status, stop) = (Arc::new(DeviceStatus::new("d", "modbus", "e")), CancellationToken::new());
    let spool = Spool::new(2, status.clone());
    spool.push(TagId(1), run(&[1, 2]));
    spool.push(TagId(1), run(&[3, 4]));
    let sink = Arc::new(Choosy { unrecorded: AtomicUsize::new(1), ..Choosy::default() });
    let draining = tokio::spawn(spool.clone().drain(sink.clone(), stop.clone()));
    for at in 5.. {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !sink.told().is_empty() {
            break;
        }
        assert!(at < 1000, "it is tried again with the next samples");
        spool.push(TagId(1), run(&[at]));
    }
    assert_eq!(sink.told(), [(1, 1, Some(2), LossReason::SpoolOverflow)]);
    stop.cancel();
    draining.await.unwrap();
}

#[tokio::test]
async fn a_place_is_written_when_its_samples_are_and_not_before() {
    let (status, stop) = (Arc::new(DeviceStatus::new("d", "mqtt", "e")), CancellationToken::new());
    let spool = Spool::new(1_000, status.clone());
    assert_eq!((spool.place(), spool.written()), (0, 0), "nothing waits");
    spool.push(TagId(1), run(&[1]));
    spool.push(TagId(1), run(&[2]));
    let first = spool.place();
    let sink = Arc::new(Choosy { full: AtomicUsize::new(1), ..Choosy::default() });
    let draining = tokio::spawn(spool.clone().drain(sink.clone(), stop.clone()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    // The first attempt found no room.
    assert!(sink.written().is_empty() && spool.written() < first);
    spool.push(TagId(1), run(&[3]));
    let second = spool.place();
    assert!(second > first);
    for _ in 0..500 {
        if spool.written() >= second {
            break;
        }
        if spool.written() >= first {
            assert!(sink.written().len() >= 2);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!((sink.written().len(), spool.written(), spool.place()), (3, second, second));
    stop.cancel();
    draining.await.unwrap();
}

/// A sink that refuses as it is told, and keeps what it takes.
#[derive(Default)]
struct Choosy {
    taken: Mutex<Vec<(TagId, i64, bool)>>,
    told: Mutex<Vec<Loss>>,
    /// How many records of losses find no room.
    unrecorded: AtomicUsize,
    /// How many writes find no room.
    full: AtomicUsize,
    /// How many writes are lost, and nobody knows whether they are stored.
    losing: AtomicUsize,
    deleted: Option<TagId>,
    /// Samples later than this are rejected.
    latest: Option<i64>,
    /// A value that cannot be written: that of this time.
    poison: Option<i64>,
}

impl Choosy {
    /// Tag, time and whether it is a Bad sample, in their order.
    fn written(&self) -> Vec<(u32, i64, bool)> {
        let mut written: Vec<_> = self.taken.lock().iter().map(|&(tag, at, bad)| (tag.0, at, bad)).collect();
        written.sort_unstable();
        written
    }

    fn told(&self) -> Vec<(u32, i64, Option<i64>, LossReason)> {
        self.told.lock().iter().map(|loss| (loss.tag.0, loss.start.0, loss.end.map(|end| end.0), loss.reason)).collect()
    }
}

#[async_trait::async_trait]
impl SampleSink for Choosy {
    async fn write(&self, mut batch: SampleBatch, _: WriteMode, _: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        if self.full.load(Ordering::Relaxed) > 0 {
            self.full.fetch_sub(1, Ordering::Relaxed);
            return Err(RefusedWrite::whole(WriteError::Full("no room".into()), batch));
        }
        if self.losing.load(Ordering::Relaxed) > 0 {
            self.losing.fetch_sub(1, Ordering::Relaxed);
            return Err(RefusedWrite::whole(WriteError::Stopped("its writer is gone".into()), SampleBatch::default()));
        }
        if let Some(gone) = batch.runs.iter().find(|(tag, _)| Some(*tag) == self.deleted) {
            return Err(RefusedWrite::whole(WriteError::UnknownTag(gone.0.0), batch));
        }
        let poisoned = |run: &Samples| (0..run.len()).any(|row| Some(run.timestamps[row]) == self.poison && run.is_valid(row));
        if batch.runs.iter().any(|(_, run)| poisoned(run)) {
            return Err(RefusedWrite::whole(WriteError::Encode("cannot be".into()), batch));
        }
        let mut rejected = Rejected::default();
        for (tag, run) in &mut batch.runs {
            let (mut newest, mut last, before) = (None, false, rejected.count);
            let reason = "lies in the future".to_owned();
            for (&at, &quality) in run.timestamps.iter().zip(&run.qualities) {
                last = self.latest.is_some_and(|latest| at > latest);
                if last {
                    rejected.add(|| Rejection { tag: format!("t{}", tag.0), timestamp: Timestamp(at), reason: reason.clone() });
                } else {
                    self.taken.lock().push((*tag, at, Quality(quality).is_bad()));
                    newest = newest.max(Some(Timestamp(at)));
                }
            }
            if rejected.count > before {
                rejected.tags.push(RejectedTag { tag: *tag, value_type: run.value_type(), reason, newest, last });
            }
        }
        let samples = batch.len() as u64 - rejected.count;
        Ok(Acknowledgement { samples, rejected, ..Acknowledgement::default() })
    }

    async fn record_losses(&self, losses: &[Loss]) -> Result<(), WriteError> {
        if self.unrecorded.load(Ordering::Relaxed) > 0 {
            self.unrecorded.fetch_sub(1, Ordering::Relaxed);
            return Err(WriteError::Full("no room".into()));
        }
        self.told.lock().extend_from_slice(losses);
        Ok(())
    }
}

/// Writes runs of tags 1, 2, … to a sink, to the end.
async fn written(sink: Choosy, runs: &[&[i64]]) -> (Vec<(u32, i64)>, Arc<DeviceStatus>) {
    let (sink, status) = drained(sink, runs).await;
    assert!(sink.told().is_empty(), "nothing of a tag that is there is lost");
    (sink.written().into_iter().map(|(tag, at, _)| (tag, at)).collect(), status)
}

async fn drained(sink: Choosy, runs: &[&[i64]]) -> (Arc<Choosy>, Arc<DeviceStatus>) {
    let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
    let names = (1..=runs.len() as u32).map(|id| (TagId(id), TagName::new(format!("t{id}")).unwrap())).collect();
    status.set_scene(Arc::new(ManualClock::at(Timestamp(77))), names);
    status.items_delivering.store(runs.len() as u64, Ordering::Relaxed);
    let spool = Spool::new(1000, status.clone());
    for (tag, timestamps) in (1..).zip(runs) {
        spool.push(TagId(tag), run(timestamps));
    }
    let (sink, stop) = (Arc::new(sink), CancellationToken::new());
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), spool.drain(sink.clone(), stop)).await.unwrap();
    (sink, status)
}

fn counts(status: &DeviceStatus) -> (u64, u64, u64) {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    (read(&status.samples), read(&status.samples_rejected), read(&status.samples_dropped))
}

#[tokio::test]
async fn a_store_without_room_for_a_while_loses_no_sample() {
    let (taken, status) = written(Choosy { full: AtomicUsize::new(3), ..Choosy::default() }, &[&[1, 2], &[3]]).await;
    assert_eq!(taken, [(1, 1), (1, 2), (2, 3)]);
    assert_eq!(counts(&status), (3, 0, 0));
    let view = status.view();
    assert!(view.last_error.contains("no room") && view.last_error_at == Timestamp(77), "{}", view.last_error);
}

#[tokio::test]
async fn a_store_without_room_does_not_hold_up_a_stop_and_what_is_lost_is_counted() {
    let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
    let (spool, stop) = (Spool::new(1000, status.clone()), CancellationToken::new());
    spool.push(TagId(1), run(&[1, 2, 3]));
    let sink = Arc::new(Choosy { full: AtomicUsize::new(usize::MAX), ..Choosy::default() });
    let draining = tokio::spawn(spool.drain(sink, stop.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), draining).await.unwrap().unwrap();
    assert_eq!(counts(&status), (0, 0, 3));
}

#[tokio::test]
async fn a_deleted_tag_takes_nothing_of_the_other_tags_with_it() {
    let runs: [&[i64]; 5] = [&[1], &[2], &[3, 4], &[5], &[6]];
    let (taken, status) = written(Choosy { deleted: Some(TagId(3)), ..Choosy::default() }, &runs).await;
    assert_eq!(taken, [(1, 1), (2, 2), (4, 5), (5, 6)]);
    assert_eq!(counts(&status), (4, 2, 0));
    assert_eq!(status.delivering(), 4);
    let (count, told) = status.undelivered(10);
    assert_eq!((count, told[0].tag.as_str(), told[0].since), (1, "t3", Timestamp(77)));
    assert!(status.view().last_error.starts_with("tag t3: the tag was deleted"), "{}", status.view().last_error);
}

#[tokio::test]
async fn samples_that_are_rejected_are_not_counted_as_stored_are_named_and_end_the_value_before() {
    let (sink, status) = drained(Choosy { latest: Some(99), ..Choosy::default() }, &[&[1, 200], &[2], &[300, 3]]).await;
    assert_eq!(sink.written(), [(1, 1, false), (1, 77, true), (2, 2, false), (3, 3, false)], "the clock says 77 when they come");
    assert_eq!(
        sink.told(),
        [(1, 77, None, LossReason::Rejected), (3, 77, None, LossReason::Rejected), (3, 77, Some(77), LossReason::Rejected)]
    );
    assert_eq!(counts(&status), (3, 2, 0));
    assert_eq!(status.delivering(), 2, "what came last of the third was taken");
    assert!(status.undelivered(10).1[0].reason.contains("lies in the future"));
    assert!(status.view().last_error.starts_with("tag t3: the sample of "), "{}", status.view().last_error);
}

#[tokio::test]
async fn one_sample_that_cannot_be_written_costs_no_other() {
    let (sink, status) = drained(Choosy { poison: Some(4), ..Choosy::default() }, &[&[1], &[2, 3, 4, 5, 6], &[7]]).await;
    let bad = |written: &(u32, i64, bool)| written.2;
    assert_eq!(
        sink.written().into_iter().map(|(tag, at, _)| (tag, at)).collect::<Vec<_>>(),
        [(1, 1), (2, 2), (2, 3), (2, 4), (2, 5), (2, 6), (3, 7)]
    );
    assert_eq!(sink.written().into_iter().filter(bad).collect::<Vec<_>>(), [(2, 4, true)]);
    assert_eq!(sink.told(), [(2, 4, None, LossReason::Rejected), (2, 4, Some(5), LossReason::Rejected)]);
    assert_eq!(counts(&status), (6, 1, 0));
}

#[tokio::test]
async fn a_tag_whose_last_sample_is_bad_is_told_until_it_is_good_again() {
    let (status, stop) = (Arc::new(DeviceStatus::new("d", "opcua", "e")), CancellationToken::new());
    let spool = Spool::new(1000, status.clone());
    stop.cancel();
    let sink = Arc::new(Choosy::default());
    spool.push_sample(TagId(1), ValueType::F64, Timestamp(5), None, Quality::BAD_NODE_ID_UNKNOWN).unwrap();
    spool.clone().drain(sink.clone(), stop.clone()).await;
    let (count, told) = status.undelivered(10);
    assert_eq!((count, told[0].reason.as_str(), told[0].since), (1, "BadNodeIdUnknown", Timestamp(5)));
    assert!(status.view().last_error.contains("BadNodeIdUnknown"));
    spool.push(TagId(1), run(&[6]));
    spool.drain(sink, stop).await;
    assert_eq!(status.undelivered(10).0, 0);
}

#[test]
fn runs_that_wait_are_joined_tag_by_tag_in_their_order() {
    let spool = Spool::new(1000, Arc::new(DeviceStatus::new("d", "modbus", "e")));
    for timestamp in 0..60 {
        spool.push(TagId(timestamp as u32 % 2), run(&[timestamp]));
    }
    let batch = spool.take();
    assert_eq!((batch.runs.len(), batch.len(), spool.depth()), (2, 60, 0), "1000 / 16 = 62 samples make a segment");
    assert_eq!(batch.runs[1].1.timestamps[..3], [1, 3, 5]);
}

#[tokio::test]
async fn a_gap_of_rejected_samples_ends_when_the_tag_has_delivered_again_for_a_while() {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000)));
    let status = Arc::new(DeviceStatus::new("d", "opcua", "e"));
    status.set_scene(clock.clone(), vec![(TagId(1), TagName::new("t1").unwrap())]);
    let (spool, stop) = (Spool::new(1000, status), CancellationToken::new());
    let sink = Arc::new(Choosy { latest: Some(1 << 50), ..Choosy::default() });
    let draining = tokio::spawn(spool.clone().drain(sink.clone(), stop.clone()));
    let push = async |at: i64| {
        spool.push(TagId(1), run(&[at]));
        while spool.unwritten_since().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Taken, rejected twice, taken, rejected, taken.
    for at in [900, i64::MAX, i64::MAX, 2_400, i64::MAX, 3_400] {
        push(at).await;
        clock.set(Timestamp(clock.now().0 + 500));
    }
    let gap = |end| (1, 1_500, end, LossReason::Rejected);
    assert_eq!(sink.told(), [gap(None)], "one that comes and goes is one gap");
    assert_eq!(sink.written(), [(1, 900, false), (1, 1_500, true), (1, 2_400, false), (1, 3_000, true), (1, 3_400, false)]);
    clock.set(Timestamp(clock.now().0 + 60_000_000_000));
    push(3_500).await;
    stop.cancel();
    draining.await.unwrap();
    assert_eq!(sink.told(), [gap(None), gap(Some(3_400))]);
}

#[tokio::test]
async fn samples_go_to_another_tag_from_when_they_are_told_to() {
    let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
    let names = [1, 2].map(|id| (TagId(id), TagName::new(format!("t{id}")).unwrap())).to_vec();
    status.set_scene(Arc::new(ManualClock::at(Timestamp(77))), names);
    let (spool, stop) = (Spool::new(1000, status.clone()), CancellationToken::new());
    stop.cancel();
    spool.refuse(TagId(1), "it holds other values");
    let sink = Arc::new(Choosy { full: AtomicUsize::new(1), latest: Some(99), ..Choosy::default() });
    spool.push(TagId(1), run(&[1]));
    spool.clone().drain(sink.clone(), stop.clone()).await;
    assert_eq!((sink.written(), status.undelivered(10).0), (Vec::new(), 1));
    spool.redirect(TagId(1), TagId(9));
    spool.push(TagId(1), run(&[2, 3]));
    spool.push(TagId(2), run(&[2]));
    spool.push(TagId(1), run(&[200]));
    spool.drain(sink.clone(), stop).await;
    assert_eq!(sink.written(), [(2, 2, false), (9, 2, false), (9, 3, false), (9, 77, true)]);
    assert_eq!(sink.told(), [(9, 77, None, LossReason::Rejected)]);
    let (count, told) = status.undelivered(10);
    assert_eq!((count, told[0].tag.as_str()), (1, "t1"), "it is the same tag to a person");
    assert_eq!(counts(&status), (3, 2, 0));
}

#[tokio::test]
async fn history_is_written_behind_what_is_live_and_says_nothing_of_now() {
    let status = Arc::new(DeviceStatus::new("d", "opcua", "e"));
    status.set_scene(Arc::new(ManualClock::at(Timestamp(77))), vec![(TagId(1), TagName::new("t1").unwrap())]);
    let spool = Spool::new(1_000, status.clone());
    let mut history = Samples::new(ValueType::F64);
    for at in 10..20 {
        history.push(at, None, Quality::BAD_NO_COMMUNICATION.0).unwrap();
    }
    spool.push_history(TagId(1), history.clone());
    spool.push_history(TagId(2), history);
    spool.push(TagId(1), run(&[30]));
    assert!(!status.has_troubles() && spool.depth() == 1);
    let (first, _) = spool.take_part();
    assert_eq!((first.kind, first.batch.len()), (SpooledKind::Live, 1));
    spool.push(TagId(1), run(&[31]));
    let (sink, stop) = (Arc::new(Choosy::default()), CancellationToken::new());
    let draining = tokio::spawn(spool.clone().drain(sink.clone(), stop.clone()));
    tokio::time::timeout(Duration::from_secs(30), spool.history_written(0)).await.unwrap();
    let order: Vec<(u32, i64)> = sink.taken.lock().iter().map(|&(tag, at, _)| (tag.0, at)).collect();
    assert_eq!((order.len(), order[0]), (21, (1, 31)));
    assert_eq!((counts(&status), status.samples_backfilled.load(Ordering::Relaxed)), ((1, 0, 0), 20));
    assert!(!status.has_troubles(), "the tag was Bad, and is not");
    stop.cancel();
    draining.await.unwrap();
}

#[tokio::test]
async fn history_that_is_not_taken_leaves_the_value_of_now_alone() {
    let status = Arc::new(DeviceStatus::new("d", "opcua", "e"));
    status.set_scene(Arc::new(ManualClock::at(Timestamp(77))), vec![(TagId(1), TagName::new("t1").unwrap())]);
    let spool = Spool::new(1_000, status.clone());
    spool.push_history(TagId(1), run(&[10, 11, 12]));
    let (sink, stop) = (Arc::new(Choosy { poison: Some(11), ..Choosy::default() }), CancellationToken::new());
    stop.cancel();
    spool.drain(sink.clone(), stop).await;
    assert_eq!(sink.written(), [(1, 10, false), (1, 12, false)]);
    assert_eq!((counts(&status).1, sink.told()), (1, Vec::new()));
}

#[tokio::test]
async fn history_that_the_store_loses_is_written_once_more_before_it_counts_as_written() {
    let status = Arc::new(DeviceStatus::new("d", "opcua", "e"));
    let (spool, stop) = (Spool::new(1_000, status.clone()), CancellationToken::new());
    spool.push_history(TagId(1), run(&[10, 11]));
    spool.push_history(TagId(2), run(&[12]));
    let sink = Arc::new(Choosy { losing: AtomicUsize::new(1), ..Choosy::default() });
    let draining = tokio::spawn(spool.clone().drain(sink.clone(), stop.clone()));
    tokio::time::timeout(Duration::from_secs(30), spool.history_written(0)).await.unwrap();
    assert_eq!(sink.written(), [(1, 10, false), (1, 11, false), (2, 12, false)]);
    assert_eq!((counts(&status), status.samples_backfilled.load(Ordering::Relaxed)), ((0, 0, 0), 3));
    stop.cancel();
    draining.await.unwrap();
}
