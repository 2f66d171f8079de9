//! The tokens of a data directory as a running historian knows them: read often, replaced as a whole when the file changed.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    AccessError, Principal,
    disk::{self, FileState},
    format::AccessRecord,
    grant::Selections,
    secret::SecretHash,
};
use historian_model::Timestamp;

/// The tokens of one data directory. Requests take the version of the moment without a lock.
pub struct AccessBook {
    path: PathBuf,
    tokens: ArcSwap<Tokens>,
    read: Mutex<LastRead>,
}

/// Those that are not revoked, by the hash of their secrets.
///
/// The search in a hash table takes a time that depends on the hash of the secret. That tells nothing: who guesses does not choose the SHA-256
/// of the guess, and to know how a hash of ours begins helps nobody to find a secret of 256 random bits.
#[derive(Default)]
struct Tokens {
    by_hash: HashMap<SecretHash, KnownToken>,
    /// True where there is no file.
    none: bool,
}

struct KnownToken {
    principal: Principal,
    expires: Option<Timestamp>,
}

/// What is known of the file.
#[derive(Default)]
struct LastRead {
    /// Of the file that the tokens are from.
    state: Option<FileState>,
    /// What was wrong when it was read last, if that was told.
    told: Option<String>,
}

impl AccessBook {
    /// Reads the file at `path`. Where there is none, there are no tokens.
    ///
    /// # Errors
    /// The file cannot be read, may be read by others, or is damaged.
    pub fn open(path: &Path) -> Result<Arc<AccessBook>, AccessError> {
        let (state, tokens) = load(path)?;
        let read = Mutex::new(LastRead { state, told: None });
        Ok(Arc::new(AccessBook { path: path.to_owned(), tokens: ArcSwap::from_pointee(tokens), read }))
    }

    /// Who shows this secret. `None` when it is of no token, or the token has expired or was revoked: nobody is told which.
    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Option<Principal> {
        let hash = SecretHash::of(secret)?;
        let tokens = self.tokens.load();
        tokens.valid(&hash, now).map(|known| known.principal.clone())
    }

    /// True while the token that the principal has shown is valid; of one without a token, while none is asked for. For what goes on for long,
    /// as subscriptions do: a token may be revoked meanwhile, and the first one may be made.
    pub fn is_valid(&self, principal: &Principal, now: Timestamp) -> bool {
        let tokens = self.tokens.load();
        principal.token().map_or(tokens.none, |hash| tokens.valid(hash, now).is_some())
    }

    /// True where no token was ever made: there is no file. When the last token expires or is revoked, nothing opens.
    pub fn is_empty(&self) -> bool {
        self.tokens.load().none
    }

    /// Reads the file again if it changed. True when there are other tokens now.
    ///
    /// # Errors
    /// What is wrong with the file, or that it is gone; the tokens stay as they were. It is told once, and again only after the file was good,
    /// or when something else is wrong with it.
    pub fn refresh(&self) -> Result<bool, AccessError> {
        let mut read = self.read.lock();
        match self.read_again(&mut read) {
            Ok(changed) => {
                read.told = None;
                Ok(changed)
            }
            Err(error) => {
                let text = error.to_string();
                if read.told.as_ref() == Some(&text) {
                    return Ok(false);
                }
                read.told = Some(text);
                Err(error)
            }
        }
    }

    fn read_again(&self, read: &mut LastRead) -> Result<bool, AccessError> {
        if disk::state(&self.path)? == read.state {
            return Ok(false);
        }
        let (state, tokens) = load(&self.path)?;
        // Whoever removes the file does not say that everybody may do everything.
        if state.is_none() && !self.is_empty() {
            return Err(AccessError::Gone { path: self.path.clone() });
        }
        read.state = state;
        self.tokens.store(Arc::new(tokens));
        Ok(true)
    }
}

impl Tokens {
    fn valid(&self, hash: &SecretHash, now: Timestamp) -> Option<&KnownToken> {
        self.by_hash.get(hash).filter(|known| known.expires.is_none_or(|expires| now < expires))
    }
}

/// The tokens of the file, with what each may do worked out once for all requests.
fn load(path: &Path) -> Result<(Option<FileState>, Tokens), AccessError> {
    let Some((state, text)) = disk::read(path)? else {
        return Ok((None, Tokens { none: true, ..Tokens::default() }));
    };
    let record = AccessRecord::parse(path, &text)?;
    let mut selections = Selections::default();
    let mut by_hash = HashMap::new();
    for token in record.tokens.iter().filter(|token| token.revoked.is_none()) {
        let scopes = selections.scopes(&token.grants).map_err(|error| AccessError::Damaged {
            path: path.to_owned(),
            reason: format!("token {} ({}): {error}", token.id, token.name),
        })?;
        let principal = Principal::new(format!("token:{}", token.name), scopes, Some(token.hash));
        by_hash.insert(token.hash, KnownToken { principal, expires: token.expires });
    }
    Ok((Some(state), Tokens { by_hash, none: false }))
}

/// How many tokens, and of which file.
impl fmt::Debug for AccessBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.tokens.load().by_hash.len();
        f.debug_struct("AccessBook").field("path", &self.path).field("tokens", &tokens).finish_non_exhaustive()
    }
}
