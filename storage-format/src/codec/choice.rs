//! What a codec of value columns is, and how one is chosen: once per column and never per sample.

use crate::effort::Effort;
use crate::error::FieldFault;
use crate::{ValueType, Values};

/// One way to turn a column of values into bytes and back.
///
/// The codecs are asked in three rounds, each time in the order of their list (`mod.rs`). In the usual round those are asked that look
/// closely; a codec that is sure of a column spares it the others.
pub(crate) trait Codec {
    /// Whether columns of this type may have the codec.
    fn fits(value_type: ValueType) -> bool;

    /// Offers its column before the usual round: what is quick to see, and what is tried with every column of a type.
    fn offer_early(_choice: &mut Choice<'_>) {}

    /// Offers its column, if it may be smaller than the best one so far.
    fn offer(_choice: &mut Choice<'_>) {}

    /// Offers its column after the usual round.
    fn offer_late(_choice: &mut Choice<'_>) {}

    /// Appends `count` values to a column of a type that fits.
    fn decode(bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault>;

    /// About `count` values that the codec is chosen for at this effort. The tests of the list read them back, with a faulty codec as
    /// well, and damage their column.
    #[cfg(test)]
    fn example(count: u32, noise: &mut dyn FnMut() -> f64) -> (Effort, Values);
}

/// Runs one expression over the vector of a `Values` of the types that are named, another one over every other column.
macro_rules! lanes {
    ($values:expr, $($variant:ident)|+, $lanes:ident => $each:expr, $other:pat => $else:expr) => {
        match $values {
            $(crate::Values::$variant($lanes) => $each,)+
            $other => $else,
        }
    };
}
pub(crate) use lanes;

/// What a column says that is of a type which its codec does not fit.
pub(crate) fn misfit(codec: &'static str, out: &Values) -> FieldFault {
    FieldFault::new("value codec", 0, format!("one for {}", out.value_type()), codec)
}

/// The smallest column so far, at the end of the output, and what has been found out about the values on the way.
pub(crate) struct Choice<'a> {
    pub values: &'a Values,
    pub effort: Effort,
    out: &'a mut Vec<u8>,
    start: usize,
    /// Id of the codec of the column that is there.
    best: Option<u8>,
    /// Id of the codec that is being asked.
    asked: u8,
    settled: bool,
    /// Runs of equal values, once they are counted.
    pub run_count: Option<usize>,
    /// Whether a formula gives nearly all values, though its column need not be the smallest.
    pub has_formula: bool,
    /// Whether the column of that formula was the smallest when it was made.
    pub is_explained: bool,
}

impl<'a> Choice<'a> {
    /// Whose column is to be appended to `out`.
    pub const fn new(values: &'a Values, effort: Effort, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { values, effort, out, start, best: None, asked: 0, settled: false, run_count: None, has_formula: false, is_explained: false }
    }

    /// Asks a codec for its offer in this round, unless the column is settled.
    #[inline(always)]
    pub fn ask(&mut self, id: u8, offer: impl FnOnce(&mut Self)) {
        if !self.settled {
            self.asked = id;
            offer(self);
        }
    }

    /// Opens the late round, in which all are asked again.
    pub const fn reopen(&mut self) {
        self.settled = false;
    }

    /// Spares the column the codecs that would be asked next, but for the late round.
    pub const fn settle(&mut self) {
        self.settled = true;
    }

    /// Bytes of the smallest column so far; the largest number when there is none.
    pub fn bytes(&self) -> usize {
        if self.best.is_some() { self.out.len() - self.start } else { usize::MAX }
    }

    /// Whether there is a column.
    pub const fn has_any(&self) -> bool {
        self.best.is_some()
    }

    /// True when a formula explains the values well: then nothing that looks at their bits has anything to gain.
    pub fn is_well_explained(&self) -> bool {
        self.is_explained && self.bytes() < self.values.len() * 2
    }

    /// Takes what `column` appends if it says so and it is smaller than what is there. Whether it was taken.
    pub fn offer(&mut self, column: impl FnOnce(&Values, &mut Vec<u8>) -> bool) -> bool {
        let (before, limit) = (self.out.len(), self.bytes());
        #[cfg(test)]
        let made = column(&faulty::distorted(self.asked, self.values), self.out);
        #[cfg(not(test))]
        let made = column(self.values, self.out);
        if made && self.out.len() - before < limit {
            self.out.drain(self.start..before);
            self.best = Some(self.asked);
            return true;
        }
        self.out.truncate(before);
        false
    }

    /// Id of the codec whose column is there.
    pub const fn best(&self) -> Option<u8> {
        self.best
    }
}

/// Codecs that are made to fail, for tests of what happens then.
#[cfg(test)]
pub(crate) mod faulty {
    use std::borrow::Cow;
    use std::cell::Cell;

    use super::Values;
    use crate::codec::lane::Lane;

    thread_local! {
        /// Id of the codec that is faulty for the time being: one of its values comes out as another.
        pub static FAULTY: Cell<Option<u8>> = const { Cell::new(None) };
    }

    /// The values, or, for the faulty codec, values of which one in the middle is another one.
    pub fn distorted(codec: u8, values: &Values) -> Cow<'_, Values> {
        fn distort<T: Lane>(values: &mut [T]) {
            let middle = values.len() / 2;
            let other = values.iter().find(|value| value.to_lane() != values[middle].to_lane()).copied();
            values[middle] = other.unwrap_or_else(|| T::from_lane(values[middle].to_lane() ^ 1));
        }
        if FAULTY.get() != Some(codec) {
            return Cow::Borrowed(values);
        }
        let mut values = values.clone();
        match &mut values {
            Values::String(texts) => {
                texts.truncate(texts.len() - 1);
                assert!(texts.push("another").is_ok());
            }
            Values::F64(values) => distort(values),
            Values::F32(values) => distort(values),
            Values::I64(values) => distort(values),
            Values::U64(values) => distort(values),
            Values::State(values) => distort(values),
            Values::Bool(values) => distort(values),
        }
        Cow::Owned(values)
    }
}
