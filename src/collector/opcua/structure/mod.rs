//! Values that are structures of a server's own data types: which field of them a tag takes ([`path`]), what their types are made of
//! ([`shape`], [`types`]), as the server tells it at the beginning of each session ([`learn`]), and their content decoded by that
//! ([`reader`], [`text`]).
//!
//! The client library's own decoder of such types is not used: it knows no fields that allow subtypes, keeps every value of every field,
//! and has no bound on what an array of nothing makes. Here one pass goes over the bytes, makes what was asked for and no more, and ends
//! where the bytes do not follow the definition.

pub mod fuzz;
mod known;
pub mod learn;
pub mod path;
mod reader;
mod scalar;
mod shape;
#[cfg(test)]
mod tests;
mod text;
pub mod types;
pub mod untaken;
