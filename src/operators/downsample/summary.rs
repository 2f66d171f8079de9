//! What an interval keeps of its samples: enough for PLOT, M4 and MINMAX, and it can be merged.

use historian_format::{Scalar, Statistics, ValueType, rollup::RollupState};

/// A drawn sample. The value's bits are those of [`Scalar`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// ns since 1970, UTC.
    pub timestamp: i64,
    /// The value.
    pub bits: u64,
    /// OPC UA status code, Good or Uncertain.
    pub quality: u32,
}

/// Where a line ends: the start of a run of Bad samples, nulls or NaN, or of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineBreak {
    /// ns since 1970, UTC.
    pub timestamp: i64,
    /// OPC UA status code of the first sample of the run, or of the gap.
    pub quality: u32,
}

/// The samples of one interval, or of a part of it. From outside it is made of what is stored: of a rollup's state, or a chunk's statistics.
///
/// Equal extremes are represented by the earliest. A run of breaking samples belongs to the interval in which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IntervalSummary {
    /// Samples, drawn or not.
    pub(super) count: u64,
    /// First drawn sample; `None` when there is none, and then the next three are `None` as well.
    pub(super) first: Option<Drawn>,
    /// Last drawn sample.
    pub(super) last: Option<Drawn>,
    /// Smallest drawn sample.
    pub(super) minimum: Option<Drawn>,
    /// Largest drawn sample.
    pub(super) maximum: Option<Drawn>,
    /// Start of the first run of breaking samples that starts here.
    pub(super) first_break: Option<LineBreak>,
    /// Start of the last run of breaking samples that starts here.
    pub(super) last_break: Option<LineBreak>,
}

impl IntervalSummary {
    /// What a rollup's state tells. `None` when it does not tell enough and the samples are needed: some sample is not plainly Good (its
    /// quality other than 0, its value null or NaN), or the values are text.
    pub fn of_state(state: &RollupState, value_type: ValueType) -> Option<IntervalSummary> {
        if state.good_count != state.count || state.worst_quality != 0 || value_type == ValueType::String {
            return None;
        }
        let good = |(bits, timestamp)| Drawn { timestamp, bits, quality: 0 };
        Some(IntervalSummary {
            count: state.count,
            first: Some(good((state.first.bits?, state.first.timestamp))),
            last: Some(good((state.last.bits?, state.last.timestamp))),
            minimum: Some(good(state.minimum?)),
            maximum: Some(good(state.maximum?)),
            first_break: None,
            last_break: None,
        })
    }

    /// Samples in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What the statistics in a chunk's header tell of all its samples; `None` as for a state.
    pub fn of_statistics(statistics: &Statistics) -> Option<IntervalSummary> {
        if statistics.good_count != statistics.count || statistics.worst_quality != 0 {
            return None;
        }
        let good = |scalar: Scalar, timestamp| Drawn { timestamp, bits: scalar.bits, quality: 0 };
        let (minimum, maximum) = (statistics.minimum?, statistics.maximum?);
        Some(IntervalSummary {
            count: u64::from(statistics.count),
            first: Some(good(statistics.first_value?, statistics.first_timestamp)),
            last: Some(good(statistics.last_value?, statistics.last_timestamp)),
            minimum: Some(good(minimum.value, minimum.timestamp)),
            maximum: Some(good(maximum.value, maximum.timestamp)),
            first_break: None,
            last_break: None,
        })
    }

    /// Takes in what follows in time.
    pub(super) fn merge(&mut self, next: &IntervalSummary, value_type: ValueType) {
        self.count += next.count;
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
        self.minimum = better(self.minimum, next.minimum, |mine, other| less(value_type, other, mine));
        self.maximum = better(self.maximum, next.maximum, |mine, other| less(value_type, mine, other));
        self.first_break = self.first_break.or(next.first_break);
        self.last_break = next.last_break.or(self.last_break);
    }

    /// Notes that a run of breaking samples starts.
    pub(super) fn start_break(&mut self, at: LineBreak) {
        self.first_break = self.first_break.or(Some(at));
        self.last_break = Some(at);
    }

    /// The one break that is shown: that of a run still open at the end of the interval, else the first.
    pub(super) fn shown_break(&self) -> Option<LineBreak> {
        // A gap may start with the last sample before it.
        let open = |at: &LineBreak| self.last.is_none_or(|last| last.timestamp <= at.timestamp);
        self.last_break.filter(open).or(self.first_break)
    }

    /// Largest less smallest, 0 when nothing is drawn; not finite where a value is not.
    pub(super) fn spread(&self, value_type: ValueType) -> f64 {
        let number = |drawn: Drawn| Scalar { value_type, bits: drawn.bits }.as_f64();
        self.minimum.zip(self.maximum).map_or(0.0, |(minimum, maximum)| number(maximum) - number(minimum))
    }
}

fn better(mine: Option<Drawn>, other: Option<Drawn>, wins: impl Fn(u64, u64) -> bool) -> Option<Drawn> {
    match (mine, other) {
        (Some(a), Some(b)) if wins(a.bits, b.bits) => other,
        (Some(_), _) => mine,
        (None, _) => other,
    }
}

/// Whether one value is smaller than another; integers are compared as such, since two of them may have the same nearest f64.
fn less(value_type: ValueType, a: u64, b: u64) -> bool {
    match value_type {
        ValueType::F64 => f64::from_bits(a) < f64::from_bits(b),
        ValueType::F32 => Scalar { value_type, bits: a }.as_f64() < Scalar { value_type, bits: b }.as_f64(),
        ValueType::I64 => a.cast_signed() < b.cast_signed(),
        ValueType::U64 | ValueType::Bool | ValueType::State | ValueType::String => a < b,
    }
}
