//! Time in which the historian did not collect is no time in which the last values held.
//!
//! At each start the last run is looked back at: when it ended ([`RunMark`], else the newest collected sample), which tags it collected (those
//! with a source in the catalog), and which of them are collected no more. Each gets one Bad sample that ends its last value, at the end of
//! that run and behind the tag's newest sample, unless that is Bad already; so everything that reads samples tells the truth: `percent_good`,
//! plots, current values. Why samples are absent is recorded as gaps. What a device kept meanwhile and delivers late lies behind the Bad sample
//! and stays readable.
//!
//! Gaps that the last run left open end where the tag delivered again, else with that run: from there on the historian did not run, and what is
//! absent after that the collectors of this run tell anew. An outage that the last run did not live to record is taken from its Bad sample.
//!
//! A start does this, not the stop before it: a process that is killed cannot, and one way for both is one that is always gone. What waits for
//! room on a full disk is not stored yet, nor is it told: while something waits, the mark stays where that began.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::gap_record::{ABSENCES, each_gap, record_gaps};
use historian_ingest::Ingest;
use historian_model::{
    Clock, Quality, Sample, SampleBatch, Samples, Tag, TagDefinition, TagId, TagName, TimeRange, Timestamp,
    sink::{Durability, SampleSink, WriteMode},
};
use historian_read::{ReadError, merge::TagReader};
use historian_store::{Catalog, Gap, GapReason, PendingGaps, RunMark, Store, StoreError};

/// Bad samples of one write.
const WRITE_SAMPLES: usize = 262_144;
/// How often the mark of the running process is written, and every how many times it is made durable.
const MARK_INTERVAL: Duration = Duration::from_secs(1);
const MARKS_PER_SYNC: u32 = 5;

/// What the configuration wants of the tags that the catalog may hold.
pub struct WantedTags<'a> {
    /// Collected tags by the names that the catalog has.
    pub collected: HashMap<&'a TagName, &'a TagDefinition>,
    /// When the run before ended, where that is known.
    pub ended: Option<Timestamp>,
    /// The newest samples that it collected and left on disk, to be stored now.
    pub waiting: HashMap<TagId, Sample>,
    /// Gaps of earlier starts that are not on record yet.
    pub pending: Vec<Gap>,
    pub now: Timestamp,
}

/// What a start finds of the run before.
#[derive(Default)]
pub struct Silence {
    /// One Bad sample for each tag whose last value does not hold any more.
    pub samples: Vec<(TagId, Samples)>,
    pub gaps: Vec<Gap>,
    /// Tags that were collected and are no more.
    pub unconfigured: Vec<TagId>,
    /// When the run before ended.
    pub ended: Option<Timestamp>,
    /// The gaps are in a file until they are on record.
    pub kept: Option<PendingGaps>,
}

