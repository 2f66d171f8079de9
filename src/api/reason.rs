//! Why somebody changes what is stored: a text that the audit log keeps beside the change.

use tonic::Status;

use super::status;

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 4_096;

/// A reason of a change that takes one.
///
/// # Errors
/// `INVALID_ARGUMENT` for none, and for one that is too long.
pub fn needed(text: &str) -> Result<String, Status> {
    if text.trim().is_empty() {
        return Err(status::invalid("reason", "say why: the audit log keeps it beside what is changed"));
    }
    given(text)
}

/// A reason of a change that may go without.
///
/// # Errors
/// `INVALID_ARGUMENT` for one that is too long.
pub fn given(text: &str) -> Result<String, Status> {
    if text.len() > REASON_BYTES_MAX {
        return Err(status::invalid("reason", format!("has {} bytes, at most {REASON_BYTES_MAX} are taken", text.len())));
    }
    Ok(text.to_owned())
}
