//! Tests of the format as a whole, through its public interface only.
#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod case;
mod corruption;
mod deletion;
mod golden;
mod journal;
mod oracle;
mod prose;
mod registry;
mod rollup;
mod round_trip;
