//! Whether a rollup state tells enough for a function: a matter of the state and the configuration alone, so that the answer does not
//! depend on where the state came from.

use historian_format::ValueType;
use historian_format::rollup::{Parts, RollupState};

use super::configuration::AggregateConfiguration;
use super::function::{AggregateFunction, BoundingValues};
use historian_model::Quality;

/// Whether `function` of an interval can be answered from the state of its samples, to the bit as every other state of them would.
pub fn is_enough(function: AggregateFunction, state: &RollupState, value_type: ValueType, configuration: AggregateConfiguration) -> bool {
    if value_type == ValueType::String && !function.takes_text() {
        // The answer is the same whatever the samples are.
        return true;
    }
    // Every sample is Good with a number: nothing is hidden in the state.
    let all = state.good_count == state.count;
    let repeats_known = state.minimum_repeated.is_some() && state.maximum_repeated.is_some();
    // The others count as Bad whatever they are.
    let others_are_bad = configuration.uncertain_is_bad();
    match function {
        // Of these the bounds look at the samples next to the edges only.
        AggregateFunction::Start
        | AggregateFunction::End
        | AggregateFunction::AnnotationCount
        | AggregateFunction::StartBound
        | AggregateFunction::EndBound
        | AggregateFunction::DeltaBounds => true,
        AggregateFunction::Average | AggregateFunction::Count => {
            all || (others_are_bad || undecided_is_uncertain(state, configuration)) && !configuration.use_uncertain_values
        }
        AggregateFunction::Delta
        | AggregateFunction::StandardDeviationSample
        | AggregateFunction::StandardDeviationPopulation
        | AggregateFunction::VarianceSample
        | AggregateFunction::VariancePopulation => all || !configuration.use_uncertain_values,
        AggregateFunction::Range => all || others_are_bad,
        AggregateFunction::Minimum
        | AggregateFunction::Maximum
        | AggregateFunction::MinimumActualTime
        | AggregateFunction::MaximumActualTime => (all || others_are_bad) && repeats_known,
        AggregateFunction::WorstQuality | AggregateFunction::WorstQuality2 => {
            Quality(state.worst_quality).is_good() && (all || function.bounds() == BoundingValues::None)
        }
        AggregateFunction::Minimum2
        | AggregateFunction::Maximum2
        | AggregateFunction::MinimumActualTime2
        | AggregateFunction::MaximumActualTime2 => all && repeats_known,
        AggregateFunction::DurationInStateZero | AggregateFunction::DurationInStateNonZero => all && splits_by_zero(state, value_type),
        AggregateFunction::Interpolative | AggregateFunction::TimeAverage | AggregateFunction::Total => {
            all && !configuration.use_sloped_extrapolation
        }
        AggregateFunction::TimeAverage2
        | AggregateFunction::Total2
        | AggregateFunction::Range2
        | AggregateFunction::NumberOfTransitions
        | AggregateFunction::DurationGood
        | AggregateFunction::DurationBad
        | AggregateFunction::PercentGood
        | AggregateFunction::PercentBad => all,
    }
}

/// The numbers of a state that these functions look at: what [`RollupState::of_parts`] must make for them, and no more.
pub fn parts(functions: &[AggregateFunction], value_type: ValueType) -> Parts {
    functions.iter().fold(Parts::NONE, |parts, function| {
        parts.and(match function {
            AggregateFunction::Average => Parts { sum: true, ..Parts::NONE },
            AggregateFunction::StandardDeviationSample
            | AggregateFunction::StandardDeviationPopulation
            | AggregateFunction::VarianceSample
            | AggregateFunction::VariancePopulation => Parts { m2: true, ..Parts::NONE },
            AggregateFunction::Minimum
            | AggregateFunction::Maximum
            | AggregateFunction::MinimumActualTime
            | AggregateFunction::MaximumActualTime
            | AggregateFunction::Range
            | AggregateFunction::Minimum2
            | AggregateFunction::Maximum2
            | AggregateFunction::MinimumActualTime2
            | AggregateFunction::MaximumActualTime2
            | AggregateFunction::Range2 => Parts { extremes: true, ..Parts::NONE },
            AggregateFunction::TimeAverage | AggregateFunction::TimeAverage2 | AggregateFunction::Total | AggregateFunction::Total2 => {
                Parts { integrals: true, ..Parts::NONE }
            }
            AggregateFunction::DurationInStateZero | AggregateFunction::DurationInStateNonZero => {
                Parts { extremes: true, integrals: value_type == ValueType::Bool, ..Parts::NONE }
            }
            AggregateFunction::NumberOfTransitions => Parts { transitions: true, ..Parts::NONE },
            _ => Parts::NONE,
        })
    })
}

/// Among samples that were not counted a state does not tell Uncertain from Bad. It need not where even all of them Bad would not make the
/// answer Bad.
fn undecided_is_uncertain(state: &RollupState, configuration: AggregateConfiguration) -> bool {
    let percent = |part: u64| part as f64 / state.count as f64 * 100.0;
    percent(state.good_count) >= f64::from(configuration.percent_data_good)
        || percent(state.count - state.good_count) < f64::from(configuration.percent_data_bad)
}

/// Whether the time at zero can be told from the time that is not: all on one side, or a bool, whose integral tells it.
fn splits_by_zero(state: &RollupState, value_type: ValueType) -> bool {
    let number = |bits: u64| historian_format::Scalar { value_type, bits }.as_f64();
    match (state.minimum, state.maximum) {
        (Some((minimum, _)), Some((maximum, _))) => {
            value_type == ValueType::Bool
                || number(minimum) > 0.0
                || number(maximum) < 0.0
                || (number(minimum) == 0.0 && number(maximum) == 0.0)
        }
        _ => false,
    }
}
