//! What can be measured, the primitive at work on one interval, whichever it is, and the figure that comes of it.

use std::sync::Arc;

use crate::{QueryError, common_type};
use historian_model::{Sample, Samples, Tag, Value, ValueType};
use historian_operators::kpi::{
    CounterDelta, CounterRules, CounterState, Coverage, Integrate, KpiError, PercentGood, Scope, Settled, TimeInState, TimeUnit,
    Transitions,
};

/// What is measured. States are texts here, for each tag has states of its own: see [`Measure::state`].
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// Time in these states together; without any, in each state that occurs.
    TimeInState {
        states: Vec<String>,
    },
    Transitions {
        from: Option<String>,
        to: Option<String>,
        dwell_ns: u64,
    },
    CounterDelta(CounterRules),
    Integral {
        unit: TimeUnit,
        rescale: bool,
    },
    PercentGood,
}

impl Measure {
    /// Whether values of this type can be measured so.
    pub fn takes(&self, value_type: ValueType) -> bool {
        let any = |texts: &[&String]| match value_type {
            ValueType::State | ValueType::String => true,
            value_type => texts.iter().all(|text| plain(value_type, text).is_some()),
        };
        match self {
            Measure::TimeInState { states } => any(&states.iter().collect::<Vec<_>>()),
            Measure::Transitions { from, to, .. } => any(&from.iter().chain(to).collect::<Vec<_>>()),
            Measure::CounterDelta(_) => {
                matches!(value_type, ValueType::F64 | ValueType::F32 | ValueType::I64 | ValueType::U64)
            }
            Measure::Integral { .. } => value_type != ValueType::String,
            Measure::PercentGood => true,
        }
    }

    /// A state of a tag as a request writes it: a name of its state set, a number, `true` or `false`, or text.
    ///
    /// # Errors
    /// Says which states the tag has.
    pub fn state(tag: &Tag, text: &str) -> Result<Value, String> {
        let names = &tag.definition.state_set;
        if tag.value_type() == ValueType::State
            && let Some(number) = names.iter().position(|name| name == text)
        {
            return Ok(Value::State(number as u32));
        }
        plain(tag.value_type(), text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let known = match tag.value_type() {
                ValueType::State if !names.is_empty() => {
                    format!("it has the states {}", names.iter().take(10).cloned().collect::<Vec<_>>().join(", "))
                }
                ValueType::State => "it has no names of states, write a number".to_owned(),
                ValueType::Bool => "write true or false".to_owned(),
                other => format!("its values are of type {other}"),
            };
            format!("{shown:?} is no state of the tag {}; {known}", tag.name())
        })
    }

    /// Whether infinities are as good as Bad.
    pub(super) fn needs_finite(&self) -> bool {
        matches!(self, Measure::CounterDelta(_) | Measure::Integral { .. })
    }

    /// How far beyond an interval samples are read.
    pub(super) fn reach_ns(&self) -> u64 {
        if let Measure::Transitions { dwell_ns, .. } = self { *dwell_ns } else { 0 }
    }
}

/// A value without a state set.
fn plain(value_type: ValueType, text: &str) -> Option<Value> {
    match value_type {
        ValueType::String => Some(Value::String(text.to_owned())),
        ValueType::Bool => match text {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        ValueType::State => text.parse().ok().map(Value::State),
        ValueType::I64 => text.parse().ok().map(Value::I64),
        ValueType::U64 => text.parse().ok().map(Value::U64),
        ValueType::F64 => text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::F64),
        ValueType::F32 => text.parse().ok().filter(|value: &f32| value.is_finite()).map(Value::F32),
    }
}

/// One row of an answer, without tag and interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub item: Arc<str>,
    /// `None` where nothing is known.
    pub value: Option<f64>,
    pub numerator: f64,
    /// Seconds.
    pub denominator: f64,
    pub percent_good: f64,
    pub bad_seconds: f64,
}

/// A primitive at work.
pub enum Meter {
    TimeInState(TimeInState),
    Transitions(Transitions),
    CounterDelta(CounterDelta),
    Integrate(Integrate),
    PercentGood(PercentGood),
}

/// An error of a primitive as one of the query: the asker's, or ours.
pub fn kpi_error(tag: &Tag, error: &KpiError) -> QueryError {
    let message = format!("tag {}: {error}", tag.name());
    match error {
        KpiError::Window { .. } | KpiError::Neighbour { .. } | KpiError::Order { .. } | KpiError::Rows { .. } => QueryError::Store(message),
        _ => QueryError::Invalid(message),
    }
}

