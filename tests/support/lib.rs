//! What the tests from outside (`tests/it`) and the torture tests (`tests/torture`) share.

pub mod skip;
