//! A slow reference, written from the definitions: the whole history at hand, the interval cut at every sample, no sums kept.
#![expect(clippy::float_cmp, reason = "equal extremes are equal")]

use crate::aggregate::{AggregateConfiguration, AggregateFunction, Interval};

/// Severity by quality and presence: 0 Good, 1 Uncertain, 2 Bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub t: i64,
    pub v: Option<f64>,
    pub q: u32,
}

const NO_DATA: u32 = 0x809B_0000;
const SUB: u32 = 0x40A4_0000;
const BAD: u32 = 0x8000_0000;
const C: u32 = 1;
const I: u32 = 2;
const P: u32 = 4;
const M: u32 = 16;

impl Point {
    fn severity(&self) -> u32 {
        if self.v.is_none() { 2 } else { (self.q >> 30).min(2) }
    }
    fn value(&self) -> f64 {
        self.v.unwrap_or(0.0)
    }
}

/// A bound: value, severity, quality, whether it is a sample.
type Bound = (f64, u32, u32, bool);

/// A stretch of the interval without a sample inside: what holds at its ends.
struct Stretch {
    length: i64,
    from: Bound,
    to: Option<Bound>,
}

pub struct Reference<'a> {
    pub all: &'a [Point],
    pub interval: Interval,
    pub c: AggregateConfiguration,
}

fn bits(quality: u32, bits: u32) -> u32 {
    if bits == 0 { quality } else { quality | 0x400 | bits }
}

