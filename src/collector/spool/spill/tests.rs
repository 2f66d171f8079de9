//! Units of a spool that goes on on disk, beside a sink that takes nothing for a while.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64},
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    DeviceStatus,
    spool::{SpoolDirectory, SpoolLimits},
};
use historian_model::{
    ManualClock, Quality, Value, ValueType,
    sink::{Acknowledgement, Durability, RefusedWrite, SampleSink, WriteError, WriteMode},
};

/// A sink that is full while it is told so, hangs while it is told so, and keeps what it takes in its order.
#[derive(Default)]
struct Gate {
    full: AtomicBool,
    hangs: AtomicBool,
    gone: AtomicBool,
    deleted: Option<TagId>,
    taken: Mutex<Vec<(u32, i64, bool)>>,
    told: Mutex<Vec<Loss>>,
}

#[async_trait::async_trait]
impl SampleSink for Gate {
    async fn write(&self, batch: SampleBatch, _: WriteMode, _: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
        while self.hangs.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if self.gone.load(Ordering::SeqCst) {
            return Err(RefusedWrite::whole(WriteError::Stopped("says the test".into()), batch));
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(RefusedWrite::whole(WriteError::Full("says the test".into()), batch));
        }
        if let Some(gone) = batch.runs.iter().find(|(tag, _)| Some(*tag) == self.deleted) {
            return Err(RefusedWrite::whole(WriteError::UnknownTag(gone.0.0), batch));
        }
        let mut taken = self.taken.lock();
        for (tag, run) in &batch.runs {
            taken.extend(run.timestamps.iter().zip(&run.qualities).map(|(&at, &quality)| (tag.0, at, Quality(quality).is_bad())));
        }
        Ok(Acknowledgement { samples: batch.len() as u64, ..Acknowledgement::default() })
    }

    async fn record_losses(&self, losses: &[Loss]) -> Result<(), WriteError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(WriteError::Full("says the test".into()));
        }
        self.told.lock().extend_from_slice(losses);
        Ok(())
    }
}

impl Gate {
    fn of(&self, tag: u32) -> Vec<i64> {
        self.taken.lock().iter().filter(|taken| taken.0 == tag && !taken.2).map(|taken| taken.1).collect()
    }
}

/// A spool with a directory of its own, and what drains it.
struct Field {
    root: tempfile::TempDir,
    limits: SpoolLimits,
    room: Arc<AtomicU64>,
}

