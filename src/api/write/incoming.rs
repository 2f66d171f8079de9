//! Columns of one tag as a client sent them, checked, on their way to the type of their tag.

use super::{exact, refusal::DoesNotFit};
use historian_model::{Quality, Samples, Tag, ValueType};

/// Samples in the type in which they came, each with a value or with a quality that is not Good.
#[derive(Debug)]
pub struct IncomingSamples(Samples);

impl IncomingSamples {
    /// Checks columns of equal length.
    ///
    /// # Errors
    /// The first sample that has no value and is Good.
    pub fn new(samples: Samples) -> Result<IncomingSamples, DoesNotFit> {
        if let Some(validity) = &samples.validity {
            let rows = samples.qualities.iter().map(|quality| Quality(*quality)).enumerate();
            if let Some((row, quality)) = rows.into_iter().find(|(row, quality)| quality.is_good() && !validity.get(*row)) {
                return Err(DoesNotFit::NoValue { row, quality });
            }
        }
        Ok(IncomingSamples(samples))
    }

    /// The type of a tag that is made for the samples.
    pub fn value_type(&self) -> ValueType {
        self.0.value_type()
    }

    /// The samples with their values in the type of the tag.
    ///
    /// # Errors
    /// When that is not exact.
    pub fn fit(self, tag: &Tag) -> Result<Samples, DoesNotFit> {
        let Samples { timestamps, values, validity, qualities } = self.0;
        let values = exact::convert(values, validity.as_ref(), tag.value_type())?;
        Ok(Samples { timestamps, values, validity, qualities })
    }
}
