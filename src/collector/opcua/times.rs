//! Which time a sample gets, and what is odd about the times that a device sends.
//!
//! - `timestamps = "source"` (the default): the source timestamp; where there is none the server timestamp, then the time of reception.
//!   A source time **before 2000**, or one that went **back by more than a year** behind the tag's last, is that of a clock that was never
//!   set or has lost its time. Stored as it is, such a sample would lie before the older ones, and the current value would stay at one of
//!   those. It gets the server's time instead (or that of reception), the value stays, and a Good quality becomes Uncertain, because when
//!   the value was measured is not known. Samples that are late by less keep their time; when several come in a row, it is told.
//! - `"server"`: the server timestamp, else the time of reception.
//! - `"reception"`: the time at which the notification came.
//!
//! Changes under one and the same time are kept a nanosecond apart, in their order ([`Distinct`]).

use super::convert::DataValueSample;
use historian_collector::distinct::Distinct;
use historian_model::{Quality, Timestamp, Value};

/// 2000-01-01T00:00:00Z. No clock of a running plant is earlier.
pub const PLAUSIBLE_FROM_NS: i64 = 946_684_800_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
/// A source time further behind the last one is no late sample but a clock that lost its time.
const BACK_MAX_NS: i64 = 365 * DAY_NS;
/// Changes in a row under one source time, or behind the newest, after which that is told.
const ODD_CHANGES: u32 = 3;
/// A source time so far behind the newest is late.
const LATE_NS: i64 = 60_000_000_000;
/// Time before the last sample of an earlier run that its distinct timestamps may have taken: a million changes.
const TAKEN_NS: i64 = 1_000_000;

/// What is that much older than the end of an earlier run was stored by it.
const STORED_BEFORE_NS: i64 = 60_000_000_000;

/// Where a tag's timestamps come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimeFrom {
    #[default]
    Source,
    Server,
    Reception,
}

impl std::str::FromStr for TimeFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeFrom, String> {
        match text {
            "source" => Ok(TimeFrom::Source),
            "server" => Ok(TimeFrom::Server),
            "reception" => Ok(TimeFrom::Reception),
            other => Err(format!("{other:?} is not known; known are source, server, reception")),
        }
    }
}

/// What is odd about a tag's source times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Before 2000.
    Old { source: i64 },
    /// Behind the newest source time by more than a year.
    Back { source: i64, newest: i64 },
    /// Several changes came behind the newest source time; the current value is still that one.
    Late { source: i64, newest: i64 },
    /// Several changes came under it.
    Still { source: i64 },
}

impl Oddity {
    /// For a person: what is odd, what was done, what to do.
    pub fn text(self) -> String {
        let advice = "set the device's clock, or timestamps = \"server\" for the tag or the device";
        match self {
            Oddity::Old { source } => {
                format!("the source time is {}, before 2000; samples get the server's time and are Uncertain; {advice}", Timestamp(source))
            }
            Oddity::Back { source, newest } => format!(
                "the source time went back from {} to {}; samples get the server's time and are Uncertain; {advice}",
                Timestamp(newest),
                Timestamp(source)
            ),
            Oddity::Late { source, newest } => format!(
                "the source time went back from {} to {}; samples are stored under it, and the current value stays that of the newest; if \
                 these are no late samples, {advice}",
                Timestamp(newest),
                Timestamp(source)
            ),
            Oddity::Still { source } => format!(
                "the source time stands still at {} while the value changes; samples are kept a nanosecond apart; {advice}",
                Timestamp(source)
            ),
        }
    }
}

/// What is odd about a reading by itself, for a tag whose time comes from there.
pub fn oddity(reading: &DataValueSample, from: TimeFrom) -> Option<Oddity> {
    let source = reading.source?;
    (from == TimeFrom::Source && source < PLAUSIBLE_FROM_NS && !reading.quality.is_bad()).then_some(Oddity::Old { source })
}

