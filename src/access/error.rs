//! What goes wrong with identities. Each message says where to look; none holds a secret.

use std::{io, path::PathBuf};

use historian_model::{Timestamp, selection::InvalidSelection};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    #[error("{path}: cannot be {action}: {source}")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("{path} may be read by other users of this machine (mode {mode:04o}); run `chmod 600 {path}`")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} is damaged: {reason}; put a copy of it in its place")]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} is of version {found} and this program reads version {known}; use the program that wrote it, or a newer one")]
    Version { path: PathBuf, found: u64, known: u64 },
    #[error(
        "{path} is gone; its tokens hold until the historian ends, and a start without it knows none of them; put a copy of it in its place"
    )]
    Gone { path: PathBuf },
    #[error("{directory} is no directory; make it, or name the data directory of the historian")]
    NoDirectory { directory: PathBuf },
    #[error("{path}: another program has been changing it for {seconds} s; try again when that has ended")]
    Locked { path: PathBuf, seconds: u64 },
    #[error("{path} is of user {user}, and its directory of user {owner}, who could not read it; run this as that user, or as root")]
    Owner { path: PathBuf, owner: u32, user: u32 },
    #[error("the name {name:?} is not valid: {reason}")]
    InvalidName { name: String, reason: &'static str },
    #[error("a token {name} exists (number {id}); revoke it, or choose another name")]
    NameTaken { name: String, id: u64 },
    #[error(transparent)]
    InvalidTags(#[from] InvalidSelection),
    #[error("without grants nobody could do anything; name a role")]
    NoGrants,
    #[error("{given} {what} are more than the {max} that one token or principal may have; use globs that take several together")]
    TooManyGrants { what: &'static str, given: usize, max: usize },
    #[error("the token would have expired at {expires}, before it is made")]
    ExpiresInThePast { expires: Timestamp },
    #[error("{path} holds {max} tokens that are valid, and takes no more; revoke some")]
    TooManyTokens { path: PathBuf, max: usize },
    #[error("{path} would have more than {max} bytes; revoke tokens with many grants, or use globs that take several together")]
    TooLarge { path: PathBuf, max: u64 },
    #[error("there is no valid token {name}; `historian token list` shows all")]
    NoSuchToken { name: String },
    #[error("the principal {name:?} is not valid: {reason}")]
    InvalidPrincipal { name: String, reason: &'static str },
    #[error("{path} holds grants of {max} principals, and takes no more; remove some, or grant to a role")]
    TooManyPrincipals { path: PathBuf, max: usize },
    #[error("{principal} has no such grant; `historian grant list` shows all")]
    NoSuchGrant { principal: String },
    #[error("the system gives no random numbers: {reason}")]
    NoRandomNumbers { reason: String },
}

impl AccessError {
    /// True when the same words will never do: what was asked for is wrong, not the state of the file.
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            AccessError::InvalidName { .. }
                | AccessError::InvalidTags(_)
                | AccessError::InvalidPrincipal { .. }
                | AccessError::NoGrants
                | AccessError::TooManyGrants { .. }
                | AccessError::ExpiresInThePast { .. }
        )
    }
}
