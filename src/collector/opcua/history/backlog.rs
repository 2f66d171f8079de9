//! Which times of which tags are to be read from the server's history.
//!
//! A tag has a hole from where its samples cease to where they come again; a hole is read once it has both ends, so a server is asked for
//! nothing before the live values are there. It fills one or more gaps on record: those that a start finds in the ledger, and those of this run.
//! What was read of a hole is kept with it, so that a cut in the middle costs nothing but the page that was on its way.
//!
//! A moment before the hole is read as well: what the server had sampled and not sent yet when the link was lost. Of samples that are stored
//! already those are left out of which this run knows; others are stored once more as they are, which changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::settings::{HistoryOrder, HistorySettings};
use historian_collector::{BackfilledGap, UnfilledGap};
use historian_model::{Sample, Timestamp, sink::LossReason};

/// Holes of one tag that wait for the next connection, at most; the ledger has them all.
const WAITING_MAX: usize = 16;
/// Holes whose ends are no further apart are read together.
const TOGETHER_NS: i64 = 10_000_000_000;

/// A time that is to be read, of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryHole {
    /// What is left to be read: from here on.
    pub start: i64,
    /// To before here.
    pub until: i64,
    /// Where it ends.
    pub end: i64,
    /// Samples up to and with this one are stored.
    pub after: i64,
    /// The sample of the device at its end: in a history that has come so far it is there, too.
    pub witness: Option<i64>,
    /// The latest sample that the history had of it.
    pub newest: Option<i64>,
    /// How often the history was asked for more, because it had not come so far, or the request failed.
    pub tries: u32,
    parts: Vec<GapPart>,
}

/// A gap on record that a hole fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GapPart {
    start: i64,
    /// `None`: that of the hole.
    end: Option<i64>,
    reason: LossReason,
    samples: u64,
    newest: i64,
}

/// A tag's samples are absent.
struct OpenHole {
    start: i64,
    after: i64,
    parts: Vec<GapPart>,
}

/// Holes of a device. Shared by those who see samples cease and come, and the reader of the history.
pub struct HistoryBacklog {
    state: Mutex<BacklogState>,
    changed: Notify,
    settings: HistorySettings,
    /// Time before a hole that is read as well.
    before: i64,
}

#[derive(Default)]
struct BacklogState {
    tags: Vec<TagAbsence>,
    queue: BTreeMap<QueuePlace, QueuedHole>,
    /// Holes that are being read, by their places.
    reading: BTreeMap<u64, (usize, HistoryHole)>,
    /// Those that cannot be read in this session.
    waiting: BTreeMap<usize, Vec<HistoryHole>>,
    /// Tags whose refusal was told.
    told: BTreeSet<usize>,
    number: u64,
}

/// What is read first comes first.
type QueuePlace = (i64, u64);

struct QueuedHole {
    index: usize,
    hole: HistoryHole,
    due: Option<Instant>,
}

#[derive(Default)]
struct TagAbsence {
    /// Its node's history is wanted.
    wanted: bool,
    open: Option<OpenHole>,
    /// Holes of earlier runs: they are read once the tag delivers.
    earlier: Vec<HistoryHole>,
}

/// A hole that is read now.
#[derive(Clone, Debug)]
pub struct TakenHole {
    /// By which it is given back.
    pub number: u64,
    pub index: usize,
    pub hole: HistoryHole,
}

impl HistoryBacklog {
    /// `wanted` says of each tag, by index, whether its history is; `unfilled` and `last` are what is on record of it and its last sample, where
    /// they are known. `before` is the time before a hole that is read as well.
    pub fn new(
        settings: HistorySettings,
        before: Duration,
        wanted: impl IntoIterator<Item = bool>,
        unfilled: &[Vec<UnfilledGap>],
        last: &[Option<Sample>],
    ) -> HistoryBacklog {
        let before = i64::try_from(before.as_nanos()).unwrap_or(i64::MAX);
        let tags = wanted.into_iter().enumerate().map(|(index, wanted)| {
            let unfilled = unfilled.get(index).map_or(&[][..], Vec::as_slice);
            TagAbsence::new(wanted.then_some(unfilled), last.get(index).and_then(Option::as_ref), before)
        });
        let state = BacklogState { tags: tags.collect(), ..BacklogState::default() };
        HistoryBacklog { state: Mutex::new(state), changed: Notify::new(), settings, before }
    }

