//! Aggregates of several tags in intervals that all of them share, as numbers: what tables of intervals are made of.

use std::{ops::Range, sync::Arc};

use super::{
    aggregate::{AggregateQuery, evaluate},
    parallel::{Workers, in_order},
};
use crate::{QueryError, QueryLimits};
use historian_model::Tag;
use historian_operators::aggregate::{AggregateConfiguration, AggregateFunction, BoundingValues, Intervals};
use historian_read::merge::TagReader;

/// Which aggregates of which tags in which intervals.
#[derive(Clone, Debug)]
pub struct IntervalQuery {
    pub tags: Vec<Arc<Tag>>,
    pub intervals: Intervals,
    /// `TimeAverage` of a stepped tag is `TimeAverage2`: its value holds.
    pub functions: Vec<AggregateFunction>,
}

/// Some of the intervals of one tag, the unit of work.
#[derive(Clone, Debug)]
pub struct IntervalPart {
    pub tag: usize,
    pub intervals: Range<usize>,
}

/// The answers of one part.
#[derive(Clone, Debug)]
pub struct IntervalAnswers {
    pub part: IntervalPart,
    /// Function after function, of each one value per interval.
    values: Vec<Option<f64>>,
    /// Per interval: whether it lies between the first and the last sample of the tag.
    pub known: Vec<bool>,
}

impl IntervalAnswers {
    /// The values of one of the functions, in the order of the intervals.
    pub fn of(&self, function: usize) -> &[Option<f64>] {
        let count = self.known.len();
        &self.values[function * count..(function + 1) * count]
    }
}

pub fn run(
    reader: &TagReader,
    threads: usize,
    query: &IntervalQuery,
    parts: &[IntervalPart],
    limits: &QueryLimits,
    take: &mut dyn FnMut(IntervalAnswers) -> Result<bool, QueryError>,
) -> Result<(), QueryError> {
    in_order(
        Workers { threads, limits },
        parts,
        |answers: &IntervalAnswers| size_of_val(&answers.values[..]) + answers.known.len(),
        |part, put| {
            limits.check(0)?;
            put(answers(reader, query, part, limits)?);
            Ok(())
        },
        take,
    )
}

/// The functions as a tag has them, and behind them what tells whether to believe the answers.
fn functions(query: &IntervalQuery, tag: &Tag) -> Vec<AggregateFunction> {
    let held = |function: &AggregateFunction| match function {
        AggregateFunction::TimeAverage if tag.definition.stepped => AggregateFunction::TimeAverage2,
        other => *other,
    };
    query.functions.iter().map(held).chain([AggregateFunction::PercentGood]).collect()
}

fn answers(reader: &TagReader, query: &IntervalQuery, part: &IntervalPart, limits: &QueryLimits) -> Result<IntervalAnswers, QueryError> {
    let tag = &query.tags[part.tag];
    let functions = functions(query, tag);
    let intervals = query.intervals.part(part.intervals.clone());
    let count = intervals.len();
    let asked = AggregateQuery {
        tags: Vec::new(),
        intervals: intervals.clone(),
        functions,
        configuration: AggregateConfiguration::default(),
        stepped: None,
        use_rollups: true,
    };
    let found = evaluate(reader, tag, &asked, intervals, limits)?;
    let (per_interval, wanted) = (asked.functions.len(), query.functions.len());
    let mut values = Vec::with_capacity(count * wanted);
    for (place, function) in asked.functions[..wanted].iter().enumerate() {
        // Lines are drawn across time that is Bad as well: where nothing is Good, there is nothing to draw.
        let drawn = function.bounds() == BoundingValues::Interpolated;
        values.extend(found.chunks_exact(per_interval).map(|of_interval| {
            let is_good = of_interval[wanted].value.is_some_and(|percent| percent > 0.0);
            of_interval[place].value.filter(|_| !drawn || is_good)
        }));
    }
    // Every function answers with nothing before the first sample and after the last. This one answers everywhere else, also where all is Bad.
    let known = found.chunks_exact(per_interval).map(|of_interval| of_interval[wanted].value.is_some()).collect();
    Ok(IntervalAnswers { part: part.clone(), values, known })
}