struct Draining {
    spool: Spool,
    status: Arc<DeviceStatus>,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Field {
    fn new(bytes_max: u64) -> Field {
        let limits = SpoolLimits { bytes_max, age_max: None };
        Field { root: tempfile::tempdir().unwrap(), limits, room: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn directory(&self) -> SpoolDirectory {
        let room = self.room.clone();
        let probe = Arc::new(move |_: &Path| Ok(room.load(Ordering::Relaxed)));
        SpoolDirectory::open(self.root.path().to_owned(), self.limits, probe).unwrap()
    }

    fn drain(&self, samples_max: usize, sink: &Arc<Gate>) -> Draining {
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        status.set_scene(Arc::new(ManualClock::at(Timestamp(77))), Vec::new());
        let spool = Spool::on_disk(samples_max, status.clone(), self.directory().of_device("d").unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(spool.clone().drain(sink.clone(), stop.clone()));
        Draining { spool, status, task, stop }
    }
}

impl Draining {
    fn push(&self, tag: u32, times: std::ops::Range<i64>) {
        for at in times {
            self.spool.push_sample(TagId(tag), ValueType::F64, Timestamp(at), Some(&Value::F64(at as f64)), Quality::GOOD).unwrap();
        }
    }

    async fn until(&self, what: &str, is: impl Fn(&DeviceBacklog) -> bool) {
        for _ in 0..1_500 {
            if is(&self.status.backlog()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?} {}", self.status.backlog(), self.status.view().last_error);
    }

    /// As a kill: nobody ends anything, and the folder is free for the next one.
    async fn killed(self) {
        let Draining { spool, task, status, .. } = self;
        task.abort();
        let _ = task.await;
        drop((spool, status));
        // The task that moves samples ends by itself.
        tokio::time::sleep(4 * SPILL_LOOK).await;
    }

    fn dropped(&self) -> u64 {
        self.status.samples_dropped.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_second_goes_to_disk_counts_as_safe_and_comes_back_after_a_kill() {
    let (field, sink) = (Field::new(1 << 20), Arc::new(Gate { full: AtomicBool::new(true), ..Gate::default() }));
    let run = field.drain(100_000, &sink);
    run.push(1, 0..100);
    run.push(2, 0..10);
    let place = run.spool.place();
    assert_eq!((run.spool.unwritten_since(), run.spool.written() < place), (Some(Timestamp(77)), true));
    run.until("it is on disk", |backlog| backlog.disk_samples == 110).await;
    run.push(1, 100..200);
    run.until("that too", |backlog| backlog.disk_samples == 210).await;
    assert_eq!((run.spool.unwritten_since(), run.spool.written(), run.spool.depth()), (None, run.spool.place(), 0));
    let backlog = run.status.backlog();
    assert_eq!((backlog.samples, backlog.since, backlog.disk_segments), (210, Some(Timestamp(77)), 1), "{backlog:?}");
    assert!(sink.taken.lock().is_empty());
    run.killed().await;

    // The store is as full at the next start: what comes now waits behind what came then.
    let run = field.drain(100_000, &sink);
    run.until("it is there", |backlog| backlog.disk_samples == 210).await;
    run.push(1, 200..300);
    sink.full.store(false, Ordering::SeqCst);
    run.until("all is written", |backlog| backlog.samples == 0).await;
    assert_eq!((sink.of(1), sink.of(2)), ((0..300).collect(), (0..10).collect()), "in their order, once");
    assert_eq!((run.dropped(), sink.told.lock().len(), run.status.samples.load(Ordering::Relaxed)), (0, 0, 310));
    run.stop.cancel();
    run.task.await.unwrap();
    assert_eq!(std::fs::read_dir(field.root.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_hangs_is_on_disk_meanwhile_and_not_written_twice() {
    let (field, sink) = (Field::new(1 << 20), Arc::new(Gate { hangs: AtomicBool::new(true), ..Gate::default() }));
    let run = field.drain(100_000, &sink);
    run.push(1, 0..100);
    tokio::time::sleep(Duration::from_millis(100)).await;
    run.push(1, 100..200);
    run.until("what is being written, and what came after it", |backlog| backlog.disk_samples == 200).await;
    assert_eq!((run.status.backlog().samples, run.spool.unwritten_since()), (200, None));
    sink.hangs.store(false, Ordering::SeqCst);
    run.until("all is written", |backlog| backlog.samples == 0).await;
    assert_eq!(sink.of(1), (0..200).collect::<Vec<_>>());
    run.stop.cancel();
    run.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_samples_wait_behind_those_on_disk_and_memory_keeps_its_bound() {
    let (field, sink) = (Field::new(64 << 20), Arc::new(Gate { full: AtomicBool::new(true), ..Gate::default() }));
    let run = field.drain(20_000, &sink);
    // Far more than memory takes, as fast as it can be pushed with a breath now and then.
    for at in 0..100 {
        run.push(1, at * 2_000..(at + 1) * 2_000);
        assert!(run.spool.depth() <= 20_000);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.until("all of it", |backlog| backlog.disk_samples == 200_000).await;
    sink.full.store(false, Ordering::SeqCst);
    let mut at = 200_000;
    while run.status.backlog().samples > 0 {
        run.push(1, at..at + 10);
        at += 10;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(at < 300_000);
    }
    assert_eq!(sink.of(1), (0..at).collect::<Vec<_>>());
    assert_eq!((run.dropped(), sink.told.lock().len()), (0, 0));
    run.stop.cancel();
    run.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_waits_in_memory_behind_all_that_is_on_disk() {
    let (field, sink) = (Field::new(1 << 20), Arc::new(Gate { full: AtomicBool::new(true), ..Gate::default() }));
    let run = field.drain(100_000, &sink);
    run.push(1, 0..100);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut history = Samples::new(ValueType::F64);
    for at in 0..10 {
        history.push(at, Some(&Value::F64(0.5)), Quality::GOOD.0).unwrap();
    }
    run.spool.push_history(TagId(2), history);
    run.push(1, 100..200);
    run.until("what is live is on disk", |backlog| (backlog.disk_samples, backlog.samples) == (200, 200)).await;
    run.until("a kill takes a history only, which is read again", |_| run.spool.unwritten_since().is_none()).await;
    sink.full.store(false, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(30), run.spool.history_written(0)).await.unwrap();
    let order: Vec<u32> = sink.taken.lock().iter().map(|taken| taken.0).collect();
    assert_eq!(order, [vec![1_u32; 200], vec![2; 10]].concat());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((count(&run.status.samples), count(&run.status.samples_backfilled), run.dropped()), (200, 10, 0));
    run.stop.cancel();
    run.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_has_no_place_for_is_a_gap_and_every_other_sample_is_there() {
    let (field, sink) = (Field::new(64 << 10), Arc::new(Gate { full: AtomicBool::new(true), ..Gate::default() }));
    let run = field.drain(100_000, &sink);
    for at in 0..8 {
        run.push(1, at * 3_000..(at + 1) * 3_000);
        run.until("memory is empty", |_| run.spool.depth() == 0).await;
    }
    assert!(run.dropped() > 0);
    sink.full.store(false, Ordering::SeqCst);
    run.until("all is written", |backlog| backlog.samples == 0).await;
    run.stop.cancel();
    run.task.await.unwrap();
    let mut kept = sink.of(1);
    kept.sort_unstable();
    let told: Vec<(i64, i64, LossReason)> = sink.told.lock().iter().map(|loss| (loss.start.0, loss.end.unwrap().0, loss.reason)).collect();
    let [(start, end, LossReason::SpoolOverflow)] = told[..] else { panic!("{told:?}") };
    assert_eq!(kept, (0..start).chain(end..24_000).collect::<Vec<_>>(), "what is not told is there: {told:?}");
    assert!(sink.taken.lock().contains(&(1, start, true)), "a Bad sample stands where the first of them was");
    assert_eq!(run.status.samples_dropped.load(Ordering::Relaxed), (end - start) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_leaves_samples_in_memory_and_is_told() {
    let (field, sink) = (Field::new(1 << 20), Arc::new(Gate { full: AtomicBool::new(true), ..Gate::default() }));
    field.room.store(0, Ordering::Relaxed);
    let run = field.drain(1_600, &sink);
    run.push(1, 0..1_000);
    run.until("it is told", |backlog| backlog.disk_failing).await;
    assert!(run.status.view().last_error.contains("cannot wait on the disk"), "{}", run.status.view().last_error);
    assert_eq!((run.status.backlog().samples, run.status.backlog().disk_samples, run.dropped()), (1_000, 0, 0));
    // More than memory takes: the oldest go, as without a disk.
    run.push(1, 1_000..3_000);
    assert!(run.dropped() > 0);
    field.room.store(u64::MAX, Ordering::Relaxed);
    run.until("the disk is tried again", |backlog| !backlog.disk_failing && backlog.disk_samples > 1_000).await;
    sink.full.store(false, Ordering::SeqCst);
    run.until("all is written", |backlog| backlog.samples == 0).await;
    run.stop.cancel();
    run.task.await.unwrap();
    let kept = sink.of(1);
    let told: Vec<(i64, i64)> = sink.told.lock().iter().map(|loss| (loss.start.0, loss.end.unwrap().0)).collect();
    let [(start, end)] = told[..] else { panic!("{told:?}") };
    let mut sorted = kept.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..start).chain(end..3_000).collect::<Vec<_>>(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_on_disk_what_a_full_store_or_one_that_is_gone_does_not_take() {
    for gone in [false, true] {
        let sink = Arc::new(Gate { full: AtomicBool::new(!gone), gone: AtomicBool::new(gone), ..Gate::default() });
        let field = Field::new(1 << 20);
        let run = field.drain(100_000, &sink);
        run.push(1, 0..1_000);
        tokio::time::sleep(Duration::from_millis(100)).await;
        run.push(1, 1_000..2_000);
        run.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), run.task).await.unwrap().unwrap();
        assert_eq!((run.status.samples_dropped.load(Ordering::Relaxed), run.spool.unwritten_since()), (0, None), "{gone}");
        drop((run.spool, run.status));

        let sink = Arc::new(Gate::default());
        let run = field.drain(100_000, &sink);
        run.until("all is written", |backlog| backlog.samples == 0).await;
        assert_eq!(sink.of(1), (0..2_000).collect::<Vec<_>>());
        run.stop.cancel();
        run.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_on_disk_of_a_tag_that_was_deleted_are_counted_and_take_no_other_with_them() {
    let (field, sink) = (Field::new(1 << 20), Arc::new(Gate { full: AtomicBool::new(true), ..Gate::default() }));
    let run = field.drain(100_000, &sink);
    (1..5).for_each(|tag| run.push(tag, 0..10));
    run.until("it is on disk", |backlog| backlog.disk_samples == 40).await;
    run.killed().await;
    let sink = Arc::new(Gate { deleted: Some(TagId(3)), ..Gate::default() });
    let run = field.drain(100_000, &sink);
    run.until("all is written", |backlog| backlog.samples == 0).await;
    assert_eq!([1, 2, 3, 4].map(|tag| sink.of(tag).len()), [10, 10, 0, 10]);
    assert_eq!((run.status.samples_rejected.load(Ordering::Relaxed), run.dropped()), (10, 0));
    run.stop.cancel();
    run.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_left_that_is_no_more_is_found_beside_the_others() {
    let (field, sink) = (Field::new(1 << 20), Arc::new(Gate { full: AtomicBool::new(true), ..Gate::default() }));
    let run = field.drain(100_000, &sink);
    run.push(1, 0..10);
    run.until("it is on disk", |backlog| backlog.disk_samples == 10).await;
    run.killed().await;
    let directory = field.directory();
    assert_eq!(directory.newest()[&TagId(1)].timestamp, 9);
    let other = directory.of_device("other").unwrap();
    let left: Vec<(String, u64)> = directory.left().unwrap().iter().map(|(folder, disk)| (folder.clone(), disk.samples())).collect();
    assert_eq!((left, other.samples()), (vec![("d".to_owned(), 10)], 0));
    // Nobody took it, so it is there for the device itself; while somebody has it, the device has a folder beside it.
    let own = directory.of_device("d").unwrap();
    let beside = directory.of_device("d").unwrap();
    assert_eq!((own.samples(), beside.samples()), (10, 0));
}
