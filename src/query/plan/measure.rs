//! Measures, the exact primitives of key figures: each tag's samples are read once and shown to a primitive per interval.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use super::{
    meter::{Figure, Measure, Meter, kpi_error},
    neighbour::{before, from, look, nearest},
    operator::{Batcher, Operator, WorkUnit, batch, named, names, times},
    parallel::Put,
};
use crate::{QueryError, QueryLimits, arrow_column, portion::Rows, schema::metadata};
use historian_model::{Quality, Sample, Samples, Tag, TimeRange, Timestamp, ValueType};
use historian_operators::kpi::{CalendarInterval, CountedBefore, CounterState, Scope, Settled, SettledBefore};
use historian_read::merge::TagReader;

/// A query of measures whose tags and times are resolved. The intervals ascend without a space between them.
#[derive(Clone, Debug)]
pub struct MeasureQuery {
    pub tags: Vec<Arc<Tag>>,
    pub intervals: Vec<CalendarInterval>,
    pub measure: Measure,
    pub uncertain_as_bad: bool,
    /// Now: what lies behind it is not known yet.
    pub known_until: Timestamp,
}

/// Intervals of one unit of work, and of one where each of many states makes a row.
const PART_INTERVALS: usize = 2_048;
const PART_INTERVALS_OF_STATES: usize = 256;
/// Intervals that may be measured at the same time, because the dwell reaches from one into the others.
const OVERLAP_MAX: usize = 64;

impl MeasureQuery {
    /// Checks what can be told before anything is read.
    ///
    /// # Errors
    /// [`QueryError::Invalid`], naming the parameter.
    pub fn check(&self) -> Result<(), QueryError> {
        let reach = self.measure.reach_ns();
        let crowded = |at: usize| {
            let late = self.intervals.get(at + OVERLAP_MAX).map(|late| late.window.start().abs_diff(self.intervals[at].window.end()));
            late.is_some_and(|apart| apart < reach.saturating_mul(2))
        };
        if reach > 0 && (0..self.intervals.len()).any(crowded) {
            let message = format!("dwell_min reaches over more than {OVERLAP_MAX} intervals; take longer intervals or a shorter dwell_min");
            return Err(QueryError::Invalid(message));
        }
        let Some(first) = self.intervals.first() else { return Ok(()) };
        for tag in &self.tags {
            Meter::new(&self.measure, tag, &Scope::new(first.window, tag.value_type()))?;
        }
        Ok(())
    }

    /// The bounds.
    pub fn range(&self) -> TimeRange {
        let edge = |at: Option<i64>| Timestamp(at.unwrap_or_default());
        let (first, last) = (self.intervals.first(), self.intervals.last());
        TimeRange::new(edge(first.map(|interval| interval.window.start())), edge(last.map(|interval| interval.window.end())))
    }

    /// Rows of the answer, where their number is known.
    pub fn rows(&self) -> Option<usize> {
        let each_state = matches!(&self.measure, Measure::TimeInState { states } if states.is_empty());
        (!each_state).then(|| self.tags.len().saturating_mul(self.intervals.len()))
    }
}

/// Columns tag, start, end, label, item, value, numerator, denominator, `percent_good`, `bad_seconds`.
fn schema(query: &MeasureQuery) -> SchemaRef {
    let number = |name: &str, nullable| Field::new(name, DataType::Float64, nullable);
    let fields = vec![
        Field::new_dictionary("tag", DataType::Int32, DataType::Utf8, false),
        Field::new("start", arrow_column::timestamp_type(), false),
        Field::new("end", arrow_column::timestamp_type(), false),
        Field::new("label", DataType::Utf8, false),
        Field::new("item", DataType::Utf8, false),
        number("value", true),
        number("numerator", false),
        number("denominator", false),
        number("percent_good", false),
        number("bad_seconds", false),
    ];
    Arc::new(Schema::new(fields).with_metadata(metadata(&query.tags, Some(query.range()))))
}

