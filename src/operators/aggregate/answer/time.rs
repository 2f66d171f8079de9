//! Functions that weigh by time.

use super::{AggregateDraft, IntervalContext};
use crate::aggregate::members::{Integrals, Regions};
use crate::aggregate::sample::Class;
use crate::aggregate::status::{BAD, CALCULATED, GOOD, SUB_NORMAL};

/// How long the last sample of all stands: nobody knows whether it still holds after that.
const LAST_SAMPLE_NS: i64 = 1_000_000;

impl IntervalContext<'_> {
    /// The regions of the interval between its simple bounding values. After the last sample of all there is none but a moment of it.
    pub(super) fn regions(&self) -> Regions {
        let configuration = self.configuration;
        let (early, late) = (self.simple_bound_early(), self.simple_bound_late());
        let mut regions = Regions::default();
        let mut from = early;
        if let Some(members) = self.members {
            regions = members.regions;
            let first = members.first.point();
            regions.add(&early, Some(&first), first.timestamp.saturating_sub(early.timestamp), configuration);
            from = members.last.point();
        }
        let rest = late.timestamp.saturating_sub(from.timestamp);
        if self.after.first.is_some() {
            regions.add(&from, Some(&late), rest, configuration);
        } else {
            regions.add(&from, None, rest.min(LAST_SAMPLE_NS), configuration);
        }
        regions
    }

    /// Time that makes an answer Good: where lines are drawn, both ends of a region count.
    pub(super) fn good_time(&self, regions: &Regions, stepped: bool) -> i64 {
        if !stepped && self.configuration.uncertain_is_bad() { regions.firm } else { regions.usable }
    }

    /// 5.4.3.2, by time.
    pub(super) fn time_status(&self, regions: &Regions, stepped: bool) -> u32 {
        let good = self.good_time(regions, stepped);
        let bad = if self.configuration.uncertain_is_bad() { regions.total - good } else { regions.dead };
        self.status(good as f64, bad as f64, regions.total as f64)
    }

    /// 5.4.3.2. Good is asked first, as in the vectors.
    pub(super) fn status(&self, good: f64, bad: f64, total: f64) -> u32 {
        if total == 0.0 || good / total * 100.0 >= f64::from(self.configuration.percent_data_good) {
            GOOD
        } else if bad / total * 100.0 >= f64::from(self.configuration.percent_data_bad) {
            BAD
        } else {
            SUB_NORMAL
        }
    }

    /// `TimeAverage2` and Total2 (5.4.3.7, 5.4.3.9).
    pub(super) fn time_weighted(&self, mean: bool) -> Option<AggregateDraft> {
        let stepped = self.configuration.stepped;
        let regions = self.regions();
        if regions.dead == regions.total {
            return None;
        }
        let good = self.good_time(&regions, stepped);
        // In the vectors these two are Bad only where nothing at all is Good, also where `percent_data_bad` is 50 and 60 % are Bad.
        let status = match self.status(good as f64, 0.0, regions.total as f64) {
            _ if regions.usable == 0 => BAD,
            GOOD => GOOD,
            _ if good == 0 => BAD,
            _ => SUB_NORMAL,
        };
        let area = if stepped { regions.area.stepped } else { regions.area.sloped };
        let value = if mean { area / (regions.usable as f64 * 1e-9) } else { area };
        Some(self.at_start(value, status, CALCULATED))
    }

    /// `TimeAverage` and Total (5.4.3.6, 5.4.3.8). The vectors draw `TimeAverage` in straight lines also where the tag is stepped.
    pub(super) fn joined(&self, stepped: bool, mean: bool) -> Option<AggregateDraft> {
        let early = self.interpolated_bound(self.interval.early, stepped);
        let late = self.interpolated_bound(self.interval.late, stepped);
        let mut certain = early.class == Class::Good;
        let mut from = (early.class != Class::Bad).then_some((early.timestamp, early.number));
        let mut area = Integrals::default();
        let begin;
        if let Some(members) = self.members {
            certain &= members.good == members.count();
            if let (Some(first), Some(last)) = (members.first_usable, members.last_usable) {
                area = members.joined;
                if let Some((timestamp, number)) = from {
                    area.add(number, first.number, seconds(timestamp, first.timestamp));
                }
                begin = from.map_or(first.timestamp, |(timestamp, _)| timestamp);
                from = Some((last.timestamp, last.number));
            } else {
                begin = early.timestamp;
            }
        } else {
            begin = early.timestamp;
        }
        let (timestamp, number) = from?;
        area.add(number, late.number, seconds(timestamp, late.timestamp));
        // A step ends where it ends: the value after it matters only where none is known.
        certain &= if stepped { self.after.first.is_some() } else { late.class == Class::Good };
        let area = if stepped { area.stepped } else { area.sloped };
        let value = if mean { area / seconds(begin, late.timestamp) } else { area };
        (begin < late.timestamp).then(|| self.at_start(value, if certain { GOOD } else { SUB_NORMAL }, CALCULATED))
    }

    /// 5.4.3.22 and 5.4.3.23: held values, in ms.
    pub(super) fn duration_in_state(&self, which: fn(&Regions) -> f64) -> AggregateDraft {
        let regions = self.regions();
        self.at_start(which(&regions) * 1e-6, self.time_status(&regions, true), CALCULATED)
    }

    /// 5.4.3.31 to 5.4.3.34.
    pub(super) fn duration(&self, which: fn(&Regions) -> i64, percent: bool) -> AggregateDraft {
        let regions = self.regions();
        let time = which(&regions) as f64;
        self.at_start(if percent { time / regions.total as f64 * 100.0 } else { time * 1e-6 }, GOOD, CALCULATED)
    }
}

fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 * 1e-9
}
