//! Decoders with a fault built in, one for each thing that a decoder must not do. Whoever runs the targets must find them.

use std::hint::black_box;

use super::Target;

/// Every mutant.
pub static MUTANTS: &[&Target] = &[&PANICS, &HANGS, &ALLOCATES, &OVERFLOWS];

const PANICS: Target = mutant("panics", "panics at a byte that no seed has", |bytes| {
    assert!(!is_changed(bytes), "a mutant panics");
    true
});

const HANGS: Target = mutant("hangs", "does not end", |bytes| {
    while is_changed(black_box(bytes)) {}
    true
});

const ALLOCATES: Target = mutant("allocates", "takes 100 MiB by a length that it is told", |bytes| {
    black_box(vec![1_u8; if is_changed(bytes) { 100 << 20 } else { 1 }]).len() > 1
});

const OVERFLOWS: Target = mutant("overflows", "calls itself for ever", |bytes| !is_changed(bytes) || deeper(bytes, 1) > 0);

const fn mutant(name: &'static str, about: &'static str, run: fn(&[u8]) -> bool) -> Target {
    Target { name, about, inputs: 10_000, run, seeds: || vec![b"a sound input".to_vec()] }
}

fn is_changed(bytes: &[u8]) -> bool {
    bytes.contains(&0xFF)
}

#[expect(unconditional_recursion, reason = "that is the fault")]
fn deeper(bytes: &[u8], depth: u64) -> u64 {
    let here = black_box([depth; 64]);
    deeper(black_box(bytes), depth + here[0]) + here[63]
}
