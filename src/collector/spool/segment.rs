//! What waits in a spool, and what of it is written at once.

use std::{collections::HashMap, time::Instant};

use historian_model::{Quality, SampleBatch, Samples, TagId, Timestamp, ValueType};

/// Samples that go to the sink in one batch: a run per tag (more where a run could not be joined).
pub(super) struct SpoolSegment {
    pub(super) runs: Vec<(TagId, Samples)>,
    /// Place in `runs` of the last run of each tag.
    pub(super) places: HashMap<TagId, usize>,
    pub(super) samples: usize,
    /// When its first sample came.
    pub(super) since: Timestamp,
    /// The same by a clock that nobody sets.
    pub(super) came: Instant,
}

/// How a run begins and ends.
pub(super) struct Ends {
    pub(super) tag: TagId,
    /// Of the last sample.
    pub(super) quality: Quality,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

/// What is written at once.
pub(super) struct SpooledBatch {
    pub(super) batch: SampleBatch,
    /// When its first sample came.
    pub(super) since: Timestamp,
    pub(super) kind: SpooledKind,
}

/// What samples tell of their device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpooledKind {
    /// How it is now.
    Live,
    /// How it was, from its own history: nothing of what its tags do now.
    Historical,
    /// Nothing: they mark the loss of samples.
    Mark,
}

impl SpoolSegment {
    pub(super) fn beginning(since: Timestamp) -> SpoolSegment {
        SpoolSegment { runs: Vec::new(), places: HashMap::new(), samples: 0, since, came: Instant::now() }
    }

    pub(super) fn push(&mut self, tag: TagId, run: Samples) {
        self.samples += run.len();
        if let Some(&place) = self.places.get(&tag)
            && self.runs[place].1.append(&run).is_ok()
        {
            return;
        }
        self.places.insert(tag, self.runs.len());
        self.runs.push((tag, run));
    }

    /// The run that a sample of a tag joins; a new one where the tag has none of this type.
    pub(super) fn run_of(&mut self, tag: TagId, value_type: ValueType) -> &mut Samples {
        let place = match self.places.get(&tag) {
            Some(&place) if self.runs[place].1.value_type() == value_type => place,
            _ => {
                self.places.insert(tag, self.runs.len());
                self.runs.push((tag, Samples::new(value_type)));
                self.runs.len() - 1
            }
        };
        &mut self.runs[place].1
    }
}
