//! How much of a window was Good.

use std::ops::Range;

use historian_format::Samples;

use super::{
    Coverage, KpiError, Scope,
    feed::{CheckedSamples, Hold, Validity},
};

/// Coverage of a window by itself; tags of every type have one.
#[derive(Debug)]
pub struct PercentGood {
    feed: CheckedSamples,
    hold: Hold,
}

impl PercentGood {
    /// Nothing fed yet.
    ///
    /// # Errors
    /// When a neighbour is of another type or inside the window.
    pub fn new(scope: &Scope) -> Result<PercentGood, KpiError> {
        let mut feed = CheckedSamples::new(scope, scope.window.range(), false)?;
        let before = scope.before.as_ref().map(|before| feed.neighbour(before)).transpose()?;
        Ok(PercentGood { hold: Hold::new(scope, before.map_or(Validity::Unknown, |before| before.kind)), feed })
    }

    /// Takes rows that follow all before; those outside the window are passed over.
    ///
    /// # Errors
    /// When type, order or rows are not as said.
    pub fn push(&mut self, samples: &Samples, rows: Range<usize>) -> Result<(), KpiError> {
        let hold = &mut self.hold;
        self.feed.each(samples, rows, |reading| {
            hold.change(reading.timestamp, reading.kind);
        })
    }

    /// The coverage.
    pub fn finish(self) -> Coverage {
        self.hold.finish().1
    }
}
