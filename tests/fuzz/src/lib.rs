//! Every decoder of the historian as a function of any bytes, in one list ([`TARGETS`]), and how inputs are made for them ([`input`]). The program
//! `fuzz` runs them within bounds on any tool chain; `libfuzzer/` runs the same list by coverage. The torture test S1 runs the program.

pub mod input;
mod message;
mod protobuf;
mod random;
mod target;

pub use target::{MUTANTS, TARGETS, Target, find};
