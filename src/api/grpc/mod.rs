//! The services of `historian.v1`, one file each.

pub mod correct;
pub mod admin;
pub mod collector;
pub mod query;
pub mod tag;
pub mod write;
