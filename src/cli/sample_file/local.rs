//! Civil times of a file in a zone. When clocks go back an hour comes twice, and only the order of rows tells which of the two is meant; when
//! they go forward one does not exist. So a file is read twice: the first time its rows are watched, tag by tag, and the second time each row
//! of a repeated hour is known to lie before or behind the point where the times of its tag step back.

use std::{cmp::Ordering, collections::HashMap};

use jiff::{
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

use super::mistake::Mistakes;

/// Makes instants of civil times, row by row.
pub struct LocalTimes {
    zone: TimeZone,
    tags: HashMap<String, Track>,
    /// Where the second of a repeated hour begins; known when the file was read once.
    splits: HashMap<(String, Date), Split>,
    /// Repeated hours whose order tells nothing, with the first row of each.
    refused: Vec<(u64, String)>,
    is_known: bool,
}

#[derive(Clone, Copy)]
struct Split {
    place: u64,
    ascending: bool,
}

/// What is known of the rows of a tag.
#[derive(Default)]
struct Track {
    /// The last time outside repeated hours.
    last: Option<i64>,
    open: Option<Repeated>,
}

/// Rows of a tag in one repeated hour.
struct Repeated {
    first: u64,
    shown: DateTime,
    /// The instant in the earlier of the two hours.
    earlier: i64,
    before: Option<i64>,
    last: DateTime,
    /// Steps that do not go up, and those that do not go down, with the place of the first.
    not_up: Option<(u64, u64)>,
    not_down: Option<(u64, u64)>,
}

impl LocalTimes {
    pub fn new(zone: TimeZone) -> LocalTimes {
        LocalTimes { zone, tags: HashMap::new(), splits: HashMap::new(), refused: Vec::new(), is_known: false }
    }

    /// The instant of a civil time in a row of a tag. In the first pass that of a repeated hour is preliminary.
    ///
    /// # Errors
    /// A time that the zone skips, or that is outside the range of i64 nanoseconds.
    pub fn instant(&mut self, tag: &str, place: u64, civil: DateTime) -> Result<i64, String> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        let (earlier, later) = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => {
                let at = nanoseconds(ambiguous.compatible())?;
                if !self.is_known {
                    self.watch(tag, at);
                }
                return Ok(at);
            }
            AmbiguousOffset::Gap { .. } => {
                return Err(format!("{civil} does not exist in this zone: the clocks went forward over it; is --zone right?"));
            }
            AmbiguousOffset::Fold { .. } => (nanoseconds(ambiguous.earlier())?, nanoseconds(ambiguous.later())?),
        };
        if self.is_known {
            let split = self.splits.get(&(tag.to_owned(), civil.date()));
            return Ok(match split {
                Some(split) if (place < split.place) == split.ascending => earlier,
                _ => later,
            });
        }
        self.watch_repeated(tag, place, civil, earlier);
        Ok(earlier)
    }

    /// Ends the first pass: from now on every row has its instant.
    pub fn know(&mut self, mistakes: &mut Mistakes) {
        let tags: Vec<String> = self.tags.keys().cloned().collect();
        for tag in &tags {
            self.close(tag, None);
        }
        self.tags = HashMap::new();
        for (place, reason) in self.refused.drain(..) {
            mistakes.at(place, "timestamp", &reason);
        }
        self.is_known = true;
    }

    /// A row at a time that is not repeated: what was open ends with it.
    fn watch(&mut self, tag: &str, at: i64) {
        self.close(tag, Some(at));
        match self.tags.get_mut(tag) {
            Some(track) => track.last = Some(at),
            None => _ = self.tags.insert(tag.to_owned(), Track { last: Some(at), open: None }),
        }
    }

    fn watch_repeated(&mut self, tag: &str, place: u64, civil: DateTime, earlier: i64) {
        let is_other = |open: &Repeated| open.last.date() != civil.date();
        if self.tags.get(tag).and_then(|track| track.open.as_ref()).is_some_and(is_other) {
            self.close(tag, Some(earlier));
        }
        let track = self.tags.entry(tag.to_owned()).or_default();
        let Some(open) = &mut track.open else {
            let before = track.last;
            track.open = Some(Repeated { first: place, shown: civil, earlier, before, last: civil, not_up: None, not_down: None });
            return;
        };
        let add = |steps: &mut Option<(u64, u64)>| *steps = Some(steps.map_or((1, place), |(count, first)| (count + 1, first)));
        let step = civil.cmp(&open.last);
        if step != Ordering::Greater {
            add(&mut open.not_up);
        }
        if step != Ordering::Less {
            add(&mut open.not_down);
        }
        open.last = civil;
    }

    /// Finds where the second hour of what is open begins: at the one step against the order of the other rows.
    fn close(&mut self, tag: &str, after: Option<i64>) {
        let Some(open) = self.tags.get_mut(tag).and_then(|track| track.open.take()) else { return };
        let only = |steps: Option<(u64, u64)>| steps.and_then(|(count, place)| (count == 1).then_some(place));
        let up = open.before.map(|before| before < open.earlier).or(after.map(|after| after > open.earlier));
        let split = match (only(open.not_up), only(open.not_down), up) {
            // Where nothing around it tells the order: most files are written upwards.
            (Some(place), _, Some(true) | None) => Some(Split { place, ascending: true }),
            (_, Some(place), Some(false)) | (None, Some(place), None) => Some(Split { place, ascending: false }),
            _ => None,
        };
        let key = (tag.to_owned(), open.last.date());
        match split {
            // Once more in the same file, with other times between: that is no order.
            Some(split) if !self.splits.contains_key(&key) => _ = self.splits.insert(key, split),
            _ => {
                let reason = format!(
                    "{} occurs twice in this zone, and the order of the rows does not decide which is meant; write it with its offset",
                    open.shown
                );
                self.refused.push((open.first, reason));
            }
        }
    }
}

