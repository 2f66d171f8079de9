//! The 37 aggregate functions by name: what each is called, and what kind of answer it gives.
//!
//! Adding one is a variant here, a row in `FUNCTIONS` and an arm in `answer`.

use std::fmt;
use std::str::FromStr;

/// An aggregate function of OPC 10000-13.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the standard's; what each does is in `FUNCTIONS`")]
pub enum AggregateFunction {
    Interpolative,
    Average,
    TimeAverage,
    TimeAverage2,
    Total,
    Total2,
    Minimum,
    Maximum,
    MinimumActualTime,
    MaximumActualTime,
    Range,
    Minimum2,
    Maximum2,
    MinimumActualTime2,
    MaximumActualTime2,
    Range2,
    AnnotationCount,
    Count,
    DurationInStateZero,
    DurationInStateNonZero,
    NumberOfTransitions,
    Start,
    End,
    Delta,
    StartBound,
    EndBound,
    DeltaBounds,
    DurationGood,
    DurationBad,
    PercentGood,
    PercentBad,
    WorstQuality,
    WorstQuality2,
    StandardDeviationSample,
    VarianceSample,
    StandardDeviationPopulation,
    VariancePopulation,
}

/// What the value of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueUnit {
    /// The tag's engineering unit.
    Value,
    /// The tag's unit × seconds.
    ValueSeconds,
    /// The square of the tag's unit.
    ValueSquared,
    /// A whole number.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// 0 to 100.
    Percent,
    /// An OPC UA status code.
    StatusCode,
}

/// Which bounding values a function takes at the edges of an interval (OPC 10000-13, 3.1.8 and 3.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoundingValues {
    /// None: samples in the interval only.
    None,
    /// From the nearest usable samples, however far.
    Interpolated,
    /// From the samples next to the edge, whatever their quality.
    Simple,
}

impl BoundingValues {
    /// The name in an answer's metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Interpolated => "interpolated",
            Self::Simple => "simple",
        }
    }
}

/// One row of the registry.
struct FunctionEntry {
    function: AggregateFunction,
    name: &'static str,
    unit: ValueUnit,
    bounds: BoundingValues,
    description: &'static str,
}

macro_rules! functions {
    ($($function:ident $name:literal $unit:ident $bounds:ident $description:literal;)*) => {
        /// Every function, in the order of the standard's clauses 5.4.3.4 to 5.4.3.40.
        static FUNCTIONS: &[FunctionEntry] = &[$(FunctionEntry {
            function: AggregateFunction::$function, name: $name, unit: ValueUnit::$unit, bounds: BoundingValues::$bounds, description: $description,
        },)*];
    };
}

functions! {
    Interpolative "interpolative" Value Interpolated "value at the interval's start";
    Average "average" Value None "arithmetic mean of the Good samples";
    TimeAverage "time_average" Value Interpolated "time-weighted mean in straight lines, across Bad samples, also of stepped tags; time_average2 is what such tags want";
    TimeAverage2 "time_average2" Value Simple "time-weighted mean without the time that is Bad; honours stepped";
    Total "total" ValueSeconds Interpolated "integral over time across Bad samples, in unit × seconds; honours stepped";
    Total2 "total2" ValueSeconds Simple "integral over time without the time that is Bad, in unit × seconds; honours stepped";
    Minimum "minimum" Value None "smallest Good sample";
    Maximum "maximum" Value None "largest Good sample";
    MinimumActualTime "minimum_actual_time" Value None "smallest Good sample, at its own timestamp";
    MaximumActualTime "maximum_actual_time" Value None "largest Good sample, at its own timestamp";
    Range "range" Value None "maximum less minimum";
    Minimum2 "minimum2" Value Simple "smallest value, edges included";
    Maximum2 "maximum2" Value Simple "largest value, edges included";
    MinimumActualTime2 "minimum_actual_time2" Value Simple "smallest value, edges included, at its own timestamp";
    MaximumActualTime2 "maximum_actual_time2" Value Simple "largest value, edges included, at its own timestamp";
    Range2 "range2" Value Simple "maximum2 less minimum2";
    AnnotationCount "annotation_count" Count None "annotations whose start lies in the interval";
    Count "count" Count None "Good samples";
    DurationInStateZero "duration_in_state_zero" Milliseconds Simple "time for which the Good value was 0";
    DurationInStateNonZero "duration_in_state_non_zero" Milliseconds Simple "time for which the Good value was not 0";
    NumberOfTransitions "number_of_transitions" Count None "changes of the value, the one into the interval included";
    Start "start" Value None "earliest sample of any quality, at its own timestamp";
    End "end" Value None "latest sample of any quality, at its own timestamp";
    Delta "delta" Value None "latest less earliest Good sample";
    StartBound "start_bound" Value Simple "value at the interval's start";
    EndBound "end_bound" Value Simple "value at the interval's end";
    DeltaBounds "delta_bounds" Value Simple "value at the later edge less value at the earlier one";
    DurationGood "duration_good" Milliseconds Simple "time for which the quality was Good";
    DurationBad "duration_bad" Milliseconds Simple "time for which the quality was Bad";
    PercentGood "percent_good" Percent Simple "duration_good in percent of the interval";
    PercentBad "percent_bad" Percent Simple "duration_bad in percent of the interval";
    WorstQuality "worst_quality" StatusCode None "worst status code of the samples";
    WorstQuality2 "worst_quality2" StatusCode Simple "worst status code, edges included";
    StandardDeviationSample "standard_deviation_sample" Value None "standard deviation of the Good samples, n - 1";
    VarianceSample "variance_sample" ValueSquared None "variance of the Good samples, n - 1";
    StandardDeviationPopulation "standard_deviation_population" Value None "standard deviation of the Good samples, n";
    VariancePopulation "variance_population" ValueSquared None "variance of the Good samples, n";
}

