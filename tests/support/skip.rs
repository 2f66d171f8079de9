//! Tests that cannot run. A test that is passed over in silence is taken for one that passed; so one that lacks something fails, unless
//! `HISTORIAN_ALLOW_SKIP` names what it lacks, with commas between several names. Then it says so in a line that `.ci/run` counts.
//!
//! The names are those of the calls of [`without`] (`libmodbus`, `socat`, `mbpoll`, `netns`, `mosquitto`, `go`, `node`, `promtool`,
//! `rust-example`) and of the torture tests
//! (`loop-devices`, `tmpfs`, `strace`); CONTRIBUTING.md lists them.

use std::io::Write;

/// Whether tests may be passed over for want of `need`.
pub fn is_allowed(need: &str) -> bool {
    std::env::var("HISTORIAN_ALLOW_SKIP").is_ok_and(|names| names.split(',').any(|name| name.trim() == need))
}

/// What to do about a test that cannot run.
pub fn advice(need: &str) -> String {
    format!("run `make setup`, or set HISTORIAN_ALLOW_SKIP={need} to run the other tests without it")
}

/// Says that the named test is passed over. Not by `println`, whose text the test harness keeps to itself where a test passes.
pub fn tell(test: &str, need: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: no {need}: {}", why.lines().next().unwrap_or(""));
}

/// The calling test lacks `need`; where this returns the test is to end.
///
/// # Panics
/// Unless `HISTORIAN_ALLOW_SKIP` names it.
pub fn without(need: &str, why: &str) {
    assert!(is_allowed(need), "this test cannot run, {why}: {}", advice(need));
    tell(std::thread::current().name().unwrap_or("a test"), need, why);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_cannot_run_and_is_not_named_fails() {
        let ended = std::thread::spawn(|| without("a thing that nobody has", "it was never made")).join();
        let told = ended.expect_err("it panics").downcast::<String>().expect("with words");
        assert!(told.contains("it was never made") && told.contains("HISTORIAN_ALLOW_SKIP=a thing that nobody has"), "{told}");
    }
}
