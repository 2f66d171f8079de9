//! `HISTORIAN_FUZZ_TARGET=ticket cargo +nightly fuzz run --fuzz-dir tests/fuzz/libfuzzer target`: the target of that name in `historian_fuzz`.
#![no_main]

use std::sync::LazyLock;

use historian_fuzz::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("HISTORIAN_FUZZ_TARGET").expect("HISTORIAN_FUZZ_TARGET names the target");
    historian_fuzz::find(&name).unwrap_or_else(|| panic!("there is no target {name}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (TARGET.run)(bytes);
});
