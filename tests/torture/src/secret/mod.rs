//! Secrets, where they may be found, and everything that is done with a historian that has them.

pub mod canary;
pub mod command;
pub mod device;
pub mod door;
pub mod http;
pub mod place;
pub mod provider;
pub mod search;
pub mod site;