/// A text that names no aggregate function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown aggregate function `{name}`; expected one of {}", AggregateFunction::ALL.map(AggregateFunction::name).join(", "))]
pub struct UnknownFunction {
    /// What was asked for.
    pub name: String,
}

impl AggregateFunction {
    /// Number of functions.
    pub const COUNT: usize = 37;

    /// Every function, in the order of the standard.
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::Interpolative; Self::COUNT];
        let mut index = 0;
        while index < Self::COUNT {
            all[index] = FUNCTIONS[index].function;
            index += 1;
        }
        all
    };

    const fn row(self) -> &'static FunctionEntry {
        // `FUNCTIONS` has the order of the variants; a test holds that.
        &FUNCTIONS[self as usize]
    }

    /// The name in requests: the standard's in `snake_case`, with a 2 attached (`time_average2`).
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// One line for people.
    pub const fn description(self) -> &'static str {
        self.row().description
    }

    /// What the answer's value is.
    pub const fn unit(self) -> ValueUnit {
        self.row().unit
    }

    /// Which bounding values it takes.
    pub const fn bounds(self) -> BoundingValues {
        self.row().bounds
    }

    /// True when the answer's timestamp is that of a sample rather than the interval's start.
    pub const fn has_actual_time(self) -> bool {
        matches!(
            self,
            Self::MinimumActualTime
                | Self::MaximumActualTime
                | Self::MinimumActualTime2
                | Self::MaximumActualTime2
                | Self::Start
                | Self::End
        )
    }

    /// True when it makes sense for text: it asks for qualities and presence only.
    pub const fn takes_text(self) -> bool {
        matches!(
            self,
            Self::AnnotationCount
                | Self::Count
                | Self::DurationGood
                | Self::DurationBad
                | Self::PercentGood
                | Self::PercentBad
                | Self::WorstQuality
                | Self::WorstQuality2
        )
    }
}

impl fmt::Display for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for AggregateFunction {
    type Err = UnknownFunction;

    /// Takes the name with its 2 attached or after an underscore (`minimum2`, `minimum_2`).
    fn from_str(text: &str) -> Result<Self, UnknownFunction> {
        let detached = text.strip_suffix("_2");
        let same = |row: &&FunctionEntry| row.name == text || detached.is_some_and(|stem| row.name.strip_suffix('2') == Some(stem));
        FUNCTIONS.iter().find(same).map(|row| row.function).ok_or_else(|| UnknownFunction { name: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_has_the_order_of_the_variants_and_names_that_read_back() {
        assert_eq!(FUNCTIONS.len(), AggregateFunction::COUNT);
        for (index, function) in AggregateFunction::ALL.into_iter().enumerate() {
            assert_eq!(function as usize, index);
            assert_eq!(function.name().parse(), Ok(function));
            assert!(!function.description().is_empty());
            if let Some(stem) = function.name().strip_suffix('2') {
                assert_eq!(format!("{stem}_2").parse(), Ok(function));
            }
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_what_is_known() {
        let error = "mean".parse::<AggregateFunction>().unwrap_err().to_string();
        assert!(error.contains("`mean`") && error.contains("time_average2") && error.contains("variance_population"), "{error}");
        assert!("average_2".parse::<AggregateFunction>().is_err());
        assert!("2".parse::<AggregateFunction>().is_err());
        assert!("_2".parse::<AggregateFunction>().is_err());
    }
}
