//! The services of `historian.v1`, one file each.

pub mod access;
pub mod admin;
pub mod annotation;
mod audit;
mod backup;
pub mod collector;
mod device_status;
mod gap;
pub mod inspect;
pub mod query;
mod scrub;
pub mod tag;
mod tag_status;
pub mod view;
pub mod write;