/// Looks back at the run before. Changes nothing. Blocks.
///
/// # Errors
/// When the last sample of a tag that is collected cannot be read.
pub fn look_back(catalog: &Catalog, ingest: &Ingest, store: &dyn Store, wanted: &WantedTags<'_>) -> anyhow::Result<Silence> {
    let reader = ingest.reader();
    let mut lasts: Vec<(Arc<Tag>, Option<Sample>)> = Vec::new();
    for tag in catalog.ids().into_iter().filter_map(|id| catalog.by_id(id)) {
        let collected = wanted.collected.contains_key(tag.name());
        if tag.definition.source.is_none() && !collected {
            continue;
        }
        match reader.current(&tag) {
            Ok(last) => {
                let last = latest(last, wanted.waiting.get(&tag.id));
                lasts.push((tag, last));
            }
            Err(error) if collected => return Err(error).with_context(|| format!("the last sample of tag {}", tag.name())),
            Err(error) => {
                tracing::warn!(tag = %tag.name(), %error, "the last sample of a tag that is not collected any more cannot be read");
            }
        }
    }
    let newest = lasts.iter().filter(|(tag, _)| tag.definition.source.is_some()).filter_map(|(_, last)| Some(last.as_ref()?.timestamp));
    // A mark of the future is none: the clock was wrong then, or is now.
    let marked = wanted.ended.map(|ended| ended.0).filter(|&ended| ended <= wanted.now.0);
    let Some(ended) = marked.or_else(|| newest.filter(|&at| at <= wanted.now.0).max()) else {
        return Ok(Silence { gaps: wanted.pending.clone(), ..Silence::default() });
    };
    let mut ledger = read_ledger(store).context("reading the gaps on record")?;
    wanted.pending.iter().cloned().for_each(|gap| ledger.note(gap));
    let mut silence = Silence { ended: Some(Timestamp(ended)), ..Silence::default() };
    let mut was_collected = false;
    for (tag, last) in lasts {
        silence.end_absence(&tag, last.as_ref(), (ended, wanted.now), &ledger, &|start| first_since(&reader, &tag, start));
        silence.look_at(&tag, last.as_ref(), ended, wanted, &ledger.open);
        was_collected |= tag.definition.source.is_some() && wanted.collected.contains_key(tag.name());
    }
    let mut pending = wanted.pending.clone();
    if was_collected && ended < wanted.now.0 {
        let detail = "the historian was not running".to_owned();
        let gap =
            Gap { time: wanted.now, tag: None, start: Some(ended), end: Some(wanted.now.0), reason: GapReason::CollectorDown, detail };
        // What the run before collected is lost as well where the mark is still where the one before that ended: one gap for all of it then.
        let is_within = |other: &Gap| {
            other.tag.is_none()
                && other.reason == GapReason::CollectorDown
                && other.start.is_some_and(|start| start >= ended)
                && other.end.is_some_and(|end| end <= wanted.now.0)
        };
        pending.retain(|other| !is_within(other));
        silence.gaps.insert(0, gap);
    }
    silence.gaps.splice(0..0, pending);
    Ok(silence)
}

/// What a change of the configuration in a running historian means for tags: `ended` are collected no more, `begun` are collected from now on, both as
/// the catalog had them before; `wanted` are definitions of collected tags, `begun` among them. Gaps are recorded here, those that find no room
/// are left. Blocks.
///
/// # Errors
/// When the gaps on record, or the last sample of a tag, cannot be read, or the store fails.
pub fn of_changes(
    ingest: &Ingest,
    store: &dyn Store,
    (ended, begun): (&[Arc<Tag>], &[Arc<Tag>]),
    wanted: &[TagDefinition],
    now: Timestamp,
) -> anyhow::Result<Silence> {
    let mut silence = Silence { ended: Some(now), ..Silence::default() };
    if ended.is_empty() && begun.is_empty() {
        return Ok(silence);
    }
    let reader = ingest.reader();
    let ledger = read_ledger(store).context("reading the gaps on record")?;
    let collected = wanted.iter().map(|definition| (&definition.name, definition)).collect();
    let wanted = WantedTags { collected, ended: Some(now), waiting: HashMap::new(), pending: Vec::new(), now };
    for tag in ended {
        let last = reader.current(tag).with_context(|| format!("the last sample of tag {}", tag.name()))?;
        // Their collectors end what they left open.
        silence.look_at(tag, last.as_ref(), now.0, &wanted, &ledger.open);
    }
    for tag in begun {
        // What it held before was ended when it was not collected any more.
        silence.look_at(tag, None, now.0, &wanted, &ledger.open);
    }
    record_gaps(&mut silence.gaps, store)?;
    Ok(silence)
}

/// Where the gaps of tags begin that are on record without an end, by their reason.
type OpenGaps = HashMap<(GapReason, String), i64>;

/// What the ledger says of the run before.
#[derive(Default)]
struct LedgerEnd {
    open: OpenGaps,
    /// Where the last absence of a tag ended.
    over: HashMap<String, i64>,
    /// When the run began, as far as the time before it is on record.
    begun: Option<i64>,
}

