//! The run of one detector over the samples of one tag.
//!
//! A [`DetectorPlan`] is a detector with checked parameters, made once for a request. For each tag it begins a [`Detection`], which is pushed the
//! tag's samples in time order, run by run, as often as it asks for. Nothing depends on how the samples are cut into runs, on the wall
//! clock or on chance.

use historian_model::{Samples, Timestamp, ValueType};

use super::{
    DETECTORS,
    column::Scratch,
    detector::{Detector, DetectorScan, Subject},
    finding::{AnomalyOutput, Finding, FindingDraft, Report, Scores},
    parameter::{DetectorError, DetectorParameters, INCLUDE_UNCERTAIN, Parameters},
    statistics::CountByStatistics,
};

/// A detector with checked parameters.
#[derive(Clone)]
pub struct DetectorPlan {
    detector: &'static dyn Detector,
    arguments: DetectorParameters,
}

impl std::fmt::Debug for DetectorPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("detector", &self.detector.name()).field("arguments", &self.arguments).finish()
    }
}

impl DetectorPlan {
    /// Looks the detector up by name or alias and checks `parameters`.
    ///
    /// # Errors
    /// Names the detector or parameter that is unknown, or the parameter that is not allowed, and what is.
    pub fn new(detector: &str, parameters: &Parameters) -> Result<DetectorPlan, DetectorError> {
        let found = DETECTORS.iter().find(|known| known.name() == detector || known.aliases().contains(&detector));
        let Some(detector) = found else {
            let known = DETECTORS.iter().map(|known| known.name()).collect::<Vec<_>>().join(", ");
            return Err(DetectorError::UnknownDetector { name: detector.chars().take(60).collect(), known });
        };
        let arguments = DetectorParameters::check(detector.name(), detector.parameters(), parameters)?;
        detector.check(&arguments)?;
        Ok(DetectorPlan { detector: *detector, arguments })
    }

    /// Name in the registry, also where an alias was asked for.
    pub fn detector(&self) -> &'static str {
        self.detector.name()
    }

    /// True when tags of this type can be scored. Others are refused by [`DetectorPlan::begin`]; a request by glob may leave them out.
    pub fn takes(&self, value_type: ValueType) -> bool {
        self.detector.value_types().contains(&value_type)
    }

    /// True when samples of Uncertain quality are counted.
    pub fn includes_uncertain(&self) -> bool {
        self.arguments.flag(INCLUDE_UNCERTAIN.name)
    }

    /// Counts anomalous samples of one tag by the statistics of its chunks, where the detector can. The counts are those of a [`Detection`].
    pub fn count_by_statistics(&self) -> Option<Box<dyn CountByStatistics>> {
        self.detector.count_by_statistics(&self.arguments)
    }

    /// Begins with one tag.
    ///
    /// # Errors
    /// The type of the tag is not taken, or a parameter is needed that the tag's definition does not supply.
    pub fn begin(&self, subject: &Subject, output: AnomalyOutput) -> Result<Detection, DetectorError> {
        if !self.takes(subject.value_type) {
            return Err(DetectorError::ValueType {
                detector: self.detector.name(),
                allowed: self.detector.value_types().iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", "),
                found: subject.value_type.as_str(),
            });
        }
        let scan = self.detector.begin(&self.arguments, subject)?;
        Ok(Detection {
            report: Report::new(output, scan.tracks()),
            learning: scan.learns(),
            done: false,
            scan,
            scratch: Scratch::default(),
            include_uncertain: self.includes_uncertain(),
            end: subject.range.end,
        })
    }
}

/// One detector over the samples of one tag.
///
/// Push all samples of the range in time order, then call [`Detection::end_pass`]; when it answers true, push them all once more and call
/// it again. Findings and scores may be taken out after each push, so that they need not be held for a whole range.
pub struct Detection {
    scan: Box<dyn DetectorScan>,
    report: Report,
    scratch: Scratch,
    include_uncertain: bool,
    learning: bool,
    done: bool,
    end: Timestamp,
}

impl Detection {
    /// How often the samples are still to be pushed, with the pass that is under way: 1 or 2.
    pub fn passes(&self) -> usize {
        1 + usize::from(self.learning)
    }

    /// Takes the next run of samples. Timestamps rise strictly, also from run to run.
    pub fn push(&mut self, samples: &Samples) {
        let column = self.scratch.column(samples, self.include_uncertain);
        if self.learning {
            self.scan.learn(&column);
        } else {
            self.scan.judge(&column, &mut self.report);
        }
    }

    /// Ends a pass; true when one more is needed.
    pub fn end_pass(&mut self) -> bool {
        if self.learning {
            self.scan.learned();
            self.learning = false;
            return true;
        }
        if !self.done {
            self.done = true;
            self.scan.finish(&mut self.report);
            self.report.close_all(self.end.0);
        }
        false
    }

    /// Findings that are complete, in the order of their ends, since the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        let scan = &self.scan;
        let finish = |draft: FindingDraft| Finding {
            start: Timestamp(draft.start),
            end: Timestamp(draft.end),
            open_ended: draft.open_ended,
            last: Timestamp(draft.last),
            peak: Timestamp(draft.peak),
            samples: draft.samples,
            score: draft.score.max(1.0),
            severity: scan.severity(&draft),
            condition: draft.verdict.condition,
            expected: draft.verdict.expected,
            observed: draft.verdict.observed,
            unit: scan.unit(),
            explanation: scan.explain(&draft),
        };
        self.report.closed.drain(..).map(finish).collect()
    }

    /// Scores since the last call.
    pub fn take_scores(&mut self) -> Scores {
        std::mem::take(&mut self.report.scores)
    }

    /// Anomalous samples so far.
    pub fn count(&self) -> u64 {
        self.report.count
    }
}