    /// Adds a tag, which has the next index. `unfilled` is what is on record of it; `None` where its history is not wanted.
    pub fn add(&self, unfilled: Option<&[UnfilledGap]>, last: Option<&Sample>) {
        self.state.lock().tags.push(TagAbsence::new(unfilled, last, self.before));
    }

    /// A tag has no samples from `from` on. Those up to and with `after` are stored. `gap` is where the gap on record begins that this belongs to.
    pub fn absent(&self, index: usize, (from, after): (i64, i64), gap: i64, reason: LossReason) {
        let mut state = self.state.lock();
        let Some(tag) = state.tags.get_mut(index).filter(|tag| tag.wanted) else { return };
        let part = GapPart { start: gap, end: None, reason, samples: 0, newest: i64::MIN };
        match &mut tag.open {
            Some(open) if open.parts.iter().any(|known| (known.start, known.reason) == (gap, reason)) => {}
            Some(open) => {
                for known in open.parts.iter_mut().filter(|known| known.end.is_none()) {
                    known.end = Some(gap.max(known.start));
                }
                open.parts.push(part);
            }
            None => tag.open = Some(OpenHole { start: from, after, parts: vec![part] }),
        }
    }

    /// Samples of these times came, `added` of them by the collector.
    pub fn present(&self, index: usize, times: &[i64], added: Option<i64>) {
        let mut state = self.state.lock();
        let Some(tag) = state.tags.get_mut(index) else { return };
        let mut holes = std::mem::take(&mut tag.earlier);
        if let Some(open) = tag.open.take() {
            let behind = times.iter().copied().filter(|&at| at > open.start);
            let witness = behind.clone().filter(|&at| Some(at) != added).min();
            if let Some(end) = witness.or_else(|| behind.min()) {
                let start = open.start.saturating_sub(self.before);
                holes.push(HistoryHole { after: open.after, witness, ..HistoryHole::new((start, end), open.parts) });
            }
        }
        if !holes.is_empty() {
            for hole in holes {
                state.queue(self.settings.order, index, hole, None);
            }
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Samples of a time were lost while others came.
    pub fn missed(&self, index: usize, from: i64, to: i64) {
        let mut state = self.state.lock();
        let Some(tag) = state.tags.get(index) else { return };
        if tag.wanted && tag.open.is_none() && from < to {
            let part = GapPart { start: from, end: Some(to), reason: LossReason::DeviceDown, samples: 0, newest: i64::MIN };
            let start = from.saturating_sub(self.before);
            state.queue(self.settings.order, index, HistoryHole::new((start, to), vec![part]), None);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Nothing was missed of a tag after all.
    pub fn nothing_missed(&self, index: usize) {
        let mut state = self.state.lock();
        let Some(tag) = state.tags.get_mut(index) else { return };
        // What is missing of earlier runs still is.
        tag.open = tag.open.take().and_then(|mut open| {
            open.parts.retain(|part| part.end.is_some());
            (!open.parts.is_empty()).then_some(open)
        });
    }

    /// A new connection: what could not be read in the one before is asked for again.
    pub fn reconnect(&self) {
        let mut state = self.state.lock();
        let waiting =
            std::mem::take(&mut state.waiting).into_iter().flat_map(|(index, holes)| holes.into_iter().map(move |hole| (index, hole)));
        let again: Vec<(usize, HistoryHole)> = std::mem::take(&mut state.reading).into_values().chain(waiting).collect();
        for (index, hole) in again {
            state.queue(self.settings.order, index, HistoryHole { tries: 0, ..hole }, None);
        }
    }

    /// Holes that are read next, as many as one request takes, whose bounds are near each other. What is older than wanted at `wall` is left out.
    pub fn take(&self, now: Instant, wall: Timestamp, most: usize) -> Vec<TakenHole> {
        let oldest = wall.0.saturating_sub(i64::try_from(self.settings.back.as_nanos()).unwrap_or(i64::MAX));
        let mut state = self.state.lock();
        let mut bounds: Option<(i64, i64)> = None;
        let mut places = Vec::new();
        for (place, queued) in &state.queue {
            if queued.due.is_some_and(|due| due > now) {
                continue;
            }
            let (start, end) = (queued.hole.start, queued.hole.until);
            let (first, last) = *bounds.get_or_insert((start, end));
            let slack = TOGETHER_NS.max(last.saturating_sub(first) / 8);
            let near = |a: i64, b: i64| a.abs_diff(b) <= slack.unsigned_abs();
            if !near(start, first) || !near(end, last) {
                // Where the first of the bounds is too far off, those of all that come after are.
                let far = if self.settings.order == HistoryOrder::Oldest { !near(start, first) } else { !near(end, last) };
                if far {
                    break;
                }
                continue;
            }
            places.push(*place);
            if places.len() >= most.max(1) {
                break;
            }
        }
        let mut taken = Vec::with_capacity(places.len());
        for place in places {
            let Some(QueuedHole { index, mut hole, .. }) = state.queue.remove(&place) else { continue };
            hole.start = hole.start.max(oldest);
            if hole.start < hole.until {
                state.reading.insert(place.1, (index, hole.clone()));
                taken.push(TakenHole { number: place.1, index, hole });
            }
        }
        taken
    }

    /// Whether any hole waits to be read now or later in this session.
    pub fn is_empty(&self) -> bool {
        self.state.lock().queue.is_empty()
    }

    /// Waits until there are other holes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// So far a hole has been read.
    pub fn progress(&self, taken: &TakenHole) {
        if let Some((_, hole)) = self.state.lock().reading.get_mut(&taken.number) {
            hole.clone_from(&taken.hole);
        }
    }

    /// The rest of a hole is to be read later in this session.
    pub fn later(&self, taken: TakenHole, due: Option<Instant>) {
        let mut state = self.state.lock();
        state.reading.remove(&taken.number);
        state.queue(self.settings.order, taken.index, taken.hole, due);
    }

    /// A hole cannot be read in this session.
    pub fn wait(&self, taken: TakenHole) {
        let mut state = self.state.lock();
        state.reading.remove(&taken.number);
        let holes = state.waiting.entry(taken.index).or_default();
        if holes.len() >= WAITING_MAX {
            holes.remove(0);
        }
        holes.push(taken.hole);
    }

    /// A hole is read; answers the gaps that its samples fill.
    pub fn done(&self, taken: &TakenHole) -> Vec<BackfilledGap> {
        self.state.lock().reading.remove(&taken.number);
        taken.hole.filled()
    }

    /// Whether the refusal of a tag's node is news.
    pub fn is_news(&self, index: usize) -> bool {
        self.state.lock().told.insert(index)
    }
}

impl BacklogState {
    fn queue(&mut self, order: HistoryOrder, index: usize, hole: HistoryHole, due: Option<Instant>) {
        self.number += 1;
        let first = match order {
            HistoryOrder::Oldest => hole.start,
            HistoryOrder::Newest => hole.until.saturating_neg(),
        };
        self.queue.insert((first, self.number), QueuedHole { index, hole, due });
    }
}

impl TagAbsence {
    fn new(unfilled: Option<&[UnfilledGap]>, last: Option<&Sample>, before: i64) -> TagAbsence {
        let mut absence = TagAbsence { wanted: unfilled.is_some(), ..TagAbsence::default() };
        absence.begin(unfilled.unwrap_or_default(), last.map_or(i64::MIN, |last| last.timestamp), before);
        absence
    }

    /// What is on record, oldest first: gaps since whose end no sample was stored are open, as the run before them has ended, the device is away, or
    /// both.
    fn begin(&mut self, unfilled: &[UnfilledGap], last: i64, before: i64) {
        for gap in unfilled {
            let part = GapPart { start: gap.start.0, end: Some(gap.end.0), reason: gap.reason, samples: 0, newest: i64::MIN };
            if gap.end.0 >= last {
                self.open.get_or_insert(OpenHole { start: gap.start.0, after: i64::MIN, parts: Vec::new() }).parts.push(part);
            } else {
                let start = gap.start.0.saturating_sub(before);
                self.earlier.push(HistoryHole::new((start, gap.end.0), vec![part]));
            }
        }
    }
}

impl HistoryHole {
    fn new((start, end): (i64, i64), parts: Vec<GapPart>) -> HistoryHole {
        HistoryHole { start, until: end, end, after: i64::MIN, witness: None, newest: None, tries: 0, parts }
    }

    /// What is left is that behind the latest sample that the history had: it has not come as far as the live samples yet.
    pub fn behind_newest(&mut self) {
        self.tries += 1;
        self.until = self.end;
        if let Some(newest) = self.newest {
            self.start = self.start.max(newest.saturating_add(1));
            self.after = self.after.max(newest);
        }
    }

    /// Whether a sample of this time belongs to it.
    pub fn has(&self, at: i64) -> bool {
        self.after < at && self.start <= at && at < self.until
    }

    /// Whether the history has come as far as the live samples.
    pub fn is_reached(&self) -> bool {
        self.witness.is_none()
    }

    /// A sample of this time is in the history.
    pub fn saw(&mut self, at: i64) {
        if self.witness == Some(at) {
            self.witness = None;
        }
    }

    /// A sample of this time was taken.
    pub fn took(&mut self, at: i64) {
        self.newest = self.newest.max(Some(at));
        // In the moments between two gaps nobody knew that something was absent.
        if let Some(part) = self.parts.iter_mut().filter(|part| part.start <= at).max_by_key(|part| part.start) {
            part.samples += 1;
            part.newest = part.newest.max(at);
        }
    }

    fn filled(&self) -> Vec<BackfilledGap> {
        let with_samples = self.parts.iter().filter(|part| part.samples > 0);
        let gaps = with_samples.map(|part| BackfilledGap {
            start: Timestamp(part.start),
            end: Timestamp(part.end.unwrap_or(self.end).max(part.start)),
            reason: part.reason,
            samples: part.samples,
            newest: Timestamp(part.newest),
        });
        gaps.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const WALL: Timestamp = Timestamp(10_000 * SECOND);

    fn backlog(order: HistoryOrder, unfilled: &[Vec<UnfilledGap>], last: &[Option<Sample>]) -> HistoryBacklog {
        let back = Duration::from_mins(150);
        let settings = HistorySettings { back, order, nodes_per_request: 10, values_per_request: 100, pause: Duration::ZERO };
        HistoryBacklog::new(settings, Duration::from_secs(2), [true, true, false], unfilled, last)
    }

    /// Index, start and end in seconds of what is read next.
    fn next(backlog: &HistoryBacklog) -> Vec<(usize, i64, i64)> {
        let taken = backlog.take(Instant::now(), WALL, 10);
        taken.iter().map(|taken| (taken.index, taken.hole.start / SECOND, taken.hole.end / SECOND)).collect()
    }

    fn lose(backlog: &HistoryBacklog, index: usize, from: i64) {
        backlog.absent(index, (from * SECOND, from * SECOND - 1), from * SECOND, LossReason::DeviceDown);
    }

    #[test]
    fn a_hole_is_read_once_it_has_both_ends_and_not_where_nobody_wants_it() {
        let backlog = backlog(HistoryOrder::Oldest, &[], &[]);
        for index in 0..3 {
            lose(&backlog, index, 5_000);
            lose(&backlog, index, 5_000);
        }
        assert_eq!(next(&backlog), []);
        for index in 0..3 {
            backlog.present(index, &[5_060 * SECOND, 5_061 * SECOND], None);
            backlog.present(index, &[5_070 * SECOND], None);
        }
        assert_eq!(next(&backlog), [(0, 4_998, 5_060), (1, 4_998, 5_060)]);
        assert_eq!(next(&backlog), [], "they are being read");
        backlog.reconnect();
        assert_eq!(next(&backlog).len(), 2, "and were not to their end");
    }

    #[test]
    fn what_the_server_kept_is_no_hole_and_a_value_that_did_not_change_ends_one() {
        let backlog = backlog(HistoryOrder::Oldest, &[], &[]);
        lose(&backlog, 0, 5_000);
        backlog.nothing_missed(0);
        backlog.present(0, &[5_060 * SECOND], None);
        assert_eq!(next(&backlog), []);
        lose(&backlog, 0, 5_100);
        backlog.present(0, &[4_000 * SECOND, 5_110 * SECOND], Some(5_110 * SECOND));
        let taken = backlog.take(Instant::now(), WALL, 10);
        assert_eq!((taken[0].hole.end / SECOND, taken[0].hole.witness), (5_110, None), "the collector's own sample proves nothing");
    }

    #[test]
    fn the_order_and_the_bounds_of_one_request() {
        for (order, expected) in [
            (HistoryOrder::Oldest, [vec![(0, 1_998, 2_010), (1, 1_999, 2_010)], vec![(0, 5_998, 6_010)]]),
            (HistoryOrder::Newest, [vec![(0, 5_998, 6_010)], vec![(0, 1_998, 2_010), (1, 1_999, 2_010)]]),
        ] {
            let backlog = backlog(order, &[], &[]);
            for (index, from) in [(0, 2_000), (1, 2_001), (0, 6_000)] {
                lose(&backlog, index, from);
                backlog.present(index, &[(from / 10 * 10 + 10) * SECOND], None);
            }
            assert_eq!([next(&backlog), next(&backlog)], expected);
        }
        let old = backlog(HistoryOrder::Oldest, &[], &[]);
        for from in [100, 990] {
            lose(&old, 0, from);
            old.present(0, &[(from + 20) * SECOND], None);
        }
        assert_eq!([next(&old), next(&old)], [vec![], vec![(0, 1_000, 1_010)]], "what is older than wanted is left out");
    }

    #[test]
    fn gaps_on_record_are_read_once_the_tag_delivers_up_to_its_first_sample() {
        let gap = |start: i64, end: i64, reason| UnfilledGap { start: Timestamp(start * SECOND), end: Timestamp(end * SECOND), reason };
        let unfilled = [vec![
            gap(3_000, 3_010, LossReason::DeviceDown),
            gap(5_000, 5_010, LossReason::DeviceDown),
            gap(5_010, 5_020, LossReason::CollectorDown),
        ]];
        let last = Some(Sample { timestamp: 5_000 * SECOND, value: None, quality: 0x8000_0000 });
        let backlog = backlog(HistoryOrder::Oldest, &unfilled, &[last]);
        assert_eq!(next(&backlog), []);
        // The device is away at first.
        lose(&backlog, 0, 5_021);
        backlog.present(0, &[5_040 * SECOND], None);
        assert_eq!(next(&backlog), [(0, 2_998, 3_010)]);
        let mut taken = backlog.take(Instant::now(), WALL, 10);
        let mut taken = taken.remove(0);
        assert_eq!((taken.hole.start / SECOND, taken.hole.end / SECOND), (4_998, 5_040));
        for at in [4_999, 5_001, 5_015, 5_020, 5_030, 5_035] {
            assert!(taken.hole.has(at * SECOND));
            taken.hole.took(at * SECOND);
        }
        assert!(!taken.hole.has(5_040 * SECOND) && !taken.hole.is_reached());
        taken.hole.saw(5_040 * SECOND);
        assert!(taken.hole.is_reached());
        let filled = backlog.done(&taken);
        let filled: Vec<_> = filled.iter().map(|gap| (gap.start.0 / SECOND, gap.end.0 / SECOND, gap.reason, gap.samples)).collect();
        let expected = [
            (5_000, 5_010, LossReason::DeviceDown, 1),
            (5_010, 5_020, LossReason::CollectorDown, 2),
            (5_021, 5_040, LossReason::DeviceDown, 2),
        ];
        assert_eq!(filled, expected);
    }

    #[test]
    fn a_tag_that_is_found_later_has_the_next_index_and_its_own_gaps() {
        let backlog = backlog(HistoryOrder::Oldest, &[], &[]);
        let gap = UnfilledGap { start: Timestamp(5_000 * SECOND), end: Timestamp(5_010 * SECOND), reason: LossReason::CollectorDown };
        backlog.absent(3, (0, 0), 0, LossReason::DeviceDown);
        backlog.present(3, &[5_020 * SECOND], None);
        backlog.add(Some(&[gap]), Some(&Sample { timestamp: 5_000 * SECOND, value: None, quality: 0 }));
        backlog.add(None, None);
        for index in [3, 4] {
            lose(&backlog, index, 5_011);
            backlog.present(index, &[5_020 * SECOND], None);
        }
        assert_eq!(next(&backlog), [(3, 4_998, 5_020)]);
    }

    #[test]
    fn what_is_refused_waits_for_the_next_connection() {
        let backlog = backlog(HistoryOrder::Oldest, &[], &[]);
        lose(&backlog, 0, 5_000);
        backlog.present(0, &[5_010 * SECOND], None);
        let mut taken = backlog.take(Instant::now(), WALL, 10);
        backlog.wait(taken.remove(0));
        assert!(backlog.is_news(0) && !backlog.is_news(0));
        assert!(backlog.is_empty() && next(&backlog).is_empty());
        backlog.reconnect();
        assert_eq!(next(&backlog), [(0, 4_998, 5_010)]);
    }
}
