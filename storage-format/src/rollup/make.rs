//! States made from samples. Where every sample is counted, which is the usual case, each number is made in a loop of its own over whole
//! columns; the numbers are the same to the bit as in the loop that looks at each sample.

use std::ops::Range;

use super::{RollupState, two_sum};
use crate::codec::lane::Lane;
use crate::{Samples, Values, is_good};

/// Numbers of a state that are to be made; the others stay zero, or unknown. Counts, edges and qualities always are.
///
/// A state that is stored has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set, and spelled out where it is made")]
pub struct Parts {
    /// `minimum`, `maximum`, and whether they occur again.
    pub extremes: bool,
    /// `sum` and `sum_low`.
    pub sum: bool,
    /// `m2`, and the sum that it needs.
    pub m2: bool,
    /// The integrals and their durations.
    pub integrals: bool,
    /// `transitions`.
    pub transitions: bool,
}

impl Parts {
    /// Everything.
    pub const ALL: Self = Self { extremes: true, sum: true, m2: true, integrals: true, transitions: true };
    /// Counts, edges and qualities only.
    pub const NONE: Self = Self { extremes: false, sum: false, m2: false, integrals: false, transitions: false };

    /// What either asks for.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            extremes: self.extremes || other.extremes,
            sum: self.sum || other.sum,
            m2: self.m2 || other.m2,
            integrals: self.integrals || other.integrals,
            transitions: self.transitions || other.transitions,
        }
    }
}

impl RollupState {
    /// The state of the samples in `range` (row numbers), which are in time order; `None` when there are none.
    #[must_use]
    pub fn of(samples: &Samples, range: Range<usize>) -> Option<Self> {
        Self::of_parts(samples, range, Parts::ALL)
    }

    /// The same with some of its numbers only, for a state that is not kept: it costs less. Where not every sample is counted it has all.
    #[must_use]
    pub fn of_parts(samples: &Samples, range: Range<usize>, parts: Parts) -> Option<Self> {
        if range.is_empty() {
            return None;
        }
        Some(match &samples.values {
            Values::F64(values) => of(values, samples, range, parts, |value| value),
            Values::F32(values) => of(values, samples, range, parts, f64::from),
            Values::I64(values) => of(values, samples, range, parts, |value| value as f64),
            Values::U64(values) => of(values, samples, range, parts, |value| value as f64),
            Values::State(values) => of(values, samples, range, parts, f64::from),
            Values::Bool(values) => of(values, samples, range, parts, |value| f64::from(u8::from(value))),
            Values::String(_) => of_text(samples, range),
        })
    }
}

/// How one value type compares and widens.
trait RollupNumber: Lane + PartialOrd {}
impl<T: Lane + PartialOrd> RollupNumber for T {}

fn of<T: RollupNumber>(values: &[T], samples: &Samples, range: Range<usize>, parts: Parts, widen: impl Fn(T) -> f64 + Copy) -> RollupState {
    let all_present = samples.validity.as_ref().is_none_or(|validity| range.clone().all(|index| validity.get(index)));
    let worst = samples.qualities[range.clone()].iter().fold(0, |worst, quality| worst | *quality);
    // Good is 00 in the top two bits: so is the union of Good ones.
    // Without an early end, so that several values are looked at in one step.
    let any_nan = values[range.clone()].iter().fold(false, |any, value| any | (*value).partial_cmp(value).is_none());
    if all_present && is_good(worst) && !any_nan {
        return of_counted(values, samples, range, parts, widen);
    }
    of_any(values, samples, range, widen)
}

/// Every sample is counted.
fn of_counted<T: RollupNumber>(
    values: &[T],
    samples: &Samples,
    range: Range<usize>,
    parts: Parts,
    widen: impl Fn(T) -> f64 + Copy,
) -> RollupState {
    let mut state = RollupState::empty(samples, &range);
    let timestamps = &samples.timestamps[range.clone()];
    let values = &values[range.clone()];
    state.good_count = range.len() as u64;
    state.worst_quality = samples.qualities[range].iter().fold(0, |worst, quality| worst.max(*quality));
    state.first_counted = values.first().map(|value| value.to_lane());
    state.last_counted = values.last().map(|value| value.to_lane());
    if parts.sum || parts.m2 {
        for value in values {
            let (sum, low) = two_sum(state.sum, widen(*value));
            state.sum = sum;
            state.sum_low += low;
        }
    }
    if parts.m2 {
        let mean = (state.sum + state.sum_low) / state.good_count as f64;
        for value in values {
            let number = widen(*value);
            state.m2 += (number - mean) * (number - mean);
        }
    }
    if parts.extremes {
        (state.minimum, state.minimum_repeated) = extreme(values, timestamps, |a, b| a < b);
        (state.maximum, state.maximum_repeated) = extreme(values, timestamps, |a, b| a > b);
    }
    if parts.transitions {
        state.transitions = values.windows(2).map(|pair| u64::from(pair[0].to_lane() != pair[1].to_lane())).sum();
    }
    if parts.integrals {
        for (pair, times) in values.windows(2).zip(timestamps.windows(2)) {
            let (height, number) = (widen(pair[0]), widen(pair[1]));
            let gap = times[1].wrapping_sub(times[0]);
            let seconds = gap as f64 * 1e-9;
            state.integral_stepped += height * seconds;
            state.integral_sloped += (height + number) * 0.5 * seconds;
        }
        let covered = state.last.timestamp.wrapping_sub(state.first.timestamp);
        (state.duration_sloped, state.duration_stepped) = (covered, covered);
    }
    state
}

