//! Refusals of callers who have not the right. What is said depends on names only, never on whether there is a tag.

use historian_access::{Principal, Right, Role};
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
        return Err(status::denied(format!("{} may not {right} the tag {name:?}", principal.name())));
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
    // The first one that has it is the one with the fewest others.
    let role = Role::ALL.into_iter().find(|role| role.rights().contains(&right)).unwrap_or(Role::Admin);
    status::denied(format!("{} may not {right}; it takes the role {role}", principal.name()))
}
