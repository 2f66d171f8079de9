//! The services of `historian.v1`, one file each.

pub mod admin;
mod apart;
mod audit;
mod backup;
pub mod collector;
mod current;
mod gap;
pub mod inspect;
mod operator;
pub mod query;
mod scrub;
pub mod tag;
pub mod write;
