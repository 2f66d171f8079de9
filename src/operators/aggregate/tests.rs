//! Aggregates against the published vectors, against a slow reference written from the definitions, and of states against samples.

mod behaviour;
mod conformance;
mod differential;
mod reference;

use historian_format::{Samples, Value, ValueType};

use super::{
    After, AggregateConfiguration, AggregateFunction, AggregateSample, AggregateValue, Before, Evaluator, Interval, Intervals, Lookups,
};

/// What lies around the intervals, looked up in the whole history as the plan does in the store.
fn surroundings(
    history: &Samples,
    intervals: &Intervals,
    functions: &[AggregateFunction],
    configuration: AggregateConfiguration,
) -> (Before, After, std::ops::Range<usize>) {
    let range = intervals.sample_range();
    let rows = history.slice_time_range(range.start, range.end);
    let at = |index: usize| AggregateSample::at(history, index);
    let is_usable = |sample: &AggregateSample| configuration.is_usable(historian_model::Quality(sample.quality), sample.present);
    let asked = Lookups::of(functions, configuration);
    let mut before = (0..rows.start).rev().map(at).filter(is_usable);
    let usable = [before.next(), before.next()].map(|found| found.filter(|_| asked.usable_before > 0));
    let usable = [usable[0], usable[1].filter(|_| asked.usable_before > 1)];
    let before = Before { last: rows.start.checked_sub(1).map(at).filter(|_| asked.neighbours), usable };
    let mut later = rows.end..history.len();
    let after = After {
        first: later.clone().next().map(at).filter(|_| asked.neighbours),
        usable: later.by_ref().map(at).find(is_usable).filter(|_| asked.usable_after),
    };
    (before, after, rows)
}

/// The answers from samples alone, handed over in portions of `portion`.
fn from_samples(
    history: &Samples,
    functions: &[AggregateFunction],
    configuration: AggregateConfiguration,
    intervals: &Intervals,
    portion: usize,
) -> Vec<AggregateValue> {
    let (before, after, rows) = surroundings(history, intervals, functions, configuration);
    let evaluator = Evaluator::new(functions, configuration, intervals.clone(), history.value_type(), before).unwrap();
    // As in the published examples, each sample has an annotation.
    let mut evaluator = evaluator.with_annotations(history.timestamps.clone());
    let mut at = rows.start;
    while at < rows.end {
        let to = (at + portion).min(rows.end);
        evaluator.push(history, at..to).unwrap();
        at = to;
    }
    evaluator.finish(after).unwrap().answers
}

fn history(value_type: ValueType, rows: &[(i64, Option<Value>, u32)]) -> Samples {
    let mut samples = Samples::new(value_type);
    for (timestamp, value, quality) in rows {
        samples.push(*timestamp, value.as_ref(), *quality).unwrap();
    }
    samples
}