impl Meter {
    /// # Errors
    /// [`QueryError::Invalid`] for what the tag cannot be asked.
    pub fn new(measure: &Measure, tag: &Tag, scope: &Scope) -> Result<Meter, QueryError> {
        let failed = |error: KpiError| kpi_error(tag, &error);
        let state = |text: &String| Measure::state(tag, text).map_err(QueryError::Invalid);
        Ok(match measure {
            Measure::TimeInState { states } => {
                let states = states.iter().map(state).collect::<Result<Vec<Value>, _>>()?;
                Meter::TimeInState(TimeInState::new(scope, (!states.is_empty()).then_some(states)).map_err(failed)?)
            }
            Measure::Transitions { from, to, dwell_ns } => {
                let (from, to) = (from.as_ref().map(state).transpose()?, to.as_ref().map(state).transpose()?);
                Meter::Transitions(Transitions::new(scope, from.as_ref(), to.as_ref(), *dwell_ns).map_err(failed)?)
            }
            Measure::CounterDelta(rules) => Meter::CounterDelta(CounterDelta::new(scope, *rules).map_err(failed)?),
            Measure::Integral { unit, .. } => {
                // There is no line from one state to another, whatever the tag says.
                let stepped = tag.definition.stepped || matches!(tag.value_type(), ValueType::Bool | ValueType::State);
                Meter::Integrate(Integrate::new(scope, *unit, stepped).map_err(failed)?)
            }
            Measure::PercentGood => Meter::PercentGood(PercentGood::new(scope).map_err(failed)?),
        })
    }

    /// Tells what the tag stands on where reading begins.
    pub fn resume(&mut self, settled: &Settled) -> Result<(), KpiError> {
        if let Meter::Transitions(meter) = self { meter.resume(settled) } else { Ok(()) }
    }

    /// Tells where a counter stands where reading begins.
    pub fn count_on(&mut self, counted: &CounterState) {
        if let Meter::CounterDelta(meter) = self {
            meter.resume(counted);
        }
    }

    /// Whether the figure depends on the first usable sample behind the interval.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Meter::CounterDelta(meter) if meter.is_in_doubt())
    }

    /// Takes rows that follow all before.
    pub fn push(&mut self, samples: &Samples, rows: std::ops::Range<usize>) -> Result<(), KpiError> {
        match self {
            Meter::TimeInState(meter) => meter.push(samples, rows),
            Meter::Transitions(meter) => meter.push(samples, rows),
            Meter::CounterDelta(meter) => meter.push(samples, rows),
            Meter::Integrate(meter) => meter.push(samples, rows),
            Meter::PercentGood(meter) => meter.push(samples, rows),
        }
    }

    /// The figures: one, or one per state. `after` is the first sample behind the interval, the first
    /// usable one where the figure is in doubt.
    pub fn finish(self, tag: &Tag, measure: &Measure, after: Option<&Sample>) -> Result<Vec<Figure>, KpiError> {
        Ok(match self {
            Meter::TimeInState(meter) => {
                let times = meter.finish()?;
                let figure = |item: &str, held: Option<u64>| {
                    let seconds = held.map(seconds);
                    figure(item, seconds, seconds.unwrap_or(0.0), seconds_of(&times.coverage), &times.coverage)
                };
                match measure {
                    Measure::TimeInState { states } if !states.is_empty() => {
                        let held = times.states.iter().map(|time| time.duration_ns).sum();
                        vec![figure(&states.join(" + "), (times.coverage.usable_ns() > 0).then_some(held))]
                    }
                    // An interval in which nothing is known has a row all the same.
                    _ if times.states.is_empty() => vec![figure("", None)],
                    _ => times.states.iter().map(|time| figure(&state_text(tag, &time.state), Some(time.duration_ns))).collect(),
                }
            }
            Meter::Transitions(meter) => {
                let found = meter.finish();
                let known = found.coverage.usable_ns() > 0 || found.count > 0;
                let item = match measure {
                    Measure::Transitions { from, to, .. } => {
                        let side = |state: &Option<String>| state.as_deref().unwrap_or("*").to_owned();
                        format!("{} → {}", side(from), side(to))
                    }
                    _ => String::new(),
                };
                let count = found.count as f64;
                vec![figure(&item, known.then_some(count), count, seconds_of(&found.coverage), &found.coverage)]
            }
            Meter::CounterDelta(mut meter) => {
                if let Some(after) = after {
                    meter.follow(after)?;
                }
                let sum = meter.finish();
                vec![figure("delta", sum.delta, sum.delta.unwrap_or(0.0), seconds_of(&sum.coverage), &sum.coverage)]
            }
            Meter::Integrate(mut meter) => {
                if let Some(after) = after {
                    meter.follow(after)?;
                }
                let integral = meter.finish();
                let rescale = matches!(measure, Measure::Integral { rescale: true, .. });
                let value = if rescale { integral.rescaled() } else { integral.amount };
                vec![figure("integral", value, integral.amount.unwrap_or(0.0), seconds(integral.covered_ns), &integral.coverage)]
            }
            Meter::PercentGood(meter) => {
                let coverage = meter.finish();
                vec![figure("good", Some(coverage.percent_good()), seconds(coverage.good_ns), seconds_of(&coverage), &coverage)]
            }
        })
    }
}

fn figure(item: &str, value: Option<f64>, numerator: f64, denominator: f64, coverage: &Coverage) -> Figure {
    Figure {
        item: item.into(),
        value,
        numerator,
        denominator,
        percent_good: coverage.percent_good(),
        bad_seconds: seconds(coverage.bad_ns + coverage.unknown_ns),
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn seconds_of(coverage: &Coverage) -> f64 {
    seconds(coverage.window_ns)
}

/// A state by its name, where it has one.
fn state_text(tag: &Tag, state: &Value) -> String {
    match state {
        Value::State(number) => tag.definition.state_set.get(*number as usize).cloned().unwrap_or_else(|| number.to_string()),
        other => common_type::text(other),
    }
}
