//! Tokens and grants made, listed and taken back on the access file itself, whether or not a historian runs on it. Whoever can write to the data directory
//! can do this, and nobody else: this is what makes an administrator.

use std::path::{Path, PathBuf};

use crate::{
    AccessError, CreatedToken, Grant, GrantEntry, NamedPrincipal, NewToken, TokenEntry, TokenState,
    disk::{self, FileLock, FileState},
    format::AccessRecord,
    grant::Selections,
    secret::{self, SecretHash},
    token::check_name,
};
use historian_model::Timestamp;

/// Name of the file in a data directory.
pub const ACCESS_FILE: &str = "access.json";

/// Tokens that a file holds. Beyond that the oldest ones go that are not valid any more.
const TOKENS_MAX: usize = 10_000;
/// Principals without a token that have grants.
const PRINCIPALS_MAX: usize = 10_000;
/// Of one token or principal.
const GRANTS_MAX: usize = 10_000;
/// Names and globs of all grants of a token or principal.
const PATTERNS_MAX: usize = 10_000;

/// The file with the tokens of a data directory, for those who change it.
pub struct AccessFile;

impl AccessFile {
    /// Where the file of a data directory is.
    pub fn in_directory(data_dir: &Path) -> PathBuf {
        data_dir.join(ACCESS_FILE)
    }

    /// What tells whether the file is another one than before, without reading it; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be asked for.
    pub fn state(path: &Path) -> Result<Option<FileState>, AccessError> {
        disk::state(path)
    }

    /// Makes a token, and the file where there is none.
    ///
    /// # Errors
    /// The token is not valid, its name is taken, or the file cannot be read or replaced; then it is as it was.
    pub fn create_token(path: &Path, new: NewToken, now: Timestamp) -> Result<CreatedToken, AccessError> {
        check_name(&new.name)?;
        check_grants(&new.grants)?;
        if let Some(expires) = new.expires.filter(|expires| *expires <= now) {
            return Err(AccessError::ExpiresInThePast { expires });
        }
        let secret = secret::new_secret()?;
        let Some(hash) = SecretHash::of(&secret) else { return Err(AccessError::NoRandomNumbers { reason: "too many".to_owned() }) };
        let lock = FileLock::take(path)?;
        let mut record = load(path)?;
        let is_valid = |token: &TokenEntry| token.state(now) == TokenState::Valid;
        if let Some(taken) = record.tokens.iter().find(|token| token.name == new.name && is_valid(token)) {
            return Err(AccessError::NameTaken { name: new.name, id: taken.id });
        }
        if record.tokens.len() >= TOKENS_MAX {
            let Some(oldest) = record.tokens.iter().position(|token| !is_valid(token)) else {
                return Err(AccessError::TooManyTokens { path: path.to_owned(), max: TOKENS_MAX });
            };
            record.tokens.remove(oldest);
        }
        let id = record.next_id;
        record.next_id += 1;
        let NewToken { name, grants, expires } = new;
        record.tokens.push(TokenEntry {
            id,
            name,
            hash,
            grants,
            created: now,
            created_by: this_user(),
            expires,
            revoked: None,
            revoked_by: String::new(),
        });
        lock.replace(&record.written())?;
        Ok(CreatedToken { id, secret })
    }

