//! Whether a configuration that was read again is the one that runs. A resolved configuration is compared by all that it prints of itself, so that
//! a new setting cannot be forgotten here.

use std::{
    fmt::{self, Debug, Write},
    hash::{DefaultHasher, Hasher},
};

/// A number of a value's printed form. Values that print alike have the same.
pub fn of(value: &impl Debug) -> u64 {
    let mut printed = Hashed(DefaultHasher::new());
    // A hasher takes everything.
    let _ = write!(printed, "{value:?}");
    printed.0.finish()
}

/// Hashes what is written, which may be long, without keeping it.
struct Hashed(DefaultHasher);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_print_alike_have_one_number_and_others_have_others() {
        assert_eq!(of(&vec![1, 2]), of(&[1, 2]));
        assert_ne!(of(&(1, "a")), of(&(1, "b")));
        assert_ne!(of(&0.0), of(&-0.0));
    }
}
