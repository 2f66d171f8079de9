//! Detectors of anomalies: rules and statistics over the samples of one tag, from columns to findings.
//!
//! Pure: no store, no clock, no Arrow. The plan of a query pushes the samples of each tag through a [`Detection`]; the doors turn
//! [`Finding`]s, [`Scores`] and counts into rows. A detector is one file with a table of its parameters and one line in [`DETECTORS`].

mod column;
mod detector;
mod finding;
mod flatline;
mod gap;
mod limits;
mod parameter;
mod rate_of_change;
mod reservoir;
mod rolling;
mod run;
mod seasonal;
mod sigma;
mod smoothing;
mod spike;
mod statistics;
#[cfg(test)]
mod tests;
mod text;

pub use detector::{Detector, Subject};
pub use finding::{AnomalyOutput, Finding, FindingSeverity, Scores};
pub use parameter::{DetectorError, ParameterKind, ParameterSpec, ParameterValue, Parameters};
pub use run::{Detection, DetectorPlan};
pub use statistics::{CountByStatistics, KnownSamples};
pub use text::DURATION_UNITS;

/// Every detector.
pub static DETECTORS: &[&dyn Detector] = &[
    &limits::LimitsDetector,
    &rate_of_change::RateOfChange,
    &flatline::Flatline,
    &gap::GapDetector,
    &spike::Spike,
    &sigma::SigmaDetector,
    &seasonal::Seasonal,
];
