//! What the samples of one interval come to: everything that any function needs of them, gathered in one pass in the order of time.
//!
//! The sums depend on the order of the samples alone, not on how they were cut into chunks.

use historian_format::rollup::RollupState;
use historian_format::{Samples, ValueType, Values};

use super::configuration::AggregateConfiguration;
use super::sample::{AggregateSample, Class, Point};
use super::status::code;

/// The samples of one interval, one or more.
#[derive(Clone, Debug)]
pub(super) struct Members {
    pub good: u64,
    pub uncertain: u64,
    pub bad: u64,
    pub first: AggregateSample,
    pub last: AggregateSample,
    /// Of the samples that take part in Average, Minimum and the like.
    pub taken: MemberTotals,
    /// Of the usable samples.
    pub first_usable: Option<AggregateSample>,
    pub last_usable: Option<AggregateSample>,
    pub before_last_usable: Option<AggregateSample>,
    pub usable_extremes: Option<Extremes>,
    pub transitions: u64,
    pub worst: Worst,
    /// Between neighbouring samples, whatever their quality.
    pub regions: Regions,
    /// Between neighbouring usable samples, those between them left out.
    pub joined: Integrals,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MemberTotals {
    pub count: u64,
    pub sum: f64,
    pub sum_low: f64,
    pub mean: f64,
    pub m2: f64,
    pub first: f64,
    pub last: f64,
    pub extremes: Option<Extremes>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Extremes {
    pub minimum: IntervalExtreme,
    pub maximum: IntervalExtreme,
}

/// An extreme, at its first occurrence.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntervalExtreme {
    pub number: f64,
    pub bits: u64,
    pub timestamp: i64,
    pub repeated: bool,
}

/// The worst quality: the first code of the worst severity, and whether that severity occurs again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worst {
    pub code: u32,
    pub class: Class,
    pub repeated: bool,
}

impl Worst {
    pub(super) fn of(quality: u32) -> Self {
        let class = Class::of_quality(quality);
        Self { code: if class == Class::Good { 0 } else { code(quality) }, class, repeated: false }
    }

    pub(super) fn add(&mut self, next: Self) {
        if next.class > self.class {
            *self = next;
        } else if next.class == self.class {
            self.repeated = self.class != Class::Good;
        }
    }
}

/// Integrals over time, in units × seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Integrals {
    pub sloped: f64,
    pub stepped: f64,
}

impl Integrals {
    pub(super) fn add(&mut self, from: f64, to: f64, seconds: f64) {
        self.sloped += (from + to) * 0.5 * seconds;
        self.stepped += from * seconds;
    }
}

/// Time between points, sorted by what holds in it; in ns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Regions {
    pub total: i64,
    /// Begins with a Good point.
    pub good: i64,
    /// Begins with a point that `duration_bad` counts.
    pub bad: i64,
    /// Begins with a Bad point.
    pub dead: i64,
    /// Begins with a usable point.
    pub usable: i64,
    /// Begins and ends with a usable point.
    pub firm: i64,
    /// Over usable time.
    pub area: Integrals,
    /// Begins with a taken point that is zero, or is not; a double, since a state knows them as seconds.
    pub zero: f64,
    pub non_zero: f64,
}

impl Regions {
    /// Adds the time from `from` on; `to` is the point at its end, if there is one.
    pub(super) fn add(&mut self, from: &Point, to: Option<&Point>, duration: i64, configuration: AggregateConfiguration) {
        self.total = self.total.saturating_add(duration);
        match from.class {
            Class::Good => self.good += duration,
            // A bound that is Uncertain is neither Good nor Bad: so in the published vectors.
            Class::Uncertain => self.bad += if from.raw && configuration.uncertain_is_bad() { duration } else { 0 },
            Class::Bad => {
                self.bad += duration;
                self.dead += duration;
            }
        }
        if configuration.taken(from.class) {
            *(if from.number == 0.0 { &mut self.zero } else { &mut self.non_zero }) += duration as f64;
        }
        if configuration.usable(from.class) {
            self.usable += duration;
            let to = to.filter(|to| configuration.usable(to.class));
            self.firm += if to.is_some() { duration } else { 0 };
            self.area.add(from.number, to.map_or(from.number, |to| to.number), duration as f64 * 1e-9);
        }
    }
}

