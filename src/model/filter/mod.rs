//! Leaving samples out before they are stored: the exception filter and the swinging door, without I/O and clock.
//!
//! A collector hands each sample of a tag to its [`SampleFilter`] and stores what that passes. What is left out lies within a stated bound of
//! what a query reads in its place ([`TagFilter::error_bound`]): the last value of a stepped tag, the straight line between two samples of
//! another one. Stored samples are always samples of the device, with their own times, values and qualities.
//!
//! - The [exception filter](ExceptionFilter) passes a sample that differs from the last one passed by more than a deadband, and before it the
//!   one that came directly before, so that a step stays a step.
//! - The [swinging door](CompressionFilter) passes the end of the longest straight line that has every sample since its beginning within a deviation.
//!
//! With both, the door gets what the exception filter passes. Whatever is no finite Good number (a null, NaN, an infinity, a Bad or Uncertain
//! sample, a bool, a state, a text, a whole number beyond 2^53) is left out only while it repeats, and a change of quality always passes.

mod door;
mod exception;
mod number;
mod replay;
mod sample_filter;
mod setting;
#[cfg(test)]
mod tests;

pub use self::{
    replay::{Replay, replay},
    sample_filter::SampleFilter,
    setting::{CompressionFilter, ExceptionFilter, TagFilter},
};
