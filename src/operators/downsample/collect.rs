//! Takes the samples of a range as they are read, and holds no more of them than the answer has room for.

use std::ops::Range;

use historian_format::{Samples, ValueType};

use super::{
    DownsampleError, DownsamplePlan, DownsampleRange, IntervalSummary, LineBreak, Method, SecondPass, Surroundings,
    column::{self, Sums, numbers},
    fit::{self, IntervalShape},
    output::{self, DownsampleRow, edges},
    plan::check_run,
    text::Changes,
};

/// Downsamples one tag.
#[derive(Debug)]
pub struct Downsampler {
    plan: DownsamplePlan,
    value_type: ValueType,
    around: Surroundings,
    /// One for each interval of the plan.
    summaries: Vec<IntervalSummary>,
    /// One for each interval, for LTTB; else empty.
    sums: Vec<Sums>,
    /// Takes the place of summaries for text.
    text: Option<Changes>,
    /// All samples, as long as they may be few enough to be the answer.
    few: Option<Samples>,
    /// Samples that came, one by one or in summaries.
    count: u64,
    summarised: bool,
    /// Interval of the last sample.
    at: usize,
    /// Values at the edges are wanted also where all samples fit without them.
    keeps_edges: bool,
    /// A run of breaking samples goes on.
    open: bool,
    gap: usize,
    last: Option<i64>,
}

/// What became of the samples.
#[derive(Debug)]
pub enum CollectStep {
    /// The answer.
    Done(Samples),
    /// LTTB: read the same samples a second time, into this.
    SecondPass(Box<SecondPass>),
    /// The range has so few samples that all of them may be the answer, but some came as summaries: begin again with samples only.
    SamplesOnly,
}

impl Downsampler {
    /// A downsampler that has seen nothing.
    ///
    /// # Errors
    /// [`DownsampleError::ValueType`] or [`DownsampleError::Order`] when a boundary sample is of another type or inside the range.
    pub fn new(plan: DownsamplePlan, value_type: ValueType, mut around: Surroundings) -> Result<Downsampler, DownsampleError> {
        for sample in [&around.before, &around.after].into_iter().flatten() {
            if let Some(found) = sample.value.as_ref().map(historian_format::Value::value_type)
                && found != value_type
            {
                return Err(DownsampleError::ValueType { expected: value_type, found });
            }
        }
        if let Some(before) = around.before.as_ref().filter(|before| before.timestamp > plan.start()) {
            return Err(DownsampleError::Order { timestamp: plan.start(), last: before.timestamp });
        }
        if let Some(after) = around.after.as_ref().filter(|after| after.timestamp < plan.end()) {
            return Err(DownsampleError::Order { timestamp: after.timestamp, last: plan.end() });
        }
        around.gaps.sort_by_key(|gap| gap.timestamp);
        let rows_max = plan.points() - edges(&around);
        let is_text = value_type == ValueType::String;
        let intervals = if is_text { 0 } else { plan.intervals().len() };
        let lttb = plan.method() == Method::Lttb;
        Ok(Downsampler {
            summaries: vec![IntervalSummary::default(); intervals],
            sums: vec![Sums::default(); if lttb { intervals } else { 0 }],
            text: is_text.then(|| Changes::new(around.before.as_ref(), rows_max)),
            few: Some(Samples::new(value_type)),
            count: 0,
            summarised: false,
            at: 0,
            keeps_edges: false,
            open: around.before.as_ref().is_some_and(|before| !output::is_drawn(before)),
            gap: around.gaps.partition_point(|gap| gap.timestamp < plan.start()),
            last: None,
            plan,
            value_type,
            around,
        })
    }

    /// As it is, for samples that were chosen already: the edges are part of the answer.
    pub(super) fn with_edges(self) -> Downsampler {
        Downsampler { keeps_edges: true, ..self }
    }

    /// The plan.
    pub fn plan(&self) -> &DownsamplePlan {
        &self.plan
    }

