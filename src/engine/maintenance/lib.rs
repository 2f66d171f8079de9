//! Maintenance: background work on stored chunks. Small head chunks and late chunks become large, densely encoded ones, rollups are kept
//! current, and retention drops old weeks.
//!
//! One thread, the [`Keeper`], with the lowest priority. It prepares each rewrite without a lock and commits it as one atomic change, unless
//! a deletion has been at the tag since; then it starts again. Sealing only adds chunks and never waits for it.
//!
//! The write path stands above this room. It starts the keeper, tells [`PendingMaintenance`] what it has sealed, and makes its deletions with the same
//! means ([`rewrite`], [`superseded`]) and under the same locks ([`TagLocks`]).

mod compact;
mod keeper;
mod lock;
mod options;
mod pending;
mod retain;
mod retention_clock;
pub mod rewrite;
mod roll;
pub mod superseded;

pub use keeper::{Keeper, KeptCounts};
pub use lock::TagLocks;
pub use options::KeeperOptions;
pub use pending::PendingMaintenance;