/// The times of one tag.
#[derive(Debug, Default)]
pub struct TagTimes {
    from: TimeFrom,
    distinct: Distinct,
    /// Latest timestamp written for the tag, whoever made it.
    newest: Option<i64>,
    /// Last reading of the device: the time that it brought, value, quality.
    last: Option<(i64, Option<Value>, Quality)>,
    /// Last plausible source time.
    source: Option<i64>,
    /// Newest plausible source time.
    newest_source: Option<i64>,
    /// Changes in a row behind the newest source time.
    late: u32,
    /// Changes in a row under the last source time.
    still: u32,
    ended: Option<EarlierEnd>,
    /// The last reading is one of an earlier run, with the timestamp under which it was stored.
    earlier: bool,
}

/// How an earlier run ended.
#[derive(Clone, Copy, Debug)]
struct EarlierEnd {
    /// Time of its last sample, which was Bad.
    at: i64,
    /// Source time of what it had stored, while that stands still.
    source: Option<i64>,
}

/// Time and quality of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub at: i64,
    pub quality: Quality,
    pub oddity: Option<Oddity>,
    /// An earlier run has stored it, under this time or one next to it.
    pub known: bool,
}

impl TagTimes {
    pub fn new(from: TimeFrom) -> TagTimes {
        TagTimes { from, ..TagTimes::default() }
    }

    /// Latest timestamp written.
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The last reading brought a plausible source time.
    pub fn is_plausible(&self) -> bool {
        self.still == 0 && self.late == 0 && self.last.as_ref().map(|(told, ..)| *told) == self.source
    }

    /// A sample was written at `at`, by the collector itself.
    pub fn wrote(&mut self, at: i64) {
        self.newest = self.newest.max(Some(at));
    }

    /// Continues after the sample that an earlier run wrote last. `device` when that may have come from the device.
    pub fn resume(&mut self, at: i64, value: Option<&Value>, quality: Quality, device: bool) {
        self.newest = Some(at);
        if device {
            self.distinct = Distinct::after(at.saturating_sub(TAKEN_NS), at);
            self.last = Some((at, value.cloned(), quality));
            self.source = (self.from == TimeFrom::Source).then_some(at);
            self.newest_source = self.source;
            self.earlier = true;
        } else {
            self.ended = Some(EarlierEnd { at, source: None });
        }
    }

    /// Time and quality of a reading; `None` when it repeats the last one. `present` is now, by the server's clock.
    pub fn stamp(&mut self, reading: &DataValueSample, received: Timestamp, present: i64) -> Option<Stamp> {
        let told = reading.source.or(reading.server).unwrap_or(received.0);
        if let Some((last, value, quality)) = &self.last {
            let same_time = *last == told || self.earlier && (last.saturating_sub(TAKEN_NS)..=*last).contains(&told);
            if same_time && *value == reading.value && *quality == reading.quality {
                return None;
            }
        }
        let mut stamp = self.choose(reading, received, present);
        // The present value of a device that was collected until then: where its source time stands still, the place is another value's.
        (self.ended, stamp.known) = match self.ended {
            Some(EarlierEnd { at, source: None }) if stamp.at < at.saturating_sub(STORED_BEFORE_NS) => {
                (Some(EarlierEnd { at, source: Some(told) }), true)
            }
            Some(ended) if ended.source == Some(told) => (Some(ended), true),
            _ => (None, false),
        };
        self.last = Some((told, reading.value.clone(), reading.quality));
        self.earlier = false;
        self.newest = self.newest.max(Some(stamp.at));
        Some(stamp)
    }