impl Members {
    fn begin(first: AggregateSample) -> Self {
        Self {
            good: 0,
            uncertain: 0,
            bad: 0,
            first,
            last: first,
            taken: MemberTotals::default(),
            first_usable: None,
            last_usable: None,
            before_last_usable: None,
            usable_extremes: None,
            transitions: 0,
            worst: Worst::of(first.quality),
            regions: Regions::default(),
            joined: Integrals::default(),
        }
    }

    pub(super) const fn count(&self) -> u64 {
        self.good + self.uncertain + self.bad
    }

    /// Adds the samples in `range` of a run in time order to what came before them.
    pub(super) fn gather(
        members: &mut Option<Self>,
        samples: &Samples,
        range: std::ops::Range<usize>,
        configuration: AggregateConfiguration,
    ) {
        // Once per column, so that nothing is dispatched per sample.
        macro_rules! column {
            ($value:expr) => {
                gather(members, samples, range, configuration, $value)
            };
        }
        match &samples.values {
            Values::F64(values) => column!(|index| (values[index], values[index].to_bits())),
            Values::F32(values) => column!(|index| (f64::from(values[index]), u64::from(values[index].to_bits()))),
            Values::I64(values) => column!(|index| (values[index] as f64, values[index].cast_unsigned())),
            Values::U64(values) => column!(|index| (values[index] as f64, values[index])),
            Values::State(values) => column!(|index| (f64::from(values[index]), u64::from(values[index]))),
            Values::Bool(values) => column!(|index| (f64::from(u8::from(values[index])), u64::from(values[index]))),
            Values::String(_) => column!(|_| (0.0, 0)),
        }
    }

    fn add(&mut self, next: &AggregateSample, first: bool, value_type: ValueType, configuration: AggregateConfiguration) {
        let class = next.class();
        match class {
            Class::Good => self.good += 1,
            Class::Uncertain => self.uncertain += 1,
            Class::Bad => self.bad += 1,
        }
        if !first {
            self.worst.add(Worst::of(next.quality));
            let point = next.point();
            self.regions.add(&self.last.point(), Some(&point), next.timestamp.saturating_sub(self.last.timestamp), configuration);
        }
        self.last = *next;
        if configuration.taken(class) {
            self.taken.add(next, value_type);
        }
        if configuration.usable(class) {
            if let Some(before) = self.last_usable {
                self.transitions += u64::from(before.bits != next.bits);
                self.joined.add(before.number, next.number, next.timestamp.saturating_sub(before.timestamp) as f64 * 1e-9);
            }
            self.first_usable = self.first_usable.or(Some(*next));
            self.before_last_usable = self.last_usable;
            self.last_usable = Some(*next);
            Extremes::add(&mut self.usable_extremes, next, value_type);
        }
    }