fn read_ledger(store: &dyn Store) -> Result<LedgerEnd, StoreError> {
    let mut ledger = LedgerEnd::default();
    each_gap(|from, limit| store.gaps(from, limit), |gap| ledger.note(gap))?;
    Ok(ledger)
}

impl LedgerEnd {
    /// Takes in the next gap in the order of recording.
    fn note(&mut self, gap: Gap) {
        let is_absence = ABSENCES.contains(&gap.reason);
        match (gap.tag, gap.start, gap.end) {
            (None, Some(_), Some(end)) if gap.reason == GapReason::CollectorDown => self.begun = Some(end),
            (Some(tag), Some(start), end) if is_absence || matches!(gap.reason, GapReason::NotConfigured | GapReason::Rejected) => {
                if is_absence && let Some(end) = end {
                    self.over.insert(tag.clone(), end);
                }
                match end {
                    None => drop(self.open.insert((gap.reason, tag), start)),
                    Some(_) => drop(self.open.remove(&(gap.reason, tag))),
                }
            }
            _ => {}
        }
    }
}

/// The first sample of a tag from a time on that is not Bad.
fn first_since(reader: &TagReader, tag: &Tag, start: i64) -> Result<Option<i64>, ReadError> {
    let range = TimeRange::new(Timestamp(start), Timestamp::MAX);
    let (mut cursor, mut samples) = (reader.look(tag, range)?, Samples::new(tag.value_type()));
    while cursor.next_into(&mut samples)? {
        let found = samples.qualities.iter().zip(&samples.timestamps).find(|(quality, _)| !Quality(**quality).is_bad());
        if let Some((_, &at)) = found {
            return Ok(Some(at));
        }
        samples.clear();
    }
    Ok(None)
}

impl Silence {
    /// Ends what a collector left open, and records what it did not live to record. `came` answers the first sample since a time that is not Bad.
    fn end_absence(
        &mut self,
        tag: &Arc<Tag>,
        last: Option<&Sample>,
        (ended, now): (i64, Timestamp),
        ledger: &LedgerEnd,
        came: &dyn Fn(i64) -> Result<Option<i64>, ReadError>,
    ) {
        let name = tag.name().to_string();
        let mut gap = |start: i64, end: i64, reason: GapReason, detail: &str| {
            self.gaps.push(Gap { time: now, tag: Some(name.clone()), start: Some(start), end: Some(end), reason, detail: detail.into() });
        };
        let mut was_open = false;
        for reason in ABSENCES {
            let Some(&start) = ledger.open.get(&(reason, name.clone())) else { continue };
            was_open = true;
            let again = match last.filter(|last| !Quality(last.quality).is_bad() && last.timestamp > start) {
                Some(last) => {
                    let came = came(start).unwrap_or_else(|error| {
                        tracing::warn!(tag = name, %error, "where a gap ended cannot be read; it is taken to end with the last sample");
                        None
                    });
                    // What waits on disk cannot be looked through.
                    came.or(Some(last.timestamp))
                }
                None => None,
            };
            match again {
                Some(at) => gap(start, at, reason, "samples came again"),
                None => gap(start, ended.max(start), reason, "it lasted until the historian ended"),
            }
        }
        let Some(last) = last.filter(|last| !was_open && Quality(last.quality).is_outage()) else { return };
        let start = last.timestamp.max(ledger.begun.unwrap_or(i64::MIN));
        let is_told = ledger.over.get(&name).is_some_and(|&over| over > start);
        if !is_told && start < ended {
            gap(start, ended, GapReason::DeviceDown, "the device did not answer when the historian ended");
        }
    }