/// The first occurrence of an extreme, and whether there is another.
fn extreme<T: RollupNumber>(values: &[T], timestamps: &[i64], wins: impl Fn(T, T) -> bool + Copy) -> (Option<(u64, i64)>, Option<bool>) {
    // Lanes that the processor can keep apart: the extreme does not depend on the order.
    const LANES: usize = 8;
    let better = |a: T, b: T| if wins(b, a) { b } else { a };
    let Some(&first) = values.first() else {
        return (None, Some(false));
    };
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [first; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = better(*lane, *value);
        }
    }
    let extreme = lanes.into_iter().chain(rest.iter().copied()).fold(first, better);
    // Counting all is faster than stopping early.
    let count: usize = values.iter().map(|value| usize::from(*value == extreme)).sum();
    let at = values.iter().position(|value| *value == extreme);
    (at.map(|at| (values[at].to_lane(), timestamps[at])), Some(count > 1))
}

fn of_any<T: RollupNumber>(values: &[T], samples: &Samples, range: Range<usize>, widen: impl Fn(T) -> f64) -> RollupState {
    let mut state = RollupState::empty(samples, &range);
    let timestamps = &samples.timestamps;
    let mut before: Option<(usize, f64, bool)> = None;
    let mut extremes: Option<(usize, usize)> = None;
    let (mut minimum_repeated, mut maximum_repeated) = (false, false);
    for index in range.clone() {
        let present = samples.is_valid(index);
        let quality = samples.qualities[index];
        state.null_count += u64::from(!present);
        state.worst_quality = state.worst_quality.max(quality);
        let value = values[index];
        let number = widen(value);
        let counted = present && is_good(quality) && !number.is_nan();
        if let Some((previous, height, true)) = before {
            let gap = timestamps[index].wrapping_sub(timestamps[previous]);
            let seconds = gap as f64 * 1e-9;
            state.integral_stepped += height * seconds;
            state.duration_stepped = state.duration_stepped.wrapping_add(gap);
            if counted {
                state.integral_sloped += (height + number) * 0.5 * seconds;
                state.duration_sloped = state.duration_sloped.wrapping_add(gap);
            }
        }
        before = Some((index, number, counted));
        if !counted {
            continue;
        }
        state.good_count += 1;
        let (sum, low) = two_sum(state.sum, number);
        state.sum = sum;
        state.sum_low += low;
        let bits = value.to_lane();
        state.transitions += u64::from(state.last_counted.is_some_and(|last| last != bits));
        state.first_counted = state.first_counted.or(Some(bits));
        state.last_counted = Some(bits);
        let Some((low, high)) = &mut extremes else {
            extremes = Some((index, index));
            continue;
        };
        if value < values[*low] {
            (*low, minimum_repeated) = (index, false);
        } else {
            minimum_repeated |= value == values[*low];
        }
        if value > values[*high] {
            (*high, maximum_repeated) = (index, false);
        } else {
            maximum_repeated |= value == values[*high];
        }
    }
    (state.minimum_repeated, state.maximum_repeated) = (Some(minimum_repeated), Some(maximum_repeated));
    if let Some((low, high)) = extremes {
        state.minimum = Some((values[low].to_lane(), timestamps[low]));
        state.maximum = Some((values[high].to_lane(), timestamps[high]));
        let mean = (state.sum + state.sum_low) / state.good_count as f64;
        for index in range {
            let number = widen(values[index]);
            if samples.is_valid(index) && is_good(samples.qualities[index]) && !number.is_nan() {
                state.m2 += (number - mean) * (number - mean);
            }
        }
    }
    state
}

fn of_text(samples: &Samples, range: Range<usize>) -> RollupState {
    let mut state = RollupState::empty(samples, &range);
    for index in range {
        let present = samples.is_valid(index);
        state.null_count += u64::from(!present);
        state.good_count += u64::from(present && is_good(samples.qualities[index]));
        state.worst_quality = state.worst_quality.max(samples.qualities[index]);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, ValueType};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns_and_single_samples_make_the_same_state_to_the_bit(
            values in proptest::collection::vec(prop_oneof![(-3_i8..3).prop_map(f64::from), any::<f64>().prop_filter("a number", |value| !value.is_nan())], 1..80),
            from in 0_usize..8,
        ) {
            let mut samples = Samples::new(ValueType::F64);
            for (value, at) in values.iter().zip(0_i64..) {
                samples.push(at * 900_000_001, Some(&Value::F64(*value)), 0x0000_0400 * u32::from(at % 3 == 0)).unwrap();
            }
            let range = from.min(values.len() - 1)..values.len();
            let Values::F64(column) = &samples.values else { unreachable!() };
            let fast = of(column, &samples, range.clone(), Parts::ALL, |value| value);
            let slow = of_any(column, &samples, range.clone(), |value| value);
            // By text: sums of infinities are NaN, which is not equal to itself.
            prop_assert_eq!(format!("{fast:?}"), format!("{slow:?}"));
            let few = of(column, &samples, range, Parts { extremes: true, sum: true, ..Parts::NONE }, |value| value);
            prop_assert_eq!(format!("{:?}", (few.minimum, few.maximum_repeated, few.sum, few.sum_low)), format!("{:?}", (slow.minimum, slow.maximum_repeated, slow.sum, slow.sum_low)));
            prop_assert_eq!((few.m2.to_bits(), few.integral_sloped.to_bits(), few.transitions), (0, 0, 0));
        }
    }
}
