//! Refusals of callers who have not the right. What is said depends on names only, never on whether there is a tag.

use historian_access::{Principal, Right};
use tonic::Status;

use crate::status;

/// Refuses a caller who has a right on no tag at all.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub fn require(principal: &Principal, right: Right) -> Result<(), Status> {
    if principal.may(right) { Ok(()) } else { Err(denied(principal, right)) }
}

/// Refuses a caller who has no right on the tag of a name, whether or not there is one. A tag that the caller does not see is not there.
///
/// # Errors
/// `PERMISSION_DENIED` where the caller sees tags of that name, else `NOT_FOUND`.
pub fn require_on(principal: &Principal, right: Right, name: &str) -> Result<(), Status> {
    if principal.may_on(right, name) {
        return Ok(());
    }
    if principal.may_on(Right::Read, name) {
        return Err(status::denied(format!("{} may not {} the tag {name:?}", principal.name(), verb(right))));
    }
    Err(status::tags_not_found(&[name.to_owned()]))
}

/// Refuses a caller who may not make a tag of a name.
///
/// # Errors
/// `PERMISSION_DENIED`, whether or not there is such a tag.
pub fn require_to_make(principal: &Principal, right: Right, name: &str) -> Result<(), Status> {
    if principal.may_on(right, name) {
        return Ok(());
    }
    Err(status::denied(format!("{} may not make a tag {:?}", principal.name(), status::shortened(name))))
}

fn denied(principal: &Principal, right: Right) -> Status {
    status::denied(format!("{} may not {}; it takes a token with the role {}", principal.name(), verb(right), role(right)))
}

fn verb(right: Right) -> &'static str {
    match right {
        Right::Read => "read",
        Right::Write => "write",
        Right::Configure => "configure",
        Right::Correct => "correct",
        Right::Audit => "read the audit log",
        Right::Administer => "administer",
    }
}

fn role(right: Right) -> &'static str {
    match right {
        Right::Read => "reader",
        Right::Write => "writer",
        Right::Configure | Right::Correct => "engineer",
        Right::Audit => "auditor",
        Right::Administer => "admin",
    }
}
