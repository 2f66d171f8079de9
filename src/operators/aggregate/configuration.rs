//! How aggregates treat quality: OPC 10000-13, 4.2.1.2, and one extension of ours.

use super::sample::Class;
use historian_model::Quality;

/// Configuration of an aggregate query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the standard's own switches")]
pub struct AggregateConfiguration {
    /// Uncertain samples are not usable, as if Bad.
    pub treat_uncertain_as_bad: bool,
    /// Percent of Bad from which on an answer is Bad.
    pub percent_data_bad: u8,
    /// Percent of Good from which on an answer is Good.
    pub percent_data_good: u8,
    /// Interpolated bounding values after the last sample follow the line of the last two, instead of holding the last one.
    pub use_sloped_extrapolation: bool,
    /// The tag holds its value until the next sample, instead of going to it in a straight line.
    pub stepped: bool,
    /// Ours, not the standard's: Uncertain samples take part wherever the standard takes Good ones only, and in everything else as if
    /// `treat_uncertain_as_bad` were false. The answer's status still tells that they were Uncertain.
    pub use_uncertain_values: bool,
}

impl Default for AggregateConfiguration {
    fn default() -> Self {
        Self {
            treat_uncertain_as_bad: true,
            percent_data_bad: 100,
            percent_data_good: 100,
            use_sloped_extrapolation: false,
            stepped: false,
            use_uncertain_values: false,
        }
    }
}

/// A configuration that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InvalidConfiguration {
    #[error("{parameter} is {value}; allowed is 0 to 100")]
    Percent { parameter: &'static str, value: u8 },
    #[error("percent_data_good is {good}; with percent_data_bad = {bad} it must be at least {} (100 - percent_data_bad)", 100 - .bad)]
    Overlap { good: u8, bad: u8 },
}

impl AggregateConfiguration {
    /// # Errors
    /// When a percentage is above 100, or Good and Bad could both hold.
    pub fn check(self) -> Result<(), InvalidConfiguration> {
        for (parameter, value) in [("percent_data_bad", self.percent_data_bad), ("percent_data_good", self.percent_data_good)] {
            if value > 100 {
                return Err(InvalidConfiguration::Percent { parameter, value });
            }
        }
        if self.percent_data_good < 100 - self.percent_data_bad {
            return Err(InvalidConfiguration::Overlap { good: self.percent_data_good, bad: self.percent_data_bad });
        }
        Ok(())
    }

    /// Whether a sample of this quality, with a value that is there and not NaN if `present`, can stand for the signal: the standard's
    /// "non-Bad". Neighbours are looked up with this.
    pub fn is_usable(self, quality: Quality, present: bool) -> bool {
        self.usable(Class::of(quality, present))
    }

    pub(super) fn usable(self, class: Class) -> bool {
        match class {
            Class::Good => true,
            Class::Uncertain => !self.uncertain_is_bad(),
            Class::Bad => false,
        }
    }

    /// Whether a sample takes part where the standard takes Good ones only.
    pub(super) fn taken(self, class: Class) -> bool {
        match class {
            Class::Good => true,
            Class::Uncertain => self.use_uncertain_values,
            Class::Bad => false,
        }
    }

    pub(super) fn uncertain_is_bad(self) -> bool {
        self.treat_uncertain_as_bad && !self.use_uncertain_values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_may_neither_leave_their_range_nor_overlap() {
        assert_eq!(AggregateConfiguration::default().check(), Ok(()));
        assert_eq!(
            AggregateConfiguration { percent_data_bad: 50, percent_data_good: 50, ..AggregateConfiguration::default() }.check(),
            Ok(())
        );
        let overlap = AggregateConfiguration { percent_data_bad: 40, percent_data_good: 50, ..AggregateConfiguration::default() }
            .check()
            .unwrap_err();
        assert_eq!(
            overlap.to_string(),
            "percent_data_good is 50; with percent_data_bad = 40 it must be at least 60 (100 - percent_data_bad)"
        );
        let above = AggregateConfiguration { percent_data_bad: 101, ..AggregateConfiguration::default() }.check().unwrap_err();
        assert_eq!(above.to_string(), "percent_data_bad is 101; allowed is 0 to 100");
    }
}