    fn choose(&mut self, reading: &DataValueSample, received: Timestamp, present: i64) -> Stamp {
        let server = reading.server.filter(|server| *server >= PLAUSIBLE_FROM_NS);
        let quality = reading.quality;
        let source = match (self.from, reading.source) {
            (TimeFrom::Source, Some(source)) => source,
            (TimeFrom::Reception, _) => return self.taken(received.0, quality),
            _ => return self.taken(server.unwrap_or(received.0), quality),
        };
        let newest = self.newest_source.filter(|newest| *newest <= present.saturating_add(DAY_NS));
        let oddity = match newest {
            _ if source < PLAUSIBLE_FROM_NS => Oddity::Old { source },
            Some(newest) if newest.saturating_sub(source) > BACK_MAX_NS => Oddity::Back { source, newest },
            _ => {
                self.still = if self.source == Some(source) && !self.earlier { self.still + 1 } else { 0 };
                let behind = newest.filter(|newest| newest.saturating_sub(source) > LATE_NS && !self.earlier);
                self.late = if behind.is_some() { self.late + 1 } else { 0 };
                self.source = Some(source);
                self.newest_source = newest.max(Some(source));
                let oddity = match behind {
                    Some(newest) if self.late == ODD_CHANGES => Some(Oddity::Late { source, newest }),
                    _ => (self.still == ODD_CHANGES).then_some(Oddity::Still { source }),
                };
                return Stamp { oddity, ..self.taken(source, quality) };
            }
        };
        // The latest in time, so that the current value is this one; but not behind a sample of the far future.
        let instead = server.unwrap_or(present);
        let at = match self.newest.filter(|newest| *newest <= present.saturating_add(DAY_NS)) {
            Some(newest) => instead.max(newest.saturating_add(1)),
            None => instead,
        };
        let stamp = self.taken(at, quality);
        if quality.is_bad() {
            return stamp;
        }
        let quality = if quality.is_good() { Quality(Quality::UNCERTAIN.0 | quality.0 & 0xFFFF) } else { quality };
        Stamp { quality, oddity: Some(oddity), ..stamp }
    }

