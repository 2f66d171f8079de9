//! The contract of a detector: what it takes, and what it does with the samples of one tag. It knows of no other detector.

use historian_model::{TimeRange, ValueType};

use super::{
    column::Column,
    finding::{FindingDraft, FindingSeverity, Report},
    parameter::{DetectorError, DetectorParameters, ParameterSpec},
    statistics::CountByStatistics,
};

/// Types with a distance between values.
pub const NUMBERS: &[ValueType] = &[ValueType::F64, ValueType::F32, ValueType::I64, ValueType::U64];
/// Every type.
pub const ANY: &[ValueType] =
    &[ValueType::F64, ValueType::F32, ValueType::I64, ValueType::U64, ValueType::Bool, ValueType::String, ValueType::State];

/// What a detector needs to know of a tag and of the request.
#[derive(Clone, Debug)]
pub struct Subject {
    pub value_type: ValueType,
    /// Engineering unit as text, empty when unknown.
    pub unit: String,
    pub range_low: Option<f64>,
    pub range_high: Option<f64>,
    /// The range asked for, cut at the present time: nothing is expected of the future.
    pub range: TimeRange,
}

/// One kind of anomaly.
pub trait Detector: Sync {
    fn name(&self) -> &'static str;

    /// Other names it is known by.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// What it finds, in one sentence.
    fn description(&self) -> &'static str;

    /// Every parameter it takes; [`INCLUDE_UNCERTAIN`](super::parameter::INCLUDE_UNCERTAIN) among them.
    fn parameters(&self) -> &'static [ParameterSpec];

    /// Types of tags it takes.
    fn value_types(&self) -> &'static [ValueType] {
        NUMBERS
    }

    /// Checks that need more than one parameter and nothing of a tag.
    fn check(&self, _arguments: &DetectorParameters) -> Result<(), DetectorError> {
        Ok(())
    }

    /// Begins with one tag.
    fn begin(&self, arguments: &DetectorParameters, subject: &Subject) -> Result<Box<dyn DetectorScan>, DetectorError>;

    /// Begins to count in one tag by the statistics of chunks, where it can tell by them.
    fn count_by_statistics(&self, _arguments: &DetectorParameters) -> Option<Box<dyn CountByStatistics>> {
        None
    }
}

/// A detector at work on one tag. It holds bounded memory, however many samples come.
pub trait DetectorScan: Send {
    /// True when all samples are to be shown once to `learn` before they are judged.
    fn learns(&self) -> bool {
        false
    }

    fn learn(&mut self, _column: &Column<'_>) {}

    /// Called between learning and judging.
    fn learned(&mut self) {}

    /// Findings that may be open at a time.
    fn tracks(&self) -> usize {
        1
    }

    fn judge(&mut self, column: &Column<'_>, report: &mut Report);

    /// Called after the last sample.
    fn finish(&mut self, _report: &mut Report) {}

    /// One sentence about a finding.
    fn explain(&self, draft: &FindingDraft) -> String;

    /// Unit of `observed` and `expected`.
    fn unit(&self) -> String;

    fn severity(&self, draft: &FindingDraft) -> FindingSeverity {
        if draft.score >= 2.0 { FindingSeverity::Critical } else { FindingSeverity::Warning }
    }
}