    fn look_at(&mut self, tag: &Arc<Tag>, last: Option<&Sample>, ended: i64, wanted: &WantedTags<'_>, open: &OpenGaps) {
        let name = tag.name();
        let of = |reason: GapReason, start: i64, end: Option<i64>, detail: String| Gap {
            time: wanted.now,
            tag: Some(name.to_string()),
            start: Some(start),
            end,
            reason,
            detail,
        };
        let gap = |start: i64, end: Option<i64>, detail: String| of(GapReason::NotConfigured, start, end, detail);
        let open = |reason: GapReason| open.get(&(reason, name.to_string())).copied();
        let configured = wanted.collected.get(name);
        let contradiction = configured.filter(|definition| definition.value_type != tag.value_type());
        let noted = open(GapReason::NotConfigured);
        if let Some(start) = open(GapReason::Rejected) {
            let detail = "the run in which its samples were not taken ended".to_owned();
            self.gaps.push(of(GapReason::Rejected, start, Some(ended.max(start)), detail));
        }
        if let (Some(_), None, Some(start)) = (configured, contradiction, noted) {
            self.gaps.push(gap(start, Some(wanted.now.0), "the tag is collected again".to_owned()));
        }
        let Some(source) = &tag.definition.source else { return };
        let at = last.map_or(ended, |last| ended.max(last.timestamp.saturating_add(1)));
        match (configured, contradiction) {
            (None, _) => {
                self.unconfigured.push(tag.id);
                if noted.is_none() {
                    let detail = format!("taken out of the configuration; it was {} of device {}", source.address, source.device);
                    self.gaps.push(gap(at, None, detail));
                }
            }
            (Some(_), Some(definition)) if noted.is_none() => {
                let detail = format!("the catalog holds {} values, the configuration says {}", tag.value_type(), definition.value_type);
                self.gaps.push(gap(at, None, detail));
            }
            (Some(_), _) => {}
        }
        if last.is_none_or(|last| Quality(last.quality).is_bad()) {
            return;
        }
        let quality = if configured.is_some() { Quality::BAD_DATA_LOST } else { Quality::BAD_NOT_CONNECTED };
        let mut run = Samples::new(tag.value_type());
        match run.push(at, None, quality.0) {
            Ok(()) => self.samples.push((tag.id, run)),
            Err(error) => tracing::error!(tag = %name, %error, "the sample that ends the last value cannot be made; this is a bug"),
        }
    }
}

/// The later one by source time of what is stored and what waits on disk; the latter where both have the same.
pub fn latest(stored: Option<Sample>, waiting: Option<&Sample>) -> Option<Sample> {
    match (stored, waiting) {
        (Some(stored), Some(waiting)) if stored.timestamp > waiting.timestamp => Some(stored),
        (stored, waiting) => waiting.cloned().or(stored),
    }
}

/// Where the gaps of tags begin that are on record as collected no more.
///
/// # Errors
/// When the store fails.
pub fn uncollected(store: &dyn Store) -> Result<HashMap<String, i64>, StoreError> {
    let open = read_ledger(store)?.open.into_iter();
    Ok(open.filter(|((reason, _), _)| *reason == GapReason::NotConfigured).map(|((_, tag), start)| (tag, start)).collect())
}

/// Records that a tag is collected again, where it is on record that it is not. Blocks.
pub fn collected_again(tag: &TagName, store: &dyn Store, now: Timestamp) {
    let open = read_ledger(store).map(|ledger| ledger.open.get(&(GapReason::NotConfigured, tag.to_string())).copied());
    let recorded = open.and_then(|start| {
        let Some(start) = start else { return Ok(()) };
        let (detail, reason) = ("the tag is collected again".to_owned(), GapReason::NotConfigured);
        store.append_gaps(&[Gap { time: now, tag: Some(tag.to_string()), start: Some(start), end: Some(now.0), reason, detail }])
    });
    if let Err(error) = recorded {
        // The next start finds it open, and closes it.
        tracing::error!(%tag, %error, "the end of a gap cannot be recorded yet");
    }
}

/// Ends the last values of the run before. Answers what could not be written, to be written later.
pub async fn end_values(silence: &mut Silence, ingest: &Ingest) -> SampleBatch {
    let (tags, unconfigured) = (silence.samples.len(), silence.unconfigured.len());
    if tags + unconfigured > 0 {
        tracing::info!(tags, unconfigured, "the last values of tags that were not collected on are ended by a Bad sample");
    }
    while !silence.samples.is_empty() {
        let rest = silence.samples.split_off(silence.samples.len().min(WRITE_SAMPLES));
        let runs = std::mem::replace(&mut silence.samples, rest);
        if let Err(refused) = ingest.write(SampleBatch { runs }, WriteMode::Upsert, Durability::Sync).await {
            tracing::error!(error = %refused.error, "the last values of tags that were not collected on cannot be ended yet");
            let mut runs = refused.batch.runs;
            runs.append(&mut silence.samples);
            return SampleBatch { runs };
        }
    }
    SampleBatch::default()
}

