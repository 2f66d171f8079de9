//! How long a tag was in each of its states.

use std::{collections::HashMap, ops::Range};

use historian_format::{Samples, Value};

use super::{
    Coverage, KpiError, STATES_MAX, Scope,
    feed::{CheckedSample, CheckedSamples, Hold, Validity},
};

/// Time of one state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTime {
    /// The state: the number of a digital state, a boolean, a number or a text.
    pub state: Value,
    /// How long it held within the window.
    pub duration_ns: u64,
    /// How often it was entered or held on: periods without an interruption by another state, a Bad sample or the unknown.
    pub periods: u64,
    /// The longest of these periods within the window.
    pub longest_ns: u64,
}

/// Time of all states: `states + other + coverage.bad + coverage.unknown` is the window exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTimes {
    /// The states that were asked, in that order; else those that occurred, ascending.
    pub states: Vec<StateTime>,
    /// States that occurred and were not asked.
    pub other_ns: u64,
    /// Data quality.
    pub coverage: Coverage,
}

/// Adds up time in state.
#[derive(Debug)]
pub struct TimeInState {
    feed: CheckedSamples,
    hold: Hold,
    /// Where a state's time is, by its bits.
    places: HashMap<u64, usize>,
    times: Vec<(u64, StateTotals)>,
    listed: Option<Vec<Value>>,
    other_ns: u64,
    present: CheckedSample,
    /// Length so far of the present period.
    period_ns: u64,
    overflow: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct StateTotals {
    duration_ns: u64,
    periods: u64,
    longest_ns: u64,
}

impl TimeInState {
    /// Nothing fed yet. `states` limits the answer to those, which are of the tag's type.
    ///
    /// # Errors
    /// When the list is empty, too long or names a state twice, and when a neighbour or a state is of another type.
    pub fn new(scope: &Scope, states: Option<Vec<Value>>) -> Result<TimeInState, KpiError> {
        let mut feed = CheckedSamples::new(scope, scope.window.range(), true)?;
        let (mut places, mut times) = (HashMap::new(), Vec::new());
        if let Some(states) = &states {
            if states.is_empty() || states.len() > STATES_MAX {
                return Err(KpiError::StateList(states.len()));
            }
            for state in states {
                if state.value_type() != scope.value_type {
                    return Err(KpiError::ValueType { parameter: "states", expected: scope.value_type, found: state.value_type() });
                }
                let bits = feed.bits(state)?;
                if places.insert(bits, times.len()).is_some() {
                    return Err(KpiError::StateList(states.len()));
                }
                times.push((bits, StateTotals::default()));
            }
        }
        let unknown = CheckedSample { timestamp: scope.window.start, kind: Validity::Unknown, bits: 0, number: 0.0 };
        let present = scope.before.as_ref().map(|before| feed.neighbour(before)).transpose()?.unwrap_or(unknown);
        let hold = Hold::new(scope, present.kind);
        Ok(TimeInState { feed, hold, places, times, listed: states, other_ns: 0, present, period_ns: 0, overflow: false })
    }

    /// Takes rows that follow all before; those outside the window are passed over.
    ///
    /// # Errors
    /// When type, order or rows are not as said, and when there are more than [`STATES_MAX`] different values.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), KpiError> {
        let mut present = self.present;
        // The feed lends itself to the loop, and the sums are beside it.
        let TimeInState { feed, hold, places, times, listed, other_ns, period_ns, overflow, .. } = self;
        feed.each(samples, rows, |reading| {
            if reading.kind == present.kind && reading.bits == present.bits {
                return;
            }
            let held = hold.change(reading.timestamp, reading.kind);
            let goes_on = present.kind.is_usable() && reading.kind.is_usable() && reading.bits == present.bits;
            *period_ns += held;
            *overflow |= !add(places, times, listed.is_some(), other_ns, present, held, (!goes_on).then_some(*period_ns));
            if !goes_on {
                *period_ns = 0;
            }
            present = reading;
        })?;
        self.present = present;
        if self.overflow { Err(KpiError::States(STATES_MAX)) } else { Ok(()) }
    }

    /// The times.
    ///
    /// # Errors
    /// When there are more than [`STATES_MAX`] different values.
    pub fn finish(mut self) -> Result<StateTimes, KpiError> {
        let (held, coverage) = self.hold.finish();
        self.period_ns += held;
        let (listed, period) = (self.listed.is_some(), Some(self.period_ns));
        if !add(&mut self.places, &mut self.times, listed, &mut self.other_ns, self.present, held, period) {
            return Err(KpiError::States(STATES_MAX));
        }
        let time = |(bits, held): &(u64, StateTotals)| StateTime {
            state: self.feed.value(*bits),
            duration_ns: held.duration_ns,
            periods: held.periods,
            longest_ns: held.longest_ns,
        };
        let mut states: Vec<StateTime> = self.times.iter().map(time).collect();
        if let Some(listed) = self.listed {
            // As they were written: -0 was taken for 0.
            states.iter_mut().zip(listed).for_each(|(time, state)| time.state = state);
        } else {
            states.sort_by(|a, b| ascending(&a.state, &b.state));
        }
        Ok(StateTimes { states, other_ns: self.other_ns, coverage })
    }
}

/// Adds the time that a reading held, and with `period` the period that ends; false when there are too many states.
fn add(
    places: &mut HashMap<u64, usize>,
    times: &mut Vec<(u64, StateTotals)>,
    listed: bool,
    other_ns: &mut u64,
    reading: CheckedSample,
    held: u64,
    period: Option<u64>,
) -> bool {
    // What held for no time within the window was not in it.
    if !reading.kind.is_usable() || (held == 0 && period.is_none_or(|period| period == 0)) {
        return true;
    }
    let place = match places.get(&reading.bits) {
        Some(place) => *place,
        None if listed => {
            *other_ns += held;
            return true;
        }
        None if times.len() >= STATES_MAX => return false,
        None => {
            places.insert(reading.bits, times.len());
            times.push((reading.bits, StateTotals::default()));
            times.len() - 1
        }
    };
    let time = &mut times[place].1;
    time.duration_ns += held;
    if let Some(period) = period {
        time.periods += 1;
        time.longest_ns = time.longest_ns.max(period);
    }
    true
}

fn ascending(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::I64(a), Value::I64(b)) => a.cmp(b),
        (Value::U64(a), Value::U64(b)) => a.cmp(b),
        _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
    }
}