/// Figures, each with the place of its interval among those of the query.
#[derive(Debug, Default)]
pub struct MeasureRows {
    tags: Vec<i32>,
    pub intervals: Vec<usize>,
    pub figures: Vec<Figure>,
}

impl Rows for MeasureRows {
    fn len(&self) -> usize {
        self.figures.len()
    }

    fn row_bytes(&self) -> usize {
        size_of::<Figure>() + 12
    }
}

impl Operator for MeasureQuery {
    type Shared = ();
    type Part = Vec<(usize, Figure)>;
    type Rows = MeasureRows;

    fn tags(&self) -> &[Arc<Tag>] {
        &self.tags
    }

    fn of_tag(&self, tag: &Arc<Tag>) -> MeasureQuery {
        MeasureQuery { tags: vec![tag.clone()], ..self.clone() }
    }

    fn schema(&self) -> SchemaRef {
        schema(self)
    }

    fn prepare(&self, _reader: &TagReader) -> Result<(), QueryError> {
        self.check()
    }

    fn units(&self) -> Vec<WorkUnit> {
        let per_unit = if self.rows().is_some() { PART_INTERVALS } else { PART_INTERVALS_OF_STATES };
        WorkUnit::intervals(self.tags.len(), self.intervals.len(), per_unit)
    }

    fn work(
        &self,
        (): &(),
        reader: &TagReader,
        unit: &WorkUnit,
        limits: &QueryLimits,
        put: Put<'_, Vec<(usize, Figure)>>,
    ) -> Result<(), QueryError> {
        let mut figures = measure(reader, &self.tags[unit.tag], self, &self.intervals[unit.part.clone()], limits)?;
        for (interval, _) in &mut figures {
            *interval += unit.part.start;
        }
        put(figures);
        Ok(())
    }

    fn weight(figures: &Vec<(usize, Figure)>) -> usize {
        size_of_val(&figures[..])
    }

    fn append(&self, rows: &mut MeasureRows, tag: usize, figures: Vec<(usize, Figure)>) {
        rows.tags.resize(rows.tags.len() + figures.len(), tag as i32);
        for (interval, figure) in figures {
            rows.intervals.push(interval);
            rows.figures.push(figure);
        }
    }

    fn batcher(&self) -> Batcher<'_, MeasureRows> {
        let (schema, tags) = (schema(self), names(&self.tags));
        Box::new(move |rows| {
            let figures = &rows.figures;
            let intervals = || rows.intervals.iter().map(|place| &self.intervals[*place]);
            let number = |of: fn(&Figure) -> f64| Arc::new(figures.iter().map(of).map(Some).collect::<Float64Array>()) as ArrayRef;
            let columns = vec![
                named(rows.tags, &tags)?,
                times(intervals().map(|interval| interval.window.start()).collect()),
                times(intervals().map(|interval| interval.window.end()).collect()),
                Arc::new(StringArray::from_iter_values(intervals().map(|interval| interval.label.as_str()))),
                Arc::new(StringArray::from_iter_values(figures.iter().map(|figure| figure.item.as_ref()))),
                Arc::new(figures.iter().map(|figure| figure.value).collect::<Float64Array>()),
                number(|figure| figure.numerator),
                number(|figure| figure.denominator),
                number(|figure| figure.percent_good),
                number(|figure| figure.bad_seconds),
            ];
            batch(&schema, columns)
        })
    }
}

/// What lies before the rows that come next.
#[derive(Default)]
struct CarriedState {
    last: Option<Sample>,
    usable: Option<Sample>,
    /// What chatter is passed over for, where there is a dwell.
    settled: Option<Settled>,
    /// Where a counter stands.
    counted: Option<CounterState>,
}

