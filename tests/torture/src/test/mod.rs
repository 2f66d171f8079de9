//! The tests, one file each, in one list.

mod r01_kill;
mod r02_power;
mod r03_rot;
mod r04_full;
mod r05_fsync;
mod r06_slow;
mod r07_clock;
mod r08_devices;
mod r08_servers;
mod r09_forward;
mod r10_attack;
mod r11_unread;
mod r12_connections;
mod r13_tags;
mod r14_backup;
mod s01_fuzz;
mod s02_malformed;
mod s03_http2;
mod s05_defaults;
mod s06_tls;
mod s09_audit;
mod s10_secrets;
mod s11_fairness;
mod soak;

use futures::future::BoxFuture;

use crate::{context::Context, report::Report};

/// A test: one promise, one kind of fault.
pub struct Test {
    pub id: &'static str,
    pub about: &'static str,
    /// What is counted as a cycle.
    pub unit: &'static str,
    /// Cycles of the brief, short and long form.
    pub cycles: [u64; 3],
    pub mutants: &'static [Mutant],
    pub run: for<'a> fn(&'a Context) -> BoxFuture<'a, anyhow::Result<Report>>,
}

/// A fault built in that the test must find.
pub struct Mutant {
    pub kind: &'static str,
    pub about: &'static str,
    /// Cycles within which it is found; the run ends with the first finding.
    pub cycles: u64,
}

pub const TESTS: &[&Test] = &[
    &r01_kill::TEST,
    &r02_power::TEST,
    &r03_rot::TEST,
    &r04_full::TEST,
    &r05_fsync::TEST,
    &r06_slow::TEST,
    &r07_clock::TEST,
    &r08_devices::TEST,
    &r09_forward::TEST,
    &r10_attack::TEST,
    &r11_unread::TEST,
    &r12_connections::TEST,
    &r13_tags::TEST,
    &r14_backup::TEST,
    &s01_fuzz::TEST,
    &s02_malformed::TEST,
    &s03_http2::TEST,
    &s05_defaults::TEST,
    &s06_tls::TEST,
    &s09_audit::TEST,
    &s10_secrets::TEST,
    &s11_fairness::TEST,
    &soak::TEST,
];
