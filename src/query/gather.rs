//! What the samples of a range are decoded into until they are a portion of the answer: the columns of a batch ([`LongBatch`]), or those of one
//! tag as they are.
//!
//! [`LongBatch`]: super::long_batch::LongBatch

use super::{
    QueryError, boundary,
    portion::{Portion, Slice},
};
use historian_model::{Samples, ValueType};

/// Collects samples tag by tag.
pub trait Gather: Send + Sync {
    type Portion: Portion;

    /// An empty one for another part of the same answer.
    #[must_use]
    fn another(&self) -> Self;

    fn rows(&self) -> usize;

    /// Timestamp of the sample that came last, while there is one.
    fn last_timestamp(&self) -> Option<i64>;

    /// Makes room for so many samples.
    fn reserve(&mut self, rows: usize);

    /// Takes the next samples of a source, at most `limit`, of the tag at `index`; answers how many, and 0 when nothing is left.
    ///
    /// # Errors
    /// When they cannot be read.
    fn append_from(&mut self, index: usize, source: &mut boundary::BoundedCursor<'_>, limit: u64) -> Result<u64, QueryError>;

    /// Hands everything so far to `emit`, in portions as long as batches, and starts anew; false when the receiver wants no more.
    ///
    /// # Errors
    /// When a portion cannot be formed, which is a bug of ours.
    fn hand_on(&mut self, emit: &mut dyn FnMut(Self::Portion) -> bool) -> Result<bool, QueryError>;

    /// Memory of a portion that waits for its turn, about.
    fn weight(portion: &Self::Portion) -> usize;
}

/// Samples of one tag, in its own type.
pub struct OneTag(Samples);

impl OneTag {
    pub fn new(value_type: ValueType) -> OneTag {
        OneTag(Samples::new(value_type))
    }
}

impl Gather for OneTag {
    type Portion = Slice<Samples>;

    fn another(&self) -> OneTag {
        OneTag::new(self.0.value_type())
    }

    fn rows(&self) -> usize {
        self.0.len()
    }

    fn last_timestamp(&self) -> Option<i64> {
        self.0.timestamps.last().copied()
    }

    fn reserve(&mut self, rows: usize) {
        self.0.timestamps.reserve(rows);
        self.0.values.reserve(rows);
        self.0.qualities.reserve(rows);
    }

    fn append_from(&mut self, _index: usize, source: &mut boundary::BoundedCursor<'_>, limit: u64) -> Result<u64, QueryError> {
        source.next_up_to(limit, &mut self.0)
    }

    fn hand_on(&mut self, emit: &mut dyn FnMut(Slice<Samples>) -> bool) -> Result<bool, QueryError> {
        let empty = self.another();
        let done = std::mem::replace(self, empty);
        Ok(Slice::of(done.0).all(emit))
    }

    fn weight(portion: &Slice<Samples>) -> usize {
        portion.bytes()
    }
}
