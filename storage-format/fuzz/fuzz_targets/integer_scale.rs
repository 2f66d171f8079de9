//! `cargo +nightly fuzz run integer_scale`: the function of that name in `historian_format::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| historian_format::fuzz::run("integer_scale", bytes));