    fn taken(&mut self, at: i64, quality: Quality) -> Stamp {
        Stamp { at: self.distinct.next(at, 0), quality, oddity: None, known: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000_000_000;

    fn reading(source: Option<i64>, server: Option<i64>, value: f64) -> DataValueSample {
        DataValueSample { source, server, value: Some(Value::F64(value)), quality: Quality::GOOD, problem: String::new(), waits: false }
    }

    fn stamps(from: TimeFrom, readings: &[DataValueSample]) -> Vec<Option<(i64, Quality)>> {
        let mut times = TagTimes::new(from);
        let stamp = |(step, reading): (usize, &DataValueSample)| {
            let received = NOW + 10_000_000_000 + step as i64;
            times.stamp(reading, Timestamp(received), received).map(|stamp| (stamp.at, stamp.quality))
        };
        readings.iter().enumerate().map(stamp).collect()
    }

    #[test]
    fn changes_under_one_source_time_are_all_kept_in_order_and_a_repeat_is_none() {
        let values = [1.0, 2.0, 2.0, 1.0, 3.0].map(|value| reading(Some(NOW), None, value));
        let good = |at| Some((at, Quality::GOOD));
        assert_eq!(stamps(TimeFrom::Source, &values), [good(NOW), good(NOW + 1), None, good(NOW + 2), good(NOW + 3)]);
    }

    #[test]
    fn a_source_time_that_stands_still_is_told_once() {
        let mut times = TagTimes::new(TimeFrom::Source);
        let told = (0..10)
            .filter_map(|step| times.stamp(&reading(Some(NOW), None, f64::from(step)), Timestamp(NOW), NOW).and_then(|stamp| stamp.oddity));
        assert_eq!(told.collect::<Vec<_>>(), [Oddity::Still { source: NOW }]);
    }

    #[test]
    fn a_clock_that_lost_its_time_does_not_hide_new_values_behind_old_ones() {
        let uncertain = |at| Some((at, Quality::UNCERTAIN));
        let good = |at| Some((at, Quality::GOOD));
        let server = NOW + 5_000_000_000;
        let readings = [
            reading(Some(NOW), Some(NOW), 1.0),
            reading(Some(5_000_000_000), Some(server), 2.0),                      // 1970
            reading(Some(5_100_000_000), Some(server), 3.0),                      // the server's time stands as well
            reading(Some(NOW - 10 * BACK_MAX_NS), Some(server + 1_000), 4.0),     // ten years back
            reading(Some(6_000_000_000), None, 5.0),                              // no server time: reception
            reading(Some(NOW + 20_000_000_000), Some(NOW + 20_000_000_000), 6.0), // the clock was set
            reading(Some(NOW + 19_000_000_000), None, 7.0),                       // late, not lost
        ];
        let expected = [
            good(NOW),
            uncertain(server),
            uncertain(server + 1),
            uncertain(server + 1_000),
            uncertain(NOW + 10_000_000_004),
            good(NOW + 20_000_000_000),
            good(NOW + 19_000_000_000),
        ];
        assert_eq!(stamps(TimeFrom::Source, &readings), expected);
    }

    #[test]
    fn several_changes_behind_the_newest_are_kept_as_they_are_and_told() {
        let mut times = TagTimes::new(TimeFrom::Source);
        let told: Vec<_> = [0, -100, -90, -80, -70, 10]
            .into_iter()
            .enumerate()
            .filter_map(|(step, seconds)| {
                let at = NOW + seconds * 1_000_000_000;
                let stamp = times.stamp(&reading(Some(at), None, step as f64), Timestamp(NOW), NOW)?;
                assert_eq!((stamp.at, stamp.quality), (at, Quality::GOOD));
                stamp.oddity
            })
            .collect();
        assert_eq!(told, [Oddity::Late { source: NOW - 80_000_000_000, newest: NOW }]);
        assert!(times.is_plausible());
    }

    #[test]
    fn a_clock_that_ran_far_ahead_and_was_set_right_is_believed() {
        let readings = [reading(Some(NOW + 12 * BACK_MAX_NS), None, 1.0), reading(Some(NOW + 1), None, 2.0)];
        assert_eq!(stamps(TimeFrom::Source, &readings)[1], Some((NOW + 1, Quality::GOOD)));
    }

    #[test]
    fn server_and_reception_times_are_taken_where_they_are_asked_for() {
        let readings = [
            reading(Some(5), Some(NOW + 7), 1.0),
            reading(Some(5), Some(NOW + 7), 2.0),
            reading(Some(6), Some(6), 3.0),
            reading(None, None, 4.0),
        ];
        let received = NOW + 10_000_000_000;
        let good = |at| Some((at, Quality::GOOD));
        assert_eq!(stamps(TimeFrom::Server, &readings), [good(NOW + 7), good(NOW + 8), good(received + 2), good(received + 3)]);
        assert_eq!(stamps(TimeFrom::Reception, &readings), [0, 1, 2, 3].map(|step| good(received + step)));
    }

    #[test]
    fn after_a_restart_the_last_stored_sample_is_not_written_again_and_a_change_follows_it() {
        let mut times = TagTimes::new(TimeFrom::Source);
        times.resume(NOW + 3, Some(&Value::F64(4.0)), Quality::GOOD, true);
        assert_eq!(times.stamp(&reading(Some(NOW), None, 4.0), Timestamp(NOW), NOW), None);
        let at = times.stamp(&reading(Some(NOW), None, 5.0), Timestamp(NOW), NOW).map(|stamp| stamp.at);
        assert_eq!(at, Some(NOW + 4));
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_source_time_of_the_year_2000_is_one_and_an_earlier_one_is_not() {
        const Y2000: i64 = 946_684_800 * SECOND;
        for (source, is_old) in [(Y2000 - 1, true), (Y2000, false)] {
            let stamp = TagTimes::new(TimeFrom::Source).stamp(&reading(Some(source), None, 1.0), Timestamp(NOW), NOW).unwrap();
            let expected = if is_old { (NOW, Quality::UNCERTAIN) } else { (source, Quality::GOOD) };
            assert_eq!((stamp.at, stamp.quality), expected);
            let old = is_old.then_some(Oddity::Old { source });
            assert_eq!(stamp.oddity, old);
            assert_eq!(oddity(&reading(Some(source), None, 1.0), TimeFrom::Source), old);
            assert_eq!(oddity(&reading(Some(source), None, 1.0), TimeFrom::Server), None);
            let bad = DataValueSample { quality: Quality::BAD_NO_DATA, ..reading(Some(source), None, 1.0) };
            assert_eq!(oddity(&bad, TimeFrom::Source), None, "a Bad value is no sign of a clock");
            // The server's time counts by the same rule.
            let stamp = TagTimes::new(TimeFrom::Server).stamp(&reading(None, Some(source), 1.0), Timestamp(NOW), NOW).unwrap();
            assert_eq!(stamp.at, if is_old { NOW } else { source });
        }
        assert_eq!(oddity(&reading(None, Some(5), 1.0), TimeFrom::Source), None);
    }

    #[test]
    fn a_source_time_is_late_beyond_a_minute_and_lost_beyond_a_year() {
        const YEAR: i64 = 365 * 86_400 * SECOND;
        let after = |back: i64| {
            let mut times = TagTimes::new(TimeFrom::Source);
            let mut stamp = None;
            // Of changes in a row, the third is told.
            for (step, source) in [NOW, NOW - back, NOW - back + 1, NOW - back + 2].into_iter().enumerate() {
                stamp = times.stamp(&reading(Some(source), None, step as f64), Timestamp(NOW), NOW);
            }
            let stamp = stamp.unwrap();
            (stamp.at, stamp.quality, stamp.oddity, times.is_plausible())
        };
        let kept = |back: i64| NOW - back + 2;
        let late = |back: i64| Some(Oddity::Late { source: kept(back), newest: NOW });
        assert_eq!(after(60 * SECOND + 2), (kept(60 * SECOND + 2), Quality::GOOD, None, true), "the third is a minute behind");
        assert_eq!(after(60 * SECOND + 3), (kept(60 * SECOND + 3), Quality::GOOD, late(60 * SECOND + 3), false));
        assert_eq!(after(YEAR), (kept(YEAR), Quality::GOOD, late(YEAR), false));
        // Each of them is the latest in time.
        let back = Some(Oddity::Back { source: NOW - YEAR - 1, newest: NOW });
        assert_eq!(after(YEAR + 3), (NOW + 3, Quality::UNCERTAIN, back, false));
    }

    #[test]
    fn a_sample_with_the_servers_time_keeps_its_own_status_where_that_is_not_good() {
        let stamp = |quality: u32| {
            let told = DataValueSample { quality: Quality(quality), ..reading(Some(5), Some(NOW), 1.0) };
            let stamp = TagTimes::new(TimeFrom::Source).stamp(&told, Timestamp(NOW + 1), NOW + 1).unwrap();
            (stamp.at, stamp.quality.0, stamp.oddity.is_some())
        };
        // Info bits stay, a sub-status of Good does not.
        assert_eq!(stamp(0x0096_0480), (NOW, 0x4000_0480, true));
        assert_eq!(stamp(0x4093_0480), (NOW, 0x4093_0480, true));
        assert_eq!(stamp(0x808C_0480), (NOW, 0x808C_0480, false));
    }

    #[test]
    fn a_sample_of_the_far_future_does_not_draw_those_with_the_servers_time_behind_it() {
        const DAY: i64 = 86_400 * SECOND;
        for (ahead, at) in [(DAY, NOW + DAY + 1), (DAY + 1, NOW)] {
            let mut times = TagTimes::new(TimeFrom::Source);
            times.wrote(NOW - 5);
            times.wrote(NOW + ahead);
            times.wrote(NOW - 5);
            assert_eq!(times.newest(), Some(NOW + ahead));
            let stamp = times.stamp(&reading(Some(5), None, 1.0), Timestamp(NOW), NOW).unwrap();
            assert_eq!((stamp.at, times.newest()), (at, Some(at.max(NOW + ahead))));
        }
        // As a source time: until a day ahead it is believed, so that the right one is late behind it.
        for (ahead, oddity) in [(DAY, true), (DAY + 1, false)] {
            let mut times = TagTimes::new(TimeFrom::Source);
            times.stamp(&reading(Some(NOW + ahead), None, 0.0), Timestamp(NOW), NOW);
            let told = (1..=3).filter_map(|step| times.stamp(&reading(Some(NOW + step), None, step as f64), Timestamp(NOW), NOW)?.oddity);
            assert_eq!(told.count(), usize::from(oddity), "{ahead}");
        }
    }

    #[test]
    fn what_an_earlier_run_stored_is_known_by_its_time() {
        const TAKEN: i64 = NOW - 1_000_000;
        // The run before ended with a sample of its own: what is older than a minute by then was stored by it.
        for (source, known) in [(NOW - 60 * SECOND - 1, true), (NOW - 60 * SECOND, false)] {
            let mut times = TagTimes::new(TimeFrom::Source);
            times.resume(NOW, None, Quality::BAD_NO_DATA, false);
            assert_eq!(times.newest(), Some(NOW));
            let mut stamp = |source: i64, value: f64| {
                let stamp = times.stamp(&reading(Some(source), None, value), Timestamp(NOW), NOW).unwrap();
                (stamp.at, stamp.known)
            };
            assert_eq!(stamp(source, 1.0), (source, known));
            // While its time stands still, and no longer.
            assert_eq!(stamp(source, 2.0), (source + 1, known));
            assert_eq!(stamp(NOW - 61 * SECOND, 3.0), (NOW - 61 * SECOND, false));
        }
        // The run before ended with a sample of the device: the times right before it are taken, a million of them.
        for (source, at, next, repeats) in
            [(NOW, NOW + 1, NOW + 2, true), (TAKEN, NOW + 1, NOW + 2, true), (TAKEN - 1, TAKEN - 1, NOW + 1, false)]
        {
            let mut times = TagTimes::new(TimeFrom::Source);
            times.resume(NOW, Some(&Value::F64(4.0)), Quality::GOOD, true);
            assert!(times.is_plausible());
            let same = times.stamp(&reading(Some(source), None, 4.0), Timestamp(NOW), NOW);
            assert_eq!(same.is_none(), repeats, "{source}");
            let mut times = TagTimes::new(TimeFrom::Source);
            times.resume(NOW, Some(&Value::F64(4.0)), Quality::GOOD, true);
            let stamp = times.stamp(&reading(Some(source), None, 5.0), Timestamp(NOW), NOW).unwrap();
            assert_eq!((stamp.at, stamp.known), (at, false));
            // A change of quality alone is a change.
            let worse = DataValueSample { quality: Quality::UNCERTAIN, ..reading(Some(source), None, 5.0) };
            assert_eq!(times.stamp(&worse, Timestamp(NOW), NOW).map(|stamp| stamp.at), Some(next));
            assert_eq!(times.stamp(&worse, Timestamp(NOW), NOW), None);
        }
        let mut times = TagTimes::new(TimeFrom::Server);
        times.resume(NOW, Some(&Value::F64(4.0)), Quality::GOOD, true);
        assert!(!times.is_plausible(), "what the server's clock said is no source time");
    }

    #[test]
    fn odd_times_are_told_with_the_times_themselves() {
        let (source, newest) = (NOW, NOW + SECOND);
        for (oddity, first, second) in [
            (Oddity::Old { source }, "is 2026-01-01T00:00:00", "before 2000"),
            (Oddity::Back { source, newest }, "went back from 2026-01-01T00:00:01", "to 2026-01-01T00:00:00"),
            (Oddity::Late { source, newest }, "went back from 2026-01-01T00:00:01", "stored under it"),
            (Oddity::Still { source }, "stands still at 2026-01-01T00:00:00", "a nanosecond apart"),
        ] {
            let text = oddity.text();
            assert!(text.contains(first) && text.contains(second) && text.contains("timestamps = \"server\""), "{text}");
        }
        for (text, from) in [("source", TimeFrom::Source), ("server", TimeFrom::Server), ("reception", TimeFrom::Reception)] {
            assert_eq!(text.parse(), Ok(from));
        }
        assert!("device".parse::<TimeFrom>().unwrap_err().contains("source, server, reception"));
    }
}