impl Reference<'_> {
    fn hard(&self) -> bool {
        self.c.treat_uncertain_as_bad && !self.c.use_uncertain_values
    }
    fn usable(&self, severity: u32) -> bool {
        severity == 0 || severity == 1 && !self.hard()
    }
    fn taken(&self, severity: u32) -> bool {
        severity == 0 || severity == 1 && self.c.use_uncertain_values
    }
    fn members(&self) -> Vec<Point> {
        let Interval { early, late, reverse, .. } = self.interval;
        let inside = |p: &&Point| if reverse { p.t > early && p.t <= late } else { p.t >= early && p.t < late };
        self.all.iter().filter(inside).copied().collect()
    }
    fn sample_at(&self, t: i64) -> Option<Point> {
        self.all.iter().find(|p| p.t == t).copied()
    }

    fn simple(&self, t: i64) -> Bound {
        if let Some(p) = self.sample_at(t) {
            return (p.value(), p.severity(), p.q, true);
        }
        let none = (0.0, 2, NO_DATA, false);
        let Some(before) = self.all.iter().rfind(|p| p.t < t) else { return none };
        let Some(after) = self.all.iter().find(|p| p.t > t) else { return none };
        let hold = |certain: bool| (before.value(), u32::from(!certain), if certain { 0 } else { SUB }, false);
        if self.c.stepped {
            return if before.severity() == 2 { none } else { hold(before.severity() == 0) };
        }
        match (self.usable(before.severity()), self.usable(after.severity())) {
            (false, _) => none,
            (true, false) => hold(false),
            (true, true) => {
                let share = (t - before.t) as f64 / (after.t - before.t) as f64;
                let certain = before.severity() == 0 && after.severity() == 0;
                (before.value() + (after.value() - before.value()) * share, u32::from(!certain), if certain { 0 } else { SUB }, false)
            }
        }
    }

    fn interpolated(&self, t: i64, stepped: bool) -> Bound {
        if let Some(p) = self.sample_at(t).filter(|p| self.usable(p.severity())) {
            return (p.value(), p.severity(), p.q, true);
        }
        let usable: Vec<Point> = self.all.iter().filter(|p| self.usable(p.severity())).copied().collect();
        let made = |value: f64, certain: bool| (value, u32::from(!certain), if certain { 0 } else { SUB }, false);
        let Some(before) = usable.iter().rfind(|p| p.t < t) else { return (0.0, 2, NO_DATA, false) };
        let others_between = |from: i64, to: i64| self.all.iter().any(|p| p.t > from && p.t < to && !self.usable(p.severity()));
        if stepped {
            let beyond = self.all.iter().all(|p| p.t <= t);
            // A sample on the edge itself is skipped, too.
            return made(before.value(), before.severity() == 0 && !others_between(before.t, t.saturating_add(1)) && !beyond);
        }
        if let Some(after) = usable.iter().find(|p| p.t > t) {
            let share = (t - before.t) as f64 / (after.t - before.t) as f64;
            let certain = before.severity() == 0 && after.severity() == 0 && !others_between(before.t, after.t);
            return made(before.value() + (after.value() - before.value()) * share, certain);
        }
        let earlier = usable.iter().rfind(|p| p.t < before.t);
        match earlier {
            Some(earlier) if self.c.use_sloped_extrapolation => {
                let slope = (before.value() - earlier.value()) / (before.t - earlier.t) as f64;
                made(before.value() + slope * (t - before.t) as f64, false)
            }
            _ => made(before.value(), false),
        }
    }

    fn stretches(&self) -> Vec<Stretch> {
        let Interval { early, late, .. } = self.interval;
        let mut times = vec![early];
        times.extend(self.all.iter().map(|p| p.t).filter(|t| *t > early && *t < late));
        times.push(late);
        let last = self.all.last().unwrap().t;
        times
            .windows(2)
            .map(|pair| {
                let beyond = pair[0] >= last;
                let length = if beyond { (pair[1] - pair[0]).min(1_000_000) } else { pair[1] - pair[0] };
                Stretch { length, from: self.simple(pair[0]), to: (!beyond).then(|| self.simple(pair[1])) }
            })
            .collect()
    }

    fn time(&self, holds: impl Fn(&Stretch) -> bool) -> i64 {
        self.stretches().iter().filter(|stretch| holds(stretch)).map(|stretch| stretch.length).sum()
    }

    fn good_stretch(&self, stretch: &Stretch, stepped: bool) -> bool {
        let begins = self.usable(stretch.from.1);
        begins && (stepped || !self.hard() || stretch.to.is_some_and(|to| self.usable(to.1)))
    }

    fn by_share(&self, good: f64, bad: f64, total: f64) -> u32 {
        if total == 0.0 || good / total * 100.0 >= f64::from(self.c.percent_data_good) {
            0
        } else if bad / total * 100.0 >= f64::from(self.c.percent_data_bad) {
            BAD
        } else {
            SUB
        }
    }

    fn status_by_time(&self, stepped: bool) -> u32 {
        let total = self.time(|_| true);
        let good = self.time(|stretch| self.good_stretch(stretch, stepped));
        let bad = self.time(|stretch| if self.hard() { !self.good_stretch(stretch, stepped) } else { stretch.from.1 == 2 });
        self.by_share(good as f64, bad as f64, total as f64)
    }

    fn status_by_count(&self) -> u32 {
        let members = self.members();
        let count = |severity: u32| members.iter().filter(|p| p.severity() == severity).count() as f64;
        self.by_share(count(0), count(2) + if self.hard() { count(1) } else { 0.0 }, members.len() as f64)
    }

    /// Timestamp, value, quality.
    pub fn answer(&self, function: AggregateFunction) -> (i64, Option<f64>, u32) {
        let start = self.interval.start();
        let Interval { early, late, reverse, cut } = self.interval;
        let (first, last) = (self.all.first().map(|p| p.t), self.all.last().map(|p| p.t));
        if function == AggregateFunction::Interpolative {
            let (v, severity, q, raw) = self.interpolated(start, self.c.stepped);
            return (start, (severity < 2).then_some(v), bits(q, if raw || severity == 2 { 0 } else { I }));
        }
        let outside = match (first, last) {
            (Some(first), Some(last)) if reverse => first > late || last <= early,
            (Some(first), Some(last)) => first >= late || last < early,
            _ => true,
        };
        if outside {
            return (start, None, NO_DATA);
        }
        let (t, v, q) = self.inside(function).unwrap_or((start, None, NO_DATA));
        let partial = function != AggregateFunction::Average && (cut || first.unwrap() > early || last.unwrap() < late);
        (t, v.filter(|_| q >> 30 < 2), bits(q, if partial { P } else { 0 }))
    }

    fn inside(&self, function: AggregateFunction) -> Option<(i64, Option<f64>, u32)> {
        use AggregateFunction as F;
        let start = self.interval.start();
        let Interval { early, late, reverse, .. } = self.interval;
        let members = self.members();
        let taken: Vec<Point> = members.iter().filter(|p| self.taken(p.severity())).copied().collect();
        let numbers: Vec<f64> = taken.iter().map(Point::value).collect();
        let some = |v: f64, q: u32| Some((start, Some(v), q));
        let counted = |v: f64| {
            let status = self.status_by_count();
            some(v, if status == BAD { BAD } else { bits(status, C) })
        };
        let skipped = |p: &Point| p.severity() == 2 || p.severity() == 1 && self.c.treat_uncertain_as_bad && !self.c.use_uncertain_values;
        let left_out = members.iter().any(skipped) || self.c.use_uncertain_values && members.iter().any(|p| p.severity() == 1);
        let left_out = if left_out { SUB } else { 0 };
        let only_good = if members.iter().all(|p| p.severity() == 0) { 0 } else { SUB };
        match function {
            F::Interpolative => unreachable!(),
            F::Average => {
                if numbers.is_empty() {
                    None
                } else {
                    counted(numbers.iter().sum::<f64>() / numbers.len() as f64)
                }
            }
            F::Count => counted(numbers.len() as f64),
            F::AnnotationCount => some(members.len() as f64, bits(0, C)),
            F::NumberOfTransitions => {
                let usable: Vec<Point> = members.iter().filter(|p| self.usable(p.severity())).copied().collect();
                let begin = members.first().map_or(late, |p| p.t);
                let before = self.all.iter().rfind(|p| p.t < begin && self.usable(p.severity()));
                let mut value = before.map(Point::value);
                let mut count = 0;
                for p in usable {
                    count += u32::from(value.map(f64::to_bits) != Some(p.value().to_bits()));
                    value = Some(p.value());
                }
                counted(f64::from(count))
            }
            F::Minimum | F::Maximum | F::MinimumActualTime | F::MaximumActualTime => {
                let least = matches!(function, F::Minimum | F::MinimumActualTime);
                let actual = matches!(function, F::MinimumActualTime | F::MaximumActualTime);
                let best = numbers.iter().copied().reduce(if least { f64::min } else { f64::max })?;
                let at: Vec<&Point> = taken.iter().filter(|p| p.value() == best).collect();
                let calculated = if !actual && at[0].t != start { C } else { 0 };
                let multiple = if at.len() > 1 { M } else { 0 };
                Some((if actual { at[0].t } else { start }, Some(best), bits(left_out, calculated | multiple)))
            }
            F::Range => {
                let least = numbers.iter().copied().reduce(f64::min)?;
                some(numbers.iter().copied().reduce(f64::max)? - least, bits(left_out, C))
            }
            F::Minimum2 | F::Maximum2 | F::MinimumActualTime2 | F::MaximumActualTime2 | F::Range2 => {
                let mut candidates: Vec<(i64, Bound)> = vec![(early, self.simple(early))];
                candidates
                    .extend(self.all.iter().filter(|p| p.t > early && p.t < late).map(|p| (p.t, (p.value(), p.severity(), p.q, true))));
                let end = self.simple(late);
                if !self.c.stepped || reverse && end.3 {
                    candidates.push((late, end));
                }
                candidates.retain(|(_, bound)| self.usable(bound.1));
                let values = || candidates.iter().map(|(_, bound)| bound.0);
                let (least, most) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
                let status = self.status_by_time(self.c.stepped);
                let clear = |b: u32| if status == BAD { BAD } else { bits(status, b) };
                if function == F::Range2 {
                    return some(most - least, clear(C));
                }
                let best = if matches!(function, F::Minimum2 | F::MinimumActualTime2) { least } else { most };
                let at: Vec<_> = candidates.iter().filter(|(_, bound)| bound.0 == best).collect();
                let (mut t, (_, _, _, raw)) = *at[0];
                let mut b = if raw { 0 } else { I } | if at.len() > 1 { M } else { 0 };
                if matches!(function, F::Minimum2 | F::Maximum2) {
                    b |= if raw && t != start { C } else { 0 };
                    return some(best, clear(b));
                }
                if !reverse && t == late {
                    t = (t - 1_000_000).max(early);
                    b |= I;
                } else if reverse && t == early {
                    t = (t + 1_000_000).min(late);
                    b |= I;
                }
                Some((t, Some(best), clear(b)))
            }
            F::Start => members.first().map(|p| (p.t, p.v, p.q)),
            F::End => members.last().map(|p| (p.t, p.v, p.q)),
            F::Delta => {
                let status = if members.first()?.severity() == 0 && members.last()?.severity() == 0 { 0 } else { SUB };
                some(numbers.last()? - numbers.first()?, bits(status, C))
            }
            F::StartBound | F::EndBound => {
                let begins = function == F::StartBound;
                let (v, severity, q, raw) = self.simple(if begins == reverse { late } else { early });
                if !self.usable(severity) {
                    return None;
                }
                some(v, if begins { bits(q, if raw { 0 } else { I }) } else { bits(q & 0xFFFF_0000, C) })
            }
            F::DeltaBounds => {
                let (a, b) = (self.simple(early), self.simple(late));
                let good = a.1 == 0 && b.1 == 0;
                if !self.usable(a.1) || !self.usable(b.1) { None } else { some(b.0 - a.0, bits(if good { 0 } else { SUB }, C)) }
            }
            F::DurationGood | F::PercentGood | F::DurationBad | F::PercentBad => {
                let good = self.time(|stretch| stretch.from.1 == 0);
                let bad = self.time(|stretch| stretch.from.1 == 2 || stretch.from.1 == 1 && stretch.from.3 && self.hard());
                let time = if matches!(function, F::DurationGood | F::PercentGood) { good } else { bad } as f64;
                let percent = matches!(function, F::PercentGood | F::PercentBad);
                some(if percent { 100.0 * time / self.time(|_| true) as f64 } else { time / 1e6 }, bits(0, C))
            }
            F::DurationInStateZero | F::DurationInStateNonZero => {
                let zero = function == F::DurationInStateZero;
                let time = self.time(|stretch| self.taken(stretch.from.1) && (stretch.from.0 == 0.0) == zero);
                some(time as f64 / 1e6, bits(self.status_by_time(true), C))
            }
            F::WorstQuality | F::WorstQuality2 => {
                let mut codes: Vec<u32> = members.iter().map(|p| p.q).collect();
                if function == F::WorstQuality2 {
                    codes = vec![self.simple(early).2];
                    codes.extend(self.all.iter().filter(|p| p.t > early && p.t < late).map(|p| p.q));
                    codes.push(self.simple(late).2);
                }
                let severity = |q: u32| (q >> 30).min(2);
                let worst = codes.iter().map(|q| severity(*q)).max()?;
                let of_worst: Vec<u32> = codes.into_iter().filter(|q| severity(*q) == worst).collect();
                let code = if worst == 0 { 0 } else { of_worst[0] & 0xFFFF_0000 };
                some(f64::from(code), bits(0, C | if worst > 0 && of_worst.len() > 1 { M } else { 0 }))
            }
            F::StandardDeviationSample | F::VarianceSample | F::StandardDeviationPopulation | F::VariancePopulation => {
                let n = numbers.len() as f64;
                let mean = numbers.iter().sum::<f64>() / n;
                let squares: f64 = numbers.iter().map(|v| (v - mean) * (v - mean)).sum();
                let sample = matches!(function, F::StandardDeviationSample | F::VarianceSample);
                let variance = if numbers.is_empty() {
                    return None;
                } else if numbers.len() == 1 {
                    0.0
                } else {
                    squares / if sample { n - 1.0 } else { n }
                };
                let deviation = matches!(function, F::StandardDeviationSample | F::StandardDeviationPopulation);
                some(if deviation { variance.sqrt() } else { variance }, bits(only_good, C))
            }
            F::TimeAverage | F::Total => {
                let stepped = self.c.stepped && function == F::Total;
                let mut points: Vec<(i64, f64)> = Vec::new();
                let (from, to) = (self.interpolated(early, stepped), self.interpolated(late, stepped));
                points.extend((from.1 < 2).then_some((early, from.0)));
                points.extend(self.all.iter().filter(|p| p.t > early && p.t < late && self.usable(p.severity())).map(|p| (p.t, p.value())));
                points.extend((to.1 < 2).then_some((late, to.0)));
                if points.len() < 2 {
                    return None;
                }
                let area: f64 = points
                    .windows(2)
                    .map(
                        |pair| if stepped { pair[0].1 } else { f64::midpoint(pair[0].1, pair[1].1) } * (pair[1].0 - pair[0].0) as f64 / 1e9,
                    )
                    .sum();
                let span = (points.last()?.0 - points[0].0) as f64 / 1e9;
                let known = self.all.iter().any(|p| if reverse { p.t > late } else { p.t >= late });
                let ends = if stepped { known } else { to.1 == 0 };
                let status = if from.1 == 0 && ends && only_good == 0 { 0 } else { SUB };
                some(if function == F::TimeAverage { area / span } else { area }, bits(status, C))
            }
            F::TimeAverage2 | F::Total2 => {
                let stretches = self.stretches();
                if stretches.iter().all(|stretch| stretch.from.1 == 2) {
                    return None;
                }
                let (mut area, mut span) = (0.0, 0.0);
                for stretch in stretches.iter().filter(|stretch| self.usable(stretch.from.1)) {
                    let to = stretch.to.filter(|to| !self.c.stepped && self.usable(to.1)).map_or(stretch.from.0, |to| to.0);
                    area += f64::midpoint(stretch.from.0, to) * stretch.length as f64 / 1e9;
                    span += stretch.length as f64 / 1e9;
                }
                let good = self.time(|stretch| self.good_stretch(stretch, self.c.stepped));
                let status = match self.by_share(good as f64, 0.0, self.time(|_| true) as f64) {
                    _ if span == 0.0 => BAD,
                    0 => 0,
                    _ if good == 0 => BAD,
                    _ => SUB,
                };
                some(if function == F::TimeAverage2 { area / span } else { area }, bits(status, C))
            }
        }
    }
}
