//! Primitives and the as-of join against naive references over random data, sums over divided windows, calendars across changes of the
//! clock, and single cases by hand.

mod asof;
mod calendar;
mod case;
mod property;

use historian_format::{Samples, Value, ValueType};

use super::*;

/// A Bad status code.
const BAD: u32 = 0x8031_0000;
/// An Uncertain one.
const UNCERTAIN: u32 = 0x4094_0000;

type Row = (i64, Option<f64>, u32);

fn samples(rows: impl IntoIterator<Item = Row>) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    for (timestamp, value, quality) in rows {
        samples.push(timestamp, value.map(Value::F64).as_ref(), quality).unwrap();
    }
    samples
}

fn window(start: i64, end: i64) -> Window {
    Window::new(start, end).unwrap()
}

fn usable(row: &Row) -> bool {
    row.2 >> 31 == 0 && row.1.is_some_and(|value| !value.is_nan())
}

/// The scope of a window among samples, as the engine makes it.
fn scope(all: &[Row], window: Window) -> Scope {
    let neighbour = |row: &Row| Sample { timestamp: row.0, value: row.1.map(Value::F64), quality: row.2 };
    let before = || all.iter().rev().filter(|row| row.0 < window.start());
    Scope {
        before: before().next().map(neighbour),
        usable_before: before().find(|row| usable(row)).map(neighbour),
        after: all.iter().find(|row| row.0 >= window.end()).map(neighbour),
        ..Scope::new(window, ValueType::F64)
    }
}

/// Feeds all samples in portions.
fn portions(all: &Samples, mut push: impl FnMut(&Samples, std::ops::Range<usize>) -> Result<(), KpiError>) {
    for from in (0..all.len()).step_by(7) {
        push(all, from..(from + 7).min(all.len())).unwrap();
    }
}

fn time_in_state(scope: &Scope, all: &Samples, states: Option<Vec<Value>>) -> StateTimes {
    let mut primitive = TimeInState::new(scope, states).unwrap();
    portions(all, |samples, rows| primitive.push(samples, rows));
    primitive.finish().unwrap()
}

fn transitions(scope: &Scope, all: &Samples, from: Option<f64>, to: Option<f64>, dwell_ns: u64) -> TransitionCount {
    let mut primitive = Transitions::new(scope, from.map(Value::F64).as_ref(), to.map(Value::F64).as_ref(), dwell_ns).unwrap();
    portions(all, |samples, rows| primitive.push(samples, rows));
    primitive.finish()
}

/// Counts as the engine does: from where the counter stood before the window, and with a look at what follows it.
fn counted(scope: &Scope, all: &Samples, rules: CounterRules) -> CounterSum {
    let usable =
        |row: &usize| all.qualities[*row] >> 31 == 0 && all.value(*row).and_then(|value| value.as_f64()).is_some_and(f64::is_finite);
    let rows = |range: std::ops::Range<i64>| (0..all.len()).filter(move |row| range.contains(&all.timestamps[*row])).filter(usable);
    let mut primitive = CounterDelta::new(scope, rules).unwrap();
    let mut before = CountedBefore::new(&CounterState::new(scope.value_type, rules).unwrap());
    let earlier: Vec<usize> = rows(i64::MIN..scope.window.start()).collect();
    let _ = earlier.into_iter().rev().all(|row| before.take(all.timestamps[row], &all.value(row).unwrap()));
    primitive.resume(&before.finish());
    portions(all, |samples, rows| primitive.push(samples, rows));
    if let Some(row) = rows(scope.window.end()..i64::MAX).next() {
        primitive.follow(&Sample { timestamp: all.timestamps[row], value: all.value(row), quality: all.qualities[row] }).unwrap();
    }
    primitive.finish()
}

fn counter_delta(scope: &Scope, all: &Samples, rollover: Option<f64>, reset: ResetPolicy) -> CounterSum {
    counted(scope, all, CounterRules { rollover, reset, ..CounterRules::default() })
}

fn integrate(scope: &Scope, all: &Samples, unit: TimeUnit, stepped: bool) -> Integral {
    let mut primitive = Integrate::new(scope, unit, stepped).unwrap();
    portions(all, |samples, rows| primitive.push(samples, rows));
    primitive.finish()
}

fn percent_good(scope: &Scope, all: &Samples) -> Coverage {
    let mut primitive = PercentGood::new(scope).unwrap();
    portions(all, |samples, rows| primitive.push(samples, rows));
    primitive.finish()
}