impl CarriedState {
    fn advance(&mut self, samples: &Samples, rows: std::ops::Range<usize>, usable: Usable) {
        if let Some(row) = rows.clone().next_back() {
            self.last = Some(samples.sample(row));
        }
        if let Some(settled) = &mut self.settled {
            let usable = rows.clone().filter(|row| usable.is(samples, *row));
            usable.filter_map(|row| Some((samples.timestamps[row], samples.value(row)?))).for_each(|(at, value)| settled.take(at, value));
        }
        if let Some(counted) = &mut self.counted {
            let back = rows.clone().rev().filter(|row| usable.is(samples, *row));
            counted.advance(back.filter_map(|row| Some((samples.timestamps[row], samples.value(row)?))));
        }
        if let Some(row) = rows.rev().find(|row| usable.is(samples, *row)) {
            self.usable = Some(samples.sample(row));
        }
    }
}

/// Which samples are usable.
#[derive(Clone, Copy)]
struct Usable {
    uncertain_as_bad: bool,
    only_finite: bool,
}

impl Usable {
    fn of(query: &MeasureQuery) -> Usable {
        Usable { uncertain_as_bad: query.uncertain_as_bad, only_finite: query.measure.needs_finite() }
    }

    fn is(self, samples: &Samples, row: usize) -> bool {
        let quality = Quality(samples.qualities[row]);
        let counts = |number: f64| number.is_finite() || (number.is_infinite() && !self.only_finite);
        let is_number = || samples.value_type() == ValueType::String || samples.values.get(row).as_f64().is_none_or(counts);
        (quality.is_good() || (!self.uncertain_as_bad && !quality.is_bad())) && samples.is_valid(row) && is_number()
    }
}

/// An interval that is being measured.
struct OpenInterval {
    interval: usize,
    end: i64,
    /// Samples are shown to it in `[read_from, read_until)`.
    read_from: i64,
    read_until: i64,
    meter: Meter,
}

impl OpenInterval {
    /// Shows it the rows of a portion that it reads.
    fn push(&mut self, tag: &Tag, samples: &Samples) -> Result<(), QueryError> {
        let from = samples.timestamps.partition_point(|timestamp| *timestamp < self.read_from);
        let to = samples.timestamps.partition_point(|timestamp| *timestamp < self.read_until);
        self.meter.push(samples, from..to.max(from)).map_err(|error| kpi_error(tag, &error))
    }
}