    /// All tokens in the order in which they were made, also those that are not valid any more. None where there is no file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(path: &Path) -> Result<Vec<TokenEntry>, AccessError> {
        Ok(load(path)?.tokens)
    }

    /// Makes a token invalid: the valid one of this name, or the one of this number. One that was revoked before stays as it is.
    ///
    /// # Errors
    /// There is none, or the file cannot be read or replaced; then it is as it was.
    pub fn revoke(path: &Path, id_or_name: &str, now: Timestamp) -> Result<TokenEntry, AccessError> {
        let lock = FileLock::take(path)?;
        let mut record = load(path)?;
        let id = id_or_name.parse::<u64>().ok();
        let is_meant = |token: &&mut TokenEntry| match id {
            Some(id) => token.id == id,
            None => token.name == id_or_name && token.state(now) == TokenState::Valid,
        };
        let Some(token) = record.tokens.iter_mut().find(is_meant) else {
            return Err(AccessError::NoSuchToken { name: id_or_name.chars().take(80).collect() });
        };
        if token.revoked.is_none() {
            token.revoked = Some(now);
            token.revoked_by = this_user();
        }
        let revoked = token.clone();
        lock.replace(&record.written())?;
        Ok(revoked)
    }

    /// Grants something to a principal without a token, and makes the file where there is none. What it has already stays, and is not there twice.
    /// Answers all that it has.
    ///
    /// # Errors
    /// The grants are not valid, those of the principal would be too many, or the file cannot be read or replaced; then it is as it was.
    pub fn add_grants(path: &Path, principal: NamedPrincipal, grants: Vec<Grant>, now: Timestamp) -> Result<GrantEntry, AccessError> {
        check_grants(&grants)?;
        let lock = FileLock::take(path)?;
        let mut record = load(path)?;
        let index = match record.grants.iter().position(|entry| entry.principal == principal) {
            Some(index) => index,
            None if record.grants.len() >= PRINCIPALS_MAX => {
                return Err(AccessError::TooManyPrincipals { path: path.to_owned(), max: PRINCIPALS_MAX });
            }
            None => {
                record.grants.push(GrantEntry { principal, grants: Vec::new(), created: now });
                record.grants.len() - 1
            }
        };
        let entry = &mut record.grants[index];
        for grant in grants {
            if !entry.grants.contains(&grant) {
                entry.grants.push(grant);
            }
        }
        check_grants(&entry.grants)?;
        let entry = entry.clone();
        lock.replace(&record.written())?;
        Ok(entry)
    }

    /// What principals without a token are granted, in the order in which they came. None where there is no file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list_grants(path: &Path) -> Result<Vec<GrantEntry>, AccessError> {
        Ok(load(path)?.grants)
    }

    /// Takes these grants from a principal, or all where none is named. Answers those that it has left. The file stays, and with it the historian
    /// closed.
    ///
    /// # Errors
    /// It has not one of them, of which none is taken then; or the file cannot be read or replaced; then it is as it was.
    pub fn remove_grants(path: &Path, principal: &NamedPrincipal, grants: &[Grant]) -> Result<Vec<Grant>, AccessError> {
        let lock = FileLock::take(path)?;
        let mut record = load(path)?;
        let none = || AccessError::NoSuchGrant { principal: principal.to_string() };
        let index = record.grants.iter().position(|entry| entry.principal == *principal).ok_or_else(none)?;
        let held = &mut record.grants[index].grants;
        if grants.iter().any(|grant| !held.contains(grant)) {
            return Err(none());
        }
        held.retain(|grant| !grants.is_empty() && !grants.contains(grant));
        let left = held.clone();
        if left.is_empty() {
            record.grants.remove(index);
        }
        lock.replace(&record.written())?;
        Ok(left)
    }
}

/// The user whose program this is.
fn this_user() -> String {
    format!("uid:{}", rustix::process::getuid().as_raw())
}

/// What the file holds; nothing where there is none.
fn load(path: &Path) -> Result<AccessRecord, AccessError> {
    match disk::read(path)? {
        Some((_, text)) => AccessRecord::parse(path, &text),
        None => Ok(AccessRecord::default()),
    }
}

fn check_grants(grants: &[Grant]) -> Result<(), AccessError> {
    let patterns = grants.iter().map(|grant| grant.tags.len()).sum();
    for (what, given, max) in [("grants", grants.len(), GRANTS_MAX), ("names and globs", patterns, PATTERNS_MAX)] {
        if given > max {
            return Err(AccessError::TooManyGrants { what, given, max });
        }
    }
    if grants.is_empty() {
        return Err(AccessError::NoGrants);
    }
    Selections::default().scopes(grants)?;
    Ok(())
}
