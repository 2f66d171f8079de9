//! `cargo +nightly fuzz run spool`: the function of that name in `historian_format::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| historian_format::fuzz::run("spool", bytes));