    /// What a state tells. All of it only when every sample was counted; `state` knows what else may be asked of it.
    pub(super) fn of_state(state: &RollupState, value_type: ValueType, configuration: AggregateConfiguration) -> Self {
        let number = |bits: u64| historian_format::Scalar { value_type, bits }.as_f64();
        let (first, last) = (AggregateSample::of_edge(&state.first, value_type), AggregateSample::of_edge(&state.last, value_type));
        let other = state.count - state.good_count;
        let total = last.timestamp.wrapping_sub(first.timestamp);
        let extreme = |extreme: Option<(u64, i64)>, repeated: Option<bool>| {
            extreme.map(|(bits, timestamp)| IntervalExtreme { number: number(bits), bits, timestamp, repeated: repeated.unwrap_or(false) })
        };
        let extremes = extreme(state.minimum, state.minimum_repeated)
            .zip(extreme(state.maximum, state.maximum_repeated))
            .map(|(minimum, maximum)| Extremes { minimum, maximum });
        let mut members = Self::begin(first);
        members.last = last;
        members.good = state.good_count;
        (members.bad, members.uncertain) = if configuration.uncertain_is_bad() { (other, 0) } else { (0, other) };
        members.taken = MemberTotals {
            count: state.good_count,
            sum: state.sum,
            sum_low: state.sum_low,
            mean: (state.sum + state.sum_low) / state.good_count as f64,
            m2: state.m2,
            first: state.first_counted().map_or(0.0, number),
            last: state.last_counted().map_or(0.0, number),
            extremes,
        };
        members.worst = Worst::of(state.worst_quality);
        members.transitions = state.transitions;
        members.usable_extremes = extremes;
        members.first_usable = Some(first);
        members.last_usable = Some(last);
        members.joined = Integrals { sloped: state.integral_sloped, stepped: state.integral_stepped };
        let non_zero = match extremes {
            Some(extremes) if extremes.minimum.number > 0.0 || extremes.maximum.number < 0.0 => total as f64,
            // The integral of a bool is the time for which it was true.
            Some(extremes) if value_type == ValueType::Bool && extremes.maximum.number > 0.0 => {
                (state.integral_stepped * 1e9).min(total as f64)
            }
            _ => 0.0,
        };
        let zero = total as f64 - non_zero;
        members.regions = Regions { total, good: total, bad: 0, dead: 0, usable: total, firm: total, area: members.joined, zero, non_zero };
        members
    }
}

fn gather(
    members: &mut Option<Members>,
    samples: &Samples,
    range: std::ops::Range<usize>,
    configuration: AggregateConfiguration,
    value: impl Fn(usize) -> (f64, u64),
) {
    let value_type = samples.value_type();
    for index in range {
        let (number, bits) = value(index);
        let mut next = AggregateSample::of(samples.timestamps[index], number, bits, samples.qualities[index]);
        if !samples.is_valid(index) {
            next = AggregateSample { number: 0.0, bits: 0, present: false, ..next };
        }
        let first = members.is_none();
        members.get_or_insert_with(|| Members::begin(next)).add(&next, first, value_type, configuration);
    }
}

impl MemberTotals {
    fn add(&mut self, next: &AggregateSample, value_type: ValueType) {
        if self.count == 0 {
            self.first = next.number;
        }
        self.last = next.number;
        self.count += 1;
        // Neumaier, as in states.
        let sum = self.sum + next.number;
        let part = sum - self.sum;
        let low = (self.sum - (sum - part)) + (next.number - part);
        self.sum_low += if low.is_nan() { 0.0 } else { low };
        self.sum = sum;
        // Welford: one pass, since samples come in portions.
        let delta = next.number - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (next.number - self.mean);
        Extremes::add(&mut self.extremes, next, value_type);
    }
}

impl Extremes {
    fn add(extremes: &mut Option<Self>, next: &AggregateSample, value_type: ValueType) {
        let new = IntervalExtreme { number: next.number, bits: next.bits, timestamp: next.timestamp, repeated: false };
        let Some(extremes) = extremes else {
            *extremes = Some(Self { minimum: new, maximum: new });
            return;
        };
        match compare(value_type, &new, &extremes.minimum) {
            Some(std::cmp::Ordering::Less) => extremes.minimum = new,
            Some(std::cmp::Ordering::Equal) => extremes.minimum.repeated = true,
            _ => {}
        }
        match compare(value_type, &new, &extremes.maximum) {
            Some(std::cmp::Ordering::Greater) => extremes.maximum = new,
            Some(std::cmp::Ordering::Equal) => extremes.maximum.repeated = true,
            _ => {}
        }
    }
}

/// Integers as such: two of them may have the same nearest f64.
fn compare(value_type: ValueType, a: &IntervalExtreme, b: &IntervalExtreme) -> Option<std::cmp::Ordering> {
    match value_type {
        ValueType::I64 => Some(a.bits.cast_signed().cmp(&b.bits.cast_signed())),
        ValueType::U64 => Some(a.bits.cmp(&b.bits)),
        _ => a.number.partial_cmp(&b.number),
    }
}
