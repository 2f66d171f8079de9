//! What tests and benches use of a historian, one home for each way of having one. What a room's unit tests need is a feature, so that they do
//! not wait for what stands above the room:
//!
//! - `engine`: in this process, in memory or on disk, without an interface (`engine::TestHistorian`);
//! - `served`: the same with its interface on loopback (`served::Served`);
//! - `process`: the built program, and `historian serve` of it as a process (`program::Historian`);
//! - always: a GET of a health page ([`http`]), and what becomes of a test that cannot run ([`skip`]).

#[cfg(feature = "engine")]
pub mod engine;
pub mod http;
#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "process")]
pub mod program;
#[cfg(feature = "served")]
pub mod served;
pub mod skip;
