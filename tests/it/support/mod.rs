//! What the tests share: peers as child processes, and a sink that keeps what it is given.

pub mod cable;
pub mod door;
pub mod historian;
pub mod java;
pub mod mqtt;
pub mod peer;
pub mod proxy;
pub mod pytest;
pub mod raw;
pub mod recorder;
pub mod sample;
pub mod way;
pub mod wiretap;