    /// Takes `rows` of `samples`, which increase strictly in time and follow all that came before. Those outside the range are passed over.
    ///
    /// # Errors
    /// When type, order or rows are not as said, and for text that changes too often.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), DownsampleError> {
        let rows = check_run(samples, rows, self.value_type, &self.plan, self.last)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.last = Some(samples.timestamps[rows.end - 1]);
        self.count += rows.len() as u64;
        if let Some(few) = &mut self.few {
            if few.len() + rows.len() <= self.plan.points() {
                return few.extend_range(samples, rows).map_err(|_| DownsampleError::TextBytes);
            }
            self.fold_few()?;
        }
        self.fold(samples, rows)
    }

    /// Takes what is known of samples that follow all that came before and lie in one interval of the plan.
    ///
    /// # Errors
    /// [`DownsampleError::NoSummaries`] with LTTB, and when the summary lies elsewhere or is of no samples.
    pub fn push_summary(&mut self, summary: &IntervalSummary) -> Result<(), DownsampleError> {
        if !self.plan.takes_summaries() || self.text.is_some() {
            return Err(DownsampleError::NoSummaries(self.plan.method()));
        }
        let (Some(first), Some(last)) = (summary.first, summary.last) else {
            return Err(DownsampleError::Summary { first: self.plan.start(), last: self.plan.start() });
        };
        let (first, last) = (first.timestamp, last.timestamp);
        if let Some(before) = self.last.filter(|before| *before >= first) {
            return Err(DownsampleError::Order { timestamp: first, last: before });
        }
        if first < self.plan.start() || last >= self.plan.end() {
            return Err(DownsampleError::Summary { first, last });
        }
        if self.few.is_some() {
            self.fold_few()?;
        }
        self.put_gaps_before(first)?;
        self.seek(first);
        if last >= self.plan.edges()[self.at + 1] {
            return Err(DownsampleError::Summary { first, last });
        }
        let mut next = *summary;
        while let Some(gap) = self.next_gap(last) {
            next.start_break(gap);
        }
        self.summaries[self.at].merge(&next, self.value_type);
        self.open = false;
        self.last = Some(last);
        self.count += summary.count;
        self.summarised = true;
        Ok(())
    }

    /// The answer, or what is to be done for it.
    ///
    /// # Errors
    /// For text that changes too often.
    pub fn finish(mut self) -> Result<CollectStep, DownsampleError> {
        if let Some(few) = &self.few {
            let all = self.all(few)?;
            // All samples come before values at the edges, which nobody measured.
            let (before, after) = (self.around.before.as_ref(), self.around.after.as_ref());
            let edges = [(before, after), (before, None), (None, None)];
            let choices = if self.keeps_edges { 1 } else { edges.len() };
            for (before, after) in edges.into_iter().take(choices) {
                let answer = output::between(before, after, &all)?;
                if answer.len() <= self.plan.points() {
                    return Ok(CollectStep::Done(answer));
                }
            }
            self.fold_few()?;
        }
        if self.summarised && self.count <= self.plan.points() as u64 {
            return Ok(CollectStep::SamplesOnly);
        }
        self.put_gaps_before(self.plan.end())?;
        if let Some(text) = self.text {
            let Surroundings { before, after, .. } = &self.around;
            return output::between(before.as_ref(), after.as_ref(), &text.into_samples()).map(CollectStep::Done);
        }
        let rows_max = self.plan.points() - edges(&self.around);
        match self.plan.method() {
            Method::Plot | Method::M4 => self.extremes(rows_max, IntervalShape::FirstLast),
            Method::MinMax => self.extremes(rows_max, IntervalShape::Extremes),
            Method::Lttb => {
                let pass = SecondPass::new(&self.plan, self.value_type, self.around, &self.summaries, &self.sums);
                Ok(CollectStep::SecondPass(Box::new(pass)))
            }
            Method::MinMaxLttb => self.lttb_of_extremes(),
        }
    }

    /// The answer of the intervals themselves.
    fn extremes(self, rows_max: usize, shape: IntervalShape) -> Result<CollectStep, DownsampleError> {
        let (cells, shape) = fit::fit(&self.summaries, rows_max, shape, self.value_type);
        let mut rows = Vec::with_capacity(rows_max.min(cells.len() * 5));
        for cell in &cells {
            fit::put_rows(&cell.summary, shape, &mut rows);
        }
        output::order(&mut rows);
        output::finish(&rows, &self.around, self.value_type).map(CollectStep::Done)
    }

    /// LTTB with the extremes of the intervals as its samples, and the outermost ones, which LTTB keeps.
    fn lttb_of_extremes(self) -> Result<CollectStep, DownsampleError> {
        let mut rows: Vec<DownsampleRow> = Vec::with_capacity(self.summaries.len() * 2 + 2);
        for summary in &self.summaries {
            fit::put_rows(summary, IntervalShape::Extremes, &mut rows);
        }
        rows.extend(self.summaries.iter().find_map(|summary| summary.first).map(DownsampleRow::from));
        rows.extend(self.summaries.iter().rev().find_map(|summary| summary.last).map(DownsampleRow::from));
        output::order(&mut rows);
        let chosen = output::finish(&rows, &Surroundings::default(), self.value_type)?;
        let request = DownsampleRange { method: Method::Lttb, ..self.plan.request() };
        // The rows tell of the gaps already.
        let around = Surroundings { gaps: Vec::new(), ..self.around };
        lttb(DownsamplePlan::new(request), around, &chosen).map(CollectStep::Done)
    }

    /// Every sample as a row, those that break a line without a value.
    fn all(&self, samples: &Samples) -> Result<Samples, DownsampleError> {
        let full = |_| DownsampleError::TextBytes;
        let mut rows = super::answer(self.value_type, samples.len());
        let gaps = self.around.gaps[self.gap..].iter().take_while(|gap| gap.timestamp < self.plan.end());
        let mut gaps = gaps.peekable();
        let mut open = self.open;
        for row in 0..=samples.len() {
            let timestamp = samples.timestamps.get(row).copied();
            while let Some(gap) = gaps.next_if(|gap| timestamp.is_none_or(|timestamp| gap.timestamp < timestamp)) {
                let at = rows.timestamps.last().map_or(gap.timestamp, |last| gap.timestamp.max(last.saturating_add(1)));
                if !open && timestamp.is_none_or(|timestamp| at < timestamp) {
                    rows.push(at, None, gap.quality).map_err(full)?;
                    open = true;
                }
            }
            let Some(timestamp) = timestamp else { break };
            let mut drawn = !super::breaks(samples.qualities[row]) && samples.is_valid(row);
            numbers!(samples, column => drawn = column::is_drawn(column, samples, row));
            if drawn {
                rows.extend_range(samples, row..row + 1).map_err(full)?;
            } else {
                rows.push(timestamp, None, samples.qualities[row]).map_err(full)?;
            }
            open = !drawn;
        }
        Ok(rows)
    }

    fn fold_few(&mut self) -> Result<(), DownsampleError> {
        match self.few.take() {
            Some(few) if !few.is_empty() => self.fold(&few, 0..few.len()),
            _ => Ok(()),
        }
    }

    /// Adds rows to their intervals, with the gaps between them.
    fn fold(&mut self, samples: &Samples, mut rows: Range<usize>) -> Result<(), DownsampleError> {
        let last = samples.timestamps[rows.end - 1];
        while let Some(gap) = self.next_gap(last) {
            let timestamps = &samples.timestamps[rows.clone()];
            let until = rows.start + timestamps.partition_point(|timestamp| *timestamp <= gap.timestamp);
            self.fold_rows(samples, rows.start..until)?;
            self.put_gap(gap)?;
            rows.start = until;
        }
        self.fold_rows(samples, rows)
    }

    fn fold_rows(&mut self, samples: &Samples, mut rows: Range<usize>) -> Result<(), DownsampleError> {
        if let Some(text) = &mut self.text {
            return text.add(samples, rows);
        }
        while !rows.is_empty() {
            self.seek(samples.timestamps[rows.start]);
            let (from, to) = (self.plan.edges()[self.at], self.plan.edges()[self.at + 1]);
            let until = column::rows_before(&samples.timestamps, &rows, to);
            let part = rows.start..until;
            let summary = &mut self.summaries[self.at];
            numbers!(samples, column => {
                column::add(column, samples, part.clone(), summary, &mut self.open);
                if let Some(sums) = self.sums.get_mut(self.at) {
                    sums.add(column, samples, part, from);
                }
            });
            rows.start = until;
        }
        Ok(())
    }

    /// Goes to the interval of a timestamp, which is not before the present one.
    fn seek(&mut self, timestamp: i64) {
        if timestamp >= self.plan.edges()[self.at + 1] {
            self.at += self.plan.edges()[self.at + 1..].partition_point(|edge| *edge <= timestamp);
        }
    }

    /// The next gap that starts before `to`.
    fn next_gap(&mut self, to: i64) -> Option<LineBreak> {
        let gap = self.around.gaps.get(self.gap).copied().filter(|gap| gap.timestamp < to)?;
        self.gap += 1;
        Some(gap)
    }

    fn put_gaps_before(&mut self, to: i64) -> Result<(), DownsampleError> {
        while let Some(gap) = self.next_gap(to) {
            self.put_gap(gap)?;
        }
        Ok(())
    }

    fn put_gap(&mut self, gap: LineBreak) -> Result<(), DownsampleError> {
        if let Some(text) = &mut self.text {
            return text.start_break(gap.timestamp, gap.quality);
        }
        if !std::mem::replace(&mut self.open, true) {
            self.seek(gap.timestamp);
            self.summaries[self.at].start_break(gap);
        }
        Ok(())
    }
}

/// Both passes over samples in memory.
fn lttb(plan: DownsamplePlan, around: Surroundings, samples: &Samples) -> Result<Samples, DownsampleError> {
    let mut first = Downsampler::new(plan, samples.value_type(), around)?.with_edges();
    first.push(samples, 0..samples.len())?;
    match first.finish()? {
        CollectStep::Done(answer) => Ok(answer),
        CollectStep::SecondPass(mut second) => {
            second.push(samples, 0..samples.len())?;
            second.finish()
        }
        // Only summaries lead here, and there were none.
        CollectStep::SamplesOnly => Ok(super::answer(samples.value_type(), 0)),
    }
}