fn nanoseconds(time: Result<jiff::Timestamp, jiff::Error>) -> Result<i64, String> {
    let time = time.ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    time.ok_or_else(|| "is outside the years 1678 to 2262".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::mistake::Mistake, *};
    use historian_model::Timestamp;

    /// Instants of rows (line = index) in Berlin, after both passes; or the mistakes.
    fn read(rows: &[(&str, &str)]) -> Result<Vec<String>, Vec<Mistake>> {
        let mut times = LocalTimes::new(TimeZone::get("Europe/Berlin").unwrap());
        let mut mistakes = Mistakes::default();
        let pass = |times: &mut LocalTimes, mistakes: &mut Mistakes| -> Vec<String> {
            let rows = rows.iter().zip(0..).filter_map(|((tag, civil), place)| match times.instant(tag, place, civil.parse().unwrap()) {
                Ok(at) => Some(Timestamp(at).to_string()),
                Err(reason) => {
                    mistakes.at(place, "timestamp", &reason);
                    None
                }
            });
            rows.collect()
        };
        pass(&mut times, &mut mistakes);
        times.know(&mut mistakes);
        let read = pass(&mut times, &mut Mistakes::default());
        if mistakes.count() == 0 { Ok(read) } else { Err(mistakes.list().to_vec()) }
    }

    fn hour(times: &[&str]) -> Vec<String> {
        times.iter().map(|time| format!("2026-10-25T{time}")).collect()
    }

    /// The clocks of Berlin went from 03:00 to 02:00 on 2026-10-25, at 01:00 UTC.
    #[test]
    fn the_order_of_rows_tells_a_repeated_hour_apart() {
        let civil = hour(&["01:45", "02:00", "02:15", "02:30", "02:45", "02:00", "02:15", "02:30", "02:45", "03:00", "03:15"]);
        let expected: Vec<String> =
            ["2026-10-24T23:45", "2026-10-25T00:00", "2026-10-25T00:15", "2026-10-25T00:30", "2026-10-25T00:45", "2026-10-25T01:00"]
                .into_iter()
                .chain(["2026-10-25T01:15", "2026-10-25T01:30", "2026-10-25T01:45", "2026-10-25T02:00", "2026-10-25T02:15"])
                .map(|time| format!("{time}:00Z"))
                .collect();
        let up: Vec<(&str, &str)> = civil.iter().map(|civil| ("a", civil.as_str())).collect();
        assert_eq!(read(&up).unwrap(), expected);
        let down: Vec<(&str, &str)> = up.iter().rev().copied().collect();
        assert_eq!(read(&down).unwrap(), expected.iter().rev().cloned().collect::<Vec<_>>());
        // Each tag has its own order.
        let both: Vec<(&str, &str)> = up.iter().flat_map(|(_, civil)| [("a", *civil), ("b", *civil)]).collect();
        assert_eq!(read(&both).unwrap(), expected.iter().flat_map(|time| [time.clone(), time.clone()]).collect::<Vec<_>>());
        // One sample an hour.
        let rows = [("a", "2026-10-25T01:00"), ("a", "2026-10-25T02:00"), ("a", "2026-10-25T02:00"), ("a", "2026-10-25T03:00")];
        let expected = ["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"];
        assert_eq!(read(&rows).unwrap(), expected);
    }

    #[test]
    fn what_the_order_does_not_tell_and_what_does_not_exist_is_refused_with_its_line() {
        let refused = |rows: &[&str]| {
            let rows: Vec<(&str, &str)> = rows.iter().map(|civil| ("a", *civil)).collect();
            read(&rows).unwrap_err()
        };
        let once = refused(&["2026-10-25T01:45", "2026-10-25T02:15", "2026-10-25T02:45", "2026-10-25T03:00"]);
        assert!(once.len() == 1 && once[0].place == 1 && once[0].told.contains("2026-10-25T02:15:00 occurs twice"), "{once:?}");
        let thrice = refused(&["2026-10-25T02:15", "2026-10-25T02:15", "2026-10-25T02:15"]);
        assert_eq!(thrice.len(), 1);
        let never = refused(&["2026-03-29T01:45", "2026-03-29T02:15", "2026-03-29T03:00"]);
        assert!(never.len() == 1 && never[0].place == 1 && never[0].told.contains("2026-03-29T02:15:00 does not exist"), "{never:?}");
    }
}
