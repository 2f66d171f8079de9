//! Largest triangle in three buckets, as two passes over a stream: averages first, then one sample of each bucket.
//!
//! Of each bucket that sample is chosen which makes the largest triangle with the one chosen before it and the average of the next bucket
//! that has samples. The corners at the ends are the boundary samples; where one is missing or has no value, the outermost drawn sample is
//! taken in its place and is a row as well. S. Steinarsson, "Downsampling Time Series for Visual Representation", University of Iceland, 2013,
//! section 4.2, with buckets of equal time in place of equal counts.

use std::ops::Range;

use historian_format::{Samples, Scalar, ValueType};

use super::{
    DownsampleError, DownsamplePlan, Drawn, IntervalSummary, Sample, Surroundings,
    column::{self, ColumnNumber, Sums, numbers, offset},
    fit::{self, IntervalShape},
    output::{self, DownsampleRow, edges},
    plan::check_run,
};

/// Time since the start of the range in ns, and value.
#[derive(Clone, Copy, Debug)]
struct Corner {
    time: f64,
    value: f64,
}

/// The second pass of LTTB: push the same samples again.
#[derive(Debug)]
pub struct SecondPass {
    plan: DownsamplePlan,
    value_type: ValueType,
    around: Surroundings,
    /// Edges of the buckets, some of the plan's.
    edges: Vec<i64>,
    /// For each bucket the third corner of its triangles; `None` when no sample of it is chosen.
    corners: Vec<Option<Corner>>,
    rows: Vec<DownsampleRow>,
    /// Samples to choose from lie between these, exclusive: those at the ends are chosen already.
    after: Option<i64>,
    before: Option<i64>,
    chosen: Corner,
    best: Option<(f64, Drawn)>,
    at: usize,
    last: Option<i64>,
}