/// The figures of neighbouring intervals, each with the number of its interval among these.
fn measure(
    reader: &TagReader,
    tag: &Tag,
    query: &MeasureQuery,
    intervals: &[CalendarInterval],
    limits: &QueryLimits,
) -> Result<Vec<(usize, Figure)>, QueryError> {
    let failed = |error| QueryError::reading(tag, &error);
    let reach = query.measure.reach_ns();
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return Ok(Vec::new()) };
    let read_from = first.window.start().saturating_sub_unsigned(reach);
    let read_until = last.window.end().saturating_add_unsigned(reach);

    let mut around = CarriedState::default();
    let usable = Usable::of(query);
    let needs_usable = matches!(query.measure, Measure::CounterDelta(_) | Measure::Transitions { .. });
    let mut settled = (reach > 0).then(|| SettledBefore::new(reach, read_from));
    let mut counted = match query.measure {
        Measure::CounterDelta(rules) => {
            Some(CountedBefore::new(&CounterState::new(tag.value_type(), rules).map_err(|error| kpi_error(tag, &error))?))
        }
        _ => None,
    };
    look(reader, tag, before(Timestamp(read_from)), |samples, row| {
        around.last.get_or_insert_with(|| samples.sample(row));
        let mut goes_on = needs_usable;
        if usable.is(samples, row) {
            around.usable.get_or_insert_with(|| samples.sample(row));
            goes_on = match (&mut settled, &mut counted, samples.value(row)) {
                (Some(settled), _, Some(value)) => settled.take(samples.timestamps[row], value),
                (_, Some(counted), Some(value)) => counted.take(samples.timestamps[row], &value) && !counted.is_far(),
                _ => false,
            };
        }
        goes_on && limits.check(0).is_ok()
    })?;
    around.settled = settled.map(SettledBefore::finish);
    around.counted = counted.map(CountedBefore::finish);
    limits.check(0)?;

    let open = |interval: usize, around: &CarriedState| {
        let window = intervals[interval].window;
        let scope = Scope {
            before: around.last.clone(),
            usable_before: around.usable.clone(),
            known_until: query.known_until.0,
            uncertain_as_bad: query.uncertain_as_bad,
            ..Scope::new(window, tag.value_type())
        };
        let mut meter = Meter::new(&query.measure, tag, &scope)?;
        if let Some(counted) = &around.counted {
            meter.count_on(counted);
        }
        if let Some(settled) = &around.settled {
            meter.resume(settled).map_err(|error| kpi_error(tag, &error))?;
        }
        Ok::<OpenInterval, QueryError>(OpenInterval {
            interval,
            end: window.end(),
            read_from: window.start().saturating_sub_unsigned(reach),
            read_until: window.end().saturating_add_unsigned(reach),
            meter,
        })
    };
    let mut figures = Vec::new();
    let mut finish = |done: OpenInterval, after: Option<&Sample>| {
        for figure in done.meter.finish(tag, &query.measure, after).map_err(|error| kpi_error(tag, &error))? {
            figures.push((done.interval, figure));
        }
        limits.check(figures.len() as u64)
    };
    // Intervals that samples to come belong to, and the next one that has not begun.
    let mut opened: VecDeque<OpenInterval> = VecDeque::new();
    let mut next = 0;
    let mut cursor = reader.cursor(tag, TimeRange::new(Timestamp(read_from), Timestamp(read_until))).map_err(failed)?;
    let mut portion = Samples::new(tag.value_type());
    while cursor.next_into(&mut portion).map_err(failed)? {
        limits.check(0)?;
        let timestamps = &portion.timestamps;
        let end = timestamps.last().copied().unwrap_or(read_from);
        // The first sample at or behind an end, and the first usable one where that is what matters.
        let after = |interval: i64, in_doubt: bool| {
            let first = timestamps.partition_point(|timestamp| *timestamp < interval);
            let row = (first..timestamps.len()).find(|row| !in_doubt || usable.is(&portion, *row));
            row.map(|row| portion.sample(row))
        };
        for open in &mut opened {
            open.push(tag, &portion)?;
        }
        let mut told = 0;
        loop {
            // In order, so that figures are.
            while let Some(open) = opened.front().filter(|open| open.read_until <= end) {
                let after = after(open.end, open.meter.is_in_doubt());
                if after.is_none() && open.meter.is_in_doubt() {
                    break; // a portion to come tells
                }
                let Some(done) = opened.pop_front() else { break };
                finish(done, after.as_ref())?;
            }
            let Some(interval) = intervals.get(next) else { break };
            let begins = interval.window.start().saturating_sub_unsigned(reach);
            if begins > end {
                break;
            }
            let rows = told..timestamps.partition_point(|timestamp| *timestamp < begins).max(told);
            told = rows.end;
            around.advance(&portion, rows, usable);
            let mut begun = open(next, &around)?;
            begun.push(tag, &portion)?;
            opened.push_back(begun);
            next += 1;
        }
        around.advance(&portion, told..portion.len(), usable);
        portion.clear();
    }
    while next < intervals.len() {
        opened.push_back(open(next, &around)?);
        next += 1;
    }
    // No sample that matters lies between the ends of those that are left and the end of what was read.
    let integral = matches!(query.measure, Measure::Integral { .. });
    let in_doubt = opened.iter().any(|open| open.meter.is_in_doubt());
    let wanted = |samples: &Samples, row: usize| integral || usable.is(samples, row);
    let found = if integral || in_doubt { nearest(reader, tag, from(Timestamp(read_until)), wanted)? } else { None };
    let after = found.map(|found| found.sample(0));
    opened.into_iter().try_for_each(|open| finish(open, after.as_ref()))?;
    Ok(figures)
}