/// Marks that the historian runs, until `stop`, and once more then. `unsettled` says since when something is not in the store yet: should it
/// never be, the next start takes the run to have ended there.
pub async fn keep_mark(mark: RunMark, clock: Arc<dyn Clock>, unsettled: impl Fn() -> Option<Timestamp>, stop: CancellationToken) {
    let mark = Arc::new(mark);
    let mut ticks = tokio::time::interval(MARK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    for count in 0_u32.. {
        let stopping = tokio::select! {
            _ = ticks.tick() => false,
            () = stop.cancelled() => true,
        };
        let now = clock.now();
        let until = unsettled().map_or(now, |since| now.min(since));
        let (mark, sync) = (mark.clone(), stopping || count % MARKS_PER_SYNC == 0);
        let written = tokio::task::spawn_blocking(move || mark.write(until).and_then(|()| if sync { mark.sync() } else { Ok(()) })).await;
        let failed = !matches!(written, Ok(Ok(())));
        if failed && !std::mem::replace(&mut failing, failed) {
            tracing::warn!("until when the historian runs cannot be marked; after a crash that is taken from the newest sample");
        }
        failing = failed;
        if stopping {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{TagScope, TimeRange, Value, ValueType, tag::TagSource};
    use historian_test_support::engine::TestHistorian;

    struct Machine {
        historian: TestHistorian,
        runtime: tokio::runtime::Runtime,
    }

    /// Tag, start, end and reason of a gap.
    type Told = (Option<String>, Option<i64>, Option<i64>, &'static str);

    impl Machine {
        fn start() -> Machine {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            Machine { historian: TestHistorian::in_memory().open(), runtime }
        }

        fn write(&self, tag: &str, samples: &[(i64, Quality)]) {
            let tag = self.historian.catalog.within(&TagScope::Everything).get(tag).unwrap();
            let mut run = Samples::new(tag.value_type());
            for &(at, quality) in samples {
                let value = (!quality.is_bad()).then_some(Value::F64(1.0));
                run.push(at, value.as_ref(), quality.0).unwrap();
            }
            self.historian.write(vec![(tag.id, run)]);
        }

        fn read(&self, tag: &str) -> Vec<(i64, Quality)> {
            let tag = self.historian.catalog.within(&TagScope::Everything).get(tag).unwrap();
            let (reader, mut samples) = (self.historian.ingest.reader(), Samples::new(tag.value_type()));
            let mut cursor = reader.cursor(&tag, TimeRange::ALL).unwrap();
            while cursor.next_into(&mut samples).unwrap() {}
            samples.timestamps.iter().copied().zip(samples.qualities.iter().map(|&quality| Quality(quality))).collect()
        }

        /// One start with these collected tags.
        fn begin(&self, collected: &[TagDefinition], ended: Option<i64>, now: i64) {
            let by_name = collected.iter().map(|definition| (&definition.name, definition)).collect();
            let wanted = WantedTags {
                collected: by_name,
                ended: ended.map(Timestamp),
                waiting: HashMap::new(),
                pending: Vec::new(),
                now: Timestamp(now),
            };
            let TestHistorian { catalog, ingest, store, .. } = &self.historian;
            let mut silence = look_back(catalog, ingest, store.as_ref(), &wanted).unwrap();
            record_gaps(&mut silence.gaps, store.as_ref()).unwrap();
            assert!(self.runtime.block_on(end_values(&mut silence, ingest)).is_empty());
            catalog.configure(collected.to_vec(), &silence.unconfigured, &[]).unwrap();
        }

        fn gaps(&self) -> Vec<Told> {
            let gaps = self.historian.store.gaps(0, 100).unwrap().into_iter().map(|(_, gap)| gap);
            gaps.map(|gap| (gap.tag, gap.start, gap.end, gap.reason.as_str())).collect()
        }
    }

    fn collected(name: &str) -> TagDefinition {
        let source = Some(TagSource { device: "plc".into(), address: "holding:1".into() });
        TagDefinition { source, ..TagDefinition::new(TagName::new(name).unwrap(), ValueType::F64) }
    }

    const GOOD: Quality = Quality::GOOD;
    const LOST: Quality = Quality::BAD_DATA_LOST;

    #[test]
    fn a_start_ends_the_last_values_of_the_run_before_once_and_behind_the_newest_sample() {
        let machine = Machine::start();
        let tags = ["a", "ahead", "bad", "gone", "empty"].map(collected);
        machine.begin(&tags, None, 10);
        assert!(machine.gaps().is_empty(), "there was no run before");
        machine.historian.catalog.create(TagDefinition { source: None, ..collected("written") }).unwrap();
        for (tag, at, quality) in
            [("a", 50, GOOD), ("ahead", 900, GOOD), ("bad", 60, Quality::BAD_NO_COMMUNICATION), ("gone", 70, GOOD), ("written", 80, GOOD)]
        {
            machine.write(tag, &[(at, quality)]);
        }
        let kept: Vec<TagDefinition> = tags.iter().filter(|tag| tag.name.as_str() != "gone").cloned().collect();
        for _ in 0..2 {
            machine.begin(&kept, Some(100), 200);
            assert_eq!(machine.read("a"), [(50, GOOD), (100, LOST)]);
            assert_eq!(machine.read("ahead"), [(900, GOOD), (901, LOST)]);
            assert_eq!(machine.read("bad"), [(60, Quality::BAD_NO_COMMUNICATION)]);
            assert_eq!(machine.read("gone"), [(70, GOOD), (100, Quality::BAD_NOT_CONNECTED)]);
            assert_eq!((machine.read("written"), machine.read("empty")), (vec![(80, GOOD)], Vec::new()));
        }
        let down = (None, Some(100), Some(200), "collector_down");
        // The run ended before it could record that the device of one was down.
        let bad = (Some("bad".into()), Some(60), Some(100), "device_down");
        assert_eq!(machine.gaps(), [down.clone(), bad, (Some("gone".into()), Some(100), None, "not_configured"), down]);

        // What the device kept meanwhile comes late and is read behind the Bad sample; a client may write what is collected no more.
        machine.write("a", &[(150, GOOD)]);
        machine.write("gone", &[(300, GOOD)]);
        machine.begin(&kept, Some(400), 500);
        assert_eq!(machine.read("a"), [(50, GOOD), (100, LOST), (150, GOOD), (400, LOST)]);
        assert_eq!(machine.read("gone").last(), Some(&(300, GOOD)));
    }

    #[test]
    fn without_a_mark_the_newest_sample_that_is_not_of_the_future_tells_the_end() {
        let machine = Machine::start();
        let tags = ["a", "b", "ahead"].map(collected);
        machine.begin(&tags, None, 10);
        for (tag, at) in [("a", 50), ("b", 70), ("ahead", 5_000)] {
            machine.write(tag, &[(at, GOOD)]);
        }
        for mark_of_the_future in [None, Some(9_000)] {
            machine.begin(&tags, mark_of_the_future, 200);
            assert_eq!(machine.read("a"), [(50, GOOD), (70, LOST)]);
        }
        assert_eq!(machine.gaps()[0], (None, Some(70), Some(200), "collector_down"));
    }

    #[test]
    fn a_gap_that_waits_is_told_by_the_one_of_this_start_where_that_has_all_of_it() {
        let machine = Machine::start();
        let tag = collected("a");
        machine.begin(std::slice::from_ref(&tag), None, 10);
        machine.write("a", &[(20, GOOD)]);
        let down = |start: i64, end: i64| Gap { start: Some(start), end: Some(end), reason: GapReason::CollectorDown, ..Gap::default() };
        for (ended, told) in [(30, vec![(Some(30), Some(90))]), (60, vec![(Some(30), Some(50)), (Some(60), Some(90))])] {
            let wanted = WantedTags {
                collected: HashMap::from([(&tag.name, &tag)]),
                ended: Some(Timestamp(ended)),
                waiting: HashMap::new(),
                pending: vec![down(30, 50)],
                now: Timestamp(90),
            };
            let TestHistorian { catalog, ingest, store, .. } = &machine.historian;
            let found = look_back(catalog, ingest, store.as_ref(), &wanted).unwrap().gaps;
            assert_eq!(found.iter().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>(), told);
        }
    }

    #[test]
    fn a_tag_that_is_configured_again_and_one_of_another_type_have_gaps_of_their_own() {
        let machine = Machine::start();
        machine.begin(&[collected("a"), collected("b")], None, 10);
        machine.write("a", &[(20, GOOD)]);
        machine.write("b", &[(20, GOOD)]);
        let other_type = TagDefinition { value_type: ValueType::U64, ..collected("b") };
        machine.begin(std::slice::from_ref(&other_type), Some(30), 40);
        machine.begin(&[collected("a"), other_type], Some(50), 60);
        let of = |tag: &str| machine.gaps().into_iter().filter(|gap| gap.0.as_deref() == Some(tag)).collect::<Vec<_>>();
        let gap = |tag: &str, end| (Some(tag.to_owned()), Some(30), end, "not_configured");
        assert_eq!(of("a"), [gap("a", None), gap("a", Some(60))]);
        assert_eq!(of("b"), [gap("b", None)]);
        assert_eq!(machine.read("b"), [(20, GOOD), (30, LOST)]);
    }

    #[test]
    fn an_absence_that_the_run_before_left_open_ends_with_it_or_where_samples_came_again() {
        let machine = Machine::start();
        let tags = ["down", "back", "refused", "closed"].map(collected);
        machine.begin(&tags, None, 10);
        let bad = Quality::BAD_NO_COMMUNICATION;
        machine.write("down", &[(20, GOOD), (31, bad)]);
        machine.write("back", &[(20, GOOD), (31, bad), (50, GOOD), (60, GOOD)]);
        machine.write("refused", &[(12, Quality::BAD_CONFIGURATION_ERROR)]);
        machine.write("closed", &[(31, bad)]);
        let open = |tag: &str, start: i64, end: Option<i64>, reason: GapReason| Gap {
            tag: Some(tag.into()),
            start: Some(start),
            end,
            reason,
            ..Gap::default()
        };
        let down = GapReason::DeviceDown;
        let left = [open("down", 30, None, down), open("back", 30, None, down), open("refused", 11, None, GapReason::Refused)];
        machine.historian.store.append_gaps(&left).unwrap();
        machine.historian.store.append_gaps(&[open("closed", 30, None, down), open("closed", 30, Some(99), down)]).unwrap();
        let recorded = machine.gaps().len();
        machine.begin(&tags, Some(100), 200);
        let gap = |tag: &str, start, end, reason| (Some(tag.to_owned()), Some(start), Some(end), reason);
        // Tags have their ids in any order.
        let told_since = |recorded: usize| {
            let mut told: Vec<Told> = machine.gaps().split_off(recorded);
            told.sort();
            told
        };
        assert_eq!(
            told_since(recorded),
            [
                (None, Some(100), Some(200), "collector_down"),
                gap("back", 30, 50, "device_down"),
                gap("down", 30, 100, "device_down"),
                gap("refused", 11, 100, "refused"),
            ]
        );
        // The device is down still, and the next run ends before it can record it.
        let recorded = machine.gaps().len();
        machine.begin(&tags, Some(300), 400);
        assert_eq!(told_since(recorded)[1..], [gap("closed", 200, 300, "device_down"), gap("down", 200, 300, "device_down")]);
    }
}