impl SecondPass {
    pub(super) fn new(
        plan: &DownsamplePlan,
        value_type: ValueType,
        around: Surroundings,
        summaries: &[IntervalSummary],
        sums: &[Sums],
    ) -> SecondPass {
        let origin = plan.start();
        let number = |drawn: Drawn| Scalar { value_type, bits: drawn.bits }.as_f64();
        let corner_of = |drawn: Drawn| Corner { time: offset(drawn.timestamp, origin), value: number(drawn) };
        let boundary = |sample: &Option<Sample>| {
            let sample = sample.as_ref().filter(|sample| output::is_drawn(sample))?;
            let distance = offset(sample.timestamp, origin);
            let time = if sample.timestamp < origin { -distance } else { distance };
            Some(Corner { time, value: sample.value.as_ref()?.as_f64()? })
        };
        let (start, end) = (boundary(&around.before), boundary(&around.after));
        let first = summaries.iter().find_map(|summary| summary.first);
        let last = summaries.iter().rev().find_map(|summary| summary.last);
        let first = first.filter(|_| start.is_none());
        // A single sample is one row and not two.
        let last = last.filter(|last| end.is_none() && first.is_none_or(|first| first.timestamp < last.timestamp));
        let mut rows: Vec<DownsampleRow> = first.into_iter().chain(last).map(DownsampleRow::from).collect();

        let rows_max = plan.points() - edges(&around) - rows.len();
        let (cells, shape) = fit::fit(summaries, rows_max, IntervalShape::One, value_type);
        let mut edges = vec![plan.start()];
        let mut averages: Vec<Option<Corner>> = Vec::with_capacity(cells.len());
        let mut number_of = 0;
        for cell in &cells {
            let (mut count, mut time, mut value) = (0_u64, 0.0, 0.0);
            let intervals = number_of..number_of + cell.intervals;
            for (Sums { count: more, time: since, value: sum }, from) in sums[intervals.clone()].iter().zip(&plan.edges()[intervals]) {
                count += more;
                time += since + *more as f64 * offset(*from, origin);
                value += sum;
            }
            let (from, to) = (plan.edges()[number_of], plan.edges()[number_of + cell.intervals]);
            for corner in first.into_iter().chain(last).filter(|drawn| (from..to).contains(&drawn.timestamp)).map(corner_of) {
                count -= 1;
                time -= corner.time;
                value -= corner.value;
            }
            averages.push((count > 0).then(|| Corner { time: time / count as f64, value: value / count as f64 }));
            number_of += cell.intervals;
            edges.push(to);
            fit::put_rows(&cell.summary, shape, &mut rows);
        }
        // From the end: the corner of a bucket is the average of the next one that has samples, or what stands at the end.
        let mut next = end.or(last.map(corner_of));
        let mut corners = vec![None; averages.len()];
        for (corner, average) in corners.iter_mut().zip(&averages).rev() {
            if let Some(average) = average {
                // Without an end there is no sample either; the bucket's own average keeps the triangle defined.
                *corner = Some(next.unwrap_or(*average)).filter(|_| shape == IntervalShape::One);
                next = Some(*average);
            }
        }
        SecondPass {
            plan: plan.clone(),
            value_type,
            around,
            edges,
            corners,
            rows,
            after: first.map(|drawn| drawn.timestamp),
            before: last.map(|drawn| drawn.timestamp),
            chosen: start.or(first.map(corner_of)).unwrap_or(Corner { time: 0.0, value: 0.0 }),
            best: None,
            at: 0,
            last: None,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &DownsamplePlan {
        &self.plan
    }

    /// Takes the same samples as `Downsampler::push` did, in runs of any length.
    ///
    /// # Errors
    /// When type, order or rows are not as said there.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), DownsampleError> {
        let mut rows = check_run(samples, rows, self.value_type, &self.plan, self.last)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.last = Some(samples.timestamps[rows.end - 1]);
        let timestamps = &samples.timestamps;
        if let Some(after) = self.after {
            rows.start += timestamps[rows.clone()].partition_point(|timestamp| *timestamp <= after);
        }
        if let Some(before) = self.before {
            rows.end = rows.start + timestamps[rows.clone()].partition_point(|timestamp| *timestamp < before);
        }
        while !rows.is_empty() {
            if timestamps[rows.start] >= self.edges[self.at + 1] {
                self.choose();
                self.at += self.edges[self.at + 1..].partition_point(|edge| *edge <= timestamps[rows.start]);
            }
            let until = column::rows_before(timestamps, &rows, self.edges[self.at + 1]);
            if let Some(corner) = self.corners[self.at] {
                numbers!(samples, column => self.compare(column, samples, rows.start..until, corner));
            }
            rows.start = until;
        }
        Ok(())
    }

    /// The answer.
    ///
    /// # Errors
    /// None for numbers; text does not come here.
    pub fn finish(mut self) -> Result<Samples, DownsampleError> {
        self.choose();
        output::order(&mut self.rows);
        output::finish(&self.rows, &self.around, self.value_type)
    }

    /// Ends a bucket.
    fn choose(&mut self) {
        if let Some((_, drawn)) = self.best.take() {
            self.rows.push(DownsampleRow::from(drawn));
            let value = Scalar { value_type: self.value_type, bits: drawn.bits }.as_f64();
            self.chosen = Corner { time: offset(drawn.timestamp, self.plan.start()), value };
        }
    }

    /// Compares the triangles of the rows of one bucket. Of equal ones the earlier wins.
    fn compare<T: ColumnNumber>(&mut self, column: &[T], samples: &Samples, rows: Range<usize>, corner: Corner) {
        let Corner { time, value } = self.chosen;
        let (base, rise) = (time - corner.time, corner.value - value);
        let origin = self.plan.start();
        // Twice the area; the factor changes no comparison.
        let area = |row: usize| (base * (column[row].number() - value) - (time - offset(samples.timestamps[row], origin)) * rise).abs();
        let all = column::all_drawn(column, samples, &rows);
        let (mut best, mut best_row) = (self.best.map_or(-1.0, |(area, _)| area), None);
        for row in rows {
            if all || column::is_drawn(column, samples, row) {
                let area = area(row);
                // With infinite values an area may be NaN; then the first drawn sample of the bucket stands.
                if area > best || (best < 0.0 && best_row.is_none()) {
                    (best, best_row) = (if area.is_nan() { 0.0 } else { area }, Some(row));
                }
            }
        }
        if let Some(row) = best_row {
            let drawn = Drawn { timestamp: samples.timestamps[row], bits: column[row].bits(), quality: samples.qualities[row] };
            self.best = Some((best, drawn));
        }
    }
}
