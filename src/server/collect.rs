//! A collector that ends although it was not told to is started again, and what its tags held last holds no more meanwhile.

use std::{any::Any, sync::Arc, time::Duration};

use historian_collector::{Absence, Collector, CollectorContext, FoundTag, status::DeviceState, supervise::Backoff};
use historian_model::{Quality, Sample, TagId, ValueType, sink::LossReason};

/// Waits between two starts.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Runs a collector until it is told to stop. `ids` and `types` are in the order of its tags; `found` are those of now that it made by itself.
pub async fn collect(
    collector: Arc<dyn Collector>,
    ids: Vec<TagId>,
    types: Vec<ValueType>,
    mut context: CollectorContext,
    found: impl Fn() -> Vec<FoundTag> + Send,
) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let run = tokio::spawn(collector.clone().run(ids.clone(), context.clone()));
        let ended = run.await;
        if context.shutdown.is_cancelled() && ended.is_ok() {
            return;
        }
        let reason = match ended {
            Ok(()) => "the collector ended".to_owned(),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => format!("the collector ended by a panic: {}", message(&*panic)),
                Err(error) => format!("the collector ended: {error}"),
            },
        };
        let now = context.clock.now();
        tracing::error!(device = context.status.device, "{reason}; this is a bug, it is started again");
        let absence = Absence { start: now, reason: LossReason::CollectorDown, detail: reason.as_str().into(), tolerated: Duration::ZERO };
        context.status.record_error(now, reason);
        context.status.set_state(DeviceState::Backoff);
        let last = Some(Sample { timestamp: now.0, value: None, quality: Quality::BAD_INTERNAL_ERROR.0 });
        let found: Vec<FoundTag> = found().into_iter().map(|tag| FoundTag { last: last.clone(), ..tag }).collect();
        let configured = ids.iter().copied().zip(types.iter().copied());
        for (id, value_type) in configured.chain(found.iter().map(|tag| (tag.id, tag.definition.value_type))) {
            context.spool.absent(id, absence.clone());
            if let Err(error) = context.spool.push_sample(id, value_type, now, None, Quality::BAD_INTERNAL_ERROR) {
                tracing::error!(tag = id.0, %error, "a Bad sample cannot be made; this is a bug");
            }
        }
        context.last = vec![last; ids.len()];
        context.found.kept = found;
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use parking_lot::Mutex;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use historian_collector::{CheckRow, DeviceStatus, FoundTags, Spool};
    use historian_model::{
        ManualClock, SampleBatch, TagDefinition, TagName, Timestamp, Value,
        sink::{Acknowledgement, Durability, RefusedWrite, SampleSink, WriteMode},
    };

    /// Panics on its first run; on the second it collects one sample, and waits.
    #[derive(Default)]
    struct Frail(AtomicU32);

    #[async_trait]
    impl Collector for Frail {
        fn device(&self) -> &'static str {
            "d"
        }
        fn protocol(&self) -> &'static str {
            "modbus"
        }
        fn endpoint(&self) -> &'static str {
            "e"
        }
        fn tags(&self) -> Vec<TagDefinition> {
            Vec::new()
        }
        async fn run(self: Arc<Self>, ids: Vec<TagId>, context: CollectorContext) {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the library panics");
            assert_eq!(context.found.kept[0].last.as_ref().map(|last| last.quality), Some(Quality::BAD_INTERNAL_ERROR.0));
            assert_eq!(context.last[0].as_ref().map(|last| last.quality), Some(Quality::BAD_INTERNAL_ERROR.0));
            context.spool.push_sample(ids[0], ValueType::F64, Timestamp(9), Some(&Value::F64(1.0)), Quality::GOOD).unwrap();
            context.shutdown.cancel();
        }
        async fn check(&self, _: Duration) -> Vec<CheckRow> {
            Vec::new()
        }
    }

    #[derive(Default)]
    struct Kept(Mutex<Vec<(u32, i64, u32)>>);

    #[async_trait]
    impl SampleSink for Kept {
        async fn write(&self, batch: SampleBatch, _: WriteMode, _: Durability) -> Result<Acknowledgement, Box<RefusedWrite>> {
            for (tag, run) in &batch.runs {
                self.0.lock().extend(run.timestamps.iter().zip(&run.qualities).map(|(at, quality)| (tag.0, *at, *quality)));
            }
            Ok(Acknowledgement { samples: batch.len() as u64, ..Acknowledgement::default() })
        }
    }

    #[tokio::test]
    async fn a_collector_that_panics_is_started_again_and_its_tags_are_bad_meanwhile() {
        let status = Arc::new(DeviceStatus::new("d", "modbus", "e"));
        let (spool, sink, stop) = (Spool::new(1000, status.clone()), Arc::new(Kept::default()), CancellationToken::new());
        let context = CollectorContext {
            spool: spool.clone(),
            clock: Arc::new(ManualClock::at(Timestamp(5))),
            status: status.clone(),
            last: Vec::new(),
            unfilled: Vec::new(),
            found: FoundTags::default(),
            shutdown: CancellationToken::new(),
        };
        let definition = TagDefinition::new(TagName::new("found").unwrap(), ValueType::Bool);
        let found = move || vec![FoundTag { id: TagId(2), definition: definition.clone(), last: None, unfilled: Vec::new() }];
        let collecting = collect(Arc::new(Frail::default()), vec![TagId(1)], vec![ValueType::F64], context, found);
        tokio::time::timeout(Duration::from_mins(1), collecting).await.unwrap();
        assert!(status.view().last_error.contains("the library panics"), "{}", status.view().last_error);
        stop.cancel();
        spool.drain(sink.clone(), stop).await;
        let bad = Quality::BAD_INTERNAL_ERROR.0;
        let mut kept = sink.0.lock().clone();
        kept.sort_unstable();
        assert_eq!(kept, [(1, 5, bad), (1, 9, 0), (2, 5, bad)]);
    }
}
