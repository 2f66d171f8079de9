//! What decoding may take of memory, counted before it is taken.
//!
//! Lengths in a message are the client's words: eight bytes of a compressed buffer may become gigabytes, and so may a view of a text that stands
//! there once. Who decodes therefore asks its allowance first, and allocates then.

use tonic::Status;

use super::status;

/// Bytes that decoding one message, or one list of values, may still take.
#[derive(Clone, Debug)]
pub struct DecodeAllowance {
    /// The limit that a refusal names.
    limit: &'static str,
    bytes_max: usize,
    taken: usize,
}

impl DecodeAllowance {
    pub fn new(limit: &'static str, bytes_max: usize) -> DecodeAllowance {
        DecodeAllowance { limit, bytes_max, taken: 0 }
    }

    /// The same bound, of which nothing is taken yet.
    #[must_use]
    pub fn anew(&self) -> DecodeAllowance {
        DecodeAllowance { taken: 0, ..*self }
    }

    /// Takes `bytes`, which `what` needs.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` naming the limit when they are more than is left; nothing is taken then.
    pub fn take(&mut self, bytes: usize, what: &str) -> Result<(), Status> {
        match self.taken.checked_add(bytes).filter(|taken| *taken <= self.bytes_max) {
            Some(taken) => {
                self.taken = taken;
                Ok(())
            }
            None => Err(self.passed(what)),
        }
    }

    /// What is told of a message that takes more.
    pub fn passed(&self, what: &str) -> Status {
        let message = format!("{what} would take more than {} bytes of memory; send less at once", self.bytes_max);
        status::too_much(self.limit, message)
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_refused_by_name_and_not_taken() {
        let mut allowance = DecodeAllowance::new("message_bytes_max", 100);
        allowance.take(60, "a text").unwrap();
        for bytes in [41, usize::MAX] {
            let refused = allowance.take(bytes, "a text").unwrap_err();
            assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
            assert!(refused.message().contains("a text would take more than 100 bytes"), "{}", refused.message());
        }
        assert_eq!(allowance.taken(), 60);
        allowance.take(40, "a text").unwrap();
        assert_eq!(allowance.anew().taken(), 0);
    }
}
